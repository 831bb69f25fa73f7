/* test_ablate.c - probe/knockouts.c, ablate.c, ablate_table.c: experts as they are named; documents
 * that cannot have changed are left out bit for bit; the table comes back.
 */
#include "probe/ablate_table.h"
#include "base/outfile.h"
#include "base/text.h"
#include "probe/run.h"
#include "tests/put_file.h"

#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#define MODELS TEST_DATA "/golden/models/"

/* ---- names ---- */

static const int LAYERS[2] = {1, 4};
static const gm_model_info INFO = {
    .n_moe_layers = 2, .n_experts = 5, .n_chosen = 3, .layer_of_moe = LAYERS};

static void experts_as_they_are_named(void)
{
    gm_knockouts k;
    gm_error err = {0};
    CHECK_OK(gm_knockouts_read(&k, "4:2,1:0+4:4,4:0", NULL, &INFO, GM_EDIT_BIAS, &err), err);
    CHECK_INT(k.n, 3);
    CHECK_TEXT(k.at[0].name, "4:2");
    CHECK_INT(k.at[0].at[0], 7);
    CHECK_TEXT(k.at[1].name, "1:0+4:4");
    CHECK_INT(k.at[1].n, 2);
    CHECK_INT(k.at[1].at[0], 0);
    CHECK_INT(k.at[1].at[1], 9);
    gm_knockouts_clear(&k);
    CHECK_OK(gm_knockouts_read(&k, "all", &(int64_t){4}, &INFO, GM_EDIT_BIAS, &err), err);
    CHECK_INT(k.n, 5);
    CHECK_TEXT(k.at[4].name, "4:4");
    CHECK_INT(k.at[4].at[0], 9);
    gm_knockouts_clear(&k);
    CHECK_OK(gm_knockouts_read(&k, "all", NULL, &INFO, GM_EDIT_BIAS, &err), err);
    CHECK_INT(k.n, 10);
    gm_knockouts_clear(&k);
    put_text("e.csv", "expert,p,layer\n3,.1,4\n0,.2,1\n3,.3,4\n");
    CHECK_OK(gm_knockouts_read(&k, "e.csv", NULL, &INFO, GM_EDIT_BIAS, &err), err);
    CHECK_INT(k.n, 2);
    CHECK_TEXT(k.at[0].name, "4:3");
    CHECK_TEXT(k.at[1].name, "1:0");
    gm_knockouts_clear(&k);
}

static void what_is_no_expert_is_refused(void)
{
    static const int64_t three = 3;
    static const struct {
        const char *experts;
        const int64_t *layer;
        const char *says;
    } wrong[] = {
        {"4:5", NULL, "--experts '4:5': expert 5, expected 0 to 4"},
        {"4:-1", NULL, "--experts '4:-1': expert -1, expected 0 to 4"},
        {"2:1", NULL, "--experts '2:1': layer 2 is not an MoE layer, expected one from 1 to 4"},
        {"4", NULL, "--experts '4': expected LAYER:ID"},
        {"4:1,", NULL, "--experts '': expected LAYER:ID"},
        {"4:1+", NULL, "--experts '': expected LAYER:ID"},
        {"999999999999999999999999999:1", NULL, "expected LAYER:ID"},
        {"4:1,1:1,4:1", NULL, "--experts names 4:1 twice"},
        {"4:1+1:1+4:1", NULL, "--experts '4:1+1:1+4:1' names 4:1 twice"},
        {"4:1,04:1", NULL, "--experts: 4:1 and 04:1 are the same"},
        {"4:1+1:1,1:1,1:1+4:1", NULL, "--experts: 4:1+1:1 and 1:1+4:1 are the same"},
        {"4:1+1:1+4:2+4:0", NULL,
         "--experts '4:1+1:1+4:2+4:0' leaves 2 experts in layer 4, whose router chooses 3"},
        {"all", &three, "--layer: layer 3 is not an MoE layer, expected one from 1 to 4"},
    };
    gm_knockouts k;
    gm_error err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_FAILS(
            gm_knockouts_read(&k, wrong[i].experts, wrong[i].layer, &INFO, GM_EDIT_BIAS, &err), err,
            GM_EARG, wrong[i].says);
        CHECK(k.at == NULL && k.n == 0);
    }
    CHECK_OK(gm_knockouts_read(&k, "4:1+4:2+4:0", NULL, &INFO, GM_EDIT_GATE, &err), err);
    gm_knockouts_clear(&k);
    put_text("e.csv", "layer,expert\n");
    CHECK_FAILS(gm_knockouts_read(&k, "e.csv", NULL, &INFO, GM_EDIT_BIAS, &err), err, GM_EFORMAT,
                "'e.csv' lists no expert");
}

/* ---- runs ---- */

/* 40 documents of two subsets, of 3 to 6 tokens, so that few of them choose an expert. */
static void write_corpus(const char *path)
{
    static const char *const word[] = {"salt", "anchor", "comet", "of", "gale", "42", "soup"};
    gm_text text = {0};
    gm_error err = {0};
    for (unsigned d = 0; d < 40; d++) {
        CHECK_OK(gm_text_add(&text, "{\"text\": \"", &err), err);
        for (unsigned w = 0; w < 8; w++)
            CHECK_OK(gm_text_printf(&text, &err, "%s ", word[(d * 5 + w * w + d / 7) % 7]), err);
        CHECK_OK(gm_text_printf(&text, &err, "\", \"meta\": {\"pile_set_name\": \"%s\"}}\n",
                                d % 3 ? "b" : "a"),
                 err);
    }
    CHECK_OK(gm_outfile_write(path, true, text.at, text.n, &err), err);
    gm_text_clear(&text);
}

/* A model, its documents, a runner. */
typedef struct fixture {
    gm_run run;
    gm_held_texts texts;
    gm_knockouts out;
    gm_progress progress;
    gm_edit_mode mode;
} fixture;

static void set_up(fixture *f, const char *model, gm_edit_mode mode, const char *experts)
{
    static const char *corpus[] = {"c.jsonl"};
    gm_error err = {0};
    *f = (fixture){.run = {.o = gm_collect_options_defaults()}, .mode = mode};
    gm_collect_options *o = &f->run.o;
    o->model = model;
    o->corpus = (gm_opt_list){corpus, 1};
    o->level = GM_RECORD_CHOICES;
    o->nll = true;
    o->text = o->spelling = false;
    o->doc_tokens = 6;
    o->min_tokens = 3;
    o->threads = 1;
    o->quiet = true;
    write_corpus("c.jsonl");
    CHECK_OK(gm_run_open(&f->run, &err), err);
    CHECK_OK(gm_held_texts_read(&f->texts, f->run.blocks, &err), err);
    CHECK_OK(gm_knockouts_read(&f->out, experts, NULL, gm_model_get_info(f->run.model), mode, &err),
             err);
    CHECK_OK(gm_runner_create(&f->run.runner, f->run.model, &f->run.runner_options, &err), err);
    gm_progress_start(&f->progress, "ablate", "tokens", 0, true);
}

static void tear_down(fixture *f)
{
    gm_knockouts_clear(&f->out);
    gm_held_texts_clear(&f->texts);
    f->run.o.corpus = (gm_opt_list){0};
    gm_run_close(&f->run);
}

/* `kept`: of the first so many documents the residual stream is kept. */
static gm_ablate begin_kept(fixture *f, bool run_all, size_t kept)
{
    gm_error err = {0};
    const size_t width = (size_t)gm_model_get_info(f->run.model)->width;
    gm_ablate a = {.model = f->run.model,
                   .runner = f->run.runner,
                   .texts = &f->texts,
                   .out = &f->out,
                   .mode = f->mode,
                   .run_all = run_all,
                   .keep_bytes = f->texts.begin[kept] * width * sizeof(float),
                   .progress = &f->progress};
    CHECK_OK(gm_runner_steer(f->run.runner, NULL, &err), err);
    CHECK_OK(gm_ablate_begin(&a, &err), err);
    CHECK_INT(a.n_kept, kept);
    return a;
}

static gm_ablate begin(fixture *f, bool run_all)
{
    return begin_kept(f, run_all, 0);
}

/* The losses of every knock-out with and without the documents that no router can have read
 * otherwise: the same bits, by less work; and something changes at all. */
static void check_local(const char *model, gm_edit_mode mode)
{
    fixture f;
    gm_error err = {0};
    uint64_t less = 0, all = 0;
    double most = 0;
    set_up(&f, model, mode, "all");
    CHECK(gm_edit_is_local(f.run.model, mode));
    gm_ablate some = begin(&f, false), every = begin(&f, true);
    for (size_t x = 0; x < f.out.n; x++) {
        less += gm_ablate_cost(&some, x);
        all += gm_ablate_cost(&every, x);
        CHECK_OK(gm_ablate_next(&some, &err), err);
        CHECK_OK(gm_ablate_next(&every, &err), err);
        CHECK(memcmp(some.loss, every.loss, f.texts.n * sizeof *some.loss) == 0);
        for (size_t i = 0; i < f.texts.n; i++)
            most = check_larger(most, fabs(every.loss[i].b - every.loss[i].a));
    }
    printf("  %s: %" PRIu64 " of %" PRIu64 " rows read again\n", model + sizeof MODELS - 1, less,
           all);
    CHECK(less < all && most > 1e-3);
    gm_ablate_clear(&some);
    gm_ablate_clear(&every);
    tear_down(&f);
}

static void what_cannot_have_changed_is_left_out_bit_for_bit(void)
{
    check_local(MODELS "dots-tiny", GM_EDIT_BIAS);    /* sigmoid, corrected */
    check_local(MODELS "minimax-tiny", GM_EDIT_BIAS); /* likewise, renormalised */
    check_local(MODELS "dots-tiny", GM_EDIT_GATE);
    check_local(MODELS "olmoe-tiny", GM_EDIT_SELECT); /* softmax over all */
    check_local(MODELS "deepseek-tiny", GM_EDIT_SELECT);
    check_local(MODELS "phimoe-tiny", GM_EDIT_SELECT);
}

/* A softmax over all experts, groups, corrected scores of a softmax: who chose none changes too. */
static void elsewhere_everything_is_read_again(void)
{
    static const struct {
        const char *model;
        gm_edit_mode mode;
    } wide[] = {{MODELS "olmoe-tiny", GM_EDIT_BIAS},    {MODELS "qwen3-tiny", GM_EDIT_BIAS},
                {MODELS "deepseek-tiny", GM_EDIT_GATE}, {MODELS "deepseek-v3-tiny", GM_EDIT_BIAS},
                {MODELS "glm-tiny", GM_EDIT_BIAS},      {MODELS "ernie-tiny", GM_EDIT_SELECT}};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        fixture f;
        set_up(&f, wide[i].model, wide[i].mode, "all");
        CHECK(!gm_edit_is_local(f.run.model, wide[i].mode));
        gm_ablate a = begin(&f, false);
        CHECK_INT(gm_ablate_cost(&a, 0), f.texts.token.n);
        gm_ablate_clear(&a);
        tear_down(&f);
    }
}

/* ---- from a layer on ---- */

/* The losses of every knock-out with and without the residual stream kept, of all documents or of
 * some: the same bits. */
static void check_kept(const char *model, gm_edit_mode mode, const char *experts, bool all)
{
    fixture f;
    gm_error err = {0};
    double most = 0;
    set_up(&f, model, mode, experts);
    gm_ablate whole = begin(&f, false), kept = begin_kept(&f, false, f.texts.n / (all ? 1 : 2));
    for (size_t x = 0; x < f.out.n; x++) {
        CHECK_OK(gm_ablate_next(&whole, &err), err);
        CHECK_OK(gm_ablate_next(&kept, &err), err);
        CHECK(memcmp(whole.loss, kept.loss, f.texts.n * sizeof *whole.loss) == 0);
        for (size_t i = 0; i < f.texts.n; i++)
            most = check_larger(most, fabs(kept.loss[i].b - kept.loss[i].a));
    }
    CHECK(whole.residual == NULL && kept.residual != NULL && most > 1e-3);
    gm_ablate_clear(&whole);
    gm_ablate_clear(&kept);
    tear_down(&f);
}

static void from_its_layer_on_a_knock_out_has_the_same_bits(void)
{
    check_kept(MODELS "deepseek-tiny", GM_EDIT_BIAS, "all", true); /* a dense layer first */
    check_kept(MODELS "deepseek-tiny", GM_EDIT_BIAS, "all", false);
    check_kept(MODELS "deepseek-tiny", GM_EDIT_BIAS, "2:0,2:1,1:0,3:1,3:2+2:4,2:5,3:0,3:5", true);
    check_kept(MODELS "olmoe-tiny", GM_EDIT_GATE, "all", true);
    check_kept(MODELS "dots-tiny", GM_EDIT_BIAS, "all", true);        /* only those that chose it */
    check_kept(MODELS "qwen3-next-tiny", GM_EDIT_BIAS, "all", false); /* recurrent layers */
    check_kept(MODELS "deepseek-v3-tiny", GM_EDIT_SELECT, "all", true);
}

/* Where there is no memory to keep it, documents are read from the start. */
static void without_memory_for_it_nothing_is_kept(void)
{
    fixture f;
    gm_error err = {0};
    set_up(&f, MODELS "olmoe-tiny", GM_EDIT_BIAS, "1:0,1:1");
    gm_ablate whole = begin(&f, false), kept = begin_kept(&f, false, f.texts.n);
    for (size_t x = 0; x < f.out.n; x++) {
        CHECK_OK(gm_ablate_next(&whole, &err), err);
        gm_alloc_fail_after(x == 0 ? 0 : -1);
        CHECK_OK(gm_ablate_next(&kept, &err), err);
        CHECK_INT(gm_alloc_fail_after(-1), -1);
        CHECK(memcmp(whole.loss, kept.loss, f.texts.n * sizeof *whole.loss) == 0);
    }
    CHECK(kept.residual == NULL && kept.n_kept == 0);
    gm_ablate_clear(&whole);
    gm_ablate_clear(&kept);
    tear_down(&f);
}

/* What is said to have been chosen is what a run counts. */
static void chosen_is_what_a_run_counts(void)
{
    fixture f;
    gm_error err = {0};
    gm_probe_block *block = NULL;
    gm_blocks *blocks = NULL;
    set_up(&f, MODELS "deepseek-tiny", GM_EDIT_BIAS, "all");
    const size_t LE = f.out.n;
    gm_ablate a = begin(&f, false);
    CHECK_OK(gm_blocks_create(&blocks, &f.run.blocks_options, &err), err);
    CHECK_OK(gm_blocks_next(blocks, &block, &err), err);
    CHECK_OK(gm_runner_run(f.run.runner, block, NULL, NULL, &err), err);
    CHECK_INT(block->n_documents, f.texts.n);
    for (size_t i = 0; i < f.texts.n; i++)
        for (size_t x = 0; x < LE; x++)
            CHECK_INT(a.chosen[x * f.texts.n + i], block->counts[i * LE + x]);
    gm_probe_block_free(block);
    gm_blocks_free(blocks);
    gm_ablate_clear(&a);
    tear_down(&f);
}

/* A token without -ln p, a document's first where nothing comes before it, is not of those
 * that the share of the chosen is of. */
static void chosen_are_of_the_tokens_that_count(void)
{
    fixture f;
    gm_error err = {0};
    uint64_t chosen = 0;
    set_up(&f, MODELS "qwen3-tiny", GM_EDIT_BIAS, "all");
    const gm_model_info *info = gm_model_get_info(f.run.model);
    gm_ablate a = begin(&f, false);
    for (int e = 0; e < info->n_experts; e++) {
        CHECK_OK(gm_ablate_next(&a, &err), err);
        chosen += gm_ablate_rows(&a, (size_t)e)->chosen;
    }
    const uint64_t tokens = gm_ablate_rows(&a, 0)->loss.tokens;
    CHECK_INT(tokens, f.texts.token.n - f.texts.n);
    CHECK_INT(chosen, tokens * (uint64_t)info->n_chosen);
    gm_ablate_clear(&a);
    tear_down(&f);
}

/* A row that chooses two of the experts that go together counts once. */
static void together_a_token_counts_once(void)
{
    fixture f;
    uint64_t alone = 0, together = 0, rows = 0;
    set_up(&f, MODELS "deepseek-tiny", GM_EDIT_BIAS,
           "2:0,2:1,2:2,2:3,2:4,2:5,2:0+2:1+2:2+2:3+2:4+2:5");
    gm_ablate a = begin(&f, false);
    for (size_t i = 0; i < f.texts.n; i++) {
        uint64_t sum = 0;
        for (size_t x = 0; x < 6; x++) sum += a.chosen[x * f.texts.n + i];
        alone += sum;
        together += a.chosen[6 * f.texts.n + i];
        rows += f.texts.begin[i + 1] - f.texts.begin[i];
    }
    CHECK(together > 0 && together < alone && together <= rows);
    gm_ablate_clear(&a);
    tear_down(&f);
}

/* ---- the table ---- */

static void save(const gm_ablate *a, const char *path)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    CHECK_OK(gm_outfile_open(&file, path, true, &err), err);
    gm_ablate_table_write(gm_outfile_stream(file), a);
    CHECK_OK(gm_outfile_commit(file, &err), err);
}

static void replace(const char *from, const char *to, const char *what, const char *with)
{
    gm_text text = {0}, out = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_read_file(&text, from, 1 << 20, &err), err);
    const char *at = strstr(text.at, what);
    CHECK(at != NULL);
    if (at == NULL) return;
    CHECK_OK(gm_text_append(&out, text.at, (size_t)(at - text.at), &err), err);
    CHECK_OK(gm_text_add(&out, with, &err), err);
    CHECK_OK(gm_text_add(&out, at + strlen(what), &err), err);
    CHECK_OK(gm_outfile_write(to, true, out.at, out.n, &err), err);
    gm_text_clear(&text);
    gm_text_clear(&out);
}

static void what_is_done_comes_back(void)
{
    static const char *const wrong[][2] = {{"1:0,1,0,bias,,40", "1:0,1,0,bias,,41"},
                                           {"bias", "gate"},
                                           {"1:1,1,1", "1:2,1,2"},
                                           {",change,", ",delta,"},
                                           {",b,", ",c,"},
                                           {"\r\n1:0,1,0,bias,a", "\r\n1:0,1,0,bias,"}};
    fixture f;
    gm_error err = {0};
    gm_text first = {0}, again = {0};
    set_up(&f, MODELS "deepseek-tiny", GM_EDIT_BIAS, "1:0,1:1,2:4");
    gm_ablate a = begin(&f, false), b = begin(&f, false);
    for (int i = 0; i < 2; i++) CHECK_OK(gm_ablate_next(&a, &err), err);
    save(&a, "two.csv");
    CHECK_OK(gm_ablate_next(&a, &err), err);
    save(&a, "three.csv");
    CHECK_OK(gm_ablate_table_take(&b, "two.csv", &err), err);
    CHECK_INT(b.n_done, 2);
    CHECK_OK(gm_ablate_next(&b, &err), err);
    save(&b, "again.csv");
    CHECK_OK(gm_text_read_file(&first, "three.csv", 1 << 20, &err), err);
    CHECK_OK(gm_text_read_file(&again, "again.csv", 1 << 20, &err), err);
    CHECK_TEXT(first.at, again.at);
    for (size_t x = 0; x < 3; x++)
        CHECK(memcmp(gm_ablate_rows(&a, x), gm_ablate_rows(&b, x), 3 * sizeof *a.row) == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        gm_ablate c = begin(&f, false);
        replace("three.csv", "wrong.csv", wrong[i][0], wrong[i][1]);
        CHECK_FAILS(gm_ablate_table_take(&c, "wrong.csv", &err), err, GM_EFORMAT,
                    "'wrong.csv' is from a run with other texts, groups, experts, mode or model");
        gm_ablate_clear(&c);
    }
    gm_text_clear(&first);
    gm_text_clear(&again);
    gm_ablate_clear(&a);
    gm_ablate_clear(&b);
    tear_down(&f);
}

/* ---- memory ---- */

static gm_status attempt(void *state, gm_error *err)
{
    fixture *f = state;
    gm_status status = GM_OK;
    gm_blocks *blocks = NULL;
    gm_held_texts texts = {0};
    gm_knockouts out = {0};
    gm_ablate a = {0};
    GM_TRY(gm_knockouts_read(&out, "1:0,2:4+2:5,2:3", NULL, gm_model_get_info(f->run.model),
                             GM_EDIT_BIAS, err));
    GM_TRY(gm_blocks_create(&blocks, &f->run.blocks_options, err));
    GM_TRY(gm_held_texts_read(&texts, blocks, err));
    a = (gm_ablate){.model = f->run.model,
                    .runner = f->run.runner,
                    .texts = &texts,
                    .out = &out,
                    .keep_bytes = UINT64_MAX,
                    .progress = &f->progress};
    GM_TRY(gm_runner_steer(f->run.runner, NULL, err));
    GM_TRY(gm_ablate_begin(&a, err));
    GM_TRY(gm_ablate_table_take(&a, "one.csv", err));
    GM_TRY(gm_ablate_next(&a, err));
out:
    gm_ablate_clear(&a);
    gm_knockouts_clear(&out);
    gm_held_texts_clear(&texts);
    gm_blocks_free(blocks);
    return status;
}

static void every_allocation_may_fail(void)
{
    fixture f;
    gm_error err = {0};
    set_up(&f, MODELS "deepseek-tiny", GM_EDIT_BIAS, "1:0,2:4+2:5,2:3");
    gm_ablate a = begin(&f, false);
    CHECK_OK(gm_ablate_next(&a, &err), err);
    save(&a, "one.csv");
    gm_ablate_clear(&a);
    check_every_allocation(attempt, &f);
    tear_down(&f);
}

TESTS(TEST(experts_as_they_are_named), TEST(what_is_no_expert_is_refused),
      TEST(what_cannot_have_changed_is_left_out_bit_for_bit),
      TEST(elsewhere_everything_is_read_again),
      TEST(from_its_layer_on_a_knock_out_has_the_same_bits),
      TEST(without_memory_for_it_nothing_is_kept), TEST(chosen_is_what_a_run_counts),
      TEST(chosen_are_of_the_tokens_that_count), TEST(together_a_token_counts_once),
      TEST(what_is_done_comes_back), TEST(every_allocation_may_fail))

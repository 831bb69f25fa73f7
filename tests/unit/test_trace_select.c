/* test_trace_select.c - a selection from a trace reads as what was selected of the whole, of one
 * file and of shards behind an index.
 */
#include "formats/trace.h"
#include "tests/written_sample.h"

enum {
    E = 8,
    BLOCKS = 2,
    MAX_DOCUMENTS = BLOCKS * SAMPLE_DOCUMENTS,
    MAX_ROWS = BLOCKS * SAMPLE_ROWS,
    PART_L = 2
};

static const int PART_LAYER[PART_L] = {1, 4};      /* of 1, 2, 4 */
static const size_t PART_ROW[PART_L] = {0, 2};     /* of those */
static const char *const PART_SUBSET[] = {"Code"}; /* the third and the fifth of each block */

static const gm_trace_selection selection = {
    .layer = PART_LAYER, .n_layers = PART_L, .subset = PART_SUBSET, .n_subsets = 1};

/* Rows of everything, of a trace or a selection of one. */
typedef struct rows {
    size_t n, n_tokens;
    uint32_t counts[MAX_DOCUMENTS * SAMPLE_L * E];
    uint16_t expert[MAX_ROWS * SAMPLE_L * SAMPLE_K];
    float gate[MAX_ROWS * SAMPLE_L * SAMPLE_K], mass[MAX_ROWS * SAMPLE_L],
        margin[MAX_ROWS * SAMPLE_L], nll[MAX_ROWS];
    float norm[MAX_ROWS * SAMPLE_L * SAMPLE_K]; /* zeros unless recorded */
    uint32_t token_id[MAX_ROWS], pos[MAX_ROWS];
    uint8_t phase[MAX_ROWS];
    size_t end[MAX_DOCUMENTS];
    gm_text text;
} rows;

/* In two halves, so that rows begin in the middle. */
static void read_rows(rows *r, gm_trace *trace)
{
    gm_error err = {0};
    *r = (rows){.n = gm_trace_get_samples(trace)->n, .n_tokens = gm_trace_n_tokens(trace)};
    const size_t L = (size_t)gm_trace_get_info(trace)->n_layers, LK = L * SAMPLE_K;
    for (size_t h = 0; h < 2; h++) {
        const size_t d = h ? r->n / 2 : 0, n = h ? r->n - d : r->n / 2;
        const size_t t = h ? r->n_tokens / 3 : 0, m = h ? r->n_tokens - t : r->n_tokens / 3;
        CHECK_OK(gm_trace_read_counts(trace, d, n, r->counts + d * L * E, &err), err);
        CHECK_OK(gm_trace_read_routing(trace, t, m, r->expert + t * LK, r->gate + t * LK,
                                       r->mass + t * L, r->margin + t * L, &err),
                 err);
        if (gm_trace_get_info(trace)->has_norms)
            CHECK_OK(gm_trace_read_norms(trace, t, m, r->norm + t * LK, &err), err);
        CHECK_OK(gm_trace_read_tokens(trace, t, m, r->token_id + t, r->pos + t, r->phase + t,
                                      r->nll + t, &err),
                 err);
        if (gm_trace_get_info(trace)->has_text)
            CHECK_OK(gm_trace_read_texts(trace, d, n, &r->text, r->end + d, &err), err);
        else
            CHECK_OK(gm_trace_spell_texts(trace, d, n, &r->text, r->end + d, &err), err);
    }
}

/* Row p of the selection, a token or a document, is row w of the whole. */
static void check_token(const rows *got, size_t p, const rows *want, size_t w)
{
    for (size_t l = 0; l < PART_L; l++) {
        const size_t a = p * PART_L + l, b = w * SAMPLE_L + PART_ROW[l];
        CHECK_BYTES(got->expert + a * SAMPLE_K, want->expert + b * SAMPLE_K,
                    SAMPLE_K * sizeof *got->expert);
        CHECK_BYTES(got->gate + a * SAMPLE_K, want->gate + b * SAMPLE_K,
                    SAMPLE_K * sizeof *got->gate);
        CHECK_BYTES(got->norm + a * SAMPLE_K, want->norm + b * SAMPLE_K,
                    SAMPLE_K * sizeof *got->norm);
        CHECK(got->mass[a] == want->mass[b] && got->margin[a] == want->margin[b]);
    }
    CHECK_INT(got->token_id[p], want->token_id[w]);
    CHECK_INT(got->pos[p], want->pos[w]);
    CHECK_INT(got->phase[p], want->phase[w]);
    CHECK_BYTES(&got->nll[p], &want->nll[w], sizeof *got->nll);
}

static void check_document(const rows *got, size_t p, const rows *want, size_t w)
{
    for (size_t l = 0; l < PART_L; l++)
        CHECK_BYTES(got->counts + (p * PART_L + l) * E,
                    want->counts + (w * SAMPLE_L + PART_ROW[l]) * E, E * sizeof *got->counts);
    const size_t a = p ? got->end[p - 1] : 0, b = w ? want->end[w - 1] : 0;
    CHECK_INT(got->end[p] - a, want->end[w] - b);
    if (got->end[p] - a == want->end[w] - b)
        CHECK_BYTES(got->text.at + a, want->text.at + b, got->end[p] - a);
}

static void check_part(const char *path)
{
    static rows whole, narrow;
    gm_error err = {0};
    gm_trace *a = NULL, *b = NULL;
    CHECK_OK(gm_trace_open(&a, path, &err), err);
    CHECK_OK(gm_trace_open(&b, path, &err), err);
    CHECK_OK(gm_trace_select(b, &selection, &err), err);
    read_rows(&whole, a);
    read_rows(&narrow, b);
    const gm_trace_info *info = gm_trace_get_info(b);
    CHECK_INT(info->n_layers, PART_L);
    CHECK_INT(info->has_norms, !info->has_text);
    CHECK((whole.norm[MAX_ROWS * SAMPLE_L * SAMPLE_K - 1] > 0) == info->has_norms);
    CHECK_BYTES(info->layer_of_moe, PART_LAYER, sizeof PART_LAYER);
    CHECK_INT(gm_trace_get_whole_info(b)->n_layers, SAMPLE_L);
    CHECK_INT(gm_trace_get_whole_samples(b)->n, MAX_DOCUMENTS);
    CHECK_INT(gm_trace_n_logits(b), 0);
    const gm_trace_samples *of = gm_trace_get_samples(a), *s = gm_trace_get_samples(b);
    CHECK_INT(s->n, 2 * BLOCKS);
    CHECK_INT(s->n_subsets, 1);
    CHECK_TEXT(s->subset_name[0], "Code");
    for (size_t p = 0; p < s->n; p++) {
        const size_t w = p / 2 * SAMPLE_DOCUMENTS + (p % 2 ? 4 : 2);
        CHECK_TEXT(s->id[p], of->id[w]);
        CHECK_BYTES(s->sha + 32 * p, of->sha + 32 * w, 32);
        CHECK_INT(s->n_tokens[p], of->n_tokens[w]);
        CHECK_INT(s->truncated[p], of->truncated[w]);
        CHECK_INT(s->subset[p], 0);
        check_document(&narrow, p, &whole, w);
        CHECK_INT(s->offset[p + 1] - s->offset[p], of->offset[w + 1] - of->offset[w]);
        for (size_t t = 0; t < of->offset[w + 1] - of->offset[w]; t++)
            check_token(&narrow, s->offset[p] + t, &whole, of->offset[w] + t);
    }
    CHECK_FAILS(gm_trace_read_counts(b, 1, s->n, narrow.counts, &err), err, GM_EARG, "rows 1 to 5");
    CHECK_FAILS(gm_trace_read_text(b, s->n, &narrow.text, &err), err,
                info->has_text ? GM_EARG : GM_EABSENT, info->has_text ? "document 4" : "texts");
    gm_text_clear(&whole.text);
    gm_text_clear(&narrow.text);
    gm_trace_close(a);
    gm_trace_close(b);
}

static sample s[BLOCKS];

/* Two blocks in one file and behind an index; with texts, and with the spelling of tokens and norms
 * of experts' outputs. */
static void write_both(bool texts)
{
    static const char *const shard[BLOCKS] = {"0.h5", "1.h5"};
    gm_error err = {0};
    for (uint64_t b = 0; b < BLOCKS; b++) {
        sample_fill(&s[b], GM_RECORD_CHOICES, E, b);
        if (!texts) sample_spell(&s[b]);
        if (!texts) sample_norms(&s[b]);
        s[b].info.has_text = texts;
        s[b].block.more = b + 1 < BLOCKS;
        sample_write(&s[b], shard[b]);
    }
    CHECK_OK(gm_trace_merge("merged.h5", shard, BLOCKS, true, &err), err);
    CHECK_OK(gm_trace_index("index.h5", shard, BLOCKS, true, &err), err);
}

static void a_part_is_what_was_chosen_of_the_whole(void)
{
    for (int texts = 0; texts < 2; texts++) {
        write_both(texts);
        check_part("merged.h5");
        check_part("index.h5");
    }
}

static gm_trace *open_merged(void)
{
    gm_error err = {0};
    gm_trace *trace = NULL;
    CHECK_OK(gm_trace_open(&trace, "merged.h5", &err), err);
    return trace;
}

static void short_documents_and_their_subsets_go(void)
{
    gm_error err = {0};
    write_both(true);
    gm_trace *trace = open_merged();
    const gm_trace_selection longer = {.min_tokens = 7}; /* of 3, 5, 7, 9, 11 */
    CHECK_OK(gm_trace_select(trace, &longer, &err), err);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    CHECK_INT(samples->n, 3 * BLOCKS);
    CHECK_INT(samples->n_subsets, 2);
    CHECK_TEXT(samples->subset_name[0], "Books");
    CHECK_TEXT(samples->subset_name[samples->subset[2]], "Code");
    CHECK_INT(gm_trace_get_info(trace)->n_layers, SAMPLE_L);
    gm_trace_close(trace);
}

static void everything_is_no_part(void)
{
    gm_error err = {0};
    const gm_trace_selection all = {.layer = SAMPLE_LAYERS, .n_layers = SAMPLE_L, .min_tokens = 3};
    write_both(true);
    gm_trace *trace = open_merged();
    CHECK_OK(gm_trace_select(trace, &all, &err), err);
    CHECK(gm_trace_get_info(trace) == gm_trace_get_whole_info(trace));
    CHECK(gm_trace_get_samples(trace) == gm_trace_get_whole_samples(trace));
    gm_trace_close(trace);
}

static void what_is_not_there_is_refused(void)
{
    static const int three[] = {3};
    static const char *const cod[] = {"Cod"};
    const gm_trace_selection no_layer = {.layer = three, .n_layers = 1},
                             no_subset = {.subset = cod, .n_subsets = 1};
    gm_error err = {0};
    write_both(true);
    gm_trace *trace = open_merged();
    CHECK_FAILS(gm_trace_select(trace, &no_layer, &err), err, GM_EARG,
                "layer 3 does not exist in the trace, which has the MoE layers 1-2,4");
    CHECK_FAILS(gm_trace_select(trace, &no_subset, &err), err, GM_EARG, "did you mean 'Code'?");
    CHECK_INT(gm_trace_get_samples(trace)->n, MAX_DOCUMENTS);
    gm_trace_close(trace);
}

static gm_status open_and_read(void *unused, gm_error *err)
{
    (void)unused;
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_text text = {0};
    uint32_t counts[2 * BLOCKS * PART_L * E];
    size_t end[2 * BLOCKS];
    GM_TRY(gm_trace_open(&trace, "merged.h5", err));
    GM_TRY(gm_trace_select(trace, &selection, err));
    GM_TRY(gm_trace_read_counts(trace, 0, sizeof end / sizeof *end, counts, err));
    GM_TRY(gm_trace_read_texts(trace, 0, sizeof end / sizeof *end, &text, end, err));
out:
    gm_text_clear(&text);
    gm_trace_close(trace);
    return status;
}

static void every_allocation_may_fail(void)
{
    write_both(true);
    check_every_allocation(open_and_read, NULL);
}

TESTS(TEST(a_part_is_what_was_chosen_of_the_whole), TEST(short_documents_and_their_subsets_go),
      TEST(everything_is_no_part), TEST(what_is_not_there_is_refused),
      TEST(every_allocation_may_fail))

/* test_bad_rows.c - a row that is not finite is bad, and so are rows that attend to it; no others.
 * label: threads */
#include "base/half.h"
#include "base/outfile.h"
#include "base/text.h"
#include "engine/checkpoint.h"
#include "tests/check.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"

#define OLMOE TEST_DATA "/golden/models/olmoe-tiny"
#define CLIP  TEST_DATA "/golden/models/olmoe-clip"

/* A copy of olmoe-tiny whose embedding of token `poisoned` is NaN. */
static void poison_embedding(const char *folder, uint32_t poisoned)
{
    static const char *const files[] = {"config.json", "generation_config.json",
                                        "model.safetensors"};
    gm_error err = {0};
    gm_checkpoint *checkpoint = NULL;
    char path[512];
    CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST);
    CHECK_OK(gm_checkpoint_open(&checkpoint, OLMOE, &err), err);
    const gm_tensor *embed = gm_checkpoint_find(checkpoint, "model.embed_tokens.weight");
    for (size_t i = 0; i < 3; i++) {
        gm_text text = {0};
        snprintf(path, sizeof path, OLMOE "/%s", files[i]);
        CHECK_OK(gm_text_read_file(&text, path, 1 << 24, &err), err);
        if (i == 2) { /* F16: find the row's bytes in the file */
            size_t row = embed->dim[1] * 2;
            const char *from = (const char *)embed->data + poisoned * row;
            for (size_t at = 0; at + row <= text.n; at++)
                if (memcmp(text.at + at, from, row) == 0) memset(text.at + at, 0x7e, row);
        }
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        CHECK_OK(gm_outfile_write(path, true, text.at, text.n, &err), err);
        gm_text_clear(&text);
    }
    gm_checkpoint_close(checkpoint);
}

/* Only good rows are in the sums. */
static void check_sums(const gm_model *model, const gm_expert_sums *sums, uint64_t good)
{
    const gm_model_info *info = gm_model_get_info(model);
    const size_t E = (size_t)info->n_experts, D = (size_t)info->width;
    for (int l = 0; l < info->n_moe_layers; l++) {
        uint64_t n = 0;
        for (size_t e = 0; e < E; e++) n += sums->of[(size_t)l * E + e].n;
        CHECK_INT(n, good * (uint64_t)info->n_chosen);
        for (size_t i = 0; i < E * D; i++) CHECK(isfinite(sums->added[(size_t)l * E * D + i]));
    }
}

static void bad_rows_stay_in_their_document(void)
{
    enum { POISON = 7, T = 40 };
    uint32_t clean[2 * T], dirty[2 * T];
    const size_t offset[] = {0, T, 2 * T};
    for (uint32_t i = 0; i < 2 * T; i++) clean[i] = dirty[i] = 10 + i;
    dirty[5] = POISON;
    poison_embedding("poisoned", POISON);
    for (int n = GM_NUMERICS_F32; n <= GM_NUMERICS_BF16; n++) {
        gm_model *model = open_model("poisoned", (gm_numerics)n, NULL);
        docs a = {2, 2 * T, clean, offset}, b = {2, 2 * T, dirty, offset};
        const plan p = {
            .threads = 2, .step = 512, .together = true, .norms = test_device() == NULL};
        gm_expert_sums sums = sums_create(model, 0, gm_model_get_info(model)->n_moe_layers);
        const plan summed = {.threads = 2,
                             .step = 512,
                             .together = true,
                             .norms = p.norms,
                             .sums = p.norms ? &sums : NULL};
        outcome want = run_docs(model, &a, &p), got = run_docs(model, &b, &summed);
        check_sums(model, &sums, p.norms ? 2 * T - (T - 5) : 0);
        outcome single = run_docs(model, &b, &(plan){.threads = 1, .step = 1});
        for (size_t t = 0; t < 2 * T; t++) CHECK_INT(got.bad[t], t >= 5 && t < T);
        for (size_t t = 0; t < 2 * T; t++) { /* rows before it and the other document */
            if (t >= 5 && t < T) continue;
            CHECK_BYTES(got.logits + t * got.vocab, want.logits + t * want.vocab,
                        want.vocab * sizeof(float));
            CHECK_BYTES(single.logits + t * got.vocab, want.logits + t * want.vocab,
                        want.vocab * sizeof(float));
        }
        for (size_t l = 0; l < got.n_layers; l++)
            for (size_t t = 5; t < T; t++) {
                size_t at = l * got.n_tokens + t;
                CHECK(got.expert[at * got.n_chosen] == GM_NO_EXPERT && isnan(got.margin[at]));
                CHECK(isnan(got.gate[at * got.n_chosen]) && isnan(got.mass[at]));
                CHECK(!p.norms || isnan(got.norm[at * got.n_chosen]));
            }
        outcome_free(&want), outcome_free(&got), outcome_free(&single);
        sums_free(&sums);
        gm_model_close(model);
    }
}

enum { CLIP_WIDTH = 24 };

/* Weights of one output, bf16, that give token `huge` in the first layer a value of
 * about 3.396e38: finite in f32, infinite once rounded to bf16. */
static void make_huge_row(const gm_checkpoint *checkpoint, uint32_t huge, uint16_t row[CLIP_WIDTH])
{
    const gm_tensor *embed = gm_checkpoint_find(checkpoint, "model.embed_tokens.weight");
    const gm_tensor *norm = gm_checkpoint_find(checkpoint, "model.layers.0.input_layernorm.weight");
    float x[CLIP_WIDTH], weight[CLIP_WIDTH];
    double squares = 0.0, value = 0.0;
    gm_tensor_to_f32(embed, (size_t)huge * CLIP_WIDTH, CLIP_WIDTH, x);
    gm_tensor_to_f32(norm, 0, CLIP_WIDTH, weight);
    for (size_t i = 0; i < CLIP_WIDTH; i++) squares += (double)x[i] * (double)x[i];
    const float scale = (float)(1.0 / sqrt(squares / CLIP_WIDTH + 1e-4));
    for (size_t i = 0; i < CLIP_WIDTH; i++) /* what the product reads */
        x[i] = gm_bf16_to_f32(gm_bf16_from_f32(x[i] * scale * weight[i]));
    for (float size = 0x1p120f; value < 3.396e38 && size < 0x1p127f; size *= 1.0001f) {
        value = 0.0;
        for (size_t i = 0; i < CLIP_WIDTH; i++) {
            row[i] = gm_bf16_from_f32(size * x[i]);
            value += (double)gm_bf16_to_f32(row[i]) * (double)x[i];
        }
    }
    CHECK(value >= 3.396e38 && value < 3.400e38);
}

/* A copy of olmoe-clip, not clipped, with such a value. */
static void enlarge_value(const char *folder, uint32_t huge)
{
    gm_error err = {0};
    gm_checkpoint *checkpoint = NULL;
    gm_text text = {0};
    uint16_t row[CLIP_WIDTH];
    char path[512];
    copy_model(folder, CLIP, "clip_qkv", NULL);
    CHECK_OK(gm_checkpoint_open(&checkpoint, CLIP, &err), err);
    make_huge_row(checkpoint, huge, row);
    const gm_tensor *v = gm_checkpoint_find(checkpoint, "model.layers.0.self_attn.v_proj.weight");
    snprintf(path, sizeof path, CLIP "/model-00001-of-00002.safetensors");
    CHECK_OK(gm_text_read_file(&text, path, 1 << 24, &err), err);
    for (size_t at = 0; at + sizeof row <= text.n; at++)
        if (memcmp(text.at + at, v->data, sizeof row) == 0) memcpy(text.at + at, row, sizeof row);
    snprintf(path, sizeof path, "%s/model-00001-of-00002.safetensors", folder);
    CHECK_OK(gm_outfile_write(path, true, text.at, text.n, &err), err);
    gm_text_clear(&text);
    gm_checkpoint_close(checkpoint);
}

/* The rows before it share its block of the cache and give it weight 0. */
static void a_value_beyond_bf16_stays_with_its_row(void)
{
    enum { HUGE_TOKEN = 9, BEFORE = 4 };
    const uint32_t token[] = {20, 31, 44, 52, HUGE_TOKEN};
    const size_t offset[] = {0, BEFORE}, longer[] = {0, BEFORE + 1};
    enlarge_value("huge", HUGE_TOKEN);
    gm_model *model = open_model("huge", GM_NUMERICS_BF16, NULL);
    docs a = {1, BEFORE, token, offset}, b = {1, BEFORE + 1, token, longer};
    const plan p = {.threads = 1, .step = 512};
    outcome want = run_docs(model, &a, &p), got = run_docs(model, &b, &p);
    for (size_t i = 0; i < BEFORE * want.vocab; i++) CHECK(isfinite(want.logits[i]));
    CHECK_BYTES(got.logits, want.logits, BEFORE * want.vocab * sizeof(float));
    CHECK(isnan(got.logits[BEFORE * want.vocab]) && got.bad[BEFORE]);
    outcome_free(&want), outcome_free(&got);
    gm_model_close(model);
}

TESTS(TEST(bad_rows_stay_in_their_document), TEST(a_value_beyond_bf16_stays_with_its_row))

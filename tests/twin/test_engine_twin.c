/* test_engine_twin.c - the whole model gives the same bits for any kernels, number of
 * threads, step size and company, in f32 and in bf16 (level B of DESIGN section 4). */
#include "base/rng.h"
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/engine_run.h"

static const char *const models[] = {"deepseek-tiny", "deepseek-tied", "olmoe-tiny", "olmoe-clip"};
enum { N_MODELS = 4, N_DOCS = 4, N_TOKENS = 1 + 33 + 70 + 100 };

/* Four documents of random tokens, one of them longer than three blocks of KV. */
static const size_t offsets[N_DOCS + 1] = {0, 1, 34, 104, N_TOKENS};

static docs random_docs(const gm_model *model, uint32_t token[N_TOKENS])
{
    gm_rng rng = gm_rng_make(3, 0);
    uint64_t vocab = (uint64_t)gm_model_get_info(model)->vocab_size;
    for (size_t i = 0; i < N_TOKENS; i++) token[i] = (uint32_t)gm_rng_below(&rng, vocab);
    return (docs){.n = N_DOCS, .n_tokens = N_TOKENS, .token = token, .offset = offsets};
}

static gm_model *open_tiny(const char *name, gm_numerics numerics, const char *kernels)
{
    char path[512];
    snprintf(path, sizeof path, TEST_DATA "/golden/models/%s", name);
    return open_model(path, numerics, kernels);
}

static void every_schedule(gm_numerics numerics)
{
    static const struct {
        const char *name;
        plan plan;
    } schedules[] = {
        {"token by token", {.threads = 1, .step = 1}},
        {"token by token, together", {.threads = 3, .step = 1, .together = true}},
        {"7 tokens, 3 threads", {.threads = 3, .step = 7}},
        {"7 tokens, together", {.threads = 1, .step = 7, .together = true}},
        {"512 tokens, 3 threads", {.threads = 3, .step = 512}},
        {"512 tokens, together, 2 threads", {.threads = 2, .step = 512, .together = true}},
    };
    for (size_t m = 0; m < N_MODELS; m++) {
        uint32_t token[N_TOKENS];
        gm_model *model = open_tiny(models[m], numerics, NULL);
        docs d = random_docs(model, token);
        outcome want = run_docs(model, &d, &(plan){.threads = 1, .step = 512});
        for (size_t i = 0; i < sizeof schedules / sizeof schedules[0]; i++) {
            char what[128];
            outcome got = run_docs(model, &d, &schedules[i].plan);
            snprintf(what, sizeof what, "%s, %s", models[m], schedules[i].name);
            check_same(what, &got, &want);
            outcome_free(&got);
        }
        outcome_free(&want);
        gm_model_close(model);
    }
}

static void every_schedule_in_f32(void)
{
    every_schedule(GM_NUMERICS_F32);
}

static void every_schedule_in_bf16(void)
{
    every_schedule(GM_NUMERICS_BF16);
}

static void every_kernel(gm_numerics numerics)
{
    static const char *const kernels[] = {"avx2", "avx512f", "amx"};
    for (size_t m = 0; m < N_MODELS; m++) {
        uint32_t token[N_TOKENS];
        gm_model *plain = open_tiny(models[m], numerics, "portable");
        docs d = random_docs(plain, token);
        const plan p = {.threads = 2, .step = 50, .together = true};
        outcome want = run_docs(plain, &d, &p);
        for (size_t i = 0; i < 3; i++) {
            gm_model *probe = NULL;
            gm_model_options headers = {.numerics = numerics, .kernels = kernels[i]};
            char path[512], what[64];
            snprintf(path, sizeof path, TEST_DATA "/golden/models/%s", models[m]);
            if (gm_model_open(&probe, path, &headers, NULL) != GM_OK) continue;
            outcome got = run_docs(probe, &d, &p);
            snprintf(what, sizeof what, "%s, %s", models[m], kernels[i]);
            check_same(what, &got, &want);
            outcome_free(&got);
            gm_model_close(probe);
        }
        outcome_free(&want);
        gm_model_close(plain);
    }
}

static void every_kernel_in_f32(void)
{
    every_kernel(GM_NUMERICS_F32);
}

static void every_kernel_in_bf16(void)
{
    every_kernel(GM_NUMERICS_BF16);
}

/* bf16 is f32 with inputs rounded: near, and not the same. */
static void bf16_is_near_f32(void)
{
    for (size_t m = 0; m < N_MODELS; m++) {
        uint32_t token[N_TOKENS];
        gm_model *f32 = open_tiny(models[m], GM_NUMERICS_F32, NULL);
        gm_model *bf16 = open_tiny(models[m], GM_NUMERICS_BF16, NULL);
        docs d = random_docs(f32, token);
        const plan p = {.threads = 1, .step = 512};
        outcome a = run_docs(f32, &d, &p), b = run_docs(bf16, &d, &p);
        double apart = 0.0, size = 0.0;
        for (size_t i = 0; i < a.n_tokens * a.vocab; i++) {
            double by = (double)a.logits[i] - (double)b.logits[i];
            apart += by * by;
            size += (double)a.logits[i] * (double)a.logits[i];
        }
        double relative = sqrt(apart / size);
        printf("%s: bf16 is %.3g from f32\n", models[m], relative);
        CHECK(relative > 1e-4 && relative < 0.2); /* flipped experts included */
        outcome_free(&a), outcome_free(&b);
        gm_model_close(f32), gm_model_close(bf16);
    }
}

TESTS(TEST(every_schedule_in_f32), TEST(every_schedule_in_bf16), TEST(every_kernel_in_f32),
      TEST(every_kernel_in_bf16), TEST(bf16_is_near_f32))

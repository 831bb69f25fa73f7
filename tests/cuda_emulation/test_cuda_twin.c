/* test_cuda_twin.c - whole models on the emulated GPU against the CPU: a checkpoint of every
 * family, all numerics, few rows and many.
 * label: slow
 * label: long */
#include "emulated_run.h"
#include "tests/stored_copy.h"

#define MODELS TEST_DATA "/golden/models/"

enum {
    QWEN2,
    GRANITE,
    DEEPSEEK,
    OLMOE,
    QWEN3,
    GPTOSS,
    GPTOSS_PLAIN,
    GLM,
    DOTS,
    ERNIE,
    MINIMAX,
    V2,
    V3,
    LITE,
    FLEX,
    HUNYUAN,
    PHI,
    HYBRID,
    NEMOTRON,
    GEMMA,
    LFM,
    AFMOE,
    EXAONE,
    LLAMA,
    COHERE,
    MELLUM,
    SHARED,
    MISTRAL,
    DBRX,
    MIMO,
    KIMI,
    N_MODELS
};
static const char *const models[N_MODELS] = {
    [QWEN2] = "qwen2-tiny",          [GRANITE] = "granite-tiny", [DEEPSEEK] = "deepseek-tiny",
    [OLMOE] = "olmoe-clip",          [QWEN3] = "qwen3-tiny",     [GPTOSS] = "gptoss-tiny",
    [GPTOSS_PLAIN] = "gptoss-plain", [GLM] = "glm-tiny",         [DOTS] = "dots-tiny",
    [ERNIE] = "ernie-tiny",          [MINIMAX] = "minimax-tiny", [V2] = "deepseek-v2-tiny",
    [V3] = "deepseek-v3-tiny",       [LITE] = "glm-lite-tiny",   [FLEX] = "flexolmo-tiny",
    [HUNYUAN] = "hunyuan-tiny",      [PHI] = "phimoe-tiny",      [HYBRID] = "granite-hybrid-tiny",
    [NEMOTRON] = "nemotron-tiny",    [GEMMA] = "gemma4-tiny",    [AFMOE] = "afmoe-tiny",
    [EXAONE] = "exaone-tiny",        [LFM] = "lfm-tiny",         [LLAMA] = "llama4-tiny",
    [COHERE] = "cohere-tiny",        [MELLUM] = "mellum-tiny",   [SHARED] = "granite-shared-tiny",
    [MISTRAL] = "mistral4-tiny",     [DBRX] = "dbrx-tiny",       [MIMO] = "mimo-tiny",
    [KIMI] = "kimi-linear-tiny"};
enum { N_DOCS = 3, N_TOKENS = 1 + 33 + 9 };
static const size_t offset[N_DOCS + 1] = {0, 1, 34, N_TOKENS};

/* Of the logits, over rows whose choices agree. */
static double root_mean_square(const outcome *a, const outcome *b, const bool *same)
{
    double sum = 0.0, n = 0.0;
    for (size_t i = 0; i < a->n_tokens * a->vocab; i++) {
        if (!same[i / a->vocab]) continue;
        const double off = (double)a->logits[i] - (double)b->logits[i];
        sum += off * off, n += 1.0;
    }
    return n > 0.0 ? sqrt(sum / n) : NAN;
}

/* Another order of sums rounds some values of bf16 the other way. What that does to the logits
 * stays below a share of what the numerics do at all, `exact` being the CPU in f32: weights of 8
 * bits do more, and the roundings are the same. Few rows' attention leaves its weights in f32,
 * which the CPU and many rows round: about as much as all other roundings to bf16 do. */
static void compare_rounded(const char *what, const outcome *got, const outcome *want,
                            const outcome *exact, gm_numerics numerics, bool few)
{
    const double share = numerics == GM_NUMERICS_FP8    ? few ? 0.12 : 0.03
                         : numerics == GM_NUMERICS_INT8 ? few ? 0.4 : 0.1
                         : few                          ? 1.25
                                                        : 0.4;
    bool same[N_TOKENS], also[N_TOKENS];
    const size_t n = same_rows(got, want, same);
    (void)same_rows(want, exact, also);
    const double off = root_mean_square(got, want, same);
    const double rounding = root_mean_square(want, exact, also);
    if (n < N_TOKENS * (few ? 8 : 9) / 10)
        TEST_FAILED_("%s: the choices of %zu rows agree", what, n);
    if (!(off <= share * rounding))
        TEST_FAILED_("%s: logits differ by %.3g, rounding by %.3g", what, off, rounding);
    printf("%s: %zu of %d rows agree, logits within %.2g, rounding %.2g\n", what, n, N_TOKENS, off,
           rounding);
}

static const plan plans[] = {
    {.threads = 1, .step = 1},                   /* few rows: one */
    {.threads = 1, .step = 1, .together = true}, /* few rows: three sequences */
    {.threads = 1, .step = 2},                   /* two rows of one sequence are many */
    {.threads = 1, .step = 257, .packed = true},
};
static const char *const plan_names[] = {"one row", "a row each", "two rows", "packed"};
enum { N_PLANS = 4 };

/* Models, and plans of `used` (a bit each), against the CPU. */
static void twins(gm_numerics numerics, const unsigned used[N_MODELS])
{
    for (size_t m = 0; m < N_MODELS; m++) {
        if (used[m] == 0) continue;
        gm_model *cpu = open_tiny(models[m], "cpu", numerics);
        gm_model *exact = open_tiny(models[m], "cpu", GM_NUMERICS_F32);
        gm_model *gpu = open_tiny(models[m], "cuda", numerics);
        uint32_t token[N_TOKENS];
        random_tokens(cpu, token, N_TOKENS);
        docs d = {.n = N_DOCS, .n_tokens = N_TOKENS, .token = token, .offset = offset};
        outcome want = run_docs(cpu, &d, &plans[3]);
        outcome in_f32 = run_docs(exact, &d, &plans[3]);
        for (size_t p = 0; p < N_PLANS; p++) {
            char what[64];
            if (!(used[m] >> p & 1)) continue;
            outcome got = run_docs(gpu, &d, &plans[p]);
            snprintf(what, sizeof what, "%s, %s, %s", models[m], gm_numerics_name(numerics),
                     plan_names[p]);
            if (numerics == GM_NUMERICS_F32)
                compare_f32(what, &got, &want);
            else
                compare_rounded(what, &got, &want, &in_f32, numerics, plans[p].step == 1);
            outcome_free(&got);
        }
        outcome_free(&want);
        outcome_free(&in_f32);
        gm_model_close(cpu);
        gm_model_close(exact);
        gm_model_close(gpu);
    }
}

enum { ONE = 1, EACH = 2, TWO = 4, PACKED = 8 };

static void whole_models_in_f32(void)
{
    twins(GM_NUMERICS_F32, (const unsigned[N_MODELS]){[QWEN2] = PACKED,
                                                      [GRANITE] = EACH | TWO | PACKED,
                                                      [DEEPSEEK] = ONE | PACKED,
                                                      [OLMOE] = PACKED,
                                                      [QWEN3] = PACKED,
                                                      [GPTOSS] = EACH | PACKED,
                                                      [GPTOSS_PLAIN] = EACH | PACKED,
                                                      [GLM] = EACH | PACKED,
                                                      [DOTS] = EACH | PACKED,
                                                      [ERNIE] = EACH | PACKED,
                                                      [MINIMAX] = EACH | PACKED,
                                                      [V2] = ONE | PACKED,
                                                      [V3] = EACH | PACKED,
                                                      [LITE] = EACH | PACKED,
                                                      [FLEX] = ONE | EACH | TWO | PACKED,
                                                      [HUNYUAN] = EACH | PACKED,
                                                      [PHI] = EACH | TWO | PACKED,
                                                      [HYBRID] = ONE | EACH | TWO | PACKED,
                                                      [NEMOTRON] = ONE | EACH | TWO | PACKED,
                                                      [GEMMA] = ONE | EACH | TWO | PACKED,
                                                      [LFM] = ONE | EACH | TWO | PACKED,
                                                      [AFMOE] = ONE | EACH | TWO | PACKED,
                                                      [EXAONE] = EACH,
                                                      [LLAMA] = ONE | EACH | TWO | PACKED,
                                                      [COHERE] = ONE | EACH | TWO | PACKED,
                                                      [MELLUM] = ONE | EACH | TWO | PACKED,
                                                      [SHARED] = ONE | EACH | TWO | PACKED,
                                                      [MISTRAL] = ONE | EACH | TWO | PACKED,
                                                      [DBRX] = ONE | EACH | TWO | PACKED,
                                                      [MIMO] = ONE | EACH | TWO | PACKED,
                                                      [KIMI] = ONE | EACH | TWO | PACKED});
}

static void whole_models_in_bf16(void)
{
    twins(GM_NUMERICS_BF16, (const unsigned[N_MODELS]){[QWEN2] = EACH | PACKED,
                                                       [GRANITE] = PACKED,
                                                       [DEEPSEEK] = ONE,
                                                       [OLMOE] = TWO,
                                                       [QWEN3] = EACH | PACKED,
                                                       [GPTOSS] = EACH | PACKED,
                                                       [GPTOSS_PLAIN] = PACKED,
                                                       [GLM] = EACH | PACKED,
                                                       [DOTS] = EACH,
                                                       [ERNIE] = PACKED,
                                                       [MINIMAX] = PACKED,
                                                       [V2] = EACH | PACKED,
                                                       [V3] = EACH | TWO,
                                                       [LITE] = ONE | PACKED,
                                                       [FLEX] = EACH | PACKED,
                                                       [HUNYUAN] = PACKED,
                                                       [PHI] = ONE | EACH | PACKED,
                                                       [HYBRID] = EACH | PACKED,
                                                       [NEMOTRON] = ONE | EACH | PACKED,
                                                       [GEMMA] = EACH | TWO | PACKED,
                                                       [LFM] = EACH | TWO | PACKED,
                                                       [AFMOE] = EACH | PACKED,
                                                       [EXAONE] = PACKED,
                                                       [LLAMA] = EACH | TWO | PACKED,
                                                       [COHERE] = EACH | TWO | PACKED,
                                                       [MELLUM] = EACH | TWO | PACKED,
                                                       [SHARED] = EACH | PACKED,
                                                       [MISTRAL] = EACH | PACKED,
                                                       [DBRX] = EACH | PACKED,
                                                       [MIMO] = EACH | TWO | PACKED,
                                                       [KIMI] = EACH | TWO | PACKED});
}

static void whole_models_in_int8(void)
{
    twins(GM_NUMERICS_INT8, (const unsigned[N_MODELS]){[QWEN2] = EACH | PACKED,
                                                       [V3] = EACH | PACKED,
                                                       [FLEX] = PACKED,
                                                       [HUNYUAN] = EACH,
                                                       [PHI] = EACH | PACKED,
                                                       [AFMOE] = EACH,
                                                       [HYBRID] = EACH,
                                                       [NEMOTRON] = EACH | PACKED,
                                                       [GEMMA] = EACH | PACKED,
                                                       [LFM] = EACH | PACKED,
                                                       [LLAMA] = EACH | PACKED,
                                                       [COHERE] = EACH | PACKED,
                                                       [MELLUM] = EACH | PACKED,
                                                       [SHARED] = EACH | PACKED,
                                                       [MISTRAL] = EACH | PACKED,
                                                       [DBRX] = EACH | PACKED,
                                                       [MIMO] = EACH | PACKED,
                                                       [KIMI] = EACH | PACKED});
}

static void whole_models_in_fp8(void)
{
    twins(GM_NUMERICS_FP8, (const unsigned[N_MODELS]){[QWEN2] = PACKED,
                                                      [GRANITE] = EACH,
                                                      [V2] = EACH | PACKED,
                                                      [PHI] = EACH | PACKED,
                                                      [HUNYUAN] = EACH,
                                                      [HYBRID] = PACKED,
                                                      [NEMOTRON] = EACH | PACKED,
                                                      [GEMMA] = EACH | PACKED,
                                                      [LFM] = EACH | PACKED});
}

static void fp8_computes_what_widened_weights_do(void)
{
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
    stored_same_as_widened("cuda", MODELS "minimax-tiny", &fp8_blocks, GM_NUMERICS_F32);
    stored_same_as_widened("cuda", MODELS "deepseek-v3-tiny", &fp8_blocks, GM_NUMERICS_BF16);
    stored_same_as_widened("cuda", MODELS "glm-tiny", &fp8_rows, GM_NUMERICS_INT8);
    stored_same_as_widened("cuda", MODELS "dots-tiny", &int4_groups, GM_NUMERICS_BF16);
    stored_same_as_widened("cuda", MODELS "deepseek-v3-tiny", &int4_gptq_dealt, GM_NUMERICS_F32);
    stored_same_as_widened("cuda", MODELS "dots-tiny", &int4_awq, GM_NUMERICS_INT8);
}

TESTS(TEST(whole_models_in_f32), TEST(whole_models_in_bf16), TEST(whole_models_in_int8),
      TEST(whole_models_in_fp8), TEST(fp8_computes_what_widened_weights_do))

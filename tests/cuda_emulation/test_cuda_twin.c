/* test_cuda_twin.c - whole models on the emulated GPU against the CPU: every tiny model, both
 * numerics, few rows and many, every mode of steering, rows that are not finite.
 * label: slow */
#include "base/rng.h"
#include "emulation.h"
#include "engine/engine.h"
#include "tests/check.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"

static const char *const models[] = {"deepseek-tiny", "deepseek-tied", "olmoe-tiny", "olmoe-clip"};
enum { N_MODELS = 4, N_DOCS = 3, N_TOKENS = 1 + 33 + 9 };
static const size_t offset[N_DOCS + 1] = {0, 1, 34, N_TOKENS};

static gm_model *open_on(const char *name, const char *device, gm_numerics numerics)
{
    char path[4096];
    gm_model *model = NULL;
    gm_error err = {0};
    gm_model_options options = {.device = device, .numerics = numerics, .threads = 2};
    snprintf(path, sizeof path, TEST_DATA "/golden/models/%s", name);
    CHECK_OK(gm_model_open(&model, path, &options, &err), err);
    if (model == NULL) exit(1);
    return model;
}

static void fill_tokens(const gm_model *model, uint32_t token[N_TOKENS])
{
    gm_rng rng = gm_rng_make(11, 0);
    uint64_t vocab = (uint64_t)gm_model_get_info(model)->vocab_size;
    for (size_t i = 0; i < N_TOKENS; i++) token[i] = (uint32_t)gm_rng_below(&rng, vocab);
}

static double most_off(const float *a, const float *b, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (isinf(a[i]) && a[i] == b[i]) continue;
        most = check_larger(most, fabs((double)a[i] - (double)b[i]));
    }
    return most;
}

/* Rows whose choices agree in every layer; a flip in bf16 changes what follows it. */
static size_t same_rows(const outcome *a, const outcome *b, bool *same)
{
    const size_t k = a->n_chosen;
    size_t n = 0;
    for (size_t t = 0; t < a->n_tokens; t++) {
        same[t] = a->bad[t] == b->bad[t];
        for (size_t l = 0; l < a->n_layers; l++) {
            const size_t at = (l * a->n_tokens + t) * k;
            same[t] = same[t] && memcmp(a->expert + at, b->expert + at, k * sizeof *a->expert) == 0;
        }
        n += same[t];
    }
    return n;
}

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

/* f32: everything within the goldens' tolerance. */
static void compare_f32(const char *what, const outcome *got, const outcome *want)
{
    bool same[N_TOKENS];
    const size_t rows = got->n_layers * got->n_tokens, n = same_rows(got, want, same);
    const double logits = most_off(got->logits, want->logits, got->n_tokens * got->vocab);
    const double gate = most_off(got->gate, want->gate, rows * got->n_chosen);
    const double margin = most_off(got->margin, want->margin, rows);
    const double router = most_off(got->router, want->router, rows * got->n_experts);
    CHECK_INT(n, got->n_tokens);
    CHECK_NEAR(logits, 0.0, 1e-4);
    CHECK_NEAR(gate, 0.0, 1e-5);
    CHECK_NEAR(margin, 0.0, 2e-4);
    CHECK_NEAR(router, 0.0, 1e-4);
    CHECK_NEAR(most_off(got->mass, want->mass, rows), 0.0, 1e-5);
    CHECK_NEAR(most_off(got->nll, want->nll, got->n_tokens), 0.0, 1e-4);
    printf("%s: logits within %.2g, gates %.2g, margins %.2g\n", what, logits, gate, margin);
}

/* bf16: another order of sums rounds some values the other way. What that does to the logits
 * stays below what rounding to bf16 does at all, `exact` being the CPU in f32. */
static void compare_bf16(const char *what, const outcome *got, const outcome *want,
                         const outcome *exact)
{
    bool same[N_TOKENS], also[N_TOKENS];
    const size_t n = same_rows(got, want, same);
    (void)same_rows(want, exact, also);
    const double off = root_mean_square(got, want, same);
    const double rounding = root_mean_square(want, exact, also);
    if (n < N_TOKENS * 9 / 10) TEST_FAILED_("%s: the choices of %zu rows agree", what, n);
    if (!(off <= 0.4 * rounding))
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

static void twins(gm_numerics numerics)
{
    for (size_t m = 0; m < N_MODELS; m++) {
        gm_model *cpu = open_on(models[m], "cpu", numerics);
        gm_model *exact = open_on(models[m], "cpu", GM_NUMERICS_F32);
        gm_model *gpu = open_on(models[m], "cuda", numerics);
        uint32_t token[N_TOKENS];
        fill_tokens(cpu, token);
        docs d = {.n = N_DOCS, .n_tokens = N_TOKENS, .token = token, .offset = offset};
        outcome want = run_docs(cpu, &d, &plans[3]);
        outcome in_f32 = run_docs(exact, &d, &plans[3]);
        for (size_t p = 0; p < N_PLANS; p++) {
            char what[64];
            outcome got = run_docs(gpu, &d, &plans[p]);
            snprintf(what, sizeof what, "%s, %s", models[m], plan_names[p]);
            if (numerics == GM_NUMERICS_F32)
                compare_f32(what, &got, &want);
            else
                compare_bf16(what, &got, &want, &in_f32);
            outcome_free(&got);
        }
        outcome_free(&want);
        outcome_free(&in_f32);
        gm_model_close(cpu);
        gm_model_close(exact);
        gm_model_close(gpu);
    }
}

static void whole_models_in_f32(void)
{
    twins(GM_NUMERICS_F32);
}

static void whole_models_in_bf16(void)
{
    twins(GM_NUMERICS_BF16);
}

TESTS(TEST(whole_models_in_f32), TEST(whole_models_in_bf16))

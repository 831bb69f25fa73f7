/* emulated_run.h - for tests: a model on the CPU and the same one on the emulated GPU; or, where
 * GM_REAL_GPU is defined, on a real one, and the program is skipped when there is none. */
#ifndef GM_EMULATED_RUN_H
#define GM_EMULATED_RUN_H

#include "base/rng.h"
#include "engine/engine.h"
#include "engine/model.h"
#include "tests/check.h"
#include "tests/engine_run.h"
#ifndef GM_REAL_GPU
#include "emulation.h"
#endif

/* Leaves the program where there is no GPU. */
static inline void need_gpu(gm_status status, const gm_error *err)
{
#ifdef GM_REAL_GPU
    if (status == GM_EABSENT) {
        fprintf(stderr, "skipped: %s\n", err->text);
        exit(77);
    }
#else
    (void)status, (void)err;
#endif
}

/* A tiny checkpoint of tests/golden/models. */
static inline gm_model *open_tiny(const char *name, const char *device, gm_numerics numerics)
{
    char path[4096];
    gm_model *model = NULL;
    gm_error err = {0};
    gm_model_options options = {.device = device, .numerics = numerics, .threads = 2};
    snprintf(path, sizeof path, TEST_DATA "/golden/models/%s", name);
    gm_status status = gm_model_open(&model, path, &options, &err);
    need_gpu(status, &err);
    CHECK_OK(status, err);
    if (model == NULL) exit(1);
    return model;
}

static inline void random_tokens(const gm_model *model, uint32_t *token, size_t n)
{
    gm_rng rng = gm_rng_make(11, 0);
    uint64_t vocab = (uint64_t)gm_model_get_info(model)->vocab_size;
    for (size_t i = 0; i < n; i++) token[i] = (uint32_t)gm_rng_below(&rng, vocab);
}

/* Largest difference; two NaN and two equal infinities are no difference. */
static inline double most_off(const float *a, const float *b, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue;
        if (isinf(a[i]) && a[i] == b[i]) continue;
        most = check_larger(most, fabs((double)a[i] - (double)b[i]));
    }
    return most;
}

/* Rows whose choices agree in every layer; a flip changes what follows it. `same` (T). */
static inline size_t same_rows(const outcome *a, const outcome *b, bool *same)
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

/* In f32 everything agrees within the goldens' tolerances, and all logits are numbers: what is not
 * finite on both sides agrees too. */
static inline void compare_f32(const char *what, const outcome *got, const outcome *want)
{
    bool *same = gm_alloc(got->n_tokens, sizeof *same);
    const size_t rows = got->n_layers * got->n_tokens, n = same_rows(got, want, same);
    const size_t all = got->n_tokens * got->vocab;
    size_t finite = 0;
    for (size_t i = 0; i < all; i++) finite += isfinite(want->logits[i]) ? 1 : 0;
    if (finite < all) TEST_FAILED_("%s: %zu of %zu logits are finite", what, finite, all);
    const double logits = most_off(got->logits, want->logits, all);
    const double gate = most_off(got->gate, want->gate, rows * got->n_chosen);
    const double margin = most_off(got->margin, want->margin, rows);
    const double router = most_off(got->router, want->router, rows * got->n_experts);
    const double mass = most_off(got->mass, want->mass, rows);
    const double nll = most_off(got->nll, want->nll, got->n_tokens);
    if (n != got->n_tokens || !(logits <= 1e-4 && gate <= 1e-5 && margin <= 2e-4) ||
        !(router <= 1e-4 && mass <= 1e-5 && nll <= 1e-4))
        TEST_FAILED_("%s: %zu of %zu rows agree; logits off by %.3g, gates %.3g, margins %.3g, "
                     "router %.3g, mass %.3g, nll %.3g",
                     what, n, got->n_tokens, logits, gate, margin, router, mass, nll);
    printf("%s: logits within %.2g, gates %.2g, margins %.2g\n", what, logits, gate, margin);
    gm_free(same);
}

/* A model of random weights. */
static inline gm_model *open_config(const char *name, const char *config, const char *device)
{
    gm_model *model = NULL;
    gm_error err = {0};
    gm_model_options options = {.device = device, .numerics = GM_NUMERICS_F32, .threads = 2};
    gm_status status = gm_model_open_random(&model, name, config, &options, &err);
    need_gpu(status, &err);
    CHECK_OK(status, err);
    if (model == NULL) exit(1);
    return model;
}

/* A document through it, `how` being the plan p, against the CPU. */
static inline void compare_config(const char *name, const char *config, size_t n_tokens,
                                  const plan *p, const char *how)
{
    gm_model *cpu = open_config(name, config, "cpu"), *gpu = open_config(name, config, "cuda");
    uint32_t *token = gm_alloc(n_tokens, sizeof *token);
    const size_t offset[] = {0, n_tokens};
    char what[96];
    random_tokens(cpu, token, n_tokens);
    docs d = {.n = 1, .n_tokens = n_tokens, .token = token, .offset = offset};
    outcome want = run_docs(cpu, &d, &(plan){.threads = 1, .step = 4096});
    outcome got = run_docs(gpu, &d, p);
    snprintf(what, sizeof what, "%s, %s", name, how);
    compare_f32(what, &got, &want);
    outcome_free(&want);
    outcome_free(&got);
    gm_free(token);
    gm_model_close(cpu);
    gm_model_close(gpu);
}

#endif

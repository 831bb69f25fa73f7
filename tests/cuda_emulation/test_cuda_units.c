/* test_cuda_units.c - hidden units of every activation, with gates and without, of few rows and of
 * many, against the definition in double; odd numbers of units, a row without experts.
 */
#include "emulated_run.h"
#include "engine/cuda/cuda_kernels.h"

enum { WIDTH = 40, STRIDE = 64, UNITS = 37, MOST = 64, EXPERTS = 3, CHOSEN = 2, ROWS = 3 };

/* Pinned memory, which a GPU reaches too. */
typedef struct arena {
    float in[EXPERTS][2 * UNITS * STRIDE]; /* of an expert, or the first of the MLP for all rows */
    float x[ROWS * STRIDE], norm[STRIDE], hidden[ROWS * CHOSEN * MOST];
    float gate_up[ROWS * 2 * UNITS]; /* of the MLP for all rows, as products give them */
    int32_t expert[ROWS * CHOSEN];
} arena;

static const gm_activation activations[] = {
    {.slope = 1.0f},
    {.slope = 1.7f, .limit = 0.8f},
    {.slope = 1.0f, .gelu = true},
    {.slope = 1.0f, .squared = true},
};
static const char *const names[] = {"silu", "silu with a limit", "gelu", "relu squared"};
enum { N_ACTIVATIONS = sizeof activations / sizeof activations[0] };

static void fill(arena *a)
{
    static const int32_t expert[ROWS * CHOSEN] = {2, 0, GM_NO_EXPERT, GM_NO_EXPERT, 1, 2};
    gm_rng rng = gm_rng_make(7, 0);
    for (size_t i = 0; i < sizeof a->in / sizeof(float); i++)
        a->in[i / (2 * UNITS * STRIDE)][i % (2 * UNITS * STRIDE)] =
            i % STRIDE < WIDTH ? 0.25f * (float)gm_rng_normal(&rng) : 0.0f;
    for (size_t i = 0; i < ROWS * STRIDE; i++) a->x[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < STRIDE; i++) a->norm[i] = 1.0f + 0.1f * (float)gm_rng_normal(&rng);
    memcpy(a->expert, expert, sizeof expert);
}

/* ---- the definition ---- */

static double product(const arena *a, size_t r, size_t e, size_t output)
{
    const float *x = a->x + r * STRIDE, *w = a->in[e] + output * STRIDE;
    double squares = 0.0, sum = 0.0;
    for (size_t d = 0; d < WIDTH; d++) squares += (double)x[d] * (double)x[d];
    for (size_t d = 0; d < WIDTH; d++) sum += (double)x[d] * (double)a->norm[d] * (double)w[d];
    return sum / sqrt(squares / WIDTH + 1e-5);
}

static double unit(const gm_activation *of, double gate, double up)
{
    const double limit = (double)of->limit;
    if (of->squared) return fmax(up, 0.0) * fmax(up, 0.0);
    if (of->gelu) { /* sqrt(2 / pi) */
        const double inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate);
        return 0.5 * gate * (1.0 + tanh(inner)) * up;
    }
    if (limit == 0.0) return gate / (1.0 + exp(-gate)) * up;
    gate = fmin(gate, limit);
    return gate / (1.0 + exp(-(double)of->slope * gate)) * (fmax(-limit, fmin(up, limit)) + 1.0);
}

static void compare(const arena *a, const gm_activation *of, const char *what, size_t r, size_t e,
                    const float *got)
{
    double most = 0.0;
    for (size_t f = 0; f < UNITS; f++) {
        const double up = product(a, r, e, of->squared ? f : UNITS + f);
        most = check_larger(most, fabs((double)got[f] - unit(of, product(a, r, e, f), up)));
    }
    if (!(most <= 2e-5)) TEST_FAILED_("%s, row %zu: off by %.3g", what, r, most);
}

/* ---- the kernels ---- */

static gm_cuda_experts few_of(arena *a, const gm_activation *of, int n_rows, bool known)
{
    const int pairs = of->squared ? (UNITS + 1) / 2 : UNITS, apart = of->squared ? 1 : UNITS;
    return (gm_cuda_experts){.x = a->x,
                             .norm = a->norm,
                             .always_norm = a->norm,
                             .expert = a->expert,
                             .gate_up = a->in,
                             .gate_up_bytes = sizeof a->in[0],
                             .always_gate_up = a->in,
                             .hidden = a->hidden,
                             .always = a->hidden,
                             .x_stride = STRIDE,
                             .d_stride = STRIDE,
                             .f_stride = MOST,
                             .a_stride = MOST,
                             .n_rows = n_rows,
                             .width = WIDTH,
                             .n_chosen = known ? 0 : CHOSEN,
                             .expert_width = UNITS,
                             .always_width = UNITS,
                             .units = of->squared ? 2 : 1,
                             .expert_pairs = pairs,
                             .always_pairs = pairs,
                             .expert_apart = apart,
                             .always_apart = apart,
                             .activation = *of,
                             .epsilon = 1e-5f,
                             .dtype = GM_F32};
}

/* What is not a unit stays as it was: NaN. */
static void check_rest(const char *what, const float *row, bool filled)
{
    for (size_t f = filled ? UNITS : 0; f < MOST; f++)
        if (!isnan(row[f])) TEST_FAILED_("%s: unit %zu was written", what, f);
}

static void check_few(const gm_cuda_how *how, arena *a, size_t i, int n_rows)
{
    const gm_activation *of = &activations[i];
    for (int known = 0; known < 2; known++) {
        const gm_cuda_experts p = few_of(a, of, n_rows, known);
        memset(a->hidden, 0xff, sizeof a->hidden);
        CHECK_INT(gm_cuda_gate_up_few(how, &p), cudaSuccess);
        CHECK_INT(cudaStreamSynchronize(how->stream), cudaSuccess);
        const size_t each = known ? 1 : CHOSEN;
        for (size_t at = 0; at < (size_t)n_rows * each; at++) {
            const int32_t e = known ? 0 : a->expert[at];
            const float *row = a->hidden + at * MOST;
            if (e != GM_NO_EXPERT) compare(a, of, names[i], at / each, (size_t)e, row);
            check_rest(names[i], row, e != GM_NO_EXPERT);
        }
    }
}

static void check_many(const gm_cuda_how *how, arena *a, size_t i)
{
    const gm_activation *of = &activations[i];
    const size_t outputs = of->squared ? UNITS : 2 * UNITS;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t n = 0; n < outputs; n++)
            a->gate_up[r * 2 * UNITS + n] = (float)product(a, r, 0, n);
    const gm_cuda_swiglu p = {.gate_up = a->gate_up,
                              .hidden = a->hidden,
                              .stride = (size_t)2 * UNITS,
                              .hidden_stride = MOST,
                              .most = ROWS,
                              .width = UNITS,
                              .activation = *of,
                              .wide = true};
    memset(a->hidden, 0xff, sizeof a->hidden);
    CHECK_INT(gm_cuda_swiglu_rows(how, &p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(how->stream), cudaSuccess);
    for (size_t r = 0; r < ROWS; r++) {
        compare(a, of, names[i], r, 0, a->hidden + r * MOST);
        check_rest(names[i], a->hidden + r * MOST, true);
    }
}

static void units_are_the_definition(void)
{
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaMallocHost(&at, sizeof(arena)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    const gm_cuda_how how = {.stream = stream, .multiprocessors = 2};
    fill(at);
    for (size_t i = 0; i < N_ACTIVATIONS; i++) {
        for (int n = 1; n <= ROWS; n++) check_few(&how, at, i, n);
        check_many(&how, at, i);
    }
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

TESTS(TEST(units_are_the_definition))

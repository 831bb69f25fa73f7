/* test_cuda_delta.c - Gated DeltaNet, Kimi Delta Attention, Mamba2 and short convolutions against
 * their definition in double: keys, values, heads and taps of odd sizes and of those that are
 * published; sequences of odd lengths side by side, cut into steps of few rows and of many; what is
 * not finite; blocks in other orders. label: long */
#include "emulated_run.h"
#include "engine/cuda/cuda_kernels.h"

enum { SEQUENCES = 3, MOST_STEPS = 6, MOST_TAKEN = 24, MORE = 2 /* tokens than the steps have */ };

/* How many tokens of each sequence a step has; steps of one of each go the way of few rows, unless
 * they are to be many. */
typedef struct cut {
    int n[SEQUENCES];
    bool many;
} cut;

typedef struct sizes {
    int n_heads, n_key_heads, key, value, taps; /* key 0: a short convolution of n_heads channels */
    enum { DELTA, MAMBA, EACH } kind;           /* the last: Kimi Delta Attention */
} sizes;

/* Pinned memory, which a GPU reaches too, each in a block of its own: what lies outside is seen. */
typedef struct arena {
    gm_cuda_delta p;
    gm_cuda_how how;
    void *taken[MOST_TAKEN];
    int n_taken;
    int length[SEQUENCES];     /* tokens so far */
    float *input[SEQUENCES];   /* (tokens, x_stride), the host's */
    double *wanted[SEQUENCES]; /* (tokens, H value) */
    gm_row *row;
    gm_tile *run;
    float *x, *conv, *rate, *bias, *norm, *heads, *rounded;
    size_t most_rows;
} arena;

static void *take(arena *a, size_t bytes)
{
    void *at = NULL;
    CHECK(a->n_taken < MOST_TAKEN);
    CHECK_INT(cudaMallocHost(&at, bytes), cudaSuccess);
    a->taken[a->n_taken++] = at;
    return at;
}

/* n numbers; `size` 0: NaN, which nobody may read. */
static float *take_floats(arena *a, size_t n, gm_rng *rng, double size)
{
    float *at = take(a, n * sizeof *at);
    for (size_t i = 0; i < n; i++) at[i] = size > 0.0 ? (float)(size * gm_rng_normal(rng)) : NAN;
    return at;
}

/* ---- the definition ---- */

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

/* Channel c of a token after the convolution; of a short one, whose channels are gated before. */
static double convolve(const arena *a, const float *input, int t, int c)
{
    const gm_cuda_delta *p = &a->p;
    double sum = p->conv_bias ? (double)p->conv_bias[c] : 0.0;
    for (int j = 0; j < p->taps; j++) {
        const int from = t - (p->taps - 1) + j;
        if (from < 0) continue;
        const float *x = input + (size_t)from * p->x_stride;
        sum += (double)a->conv[(size_t)c * p->conv_stride + (size_t)j] * (double)x[c] *
               (p->key == 0 ? (double)x[p->at_b + c] : 1.0);
    }
    return p->key == 0 ? sum : silu(sum);
}

static void unit(double *x, int n, double scale)
{
    double squares = 0.0;
    for (int i = 0; i < n; i++) squares += x[i] * x[i];
    for (int i = 0; i < n; i++) x[i] *= scale / sqrt(squares + (double)GM_DELTA_EPSILON);
}

static double softplus(const arena *a, const float *x, int i)
{
    return log1p(exp((double)x[a->p.at_a + i] + (double)a->bias[i]));
}

/* A token of head h through its state (key, value); `given` (value) is what the head gives. */
static void turn(const arena *a, const float *input, int t, int h, double *state, double *given)
{
    const gm_cuda_delta *p = &a->p;
    const float *x = input + (size_t)t * p->x_stride;
    if (p->key == 0) {
        *given = (double)x[p->at_z + h] * convolve(a, input, t, h);
        return;
    }
    const int from = h / (p->n_heads / p->n_key_heads) * p->key;
    const int rates = p->each ? p->key : 1, at = h * rates;
    const double beta = p->skip ? softplus(a, x, h) : 1.0 / (1.0 + exp(-(double)x[p->at_b + h]));
    double decay[GM_CUDA_MAX_DELTA_KEY];
    for (int k = 0; k < p->key; k++)
        decay[k] = exp(-exp((double)a->rate[h]) * softplus(a, x, p->each ? at + k : h));
    double query[GM_CUDA_MAX_DELTA_KEY], key[GM_CUDA_MAX_DELTA_KEY];
    for (int k = 0; k < p->key; k++) query[k] = convolve(a, input, t, p->at_q + from + k);
    for (int k = 0; k < p->key; k++) key[k] = convolve(a, input, t, p->at_k + from + k);
    if (p->skip == NULL) unit(query, p->key, 1.0 / sqrt(p->key)), unit(key, p->key, 1.0);
    for (int v = 0; v < p->value; v++) {
        double known = 0.0;
        for (int k = 0; k < p->key; k++) known += (state[k * p->value + v] *= decay[k]) * key[k];
        const double value = convolve(a, input, t, p->at_v + h * p->value + v);
        const double added = (p->skip ? value : value - known) * beta;
        given[v] = p->skip ? (double)p->skip[h] * value : 0.0;
        for (int k = 0; k < p->key; k++) {
            state[k * p->value + v] += key[k] * added;
            given[v] += state[k * p->value + v] * query[k];
        }
    }
}

/* What the heads of a token give through norm and gate: head by head; of Mamba2 the gate first,
 * then the heads of a key head together. */
static void finish(const arena *a, const float *x, double *given)
{
    const gm_cuda_delta *p = &a->p;
    const int all = p->n_heads * p->value, width = p->skip ? all / p->n_key_heads : p->value;
    for (int i = 0; p->skip && i < all; i++) given[i] *= silu((double)x[p->at_z + i]);
    for (int from = 0; p->key > 0 && from < all; from += width) {
        double squares = 0.0;
        for (int i = from; i < from + width; i++) squares += given[i] * given[i];
        for (int i = from; i < from + width; i++) {
            given[i] *= 1.0 / sqrt(squares / width + (double)p->epsilon);
            given[i] *= (double)a->norm[p->skip ? i : i - from];
            const double z = (double)x[p->at_z + i];
            if (p->skip == NULL) given[i] *= p->each ? 1.0 / (1.0 + exp(-z)) : silu(z);
        }
    }
}

static double *define(const arena *a, const float *input, int n)
{
    const gm_cuda_delta *p = &a->p;
    const size_t width = (size_t)(p->n_heads * p->value);
    double *out = gm_alloc((size_t)n * width, sizeof *out);
    for (int h = 0; h < p->n_heads; h++) {
        double *state = gm_alloc((size_t)(p->key * p->value) + 1, sizeof *state);
        for (int t = 0; t < n; t++)
            turn(a, input, t, h, state, out + (size_t)t * width + (size_t)(h * p->value));
        gm_free(state);
    }
    for (int t = 0; t < n; t++) finish(a, input + (size_t)t * p->x_stride, out + (size_t)t * width);
    return out;
}

/* ---- running ---- */

static void set_up(arena *a, const sizes *z, const cut *steps)
{
    gm_rng rng = gm_rng_make(23, (uint64_t)(z->key * 1000 + z->value));
    const int keys = z->n_key_heads * z->key, values = z->n_heads * z->value;
    const int channels = 2 * keys + values, key_stride = gm_cuda_key_stride(z->key);
    const int rates = z->kind == EACH ? keys : z->n_heads; /* of what stays */
    int total[SEQUENCES] = {0};
    *a = (arena){.how = a->how};
    for (int i = 0; i < MOST_STEPS; i++) {
        size_t rows = 0;
        for (int s = 0; s < SEQUENCES; s++)
            total[s] += steps[i].n[s], rows += (size_t)steps[i].n[s];
        if (rows > a->most_rows) a->most_rows = rows;
    }
    a->p = (gm_cuda_delta){.n_heads = z->n_heads,
                           .n_key_heads = z->n_key_heads,
                           .key = z->key,
                           .value = z->value,
                           .key_stride = key_stride,
                           .taps = z->taps,
                           .at_q = z->kind == MAMBA ? values + keys : 0,
                           .at_k = z->kind == MAMBA ? values : keys,
                           .at_v = z->kind == MAMBA ? 0 : 2 * keys,
                           .at_z = channels,
                           .at_b = channels + values,
                           .at_a = channels + values + (z->kind == MAMBA ? 0 : z->n_heads),
                           .channels = channels,
                           .x_stride = (size_t)(channels + values + z->n_heads + rates + 1),
                           .conv_stride = (size_t)z->taps + 1,
                           .heads_stride = (size_t)values + 3,
                           .epsilon = 1e-6f,
                           .each = z->kind == EACH,
                           .wide = true};
    gm_cuda_delta *p = &a->p;
    const size_t end = (size_t)(2 * z->n_key_heads * key_stride + values);
    p->vectors_stride = p->each ? gm_round_up(end, 4) + (size_t)(z->n_heads * (key_stride + 1))
                                : end + (size_t)(2 * z->n_heads);
    p->vectors_stride = gm_round_up(p->vectors_stride, 4);
    p->conv = a->conv = take_floats(a, (size_t)channels * p->conv_stride, &rng, 0.5);
    p->rate = a->rate = take_floats(a, (size_t)z->n_heads, &rng, 1.0);
    p->bias = a->bias = take_floats(a, (size_t)rates, &rng, 1.0);
    p->norm = a->norm = take_floats(a, (size_t)(z->kind == MAMBA ? values : z->value), &rng, 1.0);
    if (z->kind == MAMBA) p->skip = take_floats(a, (size_t)z->n_heads, &rng, 1.0);
    if (z->kind == MAMBA) p->conv_bias = take_floats(a, (size_t)channels, &rng, 0.5);
    p->history = take_floats(a, SEQUENCES * (size_t)(z->taps * channels), &rng, 0.0);
    p->state = take_floats(a, SEQUENCES * (size_t)(values * key_stride), &rng, 0.0);
    p->row = a->row = take(a, a->most_rows * sizeof *a->row);
    a->run = take(a, SEQUENCES * sizeof *a->run);
    p->x = a->x = take_floats(a, a->most_rows * p->x_stride, &rng, 0.0);
    p->vectors = take_floats(a, a->most_rows * p->vectors_stride, &rng, 0.0);
    p->heads = a->heads = take_floats(a, a->most_rows * p->heads_stride, &rng, 0.0);
    p->rounded = a->rounded = take_floats(a, a->most_rows * p->heads_stride, &rng, 0.0);
    for (int s = 0; s < SEQUENCES; s++)
        a->input[s] = take_floats(a, (size_t)(total[s] + MORE) * p->x_stride, &rng, 1.0);
    for (int s = 0; s < SEQUENCES; s++) a->wanted[s] = define(a, a->input[s], total[s] + MORE);
}

static void clear(arena *a)
{
    for (int i = 0; i < a->n_taken; i++) CHECK_INT(cudaFreeHost(a->taken[i]), cudaSuccess);
    for (int s = 0; s < SEQUENCES; s++) gm_free(a->wanted[s]);
}

static void launch_many(const arena *a, int n_runs)
{
    const gm_cuda_delta *p = &a->p;
    if (p->key == 0) {
        CHECK_INT(gm_cuda_convolve_many(&a->how, p), cudaSuccess);
        CHECK_INT(gm_cuda_convolve_keep(&a->how, p), cudaSuccess);
        return;
    }
    CHECK_INT(gm_cuda_delta_convolve_many(&a->how, p), cudaSuccess);
    CHECK_INT(gm_cuda_delta_states_many(&a->how, p, a->run, n_runs), cudaSuccess);
    CHECK_INT((p->skip ? gm_cuda_scan_finish_many : gm_cuda_delta_finish_many)(&a->how, p),
              cudaSuccess);
}

/* Runs a step, of sequences in falling order; the rows' results are in *results. */
static void compute(arena *a, const cut *s, const float **results)
{
    gm_cuda_delta *p = &a->p;
    int n_runs = 0, n = 0;
    bool few = !s->many;
    for (int q = SEQUENCES - 1; q >= 0; q--) {
        if (s->n[q] == 0) continue;
        a->run[n_runs++] = (gm_tile){.first = (uint32_t)n, .n = (uint32_t)s->n[q]};
        few = few && s->n[q] == 1;
        for (int i = 0; i < s->n[q]; i++, n++, a->length[q]++) {
            a->row[n] = (gm_row){.position = (uint32_t)a->length[q], .sequence = q};
            memcpy(a->x + (size_t)n * p->x_stride, a->input[q] + (size_t)a->length[q] * p->x_stride,
                   p->x_stride * sizeof *a->x);
        }
    }
    p->n_rows = n;
    if (n == 0) return;
    *results = few ? a->heads : a->rounded;
    if (!few) {
        launch_many(a, n_runs);
    } else if (p->key == 0) {
        CHECK_INT(gm_cuda_convolve_few(&a->how, p), cudaSuccess);
    } else if (p->skip) {
        CHECK_INT(gm_cuda_scan_few(&a->how, p), cudaSuccess);
        CHECK_INT(gm_cuda_scan_finish_few(&a->how, p), cudaSuccess);
    } else {
        CHECK_INT(gm_cuda_delta_few(&a->how, p), cudaSuccess);
    }
    CHECK_INT(cudaStreamSynchronize(a->how.stream), cudaSuccess);
}

/* Largest difference of a step's results from the definition. */
static double step_off(arena *a, const cut *s)
{
    const gm_cuda_delta *p = &a->p;
    const size_t width = (size_t)(p->n_heads * p->value);
    const float *results = NULL;
    double most = 0.0;
    compute(a, s, &results);
    for (size_t r = 0; r < (size_t)p->n_rows; r++) {
        const double *want = a->wanted[a->row[r].sequence] + a->row[r].position * width;
        for (size_t i = 0; i < width; i++)
            most = check_larger(most, fabs((double)results[r * p->heads_stride + i] - want[i]));
    }
    return most;
}

static arena make_arena(void)
{
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    return (arena){.how = {.stream = stream, .multiprocessors = 4}};
}

/* Of few rows, of many, and both by turns, over the borders of what is brought at once. */
static const cut from_few[MOST_STEPS] = {{{1, 1, 1}, false},  {{1, 0, 1}, false},
                                         {{31, 1, 0}, false}, {{1, 1, 1}, false},
                                         {{1, 1, 1}, true},   {{0, 1, 1}, false}};
static const cut from_many[MOST_STEPS] = {{{33, 2, 16}, false}, {{1, 1, 17}, false},
                                          {{1, 1, 1}, false},   {{0, 1, 0}, false},
                                          {{2, 3, 1}, false},   {{1, 0, 1}, false}};
static const cut long_one[MOST_STEPS] = {{{0, 257, 0}, false}, {{0, 1, 0}, false}};

static void steps_are_the_definition(void)
{
    static const struct {
        sizes sizes;
        const cut *steps;
    } cases[] = {
        {{1, 1, 1, 1, 2, DELTA}, from_few},      {{2, 1, 31, 33, 4, DELTA}, from_few},
        {{3, 3, 33, 31, 5, DELTA}, from_many},   {{4, 2, 16, 8, 4, DELTA}, from_many},
        {{1, 1, 65, 257, 3, DELTA}, from_few},   {{6, 2, 32, 40, 2, DELTA}, long_one},
        {{2, 1, 128, 128, 4, DELTA}, from_many}, {{2, 1, 64, 129, 4, DELTA}, from_few},
        {{2, 1, 127, 100, 7, DELTA}, from_few},  {{1, 1, 1, 1, 2, MAMBA}, from_few},
        {{3, 1, 31, 33, 4, MAMBA}, from_few},    {{4, 2, 33, 31, 5, MAMBA}, from_many},
        {{6, 3, 65, 65, 3, MAMBA}, from_many},   {{4, 2, 16, 8, 2, MAMBA}, long_one},
        {{4, 1, 128, 64, 4, MAMBA}, from_many},  {{4, 2, 127, 40, 7, MAMBA}, from_few},
        {{1, 1, 0, 1, 2, DELTA}, from_few},      {{257, 1, 0, 1, 3, DELTA}, from_many},
        {{33, 1, 0, 1, 7, DELTA}, from_few},     {{256, 1, 0, 1, 4, DELTA}, long_one},
        {{31, 1, 0, 1, 64, DELTA}, from_many},   {{1, 1, 3, 5, 2, EACH}, from_few},
        {{2, 2, 31, 31, 4, EACH}, from_few},     {{3, 3, 33, 33, 5, EACH}, from_many},
        {{2, 2, 65, 65, 3, EACH}, from_many},    {{2, 2, 128, 128, 4, EACH}, from_many},
        {{2, 2, 128, 128, 4, EACH}, from_few},   {{3, 3, 16, 16, 2, EACH}, long_one},
    };
    double worst = 0.0;
    arena a = make_arena();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_up(&a, &cases[i].sizes, cases[i].steps);
        for (int s = 0; s < MOST_STEPS; s++) {
            const double off = step_off(&a, &cases[i].steps[s]);
            if (!(off <= 5e-5)) TEST_FAILED_("case %zu, step %d: off by %.3g", i, s, off);
            worst = check_larger(worst, off);
        }
        clear(&a);
    }
    printf("within %.2g\n", worst);
    CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
}

/* A sequence's NaN stays in it, and ends with it: what begins in its place reads nothing of it. */
static void what_is_not_finite_stays_in_its_sequence(void)
{
    static const sizes of[] = {{2, 1, 20, 24, 4, DELTA},
                               {2, 1, 20, 34, 4, MAMBA},
                               {20, 1, 0, 1, 4, DELTA},
                               {2, 2, 20, 20, 4, EACH}};
    static const cut once[MOST_STEPS] = {{{4, 4, 4}, false}, {{1, 1, 1}, false}};
    static const cut again[2] = {{{1, 2, 1}, true}, {{1, 1, 1}, false}};
    for (int c = 0; c < 16; c++) { /* in a query, value, gate, rate; or one of the gates */
        const sizes z = of[c / 4];
        const int at = c % 4;
        for (int many = 0; many < 2; many++) {
            arena a = make_arena();
            const float *results;
            set_up(&a, &z, once);
            const int place[] = {a.p.at_q + 3, a.p.at_v + 1, a.p.at_z,
                                 (z.key > 0 ? a.p.at_a : a.p.at_b) + 1};
            float *x = a.input[1] + 2 * a.p.x_stride + place[at];
            const float good = *x;
            *x = at == 3 && many ? INFINITY : NAN;
            compute(&a, &once[0], &results);
            for (size_t r = 0; r < (size_t)a.p.n_rows; r++) {
                size_t n = 0;
                const bool wrong = a.row[r].sequence == 1 && a.row[r].position >= 2;
                for (size_t i = 0; i < (size_t)(z.n_heads * z.value); i++)
                    n += isfinite(results[r * a.p.heads_stride + i]) ? 0 : 1;
                if (!wrong) CHECK_INT(n, 0);
                if (wrong && at == 0 && z.key > 0)
                    CHECK_INT(n, z.n_heads / z.n_key_heads * z.value);
                if (a.row[r].sequence == 1 && a.row[r].position == 2 && *x != INFINITY)
                    CHECK(n > 0);
            }
            compute(&a, &once[1], &results);
            *x = good;
            a.length[1] = 0; /* another begins there */
            if (many) CHECK(step_off(&a, &again[0]) <= 5e-5);
            CHECK(step_off(&a, &again[1]) <= 5e-5);
            clear(&a);
            CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
        }
    }
}

/* Rows lie along the side of a grid that is not limited to 65,535 blocks. What is captured never
 * runs. */
static void a_step_may_have_65536_rows(void)
{
    static const sizes of[] = {{2, 1, 20, 24, 4, DELTA},
                               {2, 1, 20, 34, 4, MAMBA},
                               {20, 1, 0, 1, 4, DELTA},
                               {2, 2, 20, 20, 4, EACH}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        arena a = make_arena();
        cudaGraph_t graph = NULL;
        set_up(&a, &of[i], from_few);
        a.p.n_rows = 65536;
        CHECK_INT(cudaStreamBeginCapture(a.how.stream, cudaStreamCaptureModeThreadLocal),
                  cudaSuccess);
        launch_many(&a, 1);
        CHECK_INT(cudaStreamEndCapture(a.how.stream, &graph), cudaSuccess);
        CHECK_INT(cudaGraphDestroy(graph), cudaSuccess);
        clear(&a);
        CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
    }
}

#ifndef GM_REAL_GPU
/* Blocks in another order give the same bytes. */
static void check_orders(sizes z)
{
    arena a = make_arena();
    float *first[MOST_STEPS] = {0};
    for (unsigned long order = 0; order < 4; order++) {
        gm_emulation.order = order;
        set_up(&a, &z, from_few);
        for (int s = 0; s < MOST_STEPS; s++) {
            const float *results = NULL;
            compute(&a, &from_few[s], &results);
            const size_t n = (size_t)a.p.n_rows * a.p.heads_stride;
            if (first[s] == NULL) {
                first[s] = gm_alloc(n, sizeof **first);
                memcpy(first[s], results, n * sizeof **first);
            }
            CHECK_BYTES(results, first[s], n * sizeof **first);
        }
        clear(&a);
    }
    gm_emulation.order = 0;
    for (int s = 0; s < MOST_STEPS; s++) gm_free(first[s]);
    CHECK_INT(cudaStreamDestroy(a.how.stream), cudaSuccess);
}

static void order_does_not_matter(void)
{
    check_orders((sizes){4, 2, 33, 70, 4, DELTA});
    check_orders((sizes){4, 2, 33, 70, 4, MAMBA});
    check_orders((sizes){513, 1, 0, 1, 4, DELTA});
    check_orders((sizes){3, 3, 33, 33, 4, EACH});
}

TESTS(TEST(steps_are_the_definition), TEST(what_is_not_finite_stays_in_its_sequence),
      TEST(a_step_may_have_65536_rows), TEST(order_does_not_matter))
#else
TESTS(TEST(steps_are_the_definition), TEST(what_is_not_finite_stays_in_its_sequence),
      TEST(a_step_may_have_65536_rows))
#endif

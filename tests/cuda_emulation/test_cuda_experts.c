/* test_cuda_experts.c - few rows' experts with weights of four bits, which are bf16 exactly: the
 * kernels that read them give what those of bf16 give of the same weights, widened, and both what
 * the definition gives in double; blocks of every scale that weights have, an expert in two pieces,
 * biases, a clamp, a row without experts before one with them.
 */
#include "base/half.h"
#include "emulated_run.h"
#include "engine/cuda/cuda_plan.h"

enum {
    WIDTH = 288, /* more than a sweep, and a part of one */
    UNITS = 2080,
    EXPERTS = 2,
    CHOSEN = 2,
    ROWS = 2,
    CODES = 2 * UNITS * WIDTH / 2, /* bytes of gate and up; of down half */
    SCALES = 2 * UNITS * WIDTH / GM_MX_BLOCK,
};

/* Pinned memory, which a GPU reaches too; what is read 16 bytes at a time first. */
typedef struct arena {
    uint16_t wide_in[EXPERTS][2 * UNITS * WIDTH], wide_out[EXPERTS][WIDTH * UNITS];
    uint8_t in[EXPERTS][CODES + SCALES], out[EXPERTS][(CODES + SCALES) / 2];
    uint16_t hidden[ROWS * CHOSEN * UNITS];
    float x[ROWS * WIDTH], result[ROWS * WIDTH], norm[WIDTH];
    float in_bias[EXPERTS * 2 * UNITS], out_bias[EXPERTS * WIDTH];
    int32_t expert[ROWS * CHOSEN];
    float gate[ROWS * CHOSEN];
} arena;

static void fill_codes(uint8_t *at, size_t codes, size_t scales, gm_rng *rng)
{
    for (size_t i = 0; i < codes; i++) at[i] = (uint8_t)gm_rng_below(rng, 256);
    for (size_t i = 0; i < scales; i++) at[codes + i] = (uint8_t)(110 + gm_rng_below(rng, 12));
}

static void fill(arena *a)
{
    static const int32_t expert[ROWS * CHOSEN] = {GM_NO_EXPERT, GM_NO_EXPERT, 1, 0};
    gm_rng rng = gm_rng_make(31, 0);
    for (size_t e = 0; e < EXPERTS; e++) {
        fill_codes(a->in[e], CODES, SCALES, &rng);
        fill_codes(a->out[e], CODES / 2, SCALES / 2, &rng);
    }
    for (size_t i = 0; i < ROWS * WIDTH; i++) a->x[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < WIDTH; i++) a->norm[i] = 1.0f + 0.1f * (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < EXPERTS * 2 * UNITS; i++) a->in_bias[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < EXPERTS * WIDTH; i++) a->out_bias[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < ROWS * CHOSEN; i++) a->gate[i] = 0.2f + 0.1f * (float)i;
    memcpy(a->expert, expert, sizeof expert);
}

static void widen(const gm_cuda_how *how, const void *from, void *to, size_t n)
{
    const gm_cuda_widen p = {.from = from, .to = to, .n = n, .dtype = GM_U8};
    CHECK_INT(gm_cuda_widen_weights(how, &p), cudaSuccess);
}

/* Both kernels; the result is what they add to 0. Gates count what experts give, or `reads`: what
 * they read. */
static void run(const gm_cuda_how *how, arena *a, gm_dtype dtype, bool reads, float *result)
{
    const bool four = dtype == GM_U8;
    memset(a->hidden, 0xff, sizeof a->hidden); /* NaN: what is not written is seen */
    gm_cuda_experts p = {.x = a->x,
                         .norm = a->norm,
                         .out = a->result,
                         .expert = a->expert,
                         .gate = reads ? NULL : a->gate,
                         .in_gate = reads ? a->gate : NULL,
                         .gate_up = four ? (const void *)a->in : a->wide_in,
                         .down = four ? (const void *)a->out : a->wide_out,
                         .gate_up_bytes = four ? sizeof a->in[0] : sizeof a->wide_in[0],
                         .down_bytes = four ? sizeof a->out[0] : sizeof a->wide_out[0],
                         .in_bias = a->in_bias,
                         .out_bias = a->out_bias,
                         .hidden = a->hidden,
                         .x_stride = WIDTH,
                         .d_stride = WIDTH,
                         .f_stride = UNITS,
                         .in_stride = UNITS,
                         .out_stride = WIDTH,
                         .n_rows = ROWS,
                         .width = WIDTH,
                         .n_chosen = CHOSEN,
                         .expert_width = UNITS,
                         .units = 1,
                         .expert_pairs = UNITS,
                         .expert_apart = UNITS,
                         .piece = gm_cuda_piece(UNITS),
                         .always_piece = gm_cuda_piece(0),
                         .activation = {.limit = 2.0f, .slope = 1.7f},
                         .scale = 1.0f,
                         .residual_scale = 1.0f,
                         .epsilon = 1e-5f,
                         .dtype = dtype};
    memset(a->result, 0, sizeof a->result);
    CHECK_INT(gm_cuda_gate_up_few(how, &p), cudaSuccess);
    CHECK_INT(gm_cuda_down_few(how, &p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(how->stream), cudaSuccess);
    memcpy(result, a->result, sizeof a->result);
}

/* ---- the definition ---- */

static double bf16_at(const uint16_t *at, size_t i)
{
    return (double)gm_bf16_to_f32(at[i]);
}

static double round_bf16(double x)
{
    return (double)gm_bf16_to_f32(gm_bf16_from_f32((float)x));
}

static double dot(const uint16_t *row, const double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += bf16_at(row, i) * x[i];
    return sum;
}

/* What expert e makes of a row after the norm times a gate, its bias included. */
static void compute_expert(const arena *a, size_t e, double by, const double *x, double *out)
{
    static double hidden[UNITS];
    const float *bias = a->in_bias + e * 2 * UNITS;
    for (size_t f = 0; f < UNITS; f++) {
        const uint16_t *in = a->wide_in[e];
        const double gate = fmin(by * dot(in + f * WIDTH, x, WIDTH) + (double)bias[f], 2.0);
        const double up = by * dot(in + (UNITS + f) * WIDTH, x, WIDTH) + (double)bias[UNITS + f];
        hidden[f] = round_bf16(gate / (1.0 + exp(-1.7 * gate)) * (fmax(-2.0, fmin(up, 2.0)) + 1.0));
    }
    for (size_t d = 0; d < WIDTH; d++)
        out[d] =
            dot(a->wide_out[e] + d * UNITS, hidden, UNITS) + (double)a->out_bias[e * WIDTH + d];
}

/* What the experts of row r add to the residual. */
static void compute_row(const arena *a, size_t r, bool reads, double out[WIDTH])
{
    static double x[WIDTH], y[WIDTH];
    const float *from = a->x + r * WIDTH;
    double squares = 0.0;
    for (size_t d = 0; d < WIDTH; d++) squares += (double)from[d] * (double)from[d];
    const double factor = 1.0 / sqrt(squares / WIDTH + 1e-5);
    for (size_t d = 0; d < WIDTH; d++)
        x[d] = round_bf16((double)from[d] * factor * (double)a->norm[d]);
    for (size_t d = 0; d < WIDTH; d++) out[d] = 0.0;
    for (size_t k = r * CHOSEN; k < (r + 1) * CHOSEN; k++) {
        if (a->expert[k] == GM_NO_EXPERT) continue;
        const double gate = (double)a->gate[k];
        compute_expert(a, (size_t)a->expert[k], reads ? gate : 1.0, x, y);
        for (size_t d = 0; d < WIDTH; d++) out[d] += (reads ? 1.0 : gate) * y[d];
    }
}

/* Largest difference to it. */
static double definition_off(const arena *a, bool reads, const float *got)
{
    double want[WIDTH], most = 0.0;
    for (size_t r = 0; r < ROWS; r++) {
        compute_row(a, r, reads, want);
        for (size_t d = 0; d < WIDTH; d++)
            most = check_larger(most, fabs((double)got[r * WIDTH + d] - want[d]));
    }
    return most;
}

static void four_bits_are_their_bf16(void)
{
    static float got[ROWS * WIDTH], want[ROWS * WIDTH];
    void *at = NULL;
    cudaStream_t stream = NULL;
    double largest = 0.0;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaMallocHost(&at, sizeof(arena)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    const gm_cuda_how how = {.stream = stream, .multiprocessors = 4};
    arena *a = at;
    fill(a);
    for (size_t e = 0; e < EXPERTS; e++) {
        widen(&how, a->in[e], a->wide_in[e], (size_t)2 * UNITS * WIDTH);
        widen(&how, a->out[e], a->wide_out[e], (size_t)UNITS * WIDTH);
    }
    run(&how, a, GM_BF16, false, want);
    run(&how, a, GM_U8, false, got);
    for (size_t i = 0; i < ROWS * WIDTH; i++)
        largest = check_larger(largest, fabs((double)want[i]));
    CHECK(largest > 0.0); /* the row after that without experts */
    const double off = most_off(got, want, ROWS * WIDTH);
    if (!(off <= 1e-3 * largest)) /* a unit may be rounded to bf16 the other way */
        TEST_FAILED_("off by %.3g of %.3g", off, largest);
    for (size_t i = 0; i < WIDTH; i++) CHECK(got[i] == 0.0f && want[i] == 0.0f);
    const double exact = definition_off(a, false, want);
    if (!(exact <= 1e-3 * largest)) TEST_FAILED_("off by %.3g of %.3g", exact, largest);
    run(&how, a, GM_BF16, true, want); /* gates of what experts read */
    const double read = definition_off(a, true, want);
    if (!(read <= 1e-3 * largest)) TEST_FAILED_("off by %.3g of %.3g", read, largest);
    printf("four bits: within %.2g of %.2g, bf16 within %.2g\n", off, largest, exact);
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

TESTS(TEST(four_bits_are_their_bf16))

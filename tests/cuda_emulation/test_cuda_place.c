/* test_cuda_place.c - weights of 8 bits as the GPU makes them are those of gm_pack_row, bit for
 * bit: widths on both sides of a warp, ties, denormals, the largest numbers, rows of zeros, of
 * numbers too small for a scale, and of what is not finite.
 */
#include "base/half.h"
#include "emulated_run.h"
#include "engine/cpu/pack.h"
#include "engine/cuda/cuda_kernels.h"

enum { ROWS = 9, MOST_COLS = 257, STRIDE = 288, KEPT = 0xA5 };

/* Pinned memory, which a GPU reaches too. */
typedef struct arena {
    uint8_t got[ROWS * STRIDE]; /* written 16 bytes at a time: first */
    float scale[ROWS];
    float wide[ROWS * MOST_COLS]; /* the weights, and as they are sent */
    uint16_t narrow[ROWS * MOST_COLS];
} arena;

static void fill(arena *a, size_t cols, gm_dtype from)
{
    gm_rng rng = gm_rng_make(17, cols);
    for (size_t i = 0; i < ROWS * cols; i++) {
        const size_t row = i / cols;
        float x = (float)gm_rng_normal(&rng);
        if (row == 1) x = (float)((int)(i % 509) - 254) * 0.5f;                /* ties of int8 */
        if (row == 2) x = ldexpf(1.0f + (float)(i % 16) / 16, -(int)(i % 20)); /* of e4m3 */
        if (row == 3) x = 0.0f;
        if (row == 4) x = ldexpf(x, -120); /* too small for a scale, in f16 zero */
        if (row == 5 && i % cols == cols / 2) x = NAN;
        if (row == 6 && i % cols == cols - 1) x = -INFINITY;
        if (row == 7) x = i % 2 ? 448.0f : -448.0f;
        a->wide[i] = x;
        if (from == GM_BF16) a->narrow[i] = gm_bf16_from_f32(x);
        if (from == GM_F16) a->narrow[i] = gm_half_from_f32(x);
        if (from == GM_BF16) a->wide[i] = gm_bf16_to_f32(a->narrow[i]);
        if (from == GM_F16) a->wide[i] = gm_half_to_f32(a->narrow[i]);
    }
}

static void check_rows(const arena *a, size_t cols, gm_dtype from, gm_dtype to)
{
    for (size_t r = 0; r < ROWS; r++) {
        uint8_t want[STRIDE] = {0};
        const float scale = gm_pack_row(to, a->wide + r * cols, cols, 1, want);
        const bool same = isnan(scale) ? isnan(a->scale[r]) : a->scale[r] == scale;
        if (!same || memcmp(a->got + r * STRIDE, want, STRIDE) != 0)
            TEST_FAILED_("%s to %s, %zu columns, row %zu: scale %g, expected %g, or other bytes",
                         gm_dtype_name(from), gm_dtype_name(to), cols, r, (double)a->scale[r],
                         (double)scale);
    }
}

static void rows_are_those_of_the_cpu(void)
{
    static const size_t widths[] = {1, 31, 32, 33, 256, MOST_COLS};
    static const gm_dtype froms[] = {GM_F32, GM_F16, GM_BF16}, tos[] = {GM_I8, GM_FP8};
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaMallocHost(&at, sizeof(arena)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    const gm_cuda_how how = {.stream = stream, .multiprocessors = 4};
    arena *a = at;
    for (size_t i = 0; i < sizeof widths / sizeof *widths * 6; i++) {
        const gm_dtype from = froms[i % 3], to = tos[i / 3 % 2];
        const size_t cols = widths[i / 6];
        fill(a, cols, from);
        memset(a->got, KEPT, sizeof a->got);
        const gm_cuda_place p = {.from = from == GM_F32 ? (const void *)a->wide : a->narrow,
                                 .to = a->got,
                                 .scale = a->scale,
                                 .rows = ROWS,
                                 .cols = cols,
                                 .stride = STRIDE,
                                 .from_dtype = from,
                                 .to_dtype = to};
        CHECK_INT(gm_cuda_place_rows(&how, &p), cudaSuccess);
        CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
        check_rows(a, cols, from, to);
    }
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

TESTS(TEST(rows_are_those_of_the_cpu))

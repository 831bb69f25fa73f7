/* test_cuda_place.c - weights of 8 bits as the GPU makes them are those of gm_pack_row, bit for
 * bit: widths on both sides of a warp, ties, denormals, the largest numbers, rows of zeros, of
 * numbers too small for a scale, and of what is not finite; and those that are stored otherwise,
 * MXFP4, columns and F8_E4M3, those of gm_stored_take, two matrices taking turns among them; MXFP4
 * also where it stays what it is until cuBLAS needs it.
 */
#include "base/half.h"
#include "emulated_run.h"
#include "engine/cpu/pack.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/stored.h"

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

/* n bytes that both sides reach, and how to run on them. */
static void *make_room(size_t n, gm_cuda_how *how)
{
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaMallocHost(&at, n), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    *how = (gm_cuda_how){.stream = stream, .multiprocessors = 4};
    return at;
}

static void run(const gm_cuda_how *how, const gm_cuda_place *p)
{
    CHECK_INT(gm_cuda_place_rows(how, p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(how->stream), cudaSuccess);
}

static void free_room(void *at, const gm_cuda_how *how)
{
    CHECK_INT(cudaStreamDestroy(how->stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

static void rows_are_those_of_the_cpu(void)
{
    static const size_t widths[] = {1, 31, 32, 33, 256, MOST_COLS};
    static const gm_dtype froms[] = {GM_F32, GM_F16, GM_BF16}, tos[] = {GM_I8, GM_FP8};
    gm_cuda_how how;
    arena *a = make_room(sizeof *a, &how);
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
        run(&how, &p);
        check_rows(a, cols, from, to);
    }
    free_room(a, &how);
}

/* ---- other forms ---- */

enum { OUTPUTS = 14, INPUTS = 96, APART = 9, PLACED = OUTPUTS / 2 + APART };

typedef struct stored_arena {
    float got[PLACED * STRIDE]; /* of any type */
    float scale[PLACED];
    uint8_t data[OUTPUTS * INPUTS * 4], scales[OUTPUTS * INPUTS / GM_MX_BLOCK];
} stored_arena;

/* Codes of every kind under every scale; numbers for the others. */
static void fill_stored(stored_arena *a, gm_stored stored, uint8_t first_scale, gm_dtype dtype)
{
    gm_rng rng = gm_rng_make(23, first_scale);
    for (size_t i = 0; i < OUTPUTS * INPUTS; i++) {
        const uint16_t half = gm_bf16_from_f32((float)gm_rng_normal(&rng));
        const float wide = (float)gm_rng_normal(&rng);
        if (stored == GM_STORED_MXFP4)
            a->data[i] = (uint8_t)gm_rng_below(&rng, 256);
        else if (dtype == GM_BF16)
            memcpy(a->data + i * 2, &half, 2);
        else
            memcpy(a->data + i * 4, &wide, 4);
    }
    for (size_t i = 0; i < sizeof a->scales; i++) a->scales[i] = (uint8_t)(first_scale + i);
}

/* What `got` was made from. */
typedef struct stored_source {
    const uint8_t *data, *scales;
    const gm_grid *grid;
} stored_source;

static void check_stored(const float *got_all, const float *scales, const stored_source *source,
                         const gm_cuda_place *p)
{
    const gm_stored_rows from = {.stored = p->stored,
                                 .dtype = p->from_dtype,
                                 .data = source->data,
                                 .scales = source->scales,
                                 .grid = source->grid ? *source->grid : (gm_grid){0},
                                 .as = p->to_dtype == GM_BF16 ? GM_BF16 : GM_F32,
                                 .rows = OUTPUTS,
                                 .cols = INPUTS};
    float taken[INPUTS];
    float want[INPUTS];
    for (size_t r = 0; r < OUTPUTS; r++) {
        const gm_tensor row = gm_stored_take(&from, r, p->every, 1, taken);
        const size_t to = r / p->every + r % p->every * APART;
        size_t wrong = 0;
        gm_tensor_to_f32(&row, 0, INPUTS, want);
        if (gm_is_scaled(p->to_dtype)) {
            uint8_t packed[STRIDE] = {0};
            const float scale = gm_pack_row(p->to_dtype, want, INPUTS, 1, packed);
            const bool same = isnan(scale) ? isnan(scales[to]) : scales[to] == scale;
            if (!same || memcmp((const uint8_t *)got_all + to * STRIDE, packed, STRIDE) != 0)
                wrong++;
        }
        for (size_t k = 0; k < STRIDE && !gm_is_scaled(p->to_dtype); k++) {
            const float got = p->to_dtype == GM_F32
                                  ? got_all[to * STRIDE + k]
                                  : gm_bf16_to_f32(((const uint16_t *)got_all)[to * STRIDE + k]);
            const float expected = k < INPUTS ? want[k] : 0.0f;
            const bool same = got == expected && !signbit(got) == !signbit(expected);
            if (!(isnan(expected) ? isnan(got) : same)) wrong++;
        }
        if (wrong)
            TEST_FAILED_("form %d of %s to %s, every %zu, scale %d: row %zu, %zu wrong",
                         (int)p->stored, gm_dtype_name(p->from_dtype), gm_dtype_name(p->to_dtype),
                         p->every, source->scales ? source->scales[0] : 0, r, wrong);
    }
}

static void other_forms_are_those_of_the_cpu(void)
{
    static const gm_dtype tos[] = {GM_F32, GM_BF16, GM_I8, GM_FP8};
    gm_cuda_how how;
    stored_arena *a = make_room(sizeof *a, &how);
    for (size_t i = 0; i < 8 * 7; i++) { /* 42 scales at once: all in seven */
        const bool columns = i % 8 >= 4;
        const gm_dtype from = i % 2 ? GM_BF16 : GM_F32;
        const gm_cuda_place p = {.from = a->data,
                                 .scales = a->scales,
                                 .to = a->got,
                                 .scale = a->scale,
                                 .rows = OUTPUTS,
                                 .cols = INPUTS,
                                 .stride = STRIDE,
                                 .every = i / 8 % 2 ? 2 : 1,
                                 .apart = APART,
                                 .stored = columns ? GM_STORED_COLUMNS : GM_STORED_MXFP4,
                                 .from_dtype = columns ? from : GM_U8,
                                 .to_dtype = tos[i % 4]};
        memset(a->got, KEPT, sizeof a->got);
        fill_stored(a, p.stored, (uint8_t)(i / 8 * 42), from);
        const stored_source from_there = {.data = a->data, .scales = a->scales};
        run(&how, &p);
        check_stored(a->got, a->scale, &from_there, &p);
    }
    free_room(a, &how);
}

/* ---- F8_E4M3 ---- */

typedef struct fp8_arena {
    float got[PLACED * STRIDE], scale[PLACED]; /* of any type */
    uint8_t data[OUTPUTS * INPUTS];
    float grid[4 * 13];
} fp8_arena;

/* Every byte but the one that is no number, blocks cut at both ends, rows and columns. */
static void fp8_is_that_of_the_cpu(void)
{
    static const gm_dtype tos[] = {GM_F32, GM_BF16, GM_I8, GM_FP8};
    gm_cuda_how how;
    fp8_arena *a = make_room(sizeof *a, &how);
    gm_rng rng = gm_rng_make(31, 0);
    for (size_t i = 0; i < OUTPUTS * INPUTS; i++) {
        a->data[i] = (uint8_t)(i * 37);
        if (i % 2 == 0 && (a->data[i] & 127) == 127) a->data[i] ^= 1;
    }
    for (size_t i = 0; i < sizeof a->grid / sizeof *a->grid; i++)
        a->grid[i] = (float)gm_rng_unit(&rng);
    for (size_t i = 0; i < 8; i++) {
        const bool columns = i >= 4;
        const gm_cuda_place p = {.from = a->data,
                                 .grid = {.scale = a->grid,
                                          .rows = columns ? 27 : 5,
                                          .cols = columns ? 6 : 8,
                                          .per_row = columns ? 3 : 12,
                                          .first = 4},
                                 .to = a->got,
                                 .scale = a->scale,
                                 .rows = OUTPUTS,
                                 .cols = INPUTS,
                                 .stride = STRIDE,
                                 .every = 1,
                                 .stored = columns ? GM_STORED_COLUMNS : GM_STORED_ROWS,
                                 .from_dtype = GM_FP8,
                                 .to_dtype = tos[i % 4]};
        const stored_source from = {.data = a->data, .grid = &p.grid};
        memset(a->got, KEPT, sizeof a->got);
        run(&how, &p);
        check_stored(a->got, a->scale, &from, &p);
    }
    free_room(a, &how);
}

/* ---- MXFP4 that stays what it is ---- */

typedef struct kept_arena {
    uint8_t got[2 * APART * INPUTS / 2 + 2 * APART * INPUTS / GM_MX_BLOCK]; /* codes, scales */
    uint8_t data[OUTPUTS * INPUTS / 2], scales[OUTPUTS * INPUTS / GM_MX_BLOCK];
    uint16_t wide[2 * APART * INPUTS];
} kept_arena;

static void mxfp4_stays_and_is_widened(void)
{
    enum { MATRIX = 2 * APART };
    gm_cuda_how how;
    kept_arena *a = make_room(sizeof *a, &how);
    for (int first = 0; first < 256; first += 42) {
        const gm_stored_rows from = {.stored = GM_STORED_MXFP4,
                                     .data = a->data,
                                     .scales = a->scales,
                                     .rows = OUTPUTS,
                                     .cols = INPUTS};
        const gm_cuda_place p = {.from = a->data,
                                 .scales = a->scales,
                                 .to = a->got,
                                 .to_scales = a->got + MATRIX * INPUTS / 2,
                                 .rows = OUTPUTS,
                                 .cols = INPUTS,
                                 .stride = INPUTS,
                                 .every = 2,
                                 .apart = APART,
                                 .stored = GM_STORED_MXFP4,
                                 .from_dtype = GM_U8,
                                 .to_dtype = GM_U8};
        const gm_cuda_widen w = {
            .from = a->got, .to = a->wide, .n = MATRIX * INPUTS, .dtype = GM_U8};
        gm_rng rng = gm_rng_make(29, (uint64_t)first);
        memset(a, 0, sizeof *a);
        for (size_t i = 0; i < sizeof a->data; i++) a->data[i] = (uint8_t)gm_rng_below(&rng, 256);
        for (size_t i = 0; i < sizeof a->scales; i++) a->scales[i] = (uint8_t)((size_t)first + i);
        run(&how, &p);
        CHECK_INT(gm_cuda_widen_weights(&how, &w), cudaSuccess);
        CHECK_INT(cudaStreamSynchronize(how.stream), cudaSuccess);
        for (size_t r = 0; r < OUTPUTS; r++) {
            uint16_t want[INPUTS];
            size_t wrong = 0;
            const size_t to = r / 2 + r % 2 * APART;
            (void)gm_stored_take(&from, r, 1, 1, want);
            for (size_t k = 0; k < INPUTS; k++) {
                const uint16_t got = a->wide[to * INPUTS + k];
                const bool nan = isnan(gm_bf16_to_f32(want[k]));
                if (nan ? !isnan(gm_bf16_to_f32(got)) : got != want[k]) wrong++;
            }
            if (wrong) TEST_FAILED_("scales from %d: row %zu, %zu wrong", first, r, wrong);
        }
    }
    free_room(a, &how);
}

TESTS(TEST(rows_are_those_of_the_cpu), TEST(other_forms_are_those_of_the_cpu),
      TEST(fp8_is_that_of_the_cpu), TEST(mxfp4_stays_and_is_widened))

/* dots.c - tiles of dot products for three instruction sets, and blocks made of them.
 *
 * Vector lanes are output columns, so every variant adds in the same order; AVX2 and
 * AVX-512 round once per step (fma), plain C twice. See gm_dots_error.
 */
#include "cluster/dots.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define GM_X86 1
#endif

enum { LANES = 8 };

/* Written over fixed lanes: the compiler may use any vector width, the bits stay. */
static inline double squared_body(const float *x, const float *y, size_t dim)
{
    double sum[LANES] = {0};
    for (size_t c = 0; c < dim; c += LANES) {
        for (int l = 0; l < LANES; l++) {
            double diff = (double)x[c + (size_t)l] - (double)y[c + (size_t)l];
            sum[l] += diff * diff;
        }
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static double squared_plain(const float *x, const float *y, size_t dim)
{
    return squared_body(x, y, dim);
}

static void tile_plain(const float *a, const float *b, size_t depth, float *c, size_t c_stride)
{
    for (size_t r = 0; r < GM_TILE_ROWS; r++) {
        float sum[GM_TILE_COLS] = {0};
        for (size_t k = 0; k < depth; k++)
            for (size_t l = 0; l < GM_TILE_COLS; l++)
                sum[l] += a[r * depth + k] * b[k * GM_TILE_COLS + l];
        for (size_t l = 0; l < GM_TILE_COLS; l++) c[r * c_stride + l] += sum[l];
    }
}

static const gm_dots plain = {"plain", tile_plain, squared_plain};

#ifdef GM_X86
__attribute__((target("avx2,fma"))) static double squared_avx2(const float *x, const float *y,
                                                               size_t dim)
{
    return squared_body(x, y, dim);
}

/* Six rows at a time: 12 accumulators of 8 lanes fit the 16 registers. */
__attribute__((target("avx2,fma"))) static void tile_avx2(const float *a, const float *b,
                                                          size_t depth, float *c, size_t c_stride)
{
    enum { ROWS = 6 };
    for (size_t first = 0; first < GM_TILE_ROWS; first += ROWS) {
        const float *from = a + first * depth;
        __m256 lo[ROWS], hi[ROWS];
        for (int r = 0; r < ROWS; r++) lo[r] = hi[r] = _mm256_setzero_ps();
        for (size_t k = 0; k < depth; k++) {
            __m256 b0 = _mm256_loadu_ps(b + k * GM_TILE_COLS);
            __m256 b1 = _mm256_loadu_ps(b + k * GM_TILE_COLS + 8);
#pragma GCC unroll 6
            for (size_t r = 0; r < ROWS; r++) {
                __m256 x = _mm256_broadcast_ss(from + r * depth + k);
                lo[r] = _mm256_fmadd_ps(x, b0, lo[r]);
                hi[r] = _mm256_fmadd_ps(x, b1, hi[r]);
            }
        }
        for (size_t r = 0; r < ROWS; r++) {
            float *to = c + (first + r) * c_stride;
            _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), lo[r]));
            _mm256_storeu_ps(to + 8, _mm256_add_ps(_mm256_loadu_ps(to + 8), hi[r]));
        }
    }
}

__attribute__((target("avx512f"))) static double squared_avx512(const float *x, const float *y,
                                                                size_t dim)
{
    return squared_body(x, y, dim);
}

__attribute__((target("avx512f"))) static void tile_avx512(const float *a, const float *b,
                                                           size_t depth, float *c, size_t c_stride)
{
    __m512 sum[GM_TILE_ROWS];
    for (int r = 0; r < GM_TILE_ROWS; r++) sum[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < depth; k++) {
        __m512 bk = _mm512_loadu_ps(b + k * GM_TILE_COLS);
#pragma GCC unroll 12
        for (size_t r = 0; r < GM_TILE_ROWS; r++)
            sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(a[r * depth + k]), bk, sum[r]);
    }
    for (size_t r = 0; r < GM_TILE_ROWS; r++) {
        float *to = c + r * c_stride;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[r]));
    }
}

static const gm_dots avx2 = {"avx2", tile_avx2, squared_avx2};
static const gm_dots avx512 = {"avx512f", tile_avx512, squared_avx512};
#endif

const gm_dots *gm_dots_plain(void)
{
    return &plain;
}

const gm_dots *gm_dots_best(void)
{
#ifdef GM_X86
    if (__builtin_cpu_supports("avx512f")) return &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2;
#endif
    return &plain;
}

void gm_dots_pack(const gm_points *points, size_t first, size_t n, float *packed)
{
    const size_t dim = points->dim;
    for (size_t j = 0; j < GM_BLOCK_COLS; j++) {
        float *to = packed + (j / GM_TILE_COLS) * dim * GM_TILE_COLS + j % GM_TILE_COLS;
        const float *from = points->at + (first + j) * dim; /* (dim), read only when j < n */
        for (size_t k = 0; k < dim; k++) to[k * GM_TILE_COLS] = j < n ? from[k] : 0.0f;
    }
}

/* Rows [0, n_rows) of the columns [k, k + depth) packed one after another, the rest zero. */
static void pack_rows(const gm_points *points, const uint32_t *row, size_t n_rows, size_t k,
                      size_t depth, float *to)
{
    for (size_t r = 0; r < n_rows; r++)
        memcpy(to + r * depth, points->at + row[r] * points->dim + k, depth * sizeof *to);
    memset(to + n_rows * depth, 0, (GM_BLOCK_ROWS - n_rows) * depth * sizeof *to);
}

void gm_dots_block(const gm_points *points, const uint32_t *row, size_t n_rows, const float *packed,
                   size_t first, size_t n, float *scratch, float *s)
{
    const gm_dots *dots = gm_dots_best();
    const size_t dim = points->dim, n_panels = (n + GM_TILE_COLS - 1) / GM_TILE_COLS;

    memset(s, 0, sizeof *s * GM_BLOCK_ROWS * GM_BLOCK_COLS);
    for (size_t k = 0; k < dim; k += GM_TILE_DEPTH) {
        size_t depth = dim - k < GM_TILE_DEPTH ? dim - k : GM_TILE_DEPTH;
        pack_rows(points, row, n_rows, k, depth, scratch);
        for (size_t p = 0; p < n_panels; p++) {
            const float *panel = packed + (p * dim + k) * GM_TILE_COLS; /* (depth, 16) */
            for (size_t r = 0; r < n_rows; r += GM_TILE_ROWS)
                dots->tile(scratch + r * depth, panel, depth,
                           s + r * GM_BLOCK_COLS + p * GM_TILE_COLS, GM_BLOCK_COLS);
        }
    }
    for (size_t r = 0; r < n_rows; r++) {
        float *at = s + r * GM_BLOCK_COLS; /* (n) */
        float own = points->norm[row[r]];
        for (size_t j = 0; j < n; j++) {
            float v = (own + points->norm[first + j]) - 2.0f * at[j];
            at[j] = v > 0.0f ? v : 0.0f;
        }
    }
}

/* A chain of n float additions of products is off by at most (n+1) u sum|x y|, u = 2^-24, and
 * sum|x y| <= |x||y|. Chains of GM_TILE_DEPTH, then dim/GM_TILE_DEPTH additions of their
 * results; twice the dot, the rounded norms and two more additions: 8 u more than covers them. */
double gm_dots_error(const gm_points *points, size_t i)
{
    double reach = sqrt((double)points->norm[i]) + sqrt((double)points->max_norm);
    size_t n_chains = points->dim / GM_TILE_DEPTH;
    double steps = 8.0 + GM_TILE_DEPTH + (double)n_chains;
    return steps * 0x1p-24 * reach * reach;
}

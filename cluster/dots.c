/* dots.c - tiles of dot products for three instruction sets. AMX has its own in dots_amx.c.
 *
 * Vector lanes are output columns, so every variant adds in the same order; AVX2 and
 * AVX-512 round once per step (fma), plain C twice.
 */
#include "cluster/dots.h"

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

static inline float rough_body(const float *x, const float *y, size_t dim)
{
    float sum[GM_DOTS_TILE_COLS] = {0};
    for (size_t c = 0; c < dim; c += GM_DOTS_TILE_COLS) {
        for (size_t l = 0; l < GM_DOTS_TILE_COLS; l++) {
            float diff = x[c + l] - y[c + l];
            sum[l] += diff * diff;
        }
    }
    for (size_t half = GM_DOTS_TILE_COLS / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) sum[l] += sum[l + half];
    return sum[0];
}

static float rough_plain(const float *x, const float *y, size_t dim)
{
    return rough_body(x, y, dim);
}

static double squared_plain(const float *x, const float *y, size_t dim)
{
    return squared_body(x, y, dim);
}

/* In vectors of gcc and clang, IEEE's operation on each lane: loops over lanes gcc 12 unrolls and
 * leaves one by one. Three rows at a time: 12 sums in registers. */
static void tile_plain(const float *a, const float *b, size_t depth, float *c, size_t c_stride)
{
    typedef float four __attribute__((vector_size(16)));
    enum { ROWS = 3, FOURS = GM_DOTS_TILE_COLS / 4 };
    for (size_t first = 0; first < GM_DOTS_TILE_ROWS; first += ROWS) {
        const float *from = a + first * depth;
        four sum[ROWS][FOURS] = {0};
        for (size_t k = 0; k < depth; k++) {
            four row[FOURS];
#pragma GCC unroll 4
            for (size_t i = 0; i < FOURS; i++)
                memcpy(&row[i], b + k * GM_DOTS_TILE_COLS + 4 * i, sizeof row[i]);
#pragma GCC unroll 3
            for (size_t r = 0; r < ROWS; r++) {
#pragma GCC unroll 4
                for (size_t i = 0; i < FOURS; i++) sum[r][i] += from[r * depth + k] * row[i];
            }
        }
        for (size_t r = 0; r < ROWS; r++) {
            float *to = c + (first + r) * c_stride, total[GM_DOTS_TILE_COLS];
            memcpy(total, sum[r], sizeof total);
            for (size_t l = 0; l < GM_DOTS_TILE_COLS; l++) to[l] += total[l];
        }
    }
}

static inline void distances_body(float *at, const float *norm, float own, float limit,
                                  const float *other, size_t n, uint8_t *near)
{
    for (size_t j = 0; j < n; j += GM_DOTS_TILE_COLS) {
        int any = 0;
        for (size_t l = j; l < j + GM_DOTS_TILE_COLS; l++) {
            float v = (own + norm[l]) - 2.0f * at[l];
            at[l] = v = v > 0.0f ? v : 0.0f;
            any |= (v <= limit) | (v <= other[l]);
        }
        near[j / GM_DOTS_TILE_COLS] = (uint8_t)any;
    }
}

static void distances_plain(float *at, const float *norm, float own, float limit,
                            const float *other, size_t n, uint8_t *near)
{
    distances_body(at, norm, own, limit, other, n, near);
}

static inline void count_body(const float *at, size_t n, float low, float high, uint32_t *below,
                              uint32_t *within)
{
    uint32_t nearer = 0, unsure = 0;
    for (size_t j = 0; j < n; j++) {
        nearer += at[j] < low;
        unsure += (at[j] >= low) & (at[j] <= high);
    }
    *below = nearer, *within = unsure;
}

static void count_plain(const float *at, size_t n, float low, float high, uint32_t *below,
                        uint32_t *within)
{
    count_body(at, n, low, high, below, within);
}

static const gm_dots plain = {tile_plain, squared_plain, rough_plain, distances_plain, count_plain};

#ifdef GM_X86
__attribute__((target("avx2,fma"))) static double squared_avx2(const float *x, const float *y,
                                                               size_t dim)
{
    return squared_body(x, y, dim);
}

__attribute__((target("avx2,fma"))) static float rough_avx2(const float *x, const float *y,
                                                            size_t dim)
{
    return rough_body(x, y, dim);
}

/* Six rows at a time: 12 accumulators of 8 lanes fit the 16 registers. */
__attribute__((target("avx2,fma"))) static void tile_avx2(const float *a, const float *b,
                                                          size_t depth, float *c, size_t c_stride)
{
    enum { ROWS = 6 };
    for (size_t first = 0; first < GM_DOTS_TILE_ROWS; first += ROWS) {
        const float *from = a + first * depth;
        __m256 lo[ROWS], hi[ROWS];
        for (int r = 0; r < ROWS; r++) lo[r] = hi[r] = _mm256_setzero_ps();
        for (size_t k = 0; k < depth; k++) {
            __m256 b0 = _mm256_loadu_ps(b + k * GM_DOTS_TILE_COLS);
            __m256 b1 = _mm256_loadu_ps(b + k * GM_DOTS_TILE_COLS + 8);
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

__attribute__((target("avx2,fma"))) static void distances_avx2(float *at, const float *norm,
                                                               float own, float limit,
                                                               const float *other, size_t n,
                                                               uint8_t *near)
{
    distances_body(at, norm, own, limit, other, n, near);
}

__attribute__((target("avx2,fma"))) static void
count_avx2(const float *at, size_t n, float low, float high, uint32_t *below, uint32_t *within)
{
    count_body(at, n, low, high, below, within);
}

__attribute__((target("avx512f"))) static void
count_avx512(const float *at, size_t n, float low, float high, uint32_t *below, uint32_t *within)
{
    count_body(at, n, low, high, below, within);
}

__attribute__((target("avx512f"))) static double squared_avx512(const float *x, const float *y,
                                                                size_t dim)
{
    return squared_body(x, y, dim);
}

__attribute__((target("avx512f"))) static float rough_avx512(const float *x, const float *y,
                                                             size_t dim)
{
    return rough_body(x, y, dim);
}

__attribute__((target("avx512f"))) static void tile_avx512(const float *a, const float *b,
                                                           size_t depth, float *c, size_t c_stride)
{
    __m512 sum[GM_DOTS_TILE_ROWS];
    for (int r = 0; r < GM_DOTS_TILE_ROWS; r++) sum[r] = _mm512_setzero_ps();
    for (size_t k = 0; k < depth; k++) {
        __m512 bk = _mm512_loadu_ps(b + k * GM_DOTS_TILE_COLS);
#pragma GCC unroll 12
        for (size_t r = 0; r < GM_DOTS_TILE_ROWS; r++)
            sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(a[r * depth + k]), bk, sum[r]);
    }
    for (size_t r = 0; r < GM_DOTS_TILE_ROWS; r++) {
        float *to = c + r * c_stride;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[r]));
    }
}

__attribute__((target("avx512f"))) static void distances_avx512(float *at, const float *norm,
                                                                float own, float limit,
                                                                const float *other, size_t n,
                                                                uint8_t *near)
{
    const __m512 all = _mm512_set1_ps(own), two = _mm512_set1_ps(2.0f);
    const __m512 most = _mm512_set1_ps(limit), zero = _mm512_setzero_ps();
    for (size_t j = 0; j < n; j += GM_DOTS_TILE_COLS) {
        __m512 v = _mm512_add_ps(all, _mm512_loadu_ps(norm + j));
        v = _mm512_sub_ps(v, _mm512_mul_ps(two, _mm512_loadu_ps(at + j)));
        v = _mm512_max_ps(v, zero);
        _mm512_storeu_ps(at + j, v);
        __mmask16 own_row = _mm512_cmp_ps_mask(v, most, _CMP_LE_OQ);
        __mmask16 column = _mm512_cmp_ps_mask(v, _mm512_loadu_ps(other + j), _CMP_LE_OQ);
        near[j / GM_DOTS_TILE_COLS] = (own_row | column) != 0;
    }
}

static const gm_dots avx2 = {tile_avx2, squared_avx2, rough_avx2, distances_avx2, count_avx2};
static const gm_dots avx512 = {tile_avx512, squared_avx512, rough_avx512, distances_avx512,
                               count_avx512};
#endif

const gm_dots *gm_dots_of(gm_isa isa)
{
#ifdef GM_X86
    if (isa >= GM_ISA_AVX512F) return &avx512;
    if (isa == GM_ISA_AVX2) return &avx2;
#endif
    (void)isa;
    return &plain;
}

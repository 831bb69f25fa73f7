/* bytes.c - rounding, and products of what is rounded. See bytes.h. */
#include "cluster/bytes.h"

#include "cluster/dots_amx.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define GM_X86  1
#define VECTORS __attribute__((target("avx512f")))
#endif

enum { LANES = 8, WIDE = 16, DEPTH = GM_AMX_BYTES_DEPTH };

enum { MAX_BYTE = 127, MAX_DIM = 100000 }; /* products of bytes stay in 32 bits up to 133,000 */
static const float MIN_NORM = 1e-20f, MAX_NORM = 1e30f; /* products of scales are normal */

bool gm_bytes_can(const gm_points *points)
{
    return points->dim <= MAX_DIM && points->max_norm <= MAX_NORM;
}

/* ---- rounding ---- */

/* A hair more than x, which was rounded some hundred times in double or once to float. */
static float above(double x)
{
    return (float)(x * (1 + 1e-6));
}

/* reach_i is the length of what stands for x_i and half of what was lost, at most the length of x
 * and one and a half of it: then reach_i lost_j + lost_i reach_j covers the product of two losses
 * as well. */
static void keep_rounding(gm_bytes *b, size_t place, float scale, double length, double lost)
{
    b->norm[place] = (float)(length * length);
    b->scale[place] = scale;
    b->lost[place] = above(lost);
    b->reach[place] = above(length + 1.5 * lost);
}

#ifdef GM_X86
/* Eight values x = f - middle. */
VECTORS static inline __m512d centred(const float *f, const float *middle)
{
    return _mm512_sub_pd(_mm512_cvtps_pd(_mm256_loadu_ps(f)),
                         _mm512_cvtps_pd(_mm256_loadu_ps(middle)));
}

/* The length of x (dim) and its largest value. */
VECTORS static void measure(const float *f, const float *middle, size_t dim, double *length,
                            double *most)
{
    __m512d sum = _mm512_setzero_pd(), top = _mm512_setzero_pd();
    for (size_t c = 0; c < dim; c += LANES) {
        const __m512d x = centred(f + c, middle + c);
        sum = _mm512_fmadd_pd(x, x, sum);
        top = _mm512_max_pd(top, _mm512_abs_pd(x));
    }
    *length = sqrt(_mm512_reduce_add_pd(sum)), *most = _mm512_reduce_max_pd(top);
}

/* The whole numbers nearest to x / scale, and what they lost, squared, added to *lost. */
VECTORS static inline __m256i round_values(__m512d x, __m512d scale, __m512d inverse, __m512d *lost)
{
    const __m256i whole = _mm512_cvtpd_epi32(_mm512_mul_pd(x, inverse));
    const __m512d rest = _mm512_fnmadd_pd(scale, _mm512_cvtepi32_pd(whole), x);
    *lost = _mm512_fmadd_pd(rest, rest, *lost);
    return whole;
}

VECTORS static void round_point(gm_bytes *b, const float *f, const float *middle, size_t dim,
                                size_t place)
{
    double length, most;
    measure(f, middle, dim, &length, &most);
    const float scale = (float)(most / MAX_BYTE);
    const __m512d by = _mm512_set1_pd((double)scale);
    const __m512d inverse = _mm512_set1_pd(scale > 0 ? 1 / (double)scale : 0);
    int8_t *to = b->byte + place / 16 * 16 * b->dim + place % 16 * DEPTH;
    __m512d lost = _mm512_setzero_pd();
    for (size_t c = 0; c < dim; c += WIDE) {
        const __m256i low = round_values(centred(f + c, middle + c), by, inverse, &lost);
        const __m256i high =
            round_values(centred(f + c + LANES, middle + c + LANES), by, inverse, &lost);
        const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        _mm_storeu_si128((__m128i *)(to + c / DEPTH * 16 * DEPTH + c % DEPTH),
                         _mm512_cvtepi32_epi8(both));
    }
    keep_rounding(b, place, scale, length, sqrt(_mm512_reduce_add_pd(lost)));
}
#else
static void round_point(gm_bytes *b, const float *f, const float *middle, size_t dim, size_t place)
{
    (void)f, (void)middle, (void)dim;
    keep_rounding(b, place, 0, 0, 0);
}
#endif

gm_status gm_bytes_init(gm_bytes *out, const gm_points *points, const uint32_t *order,
                        gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = points->n, padded = (n + GM_BYTES_COLS - 1) / GM_BYTES_COLS * GM_BYTES_COLS;
    gm_bytes b = {.n = n, .dim = (points->dim + DEPTH - 1) / DEPTH * DEPTH};
    float *middle = gm_alloc(points->dim, sizeof *middle);
    *out = (gm_bytes){0};
    b.byte = gm_alloc2(padded, b.dim, sizeof *b.byte);
    b.norm = gm_alloc(padded, sizeof *b.norm);
    b.scale = gm_alloc(padded, sizeof *b.scale);
    b.reach = gm_alloc(padded, sizeof *b.reach);
    b.lost = gm_alloc(padded, sizeof *b.lost);
    if (!middle || !b.byte || !b.norm || !b.scale || !b.reach || !b.lost)
        GM_FAIL(GM_EMEM, "no memory to round %zu points", n);
    GM_TRY(gm_points_middle(middle, points, err)); /* any shift will do; one near it is best */
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < n; p++)
        round_point(&b, points->at + order[p] * points->dim, middle, points->dim, p);
    b.longest = MIN_NORM;
    for (size_t p = 0; p < n; p++) b.longest = fmaxf(b.longest, b.norm[p]);
    for (size_t p = n; p < padded; p++) b.norm[p] = INFINITY;
    *out = b;
    b = (gm_bytes){0};
out:
    gm_free(middle);
    gm_bytes_clear(&b);
    return status;
}

void gm_bytes_clear(gm_bytes *bytes)
{
    gm_free(bytes->byte);
    gm_free(bytes->norm);
    gm_free(bytes->scale);
    gm_free(bytes->reach);
    gm_free(bytes->lost);
    *bytes = (gm_bytes){0};
}

/* ---- multiplying ---- */

/* Tiles of 16 fours of inputs by 16 columns: those of 16 rows turned over, four bytes a piece. */
void gm_bytes_pack(const gm_bytes *bytes, size_t first, size_t panel, int8_t *packed)
{
    enum { TILE = 16 * DEPTH };
    const int8_t *from = bytes->byte + (first + panel * 16) * bytes->dim;
    int8_t *to = packed + panel * 16 * bytes->dim;
    for (size_t k = 0; k < bytes->dim; k += DEPTH, from += TILE, to += TILE)
        for (size_t j = 0; j < 16; j++)
            for (size_t c = 0; c < 16; c++)
                memcpy(to + c * DEPTH + j * 4, from + j * DEPTH + c * 4, 4);
}

void gm_bytes_block(const gm_bytes *bytes, size_t row, const int8_t *packed, size_t next,
                    int32_t *dot)
{
    const gm_amx_bytes_job job = {.a = bytes->byte + row * bytes->dim,
                                  .b = packed,
                                  .blocks = bytes->dim / DEPTH,
                                  .rows = GM_BYTES_ROWS,
                                  .cols = GM_BYTES_COLS,
                                  .next = bytes->byte + next * bytes->dim};
    gm_amx_block_bytes(dot, &job);
}

/* Rounding of floats: a dozen of operations on numbers that are at most the square of the longest
 * way between two points. */
double gm_bytes_slack(const gm_bytes *bytes, size_t i)
{
    double reach = sqrt((double)bytes->norm[i]) + sqrt((double)bytes->longest);
    return 0x1p-20 * reach * reach;
}

#ifdef GM_X86
VECTORS void gm_bytes_row(gm_bytes_distances *out, const gm_bytes *bytes, size_t i, size_t first,
                          const int32_t *dot, float limit, const float *col_limit)
{
    const float *norm = bytes->norm + first, *scale = bytes->scale + first;
    const float *reach = bytes->reach + first, *lost = bytes->lost + first;
    const __m512 own = _mm512_set1_ps(bytes->norm[i]),
                 own_scale = _mm512_set1_ps(2 * bytes->scale[i]);
    const __m512 own_reach = _mm512_set1_ps(2 * bytes->reach[i]), zero = _mm512_setzero_ps();
    const __m512 own_lost = _mm512_set1_ps(2 * bytes->lost[i]), own_limit = _mm512_set1_ps(limit);
    for (size_t j = 0; j < GM_BYTES_COLS; j += WIDE) {
        __m512 product = _mm512_cvtepi32_ps(_mm512_loadu_si512(dot + j));
        __m512 v = _mm512_add_ps(own, _mm512_loadu_ps(norm + j));
        product = _mm512_mul_ps(product, _mm512_mul_ps(own_scale, _mm512_loadu_ps(scale + j)));
        v = _mm512_max_ps(_mm512_sub_ps(v, product), zero);
        _mm512_storeu_ps(out->s + j, v);
        v = _mm512_fnmadd_ps(own_reach, _mm512_loadu_ps(lost + j), v);
        v = _mm512_fnmadd_ps(own_lost, _mm512_loadu_ps(reach + j), v);
        out->of_row[j / WIDE] = _mm512_cmp_ps_mask(v, own_limit, _CMP_LE_OQ);
        out->of_col[j / WIDE] = _mm512_cmp_ps_mask(v, _mm512_loadu_ps(col_limit + j), _CMP_LE_OQ);
    }
}
#else
void gm_bytes_row(gm_bytes_distances *out, const gm_bytes *bytes, size_t i, size_t first,
                  const int32_t *dot, float limit, const float *col_limit)
{
    (void)out, (void)bytes, (void)i, (void)first, (void)dot, (void)limit, (void)col_limit;
}
#endif

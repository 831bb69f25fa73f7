/* kernels_avx512bf16.c - the dot product of AVX512-BF16 for the class of numerics that is
 * called after it; everything else as for AVX-512F.
 *
 * VDPBF16PS adds a pair of products to each of 16 outputs, in the order of kernels.h: held
 * against plain C by tests/twin on every size, and once on 4.8 million outputs of any
 * magnitude.
 */
#if defined(__AVX512F__) && defined(__AVX512BF16__)
#define GM_LANES_AVX512
#define KERNELS      gm_kernels_avx512bf16
#define KERNELS_NAME "avx512bf16"
#define PRODUCT_DOT            \
    {                          \
        gather_pairs, gemm_dot \
    }
#define SHAPES_F32  X(8, 2) X(4, 4) X(2, 8) X(1, 8)
#define SHAPES_BF16 X(8, 1) X(4, 2) X(2, 4) X(1, 8)
#include "engine/cpu/kernels.h"

static gm_gather gather_pairs;
#include "engine/cpu/kernels_body.h"

static const void *gather_pairs(const void *x, size_t ldx, const uint32_t *row, size_t m, size_t k,
                                void *room, size_t *ld)
{
    const size_t bytes = (k + K_BLOCK - 1) / K_BLOCK * K_BLOCK * sizeof(uint16_t);
    *ld = row ? bytes : ldx * sizeof(uint16_t);
    if (row == NULL) return x;
    for (size_t r = 0; r < m; r++)
        memcpy((char *)room + r * bytes, (const uint16_t *)x + row[r] * ldx, bytes);
    return room;
}

/* Rows are pairs of bf16, a word each. */
INLINE void tile_dot(const float *const *x, const uint16_t *w, size_t k, float *out, size_t ldo,
                     const int rows, const int panels)
{
    const size_t pairs = (k + K_BLOCK - 1) / K_BLOCK * (K_BLOCK / 2);
    __m512 c[TILE_ROWS][TILE_PANELS];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++) c[r][p] = _mm512_setzero_ps();
    }
    for (size_t i = 0; i < pairs; i++) {
        __m512i b[TILE_PANELS];
        UNROLL
        for (int p = 0; p < panels; p++)
            b[p] = _mm512_loadu_si512(w + ((size_t)p * pairs + i) * 2 * PANEL);
        UNROLL
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, x[r] + i, sizeof pair);
            __m512i a = _mm512_set1_epi32(pair);
            UNROLL
            for (int p = 0; p < panels; p++)
                c[r][p] = _mm512_dpbf16_ps(c[r][p], (__m512bh)a, (__m512bh)b[p]);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int p = 0; p < panels; p++)
            _mm512_storeu_ps(out + (size_t)r * ldo + (size_t)p * PANEL, c[r][p]);
    }
}
#else
typedef int gm_no_avx512bf16_here; /* ISO C wants a declaration */
#endif

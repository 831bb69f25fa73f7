/* eigen_rows.c - one body a loop, compiled for each instruction set. See eigen_rows.h. */
#include "cluster/eigen_rows.h"

#include <string.h>

enum { W = GM_EIGEN_WIDTH };

static inline __attribute__((always_inline)) void
apply_body(const gm_eigen_matrix *s, size_t first, size_t end, double *out, const double *in,
           const double *old, double alpha, double beta, double gamma)
{
    for (size_t i = first; i < end; i++) {
        double sum[W] = {0};
        for (uint64_t at = s->indptr[i]; at < s->indptr[i + 1]; at++) {
            const double *other = in + (size_t)s->index[at] * W, value = s->value[at];
            for (size_t c = 0; c < W; c++) sum[c] += value * other[c];
        }
        double row[W];
        for (size_t c = 0; c < W; c++) row[c] = alpha * sum[c] + beta * in[i * W + c];
        for (size_t c = 0; old && c < W; c++) row[c] += gamma * old[i * W + c];
        memcpy(out + i * W, row, sizeof row);
    }
}

static inline __attribute__((always_inline)) void
gram_body(size_t first, size_t end, const double *a, const double *b, double *gram)
{
    double sum[W][W] = {{0}};
    for (size_t i = first; i < end; i++)
        for (size_t r = 0; r < W; r++)
            for (size_t c = 0; c < W; c++) sum[r][c] += a[i * W + r] * b[i * W + c];
    memcpy(gram, sum, sizeof sum);
}

static inline __attribute__((always_inline)) void
multiply_body(size_t first, size_t end, double *out, const double *in, const double *q)
{
    for (size_t i = first; i < end; i++) {
        double row[W] = {0};
        for (size_t r = 0; r < W; r++)
            for (size_t c = 0; c < W; c++) row[c] += in[i * W + r] * q[r * W + c];
        memcpy(out + i * W, row, sizeof row);
    }
}

/* NOLINTBEGIN(bugprone-macro-parentheses): TARGET is attributes, not a value. */
#define VARIANT(name, TARGET)                                                                   \
    TARGET static void apply_##name(const gm_eigen_matrix *s, size_t first, size_t end,         \
                                    double *out, const double *in, const double *old,           \
                                    double alpha, double beta, double gamma)                    \
    {                                                                                           \
        apply_body(s, first, end, out, in, old, alpha, beta, gamma);                            \
    }                                                                                           \
    TARGET static void gram_##name(size_t first, size_t end, const double *a, const double *b,  \
                                   double *gram)                                                \
    {                                                                                           \
        gram_body(first, end, a, b, gram);                                                      \
    }                                                                                           \
    TARGET static void multiply_##name(size_t first, size_t end, double *out, const double *in, \
                                       const double *q)                                         \
    {                                                                                           \
        multiply_body(first, end, out, in, q);                                                  \
    }                                                                                           \
    static const gm_eigen_rows name = {apply_##name, gram_##name, multiply_##name};
/* NOLINTEND(bugprone-macro-parentheses) */

VARIANT(plain, )
#if defined(__x86_64__) && defined(__GNUC__)
VARIANT(avx2, __attribute__((target("avx2,fma"))))
#endif
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define HAS_AVX512 /* under AddressSanitizer GCC 12 misaligns it on the stack (its bug 110027) */
VARIANT(avx512, __attribute__((target("avx512f"))))
#endif

const gm_eigen_rows *gm_eigen_rows_of(gm_isa isa)
{
#ifdef HAS_AVX512
    if (isa >= GM_ISA_AVX512F) return &avx512;
#endif
#if defined(__x86_64__) && defined(__GNUC__)
    if (isa >= GM_ISA_AVX2) return &avx2;
#endif
    (void)isa;
    return &plain;
}

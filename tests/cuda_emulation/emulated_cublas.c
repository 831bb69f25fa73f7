/* emulated_cublas.c - the functions of cuBLAS that engine/cuda/ opens at run time, on the
 * emulated GPU. A product waits in its stream like any other work; sums are in f32, k ascending.
 */
#include "cuda_runtime_api.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct handle {
    cudaStream_t stream;
} handle;

typedef struct product {
    int m, n, k, lda, ldb, ldc, type;
    const void *a, *b;
    float *c;
    float alpha, beta;
} product;

enum { DONE = 0, NOT_SUPPORTED = 15, OP_N = 0, OP_T = 1, F32 = 0, BF16 = 14, COMPUTE_F32 = 68 };

/* emulated_runtime.cpp, in the program that opened this library */
void emulated_call(cudaStream_t stream, void (*call)(void *), void *argument);

int cublasCreate_v2(void **out);
int cublasDestroy_v2(void *h);
int cublasSetStream_v2(void *h, cudaStream_t stream);
int cublasSetWorkspace_v2(void *h, void *at, size_t n);
int cublasGemmEx(void *h, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a,
                 int type_a, int lda, const void *b, int type_b, int ldb, const void *beta, void *c,
                 int type_c, int ldc, int compute, int algorithm);

int cublasGemmStridedBatchedEx(void *h, int op_a, int op_b, int m, int n, int k, const void *alpha,
                               const void *a, int type_a, int lda, long long apart_a, const void *b,
                               int type_b, int ldb, long long apart_b, const void *beta, void *c,
                               int type_c, int ldc, long long apart_c, int count, int compute,
                               int algorithm);

int cublasCreate_v2(void **out)
{
    *out = calloc(1, sizeof(handle));
    return *out ? DONE : NOT_SUPPORTED;
}

int cublasDestroy_v2(void *h)
{
    free(h);
    return DONE;
}

int cublasSetStream_v2(void *h, cudaStream_t stream)
{
    ((handle *)h)->stream = stream;
    return DONE;
}

int cublasSetWorkspace_v2(void *h, void *at, size_t n)
{
    (void)h, (void)n;
    return at ? DONE : NOT_SUPPORTED;
}

static float element(const void *at, int type, size_t i)
{
    if (type == F32) return ((const float *)at)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)at)[i] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Columns first: C (m,n) = alpha A' B + beta C, A (k,m), B (k,n). */
static void multiply(void *argument)
{
    product *p = argument;
    for (int j = 0; j < p->n; j++)
        for (int i = 0; i < p->m; i++) {
            float sum = 0.0f;
            for (int l = 0; l < p->k; l++)
                sum += element(p->a, p->type, (size_t)i * (size_t)p->lda + (size_t)l) *
                       element(p->b, p->type, (size_t)j * (size_t)p->ldb + (size_t)l);
            float *c = &p->c[(size_t)j * (size_t)p->ldc + (size_t)i];
            *c = p->alpha * sum + (p->beta != 0.0f ? p->beta * *c : 0.0f);
        }
    free(p);
}

int cublasGemmEx(void *h, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a,
                 int type_a, int lda, const void *b, int type_b, int ldb, const void *beta, void *c,
                 int type_c, int ldc, int compute, int algorithm)
{
    (void)algorithm;
    bool known = op_a == OP_T && op_b == OP_N && type_a == type_b && type_c == F32 &&
                 (type_a == F32 || type_a == BF16) && compute == COMPUTE_F32;
    if (!known || lda < k || ldb < k || ldc < m) return NOT_SUPPORTED;
    product *p = malloc(sizeof *p);
    if (p == NULL) return NOT_SUPPORTED;
    *p = (product){.m = m,
                   .n = n,
                   .k = k,
                   .lda = lda,
                   .ldb = ldb,
                   .ldc = ldc,
                   .type = type_a,
                   .a = a,
                   .b = b,
                   .c = c,
                   .alpha = *(const float *)alpha,
                   .beta = *(const float *)beta};
    emulated_call(((handle *)h)->stream, multiply, p);
    return DONE;
}

int cublasGemmStridedBatchedEx(void *h, int op_a, int op_b, int m, int n, int k, const void *alpha,
                               const void *a, int type_a, int lda, long long apart_a, const void *b,
                               int type_b, int ldb, long long apart_b, const void *beta, void *c,
                               int type_c, int ldc, long long apart_c, int count, int compute,
                               int algorithm)
{
    const long long size_a = type_a == F32 ? 4 : 2, size_b = type_b == F32 ? 4 : 2;
    int result = count < 1 || apart_c < 1 ? NOT_SUPPORTED : DONE;
    for (int i = 0; i < count && result == DONE; i++)
        result = cublasGemmEx(h, op_a, op_b, m, n, k, alpha, (const char *)a + i * apart_a * size_a,
                              type_a, lda, (const char *)b + i * apart_b * size_b, type_b, ldb,
                              beta, (float *)c + i * apart_c, type_c, ldc, compute, algorithm);
    return result;
}

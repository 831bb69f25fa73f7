/* cuda_device.h - choosing a GPU, the libraries that drive it, and what their errors become.
 *
 * CUDA's runtime is linked statically and finds the driver itself; cuBLAS is opened when a model
 * is loaded. So the program starts on a machine that has neither, and says what is missing.
 */
#ifndef GM_CUDA_DEVICE_H
#define GM_CUDA_DEVICE_H

#include "base/device.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gm_cuda_device {
    int index;
    char name[64];
    int major, minor, multiprocessors;
    size_t memory; /* bytes in all */
    bool early;    /* a kernel may start before the previous one has drained */
} gm_cuda_device;

/* The GPUs that this build can use. Takes no memory of theirs, and without a driver no time; fails
 * where there is none. GM_EABSENT: no driver, one too old for this build, no GPU, none of compute
 * capability 8.0 or later; GM_EDEVICE. */
gm_status gm_cuda_gpus_find(gm_gpus *out, gm_error *err) GM_MUST_USE;

/* Describe GPU `index`, without taking memory of it. GM_EABSENT: no driver, one too old for
 * this build, no such GPU, one older than compute capability 8.0; GM_EDEVICE. */
gm_status gm_cuda_device_look(gm_cuda_device *out, int index, gm_error *err) GM_MUST_USE;

/* Make it the calling thread's, which takes some of its memory, and say what is free. GM_EDEVICE,
 * GM_EMEM. */
gm_status gm_cuda_device_take(const gm_cuda_device *device, size_t *n_free, gm_error *err)
    GM_MUST_USE;

/* What a call of the runtime came to. GM_EDEVICE: "what: CUDA's words"; GM_EMEM where it says
 * that memory is short. */
gm_status gm_cuda_check(cudaError_t result, const char *what, gm_error *err) GM_MUST_USE;

/* How a launch is done: the stream, the number of multiprocessors, whether the device starts a
 * kernel before the previous one has drained (compute capability 9.0). */
typedef struct gm_cuda_how {
    void *stream;
    int multiprocessors;
    bool early;
} gm_cuda_how;

/* Memory of the device, and the host's that it can reach by itself (pinned); NULL on failure.
 * `what` as in "memory for the weights". GM_EMEM says how much was asked for and what is free. */
gm_status gm_cuda_alloc(void **out, size_t bytes, const char *what, gm_error *err) GM_MUST_USE;
gm_status gm_cuda_alloc_pinned(void **out, size_t bytes, const char *what, gm_error *err)
    GM_MUST_USE;

/* ---- cuBLAS ---- */

enum {
    GM_CUDA_MOST_LANES = 5,             /* streams with products of their own */
    GM_CUDA_WORKSPACE_BYTES = 32 << 20, /* of each: what NVIDIA recommends for Hopper */
};

typedef struct gm_cuda_blas {
    void *library; /* NULL where it is another's */
    void *handle[GM_CUDA_MOST_LANES];
    void *workspace; /* on the device, a part for each handle */
    int (*create)(void **), (*destroy)(void *), (*set_stream)(void *, cudaStream_t);
    int (*set_workspace)(void *, void *, size_t);
    int (*gemm)(void *, int, int, int, int, int, const void *, const void *, int, int, const void *,
                int, int, const void *, void *, int, int, int, int);
    int (*gemm_batched)(void *, int, int, int, int, int, const void *, const void *, int, int,
                        long long, const void *, int, int, long long, const void *, void *, int,
                        int, long long, int, int, int);
} gm_cuda_blas;

/* Open libcublas of CUDA 13 or 12, or the file that the environment's GM_CUBLAS names.
 * GM_EABSENT says which files were looked for. */
gm_status gm_cuda_blas_open(gm_cuda_blas *out, gm_error *err) GM_MUST_USE;

/* A lane for each of n streams (at most GM_CUDA_MOST_LANES), with its memory on the chosen GPU, for
 * one thread at a time; `opened` and the streams outlive them. GM_EMEM, GM_EDEVICE. */
gm_status gm_cuda_blas_start(gm_cuda_blas *out, const gm_cuda_blas *opened,
                             const cudaStream_t *stream, int n, gm_error *err) GM_MUST_USE;
void gm_cuda_blas_close(gm_cuda_blas *blas);

/* C (m,n) f32 = factor times A (m,k) times the transpose of B (n,k), rows lda, ldb and ldc elements
 * apart, all on the device; `add`: added to C. `wide`: A and B are f32, otherwise bf16; sums are
 * f32. `count` of them at once, their matrices apart_a, apart_b and apart_c elements from one to
 * the next. With m = 0 nothing is done. GM_EARG: a size beyond INT_MAX; GM_EDEVICE. */
typedef struct gm_cuda_product {
    const void *a, *b;
    float *c;
    size_t m, n, k, lda, ldb, ldc;
    size_t count, apart_a, apart_b, apart_c; /* count 0: 1 */
    float factor;
    bool wide, add;
} gm_cuda_product;
gm_status gm_cuda_multiply(const gm_cuda_blas *blas, int lane, const gm_cuda_product *p,
                           gm_error *err) GM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif

/* cuda_blas.c - cuBLAS, opened at run time, and the one product that is asked of it.
 *
 * Only six functions are used, and their arguments are plain C; so the build needs no header of
 * cuBLAS. The numbers below are those of its ABI (cublas_api.h, library_types.h).
 */
#include "base/cuda/cuda_device.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    OP_N = 0,
    OP_T = 1,
    TYPE_F32 = 0,
    TYPE_BF16 = 14,
    COMPUTE_F32 = 68, /* no TF32: that would have to be asked for */
    ALGORITHM_DEFAULT = -1,
};

static const char *const names[] = {"libcublas.so.13", "libcublas.so.12"};
enum { N_NAMES = sizeof names / sizeof names[0] };

/* It stays when it is closed: cuBLAS keeps threads and contexts of its own. */
static void *open_library(gm_error *err)
{
    const char *named = getenv("GM_CUBLAS");
    if (named && named[0]) {
        void *library = dlopen(named, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (library == NULL) (void)gm_fail(err, GM_EABSENT, "GM_CUBLAS: %s", dlerror());
        return library;
    }
    for (size_t i = 0; i < N_NAMES; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (library) return library;
    }
    (void)gm_fail(err, GM_EABSENT,
                  "cannot open cuBLAS, neither as %s nor as %s; it comes with CUDA: set "
                  "LD_LIBRARY_PATH to its folder or GM_CUBLAS to the file",
                  names[0], names[1]);
    return NULL;
}

/* ISO C has no cast from an object's address to a function's; POSIX has dlsym give one. */
static bool find(void *library, const char *name, void *function)
{
    void *at = dlsym(library, name);
    memcpy(function, &at, sizeof at);
    return at != NULL;
}

static gm_status find_functions(gm_cuda_blas *b, gm_error *err)
{
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        {"cublasCreate_v2", &b->create},
        {"cublasDestroy_v2", &b->destroy},
        {"cublasSetStream_v2", &b->set_stream},
        {"cublasSetWorkspace_v2", &b->set_workspace},
        {"cublasGemmEx", &b->gemm},
        {"cublasGemmStridedBatchedEx", &b->gemm_batched},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!find(b->library, wanted[i].name, wanted[i].function))
            return gm_fail(err, GM_EABSENT, "the cuBLAS library has no function '%s'",
                           wanted[i].name);
    return GM_OK;
}

static gm_status check(int result, const char *what, gm_error *err)
{
    if (result == 0) return GM_OK;
    return gm_fail(err, GM_EDEVICE, "%s: cuBLAS returned error %d", what, result);
}

gm_status gm_cuda_blas_open(gm_cuda_blas *out, gm_error *err)
{
    gm_status status = GM_OK;
    *out = (gm_cuda_blas){0};
    out->library = open_library(err);
    if (out->library == NULL) return GM_EABSENT;
    GM_TRY(find_functions(out, err));
out:
    if (status != GM_OK) gm_cuda_blas_close(out);
    return status;
}

/* A new stream would reset the memory to cuBLAS's own, so that comes second. */
static gm_status start_lane(gm_cuda_blas *b, int i, cudaStream_t stream, gm_error *err)
{
    char *room = (char *)b->workspace + (size_t)i * GM_CUDA_WORKSPACE_BYTES;
    gm_status status = check(b->create(&b->handle[i]), "starting cuBLAS", err);
    if (status == GM_OK)
        status = check(b->set_stream(b->handle[i], stream), "giving cuBLAS its stream", err);
    if (status != GM_OK) return status;
    return check(b->set_workspace(b->handle[i], room, GM_CUDA_WORKSPACE_BYTES),
                 "giving cuBLAS its memory", err);
}

gm_status gm_cuda_blas_start(gm_cuda_blas *out, const gm_cuda_blas *opened,
                             const cudaStream_t *stream, int n, gm_error *err)
{
    gm_status status = GM_OK;
    *out = *opened;
    out->library = NULL;
    GM_TRY(gm_cuda_alloc(&out->workspace, (size_t)n * GM_CUDA_WORKSPACE_BYTES, "memory for cuBLAS",
                         err));
    for (int i = 0; i < n; i++) GM_TRY(start_lane(out, i, stream[i], err));
out:
    if (status != GM_OK) gm_cuda_blas_close(out);
    return status;
}

void gm_cuda_blas_close(gm_cuda_blas *b)
{
    for (int i = 0; i < GM_CUDA_MOST_LANES; i++)
        if (b->handle[i]) (void)b->destroy(b->handle[i]);
    if (b->workspace) (void)cudaFree(b->workspace); /* of nothing, it would take a GPU */
    if (b->library) dlclose(b->library);
    *b = (gm_cuda_blas){0};
}

/* cuBLAS counts columns first: it computes the transpose of C, B times A transposed. */
gm_status gm_cuda_multiply(const gm_cuda_blas *b, int lane, const gm_cuda_product *p, gm_error *err)
{
    const float beta = p->add ? 1.0f : 0.0f;
    const int type = p->wide ? TYPE_F32 : TYPE_BF16;
    if (p->m == 0) return GM_OK;
    if (p->m > INT_MAX || p->n > INT_MAX || p->k > INT_MAX || p->count > INT_MAX)
        return gm_fail(err, GM_EARG, "a matrix product of %zu x %zu x %zu is too large for cuBLAS",
                       p->m, p->n, p->k);
    if (p->count > 1)
        return check(b->gemm_batched(b->handle[lane], OP_T, OP_N, (int)p->n, (int)p->m, (int)p->k,
                                     &p->factor, p->b, type, (int)p->ldb, (long long)p->apart_b,
                                     p->a, type, (int)p->lda, (long long)p->apart_a, &beta, p->c,
                                     TYPE_F32, (int)p->ldc, (long long)p->apart_c, (int)p->count,
                                     COMPUTE_F32, ALGORITHM_DEFAULT),
                     "products of heads", err);
    return check(b->gemm(b->handle[lane], OP_T, OP_N, (int)p->n, (int)p->m, (int)p->k, &p->factor,
                         p->b, type, (int)p->ldb, p->a, type, (int)p->lda, &beta, p->c, TYPE_F32,
                         (int)p->ldc, COMPUTE_F32, ALGORITHM_DEFAULT),
                 "a product", err);
}

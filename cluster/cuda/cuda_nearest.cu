/* cuda_nearest.cu - the nearest of a row of products.
 *
 * A block has a row. Its threads walk over the columns and put what is nearer than the worst kept
 * into shared memory; when that fills up, it is sorted and the nearest are kept. A key is a
 * distance and a number (candidates.h), no two are equal: so what is kept does not depend on the
 * order in which threads come.
 */
#include "cluster/cuda/cuda_nearest.h"

#include "base/cuda/cuda_common.cuh"

enum { THREADS = 256, EACH = 4, ROOM = 2048 };
static_assert(GM_CUDA_MOST_KEPT + THREADS * EACH <= ROOM, "what comes at once has room");

/* Sort key[0..ROOM) ascending: Batcher's bitonic network. All threads. */
__device__ void sort_keys(unsigned long long *key)
{
    for (int size = 2; size <= ROOM; size *= 2)
        for (int apart = size / 2; apart > 0; apart /= 2) {
            for (int i = (int)threadIdx.x; i < ROOM / 2; i += THREADS) {
                const int low = 2 * i - (i & (apart - 1)), high = low + apart;
                const unsigned long long a = key[low], b = key[high];
                const bool up = (low & size) == 0;
                if ((a > b) == up) key[low] = b, key[high] = a;
            }
            __syncthreads();
        }
}

/* Keep the nearest of what is there. All threads, after a barrier. */
__device__ void keep(unsigned long long *key, unsigned *n, unsigned n_kept)
{
    for (unsigned i = *n + threadIdx.x; i < ROOM; i += THREADS) key[i] = ~0ull;
    __syncthreads();
    sort_keys(key);
    if (threadIdx.x == 0 && *n > n_kept) *n = n_kept;
    __syncthreads();
}

/* Launch: (rows), THREADS. */
__global__ static void __launch_bounds__(THREADS) keep_kernel(gm_cuda_keep p)
{
    __shared__ unsigned long long key[ROOM];
    __shared__ unsigned n;
    const size_t r = blockIdx.x;
    const float *dot = p.dot + r * p.stride, own = p.row_norm[r];
    unsigned long long *kept = p.key + r * p.n_kept;
    if (threadIdx.x == 0) n = p.n_keys[r];
    __syncthreads();
    for (unsigned i = threadIdx.x; i < n; i += THREADS) key[i] = kept[i];
    unsigned long long limit = n < (unsigned)p.n_kept ? ~0ull : kept[p.n_kept - 1];
    __syncthreads();
    for (int first = 0; first < p.n_cols; first += THREADS * EACH) {
        for (int e = 0; e < EACH; e++) {
            const int j = first + e * THREADS + (int)threadIdx.x;
            if (j >= p.n_cols || p.first + (unsigned)j == p.self[r]) continue;
            const float s = fmaxf((own + p.norm[j]) - 2.0f * dot[j], 0.0f);
            const unsigned long long k =
                (unsigned long long)__float_as_uint(s) << 32 | (p.first + (unsigned)j);
            if (k < limit) key[atomicAdd(&n, 1u)] = k;
        }
        __syncthreads();
        const bool full = n > ROOM - THREADS * EACH;
        __syncthreads(); /* all have read it */
        if (full) {
            keep(key, &n, (unsigned)p.n_kept);
            limit = key[p.n_kept - 1];
        }
    }
    keep(key, &n, (unsigned)p.n_kept);
    for (unsigned i = threadIdx.x; i < n; i += THREADS) kept[i] = key[i];
    if (threadIdx.x == 0) p.n_keys[r] = n;
}

extern "C" cudaError_t gm_cuda_keep_nearest(const gm_cuda_how *how, const gm_cuda_keep *p)
{
    return launch(how, keep_kernel, dim3((unsigned)p->n_rows), THREADS, 0, *p);
}

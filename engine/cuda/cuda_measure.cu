/* cuda_measure.cu - kernels that do nothing but cost something: what a GPU can do at best. */
#include "engine/cuda/cuda_measure.h"

#include "engine/cuda/cuda_device.cuh"

enum { THREADS = 512, BARRIER_THREADS = 128 };

/* Read n vectors of 16 bytes, LOADS of them on their way from each thread; the sum is written
 * where it never is, so that no load is left out. Launch: THREADS. */
template <int LOADS>
__global__ static void __launch_bounds__(THREADS)
    read_kernel(const uint4 *at, size_t n, unsigned *out)
{
    const size_t step = (size_t)gridDim.x * THREADS;
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    unsigned sum = 0;
    for (; i + (LOADS - 1) * step < n; i += LOADS * step) {
        uint4 q[LOADS];
#pragma unroll
        for (int l = 0; l < LOADS; l++) q[l] = load_once(at + i + l * step);
#pragma unroll
        for (int l = 0; l < LOADS; l++) sum ^= q[l].x ^ q[l].y ^ q[l].z ^ q[l].w;
    }
    if (sum == 0x5eed5eedu && n == 1) *out = sum;
}

extern "C" cudaError_t gm_cuda_measure_read(const gm_cuda_how *how, const void *at, size_t bytes,
                                            int loads, int blocks, unsigned *out)
{
    const uint4 *from = (const uint4 *)at;
    const size_t n = bytes / sizeof(uint4);
    const dim3 grid((unsigned)(how->multiprocessors * blocks));
    if (loads == 1) return launch(how, read_kernel<1>, grid, THREADS, 0, from, n, out);
    if (loads == 2) return launch(how, read_kernel<2>, grid, THREADS, 0, from, n, out);
    if (loads == 4) return launch(how, read_kernel<4>, grid, THREADS, 0, from, n, out);
    return launch(how, read_kernel<8>, grid, THREADS, 0, from, n, out);
}

/* A kernel as small as they come: a block a multiprocessor, one load each. */
__global__ static void empty_kernel(unsigned *at)
{
    wait_for_previous();
    let_next_start();
    if (*at == 0xffffffffu) *at = 0;
}

extern "C" cudaError_t gm_cuda_measure_empty(const gm_cuda_how *how, unsigned *at)
{
    return launch(how, empty_kernel, dim3((unsigned)how->multiprocessors), dim3(THREADS), 0, at);
}

/* All blocks of a grid meet n times: what a persistent kernel would pay for each operation. A block
 * a multiprocessor, so that all run at once. */
__global__ static void __launch_bounds__(BARRIER_THREADS) barrier_kernel(unsigned *arrived, int n)
{
    for (int i = 1; i <= n; i++) {
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrived, 1u);
            while (*(volatile unsigned *)arrived < (unsigned)i * gridDim.x) continue;
            __threadfence();
        }
        __syncthreads();
    }
}

extern "C" cudaError_t gm_cuda_measure_barrier(const gm_cuda_how *how, unsigned *arrived, int n)
{
    return launch(how, barrier_kernel, dim3((unsigned)how->multiprocessors), dim3(BARRIER_THREADS),
                  0, arrived, n);
}

/* cuda_common.cuh - what all kernels share: launching, sums over a warp and a block, and the few
 * instructions that only a GPU has, each with a plain form for the emulation of
 * tests/cuda_emulation.
 *
 * Sums have a fixed tree that depends on neither grid nor batch. There are no atomics on floats.
 */
#ifndef GM_CUDA_COMMON_CUH
#define GM_CUDA_COMMON_CUH

#include "base/cuda/cuda_device.h"

#include <cuda_runtime.h>

enum { WARP = 32 };

/* ---- what only a GPU has ---- */

/* A kernel may start before the previous one has ended: every thread calls this before it
 * reads what that one wrote, and before it leaves. */
__device__ __forceinline__ void wait_for_previous()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* The next kernel may start as soon as every block has said so. */
__device__ __forceinline__ void let_next_start()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ float *dynamic_shared()
{
#ifdef GM_EMULATED_CUDA
    return (float *)emulated_dynamic_shared();
#else
    extern __shared__ __align__(16) float dynamic_shared_memory[];
    return dynamic_shared_memory;
#endif
}

/* What another block of this kernel wrote, or the kernel before the previous one while that still
 * runs: L1 may hold older values. */
template <typename T> __device__ __forceinline__ T read_shared_by_blocks(const T *at)
{
    return __ldcg(at);
}

/* How many came here before. Who comes sees what those before it had written, and shows them what
 * it has, its warp's or block's writes included when they met before: a release and an acquire in
 * one, where fences around an atomic would wait for an order that nobody needs. */
__device__ __forceinline__ unsigned take_ticket(unsigned *ticket)
{
#ifdef GM_EMULATED_CUDA
    return atomicAdd(ticket, 1u);
#else
    unsigned before;
    asm volatile("atom.acq_rel.gpu.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(ticket) : "memory");
    return before;
#endif
}

/* Is this block the last of n that come here? Then it sees what all threads of the others wrote. */
__device__ __forceinline__ bool arrives_last(unsigned *ticket, unsigned n, bool *last)
{
    __syncthreads();
    if (threadIdx.x == 0) *last = take_ticket(ticket) == n - 1;
    __syncthreads();
    return *last;
}

/* The same of warps. */
__device__ __forceinline__ bool warp_arrives_last(unsigned *ticket, unsigned n)
{
    unsigned before = 0;
    __syncwarp();
    if (threadIdx.x % WARP == 0) before = take_ticket(ticket);
    before = __shfl_sync(0xffffffffu, before, 0);
    __syncwarp(); /* a shuffle alone orders no memory */
    return before == n - 1;
}

/* ---- sums ---- */

enum : unsigned { ALL = 0xffffffffu };

template <typename T> __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) x += __shfl_xor_sync(ALL, x, by);
    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, by));
    return x;
}

/* Over the block, for all its threads: warps' sums one after the other. `scratch` (32). */
template <typename T> __device__ __forceinline__ T block_sum(T x, T *scratch)
{
    const unsigned warps = blockDim.x / WARP;
    x = warp_sum(x);
    __syncthreads(); /* scratch may still be read */
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = x;
    __syncthreads();
    T sum = 0;
    for (unsigned w = 0; w < warps; w++) sum += scratch[w];
    return sum;
}

__device__ __forceinline__ float block_max(float x, float *scratch)
{
    const unsigned warps = blockDim.x / WARP;
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = x;
    __syncthreads();
    float top = scratch[0];
    for (unsigned w = 1; w < warps; w++) top = fmaxf(top, scratch[w]);
    return top;
}

/* ---- launching ---- */

/* The one way a kernel is started: a GPU compiler and the emulation read the same call. */
template <typename... P>
static cudaError_t launch(const gm_cuda_how *how, void (*kernel)(P...), dim3 grid, dim3 block,
                          size_t shared_bytes, P... argument)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = (cudaStream_t)how->stream;
    config.attrs = &early;
    config.numAttrs = how->early ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, argument...);
}

static inline unsigned blocks_for(size_t n, size_t each)
{
    return (unsigned)((n + each - 1) / each);
}

#endif

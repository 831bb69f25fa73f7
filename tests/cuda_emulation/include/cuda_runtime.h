/* cuda_runtime.h - CUDA's C++ side for the emulation: what a .cu file writes, as C++.
 *
 * A thread of a block is a fiber (emulated_device.cpp); blocks run one after the other, so a
 * __shared__ variable can be a static one. Warp functions ask for all 32 lanes, as the kernels
 * of engine/cuda/ do. There is no atomicAdd for floats: a kernel that uses one does not compile.
 */
#ifndef GM_EMULATED_RUNTIME_H
#define GM_EMULATED_RUNTIME_H

#include "cuda_runtime_api.h"

#include <cmath>
#include <cstring>
#include <functional>

#define GM_EMULATED_CUDA 1
using std::isinf;
using std::isnan;
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__      static
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

/* Of the fiber that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* ---- launching ---- */

enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };
struct cudaLaunchAttribute {
    cudaLaunchAttributeID id;
    struct {
        int programmaticStreamSerializationAllowed;
    } val;
};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};

cudaError_t emulated_launch(const void *kernel, const cudaLaunchConfig_t *config,
                            std::function<void()> thread);
cudaError_t emulated_allow_shared(const void *kernel, int n_bytes);
cudaError_t emulated_attributes(cudaFuncAttributes *out);
void *emulated_dynamic_shared();

template <typename... P, typename... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...),
                               A... argument)
{
    return emulated_launch(reinterpret_cast<const void *>(kernel), config,
                           [=] { kernel(argument...); });
}

template <typename F> cudaError_t cudaFuncSetAttribute(F kernel, cudaFuncAttribute, int n)
{
    return emulated_allow_shared(reinterpret_cast<const void *>(kernel), n);
}

template <typename F> cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, F)
{
    return emulated_attributes(out);
}

/* ---- what threads of a block do together ---- */

void __syncthreads();
int __syncthreads_or(int mine);

/* Give this lane's eight bytes to the warp; what lane `from` gave comes back. */
uint64_t emulated_exchange(unsigned mask, uint64_t mine, unsigned from);
unsigned emulated_ballot(unsigned mask, bool mine);
unsigned emulated_lane();

template <typename T> T __shfl_sync(unsigned mask, T value, int from)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves up to eight bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulated_exchange(mask, bits, (unsigned)from & 31u);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T> T __shfl_xor_sync(unsigned mask, T value, int by)
{
    return __shfl_sync(mask, value, (int)(emulated_lane() ^ (unsigned)by));
}

inline unsigned __ballot_sync(unsigned mask, int mine)
{
    return emulated_ballot(mask, mine != 0);
}

inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    (void)emulated_ballot(mask, false);
}

/* ---- memory: one operating-system thread, so nothing has to be ordered ---- */

inline void __threadfence()
{
}
inline void __threadfence_system()
{
}
template <typename T> T __ldg(const T *at)
{
    return *at;
}
template <typename T> T __ldcg(const T *at)
{
    return *at;
}
inline unsigned atomicAdd(unsigned *at, unsigned by)
{
    unsigned old = *at;
    *at += by;
    return old;
}
inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long by)
{
    unsigned long long old = *at;
    *at += by;
    return old;
}
inline unsigned atomicOr(unsigned *at, unsigned bits)
{
    unsigned old = *at;
    *at |= bits;
    return old;
}
inline unsigned long long atomicMax(unsigned long long *at, unsigned long long value)
{
    unsigned long long old = *at;
    if (value > old) *at = value;
    return old;
}

/* ---- numbers ---- */

inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
/* Bytes of b (4..7) and a (0..3), one for each digit of `by`. */
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned by)
{
    const uint64_t all = (uint64_t)b << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= (unsigned)(all >> (by >> 4 * i & 7u) * 8 & 0xffu) << 8 * i;
    return out;
}
inline int __popc(unsigned bits)
{
    return __builtin_popcount(bits);
}
inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

#endif

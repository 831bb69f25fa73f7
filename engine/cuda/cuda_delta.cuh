/* cuda_delta.cuh - Gated DeltaNet: what its kernels of few rows and of many share. The definition
 * is cpu/cpu_delta.c and cpu/kernels.h.
 *
 * A column of a head's state, the one of element c of its values, runs along its keys and belongs
 * to four lanes, which keep it in registers: of every 16 elements each has a quad. Columns do not
 * know of one another.
 */
#ifndef GM_CUDA_DELTA_CUH
#define GM_CUDA_DELTA_CUH

#include "engine/cuda/cuda_device.cuh"

enum {
    LANES = 4,              /* of a column */
    COLUMNS = WARP / LANES, /* of a warp at once */
    STEP = 4 * LANES,       /* elements of a column that its lanes have of one quad each */
    MOST_QUADS = GM_CUDA_MAX_DELTA_KEY / STEP,
};

/* ---- the rule ---- */

/* A lane's quads of a column, or of what meets it. */
template <int N> struct Quads {
    float4 at[N];
};

/* This lane's part of the vector at `from`. */
template <int N> __device__ __forceinline__ void load_quads(const float *from, Quads<N> &x)
{
    const int part = (int)threadIdx.x % LANES;
#pragma unroll
    for (int i = 0; i < N; i++) x.at[i] = load_float4(from + i * STEP + part * 4);
}

/* The same of a state, before the previous kernel has ended: an earlier one wrote it. */
template <int N> __device__ __forceinline__ void ask_state(const float *from, Quads<N> &x)
{
    const int part = (int)threadIdx.x % LANES;
#pragma unroll
    for (int i = 0; i < N; i++)
        x.at[i] = read_shared_by_blocks((const float4 *)(const void *)(from + i * STEP + part * 4));
}

template <int N> __device__ __forceinline__ void keep_state(float *to, const Quads<N> &x)
{
    const int part = (int)threadIdx.x % LANES;
#pragma unroll
    for (int i = 0; i < N; i++) *(float4 *)(void *)(to + i * STEP + part * 4) = x.at[i];
}

__device__ __forceinline__ void add_quads(float4 &sum, const float4 &a, const float4 &b)
{
    sum.x = fmaf(a.x, b.x, sum.x), sum.y = fmaf(a.y, b.y, sum.y);
    sum.z = fmaf(a.z, b.z, sum.z), sum.w = fmaf(a.w, b.w, sum.w);
}

/* s = decay s + key step */
__device__ __forceinline__ void correct_quad(float4 &s, const float4 &key, float step, float decay)
{
    s.x = fmaf(key.x, step, decay * s.x), s.y = fmaf(key.y, step, decay * s.y);
    s.z = fmaf(key.z, step, decay * s.z), s.w = fmaf(key.w, step, decay * s.w);
}

/* What a column's lanes have summed, for each of them. */
__device__ __forceinline__ float column_sum(const float4 &part)
{
    float sum = (part.x + part.y) + (part.z + part.w);
    sum += __shfl_xor_sync(ALL, sum, 1);
    return sum + __shfl_xor_sync(ALL, sum, 2);
}

/* Of a value head at a token: how much of the state stays, and how much is corrected. */
struct Rates {
    float decay, beta;
};

/* A token goes through a column. Gives what the head gives, to all four lanes. */
template <int N>
__device__ __forceinline__ float turn_column(Quads<N> &s, const float *query, const float *key,
                                             float value, const Rates &rates)
{
    const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    float4 read = zero, given = zero;
    Quads<N> x;
    load_quads(key, x);
#pragma unroll
    for (int i = 0; i < N; i++) add_quads(read, s.at[i], x.at[i]);
    const float step = rates.beta * (value - rates.decay * column_sum(read));
#pragma unroll
    for (int i = 0; i < N; i++) correct_quad(s.at[i], x.at[i], step, rates.decay);
    load_quads(query, x);
#pragma unroll
    for (int i = 0; i < N; i++) add_quads(given, s.at[i], x.at[i]);
    return column_sum(given);
}

/* ---- before the state ---- */

__device__ __forceinline__ float silu(float x)
{
    return x / (1.0f + expf(-x));
}

/* What a sequence keeps of the channels of a position. */
__device__ __forceinline__ float *history_of(const gm_cuda_delta &p, int sequence, int position)
{
    return p.history + ((size_t)sequence * p.taps + position % p.taps) * p.at_z;
}

/* Where a value head's state begins. */
__device__ __forceinline__ float *state_of(const gm_cuda_delta &p, int sequence, int h)
{
    return p.state + ((size_t)sequence * p.n_heads + h) * p.value * p.key_stride;
}

/* In double, since an error in what stays grows with every token. */
__device__ __forceinline__ Rates find_rates(float rate, float bias, float a, float b)
{
    const double x = (double)a + (double)bias, softplus = x > 20.0 ? x : log1p(exp(x));
    return {(float)exp(-exp((double)rate) * softplus), (float)(1.0 / (1.0 + exp(-(double)b)))};
}

/* The factor that makes a key of this sum of squares as long as 1, and a query 1 / sqrt(key). */
__device__ __forceinline__ float unit_factor(const gm_cuda_delta &p, float squares, bool is_query)
{
    const float factor = 1.0f / sqrtf(squares + GM_DELTA_EPSILON);
    return is_query ? factor / sqrtf((float)p.key) : factor;
}

#endif

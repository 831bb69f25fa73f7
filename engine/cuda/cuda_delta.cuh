/* cuda_delta.cuh - Gated DeltaNet, Mamba2 and short convolutions: what kernels of few rows and of
 * many share. The definition is cpu/cpu_delta.c and cpu/kernels.h.
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

/* s = key step + decay s */
__device__ __forceinline__ void correct_quad(float4 &s, const float4 &key, float step,
                                             const float4 &decay)
{
    s.x = fmaf(key.x, step, decay.x * s.x), s.y = fmaf(key.y, step, decay.y * s.y);
    s.z = fmaf(key.z, step, decay.z * s.z), s.w = fmaf(key.w, step, decay.w * s.w);
}

__device__ __forceinline__ float4 times(const float4 &a, const float4 &b)
{
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

__device__ __forceinline__ float4 all_of(float x)
{
    return make_float4(x, x, x, x);
}

/* What a column's lanes have summed, for each of them. */
__device__ __forceinline__ float column_sum(const float4 &part)
{
    float sum = (part.x + part.y) + (part.z + part.w);
    sum += __shfl_xor_sync(ALL, sum, 1);
    return sum + __shfl_xor_sync(ALL, sum, 2);
}

/* Of a value head at a token: how much of the state stays, and how much is corrected, or added. */
struct Rates {
    float decay, beta;
};

/* A token goes through a column. Gives what the head gives, to all four lanes. EACH: `decay` has
 * one for each element of the key, the rates have none. */
template <int N, bool EACH>
__device__ __forceinline__ float turn_column(Quads<N> &s, const float *query, const float *key,
                                             const float *decay, float value, const Rates &rates)
{
    float4 read = all_of(0.0f), given = read;
    Quads<N> x, left;
    load_quads(key, x);
    if (EACH) load_quads(decay, left);
#pragma unroll
    for (int i = 0; i < N; i++)
        add_quads(read, s.at[i], EACH ? times(left.at[i], x.at[i]) : x.at[i]);
    const float sum = column_sum(read);
    const float step = rates.beta * (value - (EACH ? sum : rates.decay * sum));
#pragma unroll
    for (int i = 0; i < N; i++)
        correct_quad(s.at[i], x.at[i], step, EACH ? left.at[i] : all_of(rates.decay));
    load_quads(query, x);
#pragma unroll
    for (int i = 0; i < N; i++) add_quads(given, s.at[i], x.at[i]);
    return column_sum(given);
}

/* The same of Mamba2, where nothing is corrected, and the value itself is added `skip` times. */
template <int N>
__device__ __forceinline__ float scan_column(Quads<N> &s, const float *query, const float *key,
                                             float value, const Rates &rates, float skip)
{
    const float added = rates.beta * value;
    float4 given = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    Quads<N> x;
    load_quads(key, x);
#pragma unroll
    for (int i = 0; i < N; i++) correct_quad(s.at[i], x.at[i], added, all_of(rates.decay));
    load_quads(query, x);
#pragma unroll
    for (int i = 0; i < N; i++) add_quads(given, s.at[i], x.at[i]);
    return fmaf(skip, value, column_sum(given));
}

/* ---- before the state ---- */

__device__ __forceinline__ float silu(float x)
{
    return x / (1.0f + expf(-x));
}

/* What a sequence keeps of the channels of a position. */
__device__ __forceinline__ float *history_of(const gm_cuda_delta &p, int sequence, int position)
{
    return p.history + ((size_t)sequence * p.taps + position % p.taps) * p.channels;
}

/* Where a value head's state begins. */
__device__ __forceinline__ float *state_of(const gm_cuda_delta &p, int sequence, int h)
{
    return p.state + ((size_t)sequence * p.n_heads + h) * p.value * p.key_stride;
}

__device__ __forceinline__ double softplus(double a)
{
    return a > 20.0 ? a : log1p(exp(a));
}

__device__ __forceinline__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* Of head h, from what its row says (x), its rate and bias: in double, since an error in what stays
 * grows with every token. */
__device__ __forceinline__ Rates find_rates(const gm_cuda_delta &p, const float *x, int h,
                                            float rate, float bias)
{
    const double step = softplus((double)x[p.at_a + h] + (double)bias);
    const double beta = p.skip ? step : 1.0 / (1.0 + exp(-(double)x[p.at_b + h]));
    return {(float)exp(-exp((double)rate) * step), (float)beta};
}

/* The same where each element of a key has a rate of its own: key_stride decays of head h, ones
 * after the last, by threads `first`, first + step, ...; and its beta. */
__device__ __forceinline__ void find_decays(const gm_cuda_delta &p, const float *x, int h,
                                            int first, int step, float *decay)
{
    const double rate = exp((double)p.rate[h]);
    for (int i = first; i < p.key_stride; i += step) {
        const int at = h * p.key + i;
        decay[i] = i < p.key
                       ? (float)exp(-rate * softplus((double)x[p.at_a + at] + (double)p.bias[at]))
                       : 1.0f;
    }
}

__device__ __forceinline__ float beta_of(const gm_cuda_delta &p, const float *x, int h)
{
    return (float)(1.0 / (1.0 + exp(-(double)x[p.at_b + h])));
}

/* What a norm is multiplied with, of element z of its gate. */
__device__ __forceinline__ float gate_of(const gm_cuda_delta &p, float z)
{
    return p.each ? sigmoid(z) : silu(z);
}

/* The factor that makes a key of this sum of squares as long as 1, and a query 1 / sqrt(key). */
__device__ __forceinline__ float unit_factor(const gm_cuda_delta &p, float squares, bool is_query)
{
    const float factor = 1.0f / sqrtf(squares + GM_DELTA_EPSILON);
    return is_query ? factor / sqrtf((float)p.key) : factor;
}

/* ---- the convolution ---- */

/* What is convolved, and kept, as channel c of a projected row; GATED: of a short convolution. */
template <bool GATED>
__device__ __forceinline__ float channel_at(const gm_cuda_delta &p, const float *x, int c)
{
    return GATED ? x[c] * x[p.at_b + c] : x[c];
}

/* Channel c, but for what the row itself adds; before the previous kernel has ended. */
__device__ __forceinline__ float convolve_history(const gm_cuda_delta &p, int sequence,
                                                  int position, int c)
{
    const float *weight = p.conv + c * p.conv_stride;
    float sum = p.conv_bias ? p.conv_bias[c] : 0.0f;
#pragma unroll 4
    for (int j = 0; j < p.taps - 1; j++) {
        const int from = position - (p.taps - 1) + j;
        if (from < 0) continue;
        sum = fmaf(weight[j], read_shared_by_blocks(history_of(p, sequence, from) + c), sum);
    }
    return sum;
}

/* Is the row `back` before r one of the step, and of its sequence? It has one run there. */
__device__ __forceinline__ bool follows(const gm_cuda_delta &p, int r, int back)
{
    return back <= r && p.row[r - back].sequence == p.row[r].sequence;
}

/* Channel c of row r of a step of many. */
template <bool GATED>
__device__ __forceinline__ float convolve_row(const gm_cuda_delta &p, int r, const gm_row &row,
                                              int c)
{
    const float *weight = p.conv + c * p.conv_stride;
    float sum = p.conv_bias ? p.conv_bias[c] : 0.0f;
#pragma unroll 4
    for (int j = 0; j < p.taps; j++) {
        const int back = p.taps - 1 - j, from = (int)row.position - back;
        if (from < 0) continue;
        const float x = follows(p, r, back) ? channel_at<GATED>(p, p.x + (r - back) * p.x_stride, c)
                                            : history_of(p, row.sequence, from)[c];
        sum = fmaf(weight[j], x, sum);
    }
    return sum;
}

/* What the sequence keeps of row r, unless a later one takes its place: channels `first`, `first` +
 * step, ... */
template <bool GATED = false>
__device__ __forceinline__ void keep_channels(const gm_cuda_delta &p, int r, int first, int step)
{
    const int later = r + p.taps;
    if (later < p.n_rows && follows(p, later, p.taps)) return;
    const float *x = p.x + r * p.x_stride;
    float *history = history_of(p, p.row[r].sequence, (int)p.row[r].position);
    for (int c = first; c < p.channels; c += step) history[c] = channel_at<GATED>(p, x, c);
}

/* ---- a head's vectors, of few rows ---- */

/* Query, key and n values from `first` on of head h are one array in shared memory. Which channel
 * element i is; -1: it fills up a query or key. */
__device__ __forceinline__ int channel_of(const gm_cuda_delta &p, int h, int first, int i)
{
    const int key_head = h / (p.n_heads / p.n_key_heads);
    const int part = i / p.key_stride, at = i - part * p.key_stride;
    if (part >= 2) return p.at_v + h * p.value + first + i - 2 * p.key_stride;
    return at < p.key ? (part == 0 ? p.at_q : p.at_k) + key_head * p.key + at : -1;
}

/* What weights and earlier steps give: the convolution but for the row's own channels. T threads.
 */
template <int T>
__device__ __forceinline__ void bring_history(const gm_cuda_delta &p, int sequence, int position,
                                              int h, int first, int n, float *to)
{
    for (int i = (int)threadIdx.x; i < 2 * p.key_stride + n; i += T) {
        const int c = channel_of(p, h, first, i);
        to[i] = c >= 0 ? convolve_history(p, sequence, position, c) : 0.0f;
    }
}

/* The row's own channels, which the block keeps: those of values, and of keys if `keeps_keys`. A
 * thread has the same ones as in bring_history. */
template <int T>
__device__ __forceinline__ void bring_channels(const gm_cuda_delta &p, const float *x, int sequence,
                                               int position, int h, int first, int n,
                                               bool keeps_keys, float *to)
{
    float *history = history_of(p, sequence, position);
    for (int i = (int)threadIdx.x; i < 2 * p.key_stride + n; i += T) {
        const int c = channel_of(p, h, first, i);
        if (c < 0) continue;
        const float weight = p.conv[c * p.conv_stride + p.taps - 1];
        if (i >= 2 * p.key_stride || keeps_keys) history[c] = x[c];
        to[i] = silu(fmaf(weight, x[c], to[i]));
    }
}

#endif

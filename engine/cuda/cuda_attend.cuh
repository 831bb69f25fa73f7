/* cuda_attend.cuh - what both forms of attention do to a row before: norm, clamp and rotation
 * of a head, and storing it in the cache. The definition is cpu/cpu_attention.c.
 */
#ifndef GM_CUDA_ATTEND_CUH
#define GM_CUDA_ATTEND_CUH

#include "engine/cuda/cuda_device.cuh"

/* Factor of the norm over `n` heads of a row (or of one head), by the whole block. */
__device__ __forceinline__ float norm_factor(const float *x, int n, float epsilon, float *scratch)
{
    float squares = 0.0f;
#pragma unroll 8
    for (int i = threadIdx.x; i < n; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
    return 1.0f / sqrtf(block_sum(squares, scratch) / (float)n + epsilon);
}

/* Element i of a head as it leaves norm and clamp; `weight` NULL: no norm. */
__device__ __forceinline__ float normed(float x, float factor, const float *weight, int i,
                                        float clip)
{
    if (weight) x = (x * factor) * weight[i];
    if (clip > 0.0f) {
        x = x > clip ? clip : x; /* NaN stays */
        x = x < -clip ? -clip : x;
    }
    return x;
}

/* The same of one head, by a warp. */
__device__ __forceinline__ float head_factor(const float *x, int n, float epsilon)
{
    float squares = 0.0f;
#pragma unroll 1
    for (int i = threadIdx.x % WARP; i < n; i += WARP) squares = fmaf(x[i], x[i], squares);
    return 1.0f / sqrtf(warp_sum(squares) / (float)n + epsilon);
}

/* Threads that share a head: a warp or a block. */
struct Team {
    int me, n;
};

/* A head through norm, clamp and rotation into `to` (head_dim), rounded as products read it. Ends
 * with every thread's part written, not yet synchronised. */
template <typename W>
__device__ __forceinline__ void rotate_head(const gm_cuda_attention &p, Team team,
                                            const float *head, float factor, const float *weight,
                                            int position, float *to)
{
    const int half = p.head_dim / 2;
    const float *cosine = p.cosine + position * p.angle_stride;
    const float *sine = p.sine + position * p.angle_stride;
#pragma unroll 2
    for (int i = team.me; i < half; i += team.n) {
        const float a = normed(head[i], factor, weight, i, p.clip);
        const float b = normed(head[i + half], factor, weight, i + half, p.clip);
        to[i] = rounded<W>(fmaf(-b, sine[i], a * cosine[i]));
        to[i + half] = rounded<W>(fmaf(a, sine[i], b * cosine[i]));
    }
}

/* Head `h` of `x` (all heads of a row) into `to`, by the whole block. */
template <typename W>
__device__ __forceinline__ void finish_head(const gm_cuda_attention &p, const float *x, int n_heads,
                                            int h, const float *norm, int position, float *to,
                                            float *scratch)
{
    const Team block = {(int)threadIdx.x, (int)blockDim.x};
    const float *head = x + h * p.head_dim;
    float factor = 1.0f;
    if (norm)
        factor = p.norm_whole ? norm_factor(x, n_heads * p.head_dim, p.epsilon, scratch)
                              : norm_factor(head, p.head_dim, p.epsilon, scratch);
    if (norm && p.norm_whole) norm += h * p.head_dim;
    rotate_head<W>(p, block, head, factor, norm, position, to);
}

/* The blocks of a sequence in the cache. */
__device__ __forceinline__ const uint32_t *blocks_of(const gm_cuda_attention &p, int sequence)
{
    return p.block + sequence * p.blocks_per_sequence;
}

/* The row of the cache that holds a position of a sequence: of this layer's (pool blocks, KV
 * heads, 32) rows of head_stride. */
__device__ __forceinline__ unsigned cache_row(const gm_cuda_attention &p, const uint32_t *blocks,
                                              int position, int kv_head)
{
    const unsigned block = read_shared_by_blocks(blocks + position / GM_KV_BLOCK);
    return (block * (unsigned)p.n_kv_heads + (unsigned)kv_head) * GM_KV_BLOCK +
           (unsigned)position % GM_KV_BLOCK;
}

/* Key and value of a KV head into the cache, by the whole block; `key` (head_dim) is finished and
 * visible to all. What is not finite becomes a key of NaN and a value of 0 (kv.h). */
template <typename W>
__device__ __forceinline__ void append_head(const gm_cuda_attention &p, const float *value,
                                            const float *key, size_t row, float *scratch)
{
    W *k = (W *)p.k + row * p.head_stride, *v = (W *)p.v + row * p.head_stride;
    float wrong = 0.0f;
    for (int i = threadIdx.x; i < p.head_dim; i += blockDim.x) {
        const float clamped = normed(value[i], 1.0f, nullptr, i, p.clip);
        if (!(fabsf(key[i]) < INFINITY && fabsf(rounded<W>(clamped)) < INFINITY)) wrong = 1.0f;
    }
    const bool finite = block_sum(wrong, scratch) == 0.0f;
    for (int i = threadIdx.x; i < (int)p.head_stride; i += blockDim.x) {
        const bool inside = i < p.head_dim;
        const float clamped = inside ? normed(value[i], 1.0f, nullptr, i, p.clip) : 0.0f;
        store(k + i, !inside ? 0.0f : finite ? key[i] : NAN);
        store(v + i, inside && finite ? clamped : 0.0f);
    }
}

#endif

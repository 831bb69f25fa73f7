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

/* Head `h` of `x` (all heads of a row) through norm, clamp and rotation into `to` (head_dim), by
 * the whole block. Ends with every thread's part written, not yet synchronised. */
__device__ __forceinline__ void finish_head(const gm_cuda_attention &p, const float *x, int n_heads,
                                            int h, const float *norm, int position, float *to,
                                            float *scratch)
{
    const int half = p.head_dim / 2;
    const float *head = x + h * p.head_dim;
    const float *weight = norm && p.norm_whole ? norm + h * p.head_dim : norm;
    float factor = 1.0f;
    if (norm)
        factor = p.norm_whole ? norm_factor(x, n_heads * p.head_dim, p.epsilon, scratch)
                              : norm_factor(head, p.head_dim, p.epsilon, scratch);
    const float *cosine = p.cosine + position * p.angle_stride;
    const float *sine = p.sine + position * p.angle_stride;
    for (int i = threadIdx.x; i < half; i += blockDim.x) {
        const float a = normed(head[i], factor, weight, i, p.clip);
        const float b = normed(head[i + half], factor, weight, i + half, p.clip);
        to[i] = fmaf(-b, sine[i], a * cosine[i]);
        to[i + half] = fmaf(a, sine[i], b * cosine[i]);
    }
}

/* The row of the cache that holds a position of a sequence: of this layer's (pool blocks, KV
 * heads, 32) rows of head_stride. */
__device__ __forceinline__ size_t cache_row(const gm_cuda_attention &p, int sequence, int position,
                                            int kv_head)
{
    const size_t block = p.block[sequence * p.blocks_per_sequence + position / GM_KV_BLOCK];
    return (block * p.n_kv_heads + kv_head) * GM_KV_BLOCK + position % GM_KV_BLOCK;
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
        if (!(fabsf(rounded<W>(key[i])) < INFINITY && fabsf(rounded<W>(clamped)) < INFINITY))
            wrong = 1.0f;
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

/* cuda_attend.cuh - what both forms of attention do to a head before: norm, clamp, rotation; and
 * where the cache holds it. The definition is cpu/cpu_attention.c.
 */
#ifndef GM_CUDA_ATTEND_CUH
#define GM_CUDA_ATTEND_CUH

#include "engine/cuda/cuda_device.cuh"

/* An element of a head through norm and clamp; a weight and a factor of 1: no norm. */
__device__ __forceinline__ float normed(float x, float factor, float weight, float clip)
{
    x = (x * factor) * weight;
    if (clip > 0.0f) {
        x = x > clip ? clip : x; /* NaN stays */
        x = x < -clip ? -clip : x;
    }
    return x;
}

/* Where the two elements of pair `i` of a head are: first the rotated pairs, then the others. */
struct Places {
    int a, b;
};

__device__ __forceinline__ Places find_pair(const gm_cuda_attention &p, int i)
{
    const int turning = p.rotary_dim / 2, half = p.head_dim / 2;
    if (i >= turning) return {turning + i, half + i};
    if (p.neighbours) return {2 * i, 2 * i + 1};
    return {i, turning + i};
}

/* The two elements of a pair, turned by its angle at the row's position. */
__device__ __forceinline__ void rotate(float &a, float &b, float cosine, float sine)
{
    const float x = a;
    a = fmaf(-b, sine, x * cosine);
    b = fmaf(x, sine, b * cosine);
}

/* Of two arrays, or a head's pairs, what a lane has: elements lane, lane + 32, ... of at most HEAD
 * / 2. */
template <int HEAD> struct Pairs {
    enum { N = HEAD / 2 / WARP };
    float a[N], b[N];
};

template <int HEAD>
__device__ __forceinline__ void load_pairs(const float *a, const float *b, int n, Pairs<HEAD> &x)
{
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++) {
        const int i = (int)threadIdx.x % WARP + c * WARP;
        x.a[c] = i < n ? a[i] : 0.0f;
        x.b[c] = i < n ? b[i] : 0.0f;
    }
}

/* A head, or its norm's weights, of `width` elements: those of the pairs after them are
 * `otherwise`. */
template <int HEAD>
__device__ __forceinline__ void load_head(const gm_cuda_attention &p, const float *head, int width,
                                          float otherwise, Pairs<HEAD> &x)
{
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++) {
        const int i = (int)threadIdx.x % WARP + c * WARP;
        const Places at = find_pair(p, i);
        const bool here = i < p.head_dim / 2;
        x.a[c] = here && at.a < width ? head[at.a] : otherwise;
        x.b[c] = here && at.b < width ? head[at.b] : otherwise;
    }
}

/* The sum of squares of a head, by its warp. */
template <int HEAD> __device__ __forceinline__ float sum_squares(const Pairs<HEAD> &x)
{
    float squares = 0.0f;
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++)
        squares = fmaf(x.b[c], x.b[c], fmaf(x.a[c], x.a[c], squares));
    return warp_sum(squares);
}

/* A lane's pairs of a query or key, which turn, or of a value through norm, clamp and rotation, as
 * products with W read them. */
template <typename W, int HEAD>
__device__ __forceinline__ void finish_pairs(const gm_cuda_attention &p, bool turns,
                                             const Pairs<HEAD> &weight, float factor,
                                             const Pairs<HEAD> &angle, Pairs<HEAD> &x)
{
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++) {
        const int i = (int)threadIdx.x % WARP + c * WARP;
        float a = normed(x.a[c], factor, p.norm_last ? 1.0f : weight.a[c], p.clip);
        float b = normed(x.b[c], factor, p.norm_last ? 1.0f : weight.b[c], p.clip);
        if (turns && i < p.rotary_dim / 2) rotate(a, b, angle.a[c], angle.b[c]);
        if (p.norm_last) a *= weight.a[c], b *= weight.b[c]; /* turning keeps the norm's factor */
        x.a[c] = rounded<W>(a), x.b[c] = rounded<W>(b);
    }
}

/* By how much the queries of a position grow, whose angles begin at `turn`. */
__device__ __forceinline__ float growth_of(const gm_cuda_attention &p, size_t turn)
{
    return p.grows ? p.cosine[turn + p.rotary_dim / 2] : 1.0f;
}

/* What attention gives, by the sigmoid of its gate. */
__device__ __forceinline__ float gated(float x, float gate)
{
    return x / (1.0f + expf(-gate));
}

/* The blocks of a sequence in the cache. */
__device__ __forceinline__ const uint32_t *blocks_of(const gm_cuda_attention &p, int sequence)
{
    return p.block + sequence * p.blocks_per_sequence;
}

/* The first position that a query at `position` sees. */
__device__ __forceinline__ int first_seen(const gm_cuda_attention &p, int position)
{
    if (p.window == 0) return 0;
    if (p.chunked) return position - position % p.window;
    return position >= p.window ? position - p.window + 1 : 0;
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

#endif

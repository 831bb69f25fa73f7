/* cuda_latent.cuh - attention to latents: where the cache holds a position, what turns, and how a
 * latent comes into the cache. The definition is cpu/cpu_latent.c.
 */
#ifndef GM_CUDA_LATENT_CUH
#define GM_CUDA_LATENT_CUH

#include "engine/cuda/cuda_attend.cuh"

/* Elements of a key. */
__device__ __forceinline__ int key_width(const gm_cuda_latents &p)
{
    return p.kv + p.turning;
}

/* Where the row of a position of a sequence begins in this layer's cache. */
__device__ __forceinline__ size_t place_in_cache(const gm_cuda_latents &p, int sequence,
                                                 int position)
{
    const uint32_t *blocks = p.block + sequence * p.blocks_per_sequence;
    const size_t block = read_shared_by_blocks(blocks + position / GM_KV_BLOCK);
    return (block * GM_KV_BLOCK + (size_t)position % GM_KV_BLOCK) * p.head_stride;
}

/* How many splits a row has, and how many its merge finds. */
__device__ __forceinline__ int count_splits(int position)
{
    const int n = position / GM_CUDA_LATENT_SPLIT + 1;
    return n < GM_CUDA_MOST_SPLITS ? n : GM_CUDA_MOST_SPLITS;
}

/* By how much the queries of a position grow. */
__device__ __forceinline__ float growth_of(const gm_cuda_latents &p, int position)
{
    return p.grows ? p.cosine[position * p.angle_stride + p.turning / 2] : 1.0f;
}

struct Turned {
    float a, b;
};

/* Pair i of x times `by`, turned by its angle at a position, as products with W read it. */
template <typename W>
__device__ __forceinline__ Turned turn_pair(const gm_cuda_latents &p, const float *x, float by,
                                            int i, int position)
{
    const size_t at = position * p.angle_stride + i;
    Turned t = {x[2 * i] * by, x[2 * i + 1] * by};
    if (p.cosine) rotate(t.a, t.b, p.cosine[at], p.sine[at]);
    return {rounded<W>(t.a), rounded<W>(t.b)};
}

/* What turns of the query of head h of row r, by `n` threads of which this is number `i`. */
template <typename W>
__device__ __forceinline__ void turn_query(const gm_cuda_latents &p, size_t r, int h, int i, int n)
{
    const int position = (int)p.row[r].position;
    const float *from = p.queries + r * p.queries_stride + h * (p.plain + p.turning) + p.plain;
    float *to = p.query + (r * p.n_heads + h) * p.head_stride + p.kv;
    const float growth = growth_of(p, position);
    for (; i < p.turning / 2; i += n) {
        const Turned t = turn_pair<W>(p, from, growth, i, position);
        to[2 * i] = t.a, to[2 * i + 1] = t.b;
    }
}

/* Element i of a latent after its norm, as the cache has it. */
template <typename W>
__device__ __forceinline__ float latent_element(const gm_cuda_latents &p, const float *latent,
                                                int i, float factor)
{
    return rounded<W>(normed(latent[i], factor, p.k_norm[i], 0.0f));
}

/* Row r's latent and what turns of its key into the cache, by a warp. */
template <typename W>
__device__ __forceinline__ void append_latent(const gm_cuda_latents &p, size_t r)
{
    const int lane = threadIdx.x % WARP, sequence = p.row[r].sequence;
    const int position = (int)p.row[r].position;
    const float *latent = p.keys + r * p.keys_stride;
    W *to = (W *)p.cache + place_in_cache(p, sequence, position);
    float squares = 0.0f;
#pragma unroll 4
    for (int i = lane; i < p.kv; i += WARP) squares = fmaf(latent[i], latent[i], squares);
    const float factor = factor_of(warp_sum(squares), p.kv, GM_LATENT_EPSILON);
    bool wrong = false;
#pragma unroll 4
    for (int i = lane; i < p.kv; i += WARP)
        wrong = wrong || !(fabsf(latent_element<W>(p, latent, i, factor)) < INFINITY);
    for (int i = lane; i < p.turning / 2; i += WARP) {
        const Turned t = turn_pair<W>(p, latent + p.kv, 1.0f, i, position);
        wrong = wrong || !(fabsf(t.a) < INFINITY && fabsf(t.b) < INFINITY);
    }
    wrong = __ballot_sync(ALL, wrong) != 0;
#pragma unroll 4
    for (int i = lane; i < p.kv; i += WARP)
        store(to + i, wrong ? 0.0f : latent_element<W>(p, latent, i, factor));
    for (int i = lane; i < p.turning / 2; i += WARP) {
        const Turned t = turn_pair<W>(p, latent + p.kv, 1.0f, i, position);
        store(to + p.kv + 2 * i, wrong ? NAN : t.a);
        store(to + p.kv + 2 * i + 1, wrong ? NAN : t.b);
    }
    for (int i = key_width(p) + lane; i < (int)p.head_stride; i += WARP) store(to + i, 0.0f);
}

#endif

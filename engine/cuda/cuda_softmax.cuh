/* cuda_softmax.cuh - few rows' attention within a block: who reads which keys, and the online
 * softmax (Milakov & Gimelshein 2018) that each group of lanes keeps.
 *
 * As many lanes share a key as hold its vectors of 8, two a lane. What they have on their way, the
 * queries and the sums are in registers.
 */
#ifndef GM_CUDA_SOFTMAX_CUH
#define GM_CUDA_SOFTMAX_CUH

#include "engine/cuda/cuda_attend.cuh"

enum {
    THREADS = 128,
    WARPS = THREADS / WARP,
    HEADS = 4, /* query heads of a block at most */
    VECS = 2,  /* of 8, that a lane has of a key */
};

/* Who a lane is: its place among the lanes that share a key, and which of the warp's keys. Its
 * vectors are `part` and `part` + lanes. */
struct Lane {
    int lanes, keys; /* lanes of a key, keys of a warp at once */
    int part, which;
};

__device__ __forceinline__ Lane find_lane(int vecs)
{
    const int lane = (int)threadIdx.x % WARP;
    Lane me = {1, WARP, 0, lane};
    while (VECS * me.lanes < vecs) me.lanes *= 2, me.keys /= 2, me.which /= 2;
    me.part = lane & (me.lanes - 1);
    return me;
}

/* What a block keeps in shared memory; a group is the lanes that share a key. */
template <typename W> struct Shared {
    float *part;  /* (G, groups, part_stride): what the groups have summed */
    float *query; /* (G, head_stride) */
    W *own;       /* (2, head_stride): the row's own key, and value */
};

/* Where element i of a query or of a head's sums is: first the first halves of the vectors, then
 * the second ones, so that lanes side by side meet no bank of shared memory twice. */
__device__ __forceinline__ int place_in_head(int i, int stride)
{
    return i % VEC / 4 * (stride / 2) + i / VEC * 4 + i % 4;
}

/* Keys and values that a lane has on their way: its vectors of N of them. */
template <typename W> struct Keys {
    enum { N = Depth<W>::value / VECS };
    Raw<W> k[N][VECS], v[N][VECS];
};

/* The online softmax of a group of lanes: this lane's dims of G heads. */
template <int G> struct Running {
    float top[G], total[G], sum[G][VECS][VEC];
};

template <int G> __device__ __forceinline__ Running<G> nothing_yet()
{
    Running<G> run = {};
#pragma unroll
    for (int g = 0; g < G; g++) run.top[g] = -INFINITY;
    return run;
}

/* Ask the cache for the warp's keys from position `from` on; those before `first` and from `end` on
 * are zeros. */
template <typename W>
__device__ __forceinline__ void ask_keys(const gm_cuda_attention &p, const Lane &me,
                                         const uint32_t *blocks, int kv_head, int from, int first,
                                         int end, Keys<W> &keys)
{
    const unsigned stride = (unsigned)p.head_stride;
    const int vecs = (int)stride / VEC;
#pragma unroll
    for (int i = 0; i < Keys<W>::N; i++) {
        const int j = from + i * me.keys + me.which;
        const bool there = j >= first && j < end;
        const size_t row = there ? (size_t)cache_row(p, blocks, j, kv_head) * stride : 0;
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            const int vec = me.part + c * me.lanes;
            keys.k[i][c] = Raw<W>(), keys.v[i][c] = Raw<W>();
            if (!there || vec >= vecs) continue;
            load_written((const W *)p.k + row + vec * VEC, &keys.k[i][c]);
            load_written((const W *)p.v + row + vec * VEC, &keys.v[i][c]);
        }
    }
}

/* A lane's part of a key's products with the heads' queries. */
template <int G>
__device__ __forceinline__ void multiply_key(const float (&k)[VEC], int c,
                                             const float (&query)[G][VECS][VEC], float (&score)[G])
{
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
        for (int d = 0; d < VEC; d++) score[g] = fmaf(k[d], query[g][c][d], score[g]);
}

/* What the lanes of each key have, together: for all of them at once, as a shuffle takes time. */
template <int N, int G> __device__ __forceinline__ void add_lanes(float (&score)[N][G], int lanes)
{
#pragma unroll 1
    for (int by = lanes / 2; by > 0; by /= 2)
#pragma unroll
        for (int i = 0; i < N; i++)
#pragma unroll
            for (int g = 0; g < G; g++) score[i][g] += __shfl_xor_sync(ALL, score[i][g], by);
}

/* A head's scores become weights, and what was summed before is brought to the new top. */
template <int G, int N>
__device__ __forceinline__ void weigh_keys(float (&score)[N][G], int g, float scale,
                                           Running<G> &run)
{
    float top = run.top[g];
#pragma unroll
    for (int i = 0; i < N; i++) top = fmaxf(top, score[i][g] *= scale);
    const float base = top == -INFINITY ? 0.0f : top, factor = expf(run.top[g] - base);
    run.top[g] = top;
    run.total[g] *= factor;
#pragma unroll
    for (int c = 0; c < VECS; c++)
#pragma unroll
        for (int d = 0; d < VEC; d++) run.sum[g][c][d] *= factor;
#pragma unroll
    for (int i = 0; i < N; i++) {
        score[i][g] = expf(score[i][g] - base);
        run.total[g] += score[i][g];
    }
}

template <int G>
__device__ __forceinline__ void add_value(const float (&v)[VEC], int c, const float (&weight)[G],
                                          Running<G> &run)
{
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
        for (int d = 0; d < VEC; d++) run.sum[g][c][d] = fmaf(weight[g], v[d], run.sum[g][c][d]);
}

/* The keys on their way, whose first one is at `from`: those of positions [first, end). */
template <typename W, int G>
__device__ __forceinline__ void add_keys(const Keys<W> &keys, const float (&query)[G][VECS][VEC],
                                         const Lane &me, int from, int first, int end, float scale,
                                         Running<G> &run)
{
    constexpr int N = Keys<W>::N;
    float score[N][G] = {}, x[VEC];
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            expand(keys.k[i][c], x);
            multiply_key(x, c, query, score[i]);
        }
    add_lanes(score, me.lanes);
#pragma unroll
    for (int i = 0; i < N; i++) {
        const int j = from + i * me.keys + me.which;
#pragma unroll
        for (int g = 0; g < G; g++)
            if (j < first || j >= end) score[i][g] = -INFINITY;
    }
#pragma unroll
    for (int g = 0; g < G; g++) weigh_keys(score, g, scale, run);
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            expand(keys.v[i][c], x);
            add_value(x, c, score[i], run);
        }
}

#endif

/* cuda_merge.cuh - few rows' attention: the sums of a block's groups of lanes become one, by way of
 * shared memory, and those of a row's splits, by way of L2. Both in a fixed order.
 */
#ifndef GM_CUDA_MERGE_CUH
#define GM_CUDA_MERGE_CUH

#include "engine/cuda/cuda_softmax.cuh"

/* What a block keeps in shared memory; a group is the lanes that share a key. */
struct Shared {
    float *query;       /* (G + 2, head_stride): queries, then the row's own key and value */
    float *sum;         /* (G, groups, head_stride) */
    float *top, *total; /* (G, THREADS) */
};

template <int G> __device__ __forceinline__ Shared place_shared(float *at)
{
    Shared s;
    s.sum = at, at += G * THREADS * VECS * VEC;
    s.top = at, at += G * THREADS;
    s.total = at, at += G * THREADS;
    s.query = at;
    return s;
}

template <int G> static size_t shared_bytes(size_t head_stride)
{
    return (G * THREADS * (VECS * VEC + 2) + (G + 2) * head_stride) * sizeof(float);
}

/* Where a split's sums lie: (head_stride), then top and total, for each head. */
__device__ __forceinline__ size_t part_stride(const gm_cuda_attention &p)
{
    return p.head_stride + 4; /* stays a multiple of 16 bytes */
}

/* All groups' sums are brought to the block's top, which s.top (G) then holds, and put side by
 * side in shared memory. Ends synchronised. */
template <int G>
__device__ __forceinline__ void share_groups(const gm_cuda_attention &p, const Shared &s,
                                             const Lane &me, Running<G> &run)
{
    const int groups = WARPS * me.keys, group = (int)threadIdx.x / WARP * me.keys + me.which;
    __shared__ float tops[WARPS][G];
    float top[G];
#pragma unroll
    for (int g = 0; g < G; g++) {
        top[g] = warp_max(run.top[g]);
        if (threadIdx.x % WARP == 0) tops[threadIdx.x / WARP][g] = top[g];
    }
    __syncthreads();
#pragma unroll
    for (int g = 0; g < G; g++) {
#pragma unroll
        for (int w = 0; w < WARPS; w++) top[g] = fmaxf(top[g], tops[w][g]);
        if (threadIdx.x == 0) s.top[g] = top[g];
        const float factor = expf(run.top[g] - (top[g] == -INFINITY ? 0.0f : top[g]));
        if (me.part == 0) s.total[g * groups + group] = run.total[g] * factor;
        float *sum = s.sum + (g * groups + group) * (int)p.head_stride;
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            const int at = (me.part + c * me.lanes) * VEC;
            if (at >= (int)p.head_stride) continue;
#pragma unroll
            for (int d = 0; d < VEC; d += 4)
                *(float4 *)(void *)(sum + at + d) =
                    make_float4(run.sum[g][c][d] * factor, run.sum[g][c][d + 1] * factor,
                                run.sum[g][c][d + 2] * factor, run.sum[g][c][d + 3] * factor);
        }
    }
    __syncthreads();
}

/* The groups' sums, in their order: of a row's only split the result, otherwise a part. */
__device__ __forceinline__ void merge_groups(const gm_cuda_attention &p, const Shared &s,
                                             int groups, int n_heads, float *result, float *part)
{
    const int stride = (int)p.head_stride;
#pragma unroll 1
    for (int i = threadIdx.x; i < n_heads * stride; i += THREADS) {
        const int g = i / stride, d = i % stride;
        const float *sums = s.sum + g * groups * stride + d;
        float total = 0.0f, sum = 0.0f;
#pragma unroll 8
        for (int k = 0; k < groups; k++) sum += sums[k * stride], total += s.total[g * groups + k];
        float *to = part + g * part_stride(p);
        if (result == nullptr) {
            to[d] = sum;
            if (d == 0) to[stride] = s.top[g], to[stride + 1] = total;
        } else if (d < p.head_dim) {
            result[g * p.head_dim + d] = sum / total;
        }
    }
}

/* Splits' factors and totals into shared memory: (heads, splits). */
__device__ __forceinline__ void weigh_splits(const gm_cuda_attention &p, const Shared &s,
                                             const float *part, int n_splits, int n_heads)
{
    const size_t split = p.n_heads * part_stride(p);
#pragma unroll 1
    for (int i = threadIdx.x; i < n_heads * n_splits; i += THREADS) {
        const float *at = part + i % n_splits * split + i / n_splits * part_stride(p);
        s.top[i] = read_shared_by_blocks(at + p.head_stride);
        s.total[i] = read_shared_by_blocks(at + p.head_stride + 1);
    }
    __syncthreads();
#pragma unroll 1
    for (int g = threadIdx.x / WARP; g < n_heads; g += WARPS) {
        float *top = s.top + g * n_splits, *total = s.total + g * n_splits;
        const int lane = threadIdx.x % WARP;
        float most = -INFINITY, all = 0.0f;
#pragma unroll 1
        for (int i = lane; i < n_splits; i += WARP) most = fmaxf(most, top[i]);
        most = warp_max(most);
        if (most == -INFINITY) most = 0.0f;
#pragma unroll 1
        for (int i = lane; i < n_splits; i += WARP) {
            top[i] = expf(top[i] - most);
            all = fmaf(total[i], top[i], all);
        }
        all = warp_sum(all);
        __syncwarp();
        if (lane == 0) total[0] = all;
    }
    __syncthreads();
}

/* The splits, in ascending order, into `result`: a thread four dims and every n-th split, if there
 * are more threads than such; then those sums in their order. */
__device__ __forceinline__ void merge_splits(const gm_cuda_attention &p, const Shared &s,
                                             const float *part, int n_splits, int n_heads,
                                             float *result)
{
    const size_t split = p.n_heads * part_stride(p);
    const int quads = (int)p.head_stride / 4, items = n_heads * quads;
    const int subsets = items < THREADS ? THREADS / items : 1;
    float4 *sums = (float4 *)(void *)s.sum;
    weigh_splits(p, s, part, n_splits, n_heads);
#pragma unroll 1
    for (int i = threadIdx.x; i < items * subsets; i += THREADS) {
        const int item = i % items, g = item / quads, first = i / items;
        const float *at = part + g * part_stride(p) + item % quads * 4;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 8
        for (int k = first; k < n_splits; k += subsets) {
            const float4 x = read_shared_by_blocks((const float4 *)(const void *)(at + k * split));
            const float factor = s.top[g * n_splits + k];
            sum.x = fmaf(factor, x.x, sum.x), sum.y = fmaf(factor, x.y, sum.y);
            sum.z = fmaf(factor, x.z, sum.z), sum.w = fmaf(factor, x.w, sum.w);
        }
        sums[i] = sum;
    }
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < n_heads * p.head_dim; i += THREADS) {
        const int g = i / p.head_dim, d = i % p.head_dim;
        float sum = 0.0f;
#pragma unroll 1
        for (int k = 0; k < subsets; k++) sum += s.sum[(k * items + g * quads) * 4 + d];
        result[i] = sum / s.total[g * n_splits];
    }
}

#endif

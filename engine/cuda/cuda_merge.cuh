/* cuda_merge.cuh - few rows' attention: what the groups of lanes of a block have summed becomes
 * one, by way of shared memory, and what the blocks of a row have, by way of L2. It is the same
 * question twice, answered by a warp a head, in the parts' order.
 *
 * A part is the sums of a head (place_in_head), relative to the largest score, then that score and
 * the sum of the weights.
 */
#ifndef GM_CUDA_MERGE_CUH
#define GM_CUDA_MERGE_CUH

#include "engine/cuda/cuda_softmax.cuh"

/* Floats of a part, and from one to the next: stays a multiple of 16 bytes. */
__device__ __forceinline__ int part_stride(int head_stride)
{
    return head_stride + 4;
}

template <typename W, int G>
__device__ __forceinline__ Shared<W> place_shared(float *at, size_t head_stride)
{
    Shared<W> s;
    s.query = at, at += G * head_stride;
    s.own = (W *)(void *)at, at += 2 * head_stride;
    s.part = at;
    return s;
}

/* A part for each head and group of lanes, as find_lane groups them. */
template <int G> static size_t shared_bytes(size_t head_stride)
{
    size_t groups = THREADS;
    while (VECS * VEC * (THREADS / groups) < head_stride) groups /= 2;
    return (G * groups * (head_stride + 4) + (G + 2) * head_stride) * sizeof(float);
}

/* Every group's part into shared memory. Ends synchronised. */
template <typename W, int G>
__device__ __forceinline__ void share_groups(const Shared<W> &s, const Lane &me, int stride,
                                             const Running<G> &run)
{
    const int groups = WARPS * me.keys, group = (int)threadIdx.x / WARP * me.keys + me.which;
#pragma unroll
    for (int g = 0; g < G; g++) {
        float *part = s.part + (g * groups + group) * part_stride(stride);
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            const int at = (me.part + c * me.lanes) * VEC;
            if (at >= stride) continue;
#pragma unroll
            for (int d = 0; d < VEC; d += 4)
                store_float4(part, place_in_head(at + d, stride),
                             make_float4(run.sum[g][c][d], run.sum[g][c][d + 1],
                                         run.sum[g][c][d + 2], run.sum[g][c][d + 3]));
        }
        if (me.part == 0) part[stride] = run.top[g], part[stride + 1] = run.total[g];
    }
    __syncthreads();
}

/* Four dims of a head. */
__device__ __forceinline__ void scale_quad(float4 &x, float by)
{
    x.x *= by, x.y *= by, x.z *= by, x.w *= by;
}

__device__ __forceinline__ void add_quad(float4 &sum, float by, const float4 &x)
{
    sum.x = fmaf(by, x.x, sum.x), sum.y = fmaf(by, x.y, sum.y);
    sum.z = fmaf(by, x.z, sum.z), sum.w = fmaf(by, x.w, sum.w);
}

enum { TOGETHER = 24 /* parts that a warp asks for at once */ };

/* n parts, `each` floats apart, of one head, by a warp: a lane has the score and weight of one of
 * those asked for together, and four dims of all of them, before it knows what they weigh. They
 * become the result at `head` (value_dim), where the sink is a logit more, without a value; or,
 * where that is NULL, a part. The result counts by the sigmoid of `gate` (value_dim), unless that
 * is NULL. */
__device__ __forceinline__ void merge_parts(const float *parts, int each, int n, int stride,
                                            int value_dim, float sink, const float *gate,
                                            float *head, float *part)
{
    __align__(16) __shared__ float factors[WARPS][WARP];
    const int lane = threadIdx.x % WARP;
    float *const factor = factors[threadIdx.x / WARP];
#pragma unroll 1
    for (int turn = 0; turn < stride; turn += 4 * WARP) {
        const int at = turn + 4 * lane, mine = at < stride ? at : 0;
        float most = -INFINITY, total = 0.0f;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
        for (int first = 0; first < n; first += TOGETHER) {
            const float *from = parts + (size_t)first * each;
            const int left = n - first < TOGETHER ? n - first : TOGETHER;
            const float top = lane < left ? from[lane * each + stride] : -INFINITY;
            const float weight = lane < left ? from[lane * each + stride + 1] : 0.0f;
            float4 x[TOGETHER];
#pragma unroll
            for (int k = 0; k < TOGETHER; k++) /* after the last: that one again, weighing 0 */
                x[k] = load_float4(from + (k < left ? k : left - 1) * each + mine);
            const float now = fmaxf(most, warp_max(top)), base = now == -INFINITY ? 0.0f : now;
            const float before = expf(most - base);
            most = now;
            __syncwarp(); /* factors have been read */
            factor[lane] = expf(top - base);
            total = fmaf(total, before, warp_sum(factor[lane] * weight));
            __syncwarp();
            scale_quad(sum, before);
#pragma unroll
            for (int k = 0; k < TOGETHER; k++) add_quad(sum, factor[k], x[k]);
        }
        if (head == nullptr) {
            if (at < stride) store_float4(part, at, sum);
            if (at == 0) part[stride] = most, part[stride + 1] = total;
            continue;
        }
        total += expf(sink - (most == -INFINITY ? 0.0f : most));
        scale_quad(sum, 1.0f / total);
        const float y[4] = {sum.x, sum.y, sum.z, sum.w};
        const int dim = at < stride / 2 ? 2 * at : 2 * at - stride + 4; /* place_in_head, back */
#pragma unroll
        for (int d = 0; d < 4; d++)
            if (at < stride && dim + d < value_dim)
                head[dim + d] = gate ? gated(y[d], gate[dim + d]) : y[d];
    }
}

/* A head's groups, and by the last block to arrive its row's splits: by the warp `head` of the
 * block, whose first head is the row's `first`. */
__device__ __forceinline__ void merge_head(const gm_cuda_attention &p, const float *shared,
                                           int groups, int head, int first, int split, int n_splits,
                                           float sink)
{
    const size_t r = blockIdx.z;
    const int h = first + head, stride = part_stride((int)p.head_stride), row = p.n_heads * stride;
    float *const result = p.heads + r * p.heads_stride + h * p.value_dim;
    float *const part = p.part + r * (size_t)p.n_splits * row + h * stride;
    unsigned *const ticket = p.ticket + r * p.n_heads + h;
    const float *const gate = p.gate ? p.gate + r * p.qkv_stride + h * p.value_dim : nullptr;
    const float *from = shared + head * groups * stride;
    int each = stride, n = groups;
    bool ends = n_splits == 1;
#pragma unroll 1
    for (;;) { /* one copy of the code; plain loads reach both memories */
        merge_parts(from, each, n, (int)p.head_stride, p.value_dim, sink, gate,
                    ends ? result : nullptr, part + split * row);
        if (ends || !warp_arrives_last(ticket, (unsigned)n_splits)) return;
        if (threadIdx.x % WARP == 0) *ticket = 0;
        from = part, each = row, n = n_splits, ends = true;
    }
}

#endif

/* cuda_attend.cu - attention of few rows: one kernel from the projected row to what the heads
 * give, the cache split among blocks.
 *
 * A block attends to GM_CUDA_SPLIT positions with the query heads of one KV head. The splits of
 * a row are as many as its position asks for; blocks beyond leave at once, so the grid is that
 * of the longest sequence that the session can hold, and a graph of it never changes. The last
 * block of a KV head, found by an integer ticket, merges the splits in ascending order.
 */
#include "engine/cuda/cuda_attend.cuh"

enum { THREADS = 128, WARPS = THREADS / WARP, HEADS = 4 /* values times weights at once */ };

/* What a block keeps in shared memory. */
struct Shared {
    float *query;       /* (group, head_stride) */
    float *key;         /* (head_stride) of the row's own position */
    float *weight;      /* (group, GM_CUDA_SPLIT) */
    float *sum;         /* (THREADS, VEC) */
    float *top, *total; /* (group) */
};

__device__ __forceinline__ Shared place_shared(float *at, int group, int head_stride)
{
    Shared s;
    s.sum = at, at += THREADS * VEC;
    s.query = at, at += group * head_stride;
    s.key = at, at += head_stride;
    s.weight = at, at += group * GM_CUDA_SPLIT;
    s.top = at, at += group;
    s.total = at;
    return s;
}

static size_t shared_floats(int group, size_t head_stride)
{
    return THREADS * VEC + (group + 1) * head_stride + group * GM_CUDA_SPLIT + 2 * group;
}

/* Scores of the split: as many lanes share a key as it has vectors of 8, at most 32; a warp has
 * its keys side by side. */
template <typename W>
__device__ void score_keys(const gm_cuda_attention &p, const Shared &s, int sequence, int kv_head,
                           int first, int n, int group)
{
    const int vecs = (int)p.head_stride / VEC;
    int lanes = 1;
    while (lanes < vecs && lanes < WARP) lanes *= 2;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int keys = WARP / lanes, part = lane % lanes;
    for (int from = warp * keys; from < n; from += WARPS * keys) {
        const int j = from + lane / lanes;
        const bool here = j < n;
        const size_t row = cache_row(p, sequence, first + (here ? j : from), kv_head);
        const W *k = (const W *)p.k + row * p.head_stride;
        for (int g = 0; g < group; g++) {
            float sum = 0.0f;
            for (int v = part; v < vecs; v += lanes) {
                float a[VEC];
                load_vector(k + v * VEC, a);
                const float *q = s.query + g * p.head_stride + v * VEC;
#pragma unroll
                for (int i = 0; i < VEC; i++) sum = fmaf(a[i], q[i], sum);
            }
            for (int by = lanes / 2; by > 0; by /= 2) sum += __shfl_xor_sync(ALL, sum, by);
            if (here && part == 0) s.weight[g * GM_CUDA_SPLIT + j] = sum * p.scale;
        }
    }
}

/* Scores become weights; a warp a head. */
template <typename W> __device__ void weigh_keys(const Shared &s, int n, int group)
{
    const int lane = threadIdx.x % WARP;
    for (int g = threadIdx.x / WARP; g < group; g += WARPS) {
        float *w = s.weight + g * GM_CUDA_SPLIT, top = -INFINITY, total = 0.0f;
        for (int j = lane; j < n; j += WARP) top = fmaxf(top, w[j]);
        top = warp_max(top);
        if (top == -INFINITY) top = 0.0f;
        for (int j = lane; j < n; j += WARP) {
            const float e = expf(w[j] - top);
            total += e;
            w[j] = rounded<W>(e);
        }
        total = warp_sum(total);
        if (lane == 0) s.top[g] = top, s.total[g] = total;
    }
}

/* Weights times values into `to` (H, head_stride + 2) of this split: the sums, then top and total.
 * A thread owns a vector of a head and every n-th key; the parts are added in order. */
template <typename W>
__device__ void sum_values(const gm_cuda_attention &p, const Shared &s, int sequence, int kv_head,
                           int first, int n, int group, float *to)
{
    const int vecs = (int)p.head_stride / VEC, subsets = THREADS / vecs;
    const int v = threadIdx.x % vecs, subset = threadIdx.x / vecs;
    for (int g0 = 0; g0 < group; g0 += HEADS) {
        float sum[HEADS][VEC] = {};
        for (int j = subset; subset < subsets && j < n; j += subsets) {
            float a[VEC];
            const size_t row = cache_row(p, sequence, first + j, kv_head);
            load_vector((const W *)p.v + row * p.head_stride + v * VEC, a);
#pragma unroll
            for (int h = 0; h < HEADS; h++) {
                if (g0 + h >= group) continue;
                const float w = s.weight[(g0 + h) * GM_CUDA_SPLIT + j];
#pragma unroll
                for (int i = 0; i < VEC; i++) sum[h][i] = fmaf(w, a[i], sum[h][i]);
            }
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++) {
            if (g0 + h >= group) continue;
            __syncthreads(); /* s.sum of the head before has been read */
            for (int i = 0; i < VEC && subset < subsets; i++)
                s.sum[(subset * vecs + v) * VEC + i] = sum[h][i];
            __syncthreads();
            float *out = to + (kv_head * group + g0 + h) * (p.head_stride + 2);
            for (int d = threadIdx.x; d < (int)p.head_stride; d += THREADS) {
                float all = 0.0f;
                for (int i = 0; i < subsets; i++) all += s.sum[i * p.head_stride + d];
                out[d] = all;
            }
            if (threadIdx.x == 0) {
                out[p.head_stride] = s.top[g0 + h];
                out[p.head_stride + 1] = s.total[g0 + h];
            }
        }
    }
}

/* The splits of a KV head, in ascending order, into `heads`. */
__device__ void merge_splits(const gm_cuda_attention &p, int r, int kv_head, int n_splits,
                             int group)
{
    const size_t one = p.head_stride + 2, split = p.n_heads * one;
    const float *part = p.part + (size_t)r * p.n_splits * split + kv_head * group * one;
    for (int i = threadIdx.x; i < group * p.head_dim; i += THREADS) {
        const int g = i / p.head_dim, d = i % p.head_dim;
        const float *at = part + g * one;
        float top = -INFINITY, total = 0.0f, sum = 0.0f;
        for (int s = 0; s < n_splits; s++)
            top = fmaxf(top, read_shared_by_blocks(at + s * split + p.head_stride));
        for (int s = 0; s < n_splits; s++) {
            const float *from = at + s * split;
            const float factor = expf(read_shared_by_blocks(from + p.head_stride) - top);
            total = fmaf(factor, read_shared_by_blocks(from + p.head_stride + 1), total);
            sum = fmaf(factor, read_shared_by_blocks(from + d), sum);
        }
        p.heads[r * p.heads_stride + (kv_head * group + g) * p.head_dim + d] = sum / total;
    }
}

/* Launch: (splits, KV heads, rows), THREADS, shared_floats(). */
template <typename W>
__global__ static void __launch_bounds__(THREADS) attend_kernel(gm_cuda_attention p)
{
    __shared__ float scratch[WARP];
    __shared__ bool last;
    const int kv_head = (int)blockIdx.y, r = (int)blockIdx.z, split = (int)blockIdx.x;
    const int group = p.n_heads / p.n_kv_heads;
    const Shared s = place_shared(dynamic_shared(), group, (int)p.head_stride);
    wait_for_previous();
    let_next_start();
    const gm_row row = p.row[r];
    const int position = (int)row.position, n_splits = position / GM_CUDA_SPLIT + 1;
    if (split >= n_splits) return;

    const float *qkv = p.qkv + r * p.qkv_stride;
    for (int g = 0; g < group; g++) {
        float *to = s.query + g * p.head_stride;
        finish_head(p, qkv, p.n_heads, kv_head * group + g, p.q_norm, position, to, scratch);
        for (int i = p.head_dim + threadIdx.x; i < (int)p.head_stride; i += THREADS) to[i] = 0.0f;
    }
    if (split == n_splits - 1) { /* the row's own position lies here */
        finish_head(p, qkv + p.at_k, p.n_kv_heads, kv_head, p.k_norm, position, s.key, scratch);
        __syncthreads();
        append_head<W>(p, qkv + p.at_v + kv_head * p.head_dim, s.key,
                       cache_row(p, row.sequence, position, kv_head), scratch);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < group * (int)p.head_stride; i += THREADS)
        s.query[i] = rounded<W>(s.query[i]);
    __syncthreads();

    const int first = split * GM_CUDA_SPLIT;
    const int n = position + 1 - first < GM_CUDA_SPLIT ? position + 1 - first : GM_CUDA_SPLIT;
    score_keys<W>(p, s, row.sequence, kv_head, first, n, group);
    __syncthreads();
    weigh_keys<W>(s, n, group);
    __syncthreads();
    const size_t one = p.n_heads * (p.head_stride + 2);
    sum_values<W>(p, s, row.sequence, kv_head, first, n, group,
                  p.part + ((size_t)r * p.n_splits + split) * one);

    unsigned *ticket = p.ticket + r * p.n_kv_heads + kv_head;
    if (!arrives_last(ticket, (unsigned)n_splits, &last)) return;
    merge_splits(p, r, kv_head, n_splits, group);
    if (threadIdx.x == 0) *ticket = 0;
}

extern "C" cudaError_t gm_cuda_attend_few(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    const dim3 grid((unsigned)p->n_splits, (unsigned)p->n_kv_heads, (unsigned)p->n_rows);
    const size_t shared = gm_cuda_attend_shared(p->n_heads / p->n_kv_heads, p->head_stride);
    return p->wide ? launch(how, attend_kernel<float>, grid, THREADS, shared, *p)
                   : launch(how, attend_kernel<bf16>, grid, THREADS, shared, *p);
}

extern "C" size_t gm_cuda_attend_shared(int group, size_t head_stride)
{
    return shared_floats(group, head_stride) * sizeof(float);
}

extern "C" cudaError_t gm_cuda_attend_prepare(void)
{
    cudaError_t e = allow_shared(attend_kernel<float>);
    return e != cudaSuccess ? e : allow_shared(attend_kernel<bf16>);
}

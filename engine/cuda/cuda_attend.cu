/* cuda_attend.cu - attention of few rows: one kernel from the projected row to what the heads
 * give, the cache split among blocks.
 *
 * A block attends to a split of the positions with up to HEADS query heads of one KV head. How long
 * a split is follows from the row's position alone, so that a row's sums do not depend on its
 * company; the grid is that of the longest sequence that the session can hold, so that a graph of
 * it never changes, and blocks beyond a row's splits leave at once. Within a block every warp takes
 * every fourth stretch of keys, and the lanes that share a key keep an online softmax of their own
 * (cuda_softmax.cuh). These are merged in shared memory, the splits by the last block to arrive,
 * both in a fixed order (cuda_merge.cuh).
 *
 * Keys and values of earlier positions were written by earlier steps, so the first of them are
 * asked for before the kernel in front has ended.
 */
#include "engine/cuda/cuda_merge.cuh"

/* ---- the row's own part ---- */

/* The row's own key and value, by a warp: into the cache, and to the first group of lanes. The key
 * (head_stride) is finished; `own` has room for the value behind it. What is not finite becomes a
 * key of NaN and a value of 0 (kv.h). */
template <typename W, int G>
__device__ __forceinline__ void add_own(const gm_cuda_attention &p, const Lane &me, size_t row,
                                        float *own, const float *value, bool keep,
                                        const float (&query)[G][VECS][VEC], Running<G> &run)
{
    const int stride = (int)p.head_stride, lane = threadIdx.x % WARP;
    float score[1][G] = {}, x[VEC];
    bool wrong = false;
#pragma unroll 1
    for (int i = lane; i < stride; i += WARP) {
        const bool inside = i < p.head_dim;
        const float v = inside ? rounded<W>(normed(value[i], 1.0f, nullptr, i, p.clip)) : 0.0f;
        own[stride + i] = v;
        wrong = wrong || !(fabsf(own[i]) < INFINITY && fabsf(v) < INFINITY);
    }
    wrong = __ballot_sync(ALL, wrong) != 0;
#pragma unroll 1
    for (int i = lane; i < stride; i += WARP) {
        if (wrong) own[i] = i < p.head_dim ? NAN : 0.0f, own[stride + i] = 0.0f;
        if (!keep) continue;
        store((W *)p.k + row + i, own[i]);
        store((W *)p.v + row + i, own[stride + i]);
    }
    __syncwarp();
#pragma unroll
    for (int c = 0; c < VECS; c++) {
        const int at = (me.part + c * me.lanes) * VEC;
        if (at < stride) load_vector(own + at, x), multiply_key(x, c, query, score[0]);
    }
    add_lanes(score, me.lanes);
    if (me.which != 0) return;
#pragma unroll
    for (int g = 0; g < G; g++) weigh_keys(score, g, p.scale, run);
#pragma unroll
    for (int c = 0; c < VECS; c++) {
        const int at = (me.part + c * me.lanes) * VEC;
        if (at < stride) load_vector(own + stride + at, x), add_value(x, c, score[0], run);
    }
}

/* ---- the kernel ---- */

/* Positions of a split: more where a row would have more splits than a grid has room for. */
__device__ __forceinline__ int positions_of_split(int position)
{
    return GM_CUDA_SPLIT * (position / (GM_CUDA_SPLIT * GM_CUDA_MOST_SPLITS) + 1);
}

/* Queries, and of a row's last split its own key, through norm and rotation: a warp a head. */
template <typename W>
__device__ __forceinline__ void finish_heads(const gm_cuda_attention &p, const float *qkv,
                                             int first_head, int n_heads, int kv_head, int position,
                                             bool own, const Shared &s, float *scratch)
{
    const float *key = qkv + p.at_k;
    float whole[2] = {1.0f, 1.0f}; /* of all queries, of all keys */
    if (p.q_norm && p.norm_whole) {
#pragma unroll 1
        for (int i = 0; i < (own ? 2 : 1); i++) {
            const int n = (i == 0 ? p.n_heads : p.n_kv_heads) * p.head_dim;
            const float factor = norm_factor(i == 0 ? qkv : key, n, p.epsilon, scratch);
            if (i == 0)
                whole[0] = factor;
            else
                whole[1] = factor;
        }
    }
    const Team warp = {(int)(threadIdx.x % WARP), WARP};
#pragma unroll 1
    for (int g = threadIdx.x / WARP; g < n_heads + (own ? 1 : 0); g += WARPS) {
        const bool is_key = g == n_heads;
        const int h = is_key ? kv_head : first_head + g;
        const float *head = (is_key ? key : qkv) + h * p.head_dim;
        const float *norm = is_key ? p.k_norm : p.q_norm;
        float factor = is_key ? whole[1] : whole[0];
        if (norm && !p.norm_whole) factor = head_factor(head, p.head_dim, p.epsilon);
        if (norm && p.norm_whole) norm += h * p.head_dim;
        float *to = s.query + g * p.head_stride;
        rotate_head<W>(p, warp, head, factor, norm, position, to);
#pragma unroll 1
        for (int i = p.head_dim + warp.me; i < (int)p.head_stride; i += WARP) to[i] = 0.0f;
    }
    __syncthreads();
}

/* A lane's part of the queries, and nothing summed yet. */
template <int G>
__device__ __forceinline__ void start_heads(const gm_cuda_attention &p, const Shared &s,
                                            const Lane &me, int n_heads,
                                            float (&query)[G][VECS][VEC], Running<G> &run)
{
#pragma unroll
    for (int g = 0; g < G; g++) {
        run.top[g] = -INFINITY, run.total[g] = 0.0f;
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            const int at = (me.part + c * me.lanes) * VEC;
#pragma unroll
            for (int d = 0; d < VEC; d++) query[g][c][d] = run.sum[g][c][d] = 0.0f;
            if (at < (int)p.head_stride && g < n_heads)
                load_vector(s.query + g * p.head_stride + at, query[g][c]);
        }
    }
}

/* Launch: (splits, KV heads times blocks of G, rows), THREADS, shared_bytes(). G: the
 * most query heads of a block. */
template <typename W, int G>
__global__ static void __launch_bounds__(THREADS) attend_kernel(gm_cuda_attention p)
{
    __shared__ float scratch[WARP];
    __shared__ bool last;
    const int group = p.n_heads / p.n_kv_heads, parts = (group + G - 1) / G;
    const int kv_head = (int)blockIdx.y / parts, first_head = (int)blockIdx.y % parts * G;
    const int n_heads = group - first_head < G ? group - first_head : G;
    const int r = (int)blockIdx.z, split = (int)blockIdx.x, warp = threadIdx.x / WARP;
    const int position = (int)read_shared_by_blocks(&p.row[r].position);
    const int sequence = read_shared_by_blocks(&p.row[r].sequence);
    const int n = positions_of_split(position), n_splits = position / n + 1;
    const int end = (split + 1) * n < position ? (split + 1) * n : position; /* own one apart */
    const Lane me = find_lane((int)p.head_stride / VEC);
    const int stretch = Keys<W>::N * me.keys;
    const uint32_t *blocks = blocks_of(p, sequence);
    const float *qkv = p.qkv + r * p.qkv_stride;
    const int first = kv_head * group + first_head;
    const bool own = split == n_splits - 1;
    const Shared s = place_shared<G>(dynamic_shared());
    int from = split * n + warp * stretch;
    Keys<W> keys;
    float query[G][VECS][VEC];
    Running<G> run;
    bool waiting = true;
#pragma unroll 1
    do { /* one copy of the code: what a kernel takes to fetch its instructions counts here */
        ask_keys(p, me, blocks, kv_head, from, end, keys);
        if (waiting) {
            wait_for_previous();
            let_next_start();
            if (split >= n_splits) return;
            finish_heads<W>(p, qkv, first, n_heads, kv_head, position, own, s, scratch);
            start_heads(p, s, me, n_heads, query, run);
            waiting = false;
        }
        if (from < end) add_keys(keys, query, me, from, end, p.scale, run);
        from += WARPS * stretch;
    } while (from < end);
    if (own && warp == WARPS - 1) /* it has the fewest keys */
        add_own<W>(p, me, (size_t)cache_row(p, blocks, position, kv_head) * p.head_stride,
                   s.query + n_heads * p.head_stride, qkv + p.at_v + kv_head * p.head_dim,
                   first_head == 0, query, run);
    share_groups(p, s, me, run);
    float *result = p.heads + r * p.heads_stride + first * p.head_dim;
    const size_t one = p.n_heads * part_stride(p);
    float *part = p.part + (size_t)r * p.n_splits * one + first * part_stride(p);
    merge_groups(p, s, WARPS * me.keys, n_heads, n_splits == 1 ? result : nullptr,
                 part + split * one);
    if (n_splits == 1) return;
    unsigned *ticket = p.ticket + r * p.n_heads + blockIdx.y;
    if (!arrives_last(ticket, (unsigned)n_splits, &last)) return;
    merge_splits(p, s, part, n_splits, n_heads, result);
    if (threadIdx.x == 0) *ticket = 0;
}

template <typename W, int G>
static cudaError_t attend(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    const int group = p->n_heads / p->n_kv_heads, blocks = (group + G - 1) / G;
    const dim3 grid((unsigned)p->n_splits, (unsigned)(p->n_kv_heads * blocks), (unsigned)p->n_rows);
    return launch(how, attend_kernel<W, G>, grid, THREADS, shared_bytes<G>(p->head_stride), *p);
}

template <typename W>
static cudaError_t attend_group(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    const int group = p->n_heads / p->n_kv_heads;
    if (group == 1) return attend<W, 1>(how, p);
    return group == 2 ? attend<W, 2>(how, p) : attend<W, HEADS>(how, p);
}

extern "C" cudaError_t gm_cuda_attend_few(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    return p->wide ? attend_group<float>(how, p) : attend_group<bf16>(how, p);
}

/* cuda_attend.cu - attention of few rows: one kernel from the projected row to what the heads
 * give, the cache split among blocks.
 *
 * A block attends to a split of the positions with up to HEADS query heads of one KV head. Which
 * positions a split has follows from the row's position alone, so that a row's sums do not depend
 * on its company. The grid is that of the longest sequence that the session can hold, or of the
 * layer's window, so that a graph of it never changes; blocks beyond a row's splits leave at once.
 * Within a block every warp takes every fourth stretch of keys, and the lanes that share a key keep
 * an online softmax of their own (cuda_softmax.cuh). These are merged in shared memory, the splits
 * by the last block to arrive, both in a fixed order (cuda_merge.cuh).
 *
 * A step waits for the last block, and what that does one after the other is what attention costs:
 * the row's heads are read (cuda_heads.cuh), multiplied, merged, written, a ticket taken, the other
 * splits read. Everything else is asked for before or meanwhile. Keys and values of earlier
 * positions were written by earlier steps, so the first of them are asked for before the previous
 * kernel has ended.
 */
#include "engine/cuda/cuda_heads.cuh"
#include "engine/cuda/cuda_merge.cuh"

/* A lane's part of the queries. */
template <typename W, int G>
__device__ __forceinline__ void load_queries(const Shared<W> &s, const Lane &me, int stride,
                                             int n_heads, float (&query)[G][VECS][VEC])
{
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
        for (int c = 0; c < VECS; c++)
#pragma unroll
            for (int d = 0; d < VEC; d += 4) {
                const int at = (me.part + c * me.lanes) * VEC + d;
                float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                if (at < stride && g < n_heads)
                    x = load_float4(s.query + g * stride + place_in_head(at, stride));
                query[g][c][d] = x.x, query[g][c][d + 1] = x.y;
                query[g][c][d + 2] = x.z, query[g][c][d + 3] = x.w;
            }
}

/* Split i has GM_CUDA_SPLIT positions from i GM_CUDA_SPLIT on, counted from the stretch of them in
 * which the first lies that the row sees, and again where every one of GM_CUDA_MOST_SPLITS has had
 * its turn. Launch: (splits, KV heads times blocks of G, rows),
 * THREADS, shared_bytes(). G: the most query heads of a block; HEAD: their most elements. With one,
 * three blocks fit a multiprocessor; 0 leaves it to the compiler. */
template <typename W, int G, int HEAD>
__global__ static void __launch_bounds__(THREADS, G == 1 ? 3 : 0)
    attend_kernel(gm_cuda_attention p, int group, int parts)
{
    const int r = (int)blockIdx.z, split = (int)blockIdx.x, warp = threadIdx.x / WARP;
    const int position = (int)read_shared_by_blocks(&p.row[r].position);
    const uint32_t *blocks = blocks_of(p, read_shared_by_blocks(&p.row[r].sequence));
    const int first = first_seen(p, position), begin = first / GM_CUDA_SPLIT;
    const int turn = position / GM_CUDA_SPLIT - begin, stride = (int)p.head_stride;
    const int n_splits = turn < GM_CUDA_MOST_SPLITS ? turn + 1 : GM_CUDA_MOST_SPLITS;
    const int kv_head = (int)blockIdx.y / parts, before = (int)blockIdx.y % parts * G;
    const bool own = split == turn % GM_CUDA_MOST_SPLITS;
    const Heads heads = {kv_head, kv_head * group + before, group - before < G ? group - before : G,
                         own, own && before == 0};
    const unsigned row = cache_row(p, blocks, position, kv_head);
    const Lane me = find_lane(stride / VEC);
    const int stretch = Keys<W>::N * me.keys;
    const Shared<W> s = place_shared<W, G>(dynamic_shared(), p.head_stride);
    int start = (begin + split) * GM_CUDA_SPLIT, from = start + warp * stretch;
    Keys<W> keys;
    float query[G][VECS][VEC];
    Running<G> run;
    bool waiting = true;
#pragma unroll 1
    do { /* one copy of the code: what a kernel takes to fetch its instructions counts here */
        const int end = start + GM_CUDA_SPLIT;
        ask_keys(p, me, blocks, kv_head, from, first, end < position ? end : position, keys);
        if (waiting) {
            wait_for_previous();
            let_next_start();
            if (split >= n_splits) return;
            finish_heads<W, G, HEAD>(p, heads, p.qkv + r * p.qkv_stride, position, row, s);
            load_queries(s, me, stride, heads.n, query);
            run = nothing_yet<G>();
            waiting = false;
        }
        if (own) take_own(s, me, stride, from, position, keys);
        const int until = end < position + 1 ? end : position + 1;
        if (from < until) add_keys(keys, query, me, from, first, until, p.scale, run);
        from += WARPS * stretch;
        if (from >= end)
            start += GM_CUDA_SPLIT * GM_CUDA_MOST_SPLITS, from = start + warp * stretch;
    } while (start <= position);
    const float sink = p.sinks && warp < heads.n ? p.sinks[heads.first + warp] : -INFINITY;
    share_groups(s, me, stride, run);
    if (warp < heads.n)
        merge_head(p, s.part, WARPS * me.keys, warp, heads.first, split, n_splits, sink);
}

template <typename W, int G, int HEAD>
static cudaError_t attend(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    const int group = p->n_heads / p->n_kv_heads, parts = (group + G - 1) / G;
    const dim3 grid((unsigned)p->n_splits, (unsigned)(p->n_kv_heads * parts), (unsigned)p->n_rows);
    return launch(how, attend_kernel<W, G, HEAD>, grid, THREADS, shared_bytes<G>(p->head_stride),
                  *p, group, parts);
}

template <typename W>
static cudaError_t attend_group(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    const int group = p->n_heads / p->n_kv_heads;
    if (p->head_dim > GM_CUDA_HEAD) return attend<W, HEADS, GM_CUDA_MAX_HEAD>(how, p);
    if (group == 1) return attend<W, 1, GM_CUDA_HEAD>(how, p);
    return group == 2 ? attend<W, 2, GM_CUDA_HEAD>(how, p) : attend<W, HEADS, GM_CUDA_HEAD>(how, p);
}

extern "C" cudaError_t gm_cuda_attend_few(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    return p->wide ? attend_group<float>(how, p) : attend_group<bf16>(how, p);
}

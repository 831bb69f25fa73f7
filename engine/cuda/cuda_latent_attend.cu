/* cuda_latent_attend.cu - attention to latents: up to 16 queries walk over the cache together, in
 * few rows some heads of a row over a split of it, in many a head's of a tile of rows over all.
 *
 * All heads have the same keys, and a key's first elements are the value, so a block brings a
 * position into shared memory once, for all its queries and for both products. A warp has some of
 * the queries: a lane a key for the scores, then four of every 128 elements of all values. The
 * products are fused multiply-adds, not tensor cores.
 */
#include "engine/cuda/cuda_latent.cuh"

enum {
    THREADS = 128,
    WARPS = THREADS / WARP,
    LANE_DIMS = 4, /* a lane sums 4 dims of every 128 */
    CHUNKS = GM_CUDA_MAX_LATENT / (WARP * LANE_DIMS),
    FEW_QUERIES = 2, /* of a warp */
    MANY_QUERIES = GM_TILE_ROWS / WARPS,
};

/* Positions that are in shared memory at once: as many as there is room for. */
template <typename W> struct Staged {
    enum { KEYS = sizeof(W) == 2 ? WARP : WARP / 2, PARTS = WARP / KEYS };
};

/* Elements from one key to the next in shared memory; from one query: lanes side by side meet
 * different banks. */
template <typename W> __host__ __device__ inline int key_stride(size_t head_stride)
{
    return (int)(head_stride + 16 / sizeof(W));
}

template <typename W, int Q> static size_t shared_bytes(size_t head_stride)
{
    const size_t query = (size_t)key_stride<float>(head_stride) * sizeof(float);
    const size_t key = (size_t)key_stride<W>(head_stride) * sizeof(W);
    return WARPS * Q * (query + Staged<W>::KEYS * sizeof(float)) + Staged<W>::KEYS * key;
}

/* A block's queries: n of them, each a row or a head further than the one before. */
struct Queries {
    int row, head, rows_apart, heads_apart, n;
    int sequence, position; /* of the first */
};

template <typename W> struct Near {
    float *query;  /* (WARPS Q, key_stride<float>) */
    W *key;        /* (KEYS, key_stride<W>) */
    float *weight; /* (KEYS, WARPS Q) */
};

template <typename W, int Q>
__device__ __forceinline__ Near<W> place_near(float *at, size_t head_stride)
{
    Near<W> s;
    s.query = at, at += WARPS * Q * key_stride<float>(head_stride);
    s.weight = at, at += WARPS * Q * Staged<W>::KEYS;
    s.key = (W *)(void *)at;
    return s;
}

template <typename W, int Q>
__device__ __forceinline__ void load_queries(const gm_cuda_latents &p, const Queries &q,
                                             const Near<W> &s)
{
    const int stride = (int)p.head_stride, width = key_width(p);
    for (int i = threadIdx.x; i < WARPS * Q * stride; i += THREADS) {
        const int e = i / stride, d = i % stride;
        const size_t r = q.row + e * q.rows_apart, h = q.head + e * q.heads_apart;
        float x = 0.0f;
        if (e < q.n && d < width) x = p.query[(r * p.n_heads + h) * p.head_stride + d];
        s.query[e * key_stride<float>(p.head_stride) + d] = rounded<W>(x);
    }
}

/* Positions [from, end) into their places, of the KEYS from `start` on, and zeros after them. What
 * is asked for at once ends with these KEYS: what follows in memory may be no cache. */
template <typename W>
__device__ __forceinline__ void stage_keys(const gm_cuda_latents &p, int sequence, int start,
                                           int from, int end, const Near<W> &s)
{
    enum { AT_ONCE = 6 };
    const int vecs = (int)p.head_stride / VEC, ld = key_stride<W>(p.head_stride);
    const W *cache = (const W *)p.cache + place_in_cache(p, sequence, start);
    const int most = start + Staged<W>::KEYS, stop = end < most ? end : most;
#pragma unroll 1
    for (int i = threadIdx.x; i < Staged<W>::KEYS * vecs; i += AT_ONCE * THREADS) {
        Raw<W> raw[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int v = i + k * THREADS, j = start + v / vecs;
            raw[k] = Raw<W>();
            if (j >= from && j < stop) load_written(cache + (size_t)v * VEC, &raw[k]);
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int v = i + k * THREADS, j = v / vecs;
            if (j < Staged<W>::KEYS && start + j >= from)
                *(Raw<W> *)(void *)(s.key + j * ld + v % vecs * VEC) = raw[k];
        }
    }
}

/* What a warp knows of its queries. */
template <int Q> struct Running {
    float top[Q], total[Q], sum[Q][CHUNKS * LANE_DIMS];
};

/* Scores of the warp's queries for the staged keys, a key a lane, or two where few are staged; then
 * their weights. `end`: of the positions that each query sees. */
template <typename W, int Q>
__device__ __forceinline__ void weigh_keys(const gm_cuda_latents &p, const Near<W> &s, int start,
                                           const int (&end)[Q], Running<Q> &run)
{
    constexpr int KEYS = Staged<W>::KEYS, PARTS = Staged<W>::PARTS;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, key = lane % KEYS;
    const int ldq = key_stride<float>(p.head_stride), first = lane / KEYS * VEC;
    const float *query = s.query + warp * Q * ldq;
    const W *at = s.key + key * key_stride<W>(p.head_stride);
    float score[Q] = {};
#pragma unroll 2
    for (int d = first; d < (int)p.head_stride; d += PARTS * VEC) {
        float k[VEC];
        load_vector(at + d, k);
#pragma unroll
        for (int q = 0; q < Q; q++) {
            float x[VEC];
            load_vector(query + q * ldq + d, x);
#pragma unroll
            for (int i = 0; i < VEC; i++) score[q] = fmaf(x[i], k[i], score[q]);
        }
    }
#pragma unroll
    for (int q = 0; q < Q; q++) {
        if (PARTS > 1) score[q] += __shfl_xor_sync(ALL, score[q], KEYS);
        const bool sees = start + key < end[q];
        const float scaled = sees ? score[q] * p.scale : -INFINITY;
        const float top = fmaxf(run.top[q], warp_max(scaled));
        const float base = top == -INFINITY ? 0.0f : top, factor = expf(run.top[q] - base);
        const float e = sees ? expf(scaled - base) : 0.0f;
        run.total[q] = fmaf(run.total[q], factor, warp_sum(first == 0 ? e : 0.0f));
        run.top[q] = top;
#pragma unroll
        for (int i = 0; i < CHUNKS * LANE_DIMS; i++) run.sum[q][i] *= factor;
        if (first == 0) s.weight[key * WARPS * Q + warp * Q + q] = rounded<W>(e);
    }
    __syncwarp();
}

__device__ __forceinline__ void load_four(const float *at, float (&out)[LANE_DIMS])
{
    const float4 x = load_float4(at);
    out[0] = x.x, out[1] = x.y, out[2] = x.z, out[3] = x.w;
}

__device__ __forceinline__ void load_four(const bf16 *at, float (&out)[LANE_DIMS])
{
    const uint2 x = *(const uint2 *)(const void *)at;
    out[0] = __uint_as_float(x.x << 16), out[1] = __uint_as_float(x.x & 0xffff0000u);
    out[2] = __uint_as_float(x.y << 16), out[3] = __uint_as_float(x.y & 0xffff0000u);
}

/* The staged values times their weights: the first `kv` elements of the keys. */
template <typename W, int Q>
__device__ __forceinline__ void add_values(const gm_cuda_latents &p, const Near<W> &s,
                                           Running<Q> &run)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int ld = key_stride<W>(p.head_stride);
#pragma unroll 2
    for (int j = 0; j < Staged<W>::KEYS; j++) {
        float weight[Q];
#pragma unroll
        for (int q = 0; q < Q; q++) weight[q] = s.weight[j * WARPS * Q + warp * Q + q];
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            const int d = (c * WARP + lane) * LANE_DIMS;
            float v[LANE_DIMS];
            if (d >= p.kv) continue;
            load_four(s.key + j * ld + d, v);
#pragma unroll
            for (int q = 0; q < Q; q++)
#pragma unroll
                for (int i = 0; i < LANE_DIMS; i++) {
                    float &sum = run.sum[q][c * LANE_DIMS + i];
                    sum = fmaf(weight[q], v[i], sum);
                }
        }
    }
}

/* A split's sums, the largest score and the weights' sum. */
template <typename W, int Q>
__device__ __forceinline__ void keep_part(const gm_cuda_latents &p, const Queries &q,
                                          const Running<Q> &run)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const size_t split = (size_t)q.row * p.n_splits + blockIdx.x;
#pragma unroll
    for (int i = 0; i < Q; i++) {
        const int e = warp * Q + i;
        if (e >= q.n) break;
        float *part = p.part + (split * p.n_heads + q.head + e) * (p.head_stride + 4);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            const int d = (c * WARP + lane) * LANE_DIMS;
            const float *sum = run.sum[i] + c * LANE_DIMS;
            if (d < p.kv)
                *(float4 *)(void *)(part + d) = make_float4(sum[0], sum[1], sum[2], sum[3]);
        }
        if (lane == 0) part[p.head_stride] = run.top[i], part[p.head_stride + 1] = run.total[i];
    }
}

/* What attention gives, for the product with the head's values. */
template <typename W, int Q>
__device__ __forceinline__ void keep_heads(const gm_cuda_latents &p, const Queries &q,
                                           const Running<Q> &run)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < Q; i++) {
        const int e = warp * Q + i;
        if (e >= q.n) break;
        const size_t r = q.row + e;
        W *to = (W *)p.of_heads + (r * p.n_heads + q.head) * p.each_stride;
#pragma unroll
        for (int k = 0; k < CHUNKS * LANE_DIMS; k++) {
            const int d = (k / LANE_DIMS * WARP + lane) * LANE_DIMS + k % LANE_DIMS;
            if (d < p.kv) store(to + d, run.sum[i][k] / run.total[i]);
        }
    }
}

/* FEW: launch (splits, blocks of heads, rows), of a split the blocks of the cache `split`, and
 * again GM_CUDA_MOST_SPLITS further; earlier positions' keys were written by earlier steps and are
 * asked for before the previous kernel has ended. Otherwise: (tiles, H). THREADS, shared_bytes().
 */
template <typename W, int Q, bool FEW>
__global__ static void __launch_bounds__(THREADS)
    latent_attend_kernel(gm_cuda_latents p, const gm_tile *tiles)
{
    constexpr int KEYS = Staged<W>::KEYS;
    const int warp = threadIdx.x / WARP;
    const Near<W> s = place_near<W, Q>(dynamic_shared(), p.head_stride);
    Queries q = {};
    if (FEW) {
        q.row = (int)blockIdx.z, q.head = (int)blockIdx.y * WARPS * Q, q.heads_apart = 1;
        q.n = p.n_heads - q.head < WARPS * Q ? p.n_heads - q.head : WARPS * Q;
        q.position = (int)read_shared_by_blocks(&p.row[q.row].position);
        q.sequence = read_shared_by_blocks(&p.row[q.row].sequence);
    } else {
        wait_for_previous();
        const gm_tile tile =
            tiles[gridDim.x - 1 - blockIdx.x]; /* the last see the most positions */
        q.row = (int)tile.first, q.head = (int)blockIdx.y, q.rows_apart = 1, q.n = (int)tile.n;
        q.position = (int)p.row[q.row].position, q.sequence = p.row[q.row].sequence;
        load_queries<W, Q>(p, q, s);
    }
    Running<Q> run = {};
    int end[Q];
#pragma unroll
    for (int i = 0; i < Q; i++) {
        const int e = warp * Q + i;
        end[i] = e < q.n ? q.position + e * q.rows_apart + 1 : 0;
        run.top[i] = -INFINITY;
    }
    const int last = FEW ? q.position : q.position + q.n - 1;
    const int step = (FEW ? GM_CUDA_MOST_SPLITS : 1) * GM_KV_BLOCK;
    bool waiting = FEW;
#pragma unroll 1
    for (int start = FEW ? (int)blockIdx.x * GM_KV_BLOCK : 0; start <= last;) {
        __syncthreads(); /* what was staged before has been used */
        stage_keys(p, q.sequence, start, start, FEW ? last : last + 1, s);
        if (waiting) {
            wait_for_previous();
            let_next_start();
            load_queries<W, Q>(p, q, s);
            waiting = false;
        }
        if (FEW && last < start + KEYS) stage_keys(p, q.sequence, start, last, last + 1, s);
        __syncthreads();
        weigh_keys<W, Q>(p, s, start, end, run);
        add_values<W, Q>(p, s, run);
        start += KEYS;
        if (start % GM_KV_BLOCK == 0) start += step - GM_KV_BLOCK;
    }
    if (waiting) { /* a split after the row's last */
        wait_for_previous();
        return;
    }
    if (FEW)
        keep_part<W, Q>(p, q, run);
    else
        keep_heads<W, Q>(p, q, run);
}

static_assert((int)GM_CUDA_LATENT_SPLIT == (int)GM_KV_BLOCK,
              "a split's stretch is a block of the cache");

template <typename W>
static cudaError_t attend_few(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    const dim3 grid((unsigned)p->n_splits, blocks_for((size_t)p->n_heads, WARPS * FEW_QUERIES),
                    (unsigned)p->n_rows);
    return launch(how, latent_attend_kernel<W, FEW_QUERIES, true>, grid, THREADS,
                  shared_bytes<W, FEW_QUERIES>(p->head_stride), *p, (const gm_tile *)nullptr);
}

extern "C" cudaError_t gm_cuda_latent_attend_few(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    return p->wide ? attend_few<float>(how, p) : attend_few<bf16>(how, p);
}

template <typename W>
static cudaError_t attend_many(const gm_cuda_how *how, const gm_cuda_latents *p,
                               const gm_tile *tile, int n_tiles)
{
    const dim3 grid((unsigned)n_tiles, (unsigned)p->n_heads);
    return launch(how, latent_attend_kernel<W, MANY_QUERIES, false>, grid, THREADS,
                  shared_bytes<W, MANY_QUERIES>(p->head_stride), *p, tile);
}

extern "C" cudaError_t gm_cuda_latent_attend_many(const gm_cuda_how *how, const gm_cuda_latents *p,
                                                  const gm_tile *tile, int n_tiles)
{
    return p->wide ? attend_many<float>(how, p, tile, n_tiles)
                   : attend_many<bf16>(how, p, tile, n_tiles);
}

/* ---- many rows: what comes before ---- */

/* Launch: (rows), THREADS. The first warp has the row's latent beside its part of the queries. */
template <typename W> __global__ static void latent_append_kernel(gm_cuda_latents p)
{
    wait_for_previous();
    const size_t r = blockIdx.x;
    const int warp = threadIdx.x / WARP, dim = p.plain + p.turning;
    const float *queries = p.queries + r * p.queries_stride;
    const float growth = growth_of(p, (int)p.row[r].position);
    if (warp == 0) append_latent<W>(p, r);
    for (int h = warp; h < p.n_heads; h += WARPS) {
        W *to = (W *)p.of_heads + (r * p.n_heads + h) * p.each_stride;
        for (int k = threadIdx.x % WARP; k < p.plain; k += WARP)
            store(to + k, queries[h * dim + k] * growth);
        turn_query<W>(p, r, h, threadIdx.x % WARP, WARP);
    }
}

extern "C" cudaError_t gm_cuda_latent_append_many(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    const dim3 grid((unsigned)p->n_rows);
    return p->wide ? launch(how, latent_append_kernel<float>, grid, THREADS, 0, *p)
                   : launch(how, latent_append_kernel<bf16>, grid, THREADS, 0, *p);
}

extern "C" cudaError_t gm_cuda_latent_attend_prepare(void)
{
    cudaError_t e = allow_shared(latent_attend_kernel<float, FEW_QUERIES, true>);
    if (e == cudaSuccess) e = allow_shared(latent_attend_kernel<bf16, FEW_QUERIES, true>);
    if (e == cudaSuccess) e = allow_shared(latent_attend_kernel<float, MANY_QUERIES, false>);
    return e != cudaSuccess ? e : allow_shared(latent_attend_kernel<bf16, MANY_QUERIES, false>);
}

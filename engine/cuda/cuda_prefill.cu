/* cuda_prefill.cu - attention of many rows: queries and cache first, then tiles of 16 queries
 * that walk over the cache 32 positions at a time.
 *
 * Products are fused multiply-adds from shared memory, not tensor cores: at probe lengths
 * attention is one or two hundredths of a step.
 */
#include "engine/cuda/cuda_attend.cuh"

enum {
    THREADS = 128,
    QUERIES = GM_TILE_ROWS / (THREADS / WARP), /* of a warp: 4 */
    LANE_DIMS = 4,                             /* a lane sums 4 dims of every 128 */
};

/* ---- queries, keys and values ---- */

/* Factor of the norm over the n elements of all heads, by the whole block. */
__device__ __forceinline__ float norm_factor(const float *x, int n, float epsilon, float *scratch)
{
    float squares = 0.0f;
#pragma unroll 8
    for (int i = threadIdx.x; i < n; i += THREADS) squares = fmaf(x[i], x[i], squares);
    return factor_of(block_sum(squares, scratch), n, epsilon);
}

/* A lane's pairs of a query or key, finished; `norm` (head_dim) its weights, or NULL; `whole` the
 * factor if the norm is over all heads. */
template <typename W, int HEAD>
__device__ __forceinline__ Pairs<HEAD> finish_head(const gm_cuda_attention &p, const float *head,
                                                   const float *norm, float whole, float growth,
                                                   const Pairs<HEAD> &angle)
{
    Pairs<HEAD> x, weight;
    load_head(p, head, p.head_dim, 0.0f, x);
    load_head(p, norm ? norm : head, norm ? p.head_dim : 0, 1.0f, weight);
    if (norm ? !p.norm_whole : p.norm_unit)
        whole = factor_of(sum_squares(x), p.head_dim, p.epsilon);
    finish_pairs<W>(p, true, weight, whole * growth, angle, x);
    return x;
}

/* A head's pairs to `to` (head_stride), zeros after the last. */
template <typename T, int HEAD>
__device__ __forceinline__ void store_pairs(const gm_cuda_attention &p, const Pairs<HEAD> &x, T *to)
{
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++) {
        const int i = lane + c * WARP;
        if (i >= p.head_dim / 2) break;
        const Places at = find_pair(p, i);
        store(to + at.a, x.a[c]), store(to + at.b, x.b[c]);
    }
    if (p.head_dim + lane < (int)p.head_stride) store(to + p.head_dim + lane, 0.0f);
}

/* Key and value of a KV head into the cache. What is not finite becomes a key of NaN and a value of
 * 0 (kv.h). */
template <typename W, int HEAD>
__device__ __forceinline__ void append_head(const gm_cuda_attention &p, Pairs<HEAD> &key,
                                            const float *value, size_t row)
{
    Pairs<HEAD> v, one;
    bool wrong = false;
    load_head(p, value, p.value_dim, 0.0f, v);
    load_head(p, value, 0, 1.0f, one);
    const float factor = p.norm_values ? factor_of(sum_squares(v), p.value_dim, p.epsilon) : 1.0f;
    finish_pairs<W>(p, false, one, factor * p.value_scale, one, v);
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++) {
        wrong = wrong || !(fabsf(key.a[c]) < INFINITY && fabsf(key.b[c]) < INFINITY);
        wrong = wrong || !(fabsf(v.a[c]) < INFINITY && fabsf(v.b[c]) < INFINITY);
    }
    wrong = __ballot_sync(ALL, wrong) != 0;
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++)
        if (wrong) key.a[c] = key.b[c] = NAN, v.a[c] = v.b[c] = 0.0f;
    store_pairs(p, key, (W *)p.k + row * p.head_stride);
    store_pairs(p, v, (W *)p.v + row * p.head_stride);
}

/* A row's queries and its keys and values, a warp a head. Launch: (rows), THREADS. HEAD: the most
 * elements of a head. */
template <typename W, int HEAD>
__global__ static void __launch_bounds__(THREADS) append_kernel(gm_cuda_attention p)
{
    __shared__ float scratch[WARP];
    wait_for_previous();
    const size_t r = blockIdx.x;
    const gm_row row = p.row[r];
    const int position = (int)row.position;
    const size_t turn = position * p.angle_stride;
    const float *qkv = p.qkv + r * p.qkv_stride;
    float whole[2] = {1.0f, 1.0f};
    Pairs<HEAD> angle;
    load_pairs(p.cosine + turn, p.sine + turn, p.rotary_dim / 2, angle);
    if (p.q_norm && p.norm_whole) {
        whole[0] = norm_factor(qkv, p.at_k, p.epsilon, scratch);
        whole[1] = norm_factor(qkv + p.at_k, p.at_v - p.at_k, p.epsilon, scratch);
    }
#pragma unroll 1
    for (int i = (int)threadIdx.x / WARP; i < p.n_heads + p.n_kv_heads; i += THREADS / WARP) {
        const bool is_query = i < p.n_heads;
        const int h = is_query ? i : i - p.n_heads, at = h * p.head_dim;
        const float *norm = is_query ? p.q_norm : p.k_norm;
        if (norm && p.norm_whole) norm += at;
        Pairs<HEAD> x = finish_head<W>(p, qkv + (is_query ? 0 : p.at_k) + at, norm,
                                       is_query ? whole[0] : whole[1],
                                       is_query ? growth_of(p, turn) : 1.0f, angle);
        if (is_query)
            store_pairs(p, x, p.query + (r * p.n_heads + h) * p.head_stride);
        else
            append_head<W>(p, x, qkv + p.at_v + h * p.value_dim,
                           cache_row(p, blocks_of(p, row.sequence), position, h));
    }
}

template <int HEAD>
static cudaError_t append_rows(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    const dim3 grid((unsigned)p->n_rows);
    return p->wide ? launch(how, append_kernel<float, HEAD>, grid, THREADS, 0, *p)
                   : launch(how, append_kernel<bf16, HEAD>, grid, THREADS, 0, *p);
}

extern "C" cudaError_t gm_cuda_append_many(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    return p->head_dim > GM_CUDA_HEAD ? append_rows<GM_CUDA_MAX_HEAD>(how, p)
                                      : append_rows<GM_CUDA_HEAD>(how, p);
}

/* ---- tiles ---- */

/* Of a block of 32 positions, those that a query sees: from `first` on, n of them. */
struct Seen {
    int first, n;
};

__device__ __forceinline__ Seen find_seen(const gm_cuda_attention &p, int start, int position)
{
    const int from = first_seen(p, position) - start, end = position + 1 - start;
    const int first = from > 0 ? from : 0, last = end < GM_KV_BLOCK ? end : GM_KV_BLOCK;
    return {first, last > first ? last - first : 0};
}

/* A block of 32 positions of the cache into shared memory as f32, rows `ld` apart. */
template <typename W>
__device__ __forceinline__ void load_block(const void *cache, size_t row, size_t head_stride,
                                           int ld, float *to)
{
    const int vecs = (int)head_stride / VEC;
    const W *from = (const W *)cache + row * head_stride;
#pragma unroll 2 /* more takes registers that the fifth block of a multiprocessor needs */
    for (int i = threadIdx.x; i < GM_KV_BLOCK * vecs; i += THREADS) {
        float a[VEC];
        load_vector(from + (size_t)i * VEC, a);
        const int at = i / vecs * ld + i % vecs * VEC;
        store_float4(to, at, make_float4(a[0], a[1], a[2], a[3]));
        store_float4(to, at + 4, make_float4(a[4], a[5], a[6], a[7]));
    }
}

/* What a warp knows of its queries; lane j holds dims 4 j .. 4 j + 3 of every 128. */
template <int HEAD> struct Running {
    enum { CHUNKS = HEAD / (WARP * LANE_DIMS) };
    float top[QUERIES], total[QUERIES];
    float sum[QUERIES][CHUNKS * LANE_DIMS];
};

/* Scores of the warp's queries for the block's keys, a key a lane; then their weights. */
template <typename W, int HEAD>
__device__ __forceinline__ void weigh_block(const gm_cuda_attention &p, const float *query,
                                            const float *key, int ld, const Seen (&seen)[QUERIES],
                                            Running<HEAD> &run, float *weight)
{
    const int lane = threadIdx.x % WARP;
    float score[QUERIES] = {};
    for (int d = 0; d < (int)p.head_stride; d += 4) {
        const float4 k = *(const float4 *)(const void *)(key + lane * ld + d);
#pragma unroll
        for (int q = 0; q < QUERIES; q++) {
            const float4 x = *(const float4 *)(const void *)(query + q * ld + d);
            score[q] = fmaf(x.x, k.x, score[q]);
            score[q] = fmaf(x.y, k.y, score[q]);
            score[q] = fmaf(x.z, k.z, score[q]);
            score[q] = fmaf(x.w, k.w, score[q]);
        }
    }
#pragma unroll
    for (int q = 0; q < QUERIES; q++) {
        const bool sees = lane >= seen[q].first && lane < seen[q].first + seen[q].n;
        const float scaled = sees ? score[q] * p.scale : -INFINITY;
        const float top = fmaxf(run.top[q], warp_max(scaled));
        const float base = top == -INFINITY ? 0.0f : top, factor = expf(run.top[q] - base);
        const float e = sees ? expf(scaled - base) : 0.0f;
        run.total[q] = fmaf(run.total[q], factor, warp_sum(e));
        run.top[q] = top;
#pragma unroll
        for (int i = 0; i < Running<HEAD>::CHUNKS * LANE_DIMS; i++) run.sum[q][i] *= factor;
        weight[q * GM_KV_BLOCK + lane] = rounded<W>(e);
    }
    __syncwarp();
}

template <int HEAD>
__device__ __forceinline__ void add_block(const gm_cuda_attention &p, const float *value, int ld,
                                          const float *weight, Running<HEAD> &run)
{
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int c = 0; c < Running<HEAD>::CHUNKS; c++) {
        const int d = (c * WARP + lane) * LANE_DIMS;
        if (c * WARP * LANE_DIMS >= (int)p.head_stride) continue;
        for (int j = 0; j < GM_KV_BLOCK && d < (int)p.head_stride; j++) {
            const float4 v = *(const float4 *)(const void *)(value + j * ld + d);
#pragma unroll
            for (int q = 0; q < QUERIES; q++) {
                const float w = weight[q * GM_KV_BLOCK + j];
                float *sum = run.sum[q] + c * LANE_DIMS;
                sum[0] = fmaf(w, v.x, sum[0]);
                sum[1] = fmaf(w, v.y, sum[1]);
                sum[2] = fmaf(w, v.z, sum[2]);
                sum[3] = fmaf(w, v.w, sum[3]);
            }
        }
    }
}

static __host__ __device__ inline int padded(size_t head_stride)
{
    return (int)head_stride + 4; /* lanes that read one column meet different banks */
}

/* Rows of shared memory: queries, keys and values; of wide heads these take the keys' place. */
template <int HEAD> constexpr int tile_rows(void)
{
    return GM_TILE_ROWS + (HEAD > GM_CUDA_HEAD ? 1 : 2) * GM_KV_BLOCK;
}

/* Launch: (tiles, H), THREADS; shared: tile_rows and weights. HEAD: the most elements of a head. */
template <typename W, int HEAD>
__global__ static void __launch_bounds__(THREADS)
    tile_kernel(gm_cuda_attention p, const gm_tile *tiles)
{
    const int ld = padded(p.head_stride), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    constexpr bool WIDE = HEAD > GM_CUDA_HEAD;
    float *query = dynamic_shared();                    /* (16, ld) */
    float *key = query + GM_TILE_ROWS * ld;             /* (32, ld) */
    float *value = WIDE ? key : key + GM_KV_BLOCK * ld; /* (32, ld) */
    float *weight = value + GM_KV_BLOCK * ld;           /* (16, 32) */
    wait_for_previous();
    const gm_tile tile = tiles[gridDim.x - 1 - blockIdx.x]; /* the last see the most positions */
    const int h = (int)blockIdx.y, kv_head = h / (p.n_heads / p.n_kv_heads);
    const gm_row row = p.row[tile.first];
    const int n = (int)tile.n, position = (int)row.position;

    for (int i = threadIdx.x; i < GM_TILE_ROWS * (int)p.head_stride; i += THREADS) {
        const int q = i / (int)p.head_stride, d = i % (int)p.head_stride;
        query[q * ld + d] =
            q < n ? p.query[((tile.first + q) * (size_t)p.n_heads + h) * p.head_stride + d] : 0.0f;
    }
    Running<HEAD> run = {};
    for (int q = 0; q < QUERIES; q++) { /* the sink is a key before all others, without a value */
        run.top[q] = p.sinks ? p.sinks[h] : -INFINITY;
        run.total[q] = p.sinks ? 1.0f : 0.0f;
    }
    const int q0 = warp * QUERIES, begin = first_seen(p, position) / GM_KV_BLOCK * GM_KV_BLOCK;
    for (int start = begin; start < position + n; start += GM_KV_BLOCK) {
        const size_t at = cache_row(p, blocks_of(p, row.sequence), start, kv_head);
        Seen seen[QUERIES] = {};
        for (int q = 0; q < QUERIES; q++)
            if (q0 + q < n) seen[q] = find_seen(p, start, position + q0 + q);
        __syncthreads(); /* the block before has been used */
        load_block<W>(p.k, at, p.head_stride, ld, key);
        if (!WIDE) load_block<W>(p.v, at, p.head_stride, ld, value);
        __syncthreads();
        weigh_block<W>(p, query + q0 * ld, key, ld, seen, run, weight + q0 * GM_KV_BLOCK);
        if (WIDE) {
            __syncthreads(); /* the keys have been used */
            load_block<W>(p.v, at, p.head_stride, ld, value);
            __syncthreads();
        }
        add_block(p, value, ld, weight + q0 * GM_KV_BLOCK, run);
    }
#pragma unroll
    for (int q = 0; q < QUERIES; q++) {
        if (q0 + q >= n) continue;
        const size_t r = tile.first + (size_t)(q0 + q);
        const float *gate = p.gate ? p.gate + r * p.qkv_stride + h * p.value_dim : nullptr;
        float *to = p.heads + r * p.heads_stride + h * p.value_dim;
#pragma unroll
        for (int c = 0; c < Running<HEAD>::CHUNKS; c++)
#pragma unroll
            for (int i = 0; i < LANE_DIMS; i++) {
                const int d = (c * WARP + lane) * LANE_DIMS + i;
                const float y = run.sum[q][c * LANE_DIMS + i] / run.total[q];
                if (d < p.value_dim) to[d] = gate ? gated(y, gate[d]) : y;
            }
    }
}

template <int HEAD>
static cudaError_t attend_tiles(const gm_cuda_how *how, const gm_cuda_attention *p,
                                const gm_tile *tile, int n_tiles)
{
    const dim3 grid((unsigned)n_tiles, (unsigned)p->n_heads);
    const size_t floats = (size_t)(tile_rows<HEAD>() * padded(p->head_stride));
    const size_t shared = (floats + GM_TILE_ROWS * GM_KV_BLOCK) * sizeof(float);
    return p->wide ? launch(how, tile_kernel<float, HEAD>, grid, THREADS, shared, *p, tile)
                   : launch(how, tile_kernel<bf16, HEAD>, grid, THREADS, shared, *p, tile);
}

extern "C" cudaError_t gm_cuda_attend_many(const gm_cuda_how *how, const gm_cuda_attention *p,
                                           const gm_tile *tile, int n_tiles)
{
    return p->head_dim > GM_CUDA_HEAD ? attend_tiles<GM_CUDA_MAX_HEAD>(how, p, tile, n_tiles)
                                      : attend_tiles<GM_CUDA_HEAD>(how, p, tile, n_tiles);
}

template <int HEAD> static cudaError_t allow_tiles(int bytes)
{
    cudaError_t e = allow_shared(tile_kernel<float, HEAD>, bytes);
    return e != cudaSuccess ? e : allow_shared(tile_kernel<bf16, HEAD>, bytes);
}

extern "C" cudaError_t gm_cuda_prefill_prepare(void)
{
    cudaError_t e = allow_tiles<GM_CUDA_HEAD>(GM_CUDA_SHARED_BYTES);
    return e != cudaSuccess ? e : allow_tiles<GM_CUDA_MAX_HEAD>(GM_CUDA_MOST_SHARED_BYTES);
}

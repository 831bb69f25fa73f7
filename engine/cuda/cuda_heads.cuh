/* cuda_heads.cuh - few rows' attention: a row's queries, and in its last split its own key and
 * value, from the projected row into shared memory. A warp a head.
 *
 * All that a lane needs of it is asked for at once: until the queries are there, nobody does
 * anything else.
 */
#ifndef GM_CUDA_HEADS_CUH
#define GM_CUDA_HEADS_CUH

#include "engine/cuda/cuda_softmax.cuh"

/* Whose attention a block computes: some query heads of one KV head. */
struct Heads {
    int kv_head, first, n; /* first: of the row's query heads */
    bool own;              /* the row's own key is among the block's */
    bool keeps;            /* and goes from here into the cache */
};

/* Factors of the norm over all queries, and with `own` over all keys, by the whole block. */
__device__ __forceinline__ void find_factors(const gm_cuda_attention &p, const float *qkv, bool own,
                                             float (&factor)[2])
{
    enum { AT_ONCE = 16 };
    __shared__ float sums[2][WARPS];
    const int n = own ? p.at_v : p.at_k; /* keys follow the queries */
    float squares[2] = {};
#pragma unroll 1
    for (int from = (int)threadIdx.x; from < n; from += AT_ONCE * THREADS) {
        float x[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            x[k] = from + k * THREADS < n ? qkv[from + k * THREADS] : 0.0f;
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const float square = x[k] * x[k];
            squares[0] += from + k * THREADS < p.at_k ? square : 0.0f;
            squares[1] += from + k * THREADS < p.at_k ? 0.0f : square;
        }
    }
#pragma unroll
    for (int k = 0; k < 2; k++) {
        squares[k] = warp_sum(squares[k]);
        if (threadIdx.x % WARP == 0) sums[k][threadIdx.x / WARP] = squares[k];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 2; k++) {
        squares[k] = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++) squares[k] += sums[k][w];
    }
    factor[0] = factor_of(squares[0], p.at_k, p.epsilon);
    factor[1] = factor_of(squares[1], p.at_v - p.at_k, p.epsilon);
}

/* A block's heads: its queries, then the row's own key and value. */
enum Kind { QUERY, KEY, VALUE };

struct Head {
    Kind kind;
    const float *x, *norm; /* (width) as projected, norm's weights or NULL */
    int width;
};

__device__ __forceinline__ Head find_head(const gm_cuda_attention &p, const Heads &heads,
                                          const float *qkv, int g)
{
    const int query = (heads.first + g) * p.head_dim, key = heads.kv_head * p.head_dim;
    if (g < heads.n) {
        const float *norm = p.q_norm && p.norm_whole ? p.q_norm + query : p.q_norm;
        return {QUERY, qkv + query, norm, p.head_dim};
    }
    if (g > heads.n)
        return {VALUE, qkv + p.at_v + heads.kv_head * p.value_dim, nullptr, p.value_dim};
    const float *norm = p.k_norm && p.norm_whole ? p.k_norm + key : p.k_norm;
    return {KEY, qkv + p.at_k + key, norm, p.head_dim};
}

/* A lane's pairs of a head, finished, into shared memory. Gives whether what the cache would hold
 * is not finite. */
template <typename W, int HEAD>
__device__ __forceinline__ bool put_head(const gm_cuda_attention &p, const Shared<W> &s, int g,
                                         Kind kind, const Pairs<HEAD> &x)
{
    const int half = p.head_dim / 2, stride = (int)p.head_stride, lane = threadIdx.x % WARP;
    float *query = s.query + g * stride;
    W *own = s.own + (kind == VALUE ? stride : 0);
    bool wrong = false;
#pragma unroll
    for (int c = 0; c < Pairs<HEAD>::N; c++) {
        const int i = lane + c * WARP;
        if (i >= half) break;
        const float a = x.a[c], b = x.b[c];
        const Places at = find_pair(p, i);
        if (kind == QUERY) {
            query[place_in_head(at.a, stride)] = a;
            query[place_in_head(at.b, stride)] = b;
        } else {
            store(own + at.a, a), store(own + at.b, b);
            wrong = wrong || !(fabsf(a) < INFINITY && fabsf(b) < INFINITY);
        }
    }
    if (p.head_dim + lane < stride) { /* zeros after the last element */
        if (kind == QUERY)
            query[place_in_head(p.head_dim + lane, stride)] = 0.0f;
        else
            store(own + p.head_dim + lane, 0.0f);
    }
    return wrong;
}

/* The block's heads into shared memory, the own ones also into the cache at `row`. What is not
 * finite becomes a key of NaN and a value of 0 (kv.h). Ends synchronised. */
template <typename W, int G, int HEAD>
__device__ __forceinline__ void finish_heads(const gm_cuda_attention &p, const Heads &heads,
                                             const float *qkv, int position, size_t row,
                                             const Shared<W> &s)
{
    constexpr int ROUNDS = (G + 2 + WARPS - 1) / WARPS;
    const int stride = (int)p.head_stride, warp = threadIdx.x / WARP;
    const int n = heads.n + (heads.own ? 2 : 0);
    const size_t turn = position * p.angle_stride;
    Pairs<HEAD> x[ROUNDS], weight[ROUNDS], angle;
    float whole[2] = {1.0f, 1.0f};
    bool wrong = false;
#pragma unroll
    for (int i = 0; i < ROUNDS; i++) {
        const int g = warp + i * WARPS;
        const Head h = find_head(p, heads, qkv, g);
        load_head(p, h.x, g < n ? h.width : 0, 0.0f, x[i]);
        load_head(p, h.norm ? h.norm : h.x, g < n && h.norm ? h.width : 0, 1.0f, weight[i]);
    }
    load_pairs(p.cosine + turn, p.sine + turn, p.rotary_dim / 2, angle);
    const float growth = growth_of(p, turn);
    if (p.q_norm && p.norm_whole) find_factors(p, qkv, heads.own, whole);
#pragma unroll
    for (int i = 0; i < ROUNDS; i++) {
        const int g = warp + i * WARPS;
        if (g >= n) break;
        const Head h = find_head(p, heads, qkv, g);
        float factor = h.kind == QUERY ? whole[0] : h.kind == KEY ? whole[1] : 1.0f;
        if (h.kind == VALUE ? p.norm_values : h.norm ? !p.norm_whole : p.norm_unit)
            factor = factor_of(sum_squares(x[i]), h.width, p.epsilon);
        if (h.kind == QUERY) factor *= growth;
        if (h.kind == VALUE) factor *= p.value_scale;
        finish_pairs<W>(p, h.kind != VALUE, weight[i], factor, angle, x[i]);
        wrong = put_head(p, s, g, h.kind, x[i]) || wrong;
    }
    wrong = __syncthreads_or(wrong);
    if (wrong) {
        for (int i = threadIdx.x; i < p.head_dim; i += THREADS)
            store(s.own + i, NAN), store(s.own + stride + i, 0.0f);
        __syncthreads();
    }
    if (!heads.keeps) return;
#pragma unroll 1
    for (int i = threadIdx.x; i < stride; i += THREADS) {
        ((W *)p.k)[row * stride + i] = s.own[i];
        ((W *)p.v)[row * stride + i] = s.own[stride + i];
    }
}

/* Where the row's own key is the lane's, it and its value come from shared memory. */
template <typename W>
__device__ __forceinline__ void take_own(const Shared<W> &s, const Lane &me, int stride, int from,
                                         int position, Keys<W> &keys)
{
#pragma unroll
    for (int i = 0; i < Keys<W>::N; i++) {
        if (from + i * me.keys + me.which != position) continue;
#pragma unroll
        for (int c = 0; c < VECS; c++) {
            const int at = (me.part + c * me.lanes) * VEC;
            if (at >= stride) continue;
            load_near(s.own + at, &keys.k[i][c]);
            load_near(s.own + stride + at, &keys.v[i][c]);
        }
    }
}

#endif

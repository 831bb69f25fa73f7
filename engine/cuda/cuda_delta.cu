/* cuda_delta.cu - Gated DeltaNet and Kimi Delta Attention (EACH): of few rows in one kernel; of
 * many rows what comes before the states, then the states, in registers, token after token, then
 * norm and gate. The former two also for Mamba2, whose others are in cuda_scan.cu.
 */
#include "engine/cuda/cuda_delta.cuh"

enum {
    FEW_THREADS = 512, /* 128 columns at once */
    THREADS = 128,
    WARPS = THREADS / WARP,
    TILE = WARPS * COLUMNS, /* columns of a block of many rows */
    TOKENS = 16,            /* that it brings into shared memory at once */
};

/* ---- few rows ---- */

/* What a block has of its head in shared memory; query, key and value are one array. */
struct Vectors {
    float *query, *key, *value, *gate, *norm, *given, *decay; /* the last of EACH */
};

__device__ __forceinline__ Vectors place_vectors(const gm_cuda_delta &p, float *at)
{
    float *value = at + 2 * p.key_stride;
    return {at,
            at + p.key_stride,
            value,
            value + p.value,
            value + 2 * p.value,
            value + 3 * p.value,
            value + 4 * p.value};
}

static size_t vectors_bytes(const gm_cuda_delta *p)
{
    return (size_t)((p->each ? 3 : 2) * p->key_stride + 4 * p->value) * sizeof(float);
}

/* The norm's weights, which no kernel changes; and the row's gate. */
__device__ __forceinline__ void bring_norm(const gm_cuda_delta &p, const Vectors &to)
{
    for (int i = (int)threadIdx.x; i < p.value; i += FEW_THREADS) to.norm[i] = p.norm[i];
}

__device__ __forceinline__ void bring_gate(const gm_cuda_delta &p, const float *x, int h,
                                           const Vectors &to)
{
    for (int i = (int)threadIdx.x; i < p.value; i += FEW_THREADS)
        to.gate[i] = gate_of(p, x[p.at_z + h * p.value + i]);
}

/* A vector in shared memory gets its length, by a warp. */
__device__ __forceinline__ void make_unit(const gm_cuda_delta &p, float *x, bool is_query)
{
    const int lane = threadIdx.x % WARP;
    float squares = 0.0f;
    for (int i = lane; i < p.key; i += WARP) squares = fmaf(x[i], x[i], squares);
    const float factor = unit_factor(p, warp_sum(squares), is_query);
    for (int i = lane; i < p.key; i += WARP) x[i] *= factor;
}

/* The given through norm and gate, by the whole block. */
__device__ __forceinline__ void finish_given(const gm_cuda_delta &p, const Vectors &mine, float *to,
                                             float *scratch)
{
    float squares = 0.0f;
    for (int i = (int)threadIdx.x; i < p.value; i += FEW_THREADS)
        squares = fmaf(mine.given[i], mine.given[i], squares);
    const float factor = factor_of(block_sum(squares, scratch), p.value, p.epsilon);
    for (int i = (int)threadIdx.x; i < p.value; i += FEW_THREADS)
        to[i] = mine.given[i] * factor * mine.norm[i] * mine.gate[i];
}

/* Launch: (H, rows), FEW_THREADS; shared: Vectors. N: quads of key_stride. All that does not come
 * from the previous kernel, which projects, is asked for before that one has ended. */
template <int N, bool EACH>
__global__ static void __launch_bounds__(FEW_THREADS) delta_few_kernel(gm_cuda_delta p)
{
    __shared__ float scratch[WARP];
    __shared__ Rates rates;
    const Vectors mine = place_vectors(p, dynamic_shared());
    const int h = (int)blockIdx.x, warp = threadIdx.x / WARP;
    const size_t r = blockIdx.y;
    const int position = (int)read_shared_by_blocks(&p.row[r].position);
    const int sequence = read_shared_by_blocks(&p.row[r].sequence);
    const float *x = p.x + r * p.x_stride;
    const float rate = p.rate[h], bias = EACH ? 0.0f : p.bias[h];
    float *state = state_of(p, sequence, h);
    int c = (int)threadIdx.x / LANES;
    Quads<N> s = {};
    if (position > 0 && c < p.value) ask_state(state + c * p.key_stride, s);
    bring_history<FEW_THREADS>(p, sequence, position, h, 0, p.value, mine.query);
    bring_norm(p, mine);
    wait_for_previous();
    let_next_start();
    bring_channels<FEW_THREADS>(p, x, sequence, position, h, 0, p.value,
                                h % (p.n_heads / p.n_key_heads) == 0, mine.query);
    bring_gate(p, x, h, mine);
    if (EACH) find_decays(p, x, h, (int)threadIdx.x, FEW_THREADS, mine.decay);
    if (threadIdx.x == FEW_THREADS - 1)
        rates = EACH ? Rates{1.0f, beta_of(p, x, h)} : find_rates(p, x, h, rate, bias);
    __syncthreads();
    if (warp < 2) make_unit(p, warp == 0 ? mine.query : mine.key, warp == 0);
    __syncthreads();
#pragma unroll 1
    for (int first = warp * COLUMNS; first < p.value; first += FEW_THREADS / LANES) {
        const bool there = c < p.value;
        const float y = turn_column<N, EACH>(s, mine.query, mine.key, mine.decay,
                                             there ? mine.value[c] : 0.0f, rates);
        if (there) keep_state(state + c * p.key_stride, s);
        if (there && threadIdx.x % LANES == 0) mine.given[c] = y;
        c += FEW_THREADS / LANES;
        s = Quads<N>();
        if (position > 0 && c < p.value) ask_state(state + c * p.key_stride, s);
    }
    __syncthreads();
    finish_given(p, mine, p.heads + r * p.heads_stride + h * p.value, scratch);
}

/* ---- many rows ---- */

/* Where a row of `vectors` has its parts: after queries and keys of key_stride the values, then
 * the rates: a pair a head; of EACH decays of key_stride, then a beta a head. */
__device__ __forceinline__ size_t values_at(const gm_cuda_delta &p)
{
    return (size_t)2 * p.n_key_heads * p.key_stride;
}

__device__ __forceinline__ size_t rates_at(const gm_cuda_delta &p)
{
    const size_t end = values_at(p) + (size_t)p.n_heads * p.value;
    return p.each ? (end + 3) / 4 * 4 : end;
}

__device__ __forceinline__ size_t betas_at(const gm_cuda_delta &p)
{
    return rates_at(p) + (size_t)p.n_heads * p.key_stride;
}

/* A query or key, `which` of those of row r, by a warp. */
__device__ __forceinline__ void convolve_key(const gm_cuda_delta &p, int r, const gm_row &row,
                                             int which, float *to)
{
    enum { EACH = MOST_QUADS * STEP / WARP };
    const int lane = threadIdx.x % WARP;
    const bool is_query = which < p.n_key_heads;
    const int first = is_query ? p.at_q + which * p.key : p.at_k + (which - p.n_key_heads) * p.key;
    float x[EACH], squares = 0.0f;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int at = i * WARP + lane;
        x[i] = at < p.key ? silu(convolve_row<false>(p, r, row, first + at)) : 0.0f;
        squares = fmaf(x[i], x[i], squares);
    }
    const float factor = p.skip ? 1.0f : unit_factor(p, warp_sum(squares), is_query);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int at = i * WARP + lane;
        if (at < p.key_stride) to[which * p.key_stride + at] = x[i] * factor;
    }
}

/* Launch: (rows, blocks of WARPS tasks), THREADS; a warp each query, key and value of a row, and
 * one more its rates, or with `each` those of a head. */
__global__ static void __launch_bounds__(THREADS) delta_convolve_kernel(gm_cuda_delta p)
{
    wait_for_previous();
    const int r = (int)blockIdx.x, lane = threadIdx.x % WARP, n_keys = 2 * p.n_key_heads;
    const int which = (int)blockIdx.y * WARPS + (int)threadIdx.x / WARP, h = which - n_keys;
    const gm_row row = p.row[r];
    const float *x = p.x + r * p.x_stride;
    float *vectors = p.vectors + r * p.vectors_stride;
    if (h < 0) {
        convolve_key(p, r, row, which, vectors);
    } else if (h < p.n_heads) {
        const int first = p.at_v + h * p.value;
        float *to = vectors + values_at(p) + h * p.value;
        for (int i = lane; i < p.value; i += WARP)
            to[i] = silu(convolve_row<false>(p, r, row, first + i));
    } else if (p.each && h < 2 * p.n_heads) {
        const int head = h - p.n_heads;
        find_decays(p, x, head, lane, WARP, vectors + rates_at(p) + head * p.key_stride);
        if (lane == 0) vectors[betas_at(p) + head] = beta_of(p, x, head);
    } else if (!p.each && h == p.n_heads) {
        for (int i = lane; i < p.n_heads; i += WARP) {
            const Rates rates = find_rates(p, x, i, p.rate[i], p.bias[i]);
            float *at = vectors + rates_at(p) + 2 * i;
            at[0] = rates.decay, at[1] = rates.beta;
        }
    }
}

enum Rule { DELTA, EACH, SCAN }; /* of Gated DeltaNet, Kimi Delta Attention, Mamba2 */

/* What a block has of some tokens. */
template <int N, Rule RULE> struct Tokens {
    float query[TOKENS][N * STEP], key[TOKENS][N * STEP], value[TOKENS][TILE];
    float decay[RULE == EACH ? TOKENS : 1][N * STEP];
    Rates rates[TOKENS];
};

/* n tokens from row `first` on into shared memory: of head h values `value` and those after it. */
template <int N, Rule RULE>
__device__ __forceinline__ void bring_tokens(const gm_cuda_delta &p, size_t first, int n, int h,
                                             int value, Tokens<N, RULE> &to)
{
    enum { QUADS_OF_KEY = N * STEP / 4 };
    const int key_head = h / (p.n_heads / p.n_key_heads);
    const float *from = p.vectors + first * p.vectors_stride;
    for (int i = (int)threadIdx.x; i < n * QUADS_OF_KEY; i += THREADS) {
        const int t = i / QUADS_OF_KEY, k = i % QUADS_OF_KEY * 4;
        const float *x = from + t * p.vectors_stride + key_head * (N * STEP) + k;
        *(float4 *)(void *)&to.query[t][k] = load_float4(x);
        *(float4 *)(void *)&to.key[t][k] = load_float4(x + p.n_key_heads * (N * STEP));
        if (RULE != EACH) continue;
        const float *decay = from + t * p.vectors_stride + rates_at(p) + h * (N * STEP) + k;
        *(float4 *)(void *)&to.decay[t][k] = load_float4(decay);
    }
    for (int i = (int)threadIdx.x; i < n * TILE; i += THREADS) {
        const int t = i / TILE, c = value + i % TILE;
        const float *x = from + t * p.vectors_stride + values_at(p) + h * p.value;
        to.value[t][i % TILE] = c < p.value ? x[c] : 0.0f;
    }
    if ((int)threadIdx.x < n) {
        const float *x = from + threadIdx.x * p.vectors_stride;
        if (RULE == EACH)
            to.rates[threadIdx.x] = {1.0f, x[betas_at(p) + h]};
        else
            to.rates[threadIdx.x] = {x[rates_at(p) + 2 * h], x[rates_at(p) + 2 * h + 1]};
    }
}

/* Launch: (tiles of values, H, runs), THREADS. */
template <int N, Rule RULE>
__global__ static void __launch_bounds__(THREADS)
    delta_states_kernel(gm_cuda_delta p, const gm_tile *runs)
{
    __align__(16) __shared__ Tokens<N, RULE> tokens;
    wait_for_previous();
    const gm_tile run = runs[blockIdx.z];
    const gm_row row = p.row[run.first];
    const int h = (int)blockIdx.y, first = (int)blockIdx.x * TILE;
    const int column = (int)threadIdx.x / LANES, c = first + column, n = (int)run.n;
    float *state = state_of(p, row.sequence, h) + c * p.key_stride;
    float *heads = p.heads + run.first * p.heads_stride + h * p.value + c;
    const bool there = c < p.value;
    const float skip = RULE == SCAN ? p.skip[h] : 0.0f;
    Quads<N> s = {};
    if (row.position > 0 && there) load_quads(state, s);
#pragma unroll 1
    for (int from = 0; from < n; from += TOKENS) {
        const int now = n - from < TOKENS ? n - from : TOKENS;
        __syncthreads(); /* the tokens before have been used */
        bring_tokens(p, run.first + (size_t)from, now, h, first, tokens);
        __syncthreads();
#pragma unroll 1
        for (int t = 0; t < now; t++) {
            const float *query = tokens.query[t], *key = tokens.key[t];
            const float value = tokens.value[t][column];
            const float y = RULE == SCAN
                                ? scan_column(s, query, key, value, tokens.rates[t], skip)
                                : turn_column<N, RULE == EACH>(s, query, key,
                                                               tokens.decay[RULE == EACH ? t : 0],
                                                               value, tokens.rates[t]);
            if (there && threadIdx.x % LANES == 0) heads[(from + t) * p.heads_stride] = y;
        }
    }
    if (there) keep_state(state, s);
}

/* Norm and gate, a warp a head; and what the sequence keeps of the row. Launch: (rows), THREADS. */
template <typename W>
__global__ static void __launch_bounds__(THREADS) delta_finish_kernel(gm_cuda_delta p)
{
    wait_for_previous();
    const int r = (int)blockIdx.x, lane = threadIdx.x % WARP;
    const float *x = p.x + r * p.x_stride, *heads = p.heads + r * p.heads_stride;
    for (int h = (int)threadIdx.x / WARP; h < p.n_heads; h += WARPS) {
        const float *given = heads + h * p.value, *gate = x + p.at_z + h * p.value;
        W *to = (W *)p.rounded + r * p.heads_stride + h * p.value;
        float squares = 0.0f;
        for (int i = lane; i < p.value; i += WARP) squares = fmaf(given[i], given[i], squares);
        const float factor = factor_of(warp_sum(squares), p.value, p.epsilon);
        for (int i = lane; i < p.value; i += WARP)
            store(to + i, given[i] * factor * p.norm[i] * gate_of(p, gate[i]));
    }
    keep_channels(p, r, (int)threadIdx.x, THREADS);
}

/* ---- launching ---- */

template <int N> static cudaError_t few(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    const dim3 grid((unsigned)p->n_heads, (unsigned)p->n_rows);
    return p->each
               ? launch(how, delta_few_kernel<N, true>, grid, FEW_THREADS, vectors_bytes(p), *p)
               : launch(how, delta_few_kernel<N, false>, grid, FEW_THREADS, vectors_bytes(p), *p);
}

extern "C" cudaError_t gm_cuda_delta_few(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    switch (p->key_stride / STEP) {
    case 2: return few<2>(how, p);
    case 4: return few<4>(how, p);
    default: return few<MOST_QUADS>(how, p);
    }
}

extern "C" cudaError_t gm_cuda_delta_convolve_many(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    const size_t tasks = (size_t)(2 * p->n_key_heads + p->n_heads + (p->each ? p->n_heads : 1));
    return launch(how, delta_convolve_kernel, dim3((unsigned)p->n_rows, blocks_for(tasks, WARPS)),
                  THREADS, 0, *p);
}

template <int N>
static cudaError_t states(const gm_cuda_how *how, const gm_cuda_delta *p, const gm_tile *run,
                          int n_runs)
{
    const dim3 grid(blocks_for((size_t)p->value, TILE), (unsigned)p->n_heads, (unsigned)n_runs);
    return p->skip   ? launch(how, delta_states_kernel<N, SCAN>, grid, THREADS, 0, *p, run)
           : p->each ? launch(how, delta_states_kernel<N, EACH>, grid, THREADS, 0, *p, run)
                     : launch(how, delta_states_kernel<N, DELTA>, grid, THREADS, 0, *p, run);
}

extern "C" cudaError_t gm_cuda_delta_states_many(const gm_cuda_how *how, const gm_cuda_delta *p,
                                                 const gm_tile *run, int n_runs)
{
    switch (p->key_stride / STEP) {
    case 2: return states<2>(how, p, run, n_runs);
    case 4: return states<4>(how, p, run, n_runs);
    default: return states<MOST_QUADS>(how, p, run, n_runs);
    }
}

extern "C" cudaError_t gm_cuda_delta_finish_many(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    const dim3 grid((unsigned)p->n_rows);
    return p->wide ? launch(how, delta_finish_kernel<float>, grid, THREADS, 0, *p)
                   : launch(how, delta_finish_kernel<bf16>, grid, THREADS, 0, *p);
}

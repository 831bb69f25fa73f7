/* cuda_route.cu - the router: logits by a block an output and row, the choice by the block that
 * arrives last, the record, at the same time the units that all rows take; and the places of the
 * choices by expert. */
#include "engine/cuda/cuda_choose.cuh"
#include "engine/cuda/cuda_units.cuh"

enum { THREADS = UNIT_THREADS, WARPS = THREADS / WARP, GROUP_THREADS = 1024, MIN_BLOCKS = 128 };

/* The choice of row r from its logits (E) in shared or device memory, kept in the step's tables
 * and the record. All threads of the block. */
__device__ void choose_and_keep(const gm_cuda_route &p, void *shared, int r, const float *logits)
{
    const int n = p.n_experts, n_chosen = p.n_chosen;
    const Choice c = place_choice(shared, n, n_chosen);
    float wrong = 0.0f, mass = NAN, margin = NAN;
#pragma unroll 1
    for (int e = threadIdx.x; e < n; e += THREADS)
        if (!(fabsf(logits[e]) < INFINITY)) wrong = 1.0f;
    const bool finite = block_sum(wrong, c.scratch) == 0.0f;
    if (finite) choose_row(p, c, logits, find_edit(p, p.row[r]), &mass, &margin);
#pragma unroll 1
    for (int k = threadIdx.x; k < n_chosen; k += THREADS) {
        const int expert = finite ? c.chosen[k] : GM_NO_EXPERT;
        const float gate = finite ? c.chosen_gate[k] : NAN;
        p.expert[r * n_chosen + k] = expert;
        p.gate[r * n_chosen + k] = gate;
        if (p.record.expert) p.record.expert[(size_t)r * n_chosen + k] = (uint16_t)expert;
        if (p.record.gate) p.record.gate[(size_t)r * n_chosen + k] = gate;
    }
    if (p.record.logits)
#pragma unroll 1
        for (int e = threadIdx.x; e < n; e += THREADS)
            p.record.logits[(size_t)r * n + e] = logits[e];
    if (threadIdx.x != 0) return;
    if (!finite) p.bad[r] = 1;
    if (p.record.mass) p.record.mass[r] = mass;
    if (p.record.margin) p.record.margin[r] = margin;
}

/* sum + the products of a row through the norm (but for its factor) with weights. */
__device__ __forceinline__ float add_logit(const float4 (&x)[QUADS], const float4 (&norm)[QUADS],
                                           const float4 (&w)[QUADS], float sum)
{
#pragma unroll
    for (int i = 0; i < QUADS; i++) {
        sum = fmaf(x[i].x * norm[i].x, w[i].x, sum);
        sum = fmaf(x[i].y * norm[i].y, w[i].y, sum);
        sum = fmaf(x[i].z * norm[i].z, w[i].z, sum);
        sum = fmaf(x[i].w * norm[i].w, w[i].w, sum);
    }
    return sum;
}

/* The product of two vectors of n, by the whole block. */
__device__ __forceinline__ float block_dot(const float *a, const float *b, int n, float *scratch)
{
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += THREADS) sum = fmaf(a[i], b[i], sum);
    return block_sum(sum, scratch);
}

/* Weights of the row's norm; without one every element counts as it is. */
__device__ __forceinline__ void bring_norm(float4 (&to)[QUADS], const float *norm, int from, int n)
{
    if (norm) return bring(to, norm, from, n);
#pragma unroll
    for (int i = 0; i < QUADS; i++) to[i] = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
}

/* An expert's logit: its product, scaled, and its bias. */
__device__ __forceinline__ float finish_logit(const gm_cuda_route &p, int expert, float product)
{
    const float logit = product * p.desc.logit_scale;
    return p.bias ? logit + p.bias[expert] : logit;
}

/* The logit of the block's output; thread 0 has it. One walk over the row, after that for the mean
 * of LayerNorm, finds both the norm's factor and the product; what the norm's bias adds is the same
 * for every row. */
__device__ __forceinline__ float find_logit(const gm_cuda_route &p, int output, const float *x)
{
    __shared__ float squares_of[WARPS], dot_of[WARPS], scratch[WARP];
    const float *row = p.matrix + output * p.stride;
    float mean = 0.0f, bias = -0.0f; /* which adds nothing, to no bit */
    float squares = 0.0f, dot = 0.0f;
    float4 weight[QUADS], norm[QUADS], own[QUADS];
    bring(weight, row, 0, p.width); /* known before */
    bring_norm(norm, p.norm, 0, p.width);
    if (p.norm_bias) bias = block_dot(p.norm_bias, row, p.width, scratch);
    wait_for_previous();
    let_next_start();
    if (p.norm_bias) mean = block_mean(x, p.width, scratch);
#pragma unroll 1
    for (int from = 0;;) {
        bring(own, x, from, p.width, mean);
        squares = add_squares(own, squares);
        dot = add_logit(own, norm, weight, dot);
        from += 4 * QUADS * THREADS;
        if (from >= p.width) break;
        bring(weight, row, from, p.width);
        bring_norm(norm, p.norm, from, p.width);
    }
    squares = warp_sum(squares), dot = warp_sum(dot);
    if (threadIdx.x % WARP == 0) {
        squares_of[threadIdx.x / WARP] = squares;
        dot_of[threadIdx.x / WARP] = dot;
    }
    __syncthreads();
    squares = squares_of[0], dot = dot_of[0];
    for (int w = 1; w < WARPS; w++) squares += squares_of[w], dot += dot_of[w];
    const float scale = p.norm ? factor_of(squares, p.width, p.epsilon) : 1.0f;
    const float logit = dot * scale + bias;
    return output < p.n_experts ? finish_logit(p, output, logit) : logit;
}

/* What of the shared experts a row takes, from the logit after those of the experts. */
__device__ __forceinline__ float share_of(float logit)
{
    return 1.0f / (1.0f + expf(-logit));
}

/* A block an output and row; the last one of a row chooses. The blocks after them make the units
 * that no choice decides on, which takes the time that choosing takes.
 * Launch: (outputs times rows + blocks for units), THREADS; shared: the choice and (E) logits, or
 * the rows. */
template <typename W, int R>
__global__ static void __launch_bounds__(THREADS, UNIT_BLOCKS)
    route_few_kernel(gm_cuda_route p, gm_cuda_experts always)
{
    __shared__ bool last;
    const int routers = p.n_outputs * p.n_rows, block = (int)blockIdx.x;
    if (block >= routers) {
        make_units<W, R, true>(always, block - routers, (int)gridDim.x - routers);
        return;
    }
    const int r = block / p.n_outputs, output = block % p.n_outputs;
    float *logits = p.logits + r * p.logits_stride;
    const float logit = find_logit(p, output, p.x + r * p.x_stride);
    if (threadIdx.x == 0) logits[output] = logit;
    if (threadIdx.x == 0 && output == p.n_experts) p.share[r] = share_of(logit);
    if (!arrives_last(p.ticket + r, (unsigned)p.n_outputs, &last)) return;
    char *shared = (char *)(void *)dynamic_shared();
    float *row = (float *)(void *)(shared + choice_bytes(p.n_experts, p.n_chosen));
#pragma unroll 1
    for (int i = threadIdx.x; i < p.n_experts; i += THREADS)
        row[i] = read_shared_by_blocks(logits + i);
    __syncthreads();
    choose_and_keep(p, shared, r, row);
    if (threadIdx.x == 0) p.ticket[r] = 0;
}

static size_t route_shared(const gm_cuda_route *p)
{
    return choice_bytes(p->n_experts, p->n_chosen) + (size_t)p->n_experts * sizeof(float);
}

template <typename W, int R>
static cudaError_t route_few(const gm_cuda_how *how, const gm_cuda_route *p,
                             const gm_cuda_experts *always)
{
    const unsigned routers = (unsigned)(p->n_outputs * p->n_rows);
    const unsigned most = (unsigned)how->multiprocessors * UNIT_BLOCKS;
    unsigned room = MIN_BLOCKS; /* all run at once, where that is not too few */
    if (most > routers + room) room = most - routers;
    unsigned blocks = blocks_for((size_t)always->always_pairs, WARPS);
    if (blocks > room) blocks = room;
    const size_t rows = blocks ? R * placed_floats((size_t)p->width) * sizeof(float) : 0;
    const size_t choice = route_shared(p);
    return launch(how, route_few_kernel<W, R>, dim3(routers + blocks), dim3(THREADS),
                  rows > choice ? rows : choice, *p, *always);
}

template <typename W>
static cudaError_t route_few_rows(const gm_cuda_how *how, const gm_cuda_route *p,
                                  const gm_cuda_experts *always)
{
    if (p->n_rows == 1) return route_few<W, 1>(how, p, always);
    if (p->n_rows == 2) return route_few<W, 2>(how, p, always);
    if (p->n_rows <= 4) return route_few<W, 4>(how, p, always);
    return route_few<W, GM_CUDA_FEW>(how, p, always);
}

extern "C" cudaError_t gm_cuda_route_few(const gm_cuda_how *how, const gm_cuda_route *p,
                                         const gm_cuda_experts *always)
{
    switch (always->dtype) {
    case GM_F32: return route_few_rows<float>(how, p, always);
    case GM_I8: return route_few_rows<int8>(how, p, always);
    case GM_FP8: return route_few_rows<fp8>(how, p, always);
    default: return route_few_rows<bf16>(how, p, always);
    }
}

/* Launch: (rows), THREADS; shared: the choice, then (E) logits. */
__global__ static void __launch_bounds__(THREADS) route_many_kernel(gm_cuda_route p)
{
    wait_for_previous();
    const int r = (int)blockIdx.x;
    char *shared = (char *)(void *)dynamic_shared();
    float *row = (float *)(void *)(shared + choice_bytes(p.n_experts, p.n_chosen));
    const float *logits = p.logits + r * p.logits_stride;
    for (int e = threadIdx.x; e < p.n_experts; e += THREADS) row[e] = finish_logit(p, e, logits[e]);
    if (p.share && threadIdx.x == 0) p.share[r] = share_of(logits[p.n_experts]);
    __syncthreads();
    choose_and_keep(p, shared, r, row);
}

extern "C" cudaError_t gm_cuda_route_many(const gm_cuda_how *how, const gm_cuda_route *p)
{
    return launch(how, route_many_kernel, dim3((unsigned)p->n_rows), THREADS, route_shared(p), *p);
}

template <typename W> static cudaError_t allow_route(void)
{
    cudaError_t e = allow_shared(route_few_kernel<W, 1>);
    if (e == cudaSuccess) e = allow_shared(route_few_kernel<W, 2>);
    if (e == cudaSuccess) e = allow_shared(route_few_kernel<W, 4>);
    return e != cudaSuccess ? e : allow_shared(route_few_kernel<W, GM_CUDA_FEW>);
}

extern "C" cudaError_t gm_cuda_route_prepare(void)
{
    cudaError_t e = allow_route<float>();
    if (e == cudaSuccess) e = allow_route<bf16>();
    if (e == cudaSuccess) e = allow_route<int8>();
    if (e == cudaSuccess) e = allow_route<fp8>();
    return e != cudaSuccess ? e : allow_shared(route_many_kernel);
}

/* ---- places by expert ---- */

/* How many choices an expert has. Launch: (E), GROUP_THREADS. */
__global__ static void __launch_bounds__(GROUP_THREADS) count_kernel(gm_cuda_group p)
{
    __shared__ unsigned scratch[WARP];
    wait_for_previous();
    unsigned count = 0;
    for (int i = threadIdx.x; i < p.n_choices; i += GROUP_THREADS)
        count += p.expert[i] == (int)blockIdx.x;
    count = block_sum(count, scratch);
    if (threadIdx.x == 0) p.count[blockIdx.x] = (int)count;
}

/* The same walk again, each choice now at the next place of its expert. Launch: (E),
 * GROUP_THREADS. */
__global__ static void __launch_bounds__(GROUP_THREADS) place_kernel(gm_cuda_group p)
{
    __shared__ unsigned before[WARP];
    const int expert = (int)blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    wait_for_previous();
    int place = 0;
    for (int e = 0; e < expert; e++) place += p.count[e];
    if (threadIdx.x == 0) p.first[expert] = place;
    if (threadIdx.x == 0 && expert == p.n_experts - 1)
        p.first[p.n_experts] = place + p.count[expert];
    for (int from = 0; from < p.n_choices; from += GROUP_THREADS) {
        const int i = from + (int)threadIdx.x;
        const bool mine = i < p.n_choices && p.expert[i] == expert;
        const unsigned votes = __ballot_sync(ALL, mine);
        __syncthreads(); /* before has been read */
        if (lane == 0) before[warp] = (unsigned)__popc(votes);
        __syncthreads();
        int at = place;
        for (int w = 0; w < warp; w++) at += (int)before[w];
        at += __popc(votes & ((1u << lane) - 1u));
        if (mine) p.slot[i] = at, p.slot_row[at] = i / p.n_chosen;
        for (int w = 0; w < GROUP_THREADS / WARP; w++) place += (int)before[w];
    }
}

extern "C" cudaError_t gm_cuda_group_rows(const gm_cuda_how *how, const gm_cuda_group *p)
{
    const dim3 grid((unsigned)p->n_experts);
    cudaError_t e = launch(how, count_kernel, grid, GROUP_THREADS, 0, *p);
    return e != cudaSuccess ? e : launch(how, place_kernel, grid, GROUP_THREADS, 0, *p);
}

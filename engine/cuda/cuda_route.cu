/* cuda_route.cu - the router: logits by a warp an expert, the choice by the block that arrives
 * last, the record, and the places of the choices by expert. */
#include "engine/cuda/cuda_choose.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP, GROUP_THREADS = 1024 };

/* The choice of row r from its logits (E) in shared or device memory, kept in the step's tables
 * and the record. All threads of the block. */
__device__ void choose_and_keep(const gm_cuda_route &p, void *shared, int r, const float *logits)
{
    const int n = p.n_experts, n_chosen = p.n_chosen;
    const Choice c = place_choice(shared, n, n_chosen);
    float wrong = 0.0f, mass = NAN, margin = NAN;
    for (int e = threadIdx.x; e < n; e += THREADS)
        if (!(fabsf(logits[e]) < INFINITY)) wrong = 1.0f;
    const bool finite = block_sum(wrong, c.scratch) == 0.0f;
    if (finite) choose_row(p, c, logits, find_edit(p, p.row[r]), &mass, &margin);
    for (int k = threadIdx.x; k < n_chosen; k += THREADS) {
        const int expert = finite ? c.chosen[k] : GM_NO_EXPERT;
        const float gate = finite ? c.chosen_gate[k] : NAN;
        p.expert[r * n_chosen + k] = expert;
        p.gate[r * n_chosen + k] = gate;
        if (p.record.expert) p.record.expert[(size_t)r * n_chosen + k] = (uint16_t)expert;
        if (p.record.gate) p.record.gate[(size_t)r * n_chosen + k] = gate;
    }
    if (p.record.logits)
        for (int e = threadIdx.x; e < n; e += THREADS)
            p.record.logits[(size_t)r * n + e] = logits[e];
    if (threadIdx.x != 0) return;
    if (!finite) p.bad[r] = 1;
    if (p.record.mass) p.record.mass[r] = mass;
    if (p.record.margin) p.record.margin[r] = margin;
}

/* Launch: (blocks of 8 experts, rows), THREADS; shared: the row, then the choice. */
__global__ static void __launch_bounds__(THREADS) route_few_kernel(gm_cuda_route p)
{
    __shared__ float scratch[WARP];
    __shared__ bool last;
    float *x = dynamic_shared(); /* (placed), then the choice's, then (E) logits */
    const int e = (int)(blockIdx.x * WARPS + threadIdx.x / WARP), r = (int)blockIdx.y;
    const int lane = threadIdx.x % WARP;
    if (e < p.n_experts)
        for (int i = lane * WARP; i < p.width; i += WARP * WARP) /* a line of 128 bytes each */
            prefetch(p.matrix + e * p.stride + i);
    wait_for_previous();
    let_next_start();
    place_row<float>(p.x + r * p.x_stride, p.norm, p.width, p.epsilon, x, scratch);
    __syncthreads();
    float *logits = p.logits + r * p.logits_stride;
    if (e < p.n_experts) {
        const float *const w[1] = {p.matrix + e * p.stride};
        float sum[1][1];
        dot_rows(w, (int)(p.stride / VEC), x, 0, sum);
        if (lane == 0) logits[e] = p.bias ? sum[0][0] + p.bias[e] : sum[0][0];
    }
    if (!arrives_last(p.ticket + r, gridDim.x, &last)) return;
    float *row = (float *)(void *)((char *)(void *)x + choice_bytes(p.n_experts, p.n_chosen));
    for (int i = threadIdx.x; i < p.n_experts; i += THREADS)
        row[i] = read_shared_by_blocks(logits + i);
    __syncthreads();
    choose_and_keep(p, x, r, row);
    if (threadIdx.x == 0) p.ticket[r] = 0;
}

extern "C" cudaError_t gm_cuda_route_few(const gm_cuda_how *how, const gm_cuda_route *p)
{
    const dim3 grid(blocks_for((size_t)p->n_experts, WARPS), (unsigned)p->n_rows);
    const size_t row = placed_floats((size_t)p->width) * sizeof(float);
    const size_t choice =
        choice_bytes(p->n_experts, p->n_chosen) + (size_t)p->n_experts * sizeof(float);
    return launch(how, route_few_kernel, grid, THREADS, row > choice ? row : choice, *p);
}

/* Launch: (rows), THREADS; shared: the choice, then (E) logits. */
__global__ static void __launch_bounds__(THREADS) route_many_kernel(gm_cuda_route p)
{
    wait_for_previous();
    const int r = (int)blockIdx.x;
    char *shared = (char *)(void *)dynamic_shared();
    float *row = (float *)(void *)(shared + choice_bytes(p.n_experts, p.n_chosen));
    const float *logits = p.logits + r * p.logits_stride;
    for (int e = threadIdx.x; e < p.n_experts; e += THREADS)
        row[e] = p.bias ? logits[e] + p.bias[e] : logits[e];
    __syncthreads();
    choose_and_keep(p, shared, r, row);
}

extern "C" cudaError_t gm_cuda_route_many(const gm_cuda_how *how, const gm_cuda_route *p)
{
    const size_t shared =
        choice_bytes(p->n_experts, p->n_chosen) + (size_t)p->n_experts * sizeof(float);
    return launch(how, route_many_kernel, dim3((unsigned)p->n_rows), THREADS, shared, *p);
}

extern "C" cudaError_t gm_cuda_route_prepare(void)
{
    cudaError_t e = allow_shared(route_few_kernel);
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

/* cuda_choose.cuh - from a row of router logits to K experts and gates, by a block.
 *
 * The definition is cpu/router.c: classes, edits, correction, groups, renormalisation, the order
 * of ties. A rank is found by counting who comes before, a thread an expert: for the 64 to 256
 * experts of a layer that is quicker than K rounds of finding the largest, and an order that
 * knows no ties makes it exact. Sums are in double.
 */
#ifndef GM_CUDA_CHOOSE_CUH
#define GM_CUDA_CHOOSE_CUH

#include "engine/cuda/cuda_device.cuh"

enum { REMOVED = 0, OTHER_GROUP = 1, OPEN = 2, FORCED = 3 }; /* a higher class comes first */

/* A block's shared memory for one row. */
struct Choice {
    float *select, *gate, *power; /* (E) */
    unsigned long long *key;      /* (E) order: class, then score, then the lower id */
    int *rank;                    /* (E) class */
    int *order;                   /* (K + 1) ids by rank */
    int *chosen;                  /* (K) ids by gate */
    float *chosen_gate;           /* (K) */
    double *sum;                  /* (32) scratch */
    float *scratch;               /* (32) */
};

/* Bytes of it, a multiple of 8. */
__host__ __device__ inline size_t choice_bytes(int n_experts, int n_chosen)
{
    const size_t e = (size_t)n_experts, k = (size_t)n_chosen;
    return (e * (3 * sizeof(float) + sizeof(int) + 8) + (3 * k + 1) * 4 + 32 * 8 + 32 * 4 + 7) / 8 *
           8;
}

__device__ __forceinline__ Choice place_choice(void *shared, int n_experts, int n_chosen)
{
    Choice c;
    char *at = (char *)shared;
    c.key = (unsigned long long *)(void *)at, at += n_experts * 8;
    c.sum = (double *)(void *)at, at += 32 * 8;
    c.select = (float *)(void *)at, at += n_experts * 4;
    c.gate = (float *)(void *)at, at += n_experts * 4;
    c.power = (float *)(void *)at, at += n_experts * 4;
    c.rank = (int *)(void *)at, at += n_experts * 4;
    c.order = (int *)(void *)at, at += (n_chosen + 1) * 4;
    c.chosen = (int *)(void *)at, at += n_chosen * 4;
    c.chosen_gate = (float *)(void *)at, at += n_chosen * 4;
    c.scratch = (float *)(void *)at;
    return c;
}

/* What the edit of a row says; bias NULL: nothing. */
struct RowEdit {
    const float *bias; /* (E) */
    int mode;
    bool mass;
};

__device__ __forceinline__ RowEdit find_edit(const gm_cuda_route &p, const gm_row &row)
{
    RowEdit edit = {nullptr, GM_EDIT_BIAS, false};
    const gm_cuda_edits e = *p.edits;
    if (row.edit < 0 || row.edit >= e.n) return edit;
    const size_t at = (size_t)row.edit * p.n_moe + p.moe;
    if (!e.active[at] || !(e.phases[row.edit] >> row.phase & 1)) return edit;
    edit.bias = e.bias + at * p.n_experts;
    edit.mode = e.mode[row.edit];
    edit.mass = e.mass[row.edit] != 0;
    return edit;
}

/* p of every expert from the logits in `from`, into c.power. All threads; synchronises. */
__device__ void activate(const gm_cuda_route &p, const Choice &c, const float *from)
{
    const int n = p.n_experts;
    if (p.desc.scoring == GM_SCORE_SIGMOID) {
#pragma unroll 1
        for (int e = threadIdx.x; e < n; e += blockDim.x)
            c.power[e] = 1.0f / (1.0f + expf(-from[e]));
        __syncthreads();
        return;
    }
    float top = -INFINITY;
#pragma unroll 1
    for (int e = threadIdx.x; e < n; e += blockDim.x) top = fmaxf(top, from[e]);
    top = block_max(top, c.scratch);
    if (top == -INFINITY) top = 0.0f; /* every gate removed: all 0 */
    double sum = 0.0;
#pragma unroll 1
    for (int e = threadIdx.x; e < n; e += blockDim.x) {
        c.power[e] = expf(from[e] - top);
        sum += (double)c.power[e];
    }
    sum = block_sum(sum, c.sum);
#pragma unroll 1
    for (int e = threadIdx.x; e < n; e += blockDim.x)
        c.power[e] = sum > 0.0 ? (float)((double)c.power[e] / sum) : 0.0f;
    __syncthreads();
}

/* Selection scores, gate logits and classes of the experts under the edit. */
__device__ void apply_edit(const gm_cuda_route &p, const Choice &c, const float *logits,
                           const RowEdit &edit)
{
    const bool mask = edit.bias && edit.mode == GM_EDIT_MASK;
    const bool selects = edit.bias && !mask && edit.mode != GM_EDIT_GATE;
    const bool gates = edit.bias && !mask && edit.mode != GM_EDIT_SELECT;
#pragma unroll 1
    for (int e = threadIdx.x; e < p.n_experts; e += blockDim.x) {
        const float bias = edit.bias ? edit.bias[e] : 0.0f, logit = logits[e];
        const bool banned = mask && bias < 0.0f;
        c.select[e] = selects ? logit + bias : logit;
        c.gate[e] = banned ? -INFINITY : gates ? logit + bias : logit;
        c.rank[e] = mask && bias > 0.0f ? FORCED : OPEN;
        if (banned || c.select[e] == -INFINITY) c.rank[e] = REMOVED;
    }
    __syncthreads();
    if (p.correction == nullptr) return;
    activate(p, c, c.select);
#pragma unroll 1
    for (int e = threadIdx.x; e < p.n_experts; e += blockDim.x)
        c.select[e] = c.power[e] + p.correction[e];
    __syncthreads();
}

__device__ __forceinline__ void make_key(const Choice &c, int e)
{
    c.key[e] = (unsigned long long)c.rank[e] << 48 |
               (unsigned long long)ordered(c.select[e]) << 16 | (unsigned)(0xffff - e);
}

/* Leave only the experts of the best groups open; a thread a group. */
__device__ void limit_groups(const gm_cuda_route &p, const Choice &c)
{
    const int groups = p.desc.n_groups, size = p.n_experts / groups;
    float *score = c.power; /* (groups) */
#pragma unroll 1
    for (int g = threadIdx.x; g < groups; g += blockDim.x) {
        int first = -1, second = -1;
#pragma unroll 1
        for (int e = g * size; e < (g + 1) * size; e++) {
            if (first < 0 || c.key[e] > c.key[first])
                second = first, first = e;
            else if (second < 0 || c.key[e] > c.key[second])
                second = e;
        }
        score[g] = c.rank[first] == REMOVED ? -INFINITY : c.select[first];
        if (p.correction && second >= 0 && c.rank[second] != REMOVED) score[g] += c.select[second];
    }
    __syncthreads();
#pragma unroll 1
    for (int g = threadIdx.x; g < groups; g += blockDim.x) {
        int stronger = 0;
#pragma unroll 1
        for (int h = 0; h < groups; h++)
            stronger += score[h] > score[g] || (score[h] == score[g] && h < g);
#pragma unroll 1
        for (int e = g * size; stronger >= p.desc.top_groups && e < (g + 1) * size; e++)
            if (c.rank[e] == OPEN) c.rank[e] = OTHER_GROUP;
    }
    __syncthreads();
}

/* The first K + 1 ids by rank into c.order. */
__device__ void rank_experts(const gm_cuda_route &p, const Choice &c)
{
#pragma unroll 1
    for (int e = threadIdx.x; e < p.n_experts; e += blockDim.x) make_key(c, e);
    __syncthreads();
    if (p.desc.n_groups > 1) {
        limit_groups(p, c);
#pragma unroll 1
        for (int e = threadIdx.x; e < p.n_experts; e += blockDim.x) make_key(c, e);
        __syncthreads();
    }
#pragma unroll 1
    for (int e = threadIdx.x; e < p.n_experts; e += blockDim.x) {
        int before = 0;
#pragma unroll 4
        for (int f = 0; f < p.n_experts; f++) before += c.key[f] > c.key[e];
        if (before <= p.n_chosen) c.order[before] = e;
    }
    __syncthreads();
}

/* Sum of p over K experts. */
__device__ __forceinline__ double sum_power(const gm_cuda_route &p, const Choice &c, const int *id)
{
    double sum = 0.0;
#pragma unroll 4
    for (int k = 0; k < p.n_chosen; k++) sum += (double)c.power[id[k]];
    return sum;
}

/* Sparsemixer: p of the chosen becomes the gate of the round that each was chosen in, a softmax
 * over those near it whom no round before has chosen. */
__device__ void weigh_in_rounds(const gm_cuda_route &p, const Choice &c)
{
#pragma unroll 1
    for (int round = 0; round < p.n_chosen; round++) {
        const float own = c.gate[c.order[round]];
#pragma unroll 1
        for (int e = threadIdx.x; e < p.n_experts; e += blockDim.x) {
            const float g = c.gate[e], behind = (own - g) / fmaxf(fabsf(g), own);
            bool out = behind > p.desc.within; /* 0 / 0, of an equal one, is near enough */
            for (int k = 0; k < round; k++) out = out || c.order[k] == e;
            c.power[e] = out ? -INFINITY : g;
        }
        activate(p, c, c.power);
        if (threadIdx.x == 0) c.chosen_gate[round] = c.power[c.order[round]];
        __syncthreads();
    }
#pragma unroll 1
    for (int k = threadIdx.x; k < p.n_chosen; k += blockDim.x)
        c.power[c.order[k]] = c.chosen_gate[k];
    __syncthreads();
}

/* The chosen by p, then the lower id, and their gates; gives the mass. */
__device__ void make_gates(const gm_cuda_route &p, const Choice &c, float *mass)
{
    const bool rounds = p.desc.scoring == GM_SCORE_SPARSEMIXER;
    activate(p, c, c.gate);
    if (rounds) {
        *mass = (float)sum_power(p, c, c.order);
        __syncthreads(); /* p has been read */
        weigh_in_rounds(p, c);
    }
#pragma unroll 1
    for (int k = threadIdx.x; k < p.n_chosen; k += blockDim.x) {
        const int e = c.order[k];
        int before = 0;
#pragma unroll 4
        for (int i = 0; i < p.n_chosen; i++) {
            const int f = c.order[i];
            before += c.power[f] > c.power[e] || (c.power[f] == c.power[e] && f < e);
        }
        c.chosen[before] = e;
    }
    __syncthreads();
    const double sum = sum_power(p, c, c.chosen);
    double divisor = 1.0;
    if (!rounds) *mass = (float)sum;
    if (p.desc.scoring == GM_SCORE_TOPK_SOFTMAX) /* over the chosen: over all, renormalised */
        divisor = sum;
    else if (p.desc.renormalise)
        divisor = fmax(sum, (double)p.desc.least_sum) + (double)p.desc.renorm_epsilon;
#pragma unroll 1
    for (int k = threadIdx.x; k < p.n_chosen; k += blockDim.x) {
        const double power = (double)c.power[c.chosen[k]];
        c.chosen_gate[k] = divisor > 0.0 ? (float)(power / divisor) : 0.0f;
    }
    __syncthreads();
}

__device__ __forceinline__ double total_gate(const gm_cuda_route &p, const Choice &c)
{
    double total = 0.0;
#pragma unroll 1
    for (int k = 0; k < p.n_chosen; k++) total += (double)c.chosen_gate[k];
    return total;
}

/* c.chosen and c.chosen_gate of one row; *mass and *margin too. All threads of the block. */
__device__ void choose_row(const gm_cuda_route &p, const Choice &c, const float *logits,
                           const RowEdit &edit, float *mass, float *margin)
{
    const RowEdit none = {nullptr, GM_EDIT_BIAS, false};
    double wanted = 0.0;
    for (int pass = edit.bias && edit.mass ? 0 : 1; pass < 2; pass++) {
        apply_edit(p, c, logits, pass == 0 ? none : edit);
        rank_experts(p, c);
        make_gates(p, c, mass);
        if (pass == 0) wanted = total_gate(p, c);
        __syncthreads();
    }
    const int last = c.order[p.n_chosen - 1];
    const int next = p.n_chosen < p.n_experts ? c.order[p.n_chosen] : -1;
    *margin =
        next >= 0 && c.rank[next] == c.rank[last] ? c.select[last] - c.select[next] : INFINITY;
    if (edit.bias == nullptr || !edit.mass) return;
    const double total = total_gate(p, c);
    const float factor = total > 0.0 ? (float)(wanted / total) : 1.0f;
    __syncthreads(); /* every thread has the total before a gate changes */
#pragma unroll 1
    for (int k = threadIdx.x; k < p.n_chosen; k += blockDim.x) c.chosen_gate[k] *= factor;
    __syncthreads();
}

#endif

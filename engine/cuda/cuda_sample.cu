/* cuda_sample.cu - the next token from a row of logits (definition: sample.c).
 *
 * Blocks side by side find the strongest token, each of its part of the vocabulary, after the
 * repetition penalty; what more is to be done, the last of them does.
 *
 * "The strongest tokens whose weight reaches X" is found eight bits at a time, without sorting:
 * tokens are ordered by a key that knows no ties (logit, then the lower id), a histogram says in
 * which bin of the next eight bits the running total crosses X, and only that bin is looked at
 * again. top-k, top-p and the draw itself are all this one question. Weights are summed as
 * integers of 2^-44, so that the total does not depend on the order of the threads.
 */
#include "engine/cuda/cuda_device.cuh"

enum {
    THREADS = 1024,
    BITS = 8,
    BINS = 1 << BITS,
    QUADS_AT_ONCE = 2,
    PART = 4 * THREADS * QUADS_AT_ONCE, /* tokens of a block: a thread's are asked for at once */
};

typedef unsigned long long u64;

/* Philox4x32-10 (Salmon et al. 2011), as base/rng.c calls it: the first two words. */
__device__ double uniform(u64 seed, u64 stream, u64 index)
{
    unsigned c[4] = {(unsigned)index, (unsigned)(index >> 32), 0u, (unsigned)stream};
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32) ^ (unsigned)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        const unsigned high0 = __umulhi(0xD2511F53u, c[0]), low0 = 0xD2511F53u * c[0];
        const unsigned high1 = __umulhi(0xCD9E8D57u, c[2]), low1 = 0xCD9E8D57u * c[2];
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (double)(((u64)c[0] << 32 | c[1]) >> 11) * 0x1p-53;
}

struct Shared {
    unsigned count[BINS];
    u64 weight[BINS];
    u64 sums[WARP];
    float tops[WARP];
    u64 found; /* key prefix, then key */
    u64 above; /* count or weight of what is stronger than the bin */
    unsigned in_bin;
};

/* A row being sampled. */
struct Row {
    const float *logits, *weight;
    int vocab;
    bool by_strength; /* keys: strength, or the id alone, lower first */
};

/* Larger keys come first; no two tokens share one. Zero: no candidate. */
__device__ __forceinline__ u64 key_of(float x, int i, bool by_strength)
{
    if (!(x > -INFINITY)) return 0; /* NaN and -inf */
    const unsigned id = 0xffffffffu - (unsigned)i;
    return by_strength ? (u64)ordered(x) << 32 | id : id;
}

__device__ __forceinline__ u64 key_of(const Row &row, int i)
{
    return key_of(row.logits[i], i, row.by_strength);
}

__device__ __forceinline__ int key_bits(const Row &row)
{
    return row.by_strength ? 64 : 32;
}

__device__ __forceinline__ u64 fixed_weight(float weight)
{
    return (u64)((double)weight * 0x1p44);
}

/* The bin in which the count (or weight), from the last one down, reaches `goal` > 0; by a warp, a
 * lane eight bins. `above` is what is stronger than all of them. */
__device__ void find_bin(Shared *s, bool by_count, u64 goal, u64 prefix, u64 above)
{
    constexpr int EACH = BINS / WARP;
    const int lane = threadIdx.x, last = BINS - 1 - lane * EACH;
    u64 here[EACH], mine = 0;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        here[k] = by_count ? (u64)s->count[last - k] : s->weight[last - k];
        mine += here[k];
    }
    u64 passed = mine;
    for (int by = 1; by < WARP; by *= 2) { /* of all lanes up to this one */
        const u64 before = __shfl_sync(ALL, passed, lane - by);
        if (lane >= by) passed += before;
    }
    const bool first = passed >= goal && passed - mine < goal;
    if (!first) return;
    passed -= mine;
    int bin = -1;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        if (bin >= 0) continue;
        if (passed + here[k] >= goal)
            bin = last - k;
        else
            passed += here[k];
    }
    s->above = above + passed;
    s->found = prefix << BITS | (unsigned)bin;
    s->in_bin = s->count[bin];
}

/* A warp's tokens into their bins; BINS: none. Most tokens are in a few bins, and a sum of 64 bits
 * in shared memory is a loop that the threads which want the same one leave one by one: so the
 * first bins that a warp meets get theirs from one lane. */
__device__ void add_to_bins(Shared *s, unsigned bin, u64 weight)
{
    enum { TOGETHER = 4 };
#pragma unroll 1
    for (int k = 0; k < TOGETHER; k++) {
        const unsigned left = __ballot_sync(ALL, bin < BINS);
        if (left == 0) return;
        const unsigned first = __shfl_sync(ALL, bin, __popc(~left & (left - 1)));
        const bool mine = bin == first;
        const unsigned n = (unsigned)__popc(__ballot_sync(ALL, mine));
        const u64 sum = warp_sum(mine ? weight : 0);
        if (threadIdx.x % WARP == 0) {
            atomicAdd(&s->count[first], n);
            atomicAdd(&s->weight[first], sum);
        }
        if (mine) bin = BINS;
    }
    if (bin == BINS) return;
    atomicAdd(&s->count[bin], 1u);
    atomicAdd(&s->weight[bin], weight);
}

/* The tokens of keys from `floor` on that begin with `prefix`, into the bins of the BITS after it.
 * All threads. */
__device__ void fill_bins(const Row &row, Shared *s, int shift, u64 prefix, u64 floor)
{
    enum { AT_ONCE = 4 };
    const bool all = shift + BITS == key_bits(row);
#pragma unroll 1
    for (int first = 0; first < row.vocab; first += AT_ONCE * THREADS) {
        const int at = first + (int)threadIdx.x;
        float x[AT_ONCE], weight[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const int i = at + k * THREADS;
            x[k] = i < row.vocab ? row.logits[i] : -INFINITY;
            weight[k] = i < row.vocab ? row.weight[i] : 0.0f;
        }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++) {
            const u64 key = key_of(x[k], at + k * THREADS, row.by_strength);
            const bool counts =
                key != 0 && key >= floor && (all || key >> (shift + BITS) == prefix);
            const unsigned bin = (unsigned)(key >> shift) & (BINS - 1);
            add_to_bins(s, counts ? bin : (unsigned)BINS, counts ? fixed_weight(weight[k]) : 0);
        }
    }
}

/* The key of the last token of the shortest prefix of the order whose count (or weight) is at
 * least `goal`, which the whole order reaches. Keys below `floor` do not count. */
__device__ u64 find_prefix(const Row &row, Shared *s, bool by_count, u64 goal, u64 floor)
{
    u64 prefix = 0, above = 0;
    for (int shift = key_bits(row) - BITS; shift >= 0; shift -= BITS) {
        for (int b = threadIdx.x; b < BINS; b += THREADS) s->count[b] = 0, s->weight[b] = 0;
        __syncthreads();
        fill_bins(row, s, shift, prefix, floor);
        __syncthreads();
        if (threadIdx.x < WARP) find_bin(s, by_count, goal - above, prefix, above);
        __syncthreads();
        prefix = s->found, above = s->above;
        const unsigned in_bin = s->in_bin;
        __syncthreads();
        if (in_bin != 1) continue;
        for (int i = threadIdx.x; i < row.vocab; i += THREADS) {
            const u64 key = key_of(row, i);
            if (key != 0 && key >= floor && key >> shift == prefix) s->found = key;
        }
        __syncthreads();
        prefix = s->found;
        __syncthreads();
        break;
    }
    return prefix;
}

/* Weight of the keys from `floor` on. */
__device__ u64 weight_from(const Row &row, Shared *s, u64 floor)
{
    u64 sum = 0;
    for (int i = threadIdx.x; i < row.vocab; i += THREADS) {
        const u64 key = key_of(row, i);
        if (key != 0 && key >= floor) sum += fixed_weight(row.weight[i]);
    }
    return block_sum(sum, s->sums);
}

/* Divide the logits of tokens seen before by the penalty, each once: those from `first` up to
 * `end`, multiples of 32 but for the last. */
__device__ void penalise(const gm_cuda_finish &p, const gm_row &row, float *logits, unsigned *seen,
                         double penalty, unsigned first, unsigned end)
{
    const uint32_t *blocks = p.block + row.sequence * p.blocks_per_sequence;
    for (unsigned at = threadIdx.x; at <= row.position; at += THREADS) {
        const uint32_t id =
            p.token[(size_t)blocks[at / GM_KV_BLOCK] * GM_KV_BLOCK + at % GM_KV_BLOCK];
        if (id < first || id >= end) continue;
        if (atomicOr(seen + id / 32, 1u << id % 32) >> id % 32 & 1u) continue;
        const double z = (double)logits[id];
        logits[id] = (float)(z > 0.0 ? z / penalty : z * penalty);
    }
    __syncthreads();
    for (unsigned i = first / 32 + threadIdx.x; i < (end + 31) / 32; i += THREADS) seen[i] = 0;
    __syncthreads();
}

/* The key of the strongest token from `first` up to `end`, the lowest id among equals; 0: none. */
__device__ u64 strongest(const Row &row, int first, int end, Shared *s)
{
    float top = -INFINITY;
    int at = 0;
    float4 q[QUADS_AT_ONCE];
#pragma unroll
    for (int j = 0; j < QUADS_AT_ONCE; j++)
        q[j] = load_quad(row.logits, first + 4 * (int)(threadIdx.x + j * THREADS), end);
#pragma unroll
    for (int j = 0; j < QUADS_AT_ONCE; j++) {
        const int i = first + 4 * (int)(threadIdx.x + j * THREADS);
        const float x[4] = {q[j].x, q[j].y, q[j].z, q[j].w};
#pragma unroll
        for (int k = 0; k < 4; k++) /* ids ascend: equals stay with the lowest */
            if (x[k] > top && i + k < end) top = x[k], at = i + k;
    }
    u64 best = key_of(top, at, true);
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2) {
        const u64 other = __shfl_xor_sync(ALL, best, by);
        if (other > best) best = other;
    }
    if (threadIdx.x % WARP == 0) s->sums[threadIdx.x / WARP] = best;
    __syncthreads();
    for (int w = 0; w < THREADS / WARP; w++)
        if (s->sums[w] > best) best = s->sums[w];
    __syncthreads();
    return best;
}

/* The same of all blocks' parts of a row, for the last block of the row to arrive: false, not this
 * one. */
__device__ bool strongest_of_all(const gm_cuda_finish &p, int r, u64 *best, Shared *s)
{
    __shared__ bool last;
    if (threadIdx.x == 0) atomicMax(p.best + r, *best);
    if (!arrives_last(p.ticket + r, gridDim.x, &last)) return false;
    if (threadIdx.x == 0) s->found = read_shared_by_blocks(p.best + r);
    __syncthreads();
    *best = s->found;
    __syncthreads();
    if (threadIdx.x == 0) p.best[r] = 0, p.ticket[r] = 0;
    return true;
}

/* A token drawn from the softmax of a row whose strongest token is `best`. */
__device__ uint32_t draw(Row row, float *weight, const gm_cuda_head &head, uint64_t position,
                         uint32_t best, Shared *s)
{
    unsigned mine = 0;
    u64 weights = 0, floor = 1;
    for (int i = threadIdx.x; i < row.vocab; i += THREADS) {
        const double off = (double)(row.logits[i] - row.logits[best]);
        weight[i] = expf((float)(off / head.temperature));
        if (key_of(row, i) == 0) continue;
        mine++;
        weights += fixed_weight(weight[i]);
    }
    const u64 n = block_sum((u64)mine, s->sums);
    u64 kept = block_sum(weights, s->sums);
    const bool cut = head.top_k > 0 && (u64)head.top_k < n;
    if (cut) {
        floor = find_prefix(row, s, true, (u64)head.top_k, floor);
        kept = weight_from(row, s, floor);
    }
    if (head.top_p < 1.0) {
        const u64 goal = (u64)ceil(head.top_p * (double)kept);
        floor = find_prefix(row, s, false, goal < kept ? goal : kept, floor);
        kept = weight_from(row, s, floor);
    }
    row.by_strength = cut || head.top_p < 1.0;
    const u64 goal = (u64)(uniform(head.seed, head.stream, position + 1) * (double)kept) + 1;
    const u64 key = find_prefix(row, s, false, goal < kept ? goal : kept, floor);
    return 0xffffffffu - (unsigned)key;
}

/* Launch: (parts of the vocabulary, head rows), THREADS. */
__global__ static void __launch_bounds__(THREADS) sample_kernel(gm_cuda_finish p)
{
    __shared__ Shared s;
    wait_for_previous();
    let_next_start();
    const int r = (int)blockIdx.y, first = (int)blockIdx.x * PART;
    const int end = first + PART < p.vocab ? first + PART : p.vocab;
    const gm_cuda_head head = p.head[r];
    if (head.segment < 0) return;
    const gm_row at = p.row[head.row];
    float *logits = p.logits + r * p.stride, *weight = p.weight + r * p.stride;
    if (head.penalty != 1.0)
        penalise(p, at, logits, p.seen + r * p.seen_words, head.penalty, (unsigned)first,
                 (unsigned)end);
    const Row row = {logits, weight, p.vocab, true};
    u64 best = strongest(row, first, end, &s);
    if (!strongest_of_all(p, r, &best, &s)) return;
    uint32_t token = best ? 0xffffffffu - (unsigned)best : GM_NO_TARGET;
    if (best != 0 && head.temperature != 0.0 && !isinf(logits[token]))
        token = draw(row, weight, head, at.position, token, &s);
    if (threadIdx.x == 0) p.sampled[head.segment] = token;
}

extern "C" cudaError_t gm_cuda_sample_rows(const gm_cuda_how *how, const gm_cuda_finish *p)
{
    const dim3 grid(blocks_for((size_t)p->vocab, PART), (unsigned)p->n);
    return launch(how, sample_kernel, grid, THREADS, 0, *p);
}

/* cuda_ends.cu - what comes before the first layer and after the last: embedding, nll, and
 * handing a step of few rows to the host. */
#include "engine/cuda/cuda_device.cuh"

enum { THREADS = 256, NLL_THREADS = 1024 };

/* An element of the embedding in the checkpoint's type. */
__device__ __forceinline__ float element(const void *at, gm_dtype dtype, size_t i)
{
    if (dtype == GM_F32) return ((const float *)at)[i];
    const unsigned bits = ((const uint16_t *)at)[i];
    return dtype == GM_BF16 ? __uint_as_float(bits << 16) : half_value(bits);
}

/* Launch: (rows), THREADS. */
__global__ static void embed_kernel(gm_cuda_embed p)
{
    wait_for_previous();
    const size_t r = blockIdx.x;
    const gm_row row = p.row[r];
    for (int i = threadIdx.x; i < p.width; i += THREADS)
        p.x[r * p.x_stride + i] = p.scale * element(p.embed, p.dtype, row.token * p.stride + i);
    if (threadIdx.x != 0) return;
    const size_t block = p.block[row.sequence * p.blocks_per_sequence + row.position / GM_KV_BLOCK];
    p.token[block * GM_KV_BLOCK + row.position % GM_KV_BLOCK] = row.token;
    p.bad[r] = 0;
}

extern "C" cudaError_t gm_cuda_embed_rows(const gm_cuda_how *how, const gm_cuda_embed *p)
{
    return launch(how, embed_kernel, dim3((unsigned)p->n_rows), THREADS, 0, *p);
}

/* Launch: (blocks of columns, rows), THREADS. */
__global__ static void cap_kernel(gm_cuda_finish p, float cap)
{
    wait_for_previous();
    const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
    float *logit = p.logits + blockIdx.y * p.stride + i;
    if (i < p.vocab) *logit = cap * tanhf(*logit / cap);
}

extern "C" cudaError_t gm_cuda_cap_rows(const gm_cuda_how *how, const gm_cuda_finish *p, float cap)
{
    const dim3 grid(blocks_for((size_t)p->vocab, THREADS), (unsigned)p->n);
    return launch(how, cap_kernel, grid, THREADS, 0, *p, cap);
}

/* -ln of the softmax of a row of logits at its target. Launch: (rows), NLL_THREADS. */
__global__ static void __launch_bounds__(NLL_THREADS) nll_kernel(gm_cuda_finish p)
{
    __shared__ float scratch[WARP];
    __shared__ double sums[WARP];
    wait_for_previous();
    const gm_cuda_head head = p.head[blockIdx.x];
    if (head.target == GM_NO_TARGET) return;
    const float *logits = p.logits + blockIdx.x * p.stride;
    float top = -INFINITY;
    bool nan = false;
    for (int i = threadIdx.x; i < p.vocab; i += NLL_THREADS) {
        nan = nan || isnan(logits[i]);
        top = fmaxf(top, logits[i]);
    }
    top = block_max(top, scratch);
    double sum = nan ? (double)NAN : 0.0;
    for (int i = threadIdx.x; i < p.vocab; i += NLL_THREADS) sum += (double)expf(logits[i] - top);
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0)
        p.nll[head.row] = (float)(log(sum) + (double)top - (double)logits[head.target]);
}

extern "C" cudaError_t gm_cuda_nll_rows(const gm_cuda_how *how, const gm_cuda_finish *p)
{
    return launch(how, nll_kernel, dim3((unsigned)p->n), NLL_THREADS, 0, *p);
}

/* One block, so that what it wrote is complete when it says so. Launch: (1), THREADS. */
__global__ static void publish_kernel(gm_cuda_publish p)
{
    wait_for_previous();
    const uint64_t step = *p.step + 1;
    const size_t slot = step % GM_CUDA_SLOTS;
    const uint4 *from = (const uint4 *)p.result;
    uint4 *to = (uint4 *)(void *)((char *)p.ring + slot * p.slot_bytes);
    for (size_t i = threadIdx.x; i < p.bytes / sizeof(uint4); i += THREADS) to[i] = from[i];
    for (int h = threadIdx.x; h < p.n_head; h += THREADS) {
        if (p.head[h].segment < 0) continue;
        gm_row *row = p.row + p.head[h].row;
        const uint32_t token = p.sampled[p.head[h].segment];
        row->token = token == GM_NO_TARGET ? 0 : token; /* the host stops at such a token */
        row->position++;
        row->phase = GM_PHASE_GENERATED;
    }
    __syncthreads(); /* what all threads have written comes before the fence of this one */
    if (threadIdx.x != 0) return;
    __threadfence_system(); /* the slot is there before its number is */
    *p.step = step;
    *(volatile uint64_t *)(p.arrived + slot) = step;
}

extern "C" cudaError_t gm_cuda_publish_step(const gm_cuda_how *how, const gm_cuda_publish *p)
{
    return launch(how, publish_kernel, dim3(1), THREADS, 0, *p);
}

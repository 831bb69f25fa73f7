/* cuda_out_norms.cu - what the experts, and the MLP that all rows take, give: its norms. */
#include "engine/cuda/cuda_device.cuh"

enum { THREADS = 256 };

/* A block a row. A thread reads of `experts` what it wrote itself. Launch: (rows), THREADS. */
__global__ static void __launch_bounds__(THREADS) add_normed_kernel(gm_cuda_out_norms p)
{
    __shared__ float scratch[WARP];
    wait_for_previous();
    const size_t r = blockIdx.x;
    float *x = p.x + r * p.stride, *experts = p.experts + r * p.stride;
    const float *always = p.always + r * p.always_stride;
    const float scale = p.scale ? p.scale[0] : 1.0f;
    float of_experts = 0.0f, of_always = 0.0f, of_sum = 0.0f;
    for (int i = threadIdx.x; i < p.width; i += THREADS) {
        of_experts = fmaf(experts[i], experts[i], of_experts);
        of_always = fmaf(always[i], always[i], of_always);
    }
    of_experts = factor_of(block_sum(of_experts, scratch), p.width, p.epsilon);
    of_always = factor_of(block_sum(of_always, scratch), p.width, p.epsilon);
    for (int i = threadIdx.x; i < p.width; i += THREADS) {
        const float sum =
            experts[i] * of_experts * p.expert_norm[i] + always[i] * of_always * p.always_norm[i];
        experts[i] = sum;
        of_sum = fmaf(sum, sum, of_sum);
    }
    of_sum = factor_of(block_sum(of_sum, scratch), p.width, p.epsilon);
    for (int i = threadIdx.x; i < p.width; i += THREADS)
        x[i] = fmaf(p.residual_scale, experts[i] * of_sum * p.norm[i], x[i]) * scale;
}

extern "C" cudaError_t gm_cuda_add_normed(const gm_cuda_how *how, const gm_cuda_out_norms *p)
{
    return launch(how, add_normed_kernel, dim3((unsigned)p->n_rows), THREADS, 0, *p);
}

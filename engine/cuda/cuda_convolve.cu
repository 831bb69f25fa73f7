/* cuda_convolve.cu - short convolutions between two gates (LFM2-MoE): of few rows in one kernel; of
 * many the results, then what sequences keep.
 */
#include "engine/cuda/cuda_delta.cuh"

enum { THREADS = 256 };

/* Launch: (blocks of channels, rows), THREADS. What weights and earlier steps give is asked for
 * before the previous kernel, which projects, has ended. */
__global__ static void __launch_bounds__(THREADS) convolve_few_kernel(gm_cuda_delta p)
{
    const int c = (int)(blockIdx.x * THREADS + threadIdx.x);
    const size_t r = blockIdx.y;
    const int position = (int)read_shared_by_blocks(&p.row[r].position);
    const int sequence = read_shared_by_blocks(&p.row[r].sequence);
    const float *x = p.x + r * p.x_stride;
    const bool there = c < p.channels;
    float sum = 0.0f, weight = 0.0f;
    if (there) {
        sum = convolve_history(p, sequence, position, c);
        weight = p.conv[c * p.conv_stride + p.taps - 1];
    }
    wait_for_previous();
    let_next_start();
    if (!there) return;
    const float now = channel_at<true>(p, x, c);
    history_of(p, sequence, position)[c] = now;
    p.heads[r * p.heads_stride + c] = x[p.at_z + c] * fmaf(weight, now, sum);
}

/* Launch: (rows, blocks of channels), THREADS. */
template <typename W>
__global__ static void __launch_bounds__(THREADS) convolve_many_kernel(gm_cuda_delta p)
{
    wait_for_previous();
    const int r = (int)blockIdx.x, c = (int)(blockIdx.y * THREADS + threadIdx.x);
    if (c >= p.channels) return;
    const float gate = p.x[r * p.x_stride + p.at_z + c];
    store((W *)p.rounded + r * p.heads_stride + c, gate * convolve_row<true>(p, r, p.row[r], c));
}

/* Launch: (rows), THREADS. */
__global__ static void __launch_bounds__(THREADS) convolve_keep_kernel(gm_cuda_delta p)
{
    wait_for_previous();
    keep_channels<true>(p, (int)blockIdx.x, (int)threadIdx.x, THREADS);
}

extern "C" cudaError_t gm_cuda_convolve_few(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    const dim3 grid(blocks_for((size_t)p->channels, THREADS), (unsigned)p->n_rows);
    return launch(how, convolve_few_kernel, grid, THREADS, 0, *p);
}

extern "C" cudaError_t gm_cuda_convolve_many(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    const dim3 grid((unsigned)p->n_rows, blocks_for((size_t)p->channels, THREADS));
    return p->wide ? launch(how, convolve_many_kernel<float>, grid, THREADS, 0, *p)
                   : launch(how, convolve_many_kernel<bf16>, grid, THREADS, 0, *p);
}

extern "C" cudaError_t gm_cuda_convolve_keep(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    return launch(how, convolve_keep_kernel, dim3((unsigned)p->n_rows), THREADS, 0, *p);
}

/* cuda_measure.h - what a GPU can do at best, measured: the ceilings that gm-bench compares a model
 * with, and the costs that shape decoding.
 */
#ifndef GM_CUDA_MEASURE_H
#define GM_CUDA_MEASURE_H

#include "engine/cuda/cuda_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Read `bytes` with `loads` (1, 2, 4, 8) vectors of 16 bytes in flight in each of 512 threads of a
 * block, `blocks` blocks a multiprocessor; `out` (1) is never written. */
cudaError_t gm_cuda_measure_read(const gm_cuda_how *how, const void *at, size_t bytes, int loads,
                                 int blocks, unsigned *out);
/* A kernel that does nothing; `at` (1) holds 0. */
cudaError_t gm_cuda_measure_empty(const gm_cuda_how *how, unsigned *at);
/* One block a multiprocessor; they meet n times. `arrived` (1) holds 0. */
cudaError_t gm_cuda_measure_barrier(const gm_cuda_how *how, unsigned *arrived, int n);

/* gm_accelerator.measure */
gm_status gm_cuda_measure(const gm_weights *weights, gm_ceilings *out, gm_error *err) GM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif

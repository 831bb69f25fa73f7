/* cuda_ops.h - the operations on an NVIDIA GPU. */
#ifndef GM_CUDA_OPS_H
#define GM_CUDA_OPS_H

#include "engine/ops.h"

extern const gm_ops gm_cuda_ops;

/* The number in "cuda" or "cuda:N"; `index` may be NULL. GM_EARG. */
gm_status gm_cuda_device_parse(const char *device, int *index, gm_error *err) GM_MUST_USE;

#endif

/* cuda_ops.h - the operations on an NVIDIA GPU. */
#ifndef GM_CUDA_OPS_H
#define GM_CUDA_OPS_H

#include "engine/ops.h"

extern const gm_ops gm_cuda_ops;

#endif

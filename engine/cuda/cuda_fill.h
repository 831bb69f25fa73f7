/* cuda_fill.h - a checkpoint's tensors into the GPU's memory.
 *
 * A team of threads reads pieces of tensors into pinned memory (past the page cache as reader.h
 * decides) and sends them unchanged; a kernel brings them into their final form (cuda_layout.h).
 * Each worker has a stream and two buffers, so that a piece is read while the previous one is sent.
 * Random weights are made by the same kernel, from a table of two megabytes.
 */
#ifndef GM_CUDA_FILL_H
#define GM_CUDA_FILL_H

#include "engine/cuda/cuda_layout.h"
#include "engine/cuda/cuda_session.h"

/* Bytes of the device that it takes in addition to the weights. */
size_t gm_cuda_fill_bytes(const gm_arch *arch, const gm_checkpoint *checkpoint,
                          const gm_model_options *options);

/* All jobs of a layout whose buffers are allocated. GM_EIO, GM_EMEM, GM_EDEVICE, GM_EABSENT. */
gm_status gm_cuda_fill(const gm_cuda_model *model, const gm_cuda_layout *layout,
                       const gm_checkpoint *checkpoint, const gm_model_options *options,
                       gm_error *err) GM_MUST_USE;

#endif

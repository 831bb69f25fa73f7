/* located.h - a matrix of the model in its checkpoint: its tensor, and what lies beside that.
 *
 * Weights of four bits take the place of a tensor "X.weight", which is absent then:
 * "X.weight_packed", "X.weight_scale", "X.weight_zero_point" and "X.weight_shape" of
 * compressed-tensors; "X.qweight", "X.scales", "X.qzeros" and "X.g_idx" of GPTQ and AWQ. So the
 * tensors that are there say which matrices stay as they were (the config lists them, too); how
 * their codes lie: stored.h.
 */
#ifndef GM_LOCATED_H
#define GM_LOCATED_H

#include "engine/checkpoint.h"
#include "engine/reader.h"

/* What is read with a tensor: its scales (empty: it has none), and of four bits the zeros, the
 * group of each input, and both sizes, each NULL where there is none. */
typedef struct gm_scaling {
    gm_tensor scales;
    const gm_tensor *zeros, *order, *sizes; /* the checkpoint's */
    unsigned above;                         /* as in gm_scale_blocks */
} gm_scaling;

typedef struct gm_located {
    gm_tensor tensor; /* as gm_slice_cut gives it; all of it where words hold outputs of AWQ's or
                         inputs of GPTQ's: is_whole */
    bool is_whole;
    gm_scaling beside;
    gm_grid grid; /* without addresses */
} gm_located;

/* Where the checkpoint has the matrix, and that it and what it needs fit each other. *out is empty
 * on failure. GM_EFORMAT: missing or another type; GM_ESHAPE. */
gm_status gm_locate(gm_located *out, const gm_checkpoint *checkpoint, const gm_slice *slice,
                    gm_error *err) GM_MUST_USE;

/* For most tensors of a checkpoint, whose blocks these are: floats that gm_grid_read writes, and
 * bytes that its reader holds. */
size_t gm_grid_most(const gm_checkpoint *checkpoint, const gm_scale_blocks *blocks);
size_t gm_grid_most_bytes(const gm_checkpoint *checkpoint, const gm_scale_blocks *blocks);
/* The inputs of a matrix that lies in a tensor as rows. */
size_t gm_tensor_inputs(const gm_tensor *tensor, const gm_scale_blocks *blocks);
/* Bytes of the largest tensor that is read whole; 0: there is none. */
size_t gm_whole_most(const gm_checkpoint *checkpoint, const gm_scale_blocks *blocks);

/* Read all scales of a tensor in F8_E4M3 or of four bits to values[0..*n), of the latter after them
 * as many zeros and, where inputs do not follow one another in their groups, the group of each; and
 * give *grid their addresses. Scales of four bits are checked here (those of fp8 before:
 * quantised.h). GM_EIO; GM_EFORMAT: a scale that cannot be right, a zero of GPTQ that programs read
 * differently, a group that there is not. */
gm_status gm_grid_read(gm_grid *grid, const gm_scaling *beside, gm_reader *reader, float *values,
                       size_t *n, gm_error *err) GM_MUST_USE;

#endif

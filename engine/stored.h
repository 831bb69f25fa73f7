/* stored.h - rows of a checkpoint's matrix from the forms that checkpoints store them in.
 *
 * MXFP4 keeps 32 inputs of an output in 16 bytes, of which the low four bits come first, and one
 * byte for their scale. Four bits are a sign, two of exponent and one of fraction (E2M1: 0, .5, 1,
 * 1.5, 2, 3, 4, 6); the scale byte e is 2^(e - 127) (E8M0), 255 not a number. Every product of the
 * two is a bf16 or, above 2^128, infinite. Source: OCP Microscaling Formats (MX) Specification
 * v1.0; where the bytes lie: transformers, integrations/mxfp4.py.
 *
 * F8_E4M3 (base/half.h) lies in rows or columns as other types do; a weight is its byte's value
 * times the scale of its block, a product in f32, which is rounded once more where bf16 is asked
 * for. Scales that a model may have (gm_scale_is_fit) leave every product a normal number, but for
 * the byte that is none. Source: deepseek-ai/DeepSeek-V3, inference/kernel.py, weight_dequant;
 * transformers, integrations/finegrained_fp8.py; vllm-project/compressed-tensors.
 */
#ifndef GM_STORED_H
#define GM_STORED_H

#include "engine/slice.h"

/* Bytes of a matrix, or of some whole rows of it. */
typedef struct gm_stored_rows {
    gm_stored stored;
    gm_dtype dtype;        /* of ROWS and COLUMNS */
    const void *data;      /* not aligned */
    const uint8_t *scales; /* of MXFP4 */
    gm_grid grid;          /* of F8_E4M3 */
    gm_dtype as;           /* what becomes of that: F32 or BF16 */
    size_t rows, cols;
} gm_stored_rows;

/* A scale of F8_E4M3 that no product goes out of range by: 0, or 2^-100 to 2^100. */
bool gm_scale_is_fit(float scale);

/* Rows row, row + every, ... n of them, side by side to `to`: a tensor (n, cols) of `dtype`, of
 * MXFP4 bf16, of F8_E4M3 `as`. */
gm_tensor gm_stored_take(const gm_stored_rows *from, size_t row, size_t every, size_t n, void *to);

/* Bytes of `rows` rows, without scales. */
size_t gm_stored_bytes(gm_stored stored, gm_dtype dtype, size_t rows, size_t cols);

#endif

/* stored.h - rows of a checkpoint's matrix from the forms that checkpoints store them in.
 *
 * MXFP4 keeps 32 inputs of an output in 16 bytes, the low four bits first, and one byte for their
 * scale. Four bits are a sign, two bits of exponent and one of fraction (E2M1: 0, .5, 1, 1.5, 2, 3,
 * 4, 6); the scale byte e is 2^(e - 127) (E8M0), 255 is NaN. Every product of the two is exact in
 * bf16 or, above 2^128, infinite. Source: OCP Microscaling Formats (MX) Specification v1.0; byte
 * order: transformers, integrations/mxfp4.py.
 *
 * F8_E4M3 (base/half.h) is stored in rows or columns like other types. A weight is its byte's value
 * times the scale of its block, computed in f32 and rounded once more for bf16. Scales that a model
 * may have (gm_scale_is_fit) leave every product a normal number, except of the NaN byte. Source:
 * deepseek-ai/DeepSeek-V3, inference/kernel.py, weight_dequant; transformers,
 * integrations/finegrained_fp8.py; vllm-project/compressed-tensors.
 *
 * Four bits with scales (gm_packing) are codes from 0 to 15, eight to a 32-bit word, the lowest
 * bits first. A weight is its code less the zero of its group, times the group's scale, computed in
 * f32 and rounded once more for bf16. Words hold eight inputs of an output; those of AWQ eight
 * outputs of an input, in the order 0, 2, 4, 6, 1, 3, 5, 7. Source:
 * vllm-project/compressed-tensors, compressors/pack_quantized; AutoGPTQ,
 * nn_modules/qlinear/qlinear_cuda_old.py; casper-hansen/AutoAWQ, modules/linear/gemm.py.
 */
#ifndef GM_STORED_H
#define GM_STORED_H

#include "engine/slice.h"

/* Bytes of a matrix, or of some whole rows of it. */
typedef struct gm_stored_rows {
    gm_stored stored;
    gm_dtype dtype;        /* of ROWS and COLUMNS */
    const void *data;      /* not aligned; of GPTQ and AWQ the whole tensor's */
    const uint8_t *scales; /* of MXFP4 */
    gm_grid grid;          /* of F8_E4M3 and of four bits, which are I32 */
    gm_dtype as;           /* to which it is widened: F32 or BF16 */
    size_t rows, cols;
} gm_stored_rows;

/* Code number i of four bits each; where AWQ's words have output j of eight. */
static inline unsigned gm_code_at(const void *words, size_t i)
{
    const unsigned pair = ((const uint8_t *)words)[i / 2];
    return pair >> i % 2 * 4 & 15u;
}
static inline size_t gm_awq_place(size_t j)
{
    return j / 2 + j % 2 * 4;
}

/* Does a scale keep every product in range: is it 0, or 2^-100 to 2^100? */
bool gm_scale_is_fit(float scale);

/* Copy n rows row, row + every, ... to `to`: gives a tensor (n, cols) of `dtype`; from MXFP4 in
 * bf16, from F8_E4M3 and four bits in `as`. */
gm_tensor gm_stored_take(const gm_stored_rows *from, size_t row, size_t every, size_t n, void *to);

/* Bytes of `rows` rows, without scales. */
size_t gm_stored_bytes(gm_stored stored, gm_dtype dtype, size_t rows, size_t cols);

#endif

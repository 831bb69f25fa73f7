/* quantised.h - weights that were stored in fp8: what config.json says of them, and whether their
 * scales can be right.
 *
 * Read are F8_E4M3 with a scale for each block of rows and columns, each row, or each tensor: of
 * "quant_method" fp8 (DeepSeek-V3, Qwen3-FP8, MiniMax-M2; AutoFP8, a scale for each tensor) and of
 * compressed-tensors whose weights are "float" of 8 bits. Which tensors are so is for their types
 * to say: lists of those that are not are not looked at. Activations are not rounded to fp8, as a
 * server with fp8 products does: what is computed is the widened model, transformers' with
 * FineGrainedFP8Config(dequantize=True). Source: transformers, utils/quantization_config.py;
 * vllm-project/compressed-tensors, quantization/quant_args.py and quant_config.py;
 * neuralmagic/AutoFP8, README.md.
 */
#ifndef GM_QUANTISED_H
#define GM_QUANTISED_H

#include "engine/checkpoint.h"

#include "base/json.h"

/* What "quantization_config" says; *out without a suffix where there is none, it is null, or it
 * names no method (arch_keys.c refuses what it holds then). GM_EFORMAT: another method, bits, fixed
 * scales of activations, keys that nobody here knows; the sentence says which. */
gm_status gm_quantised_read(gm_blocks *out, const gm_json *config, const char *where, gm_error *err)
    GM_MUST_USE;

/* "128 x 128", "a row", "a tensor": what has a scale; "" where nothing has. */
const char *gm_blocks_show(char text[48], const gm_blocks *blocks);

/* Are the values of a tensor of scales of F8_E4M3 fit (stored.h), and not all 0, as in a file with
 * a hole? GM_EFORMAT. */
gm_status gm_scales_check(const gm_tensor *scales, gm_error *err) GM_MUST_USE;

#endif

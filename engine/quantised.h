/* quantised.h - weights that were stored in fp8: what config.json says of them, and whether their
 * scales can be right.
 *
 * Two forms are read, both F8_E4M3 with a scale for each block of rows and columns, each row, or
 * each tensor: "quant_method" fp8 (DeepSeek-V3, Qwen3-FP8, MiniMax-M2; AutoFP8, one scale a tensor)
 * and compressed-tensors whose weights are "float" of 8 bits. A tensor's type says whether it is
 * quantised; lists of exceptions are ignored. Activations are not rounded to fp8, unlike on a
 * server with fp8 products: the widened model is computed, as transformers does with
 * FineGrainedFP8Config(dequantize=True). Source: transformers, utils/quantization_config.py;
 * vllm-project/compressed-tensors, quantization/quant_args.py and quant_config.py;
 * neuralmagic/AutoFP8, README.md.
 */
#ifndef GM_QUANTISED_H
#define GM_QUANTISED_H

#include "engine/checkpoint.h"

#include "base/json.h"

/* What "quantization_config" says; *out has no suffix where it is absent or null, or names no
 * method (arch_keys.c then refuses its contents). GM_EFORMAT, with the reason: another method,
 * other bits, fixed activation scales, unknown keys. */
gm_status gm_quantised_read(gm_scale_blocks *out, const gm_json *config, const char *where,
                            gm_error *err) GM_MUST_USE;

/* What has a scale: "128 x 128", "a row", "a tensor"; "" nothing. */
const char *gm_blocks_show(char text[48], const gm_scale_blocks *blocks);

/* GM_EFORMAT unless all scales of F8_E4M3 in the tensor are fit (gm_scale_is_fit), and some are not
 * 0 (all are in a file with a hole). */
gm_status gm_scales_check(const gm_tensor *scales, gm_error *err) GM_MUST_USE;

#endif

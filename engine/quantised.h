/* quantised.h - weights that were stored in fp8 or in four bits: what config.json says of them, and
 * whether their scales can be right.
 *
 * Of F8_E4M3 two forms are read, with a scale for each block of rows and columns, each row, or
 * each tensor: "quant_method" fp8 (DeepSeek-V3, Qwen3-FP8, MiniMax-M2; AutoFP8, one scale a tensor)
 * and compressed-tensors whose weights are "float" of 8 bits. Of whole numbers of four bits three:
 * compressed-tensors with "int" (Kimi-K2-Thinking), gptq (Qwen's GPTQ-Int4), and awq. The tensors
 * that are there say what is quantised; lists of exceptions are ignored. Activations are not
 * rounded to fp8, unlike on a server with fp8 products: the widened model is computed, as
 * transformers does with FineGrainedFP8Config(dequantize=True). Source: transformers,
 * utils/quantization_config.py; vllm-project/compressed-tensors, quantization/quant_args.py and
 * quant_config.py; neuralmagic/AutoFP8, README.md; ModelCloud/GPTQModel, quantization/config.py.
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

/* Do weights lie in the same form under both? Neither is empty. */
bool gm_blocks_same(const gm_scale_blocks *a, const gm_scale_blocks *b);

/* What has a scale: "128 x 128", "a row", "a tensor"; of four bits "32 inputs"; "" nothing. */
const char *gm_blocks_show(char text[48], const gm_scale_blocks *blocks);

/* GM_EFORMAT unless all scales in the tensor are fit (gm_scale_is_fit), and some are not
 * 0 (all are in a file with a hole). */
gm_status gm_scales_check(const gm_tensor *scales, gm_error *err) GM_MUST_USE;

#endif

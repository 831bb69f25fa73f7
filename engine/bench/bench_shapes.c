/* bench_shapes.c - the shapes that gm-bench knows, as their config.json.
 *
 * Widths, heads and experts are the published checkpoints'; the context is long enough for
 * every measurement, which costs a table of angles and nothing else.
 */
#include "engine/bench/bench.h"

#include <string.h>

static const char OLMOE[] =
    "\"architectures\": [\"OlmoeForCausalLM\"], \"model_type\": \"olmoe\", \"hidden_size\": 2048, "
    "\"intermediate_size\": 1024, \"num_attention_heads\": 16, \"num_key_value_heads\": 16, "
    "\"num_experts\": 64, \"num_experts_per_tok\": 8, \"norm_topk_prob\": false, "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", "
    "\"attention_bias\": false, \"clip_qkv\": null, \"tie_word_embeddings\": false, "
    "\"vocab_size\": 50304, \"max_position_embeddings\": 131072";

static const char GIGACHAT[] =
    "\"architectures\": [\"DeepseekForCausalLM\"], \"model_type\": \"deepseek\", "
    "\"hidden_size\": 2048, \"intermediate_size\": 14336, \"num_attention_heads\": 16, "
    "\"num_key_value_heads\": 8, \"head_dim\": 128, \"first_k_dense_replace\": 1, "
    "\"moe_layer_freq\": 1, \"n_routed_experts\": 64, \"num_experts_per_tok\": 6, "
    "\"n_shared_experts\": 2, \"moe_intermediate_size\": 1792, \"scoring_func\": \"softmax\", "
    "\"norm_topk_prob\": false, \"hidden_act\": \"silu\", \"attention_bias\": false, "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 1400000, \"tie_word_embeddings\": false, "
    "\"vocab_size\": 128256, \"max_position_embeddings\": 131072";

static const char QWEN3[] =
    "\"architectures\": [\"Qwen3MoeForCausalLM\"], \"model_type\": \"qwen3_moe\", "
    "\"hidden_size\": 2048, \"intermediate_size\": 6144, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 4, \"head_dim\": 128, \"num_experts\": 128, "
    "\"num_experts_per_tok\": 8, \"moe_intermediate_size\": 768, \"decoder_sparse_step\": 1, "
    "\"mlp_only_layers\": [], \"norm_topk_prob\": true, \"hidden_act\": \"silu\", "
    "\"attention_bias\": false, \"rms_norm_eps\": 1e-06, \"rope_theta\": 1000000.0, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 151936, \"max_position_embeddings\": 131072";

static const char QWEN2[] =
    "\"architectures\": [\"Qwen2MoeForCausalLM\"], \"model_type\": \"qwen2_moe\", "
    "\"hidden_size\": 2048, \"intermediate_size\": 5632, \"num_attention_heads\": 16, "
    "\"num_key_value_heads\": 16, \"num_experts\": 60, \"num_experts_per_tok\": 4, "
    "\"moe_intermediate_size\": 1408, \"shared_expert_intermediate_size\": 5632, "
    "\"decoder_sparse_step\": 1, \"norm_topk_prob\": false, \"hidden_act\": \"silu\", "
    "\"rms_norm_eps\": 1e-06, \"rope_theta\": 1000000.0, \"use_sliding_window\": false, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 151936, \"max_position_embeddings\": 131072";

static const char GRANITE[] =
    "\"architectures\": [\"GraniteMoeForCausalLM\"], \"model_type\": \"granitemoe\", "
    "\"hidden_size\": 1024, \"intermediate_size\": 512, \"num_attention_heads\": 16, "
    "\"num_key_value_heads\": 8, \"num_local_experts\": 32, \"num_experts_per_tok\": 8, "
    "\"attention_multiplier\": 0.015625, \"embedding_multiplier\": 12.0, "
    "\"residual_multiplier\": 0.22, \"logits_scaling\": 6.0, \"hidden_act\": \"silu\", "
    "\"attention_bias\": false, \"rms_norm_eps\": 1e-06, \"rope_theta\": 10000, "
    "\"tie_word_embeddings\": true, \"vocab_size\": 49152, \"max_position_embeddings\": 131072";

/* Without quantization_config: random weights are bf16. */
static const char GPT_OSS[] =
    "\"architectures\": [\"GptOssForCausalLM\"], \"model_type\": \"gpt_oss\", "
    "\"hidden_size\": 2880, \"intermediate_size\": 2880, \"num_attention_heads\": 64, "
    "\"num_key_value_heads\": 8, \"head_dim\": 64, \"num_local_experts\": 32, "
    "\"num_experts_per_tok\": 4, \"sliding_window\": 128, \"swiglu_limit\": 7.0, "
    "\"attention_bias\": true, \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-05, "
    "\"rope_theta\": 150000, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 32.0, "
    "\"beta_fast\": 32.0, \"beta_slow\": 1.0, \"original_max_position_embeddings\": 4096, "
    "\"truncate\": false}, \"tie_word_embeddings\": false, \"vocab_size\": 201088, "
    "\"max_position_embeddings\": 131072";

static const struct shape {
    const char *name;
    int layers;
    const char *config;
} shapes[] = {
    {"olmoe-1b-7b", 16, OLMOE},
    {"gigachat-20b-a3b", 28, GIGACHAT},
    {"qwen3-30b-a3b", 48, QWEN3},
    {"qwen1.5-moe-a2.7b", 24, QWEN2},
    {"granite-3.0-1b-a400m", 24, GRANITE},
    {"gpt-oss-20b", 24, GPT_OSS},
};

gm_status gm_bench_config(gm_text *config, const char *name, int layers, gm_error *err)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].name, name) != 0) continue;
        return gm_text_printf(config, err, "{%s, \"num_hidden_layers\": %d}", shapes[i].config,
                              layers > 0 ? layers : shapes[i].layers);
    }
    return gm_fail(err, GM_EARG, "unknown shape '%s', expected one of %s", name, GM_BENCH_SHAPES);
}

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

/* Without quantization_config: random weights are bf16; with it those of experts are MXFP4, as they
 * are published. */
#define GPT_OSS                                                                              \
    "\"architectures\": [\"GptOssForCausalLM\"], \"model_type\": \"gpt_oss\", "              \
    "\"hidden_size\": 2880, \"intermediate_size\": 2880, \"num_attention_heads\": 64, "      \
    "\"num_key_value_heads\": 8, \"head_dim\": 64, \"num_experts_per_tok\": 4, "             \
    "\"sliding_window\": 128, \"swiglu_limit\": 7.0, \"attention_bias\": true, "             \
    "\"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-05, \"rope_theta\": 150000, "            \
    "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 32.0, \"beta_fast\": 32.0, "    \
    "\"beta_slow\": 1.0, \"original_max_position_embeddings\": 4096, \"truncate\": false}, " \
    "\"tie_word_embeddings\": false, \"vocab_size\": 201088, "                               \
    "\"max_position_embeddings\": 131072, "
#define MXFP4 ", \"quantization_config\": {\"quant_method\": \"mxfp4\"}"

static const char GPT_OSS_20B[] = GPT_OSS "\"num_local_experts\": 32";
static const char GPT_OSS_20B_MXFP4[] = GPT_OSS "\"num_local_experts\": 32" MXFP4;
static const char GPT_OSS_120B_MXFP4[] = GPT_OSS "\"num_local_experts\": 128" MXFP4;

static const char GLM_AIR[] =
    "\"architectures\": [\"Glm4MoeForCausalLM\"], \"model_type\": \"glm4_moe\", "
    "\"hidden_size\": 4096, \"intermediate_size\": 10944, \"num_attention_heads\": 96, "
    "\"num_key_value_heads\": 8, \"head_dim\": 128, \"first_k_dense_replace\": 1, "
    "\"n_routed_experts\": 128, \"num_experts_per_tok\": 8, \"n_shared_experts\": 1, "
    "\"moe_intermediate_size\": 1408, \"n_group\": 1, \"topk_group\": 1, "
    "\"routed_scaling_factor\": 1.0, \"norm_topk_prob\": true, \"partial_rotary_factor\": 0.5, "
    "\"attention_bias\": true, \"use_qk_norm\": false, \"hidden_act\": \"silu\", "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 1000000, \"tie_word_embeddings\": false, "
    "\"vocab_size\": 151552, \"max_position_embeddings\": 131072";

static const char DOTS[] =
    "\"architectures\": [\"Dots1ForCausalLM\"], \"model_type\": \"dots1\", "
    "\"hidden_size\": 4096, \"intermediate_size\": 10944, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 32, \"head_dim\": 128, \"first_k_dense_replace\": 1, "
    "\"n_routed_experts\": 128, \"num_experts_per_tok\": 6, \"n_shared_experts\": 2, "
    "\"moe_intermediate_size\": 1408, \"n_group\": 1, \"topk_group\": 1, "
    "\"routed_scaling_factor\": 2.5, \"norm_topk_prob\": true, \"sliding_window\": null, "
    "\"attention_bias\": false, \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-05, "
    "\"rope_theta\": 10000000, \"tie_word_embeddings\": false, \"vocab_size\": 152064, "
    "\"max_position_embeddings\": 131072";

static const char ERNIE[] =
    "\"architectures\": [\"Ernie4_5_MoeForCausalLM\"], \"model_type\": \"ernie4_5_moe\", "
    "\"hidden_size\": 2560, \"intermediate_size\": 12288, \"num_attention_heads\": 20, "
    "\"num_key_value_heads\": 4, \"moe_num_experts\": 64, \"moe_k\": 6, "
    "\"moe_num_shared_experts\": 2, \"moe_intermediate_size\": 1536, "
    "\"moe_layer_start_index\": 1, \"moe_layer_interval\": 1, \"use_bias\": false, "
    "\"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-05, \"rope_theta\": 500000, "
    "\"tie_word_embeddings\": true, \"vocab_size\": 103424, \"max_position_embeddings\": 131072";

static const char MINIMAX[] =
    "\"architectures\": [\"MiniMaxM2ForCausalLM\"], \"model_type\": \"minimax_m2\", "
    "\"hidden_size\": 3072, \"intermediate_size\": 1536, \"num_attention_heads\": 48, "
    "\"num_key_value_heads\": 8, \"head_dim\": 128, \"num_local_experts\": 256, "
    "\"num_experts_per_tok\": 8, \"rotary_dim\": 64, \"scoring_func\": \"sigmoid\", "
    "\"use_routing_bias\": true, \"use_qk_norm\": true, \"qk_norm_type\": \"per_layer\", "
    "\"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-06, \"rope_theta\": 5000000, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 200064, \"max_position_embeddings\": 131072";

static const char DEEPSEEK_V2_LITE[] =
    "\"architectures\": [\"DeepseekV2ForCausalLM\"], \"model_type\": \"deepseek_v2\", "
    "\"hidden_size\": 2048, \"intermediate_size\": 10944, \"num_attention_heads\": 16, "
    "\"num_key_value_heads\": 16, \"q_lora_rank\": null, \"kv_lora_rank\": 512, "
    "\"qk_nope_head_dim\": 128, \"qk_rope_head_dim\": 64, \"v_head_dim\": 128, "
    "\"first_k_dense_replace\": 1, \"moe_layer_freq\": 1, \"n_routed_experts\": 64, "
    "\"num_experts_per_tok\": 6, \"n_shared_experts\": 2, \"moe_intermediate_size\": 1408, "
    "\"norm_topk_prob\": false, \"routed_scaling_factor\": 1.0, \"scoring_func\": \"softmax\", "
    "\"topk_method\": \"greedy\", \"n_group\": 1, \"topk_group\": 1, \"hidden_act\": \"silu\", "
    "\"rms_norm_eps\": 1e-06, \"rope_theta\": 10000, \"rope_scaling\": {\"type\": \"yarn\", "
    "\"factor\": 40, \"beta_fast\": 32, \"beta_slow\": 1, \"mscale\": 0.707, "
    "\"mscale_all_dim\": 0.707, \"original_max_position_embeddings\": 4096}, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 102400, \"max_position_embeddings\": 131072";

/* Without LongRoPE, whose numbers cost no time and end the context at 4,096 positions. */
static const char PHIMOE[] =
    "\"architectures\": [\"PhiMoEForCausalLM\"], \"model_type\": \"phimoe\", "
    "\"hidden_size\": 4096, \"intermediate_size\": 6400, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 8, \"num_local_experts\": 16, \"num_experts_per_tok\": 2, "
    "\"router_jitter_noise\": 0.01, \"attention_bias\": true, \"lm_head_bias\": true, "
    "\"sliding_window\": 131072, \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-05, "
    "\"rope_theta\": 10000, \"tie_word_embeddings\": false, \"vocab_size\": 32064, "
    "\"max_position_embeddings\": 131072";

/* Heads, their widths, the dense layer's and how many are chosen are those that give the published
 * numbers of parameters. */
static const char GIGACHAT3[] =
    "\"architectures\": [\"DeepseekV3ForCausalLM\"], \"model_type\": \"deepseek_v3\", "
    "\"hidden_size\": 1536, \"intermediate_size\": 8960, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 32, \"q_lora_rank\": null, \"kv_lora_rank\": 512, "
    "\"qk_nope_head_dim\": 128, \"qk_rope_head_dim\": 64, \"v_head_dim\": 192, "
    "\"first_k_dense_replace\": 1, \"moe_layer_freq\": 1, \"n_routed_experts\": 64, "
    "\"num_experts_per_tok\": 4, \"n_shared_experts\": 1, \"moe_intermediate_size\": 1280, "
    "\"norm_topk_prob\": true, \"routed_scaling_factor\": 1.0, \"scoring_func\": \"sigmoid\", "
    "\"topk_method\": \"noaux_tc\", \"n_group\": 1, \"topk_group\": 1, \"hidden_act\": \"silu\", "
    "\"rms_norm_eps\": 1e-06, \"rope_theta\": 100000, \"rope_scaling\": {\"type\": \"yarn\", "
    "\"factor\": 64, \"beta_fast\": 32, \"beta_slow\": 1, \"mscale\": 1.0, "
    "\"mscale_all_dim\": 1.0, \"original_max_position_embeddings\": 4096}, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 128256, \"max_position_embeddings\": 131072";

static const char GLM_FLASH[] =
    "\"architectures\": [\"Glm4MoeLiteForCausalLM\"], \"model_type\": \"glm4_moe_lite\", "
    "\"hidden_size\": 2048, \"intermediate_size\": 10240, \"num_attention_heads\": 20, "
    "\"num_key_value_heads\": 20, \"q_lora_rank\": 768, \"kv_lora_rank\": 512, "
    "\"qk_nope_head_dim\": 192, \"qk_rope_head_dim\": 64, \"v_head_dim\": 256, "
    "\"first_k_dense_replace\": 1, \"n_routed_experts\": 64, \"num_experts_per_tok\": 4, "
    "\"n_shared_experts\": 1, \"moe_intermediate_size\": 1536, \"norm_topk_prob\": true, "
    "\"routed_scaling_factor\": 1.8, \"topk_method\": \"noaux_tc\", \"n_group\": 1, "
    "\"topk_group\": 1, \"hidden_act\": \"silu\", \"attention_bias\": false, "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 1000000, \"tie_word_embeddings\": false, "
    "\"vocab_size\": 154880, \"max_position_embeddings\": 131072";

static const char FLEX_OLMO[] =
    "\"architectures\": [\"FlexOlmoForCausalLM\"], \"model_type\": \"flex_olmo\", "
    "\"hidden_size\": 4096, \"intermediate_size\": 11008, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 32, \"num_experts\": 7, \"num_experts_per_tok\": 5, "
    "\"norm_topk_prob\": false, \"hidden_act\": \"silu\", \"attention_bias\": false, "
    "\"rms_norm_eps\": 1e-06, \"rope_theta\": 500000, \"tie_word_embeddings\": false, "
    "\"vocab_size\": 100352, \"max_position_embeddings\": 131072";

static const char HUNYUAN[] =
    "\"architectures\": [\"HunYuanMoEV1ForCausalLM\"], \"model_type\": \"hunyuan_v1_moe\", "
    "\"hidden_size\": 4096, \"intermediate_size\": 3072, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 8, \"head_dim\": 128, \"num_experts\": 64, \"moe_topk\": 8, "
    "\"num_shared_expert\": 1, \"norm_topk_prob\": true, \"use_qk_norm\": true, "
    "\"rope_scaling\": {\"type\": \"dynamic\", \"alpha\": 1000.0}, \"hidden_act\": \"silu\", "
    "\"attention_bias\": false, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000, "
    "\"tie_word_embeddings\": true, \"vocab_size\": 128167, \"max_position_embeddings\": 131072";

/* Of kinds of layers every fourth is attention, from the fourth on. */
#define QWEN_DELTA                                                                          \
    "\"hidden_size\": 2048, \"num_attention_heads\": 16, \"num_key_value_heads\": 2, "      \
    "\"head_dim\": 256, \"full_attention_interval\": 4, \"linear_num_key_heads\": 16, "     \
    "\"linear_num_value_heads\": 32, \"linear_key_head_dim\": 128, "                        \
    "\"linear_value_head_dim\": 128, \"linear_conv_kernel_dim\": 4, "                       \
    "\"moe_intermediate_size\": 512, \"shared_expert_intermediate_size\": 512, "            \
    "\"partial_rotary_factor\": 0.25, \"rope_theta\": 10000000, \"hidden_act\": \"silu\", " \
    "\"attention_bias\": false, \"rms_norm_eps\": 1e-06, \"tie_word_embeddings\": false, "  \
    "\"max_position_embeddings\": 131072, "

static const char QWEN3_NEXT[] =
    "\"architectures\": [\"Qwen3NextForCausalLM\"], \"model_type\": \"qwen3_next\", " QWEN_DELTA
    "\"intermediate_size\": 5120, \"num_experts\": 512, \"num_experts_per_tok\": 10, "
    "\"decoder_sparse_step\": 1, \"mlp_only_layers\": [], \"norm_topk_prob\": true, "
    "\"vocab_size\": 151936";

static const char QWEN35[] =
    "\"architectures\": [\"Qwen3_5MoeForCausalLM\"], \"model_type\": "
    "\"qwen3_5_moe_text\", " QWEN_DELTA
    "\"num_experts\": 256, \"num_experts_per_tok\": 8, \"vocab_size\": 248320";

/* A kind for each of ten layers, of which the pattern is made (Mamba2, attention). */
#define GRANITE_HYBRID                                                               \
    "\"architectures\": [\"GraniteMoeHybridForCausalLM\"], \"model_type\": "         \
    "\"granitemoehybrid\", \"mamba_d_head\": 64, \"mamba_d_state\": 128, "           \
    "\"mamba_n_groups\": 1, \"mamba_d_conv\": 4, \"mamba_expand\": 2, "              \
    "\"mamba_conv_bias\": true, \"mamba_proj_bias\": false, "                        \
    "\"position_embedding_type\": \"nope\", \"embedding_multiplier\": 12, "          \
    "\"attention_multiplier\": 0.0078125, \"residual_multiplier\": 0.22, "           \
    "\"hidden_act\": \"silu\", \"attention_bias\": false, \"rms_norm_eps\": 1e-05, " \
    "\"tie_word_embeddings\": true, \"vocab_size\": 100352, "                        \
    "\"max_position_embeddings\": 131072, "
#define GRANITE_KINDS "MMMMM*MMMM"

static const char GRANITE_TINY[] =
    GRANITE_HYBRID "\"hidden_size\": 1536, \"intermediate_size\": 512, "
                   "\"shared_intermediate_size\": 1024, \"num_local_experts\": 64, "
                   "\"num_experts_per_tok\": 6, \"mamba_n_heads\": 48, "
                   "\"num_attention_heads\": 12, \"num_key_value_heads\": 4, "
                   "\"logits_scaling\": 6";

static const char GRANITE_SMALL[] =
    GRANITE_HYBRID "\"hidden_size\": 4096, \"intermediate_size\": 768, "
                   "\"shared_intermediate_size\": 1536, \"num_local_experts\": 72, "
                   "\"num_experts_per_tok\": 10, \"mamba_n_heads\": 128, "
                   "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, "
                   "\"logits_scaling\": 16";

/* Layer types as the family has them: every sixth sees all positions, and the last. */
static const char GEMMA4[] =
    "\"architectures\": [\"Gemma4ForCausalLM\"], \"model_type\": \"gemma4_text\", "
    "\"hidden_size\": 2816, \"intermediate_size\": 2112, \"num_attention_heads\": 16, "
    "\"num_key_value_heads\": 8, \"num_global_key_value_heads\": 2, \"head_dim\": 256, "
    "\"global_head_dim\": 512, \"attention_k_eq_v\": true, \"sliding_window\": 1024, "
    "\"enable_moe_block\": true, \"num_experts\": 128, \"top_k_experts\": 8, "
    "\"moe_intermediate_size\": 704, \"hidden_size_per_layer_input\": 0, "
    "\"num_kv_shared_layers\": 0, \"hidden_activation\": \"gelu_pytorch_tanh\", "
    "\"final_logit_softcapping\": 30.0, \"rope_parameters\": {\"full_attention\": "
    "{\"partial_rotary_factor\": 0.25, \"rope_theta\": 1000000.0, \"rope_type\": "
    "\"proportional\"}, \"sliding_attention\": {\"rope_theta\": 10000.0, \"rope_type\": "
    "\"default\"}}, \"rms_norm_eps\": 1e-06, \"tie_word_embeddings\": true, "
    "\"vocab_size\": 262144, \"max_position_embeddings\": 262144";

/* Every fourth layer sees all positions, as the family has it. */
static const char LLAMA4_SCOUT[] =
    "\"architectures\": [\"Llama4ForCausalLM\"], \"model_type\": \"llama4_text\", "
    "\"hidden_size\": 5120, \"intermediate_size\": 8192, \"intermediate_size_mlp\": 16384, "
    "\"num_attention_heads\": 40, \"num_key_value_heads\": 8, \"head_dim\": 128, "
    "\"num_local_experts\": 16, \"num_experts_per_tok\": 1, "
    "\"interleave_moe_layer_step\": 1, \"use_qk_norm\": true, "
    "\"attention_chunk_size\": 8192, \"attn_temperature_tuning\": true, "
    "\"floor_scale\": 8192, \"attn_scale\": 0.1, \"rope_theta\": 500000.0, "
    "\"rope_scaling\": {\"factor\": 16.0, \"high_freq_factor\": 1.0, "
    "\"low_freq_factor\": 1.0, \"original_max_position_embeddings\": 8192, "
    "\"rope_type\": \"llama3\"}, \"rms_norm_eps\": 1e-05, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 202048, "
    "\"max_position_embeddings\": 10485760";

static const char NEMOTRON[] =
    "\"architectures\": [\"NemotronHForCausalLM\"], \"model_type\": \"nemotron_h\", "
    "\"hidden_size\": 2688, \"intermediate_size\": 1856, \"num_attention_heads\": 32, "
    "\"num_key_value_heads\": 2, \"head_dim\": 128, \"mamba_num_heads\": 64, "
    "\"mamba_head_dim\": 64, \"n_groups\": 8, \"ssm_state_size\": 128, \"conv_kernel\": 4, "
    "\"n_routed_experts\": 128, \"num_experts_per_tok\": 6, \"moe_intermediate_size\": 1856, "
    "\"moe_shared_expert_intermediate_size\": 3712, \"routed_scaling_factor\": 2.5, "
    "\"norm_topk_prob\": true, \"mlp_hidden_act\": \"relu2\", \"layer_norm_epsilon\": 1e-05, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 131072, "
    "\"max_position_embeddings\": 131072";
#define NEMOTRON_KINDS "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"

static const char LFM2[] =
    "\"architectures\": [\"Lfm2MoeForCausalLM\"], \"model_type\": \"lfm2_moe\", "
    "\"hidden_size\": 2048, \"intermediate_size\": 7168, \"moe_intermediate_size\": 1792, "
    "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"conv_L_cache\": 3, "
    "\"conv_bias\": false, \"num_dense_layers\": 2, \"num_experts\": 32, "
    "\"num_experts_per_tok\": 4, \"norm_topk_prob\": true, \"use_expert_bias\": true, "
    "\"routed_scaling_factor\": 1.0, \"norm_eps\": 1e-05, \"rope_theta\": 1000000.0, "
    "\"tie_word_embeddings\": true, \"vocab_size\": 65536, "
    "\"max_position_embeddings\": 128000";
#define LFM2_KINDS "cc*ccc*ccc*ccc*ccc*cc*cc"

static const struct shape {
    const char *name;
    int layers;
    const char *config;
    const char *kinds; /* of layers, in turn: those of a config that lists them; NULL: none does */
} shapes[] = {
    {"olmoe-1b-7b", 16, OLMOE, NULL},
    {"gigachat-20b-a3b", 28, GIGACHAT, NULL},
    {"qwen3-30b-a3b", 48, QWEN3, NULL},
    {"qwen1.5-moe-a2.7b", 24, QWEN2, NULL},
    {"granite-3.0-1b-a400m", 24, GRANITE, NULL},
    {"gpt-oss-20b", 24, GPT_OSS_20B, NULL},
    {"gpt-oss-20b-mxfp4", 24, GPT_OSS_20B_MXFP4, NULL},
    {"gpt-oss-120b-mxfp4", 36, GPT_OSS_120B_MXFP4, NULL},
    {"glm-4.5-air", 46, GLM_AIR, NULL},
    {"dots.llm1", 62, DOTS, NULL},
    {"ernie-4.5-21b-a3b", 28, ERNIE, NULL},
    {"minimax-m2", 62, MINIMAX, NULL},
    {"deepseek-v2-lite", 27, DEEPSEEK_V2_LITE, NULL},
    {"gigachat3-10b-a1.8b", 26, GIGACHAT3, NULL},
    {"phi-3.5-moe", 32, PHIMOE, NULL},
    {"qwen3-next-80b-a3b", 48, QWEN3_NEXT, NULL},
    {"qwen3.5-35b-a3b", 40, QWEN35, NULL},
    {"glm-4.7-flash", 47, GLM_FLASH, NULL},
    {"flexolmo-7x7b", 32, FLEX_OLMO, NULL},
    {"hunyuan-a13b", 32, HUNYUAN, NULL},
    {"granite-4.0-h-tiny", 40, GRANITE_TINY, GRANITE_KINDS},
    {"granite-4.0-h-small", 40, GRANITE_SMALL, GRANITE_KINDS},
    {"gemma-4-26b-a4b", 30, GEMMA4, NULL},
    {"nemotron-3-nano-30b-a3b", 52, NEMOTRON, NEMOTRON_KINDS},
    {"lfm2-8b-a1b", 24, LFM2, LFM2_KINDS},
    {"llama-4-scout-17b-16e", 48, LLAMA4_SCOUT, NULL},
};

static const char *name_of(char kind)
{
    switch (kind) {
    case 'M': return "mamba";
    case 'E': return "moe";
    case 'c': return "conv";
    default: return "full_attention";
    }
}

static gm_status add_kinds(gm_text *config, const char *kinds, int layers, gm_error *err)
{
    gm_status status = GM_OK;
    for (int i = 0; i < layers; i++)
        GM_TRY(gm_text_printf(config, err, "%s\"%s\"", i ? ", " : "[",
                              name_of(kinds[(size_t)i % strlen(kinds)])));
    GM_TRY(gm_text_printf(config, err, "]"));
out:
    return status;
}

gm_status gm_bench_config(gm_text *config, const char *name, int layers, gm_error *err)
{
    gm_status status = GM_OK;
    size_t i = 0;
    while (i < sizeof shapes / sizeof shapes[0] && strcmp(shapes[i].name, name) != 0) i++;
    if (i == sizeof shapes / sizeof shapes[0])
        GM_FAIL(GM_EARG, "unknown shape '%s', expected one of %s", name, GM_BENCH_SHAPES);
    const int n = layers > 0 ? layers : shapes[i].layers;
    GM_TRY(gm_text_printf(config, err, "{%s, \"num_hidden_layers\": %d", shapes[i].config, n));
    if (shapes[i].kinds) {
        /* Nemotron-H's key and that of others: each is known to its family only */
        GM_TRY(gm_text_printf(config, err, ", \"%s\": ",
                              strchr(shapes[i].kinds, 'E') ? "layers_block_type" : "layer_types"));
        GM_TRY(add_kinds(config, shapes[i].kinds, n, err));
    }
    GM_TRY(gm_text_printf(config, err, "}"));
out:
    return status;
}

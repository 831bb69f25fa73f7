/* test_families_delta.c - what the rows of engine/families_delta.c read: published configs, where
 * the parts of a projection lie in their tensors, what is refused.
 */
#include "engine/families.h"
#include "engine/session.h"

#include "tests/small_states.h"

/* Qwen/Qwen3-Next-80B-A3B-Instruct's published config. */
static const char next[] =
    "{\"architectures\":[\"Qwen3NextForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":151643,\"decoder_sparse_step\":1,"
    "\"eos_token_id\":151645,\"full_attention_interval\":4,\"head_dim\":256,"
    "\"hidden_act\":\"silu\",\"hidden_size\":2048,\"initializer_range\":0.02,"
    "\"intermediate_size\":5120,\"linear_conv_kernel_dim\":4,\"linear_key_head_dim\":128,"
    "\"linear_num_key_heads\":16,\"linear_num_value_heads\":32,\"linear_value_head_dim\":128,"
    "\"max_position_embeddings\":262144,\"mlp_only_layers\":[],\"model_type\":\"qwen3_next\","
    "\"moe_intermediate_size\":512,\"norm_topk_prob\":true,\"num_attention_heads\":16,"
    "\"num_experts\":512,\"num_experts_per_tok\":10,\"num_hidden_layers\":48,"
    "\"num_key_value_heads\":2,\"output_router_logits\":false,\"partial_rotary_factor\":0.25,"
    "\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":10000000,"
    "\"router_aux_loss_coef\":0.001,\"shared_expert_intermediate_size\":512,"
    "\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.57.0.dev0\",\"use_cache\":true,\"use_sliding_window\":false,"
    "\"vocab_size\":151936}";

/* Qwen/Qwen3.5-35B-A3B's sizes in the form of its config. */
static const char qwen35[] =
    "{\"architectures\":[\"Qwen3_5MoeForConditionalGeneration\"],\"image_token_id\":248056,"
    "\"model_type\":\"qwen3_5_moe\",\"text_config\":{\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"attn_output_gate\":true,\"dtype\":\"bfloat16\","
    "\"eos_token_id\":248044,\"full_attention_interval\":4,\"head_dim\":256,"
    "\"hidden_act\":\"silu\",\"hidden_size\":2048,\"linear_conv_kernel_dim\":4,"
    "\"linear_key_head_dim\":128,\"linear_num_key_heads\":16,\"linear_num_value_heads\":32,"
    "\"linear_value_head_dim\":128,\"mamba_ssm_dtype\":\"float32\","
    "\"max_position_embeddings\":262144,\"model_type\":\"qwen3_5_moe_text\","
    "\"moe_intermediate_size\":512,\"mtp_num_hidden_layers\":1,"
    "\"mtp_use_dedicated_embeddings\":false,\"num_attention_heads\":16,\"num_experts\":256,"
    "\"num_experts_per_tok\":8,\"num_hidden_layers\":40,\"num_key_value_heads\":2,"
    "\"partial_rotary_factor\":0.25,\"rms_norm_eps\":1e-06,\"rope_parameters\":{"
    "\"mrope_interleaved\":true,\"mrope_section\":[11,11,10],\"partial_rotary_factor\":0.25,"
    "\"rope_theta\":10000000,\"rope_type\":\"default\"},"
    "\"shared_expert_intermediate_size\":512,\"tie_word_embeddings\":false,"
    "\"vocab_size\":248320},\"tie_word_embeddings\":false,\"vision_config\":{\"depth\":27}}";

static gm_slice slice_of(const gm_arch *a, gm_role role, int layer, int head)
{
    gm_slice slice = {0};
    CHECK(gm_arch_tensor(a, role, layer, head, &slice));
    return slice;
}

/* Parameters of Qwen3-Coder-Next's files, whose config has the same sizes: 79,674,391,296. */
static void reads_next(void)
{
    gm_slice s;
    size_t dim[GM_MAX_RANK];
    gm_arch a = read_config_text(next);
    check_parameters(&a, 79674391296.0, 3874929408.0, 0.0);
    CHECK(a.n_delta == 36 && a.n_moe == 48 && a.gated_shared && a.n_mtp == 1);
    CHECK(gm_arch_is_delta(&a, 2) && !gm_arch_is_delta(&a, 3) && gm_arch_is_delta(&a, 46));
    CHECK(gm_arch_nth(&a, 4) == 3 && gm_arch_nth(&a, 7) == 1 && gm_arch_nth(&a, 47) == 11);
    CHECK(a.rope.dim == 64 && a.qk_norm == GM_QK_NORM_HEAD && a.router.renormalise);

    s = slice_of(&a, GM_ROLE_DELTA_K, 0, 5); /* each head: 128 of q, 128 of k, 256 of v, of z */
    CHECK(s.first == 5 * 768 + 128 && s.rows == 128 && s.tall == 12288 && s.heads == 16);
    CHECK_TEXT(s.name, "model.layers.0.linear_attn.in_proj_qkvz.weight");
    s = slice_of(&a, GM_ROLE_DELTA_A, 0, 5);
    CHECK(s.first == 5 * 4 + 2 && s.rows == 2 && s.tall == 64);
    s = slice_of(&a, GM_ROLE_Q_GATE, 3, 7);
    CHECK(s.first == 7 * 512 + 256 && s.rows == 256 && s.tall == 8192 && s.heads == 16);
    s = slice_of(&a, GM_ROLE_DELTA_CONV, 0, 0);
    CHECK(gm_slice_shape(&s, dim) == 3 && dim[0] == 8192 && dim[1] == 1 && dim[2] == 4);
    CHECK(slice_of(&a, GM_ROLE_K_NORM, 3, 0).centred &&
          !slice_of(&a, GM_ROLE_DELTA_NORM, 0, 0).centred);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q, 0, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_DELTA_Q, 3, 0, &s));
    gm_arch_clear(&a);
}

static void reads_qwen35(void)
{
    gm_arch a = read_config_text(qwen35);
    check_parameters(&a, 34.66e9, 3.45e9, 0.01e9); /* of the 35B, 3B active, the text's part */
    CHECK(a.n_delta == 30 && a.n_layers == 40 && a.rope.dim == 64 && a.n_mtp == 1);
    gm_slice s = slice_of(&a, GM_ROLE_DELTA_V, 0, 5); /* all q, all k, then v */
    CHECK(s.first == 4096 + 5 * 256 && s.rows == 256 && s.tall == 8192);
    CHECK_TEXT(s.name, "model.language_model.layers.0.linear_attn.in_proj_qkv.weight");
    s = slice_of(&a, GM_ROLE_DELTA_Z, 0, 5);
    CHECK(s.first == 5 * 256 && s.tall == 4096);
    a.stacked = true;
    s = slice_of(&a, GM_ROLE_EXPERT_UP, 1, 9);
    CHECK(s.stack == 256 && s.item == 9 && s.first == 512 && s.stack_rows == 1024);
    CHECK_TEXT(s.name, "model.language_model.layers.1.mlp.experts.gate_up_proj");
    gm_arch_clear(&a);
}

static void cache_and_states_are_counted(void)
{
    gm_error err = {0};
    gm_model *model = open_random(small_qwen35, true);
    const gm_model_info *info = gm_model_get_info(model);
    CHECK_INT(info->kv_bytes_per_token, 1 * 2 * (12 + 12) * 4); /* one layer of three, f32 */
    /* two layers: four heads of 6 x 16, and three rows of 12 + 12 + 40 channels */
    CHECK_INT(info->state_bytes_per_sequence, 2 * (4 * 6 * 16 + 3 * 64) * 4);
    gm_model_close(model);
    const gm_model_options options = {.headers_only = true};
    CHECK_OK(gm_model_open(&model, TEST_DATA "/golden/models/olmoe-tiny", &options, &err), err);
    CHECK_INT(gm_model_get_info(model)->state_bytes_per_sequence, 0);
    gm_model_close(model);
}

/* 4096 documents of a token: 79 MB of states each. */
static void many_sequences_do_with_fewer(void)
{
    gm_arch a = read_config_text(next);
    gm_session_options o = {
        .threads = 1, .max_rows = 64, .kv_rows = 4096, .max_sequences = 4096, .fewer_do = true};
    const uint64_t few = gm_session_bytes_for(&a, GM_NUMERICS_BF16, &o);
    o.max_sequences = 2;
    const uint64_t two = gm_session_bytes_for(&a, GM_NUMERICS_BF16, &o);
    o.max_sequences = 4096, o.fewer_do = false;
    const uint64_t all = gm_session_bytes_for(&a, GM_NUMERICS_BF16, &o);
    CHECK(few - two > (uint64_t)3 << 30 && few - two < (uint64_t)4 << 30);
    CHECK(all - two > (uint64_t)4094 * gm_kv_state_bytes(&a));
    CHECK_INT(gm_kv_state_bytes(&a), 36 * (32 * 128 * 128 + 3 * 8192) * 4);
    o.fewer_do = true, o.max_sequences = -1;
    CHECK_INT(gm_session_bytes_for(&a, GM_NUMERICS_BF16, &o), 0); /* refused, not a few */
    o.piece_rows = 64, o.max_sequences = 2;                       /* layer by layer: 2.2 MB each */
    const uint64_t two_by_layer = gm_session_bytes_for(&a, GM_NUMERICS_BF16, &o);
    o.max_sequences = 4096;
    const uint64_t by_layer = gm_session_bytes_for(&a, GM_NUMERICS_BF16, &o) - two_by_layer;
    CHECK(by_layer > (uint64_t)3 << 30 && by_layer < (uint64_t)5 << 30);
    o.piece_rows = 0;
    gm_arch_clear(&a);
    gm_model *model = open_random(small_next, false);
    gm_session *session = NULL;
    gm_error err = {0};
    o.max_sequences = 3, o.fewer_do = true; /* states of 12 kB: all of them */
    CHECK_OK(gm_session_create(&session, model, &o, &err), err);
    CHECK_INT(gm_session_sequences(session), 3);
    gm_session_free(session);
    gm_model_close(model);
}

static void refuses_what_is_not_computed(void)
{
    write_config("next", small_next), write_config("qwen35", small_qwen35);
    static const char *const changes[][4] = {
        {"next", "linear_num_key_heads", NULL, "'linear_num_key_heads' is missing"},
        {"next", "linear_num_value_heads", "5", "is 5, expected a multiple of the 2 key heads"},
        {"next", "linear_num_value_heads", "0", "'linear_num_value_heads'"},
        {"next", "linear_key_head_dim", "0", "'linear_key_head_dim'"},
        {"next", "linear_value_head_dim", "100000", "'linear_value_head_dim'"},
        {"next", "linear_conv_kernel_dim", "1", "'linear_conv_kernel_dim'"},
        {"next", "full_attention_interval", "0", "'full_attention_interval'"},
        {"next", "layer_types", "[\"linear_attention\"]",
         "'layer_types' is not a list of 3 layers"},
        {"next", "layer_types", "[\"linear_attention\", \"full_attention\", \"mamba\"]",
         "'layer_types' contains 'mamba', but only 'linear_attention' and"},
        {"next", "layer_types", "7", "'layer_types' is not a list"},
        {"next", "head_dim", NULL, "'head_dim' is missing"},
        {"next", "num_key_value_heads", NULL, "'num_key_value_heads' is missing"},
        {"next", "attention_bias", "true", "'attention_bias' is true"},
        {"next", "rope_scaling", "{\"type\": \"yarn\", \"factor\": 4}", "has type 'yarn'"},
        {"qwen35", "attn_output_gate", "false", "'attn_output_gate' is false, but only true"},
        {"qwen35", "output_gate_type", "\"tanh\"",
         "'output_gate_type' is 'tanh', but only 'swish'"},
        {"qwen35", "text_config", "7", "'text_config' is not an object"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused(changes[i][0], changes[i][1], changes[i][2], changes[i][3]);
}

/* The same tensors by other sizes, or in other layers, are another model. */
static void other_kinds_have_another_digest(void)
{
    gm_arch a = read_config_text(next);
    char same[65], other[65];
    gm_arch_digest(&a, same);
    a.delta.taps = 3;
    gm_arch_digest(&a, other);
    CHECK(strcmp(same, other) != 0);
    a.delta.taps = 4, a.delta_of_layer[3] = 3, a.delta_of_layer[4] = -1;
    gm_arch_digest(&a, other);
    CHECK(strcmp(same, other) != 0);
    gm_arch_clear(&a);
}

static void every_allocation_may_fail(void)
{
    char names[2][8] = {"next", "qwen35"};
    write_config(names[0], small_next), write_config(names[1], small_qwen35);
    for (size_t i = 0; i < 2; i++) check_every_allocation(read_attempt, names[i]);
}

TESTS(TEST(reads_next), TEST(reads_qwen35), TEST(cache_and_states_are_counted),
      TEST(many_sequences_do_with_fewer), TEST(refuses_what_is_not_computed),
      TEST(other_kinds_have_another_digest), TEST(every_allocation_may_fail))

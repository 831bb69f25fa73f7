/* test_families_mamba.c - what the rows of engine/families_mamba.c read: published configs, where
 * the parts of a projection lie in their tensors, what is refused.
 */
#include "engine/families.h"
#include "engine/model.h"
#include "engine/session.h"

#include "tests/small_states.h"

/* ibm-granite/granite-4.0-h-tiny's sizes in the form of its config; of h-small the sizes differ. */
#define HYBRID(width, expert, shared, experts, chosen, heads, queries, keys)                       \
    "{\"architectures\":[\"GraniteMoeHybridForCausalLM\"],\"attention_bias\":false,"               \
    "\"attention_dropout\":0.0,\"attention_multiplier\":0.0078125,\"bos_token_id\":100257,"        \
    "\"embedding_multiplier\":12,\"eos_token_id\":100257,\"hidden_act\":\"silu\","                 \
    "\"hidden_size\":" width ",\"init_method\":\"mup\",\"initializer_range\":0.1,"                 \
    "\"intermediate_size\":" expert ",\"layer_types\":[" FIVE ",\"attention\"," NINE               \
    ",\"attention\"," NINE ",\"attention\"," NINE ",\"attention\"," FOUR "],\"logits_scaling\":6," \
    "\"mamba_chunk_size\":256,\"mamba_conv_bias\":true,\"mamba_d_conv\":4,\"mamba_d_head\":64,"    \
    "\"mamba_d_state\":128,\"mamba_expand\":2,\"mamba_n_groups\":1,\"mamba_n_heads\":" heads       \
    ",\"mamba_proj_bias\":false,\"max_position_embeddings\":131072,"                               \
    "\"model_type\":\"granitemoehybrid\",\"normalization_function\":\"rmsnorm\","                  \
    "\"num_attention_heads\":" queries ",\"num_experts_per_tok\":" chosen                          \
    ",\"num_hidden_layers\":40,\"num_key_value_heads\":" keys ",\"num_local_experts\":" experts    \
    ",\"output_router_logits\":false,\"pad_token_id\":100256,"                                     \
    "\"position_embedding_type\":\"nope\",\"residual_multiplier\":0.22,\"rms_norm_eps\":1e-05,"    \
    "\"rope_scaling\":null,\"rope_theta\":10000,\"router_aux_loss_coef\":0.0,"                     \
    "\"shared_intermediate_size\":" shared ",\"tie_word_embeddings\":true,"                        \
    "\"torch_dtype\":\"bfloat16\",\"transformers_version\":\"4.56.0\",\"use_cache\":true,"         \
    "\"vocab_size\":100352}"
#define FOUR "\"mamba\",\"mamba\",\"mamba\",\"mamba\""
#define FIVE FOUR ",\"mamba\""
#define NINE FIVE "," FOUR

static const char h_tiny[] = HYBRID("1536", "512", "1024", "64", "6", "48", "12", "4");
static const char h_small[] = HYBRID("4096", "768", "1536", "72", "10", "128", "32", "8");

/* nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16's published config. */
static const char nano[] =
    "{\"architectures\":[\"NemotronHForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":1,\"chunk_size\":128,\"conv_kernel\":4,"
    "\"eos_token_id\":2,\"expand\":2,\"head_dim\":128,\"hidden_dropout\":0.0,"
    "\"hidden_size\":2688,\"hybrid_override_pattern\":"
    "\"MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME\",\"initializer_range\":0.02,"
    "\"intermediate_size\":1856,\"layer_norm_epsilon\":1e-05,\"mamba_head_dim\":64,"
    "\"mamba_hidden_act\":\"silu\",\"mamba_num_heads\":64,\"mamba_proj_bias\":false,"
    "\"mamba_ssm_cache_dtype\":\"float32\",\"max_position_embeddings\":262144,"
    "\"mlp_bias\":false,\"mlp_hidden_act\":\"relu2\",\"model_type\":\"nemotron_h\","
    "\"moe_intermediate_size\":1856,\"moe_shared_expert_intermediate_size\":3712,"
    "\"n_group\":1,\"n_groups\":8,\"n_routed_experts\":128,\"n_shared_experts\":1,"
    "\"norm_eps\":1e-05,\"norm_topk_prob\":true,\"num_attention_heads\":32,"
    "\"num_experts_per_tok\":6,\"num_hidden_layers\":52,\"num_key_value_heads\":2,"
    "\"num_logits_to_keep\":1,\"pad_token_id\":0,\"partial_rotary_factor\":1.0,"
    "\"rescale_prenorm_residual\":true,\"residual_in_fp32\":false,\"rope_theta\":10000,"
    "\"routed_scaling_factor\":2.5,\"sliding_window\":null,\"ssm_state_size\":128,"
    "\"tie_word_embeddings\":false,\"time_step_floor\":0.0001,\"time_step_max\":0.1,"
    "\"time_step_min\":0.001,\"topk_group\":1,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.55.4\",\"use_bias\":false,\"use_cache\":true,"
    "\"use_conv_bias\":true,\"use_mamba_kernels\":true,\"vocab_size\":131072}";

static gm_slice slice_of(const gm_arch *a, gm_role role, int layer)
{
    gm_slice slice = {0};
    CHECK(gm_arch_tensor(a, role, layer, 0, &slice));
    return slice;
}

/* The numbers of parameters are transformers' for these configs. */
static void reads_granite_hybrid(void)
{
    gm_slice s;
    size_t dim[GM_MAX_RANK];
    gm_arch a = read_config_text(h_tiny);
    check_parameters(&a, 6939037248.0, 1465470528.0, 0.0);
    CHECK(a.mamba && a.conv_bias && a.n_delta == 36 && a.n_moe == 40 && a.n_shared == 1);
    CHECK(gm_arch_is_delta(&a, 4) && !gm_arch_is_delta(&a, 5) && !gm_arch_is_delta(&a, 35));
    CHECK(a.rope.dim == 0 && a.attention_scale == 0.0078125f && a.embed_scale == 12.0f);
    CHECK(a.router.scoring == GM_SCORE_TOPK_SOFTMAX && a.expert_width == 512);
    CHECK(a.unknown_keys[0] == '\0');

    s = slice_of(&a, GM_ROLE_DELTA_Q, 0); /* z, x, B, C, dt */
    CHECK(s.first == 3072 + 3072 + 128 && s.rows == 128 && s.tall == 6448 && s.heads == 0);
    CHECK_TEXT(s.name, "model.layers.0.mamba.in_proj.weight");
    s = slice_of(&a, GM_ROLE_DELTA_A, 0);
    CHECK(s.first == 6400 && s.rows == 48 && s.cols == 1536);
    s = slice_of(&a, GM_ROLE_DELTA_CONV, 0);
    CHECK(gm_slice_shape(&s, dim) == 3 && dim[0] == 3328 && dim[1] == 1 && dim[2] == 4);
    s = slice_of(&a, GM_ROLE_SHARED_UP, 5);
    CHECK(s.first == 1024 && s.rows == 1024 && s.tall == 2048);
    CHECK_TEXT(s.name, "model.layers.5.shared_mlp.input_linear.weight");
    CHECK(slice_of(&a, GM_ROLE_SHARED_DOWN, 5).tall == 0);
    CHECK(!gm_arch_tensor(&a, GM_ROLE_Q, 0, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_DELTA_B, 0, 0, &s));
    gm_arch_clear(&a);
    a = read_config_text(h_small);
    check_parameters(&a, 32207337984.0, 8803121664.0, 0.0);
    gm_arch_clear(&a);
}

/* One block a layer: Mamba2, experts, ..., attention in 5. */
static void reads_nemotron(void)
{
    gm_slice s;
    gm_arch a = read_config_text(nano);
    check_parameters(&a, 31577940288.0, 3580076352.0, 0.0); /* transformers' number */
    CHECK(a.mamba && a.n_delta == 23 && a.n_moe == 23 && gm_arch_n_with_keys(&a) == 6);
    CHECK(a.layer_of_moe[0] == 1 && a.moe_of_layer[5] == -1 && a.layer_of_moe[2] == 6);
    CHECK(gm_arch_has_mixer(&a, 0) && !gm_arch_has_mlp(&a, 0) && gm_arch_is_delta(&a, 0));
    CHECK(!gm_arch_has_mixer(&a, 1) && gm_arch_has_mlp(&a, 1) && !gm_arch_has_keys(&a, 1));
    CHECK(gm_arch_has_keys(&a, 5) && gm_arch_nth(&a, 5) == 0 && gm_arch_nth(&a, 12) == 1);
    CHECK(gm_arch_nth(&a, 2) == 1 && a.rope.dim == 0 && a.activation.squared);
    CHECK(a.router.scoring == GM_SCORE_SIGMOID && a.router.has_correction && a.router.renormalise &&
          a.router.scale == 2.5f && a.norm_epsilon == 1e-5f);
    CHECK_TEXT(slice_of(&a, GM_ROLE_ATTN_NORM, 0).name, "backbone.layers.0.norm.weight");
    CHECK_TEXT(slice_of(&a, GM_ROLE_MLP_NORM, 1).name, "backbone.layers.1.norm.weight");
    CHECK(!gm_arch_tensor(&a, GM_ROLE_MLP_NORM, 0, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_ATTN_NORM, 1, 0, &s));
    CHECK(!gm_arch_tensor(&a, GM_ROLE_EXPERT_GATE, 1, 0, &s) &&
          !gm_arch_tensor(&a, GM_ROLE_Q, 1, 0, &s) && !gm_arch_tensor(&a, GM_ROLE_Q, 2, 0, &s));
    gm_arch_clear(&a);
}

static void cache_and_states_are_counted(void)
{
    gm_model *model = open_random(small_hybrid, true);
    const gm_model_info *info = gm_model_get_info(model);
    CHECK_INT(info->kv_bytes_per_token, 1 * 1 * (6 + 6) * 4); /* one layer of three, f32 */
    /* two layers: six heads of 5 x 16, and three rows of 36 + 10 + 10 channels, padded */
    CHECK_INT(info->state_bytes_per_sequence, 2 * (6 * 96 + 3 * 64) * 4);
    gm_model_close(model);
    model = open_random(small_nemotron, true); /* one layer of six has keys, two have states */
    info = gm_model_get_info(model);
    CHECK_INT(info->kv_bytes_per_token, 2 * (10 + 10) * 4);
    CHECK_INT(info->state_bytes_per_sequence, 2 * (4 * 96 + 2 * 64) * 4);
    gm_model_close(model);
}

/* No file limits a step by infinity, however it writes it, and 'rope' is read. */
static void reads_other_forms(void)
{
    static const char *const forms[][2] = {
        {"time_step_limit", "[0.0, {\"__float__\": \"Infinity\"}]"},
        {"time_step_limit", "[0.0, Infinity]"},
        {"time_step_limit", "[0, 1e38]"},
        {"time_step_limit", "null"},
        {"position_embedding_type", NULL},
        {"layer_types", "[\"linear_attention\", \"full_attention\", \"linear_attention\"]"}};
    gm_arch a;
    gm_error err = {0};
    write_config("hybrid", small_hybrid);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        copy_model("other", "hybrid", forms[i][0], forms[i][1]);
        CHECK_OK(gm_arch_read(&a, "other", &err), err);
        CHECK(a.n_delta == 2 && a.rope.dim == 0);
        gm_arch_clear(&a);
    }
    copy_model("other", "hybrid", "position_embedding_type", "\"rope\"");
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    CHECK(a.rope.dim == 6);
    gm_arch_clear(&a);
}

static void refuses_what_is_not_computed(void)
{
    static const char *const changes[][3] = {
        {"mamba_n_heads", NULL, "'mamba_n_heads' is missing"},
        {"mamba_n_heads", "5", "is 5, expected a multiple of the 2 groups"},
        {"mamba_d_head", "7", "6 heads of 7 are not 'mamba_expand' (2) times 18 wide"},
        {"mamba_d_head", "0", "'mamba_d_head'"},
        {"mamba_d_state", "0", "'mamba_d_state'"},
        {"mamba_n_groups", "0", "'mamba_n_groups'"},
        {"mamba_d_conv", "1", "'mamba_d_conv'"},
        {"mamba_expand", "3", "'mamba_expand' (3)"},
        {"mamba_conv_bias", "7", "'mamba_conv_bias'"},
        {"mamba_proj_bias", "true", "'mamba_proj_bias' is true"},
        {"time_step_limit", "[0.001, 0.1]", "'time_step_limit' limits the steps"},
        {"time_step_limit", "[0.0, {\"__float__\": \"NaN\"}]",
         "'time_step_limit' limits the steps"},
        {"time_step_limit", "7", "'time_step_limit' limits the steps"},
        {"normalization_function", "\"layernorm\"", "'normalization_function' is 'layernorm'"},
        {"position_embedding_type", "\"alibi\"",
         "'position_embedding_type' is 'alibi', but only 'nope' or 'rope'"},
        {"layer_types", NULL, "'layer_types' is not a list of 3 layers"},
        {"layer_types", "[\"mamba\", \"mamba\"]", "'layer_types' is not a list of 3 layers"},
        {"layer_types", "[\"mamba\", \"moe\", \"mamba\"]",
         "'layer_types' contains 'moe', but only 'mamba' and 'attention'"},
        {"layer_types", "[\"mamba\", 7, \"mamba\"]", "'layer_types' contains 'number'"},
        {"shared_intermediate_size", NULL, "'shared_intermediate_size' is missing"},
        {"num_local_experts", "0", "'num_local_experts'"},
    };
    write_config("hybrid", small_hybrid);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused("hybrid", changes[i][0], changes[i][1], changes[i][2]);
}

/* The blocks of a newer file, whose number is that of its layers. */
static void reads_a_list_of_blocks(void)
{
    static const char *const lists[] = {
        "[\"mamba\", \"moe\", \"attention\", \"moe\", \"mlp\", \"mamba\"]",
        "[\"linear_attention\", \"moe\", \"full_attention\", \"moe\", \"mlp\", "
        "\"linear_attention\"]"};
    gm_arch a, same;
    gm_error err = {0};
    char digest[2][65];
    write_config("nemotron", small_nemotron);
    CHECK_OK(gm_arch_read(&same, "nemotron", &err), err);
    gm_arch_digest(&same, digest[0]);
    for (size_t i = 0; i < 2; i++) {
        copy_model("listed", "nemotron", "layers_block_type", lists[i]);
        copy_model("other", "listed", "num_hidden_layers", NULL);
        CHECK_OK(gm_arch_read(&a, "other", &err), err);
        CHECK(a.n_layers == 6 && a.n_moe == 2 && a.n_delta == 2);
        gm_arch_digest(&a, digest[1]);
        CHECK_TEXT(digest[1], digest[0]);
        gm_arch_clear(&a);
    }
    copy_model("other", "nemotron", "time_step_limit", "[0.0, Infinity]"); /* as published */
    CHECK_OK(gm_arch_read(&a, "other", &err), err);
    gm_arch_clear(&a);
    same.part[2] = GM_PART_MLP; /* neither Mamba2 nor experts, as before */
    gm_arch_digest(&same, digest[1]);
    CHECK(strcmp(digest[0], digest[1]) != 0);
    gm_arch_clear(&same);
}

static void refuses_other_blocks(void)
{
    static const char *const changes[][3] = {
        {"hybrid_override_pattern", NULL, "'hybrid_override_pattern' is missing"},
        {"hybrid_override_pattern", "\"ME*E-\"", "has 5 letters, expected one for each of 6"},
        {"hybrid_override_pattern", "\"ME*E-X\"", "the block of layer 5 in 'hybrid_override_"},
        {"hybrid_override_pattern", "\"MM*M-M\"", "none of the 6 layers is an MoE layer"},
        {"layers_block_type", "[\"moe\", 7]", "the block of layer 1 in 'layers_block_type'"},
        {"layers_block_type", "[]", "'layers_block_type' lists 0 layers"},
        {"head_dim", NULL, "'head_dim' is missing"},
        {"num_key_value_heads", NULL, "'num_key_value_heads' is missing"},
        {"mamba_num_heads", "5", "is 5, expected a multiple of the 2 groups"},
        {"moe_latent_size", "8", "'moe_latent_size' is not null"},
        {"mlp_hidden_act", "\"silu\"", "'mlp_hidden_act' is 'silu'"},
        {"mamba_hidden_act", "\"gelu\"", "'mamba_hidden_act' is 'gelu'"},
        {"use_bias", "true", "'use_bias' is true"},
        {"mamba_proj_bias", "true", "'mamba_proj_bias' is true"},
        {"time_step_limit", "[0.0, 1.0]", "'time_step_limit' limits the steps"},
        {"n_group", "3", "'n_group' is 3, expected to divide 8 experts"},
        {"moe_shared_expert_intermediate_size", NULL, "'moe_shared_expert_intermediate_size' is"},
    };
    write_config("nemotron", small_nemotron);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_refused("nemotron", changes[i][0], changes[i][1], changes[i][2]);
}

/* Segments and rewinding name the layers that are there. */
static void messages_name_mamba2(void)
{
    gm_arch a = {.mamba = true};
    CHECK_TEXT(gm_arch_recurrence(&a), "Mamba2");
    a.mamba = false;
    CHECK_TEXT(gm_arch_recurrence(&a), "Gated DeltaNet");
    a.n_delta = 1;
    CHECK_TEXT(gm_arch_recurrence(&a), "short convolutions");
}

static void every_allocation_may_fail(void)
{
    char names[2][9] = {"hybrid", "nemotron"};
    write_config(names[0], small_hybrid), write_config(names[1], small_nemotron);
    for (size_t i = 0; i < 2; i++) check_every_allocation(read_attempt, names[i]);
}

TESTS(TEST(reads_granite_hybrid), TEST(reads_nemotron), TEST(reads_a_list_of_blocks),
      TEST(refuses_other_blocks), TEST(cache_and_states_are_counted), TEST(reads_other_forms),
      TEST(refuses_what_is_not_computed), TEST(messages_name_mamba2),
      TEST(every_allocation_may_fail))

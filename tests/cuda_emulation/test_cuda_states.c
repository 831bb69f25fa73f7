/* test_cuda_states.c - whole models whose sequences have states, those of Gated DeltaNet, of Mamba2
 * and of short convolutions, on the emulated GPU against the CPU: odd sizes and published ones,
 * prompts cut anywhere, sequences side by side, decoding that stops and goes on, what is refused,
 * what is not finite.
 * label: slow
 * label: long */
#include "emulated_run.h"
#include "engine/cuda/cuda_session.h"

#define SMALL                                                                    \
    "\"num_hidden_layers\": 4, \"hidden_size\": 33, \"intermediate_size\": 31, " \
    "\"max_position_embeddings\": 1024, \"vocab_size\": 65, \"rope_theta\": 100, "

#define HYBRID                                                                            \
    "{\"architectures\": [\"GraniteMoeHybridForCausalLM\"], \"num_hidden_layers\": 3, "   \
    "\"max_position_embeddings\": 1024, \"vocab_size\": 65, \"num_experts_per_tok\": 2, " \
    "\"num_local_experts\": 5, \"num_key_value_heads\": 1, \"position_embedding_type\": " \
    "\"nope\", "                                                                          \
    "\"layer_types\": [\"mamba\", \"attention\", \"mamba\"], "
#define NEMOTRON                                                                           \
    "{\"architectures\": [\"NemotronHForCausalLM\"], \"num_hidden_layers\": 6, "           \
    "\"max_position_embeddings\": 1024, \"vocab_size\": 65, \"hybrid_override_pattern\": " \
    "\"ME*E-M\", \"n_routed_experts\": 8, \"num_experts_per_tok\": 3, \"n_group\": 2, "    \
    "\"topk_group\": 1, \"use_conv_bias\": true, "

#define LFM                                                                            \
    "{\"architectures\": [\"Lfm2MoeForCausalLM\"], \"num_hidden_layers\": 4, "         \
    "\"max_position_embeddings\": 1024, \"vocab_size\": 65, \"num_dense_layers\": 1, " \
    "\"num_experts\": 5, \"num_experts_per_tok\": 2, \"routed_scaling_factor\": 1.5, " \
    "\"layer_types\": [\"conv\", \"full_attention\", \"conv\", \"conv\"], "

#define KIMI                                                                               \
    "{\"architectures\": [\"KimiLinearForCausalLM\"], \"num_hidden_layers\": 3, "          \
    "\"layer_types\": [\"linear_attention\", \"full_attention\", \"linear_attention\"], "  \
    "\"first_k_dense_replace\": 1, \"model_max_length\": 1024, \"vocab_size\": 65, "       \
    "\"num_experts\": 5, \"num_experts_per_token\": 2, \"num_shared_experts\": 1, "        \
    "\"rms_norm_eps\": 1e-5, \"routed_scaling_factor\": 2.446, \"qk_rope_head_dim\": 64, " \
    "\"intermediate_size\": 31, "

/* Gated DeltaNet and gated attention: a tensor for several of its matrices, and one each; keys and
 * values that fill no quad, as wide as published. Mamba2 likewise, also in layers of one block;
 * short convolutions; Kimi Delta Attention with latents. */
static const char *const config[][2] = {
    {"keys of 33",
     "{\"architectures\": [\"Qwen3NextForCausalLM\"], " SMALL
     "\"num_experts\": 33, \"num_experts_per_tok\": 3, \"moe_intermediate_size\": 33, "
     "\"shared_expert_intermediate_size\": 31, \"num_attention_heads\": 3, "
     "\"num_key_value_heads\": 1, \"head_dim\": 34, \"partial_rotary_factor\": 0.3, "
     "\"full_attention_interval\": 2, \"linear_num_key_heads\": 1, "
     "\"linear_num_value_heads\": 3, \"linear_key_head_dim\": 33, "
     "\"linear_value_head_dim\": 31, \"linear_conv_kernel_dim\": 3}"},
    {"keys of 128",
     "{\"architectures\": [\"Qwen3_5MoeForCausalLM\"], \"model_type\": "
     "\"qwen3_5_moe_text\", " SMALL
     "\"num_experts\": 5, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 1, "
     "\"shared_expert_intermediate_size\": 33, \"num_attention_heads\": 2, "
     "\"num_key_value_heads\": 2, \"head_dim\": 256, \"partial_rotary_factor\": 0.25, "
     "\"layer_types\": [\"full_attention\", \"linear_attention\", \"linear_attention\", "
     "\"full_attention\"], "
     "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, "
     "\"linear_key_head_dim\": 128, \"linear_value_head_dim\": 128, "
     "\"linear_conv_kernel_dim\": 4}"},
    {"states of 31",
     HYBRID "\"hidden_size\": 33, \"intermediate_size\": 31, \"shared_intermediate_size\": 33, "
            "\"num_attention_heads\": 3, \"head_dim\": 12, \"mamba_expand\": 2, "
            "\"mamba_n_heads\": 2, \"mamba_d_head\": 33, \"mamba_n_groups\": 1, "
            "\"mamba_d_state\": 31, \"mamba_d_conv\": 5, \"mamba_conv_bias\": false}"},
    {"states of 128",
     HYBRID "\"hidden_size\": 128, \"intermediate_size\": 64, \"shared_intermediate_size\": 96, "
            "\"num_attention_heads\": 2, \"mamba_expand\": 2, \"mamba_n_heads\": 4, "
            "\"mamba_d_head\": 64, \"mamba_n_groups\": 1, \"mamba_d_state\": 128, "
            "\"mamba_d_conv\": 4, \"mamba_conv_bias\": true}"},
    {"one block a layer",
     NEMOTRON "\"hidden_size\": 33, \"intermediate_size\": 31, \"moe_intermediate_size\": 33, "
              "\"moe_shared_expert_intermediate_size\": 35, \"num_attention_heads\": 2, "
              "\"num_key_value_heads\": 2, \"head_dim\": 34, \"mamba_num_heads\": 4, "
              "\"mamba_head_dim\": 17, \"n_groups\": 2, \"ssm_state_size\": 65, "
              "\"conv_kernel\": 2}"},
    {"experts of one unit",
     NEMOTRON "\"hidden_size\": 64, \"intermediate_size\": 1, \"moe_intermediate_size\": 1, "
              "\"moe_shared_expert_intermediate_size\": 257, \"num_attention_heads\": 4, "
              "\"num_key_value_heads\": 1, \"head_dim\": 128, \"mamba_num_heads\": 8, "
              "\"mamba_head_dim\": 64, \"n_groups\": 8, \"ssm_state_size\": 128, "
              "\"conv_kernel\": 4}"},
    {"channels of 33",
     LFM "\"hidden_size\": 33, \"intermediate_size\": 31, \"moe_intermediate_size\": 33, "
         "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"head_dim\": 12, "
         "\"conv_L_cache\": 5}"},
    {"channels of 258",
     LFM "\"hidden_size\": 258, \"intermediate_size\": 1, \"moe_intermediate_size\": 1, "
         "\"num_attention_heads\": 3, \"num_key_value_heads\": 3, \"conv_L_cache\": 2}"},
    {"a rate for each of 33",
     KIMI "\"hidden_size\": 33, \"moe_intermediate_size\": 33, \"num_attention_heads\": 3, "
          "\"kv_lora_rank\": 33, \"qk_nope_head_dim\": 34, \"v_head_dim\": 31, "
          "\"linear_num_heads\": 3, \"linear_head_dim\": 33, \"linear_conv_kernel_dim\": 5}"},
    {"a rate for each of 128",
     KIMI "\"hidden_size\": 65, \"moe_intermediate_size\": 1, \"num_attention_heads\": 1, "
          "\"kv_lora_rank\": 512, \"q_lora_rank\": 30, \"qk_nope_head_dim\": 128, "
          "\"v_head_dim\": 128, \"linear_num_heads\": 1, \"linear_head_dim\": 128, "
          "\"linear_conv_kernel_dim\": 4}"},
};
enum {
    N_CONFIGS = sizeof config / sizeof config[0],
    FIRST_MAMBA = 2,
    ONE_BLOCK = 4,
    CONVOLVES = 6,
    EACH_RATE = 8
};

static void states_of_odd_sizes(void)
{
    for (size_t i = 0; i < N_CONFIGS; i++) {
        compare_config(config[i][0], config[i][1], 5, &(plan){.threads = 1, .step = 1},
                       "row by row");
        compare_config(config[i][0], config[i][1], 35, &(plan){.threads = 1, .step = 17},
                       "in three steps");
    }
}

/* As wide as published, with few experts: blocks of every kernel on all multiprocessors. */
static void published_widths(void)
{
#ifdef GM_REAL_GPU
    static const char *const wide[][2] = {
        {"granite-4.0-h-small's widths",
         HYBRID "\"hidden_size\": 4096, \"intermediate_size\": 768, "
                "\"shared_intermediate_size\": 1536, \"num_attention_heads\": 32, "
                "\"mamba_expand\": 2, \"mamba_n_heads\": 128, \"mamba_d_head\": 64, "
                "\"mamba_n_groups\": 1, \"mamba_d_state\": 128, \"mamba_d_conv\": 4, "
                "\"mamba_conv_bias\": true}"},
        {"Nemotron 3 Nano's widths",
         NEMOTRON "\"hidden_size\": 2688, \"intermediate_size\": 1856, "
                  "\"moe_intermediate_size\": 1856, "
                  "\"moe_shared_expert_intermediate_size\": 3712, \"num_attention_heads\": 32, "
                  "\"num_key_value_heads\": 2, \"head_dim\": 128, \"mamba_num_heads\": 64, "
                  "\"mamba_head_dim\": 64, \"n_groups\": 8, \"ssm_state_size\": 128, "
                  "\"conv_kernel\": 4}"},
        {"LFM2-8B-A1B's widths",
         LFM "\"hidden_size\": 2048, \"intermediate_size\": 7168, "
             "\"moe_intermediate_size\": 1792, \"num_attention_heads\": 32, "
             "\"num_key_value_heads\": 8, \"conv_L_cache\": 3}"},
        {"Kimi-Linear-48B-A3B's widths",
         KIMI "\"hidden_size\": 2304, \"moe_intermediate_size\": 1024, "
              "\"num_attention_heads\": 32, \"kv_lora_rank\": 512, \"qk_nope_head_dim\": 128, "
              "\"v_head_dim\": 128, \"linear_num_heads\": 32, \"linear_head_dim\": 128, "
              "\"linear_conv_kernel_dim\": 4}"},
    };
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        compare_config(wide[i][0], wide[i][1], 9, &(plan){.threads = 1, .step = 1}, "row by row");
        compare_config(wide[i][0], wide[i][1], 67, &(plan){.threads = 1, .step = 67}, "one step");
    }
#else
    TEST_SKIP("the emulation takes minutes");
#endif
}

/* Pieces of a prompt, of few rows and of many. */
static void a_prompt_can_be_cut_anywhere(void)
{
    static const size_t of[] = {0, FIRST_MAMBA, ONE_BLOCK, CONVOLVES, EACH_RATE},
                        cut[] = {2, 3, 7, 16};
    for (size_t i = 0; i < 20; i++) {
        char how[32];
        const size_t c = of[i / 4];
        snprintf(how, sizeof how, "in steps of %zu", cut[i % 4]);
        compare_config(config[c][0], config[c][1], 23, &(plan){.threads = 1, .step = cut[i % 4]},
                       how);
    }
}

/* Numbers of fewer bits: off by a share of what these do at all. Few rows' attention leaves its
 * weights in f32, which the CPU and many rows round (test_cuda_twin.c). */
static void check_rounded(const char *text)
{
    static const gm_numerics numerics[] = {GM_NUMERICS_BF16, GM_NUMERICS_INT8, GM_NUMERICS_FP8};
    static const size_t offset[] = {0, 9};
    static const plan plans[] = {{.threads = 1, .step = 1}, {.threads = 1, .step = 9}};
    for (int i = 0; i < 3; i++) {
        outcome of[4]; /* in f32, by the CPU, and by the GPU both ways */
        for (int k = 0; k < 4; k++) {
            gm_model *model = NULL;
            gm_error err = {0};
            uint32_t token[9];
            const gm_model_options options = {.device = k < 2 ? "cpu" : "cuda",
                                              .numerics = k == 0 ? GM_NUMERICS_F32 : numerics[i],
                                              .threads = 2};
            CHECK_OK(gm_model_open_random(&model, "rounded", text, &options, &err), err);
            if (model == NULL) exit(1);
            random_tokens(model, token, 9);
            const docs d = {.n = 1, .n_tokens = 9, .token = token, .offset = offset};
            of[k] = run_docs(model, &d, &plans[k == 3]);
            gm_model_close(model);
        }
        const size_t n = of[0].n_tokens * of[0].vocab;
        const double rounding = most_off(of[1].logits, of[0].logits, n);
        for (int k = 2; k < 4; k++) {
            const double off = most_off(of[k].logits, of[1].logits, n);
            printf("%s: logits within %.2g, rounding %.2g\n", gm_numerics_name(numerics[i]), off,
                   rounding);
            CHECK(off <= (k == 2 ? 1.25 : 0.5) * rounding);
        }
        for (int k = 0; k < 4; k++) outcome_free(&of[k]);
    }
}

static void rounded_weights_are_the_cpus(void)
{
    check_rounded(config[0][1]);
    check_rounded(config[FIRST_MAMBA][1]);
    check_rounded(config[ONE_BLOCK][1]);
    check_rounded(config[CONVOLVES][1]);
    check_rounded(config[EACH_RATE][1]);
}

/* Logits after each of n tokens, one by one, by the CPU. */
static float *logits_of(size_t c, const uint32_t *token, size_t n, size_t vocab)
{
    gm_model *cpu = open_config(config[c][0], config[c][1], "cpu");
    gm_session *session = NULL;
    gm_error err = {0};
    int id;
    const gm_session_options o = {.threads = 1, .max_rows = 1, .kv_rows = 64, .max_sequences = 1};
    float *logits = gm_alloc2(n, vocab, sizeof *logits);
    CHECK_OK(gm_session_create(&session, cpu, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    for (size_t t = 0; t < n; t++) {
        const gm_segment g = {
            .sequence = id, .n = 1, .token = &token[t], .edit = -1, .want = GM_WANT_LAST};
        const gm_result result = {.logits = logits + t * vocab};
        CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
    }
    gm_session_free(session);
    gm_model_close(cpu);
    return logits;
}

/* The tokens that a sequence has been fed with. */
typedef struct fed {
    uint32_t token[64];
    size_t n, until;
} fed;

static bool stop_early(void *context, size_t step, const uint32_t *sampled)
{
    fed *f = context;
    (void)step;
    f->token[f->n] = sampled[0];
    return ++f->n < f->until;
}

/* Decoding that ends before all of its steps leaves the state of those that were looked at. */
static void stop_and_go_on(size_t c)
{
    static const gm_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    gm_model *gpu = open_config(config[c][0], config[c][1], "cuda");
    const size_t vocab = (size_t)gm_model_get_info(gpu)->vocab_size;
    gm_session *session = NULL;
    gm_error err = {0};
    int id;
    const gm_session_options o = {.max_rows = 8, .kv_rows = 64, .max_sequences = 1};
    fed f = {.token = {3, 1, 4, 1}, .n = 4, .until = 9};
    uint32_t sampled[1];
    float *logits = gm_alloc(vocab, sizeof *logits);
    gm_result result = {.sampled = sampled, .logits = logits};
    CHECK_OK(gm_session_create(&session, gpu, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    gm_segment g = {.sequence = id, .n = 3, .token = f.token, .edit = -1};
    CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
    g = (gm_segment){.sequence = id, .n = 1, .token = &f.token[3], .edit = -1, .sampling = &greedy};
    const gm_decoding how = {.n_steps = 20, .each = stop_early, .context = &f};
    CHECK_OK(gm_session_decode(session, &g, 1, &how, NULL, &result, &err), err);
    const size_t n = gm_sequence_length(session, id);
    CHECK_INT(n, 8);
    f.token[n] = 7;
    g = (gm_segment){
        .sequence = id, .n = 1, .token = &f.token[n], .edit = -1, .want = GM_WANT_LAST};
    CHECK_OK(gm_session_step(session, &g, 1, NULL, &result, &err), err);
    float *want = logits_of(c, f.token, n + 1, vocab);
    CHECK_FLOATS(logits, want + n * vocab, vocab, 1e-4);
    gm_free(want), gm_free(logits);
    gm_session_free(session);
    gm_model_close(gpu);
}

static void decoding_can_stop_and_go_on(void)
{
    stop_and_go_on(0);
    stop_and_go_on(FIRST_MAMBA);
    stop_and_go_on(ONE_BLOCK);
    stop_and_go_on(CONVOLVES);
    stop_and_go_on(EACH_RATE);
}

/* A state cannot be taken back; a sequence can begin again, and reads nothing of what was there. */
static void begin_again(size_t c, const char *refusal)
{
    gm_model *gpu = open_config(config[c][0], config[c][1], "cuda");
    const size_t vocab = (size_t)gm_model_get_info(gpu)->vocab_size;
    gm_session *session = NULL;
    gm_error err = {0};
    int id;
    const gm_session_options o = {.max_rows = 16, .kv_rows = 64, .max_sequences = 1};
    static const uint32_t token[] = {3, 1, 4, 1, 5, 9, 2, 6};
    float *first = gm_alloc(vocab, sizeof *first), *again = gm_alloc(vocab, sizeof *again);
    CHECK_OK(gm_session_create(&session, gpu, &o, &err), err);
    CHECK_OK(gm_sequence_open(session, 64, &id, &err), err);
    const gm_segment g = {.sequence = id, .n = 8, .token = token, .edit = -1, .want = GM_WANT_LAST};
    CHECK_OK(gm_session_step(session, &g, 1, NULL, &(gm_result){.logits = first}, &err), err);
    CHECK_FAILS(gm_sequence_rewind(session, id, 4, &err), err, GM_EARG, refusal);
    CHECK_OK(gm_sequence_rewind(session, id, 0, &err), err);
    CHECK_OK(gm_session_step(session, &g, 1, NULL, &(gm_result){.logits = again}, &err), err);
    CHECK_BYTES(again, first, vocab * sizeof *first);
    gm_free(first), gm_free(again);
    gm_session_free(session);
    gm_model_close(gpu);
}

static void states_do_not_go_back(void)
{
    begin_again(ONE_BLOCK, "sequence 0 cannot forget 4 of its 8 tokens: layers of Mamba2 keep");
    begin_again(CONVOLVES, "layers of short convolutions keep");
}

/* The sizes that are too much for the kernels are refused by a sentence. */
static void what_is_too_wide_is_refused(void)
{
    static const char *const names[] = {"Gated DeltaNet has keys of 129 dimensions",
                                        "Mamba2 has keys of 129 dimensions"};
    for (size_t i = 0; i < 2; i++) {
        gm_model *model = open_config("wide", config[i * FIRST_MAMBA][1], "cpu");
        gm_arch arch = model->arch;
        gm_error err = {0};
        CHECK_OK(gm_cuda_check_arch(&arch, &err), err);
        arch.delta.key = 129;
        CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, names[i]);
        arch.delta.key = 128, arch.delta.value = 1025;
        CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, "values of 1025");
        gm_model_close(model);
    }
}

#ifndef GM_REAL_GPU
/* A token whose embedding is NaN, on the device, which is host memory here: from there on all rows
 * of its document are bad, as its state is; no others are. */
static void a_state_that_is_not_finite_stays_in_its_document(void)
{
    enum { T = 6, AT = 2, POISON = 64 };
    static const size_t offset[] = {0, T, 2 * T};
    static const plan plans[] = {{.threads = 1, .step = 1, .together = true},
                                 {.threads = 1, .step = 2 * T, .packed = true}};
    uint32_t token[2 * T];
    for (uint32_t i = 0; i < 2 * T; i++) token[i] = i == AT ? POISON : i;
    const docs d = {.n = 2, .n_tokens = 2 * T, .token = token, .offset = offset};
    for (size_t c = FIRST_MAMBA; c <= EACH_RATE; c += 2) {
        gm_model *gpu = open_config(config[c][0], config[c][1], "cuda");
        const gm_buf *embed = &gpu->weights->embed;
        const size_t size = gm_dtype_bytes(embed->dtype);
        memset((char *)embed->address + POISON * embed->stride * size, 0xff, embed->cols * size);
        for (size_t p = 0; p < 2; p++) {
            outcome o = run_docs(gpu, &d, &plans[p]);
            for (size_t t = 0; t < 2 * T; t++) {
                CHECK_INT(o.bad[t], t >= AT && t < T);
                CHECK_INT(!isfinite(o.logits[t * o.vocab]), t >= AT && t < T);
            }
            outcome_free(&o);
        }
        gm_model_close(gpu);
    }
}
#else
static void a_state_that_is_not_finite_stays_in_its_document(void)
{
    TEST_SKIP("weights are changed in place on the emulated GPU only");
}
#endif

TESTS(TEST(states_of_odd_sizes), TEST(published_widths), TEST(a_prompt_can_be_cut_anywhere),
      TEST(rounded_weights_are_the_cpus), TEST(decoding_can_stop_and_go_on),
      TEST(states_do_not_go_back), TEST(what_is_too_wide_is_refused),
      TEST(a_state_that_is_not_finite_stays_in_its_document))

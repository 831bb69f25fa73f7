/* test_cuda_shapes.c - models of odd sizes (1, 31, 33, 257) and random weights on the emulated GPU
 * against the CPU: what does not fill a vector, a warp, a block or a split; every kind of router.
 * label: slow
 * label: long */
#include "emulated_run.h"
#include "engine/cpu/router.h"
#include "engine/cuda/cuda_kernels.h"

#define CONFIG                                                                           \
    "{\"architectures\": [\"DeepseekForCausalLM\"], \"model_type\": \"deepseek\", "      \
    "\"first_k_dense_replace\": 1, \"num_hidden_layers\": 2, \"hidden_act\": \"silu\", " \
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000, \"max_position_embeddings\": 1024, " \
    "\"hidden_size\": %d, \"intermediate_size\": %d, \"moe_intermediate_size\": %d, "    \
    "\"n_routed_experts\": %d, \"num_experts_per_tok\": %d, \"n_shared_experts\": %d, "  \
    "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, "       \
    "\"vocab_size\": %d, \"norm_topk_prob\": %s, \"tie_word_embeddings\": false}"

static const struct shape {
    const char *name;
    int width, dense, expert, n_experts, n_chosen, shared, heads, kv_heads, head, vocab;
    const char *renormalise;
} shapes[] = {
    {"width 33", 33, 31, 1, 33, 5, 1, 3, 1, 6, 257, "false"},
    {"width 257", 257, 257, 33, 31, 31, 0, 4, 2, 34, 33, "true"},
    {"width 31", 31, 1, 257, 257, 1, 2, 6, 6, 2, 31, "false"},
    {"heads of 256, 8 to a key", 64, 33, 31, 8, 3, 1, 8, 1, 256, 65, "true"},
};
enum { N_SHAPES = 4, N_SHORT = 5 };

typedef char config_text[2048];

static const char *config_of(const struct shape *s, config_text config)
{
    snprintf(config, sizeof(config_text), CONFIG, s->width, s->dense, s->expert, s->n_experts,
             s->n_chosen, s->shared, s->heads, s->kv_heads, s->head, s->vocab, s->renormalise);
    return config;
}

static void compare_shape(const struct shape *s, size_t n_tokens, const plan *p, const char *how)
{
    config_text config;
    compare_config(s->name, config_of(s, config), n_tokens, p, how);
}

static void odd_sizes_row_by_row(void)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        compare_shape(&shapes[i], N_SHORT, &(plan){.threads = 1, .step = 1}, "row by row");
}

static void odd_sizes_in_one_step(void)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        compare_shape(&shapes[i], 35, &(plan){.threads = 1, .step = 64}, "one step");
}

/* Rows and units that a block's threads do not take in one turn; five heads that share a key. */
static void longer_than_a_turn(void)
{
    static const struct shape longer = {"width 2052", 2052, 33,    2049, 3, 2, 1, 5, 1,
                                        36,           65,   "true"};
    compare_shape(&longer, 2, &(plan){.threads = 1, .step = 1}, "row by row");
}

/* Random weights of MXFP4 are the CPU's, decoded and as they are. */
static void random_weights_of_four_bits(void)
{
    static const char config[] =
        "{\"architectures\": [\"GptOssForCausalLM\"], \"model_type\": \"gpt_oss\", "
        "\"num_hidden_layers\": 2, \"hidden_size\": 64, \"intermediate_size\": 96, "
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, "
        "\"num_local_experts\": 5, \"num_experts_per_tok\": 2, \"sliding_window\": 7, "
        "\"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000, "
        "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, "
        "\"original_max_position_embeddings\": 64}, \"tie_word_embeddings\": false, "
        "\"vocab_size\": 65, \"max_position_embeddings\": 256, "
        "\"quantization_config\": {\"quant_method\": \"mxfp4\"}}";
    static const gm_numerics numerics[] = {GM_NUMERICS_F32, GM_NUMERICS_BF16};
    static const size_t offset[] = {0, 33};
    for (int i = 0; i < 2; i++) {
        outcome of[2];
        for (int g = 0; g < 2; g++) {
            gm_model *model = NULL;
            gm_error err = {0};
            uint32_t token[33];
            gm_model_options options = {
                .device = g ? "cuda" : "cpu", .numerics = numerics[i], .threads = 2};
            gm_status status = gm_model_open_random(&model, "four bits", config, &options, &err);
            need_gpu(status, &err);
            CHECK_OK(status, err);
            if (model == NULL) exit(1);
            random_tokens(model, token, 33);
            docs d = {.n = 1, .n_tokens = 33, .token = token, .offset = offset};
            of[g] = run_docs(model, &d, &(plan){.threads = 1, .step = 64});
            gm_model_close(model);
        }
        const double off = most_off(of[1].logits, of[0].logits, of[0].n_tokens * of[0].vocab);
        if (!(off <= (i ? 2e-3 : 1e-4))) TEST_FAILED_("logits off by %.3g", off);
        printf("MXFP4, %s: logits within %.2g\n", i ? "bf16" : "f32", off);
        outcome_free(&of[0]);
        outcome_free(&of[1]);
    }
}

/* As wide as published models: blocks of every kernel on all multiprocessors, several on each.
 * Takes the emulation half a minute. */
static void published_widths(void)
{
#ifdef GM_REAL_GPU
    static const struct shape wide = {"width 2048", 2048, 4096, 1792, 12,     6, 2,
                                      16,           8,    128,  4099, "false"};
    compare_shape(&wide, 9, &(plan){.threads = 1, .step = 1}, "row by row");
    compare_shape(&wide, 67, &(plan){.threads = 1, .step = 67}, "one step");
#else
    TEST_SKIP("the emulation takes half a minute");
#endif
}

#define TURNING                                                                  \
    "\"num_hidden_layers\": 2, \"hidden_size\": 33, \"intermediate_size\": 31, " \
    "\"max_position_embeddings\": 1024, \"vocab_size\": 65, \"rope_theta\": 100, "

/* Parts of heads, and neighbours; a norm of either kind, biases; less and more pairs than lanes. */
static void heads_of_which_a_part_turns(void)
{
    static const char *const config[][2] = {
        {"10 of 34, norms of heads, biases, groups",
         "{\"architectures\": [\"Glm4MoeForCausalLM\"], " TURNING
         "\"first_k_dense_replace\": 1, \"moe_intermediate_size\": 33, \"n_routed_experts\": 33, "
         "\"num_experts_per_tok\": 3, \"n_shared_experts\": 1, \"num_attention_heads\": 3, "
         "\"num_key_value_heads\": 1, \"head_dim\": 34, \"partial_rotary_factor\": 0.3, "
         "\"use_qk_norm\": true, \"attention_bias\": true, \"n_group\": 11, \"topk_group\": 2, "
         "\"routed_scaling_factor\": 1.5}"},
        {"130 of 256, a norm over all",
         "{\"architectures\": [\"MiniMaxM2ForCausalLM\"], " TURNING
         "\"num_local_experts\": 8, \"num_experts_per_tok\": 3, \"num_attention_heads\": 6, "
         "\"num_key_value_heads\": 1, \"head_dim\": 256, \"rotary_dim\": 130}"},
        {"neighbours", "{\"architectures\": [\"Ernie4_5_MoeForCausalLM\"], " TURNING
                       "\"moe_num_experts\": 31, \"moe_k\": 31, \"moe_intermediate_size\": 1, "
                       "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 70, "
                       "\"moe_norm_min\": 0.9}"},
    };
    for (size_t i = 0; i < 3; i++) {
        compare_config(config[i][0], config[i][1], N_SHORT, &(plan){.threads = 1, .step = 1},
                       "row by row");
        compare_config(config[i][0], config[i][1], 35, &(plan){.threads = 1, .step = 64},
                       "one step");
    }
}

/* Queries of the hidden state and of a latent; what is multiplied with heads is narrower and wider
 * than a group of lanes. */
static void latents_of_odd_sizes(void)
{
    static const char *const config[][2] = {
        {"latents of 33",
         "{\"architectures\": [\"DeepseekV2ForCausalLM\"], " TURNING
         "\"first_k_dense_replace\": 1, \"moe_intermediate_size\": 33, \"n_routed_experts\": 33, "
         "\"num_experts_per_tok\": 3, \"n_shared_experts\": 1, \"num_attention_heads\": 9, "
         "\"num_key_value_heads\": 9, \"kv_lora_rank\": 33, \"qk_nope_head_dim\": 34, "
         "\"qk_rope_head_dim\": 10, \"v_head_dim\": 31, \"norm_topk_prob\": false, "
         "\"topk_method\": \"group_limited_greedy\", \"n_group\": 11, \"topk_group\": 2, "
         "\"routed_scaling_factor\": 16.0}"},
        {"latents of 257, and of queries",
         "{\"architectures\": [\"DeepseekV3ForCausalLM\"], " TURNING
         "\"first_k_dense_replace\": 0, \"moe_intermediate_size\": 1, \"n_routed_experts\": 32, "
         "\"num_experts_per_tok\": 5, \"n_shared_experts\": 2, \"num_attention_heads\": 1, "
         "\"num_key_value_heads\": 1, \"q_lora_rank\": 31, \"kv_lora_rank\": 257, "
         "\"qk_nope_head_dim\": 258, \"qk_rope_head_dim\": 2, \"v_head_dim\": 1, "
         "\"topk_method\": \"noaux_tc\", \"scoring_func\": \"sigmoid\", \"n_group\": 8, "
         "\"topk_group\": 3, \"norm_topk_prob\": true, \"routed_scaling_factor\": 2.5}"},
    };
    for (size_t i = 0; i < 2; i++) {
        compare_config(config[i][0], config[i][1], N_SHORT, &(plan){.threads = 1, .step = 1},
                       "row by row");
        compare_config(config[i][0], config[i][1], 35, &(plan){.threads = 1, .step = 64},
                       "one step");
    }
}

/* Heads, angles and cache of each type of layer, values that are keys or not, one expert or all;
 * windows that end within a block of 32 and a stretch of 64, shorter than the document. */
static void heads_by_the_type_of_a_layer(void)
{
    static const struct {
        const char *name;
        int width, dense, expert, n_experts, n_chosen, heads, kv, global_kv, head, global_head;
        int window;
        const char *shared;
    } of[] = {
        {"heads of 34 and 70, a window of 7", 33, 31, 33, 33, 5, 6, 3, 2, 34, 70, 7, "true"},
        {"heads of 6 and 512, a window of 33", 257, 257, 1, 31, 31, 2, 2, 1, 6, 512, 33, "true"},
        {"heads of 258 and 2, a window of 1", 31, 1, 257, 8, 1, 5, 1, 5, 258, 2, 1, "false"},
        {"wide heads, 8 to a key", 64, 33, 31, 1, 1, 8, 4, 1, 256, 330, 66, "true"},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        config_text config;
        snprintf(config, sizeof config,
                 "{\"architectures\": [\"Gemma4ForCausalLM\"], \"model_type\": \"gemma4_text\", "
                 "\"num_hidden_layers\": 3, \"layer_types\": [\"sliding_attention\", "
                 "\"full_attention\", \"full_attention\"], \"enable_moe_block\": true, "
                 "\"hidden_size_per_layer_input\": 0, \"hidden_size\": %d, "
                 "\"intermediate_size\": %d, \"moe_intermediate_size\": %d, \"num_experts\": %d, "
                 "\"top_k_experts\": %d, \"num_attention_heads\": %d, "
                 "\"num_key_value_heads\": %d, \"num_global_key_value_heads\": %d, "
                 "\"head_dim\": %d, \"global_head_dim\": %d, \"sliding_window\": %d, "
                 "\"attention_k_eq_v\": %s, \"final_logit_softcapping\": 2.0, "
                 "\"tie_word_embeddings\": true, \"vocab_size\": 65, "
                 "\"max_position_embeddings\": 1024}",
                 of[i].width, of[i].dense, of[i].expert, of[i].n_experts, of[i].n_chosen,
                 of[i].heads, of[i].kv, of[i].global_kv, of[i].head, of[i].global_head,
                 of[i].window, of[i].shared);
        compare_config(of[i].name, config, 9, &(plan){.threads = 1, .step = 1}, "row by row");
        compare_config(of[i].name, config, 75, &(plan){.threads = 1, .step = 128}, "one step");
        compare_config(of[i].name, config, 75, &(plan){.threads = 1, .step = 11}, "cut");
    }
}

/* LayerNorm and biases everywhere, of rows that end within a vector and of those that a block does
 * not take in one turn. */
static void norms_with_a_bias(void)
{
    static const int width[] = {33, 2053};
    for (size_t i = 0; i < 2; i++) {
        char config[1024];
        snprintf(config, sizeof config,
                 "{\"architectures\": [\"PhiMoEForCausalLM\"], \"num_hidden_layers\": 1, "
                 "\"hidden_size\": %d, \"intermediate_size\": 31, \"vocab_size\": 65, "
                 "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 6, "
                 "\"num_local_experts\": 5, \"num_experts_per_tok\": 2, "
                 "\"router_jitter_noise\": 0.1, \"attention_bias\": true, "
                 "\"lm_head_bias\": true, \"max_position_embeddings\": 1024}",
                 width[i]);
        compare_config("a norm with a bias", config, N_SHORT, &(plan){.threads = 1, .step = 1},
                       "row by row");
        compare_config("a norm with a bias", config, 35, &(plan){.threads = 1, .step = 64},
                       "one step");
    }
}

/* Rows 65 and later attend to two splits; 129 to three. The rows before come in one step. */
static void a_row_after_many_splits(void)
{
    static const size_t lengths[] = {64, 65, 128, 520};
    config_text config;
    const char *text = config_of(&shapes[0], config);
    gm_model *cpu = open_config("splits", text, "cpu"), *gpu = open_config("splits", text, "cuda");
    const size_t vocab = (size_t)shapes[0].vocab;
    uint32_t token[521];
    random_tokens(cpu, token, 521);
    for (size_t i = 0; i < 4; i++) {
        float *logits[2];
        for (int g = 0; g < 2; g++) {
            gm_session *session = NULL;
            gm_error err = {0};
            int id;
            gm_session_options o = {
                .threads = 1, .max_rows = 520, .kv_rows = 600, .max_sequences = 1};
            logits[g] = gm_alloc(vocab, sizeof(float));
            gm_result result = {.logits = logits[g]};
            CHECK_OK(gm_session_create(&session, g ? gpu : cpu, &o, &err), err);
            CHECK_OK(gm_sequence_open(session, 521, &id, &err), err);
            gm_segment s = {.sequence = id, .n = lengths[i], .token = token, .edit = -1};
            CHECK_OK(gm_session_step(session, &s, 1, NULL, NULL, &err), err);
            s.token += lengths[i], s.n = 1, s.want = GM_WANT_LAST;
            CHECK_OK(gm_session_step(session, &s, 1, NULL, &result, &err), err);
            gm_session_free(session);
        }
        CHECK_FLOATS(logits[1], logits[0], vocab, 1e-4);
        gm_free(logits[0]), gm_free(logits[1]);
    }
    gm_model_close(cpu);
    gm_model_close(gpu);
}

/* ---- the router alone: every descriptor, ties, rows that are not finite ---- */

static const struct router_case {
    const char *name;
    int n_experts, n_chosen;
    gm_router_desc desc;
    bool correction;
} routers[] = {
    {"softmax", 33, 4, {.scoring = GM_SCORE_SOFTMAX, .n_groups = 1, .top_groups = 1}, false},
    {"one expert", 1, 1, {.scoring = GM_SCORE_SOFTMAX, .n_groups = 1, .top_groups = 1}, false},
    {"all chosen", 31, 31, {.scoring = GM_SCORE_SOFTMAX, .n_groups = 1, .top_groups = 1}, false},
    {"renormalised",
     257,
     8,
     {.scoring = GM_SCORE_SOFTMAX,
      .n_groups = 1,
      .top_groups = 1,
      .renormalise = true,
      .renorm_epsilon = 1e-20f},
     false},
    {"top-k first",
     64,
     2,
     {.scoring = GM_SCORE_TOPK_SOFTMAX, .n_groups = 1, .top_groups = 1},
     false},
    {"sparsemixer",
     16,
     2,
     {.scoring = GM_SCORE_SPARSEMIXER, .n_groups = 1, .top_groups = 1, .within = 0.3f},
     false},
    {"sparsemixer, three of 33",
     33,
     3,
     {.scoring = GM_SCORE_SPARSEMIXER, .n_groups = 1, .top_groups = 1, .within = 0.6f},
     false},
    {"sigmoid with a correction",
     64,
     6,
     {.scoring = GM_SCORE_SIGMOID, .n_groups = 1, .top_groups = 1, .renormalise = true},
     true},
    {"groups", 64, 6, {.scoring = GM_SCORE_SOFTMAX, .n_groups = 8, .top_groups = 3}, false},
    {"softmax with a correction, a sum that counts more",
     64,
     6,
     {.scoring = GM_SCORE_SOFTMAX,
      .n_groups = 1,
      .top_groups = 1,
      .renormalise = true,
      .least_sum = 0.3f},
     true},
    {"one of 33 with a correction",
     33,
     1,
     {.scoring = GM_SCORE_SIGMOID, .n_groups = 1, .top_groups = 1, .renormalise = true},
     true},
    {"groups of three",
     33,
     4,
     {.scoring = GM_SCORE_SIGMOID, .n_groups = 11, .top_groups = 2, .renormalise = true},
     true},
    {"groups with a correction",
     64,
     8,
     {.scoring = GM_SCORE_SIGMOID, .n_groups = 8, .top_groups = 4, .renormalise = true},
     true},
};
enum { N_ROUTERS = sizeof routers / sizeof *routers, ROWS = 12, MODES = 5 };

/* Rows of random logits; some with ties everywhere, one each with NaN and infinity. */
static void fill_logits(float *logits, int n)
{
    gm_rng rng = gm_rng_make(5, (uint64_t)n);
    for (int r = 0; r < ROWS; r++)
        for (int e = 0; e < n; e++) {
            double x = 2.0 * gm_rng_normal(&rng);
            logits[r * n + e] = (float)(r % 3 == 1 ? floor(x) : x);
        }
    logits[3 * n + n / 2] = NAN;
    logits[7 * n] = INFINITY;
    for (int e = 0; e < n; e++) logits[10 * n + e] = e % 2 ? -0.0f : 0.0f;
}

/* Signed biases; one in five 0; in mode mask few enough are negative that K are left. */
static void fill_bias(float *bias, const struct router_case *c, gm_edit_mode mode)
{
    gm_rng rng = gm_rng_make(6, (uint64_t)c->n_experts);
    int may_ban = c->n_experts - c->n_chosen;
    for (int e = 0; e < c->n_experts; e++) {
        double x = gm_rng_normal(&rng);
        if (gm_rng_below(&rng, 5) == 0) x = 0.0;
        if (mode == GM_EDIT_MASK && x < 0.0 && may_ban-- <= 0) x = 0.0;
        bias[e] = (float)x;
    }
}

typedef struct routed {
    int32_t expert[ROWS * 64];
    float gate[ROWS * 64], mass[ROWS], margin[ROWS];
    uint8_t bad[ROWS];
} routed;

static void route_on_cpu(const struct router_case *c, const float *logits, const float *correction,
                         const gm_router_edit *edit, routed *out)
{
    const gm_kernels *kernels = NULL;
    const size_t e = (size_t)c->n_experts, k = (size_t)c->n_chosen;
    float *scratch = gm_alloc(gm_router_scratch(e), sizeof *scratch);
    uint16_t expert[64];
    CHECK_INT(gm_kernels_find(&kernels, "portable", NULL), GM_OK);
    const gm_router router = {.desc = &c->desc,
                              .kernels = kernels,
                              .correction = c->correction ? correction : NULL,
                              .n_experts = e,
                              .n_chosen = k};
    for (size_t r = 0; r < ROWS; r++) {
        gm_choice choice = {.expert = expert, .gate = out->gate + r * k};
        out->bad[r] = !gm_router_choose(&router, logits + r * e, edit, scratch, &choice);
        out->mass[r] = choice.mass, out->margin[r] = choice.margin;
        for (size_t i = 0; i < k; i++) out->expert[r * k + i] = expert[i];
    }
    gm_free(scratch);
}

/* What the kernel reads and writes: pinned memory, which a GPU reaches too. */
typedef struct gpu_side {
    routed out;
    gm_row row[ROWS];
    gm_cuda_edits edits;
    uint8_t yes, mode, mass;
    float logits[ROWS * 257], bias[257], correction[257];
} gpu_side;

static void route_on_gpu(const struct router_case *c, const float *logits, const float *correction,
                         const gm_router_edit *edit, routed *out)
{
    const size_t e = (size_t)c->n_experts;
    void *at = NULL;
    cudaStream_t stream = NULL;
    CHECK_INT(cudaMallocHost(&at, sizeof(gpu_side)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    gpu_side *g = memset(at, 0, sizeof *g);
    memcpy(g->logits, logits, ROWS * e * sizeof *logits);
    memcpy(g->correction, correction, e * sizeof *correction);
    if (edit) memcpy(g->bias, edit->bias, e * sizeof *g->bias);
    g->yes = 1;
    g->mode = edit ? (uint8_t)edit->mode : 0;
    g->mass = edit && edit->mass_matched;
    g->edits = (gm_cuda_edits){.bias = g->bias,
                               .active = &g->yes,
                               .mode = &g->mode,
                               .mass = &g->mass,
                               .phases = &g->yes,
                               .n = 1};
    for (size_t r = 0; r < ROWS; r++) g->row[r].edit = edit ? 0 : -1;
    const gm_cuda_how how = {.stream = stream, .multiprocessors = 4};
    gm_cuda_route p = {.row = g->row,
                       .edits = &g->edits,
                       .correction = c->correction ? g->correction : NULL,
                       .logits = g->logits,
                       .expert = g->out.expert,
                       .gate = g->out.gate,
                       .bad = g->out.bad,
                       .record = {.mass = g->out.mass, .margin = g->out.margin},
                       .logits_stride = e,
                       .n_rows = ROWS,
                       .n_experts = c->n_experts,
                       .n_chosen = c->n_chosen,
                       .n_moe = 1,
                       .desc = c->desc};
    p.desc.logit_scale = 1.0f;
    CHECK_INT(gm_cuda_route_many(&how, &p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
    *out = g->out;
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

static void compare_routed(const char *name, int mode, const routed *got, const routed *want,
                           size_t n)
{
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) wrong += got->expert[i] != want->expert[i];
    const double gate = most_off(got->gate, want->gate, n);
    const double mass = most_off(got->mass, want->mass, ROWS);
    const double margin = most_off(got->margin, want->margin, ROWS);
    if (wrong > 0 || memcmp(got->bad, want->bad, ROWS) != 0)
        TEST_FAILED_("%s, mode %d: %zu of %zu ids differ", name, mode, wrong, n);
    if (!(gate <= 1e-6 && mass <= 1e-6 && margin <= 1e-6))
        TEST_FAILED_("%s, mode %d: gates off by %.3g, mass %.3g, margins %.3g", name, mode, gate,
                     mass, margin);
}

static void every_router_and_every_edit(void)
{
    static routed got, want;
    for (size_t i = 0; i < N_ROUTERS; i++) {
        const struct router_case *c = &routers[i];
        const size_t e = (size_t)c->n_experts, n = ROWS * (size_t)c->n_chosen;
        float *logits = gm_alloc(ROWS * e, sizeof *logits), *bias = gm_alloc(2 * e, sizeof *bias);
        fill_logits(logits, c->n_experts);
        fill_bias(bias + e, c, GM_EDIT_BIAS);
        for (int m = 0; m < 2 * MODES; m++) { /* none, then every mode; then mass-matched */
            const gm_edit_mode mode = (gm_edit_mode)(m % MODES - 1);
            const gm_router_edit edit = {.bias = bias, .mode = mode, .mass_matched = m >= MODES};
            const gm_router_edit *with = m % MODES ? &edit : NULL;
            if (with) fill_bias(bias, c, mode);
            route_on_cpu(c, logits, bias + e, with, &want);
            route_on_gpu(c, logits, bias + e, with, &got);
            compare_routed(c->name, m, &got, &want, n);
        }
        gm_free(logits), gm_free(bias);
    }
}

TESTS(TEST(odd_sizes_row_by_row), TEST(odd_sizes_in_one_step), TEST(a_row_after_many_splits),
      TEST(longer_than_a_turn), TEST(heads_of_which_a_part_turns), TEST(latents_of_odd_sizes),
      TEST(heads_by_the_type_of_a_layer), TEST(norms_with_a_bias),
      TEST(random_weights_of_four_bits), TEST(published_widths), TEST(every_router_and_every_edit))

/* test_families_delta.c - what the rows of engine/families_delta.c read: published configs, where
 * the parts of a projection lie in their tensors, what is refused; and what sessions do with
 * states.
 */
#include "engine/cpu/cpu_ops.h"
#include "engine/families.h"
#include "engine/packed.h"
#include "engine/session.h"

#include "tests/config_text.h"
#include "tests/engine_run.h"
#include "tests/model_copy.h"

/* Small ones of each, a field a line, without and within the config of a larger model. */
#define SMALL                                                                                 \
    "  \"attention_bias\": false,\n  \"head_dim\": 12,\n  \"hidden_size\": 16,\n"             \
    "  \"linear_conv_kernel_dim\": 4,\n  \"linear_key_head_dim\": 6,\n"                       \
    "  \"linear_num_key_heads\": 2,\n  \"linear_num_value_heads\": 4,\n"                      \
    "  \"linear_value_head_dim\": 10,\n  \"max_position_embeddings\": 128,\n"                 \
    "  \"moe_intermediate_size\": 8,\n  \"num_attention_heads\": 4,\n  \"num_experts\": 6,\n" \
    "  \"num_experts_per_tok\": 2,\n  \"num_hidden_layers\": 3,\n"                            \
    "  \"num_key_value_heads\": 2,\n  \"partial_rotary_factor\": 0.5,\n"                      \
    "  \"shared_expert_intermediate_size\": 12,\n  \"vocab_size\": 290"
static const char small_next[] =
    "{\n  \"architectures\": [\"Qwen3NextForCausalLM\"],\n  \"full_attention_interval\": 3,\n"
    "  \"intermediate_size\": 36,\n  \"mlp_only_layers\": [1],\n  \"rope_scaling\": null,\n" SMALL
    "\n}\n";
static const char small_qwen35[] =
    "{\n  \"architectures\": [\"Qwen3_5MoeForConditionalGeneration\"],\n"
    "  \"tie_word_embeddings\": true,\n  \"text_config\": {\n  \"attn_output_gate\": true,\n"
    "  \"full_attention_interval\": 2,\n  \"output_gate_type\": \"swish\",\n" SMALL "\n  }\n}\n";

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

static gm_model *open_random(const char *config, bool headers_only)
{
    gm_error err = {0};
    gm_model *model = NULL;
    const gm_model_options options = {
        .device = "cpu", .headers_only = headers_only, .numerics = GM_NUMERICS_F32};
    CHECK_OK(gm_model_open_random(&model, "small", config, &options, &err), err);
    return model;
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

/* The folder `name` with a config.json and nothing else. */
static const char *write_config(const char *name, const char *config)
{
    char path[64];
    CHECK(mkdir(name, 0777) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/config.json", name);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(config, file) >= 0 && fclose(file) == 0);
    return name;
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
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        gm_arch a;
        gm_error err;
        copy_model("other", changes[i][0], changes[i][1], changes[i][2]);
        CHECK_FAILS(gm_arch_read(&a, "other", &err), err, GM_EFORMAT, changes[i][3]);
    }
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

static gm_status read_attempt(void *folder, gm_error *err)
{
    gm_arch a;
    gm_status status = gm_arch_read(&a, folder, err);
    gm_arch_clear(&a);
    return status;
}

/* ---- sessions ---- */

enum { VOCAB = 290, ROWS = 40 };

typedef struct run {
    gm_model *model;
    gm_session *session;
    uint32_t token[ROWS];
} run;

static run open_run(const char *config, size_t piece_rows, int sequences)
{
    run r = {.model = open_random(config, false)};
    gm_error err = {0};
    const gm_session_options o = {.threads = 2,
                                  .max_rows = 2 * ROWS,
                                  .kv_rows = 256,
                                  .max_sequences = sequences,
                                  .piece_rows = piece_rows};
    CHECK_OK(gm_session_create(&r.session, r.model, &o, &err), err);
    for (size_t i = 0; i < ROWS; i++) r.token[i] = (uint32_t)(i * i * 7 + 3) % VOCAB;
    return r;
}

static void close_run(run *r)
{
    gm_session_free(r->session);
    gm_model_close(r->model);
}

static int open_sequence(run *r)
{
    int id;
    gm_error err = {0};
    CHECK_OK(gm_sequence_open(r->session, ROWS, &id, &err), err);
    return id;
}

/* Tokens [from, from + n) of a sequence, and the logits behind the last. */
static void feed(run *r, int id, size_t from, size_t n, float *logits)
{
    gm_error err = {0};
    const gm_segment g = {
        .sequence = id, .n = n, .token = r->token + from, .edit = -1, .want = GM_WANT_LAST};
    CHECK_OK(gm_session_step(r->session, &g, 1, NULL, &(gm_result){.logits = logits}, &err), err);
}

static void any_cut_gives_the_same_bits(void)
{
    run r = open_run(small_next, 0, 2);
    float whole[VOCAB], cut[VOCAB];
    feed(&r, open_sequence(&r), 0, ROWS, whole);
    for (size_t each = 1; each <= 7; each++) {
        const int id = open_sequence(&r);
        for (size_t at = 0; at < ROWS; at += each)
            feed(&r, id, at, ROWS - at < each ? ROWS - at : each, cut);
        CHECK_BYTES(cut, whole, sizeof whole);
        gm_sequence_close(r.session, id); /* the next one takes its states */
    }
    close_run(&r);
}

/* Two sequences in turn and together leave each other's states alone; a step layer by layer, in
 * pieces that cut them, has the states of one layer. */
static void sequences_do_not_meet(void)
{
    run r = open_run(small_qwen35, 0, 2), pieces = open_run(small_qwen35, 7, 2);
    float alone[2][VOCAB], both[2][VOCAB];
    gm_error err = {0};
    gm_segment g[2] = {{0}};
    int id[2];
    for (size_t i = 0; i < 2; i++) {
        id[i] = open_sequence(&r);
        feed(&r, id[i], 3 * i, 20, alone[i]);
        CHECK_OK(gm_sequence_rewind(r.session, id[i], 0, &err), err);
        g[i] = (gm_segment){
            .sequence = id[i], .n = 20, .token = r.token + 3 * i, .edit = -1, .want = GM_WANT_LAST};
    }
    const gm_result result = {.logits = both[0]};
    feed(&r, id[0], 0, 7, both[0]), feed(&r, id[1], 3, 1, both[1]);
    feed(&r, id[0], 7, 13, both[0]), feed(&r, id[1], 4, 19, both[1]);
    CHECK_BYTES(both, alone, sizeof alone);
    for (size_t i = 0; i < 2; i++) CHECK_OK(gm_sequence_rewind(r.session, id[i], 0, &err), err);
    CHECK_OK(gm_session_step(r.session, g, 2, NULL, &result, &err), err);
    CHECK_BYTES(both, alone, sizeof alone);
    for (size_t i = 0; i < 2; i++) CHECK_INT(open_sequence(&pieces), id[i]);
    CHECK_OK(gm_session_step(pieces.session, g, 2, NULL, &result, &err), err);
    CHECK_BYTES(both, alone, sizeof alone);
    close_run(&r), close_run(&pieces);
}

static void states_do_not_go_back(void)
{
    run r = open_run(small_next, 0, 1);
    gm_error err = {0};
    float first[VOCAB], again[VOCAB];
    const int id = open_sequence(&r);
    feed(&r, id, 0, 9, first);
    CHECK_FAILS(gm_sequence_rewind(r.session, id, 4, &err), err, GM_EARG,
                "sequence 0 cannot forget 5 of its 9 tokens");
    CHECK_INT(gm_sequence_length(r.session, id), 9);
    CHECK_OK(gm_sequence_rewind(r.session, id, 9, &err), err);
    CHECK_OK(gm_sequence_rewind(r.session, id, 0, &err), err);
    feed(&r, id, 0, 9, again);
    CHECK_BYTES(again, first, sizeof first);
    const gm_segment twice[2] = {{.sequence = id, .n = 1, .token = r.token, .edit = -1},
                                 {.sequence = id, .n = 1, .token = r.token, .edit = -1}};
    CHECK_FAILS(gm_session_step(r.session, twice, 2, NULL, NULL, &err), err, GM_EARG,
                "segments 0 and 1 are both of sequence 0");
    close_run(&r);
}

/* ---- what is not finite ---- */

enum { T = 20, AT = 5, POISON = 289 };

/* The embedding of a token becomes NaN. */
static void poison(const gm_model *model)
{
    const gm_buf *embed = &model->weights->embed;
    const size_t row_bytes = embed->stride * gm_dtype_bytes(embed->dtype);
    memset((char *)embed->address + POISON * row_bytes, 0xff, row_bytes);
}

/* From there on all rows of its document are bad, as its state is; all others are as without. */
static void a_state_that_is_not_finite_stays_in_its_document(void)
{
    static const plan plans[] = {{.threads = 1, .step = 1, .together = true},
                                 {.threads = 2, .step = 7},
                                 {.threads = 2, .step = T, .together = true},
                                 {.threads = 2, .step = T, .together = true, .piece = 7}};
    static const char *const config[] = {small_next, small_qwen35};
    static const size_t offset[] = {0, T, 2 * T};
    uint32_t clean[2 * T], dirty[2 * T];
    for (uint32_t i = 0; i < 2 * T; i++) clean[i] = dirty[i] = 10 + i;
    dirty[AT] = POISON;
    const docs without = {2, 2 * T, clean, offset}, with = {2, 2 * T, dirty, offset};
    for (size_t i = 0; i < 2 * sizeof plans / sizeof plans[0]; i++) {
        gm_model *model = open_random(config[i % 2], false);
        poison(model);
        outcome want = run_docs(model, &without, &plans[2]);
        outcome got = run_docs(model, &with, &plans[i / 2]);
        for (size_t t = 0; t < 2 * T; t++) {
            const float *row = got.logits + t * VOCAB;
            CHECK_INT(got.bad[t], t >= AT && t < T);
            for (size_t v = 0; got.bad[t] && v < VOCAB; v++) CHECK(isnan(row[v]));
            if (!got.bad[t]) CHECK_BYTES(row, want.logits + t * VOCAB, VOCAB * sizeof *row);
        }
        outcome_free(&want), outcome_free(&got);
        gm_model_close(model);
    }
}

/* A sequence that begins again, or in the place of another, begins with zeros. */
static void nothing_is_left_of_it(void)
{
    run r = open_run(small_next, 0, 1);
    gm_error err = {0};
    float first[VOCAB], again[VOCAB];
    const uint32_t token = r.token[AT];
    int id = open_sequence(&r);
    poison(r.model);
    feed(&r, id, 0, 9, first);
    for (int closed = 0; closed < 2; closed++) {
        CHECK_OK(gm_sequence_rewind(r.session, id, 0, &err), err);
        r.token[AT] = POISON;
        feed(&r, id, 0, 9, again);
        CHECK(isnan(again[0]));
        if (closed) gm_sequence_close(r.session, id), id = open_sequence(&r);
        CHECK_OK(gm_sequence_rewind(r.session, id, 0, &err), err);
        r.token[AT] = token;
        feed(&r, id, 0, 9, again);
        CHECK_BYTES(again, first, sizeof first);
    }
    close_run(&r);
}

/* ---- caches ---- */

static void key_of(const char *config, uint8_t key[GM_PACKED_KEY])
{
    gm_error err = {0};
    gm_checkpoint *checkpoint = NULL;
    gm_arch arch = read_config_text(config);
    gm_weights *w = gm_alloc(1, sizeof *w);
    if (w == NULL) exit(1);
    *w = (gm_weights){.ops = &gm_cpu_ops, .numerics = GM_NUMERICS_BF16};
    CHECK_OK(gm_kernels_find(&w->kernels, "portable", &err), err);
    CHECK_OK(gm_checkpoint_random(&checkpoint, &arch, &err), err);
    CHECK_OK(gm_weights_describe(w, &arch, checkpoint, &err), err);
    gm_packed_key(w, &arch, "stamp", key);
    gm_weights_free(w);
    gm_checkpoint_close(checkpoint);
    gm_arch_clear(&arch);
}

/* Of two key heads of six and of four of three the tensors look alike, and are packed in another
 * order: a cache of the one is none of the other. */
static void heads_of_the_same_width_have_another_cache(void)
{
    char other[sizeof small_next];
    uint8_t key[GM_PACKED_KEY], same[GM_PACKED_KEY], another[GM_PACKED_KEY];
    memcpy(other, small_next, sizeof other);
    *(strstr(other, "key_head_dim\": 6") + strlen("key_head_dim\": ")) = '3';
    *(strstr(other, "key_heads\": 2") + strlen("key_heads\": ")) = '4';
    key_of(small_next, key), key_of(small_next, same), key_of(other, another);
    CHECK_BYTES(same, key, sizeof key);
    CHECK(memcmp(another, key, sizeof key) != 0);
}

/* A step of a session, by itself or layer by layer. */
static gm_status session_attempt(void *context, gm_error *err)
{
    const run *r = context;
    gm_status status = GM_OK;
    gm_session *session = NULL;
    int id;
    for (size_t piece_rows = 0; piece_rows <= 7; piece_rows += 7) {
        const gm_session_options o = {.threads = 2,
                                      .max_rows = ROWS,
                                      .kv_rows = ROWS,
                                      .max_sequences = 2,
                                      .piece_rows = piece_rows};
        GM_TRY(gm_session_create(&session, r->model, &o, err));
        GM_TRY(gm_sequence_open(session, ROWS, &id, err));
        const gm_segment g = {.sequence = id, .n = ROWS, .token = r->token, .edit = -1};
        GM_TRY(gm_session_step(session, &g, 1, NULL, NULL, err));
        gm_session_free(session);
        session = NULL;
    }
out:
    gm_session_free(session);
    return status;
}

static void every_allocation_may_fail(void)
{
    run r = open_run(small_next, 0, 1);
    check_every_allocation(session_attempt, &r);
    close_run(&r);
    char names[2][8] = {"next", "qwen35"};
    write_config(names[0], small_next), write_config(names[1], small_qwen35);
    for (size_t i = 0; i < 2; i++) check_every_allocation(read_attempt, names[i]);
}

TESTS(TEST(reads_next), TEST(reads_qwen35), TEST(cache_and_states_are_counted),
      TEST(many_sequences_do_with_fewer), TEST(refuses_what_is_not_computed),
      TEST(other_kinds_have_another_digest), TEST(any_cut_gives_the_same_bits),
      TEST(sequences_do_not_meet), TEST(states_do_not_go_back),
      TEST(a_state_that_is_not_finite_stays_in_its_document), TEST(nothing_is_left_of_it),
      TEST(heads_of_the_same_width_have_another_cache), TEST(every_allocation_may_fail))

/* test_cuda_host.c - the host's side of engine/cuda/: what is refused and with which words, and how
 * memory is planned.
 */
#include "emulated_run.h"
#include "base/cuda/cuda_device.h"
#include "engine/cuda/cuda_plan.h"
#include "engine/cuda/cuda_session.h"
#include "engine/session.h"

#define TINY TEST_DATA "/golden/models/deepseek-tiny"

static gm_status open_it(const char *device, gm_numerics numerics, gm_error *err)
{
    gm_model *model = NULL;
    const gm_model_options options = {.device = device, .numerics = numerics, .threads = 1};
    gm_status status = gm_model_open(&model, TINY, &options, err);
    CHECK((model == NULL) == (status != GM_OK));
    gm_model_close(model);
    return status;
}

/* ---- choosing ---- */

static void what_is_missing_is_named(void)
{
    gm_error err = {0};
    emulation_reset();
    gm_emulation.driver_version = 0;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_AUTO, &err), err, GM_EABSENT, "no NVIDIA driver");
    gm_emulation.driver_version = 12040;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_AUTO, &err), err, GM_EABSENT,
                "the NVIDIA driver supports CUDA 12.4, but this build needs CUDA 13");
    emulation_reset();
    gm_emulation.n_devices = 0;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_AUTO, &err), err, GM_EABSENT, "sees no GPU");
    emulation_reset();
    CHECK_FAILS(open_it("cuda:3", GM_NUMERICS_AUTO, &err), err, GM_EABSENT,
                "no GPU 'cuda:3', this machine has cuda:0 to cuda:0; '--device cpu' needs no GPU");
    gm_emulation.major = 7, gm_emulation.minor = 5;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_AUTO, &err), err, GM_EABSENT, "compute capability 7.5");
    emulation_reset();
    gm_model *model = NULL;
    gm_model_options options = {.device = "cuda", .kernels = "avx2"};
    CHECK_FAILS(gm_model_open(&model, TINY, &options, &err), err, GM_EABSENT, "kernels 'avx2'");
    options = (gm_model_options){.device = "cuda", .hold = GM_HOLD_STREAMED};
    CHECK_FAILS(gm_model_open(&model, TINY, &options, &err), err, GM_EABSENT, "on the CPU only");
    options = (gm_model_options){.device = "cuda", .cache = GM_CACHE_WRITE};
    CHECK_FAILS(gm_model_open(&model, TINY, &options, &err), err, GM_EABSENT, "a cache");
    options = (gm_model_options){.device = "cuda", .numerics = GM_NUMERICS_BF16_DOT};
    CHECK_FAILS(gm_model_open(&model, TINY, &options, &err), err, GM_EABSENT,
                "numerics bf16-dot are for the CPU only");
}

static void cublas_is_looked_for(void)
{
    gm_error err = {0};
    const char *there = getenv("GM_CUBLAS");
    char kept[4096];
    snprintf(kept, sizeof kept, "%s", there ? there : "");
    CHECK_INT(setenv("GM_CUBLAS", "/nowhere/libcublas.so", 1), 0);
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_AUTO, &err), err, GM_EABSENT, "/nowhere/libcublas.so");
    CHECK_INT(setenv("GM_CUBLAS", "libm.so.6", 1), 0);
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_AUTO, &err), err, GM_EABSENT,
                "no function 'cublasCreate_v2'");
    CHECK_OK(open_it("auto", GM_NUMERICS_AUTO, &err), err); /* on the CPU */
    CHECK_INT(setenv("GM_CUBLAS", kept, 1), 0);
    CHECK_OK(open_it("cuda", GM_NUMERICS_AUTO, &err), err);
}

/* ---- memory ---- */

static void what_does_not_fit_is_said_before_loading(void)
{
    gm_error err = {0};
    emulation_reset();
    gm_emulation.memory = gm_emulation.used + 800000;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_F32, &err), err, GM_EMEM, "parameters in f32;");
    CHECK_HAS(err.text, "'--numerics bf16' needs");
    CHECK_OK(open_it("cuda", GM_NUMERICS_BF16, &err), err);
    gm_emulation.memory -= 200000;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_F32, &err), err, GM_EMEM, "'--numerics int8' needs");
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_BF16, &err), err, GM_EMEM, "'--numerics int8' needs");
    CHECK_OK(open_it("cuda", GM_NUMERICS_INT8, &err), err);
    gm_emulation.memory -= 250000;
    CHECK_FAILS(open_it("cuda", GM_NUMERICS_INT8, &err), err, GM_EMEM, "in int8; '--device cpu'");

    emulation_reset();
    gm_model *model = open_tiny("deepseek-tiny", "cuda", GM_NUMERICS_F32);
    gm_session *session = NULL;
    gm_session_options o = {.max_rows = 1 << 14, .kv_rows = 1 << 20, .max_sequences = 64};
    CHECK_FAILS(gm_session_create(&session, model, &o, &err), err, GM_EMEM,
                "use fewer rows per step, a shorter context or '--device cpu'");
    o = (gm_session_options){.max_rows = 8, .kv_rows = 8, .max_sequences = 1, .piece_rows = 4};
    CHECK_FAILS(gm_session_create(&session, model, &o, &err), err, GM_EABSENT, "layer by layer");
    o = (gm_session_options){.max_rows = 8, .kv_rows = 8, .max_sequences = 1, .norms = true};
    CHECK_FAILS(gm_session_create(&session, model, &o, &err), err, GM_EABSENT,
                "cannot record what experts give; use '--device cpu'");
    CHECK(session == NULL);
    gm_model_close(model);
}

static void memory_that_is_short_is_counted(void)
{
    gm_error err = {0};
    void *at = &err;
    emulation_reset();
    gm_emulation.memory = gm_emulation.used + 1000000;
    CHECK_FAILS(gm_cuda_alloc(&at, 3000000, "memory for a test", &err), err, GM_EMEM,
                "memory for a test: 3.0 MB needed, but the GPU has only 1.0 MB free");
    CHECK(at == NULL);
    gm_emulation.fail_after = 0;
    gm_emulation.fail_with = cudaErrorMemoryAllocation;
    CHECK_FAILS(gm_cuda_alloc_pinned(&at, 2000000, "pinned memory", &err), err, GM_EMEM,
                "pinned memory: the system cannot pin 2.0 MB");
    CHECK(at == NULL);
    emulation_reset();
}

/* Whether a model has something for a region; these have neither gates of shared experts. */
static bool uses_region(const gm_model *model, int region, gm_numerics numerics)
{
    const bool latents = model->arch.latent.kv > 0;
    switch (region) {
    case GM_CUDA_SHARE: return false;
    case GM_CUDA_GIVEN: return gm_arch_norms_outputs(&model->arch);
    case GM_CUDA_WIDENED:
    case GM_CUDA_WIDENED_EXPERT: return numerics == GM_NUMERICS_INT8;
    case GM_CUDA_QUERIES: return model->arch.latent.q > 0;
    case GM_CUDA_LATENT: return model->arch.latent.q > 0 || model->arch.delta.rank > 0;
    case GM_CUDA_COSINE:
    case GM_CUDA_SINE: return model->arch.rope.dim > 0;
    case GM_CUDA_OF_HEADS: return latents;
    case GM_CUDA_HISTORY: return model->arch.n_delta > 0;
    case GM_CUDA_VECTORS:
    case GM_CUDA_STATES: return model->arch.n_delta > 0 && !gm_arch_only_convolves(&model->arch);
    case GM_CUDA_VALUES: return !latents;
    default: return true;
    }
}

static void check_regions(const char *name, gm_numerics numerics, int n_splits)
{
    gm_model *model = open_tiny(name, "cuda", numerics);
    const gm_session_sizes sizes = {
        .max_rows = 33, .positions = 100, .kv_rows = 257, .max_sequences = 3};
    gm_kv kv;
    gm_error err = {0};
    CHECK_OK(gm_kv_create(&kv, &model->arch, numerics, 257, 3, false, &err), err);
    const gm_cuda_plan p = gm_cuda_plan_session(&model->arch, numerics, &kv, &sizes);
    size_t end = 0;
    for (int i = 0; i < GM_CUDA_N_REGIONS; i++) {
        CHECK((p.bytes[i] > 0) == uses_region(model, i, numerics));
        CHECK(p.at[i] >= end && p.at[i] % 256 == 0);
        end = p.at[i] + p.bytes[i];
    }
    CHECK(p.total >= end);
    CHECK(p.few >= 1 && p.few <= GM_CUDA_FEW);
    CHECK_INT(p.n_splits, n_splits);
    gm_kv_clear(&kv);
    gm_model_close(model);
}

static void regions_do_not_overlap(void)
{
    check_regions("qwen3-tiny", GM_NUMERICS_BF16, 2); /* of up to 64 positions */
    check_regions("qwen3-tiny", GM_NUMERICS_INT8, 2);
    check_regions("deepseek-v2-tiny", GM_NUMERICS_BF16, 4); /* of up to 32 */
    check_regions("deepseek-v3-tiny", GM_NUMERICS_INT8, 4);
    check_regions("gemma4-tiny", GM_NUMERICS_BF16, 2);
    check_regions("lfm-tiny", GM_NUMERICS_BF16, 2);
    check_regions("kimi-linear-tiny", GM_NUMERICS_INT8, 4);
}

/* Two layers of 2 KV heads of 10 elements, which rows of the cache hold as 16; and one that is
 * global, of 1 head of 20, held as 24, whose values are its keys. Its angles come after theirs. */
static void each_type_of_layer_has_its_sizes(void)
{
    enum { ROWS = 257, POSITIONS = 100, BLOCKS = ROWS / GM_KV_BLOCK + 1, HEADS = 4 };
    gm_model *model = open_tiny("gemma4-tiny", "cpu", GM_NUMERICS_F32);
    const gm_session_sizes sizes = {
        .max_rows = 3, .positions = POSITIONS, .kv_rows = ROWS, .max_sequences = 1};
    gm_kv kv;
    gm_kv_describe(&kv, &model->arch, GM_NUMERICS_F32, ROWS, 1, false);
    const gm_cuda_plan p = gm_cuda_plan_session(&model->arch, GM_NUMERICS_F32, &kv, &sizes);
    const gm_cuda_head_sizes *near = &p.of[0], *far = &p.of[1];
    CHECK(near->head == 16 && far->head == 24);
    CHECK(near->at_k == HEADS * 10 && near->at_v == HEADS * 10 + 20);
    CHECK(far->at_k == HEADS * 20 && far->at_v == far->at_k);
    CHECK_INT(p.qkv, gm_round_up(HEADS * 20 + 20, GM_K_BLOCK));
    CHECK_INT(p.heads, gm_round_up(HEADS * 20, GM_K_BLOCK));
    CHECK(near->at_angle == 0 && near->angle == 5 && far->at_angle == POSITIONS * 5);
    CHECK(far->angle == 10 && p.bytes[GM_CUDA_SINE] == POSITIONS * 15 * sizeof(float));
    CHECK_INT(near->layer_bytes, BLOCKS * 2 * GM_KV_BLOCK * 16 * sizeof(float));
    CHECK_INT(far->layer_bytes, BLOCKS * 1 * GM_KV_BLOCK * 24 * sizeof(float));
    CHECK(near->at_layers == 0 && far->at_layers == 2 * near->layer_bytes);
    CHECK_INT(p.bytes[GM_CUDA_VALUES], far->at_layers + far->layer_bytes);
    CHECK_INT(p.bytes[GM_CUDA_QUERY], 3 * HEADS * 24 * sizeof(float));
    gm_model_close(model);
}

/* Two layers of short convolutions of 3 tokens, with three matrices of 18 rows and no state. */
static void short_convolutions_keep_their_channels(void)
{
    enum { CHANNELS = 18, TAPS = 3, SEQUENCES = 5, LAYERS = 2 };
    gm_model *model = open_tiny("lfm-tiny", "cuda", GM_NUMERICS_F32);
    const gm_session_sizes sizes = {
        .max_rows = 7, .positions = 33, .kv_rows = 33, .max_sequences = SEQUENCES};
    gm_kv kv;
    gm_kv_describe(&kv, &model->arch, GM_NUMERICS_F32, 33, SEQUENCES, false);
    const gm_cuda_plan p = gm_cuda_plan_session(&model->arch, GM_NUMERICS_F32, &kv, &sizes);
    const size_t floats = gm_round_up(SEQUENCES * TAPS * CHANNELS, 4);
    CHECK_INT(p.bytes[GM_CUDA_HISTORY], LAYERS * floats * sizeof(float));
    CHECK_INT(p.qkv, gm_round_up(3 * CHANNELS, GM_K_BLOCK));
    CHECK_INT(model->weights->layer[0].qkv.rows, 3 * CHANNELS);
    gm_model_close(model);
}

/* Experts stay MXFP4 where that is exact; a byte of scale for 16 of codes. */
static void experts_stay_as_they_are_stored(void)
{
    static const struct {
        const char *model;
        gm_numerics numerics;
        gm_dtype dtype;
        size_t bits;
    } cases[] = {{"gptoss-tiny", GM_NUMERICS_BF16, GM_U8, 4},
                 {"gptoss-tiny", GM_NUMERICS_F32, GM_F32, 32},
                 {"gptoss-tiny", GM_NUMERICS_INT8, GM_I8, 8},
                 {"gptoss-plain", GM_NUMERICS_BF16, GM_BF16, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_model *model = open_tiny(cases[i].model, "cuda", cases[i].numerics);
        const gm_buf *b = &model->weights->layer[0].expert.gate_up;
        const size_t scales = cases[i].bits == 4   ? b->rows * b->stride / 32
                              : cases[i].bits == 8 ? b->rows * sizeof(float)
                                                   : 0;
        const size_t least = b->rows * b->stride * cases[i].bits / 8 + scales;
        CHECK_INT(b->dtype, cases[i].dtype);
        CHECK(b->item_bytes >= least && b->item_bytes < least + 256);
        CHECK(b->cols == b->stride || cases[i].bits != 4); /* no padding in a row of codes */
        gm_model_close(model);
    }
}

/* One size, where the last would wait for the others. */
static void pieces_are_even(void)
{
    static const int widths[][2] = {{32, 2048},   {1792, 2048}, {2048, 2048},  {2049, 1056},
                                    {2880, 1440}, {4096, 2048}, {14336, 2048}, {6145, 1568}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        CHECK_INT(gm_cuda_piece(widths[i][0]), widths[i][1]);
}

static void results_lie_one_after_the_other(void)
{
    gm_model *model = open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32);
    const size_t l = 3, k = 4, e = 16, t = 5;
    const gm_cuda_results r = gm_cuda_plan_results(&model->arch, t, true, true);
    CHECK(r.sampled + t * 4 <= r.nll && r.nll + t * 4 <= r.bad && r.bad + t <= r.expert);
    CHECK(r.expert + l * t * k * 2 <= r.gate && r.gate + l * t * k * 4 <= r.mass);
    CHECK(r.mass + l * t * 4 <= r.margin && r.margin + l * t * 4 <= r.logits);
    CHECK(r.logits + l * t * e * 4 <= r.bytes && r.bytes % 16 == 0);
    CHECK_INT(gm_cuda_plan_results(&model->arch, t, false, false).bytes, r.expert);
    const gm_cuda_step_data d = gm_cuda_plan_step(3, 2, 1, 1);
    CHECK(d.row + 3 * sizeof(gm_row) <= d.head && d.head + 2 * sizeof(gm_cuda_head) <= d.tile);
    CHECK(d.tile + sizeof(gm_tile) <= d.bytes);
    gm_model_close(model);
}

/* What lies after the columns of a vector is zero, as it is after those of a matrix. */
static void check_padding(const gm_buf *b, size_t *n)
{
    const float *row = b->address; /* device memory is the host's here */
    for (size_t i = b->cols; row && i < b->stride; i++, ++*n) CHECK(row[i] == 0.0f);
}

static void rows_end_in_zeros(void)
{
    size_t n = 0;
    emulation_reset();
    gm_model *model = open_tiny("qwen3-tiny", "cuda", GM_NUMERICS_F32);
    for (size_t l = 0; l < model->weights->n_layers; l++) {
        const gm_layer *w = &model->weights->layer[l];
        const gm_buf *const all[] = {&w->attn_norm, &w->mlp_norm, &w->q_norm, &w->k_norm};
        for (size_t i = 0; i < 4; i++) check_padding(all[i], &n);
    }
    CHECK(n > 0);
    gm_model_close(model);
}

/* ---- failures ---- */

static void what_the_kernels_cannot_take_is_refused(void)
{
    gm_model *model = open_tiny("deepseek-tiny", "cpu", GM_NUMERICS_F32);
    const struct {
        int n_experts, head_dim, width, n_chosen, expert_width, vocab;
        const char *words;
    } cases[] = {
        {1025, 32, 64, 4, 32, 96,
         "1025 experts per layer, but the router on the GPU supports at most 1024"},
        {16, 514, 64, 4, 32, 96, "heads have 514 dimensions"},
        {16, 33, 64, 4, 32, 96, "heads have 33 dimensions"},
        {16, 32, 64, 1024, 1 << 20, 96, "which together are too wide for the GPU"},
        {16, 32, 24833, 4, 32, 96, "24833 wide, which is too wide for the GPU's shared memory"},
        {16, 32, 64, 4, 32, 1 << 20, "1048576 tokens, but sampling on the GPU supports at most"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_arch arch = model->arch;
        gm_error err = {0};
        CHECK_OK(gm_cuda_check_arch(&arch, &err), err);
        arch.n_experts = cases[i].n_experts, arch.head_dim = cases[i].head_dim;
        arch.width = cases[i].width, arch.n_chosen = cases[i].n_chosen;
        arch.expert_width = cases[i].expert_width, arch.vocab = cases[i].vocab;
        CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, cases[i].words);
    }
    gm_model_close(model);
}

static void latents_that_are_too_wide_are_refused(void)
{
    static const struct {
        int kv, keys, q;
        const char *words;
    } cases[] = {
        {513, 576, 12,
         "latents have 513 dimensions and its keys 576, but attention on the GPU supports at most"},
        {512, 642, 12, "keys 642, but attention on the GPU supports at most 512 and 640"},
        {512, 576, 24833, "24833 wide, which is too wide for the GPU's shared memory"},
    };
    gm_model *model = open_tiny("deepseek-v3-tiny", "cpu", GM_NUMERICS_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_arch arch = model->arch;
        gm_error err = {0};
        arch.latent.kv = 512, arch.head_dim = 640;
        CHECK_OK(gm_cuda_check_arch(&arch, &err), err);
        arch.latent.kv = cases[i].kv, arch.head_dim = cases[i].keys, arch.latent.q = cases[i].q;
        CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, cases[i].words);
    }
    gm_model_close(model);
}

static void heads_of_either_type_may_be_too_wide(void)
{
    gm_model *model = open_tiny("gemma4-tiny", "cpu", GM_NUMERICS_F32);
    gm_arch arch = model->arch;
    gm_error err = {0};
    arch.head_dim = arch.global.head_dim = 512;
    CHECK_OK(gm_cuda_check_arch(&arch, &err), err);
    arch.global.head_dim = 514;
    CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, "heads have 514 dimensions");
    arch.global.head_dim = 512, arch.n_heads = 64; /* and so wide a row of all of them */
    CHECK_FAILS(gm_cuda_check_arch(&arch, &err), err, GM_EABSENT, "32768 wide");
    gm_model_close(model);
}

TESTS(TEST(what_is_missing_is_named), TEST(cublas_is_looked_for),
      TEST(what_does_not_fit_is_said_before_loading), TEST(memory_that_is_short_is_counted),
      TEST(regions_do_not_overlap), TEST(each_type_of_layer_has_its_sizes),
      TEST(short_convolutions_keep_their_channels), TEST(pieces_are_even),
      TEST(experts_stay_as_they_are_stored), TEST(results_lie_one_after_the_other),
      TEST(rows_end_in_zeros), TEST(what_the_kernels_cannot_take_is_refused),
      TEST(latents_that_are_too_wide_are_refused), TEST(heads_of_either_type_may_be_too_wide))

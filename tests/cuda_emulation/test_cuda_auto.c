/* test_cuda_auto.c - the device that "auto" takes, by what GPUs say of themselves, what is asked
 * for and what fails; and the sentence about it.
 */
#include "base/text.h"
#include "emulated_run.h"
#include "engine/cuda/cuda_session.h"
#include "engine/session.h"

#include <stdlib.h>

#define TINY TEST_DATA "/golden/models/deepseek-tiny"

static gm_status open_it(const char *device, gm_error *err)
{
    gm_model *model = NULL;
    const gm_model_options options = {.device = device, .threads = 1};
    gm_status status = gm_model_open(&model, TINY, &options, err);
    gm_model_close(model);
    return status;
}

static void keep(void *context, const char *sentence)
{
    gm_text *note = context;
    gm_error err = {0};
    CHECK_INT(note->n, 0); /* one sentence, once */
    CHECK_OK(gm_text_append(note, sentence, strlen(sentence), &err), err);
}

/* Where "auto" computes, as the emulation stands, and what is said: "" means nothing. */
static void check_auto(gm_model_options options, const char *device, const char *says)
{
    gm_text note = {0};
    gm_model *model = NULL;
    gm_error err = {0};
    options.threads = 1;
    options.device_notice = keep, options.notice_context = &note;
    CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
    if (model) CHECK_TEXT(gm_model_get_info(model)->device, device);
    if (says[0])
        CHECK_HAS(note.n ? note.at : "", says);
    else
        CHECK_INT(note.n, 0);
    gm_model_close(model);
    gm_text_clear(&note);
}

static void auto_takes_a_gpu_that_can(void)
{
    emulation_reset();
    check_auto((gm_model_options){0}, "cuda:0", "computing on cuda:0, emulated GPU");
    check_auto((gm_model_options){.device = "auto", .numerics = GM_NUMERICS_FP8}, "cuda:0",
               "computing on cuda:0");
    gm_emulation.n_devices = 3;
    gm_emulation.old_devices = 1;
    check_auto((gm_model_options){0}, "cuda:1", "computing on cuda:1");
    gm_error err = {0};
    CHECK_OK(open_it("cuda", &err), err); /* any */
    CHECK_FAILS(open_it("cuda:0", &err), err, GM_EABSENT, "capability 7.5");
    gm_emulation.old_devices = 0;
    gm_emulation.taken_of_first = gm_emulation.memory - 1000;
    check_auto((gm_model_options){0}, "cuda:1", "computing on cuda:1");
    CHECK_FAILS(open_it("cuda:0", &err), err, GM_EMEM, "has only 1.0 kB free");
    emulation_reset();
}

/* Without a GPU nothing is said; where there is one, why it is not taken. */
static void auto_stays_on_the_cpu(void)
{
    const gm_session_options large = {.max_rows = 1 << 14, .kv_rows = 1 << 20, .max_sequences = 64};
    const gm_session_options small = {.max_rows = 64, .kv_rows = 256, .max_sequences = 1};
    emulation_reset();
    gm_emulation.n_taken = 0;
    gm_emulation.driver_version = 0;
    check_auto((gm_model_options){0}, "cpu", "");
    emulation_reset();
    gm_emulation.n_devices = 0;
    check_auto((gm_model_options){0}, "cpu", "");
    emulation_reset();
    gm_emulation.driver_version = 12040;
    check_auto(
        (gm_model_options){0}, "cpu",
        "computing on the CPU: the NVIDIA driver supports CUDA 12.4, but this build needs CUDA 13");
    emulation_reset();
    gm_emulation.n_devices = 2, gm_emulation.old_devices = 3;
    check_auto((gm_model_options){0}, "cpu",
               "computing on the CPU: 'emulated GPU' has compute capability 7.5");
    emulation_reset();
    gm_emulation.memory = 1000;
    check_auto((gm_model_options){0}, "cpu", "'emulated GPU' has only 1.0 kB,");
    emulation_reset();
    check_auto((gm_model_options){.planned = &large}, "cpu", "computing on the CPU: the weights");
    CHECK_INT(gm_emulation.n_taken, 0); /* so far by what GPUs say of themselves */
    check_auto((gm_model_options){.planned = &small}, "cuda:0", "computing on cuda:0");
    gm_emulation.taken_of_first = gm_emulation.memory - 1000;
    check_auto((gm_model_options){0}, "cpu", "'emulated GPU' has only 1.0 kB free,");
    emulation_reset();
    CHECK_INT(gm_emulation.n_blocks, 0);
}

/* Nobody's memory is filled to the last byte unasked: code needs some too. */
static void auto_leaves_room_for_code(void)
{
    gm_error err = {0};
    emulation_reset();
    gm_emulation.memory = (size_t)500 << 20;
    check_auto((gm_model_options){0}, "cpu",
               "(537 MB of it for CUDA's code), but 'emulated GPU' has");
    CHECK_OK(open_it("cuda", &err), err); /* asked for by name */
    gm_emulation.memory = (size_t)600 << 20;
    check_auto((gm_model_options){0}, "cuda:0", "computing on cuda:0");
    emulation_reset();
}

static void auto_heeds_what_only_the_cpu_does(void)
{
    static const struct {
        gm_model_options options;
        const char *says;
    } asked[] = {
        {{.kernels = "portable"}, "computing on the CPU: kernels 'portable' are for the CPU only"},
        {{.hold = GM_HOLD_STREAMED}, "weights can be streamed on the CPU only"},
        {{.hold = GM_HOLD_MAPPED, .cache_folder = "."}, "weights can be mapped on the CPU only"},
        {{.cache = GM_CACHE_WRITE, .cache_folder = "."}, "a cache of packed weights"},
        {{.cache_folder = "."}, "a cache of packed weights"},
        {{.numerics = GM_NUMERICS_BF16_DOT, .kernels = "auto"},
         "numerics bf16-dot are for the CPU only"},
        {{.device = "cpu"}, ""},
    };
    emulation_reset();
    gm_emulation.n_taken = 0;
    gm_emulation.n_devices = 2;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        check_auto(asked[i].options, "cpu", asked[i].says);
    CHECK_INT(gm_emulation.n_taken, 0);
    gm_emulation.driver_version = 0; /* no GPU: nothing to say */
    check_auto(asked[0].options, "cpu", "");
    emulation_reset();
    check_auto((gm_model_options){.kernels = "auto", .cache = GM_CACHE_OFF}, "cuda:0", "cuda:0");
}

/* Whatever call of the runtime fails while a model is loaded, the CPU takes it; its own failures
 * are failures. */
static void auto_gives_up_a_gpu_that_fails(void)
{
    gm_error err = {0};
    gm_model *model = NULL;
    bool reached_end = false;
    for (long k = 0; !reached_end; k += 1 + k / 2) {
        emulation_reset();
        gm_emulation.fail_after = k;
        gm_emulation.fail_with = k % 2 ? cudaErrorMemoryAllocation : cudaErrorECCUncorrectable;
        const gm_model_options options = {.threads = 1};
        CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
        reached_end = gm_emulation.fail_after >= 0;
        if (model) CHECK_TEXT(gm_model_get_info(model)->device, reached_end ? "cuda:0" : "cpu");
        gm_model_close(model);
        CHECK_INT(gm_emulation.n_blocks, 0);
    }
    emulation_reset();
    gm_model_options options = {.kernels = "quantum"};
    CHECK_FAILS(gm_model_open(&model, TINY, &options, &err), err, GM_EARG, "quantum");
}

/* Kernels that were compiled for 8.0 alone do not wait, on whatever GPU they run. */
static void kernels_that_do_not_wait_are_not_started_early(void)
{
    for (int code = 80; code <= 90; code += 10) {
        gm_session *session = NULL;
        gm_error err = {0};
        const gm_session_options o = {.max_rows = 8, .kv_rows = 32, .max_sequences = 1};
        emulation_reset();
        gm_emulation.code = code;
        gm_model *model = open_tiny("deepseek-tiny", "cuda", GM_NUMERICS_F32);
        CHECK_OK(gm_session_create(&session, model, &o, &err), err);
        if (session) CHECK_INT(((gm_cuda_session *)session->own)->how.early, code == 90);
        gm_session_free(session);
        gm_model_close(model);
    }
    emulation_reset();
}

/* Without cuBLAS there is no GPU to speak of, but its absence. */
static void auto_does_without_cublas(void)
{
    const char *there = getenv("GM_CUBLAS");
    char kept[4096];
    emulation_reset();
    snprintf(kept, sizeof kept, "%s", there ? there : "");
    CHECK_INT(setenv("GM_CUBLAS", "/nowhere/libcublas.so", 1), 0);
    check_auto((gm_model_options){0}, "cpu", "computing on the CPU: GM_CUBLAS: /nowhere");
    CHECK_INT(setenv("GM_CUBLAS", kept, 1), 0);
    check_auto((gm_model_options){0}, "cuda:0", "computing on cuda:0");
}

TESTS(TEST(auto_takes_a_gpu_that_can), TEST(auto_stays_on_the_cpu), TEST(auto_leaves_room_for_code),
      TEST(auto_heeds_what_only_the_cpu_does), TEST(auto_gives_up_a_gpu_that_fails),
      TEST(kernels_that_do_not_wait_are_not_started_early), TEST(auto_does_without_cublas))

/* test_gpu.c - cluster/gpu.c and engine/backend.c: what is said of devices where there is no GPU or
 * no CUDA in the build. tests/cuda_emulation has the rest.
 */
#include "cluster/gpu.h"
#include "cluster/neighbours.h"
#include "engine/engine.h"

#include "tests/check.h"

#define TINY TEST_DATA "/golden/models/deepseek-tiny"

static void the_cpu_is_what_is_meant(void)
{
    static const char *const names[] = {NULL, "auto", "cpu"};
    for (size_t i = 0; i < 3; i++) {
        gm_gpu *gpu = NULL;
        gm_error err = {0};
        char note[GM_GPU_NOTE] = "not written";
        CHECK_OK(gm_gpu_open(&gpu, names[i], &(gm_gpu_work){100, 10, 1}, note, &err), err);
        CHECK(gpu == NULL);
        CHECK_TEXT(note, "");
        CHECK_TEXT(gm_gpu_name(gpu), "cpu");
        gm_gpu_close(gpu);
    }
}

static gm_status open_model(const char *device, gm_error *err)
{
    gm_model *model = NULL;
    gm_status status = gm_model_open(&model, TINY, &(gm_model_options){.device = device}, err);
    gm_model_close(model);
    return status;
}

static void other_names_are_refused(void)
{
    gm_gpu *gpu;
    gm_error err = {0};
    char note[GM_GPU_NOTE];
    CHECK_FAILS(gm_gpu_open(&gpu, "tpu", &(gm_gpu_work){0}, note, &err), err, GM_EARG,
                "unknown device 'tpu'");
    CHECK(gpu == NULL);
    CHECK_FAILS(open_model("tpu", &err), err, GM_EARG, "unknown device 'tpu'");
}

/* "cuda:1023" is on no machine that runs this. */
static void a_gpu_that_is_not_there_is_missed(void)
{
    gm_gpu *gpu;
    gm_error err = {0};
    char note[GM_GPU_NOTE];
    CHECK_FAILS(gm_gpu_open(&gpu, "cuda:1023", &(gm_gpu_work){10, 10, 0}, note, &err), err,
                GM_EABSENT, "; '--device cpu' needs no GPU");
    CHECK(strstr(err.text, "no CUDA backend") || strstr(err.text, "NVIDIA") ||
          strstr(err.text, "no GPU 'cuda:1023'"));
    CHECK(gpu == NULL);
    const char *said = strstr(err.text, "no CUDA backend") ? "no CUDA backend" : "";
    CHECK_FAILS(open_model("cuda:1023", &err), err, GM_EABSENT, said);
    CHECK_HAS(err.text, "; '--device cpu' needs no GPU");
}

/* What "auto" weighs: quadratic in the documents, nothing where neighbours are approximate. */
static void the_cpus_time_is_known(void)
{
    const gm_neighbour_options any = {0}, exact = {.method = GM_NEIGHBOURS_EXACT};
    const size_t most = gm_neighbours_exact_up_to(1728);
    const double some = gm_neighbours_seconds(&any, 40000, 1728);
    CHECK(some > 0.01 && some < 30);
    CHECK_NEAR(gm_neighbours_seconds(&any, 80000, 1728) / some, 4, 1e-9);
    CHECK(gm_neighbours_seconds(&exact, most + 1, 1728) > 0);
}

TESTS(TEST(the_cpu_is_what_is_meant), TEST(other_names_are_refused),
      TEST(a_gpu_that_is_not_there_is_missed), TEST(the_cpus_time_is_known))

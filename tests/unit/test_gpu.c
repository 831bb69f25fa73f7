/* test_gpu.c - cluster/gpu.c and engine/backend.c: names of devices, and what is said where there
 * is no GPU or no CUDA in the build. tests/cuda_emulation has the rest. */
#include "cluster/gpu.h"
#include "engine/ops.h"

#include "tests/check.h"

static void the_cpu_is_what_is_meant(void)
{
    static const char *const names[] = {NULL, "auto", "cpu"};
    for (size_t i = 0; i < 3; i++) {
        gm_gpu *gpu = NULL;
        gm_error err = {0};
        CHECK_OK(gm_gpu_open(&gpu, names[i], &err), err);
        CHECK(gpu == NULL);
        CHECK(strcmp(gm_gpu_name(gpu), "cpu") == 0);
        gm_gpu_close(gpu);
    }
}

static void other_names_are_refused(void)
{
    gm_gpu *gpu;
    const gm_ops *ops;
    const struct gm_kernels *kernels;
    gm_error err = {0};
    CHECK_FAILS(gm_gpu_open(&gpu, "tpu", &err), err, GM_EARG, "unknown device 'tpu'");
    CHECK_FAILS(gm_ops_find(&ops, &kernels, "tpu", NULL, &err), err, GM_EARG,
                "unknown device 'tpu'");
    CHECK(gpu == NULL && ops == NULL);
}

/* "cuda:1023" is on no machine that runs this. */
static void a_gpu_that_is_not_there_is_missed(void)
{
    gm_gpu *gpu;
    const gm_ops *ops;
    const struct gm_kernels *kernels;
    gm_error err = {0};
    CHECK_FAILS(gm_gpu_open(&gpu, "cuda:1023", &err), err, GM_EABSENT, "");
    CHECK(strstr(err.text, "no CUDA backend") || strstr(err.text, "NVIDIA") ||
          strstr(err.text, "no GPU 'cuda:1023'"));
    CHECK(gpu == NULL);
    if (strstr(err.text, "no CUDA backend")) /* the engine of the same build says the same */
        CHECK_FAILS(gm_ops_find(&ops, &kernels, "cuda:1023", NULL, &err), err, GM_EABSENT,
                    "no CUDA backend, use '--device cpu'");
    else
        CHECK_OK(gm_ops_find(&ops, &kernels, "cuda:1023", NULL, &err), err);
}

TESTS(TEST(the_cpu_is_what_is_meant), TEST(other_names_are_refused),
      TEST(a_gpu_that_is_not_there_is_missed))

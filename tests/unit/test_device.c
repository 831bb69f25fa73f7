/* test_device.c - the names of devices; choosing one on a machine that has none but its processor.
 */
#include "base/device.h"
#include "engine/engine.h"
#include "tests/put_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TINY TEST_DATA "/golden/models/deepseek-tiny"

static void names_are_read_whole(void)
{
    static const struct {
        const char *name;
        gm_device is;
    } right[] = {{NULL, {true, true, GM_ANY_GPU}},   {"auto", {true, true, GM_ANY_GPU}},
                 {"cpu", {true, false, GM_ANY_GPU}}, {"cuda", {false, true, GM_ANY_GPU}},
                 {"cuda:0", {false, true, 0}},       {"cuda:17", {false, true, 17}},
                 {"cuda:1023", {false, true, 1023}}};
    static const char *const wrong[] = {
        "",        "cuda:", "cuda:-1",   "cuda:1x", "cuda1", "gpu",
        "cuda: 1", "cpu:0", "cuda:1024", "Cuda",    "autom", "cuda:99999999999999999999"};
    gm_device d;
    gm_error err = {0};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        CHECK_OK(gm_device_parse(&d, right[i].name, &err), err);
        CHECK_INT(d.cpu, right[i].is.cpu);
        CHECK_INT(d.gpu, right[i].is.gpu);
        CHECK_INT(d.index, right[i].is.index);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_FAILS(gm_device_parse(&d, wrong[i], &err), err, GM_EARG, wrong[i]);
        CHECK(!d.cpu && !d.gpu);
    }
}

static void a_loaded_driver_is_seen(void)
{
    CHECK_INT(unsetenv("CUDA_VISIBLE_DEVICES"), 0);
    CHECK(!gm_device_driver_is_loaded("no-root"));
    CHECK(mkdir("root", 0755) == 0 || errno == EEXIST);
    CHECK(mkdir("root/proc", 0755) == 0 || errno == EEXIST);
    CHECK(mkdir("root/proc/driver", 0755) == 0 || errno == EEXIST);
    CHECK(mkdir("root/proc/driver/nvidia", 0755) == 0 || errno == EEXIST);
    put_text("root/proc/driver/nvidia/version", "");
    CHECK(gm_device_driver_is_loaded("root"));
    CHECK_INT(setenv("CUDA_VISIBLE_DEVICES", "", 1), 0); /* hides all GPUs */
    CHECK(!gm_device_driver_is_loaded("root"));
    CHECK_INT(setenv("CUDA_VISIBLE_DEVICES", "-1", 1), 0);
    CHECK(!gm_device_driver_is_loaded("root"));
    CHECK_INT(setenv("CUDA_VISIBLE_DEVICES", "0", 1), 0);
    CHECK(gm_device_driver_is_loaded("root"));
    CHECK_INT(unlink("root/proc/driver/nvidia/version"), 0);
}

/* The sentence depends on the build and the machine; that there is one does not. */
static void a_gpu_that_is_not_here_is_refused(void)
{
    static const char *const devices[] = {"cuda", "cuda:1023"};
    for (size_t i = 0; i < 2; i++) {
        gm_model *model = NULL;
        gm_error err = {0};
        if (gm_model_open(&model, TINY, &(gm_model_options){.device = devices[i]}, &err) == GM_OK) {
            gm_model_close(model);
            TEST_SKIP("this machine has a GPU");
        }
        CHECK_INT(err.code, GM_EABSENT);
        CHECK(err.text[0] != '\0');
        CHECK(model == NULL);
    }
}

static void the_processor_is_found(void)
{
    static const char *const devices[] = {NULL, "auto", "cpu"};
    for (size_t i = 0; i < 3; i++) {
        gm_model *model = NULL;
        gm_error err = {0};
        gm_model_options options = {.device = devices[i], .threads = 1};
        CHECK_OK(gm_model_open(&model, TINY, &options, &err), err);
        CHECK_TEXT(gm_model_get_info(model)->device, "cpu");
        CHECK_TEXT(gm_model_get_info(model)->invariance, "B");
        gm_model_close(model);
    }
}

TESTS(TEST(names_are_read_whole), TEST(a_loaded_driver_is_seen),
      TEST(a_gpu_that_is_not_here_is_refused), TEST(the_processor_is_found))

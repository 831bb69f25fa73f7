/* test_device.c - choosing a device on a machine that has none but its processor. */
#include "engine/engine.h"
#include "tests/check.h"

#define TINY TEST_DATA "/golden/models/deepseek-tiny"

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

TESTS(TEST(a_gpu_that_is_not_here_is_refused), TEST(the_processor_is_found))

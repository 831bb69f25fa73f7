/* device.c - see device.h. */
#include "base/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_INDEX = 1023 };

gm_status gm_device_parse(gm_device *out, const char *name, gm_error *err)
{
    char *end = NULL;
    long n = GM_ANY_GPU;
    *out = (gm_device){.index = GM_ANY_GPU};
    const bool any = name == NULL || strcmp(name, "auto") == 0;
    const bool cpu = any || strcmp(name, "cpu") == 0;
    const bool numbered =
        !cpu && strncmp(name, "cuda:", 5) == 0 && name[5] >= '0' && name[5] <= '9';
    if (numbered) n = strtol(name + 5, &end, 10);
    if ((numbered && (*end != '\0' || n > MAX_INDEX)) ||
        (!numbered && !cpu && strcmp(name, "cuda") != 0))
        return gm_fail(err, GM_EARG, "unknown device '%s', expected auto, cpu, cuda or cuda:N",
                       name);
    *out = (gm_device){.cpu = cpu, .gpu = any || !cpu, .index = (int)n};
    return GM_OK;
}

bool gm_device_driver_is_loaded(const char *root)
{
    char path[4096];
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    /* CUDA ends the list at what names no GPU: "", "-1" */
    if (visible && (visible[0] == '\0' || visible[0] == '-')) return false;
    const int n = snprintf(path, sizeof path, "%s/proc/driver/nvidia/version", root);
    return n < (int)sizeof path && access(path, R_OK) == 0;
}

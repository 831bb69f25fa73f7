/* fuzz_plan.c - any bytes as a plan: no crash, and what is accepted keeps its promises and, written
 * out, is read back the same.
 */
#include "formats/plan.h"
#include "tests/fuzz/safetensors_image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void write_and_read(gm_plan *plan)
{
    static const char path[] = "fuzz.plan.safetensors";
    gm_plan back;
    gm_error err = {0};
    char hex[65], again[65];
    int first, last;
    gm_plan_window(plan, &first, &last);
    if (!(0 <= first && first <= last && last < plan->n_layers)) abort();
    if (gm_plan_write(path, plan, true, &err) != GM_OK || gm_plan_read(&back, path, &err) != GM_OK)
        abort();
    gm_plan_digest(plan, hex);
    gm_plan_digest(&back, again);
    if (strcmp(hex, again) != 0 || strcmp(plan->source, back.source) != 0) abort();
    gm_plan_clear(&back);
    const bool fits = gm_plan_scale(plan, 1e6, &err) == GM_OK;
    if (!fits && err.text[0] == '\0') abort();
    for (int i = 0; fits && i < plan->n_layers * plan->n_experts; i++)
        if (!(plan->bias[i] < INFINITY)) abort();
}

static void parse(const uint8_t *bytes, size_t n)
{
    gm_plan plan;
    gm_error err = {0};

    if (gm_plan_parse(&plan, bytes, n, "input", &err) != GM_OK) {
        if (plan.bias != NULL || plan.source != NULL || err.text[0] == '\0') abort();
        return;
    }
    for (int i = 0; i < plan.n_layers * plan.n_experts; i++) {
        if (!(plan.bias[i] < INFINITY)) abort();
    }
    for (int l = 1; l < plan.n_layers; l++) {
        if (plan.layer_of_moe[l] <= plan.layer_of_moe[l - 1]) abort();
    }
    if (plan.first_layer > plan.last_layer || plan.phases > GM_PLAN_ALL_PHASES) abort();
    const bool is_constant = plan.schedule.kind == GM_SCHEDULE_CONSTANT;
    if (plan.schedule.n < !is_constant || plan.schedule.n > GM_SCHEDULE_MAX) abort();
    if (plan.mode == GM_PLAN_MASK && gm_schedule_is_ramp(plan.schedule)) abort();
    write_and_read(&plan);
    gm_plan_clear(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    uint8_t *mended = image_mended(bytes, n);
    parse(bytes, n);
    if (mended) parse(mended, n);
    gm_free(mended);
    return 0;
}

/* config_text.h - what a config.json says, from its text alone, no files beside it. */
#ifndef GM_CONFIG_TEXT_H
#define GM_CONFIG_TEXT_H

#include "engine/arch.h"
#include "tests/check.h"

/* The architecture of a config of which every key is known; the caller clears it. */
static inline gm_arch read_config_text(const char *text)
{
    gm_json *config = NULL;
    gm_arch a = {0};
    gm_error err = {0};
    CHECK_OK(gm_json_parse(&config, text, strlen(text), "config", &err), err);
    CHECK_OK(gm_arch_from_json(&a, config, "config", NULL, NULL, &err), err);
    gm_json_free(config);
    CHECK_TEXT(a.unknown_keys, "");
    return a;
}

/* Parameters, and those that a token uses, each within `bound`. */
static inline void check_parameters(const gm_arch *a, double all, double active, double bound)
{
    uint64_t n_active = 0;
    CHECK_NEAR((double)gm_arch_parameters(a, &n_active), all, bound);
    CHECK_NEAR((double)n_active, active, bound);
}

#endif

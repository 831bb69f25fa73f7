/* find_subset.c - see find_subset.h. */
#include "formats/find_subset.h"

#include "base/cli_nearest.h"

#include <stdio.h>
#include <string.h>

static gm_status refuse(const char *name, const char *const *subset_name, size_t n,
                        const char *where, gm_error *err)
{
    if (n == 0 || (n == 1 && subset_name[0][0] == '\0')) /* the name of those without one */
        return gm_fail(err, GM_EARG,
                       "subset '%s' does not exist in the %s, whose documents have none; "
                       "'gm-probe collect --subset-field' names the field that says it",
                       name, where);
    gm_nearest nearest = gm_nearest_to(name);
    for (size_t i = 0; i < n; i++) gm_nearest_offer(&nearest, subset_name[i]);
    char advice[GM_ADVICE_BYTES];
    if (nearest.name)
        return gm_fail(err, GM_EARG, "subset '%s' does not exist in the %s%s", name, where,
                       gm_nearest_advice(&nearest, "", advice));
    char names[120] = "";
    size_t shown = 0, used = 0;
    for (; shown < n; shown++) {
        const size_t length = strlen(subset_name[shown]) + 4;
        if (used + length >= sizeof names) break;
        used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'", shown ? ", " : "",
                                 subset_name[shown]);
    }
    return gm_fail(err, GM_EARG, "subset '%s' does not exist in the %s, which has %zu: %s%s", name,
                   where, n, names, shown < n ? ", ..." : "");
}

gm_status gm_find_subset(size_t *at, const char *name, const char *const *subset_name, size_t n,
                         const char *where, gm_error *err)
{
    for (*at = 0; *at < n; ++*at)
        if (strcmp(subset_name[*at], name) == 0) return GM_OK;
    *at = 0;
    return refuse(name, subset_name, n, where, err);
}

/* members.c - see members.h. */
#include "cluster/members.h"

gm_status gm_members_find(gm_members *out, const int32_t *label, size_t n, size_t n_groups,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_members m = {.first = gm_alloc(n_groups + 2, sizeof *m.first),
                    .at = gm_alloc(n, sizeof *m.at)};
    *out = (gm_members){0};
    if (!m.first || !m.at) GM_FAIL(GM_EMEM, "no memory for the members of %zu groups", n_groups);
    size_t *end = m.first + 1; /* end[g] runs from where group g begins to its end */
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0 && (size_t)label[i] < n_groups) end[label[i] + 1]++;
    for (size_t g = 1; g <= n_groups; g++) end[g] += end[g - 1];
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0 && (size_t)label[i] < n_groups) m.at[end[label[i]]++] = (uint32_t)i;
    *out = m;
    m = (gm_members){0};
out:
    gm_members_clear(&m);
    return status;
}

void gm_members_clear(gm_members *members)
{
    gm_free(members->first);
    gm_free(members->at);
    *members = (gm_members){0};
}

/* stages.c - a stopwatch with names. */
#include "cluster/stages.h"

#include "base/progress.h"

#include <string.h>

gm_stages gm_stages_start(void)
{
    const double now = gm_now();
    return (gm_stages){.start_s = now, .last_s = now};
}

void gm_stages_end(gm_stages *stages, const char *name)
{
    const double now = gm_now();
    size_t i = 0;
    while (i < stages->n && strcmp(stages->at[i].name, name) != 0) i++;
    if (i == GM_MAX_STAGES) i--;
    if (i == stages->n) stages->at[stages->n++].name = name;
    stages->at[i].seconds += now - stages->last_s;
    stages->last_s = now;
}

gm_status gm_stages_say(gm_text *out, const gm_stages *stages, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < stages->n; i++)
        GM_TRY(gm_text_printf(out, err, "%s %.2f s, ", stages->at[i].name, stages->at[i].seconds));
    GM_TRY(gm_text_printf(out, err, "%.2f s in all", stages->last_s - stages->start_s));
out:
    return status;
}

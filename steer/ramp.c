/* ramp.c - see ramp.h. */
#include "steer/ramp.h"

#include <string.h>

void gm_ramp_clear(gm_ramp *ramp)
{
    gm_free(ramp->schedule);
    gm_free(ramp->part);
    *ramp = (gm_ramp){0};
}

/* Where the parts of each edit stand; returns how many edits there are with them. */
static size_t place_parts(gm_ramp *r)
{
    size_t next = r->n;
    for (size_t i = 0; i < r->n; i++) {
        r->part[i] = next;
        next += (size_t)gm_schedule_parts(r->schedule[i]) - 1;
    }
    return next;
}

/* The parts 1/N to (N-1)/N of edit i of `edit`; bias (N-1,L,E) is written. */
static void make_parts(const gm_ramp *r, gm_edit *edit, size_t i, float *bias, size_t cells)
{
    const size_t parts = (size_t)gm_schedule_parts(r->schedule[i]);
    for (size_t k = 1; k < parts; k++, bias += cells) {
        gm_edit *part = &edit[r->part[i] + k - 1];
        const double share = (double)k / (double)parts;
        for (size_t j = 0; j < cells; j++) bias[j] = (float)(share * (double)edit[i].bias[j]);
        *part = edit[i];
        part->bias = bias;
    }
}

gm_status gm_ramp_set(gm_ramp *out, gm_session *session, const gm_model_info *info,
                      const gm_edit *edits, const gm_schedule *schedule, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t cells = (size_t)info->n_moe_layers * (size_t)info->n_experts;
    gm_edit *edit = NULL;
    float *bias = NULL; /* (n_all - n,L,E) */
    *out = (gm_ramp){.n = n};
    out->schedule = gm_alloc(n, sizeof *out->schedule);
    out->part = gm_alloc(n, sizeof *out->part);
    if (!out->schedule || !out->part) GM_FAIL(GM_EMEM, "no memory for %zu edits", n);
    if (schedule && n > 0) memcpy(out->schedule, schedule, n * sizeof *schedule);

    const size_t n_all = place_parts(out);
    edit = gm_alloc(n_all, sizeof *edit);
    bias = gm_alloc2(n_all - n, cells, sizeof *bias);
    if (!edit || !bias) GM_FAIL(GM_EMEM, "no memory for %zu edits", n_all);
    for (size_t i = 0; i < n; i++) edit[i] = edits[i];
    for (size_t i = 0; i < n; i++)
        make_parts(out, edit, i, bias + (out->part[i] - n) * cells, cells);
    GM_TRY(gm_session_set_edits(session, edit, n_all, err));
out:
    gm_free(edit);
    gm_free(bias);
    if (status != GM_OK) gm_ramp_clear(out);
    return status;
}

int gm_ramp_at(const gm_ramp *r, int edit, size_t i)
{
    if (edit < 0) return -1;
    const int k = gm_schedule_at(r->schedule[edit], i);
    if (k == 0) return -1;
    if (k == gm_schedule_parts(r->schedule[edit])) return edit;
    return (int)r->part[edit] + k - 1;
}

int gm_ramp_at_row(const gm_ramp *r, int edit, size_t n_prompt, size_t t)
{
    return t < n_prompt ? edit : gm_ramp_at(r, edit, t - n_prompt);
}

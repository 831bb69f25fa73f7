/* checks.c - running and reporting a trace's self-checks: see checks.h. */
#include "probe/checks.h"

#include <string.h>

static bool is_allowed(const gm_trace_check *check, bool allow_bad)
{
    return check->passed || (allow_bad && strcmp(check->name, "bad_rows") == 0);
}

gm_status gm_checks_run(gm_checks *checks, gm_trace *trace, bool allow_bad, gm_error *err)
{
    *checks = (gm_checks){0};
    gm_status status = gm_trace_verify(trace, checks->at, &checks->n, err);
    checks->passed = status == GM_OK;
    for (size_t i = 0; i < checks->n; i++)
        checks->passed = checks->passed && is_allowed(&checks->at[i], allow_bad);
    return status;
}

bool gm_checks_passed(const gm_checks *checks, const char *name)
{
    for (size_t i = 0; i < checks->n; i++)
        if (strcmp(checks->at[i].name, name) == 0) return checks->at[i].passed;
    return true;
}

void gm_checks_put(const gm_checks *checks, gm_json_out *out)
{
    gm_json_open_object(out, "checks");
    for (size_t i = 0; i < checks->n; i++) {
        const gm_trace_check *check = &checks->at[i];
        gm_json_put_string(out, check->name, check->passed ? "ok" : check->detail);
    }
    gm_json_close_object(out);
}

gm_status gm_checks_verdict(const gm_checks *checks, const char *path, gm_error *err)
{
    if (checks->passed) return GM_OK;
    for (size_t i = 0; i < checks->n; i++)
        if (!checks->at[i].passed)
            return gm_fail(err, GM_ECHECK, "'%s' fails check %s: %s", path, checks->at[i].name,
                           checks->at[i].detail);
    return GM_OK;
}

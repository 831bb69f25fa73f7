/* checks.h - the self-checks of a trace as the commands print them. */
#ifndef GM_PROBE_CHECKS_H
#define GM_PROBE_CHECKS_H

#include "base/json.h"
#include "formats/trace.h"

typedef struct gm_checks {
    gm_trace_check at[GM_MAX_CHECKS];
    size_t n;
    bool passed; /* all of them, but bad rows where they are allowed */
} gm_checks;

gm_status gm_checks_run(gm_checks *checks, gm_trace *trace, bool allow_bad, gm_error *err)
    GM_MUST_USE;
/* Did this one pass? One that does not apply to the trace did. */
bool gm_checks_passed(const gm_checks *checks, const char *name);
/* A member "checks": an object of name -> "ok" or what was found. */
void gm_checks_put(const gm_checks *checks, gm_json_out *out);
/* GM_OK, or GM_ECHECK naming the first that failed. */
gm_status gm_checks_verdict(const gm_checks *checks, const char *path, gm_error *err) GM_MUST_USE;

#endif

/* verify.c - gm-probe verify: every self-check of a trace. */
#include "base/cli.h"
#include "probe/checks.h"
#include "probe/probe_commands.h"

#include <stdio.h>

static gm_status verify(const char *path, bool allow_bad, bool json, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_json_out out = {0};
    gm_checks checks;
    GM_TRY(gm_trace_open(&trace, path, err));
    GM_TRY(gm_checks_run(&checks, trace, allow_bad, err));
    if (json) {
        gm_json_open_object(&out, NULL);
        gm_json_put_bool(&out, "passed", checks.passed);
        gm_checks_put(&checks, &out);
        gm_json_close_object(&out);
        GM_TRY(gm_cli_print_json(&out, err));
    } else {
        for (size_t i = 0; i < checks.n; i++)
            printf("%-14s %s\n", checks.at[i].name,
                   checks.at[i].passed ? "ok" : checks.at[i].detail);
    }
    GM_TRY(gm_checks_verdict(&checks, path, err));
out:
    gm_text_clear(&out.text);
    gm_trace_close(trace);
    return status;
}

static const char verify_details[] =
    "Reads the whole trace and checks its digest, ids, gates, counts and texts. Exit code 3\n"
    "if a check fails.\n"
    "  gm-probe verify run.trace.h5\n";

int gm_probe_verify(int argc, char **argv)
{
    gm_error err = {0};
    bool json = false, allow_bad = false;
    const gm_opt opts[] = {{GM_OPT_FLAG, "allow-bad", &allow_bad, 0, 0, NULL,
                            "accept tokens whose router is not finite"},
                           {GM_OPT_FLAG, "json", &json, 0, 0, NULL, "print one JSON object"},
                           {.kind = GM_OPT_END_}};
    gm_status status =
        gm_opt_parse("gm-probe verify TRACE", verify_details, opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one trace, found %d", argc - 1);
    if (status != GM_OK) return gm_cli_end("gm-probe", "verify", status, true, &err);
    status = verify(argv[1], allow_bad, json, &err);
    return gm_cli_end("gm-probe", "verify", status, false, &err);
}

/* merge.c - gm-probe merge: the shards of a run as one trace, or an index of them. */
#include "base/cli.h"
#include "formats/shards.h"
#include "formats/trace.h"
#include "probe/probe_commands.h"

#include <sys/stat.h>

/* One of the shards, under whatever name, is not replaced: an index would read through itself. */
static gm_status check_apart(const char *out, const char *const *in, size_t n, gm_error *err)
{
    struct stat own, shard;
    if (stat(out, &own) != 0) return GM_OK;
    for (size_t i = 0; i < n; i++)
        if (stat(in[i], &shard) == 0 && own.st_dev == shard.st_dev && own.st_ino == shard.st_ino)
            return gm_fail(err, GM_EARG, "'%s' is one of the shards; choose another name", out);
    return GM_OK;
}

/* Merge the named shards, or those of one folder. */
static gm_status merge(const char *out, const char *const *in, size_t n, bool index, bool force,
                       gm_error *err)
{
    gm_status status = GM_OK;
    struct stat at;
    gm_shard_list list = {0};
    gm_trace *whole = NULL;
    if (n == 1 && stat(in[0], &at) == 0 && S_ISDIR(at.st_mode)) {
        GM_TRY(gm_trace_open(&whole, in[0], err)); /* refuses holes */
        gm_trace_close(whole);
        GM_TRY(gm_shard_list_read(&list, in[0], err));
        in = (const char *const *)list.path;
        n = list.n;
    }
    GM_TRY(check_apart(out, in, n, err));
    GM_TRY((index ? gm_trace_index : gm_trace_merge)(out, in, n, force, err));
out:
    gm_shard_list_clear(&list);
    return status;
}

static const char merge_details[] =
    "Joins what the tasks of 'gm-probe collect --shard i/N' wrote. The result is the trace\n"
    "that a single task would have written. With --index the shards stay where they are, and\n"
    "the new file (HDF5 virtual datasets) reads through them.\n"
    "  gm-probe merge run.trace.h5.parts -o run.trace.h5\n"
    "It does not join two runs, such as those of two corpora. One run takes both: gm-probe\n"
    "collect --corpus A --corpus B. Runs of one model that exist are joined as lines (choices,\n"
    "gates, masses, margins and texts; losses, norms and logits are lost):\n"
    "  gm-probe export a.trace.h5 --gates --texts -o a.jsonl    # and b likewise\n"
    "  gm-probe import a.jsonl b.jsonl --model DIR -o both.trace.h5\n";

int gm_probe_merge(int argc, char **argv)
{
    gm_error err = {0};
    const char *out = NULL;
    bool index = false, force = false;
    const gm_opt opts[] = {{GM_OPT_TEXT, "o", &out, 0, 0, "FILE", "the trace to write"},
                           {GM_OPT_FLAG, "index", &index, 0, 0, NULL,
                            "keep the shards, and write an index that reads through them"},
                           {GM_OPT_FLAG, "force", &force, 0, 0, NULL, "replace an existing file"},
                           {.kind = GM_OPT_END_}};
    gm_status status = gm_opt_parse("gm-probe merge OUT.parts | SHARD... -o FILE", merge_details,
                                    opts, &argc, argv, &err);
    if (status == GM_OK && argc < 2)
        status = gm_fail(&err, GM_EARG, "expected a folder of shards, or shards");
    if (status == GM_OK && out == NULL)
        status = gm_fail(&err, GM_EARG, "-o FILE is missing: where to write the trace");
    if (status != GM_OK) return gm_cli_end("gm-probe", "merge", status, true, &err);
    gm_catch_signals();
    status = merge(out, (const char *const *)argv + 1, (size_t)argc - 1, index, force, &err);
    return gm_cli_end("gm-probe", "merge", status, false, &err);
}

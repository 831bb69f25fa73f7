/* run_output.c - the output of a run, at its beginning and at its end: see run.h. */
#include "probe/checks.h"
#include "probe/run.h"
#include "probe/same_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the beginning ---- */

/* Are the shards that lie there, if any, of this run? */
static gm_status are_own_shards(const gm_run *r, bool *own, gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    gm_trace *first = NULL;
    *own = true;
    GM_TRY(gm_shard_list_read(&list, r->folder.at, err));
    if (list.n == 0) goto out;
    GM_TRY(gm_trace_open(&first, list.path[0], err));
    *own = strcmp(gm_trace_get_info(first)->fingerprint, r->fingerprint) == 0;
out:
    gm_trace_close(first);
    gm_shard_list_clear(&list);
    return status;
}

/* The shards of a run that goes on must be of this run: the first is looked at before anything is
 * said, all others when their turn comes. */
static gm_status continue_after(const gm_run *r, const gm_shard_list *list, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *first = NULL;
    if (list->n > 0) {
        GM_TRY(gm_trace_open(&first, list->path[0], err));
        GM_TRY(gm_run_same(r, gm_trace_get_info(first), list->path[0],
                           r->o.shard_n > 1 ? "remove its folder to start over"
                                            : "give --force to start over",
                           err));
    }
    if ((list->n > 0 || r->n_lost > 0) && !r->o.quiet)
        fprintf(stderr,
                "continuing after %zu finished block%s; %" PRIu64
                " token%s already computed must be computed again\n",
                list->n, gm_plural(list->n), r->n_lost, gm_plural(r->n_lost));
out:
    gm_trace_close(first);
    return status;
}

/* The merged file cannot be read, or has another content than it states: its shards, if they are
 * still there, are all that is left of the run. */
static gm_status say_kept(const gm_run *r, gm_status status, const gm_error *why, gm_error *err)
{
    struct stat at;
    if (status != GM_OK && status != GM_EMEM && stat(r->folder.at, &at) == 0)
        return gm_fail(err, status,
                       "%s; its blocks are kept in '%s': remove the file and repeat the command "
                       "with --resume",
                       why->text, r->folder.at);
    if (status != GM_OK && err) *err = *why;
    return status;
}

/* The output exists: *done when it is this run, finished. A kill after the merging has
 * left its shards, which then have to go; those of an index stay. */
static gm_status look_at_finished(gm_run *r, bool *done, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_error why = {0};
    struct stat at;
    if (!r->o.resume)
        GM_FAIL(GM_EEXIST, "'%s' exists; choose another name or give --force", r->o.out);
    GM_TRY(say_kept(r, gm_trace_open(&trace, r->o.out, &why), &why, err));
    GM_TRY(gm_run_same(r, gm_trace_get_info(trace), r->o.out, "give --force to replace it", err));
    if (r->o.shard_n == 1 && !gm_trace_is_index(trace) && stat(r->folder.at, &at) == 0)
        GM_TRY(are_own_shards(r, &r->merged, err));
    *done = !r->merged;
    if (!r->merged) goto out;
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    for (size_t i = 0; i < samples->n; i++) r->n_kept_tokens += samples->n_tokens[i];
    GM_TRY(gm_shard_lock_take(&r->lock, r->folder.at, 0, 1, err));
out:
    gm_trace_close(trace);
    return status;
}

/* What stands at the output already. */
gm_status gm_run_look_at_output(gm_run *r, bool *done, gm_error *err)
{
    gm_status status = GM_OK;
    struct stat at;
    gm_shard_list list = {0};
    *done = false;
    if (stat(r->o.out, &at) == 0 && !r->o.force) return look_at_finished(r, done, err);
    GM_TRY(gm_shard_lock_take(&r->lock, r->folder.at, r->o.shard_i, r->o.shard_n, err));
    GM_TRY(gm_shard_list_read(&list, r->folder.at, err));
    r->n_lost = r->lock.lost;
    if (r->o.resume) GM_TRY(continue_after(r, &list, err));
    if (list.n == 0 || r->o.resume) goto out;
    if (!r->o.force && r->o.shard_n == 1)
        GM_FAIL(
            GM_EEXIST,
            "'%s' holds %zu block%s of a run; continue with --resume or start over with --force",
            r->folder.at, list.n, gm_plural(list.n));
    if (r->o.shard_n > 1) {
        r->o.resume = true; /* other tasks write there too */
        goto out;
    }
    r->n_lost = 0;
    GM_TRY(gm_shards_clear(r->folder.at, err));
out:
    gm_shard_list_clear(&list);
    return status;
}

/* ---- the end ---- */

static gm_status put_summary(gm_run *r, gm_trace *trace, const gm_checks *checks, gm_json_out *out,
                             gm_error *err)
{
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    const gm_trace_skips *skips = gm_trace_get_skips(trace);
    uint64_t bad = 0, counted = 0;
    struct stat at = {0};
    stat(r->o.out, &at);
    for (size_t i = 0; i < samples->n; i++) {
        bad += samples->bad[i];
        counted += samples->n_tokens[i];
    }
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "file", r->o.out);
    gm_json_put_u64(out, "bytes", (uint64_t)at.st_size);
    gm_json_put_u64(out, "documents", samples->n);
    gm_json_put_u64(out, "tokens", counted);
    gm_json_put_u64(out, "bad_tokens", bad);
    gm_json_put_u64(out, "tokens_computed", r->n_tokens);
    gm_json_put_u64(out, "tokens_found", r->n_kept_tokens);
    gm_json_put_u64(out, "tokens_recomputed", r->n_lost);
    gm_json_put_f64(out, "seconds", r->seconds);
    gm_json_put_f64(out, "tokens_per_second",
                    r->seconds > 0 ? (double)r->n_tokens / r->seconds : 0);
    gm_json_put_f64(out, "seconds_waited", gm_model_waited(r->model));
    gm_json_open_object(out, "skipped");
    for (size_t i = 0; i < skips->n; i++) gm_json_put_u64(out, skips->name[i], skips->number[i]);
    gm_json_close_object(out);
    gm_json_put_bool(out, "passed", checks->passed);
    gm_checks_put(checks, out);
    gm_json_close_object(out);
    return gm_json_out_done(out, err);
}

static void print_summary(const gm_run *r, gm_trace *trace)
{
    char bytes[24], time[24];
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    const gm_trace_skips *skips = gm_trace_get_skips(trace);
    uint64_t counted = 0;
    struct stat at = {0};
    stat(r->o.out, &at);
    for (size_t i = 0; i < samples->n; i++) counted += samples->n_tokens[i];
    printf("%s: %s, %zu document%s, %" PRIu64 " token%s\n", r->o.out,
           gm_show_bytes(bytes, (double)at.st_size), samples->n, gm_plural(samples->n), counted,
           gm_plural(counted));
    printf("computed %" PRIu64 " token%s in %s, %.0f tokens/s\n", r->n_tokens,
           gm_plural(r->n_tokens), gm_show_seconds(time, r->seconds),
           r->seconds > 0 ? (double)r->n_tokens / r->seconds : 0);
    if (r->o.stream)
        printf("of that, %s was spent waiting for layers\n",
               gm_show_seconds(time, gm_model_waited(r->model)));
    for (size_t i = 0; i < skips->n; i++)
        if (skips->number[i] > 0)
            printf("left out: %" PRIu64 " %s%s\n", skips->number[i], skips->name[i],
                   gm_probe_skip_option(skips->name[i]));
}

static gm_status merge(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    gm_trace *trace = NULL;
    GM_TRY(gm_trace_open(&trace, r->folder.at, err)); /* refuses holes */
    GM_TRY(gm_shard_list_read(&list, r->folder.at, err));
    GM_TRY(gm_trace_merge(r->o.out, (const char *const *)list.path, list.n, r->o.force, err));
out:
    gm_trace_close(trace);
    gm_shard_list_clear(&list);
    return status;
}

/* Open the merged file and run its checks. */
static gm_status check_merged(const gm_run *r, gm_trace **trace, gm_checks *checks, gm_error *err)
{
    gm_error why = {0};
    gm_status status = gm_trace_open(trace, r->o.out, &why);
    if (status == GM_OK) status = gm_checks_run(checks, *trace, r->o.allow_bad, &why);
    if (status == GM_OK && !gm_checks_passed(checks, "digest"))
        status = gm_fail(&why, GM_EFORMAT, "'%s' differs from what was merged", r->o.out);
    return say_kept(r, status, &why, err);
}

/* Check the merged file, drop the shards, say what there is. */
gm_status gm_run_conclude(gm_run *r, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_json_out out = {0};
    gm_checks checks;
    if (!r->merged) GM_TRY(merge(r, err));
    GM_TRY(check_merged(r, &trace, &checks, err));
    GM_TRY(gm_shards_remove(r->folder.at, err));
    gm_shard_lock_release(&r->lock); /* the folder may be somebody else's from here on */
    if (r->o.json) {
        GM_TRY(put_summary(r, trace, &checks, &out, err));
        printf("%s\n", out.text.at);
    } else {
        print_summary(r, trace);
    }
    GM_TRY(gm_checks_verdict(&checks, r->o.out, err));
out:
    gm_text_clear(&out.text);
    gm_trace_close(trace);
    return status;
}

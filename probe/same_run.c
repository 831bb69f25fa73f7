/* same_run.c - see same_run.h. */
#include "probe/same_run.h"

#include "base/device.h"
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the device ---- */

gm_status gm_run_device(const gm_run *run, const char **device, gm_text *by, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_collect_options *o = &run->o;
    gm_device asked;
    gm_shard_list list = {0};
    gm_trace *trace = NULL;
    struct stat at;
    *device = o->device;
    GM_TRY(gm_device_parse(&asked, o->device, err));
    if (asked.cpu && asked.gpu && o->dry_run && o->cache == GM_CACHE_WRITE)
        *device = "cpu"; /* as the run itself, of which a dry one does not write the cache */
    const bool goes_on = (o->resume || o->shard_n > 1) && !o->force && o->out;
    if (!asked.cpu || !asked.gpu || !goes_on) goto out;
    const char *path = stat(o->out, &at) == 0 ? o->out : NULL;
    if (path == NULL && gm_shard_list_read(&list, run->folder.at, NULL) == GM_OK && list.n > 0)
        path = list.path[0];
    if (path == NULL || gm_trace_open(&trace, path, NULL) != GM_OK) goto out;
    *device = strncmp(gm_trace_get_info(trace)->device, "cuda", 4) == 0 ? "cuda" : "cpu";
    GM_TRY(gm_text_append(by, path, strlen(path), err));
out:
    gm_trace_close(trace);
    gm_shard_list_clear(&list);
    return status;
}

/* ---- what differs ---- */

/* The option that a member of the trace's options is of: "--doc-tokens". */
static void name_option(char name[48], const char *key)
{
    const bool of_corpus = strncmp(key, "corpus", 6) == 0;
    (void)snprintf(name, 48, "--%s", of_corpus ? "corpus" : key);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
}

/* The first option of `mine` that is not so in `theirs`, or the other way round. */
static bool find_option(char name[48], const gm_json *mine, const gm_json *theirs)
{
    const gm_json *const both[][2] = {{mine, theirs}, {theirs, mine}};
    for (size_t i = 0; i < 2; i++)
        for (const gm_json *m = gm_json_first(both[i][0]); m; m = gm_json_next(m))
            if (!gm_json_same(m, gm_json_find(both[i][1], gm_json_key(m)))) {
                name_option(name, gm_json_key(m));
                return true;
            }
    return false;
}

/* A device as far as it decides about bits: any processor, or the model of a GPU. */
static const char *device_of(const gm_trace_info *info)
{
    return strcmp(info->device, "cpu") == 0 ? "the CPU" : info->kernels;
}

gm_status gm_run_same(const gm_run *run, const gm_trace_info *has, const char *path,
                      const char *remedy, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *own = &run->info;
    gm_json *mine = NULL, *theirs = NULL;
    char name[48];
    if (strcmp(has->fingerprint, run->fingerprint) == 0) return GM_OK;
    if (strcmp(has->model_digest, own->model_digest) != 0)
        GM_FAIL(GM_EEXIST, "'%s' is from a run of another model; %s", path, remedy);
    if (has->config_digest[0] && strcmp(has->config_digest, own->config_digest) != 0)
        GM_FAIL(GM_EEXIST, "'%s' is from a run with another config.json; %s", path, remedy);
    if (strcmp(has->tokenizer_digest, own->tokenizer_digest) != 0)
        GM_FAIL(GM_EEXIST, "'%s' is from a run with another tokenizer; %s", path, remedy);
    if (strcmp(has->numerics, own->numerics) != 0)
        GM_FAIL(GM_EEXIST, "'%s' was computed with --numerics %s, but this run uses %s; %s", path,
                has->numerics, own->numerics, remedy);
    if (strcmp(device_of(has), device_of(own)) != 0)
        GM_FAIL(GM_EEXIST, "'%s' was computed on %s, but this run uses %s; %s", path,
                device_of(has), device_of(own), remedy);
    GM_TRY(gm_json_parse(&mine, run->options.at, run->options.n, "the options", err));
    GM_TRY(gm_json_parse(&theirs, has->options, strlen(has->options), path, err));
    if (!find_option(name, mine, theirs))
        GM_FAIL(GM_EEXIST,
                "'%s' is from a run with another config.json, or of an older program; %s", path,
                remedy);
    GM_FAIL(GM_EEXIST, "'%s' is from a run with another %s; %s", path, name, remedy);
out:
    gm_json_free(mine);
    gm_json_free(theirs);
    return status;
}

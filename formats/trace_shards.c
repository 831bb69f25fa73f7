/* trace_shards.c - the files that a trace is made of: see trace_shards.h. */
#include "formats/trace_shards.h"

#include "formats/shards.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool same_run(const gm_trace_file *a, const gm_trace_file *b)
{
    return strcmp(a->info.fingerprint, b->info.fingerprint) == 0 && a->sizes.L == b->sizes.L &&
           a->sizes.E == b->sizes.E && a->sizes.K == b->sizes.K && a->info.level == b->info.level &&
           a->info.has_nll == b->info.has_nll && a->info.has_norms == b->info.has_norms &&
           a->info.no_gates == b->info.no_gates && a->info.no_margins == b->info.no_margins &&
           a->info.has_text == b->info.has_text && a->info.has_spelling == b->info.has_spelling &&
           a->info.has_language == b->info.has_language;
}

gm_status gm_trace_open_shard(gm_trace *trace, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_shard *p = &trace->shard[i];
    if (trace->n_open == i) return GM_OK;
    gm_trace_file_close(&trace->open);
    trace->n_open = trace->n_shards;
    GM_TRY(gm_trace_file_open(&trace->open, p->path, err));
    const gm_trace_file *f = &trace->open;
    if (f->n_sources > 0) GM_FAIL(GM_EFORMAT, "'%s' is an index, expected a shard", p->path);
    if (!same_run(f, &trace->head))
        GM_FAIL(GM_EFORMAT,
                "shard '%s' is from a different run than '%s'; 'gm-probe merge --help' says how to "
                "join runs",
                p->path, trace->head.path);
    if (p->digest && (strcmp(f->digest, p->digest) != 0 || f->sizes.N != p->sizes.N ||
                      f->sizes.T != p->sizes.T || f->sizes.S != p->sizes.S))
        GM_FAIL(GM_EFORMAT, "shard '%s' is not the one that index '%s' was made from", p->path,
                trace->head.path);
    trace->n_open = i;
out:
    if (status != GM_OK) gm_trace_file_close(&trace->open);
    return status;
}

static gm_status add_parts(gm_trace *trace, size_t n, gm_error *err)
{
    trace->shard = gm_arena_alloc(&trace->arena, n, sizeof *trace->shard);
    if (trace->shard == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu shards", n);
    trace->n_shards = trace->n_open = n;
    return GM_OK;
}

/* An index: its shards' paths are relative to its own folder. */
static gm_status parts_of_index(gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    const gm_trace_file *head = &trace->head;
    const char *slash = strrchr(head->path, '/');
    const size_t folder = slash ? (size_t)(slash - head->path) + 1 : 0;
    GM_TRY(add_parts(trace, head->n_sources, err));
    for (size_t i = 0; i < trace->n_shards; i++) {
        const gm_trace_source *source = &head->source[i];
        path.n = 0;
        if (source->file[0] != '/') GM_TRY(gm_text_append(&path, head->path, folder, err));
        GM_TRY(gm_text_add(&path, source->file, err));
        trace->shard[i] = (gm_trace_shard){.path = gm_arena_text(&trace->arena, path.at, path.n),
                                           .digest = source->digest,
                                           .sizes = source->sizes};
        if (trace->shard[i].path == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", head->path);
    }
out:
    gm_text_clear(&path);
    return status;
}

static gm_status parts_of_list(gm_trace *trace, const char *const *path, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(add_parts(trace, n, err));
    for (size_t i = 0; i < n; i++) {
        trace->shard[i].path = gm_arena_text(&trace->arena, path[i], strlen(path[i]));
        if (trace->shard[i].path == NULL) GM_FAIL(GM_EMEM, "no memory for %zu shards", n);
    }
    GM_TRY(gm_trace_file_open(&trace->head, path[0], err));
out:
    return status;
}

static int by_number(const void *a, const void *b)
{
    const gm_trace_shard *p = a, *q = b;
    return (p->number > q->number) - (p->number < q->number);
}

/* Shards named one by one, perhaps of several machines, into the order of their blocks. */
static gm_status order_parts(gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < trace->n_shards; i++) {
        GM_TRY(gm_trace_open_shard(trace, i, err));
        trace->shard[i].number = trace->open.number;
    }
    qsort(trace->shard, trace->n_shards, sizeof *trace->shard, by_number);
    gm_trace_file_close(&trace->open);
    trace->n_open = trace->n_shards;
    gm_trace_file_close(&trace->head);
    GM_TRY(gm_trace_file_open(&trace->head, trace->shard[0].path, err));
out:
    return status;
}

static gm_status parts_of_folder(gm_trace *trace, const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    GM_TRY(gm_shard_list_read(&list, folder, err));
    if (list.n == 0) GM_FAIL(GM_EFORMAT, "folder '%s' holds no shards of a trace", folder);
    for (size_t i = 0; i < list.n; i++)
        if (list.number[i] != i)
            GM_FAIL(GM_EFORMAT, "'%s' lacks block %zu; finish the run with --resume", folder, i);
    GM_TRY(parts_of_list(trace, (const char *const *)list.path, list.n, err));
out:
    gm_shard_list_clear(&list);
    return status;
}

/* A shard of an older program has no digest of config.json; the whole has that of the first shard
 * with one. Two that differ do not meet: the fingerprint is of the digest too. */
static gm_status keep_config(gm_trace *trace, const gm_trace_info *shard, gm_error *err)
{
    const char **whole = &trace->head.info.config_digest;
    if (**whole != '\0' || shard->config_digest[0] == '\0') return GM_OK;
    const char *copy =
        gm_arena_text(&trace->arena, shard->config_digest, strlen(shard->config_digest));
    if (copy == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", trace->open.path);
    *whole = copy;
    return GM_OK;
}

/* The sizes of shard i of a folder or a list, which are found by opening it. Together they must
 * be whole: block 0 and on, to one that ends the corpus. */
static gm_status measure_shard(gm_trace *trace, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_file *f = &trace->open;
    GM_TRY(gm_trace_open_shard(trace, i, err));
    trace->shard[i].sizes = f->sizes;
    if (f->number < (int64_t)i)
        GM_FAIL(GM_EFORMAT, "'%s' and '%s' both hold block %" PRId64, trace->shard[i - 1].path,
                f->path, f->number);
    if (f->number > (int64_t)i)
        GM_FAIL(GM_EFORMAT, "block %zu is missing: the next one found, '%s', is block %" PRId64, i,
                f->path, f->number);
    if ((f->more != 0) != (i + 1 < trace->n_shards))
        GM_FAIL(GM_EFORMAT, "'%s' %s; finish the run with --resume", f->path,
                f->more ? "is not the corpus's last block"
                        : "ends the corpus, but more shards follow");
    trace->n_read += (uint64_t)f->n_read;
    GM_TRY(keep_config(trace, &f->info, err));
out:
    return status;
}

/* Sum up where each shard begins. Index and single file know their sizes; shards of a
 * folder are opened for it. */
static gm_status measure(gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_sizes *sum = &trace->sizes;
    const gm_trace_sizes *head = &trace->head.sizes;
    *sum = (gm_trace_sizes){.L = head->L, .E = head->E, .K = head->K};
    for (size_t i = 0; i < trace->n_shards; i++) {
        gm_trace_shard *p = &trace->shard[i];
        if (trace->is_shards) GM_TRY(measure_shard(trace, i, err));
        p->document = sum->N;
        p->token = sum->T;
        p->logit = sum->S;
        sum->N += p->sizes.N;
        sum->T += p->sizes.T;
        sum->S += p->sizes.S;
        sum->B += p->sizes.B;
        if (sum->N < p->sizes.N || sum->T < p->sizes.T || sum->S < p->sizes.S)
            GM_FAIL(GM_EFORMAT, "'%s' declares impossible sizes", trace->head.path);
    }
    if (!trace->is_shards && (sum->N != head->N || sum->T != head->T || sum->S != head->S))
        GM_FAIL(GM_EFORMAT,
                "the shards of '%s' hold %" PRIu64 " documents and %" PRIu64
                " tokens, expected %" PRIu64 " and %" PRIu64,
                trace->head.path, sum->N, sum->T, head->N, head->T);
out:
    return status;
}

gm_status gm_trace_find_shards(gm_trace *trace, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    if (trace->is_shards) {
        GM_TRY(parts_of_folder(trace, path, err));
    } else if (trace->head.n_sources > 0) {
        GM_TRY(parts_of_index(trace, err));
    } else {
        GM_TRY(add_parts(trace, 1, err));
        trace->shard[0] = (gm_trace_shard){.path = trace->head.path, .sizes = trace->head.sizes};
    }
    GM_TRY(measure(trace, err));
out:
    return status;
}

gm_status gm_trace_open_list(gm_trace **out, const char *const *shard, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    *out = NULL;
    if (n == 0) return gm_fail(err, GM_EARG, "no shards to open");
    gm_trace *trace = gm_alloc(1, sizeof *trace);
    if (trace == NULL) return gm_fail(err, GM_EMEM, "no memory to open %zu shards", n);
    trace->head = trace->open = GM_TRACE_FILE_CLOSED;
    trace->is_shards = true;
    GM_TRY(parts_of_list(trace, shard, n, err));
    GM_TRY(order_parts(trace, err));
    GM_TRY(measure(trace, err));
    GM_TRY(gm_trace_read_samples(trace, err));
    *out = trace;
    trace = NULL;
out:
    gm_trace_close(trace);
    return status;
}

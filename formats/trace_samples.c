/* trace_samples.c - the columns of /samples and /corpus, read when a trace is opened and
 * joined over its shards: see trace_shards.h. */
#include "formats/trace_shards.h"

#include <inttypes.h>
#include <string.h>

/* Memory for the columns of /samples, filled shard by shard. */
typedef struct samples {
    uint64_t *offset;
    uint32_t *n_tokens, *bad;
    uint8_t *truncated, *sha;
    uint16_t *subset;
    const char **id, **language;
} samples;

static gm_status make_samples(gm_trace *trace, samples *s, gm_error *err)
{
    size_t n = (size_t)trace->sizes.N;
    gm_arena *arena = &trace->arena;
    s->offset = gm_arena_alloc(arena, n + 1, sizeof *s->offset);
    s->n_tokens = gm_arena_alloc(arena, n, sizeof *s->n_tokens);
    s->bad = gm_arena_alloc(arena, n, sizeof *s->bad);
    s->truncated = gm_arena_alloc(arena, n, 1);
    s->sha = gm_arena_alloc(arena, n, 32);
    s->subset = gm_arena_alloc(arena, n, sizeof *s->subset);
    s->id = gm_arena_alloc(arena, n, sizeof *s->id);
    if (trace->head.info.has_language) s->language = gm_arena_alloc(arena, n, sizeof *s->language);
    const bool all = s->language || !trace->head.info.has_language;
    if (!all || !s->offset || !s->n_tokens || !s->bad || !s->truncated || !s->sha || !s->subset ||
        !s->id)
        return gm_fail(err, GM_EMEM, "no memory for the %zu documents of '%s'", n,
                       trace->head.path);
    return GM_OK;
}

static gm_status read_shas(const gm_trace_file *f, uint8_t *sha, gm_error *err)
{
    gm_status status = GM_OK;
    char *hex = gm_alloc((size_t)f->sizes.N, GM_H5_TEXT_BYTES);
    if (hex == NULL) GM_FAIL(GM_EMEM, "no memory for '/samples/sha'");
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_SHA], 0, (size_t)f->sizes.N, hex, err));
    for (uint64_t i = 0; i < f->sizes.N; i++) {
        if (gm_sha256_from_hex(sha + 32 * i, hex + i * GM_H5_TEXT_BYTES)) continue;
        status = gm_h5_fail(err, GM_EFORMAT, f->id,
                            "'/samples/sha' %" PRIu64 " is not 64 hex digits", i);
        goto out;
    }
out:
    gm_free(hex);
    return status;
}

/* Offsets of one file, from 0 to its T, moved to follow those already there. */
static gm_status read_offsets(const gm_trace_file *f, uint64_t *out, uint64_t base, gm_error *err)
{
    gm_status status = gm_h5_set_read(&f->set[GM_COL_OFFSET], 0, (size_t)f->sizes.N + 1, out, err);
    if (status != GM_OK) return status;
    bool fine = out[0] == 0 && out[f->sizes.N] == f->sizes.T;
    for (uint64_t i = 0; i < f->sizes.N; i++) fine = fine && out[i] <= out[i + 1];
    if (!fine)
        return gm_h5_fail(err, GM_EFORMAT, f->id,
                          "'/samples/offset' does not ascend from 0 to %" PRIu64 " tokens",
                          f->sizes.T);
    for (uint64_t i = 0; i <= f->sizes.N; i++) out[i] += base;
    return GM_OK;
}

/* The file's subset names joined with those seen, and its codes translated. */
static gm_status read_subsets(const gm_trace_file *f, gm_names *names, uint16_t *code,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_arena scratch = {0};
    const char *const *name = NULL;
    gm_h5_layout layout = gm_trace_layout(GM_COL_SUBSET_NAME, &f->sizes);
    size_t *to = gm_alloc((size_t)f->sizes.U, sizeof *to);
    if (to == NULL) GM_FAIL(GM_EMEM, "no memory for the subsets of '%s'", f->path);
    GM_TRY(gm_h5_read_texts(f->id, &layout, &scratch, &name, NULL, err));
    for (uint64_t i = 0; i < f->sizes.U; i++)
        GM_TRY(gm_names_add(names, name[i], GM_TRACE_MAX_SUBSETS, &to[i], err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_SUBSET], 0, (size_t)f->sizes.N, code, err));
    for (uint64_t i = 0; i < f->sizes.N; i++) {
        if (code[i] >= f->sizes.U) {
            status = gm_h5_fail(err, GM_EFORMAT, f->id,
                                "document %" PRIu64 " is in subset %u, but there are only %" PRIu64,
                                i, code[i], f->sizes.U);
            goto out;
        }
        code[i] = (uint16_t)to[code[i]];
    }
out:
    gm_free(to);
    gm_arena_clear(&scratch);
    return status;
}

/* Texts of 64 bytes to out (N of the file). */
static gm_status read_labels(gm_trace *trace, const gm_trace_file *f, gm_trace_column column,
                             const char **out, gm_error *err)
{
    const char *const *label = NULL;
    gm_h5_layout layout = gm_trace_layout(column, &f->sizes);
    gm_status status = gm_h5_read_texts(f->id, &layout, &trace->arena, &label, NULL, err);
    if (status == GM_OK && f->sizes.N > 0) memcpy(out, label, (size_t)f->sizes.N * sizeof *label);
    return status;
}

static gm_status read_samples_of(gm_trace *trace, const gm_trace_file *f, uint64_t document,
                                 uint64_t token, samples *s, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = (size_t)f->sizes.N;
    GM_TRY(read_offsets(f, s->offset + document, token, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_N_TOKENS], 0, n, s->n_tokens + document, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_BAD], 0, n, s->bad + document, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_TRUNCATED], 0, n, s->truncated + document, err));
    GM_TRY(read_shas(f, s->sha + 32 * document, err));
    GM_TRY(read_subsets(f, &trace->subsets, s->subset + document, err));
    GM_TRY(read_labels(trace, f, GM_COL_ID, s->id + document, err));
    if (s->language) GM_TRY(read_labels(trace, f, GM_COL_LANGUAGE, s->language + document, err));
    for (size_t i = 0; i < n; i++) {
        if (s->bad[document + i] <= s->n_tokens[document + i]) continue;
        status =
            gm_h5_fail(err, GM_EFORMAT, f->id, "document %zu has more bad tokens than tokens", i);
        goto out;
    }
out:
    return status;
}

/* Reasons and numbers; the shards of a run all have the same list of reasons. */
static gm_status read_skips(gm_trace *trace, const gm_trace_file *f, uint64_t *sum, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = (size_t)trace->head.sizes.R;
    uint64_t *number = gm_alloc(n, sizeof *number);
    if (number == NULL) GM_FAIL(GM_EMEM, "no memory for '/corpus/skipped'");
    if (f->sizes.R != n)
        GM_FAIL(GM_EFORMAT, "'%s' has %" PRIu64 " reasons for skipping, expected %zu", f->path,
                f->sizes.R, n);
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_SKIP_NUMBER], 0, n, number, err));
    for (size_t i = 0; i < n; i++) sum[i] += number[i];
out:
    gm_free(number);
    return status;
}

gm_status gm_trace_read_samples(gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    samples s = {0};
    const gm_trace_file *head = &trace->head;
    gm_h5_layout layout = gm_trace_layout(GM_COL_SKIP_NAME, &head->sizes);
    uint64_t *skipped = gm_arena_alloc(&trace->arena, (size_t)head->sizes.R, sizeof *skipped);
    if (skipped == NULL) GM_FAIL(GM_EMEM, "no memory for '/corpus/skipped'");
    GM_TRY(gm_h5_read_texts(head->id, &layout, &trace->arena, &trace->skips.name, NULL, err));
    GM_TRY(make_samples(trace, &s, err));
    for (size_t i = 0; i < (trace->is_shards ? trace->n_shards : 1); i++) {
        if (trace->is_shards) GM_TRY(gm_trace_open_shard(trace, i, err));
        const gm_trace_file *f = trace->is_shards ? &trace->open : head;
        uint64_t document = trace->is_shards ? trace->shard[i].document : 0;
        uint64_t token = trace->is_shards ? trace->shard[i].token : 0;
        GM_TRY(read_samples_of(trace, f, document, token, &s, err));
        GM_TRY(read_skips(trace, f, skipped, err));
    }
    trace->skips.n = (size_t)head->sizes.R;
    trace->skips.number = skipped;
    trace->samples = (gm_trace_samples){.n = (size_t)trace->sizes.N,
                                        .offset = s.offset,
                                        .n_tokens = s.n_tokens,
                                        .bad = s.bad,
                                        .truncated = s.truncated,
                                        .subset = s.subset,
                                        .n_subsets = trace->subsets.n,
                                        .subset_name = trace->subsets.at,
                                        .id = s.id,
                                        .sha = s.sha,
                                        .language = s.language};
out:
    return status;
}

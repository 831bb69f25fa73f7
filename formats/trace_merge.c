/* trace_merge.c - shards into one file that can be moved, or under one index.
 *
 * Both rewrite what holds local numbers: offsets, documents of tokens, subsets, tokens of
 * logits. Merging copies everything else as it is stored; an index maps it.
 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "base/cli.h"
#include "formats/trace_shards.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_BYTES = 8 << 20 };

/* ---- what is rewritten ---- */

static gm_status write_samples(gm_trace_writer *w, const gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_column *column = w->column;
    const gm_trace_samples *s = &trace->samples;
    size_t n = s->n;
    GM_TRY(gm_h5_column_append(&column[GM_COL_OFFSET], s->offset, n + 1, err));
    GM_TRY(gm_trace_append_texts(&column[GM_COL_ID], s->id, n, err));
    for (size_t i = 0; i < n; i++) {
        char sha[65];
        gm_sha256_hex(s->sha + 32 * i, sha);
        GM_TRY(gm_h5_column_append(&column[GM_COL_SHA], sha, 1, err));
    }
    GM_TRY(gm_h5_column_append(&column[GM_COL_SUBSET], s->subset, n, err));
    GM_TRY(gm_trace_append_texts(&column[GM_COL_SUBSET_NAME], s->subset_name, s->n_subsets, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_N_TOKENS], s->n_tokens, n, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_BAD], s->bad, n, err));
    if (s->language) GM_TRY(gm_trace_append_texts(&column[GM_COL_LANGUAGE], s->language, n, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_TRUNCATED], s->truncated, n, err));
    const gm_trace_skips *skips = &trace->skips;
    GM_TRY(gm_trace_append_texts(&column[GM_COL_SKIP_NAME], skips->name, skips->n, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_SKIP_NUMBER], skips->number, skips->n, err));
out:
    return status;
}

static gm_status write_token_documents(gm_trace_writer *w, const gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *s = &trace->samples;
    if (w->of.info->level < GM_RECORD_CHOICES) return GM_OK;
    for (uint32_t i = 0; i < s->n; i++)
        for (uint64_t t = s->offset[i]; t < s->offset[i + 1]; t++)
            GM_TRY(gm_h5_column_append(&w->column[GM_COL_SAMPLE], &i, 1, err));
out:
    return status;
}

static gm_status write_logit_tokens(gm_trace_writer *w, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = (size_t)trace->sizes.S;
    if (w->of.info->level < GM_RECORD_LOGITS) return GM_OK;
    uint64_t *token = gm_alloc(n, sizeof *token);
    if (token == NULL) GM_FAIL(GM_EMEM, "no memory for '/routing/logits_token'");
    GM_TRY(gm_trace_read_logits(trace, 0, n, NULL, token, err));
    GM_TRY(gm_h5_column_append(&w->column[GM_COL_LOGITS_TOKEN], token, n, err));
out:
    gm_free(token);
    return status;
}

/* ---- what is copied ---- */

static gm_status copy_column(gm_h5_column *column, const gm_h5_set *set, gm_error *err)
{
    gm_status status = GM_OK;
    size_t at_once = COPY_BYTES / (set->row_bytes ? set->row_bytes : 1) + 1;
    if (at_once > set->dim[0]) at_once = (size_t)set->dim[0];
    uint8_t *rows = gm_alloc2(at_once, set->row_bytes, 1);
    if (rows == NULL) GM_FAIL(GM_EMEM, "no memory to copy '%s'", set->name);
    for (uint64_t first = 0; first < set->dim[0]; first += at_once) {
        size_t n = set->dim[0] - first < at_once ? (size_t)(set->dim[0] - first) : at_once;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted while merging");
        GM_TRY(gm_h5_set_read(set, first, n, rows, err));
        GM_TRY(gm_h5_column_append(column, rows, n, err));
    }
out:
    gm_free(rows);
    return status;
}

/* The shard's text offsets but the first, after those of the shards before. */
static gm_status copy_text_offsets(gm_h5_column *column, const gm_trace_file *f, uint64_t *base,
                                   gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = (size_t)f->sizes.N;
    uint64_t *offset = gm_alloc(n + 1, sizeof *offset);
    if (offset == NULL) GM_FAIL(GM_EMEM, "no memory for '/text/offset'");
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_TEXT_OFFSET], 0, n + 1, offset, err));
    for (size_t i = 0; i <= n; i++) offset[i] += *base;
    GM_TRY(gm_h5_column_append(column, offset + 1, n, err));
    *base += f->sizes.B;
out:
    gm_free(offset);
    return status;
}

static gm_status copy_parts(gm_trace_writer *w, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t text = 0;
    bool has_text = w->of.info->has_text;
    if (has_text) GM_TRY(gm_h5_column_append(&w->column[GM_COL_TEXT_OFFSET], &text, 1, err));
    for (size_t i = 0; i < trace->n_shards; i++) {
        GM_TRY(gm_trace_open_shard(trace, i, err));
        const gm_trace_file *f = &trace->open;
        for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++)
            if (f->set[c].id >= 0 && (gm_trace_is_virtual(c) || c == GM_COL_TEXT_BYTES))
                GM_TRY(copy_column(&w->column[c], &f->set[c], err));
        if (has_text) GM_TRY(copy_text_offsets(&w->column[GM_COL_TEXT_OFFSET], f, &text, err));
    }
out:
    return status;
}

/* ---- merge and index ---- */

/* Both: `source` NULL copies, otherwise maps. */
static gm_status write_whole(const char *out, gm_trace *trace, const gm_trace_source *source,
                             bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_writer w = GM_TRACE_WRITER_NONE;
    gm_trace_outline of = {.info = &trace->head.info,
                           .sizes = trace->sizes,
                           .subset_name = trace->samples.subset_name,
                           .source = source,
                           .n_sources = source ? trace->n_shards : 0};
    of.sizes.U = trace->samples.n_subsets;
    of.sizes.R = trace->skips.n;
    GM_TRY(gm_trace_recount(trace, err));
    if (trace->head.info.has_spelling) {
        GM_TRY(gm_trace_read_spelling(trace, err));
        of.sizes.V = trace->spelling.n;
        of.sizes.W = trace->spelling.offset[of.sizes.V];
    }
    GM_TRY(gm_trace_writer_begin(&w, out, &of, replace, err));
    GM_TRY(gm_trace_writer_put_block(&w, 0, trace->n_read, false, err));
    GM_TRY(write_samples(&w, trace, err));
    GM_TRY(write_token_documents(&w, trace, err));
    GM_TRY(write_logit_tokens(&w, trace, err));
    if (source == NULL) GM_TRY(copy_parts(&w, trace, err));
    if (source == NULL && trace->head.info.has_spelling)
        GM_TRY(gm_trace_append_spelling(&w, &trace->spelling, err));
    GM_TRY(gm_trace_writer_end(&w, err));
out:
    gm_trace_writer_drop(&w);
    return status;
}

gm_status gm_trace_merge(const char *out, const char *const *shards, size_t n, bool replace,
                         gm_error *err)
{
    gm_trace *trace = NULL;
    gm_status status = gm_trace_open_list(&trace, shards, n, err);
    if (status == GM_OK) status = write_whole(out, trace, NULL, replace, err);
    gm_trace_close(trace);
    return status;
}

/* The shard's path as the index writes it: relative to the index's folder where the
 * shard lies in it or below, so that both can be moved together; else absolute. */
static gm_status path_from(const char *index, const char *shard, gm_arena *arena, const char **out,
                           gm_error *err)
{
    gm_status status = GM_OK;
    char *folder = NULL, *real_folder = NULL, *real = realpath(shard, NULL);
    const char *slash = strrchr(index, '/');
    folder = slash ? gm_copy_text(index, (size_t)(slash - index) + 1) : gm_copy_text(".", 1);
    if (folder == NULL) GM_FAIL(GM_EMEM, "no memory for index '%s'", index);
    real_folder = realpath(folder, NULL);
    if (real == NULL || real_folder == NULL)
        GM_FAIL(GM_EIO, "cannot find the folder of '%s'", real ? index : shard);
    size_t n = strlen(real_folder);
    bool below = strncmp(real, real_folder, n) == 0 && real[n] == '/';
    const char *path = below ? real + n + 1 : real;
    if (strchr(path, '\n'))
        GM_FAIL(GM_EARG, "'%s' cannot be listed in an index: its path contains a newline", path);
    if (gm_utf8_valid(path, strlen(path)) < strlen(path))
        GM_FAIL(GM_EARG, "'%s' cannot be listed in an index: its path is not UTF-8", path);
    *out = gm_arena_text(arena, path, strlen(path));
    if (*out == NULL) GM_FAIL(GM_EMEM, "no memory for index '%s'", index);
out:
    free(real_folder);
    free(real);
    gm_free(folder);
    return status;
}

gm_status gm_trace_index(const char *out, const char *const *shards, size_t n, bool replace,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_arena arena = {0};
    gm_trace *trace = NULL;
    gm_trace_source *source = gm_alloc(n, sizeof *source);
    if (source == NULL) GM_FAIL(GM_EMEM, "no memory for index '%s'", out);
    GM_TRY(gm_trace_open_list(&trace, shards, n, err));
    for (size_t i = 0; i < n; i++) {
        GM_TRY(gm_trace_open_shard(trace, i, err));
        GM_TRY(path_from(out, trace->shard[i].path, &arena, &source[i].file, err));
        source[i].sizes = trace->shard[i].sizes;
        source[i].digest = gm_arena_text(&arena, trace->open.digest, strlen(trace->open.digest));
        if (source[i].digest == NULL) GM_FAIL(GM_EMEM, "no memory for index '%s'", out);
    }
    GM_TRY(write_whole(out, trace, source, replace, err));
out:
    gm_trace_close(trace);
    gm_arena_clear(&arena);
    gm_free(source);
    return status;
}

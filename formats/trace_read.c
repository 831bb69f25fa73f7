/* trace_read.c - a trace for its readers: opening, and rows across its shards. */
#include "base/half.h"
#include "formats/trace_shards.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { READ_BYTES = 8 << 20, CONVERT_ITEMS = 1 << 15 }; /* at a time; by one thread */

/* ---- opening ---- */

gm_status gm_trace_open(gm_trace **out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    struct stat at;
    *out = NULL;
    gm_trace *trace = gm_alloc(1, sizeof *trace);
    if (trace == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", path);
    trace->head = trace->open = GM_TRACE_FILE_CLOSED;
    trace->is_shards = stat(path, &at) == 0 && S_ISDIR(at.st_mode);
    if (!trace->is_shards) GM_TRY(gm_trace_file_open(&trace->head, path, err));
    GM_TRY(gm_trace_find_shards(trace, path, err));
    GM_TRY(gm_trace_read_samples(trace, err));
    *out = trace;
    trace = NULL;
out:
    gm_trace_close(trace);
    return status;
}

void gm_trace_close(gm_trace *trace)
{
    if (trace == NULL) return;
    gm_trace_file_close(&trace->open);
    gm_trace_file_close(&trace->head);
    gm_names_clear(&trace->subsets);
    gm_trace_spelling_clear(&trace->spelling);
    gm_free(trace->spelt);
    gm_arena_clear(&trace->arena);
    gm_free(trace);
}

const gm_trace_info *gm_trace_get_whole_info(const gm_trace *trace)
{
    return &trace->head.info;
}

const gm_trace_samples *gm_trace_get_whole_samples(const gm_trace *trace)
{
    return &trace->samples;
}

const gm_trace_info *gm_trace_get_info(const gm_trace *trace)
{
    return trace->view ? &trace->view->info : &trace->head.info;
}

const gm_trace_samples *gm_trace_get_samples(const gm_trace *trace)
{
    return trace->view ? &trace->view->samples : &trace->samples;
}

const gm_trace_skips *gm_trace_get_skips(const gm_trace *trace)
{
    return &trace->skips;
}

uint64_t gm_trace_n_tokens(const gm_trace *trace)
{
    return trace->view ? trace->view->samples.offset[trace->view->samples.n] : trace->sizes.T;
}

uint64_t gm_trace_n_logits(const gm_trace *trace)
{
    return trace->view ? 0 : trace->sizes.S;
}

void gm_trace_get_block(const gm_trace *trace, uint64_t *number, uint64_t *n_read, bool *more)
{
    *number = (uint64_t)trace->head.number;
    *n_read = (uint64_t)trace->head.n_read;
    *more = trace->head.more != 0;
}

bool gm_trace_is_index(const gm_trace *trace)
{
    return !trace->is_shards && trace->head.n_sources > 0;
}

const char *gm_trace_digest(const gm_trace *trace)
{
    return trace->is_shards ? "" : trace->head.digest;
}

/* ---- rows ---- */

size_t gm_trace_batch(const gm_trace *trace, uint64_t first, size_t most)
{
    if (trace->view) {
        const uint64_t left = gm_trace_n_tokens(trace) - first;
        return left < most ? (size_t)left : most;
    }
    for (size_t i = 0; i < trace->n_shards; i++) {
        uint64_t end = trace->shard[i].token + trace->shard[i].sizes.T;
        if (first < end) return end - first < most ? (size_t)(end - first) : most;
    }
    return most;
}

static uint64_t first_of(const gm_trace_shard *shard, gm_trace_column column)
{
    switch (column) {
    case GM_COL_COUNTS: return shard->document;
    case GM_COL_LOGITS:
    case GM_COL_LOGITS_TOKEN: return shard->logit;
    default: return shard->token;
    }
}

/* Rows of a column in one open shard. */
typedef gm_status take_rows(void *out, size_t done, const gm_h5_set *set, uint64_t first, size_t n,
                            gm_error *err);

/* Walk rows [first, first+n) of a column shard by shard; `done` of them before each. */
static gm_status for_rows(gm_trace *trace, gm_trace_column column, uint64_t first, size_t n,
                          take_rows *take, void *out, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t rows = gm_trace_rows(column, &trace->sizes);
    if (first > rows || n > rows - first)
        return gm_fail(err, GM_EARG,
                       "rows %" PRIu64 " to %" PRIu64 " requested from '%s', which has %" PRIu64,
                       first, first + n, trace->head.path, rows);
    size_t done = 0;
    for (size_t i = 0; i < trace->n_shards && done < n; i++) {
        const gm_trace_shard *shard = &trace->shard[i];
        uint64_t begin = first_of(shard, column),
                 end = begin + gm_trace_rows(column, &shard->sizes);
        uint64_t at = first + done;
        if (at >= end) continue;
        size_t here = end - at < n - done ? (size_t)(end - at) : n - done;
        GM_TRY(gm_trace_open_shard(trace, i, err));
        GM_TRY(take(out, done, &trace->open.set[column], at - begin, here, err));
        done += here;
    }
out:
    return status;
}

/* Rows as they are stored. */
static gm_status take_plain(void *out, size_t done, const gm_h5_set *set, uint64_t first, size_t n,
                            gm_error *err)
{
    return gm_h5_set_read(set, first, n, (char *)out + done * set->row_bytes, err);
}

/* n items as they are stored, converted. */
typedef void convert_items(void *out, const void *stored, size_t n);

static void halves_to_f32(void *out, const void *stored, size_t n)
{
    gm_halves_to_f32(out, stored, n);
}

static void widen_experts(void *out, const void *stored, size_t n)
{
    const uint8_t *narrow = stored;
    uint16_t *to = out;
    for (size_t i = 0; i < n; i++) to[i] = narrow[i] == UINT8_MAX ? GM_TRACE_NO_EXPERT : narrow[i];
}

/* Rows that take another type in memory, of `item` bytes: whole chunks' rows at a time are read,
 * then converted by all threads. */
static gm_status take_converted(uint8_t *out, const gm_h5_set *set, uint64_t first, size_t n,
                                size_t item, convert_items *convert, gm_error *err)
{
    gm_status status = GM_OK;
    size_t width = set->row_bytes / set->item_bytes, at_once = READ_BYTES / set->row_bytes + 1;
    if (at_once > n) at_once = n;
    uint8_t *stored = gm_alloc2(at_once, set->row_bytes, 1);
    if (stored == NULL) GM_FAIL(GM_EMEM, "no memory to read '%s'", set->name);
    for (size_t done = 0; done < n;) {
        size_t here = n - done < at_once ? n - done : at_once;
        size_t over = set->chunk_rows ? (size_t)((first + done + here) % set->chunk_rows) : 0;
        if (done + here < n && over < here) here -= over; /* end with a chunk */
        size_t items = here * width, n_parts = items / CONVERT_ITEMS + 1;
        uint8_t *to = out + done * width * item;
        GM_TRY(gm_h5_set_read(set, first + done, here, stored, err));
#pragma omp parallel for schedule(static) if (n_parts > 1)
        for (size_t i = 0; i < n_parts; i++) {
            size_t at = i * CONVERT_ITEMS;
            size_t part = items - at < CONVERT_ITEMS ? items - at : CONVERT_ITEMS;
            convert(to + at * item, stored + at * set->item_bytes, part);
        }
        done += here;
    }
out:
    gm_free(stored);
    return status;
}

static gm_status take_halves(void *out, size_t done, const gm_h5_set *set, uint64_t first, size_t n,
                             gm_error *err)
{
    uint8_t *to = (uint8_t *)((float *)out + done * (set->row_bytes / set->item_bytes));
    return take_converted(to, set, first, n, sizeof(float), halves_to_f32, err);
}

/* Expert ids as u16. */
static gm_status take_experts(void *out, size_t done, const gm_h5_set *set, uint64_t first,
                              size_t n, gm_error *err)
{
    uint16_t *to = (uint16_t *)out + done * (set->row_bytes / set->item_bytes);
    if (set->item_bytes == sizeof *to) return gm_h5_set_read(set, first, n, to, err);
    return take_converted((uint8_t *)to, set, first, n, sizeof *to, widen_experts, err);
}

/* ---- rows of a selection ---- */

/* One row of the whole to one of the selection: the chosen layers' blocks, or all of a row without
 * layers. */
static void keep_layers(uint8_t *out, const uint8_t *row, const gm_trace_view *view, int rank,
                        size_t block)
{
    if (rank == 1) {
        memcpy(out, row, block);
        return;
    }
    for (size_t l = 0; l < (size_t)view->info.n_layers; l++)
        memcpy(out + l * block, row + view->layer[l] * block, block);
}

/* Rows [first, first + n) of the selection, whose items take `item` bytes in memory. Stretches of
 * the whole are read, and of each its chosen rows are kept: rows that lie between them were in the
 * same chunks. */
static gm_status for_kept(gm_trace *trace, gm_trace_column column, uint64_t first, size_t n,
                          size_t item, take_rows *take, void *out, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_view *view = trace->view;
    const gm_h5_layout layout = gm_trace_layout(column, &trace->sizes);
    const size_t block = layout.rank > 2 ? (size_t)layout.dim[2] * item : item;
    const size_t whole = layout.rank > 1 ? (size_t)layout.dim[1] * block : block;
    const size_t kept = layout.rank > 1 ? (size_t)view->info.n_layers * block : block;
    const size_t most = READ_BYTES / whole + 1;
    const uint64_t rows = column == GM_COL_COUNTS ? view->samples.n : gm_trace_n_tokens(trace);
    if (first > rows || n > rows - first)
        return gm_fail(err, GM_EARG,
                       "rows %" PRIu64 " to %" PRIu64 " requested of a part with %" PRIu64, first,
                       first + n, rows);
    uint64_t *row = gm_alloc(n, sizeof *row);
    uint8_t *stretch = gm_alloc2(most, whole, 1);
    if (!row || !stretch) GM_FAIL(GM_EMEM, "no memory to read '%s'", trace->head.path);
    gm_trace_whole_rows(row, trace, column, first, n);
    for (size_t i = 0, here; i < n; i += here) {
        for (here = 1; i + here < n && row[i + here] - row[i] < most;) here++;
        const size_t span = (size_t)(row[i + here - 1] - row[i]) + 1;
        GM_TRY(for_rows(trace, column, row[i], span, take, stretch, err));
        for (size_t k = i; k < i + here; k++)
            keep_layers((uint8_t *)out + k * kept, stretch + (size_t)(row[k] - row[i]) * whole,
                        view, layout.rank, block);
    }
out:
    gm_free(row);
    gm_free(stretch);
    return status;
}

static gm_status read_rows(gm_trace *trace, gm_trace_column column, uint64_t first, size_t n,
                           size_t item, take_rows *take, void *out, gm_error *err)
{
    if (trace->view) return for_kept(trace, column, first, n, item, take, out, err);
    return for_rows(trace, column, first, n, take, out, err);
}

/* ---- for readers ---- */

/* GM_EABSENT unless the trace has the column. */
static gm_status need(const gm_trace *trace, gm_trace_column column, const char *what,
                      gm_error *err)
{
    if (gm_trace_has(&trace->head.info, column)) return GM_OK;
    return gm_fail(err, GM_EABSENT, "'%s' was recorded without %s", trace->head.path, what);
}

gm_status gm_trace_read_counts(gm_trace *trace, size_t first, size_t n, uint32_t *counts,
                               gm_error *err)
{
    return read_rows(trace, GM_COL_COUNTS, first, n, sizeof *counts, take_plain, counts, err);
}

gm_status gm_trace_read_routing(gm_trace *trace, uint64_t first, size_t n, uint16_t *expert,
                                float *gate, float *mass, float *margin, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(need(trace, GM_COL_EXPERT, "choices", err));
    if (gate) GM_TRY(need(trace, GM_COL_GATE, "gates", err));
    if (mass || margin) GM_TRY(need(trace, GM_COL_MARGIN, "masses and margins", err));
    if (expert)
        GM_TRY(
            read_rows(trace, GM_COL_EXPERT, first, n, sizeof *expert, take_experts, expert, err));
    if (gate) GM_TRY(read_rows(trace, GM_COL_GATE, first, n, sizeof *gate, take_halves, gate, err));
    if (mass) GM_TRY(read_rows(trace, GM_COL_MASS, first, n, sizeof *mass, take_halves, mass, err));
    if (margin)
        GM_TRY(read_rows(trace, GM_COL_MARGIN, first, n, sizeof *margin, take_halves, margin, err));
out:
    return status;
}

gm_status gm_trace_read_norms(gm_trace *trace, uint64_t first, size_t n, float *norm, gm_error *err)
{
    gm_status status = need(trace, GM_COL_NORM, "norms of experts' outputs", err);
    if (status != GM_OK) return status;
    return read_rows(trace, GM_COL_NORM, first, n, sizeof *norm, take_plain, norm, err);
}

gm_status gm_trace_read_tokens(gm_trace *trace, uint64_t first, size_t n, uint32_t *token_id,
                               uint32_t *pos, uint8_t *phase, float *nll, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(need(trace, GM_COL_TOKEN_ID, "choices", err));
    if (nll) GM_TRY(need(trace, GM_COL_NLL, "nll", err));
    if (token_id)
        GM_TRY(read_rows(trace, GM_COL_TOKEN_ID, first, n, sizeof *token_id, take_plain, token_id,
                         err));
    if (pos) GM_TRY(read_rows(trace, GM_COL_POS, first, n, sizeof *pos, take_plain, pos, err));
    if (phase)
        GM_TRY(read_rows(trace, GM_COL_PHASE, first, n, sizeof *phase, take_plain, phase, err));
    if (nll) GM_TRY(read_rows(trace, GM_COL_NLL, first, n, sizeof *nll, take_plain, nll, err));
out:
    return status;
}

gm_status gm_trace_read_logits(gm_trace *trace, uint64_t first, size_t n, float *logits,
                               uint64_t *token, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(need(trace, GM_COL_LOGITS, "logits", err));
    if (trace->view) GM_FAIL(GM_EABSENT, "a part of a trace has no logits");
    if (logits) GM_TRY(for_rows(trace, GM_COL_LOGITS, first, n, take_halves, logits, err));
    if (token == NULL) goto out;
    GM_TRY(for_rows(trace, GM_COL_LOGITS_TOKEN, first, n, take_plain, token, err));
    /* rows come from the shards, which count from 0 each */
    for (size_t i = 0, p = 0; i < n; i++) {
        while (first + i >= trace->shard[p].logit + trace->shard[p].sizes.S) p++;
        token[i] += trace->shard[p].token;
    }
out:
    return status;
}

/* end (n): the length after each of n texts, which begin at `begin` and whose places are at (n+1).
 */
static gm_status find_ends(size_t *end, size_t begin, const uint64_t *at, size_t n, uint64_t bytes,
                           size_t document, hid_t id, gm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (at[i] > at[i + 1] || at[i + 1] > bytes)
            return gm_h5_fail(err, GM_EFORMAT, id, "'/text/offset' does not ascend at document %zu",
                              document + i);
        end[i] = begin + (size_t)(at[i + 1] - at[0]);
    }
    return GM_OK;
}

static gm_status check_texts(const char *text, size_t begin, const size_t *end, size_t n,
                             size_t document, hid_t id, gm_error *err)
{
    size_t wrong = n;
#pragma omp parallel for schedule(static) reduction(min : wrong) if (n > 1)
    for (size_t i = 0; i < n; i++) {
        const size_t from = i > 0 ? end[i - 1] : begin, length = end[i] - from;
        if (gm_utf8_valid(text + from, length) != length && i < wrong) wrong = i;
    }
    if (wrong == n) return GM_OK;
    return gm_h5_fail(err, GM_EFORMAT, id, "the text of document %zu is not UTF-8",
                      document + wrong);
}

/* Texts first.. of the open shard, of which `document` is the first in the trace. */
static gm_status take_texts(const gm_trace_file *f, size_t first, size_t n, size_t document,
                            gm_text *text, size_t *end, gm_error *err)
{
    assert(n >= 1);
    gm_status status = GM_OK;
    uint64_t *at = gm_alloc(n + 1, sizeof *at);
    const size_t begin = text->n;
    if (at == NULL) GM_FAIL(GM_EMEM, "no memory for the places of %zu texts", n);
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_TEXT_OFFSET], first, n + 1, at, err));
    GM_TRY(find_ends(end, begin, at, n, f->sizes.B, document, f->id, err));
    const size_t bytes = end[n - 1] - begin;
    GM_TRY(gm_text_reserve(text, bytes, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_TEXT_BYTES], at[0], bytes, text->at + begin, err));
    GM_TRY(check_texts(text->at, begin, end, n, document, f->id, err));
    text->n += bytes;
out:
    if (text->at) text->at[text->n] = '\0';
    gm_free(at);
    return status;
}

/* Texts [first, first + n) of the whole. */
static gm_status read_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                            gm_error *err)
{
    gm_status status = GM_OK;
    size_t done = 0;
    for (size_t p = 0; done < n; p++) {
        const gm_trace_shard *shard = &trace->shard[p];
        const size_t at = first + done, shard_end = (size_t)(shard->document + shard->sizes.N);
        if (at >= shard_end) continue;
        const size_t here = shard_end - at < n - done ? shard_end - at : n - done;
        GM_TRY(gm_trace_open_shard(trace, p, err));
        GM_TRY(take_texts(&trace->open, at - (size_t)shard->document, here, at, text, end + done,
                          err));
        done += here;
    }
out:
    return status;
}

/* Those of a selection: stretches of at most n texts are read, and the chosen ones kept. */
static gm_status keep_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_text stretch = {0};
    uint64_t *row = gm_alloc(n, sizeof *row);
    size_t *to = gm_alloc(n, sizeof *to);
    if (!row || !to) GM_FAIL(GM_EMEM, "no memory for the places of %zu texts", n);
    gm_trace_whole_rows(row, trace, GM_COL_TEXT_OFFSET, first, n);
    for (size_t i = 0, here; i < n; i += here) {
        for (here = 1; i + here < n && row[i + here] - row[i] < n;) here++;
        const size_t span = (size_t)(row[i + here - 1] - row[i]) + 1;
        stretch.n = 0;
        GM_TRY(read_texts(trace, (size_t)row[i], span, &stretch, to, err));
        for (size_t k = i; k < i + here; k++) {
            const size_t at = (size_t)(row[k] - row[i]), from = at > 0 ? to[at - 1] : 0;
            GM_TRY(gm_text_append(text, stretch.at + from, to[at] - from, err));
            end[k] = text->n;
        }
    }
out:
    gm_text_clear(&stretch);
    gm_free(row);
    gm_free(to);
    return status;
}

gm_status gm_trace_read_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                              gm_error *err)
{
    const size_t all = gm_trace_get_samples(trace)->n;
    gm_status status = need(trace, GM_COL_TEXT_BYTES, "texts", err);
    if (status != GM_OK) return status;
    if (first > all || n > all - first)
        return gm_fail(err, GM_EARG, "document %zu does not exist; there are %zu", first + n - 1,
                       all);
    if (trace->view) return keep_texts(trace, first, n, text, end, err);
    return read_texts(trace, first, n, text, end, err);
}

gm_status gm_trace_read_text(gm_trace *trace, size_t i, gm_text *text, gm_error *err)
{
    size_t end;
    return gm_trace_read_texts(trace, i, 1, text, &end, err);
}

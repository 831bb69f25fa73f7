/* usage.c - reading counts or gates, the canonical order, rows that sum to one. */
#include "cluster/usage.h"

#include "base/cli.h"
#include "base/machine.h"
#include "base/sha256.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_BLOCK = 4096, ROWS_KEPT = 1024 /* in a chunk of memory */ };

/* ---- a block of documents ---- */

/* What a run of tokens chose. */
typedef struct choices {
    uint16_t *expert; /* (TOKEN_BLOCK, L, K) */
    float *gate;      /* (TOKEN_BLOCK, L, K) */
    uint8_t *phase;   /* (TOKEN_BLOCK) */
} choices;

struct gm_usage_reader {
    gm_trace *trace;
    gm_usage_kind kind;
    size_t dim;       /* D */
    uint32_t *counts; /* (GM_USAGE_BLOCK, D), of counts */
    choices choices;  /* of gates */
};

gm_status gm_usage_reader_open(gm_usage_reader **out, gm_trace *trace, gm_usage_kind kind,
                               gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const size_t cells = (size_t)info->n_layers * (size_t)info->n_chosen;
    gm_usage_reader *r = gm_alloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL) GM_FAIL(GM_EMEM, "no memory to read the usage of experts");
    *r = (gm_usage_reader){
        .trace = trace, .kind = kind, .dim = (size_t)info->n_layers * (size_t)info->n_experts};
    if (kind == GM_USAGE_GATES && info->level == GM_RECORD_COUNTS)
        GM_FAIL(GM_EABSENT, "the trace has only counts; --usage gates needs a trace made with "
                            "gm-probe collect --record choices");
    if (kind == GM_USAGE_GATES && info->no_gates)
        GM_FAIL(GM_EABSENT, "the trace has no gates, which --usage gates needs");
    if (kind == GM_USAGE_COUNTS) {
        r->counts = gm_alloc2(GM_USAGE_BLOCK, r->dim, sizeof *r->counts);
        if (!r->counts)
            GM_FAIL(GM_EMEM, "no memory for the counts of %d documents", GM_USAGE_BLOCK);
    } else {
        choices *c = &r->choices;
        c->expert = gm_alloc2(TOKEN_BLOCK, cells, sizeof *c->expert);
        c->gate = gm_alloc2(TOKEN_BLOCK, cells, sizeof *c->gate);
        c->phase = gm_alloc(TOKEN_BLOCK, sizeof *c->phase);
        if (!c->expert || !c->gate || !c->phase)
            GM_FAIL(GM_EMEM, "no memory for the gates of a block");
    }
    *out = r;
    r = NULL;
out:
    gm_usage_reader_close(r);
    return status;
}

void gm_usage_reader_close(gm_usage_reader *reader)
{
    if (reader == NULL) return;
    gm_free(reader->counts);
    gm_free(reader->choices.expert);
    gm_free(reader->choices.gate);
    gm_free(reader->choices.phase);
    gm_free(reader);
}

static gm_status read_counts(gm_usage_reader *r, size_t first, size_t n, float *rows, gm_error *err)
{
    gm_status status = gm_trace_read_counts(r->trace, first, n, r->counts, err);
    for (size_t c = 0; status == GM_OK && c < n * r->dim; c++) rows[c] = (float)r->counts[c];
    return status;
}

/* Add tokens [from, from + n) to the gate sums of their documents; *document, the one of the token
 * before, moves on, and `first` stands in the first row. Template tokens are not counted. */
static void add_gates(const gm_usage_reader *r, uint64_t from, size_t n, float *rows, size_t first,
                      size_t *document)
{
    const choices *c = &r->choices;
    const gm_trace_info *info = gm_trace_get_info(r->trace);
    const uint64_t *offset = gm_trace_get_samples(r->trace)->offset;
    const size_t L = (size_t)info->n_layers, E = (size_t)info->n_experts;
    const size_t K = (size_t)info->n_chosen;
    for (size_t t = 0; t < n; t++) {
        while (from + t >= offset[*document + 1]) ++*document;
        float *row = rows + (*document - first) * r->dim; /* (L,E) */
        if (c->phase[t] == GM_TRACE_TEMPLATE) continue;
        for (size_t k = 0; k < L * K; k++) {
            uint16_t e = c->expert[t * L * K + k];
            if (e < E) row[k / K * E + e] += c->gate[t * L * K + k]; /* the sentinel is above */
        }
    }
}

static gm_status read_gates(gm_usage_reader *r, size_t first, size_t n, float *rows, gm_error *err)
{
    gm_status status = GM_OK;
    const choices *c = &r->choices;
    const uint64_t *offset = gm_trace_get_samples(r->trace)->offset;
    size_t document = first;
    memset(rows, 0, n * r->dim * sizeof *rows);
    for (uint64_t from = offset[first]; from < offset[first + n]; from += TOKEN_BLOCK) {
        const uint64_t left = offset[first + n] - from;
        const size_t some = left < TOKEN_BLOCK ? (size_t)left : TOKEN_BLOCK;
        GM_TRY(gm_trace_read_routing(r->trace, from, some, c->expert, c->gate, NULL, NULL, err));
        GM_TRY(gm_trace_read_tokens(r->trace, from, some, NULL, NULL, c->phase, NULL, err));
        add_gates(r, from, some, rows, first, &document);
    }
out:
    return status;
}

static double sum_of(const float *row, size_t dim)
{
    double sum = 0;
    for (size_t c = 0; c < dim; c++) sum += (double)row[c];
    return sum;
}

gm_status gm_usage_reader_read(gm_usage_reader *r, size_t first, size_t n, float *rows,
                               gm_error *err)
{
    assert(n <= GM_USAGE_BLOCK);
    gm_status status = r->kind == GM_USAGE_COUNTS ? read_counts(r, first, n, rows, err)
                                                  : read_gates(r, first, n, rows, err);
    if (status != GM_OK) return status;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * r->dim; /* (D) */
        const double sum = sum_of(row, r->dim);
        for (size_t c = 0; sum > 0 && c < r->dim; c++) row[c] = (float)((double)row[c] / sum);
    }
    return GM_OK;
}

/* ---- all of them ---- */

typedef struct key {
    uint8_t digest[32]; /* of the usage vector */
    const uint8_t *sha; /* (32) of the text */
    const char *id;
    const float *row; /* (D) the vector, kept once */
    uint32_t at;      /* in the trace */
    bool zero;
} key;

static int by_key(const void *p, const void *q)
{
    const key *a = p, *b = q;
    int digests = memcmp(a->digest, b->digest, sizeof a->digest);
    if (digests != 0) return digests;
    int texts = memcmp(a->sha, b->sha, sizeof a->digest);
    if (texts != 0) return texts;
    int ids = strcmp(a->id, b->id);
    return ids != 0 ? ids : (a->at > b->at) - (a->at < b->at);
}

/* What reading works with. */
typedef struct reading {
    gm_usage *usage;
    gm_trace *trace;
    key *keys;       /* (N) in the order of the trace */
    uint32_t *table; /* (mask + 1) documents by digest, plus one; 0 is free */
    size_t mask;
    float *block; /* (GM_USAGE_BLOCK,D) the documents that are being read */
} reading;

/* The keys of the block's documents. */
static void make_keys(reading *r, size_t first, size_t n)
{
    const gm_trace_samples *samples = gm_trace_get_samples(r->trace);
    const size_t dim = r->usage->dim;
#pragma omp parallel for schedule(static)
    for (size_t i = first; i < first + n; i++) {
        const float *row = r->block + (i - first) * dim; /* (D) */
        r->keys[i] = (key){.sha = samples->sha + 32 * i,
                           .id = samples->id[i],
                           .at = (uint32_t)i,
                           .zero = !(sum_of(row, dim) > 0)};
        gm_sha256_of(row, dim * sizeof *row, r->keys[i].digest);
    }
}

/* Where the table has document i, or one that uses the experts as it does, or has room for it. */
static uint32_t *look_up(const reading *r, size_t i)
{
    size_t at;
    memcpy(&at, r->keys[i].digest, sizeof at);
    for (at &= r->mask; r->table[at] != 0; at = (at + 1) & r->mask)
        if (memcmp(r->keys[r->table[at] - 1].digest, r->keys[i].digest, 32) == 0) break;
    return &r->table[at];
}

/* Whether there is memory for the rows of documents up to `end`, n of which are new, and for
 * `lists` bytes beside them. */
static gm_status check_memory(const gm_usage *usage, size_t end, size_t n, size_t lists,
                              gm_error *err)
{
    char what[96];
    snprintf(what, sizeof what, "the usage of the first %zu of %zu documents", end, usage->n);
    return gm_machine_spare((uint64_t)n * usage->dim * sizeof(float) + lists, what, err);
}

/* Keep those rows of the block that are not there yet. */
static gm_status keep_rows(reading *r, size_t first, size_t n, gm_error *err)
{
    const size_t dim = r->usage->dim;
    gm_status status = check_memory(r->usage, first + n, n, 0, err);
    for (size_t i = first; status == GM_OK && i < first + n; i++) {
        uint32_t *known = look_up(r, i);
        if (*known != 0) {
            r->keys[i].row = r->keys[*known - 1].row;
            continue;
        }
        float *row = gm_arena_alloc(&r->usage->rows, dim, sizeof *row);
        if (row == NULL)
            return gm_fail(err, GM_EMEM, "no memory for the usage of %zu documents", i + 1);
        memcpy(row, r->block + (i - first) * dim, dim * sizeof *row);
        r->keys[i].row = row;
        *known = (uint32_t)i + 1;
    }
    return status;
}

static gm_status read_all(reading *r, gm_usage_kind kind, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = r->usage->n;
    gm_usage_reader *reader = NULL;
    GM_TRY(gm_usage_reader_open(&reader, r->trace, kind, err));
    for (size_t first = 0; first < n; first += GM_USAGE_BLOCK) {
        const size_t some = n - first < GM_USAGE_BLOCK ? n - first : GM_USAGE_BLOCK;
        GM_TRY(gm_usage_reader_read(reader, first, some, r->block, err));
        make_keys(r, first, some);
        GM_TRY(keep_rows(r, first, some, err));
        if (progress) gm_progress_set(progress, (double)(first + some));
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted while counts were read");
    }
out:
    gm_usage_reader_close(reader);
    return status;
}

static void put_in_order(gm_usage *usage, key *keys, const gm_trace_samples *samples)
{
    qsort(keys, usage->n, sizeof *keys, by_key);
    for (size_t i = 0; i < usage->n; i++) {
        usage->row[i] = keys[i].row;
        usage->place[i] = keys[i].at;
        usage->subset[i] = samples->subset[keys[i].at];
        memcpy(usage->sha[i], samples->sha + 32 * (size_t)keys[i].at, 32);
        bool again = i > 0 && keys[i].row == keys[i - 1].row;
        usage->n_zero += keys[i].zero;
        usage->n_distinct += !keys[i].zero && !again;
        usage->point[i] = keys[i].zero ? GM_NO_POINT : (uint32_t)usage->n_distinct - 1;
    }
}

gm_status gm_usage_read(gm_usage *out, gm_trace *trace, gm_usage_kind kind, gm_progress *progress,
                        gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    const size_t n = samples->n;
    gm_usage usage = {.n = n, .dim = (size_t)info->n_layers * (size_t)info->n_experts};
    reading r = {.usage = &usage, .trace = trace, .mask = 1};
    *out = (gm_usage){0};
    if (n >= UINT32_MAX)
        GM_FAIL(GM_EARG, "the trace has %zu documents, expected at most %u", n, UINT32_MAX - 1);
    while (r.mask < 2 * n) r.mask = 2 * r.mask + 1;
    GM_TRY(check_memory(&usage, n < GM_USAGE_BLOCK ? n : GM_USAGE_BLOCK, GM_USAGE_BLOCK,
                        n * sizeof *r.keys, err));
    usage.rows.chunk_bytes = usage.dim * sizeof(float) * (n < ROWS_KEPT ? n : ROWS_KEPT);
    usage.row = gm_alloc(n, sizeof *usage.row);
    usage.place = gm_alloc(n, sizeof *usage.place);
    usage.sha = gm_alloc(n, sizeof *usage.sha);
    usage.subset = gm_alloc(n, sizeof *usage.subset);
    usage.point = gm_alloc(n, sizeof *usage.point);
    r.keys = gm_alloc(n, sizeof *r.keys);
    r.table = gm_alloc(r.mask + 1, sizeof *r.table);
    r.block = gm_alloc2(GM_USAGE_BLOCK, usage.dim, sizeof *r.block);
    if (!r.keys || !r.table || !r.block || !usage.row || !usage.place || !usage.sha ||
        !usage.subset || !usage.point)
        GM_FAIL(GM_EMEM, "no memory for %zu documents of %zu experts", n, usage.dim);
    GM_TRY(read_all(&r, kind, progress, err));
    put_in_order(&usage, r.keys, samples);
    *out = usage;
    usage = (gm_usage){0};
out:
    gm_free(r.keys);
    gm_free(r.table);
    gm_free(r.block);
    gm_usage_clear(&usage);
    return status;
}

void gm_usage_clear(gm_usage *usage)
{
    gm_arena_clear(&usage->rows);
    gm_free(usage->row);
    gm_free(usage->place);
    gm_free(usage->sha);
    gm_free(usage->subset);
    gm_free(usage->point);
    *usage = (gm_usage){0};
}

/* usage.c - reading counts or gates, the canonical order, rows that sum to one. */
#include "cluster/usage.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"

enum { BLOCK = 256, TOKEN_BLOCK = 4096 };

typedef struct key {
    uint8_t digest[32]; /* of the usage vector */
    const uint8_t *sha; /* (32) of the text */
    const char *id;
    uint32_t at; /* in the trace */
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

/* Counts as values of usage->rate, in the order of the trace. */
static gm_status read_counts(gm_usage *usage, gm_trace *trace, gm_progress *progress, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t dim = usage->dim;
    uint32_t *counts = gm_alloc2(BLOCK, dim, sizeof *counts);
    if (counts == NULL) GM_FAIL(GM_EMEM, "no memory for the counts of %d documents", BLOCK);
    for (size_t first = 0; first < usage->n; first += BLOCK) {
        size_t n = usage->n - first < BLOCK ? usage->n - first : BLOCK;
        GM_TRY(gm_trace_read_counts(trace, first, n, counts, err));
        float *to = usage->rate + first * dim; /* (n,D) */
        for (size_t c = 0; c < n * dim; c++) to[c] = (float)counts[c];
        if (progress) gm_progress_set(progress, (double)(first + n));
    }
out:
    gm_free(counts);
    return status;
}

/* Add tokens [0, n) of a block that starts at `first` to the gate sums of their documents;
 * *document is that of the token before and moves on. Template tokens are not counted. */
static void add_gates(gm_usage *usage, const gm_trace_samples *samples, const gm_trace_info *info,
                      uint64_t first, size_t n, const uint16_t *expert, const float *gate,
                      const uint8_t *phase, size_t *document)
{
    const size_t L = (size_t)info->n_layers, E = (size_t)info->n_experts;
    const size_t K = (size_t)info->n_chosen;
    for (size_t t = 0; t < n; t++) {
        while (first + t >= samples->offset[*document + 1]) ++*document;
        float *row = usage->rate + *document * usage->dim; /* (L,E) */
        if (phase[t] == 2) continue;
        for (size_t c = 0; c < L * K; c++) {
            uint16_t e = expert[t * L * K + c];
            if (e < E) row[c / K * E + e] += gate[t * L * K + c]; /* the sentinel is above */
        }
    }
}

static gm_status read_gates(gm_usage *usage, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const size_t row = (size_t)info->n_layers * (size_t)info->n_chosen;
    const uint64_t n_tokens = gm_trace_n_tokens(trace);
    uint16_t *expert = gm_alloc2(TOKEN_BLOCK, row, sizeof *expert);
    float *gate = gm_alloc2(TOKEN_BLOCK, row, sizeof *gate);
    uint8_t *phase = gm_alloc(TOKEN_BLOCK, sizeof *phase);
    size_t document = 0;
    if (!expert || !gate || !phase) GM_FAIL(GM_EMEM, "no memory for the gates of a block");
    if (info->level == GM_RECORD_COUNTS)
        GM_FAIL(GM_EABSENT, "the trace holds counts only; --usage gates needs a trace made by "
                            "gm-probe collect --record choices");
    for (uint64_t first = 0; first < n_tokens; first += TOKEN_BLOCK) {
        size_t n = n_tokens - first < TOKEN_BLOCK ? (size_t)(n_tokens - first) : TOKEN_BLOCK;
        GM_TRY(gm_trace_read_routing(trace, first, n, expert, gate, NULL, NULL, err));
        GM_TRY(gm_trace_read_tokens(trace, first, n, NULL, NULL, phase, NULL, err));
        add_gates(usage, gm_trace_get_samples(trace), info, first, n, expert, gate, phase,
                  &document);
    }
out:
    gm_free(expert);
    gm_free(gate);
    gm_free(phase);
    return status;
}

/* Row i becomes what was row place[i], by following the cycles of the permutation. `row`
 * holds one row; `done` (N) is zero. */
static void permute_rows(gm_usage *usage, float *row, bool *done)
{
    const size_t bytes = usage->dim * sizeof *row;
    for (size_t start = 0; start < usage->n; start++) {
        if (done[start]) continue;
        size_t to = start;
        memcpy(row, usage->rate + start * usage->dim, bytes);
        for (size_t from = usage->place[to]; from != start; from = usage->place[to]) {
            memcpy(usage->rate + to * usage->dim, usage->rate + from * usage->dim, bytes);
            done[to] = true;
            to = from;
        }
        memcpy(usage->rate + to * usage->dim, row, bytes);
        done[to] = true;
    }
}

/* Rows that sum to 1, and by them the keys; still in the order of the trace. */
static void normalise(gm_usage *usage, key *keys, const gm_trace_samples *samples)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < usage->n; i++) {
        float *row = usage->rate + i * usage->dim; /* (D) */
        double sum = 0;
        for (size_t c = 0; c < usage->dim; c++) sum += (double)row[c];
        for (size_t c = 0; sum > 0 && c < usage->dim; c++) row[c] = (float)((double)row[c] / sum);
        keys[i] = (key){.sha = samples->sha + 32 * i,
                        .id = samples->id[i],
                        .at = (uint32_t)i,
                        .zero = !(sum > 0)};
        gm_sha256_of(row, usage->dim * sizeof *row, keys[i].digest);
    }
}

static gm_status put_in_order(gm_usage *usage, key *keys, const gm_trace_samples *samples,
                              gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = usage->n;
    float *row = gm_alloc(usage->dim, sizeof *row);
    bool *done = gm_alloc(n, sizeof *done);
    if (!row || !done) GM_FAIL(GM_EMEM, "no memory to order %zu documents", n);
    qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0; i < n; i++) {
        usage->place[i] = keys[i].at;
        usage->subset[i] = samples->subset[keys[i].at];
        memcpy(usage->sha[i], samples->sha + 32 * (size_t)keys[i].at, 32);
        bool again = i > 0 && memcmp(keys[i].digest, keys[i - 1].digest, 32) == 0;
        usage->n_zero += keys[i].zero;
        usage->n_distinct += !keys[i].zero && !again;
        usage->point[i] = keys[i].zero ? GM_NO_POINT : (uint32_t)usage->n_distinct - 1;
    }
    permute_rows(usage, row, done);
out:
    gm_free(row);
    gm_free(done);
    return status;
}

gm_status gm_usage_read(gm_usage *out, gm_trace *trace, gm_usage_kind kind, gm_progress *progress,
                        gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    gm_usage usage = {.n = samples->n, .dim = (size_t)info->n_layers * (size_t)info->n_experts};
    key *keys = gm_alloc(usage.n, sizeof *keys);
    *out = (gm_usage){0};
    usage.rate = gm_alloc2(usage.n, usage.dim, sizeof *usage.rate);
    usage.place = gm_alloc(usage.n, sizeof *usage.place);
    usage.sha = gm_alloc(usage.n, sizeof *usage.sha);
    usage.subset = gm_alloc(usage.n, sizeof *usage.subset);
    usage.point = gm_alloc(usage.n, sizeof *usage.point);
    if (!keys || !usage.rate || !usage.place || !usage.sha || !usage.subset || !usage.point)
        GM_FAIL(GM_EMEM, "no memory for %zu documents of %zu experts", usage.n, usage.dim);

    if (kind == GM_USAGE_COUNTS)
        GM_TRY(read_counts(&usage, trace, progress, err));
    else
        GM_TRY(read_gates(&usage, trace, err));
    normalise(&usage, keys, samples);
    GM_TRY(put_in_order(&usage, keys, samples, err));
    *out = usage;
    usage = (gm_usage){0};
out:
    gm_free(keys);
    gm_usage_clear(&usage);
    return status;
}

void gm_usage_clear(gm_usage *usage)
{
    gm_free(usage->rate);
    gm_free(usage->place);
    gm_free(usage->sha);
    gm_free(usage->subset);
    gm_free(usage->point);
    *usage = (gm_usage){0};
}

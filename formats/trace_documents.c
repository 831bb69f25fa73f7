/* trace_documents.c - see trace_verify.h: the self-checks of a trace that go through its documents.
 */
#include "base/cli.h"
#include "base/threads.h"
#include "formats/trace_verify.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Read together and checked in parallel: whole documents. One that is longer is taken alone, in
 * pieces. */
enum { ROWS_AT_ONCE = 1 << 14, DOCUMENTS_AT_ONCE = 256 };

/* What one thread finds in one document. */
typedef struct finder {
    const struct verifier *v;
    gm_trace_check *check; /* (GM_N_CHECKS) of the document */
    uint32_t *counts;      /* (L,E) recounted */
    uint64_t *seen;        /* (E) number of the row that chose it last */
    uint64_t n_seen;
    uint32_t n_counted, n_bad; /* rows of the document so far */
} finder;

typedef struct verifier {
    gm_trace *trace;
    gm_trace_check *check; /* (GM_N_CHECKS), borrowed */
    int L, E, K, n_threads;
    uint64_t first;        /* token of the first row that was read */
    uint16_t *expert;      /* (rows,L,K) */
    float *gate, *norm;    /* (rows,L,K); norm NULL unless recorded */
    uint32_t *pos;         /* (rows) */
    uint8_t *phase;        /* (rows) */
    float *nll;            /* (rows) */
    uint32_t *stored;      /* (DOCUMENTS_AT_ONCE,L,E) counts read */
    uint64_t *load;        /* (L,E) over all documents, borrowed */
    gm_trace_check *found; /* (DOCUMENTS_AT_ONCE,GM_N_CHECKS) */
    finder *finder;        /* (n_threads) */
} verifier;

static gm_status verifier_init(verifier *v, gm_trace *trace, gm_trace_check *check, uint64_t *load,
                               gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    size_t L = (size_t)info->n_layers, E = (size_t)info->n_experts, K = (size_t)info->n_chosen;
    *v = (verifier){.trace = trace,
                    .check = check,
                    .load = load,
                    .L = (int)L,
                    .E = (int)E,
                    .K = (int)K,
                    .n_threads = (int)gm_max_threads()};
    const size_t rows = info->level >= GM_RECORD_CHOICES ? ROWS_AT_ONCE : 0;
    v->expert = gm_alloc2(rows, L * K, sizeof *v->expert);
    v->gate = gm_alloc2(rows, L * K, sizeof *v->gate);
    if (info->has_norms) v->norm = gm_alloc2(rows, L * K, sizeof *v->norm);
    v->pos = gm_alloc(rows, sizeof *v->pos);
    v->phase = gm_alloc(rows, sizeof *v->phase);
    v->nll = gm_alloc(rows, sizeof *v->nll);
    v->stored = gm_alloc2(DOCUMENTS_AT_ONCE, L * E, sizeof *v->stored);
    v->found = gm_alloc2(DOCUMENTS_AT_ONCE, GM_N_CHECKS, sizeof *v->found);
    v->finder = gm_alloc((size_t)v->n_threads, sizeof *v->finder);
    bool whole = v->expert && v->gate && (v->norm || !info->has_norms) && v->pos && v->phase &&
                 v->nll && v->stored && v->found && v->finder;
    for (int i = 0; whole && i < v->n_threads; i++) {
        finder *f = &v->finder[i];
        f->v = v;
        f->counts = gm_alloc2(L, E, sizeof *f->counts);
        f->seen = gm_alloc(E, sizeof *f->seen);
        whole = f->counts && f->seen;
    }
    if (whole) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory to verify a trace of %zu layers, %zu experts", L, E);
}

static void verifier_clear(verifier *v)
{
    for (int i = 0; v->finder && i < v->n_threads; i++) {
        gm_free(v->finder[i].counts);
        gm_free(v->finder[i].seen);
    }
    void *const block[] = {v->finder, v->expert, v->gate,   v->norm, v->pos,
                           v->phase,  v->nll,    v->stored, v->found};
    for (size_t i = 0; i < sizeof block / sizeof *block; i++) gm_free(block[i]);
}

/* ---- rows ---- */

/* One row's ids at all layers; true when it has a sentinel: a bad row. */
static bool check_ids(finder *f, const uint16_t *expert, uint64_t token)
{
    const verifier *v = f->v;
    bool bad = false;
    for (int l = 0; l < v->L; l++) {
        const uint16_t *chosen = expert + (size_t)l * (size_t)v->K; /* (K) */
        int n_none = 0;
        f->n_seen++;
        for (int k = 0; k < v->K; k++) {
            uint16_t e = chosen[k];
            if (e == GM_TRACE_NO_EXPERT) {
                n_none++;
            } else if (e >= v->E) {
                gm_trace_breach(f->check, GM_CHECK_IDS_IN_RANGE,
                                "token %" PRIu64 " layer %d chose expert %u, expected less than %d",
                                token, l, e, v->E);
                bad = true; /* it cannot be counted */
            } else if (f->seen[e] == f->n_seen) {
                gm_trace_breach(f->check, GM_CHECK_IDS_DISTINCT,
                                "token %" PRIu64 " layer %d chose expert %u twice", token, l, e);
            } else {
                f->seen[e] = f->n_seen;
            }
        }
        if (n_none != 0 && n_none != v->K)
            gm_trace_breach(f->check, GM_CHECK_SENTINELS,
                            "token %" PRIu64 " layer %d has %d sentinels of %d", token, l, n_none,
                            v->K);
        bad = bad || n_none > 0;
    }
    return bad;
}

static void check_gates(finder *f, const float *gate, const uint16_t *expert, uint64_t token)
{
    const int K = f->v->K;
    for (int l = 0; l < f->v->L; l++, gate += K, expert += K) {
        if (expert[0] == GM_TRACE_NO_EXPERT) continue;
        for (int k = 0; k < K; k++) {
            if (!isfinite(gate[k]))
                gm_trace_breach(f->check, GM_CHECK_GATES_FINITE,
                                "token %" PRIu64 " layer %d gate %d is %g", token, l, k,
                                (double)gate[k]);
            if (k > 0 && !(gate[k] <= gate[k - 1]))
                gm_trace_breach(f->check, GM_CHECK_GATES_ORDERED,
                                "token %" PRIu64 " layer %d gate %d is above gate %d", token, l, k,
                                k - 1);
        }
    }
}

static void check_norms(finder *f, const float *norm, const uint16_t *expert, uint64_t token)
{
    const int K = f->v->K;
    for (int i = 0; i < f->v->L * K; i++)
        if (expert[i] != GM_TRACE_NO_EXPERT && !(norm[i] >= 0 && norm[i] < INFINITY))
            gm_trace_breach(f->check, GM_CHECK_NORMS,
                            "token %" PRIu64 " layer %d choice %d has norm %g", token, i / K, i % K,
                            (double)norm[i]);
}

/* Add the chosen of one good row to the document's counts. */
static void count_row(finder *f, const uint16_t *expert)
{
    for (int l = 0; l < f->v->L; l++)
        for (int k = 0; k < f->v->K; k++) f->counts[l * f->v->E + *expert++]++;
}

/* Rows [first, first+n) of document i, which were read: ids, gates, norms, positions, phases, nll.
 */
static void check_rows(finder *f, size_t i, uint64_t first, size_t n)
{
    const verifier *v = f->v;
    const bool has_nll = gm_trace_get_info(v->trace)->has_nll;
    const bool has_gates = !gm_trace_get_info(v->trace)->no_gates;
    const uint64_t begin = gm_trace_get_samples(v->trace)->offset[i];
    const size_t width = (size_t)v->L * (size_t)v->K;
    for (uint64_t token = first; token < first + n; token++) {
        const size_t t = (size_t)(token - v->first);
        const uint16_t *expert = v->expert + t * width;
        bool bad = check_ids(f, expert, token);
        if (has_gates) check_gates(f, v->gate + t * width, expert, token);
        if (v->norm) check_norms(f, v->norm + t * width, expert, token);
        if (v->pos[t] != token - begin || v->phase[t] >= GM_TRACE_N_PHASES)
            gm_trace_breach(f->check, GM_CHECK_TOKENS,
                            "token %" PRIu64 " has position %u and phase %u", token, v->pos[t],
                            v->phase[t]);
        if (has_nll && !bad && (v->pos[t] == 0 ? !isnan(v->nll[t]) : !(v->nll[t] >= 0)))
            gm_trace_breach(f->check, GM_CHECK_NLL, "token %" PRIu64 " at position %u has nll %g",
                            token, v->pos[t], (double)v->nll[t]);
        if (v->phase[t] == GM_TRACE_TEMPLATE) continue;
        f->n_counted++;
        if (bad)
            f->n_bad++;
        else
            count_row(f, expert);
    }
}

/* ---- documents ---- */

/* The sum of each layer of the stored counts (L,E). */
static void check_sums(finder *f, size_t i, const uint32_t *stored)
{
    const gm_trace_samples *s = gm_trace_get_samples(f->v->trace);
    uint64_t want = (uint64_t)(s->n_tokens[i] - s->bad[i]) * (uint64_t)f->v->K;
    for (int l = 0; l < f->v->L; l++) {
        uint64_t sum = 0;
        for (int e = 0; e < f->v->E; e++) sum += stored[l * f->v->E + e];
        if (sum != want)
            gm_trace_breach(f->check, GM_CHECK_COUNTS_SUM,
                            "counts of document %zu layer %d sum to %" PRIu64
                            ", expected (%u - %u) * %d",
                            i, l, sum, s->n_tokens[i], s->bad[i], f->v->K);
    }
}

static void compare_counts(finder *f, size_t i, const uint32_t *stored)
{
    for (int k = 0; k < f->v->L * f->v->E; k++)
        if (f->counts[k] != stored[k])
            gm_trace_breach(f->check, GM_CHECK_COUNTS_MATCH,
                            "document %zu layer %d expert %d: counted %u, its tokens say %u", i,
                            k / f->v->E, k % f->v->E, stored[k], f->counts[k]);
}

/* What can be said of document i before its rows. */
static void begin_document(finder *f, size_t i, const uint32_t *stored, gm_trace_check *check)
{
    const uint32_t bad = gm_trace_get_samples(f->v->trace)->bad[i];
    f->check = check;
    for (int c = 0; c < GM_N_CHECKS; c++) check[c].passed = true;
    check_sums(f, i, stored);
    if (bad > 0)
        gm_trace_breach(check, GM_CHECK_BAD_ROWS,
                        "document %zu has %u tokens whose router was not finite", i, bad);
    memset(f->counts, 0, (size_t)f->v->L * (size_t)f->v->E * sizeof *f->counts);
    f->n_counted = f->n_bad = 0;
}

/* What all its rows together must be. */
static void end_document(finder *f, size_t i, const uint32_t *stored)
{
    const gm_trace_samples *s = gm_trace_get_samples(f->v->trace);
    if (f->n_counted != s->n_tokens[i])
        gm_trace_breach(f->check, GM_CHECK_TOKENS,
                        "document %zu has %u counted tokens, expected %u", i, f->n_counted,
                        s->n_tokens[i]);
    if (f->n_bad != s->bad[i])
        gm_trace_breach(f->check, GM_CHECK_SENTINELS,
                        "document %zu has %u rows with sentinels, expected %u", i, f->n_bad,
                        s->bad[i]);
    compare_counts(f, i, stored);
}

static gm_status read_rows(verifier *v, uint64_t first, size_t n, gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(v->trace);
    float *nll = info->has_nll ? v->nll : NULL, *gate = info->no_gates ? NULL : v->gate;
    v->first = first;
    gm_status status = gm_trace_read_routing(v->trace, first, n, v->expert, gate, NULL, NULL, err);
    if (status == GM_OK && v->norm) status = gm_trace_read_norms(v->trace, first, n, v->norm, err);
    if (status != GM_OK) return status;
    return gm_trace_read_tokens(v->trace, first, n, NULL, v->pos, v->phase, nll, err);
}

/* Document i, which is longer than what is read at once. */
static gm_status check_long(verifier *v, size_t i, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t *offset = gm_trace_get_samples(v->trace)->offset, end = offset[i + 1];
    finder *f = &v->finder[0];
    begin_document(f, i, v->stored, v->found);
    for (uint64_t t = offset[i]; t < end; t += ROWS_AT_ONCE) {
        const size_t n = end - t < ROWS_AT_ONCE ? (size_t)(end - t) : ROWS_AT_ONCE;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(read_rows(v, t, n, err));
        check_rows(f, i, t, n);
    }
    end_document(f, i, v->stored);
out:
    return status;
}

/* Documents [first, first+n), shared out among the threads. */
static gm_status check_together(verifier *v, size_t first, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const bool has_rows = gm_trace_get_info(v->trace)->level >= GM_RECORD_CHOICES;
    const uint64_t *offset = gm_trace_get_samples(v->trace)->offset;
    const size_t cells = (size_t)v->L * (size_t)v->E;
    if (has_rows)
        GM_TRY(read_rows(v, offset[first], (size_t)(offset[first + n] - offset[first]), err));
#pragma omp parallel for schedule(dynamic) num_threads(v->n_threads) if (n > 1)
    for (size_t i = 0; i < n; i++) {
        finder *f = &v->finder[gm_thread_number()];
        const size_t d = first + i;
        begin_document(f, d, v->stored + i * cells, v->found + i * GM_N_CHECKS);
        if (!has_rows) continue;
        check_rows(f, d, offset[d], (size_t)(offset[d + 1] - offset[d]));
        end_document(f, d, v->stored + i * cells);
    }
out:
    return status;
}

/* How many documents from `first` on are read together; one, however long, at least. */
static size_t n_together(const gm_trace *trace, size_t first)
{
    const gm_trace_samples *s = &trace->samples;
    size_t n = 1;
    while (first + n < s->n && n < DOCUMENTS_AT_ONCE &&
           s->offset[first + n + 1] - s->offset[first] <= ROWS_AT_ONCE)
        n++;
    return n;
}

static gm_status check_all(verifier *v, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *s = gm_trace_get_samples(v->trace);
    const bool has_rows = gm_trace_get_info(v->trace)->level >= GM_RECORD_CHOICES;
    const size_t cells = (size_t)v->L * (size_t)v->E;
    for (size_t first = 0, n; first < s->n; first += n) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        n = n_together(v->trace, first);
        GM_TRY(gm_trace_read_counts(v->trace, first, n, v->stored, err));
        if (has_rows && s->offset[first + n] - s->offset[first] > ROWS_AT_ONCE)
            GM_TRY(check_long(v, first, err));
        else
            GM_TRY(check_together(v, first, n, err));
        for (size_t i = 0; i < n * cells; i++) v->load[i % cells] += v->stored[i];
        for (size_t i = 0; i < n * GM_N_CHECKS; i++)
            if (!v->found[i].passed)
                gm_trace_breach(v->check, (gm_check_id)(i % GM_N_CHECKS), "%s", v->found[i].detail);
    }
out:
    return status;
}

gm_status gm_trace_check_documents(gm_trace *trace, gm_trace_check *check, uint64_t *load,
                                   gm_error *err)
{
    verifier v;
    gm_status status = verifier_init(&v, trace, check, load, err);
    if (status == GM_OK) status = check_all(&v, err);
    verifier_clear(&v);
    return status;
}

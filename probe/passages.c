/* passages.c - which texts of a trace gm-probe read shows: see passages.h. */
#include "probe/passages.h"

#include "base/cli.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "formats/find_subset.h"
#include "probe/best.h"
#include "probe/stats_documents.h"

#include <math.h>
#include <string.h>

enum { MIN_SHA_DIGITS = 8, SHA_DIGITS = 64 };

static gm_status add(gm_passages *p, const gm_trace_samples *s, size_t document, double value,
                     gm_error *err)
{
    gm_passage *grown = gm_grow(p->at, p->n, p->n + 1, sizeof *grown);
    if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu texts", p->n + 1);
    p->at = grown;
    p->at[p->n++] = (gm_passage){.document = document,
                                 .first = s->offset[document],
                                 .n = (size_t)(s->offset[document + 1] - s->offset[document]),
                                 .hit = GM_NO_HIT,
                                 .value = value};
    return GM_OK;
}

/* ---- by name ---- */

static bool begins_sha(const gm_trace_samples *s, size_t document, const char *digits, size_t n)
{
    char hex[SHA_DIGITS + 1];
    gm_sha256_hex(s->sha + 32 * document, hex);
    return memcmp(hex, digits, n) == 0;
}

/* Ids come first, as they may look like the others; of equal ones the first document. */
static gm_status find_document(size_t *at, const char *name, const gm_trace_samples *s,
                               gm_error *err)
{
    const size_t n = strlen(name);
    size_t found = 0;
    uint64_t number;
    *at = 0;
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->id[i], name) == 0) {
            *at = i;
            return GM_OK;
        }
    if (n >= MIN_SHA_DIGITS && n <= SHA_DIGITS && strspn(name, "0123456789abcdef") == n)
        for (size_t i = s->n; i-- > 0;)
            if (begins_sha(s, i, name, n)) *at = i, found++;
    if (found > 1)
        return gm_fail(err, GM_EARG,
                       "--doc '%s': the sha of %zu documents begins like this; give more digits",
                       name, found);
    if (found == 1) return GM_OK;
    if (!gm_parse_u64(name, &number))
        return gm_fail(err, GM_EARG, "--doc '%s': no document has this id or sha", name);
    if (number >= s->n)
        return gm_fail(err, GM_EARG, "--doc '%s': expected a document from 0 to %zu", name,
                       s->n - 1);
    *at = (size_t)number;
    return GM_OK;
}

static gm_status choose_named(gm_passages *out, const gm_trace_samples *s,
                              const gm_passages_wanted *w, gm_error *err)
{
    gm_status status = GM_OK;
    size_t at;
    for (size_t i = 0; i < w->n_documents; i++) {
        GM_TRY(find_document(&at, w->document[i], s, err));
        GM_TRY(add(out, s, at, (double)NAN, err));
    }
out:
    return status;
}

/* ---- by subset ---- */

/* `limit` documents of a subset of n, the i-th at (2i+1)/(2 limit) of it. */
static gm_status add_subset(gm_passages *out, const gm_trace_samples *s, size_t subset, size_t n,
                            size_t limit, gm_error *err)
{
    gm_status status = GM_OK;
    size_t taken = 0, number = 0;
    if (limit > n) limit = n;
    for (size_t d = 0; d < s->n && taken < limit; d++) {
        if (s->subset[d] != subset) continue;
        if (number++ == (2 * taken + 1) * n / (2 * limit)) {
            GM_TRY(add(out, s, d, (double)NAN, err));
            taken++;
        }
    }
out:
    return status;
}

static gm_status choose_of_subsets(gm_passages *out, const gm_trace_samples *s,
                                   const gm_passages_wanted *w, gm_error *err)
{
    gm_status status = GM_OK;
    gm_best best = {0};
    size_t *size = gm_alloc(s->n_subsets, sizeof *size);
    if (size == NULL) GM_FAIL(GM_EMEM, "no memory for %zu subsets", s->n_subsets);
    for (size_t d = 0; d < s->n; d++) size[s->subset[d]]++;
    for (size_t i = 0; i < w->n_subsets; i++) {
        size_t at;
        GM_TRY(gm_find_subset(&at, w->subset[i], s->subset_name, s->n_subsets, "trace", err));
        GM_TRY(add_subset(out, s, at, size[at], w->limit, err));
    }
    if (w->n_subsets > 0) goto out;
    GM_TRY(gm_best_init(&best, GM_PASSAGE_SUBSETS, err));
    for (size_t i = 0; i < s->n_subsets; i++) gm_best_offer(&best, i, (double)size[i]);
    for (size_t i = 0; i < best.n; i++)
        GM_TRY(add_subset(out, s, best.at[i], size[best.at[i]], w->limit, err));
out:
    gm_best_clear(&best);
    gm_free(size);
    return status;
}

/* ---- by expert ---- */

typedef struct searching {
    const gm_passages_wanted *wanted;
    const gm_trace_samples *samples;
    size_t L, E, K;
    const bool *in;  /* (n_subsets) documents of these alone; NULL: of all */
    uint32_t *chose; /* (N) tokens that chose the expert */
    gm_best shares;  /* documents */
    gm_best gates;   /* documents, by the largest gate in them */
    uint64_t *row;   /* (N) where that is */
} searching;

static void take_counts(void *context, size_t first, size_t n, const uint32_t *counts)
{
    searching *f = context;
    const gm_trace_samples *s = f->samples;
    for (size_t d = first; d < first + n; d++, counts += f->L * f->E) {
        double tokens = (double)s->n_tokens[d] - (double)s->bad[d];
        if (f->in && !f->in[s->subset[d]]) continue;
        f->chose[d] = counts[f->wanted->l * f->E + f->wanted->e];
        if (f->chose[d] > 0) gm_best_offer(&f->shares, d, (double)f->chose[d] / tokens);
    }
}

/* The largest gate of the expert in a document's text, of equal ones the first. Template tokens are
 * the same in all documents, so that a begin token would be all there is to see. */
static gm_status find_peak(searching *f, gm_trace *trace, size_t document, uint16_t *expert,
                           float *gate, uint8_t *phase, gm_error *err)
{
    const uint64_t first = f->samples->offset[document];
    const size_t n = (size_t)(f->samples->offset[document + 1] - first);
    double largest = (double)NAN;
    gm_status status = gm_trace_read_routing(trace, first, n, expert, gate, NULL, NULL, err);
    if (status == GM_OK)
        status = gm_trace_read_tokens(trace, first, n, NULL, NULL, phase, NULL, err);
    for (size_t t = 0; status == GM_OK && t < n; t++) {
        if (phase[t] == GM_TRACE_TEMPLATE) continue;
        const size_t at = (t * f->L + f->wanted->l) * f->K;
        for (size_t k = at; k < at + f->K; k++)
            if (expert[k] == f->wanted->e && !((double)gate[k] <= largest))
                largest = (double)gate[k], f->row[document] = first + t;
    }
    gm_best_offer(&f->gates, document, largest);
    return status;
}

static gm_status find_peaks(searching *f, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *s = f->samples;
    gm_progress progress;
    size_t longest = 0;
    uint16_t *expert = NULL;
    float *gate = NULL;
    uint8_t *phase = NULL;
    gm_progress_start(&progress, "read", "documents", (double)s->n, f->wanted->quiet);
    for (size_t d = 0; d < s->n; d++) {
        size_t n = (size_t)(s->offset[d + 1] - s->offset[d]);
        if (f->chose[d] > 0 && n > longest) longest = n;
    }
    expert = gm_alloc2(longest, f->L * f->K, sizeof *expert);
    gate = gm_alloc2(longest, f->L * f->K, sizeof *gate);
    phase = gm_alloc(longest, sizeof *phase);
    if (expert == NULL || gate == NULL || phase == NULL)
        GM_FAIL(GM_EMEM, "no memory for a document of %zu tokens", longest);
    for (size_t d = 0; d < s->n; d++) {
        if (f->chose[d] == 0) continue;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(find_peak(f, trace, d, expert, gate, phase, err));
        gm_progress_set(&progress, (double)(d + 1));
    }
out:
    gm_progress_end(&progress);
    gm_free(expert);
    gm_free(gate);
    gm_free(phase);
    return status;
}

/* Cut the last passage down to what is around `row`. */
static void cut_around(gm_passage *p, uint64_t row)
{
    const uint64_t end = p->first + p->n, reach = GM_PASSAGE_REACH;
    const uint64_t from = row - p->first > reach ? row - reach : p->first;
    const uint64_t to = end - row > reach + 1 ? row + reach + 1 : end;
    p->first = from;
    p->n = (size_t)(to - from);
    p->hit = (int64_t)(row - from);
}

static gm_status mark_subsets(bool **in, const gm_trace_samples *s, const gm_passages_wanted *w,
                              gm_error *err)
{
    gm_status status = GM_OK;
    *in = NULL;
    if (w->n_subsets == 0) return GM_OK;
    *in = gm_alloc(s->n_subsets, sizeof **in);
    if (*in == NULL) GM_FAIL(GM_EMEM, "no memory for %zu subsets", s->n_subsets);
    for (size_t i = 0; i < w->n_subsets; i++) {
        size_t at;
        GM_TRY(gm_find_subset(&at, w->subset[i], s->subset_name, s->n_subsets, "trace", err));
        (*in)[at] = true;
    }
out:
    return status;
}

static gm_status choose_of_expert(gm_passages *out, gm_trace *trace, const gm_passages_wanted *w,
                                  gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *s = gm_trace_get_samples(trace);
    bool *in = NULL;
    searching f = {.wanted = w,
                   .samples = s,
                   .L = (size_t)info->n_layers,
                   .E = (size_t)info->n_experts,
                   .K = (size_t)info->n_chosen};
    f.chose = gm_alloc(s->n, sizeof *f.chose);
    f.row = gm_alloc(s->n, sizeof *f.row);
    if (f.chose == NULL || f.row == NULL) GM_FAIL(GM_EMEM, "no memory for %zu documents", s->n);
    GM_TRY(mark_subsets(&in, s, w, err));
    f.in = in;
    GM_TRY(gm_best_init(&f.shares, w->limit, err));
    GM_TRY(gm_best_init(&f.gates, w->peaks, err));
    GM_TRY(gm_stats_for_documents(trace, take_counts, &f, err));
    if (w->peaks > 0 && !info->no_gates) GM_TRY(find_peaks(&f, trace, err));
    for (size_t i = 0; i < f.shares.n; i++)
        GM_TRY(add(out, s, f.shares.at[i], f.shares.value[i], err));
    for (size_t i = 0; i < f.gates.n; i++) {
        GM_TRY(add(out, s, f.gates.at[i], f.gates.value[i], err));
        cut_around(&out->at[out->n - 1], f.row[f.gates.at[i]]);
    }
    if (out->n == 0)
        GM_FAIL(GM_EARG, "expert %d:%zu was chosen in no document%s", info->layer_of_moe[w->l],
                w->e, w->n_subsets > 0 ? " of these subsets" : "");
out:
    gm_free(in);
    gm_free(f.chose);
    gm_free(f.row);
    gm_best_clear(&f.shares);
    gm_best_clear(&f.gates);
    return status;
}

gm_status gm_passages_choose(gm_passages *out, gm_trace *trace, const gm_passages_wanted *w,
                             gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *s = gm_trace_get_samples(trace);
    *out = (gm_passages){0};
    if (gm_trace_n_tokens(trace) == 0)
        GM_FAIL(
            GM_EABSENT,
            "the trace has counts but no tokens; 'gm-probe collect --record choices' records them");
    if (w->n_documents > 0)
        GM_TRY(choose_named(out, s, w, err));
    else if (w->by_expert)
        GM_TRY(choose_of_expert(out, trace, w, err));
    else
        GM_TRY(choose_of_subsets(out, s, w, err));
    if (out->n == 0) GM_FAIL(GM_EARG, "there is no document to show");
out:
    if (status != GM_OK) gm_passages_clear(out);
    return status;
}

void gm_passages_clear(gm_passages *passages)
{
    gm_free(passages->at);
    *passages = (gm_passages){0};
}

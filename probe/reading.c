/* reading.c - see reading.h. */
#include "probe/reading.h"

#include "base/cli.h"
#include "base/half.h"
#include "probe/stats_documents.h"

/* What one passage's rows are read into, (n,L,K) and (n,L). */
typedef struct routing_rows {
    uint16_t *expert;
    float *gate, *margin;
} routing_rows;

typedef struct adding {
    const gm_reading *reading;
    const gm_trace_samples *samples;
    const size_t *layer;
    size_t L;
    uint64_t *count; /* (M,E) */
    double tokens;
} adding;

static gm_status make(gm_reading *r, const gm_trace_info *info, gm_error *err)
{
    const bool nll = info->has_nll, gates = !info->no_gates, margins = !info->no_margins;
    r->token = gm_alloc(r->T, sizeof *r->token);
    r->pos = gm_alloc(r->T, sizeof *r->pos);
    r->phase = gm_alloc(r->T, sizeof *r->phase);
    r->nll = nll ? gm_alloc(r->T, sizeof *r->nll) : NULL;
    r->expert = gm_alloc2(r->M * r->K, r->T, sizeof *r->expert);
    r->gate = gates ? gm_alloc2(r->M * r->K, r->T, sizeof *r->gate) : NULL;
    r->margin = margins ? gm_alloc2(r->M, r->T, sizeof *r->margin) : NULL;
    r->corpus = gm_alloc2(r->M, r->E, sizeof *r->corpus);
    if (r->token && r->pos && r->phase && (r->nll || !nll) && r->expert && (r->gate || !gates) &&
        (r->margin || !margins) && r->corpus)
        return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for %zu tokens", r->T);
}

/* ---- tokens ---- */

/* Rows of one passage into places at .. at+n-1 of every layer kept. */
static void place(gm_reading *r, const routing_rows *from, size_t at, size_t n, const size_t *layer,
                  size_t L)
{
    for (size_t m = 0; m < r->M; m++)
        for (size_t t = 0; t < n; t++) {
            const size_t source = t * L + layer[m], to = m * r->T + at + t;
            for (size_t k = 0; k < r->K; k++)
                r->expert[to * r->K + k] = from->expert[source * r->K + k];
            if (r->margin) r->margin[to] = gm_half_from_f32(from->margin[source]);
            for (size_t k = 0; r->gate && k < r->K; k++)
                r->gate[to * r->K + k] = gm_half_from_f32(from->gate[source * r->K + k]);
        }
}

static gm_status read_tokens(gm_reading *r, gm_trace *trace, const gm_passages *p,
                             const size_t *layer, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t L = (size_t)gm_trace_get_info(trace)->n_layers;
    const bool gates = r->gate != NULL, margins = r->margin != NULL;
    size_t longest = 0, at = 0;
    routing_rows rows = {0};
    for (size_t i = 0; i < p->n; i++)
        if (p->at[i].n > longest) longest = p->at[i].n;
    rows.expert = gm_alloc2(longest, L * r->K, sizeof *rows.expert);
    rows.gate = gates ? gm_alloc2(longest, L * r->K, sizeof *rows.gate) : NULL;
    rows.margin = margins ? gm_alloc2(longest, L, sizeof *rows.margin) : NULL;
    if (!rows.expert || (gates && !rows.gate) || (margins && !rows.margin))
        GM_FAIL(GM_EMEM, "no memory for a document of %zu tokens", longest);
    for (size_t i = 0; i < p->n; at += p->at[i++].n) {
        const gm_passage *from = &p->at[i];
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        if (from->n == 0) continue;
        GM_TRY(gm_trace_read_tokens(trace, from->first, from->n, r->token + at, r->pos + at,
                                    r->phase + at, r->nll ? r->nll + at : NULL, err));
        GM_TRY(gm_trace_read_routing(trace, from->first, from->n, rows.expert, rows.gate, NULL,
                                     rows.margin, err));
        place(r, &rows, at, from->n, layer, L);
    }
out:
    gm_free(rows.expert);
    gm_free(rows.gate);
    gm_free(rows.margin);
    return status;
}

/* ---- the corpus ---- */

static void add_counts(void *context, size_t first, size_t n, const uint32_t *counts)
{
    adding *a = context;
    const size_t M = a->reading->M, E = a->reading->E;
    for (size_t d = first; d < first + n; d++, counts += a->L * E) {
        a->tokens += (double)a->samples->n_tokens[d] - (double)a->samples->bad[d];
        for (size_t m = 0; m < M; m++)
            for (size_t e = 0; e < E; e++) a->count[m * E + e] += counts[a->layer[m] * E + e];
    }
}

static gm_status read_corpus(gm_reading *r, gm_trace *trace, const size_t *layer, gm_error *err)
{
    gm_status status = GM_OK;
    adding a = {.reading = r,
                .samples = gm_trace_get_samples(trace),
                .layer = layer,
                .L = (size_t)gm_trace_get_info(trace)->n_layers,
                .count = gm_alloc2(r->M, r->E, sizeof *a.count)};
    if (a.count == NULL) GM_FAIL(GM_EMEM, "no memory for the counts of %zu layers", r->M);
    GM_TRY(gm_stats_for_documents(trace, add_counts, &a, err));
    for (size_t i = 0; a.tokens > 0 && i < r->M * r->E; i++)
        r->corpus[i] = (float)((double)a.count[i] / a.tokens);
out:
    gm_free(a.count);
    return status;
}

gm_status gm_reading_read(gm_reading *out, gm_trace *trace, const gm_passages *passages,
                          const size_t *layer, size_t M, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    *out = (gm_reading){.M = M, .E = (size_t)info->n_experts, .K = (size_t)info->n_chosen};
    for (size_t i = 0; i < passages->n; i++) out->T += passages->at[i].n;
    GM_TRY(make(out, info, err));
    GM_TRY(read_tokens(out, trace, passages, layer, err));
    GM_TRY(read_corpus(out, trace, layer, err));
out:
    if (status != GM_OK) gm_reading_clear(out);
    return status;
}

void gm_reading_clear(gm_reading *r)
{
    gm_free(r->token);
    gm_free(r->pos);
    gm_free(r->phase);
    gm_free(r->nll);
    gm_free(r->expert);
    gm_free(r->gate);
    gm_free(r->margin);
    gm_free(r->corpus);
    *r = (gm_reading){0};
}

/* stats_outputs.c - sums over norms of experts' outputs: see stats_outputs.h. */
#include "probe/stats_outputs.h"

#include "base/cli.h"

#include <inttypes.h>
#include <math.h>

enum { ROWS_AT_ONCE = 4096 };

/* Rows of routing that were read together. */
typedef struct rows {
    uint16_t *expert;   /* (n,L,K) */
    float *gate, *norm; /* (n,L,K) */
    uint8_t *phase;     /* (n) */
} rows;

/* The choices of layer l in n rows. False when one is of an expert that there is not. */
static bool add_layer(gm_outputs *o, const rows *b, size_t l, size_t n, size_t K)
{
    for (size_t t = 0; t < n; t++) {
        if (b->phase[t] == GM_TRACE_TEMPLATE) continue;
        for (size_t i = (t * o->L + l) * K, end = i + K; i < end; i++) {
            if (b->expert[i] == GM_TRACE_NO_EXPERT) continue;
            if (b->expert[i] >= o->E) return false;
            gm_output_sum *sum = &o->sum[l * o->E + b->expert[i]];
            const double norm = (double)b->norm[i];
            sum->n++;
            sum->norms += norm;
            sum->weighted += (double)b->gate[i] * norm;
            if (norm > sum->largest) sum->largest = norm;
        }
    }
    return true;
}

static gm_status add_rows(gm_outputs *o, gm_trace *trace, rows *b, uint64_t first, size_t n,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const size_t K = (size_t)gm_trace_get_info(trace)->n_chosen;
    bool fine = true;
    GM_TRY(gm_trace_read_routing(trace, first, n, b->expert, b->gate, NULL, NULL, err));
    GM_TRY(gm_trace_read_norms(trace, first, n, b->norm, err));
    GM_TRY(gm_trace_read_tokens(trace, first, n, NULL, NULL, b->phase, NULL, err));
#pragma omp parallel for schedule(dynamic) reduction(&& : fine)
    for (size_t l = 0; l < o->L; l++) fine = add_layer(o, b, l, n, K) && fine;
    if (!fine)
        GM_FAIL(GM_EFORMAT, "a token from %" PRIu64 " on chose an expert above %zu, the last",
                first, o->E - 1);
out:
    return status;
}

gm_status gm_outputs_count(gm_outputs *o, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = gm_trace_get_info(trace);
    const size_t LK = (size_t)info->n_layers * (size_t)info->n_chosen;
    rows b = {.expert = gm_alloc2(ROWS_AT_ONCE, LK, sizeof *b.expert),
              .gate = gm_alloc2(ROWS_AT_ONCE, LK, sizeof *b.gate),
              .norm = gm_alloc2(ROWS_AT_ONCE, LK, sizeof *b.norm),
              .phase = gm_alloc(ROWS_AT_ONCE, sizeof *b.phase)};
    *o = (gm_outputs){.L = (size_t)info->n_layers, .E = (size_t)info->n_experts};
    o->sum = gm_alloc2(o->L, o->E, sizeof *o->sum);
    if (!b.expert || !b.gate || !b.norm || !b.phase || !o->sum)
        GM_FAIL(GM_EMEM, "no memory for the norms of %d rows", (int)ROWS_AT_ONCE);
    for (uint64_t first = 0; first < gm_trace_n_tokens(trace);) {
        const size_t n = gm_trace_batch(trace, first, ROWS_AT_ONCE);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(add_rows(o, trace, &b, first, n, err));
        first += n;
    }
out:
    gm_free(b.expert);
    gm_free(b.gate);
    gm_free(b.norm);
    gm_free(b.phase);
    if (status != GM_OK) gm_outputs_clear(o);
    return status;
}

void gm_outputs_clear(gm_outputs *o)
{
    gm_free(o->sum);
    *o = (gm_outputs){0};
}

/* ---- scores ---- */

double gm_outputs_ean(const gm_outputs *o, size_t l, size_t e)
{
    return o->sum[l * o->E + e].norms;
}

double gm_outputs_reap(const gm_outputs *o, size_t l, size_t e)
{
    const gm_output_sum *sum = &o->sum[l * o->E + e];
    return sum->n > 0 ? sum->weighted / (double)sum->n : NAN;
}

double gm_outputs_mean_reap(const gm_outputs *o, size_t l)
{
    double all = 0;
    size_t n = 0;
    for (size_t e = 0; e < o->E; e++)
        if (o->sum[l * o->E + e].n > 0) all += gm_outputs_reap(o, l, e), n++;
    return n > 0 ? all / (double)n : NAN;
}

double gm_outputs_relative_reap(const gm_outputs *o, size_t l, size_t e)
{
    return gm_outputs_reap(o, l, e) / gm_outputs_mean_reap(o, l);
}

double gm_outputs_ean_share(const gm_outputs *o, size_t l, size_t e)
{
    double all = 0;
    for (size_t i = 0; i < o->E; i++) all += o->sum[l * o->E + i].norms;
    return all > 0 ? o->sum[l * o->E + e].norms / all : NAN;
}

double gm_outputs_choice_share(const gm_outputs *o, size_t l, size_t e)
{
    uint64_t all = 0;
    for (size_t i = 0; i < o->E; i++) all += o->sum[l * o->E + i].n;
    return all > 0 ? (double)o->sum[l * o->E + e].n / (double)all : NAN;
}

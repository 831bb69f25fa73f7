/* stats_route.c - entropy, mass and margin of the router by layer, phase and position: one
 * pass over /routing, a chunk's rows at a time, a layer a thread.
 */
#include <math.h>

#include "base/cli.h"
#include "base/progress.h"
#include "engine/engine.h"
#include "probe/stats.h"

enum { ROWS_AT_ONCE = 8192 }; /* rows: the largest chunk of a trace */

typedef struct rows {
    uint16_t *expert;         /* (n,L,K) */
    float *gate;              /* (n,L,K) */
    float *mass, *margin;     /* (n,L) */
    uint32_t *token_id, *pos; /* (n) */
    uint8_t *phase;           /* (n) */
    bool *good;               /* (n) it has K choices at every layer */
    int16_t *place;           /* (n) phase * POSITIONS + bin, of good rows */
} rows;

static gm_status rows_init(rows *b, const gm_stats *s, gm_error *err)
{
    size_t n = ROWS_AT_ONCE, LK = s->L * s->K;
    *b = (rows){.expert = gm_alloc2(n, LK, sizeof *b->expert),
                .gate = gm_alloc2(n, LK, sizeof *b->gate),
                .mass = gm_alloc2(n, s->L, sizeof *b->mass),
                .margin = gm_alloc2(n, s->L, sizeof *b->margin),
                .token_id = gm_alloc(n, sizeof *b->token_id),
                .pos = gm_alloc(n, sizeof *b->pos),
                .phase = gm_alloc(n, sizeof *b->phase),
                .good = gm_alloc(n, sizeof *b->good),
                .place = gm_alloc(n, sizeof *b->place)};
    if (b->expert && b->gate && b->mass && b->margin && b->token_id && b->pos && b->phase &&
        b->good && b->place)
        return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for %zu rows of routing", n);
}

static void rows_clear(rows *b)
{
    gm_free(b->expert);
    gm_free(b->gate);
    gm_free(b->mass);
    gm_free(b->margin);
    gm_free(b->token_id);
    gm_free(b->pos);
    gm_free(b->good);
    gm_free(b->phase);
    gm_free(b->place);
}

static int bin_of(uint32_t pos)
{
    int bin = 0;
    for (; pos > 0 && bin < GM_STATS_POSITIONS - 1; pos >>= 1) bin++;
    return bin;
}

/* A row counts at all layers or, where a choice is missing, at none. `first`: the first row's
 * number. */
static gm_status find_places(rows *b, const gm_stats *s, uint64_t first, size_t n, gm_error *err)
{
    for (size_t t = 0; t < n; t++) {
        const uint16_t *expert = b->expert + t * s->L * s->K; /* (L,K) */
        b->good[t] = b->phase[t] < GM_STATS_PHASES;
        for (size_t i = 0; i < s->L * s->K; i++) {
            if (expert[i] < s->E) continue;
            if (expert[i] != GM_TRACE_NO_EXPERT)
                return gm_fail(err, GM_EFORMAT, "token %llu chose expert %u of %zu",
                               (unsigned long long)(first + t), expert[i], s->E);
            b->good[t] = false;
        }
        b->place[t] = (int16_t)(b->phase[t] * GM_STATS_POSITIONS + bin_of(b->pos[t]));
    }
    return GM_OK;
}

/* -sum p ln p of K gates over their sum; 0 when they sum to nothing. */
static double entropy_of(const float *gate, size_t K)
{
    float sum = 0, logs = 0;
    for (size_t k = 0; k < K; k++) {
        sum += gate[k];
        if (gate[k] > 0) logs += gate[k] * logf(gate[k]);
    }
    return sum > 0 ? (double)logf(sum) - (double)logs / (double)sum : 0;
}

static int64_t units(double value)
{
    return llrint(value * GM_STATS_UNIT);
}

static void add_layer(gm_stats *s, const rows *b, size_t l, size_t n)
{
    gm_router_sum *router = s->router + l * GM_STATS_PHASES * GM_STATS_POSITIONS;
    for (size_t t = 0; t < n; t++) {
        if (!b->good[t]) continue;
        gm_router_sum *sum = &router[b->place[t]];
        size_t at = t * s->L + l;
        double entropy = entropy_of(b->gate + at * s->K, s->K);
        double mass = (double)b->mass[at], margin = (double)b->margin[at];
        if (!isfinite(entropy) || !isfinite(mass)) continue; /* `verify` complains of it */
        sum->n++;
        sum->entropy_nats += units(entropy);
        sum->mass += units(mass);
        if (!isfinite(margin)) continue; /* infinite when K = E */
        sum->n_margin++;
        sum->margin += units(margin);
    }
}

/* Rows [first, first+n). */
static gm_status add_rows(gm_stats *s, gm_trace *trace, rows *b, uint64_t first, size_t n,
                          gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t *token_id = s->has_tokens ? b->token_id : NULL;
    GM_TRY(gm_trace_read_routing(trace, first, n, b->expert, b->gate, b->mass, b->margin, err));
    GM_TRY(gm_trace_read_tokens(trace, first, n, token_id, b->pos, b->phase, NULL, err));
    GM_TRY(find_places(b, s, first, n, err));
#pragma omp parallel for schedule(static)
    for (size_t l = 0; l < s->L; l++) add_layer(s, b, l, n);
    if (s->has_tokens)
        gm_token_counts_add(&s->by_token, b->expert, b->token_id, b->phase, b->good, n);
out:
    return status;
}

gm_status gm_stats_route(gm_stats *s, gm_trace *trace, const gm_stats_options *options,
                         gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t T = gm_trace_n_tokens(trace);
    rows b = {0};
    gm_progress progress;
    gm_progress_start(&progress, "stats", "tokens", (double)T, options->quiet);
    s->router = gm_alloc2(s->L, (size_t)GM_STATS_PHASES * GM_STATS_POSITIONS, sizeof *s->router);
    if (s->router == NULL) GM_FAIL(GM_EMEM, "no memory for %zu layers", s->L);
    s->has_tokens = options->vocabulary > 0;
    if (s->has_tokens)
        GM_TRY(gm_token_counts_init(&s->by_token, trace, options->vocabulary, ROWS_AT_ONCE,
                                    options->seed, err));
    GM_TRY(rows_init(&b, s, err));
    for (uint64_t first = 0; first < T; first += ROWS_AT_ONCE) {
        size_t n = T - first < ROWS_AT_ONCE ? (size_t)(T - first) : ROWS_AT_ONCE;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(add_rows(s, trace, &b, first, n, err));
        gm_progress_set(&progress, (double)(first + n));
    }
out:
    gm_progress_end(&progress);
    rows_clear(&b);
    return status;
}

gm_router_sum gm_stats_router_sum(const gm_stats *s, size_t l, size_t n_layers, int p, int b)
{
    gm_router_sum sum = {0};
    for (size_t i = l; i < l + n_layers; i++)
        for (int place = 0; place < GM_STATS_PHASES * GM_STATS_POSITIONS; place++) {
            int phase = place / GM_STATS_POSITIONS, bin = place % GM_STATS_POSITIONS;
            const gm_router_sum *r =
                &s->router[i * GM_STATS_PHASES * GM_STATS_POSITIONS + (size_t)place];
            if (p < 0 ? phase == GM_PHASE_TEMPLATE : phase != p) continue;
            if (b >= 0 && bin != b) continue;
            sum.n += r->n;
            sum.n_margin += r->n_margin;
            sum.entropy_nats += r->entropy_nats;
            sum.mass += r->mass;
            sum.margin += r->margin;
        }
    return sum;
}

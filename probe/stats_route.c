/* stats_route.c - entropy, mass and margin of the router by layer, phase and position, repeated
 * experts, and the counts by token: one pass over /routing. Of a batch, tokens are shared out over
 * threads for the router, then layers for the counts.
 */
#include "base/cli.h"
#include "base/progress.h"
#include "probe/stats.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { ROWS_AT_ONCE = 8192, N_PARTS = 8 }; /* rows: the largest chunk of a trace; of them a part */
enum { PLACES = GM_TRACE_N_PHASES * GM_STATS_POSITIONS };

/* g ln g of every half from 2^-24 to 1, in order: gates are halves, and a logarithm of each would
 * take longer than all the rest. As a float, a half has 10 bits of fraction; its upper 19 bits
 * number them, from those of 2^-24 on. */
enum { LOG_FIRST = 103 << 10, N_LOGS = (127 << 10) - LOG_FIRST + 1 };

typedef struct rows {
    uint16_t *expert;         /* (n,L,K) */
    uint16_t *by_layer;       /* (L,n,K) of good rows */
    float *gate;              /* (n,L,K) */
    float *mass, *margin;     /* (n,L) */
    uint32_t *token_id, *pos; /* (n) */
    uint8_t *phase;           /* (n) */
    bool *good;               /* (n) it has K choices at every layer */
    float *logs;              /* (N_LOGS) */
    gm_router_sum *sum;       /* (N_PARTS,L,PLACES) */
} rows;

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static gm_status rows_init(rows *b, const gm_stats *s, gm_error *err)
{
    size_t n = ROWS_AT_ONCE, LK = s->L * s->K;
    const size_t gated = s->router ? n : 0;                           /* rows that have gates */
    const size_t weighed = s->router && !s->info->no_margins ? n : 0; /* masses and margins */
    *b = (rows){.expert = gm_alloc2(n, LK, sizeof *b->expert),
                .by_layer = gm_alloc2(n, LK, sizeof *b->by_layer),
                .gate = gm_alloc2(gated, LK, sizeof *b->gate),
                .mass = gm_alloc2(weighed, s->L, sizeof *b->mass),
                .margin = gm_alloc2(weighed, s->L, sizeof *b->margin),
                .token_id = gm_alloc(n, sizeof *b->token_id),
                .pos = gm_alloc(n, sizeof *b->pos),
                .phase = gm_alloc(n, sizeof *b->phase),
                .good = gm_alloc(n, sizeof *b->good),
                .logs = gm_alloc(N_LOGS, sizeof *b->logs),
                .sum = gm_alloc2(N_PARTS * s->L, PLACES, sizeof *b->sum)};
    if (!(b->expert && b->by_layer && b->gate && b->mass && b->margin && b->token_id && b->pos &&
          b->phase && b->good && b->logs && b->sum))
        return gm_fail(err, GM_EMEM, "no memory for %zu rows of routing", n);
    for (uint32_t i = 0; i < N_LOGS; i++) {
        float g = float_of((LOG_FIRST + i) << 13);
        b->logs[i] = g * logf(g);
    }
    return GM_OK;
}

static void rows_clear(rows *b)
{
    gm_free(b->expert);
    gm_free(b->by_layer);
    gm_free(b->gate);
    gm_free(b->mass);
    gm_free(b->margin);
    gm_free(b->token_id);
    gm_free(b->pos);
    gm_free(b->good);
    gm_free(b->phase);
    gm_free(b->logs);
    gm_free(b->sum);
}

int gm_stats_position_bin(uint32_t pos)
{
    int bin = 0;
    for (; pos > 0 && bin < GM_STATS_POSITIONS - 1; pos >>= 1) bin++;
    return bin;
}

/* g ln g */
static float log_of(const rows *b, float g)
{
    uint32_t bits;
    memcpy(&bits, &g, sizeof bits);
    uint32_t at = (bits >> 13) - LOG_FIRST;
    if (at < N_LOGS && (bits & 0x1FFF) == 0) return b->logs[at];
    return g > 0 ? g * logf(g) : 0;
}

/* -sum p ln p of K gates over their sum; 0 when they sum to nothing. */
static double entropy_of(const rows *b, const float *gate, size_t K)
{
    float sum = 0, logs = 0;
    for (size_t k = 0; k < K; k++) {
        sum += gate[k];
        logs += log_of(b, gate[k]);
    }
    return sum > 0 ? (double)logf(sum) - (double)logs / (double)sum : 0;
}

static int64_t units(double value)
{
    return llrint(value * GM_STATS_UNIT);
}

/* Row t to the sums of its phase and position, (L,PLACES) from `sum` on. */
static void add_router(const gm_stats *s, const rows *b, size_t t, gm_router_sum *sum)
{
    const size_t L = s->L, K = s->K;
    const bool weighed = !s->info->no_margins;
    for (size_t l = 0; l < L; l++, sum += PLACES) {
        size_t at = t * L + l;
        double entropy = entropy_of(b, b->gate + at * K, K);
        double mass = weighed ? (double)b->mass[at] : 0;
        double margin = weighed ? (double)b->margin[at] : 0;
        if (!isfinite(entropy) || !isfinite(mass)) continue; /* `verify` complains of it */
        sum->n++;
        sum->entropy_nats += units(entropy);
        if (!weighed) continue;
        sum->n_mass++;
        sum->mass += units(mass);
        if (!isfinite(margin)) continue; /* infinite when K = E */
        sum->n_margin++;
        sum->margin += units(margin);
    }
}

/* A row counts at all layers or, where a choice is missing, at none. False when a choice is of
 * no expert there is. */
static bool check_row(const gm_stats *s, const uint16_t *expert, bool *good)
{
    for (size_t i = 0; i < s->L * s->K; i++) {
        if (expert[i] < s->E) continue;
        if (expert[i] != GM_TRACE_NO_EXPERT) return false;
        *good = false;
    }
    return true;
}

/* Rows [t, end) of a batch. Returns the first that is wrong, `end`: none. */
static size_t add_part(const gm_stats *s, rows *b, size_t t, size_t end, gm_router_sum *sum)
{
    size_t L = s->L, K = s->K;
    for (; t < end; t++) {
        const uint16_t *expert = b->expert + t * L * K; /* (L,K) */
        b->good[t] = b->phase[t] < GM_TRACE_N_PHASES;
        if (!check_row(s, expert, &b->good[t])) return t;
        if (!b->good[t]) continue;
        if (s->router)
            add_router(s, b, t,
                       sum + (size_t)b->phase[t] * GM_STATS_POSITIONS +
                           gm_stats_position_bin(b->pos[t]));
        for (size_t l = 0; l < L; l++)
            for (size_t k = 0; k < K; k++)
                b->by_layer[(l * ROWS_AT_ONCE + t) * K + k] = expert[l * K + k];
    }
    return end;
}

/* Rows [first, first+n). */
static gm_status add_batch(gm_stats *s, gm_trace *trace, rows *b, uint64_t first, size_t n,
                           gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t *token_id = s->has_tokens ? b->token_id : NULL;
    size_t wrong = n;
    const bool gated = s->router != NULL, weighed = gated && !s->info->no_margins;
    GM_TRY(gm_trace_read_routing(trace, first, n, b->expert, gated ? b->gate : NULL,
                                 weighed ? b->mass : NULL, weighed ? b->margin : NULL, err));
    GM_TRY(gm_trace_read_tokens(trace, first, n, token_id, b->pos, b->phase, NULL, err));
#pragma omp parallel for schedule(dynamic) reduction(min : wrong)
    for (size_t part = 0; part < N_PARTS; part++) {
        size_t end = n * (part + 1) / N_PARTS;
        size_t at = add_part(s, b, n * part / N_PARTS, end, b->sum + part * s->L * PLACES);
        if (at < end && at < wrong) wrong = at;
    }
    if (wrong < n)
        GM_FAIL(GM_EFORMAT, "token %" PRIu64 " chose an expert above %zu, the last", first + wrong,
                s->E - 1);
    gm_reuse_add(&s->reuse, b->by_layer, b->pos, b->phase, b->good, n);
    if (s->has_tokens)
        gm_token_counts_add(&s->by_token, b->by_layer, ROWS_AT_ONCE, b->token_id, b->phase, b->good,
                            n);
out:
    return status;
}

static double mean_of(int64_t sum, uint64_t n)
{
    return n ? (double)sum / GM_STATS_UNIT / (double)n : NAN;
}

gm_router_mean gm_router_mean_of(const gm_router_sum *sum)
{
    return (gm_router_mean){.entropy_bits = mean_of(sum->entropy_nats, sum->n) / log(2),
                            .mass = mean_of(sum->mass, sum->n_mass),
                            .margin = mean_of(sum->margin, sum->n_margin),
                            .softmax_bits = mean_of(sum->softmax_nats, sum->n_softmax) / log(2)};
}

void gm_router_sum_add(gm_router_sum *sum, const gm_router_sum *more)
{
    sum->n += more->n;
    sum->n_mass += more->n_mass;
    sum->n_margin += more->n_margin;
    sum->n_softmax += more->n_softmax;
    sum->entropy_nats += more->entropy_nats;
    sum->mass += more->mass;
    sum->margin += more->margin;
    sum->softmax_nats += more->softmax_nats;
}

gm_status gm_stats_route(gm_stats *s, gm_trace *trace, const gm_stats_options *options,
                         gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t T = gm_trace_n_tokens(trace);
    rows b = {0};
    gm_progress progress;
    gm_progress_start(&progress, "stats", "tokens", (double)T, options->quiet);
    if (!s->info->no_gates) {
        s->router = gm_alloc2(s->L, PLACES, sizeof *s->router);
        if (s->router == NULL) GM_FAIL(GM_EMEM, "no memory for %zu layers", s->L);
    }
    s->has_routing = true;
    GM_TRY(gm_reuse_init(&s->reuse, s->L, s->E, s->K, ROWS_AT_ONCE, err));
    s->has_tokens = options->vocabulary > 0;
    if (s->has_tokens) {
        const gm_token_options tokens = {.most = options->vocabulary,
                                         .batch = ROWS_AT_ONCE,
                                         .seed = options->seed,
                                         .olmoe = options->olmoe,
                                         .next = s->reuse.next};
        GM_TRY(gm_token_counts_init(&s->by_token, trace, &tokens, err));
    }
    GM_TRY(rows_init(&b, s, err));
    for (uint64_t first = 0; first < T;) {
        size_t n = gm_trace_batch(trace, first, ROWS_AT_ONCE);
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(add_batch(s, trace, &b, first, n, err));
        first += n;
        gm_progress_set(&progress, (double)first);
    }
    for (size_t i = 0; s->router && i < N_PARTS * s->L * PLACES; i++)
        gm_router_sum_add(&s->router[i % (s->L * PLACES)], &b.sum[i]);
    gm_reuse_conclude(&s->reuse);
    if (s->has_tokens) gm_token_counts_conclude(&s->by_token);
    if (s->router && gm_trace_n_logits(trace) > 0) GM_TRY(gm_stats_softmax(s, trace, err));
out:
    gm_progress_end(&progress);
    rows_clear(&b);
    return status;
}

gm_router_sum gm_stats_router_sum(const gm_stats *s, size_t l, size_t n_layers, int p, int b)
{
    gm_router_sum sum = {0};
    for (size_t i = l * PLACES; i < (l + n_layers) * PLACES; i++) {
        int phase = (int)(i % PLACES) / GM_STATS_POSITIONS;
        int bin = (int)(i % PLACES) % GM_STATS_POSITIONS;
        if (p < 0 ? phase == GM_TRACE_TEMPLATE : phase != p) continue;
        if (b >= 0 && bin != b) continue;
        gm_router_sum_add(&sum, &s->router[i]);
    }
    return sum;
}

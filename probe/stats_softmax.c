/* stats_softmax.c - entropy of the softmax over all experts, where a trace holds the logits of a
 * sample of its tokens: what the entropy of the K gates, brought to sum 1, cannot see.
 */
#include "base/cli.h"
#include "probe/stats.h"

#include <inttypes.h>
#include <math.h>

enum { LOGIT_ROWS = 256, TOKEN_ROWS = 8192 };

typedef struct reading {
    float *logits;          /* (LOGIT_ROWS,L,E) */
    uint64_t *token;        /* (LOGIT_ROWS) */
    uint64_t first, n_here; /* tokens that pos and phase are of */
    uint32_t *pos;          /* (TOKEN_ROWS) */
    uint8_t *phase;         /* (TOKEN_ROWS) */
} reading;

/* -sum p ln p of the softmax of x (n): ln z - sum p (x - max). NaN unless all are finite. */
static double entropy_of(const float *x, size_t n)
{
    double top = -INFINITY, z = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) return NAN;
        top = fmax(top, (double)x[i]);
    }
    for (size_t i = 0; i < n; i++) {
        double e = exp((double)x[i] - top);
        z += e;
        sum += e * ((double)x[i] - top);
    }
    return log(z) - sum / z;
}

/* Position and phase of `token`; tokens are asked for in ascending order. */
static gm_status find_place(reading *r, gm_trace *trace, uint64_t token, size_t *place,
                            gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t T = gm_trace_n_tokens(trace);
    if (token >= T)
        GM_FAIL(GM_EFORMAT,
                "the logits are of token %" PRIu64 ", but there are only %" PRIu64 " tokens", token,
                T);
    if (token < r->first || token - r->first >= r->n_here) {
        r->first = token;
        r->n_here = T - token < TOKEN_ROWS ? T - token : TOKEN_ROWS;
        GM_TRY(gm_trace_read_tokens(trace, token, (size_t)r->n_here, NULL, r->pos, r->phase, NULL,
                                    err));
    }
    size_t at = (size_t)(token - r->first);
    *place = r->phase[at] < GM_TRACE_N_PHASES
                 ? (size_t)(r->phase[at] * GM_STATS_POSITIONS + gm_stats_position_bin(r->pos[at]))
                 : SIZE_MAX;
out:
    return status;
}

gm_status gm_stats_softmax(gm_stats *s, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t n_rows = gm_trace_n_logits(trace);
    size_t places = (size_t)GM_TRACE_N_PHASES * GM_STATS_POSITIONS;
    reading r = {.logits = gm_alloc2(LOGIT_ROWS, s->L * s->E, sizeof *r.logits),
                 .token = gm_alloc(LOGIT_ROWS, sizeof *r.token),
                 .pos = gm_alloc(TOKEN_ROWS, sizeof *r.pos),
                 .phase = gm_alloc(TOKEN_ROWS, sizeof *r.phase)};
    if (!r.logits || !r.token || !r.pos || !r.phase)
        GM_FAIL(GM_EMEM, "no memory for logits of %zu layers, %zu experts", s->L, s->E);
    for (uint64_t first = 0; first < n_rows; first += LOGIT_ROWS) {
        size_t n = n_rows - first < LOGIT_ROWS ? (size_t)(n_rows - first) : LOGIT_ROWS;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(gm_trace_read_logits(trace, first, n, r.logits, r.token, err));
        for (size_t i = 0; i < n; i++) {
            size_t place = SIZE_MAX;
            GM_TRY(find_place(&r, trace, r.token[i], &place, err));
            for (size_t l = 0; place != SIZE_MAX && l < s->L; l++) {
                double entropy = entropy_of(r.logits + (i * s->L + l) * s->E, s->E);
                if (isnan(entropy)) continue; /* the router was not finite */
                gm_router_sum *sum = &s->router[l * places + place];
                sum->n_softmax++;
                sum->softmax_nats += llrint(entropy * GM_STATS_UNIT);
            }
        }
    }
out:
    gm_free(r.logits);
    gm_free(r.token);
    gm_free(r.pos);
    gm_free(r.phase);
    return status;
}

bool gm_stats_has_softmax(const gm_stats *s)
{
    return s->info->level >= GM_RECORD_LOGITS;
}

/* stats_rollout.c - experts of what was read against experts of what was written. */
#include "probe/stats_rollout.h"

#include "base/cli.h"
#include "probe/measures.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Counts by phase; the third: the prompt of the document before. */
enum { ROWS_AT_ONCE = 2048, BEFORE = 2, N_COUNTS = 3 };

typedef struct reading {
    size_t L, E, K;
    uint16_t *expert;           /* (ROWS_AT_ONCE,L,K) */
    uint8_t *phase;             /* (ROWS_AT_ONCE) */
    uint64_t *counts[N_COUNTS]; /* (L,E) prompt, generated; the prompt of the document before */
    uint64_t rows[N_COUNTS];    /* tokens in them */
} reading;

static gm_status reading_init(reading *r, const gm_trace_info *info, gm_error *err)
{
    *r = (reading){
        .L = (size_t)info->n_layers, .E = (size_t)info->n_experts, .K = (size_t)info->n_chosen};
    r->expert = gm_alloc2(ROWS_AT_ONCE, r->L * r->K, sizeof *r->expert);
    r->phase = gm_alloc(ROWS_AT_ONCE, sizeof *r->phase);
    bool whole = r->expert != NULL && r->phase != NULL;
    for (int i = 0; i < N_COUNTS; i++) {
        r->counts[i] = gm_alloc2(r->L, r->E, sizeof *r->counts[i]);
        whole = whole && r->counts[i] != NULL;
    }
    if (whole) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for %zu layers, %zu experts", r->L, r->E);
}

static void reading_clear(reading *r)
{
    gm_free(r->expert);
    gm_free(r->phase);
    for (int i = 0; i < N_COUNTS; i++) gm_free(r->counts[i]);
}

/* One token: expert (L,K); `number` of its row. */
static gm_status add_row(reading *r, const uint16_t *expert, int phase, uint64_t number,
                         gm_error *err)
{
    for (size_t i = 0; i < r->L * r->K; i++) {
        if (expert[i] == GM_TRACE_NO_EXPERT) return GM_OK;
        if (expert[i] >= r->E)
            return gm_fail(err, GM_EFORMAT, "token %" PRIu64 " chose expert %u of %zu", number,
                           expert[i], r->E);
    }
    for (size_t i = 0; i < r->L * r->K; i++) r->counts[phase][i / r->K * r->E + expert[i]]++;
    r->rows[phase]++;
    return GM_OK;
}

/* Count the rows [first, end) of a document. */
static gm_status read_document(reading *r, gm_trace *trace, uint64_t first, uint64_t end,
                               gm_error *err)
{
    gm_status status = GM_OK;
    for (int i = GM_TRACE_PROMPT; i <= GM_TRACE_GENERATED; i++) {
        memset(r->counts[i], 0, r->L * r->E * sizeof *r->counts[i]);
        r->rows[i] = 0;
    }
    for (; first < end; first += ROWS_AT_ONCE) {
        size_t n = end - first < ROWS_AT_ONCE ? (size_t)(end - first) : ROWS_AT_ONCE;
        GM_TRY(gm_trace_read_routing(trace, first, n, r->expert, NULL, NULL, NULL, err));
        GM_TRY(gm_trace_read_tokens(trace, first, n, NULL, NULL, r->phase, NULL, err));
        for (size_t t = 0; t < n; t++)
            if (r->phase[t] <= GM_TRACE_GENERATED)
                GM_TRY(add_row(r, r->expert + t * r->L * r->K, r->phase[t], first + t, err));
    }
out:
    return status;
}

/* Add the document that was read to the sums; its prompt is then the one before. */
static void add_document(gm_rollout *rollout, reading *r)
{
    if (r->rows[GM_TRACE_PROMPT] == 0 || r->rows[GM_TRACE_GENERATED] == 0) return;
    for (size_t l = 0; l < r->L; l++) {
        const uint64_t *written = r->counts[GM_TRACE_GENERATED] + l * r->E;
        rollout->own[l] += gm_cosine_of(written, r->counts[GM_TRACE_PROMPT] + l * r->E, r->E);
        if (rollout->documents > 0)
            rollout->other[l] += gm_cosine_of(written, r->counts[BEFORE] + l * r->E, r->E);
    }
    rollout->documents++;
    uint64_t *before = r->counts[BEFORE];
    r->counts[BEFORE] = r->counts[GM_TRACE_PROMPT];
    r->counts[GM_TRACE_PROMPT] = before;
}

gm_status gm_rollout_count(gm_rollout *rollout, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    reading r = {0};
    *rollout = (gm_rollout){.L = (size_t)gm_trace_get_info(trace)->n_layers};
    rollout->own = gm_alloc(rollout->L, sizeof *rollout->own);
    rollout->other = gm_alloc(rollout->L, sizeof *rollout->other);
    if (!rollout->own || !rollout->other) GM_FAIL(GM_EMEM, "no memory for %zu layers", rollout->L);
    GM_TRY(reading_init(&r, gm_trace_get_info(trace), err));
    for (size_t i = 0; i < samples->n; i++) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(read_document(&r, trace, samples->offset[i], samples->offset[i + 1], err));
        add_document(rollout, &r);
    }
    for (size_t l = 0; l < rollout->L; l++) {
        double n = (double)rollout->documents;
        rollout->own[l] = n > 0 ? rollout->own[l] / n : NAN;
        rollout->other[l] = n > 1 ? rollout->other[l] / (n - 1) : NAN;
    }
out:
    reading_clear(&r);
    if (status != GM_OK) gm_rollout_clear(rollout);
    return status;
}

void gm_rollout_clear(gm_rollout *rollout)
{
    gm_free(rollout->own);
    gm_free(rollout->other);
    *rollout = (gm_rollout){0};
}

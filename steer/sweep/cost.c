/* cost.c - what plans do to the model's predictions on fixed text: see measure.h.
 *
 * A passage runs in one step, once unsteered and once under each plan, so that both are
 * compared row by row over the whole vocabulary and no logits are kept; where a schedule goes
 * on to another part of a plan another step begins. What a row's exponents sum to is taken
 * from the engine's loss, in float: KL is exact to about 1e-6. Rows are shared out among
 * threads; each is one thread's, and sums over rows have their order.
 */
#include "engine/team.h"
#include "steer/ramp.h"
#include "steer/sweep/measure.h"
#include "steer/sweep/topics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t LOGIT_BYTES = (size_t)256 << 20; /* of one step, about */

/* What is gathered over the passages of one kind for one plan. */
typedef struct sums {
    double *kl; /* (n) of each token */
    size_t n;
    double nll_base, nll, jaccard, mass, mass_base;
    size_t same, n_pairs;
} sums;

/* One row under a plan against the same row unsteered. */
typedef struct row_cost {
    double kl;
    bool same; /* the likeliest token */
} row_cost;

typedef struct reader {
    const gm_study *study;
    gm_session *session;
    gm_ramp ramp;
    size_t n_plans, V, L, K;
    int threads;           /* that compare */
    uint8_t phase;         /* that the passages' tokens count as */
    float *logits;         /* (1+n_plans, tokens, V) */
    gm_record record;      /* expert, gate, bad */
    float *nll;            /* (1+n_plans, tokens) as the engine computes it */
    double *p;             /* (tokens, V) unsteered probabilities */
    size_t *top;           /* (tokens) unsteered likeliest token; V: none */
    row_cost *row;         /* (tokens) */
    sums *sum;             /* (n_plans) */
    gm_edit *edit;         /* (n_plans) */
    gm_schedule *schedule; /* (n_plans) */
    gm_segment *segment;   /* (1+n_plans) */
} reader;

static void reader_clear(reader *r)
{
    gm_session_free(r->session);
    gm_ramp_clear(&r->ramp);
    for (size_t i = 0; r->sum && i < r->n_plans; i++) gm_free(r->sum[i].kl);
    gm_free(r->logits);
    gm_free(r->nll);
    gm_free(r->p);
    gm_free(r->top);
    gm_free(r->row);
    gm_free(r->record.expert);
    gm_free(r->record.gate);
    gm_free(r->record.bad);
    gm_free(r->sum);
    gm_free(r->edit);
    gm_free(r->schedule);
    gm_free(r->segment);
}

static gm_status reader_init(reader *r, const gm_study *s, const gm_plan *plan, size_t n_plans,
                             size_t n_tokens, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = s->setup->info;
    const int threads = (int)s->setup->options->threads;
    size_t rows = (1 + n_plans) * GM_PASSAGE_TOKENS;
    *r = (reader){.study = s,
                  .n_plans = n_plans,
                  .threads = threads > 0 ? threads : gm_team_processors(),
                  .phase = GM_PHASE_GENERATED,
                  .V = (size_t)info->vocab_size,
                  .L = (size_t)info->n_moe_layers,
                  .K = (size_t)info->n_chosen};
    r->logits = gm_alloc2(rows, r->V, sizeof *r->logits);
    r->nll = gm_alloc(rows, sizeof *r->nll);
    r->p = gm_alloc2(GM_PASSAGE_TOKENS, r->V, sizeof *r->p);
    r->top = gm_alloc(GM_PASSAGE_TOKENS, sizeof *r->top);
    r->row = gm_alloc(GM_PASSAGE_TOKENS, sizeof *r->row);
    r->record.expert = gm_alloc2(r->L * rows, r->K, sizeof *r->record.expert);
    r->record.gate = gm_alloc2(r->L * rows, r->K, sizeof *r->record.gate);
    r->record.bad = gm_alloc(rows, sizeof *r->record.bad);
    r->sum = gm_alloc(n_plans, sizeof *r->sum);
    r->edit = gm_alloc(n_plans, sizeof *r->edit);
    r->schedule = gm_alloc(n_plans, sizeof *r->schedule);
    r->segment = gm_alloc(1 + n_plans, sizeof *r->segment);
    if (!r->logits || !r->nll || !r->p || !r->top || !r->row || !r->record.expert ||
        !r->record.gate || !r->record.bad || !r->sum || !r->edit || !r->schedule || !r->segment)
        GM_FAIL(GM_EMEM, "no memory to compare %zu plans", n_plans);
    for (size_t i = 0; i < n_plans; i++) {
        r->edit[i] = gm_setup_edit(&plan[i]);
        r->schedule[i] = plan[i].schedule;
        if (!(r->edit[i].phases & 1u << GM_PHASE_GENERATED)) r->phase = GM_PHASE_PROMPT;
        r->sum[i].kl = gm_alloc(n_tokens, sizeof *r->sum[i].kl);
        if (r->sum[i].kl == NULL) GM_FAIL(GM_EMEM, "no memory to compare %zu plans", n_plans);
    }
    const gm_session_options options = {.threads = (int)s->setup->options->threads,
                                        .max_rows = rows,
                                        .kv_rows = rows,
                                        .max_sequences = (int)n_plans + 1};
    GM_TRY(gm_session_create(&r->session, s->setup->model, &options, err));
    GM_TRY(gm_ramp_set(&r->ramp, r->session, info, r->edit, r->schedule, n_plans, err));
out:
    return status;
}

static size_t likeliest(const float *row, size_t n)
{
    size_t top = 0; /* ties to the lowest */
    for (size_t i = 1; i < n; i++)
        if (row[i] > row[top]) top = i;
    return top;
}

/* The likeliest next token of a row; V where what it predicts is not finite. */
static size_t top_of(const reader *r, size_t row)
{
    if (r->record.bad[row] || isnan(r->nll[row])) return r->V;
    return likeliest(r->logits + row * r->V, r->V);
}

/* ln sum exp of a row: the engine has it in the loss of the row's target. */
static double log_sum(const reader *r, size_t row, uint32_t target)
{
    return (double)r->nll[row] + (double)r->logits[row * r->V + target];
}

/* Rows [0,n) of a step, unsteered; row t predicts target[t]. */
static void read_base(reader *r, const uint32_t *target, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(r->threads)
    for (size_t t = 0; t < n; t++) {
        const float *a = r->logits + t * r->V; /* (V) */
        double log_base = log_sum(r, t, target[t]);
        for (size_t i = 0; i < r->V; i++) r->p[t * r->V + i] = exp((double)a[i] - log_base);
        r->top[t] = top_of(r, t);
    }
}

/* KL(base || steered) of one row: sum p (a - b) - ln sum exp a + ln sum exp b. */
static double divergence(const double *p, const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += p[i] * ((double)a[i] - (double)b[i]);
    return sum;
}

/* Compare rows [0,n) of a step, of which there are `rows` a plan, under plan p. */
static void compare_rows(reader *r, const uint32_t *target, size_t n, size_t rows, size_t p)
{
    sums *sum = &r->sum[p];
    const size_t V = r->V, first = (p + 1) * rows;
#pragma omp parallel for schedule(static) num_threads(r->threads)
    for (size_t t = 0; t < n; t++) {
        const float *a = r->logits + t * V, *b = r->logits + (first + t) * V; /* (V) */
        double shift = log_sum(r, first + t, target[t]) - log_sum(r, t, target[t]);
        size_t top = top_of(r, first + t);
        r->row[t].kl = divergence(r->p + t * V, a, b, V) + shift;
        r->row[t].same = top == r->top[t] && top < V;
    }
    for (size_t t = 0; t < n; t++) {
        sum->kl[sum->n++] = r->row[t].kl;
        sum->same += r->row[t].same;
        sum->nll_base += (double)r->nll[t];
        sum->nll += (double)r->nll[first + t];
    }
}

/* How alike the choices of rows t and u of layer l are: shared over all of both. */
static double jaccard(const reader *r, size_t l, size_t rows, size_t t, size_t u)
{
    const uint16_t *a = r->record.expert + (l * rows + t) * r->K;
    const uint16_t *b = r->record.expert + (l * rows + u) * r->K;
    size_t shared = 0;
    for (size_t i = 0; i < r->K; i++)
        for (size_t k = 0; k < r->K; k++) shared += a[i] == b[k];
    return (double)shared / (double)(2 * r->K - shared);
}

static double gate_sum(const reader *r, size_t l, size_t rows, size_t t)
{
    double sum = 0;
    for (size_t k = 0; k < r->K; k++) sum += (double)r->record.gate[(l * rows + t) * r->K + k];
    return sum;
}

static void compare_choices(reader *r, size_t n, size_t p)
{
    sums *sum = &r->sum[p];
    size_t rows = (1 + r->n_plans) * n;
    for (size_t l = 0; l < r->L; l++) {
        for (size_t t = 0; t < n; t++) {
            size_t u = (p + 1) * n + t;
            if (r->record.bad[t] || r->record.bad[u]) continue;
            sum->jaccard += jaccard(r, l, rows, t, u);
            sum->mass_base += gate_sum(r, l, rows, t);
            sum->mass += gate_sum(r, l, rows, u);
            sum->n_pairs++;
        }
    }
}

/* From token `at` on, how many the plans' schedules treat alike. */
static size_t run_length(const reader *r, size_t at, size_t end)
{
    size_t n = 1;
    if (r->phase != GM_PHASE_GENERATED) return end - at; /* schedules act on generated tokens */
    for (; at + n < end; n++)
        for (size_t p = 0; p < r->n_plans; p++)
            if (gm_ramp_at(&r->ramp, (int)p, at + n) != gm_ramp_at(&r->ramp, (int)p, at)) return n;
    return n;
}

/* Tokens [at, at+n) of a passage in one step. The last token of all predicts nothing that is
 * known. */
static gm_status read_run(reader *r, const gm_sweep_passage *passage, size_t at, size_t n,
                          gm_error *err)
{
    gm_status status = GM_OK;
    uint8_t phase[GM_PASSAGE_TOKENS];
    uint32_t target[GM_PASSAGE_TOKENS];
    const size_t end = passage->ids.n, n_known = at + n < end ? n : n - 1;
    memset(phase, r->phase, sizeof phase);
    for (size_t t = 0; t < n; t++)
        target[t] = t < n_known ? passage->ids.at[at + t + 1] : GM_NO_TARGET;
    for (size_t i = 0; i <= r->n_plans; i++) {
        gm_segment *g = &r->segment[i];
        int sequence = g->sequence, edit = gm_ramp_at(&r->ramp, (int)i - 1, at);
        *g = (gm_segment){.sequence = sequence,
                          .n = n,
                          .token = passage->ids.at + at,
                          .phase = phase,
                          .edit = r->phase == GM_PHASE_GENERATED ? edit : (int)i - 1,
                          .want = GM_WANT_ALL,
                          .target = target};
    }
    const gm_result result = {.logits = r->logits, .nll = r->nll};
    GM_TRY(gm_session_step(r->session, r->segment, 1 + r->n_plans, &r->record, &result, err));
    read_base(r, target, n_known);
    for (size_t p = 0; p < r->n_plans; p++) {
        compare_rows(r, target, n_known, n, p);
        compare_choices(r, n, p);
    }
out:
    return status;
}

static gm_status read_passage(reader *r, const gm_sweep_passage *passage, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_open = 0, end = passage->ids.n;
    assert(end <= GM_PASSAGE_TOKENS);
    for (; n_open <= r->n_plans; n_open++)
        GM_TRY(gm_sequence_open(r->session, end, &r->segment[n_open].sequence, err));
    for (size_t at = 0, n; at < end; at += n) {
        n = run_length(r, at, end);
        GM_TRY(read_run(r, passage, at, n, err));
    }
out:
    while (n_open > 0) gm_sequence_close(r->session, r->segment[--n_open].sequence);
    return status;
}

/* The q quantile of n sorted numbers: the one at or above place q*n. */
static double quantile(const double *sorted, size_t n, double q)
{
    size_t at = (size_t)(q * (double)n);
    return sorted[at < n ? at : n - 1];
}

static gm_cost finish(sums *sum)
{
    double n = (double)sum->n, total = 0;
    gm_cost cost = {0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    if (sum->n == 0) return cost;
    for (size_t i = 0; i < sum->n; i++) total += sum->kl[i];
    const bool ordered = !isnan(total); /* NaN has no place among numbers */
    if (ordered) qsort(sum->kl, sum->n, sizeof *sum->kl, gm_ascending);
    cost = (gm_cost){.n_tokens = (uint32_t)sum->n,
                     .kl_mean = total / n,
                     .kl_median = ordered ? quantile(sum->kl, sum->n, 0.5) : (double)NAN,
                     .kl_p99 = ordered ? quantile(sum->kl, sum->n, 0.99) : (double)NAN,
                     .same_top1 = (double)sum->same / n,
                     .nll_base = sum->nll_base / n,
                     .nll = sum->nll / n,
                     .jaccard = sum->jaccard / (double)sum->n_pairs,
                     .mass = sum->mass / sum->mass_base};
    return cost;
}

static gm_status measure_kind(const gm_study *s, gm_cell *const *cell, const gm_plan *plan,
                              size_t n, gm_passage_kind kind, gm_error *err)
{
    gm_status status = GM_OK;
    reader r = {0};
    size_t most = gm_topics_n_passages(s->protocol, kind);
    size_t *at = gm_alloc(most, sizeof *at);
    if (at == NULL) GM_FAIL(GM_EMEM, "no memory for the fixed texts");
    size_t n_at = gm_topics_passages(s, cell[0]->topic, kind, cell[0]->half, at, most);
    GM_TRY(reader_init(&r, s, plan, n, n_at * GM_PASSAGE_TOKENS, err));
    for (size_t i = 0; i < n_at; i++) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        GM_TRY(read_passage(&r, &s->passage[at[i]], err));
    }
    for (size_t p = 0; p < n; p++) cell[p]->cost[kind] = finish(&r.sum[p]);
out:
    reader_clear(&r);
    gm_free(at);
    return status;
}

gm_status gm_measure_cost(const gm_study *s, gm_cell *const *cell, const gm_plan *plan, size_t n,
                          gm_error *err)
{
    gm_status status = GM_OK;
    size_t one = GM_PASSAGE_TOKENS * (size_t)s->setup->info->vocab_size * sizeof(float);
    size_t most = LOGIT_BYTES / one > 2 ? LOGIT_BYTES / one - 1 : 1;
    for (size_t first = 0; first < n; first += most) {
        size_t k = n - first < most ? n - first : most;
        for (int kind = 0; kind < GM_N_KINDS; kind++)
            GM_TRY(measure_kind(s, cell + first, plan + first, k, (gm_passage_kind)kind, err));
    }
out:
    return status;
}

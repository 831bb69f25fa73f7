/* scores.c - cells scored, dose and filter chosen: see scores.h. */
#include "steer/sweep/scores.h"

#include <gsl/gsl_cdf.h>

#include <math.h>

const gm_cell *gm_scores_base(const gm_study *s, int half)
{
    return &s->cell[half ? s->n_choosing : 0];
}

double gm_scores_log_odds(const gm_study *s, const gm_cell *c, int topic, double *share)
{
    double sum = 0;
    size_t n = 0, hits = 0, J = s->judge.n_classes;
    for (size_t i = 0; i < c->n_texts; i++) {
        if (!gm_study_counts(s, topic, c->text[i].prompt)) continue;
        gm_judgement v = gm_judgement_of(c->log_p + i * J, J, s->topic[topic].class_id);
        sum += v.log_odds;
        hits += v.hit;
        n++;
    }
    if (share) *share = n > 0 ? (double)hits / (double)n : (double)NAN;
    return n > 0 ? sum / (double)n : (double)NAN;
}

/* ---- shifts ---- */

/* Add the log-odds of a cell's texts to those of their prompts; n counts them. */
static void add_by_prompt(const gm_study *s, const gm_cell *c, int class_id, int topic, double *sum,
                          size_t *n)
{
    size_t J = s->judge.n_classes;
    for (size_t i = 0; i < c->n_texts; i++) {
        if (!gm_study_counts(s, topic, c->text[i].prompt)) continue;
        sum[c->text[i].prompt] += gm_judgement_of(c->log_p + i * J, J, class_id).log_odds;
        n[c->text[i].prompt]++;
    }
}

/* Room for scoring, shared by all cells. */
typedef struct room {
    double *difference; /* (Q) */
    double *base;       /* (Q) */
    size_t *count;      /* (Q) */
} room;

/* The shift of a class's log-odds per prompt, packed into room->difference; how many. Both cells
 * hold every seed of a prompt that they hold. */
static size_t differences(const gm_study *s, const gm_cell *c, int class_id, int topic, room *r)
{
    size_t n = 0;
    for (size_t p = 0; p < s->prompts.n; p++) r->difference[p] = r->base[p] = 0, r->count[p] = 0;
    add_by_prompt(s, c, class_id, topic, r->difference, r->count);
    add_by_prompt(s, gm_scores_base(s, c->half), class_id, topic, r->base, r->count);
    for (size_t p = 0; p < s->prompts.n; p++)
        if (r->count[p] > 0)
            r->difference[n++] = 2 * (r->difference[p] - r->base[p]) / (double)r->count[p];
    return n;
}

static double mean_of(const double *value, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += value[i];
    return n > 0 ? sum / (double)n : (double)NAN;
}

/* Half of the 95 % interval of the mean of n values; of fewer than two nothing is known. */
static double half_interval(const double *value, size_t n, double mean)
{
    double squares = 0;
    if (n < 2) return (double)NAN;
    for (size_t i = 0; i < n; i++) squares += (value[i] - mean) * (value[i] - mean);
    const double freedom = (double)n - 1;
    return gsl_cdf_tdist_Pinv(0.975, freedom) * sqrt(squares / freedom / (double)n);
}

static void score(gm_study *s, gm_cell *c, room *r)
{
    size_t n = differences(s, c, s->topic[c->topic].class_id, c->topic, r);
    c->log_odds = gm_scores_log_odds(s, c, c->topic, &c->share);
    c->shift = mean_of(r->difference, n);
    const double half = half_interval(r->difference, n, c->shift);
    c->shift_lo = c->shift - half;
    c->shift_hi = c->shift + half;
}

static gm_status room_init(room *r, const gm_study *s, gm_error *err)
{
    r->difference = gm_alloc(s->prompts.n, sizeof *r->difference);
    r->base = gm_alloc(s->prompts.n, sizeof *r->base);
    r->count = gm_alloc(s->prompts.n, sizeof *r->count);
    if (r->difference && r->base && r->count) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for the scores");
}

static void room_clear(room *r)
{
    gm_free(r->difference);
    gm_free(r->base);
    gm_free(r->count);
}

gm_status gm_scores_cells(gm_study *s, int half, gm_error *err)
{
    room r = {0};
    gm_status status = room_init(&r, s, err);
    for (size_t i = 0; status == GM_OK && i < s->n_cells; i++)
        if (s->cell[i].half == half && s->cell[i].topic >= 0 && s->cell[i].done)
            score(s, &s->cell[i], &r);
    room_clear(&r);
    return status;
}

void gm_scores_choose(gm_study *s)
{
    for (int t = 0; t < (int)s->n_topics; t++) {
        gm_topic *topic = &s->topic[t];
        double best = -INFINITY;
        topic->dose = gm_protocol_positive(s->protocol, 0);
        topic->affordable = false;
        for (size_t i = 0; i < s->n_choosing; i++) {
            const gm_cell *c = &s->cell[i];
            bool affordable = c->cost[GM_NEUTRAL].kl_mean <= s->protocol->max_kl;
            if (c->topic != t || !c->done || !affordable || !(c->log_odds > best)) continue;
            best = c->log_odds;
            topic->dose = c->dose;
            topic->filter = c->filter;
            topic->affordable = true;
        }
    }
}

gm_quality gm_scores_quality(const gm_cell *c)
{
    gm_quality q = {0};
    size_t n = 0;
    for (size_t i = 0; i < c->n_texts; i++) {
        const gm_written *w = &c->text[i];
        q.tokens += w->n_tokens;
        q.ended += w->end != 0;
        if (isnan(w->rep4) || isnan(w->distinct2)) continue;
        q.rep4 += (double)w->rep4;
        q.distinct2 += (double)w->distinct2;
        n++;
    }
    q.tokens /= (double)c->n_texts;
    q.ended /= (double)c->n_texts;
    q.rep4 = n ? q.rep4 / (double)n : (double)NAN;
    q.distinct2 = n ? q.distinct2 / (double)n : (double)NAN;
    return q;
}

/* ---- specificity ---- */

gm_status gm_scores_specificity(double *out, const gm_study *s, gm_error *err)
{
    room r = {0};
    size_t C = s->n_topics;
    gm_status status = room_init(&r, s, err);
    for (size_t i = 0; i < C * C; i++) out[i] = (double)NAN;
    for (size_t i = 0; status == GM_OK && i < s->n_cells; i++) {
        const gm_cell *c = &s->cell[i];
        if (c->topic < 0 || !gm_is_chosen(s, c, c->topic, GM_ARM_PLAN)) continue;
        for (size_t j = 0; j < C; j++) {
            size_t n = differences(s, c, s->topic[j].class_id, c->topic, &r);
            out[(size_t)c->topic * C + j] = mean_of(r.difference, n);
        }
    }
    room_clear(&r);
    return status;
}

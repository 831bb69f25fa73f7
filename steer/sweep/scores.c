/* scores.c - cells scored, dose and filter chosen: see scores.h. */
#include "steer/sweep/scores.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

enum { RESAMPLES = 2000 };
static const uint64_t BOOTSTRAP_SEED = 0x626f6f74;

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

/* 95 % of the means of n values drawn with repetition. `mean` is room for RESAMPLES. */
static void bootstrap(const double *value, size_t n, uint64_t stream, double *mean, double *lo,
                      double *hi)
{
    gm_rng rng = gm_rng_make(BOOTSTRAP_SEED, stream);
    for (size_t b = 0; b < RESAMPLES; b++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += value[gm_rng_below(&rng, n)];
        mean[b] = sum / (double)n;
    }
    qsort(mean, RESAMPLES, sizeof *mean, gm_ascending);
    *lo = mean[RESAMPLES / 40];
    *hi = mean[RESAMPLES - 1 - RESAMPLES / 40];
}

/* Room for scoring, shared by all cells. */
typedef struct room {
    double *difference; /* (Q) */
    double *base;       /* (Q) */
    size_t *count;      /* (Q) */
    double *mean;       /* (RESAMPLES) */
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

static void score(gm_study *s, size_t at, room *r)
{
    gm_cell *c = &s->cell[at];
    size_t n = differences(s, c, s->topic[c->topic].class_id, c->topic, r);
    c->log_odds = gm_scores_log_odds(s, c, c->topic, &c->share);
    c->shift = mean_of(r->difference, n);
    if (n > 0) bootstrap(r->difference, n, at, r->mean, &c->shift_lo, &c->shift_hi);
}

static gm_status room_init(room *r, const gm_study *s, gm_error *err)
{
    r->difference = gm_alloc(s->prompts.n, sizeof *r->difference);
    r->base = gm_alloc(s->prompts.n, sizeof *r->base);
    r->count = gm_alloc(s->prompts.n, sizeof *r->count);
    r->mean = gm_alloc(RESAMPLES, sizeof *r->mean);
    if (r->difference && r->base && r->count && r->mean) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for the scores");
}

static void room_clear(room *r)
{
    gm_free(r->difference);
    gm_free(r->base);
    gm_free(r->count);
    gm_free(r->mean);
}

gm_status gm_scores_cells(gm_study *s, int half, gm_error *err)
{
    room r = {0};
    gm_status status = room_init(&r, s, err);
    for (size_t i = 0; status == GM_OK && i < s->n_cells; i++)
        if (s->cell[i].half == half && s->cell[i].topic >= 0 && s->cell[i].done) score(s, i, &r);
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
        if (c->topic < 0 || !c->done || c->half != 1 || c->arm != GM_ARM_PLAN ||
            c->dose != s->topic[c->topic].dose)
            continue;
        for (size_t j = 0; j < C; j++) {
            size_t n = differences(s, c, s->topic[j].class_id, c->topic, &r);
            out[(size_t)c->topic * C + j] = mean_of(r.difference, n);
        }
    }
    room_clear(&r);
    return status;
}

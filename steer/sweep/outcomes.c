/* outcomes.c - what the judged cells say of each topic and of all: see scores.h. */
#include "steer/sweep/scores.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const double COLLAPSE_KL = 1, COLLAPSE_REP4 = 0.25;

double gm_empirical_p(double seen, const double *draw, size_t n)
{
    size_t as_large = 0;
    if (isnan(seen)) return (double)NAN;
    for (size_t i = 0; i < n; i++) as_large += !(draw[i] < seen);
    return (1 + (double)as_large) / (1 + (double)n);
}

double gm_half_dose(const double *x, const double *y, size_t n)
{
    double top = 0, x0 = 0, y0 = 0;
    for (size_t i = 0; i < n; i++) top = fmax(top, y[i]);
    for (size_t i = 0; i < n && top > 0; i++) {
        if (y[i] >= top / 2) return x0 + (x[i] - x0) * (top / 2 - y0) / (y[i] - y0);
        x0 = x[i];
        y0 = y[i];
    }
    return (double)NAN;
}

double gm_shift_at(const double *x, const double *y, size_t n, double at)
{
    double x0 = 0, y0 = 0;
    for (size_t i = 0; i < n; i++) {
        if (x[i] >= at && x[i] > x0) return y0 + (y[i] - y0) * (at - x0) / (x[i] - x0);
        x0 = x[i];
        y0 = y[i];
    }
    return (double)NAN;
}

/* The positive doses of a topic's plan, or of random draw `draw`: dose, shift, KL; how many. */
static size_t curve(const gm_study *s, int topic, gm_arm arm, int draw, double dose[GM_MAX_DOSES],
                    double shift[GM_MAX_DOSES], double kl[GM_MAX_DOSES])
{
    size_t n = 0;
    for (size_t k = 0; k < gm_protocol_n_positive(s->protocol); k++) {
        double want = gm_protocol_positive(s->protocol, k);
        for (size_t i = 0; i < s->n_cells; i++) {
            const gm_cell *c = &s->cell[i];
            if (!gm_is_judged(c, topic, arm) || c->draw != draw || c->dose != want) continue;
            dose[n] = c->dose;
            shift[n] = c->shift;
            kl[n++] = c->cost[GM_NEUTRAL].kl_mean;
            break;
        }
    }
    return n;
}

static void find_doses(gm_outcome *o, const gm_study *s, int topic)
{
    double dose[GM_MAX_DOSES], shift[GM_MAX_DOSES], kl[GM_MAX_DOSES], best = -INFINITY;
    double base_rep4 = gm_scores_quality(gm_scores_base(s, 1)).rep4;
    size_t n = curve(s, topic, GM_ARM_PLAN, 0, dose, shift, kl);
    o->ed50 = gm_half_dose(dose, shift, n);
    o->best_dose = o->collapse_dose = (double)NAN;
    for (size_t i = 0; i < n; i++) {
        if (!(kl[i] <= s->protocol->max_kl) || !(shift[i] > best)) continue;
        best = shift[i];
        o->best_dose = dose[i];
    }
    for (size_t i = 0; i < s->n_cells; i++) {
        const gm_cell *c = &s->cell[i];
        if (!gm_is_judged(c, topic, GM_ARM_PLAN) || !(c->dose > 0)) continue;
        bool collapsed = !(c->cost[GM_NEUTRAL].kl_mean <= COLLAPSE_KL) ||
                         gm_scores_quality(c).rep4 > base_rep4 + COLLAPSE_REP4;
        if (collapsed && !(o->collapse_dose <= c->dose)) o->collapse_dose = c->dose;
    }
}

/* Random experts, scaled so that they cost what the plan costs: the mean of the draws that
 * cost as much at some dose. */
static double at_equal_kl(const gm_study *s, int topic, double plan_kl)
{
    double dose[GM_MAX_DOSES], shift[GM_MAX_DOSES], kl[GM_MAX_DOSES], sum = 0;
    size_t n, n_reach = 0;
    /* the chosen dose alone is no curve */
    for (int d = 0; (n = curve(s, topic, GM_ARM_RANDOM, d, dose, shift, kl)) > 1; d++) {
        double at = gm_shift_at(kl, shift, n, plan_kl);
        if (isnan(at)) continue;
        sum += at;
        n_reach++;
    }
    return n_reach > 0 ? sum / (double)n_reach : (double)NAN;
}

static double important_share(const gm_study *s, const gm_cell *c, int topic)
{
    size_t n = (size_t)s->setup->info->n_moe_layers * (size_t)s->setup->info->n_experts;
    double sum = 0;
    for (size_t i = 0; i < n && c->usage; i++)
        if (s->topic[topic].important[i]) sum += (double)c->usage[i];
    return c->usage ? sum : (double)NAN;
}

/* A dose of 0 must give the unsteered texts. */
static bool same_texts(const gm_study *s, const gm_cell *a, const gm_cell *base)
{
    size_t j = 0;
    for (size_t i = 0; i < base->n_texts; i++) {
        if (!gm_study_counts(s, a->topic, base->text[i].prompt)) continue;
        if (j == a->n_texts || a->text[j].n_bytes != base->text[i].n_bytes ||
            memcmp(a->text[j].text, base->text[i].text, a->text[j].n_bytes) != 0)
            return false;
        j++;
    }
    return j == a->n_texts;
}

/* Draws of random experts at the chosen dose: log_odds, share, shift (3, most); how many. */
static size_t read_draws(const gm_study *s, int topic, double *draw, size_t most, double *kl)
{
    size_t n = 0;
    *kl = 0;
    for (size_t i = 0; i < s->n_cells && n < most; i++) {
        const gm_cell *c = &s->cell[i];
        if (!gm_is_chosen(s, c, topic, GM_ARM_RANDOM)) continue;
        draw[n] = c->log_odds;
        draw[most + n] = c->share;
        draw[2 * most + n] = c->shift;
        *kl += c->cost[GM_NEUTRAL].kl_mean;
        n++;
    }
    *kl = n > 0 ? *kl / (double)n : (double)NAN;
    return n;
}

static void against_random(gm_outcome *o, const gm_study *s, int topic, double *draw, size_t most)
{
    const double *shift = draw + 2 * most;
    double sum = 0;
    size_t n = o->n_draws = read_draws(s, topic, draw, most, &o->random_kl);
    o->p = gm_empirical_p(o->plan->log_odds, draw, n);
    o->p_share = gm_empirical_p(o->plan->share, draw + most, n);
    for (size_t i = 0; i < n; i++) sum += shift[i];
    o->random_shift = n > 0 ? sum / (double)n : (double)NAN;
    o->random_equal_kl = at_equal_kl(s, topic, o->plan->cost[GM_NEUTRAL].kl_mean);
}

static void outcome_of(gm_outcomes *out, const gm_study *s, int topic, double *draw, size_t most)
{
    gm_outcome *o = &out->topic[topic];
    const gm_cell *base = gm_scores_base(s, 1);
    size_t C = s->n_topics;
    *o = (gm_outcome){.reverse_shift = (double)NAN, .zero_same = true};
    o->base_log_odds = gm_scores_log_odds(s, base, topic, &o->base_share);
    for (size_t i = 0; i < s->n_cells; i++) {
        const gm_cell *c = &s->cell[i];
        if (gm_is_chosen(s, c, topic, GM_ARM_PLAN)) o->plan = c;
        if (gm_is_chosen(s, c, topic, GM_ARM_REVERSE)) o->reverse_shift = c->shift;
        if (gm_is_judged(c, topic, GM_ARM_PLAN) && c->dose == 0)
            o->zero_same = same_texts(s, c, base) && c->cost[GM_NEUTRAL].kl_mean == 0;
    }
    assert(o->plan); /* gm_cells_try lets no judged plan be absent */
    const gm_cost *in = &o->plan->cost[GM_IN_TOPIC], *off = &o->plan->cost[GM_OFF_TOPIC];
    o->target_gain = (in->nll_base - in->nll) - (off->nll_base - off->nll);
    o->usage = important_share(s, o->plan, topic);
    o->base_usage = important_share(s, base, topic);
    against_random(o, s, topic, draw, most);
    find_doses(o, s, topic);
    o->within_kl = o->plan->cost[GM_NEUTRAL].kl_mean <= s->protocol->max_kl;
    o->beats_random = o->p <= GM_ALPHA;
    o->reverse_lowers = o->reverse_shift < 0;
    o->own_largest = true;
    const double *row = out->specificity + (size_t)topic * C;
    for (size_t j = 0; j < C; j++) {
        if (s->topic[j].class_id == s->topic[topic].class_id) continue;
        o->has_others = true;
        if (!(row[j] < row[topic])) o->own_largest = false;
    }
}

/* Plan and draw d of every topic, averaged: the draws are one null for all. */
static void pool(gm_outcomes *out, const gm_study *s, double *draw, size_t most)
{
    double seen = 0, kl, random = 0, *mean = draw + 3 * most;
    size_t n = most, C = out->n_topics;
    for (size_t d = 0; d < most; d++) mean[d] = 0;
    for (size_t t = 0; t < C; t++) {
        size_t k = read_draws(s, (int)t, draw, most, &kl);
        if (k < n) n = k;
        seen += out->topic[t].plan->shift / (double)C;
        for (size_t d = 0; d < k; d++) mean[d] += draw[2 * most + d] / (double)C;
    }
    for (size_t d = 0; d < n; d++) random += mean[d] / (double)n;
    out->n_draws = n;
    out->shift = seen;
    out->random_shift = random;
    out->p = gm_empirical_p(seen, mean, n);
}

gm_status gm_scores_outcomes(gm_outcomes *out, const gm_study *s, gm_error *err)
{
    gm_status status = GM_OK;
    size_t C = s->n_topics, most = (size_t)s->protocol->draws;
    double *draw = gm_alloc2(4, most, sizeof *draw);
    *out = (gm_outcomes){.n_topics = C};
    out->topic = gm_alloc(C, sizeof *out->topic);
    out->specificity = gm_alloc2(C, C, sizeof *out->specificity);
    if (!draw || !out->topic || !out->specificity) GM_FAIL(GM_EMEM, "no memory for the outcomes");
    GM_TRY(gm_scores_specificity(out->specificity, s, err));
    for (size_t t = 0; t < C; t++) {
        outcome_of(out, s, (int)t, draw, most);
        const gm_outcome *o = &out->topic[t];
        out->n_beat += o->beats_random && o->within_kl;
        out->n_compared += o->has_others;
        out->n_own += o->has_others && o->own_largest;
        out->n_reverse += o->reverse_lowers;
    }
    pool(out, s, draw, most);
out:
    gm_free(draw);
    if (status != GM_OK) gm_outcomes_clear(out);
    return status;
}

void gm_outcomes_clear(gm_outcomes *out)
{
    gm_free(out->topic);
    gm_free(out->specificity);
    *out = (gm_outcomes){0};
}

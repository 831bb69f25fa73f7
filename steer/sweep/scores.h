/* scores.h - from texts and costs to numbers: shifts, intervals, p, dose-response, and who
 * is specific.
 *
 * A log-odds is the judge's ln p/(1-p) of the topic's class, a mean over texts. A shift is
 * the mean over prompts of its difference to the unsteered texts of the same prompt; its
 * interval is Student's over prompts, never over texts or tokens: none of a single prompt.
 * p counts random draws: (1 + those at least as large) / (1 + draws); a draw is one
 * observation.
 */
#ifndef GM_SCORES_H
#define GM_SCORES_H

#include "steer/sweep/study.h"

static const double GM_ALPHA = 0.05; /* a p that counts */

/* What was found about one topic, on the judging half. NaN: not measured. */
typedef struct gm_outcome {
    const gm_cell *plan; /* at the chosen dose */
    double base_log_odds, base_share;
    size_t n_draws; /* random experts at the chosen dose */
    double p, p_share;
    double random_shift;    /* mean */
    double random_kl;       /* mean, neutral text */
    double random_equal_kl; /* shift of random experts scaled to the plan's KL; NaN: no draw
                               reaches it */
    double reverse_shift;
    double ed50, best_dose, collapse_dose;
    double target_gain;       /* fall of the loss on the topic's text minus that on others',
                                 nats a token */
    double usage, base_usage; /* share of the choices that are important experts */
    bool within_kl, beats_random, reverse_lowers, zero_same;
    bool has_others, own_largest; /* a topic of another class was measured; none gains as much */
} gm_outcome;

typedef struct gm_outcomes {
    gm_outcome *topic;   /* (n_topics) */
    double *specificity; /* (n_topics, n_topics): steered to i, shift of topic j's class */
    size_t n_topics;
    double p, shift, random_shift;     /* over all topics: draw d of each, averaged */
    size_t n_draws, n_beat, n_reverse; /* n_beat: within the KL and beyond random */
    size_t n_own, n_compared;          /* n_own of the n_compared that have others */
} gm_outcomes;

/* Score every cell that is done of a half. GM_EMEM. */
gm_status gm_scores_cells(gm_study *study, int half, gm_error *err) GM_MUST_USE;

/* Choose dose and filter of every topic from the scored cells of half 0: the largest
 * log-odds among those whose KL on neutral text is at most max_kl; ties to the earlier filter,
 * then the smaller dose. Where none is, the smallest dose, and the topic is not affordable. */
void gm_scores_choose(gm_study *study);

/* The unsteered cell of a half. */
const gm_cell *gm_scores_base(const gm_study *study, int half);

/* A cell's mean log-odds of a topic's class, over the texts whose prompts count for it, and the
 * share of them whose likeliest class it is (NULL: not asked for). NaN: there are none. */
double gm_scores_log_odds(const gm_study *study, const gm_cell *cell, int topic, double *share);

/* Means over a cell's texts: rep4, distinct2, tokens, share that ended by itself. */
typedef struct gm_quality {
    double rep4, distinct2, tokens, ended;
} gm_quality;
gm_quality gm_scores_quality(const gm_cell *cell);

/* The matrix of gm_outcomes, (n_topics, n_topics), written. GM_EMEM. */
gm_status gm_scores_specificity(double *out, const gm_study *study, gm_error *err) GM_MUST_USE;

/* Everything above from a study that is measured and scored; `plan` points into it. GM_EMEM. */
gm_status gm_scores_outcomes(gm_outcomes *out, const gm_study *study, gm_error *err) GM_MUST_USE;
void gm_outcomes_clear(gm_outcomes *outcomes);

/* (1 + number of draws >= seen) / (1 + n); NaN when seen is. */
double gm_empirical_p(double seen, const double *draw, size_t n);

/* The x in (0, x_n] at which the line through (0,0) and the n points first reaches half of
 * its largest y; NaN when that is not above 0. */
double gm_half_dose(const double *x, const double *y, size_t n);

/* The y at which the line through (0,0) and the n points first reaches x = at; NaN when it does
 * not, or a number that it needs is NaN. */
double gm_shift_at(const double *x, const double *y, size_t n, double at);

#endif

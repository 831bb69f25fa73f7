/* verdict.h - a finished study in words and tables: text, JSON, CSV. */
#ifndef GM_VERDICT_H
#define GM_VERDICT_H

#include "base/json.h"
#include "steer/sweep/scores.h"

/* All draws of an arm at the chosen dose (dose 0: the zero-dose plan) as one row; n counts
 * the cells, 0: the arm was not measured. Means over cells. */
typedef struct gm_arm_row {
    size_t n, n_texts;
    double log_odds, share, shift, kl, nll_in, nll_off;
} gm_arm_row;
gm_arm_row gm_arm_row_of(const gm_study *study, int topic, gm_arm arm);

/* All of these append; errors: GM_EMEM. */

/* Sentences on a topic, and on all of them; nulls are said as plainly. What was not measured
 * or has nothing to be compared with is left out. */
gm_status gm_verdict_topic(gm_text *text, const gm_study *study, const gm_outcomes *all, int topic,
                           gm_error *err) GM_MUST_USE;
gm_status gm_verdict_all(gm_text *text, const gm_study *study, const gm_outcomes *outcomes,
                         gm_error *err) GM_MUST_USE;
/* Smaller facts of a topic, after its sentences; a NaN is said in words or left out. */
gm_status gm_verdict_facts(gm_text *text, const gm_outcome *outcome, gm_error *err) GM_MUST_USE;
/* What the judge learned from, and how well: part of a sentence. */
gm_status gm_verdict_judge(gm_text *text, const gm_judge *judge, gm_error *err) GM_MUST_USE;
/* Over all topics p is at most GM_ALPHA; a NaN is not. */
bool gm_verdict_beats_random(const gm_outcomes *outcomes);
/* Draws of which even the best plan could not have a p that counts. */
bool gm_verdict_too_few(size_t n_draws);
/* "beats", "does not beat" or, with so few draws that no p could count, "cannot be told from". */
const char *gm_verdict_words(bool beats_random, size_t n_draws);

/* The tables and sentences that the command prints. */
gm_status gm_verdict_text(gm_text *text, const gm_study *study, const gm_outcomes *outcomes,
                          gm_error *err) GM_MUST_USE;

/* The summary as one JSON object; `config` is one too, the options. */
gm_status gm_verdict_json(gm_json_out *json, const gm_study *study, const gm_outcomes *outcomes,
                          const char *config, gm_error *err) GM_MUST_USE;

/* A header and a line for each cell; NaN is empty. */
gm_status gm_verdict_csv(gm_text *csv, const gm_study *study, gm_error *err) GM_MUST_USE;

#endif

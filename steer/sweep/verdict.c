/* verdict.c - sentences and the printed tables: see verdict.h. */
#include "steer/sweep/verdict.h"

#include <math.h>
#include <string.h>

/* What the unsteered model loses on the judging half's fixed texts of the topic: every plan's cell
 * there knows. */
static void add_base_cost(gm_arm_row *row, const gm_study *s, int topic)
{
    for (size_t i = 0; i < s->n_cells; i++) {
        const gm_cell *c = &s->cell[i];
        if (c->half != 1 || c->topic != topic || !c->done || c->arm != GM_ARM_PLAN) continue;
        row->kl = 0;
        row->nll_in = c->cost[GM_IN_TOPIC].nll_base;
        row->nll_off = c->cost[GM_OFF_TOPIC].nll_base;
        return;
    }
}

gm_arm_row gm_arm_row_of(const gm_study *s, int topic, gm_arm arm)
{
    gm_arm_row row = {0};
    for (size_t i = 0; i < s->n_cells; i++) {
        const gm_cell *c = &s->cell[i];
        bool base = arm == GM_ARM_UNSTEERED && c->topic < 0;
        if (c->half != 1 || c->arm != arm || !c->done || (!base && c->topic != topic)) continue;
        if (!base && c->dose != s->topic[topic].dose) continue;
        double share = c->share;
        row.log_odds += base ? gm_scores_log_odds(s, c, topic, &share) : c->log_odds;
        row.share += share;
        row.shift += base ? 0 : c->shift;
        row.kl += c->cost[GM_NEUTRAL].kl_mean;
        row.nll_in += c->cost[GM_IN_TOPIC].nll;
        row.nll_off += c->cost[GM_OFF_TOPIC].nll;
        row.n_texts += c->n_texts;
        row.n++;
    }
    double n = row.n ? (double)row.n : (double)NAN;
    row.log_odds /= n, row.share /= n, row.shift /= n;
    row.kl /= n, row.nll_in /= n, row.nll_off /= n;
    if (arm == GM_ARM_UNSTEERED) add_base_cost(&row, s, topic);
    return row;
}

/* A name from a corpus, fit for a line. */
typedef struct shown {
    char text[96];
} shown;

static shown show(const char *name)
{
    shown s = {0};
    gm_text_escape(s.text, sizeof s.text, name, strlen(name));
    return s;
}

/* What a KL is like, by the published KL of quantised 8B models (llama.cpp). */
static const char *cost_words(double kl)
{
    if (isnan(kl)) return "which is not a number: the model's predictions were not finite";
    if (kl <= 0) return "nothing";
    if (kl < 0.005) return "less than 5-bit quantisation does";
    if (kl < 0.05) return "about as much as 4-bit quantisation does";
    if (kl < 0.2) return "as much as 3-bit quantisation does";
    if (kl <= 1) return "more than 3-bit quantisation does";
    return "so much that text falls apart";
}

static const char *what_it_does(const gm_outcome *o)
{
    if (o->beats_random && o->within_kl)
        return "moves text towards the topic, more than random experts do";
    if (o->beats_random) return "moves text more than random experts do, but costs too much";
    if (gm_verdict_too_few(o->n_draws))
        return "cannot be told from random experts with so few draws";
    return "does no more for the topic than random experts do";
}

gm_status gm_verdict_topic(gm_text *text, const gm_study *s, const gm_outcomes *all, int topic,
                           gm_error *err)
{
    gm_status status = GM_OK;
    const gm_topic *t = &s->topic[topic];
    const gm_outcome *o = &all->topic[topic];
    const gm_cost *cost = &o->plan->cost[GM_NEUTRAL];
    char name[GM_TOPIC_NAME_BYTES];
    gm_topic_show(name, t);
    GM_TRY(gm_text_printf(text, err, "%c%s, %s: at dose %g the plan %s.", name[0] - 'a' + 'A',
                          name + 1, show(t->domain).text, t->dose, what_it_does(o)));
    if (s->n_choosing && !t->affordable)
        GM_TRY(gm_text_printf(text, err,
                              " No dose is within the limit of %g nats a token; "
                              "the smallest is shown.",
                              s->protocol->max_kl));
    if (s->n_choosing && t->affordable && !o->within_kl)
        GM_TRY(gm_text_printf(text, err,
                              " It was within the limit of %g nats a token on the texts it was "
                              "chosen on, but is not on others.",
                              s->protocol->max_kl));
    GM_TRY(gm_text_printf(text, err, " Log-odds %+.2f", o->plan->shift));
    if (!isnan(o->plan->shift_lo)) /* of more than one prompt */
        GM_TRY(gm_text_printf(text, err, " (95 %%: %+.2f to %+.2f)", o->plan->shift_lo,
                              o->plan->shift_hi));
    GM_TRY(gm_text_printf(text, err,
                          ", random %+.2f, p %.3f over %zu draw%s; share %.0f %% against %.0f %%. "
                          "It changes predictions on neutral text by %.2f nats a token, %s.",
                          o->random_shift, o->p, o->n_draws, gm_plural(o->n_draws),
                          100 * o->plan->share, 100 * o->base_share, cost->kl_mean,
                          cost_words(cost->kl_mean)));
    if (!isnan(o->random_equal_kl))
        GM_TRY(gm_text_printf(text, err, " Random experts at the same cost: %+.2f.",
                              o->random_equal_kl));
    if (o->has_others)
        GM_TRY(gm_text_add(text,
                           o->own_largest ? " Its own topic gains most."
                                          : " Another topic gains as much or more.",
                           err));
    if (!o->zero_same) GM_TRY(gm_text_add(text, " DOSE 0 CHANGED THE TEXTS.", err));
    if (!isnan(o->reverse_shift))
        GM_TRY(gm_text_printf(text, err, " Reversed: %+.2f%s.", o->reverse_shift,
                              o->reverse_lowers ? "" : ", which is not below 0"));
out:
    return status;
}

bool gm_verdict_beats_random(const gm_outcomes *o)
{
    return o->p <= GM_ALPHA; /* NaN does not */
}

bool gm_verdict_too_few(size_t n_draws)
{
    return 1.0 / (1.0 + (double)n_draws) > GM_ALPHA;
}

const char *gm_verdict_words(bool beats_random, size_t n_draws)
{
    if (beats_random) return "beats";
    return gm_verdict_too_few(n_draws) ? "cannot be told from" : "does not beat";
}

gm_status gm_verdict_all(gm_text *text, const gm_study *s, const gm_outcomes *o, gm_error *err)
{
    const char *least = gm_verdict_too_few(o->n_draws)
                            ? " (so few draws cannot give a p of .05: use 19 or more)"
                            : "";
    gm_status status = GM_OK;
    GM_TRY(gm_text_printf(
        text, err,
        "All topics: log-odds %+.2f, random %+.2f, p %.3f over %zu draw%s%s: steering %s random "
        "experts. Of %zu topic%s %zu beat%s random experts within %g nats a token, ",
        o->shift, o->random_shift, o->p, o->n_draws, gm_plural(o->n_draws), least,
        gm_verdict_words(gm_verdict_beats_random(o), o->n_draws), o->n_topics,
        gm_plural(o->n_topics), o->n_beat, o->n_beat == 1 ? "s" : "", s->protocol->max_kl));
    if (o->n_compared > 0)
        GM_TRY(gm_text_printf(text, err, "%zu gain%s most on %s own, ", o->n_own,
                              o->n_own == 1 ? "s" : "", o->n_own == 1 ? "its" : "their"));
    GM_TRY(gm_text_printf(text, err, "%zu fall%s when reversed.", o->n_reverse,
                          o->n_reverse == 1 ? "s" : ""));
out:
    return status;
}

/* ---- tables ---- */

/* A number in `width` columns; NaN is a dash. */
static gm_status number(gm_text *text, double value, int width, int decimals, gm_error *err)
{
    if (isnan(value)) return gm_text_printf(text, err, " %*s", width, "-");
    return gm_text_printf(text, err, " %*.*f", width, decimals, value);
}

static gm_status topic_table(gm_text *text, const gm_study *s, int topic, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_topic *t = &s->topic[topic];
    char name[GM_TOPIC_NAME_BYTES];
    GM_TRY(gm_text_printf(text, err, "%s: %s", gm_topic_show(name, t), show(t->domain).text));
    if (t->cluster >= 0) GM_TRY(gm_text_printf(text, err, " (purity %.2f)", t->purity));
    GM_TRY(gm_text_printf(text, err, ", dose %g", t->dose));
    if (!t->given) GM_TRY(gm_text_printf(text, err, ", filter %s", s->protocol->filter[t->filter]));
    GM_TRY(gm_text_add(text, s->n_choosing ? " chosen on other prompts\n" : "\n", err));
    GM_TRY(gm_text_printf(text, err, "  %-10s %6s %9s %9s %7s %7s %9s %10s\n", "", "texts",
                          "of topic", "log-odds", "shift", "KL", "loss own", "loss other"));
    for (int arm = 0; arm < GM_N_ARMS; arm++) {
        gm_arm_row r = gm_arm_row_of(s, topic, (gm_arm)arm);
        if (r.n == 0) continue;
        GM_TRY(gm_text_printf(text, err, "  %-10s %6zu", gm_arm_names[arm], r.n_texts));
        GM_TRY(number(text, 100 * r.share, 7, 1, err));
        GM_TRY(gm_text_add(text, " %", err));
        GM_TRY(number(text, r.log_odds, 9, 2, err));
        GM_TRY(number(text, r.shift, 7, 2, err));
        GM_TRY(number(text, r.kl, 7, 3, err));
        GM_TRY(number(text, r.nll_in, 9, 3, err));
        GM_TRY(number(text, r.nll_off, 10, 3, err));
        GM_TRY(gm_text_add(text, "\n", err));
    }
out:
    return status;
}

/* A cluster's number; +1 is the first topic that is none. */
static shown label(const gm_topic *t)
{
    shown s;
    if (t->cluster < 0)
        snprintf(s.text, sizeof s.text, "+%d", GM_FIRST_GIVEN - t->cluster + 1);
    else
        snprintf(s.text, sizeof s.text, "%d", t->cluster);
    return s;
}

static gm_status matrix(gm_text *text, const gm_study *s, const gm_outcomes *o, gm_error *err)
{
    gm_status status = GM_OK;
    size_t C = o->n_topics;
    if (C < 2) return GM_OK;
    GM_TRY(gm_text_add(text, "shift of log-odds: steered towards (row), judged for (column)\n  ",
                       err));
    for (size_t j = 0; j < C; j++)
        GM_TRY(gm_text_printf(text, err, " %7s", label(&s->topic[j]).text));
    for (size_t i = 0; i < C; i++) {
        GM_TRY(gm_text_printf(text, err, "\n%3s", label(&s->topic[i]).text));
        for (size_t j = 0; j < C; j++) {
            const double shift = o->specificity[i * C + j];
            GM_TRY(isnan(shift) ? gm_text_printf(text, err, " %7s", "-")
                                : gm_text_printf(text, err, " %+7.2f", shift));
        }
    }
    GM_TRY(gm_text_add(text, "\n\n", err));
out:
    return status;
}

gm_status gm_verdict_facts(gm_text *text, const gm_outcome *o, gm_error *err)
{
    gm_status status = GM_OK;
    if (!isnan(o->usage) && !isnan(o->base_usage))
        GM_TRY(gm_text_printf(text, err,
                              "Share of the choices that are important experts while it writes: "
                              "%.1f %% (unsteered %.1f %%). ",
                              100 * o->usage, 100 * o->base_usage));
    if (isfinite(o->target_gain))
        GM_TRY(gm_text_printf(text, err,
                              "The loss on the topic's text changes by %+.3f nats a token relative "
                              "to that on others'. ",
                              -o->target_gain));
    else
        GM_TRY(gm_text_add(text, "Loss on the topic's text or on others' is not a number. ", err));
    if (!isnan(o->ed50))
        GM_TRY(gm_text_printf(text, err, "Half of the largest shift at dose %.2f. ", o->ed50));
    if (!isnan(o->best_dose))
        GM_TRY(gm_text_printf(text, err, "Largest shift within the KL limit at dose %g. ",
                              o->best_dose));
    if (isnan(o->collapse_dose))
        GM_TRY(gm_text_add(text, "No dose measured makes text collapse.", err));
    else
        GM_TRY(gm_text_printf(text, err, "Text collapses at dose %g.", o->collapse_dose));
out:
    return status;
}

gm_status gm_verdict_judge(gm_text *text, const gm_judge *j, gm_error *err)
{
    gm_status status =
        gm_text_printf(text, err, "%zu classes, %zu document%s outside the clustering, ",
                       j->n_classes, j->n, gm_plural(j->n));
    if (status != GM_OK) return status;
    if (j->n_held_out == 0)
        return gm_text_add(text, "too few texts of each class to hold some out for a test", err);
    return gm_text_printf(text, err, "right on %.1f %% of %zu held-out one%s", 100 * j->accuracy,
                          j->n_held_out, gm_plural(j->n_held_out));
}

static const char legend[] =
    "\n\n"
    "of topic: texts that the classifier gives to the cluster's domain; log-odds: its mean\n"
    "ln p/(1-p) of that domain; shift: log-odds less those of unsteered texts; KL: change of\n"
    "predictions on neutral text, nats a token; loss: nats a token on documents of the domain,\n"
    "of others\n";

gm_status gm_verdict_text(gm_text *text, const gm_study *s, const gm_outcomes *o, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_text_add(text, "judge: ", err));
    GM_TRY(gm_verdict_judge(text, &s->judge, err));
    GM_TRY(gm_text_add(text, "\n\n", err));
    for (int t = 0; t < (int)s->n_topics; t++) {
        GM_TRY(topic_table(text, s, t, err));
        GM_TRY(gm_verdict_topic(text, s, o, t, err));
        GM_TRY(gm_text_add(text, "\n\n", err));
    }
    GM_TRY(matrix(text, s, o, err));
    GM_TRY(gm_verdict_all(text, s, o, err));
    GM_TRY(gm_text_add(text, legend, err));
out:
    return status;
}

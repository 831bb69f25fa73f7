/* tables.c - a finished study for programs: JSON and CSV. See verdict.h. */
#include "steer/sweep/verdict.h"

#include <math.h>

/* ---- JSON ---- */

static void put_cost(gm_json_out *json, const char *key, const gm_cost *c)
{
    gm_json_open_object(json, key);
    gm_json_put_u64(json, "tokens", c->n_tokens);
    gm_json_put_f64(json, "kl", c->kl_mean);
    gm_json_put_f64(json, "kl_median", c->kl_median);
    gm_json_put_f64(json, "kl_p99", c->kl_p99);
    gm_json_put_f64(json, "same_top1", c->same_top1);
    gm_json_put_f64(json, "perplexity_ratio", exp(c->nll - c->nll_base));
    gm_json_put_f64(json, "jaccard", c->jaccard);
    gm_json_put_f64(json, "mass", c->mass);
    gm_json_close_object(json);
}

static void put_plan(gm_json_out *json, const gm_study *s, const gm_outcome *o)
{
    const gm_cell *c = o->plan;
    gm_quality q = gm_scores_quality(c), base = gm_scores_quality(gm_scores_base(s, 1));
    gm_json_put_f64(json, "log_odds", c->log_odds);
    gm_json_put_f64(json, "share", c->share);
    gm_json_put_f64(json, "shift", c->shift);
    gm_json_put_f64(json, "shift_lo", c->shift_lo);
    gm_json_put_f64(json, "shift_hi", c->shift_hi);
    gm_json_put_f64(json, "max_bias", (double)c->max_bias);
    gm_json_put_f64(json, "rms_bias", (double)c->rms_bias);
    gm_json_put_f64(json, "usage", o->usage);
    gm_json_put_f64(json, "base_usage", o->base_usage);
    gm_json_put_f64(json, "rep4", q.rep4);
    gm_json_put_f64(json, "base_rep4", base.rep4);
    gm_json_put_f64(json, "distinct2", q.distinct2);
    gm_json_put_f64(json, "base_distinct2", base.distinct2);
    gm_json_put_f64(json, "tokens", q.tokens);
    gm_json_put_f64(json, "ended", q.ended);
    put_cost(json, "neutral", &c->cost[GM_NEUTRAL]);
    put_cost(json, "in_topic", &c->cost[GM_IN_TOPIC]);
    put_cost(json, "off_topic", &c->cost[GM_OFF_TOPIC]);
}

static void put_arms(gm_json_out *json, const gm_study *s, int topic)
{
    gm_json_open_array(json, "arms");
    for (int arm = 0; arm < GM_N_ARMS; arm++) {
        gm_arm_row r = gm_arm_row_of(s, topic, (gm_arm)arm);
        if (r.n == 0) continue;
        gm_json_open_object(json, NULL);
        gm_json_put_string(json, "arm", gm_arm_names[arm]);
        gm_json_put_u64(json, "cells", r.n);
        gm_json_put_u64(json, "texts", r.n_texts);
        gm_json_put_f64(json, "log_odds", r.log_odds);
        gm_json_put_f64(json, "share", r.share);
        gm_json_put_f64(json, "shift", r.shift);
        gm_json_put_f64(json, "kl", r.kl);
        gm_json_put_f64(json, "nll_in_topic", r.nll_in);
        gm_json_put_f64(json, "nll_off_topic", r.nll_off);
        gm_json_close_object(json);
    }
    gm_json_close_array(json);
}

static gm_status put_topic(gm_json_out *json, const gm_study *s, const gm_outcomes *all, int topic,
                           gm_error *err)
{
    const gm_topic *t = &s->topic[topic];
    const gm_outcome *o = &all->topic[topic];
    gm_text words = {0};
    gm_status status = gm_verdict_topic(&words, s, all, topic, err);
    gm_json_open_object(json, NULL);
    if (t->cluster < 0)
        gm_json_put_null(json, "cluster");
    else
        gm_json_put_i64(json, "cluster", t->cluster);
    gm_json_put_string(json, "subset", t->subset);
    gm_json_put_string(json, "plan_file", t->name);
    gm_json_put_string(json, "domain", t->domain);
    gm_json_put_f64(json, "purity", t->purity);
    gm_json_put_f64(json, "dose", t->dose);
    gm_json_put_string(json, "filter", gm_topic_filter(s, t, t->filter));
    if (s->n_choosing)
        gm_json_put_bool(json, "affordable", t->affordable);
    else
        gm_json_put_null(json, "affordable"); /* nothing was chosen */
    put_plan(json, s, o);
    gm_json_put_f64(json, "base_log_odds", o->base_log_odds);
    gm_json_put_f64(json, "base_share", o->base_share);
    gm_json_put_u64(json, "draws", o->n_draws);
    gm_json_put_f64(json, "p", o->p);
    gm_json_put_f64(json, "p_share", o->p_share);
    gm_json_put_f64(json, "random_shift", o->random_shift);
    gm_json_put_f64(json, "random_kl", o->random_kl);
    gm_json_put_f64(json, "random_shift_at_equal_kl", o->random_equal_kl);
    gm_json_put_f64(json, "reverse_shift", o->reverse_shift);
    gm_json_put_f64(json, "target_gain", o->target_gain);
    gm_json_put_f64(json, "ed50", o->ed50);
    gm_json_put_f64(json, "best_dose", o->best_dose);
    gm_json_put_f64(json, "collapse_dose", o->collapse_dose);
    gm_json_put_bool(json, "within_kl", o->within_kl);
    gm_json_put_bool(json, "beats_random", o->beats_random);
    if (o->has_others)
        gm_json_put_bool(json, "own_largest", o->own_largest);
    else
        gm_json_put_null(json, "own_largest"); /* no other topic to compare with */
    gm_json_put_bool(json, "reverse_lowers", o->reverse_lowers);
    gm_json_put_bool(json, "zero_dose_same", o->zero_same);
    put_arms(json, s, topic);
    gm_json_put_string(json, "verdict", words.at);
    gm_json_close_object(json);
    gm_text_clear(&words);
    return status;
}

static void put_judge(gm_json_out *json, const gm_judge *j)
{
    gm_json_open_object(json, "judge");
    gm_json_put_u64(json, "classes", j->n_classes);
    gm_json_put_u64(json, "documents", j->n);
    gm_json_put_u64(json, "left_out_as_clustered", j->n_shared);
    gm_json_put_u64(json, "held_out", j->n_held_out);
    gm_json_put_f64(json, "accuracy", j->accuracy);
    gm_json_close_object(json);
}

gm_status gm_verdict_json(gm_json_out *json, const gm_study *s, const gm_outcomes *o,
                          const char *config, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text words = {0};
    size_t C = o->n_topics;
    gm_json_open_object(json, NULL);
    gm_json_put_string(json, "fingerprint", s->fingerprint);
    gm_setup_put(s->setup, json);
    gm_json_put_string(json, "atlas_digest", s->setup->atlas->digest);
    gm_json_put_raw(json, "config", config);
    put_judge(json, &s->judge);
    gm_json_open_array(json, "clusters");
    for (int t = 0; t < (int)C; t++) GM_TRY(put_topic(json, s, o, t, err));
    gm_json_close_array(json);
    gm_json_open_array(json, "specificity");
    for (size_t i = 0; i < C; i++) {
        gm_json_open_array(json, NULL);
        for (size_t j = 0; j < C; j++) gm_json_put_f64(json, NULL, o->specificity[i * C + j]);
        gm_json_close_array(json);
    }
    gm_json_close_array(json);
    gm_json_open_object(json, "pooled");
    gm_json_put_f64(json, "shift", o->shift);
    gm_json_put_f64(json, "random_shift", o->random_shift);
    gm_json_put_f64(json, "p", o->p);
    gm_json_put_u64(json, "draws", o->n_draws);
    gm_json_put_bool(json, "beats_random", gm_verdict_beats_random(o));
    gm_json_put_u64(json, "clusters_beat_random", o->n_beat);
    if (o->n_compared > 0)
        gm_json_put_u64(json, "clusters_own_largest", o->n_own);
    else
        gm_json_put_null(json, "clusters_own_largest");
    gm_json_put_u64(json, "clusters_reverse_lowers", o->n_reverse);
    gm_json_close_object(json);
    GM_TRY(gm_verdict_all(&words, s, o, err));
    gm_json_put_string(json, "verdict", words.at);
    gm_json_close_object(json);
    GM_TRY(gm_json_out_done(json, err));
out:
    gm_text_clear(&words);
    return status;
}

/* ---- CSV ---- */

/* A field in quotes where it needs them. */
static gm_status text_field(gm_text *csv, const char *text, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_text_add(csv, "\"", err));
    for (const char *at = text; *at; at++)
        GM_TRY(gm_text_append(csv, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1, err));
    GM_TRY(gm_text_add(csv, "\"", err));
out:
    return status;
}

static gm_status numbers(gm_text *csv, const double *value, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < n && status == GM_OK; i++)
        status = isnan(value[i]) ? gm_text_add(csv, ",", err)
                                 : gm_text_printf(csv, err, ",%.6g", value[i]);
    return status;
}

static gm_status csv_line(gm_text *csv, const gm_study *s, const gm_cell *c, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_topic *t = c->topic < 0 ? NULL : &s->topic[c->topic];
    gm_quality q = gm_scores_quality(c);
    GM_TRY(gm_text_printf(csv, err, "%s,%d,", c->half ? "judge" : "choose", t ? t->cluster : -1));
    GM_TRY(text_field(csv, t ? t->domain : "", err));
    GM_TRY(gm_text_printf(csv, err, ",%s,%d,%s", gm_arm_names[c->arm], c->draw,
                          t ? gm_topic_filter(s, t, c->filter) : ""));
    const double first[] = {c->dose,
                            (double)c->max_bias,
                            (double)c->rms_bias,
                            (double)c->n_texts,
                            c->log_odds,
                            c->share,
                            c->shift,
                            c->shift_lo,
                            c->shift_hi,
                            q.rep4,
                            q.distinct2,
                            q.tokens,
                            q.ended};
    GM_TRY(numbers(csv, first, sizeof first / sizeof *first, err));
    for (int k = 0; k < GM_N_KINDS; k++) {
        const gm_cost *m = &c->cost[k];
        const double cost[] = {m->kl_mean,  m->kl_median, m->kl_p99,  m->same_top1,
                               m->nll_base, m->nll,       m->jaccard, m->mass};
        GM_TRY(numbers(csv, cost, sizeof cost / sizeof *cost, err));
    }
    GM_TRY(gm_text_add(csv, "\n", err));
out:
    return status;
}

gm_status gm_verdict_csv(gm_text *csv, const gm_study *s, gm_error *err)
{
    static const char *const kind[GM_N_KINDS] = {"neutral", "in", "off"};
    static const char *const cost[] = {"kl",       "kl_median", "kl_p99",  "same_top1",
                                       "nll_base", "nll",       "jaccard", "mass"};
    gm_status status = GM_OK;
    GM_TRY(gm_text_add(csv,
                       "half,cluster,domain,arm,draw,filter,dose,max_bias,rms_bias,texts,log_odds,"
                       "share,shift,shift_lo,shift_hi,rep4,distinct2,tokens,ended",
                       err));
    for (int k = 0; k < GM_N_KINDS; k++)
        for (size_t i = 0; i < sizeof cost / sizeof *cost; i++)
            GM_TRY(gm_text_printf(csv, err, ",%s_%s", kind[k], cost[i]));
    GM_TRY(gm_text_add(csv, "\n", err));
    for (size_t i = 0; i < s->n_cells; i++)
        if (s->cell[i].done) GM_TRY(csv_line(csv, s, &s->cell[i], err));
out:
    return status;
}

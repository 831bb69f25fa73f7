/* sweep.h - does a cluster's plan move the text to the cluster's domain, more than the
 * same push at random experts does, and what does it cost?
 *
 * For each cluster the weight is chosen on tuning prompts: the largest mean log-odds of
 * the domain among the weights whose loss on other domains stays below the limit. Then
 * other prompts are continued unsteered, under the plan, under draws of random experts
 * at the same norm a layer, and under shuffled values, with the same draws of tokens in
 * every arm.
 */
#ifndef GM_SWEEP_H
#define GM_SWEEP_H

#include "steer/judge.h"
#include "steer/stats.h"

typedef enum gm_arm_kind { GM_ARM_NONE, GM_ARM_PLAN, GM_ARM_RANDOM, GM_ARM_SHUFFLED } gm_arm_kind;
const char *gm_arm_name(gm_arm_kind kind); /* "unsteered", "plan", "random", "shuffled" */

typedef struct gm_arm {
    gm_arm_kind kind;
    int draw;             /* of RANDOM, from 0 */
    gm_plan plan;         /* empty for NONE */
    gm_continuation *run; /* (n_runs) owned */
    gm_verdict *verdict;  /* (n_runs) */
    size_t n_runs, hits;
    double log_odds;             /* mean */
    double own_loss, other_loss; /* nats a token on documents of the domain, of others */
} gm_arm;

enum { GM_MAX_WEIGHTS = 16 };

typedef struct gm_trial {
    double weight, log_odds, own_loss, other_loss;
} gm_trial;

typedef struct gm_sweep_cluster {
    int cluster, class_id;
    const char *domain;
    double purity, weight;
    gm_trial trial[GM_MAX_WEIGHTS]; /* on the tuning prompts */
    size_t n_trials;
    gm_arm *arm; /* (n_arms): unsteered, plan, random draws, shuffled */
    size_t n_arms;
    double p_rate, p_log_odds, shift; /* plan against the random draws */
} gm_sweep_cluster;

typedef struct gm_sweep_options {
    gm_recipe recipe;              /* filter, scale, mode, windows; borrowed */
    double weight[GM_MAX_WEIGHTS]; /* ascending */
    size_t n_weights;
    size_t n_runs, n_draws, n_permutations;
    double max_cost; /* nats a token on other domains */
} gm_sweep_options;

/* Measure one cluster: *c is filled, and freed with gm_sweep_cluster_clear. Errors:
 * GM_EARG (a cluster that does not exist, or whose domain the judge does not know). */
gm_status gm_sweep_measure(gm_sweep_cluster *c, const gm_stage *stage, const gm_judge *judge,
                           const gm_prompts *tune, const gm_prompts *test, int cluster,
                           const gm_sweep_options *o, gm_error *err) GM_MUST_USE;
void gm_sweep_cluster_clear(gm_sweep_cluster *cluster);

/* Over all clusters: Fisher on the summed hits, permutation on the log-odds. */
typedef struct gm_pooled {
    double p_rate, p_log_odds, shift;
} gm_pooled;
gm_status gm_sweep_pool(gm_pooled *out, const gm_sweep_cluster *clusters, size_t n,
                        size_t n_prompts, size_t permutations, gm_error *err) GM_MUST_USE;

#endif

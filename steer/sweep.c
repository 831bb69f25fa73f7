/* sweep.c - see sweep.h. */
#include "steer/sweep.h"

#include <math.h>
#include <string.h>

#include "base/progress.h"

static const uint64_t PERMUTATION_SEED = 1, TUNE_STREAM = 1u << 20;

const char *gm_arm_name(gm_arm_kind kind)
{
    static const char *const names[] = {"unsteered", "plan", "random", "shuffled"};
    return names[kind];
}

static void arm_clear(gm_arm *a)
{
    for (size_t i = 0; a->run && i < a->n_runs; i++) gm_continuation_clear(&a->run[i]);
    gm_free(a->run);
    gm_free(a->verdict);
    gm_plan_clear(&a->plan);
    *a = (gm_arm){0};
}

void gm_sweep_cluster_clear(gm_sweep_cluster *c)
{
    for (size_t i = 0; c->arm && i < c->n_arms; i++) arm_clear(&c->arm[i]);
    gm_free(c->arm);
    *c = (gm_sweep_cluster){0};
}

/* ---- one arm ---- */

/* The plan of `cluster` at `weight`, or its control of that kind and draw. */
static gm_status arm_init(gm_arm *a, const gm_stage *stage, const gm_sweep_options *o, int cluster,
                          double weight, gm_arm_kind kind, int draw, size_t n_runs, gm_error *err)
{
    gm_status status = GM_OK;
    char id[16];
    const char *one[1] = {id};
    gm_recipe recipe = o->recipe;
    const gm_shape shape = gm_stage_shape(stage);

    *a = (gm_arm){.kind = kind, .draw = draw};
    snprintf(id, sizeof id, "%d", cluster);
    recipe.clusters = (gm_opt_list){one, 1};
    recipe.subsets = recipe.experts = (gm_opt_list){0};
    recipe.weight = weight;
    recipe.control = kind == GM_ARM_RANDOM ? "random" : kind == GM_ARM_SHUFFLED ? "shuffled" : NULL;
    recipe.seed = draw + 1;
    if (kind != GM_ARM_NONE)
        GM_TRY(
            gm_recipe_build(&a->plan, &recipe, &shape, stage->atlas, stage->options->atlas, err));
    a->run = gm_alloc(n_runs, sizeof *a->run);
    a->verdict = gm_alloc(n_runs, sizeof *a->verdict);
    if (!a->run || !a->verdict) GM_FAIL(GM_EMEM, "no memory for %zu continuations", n_runs);
    a->n_runs = n_runs;
out:
    return status;
}

/* Continue the prompts, over and over until there are n_runs, judge, measure the cost. */
static gm_status arm_run(gm_arm *a, const gm_stage *stage, const gm_judge *judge,
                         const gm_prompts *prompts, uint64_t first_stream, int class_id,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_edit edit = {0};
    bool steered = a->kind != GM_ARM_NONE;
    if (steered) edit = gm_stage_edit(&a->plan);
    gm_continue_options options = gm_stage_continue(stage, &edit, steered);
    options.quiet = true;

    for (size_t i = 0; i < a->n_runs; i++) {
        GM_TRY(gm_stage_prepare(stage, &a->run[i], &prompts->at[i % prompts->n], first_stream + i,
                                err));
        a->run[i].edit = steered ? 0 : -1;
    }
    GM_TRY(gm_continue(a->run, a->n_runs, stage->model, stage->tokenizer, &options, err));
    GM_TRY(gm_judge_texts(judge, a->run, a->n_runs, class_id, a->verdict, err));
    double sum = 0;
    for (size_t i = 0; i < a->n_runs; i++) {
        sum += a->verdict[i].log_odds;
        a->hits += a->verdict[i].hit;
    }
    a->log_odds = sum / (double)a->n_runs;
    const gm_edit *how = steered ? &edit : NULL;
    GM_TRY(gm_judge_loss(judge, stage, how, class_id, false, &a->own_loss, err));
    GM_TRY(gm_judge_loss(judge, stage, how, class_id, true, &a->other_loss, err));
out:
    return status;
}

/* ---- choosing the weight ---- */

static gm_status choose_weight(gm_sweep_cluster *c, const gm_stage *stage, const gm_judge *judge,
                               const gm_prompts *tune, const gm_sweep_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_arm arm = {0};
    double base, best = -INFINITY;
    size_t n_runs = 2 * tune->n;

    GM_TRY(gm_judge_loss(judge, stage, NULL, c->class_id, true, &base, err));
    c->weight = o->weight[0];
    for (size_t w = 0; w < o->n_weights; w++) {
        GM_TRY(arm_init(&arm, stage, o, c->cluster, o->weight[w], GM_ARM_PLAN, 0, n_runs, err));
        GM_TRY(arm_run(&arm, stage, judge, tune, TUNE_STREAM, c->class_id, err));
        c->trial[c->n_trials++] =
            (gm_trial){o->weight[w], arm.log_odds, arm.own_loss, arm.other_loss};
        bool affordable = arm.other_loss - base <= o->max_cost;
        if (affordable && arm.log_odds > best) {
            best = arm.log_odds;
            c->weight = o->weight[w];
        }
        arm_clear(&arm);
    }
    if (best == -INFINITY)
        gm_warn("cluster %d: every weight costs more than %g nats a token on other domains; the "
                "smallest, %g, is used",
                c->cluster, o->max_cost, c->weight);
out:
    arm_clear(&arm);
    return status;
}

/* ---- one cluster ---- */

/* The domain of a cluster: the subset most of its members come from. */
static gm_status find_domain(gm_sweep_cluster *c, const gm_atlas *atlas, const gm_judge *judge,
                             gm_error *err)
{
    if (c->cluster < 0 || (size_t)c->cluster >= atlas->n_clusters)
        return gm_fail(err, GM_EARG, "cluster '%d' does not exist, the atlas has %zu clusters",
                       c->cluster, atlas->n_clusters);
    const uint32_t *count = atlas->subset_count + (size_t)c->cluster * atlas->n_subsets;
    size_t best = 0;
    for (size_t s = 1; s < atlas->n_subsets; s++)
        if (count[s] > count[best]) best = s;
    c->domain = atlas->n_subsets > 0 ? atlas->subset_name[best] : "";
    c->purity = atlas->n_subsets > 0 ? (double)count[best] / (double)atlas->size[c->cluster] : 0;
    c->class_id = gm_judge_class(judge, c->domain);
    if (c->class_id < 0)
        return gm_fail(err, GM_EARG,
                       "cluster %d is about '%s', which the classifier's corpus lacks", c->cluster,
                       c->domain);
    return GM_OK;
}

/* Append the runs of one arm as observations; a prompt of a cluster is a block. */
static size_t observe(gm_observation *at, size_t n, const gm_arm *arm, uint32_t first_block,
                      size_t n_prompts)
{
    for (size_t i = 0; i < arm->n_runs; i++)
        at[n++] = (gm_observation){.value = arm->verdict[i].log_odds,
                                   .block = first_block + (uint32_t)(i % n_prompts),
                                   .treated = arm->kind == GM_ARM_PLAN};
    return n;
}

/* Stable by block: a counting pass a block; the numbers are small. */
static void order_by_block(gm_observation *out, const gm_observation *in, size_t n, uint32_t blocks)
{
    size_t at = 0;
    for (uint32_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < n; i++)
            if (in[i].block == b) out[at++] = in[i];
}

gm_status gm_sweep_pool(gm_pooled *out, const gm_sweep_cluster *clusters, size_t n,
                        size_t n_prompts, size_t permutations, gm_error *err)
{
    gm_status status = GM_OK;
    size_t hits[2] = {0}, runs[2] = {0}, n_seen = 0, most = 0; /* [0] random, [1] plan */
    for (size_t c = 0; c < n; c++)
        for (size_t a = 0; a < clusters[c].n_arms; a++) most += clusters[c].arm[a].n_runs;
    gm_observation *seen = gm_alloc(most, sizeof *seen), *ordered = gm_alloc(most, sizeof *ordered);
    if (!seen || !ordered) GM_FAIL(GM_EMEM, "no memory for the tests");

    for (size_t c = 0; c < n; c++) {
        for (size_t a = 0; a < clusters[c].n_arms; a++) {
            const gm_arm *arm = &clusters[c].arm[a];
            if (arm->kind != GM_ARM_PLAN && arm->kind != GM_ARM_RANDOM) continue;
            hits[arm->kind == GM_ARM_PLAN] += arm->hits;
            runs[arm->kind == GM_ARM_PLAN] += arm->n_runs;
            n_seen = observe(seen, n_seen, arm, (uint32_t)(c * n_prompts), n_prompts);
        }
    }
    order_by_block(ordered, seen, n_seen, (uint32_t)(n * n_prompts));
    out->p_rate = gm_fisher_greater(hits[1], runs[1], hits[0], runs[0]);
    out->shift = gm_block_difference(ordered, n_seen);
    GM_TRY(gm_permutation_greater(&out->p_log_odds, ordered, n_seen, permutations, PERMUTATION_SEED,
                                  err));
out:
    gm_free(seen);
    gm_free(ordered);
    return status;
}

gm_status gm_sweep_measure(gm_sweep_cluster *c, const gm_stage *stage, const gm_judge *judge,
                           const gm_prompts *tune, const gm_prompts *test, int cluster,
                           const gm_sweep_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    gm_pooled alone;
    *c = (gm_sweep_cluster){.cluster = cluster};
    GM_TRY(find_domain(c, stage->atlas, judge, err));
    GM_TRY(choose_weight(c, stage, judge, tune, o, err));

    c->n_arms = 3 + o->n_draws;
    c->arm = gm_alloc(c->n_arms, sizeof *c->arm);
    if (c->arm == NULL) GM_FAIL(GM_EMEM, "no memory for the arms of cluster %d", cluster);
    for (size_t a = 0; a < c->n_arms; a++) {
        gm_arm_kind kind = a == 0 ? GM_ARM_NONE : a == 1 ? GM_ARM_PLAN : GM_ARM_RANDOM;
        if (a + 1 == c->n_arms) kind = GM_ARM_SHUFFLED;
        int draw = kind == GM_ARM_RANDOM ? (int)a - 2 : 0;
        GM_TRY(arm_init(&c->arm[a], stage, o, cluster, c->weight, kind, draw, o->n_runs, err));
        GM_TRY(arm_run(&c->arm[a], stage, judge, test, 0, c->class_id, err));
    }
    GM_TRY(gm_sweep_pool(&alone, c, 1, test->n, o->n_permutations, err));
    c->p_rate = alone.p_rate;
    c->p_log_odds = alone.p_log_odds;
    c->shift = alone.shift;
out:
    if (status != GM_OK) gm_sweep_cluster_clear(c);
    return status;
}

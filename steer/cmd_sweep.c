/* cmd_sweep.c - gm-steer sweep: the honest table. Exit 3 when the pooled log-odds do not
 * beat the random experts.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "steer/commands.h"
#include "steer/sweep.h"

enum { MOST_CLUSTERS = 64, OWN_CLUSTERS = 2, PERMUTATIONS = 10000 };

static const double ALPHA = 0.05;

static const char details[] =
    "Without --cluster the two largest clusters with a purity of --min-purity are measured.\n"
    "Arms: unsteered, the plan, random experts at its norm, its values shuffled in each layer.\n"
    "Log-odds decide: the mean ln p/(1-p) that the classifier gives the cluster's domain.\n"
    "  gm-steer sweep --model DIR --atlas run.atlas.h5 --classifier-corpus other.jsonl.zst\n";

typedef struct request {
    gm_stage_options stage;
    gm_recipe recipe;
    gm_opt_list corpus;
    const char *weights, *tune_file, *csv;
    int64_t continuations, draws;
    double min_purity, max_cost;
    bool force;
} request;

typedef struct table {
    gm_sweep_cluster cluster[MOST_CLUSTERS];
    size_t n;
    gm_pooled pooled;
} table;

/* ---- what is asked for ---- */

/* "0.5,1,2": rising numbers. */
static gm_status read_weights(gm_sweep_options *o, const char *text, gm_error *err)
{
    char part[32];
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        double w;
        snprintf(part, sizeof part, "%.*s", (int)(n < 31 ? n : 31), at);
        if (!gm_parse_f64(part, &w) || !isfinite(w) || o->n_weights == GM_MAX_WEIGHTS ||
            (o->n_weights > 0 && w <= o->weight[o->n_weights - 1]))
            return gm_fail(err, GM_EARG, "--weights '%s': expected up to %d rising numbers", text,
                           GM_MAX_WEIGHTS);
        o->weight[o->n_weights++] = w;
        at += n + (at[n] == ',');
    }
    return o->n_weights ? GM_OK : gm_fail(err, GM_EARG, "--weights is empty");
}

/* The clusters asked for, or the largest pure ones whose domain the judge knows. */
static gm_status choose_clusters(int out[MOST_CLUSTERS], size_t *n, const request *r,
                                 const gm_atlas *atlas, const gm_judge *judge, gm_error *err)
{
    *n = 0;
    for (size_t i = 0; i < r->recipe.clusters.n && *n < MOST_CLUSTERS; i++) {
        int64_t id;
        if (!gm_parse_i64(r->recipe.clusters.at[i], &id) || id < 0 || id > INT32_MAX)
            return gm_fail(err, GM_EARG, "--cluster '%s': expected a cluster's number",
                           r->recipe.clusters.at[i]);
        out[(*n)++] = (int)id;
    }
    for (size_t c = 0; r->recipe.clusters.n == 0 && c < atlas->n_clusters && *n < OWN_CLUSTERS;
         c++) {
        const uint32_t *count = atlas->subset_count + c * atlas->n_subsets;
        for (size_t s = 0; s < atlas->n_subsets; s++) {
            bool pure = (double)count[s] >= r->min_purity * (double)atlas->size[c];
            if (pure && gm_judge_class(judge, atlas->subset_name[s]) >= 0) {
                out[(*n)++] = (int)c;
                break;
            }
        }
    }
    if (*n == 0)
        return gm_fail(err, GM_EARG,
                       "no cluster has a purity of %g in a domain that the classifier knows; name "
                       "clusters by --cluster, or give a lower --min-purity",
                       r->min_purity);
    return GM_OK;
}

/* ---- the table ---- */

typedef struct arm_row {
    const char *name;
    size_t hits, n;
    double log_odds, own_loss, other_loss;
} arm_row;

/* All draws of one kind together. */
static arm_row sum_arms(const gm_sweep_cluster *c, gm_arm_kind kind)
{
    arm_row row = {.name = gm_arm_name(kind)};
    size_t n_arms = 0;
    for (size_t a = 0; a < c->n_arms; a++) {
        const gm_arm *arm = &c->arm[a];
        if (arm->kind != kind) continue;
        row.hits += arm->hits;
        row.n += arm->n_runs;
        row.log_odds += arm->log_odds;
        row.own_loss += arm->own_loss;
        row.other_loss += arm->other_loss;
        n_arms++;
    }
    double n = n_arms ? (double)n_arms : (double)NAN;
    row.log_odds /= n;
    row.own_loss /= n;
    row.other_loss /= n;
    return row;
}

/* "log-odds +1.87, p 0.0001; of topic, p < 0.0001" */
static void print_p(double shift, double p_log_odds, double p_rate)
{
    printf("log-odds %+.2f, p %.4f; of topic, ", shift, p_log_odds);
    printf(p_rate < 1e-4 ? "p < 0.0001" : "p %.4f", p_rate);
}

static void print_cluster(const gm_sweep_cluster *c)
{
    printf("cluster %d: ", c->cluster);
    gm_print_text(stdout, 0, c->domain);
    printf(" (purity %.2f), weight %g chosen on other prompts\n", c->purity, c->weight);
    printf("  %-10s %6s %9s %9s %9s %10s\n", "", "texts", "of topic", "log-odds", "loss own",
           "loss other");
    for (int kind = GM_ARM_NONE; kind <= GM_ARM_SHUFFLED; kind++) {
        arm_row r = sum_arms(c, (gm_arm_kind)kind);
        printf("  %-10s %6zu %7.1f %% %9.2f %9.3f %10.3f\n", r.name, r.n,
               100 * (double)r.hits / (double)r.n, r.log_odds, r.own_loss, r.other_loss);
    }
    printf("  plan against random: ");
    print_p(c->shift, c->p_log_odds, c->p_rate);
    printf(" (one-sided)\n\n");
}

static bool beats_random(const gm_pooled *p)
{
    return p->p_log_odds < ALPHA; /* NaN does not */
}

static void print_text(const table *t)
{
    for (size_t c = 0; c < t->n; c++) print_cluster(&t->cluster[c]);
    printf("pooled: ");
    print_p(t->pooled.shift, t->pooled.p_log_odds, t->pooled.p_rate);
    printf(": steering %s random experts\n\n",
           beats_random(&t->pooled) ? "beats" : "does not beat");
    printf("of topic: texts that the classifier gives to the cluster's domain; log-odds: its mean\n"
           "ln p/(1-p) of that domain; loss: nats a token on documents of it, and of the others\n");
}

static void put_cluster(gm_json_out *json, const gm_sweep_cluster *c)
{
    gm_json_open_object(json, NULL);
    gm_json_put_i64(json, "cluster", c->cluster);
    gm_json_put_string(json, "domain", c->domain);
    gm_json_put_f64(json, "purity", c->purity);
    gm_json_put_f64(json, "weight", c->weight);
    gm_json_open_array(json, "trials");
    for (size_t i = 0; i < c->n_trials; i++) {
        gm_json_open_object(json, NULL);
        gm_json_put_f64(json, "weight", c->trial[i].weight);
        gm_json_put_f64(json, "log_odds", c->trial[i].log_odds);
        gm_json_put_f64(json, "own_loss", c->trial[i].own_loss);
        gm_json_put_f64(json, "other_loss", c->trial[i].other_loss);
        gm_json_close_object(json);
    }
    gm_json_close_array(json);
    gm_json_open_array(json, "arms");
    for (size_t a = 0; a < c->n_arms; a++) {
        const gm_arm *arm = &c->arm[a];
        gm_json_open_object(json, NULL);
        gm_json_put_string(json, "arm", gm_arm_name(arm->kind));
        gm_json_put_i64(json, "draw", arm->draw);
        gm_json_put_u64(json, "texts", arm->n_runs);
        gm_json_put_u64(json, "hits", arm->hits);
        gm_json_put_f64(json, "log_odds", arm->log_odds);
        gm_json_put_f64(json, "own_loss", arm->own_loss);
        gm_json_put_f64(json, "other_loss", arm->other_loss);
        gm_json_close_object(json);
    }
    gm_json_close_array(json);
    gm_json_put_f64(json, "shift", c->shift);
    gm_json_put_f64(json, "p_log_odds", c->p_log_odds);
    gm_json_put_f64(json, "p_rate", c->p_rate);
    gm_json_close_object(json);
}

static gm_status print_json(const table *t, const request *r, const gm_stage *stage, gm_error *err)
{
    gm_json_out json = {0};
    gm_json_open_object(&json, NULL);
    gm_stage_put(stage, &json);
    gm_json_put_string(&json, "atlas_digest", stage->atlas->digest);
    gm_json_put_string(&json, "weights", r->weights);
    gm_json_put_i64(&json, "continuations", r->continuations);
    gm_json_put_i64(&json, "draws", r->draws);
    gm_json_put_f64(&json, "min_purity", r->min_purity);
    gm_json_put_f64(&json, "max_cost", r->max_cost);
    gm_json_open_array(&json, "clusters");
    for (size_t c = 0; c < t->n; c++) put_cluster(&json, &t->cluster[c]);
    gm_json_close_array(&json);
    gm_json_open_object(&json, "pooled");
    gm_json_put_f64(&json, "shift", t->pooled.shift);
    gm_json_put_f64(&json, "p_log_odds", t->pooled.p_log_odds);
    gm_json_put_f64(&json, "p_rate", t->pooled.p_rate);
    gm_json_put_bool(&json, "beats_random", beats_random(&t->pooled));
    gm_json_close_object(&json);
    gm_json_close_object(&json);
    gm_status status = gm_json_out_done(&json, err);
    if (status == GM_OK) printf("%s\n", json.text.at);
    gm_text_clear(&json.text);
    return status;
}

/* One line a continuation. */
static gm_status write_csv(const table *t, const char *path, bool force, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text csv = {0};
    GM_TRY(gm_text_add(&csv, "cluster,weight,arm,draw,run,log_odds,hit,tokens\n", err));
    for (size_t c = 0; c < t->n; c++) {
        for (size_t a = 0; a < t->cluster[c].n_arms; a++) {
            const gm_arm *arm = &t->cluster[c].arm[a];
            for (size_t i = 0; i < arm->n_runs; i++)
                GM_TRY(gm_text_printf(
                    &csv, err, "%d,%g,%s,%d,%zu,%.6f,%d,%zu\n", t->cluster[c].cluster,
                    t->cluster[c].weight, gm_arm_name(arm->kind), arm->draw, i,
                    arm->verdict[i].log_odds, arm->verdict[i].hit, arm->run[i].generated.n));
        }
    }
    GM_TRY(gm_outfile_write(path, force, csv.at, csv.n, err));
out:
    gm_text_clear(&csv);
    return status;
}

/* ---- the command ---- */

/* What the command line alone shows to be wrong. */
static gm_status check_request(const request *r, gm_sweep_options *options, gm_error *err)
{
    const gm_recipe *recipe = &r->recipe;
    if (r->corpus.n == 0 || r->stage.atlas == NULL)
        return gm_fail(err, GM_EARG, "expected --atlas FILE and --classifier-corpus FILE");
    gm_status status = gm_stage_check(&r->stage, recipe, err);
    return status == GM_OK ? read_weights(options, r->weights, err) : status;
}

static gm_status measure(table *t, const request *r, const gm_sweep_options *options,
                         const gm_stage *stage, gm_error *err)
{
    gm_status status = GM_OK;
    gm_judge judge = {0};
    gm_prompts tune = {0}, test = {0};
    const gm_opt_list none = {0};
    gm_progress progress;
    int clusters[MOST_CLUSTERS];
    size_t n;

    GM_TRY(gm_prompts_read(&test, &r->stage.prompts, r->stage.prompts_file, err));
    if (test.n == 0) GM_TRY(gm_prompts_own(&test, GM_PROMPTS_TEST, err));
    GM_TRY(gm_prompts_read(&tune, &none, r->tune_file, err));
    if (tune.n == 0) GM_TRY(gm_prompts_own(&tune, GM_PROMPTS_TUNE, err));
    GM_TRY(gm_judge_create(&judge, &r->corpus, err));
    GM_TRY(choose_clusters(clusters, &n, r, stage->atlas, &judge, err));

    gm_progress_start(&progress, "sweep", "clusters", (double)n, r->stage.quiet);
    for (; t->n < n; t->n++) {
        GM_TRY(gm_sweep_measure(&t->cluster[t->n], stage, &judge, &tune, &test, clusters[t->n],
                                options, err));
        gm_progress_set(&progress, (double)t->n + 1);
    }
    gm_progress_end(&progress);
    GM_TRY(gm_sweep_pool(&t->pooled, t->cluster, t->n, test.n, PERMUTATIONS, err));
out:
    gm_judge_clear(&judge);
    gm_prompts_clear(&tune);
    gm_prompts_clear(&test);
    return status;
}

static gm_status run(const request *r, const gm_sweep_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_stage stage = {0};
    table *t = gm_alloc(1, sizeof *t);
    if (t == NULL) GM_FAIL(GM_EMEM, "no memory for the table");
    if (r->csv) GM_TRY(gm_outfile_check(r->csv, r->force, err));
    GM_TRY(gm_stage_open(&stage, &r->stage, err));
    GM_TRY(measure(t, r, options, &stage, err));
    if (r->csv) GM_TRY(write_csv(t, r->csv, r->force, err));
    if (r->stage.json)
        GM_TRY(print_json(t, r, &stage, err));
    else
        print_text(t);
    if (!beats_random(&t->pooled))
        GM_FAIL(GM_ECHECK, "steering does not beat random experts (pooled p %.3f)",
                t->pooled.p_log_odds);
out:
    for (size_t c = 0; t && c < t->n; c++) gm_sweep_cluster_clear(&t->cluster[c]);
    gm_free(t);
    gm_stage_close(&stage);
    return status;
}

int gm_steer_sweep(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error err = {0};
    bool usage = true;
    request r = {.stage = gm_stage_defaults(),
                 .recipe = gm_recipe_defaults(),
                 .weights = "0.5,1,2,3",
                 .continuations = 40,
                 .draws = 5,
                 .min_purity = 0.7,
                 .max_cost = 0.5};
    gm_sweep_options options = {.n_permutations = PERMUTATIONS};
    r.stage.max_tokens = 64;
    r.stage.temperature = 0.8;
    const gm_opt opts[] = {
        GM_STAGE_OPTIONS(&r.stage),
        {GM_OPT_TEXT, "csv", &r.csv, 0, 0, "FILE", "a line a continuation"},
        {GM_OPT_FLAG, "force", &r.force, 0, 0, NULL, "replace an existing file"},
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "Measurement"},
        {GM_OPT_LIST, "classifier-corpus", &r.corpus, 0, 0, "FILE",
         "labelled documents that took no part in the clustering"},
        {GM_OPT_TEXT, "weights", &r.weights, 0, 0, "W,W,...", "rising weights to choose from"},
        {GM_OPT_TEXT, "tune-prompts", &r.tune_file, 0, 0, "FILE", "prompts to choose it on"},
        {GM_OPT_I64, "continuations", &r.continuations, 1, 100000, "N", "texts an arm"},
        {GM_OPT_I64, "draws", &r.draws, 1, 100, "N", "draws of random experts"},
        {GM_OPT_F64, "min-purity", &r.min_purity, 0, 1, "X", "of the clusters chosen"},
        {GM_OPT_F64, "max-cost", &r.max_cost, 0, 100, "X", "loss on other domains, nats a token"},
        {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "What to steer to"},
        {GM_OPT_LIST, "cluster", &r.recipe.clusters, 0, 0, "ID", "cluster to measure"},
        GM_RECIPE_RULES(&r.recipe),
        {.kind = GM_OPT_END_},
    };

    GM_TRY(gm_opt_parse("gm-steer sweep --model DIR --atlas FILE --classifier-corpus FILE", details,
                        opts, &argc, argv, &err));
    if (argc > 1) GM_TRY(gm_fail(&err, GM_EARG, "unexpected argument '%s'", argv[1]));
    GM_TRY(check_request(&r, &options, &err));
    usage = false;
    options.recipe = r.recipe;
    options.n_runs = (size_t)r.continuations;
    options.n_draws = (size_t)r.draws;
    options.max_cost = r.max_cost;
    GM_TRY(run(&r, &options, &err));
out:
    gm_opt_list_clear(&r.corpus);
    gm_recipe_clear(&r.recipe);
    gm_stage_options_clear(&r.stage);
    return gm_cli_end("gm-steer", "sweep", status, usage, &err);
}

/* recipe_vectors.c - see recipe_vectors.h. */
#include "steer/recipe_vectors.h"

#include "formats/find_subset.h"
#include "steer/recipe_words.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- what the atlas holds ---- */

gm_status gm_recipe_cluster(size_t *cluster, const gm_atlas *a, const char *name, gm_error *err)
{
    int64_t id;
    *cluster = 0;
    if (a->n_clusters == 0)
        return gm_fail(err, GM_EARG, "cluster '%s' does not exist; the atlas has no clusters",
                       name);
    if (!gm_parse_i64(name, &id) || id < 0 || (uint64_t)id >= a->n_clusters)
        return gm_fail(err, GM_EARG, "cluster '%s' does not exist; the atlas has clusters 0 to %zu",
                       name, a->n_clusters - 1);
    *cluster = (size_t)id;
    return GM_OK;
}

/* Number i of several rates: usage (n,L,E), half (n,2,L,E); against those of the corpus. */
static gm_rates rates_at(const gm_atlas *a, const float *usage, const float *half, size_t i)
{
    const size_t D = (size_t)a->n_layers * (size_t)a->n_experts;
    return (gm_rates){.n_layers = a->n_layers,
                      .n_experts = a->n_experts,
                      .rate = usage + i * D,
                      .half = {half + 2 * i * D, half + (2 * i + 1) * D},
                      .corpus = a->corpus_usage};
}

static gm_status cluster_rates(const gm_atlas *a, const char *name, gm_rates *out, gm_error *err)
{
    size_t c;
    gm_status status = gm_recipe_cluster(&c, a, name, err);
    if (status == GM_OK) *out = rates_at(a, a->usage, a->usage_half, c);
    return status;
}

static gm_status subset_rates(const gm_atlas *a, const char *name, gm_rates *out, gm_error *err)
{
    size_t s;
    gm_status status = gm_find_subset(&s, name, a->subset_name, a->n_subsets, "atlas", err);
    if (status == GM_OK) *out = rates_at(a, a->subset_usage, a->subset_usage_half, s);
    return status;
}

enum { EVEN = 0, ODD = 1, BOTH = 2 };

/* Rates of no document are zeros. */
static bool has_documents(const float *rate, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rate[i] > 0) return true;
    return false;
}

/* The vector that the recipe's filter and scale make of `rates`, those of `kind` `name`. One of
 * zeros is refused: it would steer nothing. */
static gm_status make_vector(float *vector, const gm_recipe *recipe, const gm_rates *rates,
                             const char *kind, const char *name, gm_error *err)
{
    gm_status status = GM_OK;
    gm_filter filter;
    size_t n = (size_t)rates->n_layers * (size_t)rates->n_experts, i = 0;
    GM_TRY(gm_filter_parse(&filter, recipe->filter, err));
    GM_TRY(gm_vector_make(vector, rates, &filter, (gm_scale)recipe->scale, err));
    while (i < n && vector[i] == 0) i++;
    if (i == n)
        GM_FAIL(GM_EARG, "filter '%s' leaves no expert of %s %s; try top:N or none", recipe->filter,
                kind, name);
out:
    return status;
}

/* What the recipe names of one kind, and where the atlas has it. */
typedef struct named {
    const char *option;
    const gm_opt_list *list;
    gm_status (*find)(const gm_atlas *atlas, const char *name, gm_rates *out, gm_error *err);
} named;

/* Add their vectors, each times its factor, to sum; of the documents of one half where `half` is
 * not BOTH. */
static gm_status add_named(float *sum, const gm_recipe *recipe, const named *of, int half,
                           const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text name = {0};
    gm_rates rates;
    double factor;
    size_t n = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    float *vector = gm_alloc(n, sizeof *vector);
    if (vector == NULL) GM_FAIL(GM_EMEM, "no memory for a steering vector");

    for (size_t i = 0; i < of->list->n; i++) {
        GM_TRY(gm_recipe_split(of->list->at[i], of->option, &name, &factor, err));
        GM_TRY(of->find(atlas, name.at, &rates, err));
        if (half != BOTH) rates.rate = rates.half[!half] = rates.half[half];
        if (!has_documents(rates.rate, n))
            GM_FAIL(GM_EARG, "%s%s %s has no documents", half == BOTH ? "" : "half of ", of->option,
                    name.at);
        GM_TRY(make_vector(vector, recipe, &rates, of->option, name.at, err));
        for (size_t j = 0; j < n; j++) sum[j] += (float)(factor * (double)vector[j]);
    }
out:
    gm_text_clear(&name);
    gm_free(vector);
    return status;
}

static gm_status add_all(float *sum, const gm_recipe *recipe, int half, const gm_atlas *atlas,
                         gm_error *err)
{
    const named clusters = {"cluster", &recipe->clusters, cluster_rates};
    const named subsets = {"subset", &recipe->subsets, subset_rates};
    gm_status status = add_named(sum, recipe, &clusters, half, atlas, err);
    return status == GM_OK ? add_named(sum, recipe, &subsets, half, atlas, err) : status;
}

/* Add an atlas's vector to biases of the plan's sizes; the plan may be of more layers. */
static void add_to_layers(float *bias, const gm_plan *plan, const float *vector,
                          const gm_atlas *atlas)
{
    const size_t E = (size_t)atlas->n_experts;
    for (int l = 0; l < atlas->n_layers; l++, vector += E) {
        const int row = gm_find_layer(plan->layer_of_moe, plan->n_layers, atlas->layer_of_moe[l]);
        assert(row >= 0);
        for (size_t e = 0; e < E; e++) bias[(size_t)row * E + e] += vector[e];
    }
}

gm_status gm_recipe_add_vectors(gm_plan *plan, const gm_recipe *recipe, const gm_atlas *atlas,
                                gm_error *err)
{
    float *sum = gm_alloc2((size_t)atlas->n_layers, (size_t)atlas->n_experts, sizeof *sum);
    if (sum == NULL) return gm_fail(err, GM_EMEM, "no memory for a steering vector");
    gm_status status = add_all(sum, recipe, BOTH, atlas, err);
    if (status == GM_OK) add_to_layers(plan->bias, plan, sum, atlas);
    gm_free(sum);
    return status;
}

/* ---- controls ---- */

/* The corpus's own rates against uniform ones. `uniform` is room for (L,E). */
static gm_rates mean_rates(const gm_atlas *a, float *uniform)
{
    size_t n = (size_t)a->n_layers * (size_t)a->n_experts;
    gm_rates rates = rates_at(a, a->corpus_usage, a->corpus_usage_half, 0);
    for (size_t i = 0; i < n; i++) uniform[i] = (float)(1.0 / (double)n);
    rates.corpus = uniform;
    return rates;
}

/* Another cluster than those that are steered to: "other:ID" of one of these would be the plan
 * itself, and a comparison with it none. */
static gm_status check_other(const gm_recipe *recipe, const char *id, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text name = {0};
    double factor;
    int64_t other, own;
    for (size_t i = 0; i < recipe->clusters.n && gm_parse_i64(id, &other); i++) {
        GM_TRY(gm_recipe_split(recipe->clusters.at[i], "cluster", &name, &factor, err));
        if (gm_parse_i64(name.at, &own) && own == other)
            GM_FAIL(GM_EARG,
                    "--control other:%s: cluster %s is the one steered towards; give another", id,
                    id);
    }
out:
    gm_text_clear(&name);
    return status;
}

/* A control that is a vector of its own: another cluster's, the corpus mean's, the
 * committee's, or that of half the documents. Written; detail: see recipe_words.h. */
static gm_status make_other_vector(float *vector, const gm_recipe *recipe, const gm_atlas *atlas,
                                   gm_control control, const char *detail, gm_error *err)
{
    gm_status status = GM_OK;
    gm_rates rates;
    float *uniform = NULL;
    if (control == GM_CONTROL_HALF)
        return add_all(vector, recipe, strcmp(detail, "odd") == 0 ? ODD : EVEN, atlas, err);
    if (control == GM_CONTROL_COMMITTEE)
        return gm_vector_committee(vector, atlas->corpus_usage, atlas->n_layers, atlas->n_experts,
                                   err);
    if (control == GM_CONTROL_OTHER) {
        GM_TRY(check_other(recipe, detail, err));
        GM_TRY(cluster_rates(atlas, detail, &rates, err));
        GM_TRY(make_vector(vector, recipe, &rates, "cluster", detail, err));
    } else {
        uniform = gm_alloc2((size_t)atlas->n_layers, (size_t)atlas->n_experts, sizeof *uniform);
        if (uniform == NULL) GM_FAIL(GM_EMEM, "no memory for a control");
        rates = mean_rates(atlas, uniform);
        GM_TRY(make_vector(vector, recipe, &rates, "control", "mean", err));
    }
out:
    gm_free(uniform);
    return status;
}

gm_status gm_recipe_apply_control(gm_plan *plan, const gm_recipe *recipe, const gm_atlas *atlas,
                                  gm_error *err)
{
    gm_control control;
    const char *detail;
    size_t n = (size_t)plan->n_layers * (size_t)plan->n_experts;
    gm_status status = gm_recipe_control(recipe->control, &control, &detail, err);
    if (status != GM_OK || control == GM_CONTROL_NONE) return status;
    if (control == GM_CONTROL_RANDOM || control == GM_CONTROL_SHUFFLED ||
        control == GM_CONTROL_REVERSE)
        return gm_vector_control(plan->bias, plan->n_layers, plan->n_experts, control,
                                 (uint64_t)recipe->seed, err);
    if (atlas == NULL) return gm_fail(err, GM_EARG, "--control %s needs --atlas", recipe->control);

    float *bias = gm_alloc(n, sizeof *bias), *vector = gm_alloc(n, sizeof *vector);
    if (!bias || !vector) GM_FAIL(GM_EMEM, "no memory for a control");
    for (size_t i = 0; i < n; i++)
        if (!isfinite(plan->bias[i]))
            GM_FAIL(GM_EARG,
                    "--control %s: the plan takes experts out (-inf), so there is no norm for the "
                    "control to have",
                    recipe->control);
    GM_TRY(make_other_vector(vector, recipe, atlas, control, detail, err));
    add_to_layers(bias, plan, vector, atlas);
    gm_vector_match_norm(bias, plan->bias, plan->n_layers, plan->n_experts);
    memcpy(plan->bias, bias, n * sizeof *bias);
out:
    gm_free(bias);
    gm_free(vector);
    return status;
}

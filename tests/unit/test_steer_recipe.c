/* test_steer_recipe.c - steer/recipe.c on a small atlas made by hand. */
#include "steer/recipe.h"

#include "tests/check.h"

enum { L = 2, E = 4, N = L * E, C = 2 };

static const int layers[L] = {1, 3};
static const float usage[C * N] = {0.30f, 0.10f, 0.05f, 0.05f, 0.05f, 0.05f, 0.20f, 0.20f,
                                   0.05f, 0.05f, 0.20f, 0.20f, 0.20f, 0.20f, 0.05f, 0.05f};
static const float corpus[N] = {0.125f, 0.125f, 0.125f, 0.125f, 0.125f, 0.125f, 0.125f, 0.125f};
static float halves[C * 2 * N], subset_halves[2 * N];
static const char *const names[] = {"Food"};

static gm_atlas make_atlas(void)
{
    for (int c = 0; c < C; c++)
        for (int h = 0; h < 2; h++)
            memcpy(halves + (2 * c + h) * N, usage + c * N, N * sizeof *usage);
    for (int h = 0; h < 2; h++) memcpy(subset_halves + h * N, usage + N, N * sizeof *usage);
    return (gm_atlas){.n_clusters = C,
                      .n_subsets = 1,
                      .n_layers = L,
                      .n_experts = E,
                      .n_chosen = 2,
                      .layer_of_moe = layers,
                      .n_trace_layers = L,
                      .trace_layer = layers,
                      .usage = usage,
                      .usage_half = halves,
                      .corpus_usage = corpus,
                      .corpus_usage_half = halves,
                      .subset_name = names,
                      .subset_usage = usage + N,
                      .subset_usage_half = subset_halves,
                      .model_digest = "d",
                      .config_digest = "c"};
}

static const char *one_entry[4];

static gm_opt_list list_of(const char *a, const char *b)
{
    static const char *pairs[8][2];
    static int next;
    const char **at = pairs[next++ % 8];
    at[0] = a;
    at[1] = b;
    return (gm_opt_list){at, b ? 2 : 1};
}

static gm_status build(gm_plan *plan, const gm_recipe *recipe, gm_error *err)
{
    static gm_atlas atlas;
    atlas = make_atlas();
    gm_shape shape = gm_shape_of_atlas(&atlas);
    return gm_recipe_build(plan, recipe, &shape, &atlas, "a.h5", err);
}

static void clusters_add_up_with_their_weights(void)
{
    gm_plan both, first, second;
    gm_error err = {0};
    gm_recipe r = gm_recipe_defaults();
    r.filter = "none";
    r.clusters = list_of("0", NULL);
    CHECK_OK(build(&first, &r, &err), err);
    r.clusters = list_of("1", NULL);
    CHECK_OK(build(&second, &r, &err), err);
    r.clusters = list_of("0", "1=0.5");
    r.weight = 2;
    CHECK_OK(build(&both, &r, &err), err);
    for (int i = 0; i < N; i++) CHECK_NEAR(both.bias[i], 2 * first.bias[i] + second.bias[i], 1e-6);
    CHECK_HAS(both.source, "\"clusters\":[\"0\",\"1=0.5\"]");
    CHECK_HAS(both.source, "\"atlas\":\"a.h5\"");
    CHECK_TEXT(both.model_digest, "d");
    CHECK_TEXT(both.config_digest, "c");
    gm_plan_clear(&both);
    gm_plan_clear(&first);
    gm_plan_clear(&second);
}

static void subsets_and_experts_by_hand(void)
{
    gm_plan plan;
    gm_error err = {0};
    gm_recipe r = gm_recipe_defaults();
    r.scale = GM_SCALE_LOGIT;
    r.subsets = list_of("Food", NULL);
    r.experts = list_of("3:0=1.5", "1:0=-inf");
    CHECK_OK(build(&plan, &r, &err), err);
    const float want[N] = {-INFINITY, 0, 1, 1, 2.5f, 1, 0, 0};
    for (int i = 1; i < N; i++) CHECK_NEAR(plan.bias[i], want[i], 1e-6);
    CHECK(plan.bias[0] == -INFINITY);
    gm_plan_clear(&plan);

    r.weight = 0; /* nothing at all, not even the expert that was taken out */
    CHECK_OK(build(&plan, &r, &err), err);
    for (int i = 0; i < N; i++) CHECK(plan.bias[i] == 0 && !signbit(plan.bias[i]));
    gm_plan_clear(&plan);
}

/* An atlas of layer 3 alone, of a model with 1, 2 and 3. */
static void an_atlas_of_some_layers_steers_those(void)
{
    static const int some[] = {3}, all[] = {1, 2, 3};
    gm_error err = {0};
    gm_plan plan;
    gm_recipe r = gm_recipe_defaults();
    gm_atlas atlas = make_atlas();
    atlas.n_layers = 1, atlas.layer_of_moe = some; /* its rates: those of the first layer */
    atlas.n_trace_layers = 3, atlas.trace_layer = all;
    gm_shape shape = gm_shape_of_atlas(&atlas);
    CHECK_INT(shape.n_layers, 3);
    r.scale = GM_SCALE_LOGIT;
    r.filter = "none";
    r.clusters = list_of("0", NULL);
    static const char *const control[] = {NULL, "other:1", "mean"};
    for (int c = 0; c < 3; c++) {
        r.control = control[c];
        CHECK_OK(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err);
        float last = 0;
        for (int e = 0; e < E; e++) {
            CHECK(plan.bias[e] == 0 && plan.bias[E + e] == 0);
            last = fmaxf(last, fabsf(plan.bias[2 * E + e]));
        }
        CHECK(last > 0);
        gm_plan_clear(&plan);
    }
    r.control = NULL;
    r.layers = "1-2";
    CHECK_FAILS(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err, GM_EARG,
                "--layers '1-2': the atlas is of layers 3 only");
    r.layers = "2-3";
    CHECK_OK(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err);
    gm_plan_clear(&plan);
}

/* Rates of zeros are those of no document: of a cluster, of one of its halves. */
static void a_cluster_without_documents_is_refused(void)
{
    static const float nothing[N];
    gm_atlas atlas = make_atlas();
    gm_shape shape = gm_shape_of_atlas(&atlas);
    gm_recipe r = gm_recipe_defaults();
    gm_plan plan;
    gm_error err = {0};
    r.filter = "none";
    r.clusters = list_of("1", NULL);
    memset(halves + (2 * 1 + 1) * N, 0, N * sizeof *halves); /* the odd half of cluster 1 */
    CHECK_OK(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err);
    gm_plan_clear(&plan);
    r.control = "half:even";
    CHECK_OK(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err);
    gm_plan_clear(&plan);
    r.control = "half:odd";
    CHECK_FAILS(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err, GM_EARG,
                "half of cluster 1 has no documents");
    r.control = NULL;
    atlas.n_clusters = 1;
    atlas.usage = nothing;
    r.clusters = list_of("0", NULL);
    CHECK_FAILS(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err, GM_EARG,
                "cluster 0 has no documents");
}

static void windows_and_phases(void)
{
    gm_plan plan;
    gm_error err = {0};
    gm_recipe r = gm_recipe_defaults();
    r.clusters = list_of("0", NULL);
    r.layers = "0-2";
    r.phase = 2;
    r.mode = GM_PLAN_SELECT;
    CHECK_OK(build(&plan, &r, &err), err);
    CHECK_INT(plan.first_layer, 1);
    CHECK_INT(plan.last_layer, 2);
    CHECK_INT(plan.phases, 2);
    CHECK_INT(plan.mode, GM_PLAN_SELECT);
    gm_plan_clear(&plan);
    static const char *const bad[] = {"x", "3-1", "4-9", "2-2", "-1", "1-"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.layers = bad[i];
        CHECK_FAILS(build(&plan, &r, &err), err, GM_EARG, "--layers");
    }
}

static void other_clusters_as_controls(void)
{
    gm_plan plan, other, model;
    gm_error err = {0};
    gm_recipe r = gm_recipe_defaults();
    r.filter = "none";
    r.clusters = list_of("0", NULL);
    CHECK_OK(build(&model, &r, &err), err);
    r.clusters = list_of("1", NULL);
    CHECK_OK(build(&other, &r, &err), err);
    r.clusters = list_of("0", NULL);
    r.control = "other:1";
    CHECK_OK(build(&plan, &r, &err), err);
    for (int l = 0; l < L; l++) {
        double norm[2] = {0};
        for (int e = 0; e < E; e++) {
            int i = l * E + e;
            norm[0] += (double)plan.bias[i] * (double)plan.bias[i];
            norm[1] += (double)model.bias[i] * (double)model.bias[i];
            CHECK((plan.bias[i] > 0) == (other.bias[i] > 0));
        }
        CHECK_NEAR(norm[0], norm[1], 1e-5);
    }
    gm_plan_clear(&plan);
    r.clusters = list_of("0", "1=-0.5"); /* a control that is what it controls is none */
    CHECK_INT(build(&plan, &r, &err), GM_EARG);
    CHECK_HAS(err.text, "cluster 1 is the one steered to");
    r.clusters = list_of("0", NULL);
    gm_plan_clear(&other);
    gm_plan_clear(&model);
    r.control = "noise";
    CHECK_FAILS(build(&plan, &r, &err), err, GM_EARG, "'noise'");
}

/* A control of zeros would be the unsteered model under another name. */
static void a_control_without_experts_is_refused(void)
{
    float alike[C * N], uneven[N];
    gm_atlas atlas = make_atlas();
    gm_shape shape = gm_shape_of_atlas(&atlas);
    gm_recipe r = gm_recipe_defaults();
    gm_plan plan;
    gm_error err = {0};
    r.clusters = list_of("0", NULL);
    r.control = "mean"; /* of a corpus that uses all experts alike */
    CHECK_FAILS(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err, GM_EARG,
                "filter 'lift' leaves no expert of control mean");
    memcpy(uneven, usage + N, sizeof uneven);
    atlas.corpus_usage = uneven;
    CHECK_OK(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err);
    gm_plan_clear(&plan);
    atlas.corpus_usage = corpus;
    r.control = "other:1"; /* which is as the corpus is */
    CHECK_OK(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err);
    gm_plan_clear(&plan);
    memcpy(alike, usage, N * sizeof *alike);
    memcpy(alike + N, corpus, N * sizeof *alike);
    for (int h = 0; h < 2; h++) memcpy(halves + (2 + h) * N, corpus, N * sizeof *halves);
    atlas.usage = alike;
    CHECK_FAILS(gm_recipe_build(&plan, &r, &shape, &atlas, "a.h5", &err), err, GM_EARG,
                "filter 'lift' leaves no expert of cluster 1");
}

static void check_refused(gm_recipe r, gm_status code, const char *part)
{
    gm_plan plan;
    gm_error err;
    CHECK_FAILS(build(&plan, &r, &err), err, code, part);
    CHECK(plan.bias == NULL);
}

static void refuses_what_does_not_exist(void)
{
    gm_recipe r = gm_recipe_defaults();
    r.clusters = list_of("2", NULL);
    check_refused(r, GM_EARG, "cluster '2' does not exist; the atlas has clusters 0 to 1");
    r.clusters = list_of("x", NULL);
    check_refused(r, GM_EARG, "cluster 'x'");
    r.clusters = list_of("0=nan", NULL);
    check_refused(r, GM_EARG, "not a number from -1000000 to 1000000");
    r.clusters = list_of("0", NULL);
    r.weight = (double)NAN;
    check_refused(r, GM_ENUMERIC, "weight");
    r.weight = (double)INFINITY;
    check_refused(r, GM_ENUMERIC, "weight");

    r = gm_recipe_defaults();
    r.subsets = list_of("Sport", NULL);
    check_refused(r, GM_EARG, "subset 'Sport'");
    static const char *const experts[] = {"1:0",     "2:0=1",   "1:4=1", "1:-1=1",    "x",
                                          "1:0=inf", "1:0=nan", "1:0=",  "1:0=-1e39", "1:0=1e39"};
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        r = gm_recipe_defaults();
        r.experts = list_of(experts[i], NULL);
        check_refused(r, GM_EARG, "--expert");
    }
}

/* What the command line alone shows to be wrong is found without atlas or model. */
static void the_form_is_checked_before_anything_is_opened(void)
{
    gm_error err = {0};
    gm_recipe r = gm_recipe_defaults();
    CHECK(gm_recipe_is_bare(&r));
    r.weight = 2;
    CHECK(gm_recipe_is_bare(&r));
    r.clusters = list_of("7", "9=-0.5");
    r.experts = list_of("9:99=-inf", NULL);
    r.layers = "3-5";
    r.control = "other:3";
    r.filter = "top:3";
    CHECK_OK(gm_recipe_check(&r, &err), err);
    CHECK(!gm_recipe_is_bare(&r));

    gm_recipe bad = r;
    bad.filter = "best";
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "'best'");
    bad = r;
    bad.control = "other";
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "'other'");
    bad = r;
    bad.layers = "5-3";
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG,
                "--layers '5-3': the first layer is after the last; expected one layer or A-B, "
                "such as 4 or 3-8");
    bad.layers = "00000000000000000000000000000005-3"; /* 31 zeros are not the number */
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "the first layer is after the last");
    bad.layers = "-1-2";
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG,
                "--layers '-1-2': there is no number before the '-'; expected");
    bad.layers = "2-x";
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG,
                "--layers '2-x': 'x' is not the number of a layer; expected");
    bad = r;
    bad.clusters = list_of("food", NULL);
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "the number of a cluster");
    bad = r;
    bad.subsets = list_of("food=", NULL);
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "not a number from");
    bad = r;
    bad.experts = list_of("1:2=nan", NULL);
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG,
                "neither a number that fits a float nor -inf");
    bad = r;
    bad.weight = -1e300;
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "the weight is -1e+300");
    bad.weight = (double)NAN;
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "the weight is nan");
    bad.weight = -1e6;
    CHECK_OK(gm_recipe_check(&bad, &err), err);
    bad.clusters = list_of("7=1e6", "9=1e7");
    CHECK_FAILS(gm_recipe_check(&bad, &err), err, GM_EARG, "'9=1e7': the weight is not a number");
    bad = gm_recipe_defaults();
    bad.mass_matched = true;
    CHECK(!gm_recipe_is_bare(&bad));
}

static void a_mask_must_leave_enough(void)
{
    gm_recipe r = gm_recipe_defaults();
    r.mode = GM_PLAN_MASK;
    r.experts = list_of("1:0=-1", "1:1=-1");
    gm_plan plan;
    gm_error err = {0};
    CHECK_OK(build(&plan, &r, &err), err);
    gm_plan_clear(&plan);
    one_entry[0] = "1:0=-1", one_entry[1] = "1:1=-1", one_entry[2] = "1:2=-1";
    r.experts = (gm_opt_list){one_entry, 3};
    check_refused(r, GM_EARG, "leaves 1 experts in layer 1, but the router chooses 2");
}

static void without_an_atlas_only_experts(void)
{
    const gm_shape shape = {L, E, 2, layers, "", ""};
    gm_recipe r = gm_recipe_defaults();
    gm_plan plan;
    gm_error err = {0};
    r.experts = list_of("3:3=2", NULL);
    CHECK_OK(gm_recipe_build(&plan, &r, &shape, NULL, NULL, &err), err);
    CHECK_NEAR(plan.bias[N - 1], 2, 0);
    CHECK_HAS(plan.source, "\"atlas\":null");
    gm_plan_clear(&plan);
    r.clusters = list_of("0", NULL);
    CHECK_FAILS(gm_recipe_build(&plan, &r, &shape, NULL, NULL, &err), err, GM_EARG, "--atlas");
}

static gm_status attempt(void *state, gm_error *err)
{
    gm_plan plan;
    gm_status status = build(&plan, state, err);
    gm_plan_clear(&plan);
    return status;
}

static void survives_every_allocation_failure(void)
{
    gm_recipe r = gm_recipe_defaults();
    r.clusters = list_of("0", NULL);
    r.subsets = list_of("Food", NULL);
    r.experts = list_of("1:2=1", NULL);
    r.control = "other:1";
    check_every_allocation(attempt, &r);
}

TESTS(TEST(clusters_add_up_with_their_weights), TEST(subsets_and_experts_by_hand),
      TEST(an_atlas_of_some_layers_steers_those), TEST(a_cluster_without_documents_is_refused),
      TEST(windows_and_phases), TEST(other_clusters_as_controls),
      TEST(a_control_without_experts_is_refused), TEST(refuses_what_does_not_exist),
      TEST(the_form_is_checked_before_anything_is_opened), TEST(a_mask_must_leave_enough),
      TEST(without_an_atlas_only_experts), TEST(survives_every_allocation_failure))

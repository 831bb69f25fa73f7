/* test_steer_vector.c - steer/vector.c by hand-worked values: 2 layers of 4 experts. */
#include "steer/vector.h"

#include "tests/check.h"

enum { L = 2, E = 4, N = L * E };

/* Rates of a cluster and of the corpus, in eighths and hundredths; e = 0.05/8. */
static const float cluster[N] = {0.25f, 0.10f, 0.10f, 0.05f, 0.20f, 0.20f, 0.05f, 0.05f};
static const float corpus[N] = {0.10f, 0.10f, 0.15f, 0.15f, 0.125f, 0.125f, 0.125f, 0.125f};
static const float even[N] = {0.30f, 0.10f, 0.10f, 0.05f, 0.30f, 0.125f, 0.05f, 0.05f};
static const float odd[N] = {0.20f, 0.10f, 0.10f, 0.05f, 0.10f, 0.275f, 0.05f, 0.05f};
static const gm_rates rates = {L, E, cluster, {even, odd}, corpus};

static void make(float out[N], const char *filter, gm_scale scale)
{
    gm_filter f;
    gm_error err = {0};
    CHECK_OK(gm_filter_parse(&f, filter, &err), err);
    CHECK_OK(gm_vector_make(out, &rates, &f, scale, &err), err);
}

static void filters_are_read_whole(void)
{
    gm_filter f;
    gm_error err = {0};
    CHECK_OK(gm_filter_parse(&f, "top-global:40", &err), err);
    CHECK_INT(f.kind, GM_FILTER_TOP_GLOBAL);
    CHECK_INT(f.n, 40);
    CHECK_OK(gm_filter_parse(&f, "quantile:0.95", &err), err);
    CHECK_NEAR(f.q, 0.95, 0);
    static const char *const bad[] = {
        "",       "lifts",      "top",          "top:",  "top:0",
        "top:2x", "quantile:2", "quantile:nan", "none:", "top-global:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(gm_filter_parse(&f, bad[i], &err), err, GM_EARG, bad[i]);
}

static void lift_must_hold_in_both_halves(void)
{
    /* Up: (0.25+e)/(0.10+e) and both halves; expert 4 and 5 hold in one half only.
     * Down: 0.05625/0.15625 = 0.36 in both halves; 0.10625/0.15625 = 0.68. */
    const double e = 0.05 / 8;
    float v[N];
    make(v, "lift", GM_SCALE_LOGRATIO);
    CHECK_NEAR(v[0], log((0.25 + e) / (0.10 + e)), 1e-6);
    CHECK_NEAR(v[1], 0, 0);
    CHECK_NEAR(v[2], log((0.10 + e) / (0.15 + e)), 1e-6);
    CHECK_NEAR(v[3], log((0.05 + e) / (0.15 + e)), 1e-6);
    CHECK_NEAR(v[4], 0, 0);
    CHECK_NEAR(v[5], 0, 0);
    CHECK(v[6] < 0 && v[7] < 0);

    make(v, "lift", GM_SCALE_ARTICLE); /* unsigned: only what is raised */
    const float article[N] = {0.25f};
    CHECK_FLOATS(v, article, N, 0);
}

static void tops_break_ties_to_the_lower_place(void)
{
    float v[N];
    make(v, "top:2", GM_SCALE_ARTICLE);
    const float per_layer[N] = {0.25f, 0.10f, 0, 0, 0.20f, 0.20f, 0, 0};
    CHECK_FLOATS(v, per_layer, N, 0);
    make(v, "top-global:2", GM_SCALE_ARTICLE);
    const float global[N] = {0.25f, 0, 0, 0, 0.20f, 0, 0, 0};
    CHECK_FLOATS(v, global, N, 0);
    make(v, "top:100", GM_SCALE_ARTICLE);
    CHECK_FLOATS(v, cluster, N, 0);
}

static void quantiles_and_none(void)
{
    float v[N];
    make(v, "quantile:1", GM_SCALE_ARTICLE);
    const float largest[N] = {0.25f};
    CHECK_FLOATS(v, largest, N, 0);
    make(v, "quantile:0", GM_SCALE_ARTICLE);
    CHECK_FLOATS(v, cluster, N, 0);
    /* Sorted .05 .05 .05 .10 .10 .20 .20 .25; place .5 * 7 = 3.5, so .10 is kept. */
    make(v, "quantile:0.5", GM_SCALE_ARTICLE);
    const float upper[N] = {0.25f, 0.10f, 0.10f, 0, 0.20f, 0.20f, 0, 0};
    CHECK_FLOATS(v, upper, N, 0);
    make(v, "none", GM_SCALE_ARTICLE);
    CHECK_FLOATS(v, cluster, N, 0);
}

static void scales(void)
{
    float v[N];
    make(v, "top:2", GM_SCALE_LOGIT);
    const float logit[N] = {1, 0.4f, 0, 0, 1, 1, 0, 0};
    CHECK_FLOATS(v, logit, N, 1e-7);

    /* A ratio of (0+e)/(1+e) is far below -2 and is clipped. */
    const float one[N] = {1}, other[N] = {0, 1};
    const gm_rates far = {L, E, one, {one, one}, other};
    const gm_filter none = {.kind = GM_FILTER_NONE};
    gm_error err = {0};
    CHECK_OK(gm_vector_make(v, &far, &none, GM_SCALE_LOGRATIO, &err), err);
    CHECK_NEAR(v[0], 2, 0);
    CHECK_NEAR(v[1], -2, 0);
    CHECK_NEAR(v[2], 0, 0);
    float unknown[N];
    memcpy(unknown, one, sizeof unknown);
    unknown[1] = (float)NAN; /* not the strongest value, and no plan */
    const gm_rates lost = {L, E, unknown, {one, one}, other};
    CHECK_OK(gm_vector_make(v, &lost, &none, GM_SCALE_LOGRATIO, &err), err);
    CHECK(isnan(v[1]));
}

static double norm(const float *layer)
{
    double sum = 0;
    for (int e = 0; e < E; e++) sum += (double)layer[e] * (double)layer[e];
    return sqrt(sum);
}

static void controls_keep_the_norm_of_each_layer(void)
{
    static const float model[N] = {3, 0, -4, 0, 0, 0, 0, 0};
    for (int control = GM_CONTROL_RANDOM; control <= GM_CONTROL_REVERSE; control++) {
        if (control >= GM_CONTROL_OTHER && control <= GM_CONTROL_HALF) continue;
        float v[N], again[N];
        gm_error err = {0};
        memcpy(v, model, sizeof v);
        memcpy(again, model, sizeof v);
        CHECK_OK(gm_vector_control(v, L, E, (gm_control)control, 7, &err), err);
        CHECK_OK(gm_vector_control(again, L, E, (gm_control)control, 7, &err), err);
        CHECK_BYTES(v, again, sizeof v);
        CHECK_NEAR(norm(v), 5, 1e-5);
        CHECK_NEAR(norm(v + E), 0, 0);
        int n = 0;
        for (int e = 0; e < E; e++) n += v[e] != 0;
        CHECK_INT(n, 2);
    }
}

static void shuffling_permutes_and_reversing_negates(void)
{
    const float model[N] = {1, 2, 3, 4, 5, 6, 7, 8};
    float v[N];
    gm_error err = {0};
    bool moved = false;
    for (uint64_t seed = 0; seed < 8; seed++) {
        double sum[2] = {0};
        memcpy(v, model, sizeof v);
        CHECK_OK(gm_vector_control(v, L, E, GM_CONTROL_SHUFFLED, seed, &err), err);
        for (int i = 0; i < N; i++) sum[i / E] += (double)v[i];
        CHECK_NEAR(sum[0], 10, 0);
        CHECK_NEAR(sum[1], 26, 0);
        moved = moved || memcmp(v, model, sizeof v) != 0;
    }
    CHECK(moved);
    memcpy(v, model, sizeof v);
    CHECK_OK(gm_vector_control(v, L, E, GM_CONTROL_REVERSE, 0, &err), err);
    for (int i = 0; i < N; i++) CHECK_NEAR(v[i], -model[i], 0);
}

/* The values stay; RANDOM puts them on any experts, SHUFFLED on those that have one. */
static void values_stay_and_experts_change(void)
{
    const float model[N] = {0.5f, 0, 0, -2, 0, 0, 0, 0};
    bool elsewhere = false, exchanged = false;
    for (uint64_t seed = 0; seed < 16; seed++) {
        float v[N];
        gm_error err = {0};
        memcpy(v, model, sizeof v);
        CHECK_OK(gm_vector_control(v, L, E, GM_CONTROL_RANDOM, seed, &err), err);
        int n = 0, halves = 0, twos = 0;
        for (int e = 0; e < E; e++) {
            n += v[e] != 0;
            halves += v[e] == 0.5f;
            twos += v[e] == -2;
        }
        CHECK(n == 2 && halves == 1 && twos == 1);
        elsewhere = elsewhere || v[1] != 0;
        memcpy(v, model, sizeof v);
        CHECK_OK(gm_vector_control(v, L, E, GM_CONTROL_SHUFFLED, seed, &err), err);
        CHECK(v[1] == 0 && v[2] == 0 && v[0] + v[3] == -1.5f);
        exchanged = exchanged || v[0] == -2;
    }
    CHECK(elsewhere && exchanged);
}

static void the_committee_has_half_of_the_usage(void)
{
    const float rate[N] = {1, 4, 2, 1, 3, 3, 1, 1};
    const float want[N] = {0, 1, 0, 0, 1, 1, 0, 0};
    float got[N];
    gm_error err = {0};
    CHECK_OK(gm_vector_committee(got, rate, L, E, &err), err);
    CHECK_BYTES(got, want, sizeof want);
}

static void important_are_the_strongest_positive(void)
{
    const float v[N] = {1, 3, 3, 2, -1, 0, -2, 0.5f};
    uint8_t got[N];
    gm_vector_important(got, v, L, E, 2);
    const uint8_t two[N] = {0, 1, 1, 0, 0, 0, 0, 1};
    CHECK_BYTES(got, two, N);
    gm_vector_important(got, v, L, E, 1);
    const uint8_t one[N] = {0, 1, 0, 0, 0, 0, 0, 1};
    CHECK_BYTES(got, one, N);
}

static gm_status attempt(void *state, gm_error *err)
{
    float v[N];
    const gm_filter *filter = state;
    gm_status status = gm_vector_make(v, &rates, filter, GM_SCALE_LOGIT, err);
    return status ? status : gm_vector_control(v, L, E, GM_CONTROL_RANDOM, 1, err);
}

static void survives_every_allocation_failure(void)
{
    gm_filter filter = {.kind = GM_FILTER_TOP, .n = 1};
    check_every_allocation(attempt, &filter);
}

TESTS(TEST(filters_are_read_whole), TEST(lift_must_hold_in_both_halves),
      TEST(tops_break_ties_to_the_lower_place), TEST(quantiles_and_none), TEST(scales),
      TEST(controls_keep_the_norm_of_each_layer), TEST(shuffling_permutes_and_reversing_negates),
      TEST(values_stay_and_experts_change), TEST(the_committee_has_half_of_the_usage),
      TEST(important_are_the_strongest_positive), TEST(survives_every_allocation_failure))

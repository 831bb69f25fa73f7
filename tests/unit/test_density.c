/* test_density.c - cluster/density.c: radii and pulls worked by hand, threads, what a map keeps.
 * Against umap-learn: golden/test_densmap_golden.c.
 * label: threads */
#include "cluster/density.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

/* A path 0 - 1 - 2 with distances 1 and 3, memberships 1 and 0.5; point 3 has no edge. */
static uint64_t path_indptr[] = {0, 1, 3, 4, 4};
static uint32_t path_index[] = {1, 0, 2, 1};
static float path_weight[] = {1, 1, 0.5f, 0.5f};
static const gm_graph PATH = {
    .n = 4, .indptr = path_indptr, .index = path_index, .weight = path_weight};
/* Nobody lists 2 but 2 lists 1: the distance is found from the other end. */
static uint32_t listed[] = {0, 1, 1, 0, 2, 1, 3, 0};
static double distance[] = {0, 1, 0, 1, 0, 3, 0, 9};
static const gm_knn LISTS = {.n = 4, .k = 2, .index = listed, .distance = distance};

static void radii_by_hand(void)
{
    double radius[4];
    gm_density_radii(radius, &PATH, &LISTS);
    CHECK_NEAR(radius[0], log(1e-8 + 1), 1e-12);
    CHECK_NEAR(radius[1], log(1e-8 + (1 * 1 + 0.5 * 9) / 1.5), 1e-12);
    CHECK_NEAR(radius[2], log(1e-8 + 9), 1e-12);
    CHECK_NEAR(radius[3], 0, 0);
}

static const uint32_t KEEP[] = {0, 1, 2};

static gm_density make(gm_density_options how, double a, double b)
{
    static uint64_t indptr[] = {0, 1, 3, 4};
    const gm_graph part = {.n = 3, .indptr = indptr, .index = path_index, .weight = path_weight};
    double radius[4];
    gm_density d;
    gm_error err = {0};
    gm_density_radii(radius, &PATH, &LISTS);
    CHECK_OK(gm_density_init(&d, &how, radius, KEEP, &part, a, b, &err), err);
    return d;
}

static void radii_are_brought_to_mean_0_and_variance_1(void)
{
    gm_density d = make(gm_density_defaults(), 1, 1);
    double sum = 0, square = 0;
    for (int i = 0; i < 3; i++) sum += d.radius[i], square += d.radius[i] * d.radius[i];
    CHECK_NEAR(sum, 0, 1e-12);
    CHECK_NEAR(square, 3, 1e-12);
    CHECK(d.radius[0] < d.radius[1] && d.radius[1] < d.radius[2]);
    CHECK_NEAR(d.total, 3, 1e-12);
    gm_density_clear(&d);
}

static void it_acts_in_the_last_epochs(void)
{
    gm_density d = {.how = {.lambda = 2, .fraction = 0.3}};
    CHECK(!gm_density_acts(&d, 7, 10));
    CHECK(gm_density_acts(&d, 8, 10));
    d.how.lambda = 0;
    CHECK(!gm_density_acts(&d, 10, 10));
    CHECK(!gm_density_acts(NULL, 10, 10));
}

/* The derivative of the correlation, less what does not depend on the pair: umap-learn's formula in
 * full, with sums over both ends of every entry as it has them. */
static double pull_by_hand(const gm_density *d, const float *at, int i, int k, double mu)
{
    const double a = d->a, b = d->b;
    double re[3], sum[3] = {0}, phi_sum[3] = {0}, mean = 0, variance = 0, shared = 0;
    for (int h = 0; h < 3; h++)
        for (uint64_t e = path_indptr[h]; e < path_indptr[h + 1]; e++) {
            int t = (int)path_index[e];
            double s = pow((double)(at[2 * h] - at[2 * t]), 2) +
                       pow((double)(at[2 * h + 1] - at[2 * t + 1]), 2);
            double phi = 1 / (1 + a * pow(s, b));
            sum[h] += phi * s, sum[t] += phi * s, phi_sum[h] += phi, phi_sum[t] += phi;
        }
    for (int h = 0; h < 3; h++) re[h] = log(1e-8 + sum[h] / phi_sum[h]), mean += re[h] / 3;
    for (int h = 0; h < 3; h++) {
        variance += (re[h] - mean) * (re[h] - mean) / 3;
        shared += re[h] * d->radius[h] / 2;
    }
    variance += d->how.var_shift;
    double s =
        pow((double)(at[2 * i] - at[2 * k]), 2) + pow((double)(at[2 * i + 1] - at[2 * k + 1]), 2);
    double phi = 1 / (1 + a * pow(s, b)), slope = a * b * pow(s, b - 1) * phi, both = 0;
    for (int end = 0; end < 2; end++) {
        int v = end ? k : i;
        double weight = d->radius[v] - shared * (re[v] - mean) / variance;
        both += weight * phi / phi_sum[v] * ((1 - b * (1 - phi)) / exp(re[v]) + slope);
    }
    return 2 * d->how.lambda * 3 * both / (mu * sqrt(variance)) / 3;
}

static void pulls_by_hand(void)
{
    gm_density d = make(gm_density_defaults(), 1.577, 0.895);
    const float at[] = {0, 0, 1, 0.5f, -1, 2};
    const gm_graph part = {
        .n = 3, .indptr = path_indptr, .index = path_index, .weight = path_weight};
    gm_density_measure(&d, at, 2, &part);
    double got = gm_density_pull(&d, 0, 1, 1, 1.25), want = pull_by_hand(&d, at, 0, 1, 1);
    CHECK_NEAR(got, want, 1e-5 * fabs(want));
    got = gm_density_pull(&d, 2, 1, 0.5, 6.25), want = pull_by_hand(&d, at, 2, 1, 0.5);
    CHECK_NEAR(got, want, 1e-5 * fabs(want));
    CHECK(fabs(want) > 1e-3);
    CHECK_NEAR(gm_density_pull(&d, 0, 1, 1, 0), 0, 0);
    gm_density_clear(&d);
}

enum { N = 400, NEAR = 8 };

/* A line whose points lie farther apart from one end to the other. */
static void make_lists(gm_knn *knn, float *xy)
{
    gm_points points;
    gm_rng rng = gm_rng_make(3, 3);
    gm_error err = {0};
    double x = 0;
    for (size_t i = 0; i < N; i++) {
        x += exp(4.0 * (double)i / N) * (0.5 + gm_rng_unit(&rng));
        xy[2 * i] = (float)x, xy[2 * i + 1] = 0;
    }
    CHECK_OK(gm_points_init(&points, xy, N, 2, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_knn_find(knn, &points, NULL, 0, NEAR, NULL, &err), err);
    gm_points_clear(&points);
}

static void what_a_map_keeps(void)
{
    static float xy[2 * N], even[2 * N];
    gm_knn knn;
    gm_error err = {0};
    double same, none, threads;
    make_lists(&knn, xy);
    for (size_t i = 0; i < N; i++) even[2 * i] = (float)(i % 20), even[2 * i + 1] = (float)(i / 20);
    gm_set_threads(1);
    CHECK_OK(gm_density_kept(&same, &knn, xy, 2, &err), err);
    CHECK_OK(gm_density_kept(&none, &knn, even, 2, &err), err);
    gm_set_threads(2);
    CHECK_OK(gm_density_kept(&threads, &knn, xy, 2, &err), err);
    CHECK_NEAR(same, 1, 1e-6);
    CHECK_NEAR(threads, same, 0);
    CHECK(fabs(none) < 0.3);
    memset(even, 0, sizeof even);
    CHECK_OK(gm_density_kept(&none, &knn, even, 2, &err), err);
    CHECK(isnan(none));
    gm_knn_clear(&knn);
}

typedef struct job {
    gm_knn knn;
    float xy[2 * N];
} job;

static gm_status measure(void *state, gm_error *err)
{
    job *j = state;
    double kept, radius[4] = {0};
    gm_density d;
    const gm_graph part = {
        .n = 3, .indptr = path_indptr, .index = path_index, .weight = path_weight};
    const gm_density_options how = gm_density_defaults();
    gm_status status = gm_density_init(&d, &how, radius, KEEP, &part, 1, 1, err);
    gm_density_clear(&d);
    return status == GM_OK ? gm_density_kept(&kept, &j->knn, j->xy, 2, err) : status;
}

static void survives_every_allocation_failure(void)
{
    static job j;
    make_lists(&j.knn, j.xy);
    gm_set_threads(1);
    check_every_allocation(measure, &j);
    gm_knn_clear(&j.knn);
}

TESTS(TEST(radii_by_hand), TEST(radii_are_brought_to_mean_0_and_variance_1),
      TEST(it_acts_in_the_last_epochs), TEST(pulls_by_hand), TEST(what_a_map_keeps),
      TEST(survives_every_allocation_failure))

/* test_hdbscan.c - cluster/hdbscan.c: labels, probabilities and scores worked by hand; what
 * must hold whatever the points are. Against hdbscan: golden/test_hdbscan_golden.c.
 */
#include "cluster/hdbscan.h"

#include "base/rng.h"
#include "base/threads.h"
#include "tests/check.h"

static gm_clustering fit(const double *at, size_t n, int dim, gm_hdbscan_options how)
{
    gm_clustering c;
    gm_error err = {0};
    CHECK_OK(gm_hdbscan_fit(&c, at, n, dim, &how, &err), err);
    return c;
}

/* The chains of test_condense.c: 0, 1, 3 and 13, 14, 18; core distances 1, 1, 2; 1, 1, 4. */
static void check_chains(double scale)
{
    double at[] = {0, 1, 3, 13, 14, 18};
    for (size_t i = 0; i < 6; i++) at[i] *= scale;
    gm_clustering c = fit(at, 6, 1, (gm_hdbscan_options){.min_cluster_size = 2, .min_samples = 1});
    const double probability[] = {1, 1, 0.5, 1, 1, 0.25};
    CHECK_INT(c.n_clusters, 2);
    CHECK(c.label[0] != c.label[3]);
    for (size_t i = 0; i < 6; i++) {
        CHECK_INT(c.label[i], c.label[i / 3 * 3]);
        CHECK_NEAR(c.probability[i], probability[i], 1e-7);
        CHECK_NEAR(c.outlier[i], 1 - probability[i], 1e-7);
    }
    /* stability 2 (1 - 0.1) + (0.5 - 0.1) and 2 (1 - 0.1) + (0.25 - 0.1), over 3 points at 1 */
    CHECK_NEAR(c.persistence[c.label[0]], 2.2 / 3, 1e-12);
    CHECK_NEAR(c.persistence[c.label[3]], 1.95 / 3, 1e-12);
    gm_clustering_clear(&c);
}

static void two_chains_by_hand(void)
{
    check_chains(1);
    check_chains(8);
}

static void one_cluster_only_when_allowed(void)
{
    const double at[] = {0, 1, 2, 3, 4, 20};
    gm_hdbscan_options how = {.min_cluster_size = 4, .min_samples = 1};
    gm_clustering c = fit(at, 6, 1, how);
    CHECK_INT(c.n_clusters, 0);
    for (size_t i = 0; i < 6; i++) {
        CHECK_INT(c.label[i], -1);
        CHECK_NEAR(c.probability[i], 0, 0);
    }
    gm_clustering_clear(&c);
    how.allow_single_cluster = true;
    c = fit(at, 6, 1, how);
    CHECK_INT(c.n_clusters, 1);
    for (size_t i = 0; i < 6; i++) CHECK_INT(c.label[i], i < 5 ? 0 : -1);
    CHECK(c.outlier[5] > 0.9f);
    gm_clustering_clear(&c);
    how.epsilon = 16; /* what stays until 1/16, as 20 does, belongs to it */
    c = fit(at, 6, 1, how);
    for (size_t i = 0; i < 6; i++) CHECK_INT(c.label[i], 0);
    gm_clustering_clear(&c);
}

static void few_points_and_equal_points(void)
{
    const double at[] = {2, 2, 2, 2, 2, 2, 2, 2};
    for (size_t n = 1; n <= 4; n++) {
        gm_hdbscan_options how = {.min_cluster_size = 2, .min_samples = 2};
        gm_clustering c = fit(at, n, 2, how);
        for (size_t i = 0; i < n; i++) {
            CHECK_INT(c.label[i], -1);
            CHECK(c.outlier[i] >= 0 && c.outlier[i] <= 1);
        }
        gm_clustering_clear(&c);
        how.allow_single_cluster = true;
        c = fit(at, n, 2, how);
        for (size_t i = 0; i < n; i++) CHECK(c.probability[i] >= 0 && c.probability[i] <= 1);
        gm_clustering_clear(&c);
    }
}

enum { N = 300 };

/* Three blobs and some scattered points, every 10th a copy of another. */
static void make_blobs(double *at, size_t skip)
{
    gm_rng rng = gm_rng_make(21, 1);
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < 2; c++)
            at[2 * i + c] = i % 12 == 11 ? 30 * gm_rng_unit(&rng)
                                         : 10 * (double)((i + c) % 3) + gm_rng_normal(&rng);
    for (size_t i = 10; i < N; i += 10) memcpy(at + 2 * i, at + 2 * (i - skip), 2 * sizeof *at);
}

static void what_always_holds(void)
{
    static double at[2 * N];
    make_blobs(at, 3);
    for (int selection = GM_SELECT_EOM; selection <= GM_SELECT_LEAF; selection++)
        for (int samples = 1; samples <= 16; samples *= 4) {
            gm_clustering c = fit(at, N, 2,
                                  (gm_hdbscan_options){.min_cluster_size = 8,
                                                       .min_samples = samples,
                                                       .selection = (gm_selection)selection});
            size_t size[N] = {0};
            CHECK(c.n_clusters >= 3);
            for (size_t i = 0; i < N; i++) {
                CHECK(c.label[i] >= -1 && c.label[i] < (int32_t)c.n_clusters);
                CHECK(c.probability[i] >= 0 && c.probability[i] <= 1);
                CHECK(c.outlier[i] >= 0 && c.outlier[i] <= 1);
                CHECK((c.label[i] < 0) == (c.probability[i] == 0));
                if (c.label[i] >= 0) size[c.label[i]]++;
                if (i >= 10 && i % 10 == 0) CHECK_INT(c.label[i], c.label[i - 3]); /* a copy */
            }
            for (size_t k = 0; k < c.n_clusters; k++) {
                CHECK(size[k] >= 8);
                CHECK(c.persistence[k] >= 0 && c.persistence[k] <= 1);
            }
            gm_clustering_clear(&c);
        }
}

/* Moving, scaling, threads: the same labels. */
static void what_changes_nothing(void)
{
    static double at[2 * N], moved[2 * N];
    const gm_hdbscan_options how = {.min_cluster_size = 10, .min_samples = 5};
    make_blobs(at, 3);
    for (size_t i = 0; i < 2 * N; i++) moved[i] = 4 * at[i];
    gm_set_threads(1);
    gm_clustering a = fit(at, N, 2, how);
    gm_set_threads(2);
    gm_clustering b = fit(at, N, 2, how), c = fit(moved, N, 2, how);
    CHECK_BYTES(b.label, a.label, N * sizeof *a.label);
    CHECK_BYTES(b.probability, a.probability, N * sizeof *a.probability);
    CHECK_BYTES(c.label, a.label, N * sizeof *a.label);
    CHECK_FLOATS(c.probability, a.probability, N, 1e-6);
    gm_clustering_clear(&a);
    gm_clustering_clear(&b);
    gm_clustering_clear(&c);
}

/* The order of points decides nothing but the numbers of clusters. */
static void permuting_points_permutes_labels(void)
{
    static double at[2 * N], other[2 * N];
    const gm_hdbscan_options how = {.min_cluster_size = 10, .min_samples = 5};
    int32_t renamed[N];
    make_blobs(at, 3);
    for (size_t i = 0; i < N; i++) memcpy(other + 2 * (i * 7 % N), at + 2 * i, 2 * sizeof *at);
    gm_clustering a = fit(at, N, 2, how), b = fit(other, N, 2, how);
    CHECK_INT(b.n_clusters, a.n_clusters);
    for (size_t c = 0; c < N; c++) renamed[c] = -2;
    for (size_t i = 0; i < N; i++) {
        int32_t x = a.label[i], y = b.label[i * 7 % N];
        CHECK_NEAR(b.probability[i * 7 % N], a.probability[i], 1e-7);
        if (x < 0) {
            CHECK_INT(y, -1);
            continue;
        }
        if (renamed[x] == -2) renamed[x] = y;
        CHECK_INT(y, renamed[x]);
    }
    gm_clustering_clear(&a);
    gm_clustering_clear(&b);
}

/* A second cut of the kept linkage is a fit with other options. */
static void cutting_again(void)
{
    static double at[2 * N];
    const gm_hdbscan_options coarse = {.min_cluster_size = 60, .min_samples = 5};
    const gm_hdbscan_options fine = {
        .min_cluster_size = 6, .min_samples = 5, .selection = GM_SELECT_LEAF};
    gm_clustering cut;
    gm_error err = {0};
    make_blobs(at, 3);
    gm_clustering a = fit(at, N, 2, coarse), b = fit(at, N, 2, fine);
    CHECK_OK(gm_hdbscan_cut(&cut, &a.linkage, &fine, &err), err);
    CHECK(a.linkage.left == NULL && cut.linkage.left != NULL);
    CHECK_INT(cut.n_clusters, b.n_clusters);
    CHECK_BYTES(cut.label, b.label, N * sizeof *b.label);
    gm_clustering_clear(&a);
    gm_clustering_clear(&b);
    gm_clustering_clear(&cut);
}

/* Two of which one is the point itself are one other; the point alone has no core distance. */
static void counting_the_point_itself(void)
{
    static double at[2 * N];
    make_blobs(at, 3);
    gm_hdbscan_options how = {.min_cluster_size = 8, .min_samples = 5};
    gm_clustering other = fit(at, N, 2, how);
    how.count_self = true;
    gm_clustering five = fit(at, N, 2, how);
    how.min_samples = 6;
    gm_clustering six = fit(at, N, 2, how);
    CHECK_BYTES(six.linkage.distance, other.linkage.distance, (N - 1) * sizeof(double));
    CHECK_BYTES(six.label, other.label, N * sizeof *other.label);
    CHECK(five.linkage.distance[N / 2] < six.linkage.distance[N / 2]);
    gm_clustering_clear(&other);
    gm_clustering_clear(&five);
    gm_clustering_clear(&six);
    const double line[] = {0, 1, 3};
    gm_clustering alone =
        fit(line, 3, 1,
            (gm_hdbscan_options){.min_cluster_size = 2, .min_samples = 1, .count_self = true});
    CHECK_NEAR(alone.linkage.distance[0], 1, 0); /* plain single linkage */
    CHECK_NEAR(alone.linkage.distance[1], 2, 0);
    gm_clustering_clear(&alone);
}

static void what_is_refused(void)
{
    const double at[] = {0, NAN};
    gm_clustering c;
    gm_error err = {0};
    gm_hdbscan_options how = {.min_cluster_size = 1, .min_samples = 1};
    CHECK_FAILS(gm_hdbscan_fit(&c, at, 1, 1, &how, &err), err, GM_EARG, "min-cluster-size is 1");
    how = (gm_hdbscan_options){.min_cluster_size = 2};
    CHECK_FAILS(gm_hdbscan_fit(&c, at, 1, 1, &how, &err), err, GM_EARG, "min-samples is 0");
    how.min_samples = 1;
    CHECK_FAILS(gm_hdbscan_fit(&c, at, 2, 1, &how, &err), err, GM_EARG, "point 1 is not finite");
    CHECK(c.label == NULL);
}

static gm_status fit_once(void *state, gm_error *err)
{
    const gm_hdbscan_options how = {.min_cluster_size = 3, .min_samples = 2, .epsilon = 0.1};
    gm_clustering c;
    gm_status status = gm_hdbscan_fit(&c, state, 40, 2, &how, err);
    gm_clustering_clear(&c);
    return status;
}

static void survives_every_allocation_failure(void)
{
    static double at[2 * N];
    make_blobs(at, 3);
    check_every_allocation(fit_once, at);
}

TESTS(TEST(two_chains_by_hand), TEST(one_cluster_only_when_allowed),
      TEST(few_points_and_equal_points), TEST(what_always_holds), TEST(what_changes_nothing),
      TEST(permuting_points_permutes_labels), TEST(cutting_again), TEST(counting_the_point_itself),
      TEST(what_is_refused), TEST(survives_every_allocation_failure))

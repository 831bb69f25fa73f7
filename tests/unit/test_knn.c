/* test_knn.c - cluster/knn.c: the exact neighbours, by looking at every pair.
 * label: threads
 * label: long */
#include "cluster/knn.h"

#include "base/cli.h"
#include "base/rng.h"
#include "base/threads.h"
#include "cluster/knn_bytes.h"
#include "cluster/neighbour.h"
#include "tests/check.h"

#include <signal.h>

enum { MAX_K = 40 };

typedef struct cloud {
    size_t n, d;
    float *rows;
    gm_points points;
} cloud;

/* Small whole numbers give many ties; every 9th row repeats an earlier one, a few are zero. */
static cloud make_cloud(size_t n, size_t d, int values, gm_metric metric)
{
    cloud c = {.n = n, .d = d, .rows = gm_alloc2(n, d, sizeof(float))};
    gm_rng rng = gm_rng_make(11, n * 1000 + d);
    gm_error err = {0};
    for (size_t i = 0; i < n * d; i++)
        c.rows[i] = (float)gm_rng_below(&rng, (uint64_t)values) / (values > 100 ? 1000.0f : 1.0f);
    for (size_t i = 9; i < n; i += 9) memcpy(c.rows + i * d, c.rows + i / 2 * d, d * sizeof(float));
    for (size_t i = 5; i < n; i += 50) memset(c.rows + i * d, 0, d * sizeof(float));
    CHECK_OK(gm_points_init(&c.points, c.rows, n, d, metric, &err), err);
    return c;
}

static void clear_cloud(cloud *c)
{
    gm_points_clear(&c->points);
    gm_free(c->rows);
}

/* The k-1 nearest others of i by (distance, number), the plain way. */
static void neighbours_of(const gm_points *points, size_t i, size_t k, uint32_t *index, double *s)
{
    size_t m = 0;
    for (size_t j = 0; j < points->n; j++) {
        if (j == i) continue;
        double d = gm_points_squared(points, i, j);
        if (m == k - 1 && !(d < s[m - 1])) continue;
        size_t at = m < k - 1 ? m++ : m - 1;
        for (; at > 0 && d < s[at - 1]; at--) s[at] = s[at - 1], index[at] = index[at - 1];
        s[at] = d, index[at] = (uint32_t)j;
    }
}

static void check_rows(const cloud *c, const uint32_t *query, size_t n_queries, int k)
{
    gm_knn knn;
    gm_error err = {0};
    CHECK_OK(gm_knn_find(&knn, &c->points, query, n_queries, k, NULL, &err), err);
    CHECK_INT(knn.n, query ? n_queries : c->n);
    CHECK_INT(knn.k, k);
    for (size_t q = 0; q < knn.n; q += test_small() ? 7 : 1) {
        uint32_t index[MAX_K];
        double s[MAX_K];
        size_t i = query ? query[q] : q;
        const uint32_t *got = knn.index + q * (size_t)k;
        if (k > 1) neighbours_of(&c->points, i, (size_t)k, index, s);
        CHECK_INT(got[0], i);
        CHECK_NEAR(knn.distance[q * (size_t)k], 0, 0);
        for (size_t m = 1; m < (size_t)k; m++) {
            if (got[m] != index[m - 1])
                TEST_FAILED_("neighbour %zu of %zu is %u, expected %u", m, i, got[m], index[m - 1]);
            CHECK_NEAR(knn.distance[q * (size_t)k + m],
                       gm_metric_distance(c->points.metric, s[m - 1]), 0);
        }
    }
    gm_knn_clear(&knn);
}

static void exact_over_odd_sizes(void)
{
    static const size_t sizes[][2] = {{1, 1}, {2, 3}, {49, 16}, {257, 33}, {513, 300}, {1100, 7}};
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++)
        for (int m = GM_HELLINGER; m <= GM_COSINE; m++) {
            size_t n = sizes[c][0];
            cloud one = make_cloud(n, sizes[c][1], 1000, (gm_metric)m);
            check_rows(&one, NULL, 0, n < 15 ? (int)n : 15);
            clear_cloud(&one);
        }
}

static void ties_go_to_the_lower_number(void)
{
    cloud c = make_cloud(600, 4, 3, GM_EUCLIDEAN); /* 81 places for 600 points */
    check_rows(&c, NULL, 0, 15);
    check_rows(&c, NULL, 0, MAX_K);
    check_rows(&c, NULL, 0, 1);
    clear_cloud(&c);
}

/* All points at one place: nothing can be certified, and the lists are still exact. */
static void one_place_is_answered_the_slow_way(void)
{
    cloud c = {.n = 300, .d = 2, .rows = gm_alloc2(300, 2, sizeof(float))};
    gm_error err = {0};
    gm_knn knn;
    for (size_t i = 0; i < 600; i++) c.rows[i] = 1;
    CHECK_OK(gm_points_init(&c.points, c.rows, c.n, c.d, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_knn_find(&knn, &c.points, NULL, 0, 5, NULL, &err), err);
    CHECK_INT(knn.n_uncertified, 300);
    gm_knn_clear(&knn);
    check_rows(&c, NULL, 0, 5);
    clear_cloud(&c);
}

static void some_queries(void)
{
    const uint32_t query[] = {500, 3, 3, 0};
    cloud c = make_cloud(700, 20, 1000, GM_HELLINGER);
    check_rows(&c, query, 4, 10);
    clear_cloud(&c);
}

static double norm_of(const gm_points *points, size_t i)
{
    double sum = 0;
    const float *f = points->at + i * points->dim;
    for (size_t c = 0; c < points->dim; c++) sum += (double)f[c] * (double)f[c];
    return sum;
}

static void threads_change_nothing(void)
{
    cloud c = make_cloud(900, 40, 50, GM_COSINE);
    gm_knn knn[2];
    gm_error err = {0};
    for (int t = 0; t < 2; t++) {
        gm_set_threads(t + 1);
        CHECK_OK(gm_knn_find(&knn[t], &c.points, NULL, 0, 15, NULL, &err), err);
    }
    CHECK_BYTES(knn[1].index, knn[0].index, 900 * 15 * sizeof(uint32_t));
    CHECK_BYTES(knn[1].distance, knn[0].distance, 900 * 15 * sizeof(double));
    CHECK_INT(knn[1].n_uncertified, knn[0].n_uncertified);
    gm_knn_clear(&knn[0]);
    gm_knn_clear(&knn[1]);
    clear_cloud(&c);
}

/* Every instruction set gives the same list, also where its products are too coarse to tell
 * points apart that nearly coincide: then floats, or every point, are looked at again. */
static void instruction_sets_change_nothing(void)
{
    for (int values = 3; values <= 1000; values *= test_small() ? 324 : 18) {
        cloud c = make_cloud(1300, 70, values, GM_HELLINGER);
        gm_knn knn[2];
        gm_error err = {0};
        for (size_t i = 0; i < c.points.n * c.points.dim; i += 7) c.points.at[i] += 2;
        for (size_t i = 0; i < c.points.n; i++) c.points.norm[i] = (float)norm_of(&c.points, i);
        for (size_t i = 0; i < c.points.n; i++)
            c.points.max_norm = fmaxf(c.points.max_norm, c.points.norm[i]);
        c.points.isa = GM_ISA_PORTABLE;
        CHECK_OK(gm_knn_find(&knn[0], &c.points, NULL, 0, 15, NULL, &err), err);
        for (gm_isa isa = GM_ISA_AVX2; isa <= gm_isa_best(); isa++) {
            c.points.isa = isa;
            CHECK_OK(gm_knn_find(&knn[1], &c.points, NULL, 0, 15, NULL, &err), err);
            CHECK_BYTES(knn[1].index, knn[0].index, 1300 * 15 * sizeof(uint32_t));
            CHECK_BYTES(knn[1].distance, knn[0].distance, 1300 * 15 * sizeof(double));
            gm_knn_clear(&knn[1]);
        }
        gm_knn_clear(&knn[0]);
        clear_cloud(&c);
    }
}

/* Points of a cloud in many dimensions are told apart by bytes; where one point lies so far out
 * that the others are all but one to them, all are left to others. */
static void bytes_know_what_they_are_for(void)
{
    enum { MANY = 1100, DIM = 100, K_OF_MANY = 9 };
    if (gm_isa_best() < GM_ISA_AMX) TEST_SKIP("a processor without AMX");
    cloud c = make_cloud(MANY, DIM, 1000, GM_EUCLIDEAN);
    gm_knn knn = {.k = K_OF_MANY,
                  .index = gm_alloc2(MANY, K_OF_MANY, sizeof *knn.index),
                  .distance = gm_alloc2(MANY, K_OF_MANY, sizeof *knn.distance)};
    uint32_t todo[MANY];
    size_t n_todo;
    gm_error err = {0};
    CHECK(gm_knn_bytes_can(&c.points, K_OF_MANY));
    CHECK_OK(gm_knn_by_bytes(&knn, &c.points, todo, &n_todo, NULL, &err), err);
    CHECK(n_todo < MANY / 8);
    check_rows(&c, NULL, 0, K_OF_MANY);
    CHECK(!gm_knn_bytes_can(&c.points, 1));
    CHECK(!gm_knn_bytes_can(&c.points, 200));

    gm_points_clear(&c.points);
    c.rows[0] = 1e6f;
    CHECK_OK(gm_points_init(&c.points, c.rows, MANY, DIM, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_knn_by_bytes(&knn, &c.points, todo, &n_todo, NULL, &err), err);
    CHECK_INT(n_todo, MANY);
    c.points.isa = GM_ISA_AVX512F;
    CHECK(!gm_knn_bytes_can(&c.points, K_OF_MANY));
    gm_knn_clear(&knn);
    clear_cloud(&c);
}

static void the_first_of_many_are_the_nearest(void)
{
    cloud c = make_cloud(70, 5, 1000, GM_EUCLIDEAN);
    gm_knn wide, few, narrow;
    gm_error err = {0};
    CHECK_OK(gm_knn_find(&wide, &c.points, NULL, 0, 9, NULL, &err), err);
    CHECK_OK(gm_knn_find(&few, &c.points, NULL, 0, 4, NULL, &err), err);
    CHECK_OK(gm_knn_narrow(&narrow, &wide, 4, &err), err);
    CHECK_INT(narrow.k, 4);
    CHECK_BYTES(narrow.index, few.index, 70 * 4 * sizeof *few.index);
    CHECK_BYTES(narrow.distance, few.distance, 70 * 4 * sizeof *few.distance);
    gm_knn_clear(&wide);
    gm_knn_clear(&few);
    gm_knn_clear(&narrow);
    clear_cloud(&c);
}

/* Row q is of point among + q; none after `among` is anybody's neighbour, copies neither. */
static void check_across(const cloud *c, size_t among, int k)
{
    gm_knn knn;
    gm_error err = {0};
    const gm_points first = {.metric = c->points.metric,
                             .n = among,
                             .dim = c->points.dim,
                             .at = c->points.at,
                             .isa = c->points.isa};
    CHECK_OK(gm_knn_find_across(&knn, &c->points, among, k, NULL, &err), err);
    CHECK_INT(knn.n, c->n - among);
    for (size_t q = 0; q < knn.n; q += test_small() ? 7 : 1) {
        const uint32_t *got = knn.index + q * (size_t)k;
        const double *distance = knn.distance + q * (size_t)k;
        gm_neighbour best[MAX_K];
        size_t n = 0;
        for (uint32_t j = 0; j < among && k > 1; j++)
            gm_neighbour_insert(best, &n, (size_t)k - 1,
                                (gm_neighbour){gm_points_squared(&first, among + q, j), j});
        CHECK_INT(got[0], among + q);
        for (size_t m = 0; m < n; m++) {
            CHECK_INT(got[m + 1], best[m].index);
            CHECK_NEAR(distance[m + 1], gm_metric_distance(first.metric, best[m].s), 0);
        }
    }
    gm_knn_clear(&knn);
}

static void from_one_set_to_another(void)
{
    gm_knn knn;
    gm_error err = {0};
    for (int values = 3; values <= 1000; values *= 300) { /* many ties, few */
        cloud c = make_cloud(700, 40, values, values == 3 ? GM_EUCLIDEAN : GM_HELLINGER);
        check_across(&c, 513, 16);
        check_across(&c, 20, 21); /* all of them */
        check_across(&c, 699, 1);
        clear_cloud(&c);
    }
    cloud c = make_cloud(10, 2, 1000, GM_EUCLIDEAN);
    CHECK_FAILS(gm_knn_find_across(&knn, &c.points, 10, 2, NULL, &err), err, GM_EARG,
                "1 neighbours requested among the first 10 of 10 points");
    CHECK_FAILS(gm_knn_find_across(&knn, &c.points, 4, 6, NULL, &err), err, GM_EARG,
                "5 neighbours requested among the first 4 of 10 points");
    clear_cloud(&c);
}

static void k_out_of_range(void)
{
    cloud c = make_cloud(10, 2, 1000, GM_EUCLIDEAN);
    gm_knn knn;
    gm_error err = {0};
    CHECK_FAILS(gm_knn_find(&knn, &c.points, NULL, 0, 11, NULL, &err), err, GM_EARG,
                "11 neighbours requested, but there are only 10 points");
    CHECK_FAILS(gm_knn_find(&knn, &c.points, NULL, 0, 0, NULL, &err), err, GM_EARG, "0 neighbours");
    CHECK(knn.index == NULL);
    clear_cloud(&c);
}

static gm_status find(void *state, gm_error *err)
{
    cloud *c = state;
    gm_knn knn;
    gm_status status = gm_knn_find(&knn, &c->points, NULL, 0, 5, NULL, err);
    gm_knn_clear(&knn);
    return status;
}

static void survives_every_allocation_failure(void)
{
    cloud c = make_cloud(60, 3, 1000, GM_EUCLIDEAN);
    check_every_allocation(find, &c);
    clear_cloud(&c);
}

/* What took minutes would not have ended before. */
static void a_signal_ends_the_search(void)
{
    gm_error err = {0};
    for (int same = 0; same < 2; same++) { /* all in one place: answered point by point */
        cloud c = make_cloud(2000, 20, same ? 1 : 1000, GM_EUCLIDEAN);
        gm_knn knn;
        gm_catch_signals();
        raise(SIGINT);
        CHECK_FAILS(gm_knn_find(&knn, &c.points, NULL, 0, 5, NULL, &err), err, GM_EINTERRUPTED,
                    "interrupted while neighbours were found");
        CHECK(gm_interrupt_taken());
        clear_cloud(&c);
    }
}

TESTS(TEST(exact_over_odd_sizes), TEST(ties_go_to_the_lower_number),
      TEST(one_place_is_answered_the_slow_way), TEST(some_queries), TEST(threads_change_nothing),
      TEST(instruction_sets_change_nothing), TEST(bytes_know_what_they_are_for),
      TEST(the_first_of_many_are_the_nearest), TEST(a_signal_ends_the_search),
      TEST(from_one_set_to_another), TEST(k_out_of_range), TEST(survives_every_allocation_failure))

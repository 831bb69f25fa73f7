/* test_map_quality.c - cluster/map_quality.c: every figure against its definition. Against
 * scikit-learn: golden/test_keywords_golden.c.
 * label: threads */
#include "cluster/map_quality.h"

#include "base/rng.h"
#include "base/threads.h"
#include "cluster/product.h"
#include "cluster/quality.h"
#include "tests/check.h"

enum { N = 90, K = 7, D = 3, MOST = GM_BLOCK_COLS + 20 };

typedef struct sums {
    double strange, missing; /* penalties of trustworthiness and continuity */
    double kept;
} sums;

static double map_squared(const float *xy, size_t i, size_t j)
{
    const double x = (double)xy[2 * i] - (double)xy[2 * j];
    const double y = (double)xy[2 * i + 1] - (double)xy[2 * j + 1];
    return x * x + y * y;
}

/* The plain way: the ranks of every j from i on both sides; equal distances go by number. */
static void add_row(sums *to, const gm_points *points, const float *xy, size_t i)
{
    static double s[MOST], map_s[MOST];
    const size_t n = points->n;
    for (size_t j = 0; j < n; j++)
        s[j] = gm_points_squared(points, i, j), map_s[j] = map_squared(xy, i, j);
    for (size_t j = 0; j < n; j++) {
        size_t map_rank = 1, rank = 1;
        if (j == i) continue;
        for (size_t o = 0; o < n; o++) {
            if (o == i || o == j) continue;
            rank += s[o] < s[j] || (s[o] == s[j] && o < j);
            map_rank += map_s[o] < map_s[j] || (map_s[o] == map_s[j] && o < j);
        }
        if (map_rank <= K && rank > K) to->strange += (double)(rank - K);
        if (rank <= K && map_rank > K) to->missing += (double)(map_rank - K);
        to->kept += rank <= K && map_rank <= K;
    }
}

/* Of m rows among n points. */
static void check_figures(const gm_map_quality *got, const sums *want, double m, double n)
{
    const double scale = 2.0 / (m * K * (2.0 * n - 3 * K - 1));
    CHECK_NEAR(got->trustworthiness, 1 - scale * want->strange, 1e-12);
    CHECK_NEAR(got->continuity, 1 - scale * want->missing, 1e-12);
    CHECK_NEAR(got->preserved, want->kept / (m * K), 1e-12);
    CHECK_INT(got->n_rows, (size_t)m);
}

static void figures_are_their_definitions(void)
{
    float rows[N * D], xy[2 * N];
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(3, 1);
    uint32_t some[20];
    sums all = {0}, sampled = {0};
    gm_map_quality got;
    for (size_t i = 0; i < N * D; i++) rows[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < 2 * N; i++)
        xy[i] = rows[i / 2 * D + i % 2] + 0.3f * (float)gm_rng_normal(&rng);
    CHECK_OK(gm_points_init(&points, rows, N, D, GM_EUCLIDEAN, &err), err);
    CHECK_INT(gm_quality_sample(some, N, 20), 20);
    for (size_t i = 0; i < N; i++) add_row(&all, &points, xy, i);
    for (size_t i = 0; i < 20; i++) add_row(&sampled, &points, xy, some[i]);
    for (int threads = 1; threads <= 2; threads++) {
        gm_set_threads(threads);
        CHECK_OK(gm_map_quality_find(&got, &points, xy, 2, K, N, &err), err);
        check_figures(&got, &all, N, N);
        CHECK_OK(gm_map_quality_find(&got, &points, xy, 2, K, 20, &err), err);
        check_figures(&got, &sampled, 20, N);
    }
    /* There was something to lose, and not the same on both sides. */
    CHECK(got.trustworthiness > 0.6 && got.trustworthiness < 0.99);
    CHECK(all.missing != all.strange && got.preserved < 0.9);
    CHECK_FAILS(gm_map_quality_find(&got, &points, xy, 2, N / 2, N, &err), err, GM_EARG,
                "45 neighbours of 90 points");
    CHECK_FAILS(gm_map_quality_find(&got, &points, xy, 2, 0, N, &err), err, GM_EARG,
                "0 neighbours");
    gm_points_clear(&points);
}

/* More points and rows than a product takes at once. */
static void ranks_go_over_all_blocks(void)
{
    enum { ROWS = GM_BLOCK_ROWS + 8 };
    static float rows[MOST * D], xy[2 * MOST];
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(6, 1);
    uint32_t some[ROWS];
    gm_map_quality got;
    sums sampled = {0};
    for (size_t i = 0; i < (size_t)MOST * D; i++) rows[i] = (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < (size_t)2 * MOST; i++) xy[i] = rows[i / 2 * D + i % 2];
    CHECK_OK(gm_points_init(&points, rows, MOST, D, GM_EUCLIDEAN, &err), err);
    CHECK_INT(gm_quality_sample(some, MOST, ROWS), ROWS);
    for (size_t i = 0; i < ROWS; i++) add_row(&sampled, &points, xy, some[i]);
    CHECK_OK(gm_map_quality_find(&got, &points, xy, 2, K, ROWS, &err), err);
    check_figures(&got, &sampled, ROWS, MOST);
    gm_points_clear(&points);
}

/* Ranks are exact where the float product cannot tell: points of which many are nearly or equally
 * far, on a map of 36 places. */
static void ranks_are_exact_within_the_error_of_floats(void)
{
    float rows[N * D], xy[2 * N];
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(5, 1);
    gm_map_quality got;
    sums all = {0};
    for (size_t i = 0; i < N * D; i++)
        rows[i] = 1000 + (i % D == 0 ? 1e-3f : 1e-4f) * (float)gm_rng_normal(&rng);
    for (size_t i = 0; i < 2 * N; i++) xy[i] = (float)gm_rng_below(&rng, 6);
    CHECK_OK(gm_points_init(&points, rows, N, D, GM_EUCLIDEAN, &err), err);
    for (size_t i = 0; i < N; i++) add_row(&all, &points, xy, i);
    CHECK_OK(gm_map_quality_find(&got, &points, xy, 2, K, N, &err), err);
    check_figures(&got, &all, N, N);
    gm_points_clear(&points);
}

/* A map that is the space itself loses nothing, in any number of dimensions. */
static void the_space_itself_is_trusted(void)
{
    float rows[D * N];
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(4, 1);
    gm_map_quality got;
    for (size_t i = 0; i < D * N; i++) rows[i] = (float)gm_rng_normal(&rng);
    CHECK_OK(gm_points_init(&points, rows, N, D, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_map_quality_find(&got, &points, rows, D, K, N, &err), err);
    CHECK_NEAR(got.trustworthiness, 1, 0);
    CHECK_NEAR(got.continuity, 1, 0);
    CHECK_NEAR(got.preserved, 1, 0);
    gm_points_clear(&points);
}

static gm_status find_quality(void *state, gm_error *err)
{
    gm_map_quality got;
    float xy[2 * N] = {0};
    return gm_map_quality_find(&got, state, xy, 2, K, N, err);
}

static void survives_every_allocation_failure(void)
{
    float rows[N] = {0};
    gm_points points;
    gm_error err = {0};
    CHECK_OK(gm_points_init(&points, rows, N, 1, GM_EUCLIDEAN, &err), err);
    check_every_allocation(find_quality, &points);
    gm_points_clear(&points);
}

TESTS(TEST(figures_are_their_definitions), TEST(ranks_go_over_all_blocks),
      TEST(ranks_are_exact_within_the_error_of_floats), TEST(the_space_itself_is_trusted),
      TEST(survives_every_allocation_failure))

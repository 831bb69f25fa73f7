/* test_target_clusters.c - cluster/target_clusters.c: as many clusters as wanted, where the data
 * has them. */
#include "base/rng.h"
#include "cluster/hdbscan.h"
#include "tests/check.h"

enum { BLOBS = 6, EACH = 40, N = BLOBS * EACH };

/* Pairs of blobs: six near, three farther apart. */
static gm_clustering fit(const gm_hdbscan_options *how)
{
    static double at[2 * N];
    gm_rng rng = gm_rng_make(31, 1);
    gm_clustering c;
    gm_error err = {0};
    for (size_t i = 0; i < N; i++) {
        size_t blob = i % BLOBS;
        at[2 * i] = 40.0 * (double)(blob / 2) + gm_rng_normal(&rng);
        at[2 * i + 1] = 9.0 * (double)(blob % 2) + gm_rng_normal(&rng);
    }
    CHECK_OK(gm_hdbscan_fit(&c, at, N, 2, how, &err), err);
    return c;
}

static void wanted_numbers_are_found(void)
{
    static const size_t wanted[] = {3, 6};
    gm_hdbscan_options how = {.min_cluster_size = 5, .min_samples = 5};
    gm_clustering c = fit(&how);
    gm_error err = {0};
    for (size_t w = 0; w < 2; w++) {
        size_t size, count;
        CHECK_OK(gm_hdbscan_aim(&size, &count, &c.linkage, &how, wanted[w], &err), err);
        CHECK_INT(count, wanted[w]);
        gm_hdbscan_options again = how;
        again.min_cluster_size = size;
        gm_clustering cut = fit(&again);
        CHECK_INT(cut.n_clusters, wanted[w]);
        gm_clustering_clear(&cut);
    }
    gm_clustering_clear(&c);
}

/* More than there are: as near as it comes, and never worse than any size. */
static void the_nearest_is_taken(void)
{
    gm_hdbscan_options how = {.min_cluster_size = 5, .min_samples = 5};
    gm_clustering c = fit(&how);
    gm_error err = {0};
    size_t size, count, most = 0;
    for (size_t s = 2; s <= N / 2; s++) {
        how.min_cluster_size = s;
        gm_clustering cut = fit(&how);
        most = cut.n_clusters > most ? cut.n_clusters : most;
        gm_clustering_clear(&cut);
    }
    CHECK_OK(gm_hdbscan_aim(&size, &count, &c.linkage, &how, 10000, &err), err);
    CHECK_INT(count, most);
    CHECK(size >= 2);
    gm_clustering_clear(&c);
}

static gm_status aim_at_three(void *state, gm_error *err)
{
    const gm_clustering *c = state;
    const gm_hdbscan_options how = {.min_samples = 5};
    size_t size, count;
    return gm_hdbscan_aim(&size, &count, &c->linkage, &how, 3, err);
}

static void survives_every_allocation_failure(void)
{
    const double at[] = {0, 1, 2, 3, 20, 21, 22, 23, 24};
    const gm_hdbscan_options how = {.min_cluster_size = 2, .min_samples = 1};
    gm_clustering c;
    gm_error err = {0};
    CHECK_OK(gm_hdbscan_fit(&c, at, 9, 1, &how, &err), err);
    check_every_allocation(aim_at_three, &c);
    gm_clustering_clear(&c);
}

TESTS(TEST(wanted_numbers_are_found), TEST(the_nearest_is_taken),
      TEST(survives_every_allocation_failure))

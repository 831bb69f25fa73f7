/* test_recut.c - cluster/recut.c and from_atlas.c on the sample atlas: who is a copy, the tree of
 * points, merging. The whole way, with a trace: cli/cluster_recut.cmd.
 */
#include "cluster/recut.h"

#include "tests/atlas_sample.h"
#include "tests/check.h"

static made_atlas m;

static gm_clustering recut(const gm_recut *how, size_t *n_found)
{
    gm_hdbscan_options options = {
        .min_cluster_size = 2, .min_samples = 1, .allow_single_cluster = true};
    gm_atlas_points points;
    gm_clustering c = {0};
    gm_error err = {0};
    CHECK_OK(gm_from_atlas_points(&points, &m.atlas, &err), err);
    CHECK_OK(gm_recut_cluster(&c, &points, &m.atlas, how, &options, n_found, &err), err);
    gm_atlas_points_clear(&points);
    return c;
}

static void copies_are_one_point(void)
{
    gm_atlas_points p;
    gm_error err = {0};
    made_init(&m);
    CHECK_OK(gm_from_atlas_points(&p, &m.atlas, &err), err);
    CHECK_INT(p.m, 4);
    const uint32_t point[] = {0, 1, 2, 0, 3, GM_NO_POINT}, left[] = {0, 4, 5}, right[] = {1, 2, 3};
    for (size_t i = 0; i < N; i++) CHECK_INT(p.point[i], point[i]);
    for (size_t r = 0; r < 3; r++) {
        CHECK_INT(p.linkage.left[r], left[r]);
        CHECK_INT(p.linkage.right[r], right[r]);
        CHECK_INT(p.linkage.size[r], r + 2);
        CHECK_NEAR(p.linkage.distance[r], (double)r + 1, 0);
    }
    int32_t label[N];
    gm_recut_spread(label, &p, (const int32_t[]){7, 8, 9, 10}, N);
    CHECK_INT(label[3], 7);
    CHECK_INT(label[5], -1);
    gm_atlas_points_clear(&p);
}

static void trees_that_cannot_be_are_refused(void)
{
    gm_atlas_points p;
    gm_error err = {0};
    made_init(&m), m.right[0] = 1, m.right[1] = 3;
    CHECK_FAILS(gm_from_atlas_points(&p, &m.atlas, &err), err, GM_EFORMAT, "does not join copies");
    made_init(&m), m.right[3] = 5, m.right[4] = 4;
    CHECK_FAILS(gm_from_atlas_points(&p, &m.atlas, &err), err, GM_EFORMAT,
                "joins a document without a counted choice");
    made_init(&m), m.atlas.n_nodes = 0;
    CHECK_FAILS(gm_from_atlas_points(&p, &m.atlas, &err), err, GM_EFORMAT, "older gm-cluster");
}

/* The atlas's own clusters need the tree that its parameters give; a chain has one node only. */
static void what_is_kept_must_fit_the_tree(void)
{
    gm_hdbscan_options options = {.min_cluster_size = 2, .min_samples = 1};
    gm_atlas_points points;
    gm_clustering c;
    gm_error err = {0};
    size_t n_found;
    const gm_recut keep = {0};
    made_init(&m);
    CHECK_OK(gm_from_atlas_points(&points, &m.atlas, &err), err);
    CHECK_FAILS(gm_recut_cluster(&c, &points, &m.atlas, &keep, &options, &n_found, &err), err,
                GM_EFORMAT, "the condensed tree has 1 nodes");
    gm_atlas_points_clear(&points);
    m.atlas.n_nodes = 1;
    m.node_cluster[0] = 1;
    CHECK_OK(gm_from_atlas_points(&points, &m.atlas, &err), err);
    CHECK_OK(gm_recut_cluster(&c, &points, &m.atlas, &keep, &options, &n_found, &err), err);
    CHECK_INT(c.n_clusters, 2);
    gm_clustering_clear(&c);
    gm_atlas_points_clear(&points);

    const gm_recut_merge merge[] = {{1, 0}};
    const gm_recut one = {.merge = merge, .n_merges = 1};
    c = recut(&one, &n_found);
    CHECK_INT(n_found, 2);
    CHECK_INT(c.n_clusters, 1);
    CHECK_INT(c.node_label[0], 0);
    gm_clustering_clear(&c);
}

static gm_status cut_it(void *state, gm_error *err)
{
    const gm_recut how = {.cut = true, .target_clusters = 1};
    gm_hdbscan_options options = {.min_cluster_size = 2, .min_samples = 1};
    gm_atlas_points points;
    gm_clustering c = {0};
    size_t n_found;
    (void)state;
    gm_status status = gm_from_atlas_points(&points, &m.atlas, err);
    if (status == GM_OK)
        status = gm_recut_cluster(&c, &points, &m.atlas, &how, &options, &n_found, err);
    gm_clustering_clear(&c);
    gm_atlas_points_clear(&points);
    return status;
}

static void survives_every_allocation_failure(void)
{
    made_init(&m);
    check_every_allocation(cut_it, NULL);
}

TESTS(TEST(copies_are_one_point), TEST(trees_that_cannot_be_are_refused),
      TEST(what_is_kept_must_fit_the_tree), TEST(survives_every_allocation_failure))

/* test_select.c - cluster/select.c: which clusters of a tree made by hand are taken. */
#include "cluster/hdbscan.h"
#include "tests/check.h"

enum { R = 5, N = 11 };

/*      0
 *     / \        1 and 2 part from the root at lambda 0.125,
 *    1   2       3 and 4 from 1 at 0.25;
 *   / \          4 points each in 3 and 4, 3 in 2.
 *  3   4
 */
typedef struct tree {
    gm_condensed condensed;
    uint32_t parent[R], size[R], point_cluster[N];
    double birth[R], point_lambda[N];
} tree;

static void make(tree *t, double lambda3, double lambda4, double lambda2)
{
    *t = (tree){
        .parent = {0, 0, 0, 1, 1}, .size = {N, 8, 3, 4, 4}, .birth = {0, .125, .125, .25, .25}};
    for (size_t i = 0; i < N; i++) {
        t->point_cluster[i] = i < 4 ? 3 : i < 8 ? 4 : 2;
        t->point_lambda[i] = i < 4 ? lambda3 : i < 8 ? lambda4 : lambda2;
    }
    t->condensed = (gm_condensed){.n_points = N,
                                  .n_clusters = R,
                                  .parent = t->parent,
                                  .birth = t->birth,
                                  .size = t->size,
                                  .point_cluster = t->point_cluster,
                                  .point_lambda = t->point_lambda};
}

/* "0 1 1 0 0": what is chosen. */
static void check_chosen(const tree *t, gm_hdbscan_options how, const char *want)
{
    bool chosen[R];
    double stability[R];
    char got[2 * R + 1] = "";
    gm_error err = {0};
    CHECK_OK(gm_select_clusters(chosen, stability, &t->condensed, &how, &err), err);
    for (size_t c = 0; c < R; c++) {
        got[2 * c] = chosen[c] ? '1' : '0';
        got[2 * c + 1] = c + 1 < R ? ' ' : '\0';
    }
    CHECK_TEXT(got, want);
}

static void stability_by_hand(void)
{
    tree t;
    bool chosen[R];
    double stability[R];
    const gm_hdbscan_options how = {0};
    gm_error err = {0};
    make(&t, 1, .3, .5);
    CHECK_OK(gm_select_clusters(chosen, stability, &t.condensed, &how, &err), err);
    CHECK_NEAR(stability[0], .125 * 11, 1e-12);
    CHECK_NEAR(stability[1], .125 * 8, 1e-12);
    CHECK_NEAR(stability[2], .375 * 3, 1e-12);
    CHECK_NEAR(stability[3], .75 * 4, 1e-12);
    CHECK_NEAR(stability[4], .05 * 4, 1e-12);
}

static void excess_of_mass(void)
{
    tree t;
    make(&t, 1, .3, .5); /* 3 + 0.2 > 1 */
    check_chosen(&t, (gm_hdbscan_options){0}, "0 0 1 1 1");
    make(&t, .3, .3, .5); /* 0.2 + 0.2 < 1 */
    check_chosen(&t, (gm_hdbscan_options){0}, "0 1 1 0 0");
    make(&t, .375, .375, .5); /* 0.5 + 0.5 = 1: the parent stays */
    check_chosen(&t, (gm_hdbscan_options){0}, "0 1 1 0 0");
    make(&t, .3, .3, .15); /* the root, 1.375, is more than 1 + 0.075 */
    check_chosen(&t, (gm_hdbscan_options){.allow_single_cluster = true}, "1 0 0 0 0");
    check_chosen(&t, (gm_hdbscan_options){0}, "0 1 1 0 0");
}

static void clusters_that_are_too_large(void)
{
    tree t;
    make(&t, .3, .3, .5);
    check_chosen(&t, (gm_hdbscan_options){.max_cluster_size = 8}, "0 1 1 0 0");
    check_chosen(&t, (gm_hdbscan_options){.max_cluster_size = 7}, "0 0 1 1 1");
    check_chosen(&t, (gm_hdbscan_options){.max_cluster_size = 2}, "0 0 0 0 0");
}

static void leaves(void)
{
    tree t;
    make(&t, .3, .3, .5);
    check_chosen(&t, (gm_hdbscan_options){.selection = GM_SELECT_LEAF}, "0 0 1 1 1");
    t.condensed.n_clusters = 1; /* a root alone */
    for (size_t i = 0; i < N; i++) t.point_cluster[i] = 0;
    bool chosen[1];
    double stability[1];
    gm_error err = {0};
    gm_hdbscan_options how = {.selection = GM_SELECT_LEAF};
    CHECK_OK(gm_select_clusters(chosen, stability, &t.condensed, &how, &err), err);
    CHECK(!chosen[0]);
    how.allow_single_cluster = true;
    CHECK_OK(gm_select_clusters(chosen, stability, &t.condensed, &how, &err), err);
    CHECK(chosen[0]);
}

/* 3 and 4 are born at a distance of 4, 1 and 2 of 8. */
static void clusters_born_too_near(void)
{
    tree t;
    gm_hdbscan_options how = {.selection = GM_SELECT_LEAF};
    make(&t, 1, .3, .5);
    how.epsilon = 3;
    check_chosen(&t, how, "0 0 1 1 1");
    how.epsilon = 6;
    check_chosen(&t, how, "0 1 1 0 0");
    how.epsilon = 9; /* nothing is far enough: next to the root */
    check_chosen(&t, how, "0 1 1 0 0");
    how.allow_single_cluster = true;
    check_chosen(&t, how, "1 0 0 0 0");
    how = (gm_hdbscan_options){.epsilon = 6}; /* also after excess of mass */
    check_chosen(&t, how, "0 1 1 0 0");
}

static gm_status select_once(void *state, gm_error *err)
{
    bool chosen[R];
    double stability[R];
    const gm_hdbscan_options how = {.epsilon = 6};
    return gm_select_clusters(chosen, stability, &((tree *)state)->condensed, &how, err);
}

static void survives_every_allocation_failure(void)
{
    tree t;
    make(&t, 1, .3, .5);
    check_every_allocation(select_once, &t);
}

TESTS(TEST(stability_by_hand), TEST(excess_of_mass), TEST(clusters_that_are_too_large),
      TEST(leaves), TEST(clusters_born_too_near), TEST(survives_every_allocation_failure))

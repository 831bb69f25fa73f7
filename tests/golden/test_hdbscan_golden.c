/* test_hdbscan_golden.c - core distances, spanning tree, linkage, condensed tree, labels,
 * probabilities, GLOSH and persistence against hdbscan's, scikit-learn's and fast_hdbscan's own
 * code run on the tree of the total order. Tolerances and their reasons: README.md, "cluster/".
 */
#include "cluster/hdbscan.h"
#include "tests/golden_tensors.h"

static golden_file file;
static int n_published;

static double *read_named(const char *part, const char *name, size_t *n)
{
    char path[96];
    snprintf(path, sizeof path, "%s.%s", part, name);
    return golden_read(&file, path, n);
}

static bool has_named(const char *part, const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "%s.%s", part, name);
    return gm_json_find(file.header, path) != NULL;
}

static void check_relative(const char *what, const double *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-12 * fabs(want[i])))
            TEST_FAILED_("%s[%zu] is %.17g, expected %.17g", what, i, got[i], want[i]);
}

/* The points (N,d) of a fixture; d is the other side of the shape. */
static double *read_points(const char *fixture, size_t *n, int *dim)
{
    char path[96];
    size_t n_values;
    int64_t rows = 0, cols = 0;
    snprintf(path, sizeof path, "%s.x", fixture);
    const gm_json *side = gm_json_first(gm_json_find(gm_json_find(file.header, path), "shape"));
    gm_json_i64(side, &rows);
    gm_json_i64(gm_json_next(side), &cols);
    double *at = golden_read(&file, path, &n_values);
    CHECK_INT(n_values, rows * cols);
    *n = (size_t)rows, *dim = (int)cols;
    return at;
}

static int64_t whole(const gm_json *entry, const char *key)
{
    int64_t value = -1;
    gm_json_i64(gm_json_find(entry, key), &value);
    return value;
}

static double real(const gm_json *entry, const char *key)
{
    return golden_number(gm_json_find(entry, key));
}

/* Core distances, and every weight of the tree, against Kruskal over all pairs. */
static void check_tree(const gm_json *entry, int number)
{
    char part[64];
    size_t n, m;
    int dim;
    gm_error err = {0};
    (void)number;
    const char *fixture = gm_json_text(gm_json_find(entry, "fixture"), NULL);
    const int n_others = (int)whole(entry, "n_others");
    double total = 0, *at = read_points(fixture, &n, &dim);
    double *core = gm_alloc(n, sizeof *core), *weight = gm_alloc(n, sizeof *weight);
    gm_edge *edge = gm_alloc(n, sizeof *edge);
    CHECK_OK(gm_mst_find(edge, core, at, n, dim, n_others, &err), err);
    for (size_t i = 0; i + 1 < n; i++) total += weight[i] = edge[i].weight;
    CHECK_NEAR(total, real(entry, "mst_total"), 1e-12 * total);
    snprintf(part, sizeof part, "%s.%d", fixture, n_others);
    double *want = read_named(part, "core", &m);
    CHECK_INT(m, n);
    check_relative("core", core, want, n);
    gm_free(want);
    want = read_named(part, "mst_weight", &m);
    CHECK_INT(m, n - 1);
    check_relative("weight", weight, want, n - 1);
    gm_free(want);
    gm_free(at);
    gm_free(core);
    gm_free(weight);
    gm_free(edge);
}

/* Rows of the linkage, in order: both nodes, distance, size. A distance of 0 is the smallest that
 * is not 0 in the golden. */
static void check_linkage(const gm_linkage *got, const char *part)
{
    size_t m;
    double *want = read_named(part, "linkage", &m), least = 0;
    CHECK_INT(m, 4 * (got->n - 1));
    for (size_t i = 0; i + 1 < got->n && least == 0; i++) least = got->distance[i];
    for (size_t i = 0; i + 1 < got->n; i++) {
        CHECK_INT(got->left[i], want[4 * i]);
        CHECK_INT(got->right[i], want[4 * i + 1]);
        CHECK_NEAR(got->distance[i] == 0 ? least : got->distance[i], want[4 * i + 2],
                   1e-12 * want[4 * i + 2]);
        CHECK_INT(got->size[i], want[4 * i + 3]);
    }
    gm_free(want);
}

/* hdbscan's rows [parent, child, size] with lambda, clusters numbered from N in another order than
 * ours: `ours` (R) is the map, filled from the points that fall out of a cluster, then upwards. */
static void check_condensed(const gm_linkage *linkage, const char *part, size_t min_size)
{
    gm_condensed tree;
    gm_error err = {0};
    size_t m, n_rows, n = linkage->n, n_born = 0;
    double *row = read_named(part, "condensed", &m),
           *at = read_named(part, "condensed_lambda", &n_rows);
    CHECK_INT(m, 3 * n_rows);
    CHECK_OK(gm_condense(&tree, linkage, min_size, &err), err);
    uint32_t *ours = gm_alloc(n_rows, sizeof *ours);
    for (size_t c = 0; c < n_rows; c++) ours[c] = UINT32_MAX;
    for (size_t r = n_rows; r-- > 0;) { /* a cluster's own rows come after the row it is born in */
        size_t parent = (size_t)row[3 * r] - n, child = (size_t)row[3 * r + 1];
        bool point = child < n;
        uint32_t leaves = point ? tree.point_cluster[child] : tree.parent[ours[child - n]];
        double lambda = point ? tree.point_lambda[child] : tree.birth[ours[child - n]];
        if (ours[parent] == UINT32_MAX) ours[parent] = leaves;
        CHECK_INT(leaves, ours[parent]);
        CHECK_NEAR(lambda, at[r], 1e-12 * at[r]);
        CHECK_INT(point ? 1 : tree.size[ours[child - n]], row[3 * r + 2]);
        n_born += !point;
    }
    CHECK_INT(tree.n_clusters, n_born + 1);
    gm_condensed_clear(&tree);
    gm_free(row);
    gm_free(at);
    gm_free(ours);
}

/* Labels may be renamed: the map from ours to theirs must be one to one. */
static void check_labels(const int32_t *got, const double *want, size_t n, int32_t *renamed)
{
    for (size_t c = 0; c < n; c++) renamed[c] = -1;
    for (size_t i = 0; i < n; i++) {
        int32_t w = (int32_t)want[i];
        if (got[i] < 0 || w < 0) {
            if (got[i] != w) TEST_FAILED_("point %zu is %d, expected %d", i, got[i], w);
            continue;
        }
        if (renamed[got[i]] < 0) renamed[got[i]] = w;
        if (renamed[got[i]] != w) TEST_FAILED_("point %zu is in another cluster", i);
    }
}

static void check_scores(const gm_clustering *got, const char *part)
{
    size_t m, n = got->n;
    double *label = read_named(part, "label", &m),
           *probability = read_named(part, "probability", &m);
    double *outlier = read_named(part, "outlier", &m);
    CHECK_INT(m, n);
    double *persistence = read_named(part, "persistence", &m);
    int32_t *renamed = gm_alloc(n, sizeof *renamed);
    CHECK_INT(got->n_clusters, m);
    check_labels(got->label, label, n, renamed);
    for (size_t i = 0; i < n; i++) {
        CHECK_NEAR(got->probability[i], probability[i], 1e-6);
        CHECK_NEAR(got->outlier[i], outlier[i], 1e-6);
    }
    for (size_t c = 0; c < got->n_clusters; c++)
        if (renamed[c] >= 0) CHECK_NEAR(got->persistence[c], persistence[renamed[c]], 1e-6);
    gm_free(label);
    gm_free(probability);
    gm_free(outlier);
    gm_free(persistence);
    gm_free(renamed);
}

static gm_hdbscan_options read_options(const gm_json *entry)
{
    const char *method = gm_json_text(gm_json_find(entry, "method"), NULL);
    gm_hdbscan_options how = {.min_cluster_size = (size_t)whole(entry, "min_cluster_size"),
                              .epsilon = real(entry, "epsilon")};
    how.selection = strcmp(method, "leaf") == 0 ? GM_SELECT_LEAF : GM_SELECT_EOM;
    gm_json_bool(gm_json_find(entry, "allow_single_cluster"), &how.allow_single_cluster);
    return how;
}

/* In both conventions where hdbscan's has one: min_samples others, or one more with the point. */
static void check_case(const gm_json *entry, int number)
{
    char part[32];
    size_t n;
    int dim;
    gm_error err = {0};
    const char *fixture = gm_json_text(gm_json_find(entry, "fixture"), NULL);
    const int n_others = (int)whole(entry, "n_others");
    gm_hdbscan_options how = read_options(entry);
    double *at = read_points(fixture, &n, &dim);
    snprintf(part, sizeof part, "case%d", number);
    for (int self = n_others == 0; self <= 1; self++) {
        gm_clustering got;
        how.count_self = self, how.min_samples = n_others + self;
        CHECK_OK(gm_hdbscan_fit(&got, at, n, dim, &how, &err), err);
        check_scores(&got, part);
        if (has_named(part, "linkage")) {
            check_linkage(&got.linkage, part);
            check_condensed(&got.linkage, part, how.min_cluster_size);
        }
        gm_clustering_clear(&got);
    }
    gm_free(at);
}

static void each_case(void (*check)(const gm_json *entry, int number))
{
    int number = 0;
    gm_json *root = golden_json("cluster/hdbscan.json");
    file = golden_open("cluster/hdbscan.safetensors");
    const gm_json *entry = gm_json_first(gm_json_find(root, "cases"));
    for (; entry; entry = gm_json_next(entry)) check(entry, number++);
    CHECK_INT(number, 26);
    gm_json_free(root);
    golden_close(&file);
}

static void trees_agree(void)
{
    each_case(check_tree);
}

static void clusters_agree(void)
{
    each_case(check_case);
}

/* What the packages' own tests demand of their fixtures, where ties leave it to us. */
static void check_published(const gm_json *entry, int number)
{
    static const struct {
        const char *fixture;
        int64_t n_others, min_size;
        double epsilon;
        bool single;
        int64_t clusters, noise; /* noise -1: not demanded */
    } demand[] = {
        {"uniform", 5, 5, 0, true, 1, 46},   /* hdbscan */
        {"uniform", 5, 5, 0.2, true, 1, 2},  /* hdbscan */
        {"uniform", 4, 5, 0.18, true, 1, 2}, /* scikit-learn */
        {"three", 5, 5, 0, false, 3, -1},    /* hdbscan, fast_hdbscan */
        {"three", 4, 5, 0, false, 3, -1},    /* scikit-learn */
        {"three", 5, 201, 0, false, 0, 200}, /* all three: larger than the data */
        {"hard", 4, 5, 0, false, 4, -1},     /* scikit-learn: DBSCAN cannot */
    };
    const char *fixture = gm_json_text(gm_json_find(entry, "fixture"), NULL);
    const gm_hdbscan_options how = read_options(entry);
    (void)number;
    for (size_t d = 0; d < sizeof demand / sizeof *demand; d++) {
        if (strcmp(fixture, demand[d].fixture) != 0 || how.selection != GM_SELECT_EOM ||
            whole(entry, "n_others") != demand[d].n_others ||
            how.min_cluster_size != (size_t)demand[d].min_size ||
            how.epsilon != demand[d].epsilon || how.allow_single_cluster != demand[d].single)
            continue;
        CHECK_INT(whole(entry, "clusters"), demand[d].clusters);
        if (demand[d].noise >= 0) CHECK_INT(whole(entry, "noise"), demand[d].noise);
        if (strcmp(fixture, "three") == 0 && demand[d].clusters == 3)
            CHECK(real(entry, "fowlkes_mallows") >= 0.98);
        n_published++;
    }
}

static void published_counts_hold(void)
{
    n_published = 0;
    each_case(check_published);
    CHECK_INT(n_published, 7);
}

TESTS(TEST(trees_agree), TEST(clusters_agree), TEST(published_counts_hold))

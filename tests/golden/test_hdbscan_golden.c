/* test_hdbscan_golden.c - core distances, spanning tree weights, labels, probabilities, GLOSH
 * and persistence against hdbscan's own code run on the tree of the total order. Tolerances
 * and their reasons: README.md, "cluster/".
 */
#include "cluster/hdbscan.h"
#include "tests/golden_tensors.h"

static golden_file file;

static double *read_named(const char *part, const char *name, size_t *n)
{
    char path[96];
    snprintf(path, sizeof path, "%s.%s", part, name);
    return golden_read(&file, path, n);
}

static void check_relative(const char *what, const double *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-12 * fabs(want[i])))
            TEST_FAILED_("%s[%zu] is %.17g, expected %.17g", what, i, got[i], want[i]);
}

static void check_tree(const char *fixture, int min_samples)
{
    char part[64];
    size_t n, m;
    gm_error err = {0};
    double *at = read_named(fixture, "x", &n);
    n /= 2;
    double *core = gm_alloc(n, sizeof *core), *weight = gm_alloc(n, sizeof *weight);
    gm_edge *edge = gm_alloc(n, sizeof *edge);
    CHECK_OK(gm_mst_find(edge, core, at, n, 2, min_samples, &err), err);
    for (size_t i = 0; i + 1 < n; i++) weight[i] = edge[i].weight;
    snprintf(part, sizeof part, "%s.%d", fixture, min_samples);
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

static void trees_agree(void)
{
    file = golden_open("cluster/hdbscan.safetensors");
    check_tree("uniform", 5);
    check_tree("uniform", 3);
    check_tree("blobs", 15);
    check_tree("blobs", 3);
    check_tree("twins", 2);
    golden_close(&file);
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

static void check_case(const gm_json *entry, int number)
{
    char part[32];
    size_t n, m;
    gm_error err = {0};
    gm_clustering got;
    gm_hdbscan_options how = {0};
    int64_t value = 0;
    snprintf(part, sizeof part, "case%d", number);
    const char *fixture = gm_json_text(gm_json_find(entry, "fixture"), NULL);
    const char *method = gm_json_text(gm_json_find(entry, "method"), NULL);
    how.selection = strcmp(method, "leaf") == 0 ? GM_SELECT_LEAF : GM_SELECT_EOM;
    gm_json_i64(gm_json_find(entry, "min_cluster_size"), &value);
    how.min_cluster_size = (size_t)value;
    gm_json_i64(gm_json_find(entry, "min_samples"), &value);
    how.min_samples = (int)value;
    gm_json_f64(gm_json_find(entry, "epsilon"), &how.epsilon);
    gm_json_bool(gm_json_find(entry, "allow_single_cluster"), &how.allow_single_cluster);

    double *at = read_named(fixture, "x", &n);
    n /= 2;
    CHECK_OK(gm_hdbscan_fit(&got, at, n, 2, &how, &err), err);
    double *label = read_named(part, "label", &m);
    int32_t *renamed = gm_alloc(n, sizeof *renamed);
    check_labels(got.label, label, n, renamed);
    double *probability = read_named(part, "probability", &m);
    double *outlier = read_named(part, "outlier", &m);
    for (size_t i = 0; i < n; i++) {
        CHECK_NEAR(got.probability[i], probability[i], 1e-6);
        CHECK(got.outlier[i] >= 0 && got.outlier[i] <= 1);
        if (strcmp(fixture, "twins") != 0) CHECK_NEAR(got.outlier[i], outlier[i], 1e-6);
    }
    double *persistence = read_named(part, "persistence", &m);
    CHECK_INT(got.n_clusters, m);
    /* Where points coincide lambda is infinite in the reference, finite here. */
    for (size_t c = 0; c < got.n_clusters && strcmp(fixture, "twins") != 0; c++)
        if (renamed[c] >= 0) CHECK_NEAR(got.persistence[c], persistence[renamed[c]], 1e-6);
    gm_free(at);
    gm_free(label);
    gm_free(renamed);
    gm_free(probability);
    gm_free(outlier);
    gm_free(persistence);
    gm_clustering_clear(&got);
}

static void clusters_agree(void)
{
    gm_json *root = NULL;
    gm_error err = {0};
    int number = 0;
    file = golden_open("cluster/hdbscan.safetensors");
    CHECK_OK(gm_json_read_file(&root, TEST_DATA "/golden/cluster/hdbscan.json", 1 << 24, &err),
             err);
    const gm_json *entry = gm_json_first(gm_json_find(root, "cases"));
    for (; entry; entry = gm_json_next(entry)) check_case(entry, number++);
    CHECK_INT(number, 10);
    gm_json_free(root);
    golden_close(&file);
}

TESTS(TEST(trees_agree), TEST(clusters_agree))

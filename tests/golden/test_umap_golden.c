/* test_umap_golden.c - neighbours, scales, graph, eigenvectors, curve and random numbers
 * against umap-learn. Tolerances and their reasons: README.md, "cluster/".
 */
#include "cluster/curve.h"
#include "cluster/eigen.h"
#include "cluster/umap.h"
#include "tests/golden_tensors.h"

enum { K = 15 };

typedef struct fixture {
    const char *name;
    gm_metric metric;
    gm_points points;
    gm_knn knn;
    double *rho, *sigma;
    gm_graph graph;
} fixture;

static double *read_of(const golden_file *file, const fixture *f, const char *what, size_t *n)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", f->name, what);
    return golden_read(file, name, n);
}

/* Everything up to the graph, unpruned, of "iris", "iris100" (its last rows) or "usage". */
static fixture make_fixture(const golden_file *file, const char *name)
{
    fixture f = {.name = name};
    gm_error err = {0};
    size_t n_values, d = 4;
    bool usage = strcmp(name, "usage") == 0;
    float *rows = golden_floats(file, usage ? "usage.counts" : "iris.x", &n_values);
    if (usage) d = 24, f.metric = GM_HELLINGER;
    if (!usage) f.metric = GM_EUCLIDEAN;
    size_t skip = strcmp(name, "iris100") == 0 ? 50 : 0, n = n_values / d - skip;
    CHECK_OK(gm_points_init(&f.points, rows + skip * d, n, d, f.metric, &err), err);
    CHECK_OK(gm_knn_find(&f.knn, &f.points, NULL, 0, K, NULL, &err), err);
    f.rho = gm_alloc(n, sizeof *f.rho);
    f.sigma = gm_alloc(n, sizeof *f.sigma);
    gm_graph_scales(&f.knn, f.rho, f.sigma);
    CHECK_OK(
        gm_graph_make(&f.graph, &f.knn, f.rho, f.sigma, 1, gm_metric_disconnected(f.metric), &err),
        err);
    gm_free(rows);
    return f;
}

static void clear_fixture(fixture *f)
{
    gm_points_clear(&f->points);
    gm_knn_clear(&f->knn);
    gm_free(f->rho);
    gm_free(f->sigma);
    gm_graph_clear(&f->graph);
}

static void check_near(const char *what, const double *got, const double *want, size_t n,
                       double absolute, double relative)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= absolute + relative * fabs(want[i])))
            TEST_FAILED_("%s[%zu] is %.9g, expected %.9g", what, i, got[i], want[i]);
}

static void check_neighbours(const golden_file *file, const fixture *f)
{
    size_t n;
    double *distance = read_of(file, f, "knn_distance", &n);
    CHECK_INT(n, f->knn.n * K);
    check_near("distance", f->knn.distance, distance, n, 1e-6, 1e-6);
    double *index = read_of(file, f, "knn_index", &n);
    for (size_t i = 0; i < n; i++) {
        if (f->knn.index[i] == (uint32_t)index[i]) continue;
        /* Another neighbour is right only where both are equally far. */
        double own = gm_points_squared(&f->points, i / K, f->knn.index[i]);
        CHECK_NEAR(own, gm_points_squared(&f->points, i / K, (size_t)index[i]), 2e-6 * own + 1e-12);
    }
    gm_free(distance);
    gm_free(index);
}

static void check_graph(const golden_file *file, const fixture *f)
{
    size_t n, m, at = 0;
    double *rho = read_of(file, f, "rho", &n), *sigma = read_of(file, f, "sigma", &n);
    check_near("rho", f->rho, rho, n, 1e-6, 0);
    check_near("sigma", f->sigma, sigma, n, 0, 1e-4);
    double *row = read_of(file, f, "graph_row", &m), *col = read_of(file, f, "graph_col", &m);
    double *weight = read_of(file, f, "graph_weight", &m);
    for (size_t i = 0; i < f->graph.n; i++) {
        for (uint64_t e = f->graph.indptr[i]; e < f->graph.indptr[i + 1]; e++) {
            double w = (double)f->graph.weight[e];
            bool same = at < m && (size_t)row[at] == i && (uint32_t)col[at] == f->graph.index[e];
            if (!same && w < 1e-6) continue;
            CHECK(same);
            if (same) CHECK_NEAR(w, weight[at], 1e-4);
            at += same;
        }
    }
    CHECK_INT(at, m);
    gm_free(rho);
    gm_free(sigma);
    gm_free(row);
    gm_free(col);
    gm_free(weight);
}

static void check_eigenvectors(const golden_file *file, fixture *f)
{
    gm_error err = {0};
    gm_eigen_report report;
    size_t n;
    gm_graph_prune(&f->graph, 500);
    double *vectors = gm_alloc2(f->graph.n, 2, sizeof *vectors);
    CHECK_OK(gm_eigen_leading(vectors, 2, &f->graph, 1e-7, 200, 1, &report, &err), err);
    CHECK(report.converged);
    double *value = read_of(file, f, "eigenvalue", &n);
    for (int c = 0; c < 2; c++) CHECK_NEAR(1 - report.value[c], value[c + 1], 1e-6);
    double *want = read_of(file, f, "eigenvector", &n);
    check_near("eigenvector", vectors, want, n, 1e-3, 0);
    gm_free(vectors);
    gm_free(value);
    gm_free(want);
}

static void run_fixture(const char *name, bool connected)
{
    golden_file file = golden_open("cluster/umap.safetensors");
    fixture f = make_fixture(&file, name);
    check_neighbours(&file, &f);
    check_graph(&file, &f);
    if (connected) check_eigenvectors(&file, &f);
    clear_fixture(&f);
    golden_close(&file);
}

static void iris_agrees(void)
{
    run_fixture("iris", false);
}

static void one_part_of_iris_agrees(void)
{
    run_fixture("iris100", true);
}

static void usage_vectors_agree(void)
{
    run_fixture("usage", true);
}

static gm_json *read_json(const char *name)
{
    gm_json *root = NULL;
    gm_error err = {0};
    char path[1024];
    snprintf(path, sizeof path, TEST_DATA "/golden/cluster/%s", name);
    CHECK_OK(gm_json_read_file(&root, path, (size_t)1 << 26, &err), err);
    return root;
}

static double number(const gm_json *object, const char *key)
{
    double v = NAN;
    gm_json_f64(gm_json_find(object, key), &v);
    return v;
}

static void the_curve_agrees(void)
{
    gm_json *root = read_json("umap.json");
    int n = 0;
    for (const gm_json *c = gm_json_first(gm_json_find(root, "curve")); c; c = gm_json_next(c)) {
        double a, b;
        gm_error err = {0};
        CHECK_OK(gm_curve_fit(number(c, "min_dist"), number(c, "spread"), &a, &b, &err), err);
        CHECK_NEAR(a, number(c, "a"), 1e-5);
        CHECK_NEAR(b, number(c, "b"), 1e-5);
        n++;
    }
    CHECK_INT(n, 10);
    gm_json_free(root);
}

static void random_numbers_agree(void)
{
    gm_json *root = read_json("umap.json");
    const gm_json *c = gm_json_first(gm_json_find(root, "tau_rand_int"));
    for (; c; c = gm_json_next(c)) {
        int64_t state[3], want;
        const gm_json *s = gm_json_first(gm_json_find(c, "state"));
        for (int i = 0; i < 3; i++, s = gm_json_next(s)) gm_json_i64(s, &state[i]);
        const gm_json *v = gm_json_first(gm_json_find(c, "values"));
        for (; v; v = gm_json_next(v)) {
            gm_json_i64(v, &want);
            CHECK_INT(gm_tau88_next(state), want);
        }
    }
    gm_json_free(root);
}

TESTS(TEST(iris_agrees), TEST(one_part_of_iris_agrees), TEST(usage_vectors_agree),
      TEST(the_curve_agrees), TEST(random_numbers_agree))

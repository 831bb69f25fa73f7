/* test_umap_golden.c - neighbours, scales, graph, eigenvectors, curve, random numbers and the
 * serial descent against umap-learn; rates and lift against numpy. Tolerances and their
 * reasons: README.md, "cluster/".
 */
#include "cluster/curve.h"
#include "cluster/eigen.h"
#include "cluster/profile.h"
#include "cluster/map_quality.h"
#include "cluster/quality.h"
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
    check_near("sigma", f->sigma, sigma, n, 1e-5, 0);
    double *row = read_of(file, f, "graph_row", &m), *col = read_of(file, f, "graph_col", &m);
    double *weight = read_of(file, f, "graph_weight", &m);
    for (size_t i = 0; i < f->graph.n; i++) {
        for (uint64_t e = f->graph.indptr[i]; e < f->graph.indptr[i + 1]; e++) {
            bool same = at < m && (size_t)row[at] == i && (uint32_t)col[at] == f->graph.index[e];
            CHECK(same);
            if (same) CHECK_NEAR(f->graph.weight[e], weight[at], 1e-5);
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

static double number(const gm_json *object, const char *key)
{
    return golden_number(gm_json_find(object, key));
}

static void the_curve_agrees(void)
{
    gm_json *root = golden_json("cluster/umap.json");
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
    gm_json *root = golden_json("cluster/umap.json");
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

/* [number, ...] under `key` against the first n of `got`. */
static void check_list(const gm_json *object, const char *key, const double *got, size_t n,
                       double tolerance)
{
    const gm_json *v = gm_json_first(gm_json_find(object, key));
    for (size_t i = 0; i < n; i++, v = gm_json_next(v)) {
        double want = golden_number(v);
        check_near(key, got + i, &want, 1, tolerance, 0);
    }
}

/* Ten rows among themselves, with few neighbours: sigma far from 1, and at its floor. */
static void scales_of_ten_rows_agree(void)
{
    enum { ROWS = 10 };
    golden_file file = golden_open("cluster/umap.safetensors");
    gm_json *root = golden_json("cluster/umap.json");
    size_t n;
    float *x = golden_floats(&file, "iris.x", &n);
    gm_points points;
    gm_error err = {0};
    CHECK_OK(gm_points_init(&points, x, ROWS, 4, GM_EUCLIDEAN, &err), err);
    const gm_json *c = gm_json_first(gm_json_find(root, "smooth_iris_first_10"));
    for (; c; c = gm_json_next(c)) {
        double rho[ROWS], sigma[ROWS];
        gm_knn knn;
        CHECK_OK(gm_knn_find(&knn, &points, NULL, 0, (int)number(c, "k"), NULL, &err), err);
        gm_graph_scales(&knn, rho, sigma);
        check_list(c, "rho", rho, ROWS, 1e-6);
        check_list(c, "sigma", sigma, ROWS, 1e-5);
        gm_knn_clear(&knn);
    }
    gm_points_clear(&points);
    gm_free(x);
    gm_json_free(root);
    golden_close(&file);
}

/* The same ten rows by the published numbers of another implementation (uwot's tests, compared
 * with Python there): five digits of sigma and rho, sums and sizes of the graph. */
static void published_numbers_of_ten_rows_hold(void)
{
    enum { ROWS = 10 };
    static const double rho[ROWS] = {.14142, .17321, .24495, .24495, .14142,
                                     .61644, .26458, .17321, .30000, .17321};
    static const struct {
        int k;
        size_t n_entries;
        double sigma[ROWS], sum;
    } published[] = {
        {4,
         42,
         {.17994, .20489, .04938, .09060, .24940, .00390625, .15367, .13552, .24543, .20634},
         28.0901},
        {8,
         82,
         {.25672, .22099, .08285, .09982, .28608, .17874, .15969, .17134, .25434, .19572},
         43.3995},
    };
    golden_file file = golden_open("cluster/umap.safetensors");
    size_t n;
    float *x = golden_floats(&file, "iris.x", &n);
    gm_points points;
    gm_error err = {0};
    CHECK_OK(gm_points_init(&points, x, ROWS, 4, GM_EUCLIDEAN, &err), err);
    for (int p = 0; p < 2; p++) {
        double got_rho[ROWS], sigma[ROWS], sum = 0, least = 1;
        gm_knn knn;
        gm_graph graph;
        CHECK_OK(gm_knn_find(&knn, &points, NULL, 0, published[p].k, NULL, &err), err);
        gm_graph_scales(&knn, got_rho, sigma);
        check_near("rho", got_rho, rho, ROWS, 6e-6, 0);
        check_near("sigma", sigma, published[p].sigma, ROWS, 6e-6, 0);
        CHECK_OK(gm_graph_make(&graph, &knn, got_rho, sigma, 1, INFINITY, &err), err);
        CHECK_INT(graph.indptr[ROWS], published[p].n_entries);
        for (size_t e = 0; e < graph.indptr[ROWS]; e++) {
            sum += (double)graph.weight[e];
            least = fmin(least, (double)graph.weight[e]);
        }
        CHECK_NEAR(sum, published[p].sum, 1e-4);
        gm_graph_prune(&graph, 500);
        CHECK_INT(graph.indptr[ROWS] < published[p].n_entries, least < 1.0 / 500);
        if (p == 0) CHECK_NEAR(least, 5.129e-10, 5e-13); /* such an edge is never due */
        gm_graph_clear(&graph);
        gm_knn_clear(&knn);
    }
    gm_points_clear(&points);
    gm_free(x);
    golden_close(&file);
}

/* umap-learn's own graph of iris100, pruned; when an edge is due turns on the last bit of a
 * weight near 1, so that ours would go another way. */
static gm_graph read_graph(const golden_file *file)
{
    size_t m, kept = 0;
    double *row = golden_read(file, "iris100.graph_row", &m);
    double *col = golden_read(file, "iris100.graph_col", &m);
    double *weight = golden_read(file, "iris100.graph_weight", &m);
    gm_graph graph = {.n = 100,
                      .indptr = gm_alloc(101, sizeof *graph.indptr),
                      .index = gm_alloc(m, sizeof *graph.index),
                      .weight = gm_alloc(m, sizeof *graph.weight)};
    for (size_t e = 0; e < m; e++) {
        if (weight[e] < 1.0 / 500) continue; /* the largest is 1 */
        graph.index[kept] = (uint32_t)col[e];
        graph.weight[kept++] = (float)weight[e];
        graph.indptr[(size_t)row[e] + 1] = kept;
    }
    gm_free(row);
    gm_free(col);
    gm_free(weight);
    return graph;
}

/* Sixteen epochs over the pruned graph, move by move. */
static void the_serial_descent_agrees(void)
{
    golden_file file = golden_open("cluster/umap.safetensors");
    gm_json *root = golden_json("cluster/umap.json");
    const gm_json *how = gm_json_find(root, "layout");
    gm_graph graph = read_graph(&file);
    size_t n;
    gm_error err = {0};
    float *xy = golden_floats(&file, "iris100.layout_start", &n);
    float *want = golden_floats(&file, "iris100.layout", &n);
    const gm_layout_job job = {.dim = 2,
                               .graph = &graph,
                               .a = number(how, "a"),
                               .b = number(how, "b"),
                               .learning_rate = number(how, "learning_rate"),
                               .repulsion = number(how, "repulsion"),
                               .negative_rate = (int)number(how, "negative_rate"),
                               .n_epochs = (int)number(how, "epochs"),
                               .seed = (uint64_t)number(how, "seed")};
    CHECK_INT(n, 200);
    CHECK_OK(gm_layout_reference(xy, &job, &err), err);
    CHECK_FLOATS(xy, want, n, 1e-4);
    gm_free(xy);
    gm_free(want);
    gm_graph_clear(&graph);
    gm_json_free(root);
    golden_close(&file);
}

/* Both layouts of iris are as trustworthy as umap-learn's. */
static void maps_are_as_trustworthy(void)
{
    golden_file file = golden_open("cluster/umap.safetensors");
    gm_json *root = golden_json("cluster/umap.json");
    fixture f = make_fixture(&file, "iris");
    double least = 1;
    gm_map_quality quality;
    float xy[300];
    gm_error err = {0};
    const gm_json *v =
        gm_json_first(gm_json_find(gm_json_find(root, "iris"), "trustworthiness_of_umap"));
    for (; v; v = gm_json_next(v)) {
        double theirs = NAN;
        gm_json_f64(v, &theirs);
        least = fmin(least, theirs);
    }
    CHECK(least > 0.97 && least < 1);
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++)
        for (uint64_t seed = 42; seed < 45; seed++) {
            gm_umap_options how = gm_umap_defaults();
            gm_umap_report report;
            gm_graph graph;
            how.layout = (gm_layout)layout, how.seed = seed;
            CHECK_OK(gm_umap_fit(xy, &graph, &f.points, &f.knn, &how, &report, NULL, &err), err);
            CHECK_OK(gm_map_quality_find(&quality, &f.points, xy, 2, K, 150, &err), err);
            double got = quality.trustworthiness;
            if (!(got >= least - 0.01))
                TEST_FAILED_("layout %d, seed %d: %.4f, umap-learn %.4f", layout, (int)seed, got,
                             least);
            gm_graph_clear(&graph);
        }
    clear_fixture(&f);
    gm_json_free(root);
    golden_close(&file);
}

/* Rates of corpus and topics, and lift (cluster/profile.h); ours are floats. */
static void rates_and_lift_agree(void)
{
    enum { N = 60, DIM = 24, C = 4 };
    golden_file file = golden_open("cluster/umap.safetensors");
    size_t n;
    float *u = golden_floats(&file, "usage.u", &n);
    double *topic = golden_read(&file, "usage.topic", &n);
    float rate[DIM], of_topic[C * DIM], lift[C * DIM];
    float *want[] = {golden_floats(&file, "usage.rate", &n),
                     golden_floats(&file, "usage.cluster_rate", &n),
                     golden_floats(&file, "usage.lift", &n)};
    int32_t label[N], all[N] = {0};
    uint8_t sha[N][32] = {{0}};
    const float *row[N];
    const gm_usage usage = {.n = N, .dim = DIM, .row = row, .sha = sha};
    gm_error err = {0};
    CHECK_INT(n, C * DIM);
    for (size_t i = 0; i < N; i++) label[i] = (int32_t)topic[i], row[i] = u + i * DIM;
    CHECK_OK(gm_profile_means(rate, NULL, &usage, all, 1, &err), err);
    CHECK_OK(gm_profile_means(of_topic, NULL, &usage, label, C, &err), err);
    CHECK_FLOATS(rate, want[0], DIM, 1e-8);
    CHECK_FLOATS(of_topic, want[1], C * DIM, 1e-8);
    for (size_t c = 0; c < C; c++) gm_profile_lift(lift + c * DIM, of_topic + c * DIM, rate, DIM);
    CHECK_FLOATS(lift, want[2], C * DIM, 1e-6);
    for (int i = 0; i < 3; i++) gm_free(want[i]);
    gm_free(u);
    gm_free(topic);
    golden_close(&file);
}

TESTS(TEST(iris_agrees), TEST(one_part_of_iris_agrees), TEST(usage_vectors_agree),
      TEST(the_curve_agrees), TEST(random_numbers_agree), TEST(scales_of_ten_rows_agree),
      TEST(published_numbers_of_ten_rows_hold), TEST(the_serial_descent_agrees),
      TEST(maps_are_as_trustworthy), TEST(rates_and_lift_agree))

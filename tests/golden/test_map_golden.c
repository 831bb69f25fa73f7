/* test_map_golden.c - whole maps against umap-learn: where the descent starts, how true the layout
 * from the same start is, who has no edge. Tolerances and their reasons: README.md, "cluster/".
 * label: slow
 */
#include "base/rng.h"
#include "cluster/curve.h"
#include "cluster/hdbscan.h"
#include "cluster/map_quality.h"
#include "cluster/quality.h"
#include "cluster/umap.h"
#include "tests/golden_tensors.h"

enum { K = 15 };

typedef struct fixture {
    gm_points points;
    gm_knn knn;
    gm_graph graph; /* pruned */
    size_t n;
} fixture;

static fixture make_fixture(const float *rows, size_t n, size_t d, gm_metric metric, int k,
                            int n_epochs)
{
    fixture f = {.n = n};
    gm_error err = {0};
    double *rho = gm_alloc(n, sizeof *rho), *sigma = gm_alloc(n, sizeof *sigma);
    CHECK_OK(gm_points_init(&f.points, rows, n, d, metric, &err), err);
    CHECK_OK(gm_knn_find(&f.knn, &f.points, NULL, 0, k, NULL, &err), err);
    gm_graph_scales(&f.knn, rho, sigma);
    CHECK_OK(gm_graph_make(&f.graph, &f.knn, rho, sigma, 1, gm_metric_disconnected(metric), &err),
             err);
    gm_graph_prune(&f.graph, n_epochs);
    gm_free(rho);
    gm_free(sigma);
    return f;
}

static void clear_fixture(fixture *f)
{
    gm_points_clear(&f->points);
    gm_knn_clear(&f->knn);
    gm_graph_clear(&f->graph);
}

/* iris, iris100 (its last rows), usage, topics or digits. */
static fixture open_fixture(const char *name, int k, int n_epochs)
{
    golden_file of_umap = golden_open("cluster/umap.safetensors");
    golden_file of_map = golden_open("cluster/map.safetensors");
    size_t n, d = 4, skip = 0;
    float *rows = NULL;
    gm_metric metric = GM_EUCLIDEAN;
    if (strcmp(name, "digits") == 0) {
        rows = golden_floats(&of_map, "digits.x", &n), d = 64;
    } else if (strcmp(name, "topics") == 0) {
        rows = golden_floats(&of_map, "topics.x", &n), d = 12, metric = GM_HELLINGER;
    } else if (strcmp(name, "usage") == 0) {
        rows = golden_floats(&of_umap, "usage.counts", &n), d = 24, metric = GM_HELLINGER;
    } else {
        rows = golden_floats(&of_umap, "iris.x", &n);
        skip = strcmp(name, "iris100") == 0 ? 50 : 0;
    }
    fixture f = make_fixture(rows + skip * d, n / d - skip, d, metric, k, n_epochs);
    gm_free(rows);
    golden_close(&of_umap);
    golden_close(&of_map);
    return f;
}

/* ---- the start ---- */

/* |cosine| of two columns, each less its mean: 1 when one is the other up to sign, scale and place.
 * a and b have stride 2; member (n) says which rows. */
static double alignment(const double *a, const double *b, const size_t *member, size_t n)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
    for (size_t m = 0; m < n; m++) mean_a += a[2 * member[m]], mean_b += b[2 * member[m]];
    mean_a /= (double)n, mean_b /= (double)n;
    for (size_t m = 0; m < n; m++) {
        double x = a[2 * member[m]] - mean_a, y = b[2 * member[m]] - mean_b;
        aa += x * x, bb += y * y, ab += x * y;
    }
    return fabs(ab) / sqrt(aa * bb);
}

/* Every connected part on its own, and the means of the parts among themselves. */
static void check_start(const char *name, int k, size_t n_parts)
{
    fixture f = open_fixture(name, k, 500);
    golden_file file = golden_open("cluster/map.safetensors");
    gm_error err = {0};
    gm_umap_report report = {0};
    char path[64];
    size_t n_values, n_components;
    snprintf(path, sizeof path, "%s.spectral", name);
    double *want = golden_read(&file, path, &n_values);
    CHECK_INT(n_values, 2 * f.n);
    float *xy = gm_alloc2(f.n, 2, sizeof *xy);
    double *got = gm_alloc2(f.n, 2, sizeof *got),
           *centre = gm_alloc2(2 * n_parts, 2, sizeof *centre);
    uint32_t *all = gm_alloc(f.n, sizeof *all), *part = gm_alloc(f.n, sizeof *part);
    size_t *member = gm_alloc(f.n, sizeof *member);
    for (size_t i = 0; i < f.n; i++) all[i] = (uint32_t)i;
    CHECK_OK(gm_spectral_start(got, 2, &f.graph, &f.points, all, 42, &report, &err), err);
    CHECK(report.spectral_converged);
    gm_spectral_scale(xy, got, f.n, 2, 42);
    CHECK_OK(gm_graph_components(&f.graph, part, &n_components, &err), err);
    CHECK_INT(n_components, n_parts);
    for (size_t i = 0; i < 2 * f.n; i++) got[i] = (double)xy[i];
    for (size_t c = 0; c < n_parts; c++) {
        size_t n = 0;
        for (size_t i = 0; i < f.n; i++)
            if (part[i] == c) member[n++] = i;
        for (size_t axis = 0; axis < 2; axis++) {
            CHECK(alignment(got + axis, want + axis, member, n) >= 0.999);
            for (size_t m = 0; m < n; m++) {
                centre[2 * c + axis] += got[2 * member[m] + axis] / (double)n;
                centre[2 * (n_parts + c) + axis] += want[2 * member[m] + axis] / (double)n;
            }
        }
    }
    for (size_t c = 0; c < n_parts; c++) member[c] = c;
    for (size_t axis = 0; axis < 2 && n_parts > 2; axis++)
        CHECK(alignment(centre + axis, centre + 2 * n_parts + axis, member, n_parts) >= 0.999);
    gm_free(want);
    gm_free(xy);
    gm_free(got);
    gm_free(centre);
    gm_free(all);
    gm_free(member);
    gm_free(part);
    golden_close(&file);
    clear_fixture(&f);
}

static void starts_agree(void)
{
    check_start("iris100", K, 1);
    check_start("usage", K, 1);
    check_start("iris", K, 2);
    check_start("topics", 10, 6);
}

/* ---- layouts ---- */

/* Share of the K nearest others in the space that are among the K nearest others on the map. */
static double share_kept(const fixture *f, const float *xy)
{
    gm_points map;
    gm_knn in_space, on_map;
    gm_error err = {0};
    size_t same = 0;
    CHECK_OK(gm_points_init(&map, xy, f->n, 2, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_knn_find(&in_space, &f->points, NULL, 0, K + 1, NULL, &err), err);
    CHECK_OK(gm_knn_find(&on_map, &map, NULL, 0, K + 1, NULL, &err), err);
    for (size_t i = 0; i < f->n; i++) {
        const uint32_t *a = in_space.index + i * (K + 1), *b = on_map.index + i * (K + 1);
        for (size_t p = 1; p <= K; p++)
            for (size_t q = 1; q <= K; q++) same += a[p] == b[q];
    }
    gm_points_clear(&map);
    gm_knn_clear(&in_space);
    gm_knn_clear(&on_map);
    return (double)same / (double)(f->n * K);
}

static double mean_of(const gm_json *list)
{
    double sum = 0;
    for (const gm_json *v = gm_json_first(list); v; v = gm_json_next(v)) sum += golden_number(v);
    return sum / (double)gm_json_n_items(list);
}

/* Both layouts from umap-learn's start, the mean over seeds: no truer and no less true than
 * umap-learn's from there. `least` is what is asked of any map of the data. */
static void check_layouts(const char *name, double least, uint64_t n_seeds)
{
    golden_file file = golden_open("cluster/map.safetensors");
    gm_json *root = golden_json("cluster/map.json");
    gm_error err = {0};
    char path[64];
    size_t n;
    snprintf(path, sizeof path, "%s_layout", name);
    const gm_json *theirs = gm_json_find(root, path);
    const int n_epochs = (int)golden_number(gm_json_find(theirs, "epochs"));
    fixture f = open_fixture(name, K, n_epochs);
    gm_layout_job job = {.dim = 2,
                         .graph = &f.graph,
                         .learning_rate = 1,
                         .repulsion = 1,
                         .negative_rate = 5,
                         .n_epochs = n_epochs};
    snprintf(path, sizeof path, "%s.start", name);
    float *start = golden_floats(&file, path, &n), *xy = gm_alloc(n, sizeof *xy);
    CHECK_INT(n, 2 * f.n);
    CHECK_OK(gm_curve_fit(0.1, 1, &job.a, &job.b, &err), err);
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++) {
        double trust = 0, kept = 0;
        gm_map_quality one;
        for (job.seed = 42; job.seed < 42 + n_seeds; job.seed++) {
            memcpy(xy, start, n * sizeof *xy);
            if (layout == GM_LAYOUT_REFERENCE)
                CHECK_OK(gm_layout_reference(xy, &job, &err), err);
            else
                CHECK_OK(gm_layout_batch(xy, &job, &err), err);
            CHECK_OK(gm_map_quality_find(&one, &f.points, xy, 2, K, 400, &err), err);
            CHECK(one.trustworthiness >= least);
            trust += one.trustworthiness / (double)n_seeds,
                kept += share_kept(&f, xy) / (double)n_seeds;
        }
        CHECK_NEAR(trust, mean_of(gm_json_find(theirs, "trustworthiness")), 0.01);
        CHECK_NEAR(kept, mean_of(gm_json_find(theirs, "kept")), 0.02);
    }
    gm_free(start);
    gm_free(xy);
    gm_json_free(root);
    golden_close(&file);
    clear_fixture(&f);
}

static void layouts_of_iris_are_as_true(void)
{
    check_layouts("iris", 0.97, 2);
}

static void layouts_of_digits_are_as_true(void)
{
    check_layouts("digits", 0.96, 1);
}

/* ---- who has no edge ---- */

static void check_disconnected(const char *name)
{
    golden_file file = golden_open("cluster/map.safetensors");
    char path[64];
    size_t n, n_values, n_alone = 0;
    gm_error err = {0};
    snprintf(path, sizeof path, "%s.alone", name);
    double *alone = golden_read(&file, path, &n);
    snprintf(path, sizeof path, "%s.x", name);
    float *rows = golden_floats(&file, path, &n_values);
    fixture f = make_fixture(rows, n, n > 0 ? n_values / n : 0, GM_HELLINGER, 3, 500);
    gm_graph_clear(&f.graph);
    for (size_t i = 0; i < n; i++) n_alone += alone[i] != 0;
    CHECK_INT(n_alone, n - 10);
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++) {
        gm_umap_options how = gm_umap_defaults();
        gm_umap_report report;
        float xy[40];
        how.layout = (gm_layout)layout;
        CHECK_OK(gm_umap_fit(xy, &f.graph, &f.points, &f.knn, &how, &report, NULL, &err), err);
        CHECK_INT(report.n_isolated, n_alone);
        for (size_t i = 0; i < n; i++) {
            CHECK(isfinite(xy[2 * i]) && isfinite(xy[2 * i + 1]));
            CHECK_INT(f.graph.indptr[i + 1] == f.graph.indptr[i], alone[i] != 0);
        }
        gm_graph_clear(&f.graph);
    }
    gm_free(alone);
    gm_free(rows);
    clear_fixture(&f);
    golden_close(&file);
}

static void the_same_points_are_alone(void)
{
    check_disconnected("disconnected1");
    check_disconnected("disconnected5");
}

/* ---- groups ---- */

/* umap-learn's test: five blobs in ten dimensions come out as they went in. Here: k-means would not
 * move a point from its blob, and HDBSCAN finds exactly the blobs. */
static void blobs_come_out_whole(void)
{
    enum { N = 500, D = 10, BLOBS = 5 };
    static float rows[N * D], xy[2 * N];
    static double at[2 * N];
    gm_rng rng = gm_rng_make(77, 0);
    double centre[BLOBS * D], mean[BLOBS * 2];
    int32_t truth[N];
    gm_error err = {0};
    for (size_t i = 0; i < (size_t)BLOBS * D; i++) centre[i] = 20 * gm_rng_unit(&rng) - 10;
    for (size_t i = 0; i < N; i++) {
        truth[i] = (int32_t)(i % BLOBS);
        for (size_t d = 0; d < D; d++)
            rows[i * D + d] = (float)(centre[i % BLOBS * D + d] + gm_rng_normal(&rng));
    }
    fixture f = make_fixture(rows, N, D, GM_EUCLIDEAN, K, 500);
    gm_graph_clear(&f.graph);
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++) {
        gm_umap_options how = gm_umap_defaults();
        gm_umap_report report;
        gm_clustering found;
        gm_agreement agreement;
        how.layout = (gm_layout)layout;
        CHECK_OK(gm_umap_fit(xy, &f.graph, &f.points, &f.knn, &how, &report, NULL, &err), err);
        memset(mean, 0, sizeof mean);
        for (size_t i = 0; i < (size_t)2 * N; i++) {
            at[i] = (double)xy[i];
            mean[i / 2 % BLOBS * 2 + i % 2] += at[i] * BLOBS / N;
        }
        for (size_t i = 0; i < N; i++) {
            size_t best = 0;
            double least = INFINITY;
            for (size_t b = 0; b < BLOBS; b++) {
                double d = hypot(at[2 * i] - mean[2 * b], at[2 * i + 1] - mean[2 * b + 1]);
                if (d < least) least = d, best = b;
            }
            CHECK_INT(best, i % BLOBS);
        }
        const gm_hdbscan_options options = {.min_cluster_size = 30, .min_samples = 5};
        CHECK_OK(gm_hdbscan_fit(&found, at, N, 2, &options, &err), err);
        CHECK_OK(gm_quality_agreement(&agreement, found.label, truth, N, &err), err);
        CHECK_NEAR(agreement.ari, 1, 0);
        gm_clustering_clear(&found);
        gm_graph_clear(&f.graph);
    }
    clear_fixture(&f);
}

TESTS(TEST(starts_agree), TEST(layouts_of_iris_are_as_true), TEST(layouts_of_digits_are_as_true),
      TEST(the_same_points_are_alone), TEST(blobs_come_out_whole))

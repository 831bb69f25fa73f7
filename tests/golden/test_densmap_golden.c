/* test_densmap_golden.c - densMAP against umap-learn: local radii, the serial descent move by move,
 * how far either layout keeps densities. Tolerances and their reasons: README.md, "cluster/".
 */
#include "cluster/curve.h"
#include "cluster/map_quality.h"
#include "cluster/umap.h"
#include "tests/golden_tensors.h"

enum { K = 15, N = 150, D = 4 };

/* iris from row `first` on. */
typedef struct iris {
    golden_file file;
    gm_json *root;
    gm_points points;
    gm_knn knn;
    gm_graph graph;
    size_t n;
    double radius[N];
    uint32_t all[N];
} iris;

static double number(const iris *s, const char *name)
{
    return golden_number(gm_json_find(s->root, name));
}

static iris *open_iris(size_t first)
{
    static iris s;
    golden_file of_umap = golden_open("cluster/umap.safetensors");
    gm_error err = {0};
    double rho[N], sigma[N];
    size_t n;
    float *rows = golden_floats(&of_umap, "iris.x", &n);
    s = (iris){.file = golden_open("cluster/densmap.safetensors"),
               .root = golden_json("cluster/densmap.json"),
               .n = N - first};
    CHECK_INT(n, N * D);
    CHECK_OK(gm_points_init(&s.points, rows + first * D, s.n, D, GM_EUCLIDEAN, &err), err);
    CHECK_OK(gm_knn_find(&s.knn, &s.points, NULL, 0, K, NULL, &err), err);
    gm_graph_scales(&s.knn, rho, sigma);
    CHECK_OK(gm_graph_make(&s.graph, &s.knn, rho, sigma, 1, INFINITY, &err), err);
    gm_graph_prune(&s.graph, (int)number(&s, "epochs"));
    gm_density_radii(s.radius, &s.graph, &s.knn);
    for (uint32_t i = 0; i < N; i++) s.all[i] = i;
    gm_free(rows);
    golden_close(&of_umap);
    return &s;
}

static void close_iris(iris *s)
{
    gm_points_clear(&s->points);
    gm_knn_clear(&s->knn);
    gm_graph_clear(&s->graph);
    gm_json_free(s->root);
    golden_close(&s->file);
}

/* Lay out from their start. */
static void lay_out(iris *s, float *xy, const char *start, gm_layout layout, gm_density_options how,
                    int n_epochs, double rate, uint64_t seed)
{
    gm_error err = {0};
    gm_density density;
    size_t n;
    float *from = golden_floats(&s->file, start, &n);
    gm_layout_job job = {.graph = &s->graph,
                         .dim = 2,
                         .learning_rate = rate,
                         .repulsion = 1,
                         .negative_rate = 5,
                         .n_epochs = n_epochs,
                         .seed = seed,
                         .density = &density};
    CHECK_INT(n, 2 * s->n);
    memcpy(xy, from, n * sizeof *xy);
    CHECK_OK(gm_curve_fit(0.1, 1, &job.a, &job.b, &err), err);
    CHECK_OK(gm_density_init(&density, &how, s->radius, s->all, &s->graph, job.a, job.b, &err),
             err);
    if (layout == GM_LAYOUT_REFERENCE)
        CHECK_OK(gm_layout_reference(xy, &job, &err), err);
    else
        CHECK_OK(gm_layout_batch(xy, &job, &err), err);
    gm_density_clear(&density);
    gm_free(from);
}

static void radii_agree(void)
{
    iris *s = open_iris(0);
    size_t n;
    double *want = golden_read(&s->file, "radius", &n);
    CHECK_INT(n, N);
    for (size_t i = 0; i < N; i++) CHECK_NEAR(s->radius[i], want[i], 1e-5);
    gm_free(want);
    close_iris(s);
}

static void the_serial_descent_agrees(void)
{
    iris *s = open_iris(50);
    gm_density_options how = gm_density_defaults();
    float xy[2 * N];
    size_t n, m;
    /* Their weights to the last bit: they say when an edge is due. */
    float *weight = golden_floats(&s->file, "few_weight", &m);
    float *want = golden_floats(&s->file, "few", &n);
    CHECK_INT(m, s->graph.indptr[s->n]);
    CHECK_FLOATS(s->graph.weight, weight, m, 1e-5);
    memcpy(s->graph.weight, weight, m * sizeof *weight);
    how.fraction = number(s, "few_fraction");
    lay_out(s, xy, "few_start", GM_LAYOUT_REFERENCE, how, (int)number(s, "few"),
            number(s, "learning_rate"), 42);
    CHECK_FLOATS(xy, want, n, 1e-4);
    gm_free(weight);
    gm_free(want);
    close_iris(s);
}

static double mean_of(const gm_json *runs, const char *figure)
{
    double sum = 0, n = 0;
    for (const gm_json *run = gm_json_first(runs); run; run = gm_json_next(run), n++)
        sum += golden_number(gm_json_find(run, figure));
    return sum / n;
}

/* Densities kept and trustworthiness, means over seeds. */
static double lay_out_whole(iris *s, gm_layout layout, gm_density_options how, int n_seeds,
                            double *trust)
{
    double density = 0, one;
    gm_error err = {0};
    *trust = 0;
    for (int seed = 1; seed <= n_seeds; seed++) {
        float xy[2 * N];
        gm_map_quality kept;
        lay_out(s, xy, "start", layout, how, (int)number(s, "epochs"), 1, (uint64_t)seed);
        CHECK_OK(gm_density_kept(&one, &s->knn, xy, 2, &err), err);
        CHECK_OK(gm_map_quality_find(&kept, &s->points, xy, 2, K, N, &err), err);
        density += one / n_seeds, *trust += kept.trustworthiness / n_seeds;
    }
    return density;
}

/* Either layout keeps densities as theirs does, at no cost of neighbourhoods; without densMAP they
 * are not kept. */
static void densities_are_kept_as_well(void)
{
    iris *s = open_iris(0);
    const gm_json *theirs = gm_json_find(s->root, "densmap");
    for (int layout = GM_LAYOUT_BATCH; layout <= GM_LAYOUT_REFERENCE; layout++) {
        gm_density_options how = gm_density_defaults();
        double trust, density = lay_out_whole(s, (gm_layout)layout, how, 2, &trust);
        CHECK_NEAR(density, mean_of(theirs, "density"), 0.05);
        CHECK_NEAR(trust, mean_of(theirs, "trustworthiness"), 0.01);
        how.lambda = 0;
        CHECK(lay_out_whole(s, (gm_layout)layout, how, 1, &trust) < 0.5);
    }
    close_iris(s);
}

TESTS(TEST(radii_agree), TEST(the_serial_descent_agrees), TEST(densities_are_kept_as_well))

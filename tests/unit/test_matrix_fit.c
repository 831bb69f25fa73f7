/* test_matrix_fit.c - cluster/matrix_fit.c: groups of rows that were put there are found again, on
 * the map and without one, in any order of the file.
 *
 * The matrix: three groups of 20 rows in 5 dimensions, far apart; row 60 is not finite, rows 61 and
 * 62 equal row 0. */
#include "cluster/matrix_fit.h"
#include "base/rng.h"
#include "base/text.h"
#include "cluster/hnsw.h"
#include "tests/check.h"

#include <math.h>

enum { GROUP = 20, N = 63, D = 5 };

static void fill(double *at)
{
    gm_rng rng = gm_rng_make(7, 1);
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < D; c++)
            at[i * D + c] = gm_rng_normal(&rng) + (i / GROUP == c ? 40 : 0);
    at[60 * D + 3] = NAN;
    for (size_t i = 61; i < N; i++) memcpy(at + i * D, at, D * sizeof *at);
}

/* Row i of the matrix that is fitted is row order[i] of the one above; NULL: as it is. */
static gm_matrix_found fit(bool map, const size_t *order)
{
    double at[N * D];
    gm_matrix m = {N, D, gm_alloc2(N, D, sizeof *m.at)};
    gm_matrix_options how = gm_matrix_defaults();
    gm_matrix_found found;
    gm_error err = {0};
    fill(at);
    for (size_t i = 0; i < N; i++)
        memcpy(m.at + i * D, at + (order ? order[i] : i) * D, D * sizeof *at);
    how.map = map;
    how.quiet = true;
    how.hdbscan.min_cluster_size = 8;
    how.umap.n_epochs = 100;
    CHECK_OK(gm_matrix_fit(&found, &m, &how, &err), err);
    return found;
}

/* label (N) by row of the matrix, GM_NO_POINT where it was set aside. */
static void labels_by_row(int32_t *label, const gm_matrix_found *f)
{
    for (size_t i = 0; i < N; i++) label[i] = -2;
    for (size_t i = 0; i < f->rows.n_used; i++) label[f->rows.place[i]] = f->clustering.label[i];
}

/* What the map is made of may be approximate; it is judged by exact neighbours all the same. */
static void neighbours_may_be_approximate(void)
{
    double at[N * D];
    gm_matrix m = {N, D, gm_alloc2(N, D, sizeof *m.at)};
    gm_matrix_options how = gm_matrix_defaults();
    gm_matrix_found found;
    gm_error err = {0};
    fill(at);
    memcpy(m.at, at, sizeof at);
    how.quiet = true;
    how.neighbours.method = GM_NEIGHBOURS_APPROXIMATE;
    how.umap.n_epochs = 100;
    if (!gm_hnsw_is_there()) {
        CHECK_FAILS(gm_matrix_fit(&found, &m, &how, &err), err, GM_EABSENT, "approximate");
        return;
    }
    CHECK_OK(gm_matrix_fit(&found, &m, &how, &err), err);
    CHECK_INT(found.n_checked, GROUP * 3);
    CHECK(found.recall > 0.9 && found.recall <= 1);
    CHECK(found.map.trustworthiness > 0.8);
    gm_matrix_found_clear(&found);
}

static void groups_are_found(void)
{
    for (int map = 0; map < 2; map++) {
        gm_matrix_found f = fit(map, NULL);
        int32_t label[N];
        labels_by_row(label, &f);
        CHECK_INT(f.on_rows, !map);
        CHECK((f.xy != NULL) == (bool)map);
        CHECK(isnan(f.map.trustworthiness) != (bool)map);
        CHECK_INT(f.clustering.n_clusters, 3);
        CHECK_INT(label[60], -2);
        CHECK_INT(label[61], label[0]);
        CHECK_INT(label[62], label[0]);
        CHECK_INT(label[0], 0); /* the largest: 22 rows */
        for (size_t i = 0; i < 60; i++)
            CHECK(label[i] == -1 || label[i] == label[i / GROUP * GROUP + 5]);
        gm_matrix_found_clear(&f);
    }
}

static void the_order_of_rows_decides_nothing(void)
{
    size_t order[N];
    for (size_t i = 0; i < N; i++) order[i] = (i * 25 + 11) % N;
    for (int map = 0; map < 2; map++) {
        gm_matrix_found a = fit(map, NULL), b = fit(map, order);
        int32_t left[N], right[N];
        labels_by_row(left, &a);
        labels_by_row(right, &b);
        for (size_t i = 0; i < N; i++) CHECK_INT(right[i], left[order[i]]);
        if (map) CHECK_BYTES(a.xy, b.xy, a.rows.n_used * 2 * sizeof *a.xy);
        gm_matrix_found_clear(&a);
        gm_matrix_found_clear(&b);
    }
}

/* The linkage holds every row once; what was set aside joins last. */
static void the_linkage_is_scipys(void)
{
    for (int map = 0; map < 2; map++) {
        gm_matrix_found f = fit(map, NULL);
        gm_matrix z;
        int seen[2 * N - 1] = {0};
        gm_error err = {0};
        CHECK_OK(gm_matrix_write_linkage("z.npy", &f, true, &err), err);
        CHECK_OK(gm_matrix_read(&z, "z.npy", &err), err);
        CHECK_INT(z.rows, N - 1);
        CHECK_INT(z.cols, 4);
        for (size_t i = 0; i < z.rows; i++) {
            const double *row = z.at + 4 * i;
            double size = 0;
            for (int h = 0; h < 2; h++) {
                CHECK(row[h] >= 0 && row[h] < (double)(N + i));
                seen[(size_t)row[h]]++;
                size += row[h] < N ? 1 : z.at[4 * ((size_t)row[h] - N) + 3];
            }
            CHECK_NEAR(row[3], size, 0);
            CHECK(i == 0 || row[2] >= row[-2]);
        }
        for (size_t i = 0; i < 2 * N - 2; i++) CHECK_INT(seen[i], 1);
        CHECK_NEAR(z.at[4 * (N - 2) + 1], 60, 0);
        CHECK(isinf(z.at[4 * (N - 2) + 2]));
        gm_matrix_clear(&z);
        gm_matrix_found_clear(&f);
    }
}

static size_t count_lines(const char *path, gm_text *text)
{
    gm_error err = {0};
    size_t n = 0;
    gm_text_clear(text);
    CHECK_OK(gm_text_read_file(text, path, 1 << 20, &err), err);
    for (size_t i = 0; i < text->n; i++) n += text->at[i] == '\n';
    return n;
}

static void files_have_a_line_for_each_row(void)
{
    gm_matrix_found f = fit(true, NULL);
    gm_text text = {0};
    gm_error err = {0};
    CHECK_OK(gm_matrix_write_rows("rows.csv", &f, true, &err), err);
    CHECK_INT(count_lines("rows.csv", &text), 1 + N);
    CHECK_HAS(text.at, "row,x,y,cluster,probability,outlier\r\n0,");
    CHECK_HAS(text.at, "\r\n60,,,-1,0,1\r\n");
    CHECK_OK(gm_matrix_write_tree("tree.csv", &f, true, &err), err);
    CHECK_INT(count_lines("tree.csv", &text), f.clustering.tree.n_clusters + N - 1);
    CHECK_HAS(text.at, "\r\n63,64,");
    CHECK_OK(gm_matrix_write_graph("graph.csv", &f, true, &err), err);
    CHECK_INT(count_lines("graph.csv", &text), 1 + f.graph.indptr[f.graph.n]);
    CHECK_HAS(text.at, "\r\n0,61,1\r\n");
    gm_matrix_found_clear(&f);

    f = fit(false, NULL);
    CHECK_OK(gm_matrix_write_rows("rows.csv", &f, true, &err), err);
    CHECK_INT(count_lines("rows.csv", &text), 1 + N);
    CHECK_HAS(text.at, "\r\n0,,,0,");
    CHECK_OK(gm_matrix_write_tree("tree.csv", &f, true, &err), err);
    CHECK_INT(count_lines("tree.csv", &text), f.clustering.tree.n_clusters + N - 1);
    CHECK_FAILS(gm_matrix_write_graph("graph.csv", &f, true, &err), err, GM_EARG, "without a map");
    gm_text_clear(&text);
    gm_matrix_found_clear(&f);
}

/* n rows of one column: 0, 1, 4, 9, ... */
static gm_status fit_few(gm_matrix_found *found, size_t n, bool map, gm_error *err)
{
    gm_matrix m = {n, 1, gm_alloc2(n, 1, sizeof *m.at)};
    gm_matrix_options how = gm_matrix_defaults();
    if (m.at == NULL) return gm_fail(err, GM_EMEM, "no memory for the test");
    for (size_t i = 0; i < n; i++) m.at[i] = (double)(i * i);
    how.map = map;
    how.quiet = true;
    how.hdbscan.min_cluster_size = 2;
    how.umap.n_epochs = 11;
    return gm_matrix_fit(found, &m, &how, err);
}

static void few_rows_are_no_map_but_may_be_clustered(void)
{
    gm_matrix_found f;
    gm_error err = {0};
    CHECK_FAILS(fit_few(&f, 3, true, &err), err, GM_EARG,
                "has 3 distinct rows, but a map needs at least 4");
    CHECK_OK(fit_few(&f, 4, true, &err), err);
    CHECK_INT(f.n_neighbors, 3);
    for (size_t i = 0; i < 8; i++) CHECK(isfinite(f.xy[i]));
    gm_matrix_found_clear(&f);
    for (size_t n = 1; n <= 6; n++) {
        CHECK_OK(fit_few(&f, n, false, &err), err);
        CHECK_INT(f.clustering.n, n);
        if (n == 1)
            CHECK_FAILS(gm_matrix_write_linkage("z.npy", &f, true, &err), err, GM_EARG,
                        "a single row");
        gm_matrix_found_clear(&f);
    }
}

static gm_status attempt(void *state, gm_error *err)
{
    gm_matrix_found f = {0};
    gm_status status = fit_few(&f, 6, *(bool *)state, err);
    if (status == GM_OK) status = gm_matrix_write_rows("alloc.csv", &f, true, err);
    if (status == GM_OK) status = gm_matrix_write_linkage("alloc.npy", &f, true, err);
    gm_matrix_found_clear(&f);
    return status;
}

static void survives_every_allocation_failure(void)
{
    for (int map = 0; map < 2; map++) check_every_allocation(attempt, &(bool){map});
}

TESTS(TEST(groups_are_found), TEST(neighbours_may_be_approximate),
      TEST(the_order_of_rows_decides_nothing), TEST(the_linkage_is_scipys),
      TEST(files_have_a_line_for_each_row), TEST(few_rows_are_no_map_but_may_be_clustered),
      TEST(survives_every_allocation_failure))

/* matrix_command.c - gm-cluster matrix: map and clusters of the rows of any matrix. */
#include "base/cli.h"
#include "base/device.h"
#include "base/json.h"
#include "base/outfile.h"
#include "cluster/cluster_commands.h"
#include "cluster/gpu.h"
#include "cluster/map_options.h"
#include "cluster/matrix_fit.h"
#include "cluster/neighbours.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char synopsis[] = "gm-cluster matrix FILE.npy -o ROWS.csv [--no-map]";
static const char details[] =
    "FILE.npy is a table as numpy.save writes it, with a row for each point. ROWS.csv gets a\n"
    "line for each row: row, x, y, cluster (-1: none), probability, outlier. Rows that hold a\n"
    "number that is not finite have no place and no cluster. Results do not depend on the\n"
    "order of the rows. Clusters are numbered by size. --cluster rows uses Euclidean\n"
    "distance. Defaults and values of 0 are as in gm-cluster fit.\n"
    "  gm-cluster matrix mine.npy -o rows.csv\n";

typedef struct matrix_command {
    gm_matrix_options how;
    const char *out, *linkage, *tree, *graph, *device;
    gm_map_choices map;
    int cluster; /* a choice */
    bool force, json;
} matrix_command;

static gm_status check_options(const matrix_command *c, int argc, gm_error *err)
{
    const char *const out[] = {c->out, c->linkage, c->tree, c->graph};
    if (argc != 2) return gm_fail(err, GM_EARG, "expected one matrix, found %d", argc - 1);
    if (c->out == NULL) return gm_fail(err, GM_EARG, "-o FILE is missing: where to write the rows");
    for (size_t i = 1; i < sizeof out / sizeof out[0]; i++)
        for (size_t j = 0; j < i; j++)
            if (out[i] && out[j] && strcmp(out[i], out[j]) == 0)
                return gm_fail(err, GM_EARG, "'%s' would be written twice", out[i]);
    gm_device device;
    gm_status status = gm_device_parse(&device, c->device, err);
    if (status == GM_OK) status = gm_map_choices_check(&c->map, &c->how.umap, err);
    if (status != GM_OK) return status;
    if (!c->how.map && c->map.metric != GM_EUCLIDEAN)
        return gm_fail(err, GM_EARG,
                       "--metric is for the map, which --no-map leaves out; rows are clustered by "
                       "Euclidean distance");
    if (!c->how.map && c->graph)
        return gm_fail(err, GM_EARG, "--graph is for the map, which --no-map leaves out");
    return GM_OK;
}

static gm_status read_options(matrix_command *c, int *argc, char **argv, gm_error *err)
{
    const gm_opt files[] = {
        {.kind = GM_OPT_TEXT,
         .name = "o",
         .value = &c->out,
         .arg = "FILE",
         .help = "CSV of the rows to write"},
        {GM_OPT_TEXT, "linkage", &c->linkage, 0, 0, "FILE", "single linkage as in SciPy, .npy"},
        {GM_OPT_TEXT, "tree", &c->tree, 0, 0, "FILE", "condensed tree as in hdbscan, CSV"},
        {GM_OPT_TEXT, "graph", &c->graph, 0, 0, "FILE", "nearest neighbours behind the map, CSV"},
        {GM_OPT_FLAG, "force", &c->force, 0, 0, NULL, "replace existing files"},
        {GM_OPT_FLAG, "json", &c->json, 0, 0, NULL, "print the clusters as one JSON object"},
        {GM_OPT_TEXT, "device", &c->device, 0, 0, "NAME", GM_GPU_HELP},
        {.kind = GM_OPT_GROUP, .help = "Map"},
        {GM_OPT_FLAG, "map", &c->how.map, 0, 0, NULL, "make no map; cluster the rows themselves"},
        {.kind = GM_OPT_END_},
    };
    const gm_opt clusters[] = {
        {.kind = GM_OPT_GROUP, .help = "Clusters"},
        {GM_OPT_CHOICE, "cluster", &c->cluster, 0, 0, "map|rows",
         "cluster the places on the map, or the rows"},
        {.kind = GM_OPT_END_},
    };
    const gm_opt rest[] = {
        {GM_OPT_FLAG, "quiet", &c->how.quiet, 0, 0, NULL, "no progress"},
        {.kind = GM_OPT_END_},
    };
    gm_option_table table = {0};
    gm_option_table_add(&table, files);
    gm_option_table_add_map(&table, &c->map, &c->how.umap);
    gm_option_table_add(&table, clusters);
    gm_option_table_add_clusters(&table, &c->map, &c->how.hdbscan);
    gm_option_table_add(&table, rest);
    gm_status status = gm_opt_parse(synopsis, details, table.row, argc, argv, err);
    return status == GM_OK ? check_options(c, *argc, err) : status;
}

static gm_map_targets targets_of(gm_matrix_options *how)
{
    return (gm_map_targets){&how->metric, &how->n_neighbors, &how->neighbours, &how->umap,
                            &how->hdbscan};
}

/* size (C): usable rows of each cluster. */
static gm_status count_sizes(uint64_t **size, size_t *n_noise, const gm_matrix_found *f,
                             gm_error *err)
{
    *n_noise = f->rows.n - f->rows.n_used;
    *size = gm_alloc(f->clustering.n_clusters, sizeof **size);
    if (*size == NULL) return gm_fail(err, GM_EMEM, "no memory for the sizes of clusters");
    for (size_t i = 0; i < f->rows.n_used; i++) {
        const int32_t c = f->clustering.label[i];
        if (c < 0)
            ++*n_noise;
        else
            (*size)[c]++;
    }
    return GM_OK;
}

static gm_status print_json(const gm_matrix_found *f, const uint64_t *size, size_t n_noise,
                            gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "rows", f->rows.n);
    gm_json_put_u64(&out, "not_finite", f->rows.n - f->rows.n_used);
    gm_json_put_u64(&out, "distinct", f->rows.distinct.m);
    gm_json_put_u64(&out, "in_no_cluster", n_noise);
    gm_json_put_string(&out, "clustered", f->on_rows ? "rows" : "map");
    gm_json_put_u64(&out, "min_cluster_size", f->used.min_cluster_size);
    gm_json_put_i64(&out, "min_samples", f->used.min_samples);
    if (f->xy)
        gm_json_put_i64(&out, "n_neighbors", f->n_neighbors);
    else
        gm_json_put_null(&out, "n_neighbors");
    if (f->xy)
        gm_json_put_string(&out, "neighbours", f->n_checked > 0 ? "approximate" : "exact");
    else
        gm_json_put_null(&out, "neighbours");
    gm_json_put_f64(&out, "neighbour_recall", f->recall);
    gm_json_put_f64(&out, "trustworthiness", f->map.trustworthiness);
    gm_json_put_f64(&out, "continuity", f->map.continuity);
    gm_json_put_f64(&out, "neighbours_kept", f->map.preserved);
    gm_json_open_array(&out, "clusters");
    for (size_t c = 0; c < f->clustering.n_clusters; c++) {
        gm_json_open_object(&out, NULL);
        gm_json_put_u64(&out, "id", c);
        gm_json_put_u64(&out, "size", size[c]);
        gm_json_put_f64(&out, "persistence", f->clustering.persistence[c]);
        gm_json_close_object(&out);
    }
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    return gm_cli_print_json(&out, err);
}

static gm_status print_summary(const gm_matrix_found *f, bool json, gm_error *err)
{
    uint64_t *size = NULL;
    size_t n_noise;
    gm_status status = count_sizes(&size, &n_noise, f, err);
    if (status == GM_OK && json) {
        status = print_json(f, size, n_noise, err);
    } else if (status == GM_OK) {
        printf("%zu row%s, %zu cluster%s, %.1f %% in none", f->rows.n, gm_plural(f->rows.n),
               f->clustering.n_clusters, gm_plural(f->clustering.n_clusters),
               100.0 * (double)n_noise / (double)f->rows.n);
        if (f->xy) printf(", trustworthiness %.4f", f->map.trustworthiness);
        printf("\n");
        if (f->clustering.n_clusters > 0)
            printf("%7s %9s %11s\n", "cluster", "rows", "persistence");
        for (size_t c = 0; c < f->clustering.n_clusters; c++)
            printf("%7zu %9" PRIu64 " %11.3f\n", c, size[c], f->clustering.persistence[c]);
    }
    gm_free(size);
    return status;
}

static gm_status open_gpu(matrix_command *c, const gm_matrix *m, gm_error *err)
{
    const double seconds = gm_neighbours_seconds(&c->how.neighbours, m->rows, m->cols);
    const gm_gpu_work work = {m->rows, m->cols, c->how.map ? seconds : 0};
    char note[GM_GPU_NOTE];
    gm_status status = gm_gpu_open(&c->how.gpu, c->device, &work, note, err);
    if (note[0] && !c->how.quiet) fprintf(stderr, "%s\n", note);
    return status;
}

static gm_status run(matrix_command *c, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_matrix matrix = {0};
    gm_matrix_found found = {0};
    const char *const outs[] = {c->out, c->linkage, c->tree, c->graph};
    for (size_t i = 0; i < sizeof outs / sizeof outs[0]; i++) /* before the work, not after it */
        if (outs[i]) GM_TRY(gm_outfile_check(outs[i], c->force, err));
    GM_TRY(gm_matrix_read(&matrix, path, err));
    GM_TRY(open_gpu(c, &matrix, err));
    GM_TRY(gm_matrix_fit(&found, &matrix, &c->how, err));
    GM_TRY(gm_matrix_write_rows(c->out, &found, c->force, err));
    if (c->linkage) GM_TRY(gm_matrix_write_linkage(c->linkage, &found, c->force, err));
    if (c->tree) GM_TRY(gm_matrix_write_tree(c->tree, &found, c->force, err));
    if (c->graph) GM_TRY(gm_matrix_write_graph(c->graph, &found, c->force, err));
    GM_TRY(print_summary(&found, c->json, err));
out:
    gm_gpu_close(c->how.gpu);
    gm_matrix_clear(&matrix);
    gm_matrix_found_clear(&found);
    return status;
}

int gm_cluster_matrix(int argc, char **argv)
{
    matrix_command c = {.how = gm_matrix_defaults()};
    gm_error err = {0};
    const gm_map_targets targets = targets_of(&c.how);
    c.map = gm_map_choices_of(&targets);
    gm_catch_signals();
    gm_status status = read_options(&c, &argc, argv, &err);
    const bool usage = status != GM_OK;
    if (status == GM_OK) {
        gm_map_choices_apply(&c.map, &targets);
        c.how.cluster_rows = c.cluster == 1;
        status = run(&c, argv[1], &err);
    }
    return gm_cli_end("gm-cluster", "matrix", status, usage, &err);
}

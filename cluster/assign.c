/* assign.c - gm-cluster assign: the documents of another trace on an atlas's map. */
#include "base/cli.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/sha256.h"
#include "cluster/cluster_commands.h"
#include "cluster/from_atlas.h"
#include "cluster/place.h"

#include <stdio.h>
#include <string.h>

/* A document is far from the map when its distance is beyond this quantile of the map's own; of
 * documents like its own 1 % are. Of how many more than that a warning is due. */
static const double FAR_QUANTILE = 0.99, FAR_SHARE = 0.05;

typedef struct assign_command {
    const char *out, *trace;
    bool any_model, force, json, quiet;
} assign_command;

/* One model, one shape; the trace may have the atlas's layers alone. */
static gm_status check_trace(const gm_atlas *atlas, const gm_trace *news, const char *news_path,
                             bool any_model, gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(news);
    const bool layers =
        info->n_layers == atlas->n_trace_layers || info->n_layers == atlas->n_layers;
    if (!layers || info->n_experts != atlas->n_experts)
        return gm_fail(
            err, GM_EARG, "'%s' has %d layers of %d experts, but the atlas's trace has %d of %d",
            news_path, info->n_layers, info->n_experts, atlas->n_trace_layers, atlas->n_experts);
    if (any_model) return GM_OK;
    if (strcmp(info->model_digest, atlas->model_digest) != 0)
        return gm_fail(err, GM_EARG,
                       "'%s' is from another model (%s) than the atlas (%s), whose experts are "
                       "different; give --any-model if one was trained from the other",
                       news_path, info->model, atlas->model);
    const bool known = info->config_digest[0] && atlas->config_digest[0];
    if (known && strcmp(info->config_digest, atlas->config_digest) != 0)
        return gm_fail(err, GM_EARG,
                       "'%s' is from the atlas's model (%s) with another config.json, which may "
                       "choose experts differently; give --any-model to place it anyway",
                       news_path, info->model);
    return GM_OK;
}

/* Document i of the trace: the columns of the CSV. */
static void put_placed(gm_json_out *out, const gm_atlas *atlas, const gm_trace_samples *samples,
                       size_t i, const gm_placed *p)
{
    char hex[65];
    gm_sha256_hex(samples->sha + 32 * i, hex);
    bool known = p->nearest != GM_ATLAS_NONE, named = p->cluster >= 0 && atlas->name[p->cluster][0];
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "id", samples->id[i]);
    gm_json_put_string(out, "subset",
                       samples->n_subsets > 0 ? samples->subset_name[samples->subset[i]] : NULL);
    gm_json_put_f64(out, "x", (double)p->xy[0]);
    gm_json_put_f64(out, "y", (double)p->xy[1]);
    gm_json_put_i64(out, "cluster", p->cluster);
    gm_json_put_string(out, "cluster_name", named ? atlas->name[p->cluster] : NULL);
    gm_json_put_f64(out, "probability", (double)p->probability);
    gm_json_put_string(out, "nearest", known ? atlas->id[p->nearest] : NULL);
    gm_json_put_f64(out, "distance", p->distance);
    gm_json_put_f64(out, "distance_quantile", p->quantile);
    gm_json_put_string(out, "sha", hex);
    gm_json_close_object(out);
}

/* placed (N) in the order of the trace. */
static gm_status write_json(FILE *to, const gm_atlas *atlas, const gm_trace_samples *samples,
                            const gm_placed *placed, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "atlas", atlas->digest);
    gm_json_open_array(&out, "documents");
    for (size_t i = 0; i < samples->n; i++) put_placed(&out, atlas, samples, i, &placed[i]);
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    gm_status status = gm_json_out_done(&out, err);
    if (status == GM_OK) fprintf(to, "%s\n", out.text.at);
    gm_text_clear(&out.text);
    return status;
}

static void write_csv(FILE *to, const gm_atlas *atlas, const gm_trace_samples *samples,
                      const gm_placed *placed)
{
    fputs(
        "id,subset,x,y,cluster,cluster_name,probability,nearest,distance,distance_quantile,sha\r\n",
        to);
    for (size_t i = 0; i < samples->n; i++) {
        const gm_placed *p = &placed[i];
        bool known = p->nearest != GM_ATLAS_NONE;
        char hex[65];
        gm_sha256_hex(samples->sha + 32 * i, hex);
        gm_csv_put(to, samples->id[i]);
        fputc(',', to);
        gm_csv_put(to, samples->n_subsets > 0 ? samples->subset_name[samples->subset[i]] : "");
        if (known)
            fprintf(to, ",%.9g,%.9g,%d,", (double)p->xy[0], (double)p->xy[1], p->cluster);
        else
            fprintf(to, ",,,%d,", p->cluster);
        gm_csv_put(to, p->cluster >= 0 ? atlas->name[p->cluster] : "");
        fprintf(to, ",%.9g,", (double)p->probability);
        gm_csv_put(to, known ? atlas->id[p->nearest] : "");
        if (known)
            fprintf(to, ",%.9g,%.6g,%s\r\n", p->distance, p->quantile, hex);
        else
            fprintf(to, ",,,%s\r\n", hex);
    }
}

static gm_status write_out(const assign_command *c, const gm_atlas *atlas,
                           const gm_trace_samples *samples, const gm_placed *placed, gm_error *err)
{
    gm_outfile *file = NULL;
    gm_status status = gm_outfile_open(&file, c->out, c->force, err);
    if (status != GM_OK) return status;
    if (c->json)
        status = write_json(gm_outfile_stream(file), atlas, samples, placed, err);
    else
        write_csv(gm_outfile_stream(file), atlas, samples, placed);
    if (status == GM_OK) return gm_outfile_commit(file, err);
    gm_outfile_abort(file);
    return status;
}

/* How many are in a cluster, and how many are unlike anything the map was made of. */
static void say_placed(const gm_placed *placed, size_t n)
{
    size_t n_in = 0, n_far = 0;
    for (size_t i = 0; i < n; i++) {
        n_in += placed[i].cluster >= 0;
        n_far += placed[i].quantile > FAR_QUANTILE;
    }
    const double in = n ? (double)n_in / (double)n : 0, far = n ? (double)n_far / (double)n : 0;
    printf("%zu document%s placed, %zu (%.1f %%) in a cluster\n"
           "%zu (%.1f %%) farther from the nearest document of the map than 99 %% of its own are "
           "from theirs\n",
           n, gm_plural(n), n_in, 100 * in, n_far, 100 * far);
    if (far > FAR_SHARE && n_far > 1)
        gm_warn("%.1f %% of the documents are far from all documents of the map (1 %% would be "
                "expected if they were alike); trust neither their places nor their clusters "
                "('distance_quantile' above .99)",
                100 * far);
}

static gm_status run(const assign_command *c, const char *atlas_path, const char *news_path,
                     gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = NULL;
    gm_atlas_points points = {0};
    gm_fit_options options;
    gm_trace *fitted = NULL, *news = NULL;
    gm_usage of_fitted = {0}, of_news = {0};
    gm_placed *placed = NULL, *in_order = NULL;
    gm_progress progress;
    GM_TRY(gm_outfile_check(c->out, c->force, err));
    GM_TRY(gm_atlas_open(&atlas, atlas_path, err));
    GM_TRY(gm_from_atlas_points(&points, atlas, err));
    GM_TRY(gm_from_atlas_options(&options, atlas, err));
    GM_TRY(gm_atlas_open_trace(&fitted, atlas, c->trace, err));
    GM_TRY(gm_trace_open(&news, news_path, err));
    GM_TRY(check_trace(atlas, news, news_path, c->any_model, err));
    const gm_trace_selection same = {.layer = atlas->layer_of_moe, .n_layers = atlas->n_layers};
    GM_TRY(gm_trace_select(news, &same, err));
    GM_TRY(gm_usage_read(&of_fitted, fitted, options.usage, NULL, err));
    GM_TRY(gm_usage_read(&of_news, news, options.usage, NULL, err));
    placed = gm_alloc(of_news.n, sizeof *placed);
    in_order = gm_alloc(of_news.n, sizeof *in_order);
    if (!placed || !in_order) GM_FAIL(GM_EMEM, "no memory for %zu documents", of_news.n);
    gm_progress_start(&progress, "neighbours", "points", (double)points.m, c->quiet);
    GM_TRY(gm_place(placed, &of_news, &of_fitted, atlas, &points, &options, &progress, err));
    gm_progress_end(&progress);
    for (size_t i = 0; i < of_news.n; i++) in_order[of_news.place[i]] = placed[i];
    GM_TRY(write_out(c, atlas, gm_trace_get_samples(news), in_order, err));
    say_placed(placed, of_news.n);
out:
    gm_free(placed);
    gm_free(in_order);
    gm_usage_clear(&of_fitted);
    gm_usage_clear(&of_news);
    gm_trace_close(fitted);
    gm_trace_close(news);
    gm_atlas_points_clear(&points);
    gm_atlas_close(atlas);
    return status;
}

int gm_cluster_assign(int argc, char **argv)
{
    assign_command c = {0};
    bool usage = true;
    gm_error err = {0};
    const gm_opt opts[] = {
        {.kind = GM_OPT_TEXT,
         .name = "o",
         .value = &c.out,
         .arg = "FILE",
         .help = "file to write: .csv or .json"},
        {GM_OPT_TEXT, "trace", &c.trace, 0, 0, "FILE", "the atlas's trace, if it has moved"},
        {GM_OPT_FLAG, "any-model", &c.any_model, 0, 0, NULL,
         "accept a trace of another model of the same sizes, trained from this one"},
        {GM_OPT_FLAG, "force", &c.force, 0, 0, NULL, "replace existing files"},
        {GM_OPT_FLAG, "quiet", &c.quiet, 0, 0, NULL, "no progress"},
        {.kind = GM_OPT_END_},
    };
    gm_catch_signals();
    gm_status status = gm_opt_parse(
        "gm-cluster assign ATLAS TRACE -o FILE.csv|.json",
        "Places each document of TRACE at the mean of its nearest neighbours in the atlas (by\n"
        "usage, weighted as in UMAP), in the cluster whose density reaches that place. The map\n"
        "and its clusters do not change. The column distance_quantile is the share of the atlas's\n"
        "documents that are closer to their own nearest neighbour than this document is to its\n"
        "nearest. Above .99 the document is unlike them all, and its place says little.\n"
        "  gm-cluster assign run.atlas.h5 other.trace.h5 -o placed.csv\n",
        opts, &argc, argv, &err);
    c.json = c.out && gm_ends_in(c.out, ".json");
    if (status == GM_OK && argc != 3)
        status = gm_fail(&err, GM_EARG, "expected an atlas and a trace, found %d argument%s",
                         argc - 1, gm_plural((size_t)argc - 1));
    if (status == GM_OK && c.out == NULL)
        status = gm_fail(&err, GM_EARG, "-o FILE is missing: where to write the documents");
    if (status == GM_OK && !c.json && !gm_ends_in(c.out, ".csv"))
        status = gm_fail(&err, GM_EARG, "'%s': expected a name that ends in .csv or .json", c.out);
    if (status == GM_OK) {
        usage = false;
        status = run(&c, argv[1], argv[2], &err);
    }
    return gm_cli_end("gm-cluster", "assign", status, usage, &err);
}

/* fit.c - gm-cluster fit: a trace in, an atlas and a report out. */
#include "base/cli.h"
#include "base/device.h"
#include "base/outfile.h"
#include "base/text.h"
#include "cluster/atlas_make.h"
#include "cluster/cluster_commands.h"
#include "cluster/cluster_verdict.h"
#include "cluster/gpu.h"
#include "cluster/map_options.h"
#include "cluster/atlas_selection.h"
#include "cluster/report.h"
#include "cluster/summary.h"
#include "formats/layer_list.h"
#include "text/terminal.h"

#include <stdlib.h>

typedef struct fit_command {
    gm_fit_options how;
    const char *out, *report, *figures, *snippets, *device;
    int snippet; /* read from `snippets` */
    const char *layers;
    gm_layer_list layer; /* read from `layers` */
    gm_opt_list subsets;
    gm_map_choices map;
    int usage, keywords, stop, quality; /* choices */
    int64_t target, cluster_dim;
    bool force;
} fit_command;

static const char synopsis[] = "gm-cluster fit TRACE -o ATLAS [--report PAGE.html]";
static const char details[] =
    "The defaults are those of umap-learn and hdbscan, except --min-dist, which is 0.1 there.\n"
    "0.1 looks nicer, but 0 keeps the gaps that HDBSCAN needs to tell clusters apart. Where 0\n"
    "means automatic, the value depends on the number of documents N: --epochs 500 up to N =\n"
    "10,000 and 200 beyond, plus 200 with --densmap; --min-cluster-size N/200, at least 15;\n"
    "--min-samples 15, or min-cluster-size if that is smaller. The article's settings are\n"
    "--metric euclidean --min-dist 0.1 --no-stems.\n"
    "  gm-cluster fit run.trace.h5 -o run.atlas.h5 --report run.html --figures figures\n"
    "  gm-cluster fit run.trace.h5 -o late.atlas.h5 --layers 14-27 --subset code\n";

static gm_status read_options(fit_command *c, int *argc, char **argv, gm_error *err)
{
    const gm_opt files[] = {
        {.kind = GM_OPT_TEXT,
         .name = "o",
         .value = &c->out,
         .arg = "FILE",
         .help = "the atlas to write"},
        {GM_OPT_TEXT, "report", &c->report, 0, 0, "FILE", "HTML page to write"},
        {GM_OPT_TEXT, "snippets", &c->snippets, 0, 0, "N", GM_SNIPPETS_HELP},
        {GM_OPT_TEXT, "figures", &c->figures, 0, 0, "DIR", "folder for figures (PNG)"},
        {GM_OPT_FLAG, "force", &c->force, 0, 0, NULL, "replace existing files"},
        {GM_OPT_TEXT, "device", &c->device, 0, 0, "NAME", GM_GPU_HELP},
        {.kind = GM_OPT_GROUP, .help = "A part of the trace"},
        {GM_OPT_TEXT, "layers", &c->layers, 0, 0, "LIST",
         "only the experts of these layers of the model, 14-27 or 1,3,5-8"},
        {GM_OPT_LIST, "subset", &c->subsets, 0, 0, "NAME", "only documents of this subset"},
        {GM_OPT_I64, "min-tokens", &c->how.min_tokens, 0, UINT32_MAX, "N",
         "only documents of at least N tokens"},
        {.kind = GM_OPT_GROUP, .help = "Distances and map"},
        {GM_OPT_CHOICE, "usage", &c->usage, 0, 0, GM_USAGE_CHOICES,
         "how documents use experts: count choices, or sum gates"},
        {.kind = GM_OPT_END_},
    };
    const gm_opt clusters[] = {
        {.kind = GM_OPT_GROUP, .help = "Clusters"},
        {GM_OPT_I64, "cluster-dimensions", &c->cluster_dim, 2, GM_MAX_LAYOUT_DIM, "D",
         "find clusters in a layout of D dimensions; 2: on the map"},
        {GM_OPT_I64, "target-clusters", &c->target, 0, 1 << 20, "K",
         "choose --min-cluster-size to get about K clusters; 0: off"},
        {.kind = GM_OPT_END_},
    };
    const gm_opt rest[] = {
        {.kind = GM_OPT_GROUP, .help = "Keywords"},
        {GM_OPT_CHOICE, "keywords", &c->keywords, 0, 0, GM_KEYWORD_CHOICES,
         "mean TF-IDF, or class TF-IDF"},
        {GM_OPT_CHOICE, "stop-words", &c->stop, 0, 0, GM_STOP_CHOICES,
         "which common words to leave out"},
        {GM_OPT_F64, "max-df", &c->how.naming.max_df, 0, 1e9, "X",
         "leave out words found in more than X documents (below 1: a share of them); 0: none"},
        {GM_OPT_FLAG, "stems", &c->how.naming.stems, 0, 0, NULL, "do not group words by stem"},
        {.kind = GM_OPT_GROUP, .help = "Quality"},
        {GM_OPT_CHOICE, "quality", &c->quality, 0, 0, GM_QUALITY_CHOICES,
         "quality measured on samples, on all documents, or only what costs nothing"},
        {GM_OPT_FLAG, "quiet", &c->how.quiet, 0, 0, NULL, "no progress"},
        {.kind = GM_OPT_END_},
    };
    gm_option_table table = {0};
    gm_option_table_add(&table, files);
    gm_option_table_add_map(&table, &c->map, &c->how.umap);
    gm_option_table_add(&table, clusters);
    gm_option_table_add_clusters(&table, &c->map, &c->how.hdbscan);
    gm_option_table_add(&table, rest);
    gm_device device;
    gm_status status = gm_opt_parse(synopsis, details, table.row, argc, argv, err);
    if (status != GM_OK) return status;
    if (*argc != 2)
        return gm_fail(err, GM_EARG,
                       "expected one trace, found %d; an atlas describes one run of one model, "
                       "whose shards 'gm-probe merge' joins",
                       *argc - 1);
    if (c->out == NULL)
        return gm_fail(err, GM_EARG, "-o FILE is missing: where to write the atlas");
    const double most = c->how.naming.max_df;
    if (most >= 1 && most < 2) /* one word of one document is no keyword */
        GM_FAIL(GM_EARG,
                "--max-df %g is a number of documents, but keywords occur in at least 2; give a "
                "share below 1, or 0 for no limit",
                most);
    GM_TRY(gm_report_read_snippets(&c->snippet, c->snippets, err));
    GM_TRY(gm_device_parse(&device, c->device, err));
    GM_TRY(gm_map_choices_check(&c->map, &c->how.umap, err));
    if (c->layers) GM_TRY(gm_layer_list_parse(&c->layer, c->layers, err));
    if (c->target > 0 && c->map.min_cluster_size > 0)
        return gm_fail(err, GM_EARG,
                       "--target-clusters chooses --min-cluster-size; give only one of them");
out:
    return status;
}

static gm_map_targets targets_of(gm_fit_options *how)
{
    return (gm_map_targets){&how->metric, &how->n_neighbors, &how->neighbours, &how->umap,
                            &how->hdbscan};
}

/* The choices of the command line to where they belong. */
static void apply_choices(fit_command *c)
{
    gm_fit_options *how = &c->how;
    const gm_map_targets targets = targets_of(how);
    gm_map_choices_apply(&c->map, &targets);
    how->usage = (gm_usage_kind)c->usage;
    how->by_subset = c->subsets.n > 0;
    how->cluster_dim = (int)c->cluster_dim;
    how->target_clusters = (size_t)c->target;
    how->naming.method = (gm_keyword_method)c->keywords;
    how->naming.stop = (gm_stop_choice)c->stop;
    how->quality = (gm_quality_level)c->quality;
}

/* Open the trace, and leave of it what the map is to be of. */
static gm_status open_trace(gm_trace **out, const fit_command *c, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    int *layer = NULL;
    GM_TRY(gm_trace_open(out, path, err));
    const gm_trace_info *info = gm_trace_get_info(*out);
    gm_trace_selection selection = {.subset = c->subsets.at,
                                    .n_subsets = c->subsets.n,
                                    .min_tokens = (uint32_t)c->how.min_tokens};
    layer = gm_alloc((size_t)info->n_layers, sizeof *layer);
    if (layer == NULL) GM_FAIL(GM_EMEM, "no memory for %d layers", info->n_layers);
    GM_TRY(gm_layer_list_choose(layer, &selection.n_layers, &c->layer, info->layer_of_moe,
                                info->n_layers, err));
    selection.layer = layer;
    GM_TRY(gm_trace_select(*out, &selection, err));
out:
    gm_free(layer);
    return status;
}

static gm_status open_gpu(fit_command *c, const gm_trace *trace, gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    const size_t n = gm_trace_get_samples(trace)->n;
    const size_t dim = (size_t)info->n_layers * (size_t)info->n_experts;
    const gm_gpu_work work = {n, dim, gm_neighbours_seconds(&c->how.neighbours, n, dim)};
    char note[GM_GPU_NOTE];
    gm_status status = gm_gpu_open(&c->how.gpu, c->device, &work, note, err);
    if (note[0] && !c->how.quiet) fprintf(stderr, "%s\n", note);
    return status;
}

static gm_status run(fit_command *c, const char *trace_path, const char *line, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_analysis analysis = {0};
    gm_arena arena = {0};
    gm_atlas atlas;
    const char *note = "";
    gm_text times = {0}, part = {0};
    GM_TRY(gm_outfile_check(c->out, c->force, err)); /* before the work, not after it */
    GM_TRY(open_trace(&trace, c, trace_path, err));
    const gm_report_options report = {.html = c->report,
                                      .name = c->out,
                                      .figures = c->figures,
                                      .replace = c->force,
                                      .trace = trace,
                                      .snippet = c->snippet};
    GM_TRY(gm_report_check(&report, err));
    if (gm_trace_get_info(trace)->steering[0])
        gm_warn(
            "'%s' was recorded with a plan, so the map shows what the plan made the routers choose",
            trace_path);
    GM_TRY(open_gpu(c, trace, err));
    GM_TRY(gm_analysis_run(&analysis, trace, &c->how, err));
    GM_TRY(gm_atlas_make(&atlas, &arena, &analysis, trace, trace_path, &c->how, line, err));
    if (!c->how.quiet)
        fprintf(stderr, "epochs %d, min-cluster-size %zu, min-samples %d\n", analysis.umap.n_epochs,
                analysis.hdbscan.min_cluster_size, analysis.hdbscan.min_samples);
    GM_TRY(gm_atlas_write(c->out, &atlas, c->force, err));
    gm_stages_end(&analysis.stages, "atlas");
    if (c->report || c->figures) {
        status = gm_report_write(&atlas, &report, err);
        if (status != GM_OK)
            GM_FAIL(status,
                    "%s; the atlas '%s' is complete, and 'gm-cluster report' writes the rest",
                    err->text, c->out);
        gm_stages_end(&analysis.stages, "report");
    }
    printf("%zu document%s, %zu cluster%s, noise %.1f %%, trustworthiness %.4f, digest %s\n",
           atlas.n, gm_plural(atlas.n), atlas.n_clusters, gm_plural(atlas.n_clusters),
           100.0 * (double)gm_atlas_n_noise(&atlas) / (double)atlas.n, analysis.map.trustworthiness,
           atlas.digest);
    GM_TRY(gm_atlas_selection_describe(&part, &atlas, err));
    if (part.n > 0) gm_print_text(stdout, 0, part.at), putchar('\n');
    const gm_dimensions *d = &analysis.dimensions;
    if (d->dim > 2)
        printf("clusters of %d dimensions against the map's own %zu: ARI %.4f, AMI %.4f, noise in "
               "both or in neither %.1f %%\n",
               d->dim, d->n_clusters, d->ari, d->ami, 100 * d->noise_alike);
    GM_TRY(gm_stages_say(&times, &analysis.stages, err));
    if (!c->how.quiet) {
        GM_TRY(gm_verdict_print(stderr, atlas.quality, err));
        GM_TRY(gm_keywords_note(&note, &atlas, err));
        if (note[0]) fprintf(stderr, "%s\n", note);
        fprintf(stderr, "written: %s%s%s%s%s\n%s\n", c->out, c->report ? ", " : "",
                c->report ? c->report : "", c->figures ? ", figures in " : "",
                c->figures ? c->figures : "", times.at);
    }
out:
    gm_gpu_close(c->how.gpu);
    gm_text_clear(&times);
    gm_text_clear(&part);
    gm_arena_clear(&arena);
    gm_analysis_clear(&analysis);
    gm_trace_close(trace);
    return status;
}

int gm_cluster_fit(int argc, char **argv)
{
    fit_command c = {.how = gm_fit_defaults()};
    gm_error err = {0};
    gm_text line = {0};
    const gm_map_targets targets = targets_of(&c.how);
    c.map = gm_map_choices_of(&targets);
    c.cluster_dim = c.how.cluster_dim;
    gm_catch_signals();
    gm_status status = gm_cli_line(&line, "gm-cluster", argc, argv, &err);
    bool usage = status == GM_OK;
    if (status == GM_OK) status = read_options(&c, &argc, argv, &err);
    if (status == GM_OK) {
        usage = false;
        apply_choices(&c);
        status = run(&c, argv[1], line.at, &err);
    }
    gm_text_clear(&line);
    gm_layer_list_clear(&c.layer);
    gm_opt_list_clear(&c.subsets);
    return gm_cli_end("gm-cluster", "fit", status, usage, &err);
}

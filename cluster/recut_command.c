/* recut_command.c - gm-cluster recut: other clusters of an atlas, shown or written. */
#include "base/cli.h"
#include "base/outfile.h"
#include "base/text.h"
#include "cluster/atlas_make.h"
#include "cluster/cluster_commands.h"
#include "cluster/cluster_verdict.h"
#include "cluster/neighbour.h"
#include "cluster/quality.h"
#include "cluster/recut.h"
#include "cluster/summary.h"
#include "text/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char synopsis[] =
    "gm-cluster recut ATLAS [--min-cluster-size N | --target-clusters K] [-o ATLAS]";
static const char details[] =
    "Without -o it prints what the clusters would be, from the tree that is stored in the\n"
    "atlas, so you can try values until they suit. With -o it reads the trace again for\n"
    "keywords, profiles and quality, and writes a new atlas. Options that you leave out stay\n"
    "as in the atlas; without any, its clusters stay, and you can merge and name them.\n"
    "--merge 4=1 puts cluster 4 into cluster 1, numbered as printed without merging; --name\n"
    "3=Ships uses the final numbers.\n"
    "  gm-cluster recut run.atlas.h5 --target-clusters 60\n"
    "  gm-cluster recut run.atlas.h5 --target-clusters 60 --name 3=Ships -o coarse.atlas.h5\n";

typedef struct recut_command {
    const char *out, *trace, *line;
    int64_t size, target, most;
    double epsilon;
    int selection, single, quality;
    gm_opt_list merge, name;
    gm_recut_merge *merges; /* (merge.n) what `merge` says */
    bool force, quiet;
} recut_command;

/* "4=1" or "4=Ships": the number before the sign, and what follows it; false: neither. */
static bool split_pair(const char *text, int64_t *number, const char **rest)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL) return false;
    *rest = equals + 1;
    return gm_parse_i64_n(text, (size_t)(equals - text), number) && *number >= 0 &&
           *number <= INT32_MAX;
}

static gm_status read_merges(recut_command *c, gm_error *err)
{
    c->merges = gm_alloc(c->merge.n, sizeof *c->merges);
    if (c->merges == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu merges", c->merge.n);
    for (size_t i = 0; i < c->merge.n; i++) {
        int64_t from, into;
        const char *rest;
        if (!split_pair(c->merge.at[i], &from, &rest) || !gm_parse_i64(rest, &into) || into < 0 ||
            into > INT32_MAX)
            return gm_fail(err, GM_EARG, "--merge is '%s', expected two clusters, such as 4=1",
                           c->merge.at[i]);
        c->merges[i] = (gm_recut_merge){(int32_t)from, (int32_t)into};
    }
    return GM_OK;
}

static gm_status check_names(const gm_opt_list *list, gm_error *err)
{
    int64_t number;
    const char *text;
    for (size_t i = 0; i < list->n; i++)
        if (!split_pair(list->at[i], &number, &text))
            return gm_fail(err, GM_EARG,
                           "--name is '%s', expected a cluster and a name, such as 3=Ships",
                           list->at[i]);
    return GM_OK;
}

static gm_status read_options(recut_command *c, int *argc, char **argv, gm_error *err)
{
    const gm_opt opts[] = {
        {.kind = GM_OPT_TEXT,
         .name = "o",
         .value = &c->out,
         .arg = "FILE",
         .help = "the atlas to write"},
        {GM_OPT_TEXT, "trace", &c->trace, 0, 0, "FILE", "the atlas's trace, if it has moved"},
        {GM_OPT_FLAG, "force", &c->force, 0, 0, NULL, "replace existing files"},
        {.kind = GM_OPT_GROUP, .help = "Clusters; -1: as in the atlas"},
        {GM_OPT_I64, "min-cluster-size", &c->size, -1, 1 << 30, "N", "smallest cluster, 2 or more"},
        {GM_OPT_I64, "target-clusters", &c->target, 0, 1 << 20, "K",
         "choose --min-cluster-size to get about K clusters; 0: off"},
        {GM_OPT_CHOICE, "selection", &c->selection, 0, 0, "atlas|" GM_SELECTION_CHOICES,
         "select by excess of mass, or take the leaves"},
        {GM_OPT_F64, "epsilon", &c->epsilon, -1, 1e9, "D", "merge clusters closer than this"},
        {GM_OPT_I64, "max-cluster-size", &c->most, -1, 1 << 30, "N",
         "largest cluster; 0: no limit"},
        {GM_OPT_CHOICE, "allow-single-cluster", &c->single, 0, 0, "atlas|no|yes",
         "may all documents be one cluster?"},
        {.kind = GM_OPT_GROUP, .help = "By hand"},
        {GM_OPT_LIST, "merge", &c->merge, 0, 0, "A=B", "put cluster A into cluster B"},
        {GM_OPT_LIST, "name", &c->name, 0, 0, "N=TEXT", "name a cluster"},
        {.kind = GM_OPT_GROUP, .help = "Quality"},
        {GM_OPT_CHOICE, "quality", &c->quality, 0, 0, GM_QUALITY_CHOICES, "with -o: as in fit"},
        {GM_OPT_FLAG, "quiet", &c->quiet, 0, 0, NULL, "no progress"},
        {.kind = GM_OPT_END_},
    };
    gm_status status = gm_opt_parse(synopsis, details, opts, argc, argv, err);
    if (status != GM_OK) return status;
    if (*argc != 2) return gm_fail(err, GM_EARG, "expected one atlas, found %d", *argc - 1);
    if (c->size == 0 || c->size == 1)
        return gm_fail(err, GM_EARG, "--min-cluster-size is %" PRId64 ", expected at least 2",
                       c->size);
    if (c->size > 0 && c->target > 0)
        return gm_fail(err, GM_EARG,
                       "--target-clusters chooses --min-cluster-size; give only one of them");
    status = read_merges(c, err);
    return status == GM_OK ? check_names(&c->name, err) : status;
}

static gm_recut read_recut(const recut_command *c, gm_hdbscan_options *h)
{
    gm_recut how = {.target_clusters = (size_t)c->target};
    how.cut = c->size > 0 || c->target > 0 || c->selection > 0 || c->epsilon >= 0 || c->most >= 0 ||
              c->single > 0;
    if (c->size > 0) h->min_cluster_size = (size_t)c->size;
    if (c->selection > 0) h->selection = (gm_selection)(c->selection - 1);
    if (c->epsilon >= 0) h->epsilon = c->epsilon;
    if (c->most >= 0) h->max_cluster_size = (size_t)c->most;
    if (c->single > 0) h->allow_single_cluster = c->single == 2;
    return how;
}

/* ---- what the clusters are made of ---- */

/* The atlas's cluster of a document, C for noise. */
static uint32_t origin_of(const gm_atlas *atlas, size_t document)
{
    const int32_t cluster = atlas->cluster[document];
    return cluster < 0 ? (uint32_t)atlas->n_clusters : (uint32_t)cluster;
}

enum { ORIGINS = 3 };

/* The atlas's clusters that gave a new one most documents, C for noise, by their number negated:
 * most first, ties to the lower. */
typedef struct origins {
    size_t size, n; /* documents of the new one; how many of `from` there are */
    gm_neighbour from[ORIGINS];
} origins;

/* *out (n_clusters) is the caller's. */
static gm_status find_origins(origins **out, const int32_t *label, size_t n_clusters,
                              const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t C = atlas->n_clusters;
    gm_members members = {0};
    uint32_t *count = gm_alloc(C + 1, sizeof *count); /* of one new cluster, then 0 again */
    *out = gm_alloc(n_clusters, sizeof **out);
    if (!*out || !count) GM_FAIL(GM_EMEM, "no memory for %zu clusters", n_clusters);
    GM_TRY(gm_members_find(&members, label, atlas->n, n_clusters, err));
    for (size_t c = 0; c < n_clusters; c++) {
        const gm_some own = gm_some_of(&members, c);
        origins *o = &(*out)[c];
        o->size = own.n;
        for (size_t i = 0; i < own.n; i++) count[origin_of(atlas, own.at[i])]++;
        for (size_t i = 0; i < own.n; i++) {
            const uint32_t from = origin_of(atlas, own.at[i]);
            if (count[from] == 0) continue; /* looked at before */
            gm_neighbour_insert(o->from, &o->n, ORIGINS,
                                (gm_neighbour){-(double)count[from], from});
            count[from] = 0;
        }
    }
out:
    gm_members_clear(&members);
    gm_free(count);
    return status;
}

/* (n_clusters,S): documents of each cluster in each subset. */
static gm_status count_subsets(uint32_t **count, const int32_t *label, size_t n_clusters,
                               const gm_atlas *atlas, gm_error *err)
{
    const size_t S = atlas->n_subsets;
    *count = gm_alloc2(n_clusters, S, sizeof **count);
    if (*count == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu clusters", n_clusters);
    for (size_t i = 0; S > 0 && i < atlas->n; i++)
        if (label[i] >= 0) (*count)[(size_t)label[i] * S + atlas->subset[i]]++;
    return GM_OK;
}

/* Names (n_clusters): those of the atlas unless it was cut again, then those given. */
static gm_status find_names(const char **name, size_t n_clusters, const origins *origin,
                            const gm_atlas *atlas, bool cut, const gm_opt_list *given,
                            gm_error *err)
{
    for (size_t c = 0; c < n_clusters; c++) {
        const uint32_t from = origin[c].from[0].index;
        name[c] = cut || from == atlas->n_clusters ? "" : atlas->name[from];
    }
    for (size_t i = 0; i < given->n; i++) {
        int64_t number = 0;
        const char *text = "";
        split_pair(given->at[i], &number, &text); /* it was seen to be one */
        if ((size_t)number >= n_clusters)
            return gm_fail(err, GM_EARG, "there is no cluster %" PRId64 " to name; there are %zu",
                           number, n_clusters);
        const size_t n = strlen(text);
        if (n >= GM_ATLAS_NAME_BYTES)
            return gm_fail(err, GM_EARG,
                           "the name of cluster %" PRId64 " has %zu bytes, expected at most %d",
                           number, n, GM_ATLAS_NAME_BYTES - 1);
        if (gm_utf8_valid(text, n) != n)
            return gm_fail(err, GM_EARG, "the name of cluster %" PRId64 " is not UTF-8", number);
        name[number] = text;
    }
    return GM_OK;
}

static void print_origins(const origins *o, size_t C)
{
    for (size_t k = 0; k < o->n; k++) {
        fputs(k ? ", " : "", stdout);
        if (o->from[k].index == C)
            printf("noise");
        else
            printf("%u", o->from[k].index);
        printf(" (%.0f)", -o->from[k].s);
    }
}

/* A table as show's, with what the clusters were in the atlas; subset (n_clusters,S): documents. */
static void print_table(const gm_atlas *atlas, const uint32_t *subset, size_t n_clusters,
                        const origins *origin, const char *const *name)
{
    const size_t S = atlas->n_subsets;
    if (n_clusters == 0) return;
    gm_cluster_print_heads();
    puts("  from the atlas's clusters (documents)");
    for (size_t c = 0; c < n_clusters; c++) {
        size_t most = 0, best = 0;
        for (size_t s = 0; s < S; s++)
            if (subset[c * S + s] > most) most = subset[c * S + s], best = s;
        gm_cluster_print_start(c, origin[c].size,
                               S > 0 ? (double)most / (double)origin[c].size : (double)NAN,
                               S > 0 ? atlas->subset_name[best] : NULL);
        fputs("  ", stdout);
        print_origins(&origin[c], atlas->n_clusters);
        if (name[c][0]) fputs("  ", stdout), gm_print_text(stdout, 0, name[c]);
        putchar('\n');
    }
}

/* ---- another atlas ---- */

static gm_status write_atlas(const recut_command *c, const gm_atlas *old,
                             const gm_atlas_points *points, gm_clustering *clustering,
                             const gm_fit_options *options, const char *const *name, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_analysis analysis = {0};
    gm_arena arena = {0};
    gm_atlas atlas;
    const char *path = c->trace ? c->trace : old->trace_path;
    GM_TRY(gm_outfile_check(c->out, c->force, err));
    GM_TRY(gm_atlas_open_trace(&trace, old, c->trace, err));
    GM_TRY(gm_from_atlas_analysis(&analysis, old, points, clustering, trace, options, err));
    analysis.recut_of = old->digest;
    GM_TRY(gm_atlas_make(&atlas, &arena, &analysis, trace, path, options, c->line, err));
    atlas.name = name;
    GM_TRY(gm_atlas_write(c->out, &atlas, c->force, err));
    if (!c->quiet) GM_TRY(gm_verdict_print(stderr, atlas.quality, err));
    printf("%zu document%s, %zu cluster%s, digest %s\n", atlas.n, gm_plural(atlas.n),
           atlas.n_clusters, gm_plural(atlas.n_clusters), atlas.digest);
out:
    gm_arena_clear(&arena);
    gm_analysis_clear(&analysis);
    gm_trace_close(trace);
    return status;
}

static gm_status run(const recut_command *c, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = NULL;
    gm_atlas_points points = {0};
    gm_clustering clustering = {0};
    gm_fit_options options;
    gm_agreement agreement;
    int32_t *label = NULL;
    origins *origin = NULL;
    uint32_t *subset = NULL;
    const char **name = NULL;
    size_t n_found = 0, noise = 0;
    GM_TRY(gm_atlas_open(&atlas, path, err));
    double start = gm_now();
    GM_TRY(gm_from_atlas_points(&points, atlas, err));
    GM_TRY(gm_from_atlas_options(&options, atlas, err));
    options.quality = (gm_quality_level)c->quality;
    options.quiet = c->quiet;
    gm_recut how = read_recut(c, &options.hdbscan);
    how.merge = c->merges, how.n_merges = c->merge.n;
    GM_TRY(gm_recut_cluster(&clustering, &points, atlas, &how, &options.hdbscan, &n_found, err));
    label = gm_alloc(atlas->n, sizeof *label);
    name = gm_alloc(clustering.n_clusters, sizeof *name);
    if (!label || !name) GM_FAIL(GM_EMEM, "no memory for %zu labels", atlas->n);
    gm_recut_spread(label, &points, clustering.label, atlas->n);
    GM_TRY(find_origins(&origin, label, clustering.n_clusters, atlas, err));
    GM_TRY(find_names(name, clustering.n_clusters, origin, atlas, how.cut, &c->name, err));
    if (c->out) {
        GM_TRY(write_atlas(c, atlas, &points, &clustering, &options, name, err));
        goto out;
    }
    double took = gm_now() - start;
    GM_TRY(gm_quality_agreement(&agreement, label, atlas->cluster, atlas->n, err));
    for (size_t i = 0; i < atlas->n; i++) noise += label[i] < 0;
    printf("%zu document%s, %zu cluster%s, %zu document%s (%.1f %%) in none; min-cluster-size %zu, "
           "ARI with the atlas's clusters %.4f\n\n",
           atlas->n, gm_plural(atlas->n), clustering.n_clusters, gm_plural(clustering.n_clusters),
           noise, gm_plural(noise), 100 * (double)noise / (double)atlas->n,
           options.hdbscan.min_cluster_size, agreement.ari);
    GM_TRY(count_subsets(&subset, label, clustering.n_clusters, atlas, err));
    print_table(atlas, subset, clustering.n_clusters, origin, name);
    if (!c->quiet) fprintf(stderr, "cut in %.1f ms\n", 1000 * took);
out:
    gm_free(label);
    gm_free(origin);
    gm_free(subset);
    gm_free(name);
    gm_clustering_clear(&clustering);
    gm_atlas_points_clear(&points);
    gm_atlas_close(atlas);
    return status;
}

int gm_cluster_recut(int argc, char **argv)
{
    recut_command c = {.size = -1, .most = -1, .epsilon = -1};
    gm_error err = {0};
    gm_text line = {0};
    gm_catch_signals();
    gm_status status = gm_cli_line(&line, "gm-cluster", argc, argv, &err);
    bool usage = status == GM_OK;
    if (status == GM_OK) status = read_options(&c, &argc, argv, &err);
    if (status == GM_OK) {
        usage = false;
        c.line = line.at;
        status = run(&c, argv[1], &err);
    }
    gm_text_clear(&line);
    gm_opt_list_clear(&c.merge);
    gm_opt_list_clear(&c.name);
    gm_free(c.merges);
    return gm_cli_end("gm-cluster", "recut", status, usage, &err);
}

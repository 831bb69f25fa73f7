/* export.c - gm-cluster export: an atlas for other programs.
 *
 * Documents as CSV or JSON, experts as CSV, the condensed tree as GraphML, all of it as AnnData for
 * scanpy.
 */
#include "base/cli.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/sha256.h"
#include "cluster/cluster_commands.h"
#include "cluster/from_atlas.h"
#include "cluster/profile.h"
#include "cluster/summary.h"
#include "cluster/usage.h"
#include "formats/h5ad.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef enum export_format { EXPORT_H5AD, EXPORT_CSV, EXPORT_JSON, EXPORT_GRAPHML } export_format;
static const char *const ending[] = {".h5ad", ".csv", ".json", ".graphml"};
#define ENDINGS ".h5ad|.csv|.json|.graphml" /* for people */

/* ---- CSV ---- */

static const char *script_of(const gm_atlas *a, size_t i)
{
    return a->n_scripts > 0 ? a->script_name[a->script[i]] : "";
}

static const char *language_of(const gm_atlas *a, size_t i)
{
    return a->n_languages > 0 ? a->language_name[a->language[i]] : "";
}

static void write_csv(FILE *to, const gm_atlas *a)
{
    fputs("id,sha,subset,script,n_tokens,x,y,cluster,cluster_name,probability,outlier,language\r\n",
          to);
    for (size_t i = 0; i < a->n; i++) {
        char hex[65];
        int32_t c = a->cluster[i];
        gm_sha256_hex(a->sha + 32 * i, hex);
        gm_csv_put(to, a->id[i]);
        fprintf(to, ",%s,", hex);
        gm_csv_put(to, a->n_subsets > 0 ? a->subset_name[a->subset[i]] : "");
        fputc(',', to);
        gm_csv_put(to, script_of(a, i));
        fprintf(to, ",%u,%.9g,%.9g,%d,", a->n_tokens[i], (double)a->xy[2 * i],
                (double)a->xy[2 * i + 1], c);
        gm_csv_put(to, c >= 0 ? a->name[c] : "");
        fprintf(to, ",%.9g,%.9g,", (double)a->probability[i], (double)a->outlier[i]);
        gm_csv_put(to, language_of(a, i));
        fputs("\r\n", to);
    }
}

/* ---- experts as CSV ---- */

/* A cluster or a subset: its usage (L,E), of either half of its documents (2,L,E). */
typedef struct group {
    const char *kind, *name;
    size_t n_documents;
    const float *usage, *half;
} group;

/* A line for each expert. lift (3,L,E) of all documents and of either half, important (L,E): room.
 */
static void write_experts_of(FILE *to, const gm_atlas *a, const group *g, float *lift,
                             uint8_t *important)
{
    const size_t L = (size_t)a->n_layers, E = (size_t)a->n_experts, dim = L * E;
    gm_profile_lift(lift, g->usage, a->corpus_usage, dim);
    for (size_t h = 0; h < 2; h++)
        gm_profile_lift(lift + (1 + h) * dim, g->half + h * dim, a->corpus_usage, dim);
    gm_profile_important(important, g->usage, g->half, a->corpus_usage, L, E, (size_t)a->n_chosen);
    for (size_t i = 0; i < dim; i++) {
        fprintf(to, "%s,", g->kind);
        gm_csv_put(to, g->name);
        fprintf(to, ",%zu,%d,%zu,%.9g,%.9g,%.9g,%.9g,%.9g,%d\r\n", g->n_documents,
                a->layer_of_moe[i / E], i % E, (double)g->usage[i], (double)a->corpus_usage[i],
                (double)lift[i], (double)lift[dim + i], (double)lift[2 * dim + i], important[i]);
    }
}

static gm_status write_experts(FILE *to, const gm_atlas *a, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t dim = (size_t)a->n_layers * (size_t)a->n_experts;
    float *lift = gm_alloc2(3, dim, sizeof *lift);
    uint8_t *important = gm_alloc(dim, sizeof *important);
    size_t *of_subset = NULL;
    if (!lift || !important) GM_FAIL(GM_EMEM, "no memory for %zu experts", dim);
    GM_TRY(gm_atlas_noise_by(&of_subset, a, gm_atlas_subsets(a), err));
    fputs("kind,group,documents,layer,expert,usage,corpus,lift,lift_even,lift_odd,important\r\n",
          to);
    for (size_t c = 0; c < a->n_clusters; c++) {
        char id[24];
        snprintf(id, sizeof id, "%zu", c);
        const group g = {"cluster", id, a->size[c], a->usage + c * dim,
                         a->usage_half + 2 * c * dim};
        write_experts_of(to, a, &g, lift, important);
    }
    for (size_t s = 0; s < a->n_subsets; s++) {
        const group g = {"subset", a->subset_name[s], of_subset[s], a->subset_usage + s * dim,
                         a->subset_usage_half + 2 * s * dim};
        write_experts_of(to, a, &g, lift, important);
    }
out:
    gm_free(lift);
    gm_free(important);
    gm_free(of_subset);
    return status;
}

/* ---- JSON ---- */

static void put_cluster(gm_json_out *out, const gm_atlas *a, size_t c)
{
    gm_json_open_object(out, NULL);
    gm_json_put_u64(out, "id", c);
    gm_json_put_string(out, "name", a->name[c][0] ? a->name[c] : NULL);
    gm_json_put_u64(out, "size", a->size[c]);
    gm_json_put_f64(out, "stability", (double)a->stability[c]);
    gm_json_put_f64(out, "seed_jaccard", (double)a->seed_jaccard[c]);
    gm_json_put_f64(out, "half_jaccard", (double)a->half_jaccard[c]);
    gm_json_put_f64(out, "validity", (double)a->validity[c]);
    gm_json_put_f64(out, "coherence", (double)a->coherence[c]);
    gm_json_open_array(out, "keywords");
    for (size_t k = c * GM_N_KEYWORDS; k < (c + 1) * GM_N_KEYWORDS; k++)
        if (a->keyword[k][0]) gm_json_put_string(out, NULL, a->keyword[k]);
    gm_json_close_array(out);
    gm_json_close_object(out);
}

static void put_document(gm_json_out *out, const gm_atlas *a, size_t i)
{
    char hex[65];
    gm_sha256_hex(a->sha + 32 * i, hex);
    gm_json_open_object(out, NULL);
    gm_json_put_string(out, "id", a->id[i]);
    gm_json_put_string(out, "sha", hex);
    gm_json_put_string(out, "subset", a->n_subsets > 0 ? a->subset_name[a->subset[i]] : NULL);
    gm_json_put_string(out, "script", a->n_scripts > 0 ? script_of(a, i) : NULL);
    gm_json_put_string(out, "language", a->n_languages > 0 ? language_of(a, i) : NULL);
    gm_json_put_u64(out, "n_tokens", a->n_tokens[i]);
    gm_json_put_f64(out, "x", (double)a->xy[2 * i]);
    gm_json_put_f64(out, "y", (double)a->xy[2 * i + 1]);
    gm_json_put_i64(out, "cluster", a->cluster[i]);
    gm_json_put_f64(out, "probability", (double)a->probability[i]);
    gm_json_put_f64(out, "outlier", (double)a->outlier[i]);
    gm_json_close_object(out);
}

static gm_status write_json(FILE *to, const gm_atlas *a, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "model", a->model);
    gm_json_put_string(&out, "digest", a->digest);
    gm_json_put_raw(&out, "parameters", a->parameters[0] ? a->parameters : "{}");
    gm_json_put_raw(&out, "quality", a->quality[0] ? a->quality : "{}");
    gm_json_open_array(&out, "clusters");
    for (size_t c = 0; c < a->n_clusters; c++) put_cluster(&out, a, c);
    gm_json_close_array(&out);
    gm_json_open_array(&out, "documents");
    for (size_t i = 0; i < a->n; i++) put_document(&out, a, i);
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    gm_status status = gm_json_out_done(&out, err);
    if (status == GM_OK) {
        fwrite(out.text.at, 1, out.text.n, to);
        fputc('\n', to);
    }
    gm_text_clear(&out.text);
    return status;
}

/* ---- GraphML ---- */

/* Text as XML 1.0 has it: what it has no character for becomes U+FFFD. */
static void put_xml(FILE *to, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            fputs("&amp;", to);
        else if (c == '<')
            fputs("&lt;", to);
        else if (c == '>')
            fputs("&gt;", to);
        else if (c == '"')
            fputs("&quot;", to);
        else if (c < 0x20 && c != '\t')
            fputs("\xef\xbf\xbd", to);
        else if (c == 0xEF && (unsigned char)text[1] == 0xBF && (unsigned char)text[2] >= 0xBE)
            fputs("\xef\xbf\xbd", to), text += 2; /* U+FFFE, U+FFFF */
        else
            fputc(c, to);
    }
}

static void put_words(FILE *to, const char *const *keyword)
{
    bool any = false;
    for (int k = 0; k < GM_N_KEYWORDS; k++) {
        if (keyword[k][0] == '\0') continue;
        if (any) fputs(", ", to);
        put_xml(to, keyword[k]);
        any = true;
    }
}

static void write_graphml(FILE *to, const gm_atlas *a)
{
    static const char *const key[][2] = {{"size", "long"},
                                         {"birth_lambda", "double"},
                                         {"cluster", "long"},
                                         {"name", "string"},
                                         {"keywords", "string"}};
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
          to);
    for (size_t k = 0; k < sizeof key / sizeof key[0]; k++)
        fprintf(to, "  <key id=\"%s\" for=\"node\" attr.name=\"%s\" attr.type=\"%s\"/>\n",
                key[k][0], key[k][0], key[k][1]);
    fputs("  <graph id=\"condensed\" edgedefault=\"directed\">\n", to);
    for (size_t r = 0; r < a->n_nodes; r++) {
        int32_t c = a->node_cluster[r];
        const char *const *words = a->node_keyword + r * GM_N_KEYWORDS;
        fprintf(to,
                "    <node id=\"n%zu\"><data key=\"size\">%u</data><data key=\"birth_lambda\">%.17g"
                "</data><data key=\"cluster\">%d</data><data key=\"name\">",
                r, a->node_size[r], a->node_birth[r], c);
        put_xml(to, c >= 0 ? a->name[c] : "");
        fputs("</data><data key=\"keywords\">", to);
        put_words(to, words[0][0] || c < 0 ? words : a->keyword + (size_t)c * GM_N_KEYWORDS);
        fputs("</data></node>\n", to);
    }
    for (size_t r = 1; r < a->n_nodes; r++)
        fprintf(to, "    <edge source=\"n%u\" target=\"n%zu\"/>\n", a->node_parent[r], r);
    fputs("  </graph>\n</graphml>\n", to);
}

/* ---- AnnData ---- */

/* Usage rates (N,D) in the order of the trace, `path` or the one that the atlas names. */
static gm_status read_rates(float **out, const gm_atlas *a, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_usage usage = {0};
    gm_usage_kind kind;
    *out = NULL;
    GM_TRY(gm_atlas_open_trace(&trace, a, path, err));
    GM_TRY(gm_from_atlas_usage(&kind, a, err));
    GM_TRY(gm_usage_read(&usage, trace, kind, NULL, err));
    float *rate = gm_alloc2(usage.n, usage.dim, sizeof *rate);
    if (rate == NULL) GM_FAIL(GM_EMEM, "no memory for the usage of %zu documents", usage.n);
    for (size_t i = 0; i < usage.n; i++)
        memcpy(rate + usage.place[i] * usage.dim, usage.row[i], usage.dim * sizeof *rate);
    *out = rate;
out:
    gm_usage_clear(&usage);
    gm_trace_close(trace);
    return status;
}

/* ---- the command ---- */

static gm_status find_format(export_format *out, const char *path, gm_error *err)
{
    assert(path != NULL);
    for (int f = EXPORT_H5AD; f <= EXPORT_GRAPHML; f++) {
        *out = (export_format)f;
        if (gm_ends_in(path, ending[f])) return GM_OK;
    }
    return gm_fail(err, GM_EARG, "'%s': expected a name that ends in one of " ENDINGS, path);
}

typedef struct export_command {
    const char *out, *trace;
    export_format format;
    bool experts, with_x, force;
} export_command;

static gm_status write_text(const export_command *c, const gm_atlas *a, gm_error *err)
{
    gm_outfile *file = NULL;
    gm_status status = gm_outfile_open(&file, c->out, c->force, err);
    if (status != GM_OK) return status;
    FILE *to = gm_outfile_stream(file);
    if (c->format == EXPORT_CSV && c->experts) status = write_experts(to, a, err);
    if (c->format == EXPORT_CSV && !c->experts) write_csv(to, a);
    if (c->format == EXPORT_GRAPHML) write_graphml(to, a);
    if (c->format == EXPORT_JSON) status = write_json(to, a, err);
    if (status == GM_OK) return gm_outfile_commit(file, err);
    gm_outfile_abort(file);
    return status;
}

static gm_status export_atlas(const char *atlas_path, const export_command *c, gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = NULL;
    float *rate = NULL;
    GM_TRY(gm_outfile_check(c->out, c->force, err));
    GM_TRY(gm_atlas_open(&atlas, atlas_path, err));
    if (c->format == EXPORT_GRAPHML && atlas->n_nodes == 0)
        GM_FAIL(GM_EFORMAT,
                "'%s' was written by an older gm-cluster, which stored no condensed tree; run "
                "gm-cluster fit again",
                atlas_path);
    if (c->format == EXPORT_H5AD) {
        if (c->with_x) GM_TRY(read_rates(&rate, atlas, c->trace, err));
        GM_TRY(gm_h5ad_write(c->out, atlas, rate, c->force, err));
    } else {
        GM_TRY(write_text(c, atlas, err));
    }
    if (c->experts)
        printf("%s: %d experts in %zu cluster%s and %zu subset%s\n", c->out,
               atlas->n_layers * atlas->n_experts, atlas->n_clusters, gm_plural(atlas->n_clusters),
               atlas->n_subsets, gm_plural(atlas->n_subsets));
    else
        printf("%s: %zu document%s, %zu cluster%s\n", c->out, atlas->n, gm_plural(atlas->n),
               atlas->n_clusters, gm_plural(atlas->n_clusters));
out:
    gm_free(rate);
    gm_atlas_close(atlas);
    return status;
}

int gm_cluster_export(int argc, char **argv)
{
    export_command c = {0};
    bool usage = true;
    gm_error err = {0};
    const gm_opt opts[] = {
        {.kind = GM_OPT_TEXT,
         .name = "o",
         .value = &c.out,
         .arg = "FILE",
         .help = "file to write: " ENDINGS},
        {GM_OPT_FLAG, "experts", &c.experts, 0, 0, NULL,
         ".csv: a row for each expert in each cluster and subset, not for each document"},
        {GM_OPT_FLAG, "usage", &c.with_x, 0, 0, NULL,
         ".h5ad: read the trace, and add the usage vectors as X"},
        {GM_OPT_TEXT, "trace", &c.trace, 0, 0, "FILE", "the atlas's trace, if it has moved"},
        {GM_OPT_FLAG, "force", &c.force, 0, 0, NULL, "replace existing files"},
        {.kind = GM_OPT_END_},
    };
    gm_status status = gm_opt_parse(
        "gm-cluster export ATLAS -o FILE" ENDINGS,
        ".h5ad: AnnData for scanpy. Documents are cells and experts are genes, with the map, the\n"
        "clusters and the neighbour graph.\n"
        ".csv, .json: the documents; .json has the clusters too.\n"
        ".graphml: the condensed tree.\n"
        "\n"
        "--experts writes the columns kind (cluster or subset), group, documents, layer (of the\n"
        "model), expert; usage and corpus (mean share of a document's choices, over all layers:\n"
        "they sum to 1); lift ((usage + e) / (corpus + e), where e is 0.05 / (layers x experts), "
        "in\n"
        "all documents and in each half); important (1 or 0).\n"
        "  gm-cluster export run.atlas.h5 -o run.h5ad --usage\n"
        "  gm-cluster export run.atlas.h5 --experts -o experts.csv\n",
        opts, &argc, argv, &err);
    if (status == GM_OK && argc != 2)
        status = gm_fail(&err, GM_EARG, "expected one atlas, found %d", argc - 1);
    if (status == GM_OK && c.out == NULL)
        status = gm_fail(&err, GM_EARG, "-o FILE is missing: what to write");
    if (status == GM_OK) status = find_format(&c.format, c.out, &err);
    if (status == GM_OK && c.experts && c.format != EXPORT_CSV)
        status = gm_fail(&err, GM_EARG, "--experts writes a .csv file, which '%s' is not", c.out);
    if (status == GM_OK && c.with_x && c.format != EXPORT_H5AD)
        status = gm_fail(&err, GM_EARG, "--usage is for a .h5ad file, which '%s' is not", c.out);
    if (status == GM_OK) {
        usage = false;
        status = export_atlas(argv[1], &c, &err);
    }
    return gm_cli_end("gm-cluster", "export", status, usage, &err);
}

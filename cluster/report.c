/* report.c - an atlas as one self-contained HTML page, and its pictures as files. */
#include "cluster/report.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/outfile.h"
#include "cluster/report_figures.h"
#include "cluster/summary.h"
#include "figures/html.h"

enum { DEFAULT_HEATMAPS = 40, TOP_EXPERTS = 5, PATH_BYTES = 4096 };

static void put_intro(gm_html *page, const gm_atlas *atlas)
{
    size_t noise = gm_atlas_n_noise(atlas);
    gm_html_raw(page, "<p>");
    gm_html_printf(page,
                   "%zu documents went through the model %s; for each, %d routed experts in each "
                   "of %d MoE layers were counted. The counts make the map, the map makes %zu "
                   "clusters; %zu documents (%.1f %%) belong to none.",
                   atlas->n, atlas->model, atlas->n_experts, atlas->n_layers, atlas->n_clusters,
                   noise, atlas->n ? 100.0 * (double)noise / (double)atlas->n : 0.0);
    gm_html_raw(page, "</p>\n");
}

static gm_status put_map(gm_html *page, const gm_atlas *atlas, gm_map_colouring colouring,
                         const char *alt, const char *caption, gm_error *err)
{
    gm_text png = {0};
    gm_status status = gm_report_map(atlas, colouring, &png, NULL, false, err);
    if (status == GM_OK) gm_html_picture(page, &png, alt, caption);
    gm_text_clear(&png);
    return status;
}

static void put_experts(gm_html *page, const gm_atlas *atlas, size_t cluster)
{
    gm_top_expert top[TOP_EXPERTS];
    size_t n = gm_cluster_top_experts(atlas, cluster, top, TOP_EXPERTS);
    gm_html_raw(page, "<td>");
    for (size_t i = 0; i < n; i++)
        gm_html_printf(page, "%s%d:%d (x%.1f)", i ? ", " : "",
                       atlas->layer_of_moe[top[i].moe_layer], top[i].expert, (double)top[i].lift);
    gm_html_raw(page, "</td>");
}

static void put_cluster_table(gm_html *page, const gm_atlas *atlas)
{
    static const char *const header[] = {"cluster",
                                         "documents",
                                         "keywords",
                                         "purity",
                                         "largest subset",
                                         "stability",
                                         "strongest experts, layer:expert (lift)"};
    gm_html_table_begin(page, "Clusters by size", header, sizeof header / sizeof *header);
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        char keywords[512];
        double purity;
        int subset = gm_cluster_main_subset(atlas, c, &purity);
        gm_cluster_title(atlas, c, GM_N_KEYWORDS, keywords, sizeof keywords);
        gm_html_cell_number(page, (double)c, 0);
        gm_html_cell_number(page, atlas->size[c], 0);
        gm_html_cell(page, keywords);
        gm_html_cell_number(page, purity, 2);
        gm_html_cell(page, subset < 0 ? "" : atlas->subset_name[subset]);
        gm_html_cell_number(page, (double)atlas->stability[c], 2);
        put_experts(page, atlas, c);
        gm_html_row_end(page);
    }
    gm_html_table_end(page);
}

static gm_status put_heatmaps(gm_html *page, const gm_atlas *atlas, size_t most, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text png = {0};
    size_t n = atlas->n_clusters < most ? atlas->n_clusters : most;
    gm_html_heading(page, 2, "Experts of each cluster");
    gm_html_paragraph(page, "Layers down, experts across; 1 is the rate of an expert chosen as "
                            "often as every other. Important experts are those the cluster uses "
                            "clearly more than the corpus does, in both halves of its documents.");
    for (size_t c = 0; c < n; c++) {
        char alt[64], caption[200], keywords[120];
        gm_text_clear(&png);
        GM_TRY(gm_report_heat(atlas, c, &png, NULL, false, err));
        gm_cluster_title(atlas, c, 5, keywords, sizeof keywords);
        snprintf(alt, sizeof alt, "Heatmaps of expert usage in cluster %zu", c);
        snprintf(caption, sizeof caption, "Cluster %zu, %u documents: %s", c, atlas->size[c],
                 keywords);
        gm_html_picture(page, &png, alt, caption);
    }
    if (n < atlas->n_clusters)
        gm_html_printf(page, "The %zu smaller clusters have no picture here.",
                       atlas->n_clusters - n);
out:
    gm_text_clear(&png);
    return status;
}

/* What the figures of an atlas mean, in a few words. */
static const struct {
    const char *name, *meaning;
} meanings[] = {
    {"noise_share", "documents that belong to no cluster"},
    {"trustworthiness", "1: who is near on the map is near by usage"},
    {"homogeneity", "1: no cluster mixes subsets"},
    {"completeness", "1: no subset is split among clusters"},
    {"nmi", "harmonic mean of the two"},
    {"ari", "adjusted Rand index of clusters and subsets; 0: independent"},
    {"purity", "clustered documents of their cluster's largest subset"},
    {"neighbour_purity", "neighbours by usage that are of the document's own subset"},
    {"neighbour_purity_chance", "the same for neighbours drawn at random"},
    {"control.documents", "documents that the comparison with words took"},
    {"control.router_neighbour_purity", "among those, neighbours by usage of the same subset"},
    {"control.words_neighbour_purity",
     "the same for neighbours by counts of words (hashed, Hellinger)"},
    {"split_half_correlation", "of each cluster's profiles from either half of its documents"},
    {"zero_documents", "documents without a counted choice"},
    {"distinct_documents", "documents of different counts"},
    {"isolated_documents", "documents without a neighbour"},
    {"graph_parts", "parts of the neighbour graph that no edge joins"},
    {"uncertified_neighbours", "documents whose neighbours were found the slow way"},
};

static const char *meaning_of(const char *name)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (strcmp(meanings[i].name, name) == 0) return meanings[i].meaning;
    return "";
}

/* A number, text or truth value; a list's items with blanks between them. */
static void put_value(gm_html *page, const gm_json *v)
{
    double number;
    bool flag;
    const char *text = gm_json_text(v, NULL);
    if (text)
        gm_html_printf(page, "%s", text);
    else if (gm_json_f64(v, &number))
        gm_html_printf(page, "%.6g", number);
    else if (gm_json_bool(v, &flag))
        gm_html_printf(page, "%s", flag ? "yes" : "no");
    else if (gm_json_kind_of(v) != GM_JSON_ARRAY)
        gm_html_printf(page, "-");
    else
        for (const gm_json *k = gm_json_first(v); k; k = gm_json_next(k)) {
            put_value(page, k);
            gm_html_raw(page, " ");
        }
}

/* A JSON object's members as rows; objects inside become rows "outer.inner". */
static void put_members(gm_html *page, const gm_json *object, const char *prefix, bool explained)
{
    for (const gm_json *v = gm_json_first(object); v; v = gm_json_next(v)) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", prefix, gm_json_key(v));
        if (gm_json_kind_of(v) == GM_JSON_OBJECT) {
            strncat(name, ".", sizeof name - strlen(name) - 1);
            put_members(page, v, name, explained);
            continue;
        }
        gm_html_cell(page, name);
        gm_html_raw(page, "<td>");
        put_value(page, v);
        gm_html_raw(page, "</td>");
        if (explained) gm_html_cell(page, meaning_of(name));
        gm_html_row_end(page);
    }
}

static gm_status put_json_table(gm_html *page, const char *title, const char *json, bool explained,
                                gm_error *err)
{
    static const char *const header[] = {"name", "value", "meaning"};
    gm_json *root = NULL;
    if (json == NULL || json[0] == '\0') return GM_OK;
    gm_status status = gm_json_parse(&root, json, strlen(json), title, err);
    if (status != GM_OK) return status;
    gm_html_heading(page, 2, title);
    gm_html_table_begin(page, NULL, header, explained ? 3 : 2);
    put_members(page, root, "", explained);
    gm_html_table_end(page);
    gm_json_free(root);
    return GM_OK;
}

static gm_status write_page(const gm_atlas *atlas, const gm_report_options *options, size_t most,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_html page;
    gm_html_begin(&page, "Expert atlas");
    gm_html_heading(&page, 1, "Expert atlas");
    put_intro(&page, atlas);
    GM_TRY(put_map(&page, atlas, GM_MAP_BY_CLUSTER, "Scatter map of the documents by cluster",
                   "UMAP of the expert usage vectors, coloured by HDBSCAN cluster.", err));
    if (atlas->n_subsets > 0)
        GM_TRY(put_map(&page, atlas, GM_MAP_BY_SUBSET, "Scatter map of the documents by subset",
                       "The same points, coloured by the corpus subset they come from.", err));
    gm_html_heading(&page, 2, "Clusters");
    gm_html_paragraph(
        &page, "Keywords: the words of highest TF-IDF, by the method under Parameters. Purity: "
               "documents that are of the largest subset. Stability: of HDBSCAN. Lift: how much "
               "more often the "
               "cluster chooses an expert than the whole corpus does.");
    put_cluster_table(&page, atlas);
    GM_TRY(put_heatmaps(&page, atlas, most, err));
    GM_TRY(put_json_table(&page, "Quality", atlas->quality, true, err));
    GM_TRY(put_json_table(&page, "Parameters", atlas->parameters, false, err));
    GM_TRY(gm_html_end(&page, err));
    GM_TRY(gm_outfile_write(options->html, options->replace, page.text.at, page.text.n, err));
out:
    gm_html_clear(&page);
    return status;
}

static gm_status write_figures(const gm_atlas *atlas, const gm_report_options *options, size_t most,
                               gm_error *err)
{
    gm_status status = GM_OK;
    char path[PATH_BYTES];
    const char *folder = options->figures, *ending = options->ending ? options->ending : "png";
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        GM_FAIL(GM_EIO, "cannot make the folder '%s': %s", folder, strerror(errno));
    if (strlen(folder) + 64 > sizeof path)
        GM_FAIL(GM_EARG, "the name of the folder '%s' is too long", folder);

    snprintf(path, sizeof path, "%s/map-clusters.%s", folder, ending);
    GM_TRY(gm_report_map(atlas, GM_MAP_BY_CLUSTER, NULL, path, options->replace, err));
    if (atlas->n_subsets > 0) {
        snprintf(path, sizeof path, "%s/map-subsets.%s", folder, ending);
        GM_TRY(gm_report_map(atlas, GM_MAP_BY_SUBSET, NULL, path, options->replace, err));
    }
    for (size_t c = 0; c < atlas->n_clusters && c < most; c++) {
        snprintf(path, sizeof path, "%s/cluster-%02zu.%s", folder, c, ending);
        GM_TRY(gm_report_heat(atlas, c, NULL, path, options->replace, err));
    }
out:
    return status;
}

gm_status gm_report_write(const gm_atlas *atlas, const gm_report_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    size_t most = options->most_heatmaps > 0 ? (size_t)options->most_heatmaps : DEFAULT_HEATMAPS;
    if (options->html) GM_TRY(write_page(atlas, options, most, err));
    if (options->figures) GM_TRY(write_figures(atlas, options, most, err));
out:
    return status;
}

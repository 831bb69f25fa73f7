/* atlas_page.c - the page of an atlas, part by part. The scripts stand in cluster/page/. */
#include "cluster/atlas_page.h"

#include "cluster/from_atlas.h"
#include "cluster/neighbour.h"
#include "cluster/page_assets.h"
#include "cluster/page_data.h"
#include "cluster/page_quality.h"
#include "cluster/atlas_selection.h"
#include "cluster/summary.h"

#include <math.h>
#include <string.h>

/* Shares are kept for so many experts that documents x experts stays below: 2^21 levels are
 * about a megabyte of the page. */
enum {
    MOST_SHARES = 1 << 21,
    AUTO_SNIPPET = 160,
    LEAST_SNIPPET = 20,
    TOP_EXPERTS = 5,
    MOST_SUBSETS = 100, /* columns of the table of clusters and subsets */
    END_BYTES = 64
};

static gm_status put_header(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    size_t noise = gm_atlas_n_noise(atlas);
    gm_usage_kind kind;
    gm_text part = {0};
    gm_status status = gm_from_atlas_usage(&kind, atlas, err);
    if (status == GM_OK) status = gm_atlas_selection_describe(&part, atlas, err);
    if (status != GM_OK) goto out;
    const bool counts = kind == GM_USAGE_COUNTS;
    gm_html_raw(page, "<header>\n");
    gm_html_heading(page, 1, "Expert atlas");
    gm_html_raw(page, "<p>");
    gm_html_printf(
        page,
        "%zu document%s run through %s, %s of %d routed experts in each of %d MoE "
        "layers. The map and its %zu cluster%s were made from these %s; %zu document%s (%.1f %%) "
        "belong%s to none.",
        atlas->n, atlas->n == 1 ? " was" : "s were", atlas->model,
        counts ? "counting for each how often it uses each"
               : "adding up for each the gates of each",
        atlas->n_experts, atlas->n_layers, atlas->n_clusters, gm_plural(atlas->n_clusters),
        counts ? "counts" : "sums", noise, gm_plural(noise),
        atlas->n ? 100.0 * (double)noise / (double)atlas->n : 0.0, noise == 1 ? "s" : "");
    if (part.n > 0) gm_html_printf(page, " %s", part.at);
    gm_html_raw(page, "</p>\n");
    status = gm_page_put_lights(page, atlas, err);
    gm_html_raw(page, "</header>\n<main>\n");
out:
    gm_text_clear(&part);
    return status;
}

/* ---- tables ---- */

static void put_experts(gm_html *page, const gm_atlas *atlas, size_t cluster)
{
    gm_top_expert top[TOP_EXPERTS];
    size_t n = gm_cluster_top_experts(atlas, cluster, top, TOP_EXPERTS);
    gm_html_raw(page, "<td class=\"list\">");
    for (size_t i = 0; i < n; i++)
        gm_html_printf(page, "%s%d:%d (x%.1f)", i ? ", " : "",
                       atlas->layer_of_moe[top[i].moe_layer], top[i].expert, (double)top[i].lift);
    gm_html_raw(page, "</td>");
}

/* Figures of clusters (C) that an atlas may hold; what none of them has is no column. */
typedef struct figure_column {
    const char *title;
    const float *value;
} figure_column;

enum { MOST_FIGURES = 5 };

static bool has_number(const float *value, size_t n)
{
    for (size_t i = 0; value && i < n; i++)
        if (!isnan(value[i])) return true;
    return false;
}

/* Those there are, `stability` first; returns how many. */
static size_t find_figures(figure_column known[MOST_FIGURES], const gm_atlas *atlas)
{
    const figure_column all[MOST_FIGURES] = {{"stability", atlas->stability},
                                             {"stable across seeds", atlas->seed_jaccard},
                                             {"stable across halves", atlas->half_jaccard},
                                             {"density (DBCV)", atlas->validity},
                                             {"coherence", atlas->coherence}};
    size_t n = 0;
    for (size_t i = 0; i < MOST_FIGURES; i++)
        if (i == 0 || has_number(all[i].value, atlas->n_clusters)) known[n++] = all[i];
    return n;
}

static void put_keywords(gm_html *page, const gm_atlas *atlas, size_t c)
{
    char keywords[512];
    const char *name = atlas->name ? atlas->name[c] : NULL;
    gm_cluster_title(atlas, c, GM_N_KEYWORDS, keywords, sizeof keywords);
    gm_html_raw(page, "<td>");
    if (name && name[0]) {
        gm_html_raw(page, "<b>");
        gm_html_text(page, name, strlen(name));
        gm_html_raw(page, "</b>: ");
    }
    gm_html_text(page, keywords, strlen(keywords));
    gm_html_raw(page, "</td>");
}

static gm_status put_cluster_table(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    enum { BEFORE = 5 }; /* columns before the figures */
    static const char experts[] = "strongest experts, layer:expert (lift)";
    const char *header[BEFORE + MOST_FIGURES + 1] = {"cluster", "documents", "keywords", "purity",
                                                     "largest subset"};
    figure_column figure[MOST_FIGURES];
    const char *note;
    const size_t n = find_figures(figure, atlas);
    gm_status status = gm_keywords_note(&note, atlas, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < n; i++) header[BEFORE + i] = figure[i].title;
    header[BEFORE + n] = experts;

    if (note[0]) {
        gm_html_raw(page, "<p>");
        gm_html_printf(page, "%s", note);
        gm_html_raw(page, "</p>\n");
    }
    gm_html_table_begin(
        page,
        "Purity: share of documents in the largest subset. Stability: as in HDBSCAN. Lift: how "
        "many times as often as the whole corpus the cluster chooses an expert.",
        header, (int)(BEFORE + n + 1));
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        double purity;
        int subset = gm_cluster_main_subset(atlas, c, &purity);
        gm_html_cell_number(page, (double)c, 0);
        gm_html_cell_number(page, atlas->size[c], 0);
        put_keywords(page, atlas, c);
        gm_html_cell_number(page, purity, 2);
        gm_html_cell(page, subset < 0 ? "" : atlas->subset_name[subset]);
        for (size_t i = 0; i < n; i++) gm_html_cell_number(page, (double)figure[i].value[c], 2);
        put_experts(page, atlas, c);
        gm_html_row_end(page);
    }
    gm_html_table_end(page);
    return GM_OK;
}

static gm_status put_clusters(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_html_raw(page, "<section id=\"clusters\" aria-label=\"Clusters\">\n");
    gm_html_heading(page, 2, "Clusters");
    if (atlas->n_clusters > 0)
        status = put_cluster_table(page, atlas, err);
    else
        gm_html_paragraph(page, "There is none: at no density do the documents part into groups "
                                "of --min-cluster-size or more. 'gm-cluster recut ATLAS "
                                "--min-cluster-size N' says at once what a smaller number finds, "
                                "and writes it with -o.");
    gm_html_raw(page, "</section>\n");
    return status;
}

/* All subsets, or of more than MOST_SUBSETS the largest, largest first; *n: how many. */
static gm_status choose_subsets(uint32_t subset[MOST_SUBSETS], size_t *n, const gm_atlas *atlas,
                                gm_error *err)
{
    const size_t S = atlas->n_subsets;
    gm_neighbour largest[MOST_SUBSETS]; /* by size, negated */
    size_t *size;
    gm_status status = gm_atlas_noise_by(&size, atlas, gm_atlas_subsets(atlas), err);
    *n = 0;
    if (status != GM_OK) return status;
    for (size_t s = 0; s < S; s++)
        gm_neighbour_insert(largest, n, MOST_SUBSETS,
                            (gm_neighbour){-(double)size[s], (uint32_t)s});
    for (size_t i = 0; i < *n; i++) subset[i] = S > MOST_SUBSETS ? largest[i].index : (uint32_t)i;
    gm_free(size);
    return GM_OK;
}

/* Clusters down, subsets across; a cell's shade is its share of the cluster. */
static gm_status put_matrix(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    const size_t S = atlas->n_subsets;
    uint32_t subset[MOST_SUBSETS];
    size_t n;
    if (S < 2 || atlas->n_clusters == 0) return GM_OK;
    gm_status status = choose_subsets(subset, &n, atlas, err);
    if (status != GM_OK) return status;
    gm_html_raw(page, "<section id=\"matrix\">\n");
    gm_html_heading(page, 2, "Clusters and subsets");
    gm_html_raw(page,
                "<div class=\"wide\" tabindex=\"0\"><table><caption>Documents of each cluster by "
                "subset; darker: a "
                "larger share of the cluster.");
    if (n < S) gm_html_printf(page, " The %zu largest of %zu subsets.", n, S);
    gm_html_raw(page, "</caption>\n<thead><tr><th scope=\"col\">cluster</th>");
    for (size_t i = 0; i < n; i++) {
        const char *name = atlas->subset_name[subset[i]];
        gm_html_raw(page, "<th scope=\"col\" class=\"up\"><span>");
        gm_html_text(page, name, strlen(name));
        gm_html_raw(page, "</span></th>");
    }
    gm_html_raw(page, "</tr></thead>\n<tbody>");
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        gm_html_raw(page, "<tr><th scope=\"row\">");
        gm_html_printf(page, "%zu", c);
        gm_html_raw(page, "</th>");
        for (size_t i = 0; i < n; i++) {
            uint32_t count = atlas->subset_count[c * S + subset[i]];
            double share = atlas->size[c] ? (double)count / (double)atlas->size[c] : 0;
            char cell[32];
            snprintf(cell, sizeof cell, "<td class=\"n m%d\">", (int)ceil(9 * share));
            gm_html_raw(page, cell);
            if (count) gm_html_printf(page, "%u", count);
            gm_html_raw(page, "</td>");
        }
        gm_html_raw(page, "</tr>\n");
    }
    gm_html_raw(page, "</tbody></table></div></section>\n");
    return GM_OK;
}

/* ---- texts ---- */

/* The beginnings of all documents, as long as the page's limit allows; *shown: how long. */
static gm_status put_snippets(gm_html *page, const gm_report_options *options, size_t room,
                              size_t *shown, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text whole = {0}, cut = {0};
    size_t most = options->snippet < 0 ? AUTO_SNIPPET : (size_t)options->snippet;
    *shown = 0;
    if (most == 0 || options->trace == NULL || !gm_trace_get_info(options->trace)->has_text)
        return GM_OK;
    GM_TRY(gm_page_snippets(&whole, options->trace, most, err));
    for (;;) {
        const size_t before = page->text.n;
        cut.n = 0;
        GM_TRY(gm_page_cut_lines(&cut, &whole, most, err));
        size_t taken = gm_html_data(page, "text", cut.at, cut.n);
        if (page->status != GM_OK || options->snippet >= 0 || taken <= room) break;
        page->text.n = before; /* too long: take it back, and shorter by what was too much */
        size_t next = (size_t)(0.97 * (double)most * (double)room / (double)taken);
        most = next < most ? next : most - 1;
        if (most < LEAST_SNIPPET) {
            most = 0;
            break;
        }
    }
    *shown = most;
out:
    gm_text_clear(&whole);
    gm_text_clear(&cut);
    return status;
}

/* What of the documents is on the page, in words. */
static void put_footer(gm_html *page, const gm_atlas *atlas, const gm_report_options *options,
                       const gm_page_documents *documents, size_t snippet)
{
    const size_t dim = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    gm_html_raw(page, "<section aria-label=\"About this page\"><h2>About this page</h2>\n<p>");
    gm_html_printf(page, "This page is a single file that needs no network. ");
    if (options->trace == NULL)
        gm_html_printf(page, "It was written without the trace (give report --trace FILE), so it "
                             "has no texts, no document's shares of experts, and no z. ");
    else if (snippet > 0)
        gm_html_printf(page, "It has at most the first %zu characters of each text. ", snippet);
    else
        gm_html_printf(page, "It has no texts. ");
    if (documents && documents->n_columns < dim)
        gm_html_printf(page,
                       "Each document's shares of experts are stored for %zu of the %zu experts, "
                       "those that stand out most in the clusters, in %d levels; for the others "
                       "the map shows the mean of the document's cluster. ",
                       documents->n_columns, dim, GM_SHARE_LEVELS);
    else if (documents)
        gm_html_printf(page, "Each document's shares of experts are stored in %d levels. ",
                       GM_SHARE_LEVELS);
    gm_html_raw(page, "</p>\n<details><summary>Licence of d3, parts of which are in this page"
                      "</summary><pre>");
    gm_html_text(page, (const char *)gm_asset_d3_licence.at, gm_asset_d3_licence.n);
    gm_html_raw(page, "</pre></details></section>\n");
    gm_html_footer(page, atlas->command ? atlas->command : "gm-cluster fit", NULL);
}

/* ---- the page ---- */

static gm_status put_documents(gm_html *page, const gm_atlas *atlas,
                               const gm_report_options *options, gm_page_documents *documents,
                               gm_error *err)
{
    gm_status status = GM_OK;
    if (options->trace) {
        const size_t columns = atlas->n ? MOST_SHARES / atlas->n : 0;
        GM_TRY(gm_atlas_check_trace(atlas, options->trace, err));
        GM_TRY(gm_page_documents_read(documents, atlas, options->trace, columns, err));
    }
    GM_TRY(gm_page_put_data(page, atlas, options->trace ? documents : NULL, err));
out:
    return status;
}

gm_status gm_atlas_page(gm_html *page, const gm_atlas *atlas, const gm_report_options *options,
                        gm_error *err)
{
    static const gm_asset *const script[] = {&gm_asset_d3, &gm_asset_page_script};
    gm_status status = GM_OK;
    if (atlas->n_clusters > GM_PAGE_MOST_CLUSTERS)
        return gm_fail(
            err, GM_EARG,
            "the atlas has %zu clusters, but a page shows at most %d; 'gm-cluster recut' "
            "makes fewer",
            atlas->n_clusters, GM_PAGE_MOST_CLUSTERS);
    gm_page_documents documents = {0};
    gm_html footer = {0};
    size_t snippet;
    gm_html_begin_scripted(page, options->name, "expert atlas", &gm_asset_page_style, script, 2);
    GM_TRY(put_header(page, atlas, err));
    gm_html_asset(page, &gm_asset_page_explore);
    GM_TRY(put_clusters(page, atlas, err));
    gm_html_asset(page, &gm_asset_page_experts);
    GM_TRY(put_matrix(page, atlas, err));
    GM_TRY(gm_page_put_json(page, "Quality", atlas->quality, true, err));
    GM_TRY(gm_page_put_json(page, "Parameters", atlas->parameters, false, err));
    gm_html_raw(page, "</main>\n");
    GM_TRY(put_documents(page, atlas, options, &documents, err));
    gm_html_script(page, script[0]);
    gm_html_script(page, script[1]); /* draws; ids and texts are read later */
    GM_TRY(gm_page_put_ids(page, atlas, err));

    /* the texts take what the footer, which says how long they are, will leave */
    put_footer(&footer, atlas, options, options->trace ? &documents : NULL, AUTO_SNIPPET);
    const size_t used = page->text.n + footer.text.n + END_BYTES,
                 limit = options->most_bytes ? options->most_bytes : GM_REPORT_MAX_BYTES;
    GM_TRY(put_snippets(page, options, limit > used ? limit - used : 0, &snippet, err));
    put_footer(page, atlas, options, options->trace ? &documents : NULL, snippet);
    GM_TRY(gm_html_end(page, err));
out:
    gm_html_clear(&footer);
    gm_page_documents_clear(&documents);
    return status;
}

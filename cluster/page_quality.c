/* page_quality.c - quality figures as lights, and all figures and parameters as tables. */
#include "cluster/page_quality.h"

#include "base/json.h"

#include <string.h>

/* The atlas's JSON, or NULL when it has none. */
static gm_status parse(gm_json **root, const char *json, const char *title, gm_error *err)
{
    *root = NULL;
    if (json == NULL || json[0] == '\0') return GM_OK;
    return gm_json_parse(root, json, strlen(json), title, err);
}

/* ---- lights ---- */

/* A level of the verdict as a mark and a word; `several`: what more than one are called. */
typedef struct light {
    const char *level, *style, *word, *several;
} light;

enum { N_KNOWN = 3 };
static const light known[N_KNOWN] = {{"doubt", "poor", "Doubt.", "doubts"},
                                     {"fair", "fair", "Fair.", "fair"},
                                     {"trust", "good", "Trust.", "trust"}};

/* A member of a JSON object as text; "" when it is not there. */
static const char *text_of(const gm_json *object, const char *key)
{
    const gm_json *found = gm_json_find(object, key);
    const char *text = found ? gm_json_text(found, NULL) : NULL;
    return text ? text : "";
}

static void put_light(gm_html *page, const light *l, const char *text)
{
    gm_html_raw(page, "<li class=\"light ");
    gm_html_raw(page, l->style);
    gm_html_raw(page, "\"><b>");
    gm_html_raw(page, l->word);
    gm_html_raw(page, "</b> ");
    gm_html_text(page, text, strlen(text));
    gm_html_raw(page, "</li>\n");
}

/* How many lines of the verdict have this level. */
static size_t count_of(const gm_json *verdict, const char *level)
{
    size_t n = 0;
    for (const gm_json *v = gm_json_first(verdict); v; v = gm_json_next(v))
        n += strcmp(text_of(v, "level"), level) == 0;
    return n;
}

/* All of the verdict in a line that can be folded: the marks, and how many there are of each. */
static void put_summary(gm_html *page, const gm_json *verdict)
{
    gm_html_raw(page, "<details id=\"verdict\" open><summary><b>What to trust</b>");
    for (size_t i = 0; i < N_KNOWN; i++) {
        const size_t n = count_of(verdict, known[i].level);
        if (n == 0) continue;
        gm_html_raw(page, " <span class=\"light ");
        gm_html_raw(page, known[i].style);
        gm_html_raw(page, "\">");
        gm_html_printf(page, "%zu %s", n, n == 1 ? known[i].level : known[i].several);
        gm_html_raw(page, "</span>");
    }
    gm_html_raw(page, "</summary>\n");
}

gm_status gm_page_put_lights(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    static const light none = {NULL, "none", "Not computed:", NULL};
    gm_json *root;
    gm_status status = parse(&root, atlas->quality, "quality", err);
    if (status != GM_OK) return status;
    const gm_json *verdict = root ? gm_json_find(root, "verdict") : NULL;
    if (verdict) put_summary(page, verdict);
    gm_html_raw(page, "<ul class=\"lights\" aria-label=\"What to trust\">\n");
    if (verdict == NULL)
        put_light(page, &none, "this atlas does not say what to trust; run gm-cluster fit again");
    for (size_t i = 0; verdict && i < N_KNOWN; i++)
        for (const gm_json *v = gm_json_first(verdict); v; v = gm_json_next(v))
            if (strcmp(text_of(v, "level"), known[i].level) == 0)
                put_light(page, &known[i], text_of(v, "text"));
    gm_html_raw(page, verdict ? "</ul></details>\n" : "</ul>\n");
    gm_json_free(root);
    return GM_OK;
}

/* ---- tables ---- */

/* What the figures of an atlas mean, in a few words. */
static const struct {
    const char *name, *meaning;
} meanings[] = {
    {"level",
     "measured over all documents (full), over samples, or only where it costs nothing (none)"},
    {"documents", "on the map"},
    {"clusters", "that were found"},
    {"noise_share", "documents that belong to no cluster"},
    {"noise_by_subset", "the same for each subset"},
    {"noise_by_script", "the same for each script, the one of most letters"},
    {"noise_by_language", "the same for each language"},
    {"trustworthiness", "1: documents near each other on the map are near by usage"},
    {"continuity", "1: documents near each other by usage are near on the map"},
    {"neighbours_kept", "nearest neighbours by usage that are also nearest on the map"},
    {"map_neighbours", "neighbours that these three look at"},
    {"map_documents", "documents that these three were measured on"},
    {"density_correlation",
     "does density on the map follow density by usage? Correlation, -1 to 1"},
    {"dimensions.dimensions", "of the layout in which clusters were found"},
    {"dimensions.trustworthiness", "of that layout, as above"},
    {"dimensions.continuity", "of that layout, as above"},
    {"dimensions.neighbours_kept", "of that layout, as above"},
    {"dimensions.map_clusters", "clusters of the map itself, by the same parameters"},
    {"dimensions.map_noise_share", "documents in none of those"},
    {"dimensions.ari", "agreement of both clusterings"},
    {"dimensions.ami", "the same by mutual information, adjusted for chance"},
    {"dimensions.noise_alike", "documents that are noise in both or in neither"},
    {"homogeneity", "1: no cluster mixes subsets"},
    {"completeness", "1: no subset is split among clusters"},
    {"nmi", "harmonic mean of the two"},
    {"ami", "mutual information of clusters and subsets, adjusted for chance; 0: independent"},
    {"ari", "adjusted Rand index of clusters and subsets; 0: independent"},
    {"purity", "clustered documents that are of their cluster's largest subset"},
    {"neighbour_purity", "neighbours by usage that are of the document's own subset"},
    {"neighbour_purity_chance", "the same for neighbours drawn at random"},
    {"dbcv", "density within clusters compared with that between them, -1 to 1"},
    {"dbcv_documents", "documents that this was measured on"},
    {"seed_ari", "agreement with the clusters found with other seeds"},
    {"seed_ari_min", "with those found with the seed that agrees least"},
    {"seed_ari_among", "agreement of the other seeds with each other"},
    {"half_ari", "agreement with the clusters of either half of the documents"},
    {"reruns.seeds", "the maps made with other seeds: their clusters, and how far they agree"},
    {"reruns.halves", "the maps made of either half of the documents"},
    {"coherence", "do a cluster's keywords occur in the same documents? NPMI, -1 to 1"},
    {"diversity", "different words among all keywords; 1: no two clusters share one"},
    {"length_noise", "correlation of a document's length with being in no cluster"},
    {"length_cluster", "correlation of a document's length with its cluster"},
    {"control", "clusters without a router: there are neither tokens nor words to make them from"},
    {"control.basis", "what clusters without a router were made from"},
    {"control.documents", "documents in this comparison"},
    {"control.router_neighbour_purity", "among those, neighbours by usage of the same subset"},
    {"control.tokens_neighbour_purity", "the same for neighbours by frequencies alone"},
    {"control.chance", "the same for neighbours drawn at random"},
    {"control.shared_neighbours", "neighbours by usage that are neighbours by frequencies too"},
    {"control.shared_chance", "the same for neighbours drawn at random"},
    {"control.token_clusters", "clusters without the router"},
    {"control.ari", "agreement of the clusters with and without the router"},
    {"control.router_ami", "what the clusters tell about the subsets, adjusted for chance"},
    {"control.tokens_ami", "the same for the clusters without the router"},
    {"control.router_homogeneity", "1: no cluster mixes subsets, among those documents"},
    {"control.tokens_homogeneity", "the same for the clusters without the router"},
    {"control.added_ami", "what the router tells about the subsets beyond them"},
    {"split_half_correlation",
     "correlation of each cluster's profiles from the two halves of its documents"},
    {"zero_documents", "documents without a counted choice"},
    {"distinct_documents", "documents with distinct counts"},
    {"isolated_documents", "documents without a neighbour"},
    {"graph_parts", "unconnected parts of the neighbour graph"},
    {"uncertified_neighbours", "documents whose neighbours were found exactly"},
    {"neighbour_recall", "nearest neighbours that the approximate search found"},
    {"neighbour_recall_documents", "documents that this was measured on"},
};

static const char *meaning_of(const char *name)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (strcmp(meanings[i].name, name) == 0) return meanings[i].meaning;
    return "";
}

/* What the lights say, and by which limits, stands there. */
static const char *shown_meaning(const char *name)
{
    const bool lit = strcmp(name, "verdict") == 0 || strcmp(name, "thresholds") == 0;
    return lit ? NULL : meaning_of(name);
}

gm_status gm_page_put_json(gm_html *page, const char *title, const char *json, bool explained,
                           gm_error *err)
{
    if (json == NULL || json[0] == '\0') return GM_OK;
    gm_html_heading(page, 2, title);
    return gm_html_members(page, json, title, explained ? shown_meaning : NULL, err);
}

/* page_quality.c - quality figures as lights, and all figures and parameters as tables. */
#include "cluster/page_quality.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

/* ---- lights ---- */

/* A figure and where it begins to be good, and to be fair; good < fair: less is better. */
typedef struct light {
    const char *name; /* member of the quality figures; a list counts by its mean */
    const char *title;
    double good, fair;
} light;

static const light lights[] = {
    {"trustworthiness", "neighbours on the map use the same experts", 0.9, 0.8},
    {"noise_share", "documents in no cluster", 0.2, 0.4},
    {"split_half_correlation", "profiles come out again from half the documents", 0.9, 0.7},
};

/* A number, or the mean of a list's numbers; NaN when it is neither. */
static double figure_of(const gm_json *value)
{
    double number, sum = 0, n = 0;
    if (value == NULL) return NAN;
    if (gm_json_f64(value, &number)) return number;
    if (gm_json_kind_of(value) != GM_JSON_ARRAY) return NAN;
    for (const gm_json *v = gm_json_first(value); v; v = gm_json_next(v))
        if (gm_json_f64(v, &number)) sum += number, n++;
    return n > 0 ? sum / n : (double)NAN;
}

static void put_light(gm_html *page, const light *l, double value)
{
    const double sign = l->good < l->fair ? -1 : 1;
    const char *word = isnan(value)                     ? "not computed"
                       : sign * value >= sign * l->good ? "good"
                       : sign * value >= sign * l->fair ? "fair"
                                                        : "poor";
    gm_html_raw(page, "<li class=\"light ");
    gm_html_raw(page, isnan(value) ? "none" : word);
    gm_html_raw(page, "\"><b>");
    gm_html_raw(page, word);
    gm_html_raw(page, "</b> ");
    if (isnan(value))
        gm_html_printf(page, "%s", l->title);
    else
        gm_html_printf(page, "%s: %.3g (good from %g, fair from %g)", l->title, value, l->good,
                       l->fair);
    gm_html_raw(page, "</li>\n");
}

/* Would words alone have done? */
static void put_control(gm_html *page, const gm_json *control)
{
    double router = control ? figure_of(gm_json_find(control, "router_neighbour_purity")) : NAN,
           words = control ? figure_of(gm_json_find(control, "words_neighbour_purity")) : NAN;
    if (isnan(router) || isnan(words)) return;
    bool ahead = router >= words;
    gm_html_raw(page, ahead ? "<li class=\"light good\"><b>good</b> "
                            : "<li class=\"light fair\"><b>fair</b> ");
    gm_html_printf(page, "neighbours of one subset: %.3g by experts, %.3g by words alone", router,
                   words);
    gm_html_raw(page, "</li>\n");
}

/* The atlas's JSON, or NULL when it has none. */
static gm_status parse(gm_json **root, const char *json, const char *title, gm_error *err)
{
    *root = NULL;
    if (json == NULL || json[0] == '\0') return GM_OK;
    return gm_json_parse(root, json, strlen(json), title, err);
}

gm_status gm_page_put_lights(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    gm_json *root;
    gm_status status = parse(&root, atlas->quality, "quality", err);
    if (status != GM_OK) return status;
    gm_html_raw(page, "<ul class=\"lights\" aria-label=\"Quality\">\n");
    for (size_t i = 0; i < sizeof lights / sizeof *lights; i++)
        put_light(page, &lights[i], figure_of(root ? gm_json_find(root, lights[i].name) : NULL));
    put_control(page, root ? gm_json_find(root, "control") : NULL);
    gm_html_raw(page, "</ul>\n");
    gm_json_free(root);
    return GM_OK;
}

/* ---- tables ---- */

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

gm_status gm_page_put_json(gm_html *page, const char *title, const char *json, bool explained,
                           gm_error *err)
{
    static const char *const header[] = {"name", "value", "meaning"};
    gm_json *root;
    gm_status status = parse(&root, json, title, err);
    if (status != GM_OK || root == NULL) return status;
    gm_html_raw(page, "<section>\n");
    gm_html_heading(page, 2, title);
    gm_html_table_begin(page, NULL, header, explained ? 3 : 2);
    put_members(page, root, "", explained);
    gm_html_table_end(page);
    gm_html_raw(page, "</section>\n");
    gm_json_free(root);
    return GM_OK;
}

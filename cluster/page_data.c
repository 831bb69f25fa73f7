/* page_data.c - an atlas's arrays made small: quantised, as bytes in elements of the page. */
#include "cluster/page_data.h"

#include "base/json.h"
#include "cluster/page_tree.h"
#include "cluster/profile.h"
#include "cluster/report_figures.h"
#include "cluster/summary.h"

#include <math.h>
#include <string.h>

enum {
    MOST_BRANCHES = 600,
    BRANCH_WORDS = 4,
    NOWHERE = 0xFFFF,
    PLACES = 0xFFFE,
    USAGE_LEVELS = 4096
};

/* The square that all places lie in. */
typedef struct square {
    double left, bottom, side;
} square;

static square find_square(const gm_atlas *atlas)
{
    double lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < 2 * atlas->n; i++) {
        double v = (double)atlas->xy[i];
        if (!isfinite(v)) continue;
        lo[i & 1] = fmin(lo[i & 1], v), hi[i & 1] = fmax(hi[i & 1], v);
    }
    if (!(lo[0] <= hi[0]) || !(lo[1] <= hi[1])) return (square){0, 0, 1};
    double side = fmax(hi[0] - lo[0], hi[1] - lo[1]);
    if (!(side > 0)) side = 1;
    return (square){(lo[0] + hi[0] - side) / 2, (lo[1] + hi[1] - side) / 2, side};
}

static void put_le(uint8_t *at, size_t width, uint32_t value)
{
    for (size_t b = 0; b < width; b++) at[b] = (uint8_t)(value >> 8 * b);
}

/* q in [0, levels) so that (q/(levels-1))^2 is near value/most. */
static uint32_t root_level(double value, double most, uint32_t levels)
{
    double share = most > 0 && value > 0 ? fmin(1, value / most) : 0;
    return (uint32_t)lround((levels - 1) * sqrt(share));
}

/* ---- documents ---- */

/* An integer of a document as the page knows it. */
typedef uint32_t document_value(const gm_atlas *atlas, size_t i);

static uint32_t cluster_of(const gm_atlas *atlas, size_t i)
{
    return atlas->cluster[i] < 0 ? NOWHERE : (uint32_t)atlas->cluster[i];
}
static uint32_t subset_of(const gm_atlas *atlas, size_t i)
{
    return atlas->subset[i];
}
static uint32_t script_of(const gm_atlas *atlas, size_t i)
{
    return atlas->script[i];
}
static uint32_t language_of(const gm_atlas *atlas, size_t i)
{
    return atlas->language[i];
}
static uint32_t tokens_of(const gm_atlas *atlas, size_t i)
{
    return atlas->n_tokens[i];
}
static uint32_t byte_of(double share)
{
    return share >= 0 ? (uint32_t)lround(255 * fmin(1, share)) : 0;
}
static uint32_t probability_of(const gm_atlas *atlas, size_t i)
{
    return byte_of((double)atlas->probability[i]);
}
static uint32_t outlier_of(const gm_atlas *atlas, size_t i)
{
    return byte_of((double)atlas->outlier[i]);
}

static gm_status put_places(gm_html *page, const gm_atlas *atlas, const square *s, gm_error *err)
{
    const size_t n = atlas->n;
    uint8_t *bytes = gm_alloc(n, 4);
    if (bytes == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu places", n);
    for (size_t i = 0; i < n; i++) {
        double x = ((double)atlas->xy[2 * i] - s->left) / s->side,
               y = ((double)atlas->xy[2 * i + 1] - s->bottom) / s->side;
        bool placed = isfinite(x) && isfinite(y);
        put_le(bytes + 2 * i, 2, placed ? (uint32_t)lround(PLACES * x) : NOWHERE);
        put_le(bytes + 2 * (n + i), 2, placed ? (uint32_t)lround(PLACES * y) : NOWHERE);
    }
    (void)gm_html_data(page, "xy", bytes, 4 * n);
    gm_free(bytes);
    return GM_OK;
}

/* Known, and few enough for a byte each. */
static bool languages_fit(const gm_atlas *atlas)
{
    return atlas->language && atlas->n_languages > 0 && atlas->n_languages <= 256;
}

static gm_status put_documents(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    static const struct {
        const char *id;
        size_t width; /* bytes */
        document_value *value;
    } column[] = {
        {"cluster", 2, cluster_of},   {"subset", 2, subset_of},           {"tokens", 4, tokens_of},
        {"outlier", 1, outlier_of},   {"probability", 1, probability_of}, {"script", 1, script_of},
        {"language", 1, language_of},
    };
    const size_t n_columns = sizeof column / sizeof *column;
    uint8_t *bytes = gm_alloc(atlas->n, 4);
    if (bytes == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu documents", atlas->n);
    for (size_t c = 0; c < n_columns; c++) {
        size_t width = column[c].width;
        if (column[c].value == script_of && atlas->script == NULL) continue;
        if (column[c].value == language_of && !languages_fit(atlas)) continue;
        for (size_t i = 0; i < atlas->n; i++)
            put_le(bytes + width * i, width, column[c].value(atlas, i));
        (void)gm_html_data(page, column[c].id, bytes, width * atlas->n);
    }
    gm_free(bytes);
    return GM_OK;
}

gm_status gm_page_put_ids(gm_html *page, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    for (size_t i = 0; i < atlas->n; i++) {
        const size_t start = text.n;
        GM_TRY(gm_html_visible(&text, atlas->id[i], strlen(atlas->id[i]), err));
        for (size_t k = start; k < text.n; k++) /* the page has an id a line */
            if (text.at[k] == '\n') text.at[k] = ' ';
        GM_TRY(gm_text_append(&text, "\n", 1, err));
    }
    (void)gm_html_data(page, "ids", text.at, text.n);
out:
    gm_text_clear(&text);
    return status;
}

/* ---- clusters ---- */

/* Not by fmax: gcc 12 for aarch64 breaks off in this loop ("internal compiler error"). */
static double largest(const float *value, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if ((double)value[i] > most) most = (double)value[i];
    return most;
}

/* n values in levels of their roots, of which the highest is `most`. */
static void code_roots(uint8_t *bytes, const float *value, size_t n, double most)
{
    for (size_t i = 0; i < n; i++)
        put_le(bytes + 2 * i, 2, root_level((double)value[i], most, USAGE_LEVELS));
}

static gm_status put_usage(gm_html *page, const gm_atlas *atlas, double most, gm_error *err)
{
    const size_t dim = (size_t)atlas->n_layers * (size_t)atlas->n_experts, C = atlas->n_clusters;
    uint8_t *bytes = gm_alloc2(C + 1, dim, 2);
    if (bytes == NULL) return gm_fail(err, GM_EMEM, "no memory for the usage of %zu clusters", C);
    code_roots(bytes, atlas->usage, C * dim, most);
    code_roots(bytes + 2 * C * dim, atlas->corpus_usage, dim, most);
    (void)gm_html_data(page, "usage", bytes, 2 * (C + 1) * dim);
    (void)gm_html_data(page, "important", atlas->important, C * dim);
    gm_free(bytes);
    return GM_OK;
}

static gm_status put_shares(gm_html *page, const gm_atlas *atlas,
                            const gm_page_documents *documents, double most, gm_error *err)
{
    const size_t dim = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    uint8_t *bytes = gm_alloc(dim, 2);
    if (bytes == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu experts", dim);
    code_roots(bytes, documents->spread, dim, most);
    (void)gm_html_data(page, "spread", bytes, 2 * dim);
    (void)gm_html_data(page, "shares", documents->level, documents->n_columns * atlas->n);
    gm_free(bytes);
    return GM_OK;
}

/* ---- JSON ---- */

/* Four digits are enough for a picture. */
static void put_short(gm_json_out *out, const char *key, double value)
{
    char digits[32];
    double rounded;
    snprintf(digits, sizeof digits, "%.4g", value);
    gm_json_put_f64(out, key, gm_parse_f64(digits, &rounded) ? rounded : (double)NAN);
}

/* A stranger's text as the page may show it. */
static void put_visible(gm_json_out *out, const char *key, const char *text)
{
    gm_text shown = {0};
    gm_status status = gm_html_visible(&shown, text, strlen(text), NULL);
    if (status == GM_OK)
        gm_json_put_text(out, key, shown.at ? shown.at : "", shown.n);
    else if (out->status == GM_OK)
        out->status = status;
    gm_text_clear(&shown);
}

static void put_colour(gm_json_out *out, const char *key, gm_rgb colour)
{
    char hex[8];
    snprintf(hex, sizeof hex, "#%02x%02x%02x", colour.r, colour.g, colour.b);
    gm_json_put_string(out, key, hex);
}

static void put_scale(gm_json_out *out, const char *key, gm_rgb colour(double), double lo)
{
    enum { STEPS = 64 };
    gm_json_open_array(out, key);
    for (int i = 0; i < STEPS; i++) put_colour(out, NULL, colour(lo + (1 - lo) * i / (STEPS - 1)));
    gm_json_close_array(out);
}

/* The first words of a list of GM_N_KEYWORDS, at most `most`; NULL: none. */
static void put_words(gm_json_out *out, const char *key, const char *const *word, size_t most)
{
    gm_json_open_array(out, key);
    for (size_t k = 0; word && k < most; k++)
        if (word[k] && word[k][0]) put_visible(out, NULL, word[k]);
    gm_json_close_array(out);
}

/* Members that stand for a cluster, or far from it. */
static void put_examples(gm_json_out *out, const char *key, const uint32_t *document)
{
    gm_json_open_array(out, key);
    for (size_t x = 0; document && x < GM_N_EXAMPLES; x++)
        if (document[x] != GM_ATLAS_NONE) gm_json_put_u64(out, NULL, document[x]);
    gm_json_close_array(out);
}

static void put_cluster(gm_json_out *out, const gm_atlas *atlas, size_t c, const square *s,
                        const gm_cluster_place *place)
{
    const size_t first = c * GM_N_EXAMPLES;
    gm_json_open_object(out, NULL);
    gm_json_put_u64(out, "size", atlas->size[c]);
    put_colour(out, "colour", place->colour);
    gm_json_open_array(out, "middle");
    put_short(out, NULL, ((double)place->middle[0] - s->left) / s->side);
    put_short(out, NULL, ((double)place->middle[1] - s->bottom) / s->side);
    gm_json_close_array(out);
    put_visible(out, "name", atlas->name && atlas->name[c] ? atlas->name[c] : "");
    put_words(out, "keywords", atlas->keyword + c * GM_N_KEYWORDS, GM_N_KEYWORDS);
    put_examples(out, "typical", atlas->representative ? atlas->representative + first : NULL);
    put_examples(out, "odd", atlas->outlying ? atlas->outlying + first : NULL);
    gm_json_close_object(out);
}

/* Names of groups, each with its colour. */
static void put_groups(gm_json_out *out, const char *key, const char *const *name, size_t n)
{
    gm_json_open_array(out, key);
    for (size_t i = 0; i < n; i++) {
        gm_json_open_object(out, NULL);
        put_visible(out, "name", name[i]);
        put_colour(out, "colour", gm_palette((int)i, (int)n));
        gm_json_close_object(out);
    }
    gm_json_close_array(out);
}

static void put_tree(gm_json_out *out, const gm_atlas *atlas, const gm_page_tree *tree)
{
    gm_json_open_array(out, "tree");
    for (size_t b = 0; b < tree->n; b++) {
        const uint32_t r = tree->branch[b].node;
        gm_json_open_array(out, NULL);
        gm_json_put_u64(out, NULL, tree->branch[b].parent);
        gm_json_put_u64(out, NULL, atlas->node_size[r]);
        gm_json_put_i64(out, NULL, atlas->node_cluster[r]);
        put_short(out, NULL, atlas->node_birth[r]);
        put_short(out, NULL, tree->branch[b].end);
        put_words(out, NULL,
                  atlas->node_keyword ? atlas->node_keyword + (size_t)r * GM_N_KEYWORDS : NULL,
                  BRANCH_WORDS);
        gm_json_close_array(out);
    }
    gm_json_close_array(out);
    gm_json_put_u64(out, "treeLeftOut", tree->n_left_out);
}

static void put_columns(gm_json_out *out, const gm_page_documents *documents)
{
    if (documents == NULL) {
        gm_json_put_null(out, "shares");
        return;
    }
    gm_json_open_object(out, "shares");
    gm_json_open_array(out, "experts");
    for (size_t m = 0; m < documents->n_columns; m++)
        gm_json_put_u64(out, NULL, documents->column[m]);
    gm_json_close_array(out);
    gm_json_open_array(out, "most");
    for (size_t m = 0; m < documents->n_columns; m++)
        put_short(out, NULL, (double)documents->most[m]);
    gm_json_close_array(out);
    gm_json_close_object(out);
}

static gm_status put_meta(gm_html *page, const gm_atlas *atlas, const square *s,
                          const gm_page_documents *documents, double usage_most, double spread_most,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const double dim = (double)atlas->n_layers * atlas->n_experts;
    gm_json_out out = {0};
    gm_page_tree tree = {0};
    gm_cluster_place *place = NULL;
    GM_TRY(gm_page_tree_make(&tree, atlas, MOST_BRANCHES, err));
    GM_TRY(gm_report_places(&place, atlas, err));
    gm_json_open_object(&out, NULL);
    gm_json_put_u64(&out, "documents", atlas->n);
    gm_json_put_i64(&out, "layers", atlas->n_layers);
    gm_json_put_i64(&out, "experts", atlas->n_experts);
    gm_json_open_array(&out, "layerOfMoe");
    for (int l = 0; l < atlas->n_layers; l++) gm_json_put_i64(&out, NULL, atlas->layer_of_moe[l]);
    gm_json_close_array(&out);
    gm_json_put_f64(&out, "smoothing", GM_LIFT_SMOOTH);
    gm_json_put_f64(&out, "usageMost", usage_most * dim);
    gm_json_put_f64(&out, "spreadMost", spread_most * dim);
    gm_json_open_array(&out, "clusters");
    for (size_t c = 0; c < atlas->n_clusters; c++) put_cluster(&out, atlas, c, s, &place[c]);
    gm_json_close_array(&out);
    put_groups(&out, "subsets", atlas->subset_name, atlas->n_subsets);
    put_groups(&out, "scripts", atlas->script_name, atlas->script ? atlas->n_scripts : 0);
    put_groups(&out, "languages", atlas->language_name,
               languages_fit(atlas) ? atlas->n_languages : 0);
    put_columns(&out, documents);
    put_tree(&out, atlas, &tree);
    put_scale(&out, "sequential", gm_colour_sequential, 0);
    put_scale(&out, "diverging", gm_colour_diverging, -1);
    gm_json_close_object(&out);
    GM_TRY(gm_json_out_done(&out, err));
    gm_html_json(page, "meta", out.text.at);
out:
    gm_text_clear(&out.text);
    gm_page_tree_clear(&tree);
    gm_free(place);
    return status;
}

gm_status gm_page_put_data(gm_html *page, const gm_atlas *atlas, const gm_page_documents *documents,
                           gm_error *err)
{
    gm_status status = GM_OK;
    const size_t dim = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    const square s = find_square(atlas);
    const double usage = fmax(largest(atlas->usage, atlas->n_clusters * dim),
                              largest(atlas->corpus_usage, dim)),
                 spread = documents ? largest(documents->spread, dim) : 0;
    GM_TRY(put_meta(page, atlas, &s, documents, usage, spread, err));
    GM_TRY(put_places(page, atlas, &s, err));
    GM_TRY(put_documents(page, atlas, err));
    GM_TRY(put_usage(page, atlas, usage, err));
    if (documents) GM_TRY(put_shares(page, atlas, documents, spread, err));
out:
    return status;
}

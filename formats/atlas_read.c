/* atlas_read.c - reading an atlas, with every shape and range checked. */
#include <math.h>
#include <string.h>

#include "formats/atlas_schema.h"

/* What gm_atlas_open gives: the atlas first, so that its address is ours. */
typedef struct open_atlas {
    gm_atlas atlas;
    gm_arena arena;
} open_atlas;

static void set_member(gm_atlas *atlas, size_t offset, const void *at)
{
    memcpy((char *)atlas + offset, &at, sizeof at);
}

/* ---- sizes and texts ---- */

/* Rows of one column, whatever they are; its rank and type are checked. */
static gm_status rows_of(hid_t file, const char *name, size_t *n, gm_error *err)
{
    gm_status status = GM_OK;
    const uint64_t any[] = {GM_H5_ANY, GM_H5_ANY};
    const gm_atlas_column *column = gm_atlas_columns;
    gm_h5_set set = GM_H5_SET_CLOSED;
    while (strcmp(column->name, name) != 0) column++;
    GM_TRY(gm_h5_set_open(&set, file, name, column->type, (int)strlen(column->shape), any, err));
    *n = (size_t)set.dim[0];
out:
    gm_h5_set_close(&set);
    return status;
}

static gm_status read_sizes(hid_t file, gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    int64_t L, E, K;
    GM_TRY(gm_h5_check_schema(file, "gm-atlas", GM_ATLAS_SCHEMA, err));
    GM_TRY(gm_h5_get_i64(file, "n_layers", 1, 10000, &L, err));
    GM_TRY(gm_h5_get_i64(file, "n_experts", 1, UINT16_MAX, &E, err));
    GM_TRY(gm_h5_get_i64(file, "n_chosen", 1, E, &K, err));
    atlas->n_layers = (int)L;
    atlas->n_experts = (int)E;
    atlas->n_chosen = (int)K;
    GM_TRY(rows_of(file, "/samples/xy", &atlas->n, err));
    GM_TRY(rows_of(file, "/clusters/keywords", &atlas->n_clusters, err));
    GM_TRY(rows_of(file, "/subset_name", &atlas->n_subsets, err));
    GM_TRY(rows_of(file, "/graph/indices", &atlas->n_edges, err));
    if (atlas->n >= UINT32_MAX || atlas->n_clusters > INT32_MAX || atlas->n_subsets > UINT16_MAX)
        status = gm_h5_fail(err, GM_ESHAPE, file,
                            "%zu documents, %zu clusters, %zu subsets are too many", atlas->n,
                            atlas->n_clusters, atlas->n_subsets);
out:
    return status;
}

static gm_status read_texts(hid_t file, open_atlas *open, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t object = H5I_INVALID_HID;
    const char *text = NULL;
    for (int i = 0; i < GM_ATLAS_N_TEXTS; i++) {
        const gm_atlas_text *row = &gm_atlas_texts[i];
        if (strcmp(row->object, "/") != 0 && !gm_h5_has(file, row->object)) {
            status = gm_h5_fail(err, GM_EFORMAT, file, "no group '%s'", row->object);
            goto out;
        }
        object = H5Oopen(file, row->object, H5P_DEFAULT);
        GM_TRY(gm_h5_get_text(object, row->name, &open->arena, &text, err));
        set_member(&open->atlas, row->member, text);
        H5Oclose(object);
        object = H5I_INVALID_HID;
    }
    GM_TRY(gm_h5_get_text(file, "digest", &open->arena, &text, err));
    strncat(open->atlas.digest, text, sizeof open->atlas.digest - 1);
out:
    if (object >= 0) H5Oclose(object);
    return status;
}

/* ---- columns ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static gm_status unpack_shas(const char *hex, size_t n, gm_arena *arena, const void **out,
                             gm_error *err)
{
    uint8_t *sha = gm_arena_alloc(arena, n, 32);
    if (sha == NULL) return gm_fail(err, GM_EMEM, "no memory for '/samples/sha'");
    for (size_t i = 0; i < 32 * n; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return gm_fail(err, GM_EFORMAT, "'/samples/sha' %zu is not 64 hex digits", i / 32);
        sha[i] = (uint8_t)(high << 4 | low);
    }
    *out = sha;
    return GM_OK;
}

static gm_status read_column(hid_t file, const gm_atlas_column *column, open_atlas *open,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_layout layout = gm_atlas_layout(column, &open->atlas);
    const void *at = NULL;
    void *rows = NULL;
    if (column->kind == GM_ATLAS_TEXTS) {
        const char *const *texts = NULL;
        GM_TRY(gm_h5_read_texts(file, column->name, layout.rank, layout.dim, &open->arena, &texts,
                                NULL, err));
        at = texts;
    } else {
        GM_TRY(gm_h5_read_all(file, column->name, column->type, layout.rank, layout.dim,
                              &open->arena, &rows, NULL, err));
        at = rows;
        if (column->kind == GM_ATLAS_SHA)
            GM_TRY(unpack_shas(rows, open->atlas.n, &open->arena, &at, err));
    }
    set_member(&open->atlas, column->member, at);
out:
    return status;
}

/* ---- ranges ---- */

/* Index of the first value outside [lo, hi], or n; NaN is outside. */
static size_t first_outside(const float *value, size_t n, float lo, float hi)
{
    size_t i = 0;
    while (i < n && value[i] >= lo && value[i] <= hi) i++;
    return i;
}

static gm_status check_documents(const gm_atlas *a, hid_t file, gm_error *err)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->cluster[i] < -1 || a->cluster[i] >= (int64_t)a->n_clusters)
            return gm_h5_fail(err, GM_EFORMAT, file, "document %zu is in cluster %d of %zu", i,
                              a->cluster[i], a->n_clusters);
        if (a->subset[i] >= a->n_subsets)
            return gm_h5_fail(err, GM_EFORMAT, file, "document %zu is in subset %u of %zu", i,
                              a->subset[i], a->n_subsets);
        if (!isfinite(a->xy[2 * i]) || !isfinite(a->xy[2 * i + 1]))
            return gm_h5_fail(err, GM_EFORMAT, file, "the place of document %zu is not finite", i);
    }
    size_t p = first_outside(a->probability, a->n, 0, 1), o = first_outside(a->outlier, a->n, 0, 1);
    if (p < a->n || o < a->n)
        return gm_h5_fail(err, GM_EFORMAT, file, "document %zu has %s outside [0,1]",
                          p < a->n ? p : o, p < a->n ? "a probability" : "an outlier score");
    return GM_OK;
}

static gm_status check_rates(const gm_atlas *a, hid_t file, gm_error *err)
{
    size_t cells = (size_t)a->n_layers * (size_t)a->n_experts;
    const struct {
        const char *name;
        const float *value;
        size_t n;
    } rate[] = {{"/clusters/usage", a->usage, a->n_clusters * cells},
                {"/clusters/usage_half", a->usage_half, 2 * a->n_clusters * cells},
                {"/corpus/usage", a->corpus_usage, cells},
                {"/corpus/usage_half", a->corpus_usage_half, 2 * cells},
                {"/corpus/subset_usage", a->subset_usage, a->n_subsets * cells},
                {"/corpus/subset_usage_half", a->subset_usage_half, 2 * a->n_subsets * cells}};
    for (size_t k = 0; k < sizeof rate / sizeof rate[0]; k++) {
        size_t i = first_outside(rate[k].value, rate[k].n, 0, 1.001f);
        if (i < rate[k].n)
            return gm_h5_fail(err, GM_EFORMAT, file, "'%s' holds %g at %zu, expected 0 to 1",
                              rate[k].name, (double)rate[k].value[i], i);
    }
    size_t i = first_outside(a->lift, a->n_clusters * cells, 0, INFINITY);
    if (i < a->n_clusters * cells)
        return gm_h5_fail(err, GM_EFORMAT, file, "'/clusters/lift' holds %g at %zu",
                          (double)a->lift[i], i);
    for (i = 0; i < a->n_clusters * cells; i++)
        if (a->important[i] > 1)
            return gm_h5_fail(err, GM_EFORMAT, file, "'/clusters/important' holds %u at %zu",
                              a->important[i], i);
    return GM_OK;
}

static gm_status check_graph(const gm_atlas *a, hid_t file, gm_error *err)
{
    if (a->graph_indptr[0] != 0 || a->graph_indptr[a->n] != a->n_edges)
        return gm_h5_fail(err, GM_EFORMAT, file, "'/graph/indptr' does not run from 0 to %zu",
                          a->n_edges);
    for (size_t i = 0; i < a->n; i++)
        if (a->graph_indptr[i] > a->graph_indptr[i + 1])
            return gm_h5_fail(err, GM_EFORMAT, file, "'/graph/indptr' falls at %zu", i);
    for (size_t i = 0; i < a->n_edges; i++)
        if (a->graph_indices[i] >= a->n)
            return gm_h5_fail(err, GM_EFORMAT, file, "edge %zu leads to document %u of %zu", i,
                              a->graph_indices[i], a->n);
    for (size_t i = 0; i + 1 < a->n; i++)
        if (a->tree_left[i] >= a->n + i || a->tree_right[i] >= a->n + i)
            return gm_h5_fail(err, GM_EFORMAT, file, "row %zu of '/tree' joins what is not there",
                              i);
    return GM_OK;
}

static gm_status check_layers(const gm_atlas *a, hid_t file, gm_error *err)
{
    for (int i = 0; i < a->n_layers; i++)
        if (a->layer_of_moe[i] < 0 || (i > 0 && a->layer_of_moe[i] <= a->layer_of_moe[i - 1]))
            return gm_h5_fail(err, GM_EFORMAT, file, "'/layer' is not ascending at %d", i);
    return GM_OK;
}

gm_status gm_atlas_open(gm_atlas **out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t file = H5I_INVALID_HID;
    *out = NULL;
    open_atlas *open = gm_alloc(1, sizeof *open);
    if (open == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", path);
    GM_TRY(gm_h5_open(&file, path, err));
    GM_TRY(read_sizes(file, &open->atlas, err));
    GM_TRY(read_texts(file, open, err));
    for (int i = 0; i < GM_ATLAS_N_COLUMNS; i++)
        GM_TRY(read_column(file, &gm_atlas_columns[i], open, err));
    GM_TRY(check_layers(&open->atlas, file, err));
    GM_TRY(check_documents(&open->atlas, file, err));
    GM_TRY(check_rates(&open->atlas, file, err));
    GM_TRY(check_graph(&open->atlas, file, err));
    *out = &open->atlas;
    open = NULL;
out:
    gm_h5_drop(&file);
    if (open) gm_atlas_close(&open->atlas);
    return status;
}

void gm_atlas_close(gm_atlas *atlas)
{
    if (atlas == NULL) return;
    open_atlas *open = (open_atlas *)atlas;
    gm_arena_clear(&open->arena);
    gm_free(open);
}

/* The digest of a file's contents, for the commit: every column as it is stored. */
gm_status gm_atlas_file_digest(const char *path, char hex[65], gm_error *err)
{
    gm_status status = GM_OK;
    hid_t file = H5I_INVALID_HID;
    gm_atlas atlas = {0};
    gm_h5_set set = GM_H5_SET_CLOSED;
    gm_sha256 hash;
    uint8_t digest[32];
    hex[0] = '\0';
    GM_TRY(gm_h5_open(&file, path, err));
    GM_TRY(read_sizes(file, &atlas, err));
    gm_sha256_init(&hash);
    for (int i = 0; i < GM_ATLAS_N_COLUMNS; i++) {
        gm_h5_layout layout = gm_atlas_layout(&gm_atlas_columns[i], &atlas);
        GM_TRY(gm_h5_set_open(&set, file, layout.name, layout.type, layout.rank, layout.dim, err));
        GM_TRY(gm_h5_set_digest(&set, digest, err));
        gm_h5_set_close(&set);
        gm_atlas_fold(&hash, layout.name, digest);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
out:
    gm_h5_set_close(&set);
    gm_h5_drop(&file);
    return status;
}

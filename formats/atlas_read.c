/* atlas_read.c - reading an atlas, with every shape checked; ranges: atlas_check.c. */
#include "formats/atlas_schema.h"
#include "formats/layer_list.h"

#include <inttypes.h>
#include <string.h>

/* What gm_atlas_open gives: the atlas first, so that its address is ours. */
typedef struct open_atlas {
    gm_atlas atlas;
    gm_arena arena;
    int schema;
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
    const gm_atlas_column *column = gm_atlas_columns;
    gm_h5_set set = GM_H5_SET_CLOSED;
    while (strcmp(column->name, name) != 0) column++;
    const gm_h5_layout any = {.name = name,
                              .type = column->type,
                              .rank = (int)strlen(column->shape),
                              .dim = {GM_H5_ANY, GM_H5_ANY}};
    GM_TRY(gm_h5_set_open(&set, file, &any, err));
    *n = (size_t)set.dim[0];
out:
    gm_h5_set_close(&set);
    return status;
}

/* In how many dimensions clusters were found. */
static gm_status read_dimensions(hid_t file, gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    static const gm_h5_layout any = {
        .name = "/samples/space", .type = GM_H5_F32, .rank = 2, .dim = {GM_H5_ANY, GM_H5_ANY}};
    gm_h5_set set = GM_H5_SET_CLOSED;
    GM_TRY(gm_h5_set_open(&set, file, &any, err));
    if (set.dim[1] < 2 || set.dim[1] > GM_ATLAS_MAX_DIM ||
        set.dim[0] != (set.dim[1] > 2 ? atlas->n : 0))
        status = gm_h5_fail(err, GM_ESHAPE, file,
                            "'/samples/space' is %" PRIu64 " x %" PRIu64
                            ", expected %zu x 3 to %d, or 0 x 2",
                            set.dim[0], set.dim[1], atlas->n, GM_ATLAS_MAX_DIM);
    atlas->cluster_dim = status == GM_OK ? (int)set.dim[1] : 2;
out:
    gm_h5_set_close(&set);
    return status;
}

static gm_status read_sizes(hid_t file, gm_atlas *atlas, int *schema, gm_error *err)
{
    gm_status status = GM_OK;
    int64_t L, E, K;
    GM_TRY(gm_h5_check_schemas(file, "gm-atlas", 1, GM_ATLAS_SCHEMA, schema, err));
    GM_TRY(gm_h5_get_i64(file, "n_layers", 1, GM_MAX_LAYERS, &L, err));
    GM_TRY(gm_h5_get_i64(file, "n_experts", 1, UINT16_MAX, &E, err));
    GM_TRY(gm_h5_get_i64(file, "n_chosen", 1, E, &K, err));
    atlas->n_layers = (int)L;
    atlas->n_experts = (int)E;
    atlas->n_chosen = (int)K;
    GM_TRY(rows_of(file, "/samples/xy", &atlas->n, err));
    GM_TRY(rows_of(file, "/clusters/keywords", &atlas->n_clusters, err));
    GM_TRY(rows_of(file, "/subset_name", &atlas->n_subsets, err));
    GM_TRY(rows_of(file, "/graph/indices", &atlas->n_edges, err));
    if (*schema >= 2) {
        GM_TRY(rows_of(file, "/script_name", &atlas->n_scripts, err));
        GM_TRY(rows_of(file, "/condensed/keywords", &atlas->n_nodes, err));
    }
    atlas->cluster_dim = 2;
    if (*schema >= 3) GM_TRY(read_dimensions(file, atlas, err));
    if (*schema >= 4) GM_TRY(rows_of(file, "/language_name", &atlas->n_languages, err));
    if (atlas->n >= UINT32_MAX || atlas->n_clusters > INT32_MAX || atlas->n_subsets > UINT16_MAX)
        status = gm_h5_fail(err, GM_ESHAPE, file,
                            "it has too many documents (%zu), clusters (%zu) or subsets (%zu)",
                            atlas->n, atlas->n_clusters, atlas->n_subsets);
out:
    return status;
}

static gm_status read_texts(hid_t file, open_atlas *open, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t object = H5I_INVALID_HID;
    const char *text = NULL;
    for (int i = 0; i < GM_ATLAS_FIRST_TEXTS; i++) {
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
    GM_TRY(gm_h5_find_text(file, "config_digest", &open->arena, &open->atlas.config_digest, err));
    GM_TRY(gm_h5_get_text(file, "digest", &open->arena, &text, err));
    strncat(open->atlas.digest, text, sizeof open->atlas.digest - 1);
out:
    if (object >= 0) H5Oclose(object);
    return status;
}

/* ---- columns ---- */

static gm_status unpack_shas(hid_t file, const char *hex, size_t n, gm_arena *arena,
                             const void **out, gm_error *err)
{
    uint8_t *sha = gm_arena_alloc(arena, n, 32);
    if (sha == NULL) return gm_fail(err, GM_EMEM, "no memory for '/samples/sha'");
    for (size_t i = 0; i < n; i++)
        if (!gm_sha256_from_hex(sha + 32 * i, hex + i * GM_H5_TEXT_BYTES))
            return gm_h5_fail(err, GM_EFORMAT, file, "'/samples/sha' %zu is not 64 hex digits", i);
    *out = sha;
    return GM_OK;
}

/* A column that the file's schema does not have. */
static gm_status make_unknown(const gm_atlas_column *column, open_atlas *open, gm_error *err)
{
    gm_h5_layout layout = gm_atlas_layout(column, &open->atlas);
    size_t n = 1, item = gm_h5_type_size(column->type);
    if (column->type == GM_H5_TEXT) item = sizeof(char *);
    for (int i = 0; i < layout.rank; i++) n *= (size_t)layout.dim[i];
    void *at = gm_arena_alloc(&open->arena, n, item);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", column->name);
    gm_atlas_fill_unknown(at, column, n);
    set_member(&open->atlas, column->member, at);
    return GM_OK;
}

static gm_status read_column(hid_t file, const gm_atlas_column *column, open_atlas *open,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_layout layout = gm_atlas_layout(column, &open->atlas);
    const void *at = NULL;
    void *rows = NULL;
    if (column->since > open->schema) return make_unknown(column, open, err);
    if (column->kind == GM_ATLAS_TEXTS) {
        const char *const *texts = NULL;
        GM_TRY(gm_h5_read_texts(file, &layout, &open->arena, &texts, NULL, err));
        at = texts;
    } else {
        GM_TRY(gm_h5_read_all(file, &layout, &open->arena, &rows, NULL, err));
        at = rows;
        if (column->kind == GM_ATLAS_SHA)
            GM_TRY(unpack_shas(file, rows, open->atlas.n, &open->arena, &at, err));
    }
    set_member(&open->atlas, column->member, at);
out:
    return status;
}

/* The layers of its trace; its own where the file does not say. Read after /layer. */
static gm_status read_trace_layers(hid_t file, open_atlas *open, gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = &open->atlas;
    static const gm_h5_layout any = {
        .name = "/trace_layer", .type = GM_H5_I32, .rank = 1, .dim = {GM_H5_ANY}};
    uint64_t n = (uint64_t)atlas->n_layers;
    void *layer = NULL;
    atlas->trace_layer = atlas->layer_of_moe;
    if (gm_h5_has(file, "/trace_layer")) {
        GM_TRY(gm_h5_read_all(file, &any, &open->arena, &layer, &n, err));
        atlas->trace_layer = layer;
    }
    if (n < (uint64_t)atlas->n_layers || n > GM_MAX_LAYERS)
        status = gm_h5_fail(err, GM_ESHAPE, file,
                            "'/trace_layer' has %" PRIu64 " layers, expected %d to %d", n,
                            atlas->n_layers, GM_MAX_LAYERS);
    atlas->n_trace_layers = status == GM_OK ? (int)n : 0;
out:
    return status;
}

gm_status gm_atlas_open(gm_atlas **out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t file = H5I_INVALID_HID;
    *out = NULL;
    open_atlas *open = gm_alloc(1, sizeof *open);
    if (open == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", path);
    GM_TRY(gm_h5_open(&file, path, err));
    GM_TRY(read_sizes(file, &open->atlas, &open->schema, err));
    GM_TRY(read_texts(file, open, err));
    for (int i = 0; i < GM_ATLAS_N_COLUMNS; i++)
        GM_TRY(read_column(file, &gm_atlas_columns[i], open, err));
    GM_TRY(read_trace_layers(file, open, err));
    GM_TRY(gm_atlas_check(&open->atlas, file, err));
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
    int schema = 0;
    hex[0] = '\0';
    GM_TRY(gm_h5_open(&file, path, err));
    GM_TRY(read_sizes(file, &atlas, &schema, err));
    gm_sha256_init(&hash);
    for (int i = 0; i < GM_ATLAS_N_COLUMNS; i++) {
        gm_h5_layout layout = gm_atlas_layout(&gm_atlas_columns[i], &atlas);
        if (gm_atlas_columns[i].since > schema) continue;
        GM_TRY(gm_h5_set_open(&set, file, &layout, err));
        GM_TRY(gm_h5_set_digest(&set, digest, err));
        gm_h5_set_close(&set);
        gm_h5_fold(&hash, layout.name, digest);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, hex);
out:
    gm_h5_set_close(&set);
    gm_h5_drop(&file);
    return status;
}

int gm_atlas_main_subset(const gm_atlas *atlas, size_t cluster)
{
    const uint32_t *count = atlas->subset_count + cluster * atlas->n_subsets; /* (S) */
    int best = -1;
    for (size_t s = 0; s < atlas->n_subsets; s++)
        if (best < 0 || count[s] > count[best]) best = (int)s;
    return best;
}

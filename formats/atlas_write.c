/* atlas_write.c - writing an atlas: the table of atlas_schema.h, column by column. */
#include "base/json.h"
#include "formats/atlas_schema.h"
#include "formats/commit.h"

#include <math.h>
#include <string.h>

/* An array of gm_atlas: its address stands at the member's offset. */
static const void *member_of(const gm_atlas *atlas, size_t offset)
{
    const void *at;
    memcpy(&at, (const char *)atlas + offset, sizeof at);
    return at;
}

static gm_status make_scales(hid_t file, const gm_atlas *atlas, gm_error *err)
{
    static const char *const group[] = {"/samples", "/clusters",  "/corpus",     "/graph",
                                        "/tree",    "/condensed", "/parameters", "/quality"};
    gm_status status = GM_OK;
    const gm_h5_layout ids = {.name = "/clusters/id",
                              .type = GM_H5_I32,
                              .stored = H5I_INVALID_HID,
                              .rank = 1,
                              .dim = {atlas->n_clusters},
                              .chunk_rows = 8192,
                              .scale = {"/cluster"},
                              .about = "0 is the largest; -1, noise, is no cluster"};
    size_t most = (size_t)atlas->n_experts;
    if (atlas->n_clusters > most) most = atlas->n_clusters;
    if (most < GM_N_KEYWORDS) most = GM_N_KEYWORDS;
    int32_t *count = gm_alloc(most, sizeof *count);
    if (count == NULL) GM_FAIL(GM_EMEM, "no memory for scales");
    for (size_t i = 0; i < most; i++) count[i] = (int32_t)i;
    for (size_t i = 0; i < sizeof group / sizeof group[0]; i++)
        GM_TRY(gm_h5_make_group(file, group[i], err));
    GM_TRY(gm_h5_make_scale(file, "/layer", atlas->layer_of_moe, (size_t)atlas->n_layers,
                            "layer of the model, dense layers counted", err));
    if (atlas->trace_layer)
        GM_TRY(gm_h5_make_scale(file, "/trace_layer", atlas->trace_layer,
                                (size_t)atlas->n_trace_layers,
                                "all MoE layers of the trace, of which /layer are some", err));
    GM_TRY(gm_h5_make_scale(file, "/expert", count, (size_t)atlas->n_experts, NULL, err));
    GM_TRY(gm_h5_make_scale(file, "/cluster", count, atlas->n_clusters, NULL, err));
    GM_TRY(gm_h5_make_scale(file, "/keyword", count, GM_N_KEYWORDS, "0 is the best", err));
    GM_TRY(gm_h5_write_all(file, &ids, count, NULL, err));
    GM_TRY(gm_h5_make_length(file, "/document", atlas->n, err));
    GM_TRY(gm_h5_make_scale(file, "/example", count, GM_N_EXAMPLES, "0 is the best", err));
    GM_TRY(gm_h5_make_length(file, "/subset", atlas->n_subsets, err));
    GM_TRY(gm_h5_make_length(file, "/script", atlas->n_scripts, err));
    GM_TRY(gm_h5_make_length(file, "/language", atlas->n_languages, err));
    GM_TRY(gm_h5_make_length(file, "/node", atlas->n_nodes, err));
    GM_TRY(gm_h5_make_length(file, "/bound", atlas->n + 1, err));
    GM_TRY(gm_h5_make_length(file, "/merge", gm_atlas_size(atlas, 'P'), err));
    GM_TRY(gm_h5_make_length(file, "/edge", atlas->n_edges, err));
    GM_TRY(gm_h5_make_length(file, "/pair", 2, err));
    GM_TRY(gm_h5_make_length(file, "/place", gm_atlas_size(atlas, 'Q'), err));
    GM_TRY(gm_h5_make_length(file, "/axis", gm_atlas_size(atlas, 'Z'), err));
out:
    gm_free(count);
    return status;
}

static gm_status put_attributes(hid_t file, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t object = H5I_INVALID_HID;
    GM_TRY(gm_h5_put_text(file, "schema_name", "gm-atlas", err));
    GM_TRY(gm_h5_put_i64(file, "schema", GM_ATLAS_SCHEMA, err));
    GM_TRY(gm_h5_put_i64(file, "n_layers", atlas->n_layers, err));
    GM_TRY(gm_h5_put_i64(file, "n_experts", atlas->n_experts, err));
    GM_TRY(gm_h5_put_i64(file, "n_chosen", atlas->n_chosen, err));
    for (int i = 0; i < GM_ATLAS_N_TEXTS; i++) {
        const gm_atlas_text *text = &gm_atlas_texts[i];
        object = H5Oopen(file, text->object, H5P_DEFAULT);
        GM_TRY(gm_h5_put_text(object, text->name, member_of(atlas, text->member), err));
        H5Oclose(object);
        object = H5I_INVALID_HID;
    }
out:
    if (object >= 0) H5Oclose(object);
    return status;
}

/* The scalar members of a JSON object as attributes, beside the whole of it. Numbers are real
 * unless they are whole; null is NaN. */
static gm_status put_members(hid_t file, const char *group, const char *json, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    hid_t object = H5I_INVALID_HID;
    if (json == NULL || json[0] == '\0') return GM_OK;
    GM_TRY(gm_json_parse(&root, json, strlen(json), group, err));
    if (gm_json_kind_of(root) != GM_JSON_OBJECT)
        GM_FAIL(GM_EARG, "'%s' is not a JSON object", group);
    object = H5Oopen(file, group, H5P_DEFAULT);
    for (const gm_json *member = gm_json_first(root); member; member = gm_json_next(member)) {
        const char *key = gm_json_key(member);
        int64_t whole;
        double real = (double)NAN;
        bool yes;
        if (strcmp(key, "json") == 0) continue;
        if (gm_json_kind_of(member) == GM_JSON_TEXT)
            GM_TRY(gm_h5_put_text(object, key, gm_json_text(member, NULL), err));
        else if (gm_json_bool(member, &yes))
            GM_TRY(gm_h5_put_i64(object, key, yes, err));
        else if (gm_json_i64(member, &whole))
            GM_TRY(gm_h5_put_i64(object, key, whole, err));
        else if (gm_json_f64(member, &real) || gm_json_kind_of(member) == GM_JSON_NULL)
            GM_TRY(gm_h5_put_f64(object, key, real, err));
    }
out:
    if (object >= 0) H5Oclose(object);
    gm_json_free(root);
    return status;
}

/* What stands for a member that is not known; NULL, and nothing to free, for one that is. */
static gm_status make_unknown(const gm_atlas_column *column, const void *at, size_t n, void **out,
                              gm_error *err)
{
    *out = NULL;
    if (n == 0 || at != NULL) return GM_OK;
    if (column->since != 2 && column->since != 4) /* a member that is not marked + */
        return gm_fail(err, GM_EARG, "the atlas has no '%s'", column->name);
    size_t item = column->type == GM_H5_TEXT ? sizeof(char *) : gm_h5_type_size(column->type);
    *out = gm_alloc(n, item);
    if (*out == NULL) return gm_fail(err, GM_EMEM, "no memory to write '%s'", column->name);
    gm_atlas_fill_unknown(*out, column, n);
    return GM_OK;
}

/* What is stored of a member: itself, or texts packed into 64 bytes each. */
static gm_status pack(const gm_atlas_column *column, const void *at, size_t n, char **out,
                      gm_error *err)
{
    *out = NULL;
    if (column->kind != GM_ATLAS_TEXTS && column->kind != GM_ATLAS_SHA) return GM_OK;
    char *packed = gm_alloc(n, GM_H5_TEXT_BYTES);
    if (packed == NULL) return gm_fail(err, GM_EMEM, "no memory to write '%s'", column->name);
    for (size_t i = 0; i < n; i++) {
        if (column->kind == GM_ATLAS_SHA) {
            char hex[65];
            gm_sha256_hex((const uint8_t *)at + 32 * i, hex);
            memcpy(packed + i * GM_H5_TEXT_BYTES, hex, GM_H5_TEXT_BYTES);
        } else {
            const char *text = ((const char *const *)at)[i];
            gm_h5_text_pack(packed + i * GM_H5_TEXT_BYTES, text ? text : "");
        }
    }
    *out = packed;
    return GM_OK;
}

static gm_status write_column(hid_t file, const gm_atlas_column *column, const gm_atlas *atlas,
                              uint8_t digest[32], gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_layout layout = gm_atlas_layout(column, atlas);
    char *packed = NULL;
    void *unknown = NULL;
    const void *at = member_of(atlas, column->member);
    uint64_t n = 1;
    for (int i = 0; i < layout.rank; i++) n *= layout.dim[i];
    GM_TRY(make_unknown(column, at, (size_t)n, &unknown, err));
    if (unknown) at = unknown;
    if (column->kind == GM_ATLAS_SUBSET)
        layout.stored = gm_h5_type_make_enum(GM_H5_U16, atlas->subset_name, atlas->n_subsets);
    if (column->kind == GM_ATLAS_SCRIPT)
        layout.stored = gm_h5_type_make_enum(GM_H5_U16, atlas->script_name, atlas->n_scripts);
    if (column->kind == GM_ATLAS_LANGUAGE)
        layout.stored = gm_h5_type_make_enum(GM_H5_U16, atlas->language_name, atlas->n_languages);
    GM_TRY(pack(column, at, (size_t)n, &packed, err));
    GM_TRY(gm_h5_write_all(file, &layout, packed ? packed : at, digest, err));
out:
    if (layout.stored >= 0) H5Tclose(layout.stored);
    gm_free(unknown);
    gm_free(packed);
    return status;
}

gm_status gm_atlas_write(const char *path, gm_atlas *atlas, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_commit commit = GM_COMMIT_NONE;
    gm_sha256 hash;
    uint8_t digest[32];
    atlas->digest[0] = '\0';
    GM_TRY(gm_commit_begin(&commit, path, replace, err));
    GM_TRY(make_scales(commit.file, atlas, err));
    GM_TRY(put_attributes(commit.file, atlas, err));
    GM_TRY(put_members(commit.file, "/parameters", atlas->parameters, err));
    GM_TRY(put_members(commit.file, "/quality", atlas->quality, err));
    gm_sha256_init(&hash);
    for (int i = 0; i < GM_ATLAS_N_COLUMNS; i++) {
        const gm_atlas_column *column = &gm_atlas_columns[i];
        if (strcmp(column->name, "/layer") == 0) { /* made as a scale */
            gm_sha256_of(atlas->layer_of_moe, (size_t)atlas->n_layers * sizeof(int32_t), digest);
        } else {
            GM_TRY(write_column(commit.file, column, atlas, digest, err));
        }
        gm_h5_fold(&hash, column->name, digest);
    }
    gm_sha256_final(&hash, digest);
    char hex[65];
    gm_sha256_hex(digest, hex);
    GM_TRY(gm_h5_put_text(commit.file, "digest", hex, err));
    GM_TRY(gm_commit_end(&commit, hex, gm_atlas_file_digest, err));
    memcpy(atlas->digest, hex, sizeof hex);
out:
    gm_commit_drop(&commit);
    return status;
}

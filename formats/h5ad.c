/* h5ad.c - an atlas as AnnData. See h5ad.h. Objects carry no time stamps, chunks are gzip 1; texts
 * are of variable length, as AnnData has them, and stand in heaps of which HDF5 does not fix every
 * byte.
 */
#include "formats/h5ad.h"

#include "base/json.h"
#include "formats/commit.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK_ROWS = 4096 };

/* ---- attributes, groups, arrays ---- */

/* Texts of AnnData are of variable length and UTF-8. */
static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* An attribute of n values of memory type `type`; n SIZE_MAX: of one, no list. */
static gm_status put_attribute(hid_t object, const char *name, hid_t type, const void *value,
                               size_t n, gm_error *err)
{
    hsize_t dim = n;
    hid_t space = n == SIZE_MAX ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &dim, NULL);
    hid_t at = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool fine = at >= 0 && (n == 0 || H5Awrite(at, type, value) >= 0);
    if (at >= 0) H5Aclose(at);
    H5Sclose(space);
    return fine ? GM_OK : gm_h5_fail(err, GM_EIO, object, "cannot write attribute '%s'", name);
}

static gm_status put_texts(hid_t object, const char *name, const char *const *text, size_t n,
                           gm_error *err)
{
    hid_t type = text_type();
    gm_status status = put_attribute(object, name, type, text, n, err);
    H5Tclose(type);
    return status;
}

static gm_status put_text(hid_t object, const char *name, const char *text, gm_error *err)
{
    return put_texts(object, name, &text, SIZE_MAX, err);
}

/* What AnnData calls an element: its kind and version. */
static gm_status mark(hid_t object, const char *kind, const char *version, gm_error *err)
{
    gm_status status = put_text(object, "encoding-type", kind, err);
    return status == GM_OK ? put_text(object, "encoding-version", version, err) : status;
}

static gm_status make_group(hid_t file, const char *name, const char *kind, const char *version,
                            hid_t *out, gm_error *err)
{
    gm_status status = gm_h5_make_group(file, name, err);
    *out = H5I_INVALID_HID;
    if (status != GM_OK) return status;
    *out = H5Oopen(file, name, H5P_DEFAULT);
    status = *out >= 0 ? mark(*out, kind, version, err)
                       : gm_h5_fail(err, GM_EIO, file, "cannot open '%s'", name);
    if (status != GM_OK && *out >= 0) H5Oclose(*out), *out = H5I_INVALID_HID;
    return status;
}

static gm_status mark_group(hid_t file, const char *name, const char *kind, const char *version,
                            gm_error *err)
{
    hid_t group;
    gm_status status = make_group(file, name, kind, version, &group, err);
    if (group >= 0) H5Oclose(group);
    return status;
}

/* Close a dataset that was made, and written if all went well. What is packed goes to the disk only
 * here: a failure that is passed over is a column of zeros. */
static gm_status finish_set(hid_t set, bool written, hid_t file, const char *name, const char *kind,
                            gm_error *err)
{
    gm_status status = written ? mark(set, kind, "0.2.0", err) : GM_OK;
    if (set >= 0 && H5Dclose(set) < 0) written = false;
    if (status != GM_OK || written) return status;
    return gm_h5_fail(err, GM_EIO, file, "cannot write '%s'", name);
}

/* A dataset (rows,cols), (rows) where cols is 0, of memory type `type`, stored as it is. */
static gm_status put_array(hid_t file, const char *name, hid_t type, const void *at, size_t rows,
                           size_t cols, gm_error *err)
{
    const bool texts = H5Tis_variable_str(type) > 0;
    const hsize_t dim[2] = {rows, cols};
    hsize_t chunk[2] = {rows < CHUNK_ROWS ? rows : CHUNK_ROWS, cols};
    const int rank = cols > 0 ? 2 : 1;
    hid_t space = H5Screate_simple(rank, dim, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(how, false);
    if (rows > 0 && !texts) {
        while (chunk[0] > 1 && chunk[0] * (cols > 0 ? cols : 1) * H5Tget_size(type) > 1 << 20)
            chunk[0] /= 2;
        H5Pset_chunk(how, rank, chunk);
        H5Pset_deflate(how, 1);
    }
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    bool written =
        set >= 0 && (rows == 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, at) >= 0);
    H5Pclose(how);
    H5Sclose(space);
    return finish_set(set, written, file, name, texts ? "string-array" : "array", err);
}

static gm_status put_strings(hid_t file, const char *name, const char *const *text, size_t n,
                             gm_error *err)
{
    hid_t type = text_type();
    gm_status status = put_array(file, name, type, text, n, 0, err);
    H5Tclose(type);
    return status;
}

/* One value, in uns. */
static gm_status put_value(hid_t file, const char *name, hid_t type, const void *value,
                           const char *kind, gm_error *err)
{
    hid_t space = H5Screate(H5S_SCALAR), how = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(how, false);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    bool written = set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0;
    H5Pclose(how);
    H5Sclose(space);
    return finish_set(set, written, file, name, kind, err);
}

static gm_status put_scalar(hid_t file, const char *name, const char *text, gm_error *err)
{
    hid_t type = text_type();
    gm_status status = put_value(file, name, type, &text, "string", err);
    H5Tclose(type);
    return status;
}

/* A column of categories: code (rows). */
static gm_status put_category(hid_t file, const char *name, const int32_t *code, size_t rows,
                              const char *const *category, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t group = H5I_INVALID_HID;
    char path[64];
    const int8_t ordered = 0;
    hid_t boolean = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tenum_insert(boolean, "FALSE", &(int8_t){0});
    H5Tenum_insert(boolean, "TRUE", &(int8_t){1});
    GM_TRY(make_group(file, name, "categorical", "0.2.0", &group, err));
    GM_TRY(put_attribute(group, "ordered", boolean, &ordered, SIZE_MAX, err));
    snprintf(path, sizeof path, "%s/codes", name);
    GM_TRY(put_array(file, path, H5T_NATIVE_INT32, code, rows, 0, err));
    snprintf(path, sizeof path, "%s/categories", name);
    GM_TRY(put_strings(file, path, category, n, err));
out:
    if (group >= 0) H5Oclose(group);
    H5Tclose(boolean);
    return status;
}

/* ---- the parts ---- */

/* Distinct names (n) for categories, in the arena: pandas refuses equal ones, so the later of two
 * gets a number after it that makes it new. */
static gm_status name_categories(const char ***out, const char *const *name, size_t n,
                                 gm_arena *arena, gm_error *err)
{
    const char **all = gm_arena_alloc(arena, n, sizeof *all);
    if (all == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu names", n);
    for (size_t i = 0; i < n; i++) {
        char text[128];
        all[i] = name[i][0] ? name[i] : "(none)";
        size_t number = i;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(all[i], all[j]) != 0) continue;
            int used = snprintf(text, sizeof text, "%.100s (%zu)", name[i], number++);
            all[i] = gm_arena_text(arena, text, (size_t)used);
            if (all[i] == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu names", n);
            j = SIZE_MAX; /* from the first again */
        }
    }
    *out = all;
    return GM_OK;
}

/* The groups of `rows` documents. */
static gm_status put_groups(hid_t file, const char *name, gm_atlas_groups by, size_t rows,
                            gm_arena *arena, gm_error *err)
{
    gm_status status = GM_OK;
    const char **category = NULL;
    int32_t *code = gm_arena_alloc(arena, rows, sizeof *code);
    if (code == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", name);
    for (size_t i = 0; i < rows; i++) code[i] = by.of[i];
    GM_TRY(name_categories(&category, by.name, by.n, arena, err));
    GM_TRY(put_category(file, name, code, rows, category, by.n, err));
out:
    return status;
}

/* "0", "1", ..., "noise" */
static gm_status put_clusters(hid_t file, const gm_atlas *a, gm_arena *arena, gm_error *err)
{
    const size_t C = a->n_clusters;
    const char **category = gm_arena_alloc(arena, C + 1, sizeof *category);
    int32_t *code = gm_arena_alloc(arena, a->n, sizeof *code);
    if (!category || !code) return gm_fail(err, GM_EMEM, "no memory for %zu clusters", C);
    for (size_t c = 0; c <= C; c++) {
        char text[32];
        int used =
            c < C ? snprintf(text, sizeof text, "%zu", c) : snprintf(text, sizeof text, "noise");
        category[c] = gm_arena_text(arena, text, (size_t)used);
        if (category[c] == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu clusters", C);
    }
    for (size_t i = 0; i < a->n; i++) code[i] = a->cluster[i] < 0 ? (int32_t)C : a->cluster[i];
    return put_category(file, "/obs/cluster", code, a->n, category, C + 1, err);
}

static gm_status put_obs(hid_t file, const gm_atlas *a, gm_arena *arena, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t group = H5I_INVALID_HID;
    const char *column[7] = {"cluster", "subset", "probability", "outlier", "n_tokens"};
    size_t n_columns = 5;
    if (a->n_scripts > 0) column[n_columns++] = "script";
    if (a->n_languages > 0) column[n_columns++] = "language";
    GM_TRY(make_group(file, "/obs", "dataframe", "0.2.0", &group, err));
    GM_TRY(put_text(group, "_index", "_index", err));
    GM_TRY(put_texts(group, "column-order", column, n_columns, err));
    GM_TRY(put_strings(file, "/obs/_index", a->id, a->n, err));
    GM_TRY(put_clusters(file, a, arena, err));
    GM_TRY(put_groups(file, "/obs/subset", gm_atlas_subsets(a), a->n, arena, err));
    if (a->n_scripts > 0)
        GM_TRY(put_groups(file, "/obs/script", gm_atlas_scripts(a), a->n, arena, err));
    if (a->n_languages > 0)
        GM_TRY(put_groups(file, "/obs/language", gm_atlas_languages(a), a->n, arena, err));
    GM_TRY(put_array(file, "/obs/probability", H5T_NATIVE_FLOAT, a->probability, a->n, 0, err));
    GM_TRY(put_array(file, "/obs/outlier", H5T_NATIVE_FLOAT, a->outlier, a->n, 0, err));
    GM_TRY(put_array(file, "/obs/n_tokens", H5T_NATIVE_UINT32, a->n_tokens, a->n, 0, err));
out:
    if (group >= 0) H5Oclose(group);
    return status;
}

static gm_status put_var(hid_t file, const gm_atlas *a, gm_arena *arena, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t group = H5I_INVALID_HID;
    static const char *const column[] = {"layer", "expert"};
    const size_t E = (size_t)a->n_experts, D = (size_t)a->n_layers * E;
    const char **name = gm_arena_alloc(arena, D, sizeof *name);
    int32_t *layer = gm_arena_alloc(arena, D, sizeof *layer);
    int32_t *expert = gm_arena_alloc(arena, D, sizeof *expert);
    if (!name || !layer || !expert) GM_FAIL(GM_EMEM, "no memory for %zu experts", D);
    for (size_t x = 0; x < D; x++) {
        char text[32];
        layer[x] = a->layer_of_moe[x / E], expert[x] = (int32_t)(x % E);
        int used = snprintf(text, sizeof text, "%d:%d", layer[x], expert[x]);
        name[x] = gm_arena_text(arena, text, (size_t)used);
        if (name[x] == NULL) GM_FAIL(GM_EMEM, "no memory for %zu experts", D);
    }
    GM_TRY(make_group(file, "/var", "dataframe", "0.2.0", &group, err));
    GM_TRY(put_text(group, "_index", "_index", err));
    GM_TRY(put_texts(group, "column-order", column, 2, err));
    GM_TRY(put_strings(file, "/var/_index", name, D, err));
    GM_TRY(put_array(file, "/var/layer", H5T_NATIVE_INT32, layer, D, 0, err));
    GM_TRY(put_array(file, "/var/expert", H5T_NATIVE_INT32, expert, D, 0, err));
out:
    if (group >= 0) H5Oclose(group);
    return status;
}

static gm_status put_graph(hid_t file, const gm_atlas *a, gm_arena *arena, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t group = H5I_INVALID_HID;
    const int64_t shape[2] = {(int64_t)a->n, (int64_t)a->n};
    int32_t *index = gm_arena_alloc(arena, a->n_edges, sizeof *index);
    int64_t *indptr = gm_arena_alloc(arena, a->n + 1, sizeof *indptr);
    static const char matrix[] = "/obsp/connectivities";
    if (!index || !indptr) GM_FAIL(GM_EMEM, "no memory for %zu edges", a->n_edges);
    for (size_t e = 0; e < a->n_edges; e++) index[e] = (int32_t)a->graph_indices[e];
    for (size_t i = 0; i <= a->n; i++) indptr[i] = (int64_t)a->graph_indptr[i];
    GM_TRY(make_group(file, matrix, "csr_matrix", "0.1.0", &group, err));
    GM_TRY(put_attribute(group, "shape", H5T_NATIVE_INT64, shape, 2, err));
    GM_TRY(put_array(file, "/obsp/connectivities/data", H5T_NATIVE_FLOAT, a->graph_weight,
                     a->n_edges, 0, err));
    GM_TRY(put_array(file, "/obsp/connectivities/indices", H5T_NATIVE_INT32, index, a->n_edges, 0,
                     err));
    GM_TRY(
        put_array(file, "/obsp/connectivities/indptr", H5T_NATIVE_INT64, indptr, a->n + 1, 0, err));
out:
    if (group >= 0) H5Oclose(group);
    return status;
}

/* n_neighbors of the atlas's parameters; umap-learn's default where it does not say. */
static int64_t n_neighbors_of(const gm_atlas *a)
{
    gm_json *root = NULL;
    int64_t n = 15;
    if (gm_json_parse(&root, a->parameters, strlen(a->parameters), "/parameters", NULL) == GM_OK) {
        const gm_json *member = gm_json_find(root, "n_neighbors");
        if (member) (void)gm_json_i64(member, &n);
    }
    gm_json_free(root);
    return n;
}

static gm_status put_notes(hid_t file, const gm_atlas *a, gm_error *err)
{
    gm_status status = GM_OK;
    const int64_t n_neighbors = n_neighbors_of(a);
    GM_TRY(mark_group(file, "/uns", "dict", "0.1.0", err));
    GM_TRY(mark_group(file, "/uns/neighbors", "dict", "0.1.0", err));
    GM_TRY(mark_group(file, "/uns/neighbors/params", "dict", "0.1.0", err));
    GM_TRY(put_scalar(file, "/uns/neighbors/params/method", "umap", err));
    GM_TRY(put_value(file, "/uns/neighbors/params/n_neighbors", H5T_NATIVE_INT64, &n_neighbors,
                     "numeric-scalar", err));
    GM_TRY(put_scalar(file, "/uns/neighbors/connectivities_key", "connectivities", err));
    GM_TRY(put_scalar(file, "/uns/gm_parameters", a->parameters, err));
    GM_TRY(put_scalar(file, "/uns/gm_quality", a->quality, err));
    GM_TRY(put_scalar(file, "/uns/gm_digest", a->digest, err));
    GM_TRY(put_scalar(file, "/uns/gm_model", a->model, err));
out:
    return status;
}

static gm_status put_all(hid_t file, const gm_atlas *a, const float *rate, gm_arena *arena,
                         gm_error *err)
{
    static const char *const group[] = {"/layers", "/obsm", "/obsp", "/varm", "/varp"};
    gm_status status = GM_OK;
    const size_t D = (size_t)a->n_layers * (size_t)a->n_experts;
    double *xy = gm_arena_alloc(arena, 2 * a->n, sizeof *xy);
    if (xy == NULL) GM_FAIL(GM_EMEM, "no memory for a map of %zu documents", a->n);
    for (size_t i = 0; i < 2 * a->n; i++) xy[i] = (double)a->xy[i];
    GM_TRY(mark(file, "anndata", "0.1.0", err));
    for (size_t i = 0; i < sizeof group / sizeof group[0]; i++)
        GM_TRY(mark_group(file, group[i], "dict", "0.1.0", err));
    GM_TRY(put_obs(file, a, arena, err));
    GM_TRY(put_var(file, a, arena, err));
    if (rate) GM_TRY(put_array(file, "/X", H5T_NATIVE_FLOAT, rate, a->n, D, err));
    GM_TRY(put_array(file, "/obsm/X_umap", H5T_NATIVE_DOUBLE, xy, a->n, 2, err));
    if (a->cluster_dim > 2)
        GM_TRY(put_array(file, "/obsm/X_space", H5T_NATIVE_FLOAT, a->space, a->n,
                         (size_t)a->cluster_dim, err));
    GM_TRY(put_graph(file, a, arena, err));
    GM_TRY(put_notes(file, a, err));
out:
    return status;
}

/* The commit compares digests of contents; here what is checked is that the file closes and opens
 * again. A file of that name that was there before is never the same. */
static gm_status no_digest(const char *path, char hex[65], gm_error *err)
{
    hid_t file = H5I_INVALID_HID;
    gm_status status = gm_h5_open(&file, path, err);
    gm_h5_drop(&file);
    snprintf(hex, 65, "%s", gm_ends_in(path, ".part") ? "" : "another");
    return status;
}

gm_status gm_h5ad_write(const char *path, const gm_atlas *atlas, const float *rate, bool replace,
                        gm_error *err)
{
    gm_status status = GM_OK;
    gm_commit commit = GM_COMMIT_NONE;
    gm_arena arena = {0};
    GM_TRY(gm_commit_begin(&commit, path, replace, err));
    GM_TRY(put_all(commit.file, atlas, rate, &arena, err));
    GM_TRY(gm_commit_end(&commit, "", no_digest, err));
out:
    gm_commit_drop(&commit);
    gm_arena_clear(&arena);
    return status;
}

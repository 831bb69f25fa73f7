/* trace_file.c - opening one HDF5 file of a trace: every name, type and shape is checked
 * here, so that what reads rows later need not. */
#include "formats/trace_file.h"

#include <inttypes.h>
#include <string.h>

/* Open one column with the shape that the sizes give; the size of its first dimension
 * is taken from the file where `grows` points to it. */
static gm_status open_column(gm_trace_file *file, gm_trace_column column, uint64_t *grows,
                             gm_error *err)
{
    if (!gm_trace_has(&file->info, column)) return GM_OK;
    if (file->n_sources > 0 && gm_trace_in_shards(column)) return GM_OK;
    if (grows) *grows = 0;
    gm_h5_layout layout = gm_trace_layout(column, &file->sizes);
    if (grows) layout.dim[0] = GM_H5_ANY;
    gm_status status = gm_h5_set_open(&file->set[column], file->id, &layout, err);
    if (status == GM_OK && grows) *grows = file->set[column].dim[0];
    return status;
}

/* The columns that say how many there are of everything come first. */
static gm_status open_columns(gm_trace_file *file, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_sizes *sizes = &file->sizes;
    const struct {
        gm_trace_column column;
        uint64_t *size;
    } first[] = {{GM_COL_N_TOKENS, &sizes->N},     {GM_COL_SAMPLE, &sizes->T},
                 {GM_COL_LOGITS_TOKEN, &sizes->S}, {GM_COL_TEXT_BYTES, &sizes->B},
                 {GM_COL_SUBSET_NAME, &sizes->U},  {GM_COL_SKIP_NAME, &sizes->R},
                 {GM_COL_SPELT_ID, &sizes->V},     {GM_COL_SPELT_BYTES, &sizes->W}};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        GM_TRY(open_column(file, first[i].column, first[i].size, err));
    if (sizes->N >= UINT32_MAX || sizes->U > GM_TRACE_MAX_SUBSETS) {
        status = gm_h5_fail(err, GM_ESHAPE, file->id,
                            "it has too many documents (%" PRIu64 ") or subsets (%" PRIu64 ")",
                            sizes->N, sizes->U);
        goto out;
    }
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++)
        if (file->set[c].id < 0) GM_TRY(open_column(file, c, NULL, err));
out:
    return status;
}

static gm_status read_layers(gm_trace_file *file, gm_error *err)
{
    const gm_h5_layout layout = {
        .name = "/layer", .type = GM_H5_I32, .rank = 1, .dim = {file->sizes.L}};
    void *rows = NULL;
    gm_status status = gm_h5_read_all(file->id, &layout, &file->arena, &rows, NULL, err);
    if (status != GM_OK) return status;
    const int32_t *layer = rows;
    for (uint64_t i = 0; i < file->sizes.L; i++)
        if (layer[i] < 0 || (i > 0 && layer[i] <= layer[i - 1]))
            return gm_h5_fail(err, GM_EFORMAT, file->id,
                              "'/layer' does not ascend at index %" PRIu64, i);
    file->info.layer_of_moe = layer;
    return GM_OK;
}

/* Cut the list of shard names, one a line, into `n` of them. */
static gm_status split_names(gm_trace_source *source, size_t n, char *list, hid_t file,
                             gm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        char *end = strchr(list, '\n');
        if (end == NULL || end == list)
            return gm_h5_fail(err, GM_EFORMAT, file, "'/shards' names %zu shards, expected %zu", i,
                              n);
        *end = '\0';
        source[i].file = list;
        list = end + 1;
    }
    return GM_OK;
}

const char *const gm_trace_shard_number[GM_TRACE_N_SHARD_NUMBERS] = {
    "/shards/n_documents", "/shards/n_tokens", "/shards/n_logits"};

/* The shard table of an index; no such group: an ordinary file. */
static gm_status read_sources(gm_trace_file *file, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t group = H5I_INVALID_HID;
    uint64_t n = 0;
    void *number[GM_TRACE_N_SHARD_NUMBERS];
    const char *const *digest = NULL, *list = NULL;
    if (!gm_h5_has(file->id, "/shards")) return GM_OK;
    gm_h5_layout layout = {
        .name = "/shards/digest", .type = GM_H5_TEXT, .rank = 1, .dim = {GM_H5_ANY}};
    GM_TRY(gm_h5_read_texts(file->id, &layout, &file->arena, &digest, &n, err));
    layout.type = GM_H5_U64;
    layout.dim[0] = n;
    for (int k = 0; k < GM_TRACE_N_SHARD_NUMBERS; k++) {
        layout.name = gm_trace_shard_number[k];
        GM_TRY(gm_h5_read_all(file->id, &layout, &file->arena, &number[k], NULL, err));
    }
    group = H5Gopen2(file->id, "/shards", H5P_DEFAULT);
    GM_TRY(gm_h5_get_text(group, "files", &file->arena, &list, err));
    gm_trace_source *source = gm_arena_alloc(&file->arena, n, sizeof *source);
    if (source == NULL) GM_FAIL(GM_EMEM, "no memory for the shards of '%s'", file->path);
    if (n == 0) {
        status = gm_h5_fail(err, GM_EFORMAT, file->id, "'/shards' names no shard");
        goto out;
    }
    GM_TRY(split_names(source, n, (char *)list, file->id, err));
    for (uint64_t i = 0; i < n; i++) {
        source[i].digest = digest[i];
        source[i].sizes.N = ((uint64_t *)number[0])[i];
        source[i].sizes.T = ((uint64_t *)number[1])[i];
        source[i].sizes.S = ((uint64_t *)number[2])[i];
    }
    file->source = source;
    file->n_sources = n;
out:
    if (group >= 0) H5Gclose(group);
    return status;
}

gm_status gm_trace_file_open(gm_trace_file *file, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    const char *digest = NULL;
    *file = GM_TRACE_FILE_CLOSED;
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) file->set[c] = GM_H5_SET_CLOSED;
    file->path = gm_copy_text(path, strlen(path));
    if (file->path == NULL) GM_FAIL(GM_EMEM, "no memory to open '%s'", path);
    GM_TRY(gm_h5_open(&file->id, path, err));
    GM_TRY(gm_trace_get_info_of(file->id, &file->arena, &file->info, err));
    file->sizes.L = (uint64_t)file->info.n_layers;
    file->sizes.E = (uint64_t)file->info.n_experts;
    file->sizes.K = (uint64_t)file->info.n_chosen;
    GM_TRY(gm_h5_get_text(file->id, "digest", &file->arena, &digest, err));
    strncat(file->digest, digest, sizeof file->digest - 1);
    GM_TRY(gm_h5_get_i64(file->id, "block", 0, INT32_MAX, &file->number, err));
    GM_TRY(gm_h5_get_i64(file->id, "block_more", 0, 1, &file->more, err));
    GM_TRY(gm_h5_get_i64(file->id, "block_read", 0, INT64_MAX, &file->n_read, err));
    GM_TRY(read_layers(file, err));
    GM_TRY(read_sources(file, err));
    GM_TRY(open_columns(file, err));
out:
    if (status != GM_OK) gm_trace_file_close(file);
    return status;
}

void gm_trace_file_close(gm_trace_file *file)
{
    if (file->path == NULL) return; /* never opened */
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) gm_h5_set_close(&file->set[c]);
    gm_h5_drop(&file->id);
    gm_arena_clear(&file->arena);
    gm_free(file->path);
    *file = GM_TRACE_FILE_CLOSED;
}

/* The same in one group. */
static void find_unknown(hid_t file, const char *group, char path[GM_TRACE_PATH])
{
    H5G_info_t info;
    if (H5Gget_info_by_name(file, group, &info, H5P_DEFAULT) < 0) return;
    for (hsize_t i = 0; i < info.nlinks; i++) {
        char name[GM_TRACE_PATH - 16]; /* a longer one is cut */
        if (H5Lget_name_by_idx(file, group, H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name,
                               H5P_DEFAULT) < 0)
            return;
        (void)snprintf(path, GM_TRACE_PATH, "%s/%s", group, name);
        if (gm_trace_find_column(path) == GM_N_COLUMNS) return;
        path[0] = '\0';
    }
}

void gm_trace_file_unknown(const gm_trace_file *file, char path[GM_TRACE_PATH])
{
    static const char *const group[] = {"/routing", "/tokens", "/samples",
                                        "/corpus",  "/text",   "/spelling"};
    path[0] = '\0';
    for (size_t i = 0; i < sizeof group / sizeof *group && path[0] == '\0'; i++)
        if (gm_h5_has(file->id, group[i])) find_unknown(file->id, group[i], path);
    H5Eclear2(H5E_DEFAULT);
}

void gm_trace_hash_sources(const gm_trace_source *source, size_t n, uint8_t digest[32])
{
    gm_sha256 hash;
    gm_sha256_init(&hash);
    for (size_t i = 0; i < n; i++)
        gm_sha256_update(&hash, source[i].digest, strlen(source[i].digest));
    gm_sha256_final(&hash, digest);
}

gm_status gm_trace_file_digest(const char *path, char hex[65], gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_file file = GM_TRACE_FILE_CLOSED;
    gm_trace_hashes hashes = {{0}};
    hex[0] = '\0';
    GM_TRY(gm_trace_file_open(&file, path, err));
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) {
        if (file.set[c].id >= 0)
            GM_TRY(gm_h5_set_digest(&file.set[c], hashes[c], err));
        else if (file.n_sources > 0 && gm_trace_in_shards(c))
            gm_trace_hash_sources(file.source, file.n_sources, hashes[c]);
    }
    gm_trace_fold_digest(&file.info, hashes, hex);
out:
    gm_trace_file_close(&file);
    return status;
}

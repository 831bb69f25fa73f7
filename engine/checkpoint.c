/* checkpoint.c - see checkpoint.h. A checkpoint is one array of all its shards' tensors, sorted by
 * name.
 */
#define _GNU_SOURCE /* madvise */
#include "engine/checkpoint.h"

#include "base/folder.h"
#include "base/sha256.h"
#include "engine/weight_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char SINGLE_NAME[] = "model.safetensors";
static const char INDEX_NAME[] = "model.safetensors.index.json";

enum {
    MAX_INDEX_BYTES = 64 << 20,
    MAX_SHARDS = 4096,
    DIGEST_BYTES = 4096 /* of each end of a tensor, or of each of those that it stacks */
};

struct gm_checkpoint {
    char *path; /* as it was opened */
    gm_weight_file *shard;
    size_t n_shards;
    gm_tensor *tensor; /* (n) by name */
    size_t n;
};

/* ---- opening ---- */

/* Open the shard `name` of `folder`; the array has room for it. */
static gm_status add_shard(gm_checkpoint *c, const char *folder, const char *name, gm_error *err)
{
    gm_status status = gm_weight_file_open(&c->shard[c->n_shards], folder, name, err);
    if (status == GM_OK) c->n_shards++;
    return status;
}

static gm_status open_single(gm_checkpoint *c, const char *folder, const char *name, gm_error *err)
{
    c->shard = gm_alloc(1, sizeof *c->shard);
    if (c->shard == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", name);
    return add_shard(c, folder, name, err);
}

/* One entry of the index. A name that leads out of the folder, or goes on after a NUL,
 * is refused. */
static gm_status index_entry(const gm_json *entry, const char *where, const char **out,
                             gm_error *err)
{
    size_t n_key = 0, n_name = 0;
    const char *key = gm_json_key_text(entry, &n_key), *name = gm_json_text(entry, &n_name);
    *out = name;
    if (name == NULL || n_name == 0 || strlen(name) != n_name || strchr(name, '/'))
        return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' does not name a file of this folder",
                       where, key);
    if (strlen(key) != n_key)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': the name of tensor '%s' is followed by a NUL character", where, key);
    return GM_OK;
}

static int by_shard_name(const void *a, const void *b)
{
    return strcmp(((const gm_weight_file *)a)->name, ((const gm_weight_file *)b)->name);
}

/* The names of the files in `map`, each once, in C order; borrowed from the index. */
static gm_status shard_names(const gm_json *map, const char *where, const char ***out, size_t *n,
                             gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_entries = 0, n_names = 0;
    const char **name = gm_alloc(gm_json_n_items(map), sizeof *name);
    if (name == NULL) return gm_fail(err, GM_EMEM, "no memory for the shards of '%s'", where);

    for (const gm_json *e = gm_json_first(map); e; e = gm_json_next(e))
        GM_TRY(index_entry(e, where, &name[n_entries++], err));
    if (n_entries > 0) qsort(name, n_entries, sizeof *name, gm_ascending_text);
    for (size_t i = 0; i < n_entries; i++)
        if (i == 0 || strcmp(name[i - 1], name[i]) != 0) name[n_names++] = name[i];
    if (n_names > MAX_SHARDS)
        GM_FAIL(GM_EFORMAT, "'%s' names %zu shards, expected at most %d", where, n_names,
                MAX_SHARDS);
    *out = name;
    *n = n_names;
    name = NULL; /* now the caller's */
out:
    gm_free(name);
    return status;
}

/* Open every shard that the index names, then see that each tensor lies where it says. */
static gm_status open_index(gm_checkpoint *c, const char *folder, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *index = NULL;
    const char **name = NULL;
    size_t n = 0;

    GM_TRY(gm_json_read_file(&index, where, MAX_INDEX_BYTES, err));
    const gm_json *map = gm_json_find(index, "weight_map");
    if (map == NULL || gm_json_kind_of(map) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s' has no object 'weight_map'", where);

    GM_TRY(shard_names(map, where, &name, &n, err));
    c->shard = gm_alloc(n, sizeof *c->shard);
    if (c->shard == NULL) GM_FAIL(GM_EMEM, "no memory for the shards of '%s'", where);
    for (size_t i = 0; i < n; i++) GM_TRY(add_shard(c, folder, name[i], err));

    for (const gm_json *e = gm_json_first(map); e; e = gm_json_next(e)) {
        const gm_weight_file key = {.name = (char *)gm_json_text(e, NULL)};
        const gm_weight_file *s = bsearch(&key, c->shard, n, sizeof key, by_shard_name);
        if (gm_safetensors_find(&s->content, gm_json_key(e)) == NULL)
            GM_FAIL(GM_EFORMAT, "shard '%s' has no tensor '%s', which the index lists there",
                    s->path, gm_json_key(e));
    }
out:
    gm_free(name);
    gm_json_free(index);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const gm_tensor *)a)->name, ((const gm_tensor *)b)->name);
}

/* One sorted array over all shards; no name may come twice. */
static gm_status collect(gm_checkpoint *c, gm_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_shards; i++) n += c->shard[i].content.n;
    c->tensor = gm_alloc(n, sizeof *c->tensor);
    if (c->tensor == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu tensors", n);

    for (size_t i = 0; i < c->n_shards; i++) {
        const gm_safetensors *file = &c->shard[i].content;
        if (file->n == 0) continue;
        memcpy(c->tensor + c->n, file->tensor, file->n * sizeof *file->tensor);
        c->n += file->n;
    }
    if (n > 0) qsort(c->tensor, n, sizeof *c->tensor, by_name);
    for (size_t i = 1; i < n; i++) {
        const gm_tensor *t = &c->tensor[i - 1], *u = &c->tensor[i];
        if (strcmp(t->name, u->name) == 0)
            return gm_fail(err, GM_EFORMAT, "tensor '%s' is in two shards: '%s' and '%s'", t->name,
                           t->file, u->file);
    }
    return GM_OK;
}

static bool file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

gm_status gm_checkpoint_open(gm_checkpoint **out, const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text single = {0}, index = {0};
    gm_checkpoint *c = gm_alloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", folder);

    c->path = gm_copy_text(folder, strlen(folder));
    if (c->path == NULL) GM_FAIL(GM_EMEM, "no memory to open '%s'", folder);
    GM_TRY(gm_text_printf(&single, err, "%s/%s", folder, SINGLE_NAME));
    GM_TRY(gm_text_printf(&index, err, "%s/%s", folder, INDEX_NAME));
    if (gm_ends_in(folder, ".safetensors")) {
        GM_TRY(open_single(c, NULL, folder, err));
    } else if (gm_path_is_taken(index.at) && !file_exists(single.at)) {
        GM_TRY(open_index(c, folder, index.at, err)); /* of a link to nothing, this says so */
    } else if (gm_path_is_taken(single.at)) {
        GM_TRY(open_single(c, folder, SINGLE_NAME, err));
    } else {
        GM_FAIL(
            GM_EIO,
            "folder '%s' has neither %s nor %s; weights can only be read from safetensors files, "
            "which save_pretrained() of transformers writes",
            folder, SINGLE_NAME, INDEX_NAME);
    }
    GM_TRY(collect(c, err));
    *out = c;
    c = NULL;
out:
    gm_checkpoint_close(c);
    gm_text_clear(&single);
    gm_text_clear(&index);
    return status;
}

gm_status gm_checkpoint_in_memory(gm_checkpoint **out, const char *name, gm_tensor *tensor,
                                  size_t n, void *map, size_t n_bytes, gm_error *err)
{
    gm_status status = GM_OK;
    gm_checkpoint *c = gm_alloc(1, sizeof *c);
    gm_weight_file *s = gm_alloc(1, sizeof *s);
    *out = NULL;
    if (c == NULL || s == NULL) GM_FAIL(GM_EMEM, "no memory for the tensors of '%s'", name);
    *s = (gm_weight_file){.map = map, .n_bytes = n_bytes};
    *c = (gm_checkpoint){.shard = s, .n_shards = 1, .tensor = tensor, .n = n};
    s = NULL, map = NULL, tensor = NULL; /* now the checkpoint's */
    c->path = gm_copy_text(name, strlen(name));
    if (c->path == NULL) GM_FAIL(GM_EMEM, "no memory for the tensors of '%s'", name);
    qsort(c->tensor, n, sizeof *c->tensor, by_name);
    *out = c;
    c = NULL;
out:
    gm_checkpoint_close(c);
    gm_free(s);
    gm_free(tensor);
    if (map) munmap(map, n_bytes);
    return status;
}

void gm_checkpoint_close(gm_checkpoint *c)
{
    if (c == NULL) return;
    for (size_t i = 0; i < c->n_shards; i++) gm_weight_file_close(&c->shard[i]);
    gm_free(c->shard);
    gm_free(c->tensor);
    gm_free(c->path);
    gm_free(c);
}

/* ---- what is in it ---- */

size_t gm_checkpoint_n(const gm_checkpoint *c)
{
    return c->n;
}

const gm_tensor *gm_checkpoint_at(const gm_checkpoint *c, size_t i)
{
    return &c->tensor[i];
}

const gm_tensor *gm_checkpoint_find(const gm_checkpoint *c, const char *name)
{
    const gm_tensor key = {.name = name};
    return c->n > 0 ? bsearch(&key, c->tensor, c->n, sizeof key, by_name) : NULL;
}

uint64_t gm_checkpoint_bytes(const gm_checkpoint *c)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n; i++) bytes += c->tensor[i].n_bytes;
    return bytes;
}

bool gm_checkpoint_in_memory_only(const gm_checkpoint *c)
{
    return c->n_shards > 0 && c->shard[0].path == NULL;
}

const void *gm_checkpoint_memory(const gm_checkpoint *c)
{
    return gm_checkpoint_in_memory_only(c) ? c->shard[0].map : NULL;
}

gm_dtype gm_checkpoint_dtype(const gm_checkpoint *c)
{
    uint64_t bytes[GM_N_DTYPES] = {0};
    for (size_t i = 0; i < c->n; i++) bytes[c->tensor[i].dtype] += c->tensor[i].n_bytes;
    int most = 0;
    for (int d = 1; d < GM_N_DTYPES; d++) {
        if (bytes[d] > bytes[most]) most = d;
    }
    return (gm_dtype)most;
}

gm_status gm_checkpoint_get(const gm_checkpoint *c, const gm_slice *slice, gm_tensor *out,
                            gm_error *err)
{
    gm_status status = GM_OK;
    const gm_tensor *t = gm_checkpoint_find(c, slice->name);
    *out = (gm_tensor){0};
    if (t == NULL)
        GM_FAIL(GM_EFORMAT, "'%s': the checkpoint has no tensor '%s'", c->path, slice->name);
    GM_TRY(gm_slice_cut(slice, t, out, err));
out:
    return status;
}

size_t gm_checkpoint_most(const gm_checkpoint *c, const char *suffix)
{
    size_t most = 0;
    for (size_t i = 0; suffix && i < c->n; i++) {
        const gm_tensor *t = &c->tensor[i];
        const size_t n = t->n_bytes / gm_dtype_bytes(t->dtype);
        if (n > most && gm_ends_in(t->name, suffix)) most = n;
    }
    return most;
}

gm_status gm_checkpoint_reopen(const gm_checkpoint *c, const gm_tensor *tensor, bool direct,
                               int *fd, uint64_t *offset, gm_error *err)
{
    const char *at = tensor->data;
    *fd = -1;
    for (size_t i = 0; i < c->n_shards; i++) {
        const gm_weight_file *s = &c->shard[i];
        const char *map = s->map;
        if (s->path == NULL || at < map || at - map >= (ptrdiff_t)s->n_bytes) continue;
        *offset = (uint64_t)(at - map);
        return gm_weight_file_reopen(s, direct, fd, err);
    }
    return GM_OK;
}

/* ---- identity ---- */

static void hash_u64(gm_sha256 *hash, uint64_t value)
{
    unsigned char byte[8];
    for (int i = 0; i < 8; i++) byte[i] = (unsigned char)(value >> 8 * i);
    gm_sha256_update(hash, byte, sizeof byte);
}

/* Matrices, or vectors that are biases, one after the other: each is a tensor in checkpoints that
 * do not stack them. */
static size_t n_stacked(const gm_tensor *t)
{
    const bool stack = t->rank > 2 || (t->rank == 2 && gm_ends_in(t->name, "_bias"));
    return stack && t->n_bytes > 0 ? t->dim[0] : 1;
}

/* Strings go in with their NUL and numbers as 64 bits, so that no two lists of
 * tensors give the same bytes. */
static void hash_tensor(gm_sha256 *hash, const gm_tensor *t)
{
    const char *dtype = gm_dtype_name(t->dtype);
    const size_t items = n_stacked(t), n_bytes = t->n_bytes / items;
    const size_t n = n_bytes < DIGEST_BYTES ? n_bytes : DIGEST_BYTES;
    const unsigned char *item = t->data;

    gm_sha256_update(hash, t->name, strlen(t->name) + 1);
    gm_sha256_update(hash, dtype, strlen(dtype) + 1);
    hash_u64(hash, (uint64_t)t->rank);
    for (int i = 0; i < t->rank; i++) hash_u64(hash, t->dim[i]);
    for (size_t i = 0; i < items; i++, item += n_bytes) {
        gm_sha256_update(hash, item, n);
        gm_sha256_update(hash, item + n_bytes - n, n);
    }
}

/* Of the mapped files: what lies in memory alone would be gone by MADV_DONTNEED. */
static void advise(const gm_checkpoint *c, int how)
{
    for (size_t i = 0; i < c->n_shards; i++)
        if (c->shard[i].path) (void)madvise(c->shard[i].map, c->shard[i].n_bytes, how);
}

static void finish(gm_sha256 *hash, char hex[65])
{
    uint8_t digest[32];
    gm_sha256_final(hash, digest);
    gm_sha256_hex(digest, hex);
}

void gm_checkpoint_digest(const gm_checkpoint *c, char hex[65])
{
    gm_sha256 hash;
    gm_sha256_init(&hash);
    advise(c, MADV_RANDOM); /* pages here and there: reading ahead would read all of it */
    for (size_t i = 0; i < c->n; i++) hash_tensor(&hash, &c->tensor[i]);
    advise(c, MADV_NORMAL);
    advise(c, MADV_DONTNEED); /* with each page that was looked at came the fifteen beside it */
    finish(&hash, hex);
}

void gm_checkpoint_stamp(const gm_checkpoint *c, const char *digest, char hex[65])
{
    gm_sha256 hash;
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, digest, strlen(digest) + 1);
    for (size_t i = 0; i < c->n_shards; i++) {
        const gm_weight_file *s = &c->shard[i];
        hash_u64(&hash, s->n_bytes);
        hash_u64(&hash, (uint64_t)s->modified.tv_sec);
        hash_u64(&hash, (uint64_t)s->modified.tv_nsec);
    }
    finish(&hash, hex);
}

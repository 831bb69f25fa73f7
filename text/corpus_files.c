/* corpus_files.c - the files of a corpus, in the order they are read. */
#include "text/corpus_files.h"

#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST_FOLDER = 64 };

static bool holds_lines(const char *path)
{
    static const char *const ending[] = {".jsonl",  ".jsonl.zst",  ".jsonl.gz",
                                         ".ndjson", ".ndjson.zst", ".ndjson.gz"};
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (gm_ends_in(path, ending[i])) return true;
    return false;
}

/* Names of whatever a shell connected, a pipe or a file, which do not say what. */
static bool names_descriptor(const char *path)
{
    return strcmp(path, "/dev/stdin") == 0 || strncmp(path, "/dev/fd/", 8) == 0 ||
           strncmp(path, "/proc/self/fd/", 14) == 0;
}

/* The name of the folder that a file lies in, "" when the path names none. */
static const char *parent_name(gm_arena *names, const char *path)
{
    const char *slash = strrchr(path, '/'), *first = slash;
    if (slash == NULL) return "";
    while (first > path && first[-1] != '/') first--;
    return gm_arena_text(names, first, (size_t)(slash - first));
}

#define AS_LINES(kind) \
    "in Python pandas.read_" kind "(...).to_json(\"c.jsonl\", orient=\"records\", lines=True)"

/* A file that begins as no text does. */
static gm_status refuse_by_content(const char *path, const char *start, size_t n, gm_error *err)
{
    static const struct {
        const char *start, *what, *ending; /* that of files which may begin so; NULL: none may */
    } kind[] = {
        {"\x89HDF\r\n", "HDF5, as a trace or an atlas is", NULL},
        {"PAR1", "Parquet; write its rows as lines of JSON (.jsonl): " AS_LINES("parquet"), NULL},
        {"ARROW1", "Arrow; write its rows as lines of JSON (.jsonl)", NULL},
        {"SQLite format 3", "an SQLite database; write its rows as lines of JSON (.jsonl)", NULL},
        {"\x93NUMPY", "an array of NumPy", NULL},
        {"\x89PNG\r\n", "a PNG picture", NULL},
        {"\xff\xd8\xff", "a JPEG picture", NULL},
        {"%PDF-", "a PDF; extract its text", NULL},
        {"PK\3\4", "a zip archive; unpack it", NULL},
        {"\x1f\x8b", "compressed by gzip; let its name end in .gz", ".gz"},
        {"\x28\xb5\x2f\xfd", "compressed by zstd; let its name end in .zst", ".zst"},
        {"BZh91AY&SY", "compressed by bzip2; .gz and .zst are read", NULL},
        {"\xfd"
         "7zXZ",
         "compressed by xz; .gz and .zst are read", NULL},
    };
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        const size_t length = strlen(kind[i].start);
        if (n < length || memcmp(start, kind[i].start, length) != 0) continue;
        if (kind[i].ending && gm_ends_in(path, kind[i].ending)) continue;
        return gm_fail(err, GM_EFORMAT, "'%s' is not a corpus: it is %s", path, kind[i].what);
    }
    return GM_OK;
}

/* What would end a run when its turn comes, hours later: a file that may not be read, and one of
 * those that git-lfs leaves in the place of large ones. A file that was `named` is no picture
 * either; one in a folder is then a document that is counted as unusable. */
static gm_status check_file(const char *path, const struct stat *info, bool named, gm_error *err)
{
    char start[64];
    if (access(path, R_OK) != 0)
        return gm_fail(err, GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (!S_ISREG(info->st_mode)) return GM_OK;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return gm_fail(err, GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    const size_t n = fread(start, 1, sizeof start, file);
    fclose(file);
    const gm_status status = gm_refuse_lfs_pointer(start, n, path, err);
    return status == GM_OK && named ? refuse_by_content(path, start, n, err) : status;
}

static gm_status add_file(gm_corpus_files *files, const char *path, const struct stat *info,
                          bool named, gm_error *err)
{
    const bool is_regular = S_ISREG(info->st_mode), lines = holds_lines(path);
    gm_status status = check_file(path, info, named, err);
    if (status != GM_OK) return status;
    if (files->n == files->cap) {
        size_t cap = files->cap ? 2 * files->cap : 16;
        gm_corpus_file *at = gm_grow(files->at, files->n, cap, sizeof *at);
        if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for a list of %zu files", cap);
        files->at = at, files->cap = cap;
    }
    gm_corpus_file file = {.path = gm_arena_text(&files->names, path, strlen(path)),
                           .folder = parent_name(&files->names, path),
                           .n_bytes = is_regular ? (uint64_t)info->st_size : 0,
                           .device = info->st_dev,
                           .inode = info->st_ino,
                           .changed_s = info->st_mtim.tv_sec,
                           .changed_ns = info->st_mtim.tv_nsec,
                           .is_regular = is_regular,
                           .lines = lines,
                           .by_content = !lines && (!is_regular || names_descriptor(path))};
    if (file.path == NULL || file.folder == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the name '%s'", path);
    files->at[files->n++] = file;
    return GM_OK;
}

static gm_status add_path(gm_corpus_files *files, const char *path, int depth, gm_error *err);

/* All that lies in a folder, in whatever order the file system gives. */
static gm_status add_folder(gm_corpus_files *files, const char *path, int depth, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text name = {0};
    DIR *folder = opendir(path);
    if (folder == NULL) GM_FAIL(GM_EIO, "cannot open the folder '%s': %s", path, strerror(errno));
    if (depth > DEEPEST_FOLDER)
        GM_FAIL(GM_EIO, "folder '%s' is nested more than %d folders deep", path, DEEPEST_FOLDER);

    const char *joint = path[strlen(path) - 1] == '/' ? "" : "/";
    for (const struct dirent *entry; (errno = 0, entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        gm_text_clear(&name);
        GM_TRY(gm_text_printf(&name, err, "%s%s%s", path, joint, entry->d_name));
        GM_TRY(add_path(files, name.at, depth + 1, err));
    }
    if (errno != 0) GM_FAIL(GM_EIO, "cannot read the folder '%s': %s", path, strerror(errno));
out:
    gm_text_clear(&name);
    if (folder) closedir(folder);
    return status;
}

/* What would be read as one document, or as none, because its name ends otherwise. */
static gm_status refuse_other_kinds(const char *path, gm_error *err)
{
    static const struct {
        const char *ending, *advice;
    } kind[] = {
        {".json", "a .json file would be a single document; rename a file of JSON lines to .jsonl"},
        {".json.gz",
         "a .json file would be a single document; rename a file of JSON lines to .jsonl.gz"},
        {".json.zst",
         "a .json file would be a single document; rename a file of JSON lines to .jsonl.zst"},
        {".parquet", "write its rows as lines of JSON (.jsonl): " AS_LINES("parquet")},
        {".arrow", "write its rows as lines of JSON (.jsonl)"},
        {".csv", "write its rows as lines of JSON (.jsonl): " AS_LINES("csv")},
        {".tsv", "write its rows as lines of JSON (.jsonl)"},
        {".bz2", ".gz and .zst are read"},
        {".xz", ".gz and .zst are read"},
        {".zip", ".gz and .zst are read"},
        {".tar", "unpack it and name the folder"},
    };
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++)
        if (gm_ends_in(path, kind[i].ending))
            return gm_fail(err, GM_EFORMAT, "'%s' is not a corpus: %s", path, kind[i].advice);
    return GM_OK;
}

static gm_status add_path(gm_corpus_files *files, const char *path, int depth, gm_error *err)
{
    struct stat info;
    if (path[0] == '\0') return gm_fail(err, GM_EIO, "a corpus path is empty");
    if (stat(path, &info) != 0)
        return gm_fail(err, GM_EIO, "cannot find the corpus '%s': %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return add_folder(files, path, depth, err);
    if (depth == 0 && refuse_other_kinds(path, err) != GM_OK) return GM_EFORMAT;
    /* a pipe or device is read when it was named, and passed over inside a folder */
    return S_ISREG(info.st_mode) || depth == 0 ? add_file(files, path, &info, depth == 0, err)
                                               : GM_OK;
}

static int by_path(const void *p, const void *q)
{
    return strcmp(((const gm_corpus_file *)p)->path, ((const gm_corpus_file *)q)->path);
}

/* 0 of one file by two names. Its size and time are asked too, because a file system may make
 * inode numbers up; what is no regular file is known by its name alone. */
static int by_file(const gm_corpus_file *a, const gm_corpus_file *b)
{
    if (a->is_regular != b->is_regular) return a->is_regular ? 1 : -1;
    if (!a->is_regular) return strcmp(a->path, b->path);
    if (a->device != b->device) return a->device < b->device ? -1 : 1;
    if (a->inode != b->inode) return a->inode < b->inode ? -1 : 1;
    if (a->n_bytes != b->n_bytes) return a->n_bytes < b->n_bytes ? -1 : 1;
    if (a->changed_s != b->changed_s) return a->changed_s < b->changed_s ? -1 : 1;
    return (a->changed_ns > b->changed_ns) - (a->changed_ns < b->changed_ns);
}

static int by_file_then_path(const void *p, const void *q)
{
    const gm_corpus_file *a = *(const gm_corpus_file *const *)p;
    const gm_corpus_file *b = *(const gm_corpus_file *const *)q;
    const int order = by_file(a, b);
    return order != 0 ? order : strcmp(a->path, b->path);
}

/* A folder and a file in it were named, or there is a link: its documents would count twice. */
static gm_status refuse_twice(const gm_corpus_files *files, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_corpus_file **file = gm_alloc(files->n, sizeof(gm_corpus_file *));
    if (file == NULL) return gm_fail(err, GM_EMEM, "no memory for a list of %zu files", files->n);
    for (size_t i = 0; i < files->n; i++) file[i] = &files->at[i];
    if (files->n > 0) qsort(file, files->n, sizeof(gm_corpus_file *), by_file_then_path);
    for (size_t i = 1; i < files->n; i++) {
        const char *first = file[i - 1]->path, *again = file[i]->path;
        if (by_file(file[i - 1], file[i]) != 0) continue;
        if (strcmp(first, again) == 0)
            GM_FAIL(GM_EARG, "'%s' is in the corpus twice; name it, or its folder, once", again);
        GM_FAIL(GM_EARG, "'%s' is in the corpus twice, also as '%s'; keep one of the names", first,
                again);
    }
out:
    gm_free(file);
    return status;
}

gm_status gm_corpus_files_find(gm_corpus_files *files, const char *const *paths, size_t n,
                               gm_error *err)
{
    gm_status status = GM_OK;
    *files = (gm_corpus_files){0};
    for (size_t i = 0; i < n; i++) {
        size_t first = files->n;
        GM_TRY(add_path(files, paths[i], 0, err));
        if (files->n > first)
            qsort(files->at + first, files->n - first, sizeof *files->at, by_path);
    }
    GM_TRY(refuse_twice(files, err));
out:
    if (status != GM_OK) gm_corpus_files_clear(files);
    return status;
}

void gm_corpus_files_clear(gm_corpus_files *files)
{
    gm_free(files->at);
    gm_arena_clear(&files->names);
    *files = (gm_corpus_files){0};
}

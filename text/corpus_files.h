/* corpus_files.h - the files of a corpus, in the order they are read (inside text/).
 */
#ifndef GM_CORPUS_FILES_H
#define GM_CORPUS_FILES_H

#include "base/arena.h"

typedef struct gm_corpus_file {
    const char *path;
    const char *folder; /* name of the parent folder: the subset of a plain text file */
    uint64_t n_bytes;   /* 0: no size, a pipe */
    uint64_t device, inode;
    int64_t changed_s, changed_ns; /* when its contents last changed */
    bool is_regular;
    bool lines;      /* .jsonl, .ndjson and their compressed forms: a document a line */
    bool by_content; /* a pipe or descriptor: `lines` is found when it is read */
} gm_corpus_file;

typedef struct gm_corpus_files {
    gm_corpus_file *at;
    size_t n, cap;
    gm_arena names;
} gm_corpus_files;

/* Every regular file at or below the n paths: paths in the order given, folders in
 * C-locale order of the full path, names that begin with a dot left out. Errors:
 * GM_EIO (names what is missing or unreadable), GM_EFORMAT (a Git LFS pointer, a kind of file that
 * is no corpus), GM_EARG (a file given twice, by its name, a link or its folder), GM_EMEM. */
gm_status gm_corpus_files_find(gm_corpus_files *files, const char *const *paths, size_t n,
                               gm_error *err) GM_MUST_USE;
void gm_corpus_files_clear(gm_corpus_files *files);

#endif

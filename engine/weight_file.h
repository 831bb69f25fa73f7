/* weight_file.h - one .safetensors file of a checkpoint: mapped, its header parsed. Private to
 * checkpoint.c, whose shards these are.
 */
#ifndef GM_WEIGHT_FILE_H
#define GM_WEIGHT_FILE_H

#include "base/safetensors.h"

#include <sys/stat.h>

typedef struct gm_weight_file {
    char *name; /* in its folder */
    char *path; /* NULL: not a file, in memory only (gm_checkpoint_in_memory) */
    void *map;  /* (n_bytes) read-only */
    size_t n_bytes;
    dev_t device; /* with inode: which file it is */
    ino_t inode;
    struct timespec modified;
    gm_safetensors content; /* its tensors point into map */
} gm_weight_file;

/* Map `name` of `folder` (NULL: name is the path) and check its header; *out is empty on failure.
 * The file must not change until it is closed. GM_EIO, GM_EFORMAT (gm_safetensors_parse), GM_EMEM.
 */
gm_status gm_weight_file_open(gm_weight_file *out, const char *folder, const char *name,
                              gm_error *err) GM_MUST_USE;
void gm_weight_file_close(gm_weight_file *file);

/* Open it once more, for reading without the mapping: *fd, the caller's to close, -1 on failure.
 * `direct`: past the page cache where the file system can. GM_EIO: gone, or another file by now. */
gm_status gm_weight_file_reopen(const gm_weight_file *file, bool direct, int *fd, gm_error *err)
    GM_MUST_USE;

#endif

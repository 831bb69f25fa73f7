/* commit.h - private to formats: HDF5 files that appear under their name only when
 * they are complete and were read back.
 *
 * A file is written as NAME.part (base/outfile.h); gm_commit_end closes it, opens it again,
 * compares the digest of its contents, syncs it, renames it, and syncs the folder. What a
 * crash leaves is a .part or a whole file.
 */
#ifndef GM_COMMIT_H
#define GM_COMMIT_H

#include "base/outfile.h"
#include "formats/h5.h"

typedef struct gm_commit {
    char *path;        /* final name, owned */
    gm_outfile *place; /* the .part and the lock on it */
    hid_t file;        /* open for writing until gm_commit_end */
} gm_commit;

#define GM_COMMIT_NONE ((gm_commit){.file = H5I_INVALID_HID})

/* Recompute the digest of a file's contents, 64 hex digits. */
typedef gm_status gm_commit_digest(const char *path, char hex[65], gm_error *err);

/* Create `path`.part; one that no process holds any more is removed first.
 * GM_EBUSY when another process is writing it, GM_EEXIST when `path` is there and is no file. */
gm_status gm_commit_begin(gm_commit *commit, const char *path, bool replace, gm_error *err)
    GM_MUST_USE;
/* Commit. A file of that name with the same digest is kept and ours dropped; with
 * another digest it is GM_EEXIST unless `replace`. */
gm_status gm_commit_end(gm_commit *commit, const char *digest, gm_commit_digest *digest_of,
                        gm_error *err) GM_MUST_USE;
/* Free; removes the .part unless it was committed. */
void gm_commit_drop(gm_commit *commit);

#endif

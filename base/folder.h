/* folder.h - the files of a folder that a person named, and messages for what may be wrong with it:
 * it is missing, is a file, lacks a file, or holds Git LFS pointers instead of files.
 */
#ifndef GM_FOLDER_H
#define GM_FOLDER_H

#include "base/text.h"

/* Append "folder/name" to *path; the file must exist. `what` says what the folder should be,
 * "model", for messages. Errors: GM_EIO saying what is missing and what a model
 * folder has (or that this is a download cache, or an adapter), GM_EMEM. */
gm_status gm_folder_file(gm_text *path, const char *folder, const char *name, const char *what,
                         gm_error *err) GM_MUST_USE;

/* Does anything have this path, even a broken link or an unreadable file? For optional files:
 * opening one that exists then says what is wrong with it. */
bool gm_path_is_taken(const char *path);

/* Make the folder, for output, unless it is there. GM_EIO. */
gm_status gm_folder_make(const char *folder, gm_error *err) GM_MUST_USE;

/* GM_EFORMAT when bytes[0..n), the contents of `where`, are a Git LFS pointer: what a
 * clone without git-lfs holds in place of a large file. */
gm_status gm_refuse_lfs_pointer(const void *bytes, size_t n, const char *where, gm_error *err)
    GM_MUST_USE;

#endif

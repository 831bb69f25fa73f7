/* folder.h - the files of a folder that a person named, and sentences for the ways in
 * which such a folder is mistaken: it is not there, is a file, lacks a file, holds
 * pointers in place of files.
 */
#ifndef GM_FOLDER_H
#define GM_FOLDER_H

#include "base/text.h"

/* Append "folder/name" to *path; the file must be there. `what` is what the folder is
 * meant to be, "model", for the message.
 * Errors: GM_EIO saying what is missing (and where it lies, for the download cache of
 * Hugging Face, whose checkpoint is a folder below "snapshots"; that it is an adapter), GM_EMEM. */
gm_status gm_folder_file(gm_text *path, const char *folder, const char *name, const char *what,
                         gm_error *err) GM_MUST_USE;

/* Does anything have this path, be it a link to what is not there or a file that may not be read?
 * For files that a folder may lack: what is wrong with one that it has, opening it says. */
bool gm_path_is_taken(const char *path);

/* Make the folder, for output, unless it is there. GM_EIO. */
gm_status gm_folder_make(const char *folder, gm_error *err) GM_MUST_USE;

/* GM_EFORMAT when bytes[0..n), the contents of `where`, are a Git LFS pointer: what a
 * clone without git-lfs holds in place of a large file. */
gm_status gm_refuse_lfs_pointer(const void *bytes, size_t n, const char *where, gm_error *err)
    GM_MUST_USE;

#endif

/* outfile.h - output files that appear under their final name only when complete.
 *
 * A gm_outfile writes to "NAME.part" in the same folder (created exclusively)
 * and is renamed by gm_outfile_commit after fsync; the folder is synced too.
 * gm_outfile_abort removes the partial file. Libraries that open files by name
 * (HDF5, cairo) write to gm_outfile_path. A symbolic link of that name is replaced;
 * its target stays.
 */
#ifndef GM_OUTFILE_H
#define GM_OUTFILE_H

#include "base/base.h"

#include <stdio.h>

typedef struct gm_outfile gm_outfile;

/* Begin the output `path`. Unless `replace`, an existing file of that name is
 * GM_EEXIST ("'x' exists; choose another name or give --force"). A stale .part
 * (no process holds its lock) is replaced; one that is held is GM_EBUSY.
 * Errors: GM_EEXIST, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_outfile_open(gm_outfile **out, const char *path, bool replace, gm_error *err)
    GM_MUST_USE;

/* Would gm_outfile_open work? To ask before hours of work: the name is
 * free (or `replace`), the folder exists and may be written to. Errors: GM_EEXIST,
 * GM_EIO, GM_EMEM. */
gm_status gm_outfile_check(const char *path, bool replace, gm_error *err) GM_MUST_USE;

/* Remove the partial file `part` that a killed process left, if there is one.
 * GM_EBUSY when a process holds it, GM_EEXIST when nobody can tell (a file system without
 * locks). */
gm_status gm_outfile_remove_stale(const char *part, gm_error *err) GM_MUST_USE;

/* Is the open file still the one of that name? Not if another process has renamed or removed it
 * since. For holders of a lock on it. */
bool gm_outfile_is_named(int fd, const char *path);

/* Despite `replace`, do not replace a file that has this name at the commit, which is then
 * GM_EEXIST. */
void gm_outfile_keep_existing(gm_outfile *file);

/* The stream to write to, and the partial file's name for libraries. */
FILE *gm_outfile_stream(gm_outfile *file);
const char *gm_outfile_path(const gm_outfile *file);

/* Flush, fsync, rename, fsync of the folder. Frees `file` in every case; on
 * failure (a full disk shows here) the partial file is removed. GM_EEXIST when a file
 * that must not be replaced has appeared. */
gm_status gm_outfile_commit(gm_outfile *file, gm_error *err) GM_MUST_USE;

/* Remove the partial file and free; NULL is allowed. */
void gm_outfile_abort(gm_outfile *file);

/* Write n bytes as the file `path`, by the functions above. */
gm_status gm_outfile_write(const char *path, bool replace, const void *bytes, size_t n,
                           gm_error *err) GM_MUST_USE;

#endif

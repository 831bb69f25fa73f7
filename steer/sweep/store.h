/* store.h - the cells of a study in files: one each while it runs, all in one at the end.
 *
 * OUT.parts/NNNNNN.h5 is a sweep file (formats/sweep.h) with cell NNNNNN alone. It appears
 * when the cell is complete and is never written again; so a killed study continues with the
 * cells that it lacks, and ends with the bytes of one that was never killed.
 */
#ifndef GM_STORE_H
#define GM_STORE_H

#include "formats/sweep.h"
#include "steer/sweep/study.h"

/* Append ".parts" to a result's name. */
gm_status gm_store_folder(gm_text *folder, const char *path, gm_error *err) GM_MUST_USE;

/* Write cell `at` as a part. GM_EIO, GM_EMEM. */
gm_status gm_store_save(const char *folder, const gm_study *study, size_t at, gm_error *err)
    GM_MUST_USE;

/* Read what a folder of parts, or a whole result, has of a half's cells.
 * GM_EFORMAT a part of another study. */
gm_status gm_store_load(const char *from, gm_study *study, int half, gm_error *err) GM_MUST_USE;

/* Where the result `path`, or otherwise the first part in `folder`, was computed: "cpu", "cuda", or
 * "" where nothing says it. */
enum { GM_STORE_DEVICE = 16 };
void gm_store_device(char device[GM_STORE_DEVICE], const char *path, const char *folder);

/* Write all cells with protocol and verdict, both JSON. GM_EEXIST, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_store_write(const char *path, const gm_study *study, const gm_text *config,
                         const gm_text *summary, bool replace, gm_error *err) GM_MUST_USE;

#endif

/* commit.c - the commit of an HDF5 file: see commit.h. */
#include "formats/commit.h"

#include "base/text.h"

#include <string.h>

gm_status gm_commit_begin(gm_commit *commit, const char *path, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    *commit = GM_COMMIT_NONE;
    commit->path = gm_copy_text(path, strlen(path));
    if (commit->path == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", path);
    /* Whether the name is free is asked at the end: it may hold what we are making. */
    GM_TRY(gm_outfile_open(&commit->place, path, true, err));
    if (!replace) gm_outfile_keep_existing(commit->place);
    GM_TRY(gm_h5_create(&commit->file, gm_outfile_path(commit->place), err));
out:
    if (status != GM_OK) gm_commit_drop(commit);
    return status;
}

void gm_commit_drop(gm_commit *commit)
{
    gm_h5_drop(&commit->file);
    gm_outfile_abort(commit->place);
    gm_free(commit->path);
    *commit = GM_COMMIT_NONE;
}

/* The name is taken: fine when it holds what we would have put there. */
static gm_status settle_with_existing(const gm_commit *commit, const char *digest,
                                      gm_commit_digest *digest_of, gm_error *err)
{
    char found[65] = "";
    if (digest_of(commit->path, found, NULL) == GM_OK && strcmp(found, digest) == 0) return GM_OK;
    return gm_fail(err, GM_EEXIST, "'%s' exists; choose another name or give --force",
                   commit->path);
}

gm_status gm_commit_end(gm_commit *commit, const char *digest, gm_commit_digest *digest_of,
                        gm_error *err)
{
    gm_status status = GM_OK;
    char found[65] = "";
    const char *part = gm_outfile_path(commit->place);
    GM_TRY(gm_h5_close(&commit->file, part, err));
    GM_TRY(digest_of(part, found, err));
    if (strcmp(found, digest) != 0)
        GM_FAIL(GM_EIO, "'%s' was written, but reading it back gives other contents", part);
    gm_outfile *place = commit->place;
    commit->place = NULL; /* the commit frees it in every case */
    status = gm_outfile_commit(place, err);
    if (status == GM_EEXIST) status = settle_with_existing(commit, digest, digest_of, err);
out:
    gm_commit_drop(commit);
    return status;
}

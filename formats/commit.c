/* commit.c - the commit of an HDF5 file: see commit.h. */
#define _GNU_SOURCE /* renameat2, flock */
#include "formats/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/text.h"

/* Remove a .part that a killed process left. A live one holds HDF5's lock on it. */
static gm_status remove_stale(const char *part, gm_error *err)
{
    gm_status status = GM_OK;
    int fd = open(part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) return GM_OK;
    if (fd < 0) return gm_fail(err, GM_EIO, "cannot open '%s': %s", part, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        status = gm_fail(err, GM_EEXIST, "'%s' is being written by another process", part);
    else if (unlink(part) != 0)
        status = gm_fail(err, GM_EIO, "cannot remove '%s': %s", part, strerror(errno));
    close(fd);
    return status;
}

gm_status gm_commit_begin(gm_commit *commit, const char *path, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text part = {0};
    *commit = GM_COMMIT_NONE;
    commit->replace = replace;
    GM_TRY(gm_text_printf(&part, err, "%s.part", path));
    commit->path = gm_copy_text(path, strlen(path));
    if (commit->path == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", path);
    commit->part = gm_copy_text(part.at, part.n);
    if (commit->part == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", path);
    GM_TRY(remove_stale(commit->part, err));
    GM_TRY(gm_h5_create(&commit->file, commit->part, err));
    commit->made = true;
out:
    gm_text_clear(&part);
    if (status != GM_OK) gm_commit_drop(commit);
    return status;
}

void gm_commit_drop(gm_commit *commit)
{
    gm_h5_drop(&commit->file);
    if (commit->made) unlink(commit->part);
    gm_free(commit->path);
    gm_free(commit->part);
    *commit = GM_COMMIT_NONE;
}

/* fsync a file or a folder. */
static gm_status sync_path(const char *path, gm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0;
    int why = errno;
    if (fd >= 0) close(fd);
    return bad ? gm_fail(err, GM_EIO, "cannot sync '%s': %s", path, strerror(why)) : GM_OK;
}

static gm_status sync_folder_of(const char *path, gm_error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return sync_path(".", err);
    char *folder = gm_copy_text(path, slash == path ? 1 : (size_t)(slash - path));
    if (folder == NULL) return gm_fail(err, GM_EMEM, "no memory to write '%s'", path);
    gm_status status = sync_path(folder, err);
    gm_free(folder);
    return status;
}

/* Rename without replacing. File systems without RENAME_NOREPLACE (NFS) have link. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    return link(from, to) == 0 ? unlink(from) : -1;
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
    GM_TRY(gm_h5_close(&commit->file, commit->part, err));
    GM_TRY(digest_of(commit->part, found, err));
    if (strcmp(found, digest) != 0)
        GM_FAIL(GM_EIO, "'%s' does not read back as it was written", commit->part);
    GM_TRY(sync_path(commit->part, err));
    int bad = commit->replace ? rename(commit->part, commit->path)
                              : rename_new(commit->part, commit->path);
    if (bad && errno == EEXIST) {
        GM_TRY(settle_with_existing(commit, digest, digest_of, err));
        goto out;
    }
    if (bad) GM_FAIL(GM_EIO, "cannot rename '%s': %s", commit->part, strerror(errno));
    commit->made = false;
    GM_TRY(sync_folder_of(commit->path, err));
out:
    gm_commit_drop(commit);
    return status;
}

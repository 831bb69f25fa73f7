/* outfile.c - output files that appear under their final name only when complete.
 *
 * The partial file is held by an open-file-description lock: a plain fcntl lock would be
 * dropped when a library that was given the name closes its own descriptor.
 */
#define _GNU_SOURCE /* F_OFD_SETLK, renameat2 */
#include "base/outfile.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART ".part"

struct gm_outfile {
    char *path; /* final name */
    char *part; /* the partial file's name */
    FILE *stream;
    bool replace;
};

static void free_outfile(gm_outfile *file)
{
    if (file->stream != NULL) fclose(file->stream); /* closing gives the lock back */
    gm_free(file->part);
    gm_free(file->path);
    gm_free(file);
}

/* A new name may be taken, an old one only by `replace` and only from a file:
 * renaming over /dev/null would be a bad surprise. */
static gm_status check_name(const char *path, bool replace, gm_error *err)
{
    struct stat info;
    if (*path == '\0') return gm_fail(err, GM_EIO, "the name of the output is empty");
    if (lstat(path, &info) != 0) return GM_OK; /* where it cannot be, creating it says why */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return gm_fail(err, GM_EEXIST, "'%s' exists and is not a file", path);
    if (!replace)
        return gm_fail(err, GM_EEXIST, "'%s' exists; choose another name or give --force", path);
    return GM_OK;
}

gm_status gm_outfile_check(const char *path, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text part = {0};
    struct stat info;
    char *folder = NULL;
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    GM_TRY(check_name(path, replace, err));
    GM_TRY(gm_text_printf(&part, err, "%s" PART, path));
    if (lstat(part.at, &info) != 0 && errno != ENOENT) /* too long a name, for example */
        GM_FAIL(GM_EIO, "cannot create '%s': %s", part.at, strerror(errno));

    folder = slash && n > 0 ? gm_copy_text(path, n) : gm_copy_text(slash ? "/" : ".", 1);
    if (folder == NULL) GM_FAIL(GM_EMEM, "no memory for the name '%s'", path);
    if (access(folder, W_OK | X_OK) != 0) {
        bool absent = errno == ENOENT;
        GM_FAIL(GM_EIO, "cannot create '%s': %s", path,
                absent ? "its folder does not exist" : strerror(errno));
    }
out:
    gm_free(folder);
    gm_text_clear(&part);
    return status;
}

/* Some file systems (of FUSE) make inode numbers up at every look: then nobody can tell by them.
 * That a name goes from file to file at every one of our looks does not happen otherwise. */
static bool are_made_up(int fd, const char *path, ino_t opened, ino_t named)
{
    enum { LOOKS = 4 };
    struct stat a, b;
    for (int i = 0; i < LOOKS; i++) {
        if (fstat(fd, &a) != 0 || lstat(path, &b) != 0) return false;
        if (a.st_ino == opened && b.st_ino == named) return false;
        opened = a.st_ino;
        named = b.st_ino;
    }
    return true;
}

bool gm_outfile_is_named(int fd, const char *path)
{
    struct stat opened, named;
    if (fstat(fd, &opened) != 0 || lstat(path, &named) != 0 || opened.st_dev != named.st_dev)
        return false;
    return opened.st_ino == named.st_ino || are_made_up(fd, path, opened.st_ino, named.st_ino);
}

/* Lock the open file; GM_EBUSY when another process holds it or has just renamed
 * it away. *locked: false on a file system without locks, where nobody can tell. */
static gm_status take_lock(int fd, const char *part, bool *locked, gm_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat opened;

    *locked = fcntl(fd, F_OFD_SETLK, &lock) == 0;
    if (!*locked) {
        if (errno == EAGAIN || errno == EACCES)
            return gm_fail(err, GM_EBUSY, "'%s' is being written by another process", part);
        /* A file system without locks: the exclusive creation has to do. */
        if (errno != EINVAL && errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP)
            return gm_fail(err, GM_EIO, "cannot lock '%s': %s", part, strerror(errno));
    }
    if (!gm_outfile_is_named(fd, part))
        return gm_fail(err, GM_EBUSY, "'%s' was just renamed by another process", part);
    if (fstat(fd, &opened) != 0 || !S_ISREG(opened.st_mode))
        return gm_fail(err, GM_EEXIST, "'%s' exists and is not a file", part);
    return GM_OK;
}

/* Remove a .part that a killed process left. It is not emptied and written again: a kill
 * inside give_name leaves it as a second name of the finished file. */
gm_status gm_outfile_remove_stale(const char *part, gm_error *err)
{
    int fd = open(part, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return GM_OK;
    if (fd < 0) return gm_fail(err, GM_EIO, "cannot create '%s': %s", part, strerror(errno));
    bool locked;
    gm_status status = take_lock(fd, part, &locked, err);
    if (status == GM_OK && !locked)
        status = gm_fail(err, GM_EEXIST,
                         "'%s' exists, and this file system has no locks; if no process is writing "
                         "the file, remove it",
                         part);
    else if (status == GM_OK && unlink(part) != 0)
        status = gm_fail(err, GM_EIO, "cannot remove '%s': %s", part, strerror(errno));
    close(fd);
    return status;
}

gm_status gm_outfile_open(gm_outfile **out, const char *path, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_outfile *file = NULL;
    gm_text part = {0};
    int fd = -1;
    bool locked;
    *out = NULL;

    GM_TRY(check_name(path, replace, err));
    file = gm_alloc(1, sizeof *file);
    if (file == NULL) GM_FAIL(GM_EMEM, "no memory to open '%s'", path);
    GM_TRY(gm_text_printf(&part, err, "%s" PART, path));
    file->part = part.at;
    file->replace = replace;
    file->path = gm_copy_text(path, strlen(path));
    if (file->path == NULL) GM_FAIL(GM_EMEM, "no memory to open '%s'", path);

    GM_TRY(gm_outfile_remove_stale(file->part, err));
    fd = open(file->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        GM_FAIL(GM_EBUSY, "'%s' is being written by another process", file->part);
    if (fd < 0) GM_FAIL(GM_EIO, "cannot create '%s': %s", file->part, strerror(errno));
    GM_TRY(take_lock(fd, file->part, &locked, err));
    file->stream = fdopen(fd, "wb");
    if (file->stream == NULL) GM_FAIL(GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    fd = -1; /* now the stream's */
    *out = file;
    file = NULL;
out: /* nothing is removed: the name may be another's, who took ours for a stale one */
    if (fd >= 0) close(fd);
    if (file) free_outfile(file);
    return status;
}

void gm_outfile_keep_existing(gm_outfile *file)
{
    file->replace = false;
}

FILE *gm_outfile_stream(gm_outfile *file)
{
    return file->stream;
}

const char *gm_outfile_path(const gm_outfile *file)
{
    return file->part;
}

/* fsync by name: a library may have put a new file in the old one's place. */
static gm_status sync_path(const char *path, int flags, gm_error *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) return gm_fail(err, GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    /* EINVAL: a file system that has no fsync for this kind of file. */
    bool failed = fsync(fd) != 0 && errno != EINVAL;
    int reason = errno;
    close(fd);
    if (failed) return gm_fail(err, GM_EIO, "cannot sync '%s': %s", path, strerror(reason));
    return GM_OK;
}

static gm_status sync_folder(const char *path, gm_error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return sync_path(".", O_RDONLY | O_DIRECTORY, err);
    char *folder = gm_copy_text(path, (size_t)(slash - path) + 1);
    if (folder == NULL) return gm_fail(err, GM_EMEM, "no memory to sync '%s'", path);
    gm_status status = sync_path(folder, O_RDONLY | O_DIRECTORY, err);
    gm_free(folder);
    return status;
}

/* Give the partial file its final name. Without `replace` a name that has come up meanwhile
 * is refused: by the rename itself, where the file system cannot do that (NFS) by link, and
 * where links do not exist by a look first. */
static gm_status give_name(const gm_outfile *file, gm_error *err)
{
    if (!file->replace) {
        if (renameat2(AT_FDCWD, file->part, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
            return GM_OK;
        if (errno != EEXIST && link(file->part, file->path) == 0) {
            unlink(file->part);
            return GM_OK;
        }
        if (errno == EEXIST)
            return gm_fail(err, GM_EEXIST, "another process has created '%s' in the meantime",
                           file->path);
        gm_status status = check_name(file->path, false, err);
        if (status != GM_OK) return status;
    }
    if (rename(file->part, file->path) != 0)
        return gm_fail(err, GM_EIO, "cannot rename '%s' to '%s': %s", file->part, file->path,
                       strerror(errno));
    return GM_OK;
}

gm_status gm_outfile_commit(gm_outfile *file, gm_error *err)
{
    gm_status status = GM_OK;

    if (fflush(file->stream) != 0 || ferror(file->stream))
        GM_FAIL(GM_EIO, "cannot write '%s': %s", file->part, strerror(errno));
    GM_TRY(sync_path(file->part, O_RDONLY, err));
    GM_TRY(give_name(file, err));
    status = sync_folder(file->path, err);
    free_outfile(file); /* the name of the partial file may be another writer's now */
    return status;
out:
    gm_outfile_abort(file);
    return status;
}

void gm_outfile_abort(gm_outfile *file)
{
    if (file == NULL) return;
    unlink(file->part);
    free_outfile(file);
}

gm_status gm_outfile_write(const char *path, bool replace, const void *bytes, size_t n,
                           gm_error *err)
{
    gm_outfile *file;
    gm_status status = gm_outfile_open(&file, path, replace, err);
    if (status != GM_OK) return status;
    /* A short write shows as the stream's error when the file is committed. */
    if (n > 0) (void)!fwrite(bytes, 1, n, gm_outfile_stream(file));
    return gm_outfile_commit(file, err);
}

/* weight_file.c - see weight_file.h. */
#define _GNU_SOURCE /* O_DIRECT */
#include "engine/weight_file.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static gm_status map_file(gm_weight_file *f, gm_error *err)
{
    gm_status status = GM_OK;
    struct stat about;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would not open */
    if (fd < 0) GM_FAIL(GM_EIO, "cannot open '%s': %s", f->path, strerror(errno));
    if (fstat(fd, &about) != 0) GM_FAIL(GM_EIO, "cannot access '%s': %s", f->path, strerror(errno));
    if (!S_ISREG(about.st_mode)) GM_FAIL(GM_EIO, "'%s' is not a regular file", f->path);
    if (about.st_size == 0) GM_FAIL(GM_EFORMAT, "'%s' is empty", f->path);

    f->n_bytes = (size_t)about.st_size;
    f->device = about.st_dev;
    f->inode = about.st_ino;
    f->modified = about.st_mtim;
    void *map = mmap(NULL, f->n_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) GM_FAIL(GM_EIO, "cannot map '%s': %s", f->path, strerror(errno));
    f->map = map;
out:
    if (fd >= 0) close(fd);
    return status;
}

gm_status gm_weight_file_open(gm_weight_file *out, const char *folder, const char *name,
                              gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    *out = (gm_weight_file){0};

    if (folder) GM_TRY(gm_text_printf(&path, err, "%s/", folder));
    GM_TRY(gm_text_add(&path, name, err));
    out->name = gm_copy_text(name, strlen(name));
    out->path = gm_copy_text(path.at, path.n);
    if (out->name == NULL || out->path == NULL) GM_FAIL(GM_EMEM, "no memory to open '%s'", name);
    GM_TRY(map_file(out, err));
    GM_TRY(gm_safetensors_parse(&out->content, out->map, out->n_bytes, out->path, err));
out:
    if (status != GM_OK) gm_weight_file_close(out);
    gm_text_clear(&path);
    return status;
}

void gm_weight_file_close(gm_weight_file *f)
{
    gm_safetensors_clear(&f->content);
    if (f->map) munmap(f->map, f->n_bytes);
    gm_free(f->name);
    gm_free(f->path);
    *f = (gm_weight_file){0};
}

/* File systems of FUSE may make inode numbers up at every look, and people touch files that would
 * be cleaned away: one of number and time may differ. */
static bool is_same_file(const gm_weight_file *f, const struct stat *about)
{
    const bool same_time = about->st_mtim.tv_sec == f->modified.tv_sec &&
                           about->st_mtim.tv_nsec == f->modified.tv_nsec;
    return about->st_dev == f->device && about->st_size == (off_t)f->n_bytes &&
           (about->st_ino == f->inode || same_time);
}

gm_status gm_weight_file_reopen(const gm_weight_file *f, bool direct, int *fd, gm_error *err)
{
    struct stat about;
    *fd = open(f->path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    if (*fd < 0 && direct && errno == EINVAL) *fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) return gm_fail(err, GM_EIO, "cannot open '%s': %s", f->path, strerror(errno));
    if (fstat(*fd, &about) == 0 && is_same_file(f, &about)) return GM_OK;
    close(*fd);
    *fd = -1;
    return gm_fail(err, GM_EIO, "'%s' was replaced while it was being read", f->path);
}

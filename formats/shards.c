/* shards.c - the folder of a run: see shards.h. */
#define _GNU_SOURCE /* flock, O_DIRECTORY */
#include "formats/shards.h"

#include "base/folder.h"
#include "base/outfile.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SHARD_SUFFIX ".h5"
#define PART_SUFFIX  ".h5.part"
#define LOCK_PREFIX  "lock"

/* "000017.h5": true, 17. Six digits, or more without leading zeros, as gm_shard_path prints them.
 */
static bool parse_name(const char *name, const char *suffix, uint32_t *number)
{
    size_t digits = strspn(name, "0123456789");
    if (digits < 6 || digits > 9 || strcmp(name + digits, suffix) != 0) return false;
    if (digits > 6 && name[0] == '0') return false;
    *number = (uint32_t)strtoul(name, NULL, 10);
    return true;
}

gm_status gm_shard_path(gm_text *path, const char *folder, uint64_t number, gm_error *err)
{
    return gm_text_printf(path, err, "%s/%06" PRIu64 SHARD_SUFFIX, folder, number);
}

/* Call `each` for every name in the folder; a missing folder has none. */
typedef gm_status visit(void *context, const char *folder, const char *name, gm_error *err);

static gm_status for_each_name(const char *folder, visit *each, void *context, gm_error *err)
{
    gm_status status = GM_OK;
    DIR *dir = opendir(folder);
    if (dir == NULL && errno == ENOENT) return GM_OK;
    if (dir == NULL) return gm_fail(err, GM_EIO, "cannot read '%s': %s", folder, strerror(errno));
    for (struct dirent *entry; (errno = 0, entry = readdir(dir)) != NULL;)
        GM_TRY(each(context, folder, entry->d_name, err));
    if (errno != 0) GM_FAIL(GM_EIO, "cannot read '%s': %s", folder, strerror(errno));
out:
    closedir(dir);
    return status;
}

/* ---- listing ---- */

typedef struct found {
    uint32_t *number;
    size_t n, cap;
} found;

static gm_status note_shard(void *context, const char *folder, const char *name, gm_error *err)
{
    found *f = context;
    uint32_t number;
    if (!parse_name(name, SHARD_SUFFIX, &number)) return GM_OK;
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        uint32_t *grown = gm_grow(f->number, f->cap, cap, sizeof *grown);
        if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory to list '%s'", folder);
        f->number = grown;
        f->cap = cap;
    }
    f->number[f->n++] = number;
    return GM_OK;
}

gm_status gm_shard_list_read(gm_shard_list *list, const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    found f = {0};
    *list = (gm_shard_list){0};
    GM_TRY(for_each_name(folder, note_shard, &f, err));
    if (f.n > 0) qsort(f.number, f.n, sizeof *f.number, gm_ascending_u32);
    list->path = gm_alloc(f.n, sizeof *list->path);
    if (list->path == NULL) GM_FAIL(GM_EMEM, "no memory to list '%s'", folder);
    for (size_t i = 0; i < f.n; i++) {
        path.n = 0;
        GM_TRY(gm_shard_path(&path, folder, f.number[i], err));
        list->path[i] = gm_copy_text(path.at, path.n);
        if (list->path[i] == NULL) GM_FAIL(GM_EMEM, "no memory to list '%s'", folder);
        list->n++;
    }
    list->number = f.number;
    f.number = NULL;
out:
    gm_text_clear(&path);
    gm_free(f.number);
    if (status != GM_OK) gm_shard_list_clear(list);
    return status;
}

void gm_shard_list_clear(gm_shard_list *list)
{
    for (size_t i = 0; list->path && i < list->n; i++) gm_free(list->path[i]);
    gm_free(list->path);
    gm_free(list->number);
    *list = (gm_shard_list){0};
}

/* ---- locks ---- */

/* Lock FOLDER/lockWHAT. */
static gm_status take(int *fd, const char *folder, const char *what, int mode, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    GM_TRY(gm_text_printf(&path, err, "%s/" LOCK_PREFIX "%s", folder, what));
    *fd = open(path.at, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*fd < 0) {
        *fd = 0;
        GM_FAIL(GM_EIO, "cannot create '%s': %s", path.at, strerror(errno));
    }
    if (flock(*fd, mode | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) GM_FAIL(GM_EBUSY, "another process is writing into '%s'", folder);
        GM_FAIL(GM_EIO, "cannot lock '%s': %s", path.at, strerror(errno));
    }
    if (!gm_outfile_is_named(*fd, path.at)) /* a run that ended has */
        GM_FAIL(GM_EBUSY, "another process has just removed '%s'", folder);
out:
    gm_text_clear(&path);
    return status;
}

/* ---- notes ---- */

/* Two lines of fixed length, "000017      65536\n": written over, never longer. */
#define NOTE_FORMAT "%09" PRIu64 " %10" PRIu64 "\n"
enum { NOTE_BYTES = 21 };

static int note_file(const gm_shard_lock *lock)
{
    return lock->fd[lock->fd[1] > 0];
}

static void write_note(const gm_shard_lock *lock, size_t k)
{
    char line[64];
    const gm_shard_note *note = &lock->note[k];
    int n = snprintf(line, sizeof line, NOTE_FORMAT, note->number, note->rows);
    if (n == NOTE_BYTES) (void)!pwrite(note_file(lock), line, NOTE_BYTES, (off_t)(k * NOTE_BYTES));
}

void gm_shard_lock_note(gm_shard_lock *lock, uint64_t number, uint64_t rows)
{
    if (lock->note[lock->last].number != number) lock->last = 1 - lock->last;
    lock->note[lock->last] = (gm_shard_note){number, rows};
    write_note(lock, lock->last);
}

/* Add up the notes whose blocks are not there, and begin anew. */
static gm_status read_notes(gm_shard_lock *lock, const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    char text[2 * NOTE_BYTES + 1] = "";
    ssize_t n = pread(note_file(lock), text, sizeof text - 1, 0);
    for (ssize_t k = 0; n > 0 && (k + 1) * NOTE_BYTES <= n; k++) {
        uint64_t number, rows;
        /* NOLINTNEXTLINE(cert-err34-c): ten digits are no overflow */
        if (sscanf(text + k * NOTE_BYTES, "%9" SCNu64 " %10" SCNu64, &number, &rows) != 2) continue;
        path.n = 0;
        GM_TRY(gm_shard_path(&path, folder, number, err));
        if (access(path.at, F_OK) != 0) lock->lost += rows;
    }
    for (size_t k = 0; k < 2; k++) write_note(lock, k);
out:
    gm_text_clear(&path);
    return status;
}

typedef struct task {
    uint32_t i, n;
} task;

/* What this task left when it was killed. A task of another division may be writing the block:
 * then it holds the file, which stays. */
static gm_status remove_own_part(void *context, const char *folder, const char *name, gm_error *err)
{
    const task *t = context;
    gm_status status = GM_OK;
    gm_text path = {0};
    uint32_t number;
    if (!parse_name(name, PART_SUFFIX, &number) || number % t->n != t->i) return GM_OK;
    GM_TRY(gm_text_printf(&path, err, "%s/%s", folder, name));
    status = gm_outfile_remove_stale(path.at, err);
    if (status == GM_EBUSY || status == GM_EEXIST) status = GM_OK;
out:
    gm_text_clear(&path);
    return status;
}

gm_status gm_shard_lock_take(gm_shard_lock *lock, const char *folder, uint32_t i, uint32_t n,
                             gm_error *err)
{
    gm_status status = GM_OK;
    char what[40] = "";
    *lock = (gm_shard_lock){0};
    GM_TRY(gm_folder_make(folder, err));
    GM_TRY(take(&lock->fd[0], folder, "", n == 1 ? LOCK_EX : LOCK_SH, err));
    if (n > 1) {
        snprintf(what, sizeof what, ".%u-of-%u", i, n);
        GM_TRY(take(&lock->fd[1], folder, what, LOCK_EX, err));
    }
    GM_TRY(read_notes(lock, folder, err));
    GM_TRY(for_each_name(folder, remove_own_part, &(task){i, n}, err));
out:
    if (status != GM_OK) gm_shard_lock_release(lock);
    return status;
}

void gm_shard_lock_release(gm_shard_lock *lock)
{
    for (int k = 0; k < 2; k++)
        if (lock->fd[k] > 0) close(lock->fd[k]);
    *lock = (gm_shard_lock){0};
}

/* ---- removing ---- */

static bool is_shard(const char *name)
{
    uint32_t number;
    return parse_name(name, SHARD_SUFFIX, &number) || parse_name(name, PART_SUFFIX, &number);
}

static bool is_lock(const char *name)
{
    return strcmp(name, LOCK_PREFIX) == 0 || strncmp(name, LOCK_PREFIX ".", 5) == 0;
}

/* `context` is the test that a name has to pass. */
static gm_status remove_if(void *context, const char *folder, const char *name, gm_error *err)
{
    bool (*const *is_ours)(const char *) = context;
    gm_status status = GM_OK;
    gm_text path = {0};
    if (!(*is_ours)(name)) return GM_OK;
    GM_TRY(gm_text_printf(&path, err, "%s/%s", folder, name));
    if (unlink(path.at) != 0 && errno != ENOENT)
        GM_FAIL(GM_EIO, "cannot remove '%s': %s", path.at, strerror(errno));
out:
    gm_text_clear(&path);
    return status;
}

void gm_shards_tell_kept(gm_error *err, const char *folder, const char *unit)
{
    gm_shard_list list = {0};
    const size_t n = strlen(err->text);
    const bool stopped = err->code == GM_EIO || err->code == GM_EMEM || err->code == GM_EDEVICE;
    if (stopped && gm_shard_list_read(&list, folder, NULL) == GM_OK && list.n > 0)
        (void)snprintf(err->text + n, sizeof err->text - n,
                       "; %zu %s%s kept: repeat the command with --resume to continue", list.n,
                       unit, list.n == 1 ? " is" : "s are");
    gm_shard_list_clear(&list);
}

gm_status gm_shards_clear(const char *folder, gm_error *err)
{
    bool (*is_ours)(const char *) = is_shard;
    return for_each_name(folder, remove_if, &is_ours, err);
}

gm_status gm_shards_remove(const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    bool (*is_ours)(const char *) = is_lock;
    GM_TRY(gm_shards_clear(folder, err));
    GM_TRY(for_each_name(folder, remove_if, &is_ours, err)); /* last: it guards the rest */
    if (rmdir(folder) != 0 && errno != ENOENT && errno != ENOTEMPTY)
        GM_FAIL(GM_EIO, "cannot remove '%s': %s", folder, strerror(errno));
out:
    return status;
}

/* test_outfile.c - a file appears whole or not at all. */
#define _GNU_SOURCE /* F_OFD_SETLK, renameat2 */
#include "base/outfile.h"
#include "base/text.h"
#include "tests/put_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- in place of the C library's: file systems that lack something ---- */

/* Inode numbers are made up at every look. */
static atomic_int made_up;
/* What calls fail with; 0: they do not. */
static atomic_int no_lock, no_rename, no_link, no_unlink, no_access, no_sync;
static atomic_int other_device, n_links, n_syncs;
static atomic_int bad_sync; /* which call it is that fails */
static char accessed[64];
static int access_mode;

static int outcome(int code, long result)
{
    if (code == 0) return (int)result;
    errno = code;
    return -1;
}

int lstat(const char *path, struct stat *info)
{
    int result = fstatat(AT_FDCWD, path, info, AT_SYMLINK_NOFOLLOW);
    if (result == 0 && atomic_load(&made_up) > 0)
        info->st_ino = (ino_t)atomic_fetch_add(&made_up, 1) + 1000000000;
    if (result == 0) info->st_dev += (dev_t)atomic_load(&other_device);
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    const int code = command == F_OFD_SETLK ? atomic_load(&no_lock) : 0;
    return outcome(code, code ? 0 : syscall(SYS_fcntl, fd, command, argument));
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    const int code = atomic_load(&no_rename);
    return outcome(code, code ? 0 : syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
}

int link(const char *from, const char *to)
{
    const int code = atomic_load(&no_link);
    n_links++;
    return outcome(code, code ? 0 : linkat(AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path)
{
    const int code = atomic_load(&no_unlink);
    return outcome(code, code ? 0 : unlinkat(AT_FDCWD, path, 0));
}

int access(const char *path, int mode)
{
    const int code = atomic_load(&no_access);
    access_mode = mode;
    snprintf(accessed, sizeof accessed, "%s", path);
    return outcome(code, code ? 0 : faccessat(AT_FDCWD, path, mode, 0));
}

int fsync(int fd)
{
    (void)fd;
    return outcome(
        atomic_fetch_add(&n_syncs, 1) == atomic_load(&bad_sync) ? atomic_load(&no_sync) : 0, 0);
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static void check_content(const char *path, const char *want)
{
    gm_text text;
    gm_error err = {0};
    CHECK_OK(gm_text_read_file(&text, path, 1000, &err), err);
    CHECK_TEXT(text.at, want);
    gm_text_clear(&text);
}

static void remove_all(void)
{
    unlink("out");
    unlink("out.part");
}

static void the_name_appears_at_the_commit(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_open(&file, "out", false, &err), err);
    CHECK_TEXT(gm_outfile_path(file), "out.part");
    fputs("hello", gm_outfile_stream(file));
    CHECK(!exists("out") && exists("out.part"));
    CHECK_OK(gm_outfile_commit(file, &err), err);
    CHECK(!exists("out.part"));
    check_content("out", "hello");
}

static void an_abort_leaves_nothing_and_keeps_the_old(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_write("out", false, "old", 3, &err), err);
    CHECK_OK(gm_outfile_open(&file, "out", true, &err), err);
    fputs("new", gm_outfile_stream(file));
    gm_outfile_abort(file);
    gm_outfile_abort(NULL);
    CHECK(!exists("out.part"));
    check_content("out", "old");
}

static void an_existing_file_is_replaced_only_when_told(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_write("out", false, "old", 3, &err), err);
    CHECK_FAILS(gm_outfile_open(&file, "out", false, &err), err, GM_EEXIST,
                "'out' exists; choose another name or give --force");
    CHECK(file == NULL && !exists("out.part"));
    CHECK_OK(gm_outfile_write("out", true, "new", 3, &err), err);
    check_content("out", "new");
}

static void a_name_taken_meanwhile_is_not_replaced(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_open(&file, "out", false, &err), err);
    FILE *other = fopen("out", "w");
    CHECK(other != NULL && fputs("theirs", other) >= 0 && fclose(other) == 0);
    CHECK_FAILS(gm_outfile_commit(file, &err), err, GM_EEXIST, "another process has created 'out'");
    CHECK(!exists("out.part"));
    check_content("out", "theirs");
}

static void a_stale_part_is_taken_over_and_a_held_one_is_not(void)
{
    gm_outfile *first = NULL, *second = NULL;
    gm_error err = {0};
    remove_all();
    FILE *stale = fopen("out.part", "w");
    CHECK(stale != NULL && fputs("left by a killed process", stale) >= 0 && fclose(stale) == 0);
    CHECK_OK(gm_outfile_open(&first, "out", false, &err), err);
    CHECK_FAILS(gm_outfile_open(&second, "out", false, &err), err, GM_EBUSY,
                "'out.part' is being written by another process");
    CHECK(exists("out.part"));
    fputs("x", gm_outfile_stream(first));
    CHECK_OK(gm_outfile_commit(first, &err), err);
    check_content("out", "x");
}

/* A kill between the link and the unlink of a commit. */
static void a_stale_part_may_be_the_finished_file(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_write("out", false, "finished", 8, &err), err);
    CHECK(link("out", "out.part") == 0);
    CHECK_OK(gm_outfile_open(&file, "out", true, &err), err);
    fputs("another", gm_outfile_stream(file));
    gm_outfile_abort(file);
    check_content("out", "finished");
}

static void a_file_may_be_kept_after_all(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_write("out", false, "old", 3, &err), err);
    CHECK_OK(gm_outfile_open(&file, "out", true, &err), err);
    gm_outfile_keep_existing(file);
    CHECK_FAILS(gm_outfile_commit(file, &err), err, GM_EEXIST, "'out'");
    CHECK(!exists("out.part"));
    check_content("out", "old");
}

/* As HDF5 and cairo do: open by name, write, close; the lock must survive it. */
static void libraries_may_write_to_the_path(void)
{
    gm_outfile *file = NULL, *second = NULL;
    gm_error err = {0};
    remove_all();
    CHECK_OK(gm_outfile_open(&file, "out", false, &err), err);
    FILE *library = fopen(gm_outfile_path(file), "w+");
    CHECK(library != NULL && fputs("by name", library) >= 0 && fclose(library) == 0);
    CHECK_FAILS(gm_outfile_open(&second, "out", false, &err), err, GM_EBUSY, "another process");
    CHECK_OK(gm_outfile_commit(file, &err), err);
    check_content("out", "by name");
}

static void what_is_not_a_file_is_never_replaced(void)
{
    gm_outfile *file = NULL;
    gm_error err;
    remove_all();
    CHECK_FAILS(gm_outfile_open(&file, "/dev/null", true, &err), err, GM_EEXIST, "is not a file");
    CHECK_FAILS(gm_outfile_open(&file, ".", true, &err), err, GM_EEXIST, "'.' exists and is not");
    CHECK(symlink("elsewhere", "out.part") == 0);
    CHECK_FAILS(gm_outfile_open(&file, "out", true, &err), err, GM_EIO, "out.part");
    CHECK(!exists("elsewhere"));
    CHECK(unlink("out.part") == 0 && mkfifo("out.part", 0600) == 0);
    CHECK_FAILS(gm_outfile_open(&file, "out", true, &err), err, GM_EEXIST,
                "'out.part' exists and is not a file");
    CHECK(exists("out.part"));
    CHECK_FAILS(gm_outfile_open(&file, "no/such/folder", true, &err), err, GM_EIO, "no/such");
    remove_all();
}

static void a_full_disk_shows_at_the_commit(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    remove_all();
    for (int early = 0; early < 2; early++) { /* found while writing, with nothing left to write */
        CHECK_OK(gm_outfile_open(&file, "out", false, &err), err);
        int full = open("/dev/full", O_WRONLY);
        if (full < 0 || dup2(full, fileno(gm_outfile_stream(file))) < 0) {
            gm_outfile_abort(file);
            TEST_SKIP("no /dev/full");
        }
        close(full);
        if (early) setvbuf(gm_outfile_stream(file), NULL, _IONBF, 0);
        fputs("lost", gm_outfile_stream(file));
        CHECK_FAILS(gm_outfile_commit(file, &err), err, GM_EIO, "No space left");
        CHECK(!exists("out") && !exists("out.part"));
    }
}

static void looking_first_finds_what_would_fail(void)
{
    gm_error err = {0};
    char folder[PATH_MAX] = "", whole[PATH_MAX + 4];
    remove_all();
    CHECK_OK(gm_outfile_check("out", false, &err), err);
    CHECK(getcwd(folder, sizeof folder) != NULL);
    snprintf(whole, sizeof whole, "%s/out", folder);
    CHECK_OK(gm_outfile_check(whole, false, &err), err);
    CHECK_OK(gm_outfile_write("out", false, "old", 3, &err), err);
    CHECK_FAILS(gm_outfile_check("out", false, &err), err, GM_EEXIST, "'out' exists");
    CHECK_OK(gm_outfile_check("out", true, &err), err);
    CHECK_FAILS(gm_outfile_check("absent/out", true, &err), err, GM_EIO,
                "cannot create 'absent/out': its folder does not exist");
    CHECK_FAILS(gm_outfile_check("out/out", true, &err), err, GM_EIO, "Not a directory");
    atomic_store(&no_access, EACCES);
    CHECK_FAILS(gm_outfile_check("/new", false, &err), err, GM_EIO, "Permission denied");
    atomic_store(&no_access, 0);
    CHECK_TEXT(accessed, "/");
    CHECK_INT(access_mode, W_OK | X_OK);
    CHECK_FAILS(gm_outfile_check("/dev/null", true, &err), err, GM_EEXIST, "is not a file");
    CHECK_FAILS(gm_outfile_check("", true, &err), err, GM_EIO, "is empty");
    remove_all();
    CHECK(symlink("nowhere", "out") == 0); /* is a name that is taken, and by nothing */
    CHECK_FAILS(gm_outfile_check("out", false, &err), err, GM_EEXIST, "'out' exists; choose");
    CHECK_OK(gm_outfile_check("out", true, &err), err);
    char longest[NAME_MAX + 1] = ""; /* a name, but not with .part after it */
    memset(longest, 'n', NAME_MAX);
    CHECK_FAILS(gm_outfile_check(longest, true, &err), err, GM_EIO, "File name too long");
    remove_all();
}

/* ---- file systems that lack something ---- */

/* NFS has no rename that keeps what is there, others have no links either. */
static void a_file_gets_its_name_without_a_rename_that_keeps(void)
{
    gm_outfile *file = NULL;
    gm_error err = {0};
    atomic_store(&no_rename, EINVAL);
    for (int linked = 1; linked >= 0; linked--) {
        atomic_store(&no_link, linked ? 0 : EPERM);
        atomic_store(&n_links, 0);
        remove_all();
        CHECK_OK(gm_outfile_write("out", false, "mine", 4, &err), err);
        CHECK(atomic_load(&n_links) == 1 && !exists("out.part"));
        check_content("out", "mine");
        remove_all();
        CHECK_OK(gm_outfile_open(&file, "out", false, &err), err);
        put_text("out", "theirs");
        CHECK_FAILS(gm_outfile_commit(file, &err), err, GM_EEXIST,
                    linked ? "another process has created 'out'" : "'out' exists");
        CHECK(!exists("out.part"));
        check_content("out", "theirs");
    }
    atomic_store(&no_rename, 0);
    atomic_store(&no_link, 0);
}

/* Then nobody can tell who writes a partial file that is there. */
static void a_file_is_written_without_locks(void)
{
    static const int none[] = {EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP};
    gm_outfile *file = NULL;
    gm_error err = {0};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        atomic_store(&no_lock, none[i]);
        remove_all();
        CHECK_OK(gm_outfile_write("out", false, "mine", 4, &err), err);
        check_content("out", "mine");
        put_text("out.part", "whose?");
        CHECK_FAILS(gm_outfile_open(&file, "out", true, &err), err, GM_EEXIST, "has no locks");
        check_content("out.part", "whose?");
    }
    static const int other[] = {EIO, EAGAIN, EACCES};
    for (size_t i = 0; i < 3; i++) { /* the name may be another's by then, and is left */
        atomic_store(&no_lock, other[i]);
        remove_all();
        CHECK_FAILS(gm_outfile_open(&file, "out", true, &err), err, i ? GM_EBUSY : GM_EIO,
                    i ? "is being written by another process" : "cannot lock 'out.part'");
        CHECK(file == NULL && exists("out.part"));
    }
    atomic_store(&no_lock, 0);
    atomic_store(&no_unlink, EROFS);
    CHECK_FAILS(gm_outfile_open(&file, "out", true, &err), err, GM_EIO, "cannot remove 'out.part'");
    atomic_store(&no_unlink, 0);
    atomic_store(&other_device, 1); /* what has the name is on another one than what was opened */
    CHECK_FAILS(gm_outfile_open(&file, "out", true, &err), err, GM_EBUSY, "was just renamed");
    atomic_store(&other_device, 0);
    remove_all();
}

/* The file reaches the disk before it has its name, its folder afterwards; a kind of file that
 * cannot be synced is none. */
static void file_and_folder_are_synced(void)
{
    gm_error err = {0};
    for (int which = 0; which < 2; which++) {
        remove_all();
        atomic_store(&n_syncs, 0);
        atomic_store(&bad_sync, which);
        atomic_store(&no_sync, EIO);
        CHECK_FAILS(gm_outfile_write("out", false, "x", 1, &err), err, GM_EIO,
                    which ? "cannot sync '.': Input/output error" : "cannot sync 'out.part'");
        CHECK(exists("out") == (which == 1) && !exists("out.part"));
        CHECK_INT(atomic_load(&n_syncs), which + 1);
        atomic_store(&n_syncs, 0);
        atomic_store(&no_sync, EINVAL);
        CHECK_OK(gm_outfile_write("./out", true, "x", 1, &err), err);
        CHECK_INT(atomic_load(&n_syncs), 2);
    }
    atomic_store(&no_sync, 0);
}

static gm_status write_one(void *state, gm_error *err)
{
    (void)state;
    return gm_outfile_write("./out", true, "x", 1, err);
}

static void every_allocation_may_fail(void)
{
    remove_all();
    check_every_allocation(write_one, NULL);
    CHECK(!exists("out.part"));
    remove_all();
}

static void *write_often(void *context)
{
    int *failed = context;
    for (int i = 0; i < 8000; i++) {
        gm_outfile *file = NULL;
        gm_error err = {0};
        gm_status status = gm_outfile_open(&file, "out", true, &err);
        if (status == GM_EBUSY) continue;
        if (status == GM_OK) fputs("whole", gm_outfile_stream(file));
        if (status == GM_OK && i % 1000 == 0)
            status = gm_outfile_commit(file, &err);
        else
            gm_outfile_abort(file);
        if (status != GM_OK && (*failed)++ == 0) fprintf(stderr, "%s\n", err.text);
    }
    return NULL;
}

/* Whoever has the name may keep it to the end: others take away no file that is not theirs. */
static void many_write_at_once(void)
{
    enum { N = 4 };
    pthread_t thread[N];
    int failed[N] = {0};
    remove_all();
    for (int i = 0; i < N; i++)
        CHECK(pthread_create(&thread[i], NULL, write_often, &failed[i]) == 0);
    for (int i = 0; i < N; i++) CHECK(pthread_join(thread[i], NULL) == 0 && failed[i] == 0);
    check_content("out", "whole");
    CHECK(!exists("out.part"));
}

static void inode_numbers_may_be_made_up(void)
{
    gm_outfile *file = NULL, *other = NULL;
    gm_error err = {0};
    remove_all();
    atomic_store(&made_up, 1);
    CHECK_OK(gm_outfile_open(&file, "out", false, &err), err);
    CHECK_FAILS(gm_outfile_open(&other, "out", false, &err), err, GM_EBUSY, "by another process");
    if (file) fputs("hello", gm_outfile_stream(file));
    if (file) CHECK_OK(gm_outfile_commit(file, &err), err);
    CHECK(atomic_exchange(&made_up, 0) > 4); /* they were looked at */
    check_content("out", "hello");

    int fd = open("out", O_RDONLY);
    CHECK(fd >= 0 && gm_outfile_is_named(fd, "out"));
    CHECK_OK(gm_outfile_write("out", true, "new", 3, &err), err);
    CHECK(!gm_outfile_is_named(fd, "out"));
    atomic_store(&made_up, 1);
    CHECK(unlink("out") == 0 && !gm_outfile_is_named(fd, "out"));
    atomic_store(&made_up, 0);
    close(fd);
}

TESTS(TEST(the_name_appears_at_the_commit), TEST(an_abort_leaves_nothing_and_keeps_the_old),
      TEST(an_existing_file_is_replaced_only_when_told),
      TEST(a_name_taken_meanwhile_is_not_replaced),
      TEST(a_stale_part_is_taken_over_and_a_held_one_is_not), TEST(libraries_may_write_to_the_path),
      TEST(a_stale_part_may_be_the_finished_file), TEST(a_file_may_be_kept_after_all),
      TEST(many_write_at_once), TEST(inode_numbers_may_be_made_up),
      TEST(what_is_not_a_file_is_never_replaced), TEST(a_full_disk_shows_at_the_commit),
      TEST(looking_first_finds_what_would_fail),
      TEST(a_file_gets_its_name_without_a_rename_that_keeps), TEST(a_file_is_written_without_locks),
      TEST(file_and_folder_are_synced), TEST(every_allocation_may_fail))

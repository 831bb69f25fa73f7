/* test_corpus_files.c - text/corpus_files.c: which files a corpus is, and those that it may not be.
 */
#define _GNU_SOURCE /* readdir64 */
#include "text/corpus_files.h"
#include "tests/put_file.h"
#include "text/corpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* In place of the C library's: a folder that cannot be read to its end. */
static int n_entries = -1; /* given before it fails; -1: all */

struct dirent *readdir(DIR *folder)
{
    errno = n_entries == 0 ? EIO : errno;
    return n_entries >= 0 && n_entries-- == 0 ? NULL : (struct dirent *)readdir64(folder);
}

static ino_t made_up; /* every file's inode number, as some file systems have it; 0: its own */

int stat(const char *path, struct stat *info)
{
    const int result = fstatat(AT_FDCWD, path, info, 0);
    if (made_up != 0) info->st_ino = made_up;
    return result;
}

/* Found at the opening: their turn may come hours later. */
static void files_that_will_not_do_are_found_at_once(void)
{
    static const char pointer[] =
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\n";
    const char *path = "clone";
    gm_error err = {0};
    gm_corpus *corpus = NULL;
    mkdir(path, 0777);
    put_bytes("clone/00.jsonl", "{\"text\":\"a\"}\n", 13);
    put_bytes("clone/01.jsonl.zst", pointer, sizeof pointer - 1);
    CHECK_FAILS(gm_corpus_open(&corpus, &path, 1, NULL, &err), err, GM_EFORMAT,
                "'clone/01.jsonl.zst' is a Git LFS pointer");
    unlink("clone/01.jsonl.zst");
    chmod("clone/00.jsonl", 0);
    if (geteuid() != 0) /* who may read everything */
        CHECK_FAILS(gm_corpus_open(&corpus, &path, 1, NULL, &err), err, GM_EIO,
                    "cannot open 'clone/00.jsonl': Permission denied");
    unlink("clone/00.jsonl");
}

/* What is no text is named by what it is, not by its first byte that is no JSON. */
static void other_kinds_of_files_are_named(void)
{
    static const struct {
        const char *path, *start, *says;
    } kind[] = {
        {"kind.h5", "\x89HDF\r\n\x1a\n", "it is HDF5, as a trace or an atlas is"},
        {"kind.jsonl", "PAR1\x15\x04",
         "it is Parquet; write its rows as lines of JSON (.jsonl): in "
         "Python pandas.read_parquet(...).to_json(\"c.jsonl\", "
         "orient=\"records\", lines=True)"},
        {"kind.png", "\x89PNG\r\n", "it is a PNG picture"},
        {"kind.pdf", "%PDF-1.7", "it is a PDF; extract its text"},
        {"kind.epub", "PK\x03\x04", "it is a zip archive; unpack it"},
        {"kind.jsonl", "\x1f\x8b\x08", "it is compressed by gzip; let its name end in .gz"},
        {"kind.jsonl.gz", "\x28\xb5\x2f\xfd", "it is compressed by zstd; let its name end in .zst"},
        {"kind.jsonl.gz", "\x1f\x8b\x08", NULL},
        {"kind.txt", "PAR", NULL},
    };
    gm_error err = {0};
    gm_corpus_files files;
    char says[256];
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        put_bytes(kind[i].path, kind[i].start, strlen(kind[i].start));
        snprintf(says, sizeof says, "'%s' is not a corpus: %s", kind[i].path,
                 kind[i].says ? kind[i].says : "");
        if (kind[i].says == NULL)
            CHECK_OK(gm_corpus_files_find(&files, &kind[i].path, 1, &err), err);
        else
            CHECK_FAILS(gm_corpus_files_find(&files, &kind[i].path, 1, &err), err, GM_EFORMAT,
                        says);
        gm_corpus_files_clear(&files);
    }
    mkdir("kinds", 0777); /* below a folder that was named it is one document, which is no text */
    put_bytes("kinds/a.h5", kind[0].start, 8);
    CHECK_OK(gm_corpus_files_find(&files, (const char *const[]){"kinds"}, 1, &err), err);
    CHECK_INT(files.n, 1);
    gm_corpus_files_clear(&files);
}

static void a_file_is_read_once(void)
{
    static const char *const paths[] = {"twice/a.jsonl", "twice/", "twice/b.jsonl"};
    gm_error err = {0};
    gm_corpus *corpus = NULL;
    mkdir("twice", 0777);
    put_bytes("twice/a.jsonl", "{\"text\":\"a\"}\n", 13);
    put_bytes("twice/b.jsonl", "{\"text\":\"b\"}\n", 13);
    CHECK_FAILS(gm_corpus_open(&corpus, paths, 2, NULL, &err), err, GM_EARG,
                "'twice/a.jsonl' is in the corpus twice");
    CHECK_OK(gm_corpus_open(&corpus, (const char *const[]){paths[0], paths[2]}, 2, NULL, &err),
             err);
    gm_corpus_close(corpus);
}

/* By another spelling, by a link beside it, by a hard link; a copy is another file. */
static void a_file_of_two_names_is_one(void)
{
    static const char *const spelt[] = {"names/a.jsonl", "./names//a.jsonl"}, *const folder[] = {
                                                                                  "names"};
    gm_error err = {0};
    gm_corpus *corpus = NULL;
    mkdir("names", 0777);
    unlink("names/b.jsonl");
    put_bytes("names/a.jsonl", "{\"text\":\"a\"}\n", 13);
    CHECK_FAILS(gm_corpus_open(&corpus, spelt, 2, NULL, &err), err, GM_EARG,
                "'./names//a.jsonl' is in the corpus twice, also as 'names/a.jsonl'; keep one of "
                "the names");
    for (int hard = 0; hard < 2; hard++) {
        CHECK_INT(
            hard ? link("names/a.jsonl", "names/b.jsonl") : symlink("a.jsonl", "names/b.jsonl"), 0);
        CHECK_FAILS(gm_corpus_open(&corpus, folder, 1, NULL, &err), err, GM_EARG,
                    "'names/a.jsonl' is in the corpus twice");
        unlink("names/b.jsonl");
    }
    put_bytes("names/b.jsonl", "{\"text\":\"a\"}\n", 13);
    CHECK_OK(gm_corpus_open(&corpus, folder, 1, NULL, &err), err);
    gm_corpus_close(corpus);
}

/* Files of one made-up inode number are told apart by their size, or their time. */
static void an_inode_number_alone_does_not_make_one_file(void)
{
    static const char *const paths[] = {"inode.a.jsonl", "inode.b.jsonl"};
    gm_error err = {0};
    gm_corpus_files files;
    made_up = 1;
    for (int k = 0; k < 3; k++) {
        const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}},
                              newer[2] = {{.tv_sec = 1001}, {.tv_sec = 1001}};
        put_bytes(paths[0], "{\"text\":\"a\"}\n", 13);
        put_bytes(paths[1], "{\"text\":\"b\"}\n\n", k == 0 ? 14 : 13);
        CHECK_INT(utimensat(AT_FDCWD, paths[0], old, 0), 0);
        CHECK_INT(utimensat(AT_FDCWD, paths[1], k == 1 ? newer : old, 0), 0);
        if (k < 2)
            CHECK_OK(gm_corpus_files_find(&files, paths, 2, &err), err);
        else
            CHECK_FAILS(gm_corpus_files_find(&files, paths, 2, &err), err, GM_EARG, "twice");
        gm_corpus_files_clear(&files);
    }
    made_up = 0;
}

static void a_folder_that_cannot_be_listed_is_no_shorter_one(void)
{
    gm_error err = {0};
    gm_corpus *corpus = NULL;
    const char *path = "half";
    mkdir(path, 0777);
    put_bytes("half/1.txt", "first", 5);
    put_bytes("half/2.txt", "second", 6);
    n_entries = 3; /* two of them may be . and .. */
    CHECK_FAILS(gm_corpus_open(&corpus, &path, 1, NULL, &err), err, GM_EIO,
                "cannot read the folder 'half': Input/output error");
    n_entries = -1;
    CHECK_OK(gm_corpus_open(&corpus, &path, 1, NULL, &err), err);
    gm_corpus_close(corpus);
}

TESTS(TEST(files_that_will_not_do_are_found_at_once), TEST(other_kinds_of_files_are_named),
      TEST(a_file_is_read_once), TEST(a_file_of_two_names_is_one),
      TEST(an_inode_number_alone_does_not_make_one_file),
      TEST(a_folder_that_cannot_be_listed_is_no_shorter_one))

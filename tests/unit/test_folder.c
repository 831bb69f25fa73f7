/* test_folder.c - folders that a person named. */
#include "base/folder.h"
#include "tests/put_file.h"

#include <sys/stat.h>
#include <unistd.h>

static gm_status find(const char *folder, gm_error *err)
{
    gm_text path = {0};
    gm_status status = gm_folder_file(&path, folder, "config.json", "model", err);
    if (status == GM_OK) CHECK_TEXT(path.at, "whole/config.json");
    gm_text_clear(&path);
    return status;
}

static void what_is_missing_is_said(void)
{
    gm_error err = {0};
    (void)mkdir("whole", 0777);
    (void)mkdir("empty", 0777);
    (void)mkdir("cache", 0777);
    (void)mkdir("cache/snapshots", 0777);
    put_text("whole/config.json", "");
    CHECK_OK(find("whole", &err), err);
    CHECK_FAILS(find("absent", &err), err, GM_EIO, "model folder 'absent' does not exist");
    CHECK(strstr(err.text, "hub") == NULL);
    CHECK_FAILS(find("whole/absent", &err), err, GM_EIO, "does not exist");
    CHECK(strstr(err.text, "hub") == NULL);
    CHECK_FAILS(find("someone/absent", &err), err, GM_EIO,
                "'someone/absent' does not exist; if that is its name on the Hugging Face hub, "
                "download it first");
    CHECK_FAILS(find("whole/config.json", &err), err, GM_EIO,
                "'whole/config.json' is a file, expected a model folder");
    CHECK_FAILS(find("whole/config.json/x", &err), err, GM_EIO, "does not exist");
    CHECK_FAILS(
        find("empty", &err), err, GM_EIO,
        "model folder 'empty' has no config.json; it should have config.json, tokenizer.json "
        "and *.safetensors, as Hugging Face ships a model");
    CHECK_FAILS(find("cache", &err), err, GM_EIO, "the folder inside its 'snapshots'");
}

static void links_to_nothing_are_there(void)
{
    (void)unlink("link");
    CHECK(!gm_path_is_taken("link") && !gm_path_is_taken("whole/config.json/x"));
    CHECK(symlink("nowhere", "link") == 0);
    CHECK(gm_path_is_taken("link") && gm_path_is_taken("whole"));
}

static gm_status find_in_cache(void *state, gm_error *err)
{
    (void)state;
    gm_status status = find("cache", err);
    return status == GM_EIO ? GM_OK : status;
}

static void every_allocation_may_fail(void)
{
    check_every_allocation(find_in_cache, NULL);
}

static void pointers_are_told_from_files(void)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\n";
    gm_error err = {0};
    CHECK_FAILS(gm_refuse_lfs_pointer(pointer, sizeof pointer - 1, "w.safetensors", &err), err,
                GM_EFORMAT, "'w.safetensors' is a Git LFS pointer");
    CHECK_OK(gm_refuse_lfs_pointer(pointer, 20, "w", &err), err);
    CHECK_OK(gm_refuse_lfs_pointer("{\"version\": 1}", 14, "w", &err), err);
}

static void folders_are_made_once(void)
{
    struct stat about;
    gm_error err = {0};
    CHECK_OK(gm_folder_make("made", &err), err);
    CHECK_OK(gm_folder_make("made", &err), err);
    CHECK(stat("made", &about) == 0 && S_ISDIR(about.st_mode));
    CHECK_FAILS(gm_folder_make("not/there", &err), err, GM_EIO,
                "cannot create the folder 'not/there': No such file");
}

TESTS(TEST(folders_are_made_once), TEST(what_is_missing_is_said), TEST(links_to_nothing_are_there),
      TEST(every_allocation_may_fail), TEST(pointers_are_told_from_files))

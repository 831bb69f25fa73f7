/* test_text.c - growing texts and whole files. */
#include "base/text.h"
#include "tests/put_file.h"

#include <sys/stat.h>
#include <unistd.h>

static void texts_grow_and_keep_nul_bytes(void)
{
    gm_text text = {0};
    gm_error err = {0};
    CHECK_OK(gm_text_append(&text, "a\0b", 3, &err), err);
    CHECK_OK(gm_text_add(&text, "cd", &err), err);
    CHECK_OK(gm_text_printf(&text, &err, "%03d", 7), err);
    CHECK_INT(text.n, 8);
    CHECK_BYTES(text.at, "a\0bcd007\0", 9);
    for (int i = 0; i < 10000; i++) CHECK_OK(gm_text_append(&text, "x", 1, &err), err);
    CHECK_INT(text.n, 10008);
    CHECK_INT(text.at[10008], 0);
    gm_text_clear(&text);
    CHECK(text.at == NULL && text.n == 0 && text.cap == 0);
}

static void reserved_room_is_enough(void)
{
    gm_text text = {0};
    gm_error err = {0};
    for (size_t n = 0; n < 200; n++) {
        CHECK_OK(gm_text_reserve(&text, n, &err), err);
        char *at = text.at;
        gm_alloc_fail_after(0);
        for (size_t i = 0; i < n; i++) CHECK_OK(gm_text_append(&text, "y", 1, &err), err);
        gm_alloc_fail_after(-1);
        CHECK(text.at == at);
    }
    CHECK_FAILS(gm_text_reserve(&text, SIZE_MAX, &err), err, GM_EMEM, "no memory");
    gm_text_clear(&text);
}

static void files_are_read_whole(void)
{
    gm_text text;
    gm_error err = {0};
    put_bytes("small", "one\0two", 7);
    CHECK_OK(gm_text_read_file(&text, "small", 7, &err), err);
    CHECK_INT(text.n, 7);
    CHECK_BYTES(text.at, "one\0two\0", 8);
    gm_text_clear(&text);

    char large[100000] = ""; /* takes its size, and no growing beside it */
    put_bytes("large", large, sizeof large);
    CHECK_OK(gm_text_read_file(&text, "large", 1 << 20, &err), err);
    CHECK_INT(text.n, sizeof large);
    CHECK(text.cap <= sizeof large + 16);
    gm_text_clear(&text);
    CHECK_FAILS(gm_text_read_file(&text, "large", sizeof large - 1, &err), err, GM_EFORMAT,
                "is larger than 99999 bytes");

    put_bytes("empty", "", 0);
    CHECK_OK(gm_text_read_file(&text, "empty", 0, &err), err);
    CHECK(text.n == 0 && text.at != NULL && text.at[0] == '\0');
    gm_text_clear(&text);

    /* A file without a size of its own. */
    CHECK_OK(gm_text_read_file(&text, "/proc/self/status", 1 << 20, &err), err);
    CHECK(text.n > 100);
    gm_text_clear(&text);
}

static void files_that_cannot_be_read_say_why(void)
{
    gm_text text;
    gm_error err;
    CHECK_FAILS(gm_text_read_file(&text, "absent", 10, &err), err, GM_EIO,
                "cannot open 'absent': No such file");
    CHECK_FAILS(gm_text_read_file(&text, ".", 10, &err), err, GM_EIO, "'.' is a folder");
    put_bytes("small", "one\0two", 7);
    CHECK_FAILS(gm_text_read_file(&text, "small", 6, &err), err, GM_EFORMAT,
                "'small' is larger than 6 bytes");
    CHECK(text.at == NULL && text.n == 0);
}

static gm_status read_small(void *state, gm_error *err)
{
    (void)state;
    gm_text text;
    gm_status status = gm_text_read_file(&text, "small", 100, err);
    if (status == GM_OK) status = gm_text_printf(&text, err, "%0100d", 1);
    gm_text_clear(&text);
    return status;
}

static void every_allocation_may_fail(void)
{
    put_bytes("small", "one\0two", 7);
    check_every_allocation(read_small, NULL);
}

static void the_last_part_of_a_path(void)
{
    static const char *const pairs[][2] = {
        {"a", "a"},     {"a/b", "b"}, {"/a/b", "b"}, {"a/b/", "b/"},
        {"a//", "a//"}, {"/", ""},    {"", ""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        CHECK_TEXT(gm_path_name(pairs[i][0]), pairs[i][1]);
}

static void endings_are_whole(void)
{
    CHECK(gm_ends_in("a.csv", ".csv") && gm_ends_in("a", ""));
    CHECK(!gm_ends_in(".csv", ".csv") && !gm_ends_in("sv", ".csv") &&
          !gm_ends_in("a.csv.gz", ".csv"));
}

TESTS(TEST(endings_are_whole), TEST(texts_grow_and_keep_nul_bytes), TEST(reserved_room_is_enough),
      TEST(files_are_read_whole), TEST(files_that_cannot_be_read_say_why),
      TEST(the_last_part_of_a_path), TEST(every_allocation_may_fail))

/* test_corpus - documents out of lines, files and folders, compressed or not, and
 * what is said of those that cannot be used.
 */
#include "text/corpus.h"
#include "base/sha256.h"
#include "tests/check.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n, file) == n);
    CHECK_INT(file ? fclose(file) : 1, 0);
}

static gm_corpus *open_one(const char *path, const gm_corpus_options *options)
{
    gm_error err = {0};
    gm_corpus *corpus = NULL;
    CHECK_OK(gm_corpus_open(&corpus, &path, 1, options, &err), err);
    return corpus;
}

/* Read all documents of `path`; returns how many, and the text and skip of each. */
static size_t read_all(const char *path, const gm_corpus_options *options, char text[][64],
                       gm_skip *skip, size_t most)
{
    gm_error err = {0};
    gm_corpus *corpus = open_one(path, options);
    size_t n = 0;
    for (bool more = true; corpus && more;) {
        gm_document document;
        CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
        if (!more || n == most) break;
        snprintf(text[n], 64, "%s|%.*s", document.subset, (int)document.n_bytes, document.text);
        skip[n++] = document.skip;
    }
    gm_corpus_close(corpus);
    return n;
}

static const char lines[] = "\xEF\xBB\xBF{\"text\":\"one\",\"meta\":{\"pile_set_name\":\"A\"}}\r\n"
                            "\n"
                            "{\"text\":\"bad \xff\"}\n"
                            "{\"text\":3}\n"
                            "{\"text\":\"\"}\n"
                            "[1,2\n"
                            "{\"meta\":{\"pile_set_name\":7},\"text\":\"la\\u0073t\"}";

static void check_lines(const char *path)
{
    char text[8][64];
    gm_skip skip[8];
    CHECK_INT(read_all(path, NULL, text, skip, 8), 7);
    CHECK_TEXT(text[0], "A|one");
    CHECK_TEXT(text[6], "|last");
    const gm_skip want[] = {GM_SKIP_NONE,  GM_SKIP_NOT_JSON, GM_SKIP_NOT_UTF8, GM_SKIP_NO_TEXT,
                            GM_SKIP_EMPTY, GM_SKIP_NOT_JSON, GM_SKIP_NONE};
    for (size_t i = 0; i < 7; i++) CHECK_INT(skip[i], want[i]);
}

static void a_document_a_line_plain_gzip_and_zstd(void)
{
    char packed[4096];
    size_t n = sizeof lines - 1, half = 60;
    write_file("plain.jsonl", lines, n);
    check_lines("plain.jsonl");

    size_t a = ZSTD_compress(packed, sizeof packed, lines, half, 1); /* two frames */
    size_t b = ZSTD_compress(packed + a, sizeof packed - a, lines + half, n - half, 1);
    write_file("two.jsonl.zst", packed, a + b);
    check_lines("two.jsonl.zst");

    gzFile gz = gzopen("two.jsonl.gz", "wb"); /* two members */
    CHECK_INT(gzwrite(gz, lines, (unsigned)half), half);
    gzclose(gz);
    gz = gzopen("two.jsonl.gz", "ab");
    CHECK_INT(gzwrite(gz, lines + half, (unsigned)(n - half)), n - half);
    gzclose(gz);
    check_lines("two.jsonl.gz");
}

static gm_status read_to_the_end(const char *path, const gm_corpus_options *options, gm_error *err)
{
    gm_corpus *corpus = NULL;
    gm_status status = gm_corpus_open(&corpus, &path, 1, options, err);
    for (bool more = true; status == GM_OK && more;) {
        gm_document document;
        status = gm_corpus_next(corpus, &document, &more, err);
    }
    gm_corpus_close(corpus);
    return status;
}

static void damaged_files_name_file_and_byte(void)
{
    gm_error err;
    char packed[4096], cut[64];
    size_t n = ZSTD_compress(packed, sizeof packed, lines, sizeof lines - 1, 1);
    write_file("cut.jsonl.zst", packed, n - 3);
    snprintf(cut, sizeof cut, "'cut.jsonl.zst' is truncated: it ends at byte %zu", n - 3);
    CHECK_FAILS(read_to_the_end("cut.jsonl.zst", NULL, &err), err, GM_EFORMAT, cut);

    packed[9] ^= 0x55;
    write_file("bad.jsonl.zst", "not zstd at all", 15);
    CHECK_FAILS(read_to_the_end("bad.jsonl.zst", NULL, &err), err, GM_EFORMAT, "bad.jsonl.zst");
    write_file("bad.jsonl.gz", "not gzip at all", 15);
    CHECK_FAILS(read_to_the_end("bad.jsonl.gz", NULL, &err), err, GM_EFORMAT, "bad.jsonl.gz");

    gzFile gz = gzopen("whole.gz", "wb");
    gzwrite(gz, lines, sizeof lines - 1);
    gzclose(gz);
    gm_text bytes = {0};
    CHECK_OK(gm_text_read_file(&bytes, "whole.gz", 4096, &err), err);
    write_file("cut.jsonl.gz", bytes.at, bytes.n - 9);
    gm_text_clear(&bytes);
    CHECK_FAILS(read_to_the_end("cut.jsonl.gz", NULL, &err), err, GM_EFORMAT, "truncated");
    CHECK_FAILS(read_to_the_end("absent.jsonl", NULL, &err), err, GM_EIO, "absent.jsonl");
}

static void strict_names_file_and_line(void)
{
    gm_error err;
    write_file("plain.jsonl", lines, sizeof lines - 1);
    const gm_corpus_options strict = {.strict = true};
    CHECK_FAILS(read_to_the_end("plain.jsonl", &strict, &err), err, GM_EFORMAT,
                "'plain.jsonl', line 2: the line is blank");
}

static void long_lines_are_passed_over_in_bounded_memory(void)
{
    char text[8][64];
    gm_skip skip[8];
    const gm_corpus_options options = {.max_line_bytes = 64};
    FILE *file = fopen("long.jsonl", "wb");
    fputs("{\"text\":\"", file);
    for (int i = 0; i < 1000000; i++) fputc('x', file);
    fputs("\"}\n{\"text\":\"after\"}\n", file);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(read_all("long.jsonl", &options, text, skip, 8), 2);
    CHECK_INT(skip[0], GM_SKIP_TOO_LONG);
    CHECK_TEXT(text[1], "|after");
}

static void other_fields_can_be_named(void)
{
    char text[2][64];
    gm_skip skip[2];
    const char line[] = "{\"body\":{\"ru\":\"слово\"},\"lang\":\"ru\",\"text\":\"no\"}\n";
    const gm_corpus_options options = {.text_field = "body.ru", .subset_field = "lang"};
    write_file("fields.jsonl", line, sizeof line - 1);
    CHECK_INT(read_all("fields.jsonl", &options, text, skip, 2), 1);
    CHECK_TEXT(text[0], "ru|слово");
}

static void a_language_may_be_named(void)
{
    gm_error err = {0};
    gm_document document;
    bool more;
    const char records[] = "{\"text\":\"a\",\"meta\":{\"lang\":\"d\\u0000e\"}}\n"
                           "{\"text\":\"b\",\"meta\":{\"lang\":7}}\n{\"text\":\"c\"}\n";
    const char *const want[] = {"d\\x00e", "", ""};
    const gm_corpus_options options = {.language_field = "meta.lang"};
    write_file("lang.jsonl", records, sizeof records - 1);
    gm_corpus *corpus = open_one("lang.jsonl", &options);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
        CHECK_TEXT(document.language, want[i]);
    }
    gm_corpus_close(corpus);
}

static void nul_in_a_text_is_kept(void)
{
    gm_error err = {0};
    const char line[] = "{\"text\":\"a\\u0000b\"}";
    uint8_t sha[32];
    gm_document document;
    bool more;
    write_file("nul.jsonl", line, sizeof line - 1);
    gm_corpus *corpus = open_one("nul.jsonl", NULL);
    CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
    CHECK_INT(document.n_bytes, 3);
    CHECK_BYTES(document.text, "a\0b", 3);
    gm_sha256_of("a\0b", 3, sha);
    CHECK_BYTES(document.sha, sha, 32);
    gm_corpus_close(corpus);
}

static void folders_are_walked_in_order_of_bytes(void)
{
    char text[8][64];
    gm_skip skip[8];
    mkdir("tree", 0777);
    mkdir("tree/b", 0777);
    mkdir("tree/B", 0777);
    write_file("tree/b/1.txt", "second", 6);
    write_file("tree/B/2.txt", "first", 5);
    write_file("tree/b/.hidden", "never", 5);
    write_file("tree/z.txt", "", 0);
    write_file("tree/y.jsonl", "{\"text\":\"third\"}\n", 17);
    CHECK_INT(read_all("tree", NULL, text, skip, 8), 4);
    CHECK_TEXT(text[0], "B|first");
    CHECK_TEXT(text[1], "b|second");
    CHECK_TEXT(text[2], "|third");
    CHECK_INT(skip[3], GM_SKIP_EMPTY);
}

static void progress_ends_at_the_total(void)
{
    gm_error err = {0};
    uint64_t done, total;
    bool more = true;
    write_file("plain.jsonl", lines, sizeof lines - 1);
    gm_corpus *corpus = open_one("plain.jsonl", NULL);
    while (more) {
        gm_document document;
        CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
    }
    gm_corpus_progress(corpus, &done, &total);
    CHECK_INT(done, sizeof lines - 1);
    CHECK_INT(total, sizeof lines - 1);
    gm_corpus_close(corpus);
}

static gm_status attempt(void *state, gm_error *err)
{
    return read_to_the_end(state, NULL, err);
}

/* Shorter or longer than at the opening: an error behind the last document, and not a
 * corpus of another length. */
static void a_file_that_changes_is_noticed(void)
{
    static const char three[] = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n";
    for (size_t n = 26; n <= 39; n += 13) {
        gm_error err = {0};
        gm_document document;
        bool more = true;
        write_file("changing.jsonl", three, n == 26 ? 39 : 26);
        gm_corpus *corpus = open_one("changing.jsonl", NULL);
        write_file("changing.jsonl", three, n);
        for (size_t i = 0; i < n / 13; i++)
            CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
        CHECK_FAILS(gm_corpus_next(corpus, &document, &more, &err), err, GM_EFORMAT,
                    "'changing.jsonl' has changed while it was read");
        gm_corpus_close(corpus);
    }
}

static void survives_every_allocation_failure(void)
{
    write_file("plain.jsonl", lines, sizeof lines - 1);
    check_every_allocation(attempt, "plain.jsonl");
}

static void nul_in_a_subset_is_written_out(void)
{
    char text[8][64];
    gm_skip skip[8];
    const char two[] = "{\"text\":\"1\",\"meta\":{\"pile_set_name\":\"a\\u0000b\"}}\n"
                       "{\"text\":\"2\",\"meta\":{\"pile_set_name\":\"\\u0000a\\u0000\"}}\n"
                       "{\"text\":\"3\",\"meta\":{\"pile_set_name\":\"a\"}}\n";
    write_file("subset.jsonl", two, sizeof two - 1);
    CHECK_INT(read_all("subset.jsonl", NULL, text, skip, 8), 3);
    CHECK_TEXT(text[0], "a\\x00b|1");
    CHECK_TEXT(text[1], "\\x00a\\x00|2");
    CHECK_TEXT(text[2], "a|3");
}

TESTS(TEST(a_document_a_line_plain_gzip_and_zstd), TEST(damaged_files_name_file_and_byte),
      TEST(strict_names_file_and_line), TEST(long_lines_are_passed_over_in_bounded_memory),
      TEST(other_fields_can_be_named), TEST(a_language_may_be_named), TEST(nul_in_a_text_is_kept),
      TEST(folders_are_walked_in_order_of_bytes), TEST(progress_ends_at_the_total),
      TEST(a_file_that_changes_is_noticed), TEST(survives_every_allocation_failure),
      TEST(nul_in_a_subset_is_written_out))

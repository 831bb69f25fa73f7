/* test_corpus.c - text/corpus.c: documents out of lines, files and folders, compressed or not, and
 * what is said of those that cannot be used.
 */
#define _DEFAULT_SOURCE /* usleep */
#include "text/corpus.h"
#include "base/cli.h"
#include "tests/put_file.h"

#include <zlib.h>
#include <zstd.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
    CHECK_TEXT(text[6], "7|last");
    const gm_skip want[] = {GM_SKIP_NONE,  GM_SKIP_NOT_JSON, GM_SKIP_NOT_UTF8, GM_SKIP_NO_TEXT,
                            GM_SKIP_EMPTY, GM_SKIP_NOT_JSON, GM_SKIP_NONE};
    for (size_t i = 0; i < 7; i++) CHECK_INT(skip[i], want[i]);
}

static void a_document_a_line_plain_gzip_and_zstd(void)
{
    char packed[4096];
    size_t n = sizeof lines - 1, half = 60;
    put_bytes("plain.jsonl", lines, n);
    check_lines("plain.jsonl");

    size_t a = ZSTD_compress(packed, sizeof packed, lines, half, 1); /* two frames */
    size_t b = ZSTD_compress(packed + a, sizeof packed - a, lines + half, n - half, 1);
    put_bytes("two.jsonl.zst", packed, a + b);
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
    put_bytes("cut.jsonl.zst", packed, n - 3);
    snprintf(cut, sizeof cut, "'cut.jsonl.zst' is truncated: it ends at byte %zu", n - 3);
    CHECK_FAILS(read_to_the_end("cut.jsonl.zst", NULL, &err), err, GM_EFORMAT, cut);

    packed[6] |= 0x06; /* the header of its block: a type that there is not */
    put_bytes("changed.jsonl.zst", packed, n);
    CHECK_FAILS(read_to_the_end("changed.jsonl.zst", NULL, &err), err, GM_EFORMAT,
                "'changed.jsonl.zst' is damaged");
    put_bytes("bad.jsonl.zst", "not zstd at all", 15);
    CHECK_FAILS(read_to_the_end("bad.jsonl.zst", NULL, &err), err, GM_EFORMAT, "bad.jsonl.zst");
    put_bytes("bad.jsonl.gz", "not gzip at all", 15);
    CHECK_FAILS(read_to_the_end("bad.jsonl.gz", NULL, &err), err, GM_EFORMAT, "bad.jsonl.gz");

    gzFile gz = gzopen("whole.gz", "wb");
    gzwrite(gz, lines, sizeof lines - 1);
    gzclose(gz);
    gm_text bytes = {0};
    CHECK_OK(gm_text_read_file(&bytes, "whole.gz", 4096, &err), err);
    put_bytes("cut.jsonl.gz", bytes.at, bytes.n - 9);
    gm_text_clear(&bytes);
    CHECK_FAILS(read_to_the_end("cut.jsonl.gz", NULL, &err), err, GM_EFORMAT, "truncated");
    CHECK_FAILS(read_to_the_end("absent.jsonl", NULL, &err), err, GM_EIO, "absent.jsonl");
    for (int i = 0; i < 2; i++) { /* a plain file may be empty */
        const char *path = i ? "empty.jsonl.zst" : "empty.jsonl.gz";
        put_bytes(path, "", 0);
        CHECK_FAILS(read_to_the_end(path, NULL, &err), err, GM_EFORMAT,
                    "is truncated: it ends at byte 0");
    }
}

/* Zeros after a member are no damage; bytes that are neither are. */
static void zeros_may_follow_gzip(void)
{
    char zeros[300000] = "", text[8][64];
    gm_skip skip[8];
    gm_error err;
    gzFile gz = gzopen("padded.jsonl.gz", "wb");
    gzwrite(gz, lines, sizeof lines - 1);
    gzclose(gz);
    FILE *file = fopen("padded.jsonl.gz", "ab");
    CHECK_INT(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    CHECK_INT(fclose(file), 0);
    CHECK_INT(read_all("padded.jsonl.gz", NULL, text, skip, 8), 7);
    file = fopen("padded.jsonl.gz", "ab");
    fputs("garbage", file);
    CHECK_INT(fclose(file), 0);
    CHECK_FAILS(read_to_the_end("padded.jsonl.gz", NULL, &err), err, GM_EFORMAT, "is damaged");
}

static void strict_names_file_and_line(void)
{
    gm_error err;
    put_bytes("plain.jsonl", lines, sizeof lines - 1);
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

static void folders_are_walked_in_order_of_bytes(void)
{
    char text[8][64];
    gm_skip skip[8];
    mkdir("tree", 0777);
    mkdir("tree/b", 0777);
    mkdir("tree/B", 0777);
    put_bytes("tree/b/1.txt", "second", 6);
    put_bytes("tree/B/2.txt", "first", 5);
    put_bytes("tree/b/.hidden", "never", 5);
    put_bytes("tree/z.txt", "", 0);
    put_bytes("tree/y.jsonl", "{\"text\":\"third\"}\n", 17);
    CHECK_INT(read_all("tree", NULL, text, skip, 8), 4);
    CHECK_TEXT(text[0], "B|first");
    CHECK_TEXT(text[1], "b|second");
    CHECK_TEXT(text[2], "|third");
    CHECK_INT(skip[3], GM_SKIP_EMPTY);
}

/* Documents of what is sent into a pipe, in pieces of `step` bytes; the first one's text. */
static size_t read_sent(const char *sent, size_t step, char first[64])
{
    char path[32], text[8][64] = {""};
    gm_skip skip[8];
    int end[2];
    CHECK_INT(pipe(end), 0);
    const pid_t child = fork();
    if (child == 0) {
        for (size_t n = strlen(sent), at = 0; at < n; at += step)
            if (write(end[1], sent + at, n - at < step ? n - at : step) < 0) _exit(1);
        _exit(0);
    }
    close(end[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", end[0]);
    gm_corpus *corpus = open_one(path, NULL);
    CHECK_TEXT(gm_corpus_pipe(corpus), path);
    gm_corpus_close(corpus);
    const size_t n = read_all(path, NULL, text, skip, 8);
    close(end[0]);
    waitpid(child, NULL, 0);
    memcpy(first, text[0], sizeof text[0]);
    return n;
}

/* What a shell's <(zcat a.gz b.gz) gives: the name of a pipe, which says nothing. */
static void a_pipe_holds_lines_when_its_first_is_an_object(void)
{
    static const struct {
        const char *sent, *first;
        size_t n;
    } of[] = {
        {"\xEF\xBB\xBF{\"text\":\"one\"}\r\n{\"text\":\"two\"}\n", "|one", 2},
        {"{\"text\":\"one\"}", "|one", 1},
        {"a text\n{of two lines}\n", "fd|a text\n{of two lines}\n", 1},
        {"{\n \"a\": 1\n}\n", "fd|{\n \"a\": 1\n}\n", 1},
        {"{\\bf x}\n{\"text\":\"y\"}\n", "fd|{\\bf x}\n{\"text\":\"y\"}\n", 1},
        {"{\"a\": 1,\n \"b\": 2}", "fd|{\"a\": 1,\n \"b\": 2}", 1},
    };
    for (size_t k = 0; k < sizeof of / sizeof *of; k++)
        for (size_t step = 1; step <= 100; step += 99) {
            char first[64];
            CHECK_INT(read_sent(of[k].sent, step, first), of[k].n);
            CHECK_TEXT(first, of[k].first);
        }
}

/* Longer than what is looked at: its start says enough. */
static void a_long_first_line_is_known_by_its_start(void)
{
    enum { LONG = 300000 };
    static const char *const start[] = {"{ \"text\":\"", "{ text: "};
    static const char end[] = "\"}\n{\"text\":\"after\"}\n";
    char *sent = malloc(LONG + sizeof end), first[64];
    for (int k = 0; k < 2; k++) {
        memset(sent, 'x', LONG);
        memcpy(sent, start[k], strlen(start[k]));
        memcpy(sent + LONG, end, sizeof end);
        CHECK_INT(read_sent(sent, LONG, first), k == 0 ? 2 : 1);
        CHECK_BYTES(first, k == 0 ? "|xxx" : "fd|{ te", 4);
    }
    free(sent);
}

/* What a shell's < c.jsonl gives: a file without its name. */
static void standard_input_may_be_a_file(void)
{
    char path[3][32] = {"/dev/stdin"}, text[8][64];
    gm_skip skip[8];
    put_bytes("plain.jsonl", lines, sizeof lines - 1);
    const int fd = open("plain.jsonl", O_RDONLY), before = dup(STDIN_FILENO);
    CHECK_INT(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    snprintf(path[1], sizeof path[1], "/dev/fd/%d", fd);
    snprintf(path[2], sizeof path[2], "/proc/self/fd/%d", fd);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(read_all(path[i], NULL, text, skip, 8), 7);
        CHECK_TEXT(text[0], "A|one");
    }
    put_bytes("plain.txt", "{\n}\n", 4);
    CHECK_INT(dup2(open("plain.txt", O_RDONLY), STDIN_FILENO), STDIN_FILENO);
    CHECK_INT(read_all(path[0], NULL, text, skip, 8), 1);
    if (before >= 0) dup2(before, STDIN_FILENO);
    close(before);
    close(fd);
}

static void wake_up(int number)
{
    (void)number;
}

/* From a process of its own: SIGINT, and again and again what ends a read that began after it. */
static pid_t interrupt_soon(void)
{
    const pid_t parent = getpid(), child = fork();
    for (int i = 0; child == 0 && i < 1000 && getppid() == parent; i++) {
        usleep(10000);
        kill(parent, i == 0 ? SIGINT : SIGUSR1);
    }
    if (child == 0) _exit(0);
    return child;
}

static void waiting_for_a_pipe_can_be_interrupted(void)
{
    gm_error err = {0};
    gm_document document;
    bool more = true;
    unlink("silent.jsonl");
    CHECK_INT(mkfifo("silent.jsonl", 0666), 0);
    const int fd = open("silent.jsonl", O_RDWR); /* a writer that writes nothing */
    gm_corpus *corpus = open_one("silent.jsonl", NULL);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = wake_up}, NULL);
    gm_catch_signals();
    const pid_t child = interrupt_soon();
    CHECK_FAILS(gm_corpus_next(corpus, &document, &more, &err), err, GM_EINTERRUPTED,
                "interrupted while reading 'silent.jsonl'");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(gm_interrupt_taken());
    gm_corpus_close(corpus);
    close(fd);
}

static void progress_ends_at_the_total(void)
{
    gm_error err = {0};
    uint64_t done, total;
    bool more = true;
    put_bytes("plain.jsonl", lines, sizeof lines - 1);
    gm_corpus *corpus = open_one("plain.jsonl", NULL);
    while (more) {
        gm_document document;
        CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
    }
    CHECK(gm_corpus_pipe(corpus) == NULL);
    gm_corpus_progress(corpus, &done, &total);
    CHECK_INT(done, sizeof lines - 1);
    CHECK_INT(total, sizeof lines - 1);
    gm_corpus_close(corpus);
}

static gm_status attempt(void *state, gm_error *err)
{
    return read_to_the_end(state, NULL, err);
}

/* Shorter or longer than at the opening: an error after the last document, and not a
 * corpus of another length. */
static void a_file_that_changes_is_noticed(void)
{
    static const char three[] = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n";
    for (size_t n = 26; n <= 39; n += 13) {
        gm_error err = {0};
        gm_document document;
        bool more = true;
        put_bytes("changing.jsonl", three, n == 26 ? 39 : 26);
        gm_corpus *corpus = open_one("changing.jsonl", NULL);
        put_bytes("changing.jsonl", three, n);
        for (size_t i = 0; i < n / 13; i++)
            CHECK_OK(gm_corpus_next(corpus, &document, &more, &err), err);
        CHECK_FAILS(gm_corpus_next(corpus, &document, &more, &err), err, GM_EFORMAT,
                    "'changing.jsonl' changed while it was read");
        gm_corpus_close(corpus);
    }
}

/* Short of memory, lines may not pass for one text. */
static gm_status attempt_lines(void *state, gm_error *err)
{
    const char *path = state;
    gm_corpus *corpus = NULL;
    gm_document document = {0};
    bool more = false;
    gm_status status = gm_corpus_open(&corpus, &path, 1, NULL, err);
    if (status == GM_OK) status = gm_corpus_next(corpus, &document, &more, err);
    if (status == GM_OK && document.line != 1) status = GM_EFORMAT;
    gm_corpus_close(corpus);
    return status;
}

static void survives_every_allocation_failure(void)
{
    put_bytes("plain.jsonl", lines, sizeof lines - 1);
    check_every_allocation(attempt, "plain.jsonl");
    static const char number[] = "{\"text\":\"a\",\"meta\":{\"pile_set_name\":0.5}}";
    char path[32];
    put_bytes("number.jsonl", number, sizeof number - 1);
    const int fd = open("number.jsonl", O_RDONLY);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    check_every_allocation(attempt_lines, path);
    close(fd);
}

TESTS(TEST(a_document_a_line_plain_gzip_and_zstd), TEST(damaged_files_name_file_and_byte),
      TEST(zeros_may_follow_gzip), TEST(strict_names_file_and_line),
      TEST(long_lines_are_passed_over_in_bounded_memory),
      TEST(folders_are_walked_in_order_of_bytes), TEST(progress_ends_at_the_total),
      TEST(a_pipe_holds_lines_when_its_first_is_an_object),
      TEST(a_long_first_line_is_known_by_its_start), TEST(standard_input_may_be_a_file),
      TEST(waiting_for_a_pipe_can_be_interrupted), TEST(a_file_that_changes_is_noticed),
      TEST(survives_every_allocation_failure))

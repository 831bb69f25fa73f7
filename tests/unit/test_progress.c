/* test_progress.c - what is drawn, when, and how a warning meets a line.
 *
 * The clock is not waited for: a progress that began long ago is made by moving
 * its start back.
 */
#include "base/progress.h"
#include "base/text.h"
#include "tests/check.h"

#include <pty.h>

#include <unistd.h>

static int saved_stderr;

static void begin_capture(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    CHECK(freopen("err", "w", stderr) != NULL);
}

static gm_text end_capture(void)
{
    gm_text text;
    gm_error err = {0};
    fflush(stderr);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    CHECK_OK(gm_text_read_file(&text, "err", 1 << 20, &err), err);
    return text;
}

/* A progress of 4000 tokens that began `ago` seconds ago and was shown then. */
static gm_progress begun(double ago, bool quiet)
{
    gm_progress p;
    gm_progress_start(&p, "collect", "tokens", 4000, quiet);
    p.start_s -= ago;
    p.shown_s -= ago;
    return p;
}

static void a_line_every_ten_seconds_when_not_a_terminal(void)
{
    begin_capture();
    gm_progress p = begun(20, false);
    gm_progress_note(&p, "block %d", 3);
    gm_progress_set(&p, 1000);
    gm_progress_set(&p, 1001); /* not yet time again */
    gm_text text = end_capture();
    CHECK_TEXT(text.at, "collect: 1.0 k of 4.0 k tokens (25 %), 50/s, 1:00 left, block 3\n");
    gm_text_clear(&text);
}

static void a_terminal_line_is_redrawn_and_cleared_by_a_warning(void)
{
    begin_capture();
    gm_progress p = begun(10, false);
    p.terminal = true;
    p.total = 0;
    gm_progress_set(&p, 100);
    gm_warn("line %d is bad\n", 7);
    p.shown_s -= 1;
    gm_progress_set(&p, 200);
    gm_progress_end(&p);
    gm_warn("afterwards");
    gm_text text = end_capture();
    CHECK_TEXT(text.at, "\r\033[Kcollect: 100 tokens, 10/s"
                        "\r\033[Kwarning: line 7 is bad\\n\n"
                        "\r\033[Kcollect: 200 tokens, 20/s"
                        "\r\033[Kcollect: 200 tokens, 20/s\n"
                        "warning: afterwards\n");
    gm_text_clear(&text);
}

/* On a terminal of 20 columns, the last of which stays free: where some go on, others begin a line.
 */
static void a_line_is_cut_to_the_terminal(void)
{
    char got[256] = "";
    int master, slave;
    CHECK(openpty(&master, &slave, NULL, NULL, &(struct winsize){.ws_row = 4, .ws_col = 20}) == 0);
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    gm_progress p = begun(10, false);
    CHECK(p.terminal);
    gm_progress_set(&p, 1000);
    gm_progress_end(&p);
    fflush(stderr);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(slave); /* so that the last read fails */
    for (ssize_t n = 1, at = 0; n > 0; at += n)
        n = read(master, got + at, sizeof got - 1 - (size_t)at);
    close(master);
    CHECK_TEXT(got, "\r\033[Kcollect: 1.0 k of 4\r\033[Kcollect: 1.0 k of 4\r\n");
}

static void a_warning_that_is_cut_says_so(void)
{
    char name[1500] = "";
    memset(name, 'x', sizeof name - 1);
    begin_capture();
    gm_warn("%s", name);
    gm_text text = end_capture();
    CHECK_INT(text.n, strlen("warning: ") + 1023 + 1);
    CHECK_TEXT(text.at + text.n - 5, "x...\n");
    gm_text_clear(&text);
}

static void callbacks_say_the_same(void)
{
    begin_capture();
    gm_progress p = begun(20, false);
    gm_progress_take(&p, 500, 2000);
    gm_tell_sentence(NULL, "100 % told");
    gm_warn_sentence(NULL, "warned");
    gm_text text = end_capture();
    CHECK_TEXT(text.at, "collect: 500 of 2.0 k tokens (25 %), 25/s, 1:00 left\n"
                        "100 % told\nwarning: warned\n");
    gm_text_clear(&text);
}

static void short_and_quiet_work_says_nothing(void)
{
    begin_capture();
    gm_progress p = begun(1, false);
    gm_progress_set(&p, 4000);
    gm_progress_end(&p);
    p = begun(100, true);
    gm_progress_set(&p, 4000);
    gm_progress_end(&p);
    gm_text text = end_capture();
    CHECK_TEXT(text.at, "");
    gm_text_clear(&text);
}

static void what_was_there_at_the_start_is_not_in_the_rate(void)
{
    begin_capture();
    gm_progress p = begun(10, false);
    p.skipped = 3000;
    gm_progress_set(&p, 3500);
    gm_text text = end_capture();
    CHECK_TEXT(text.at, "collect: 3.5 k of 4.0 k tokens (88 %), 50/s, 10 s left\n");
    gm_text_clear(&text);
}

static void the_clock_does_not_go_back(void)
{
    double before = gm_now();
    gm_progress p = begun(5, true);
    CHECK(gm_now() >= before);
    CHECK_NEAR(gm_progress_elapsed(&p), 5, 1);
}

TESTS(TEST(callbacks_say_the_same), TEST(a_line_every_ten_seconds_when_not_a_terminal),
      TEST(a_terminal_line_is_redrawn_and_cleared_by_a_warning),
      TEST(a_line_is_cut_to_the_terminal), TEST(a_warning_that_is_cut_says_so),
      TEST(short_and_quiet_work_says_nothing), TEST(what_was_there_at_the_start_is_not_in_the_rate),
      TEST(the_clock_does_not_go_back))

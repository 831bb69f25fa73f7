/* progress.c - progress of long work on stderr: done, rate, time left. */
#include "base/progress.h"

#include "base/text.h"
#include "base/utf8.h"

#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double QUIET_S = 2.0;  /* nothing is shown before */
static const double REDRAW_S = 0.1; /* on a terminal */
static const double REPORT_S = 10.0;

#define ERASE_LINE "\r\033[K"

/* There is one terminal: whether an unfinished line stands on it is the
 * process's business, not one progress's, so that a warning can clear it. */
static atomic_bool line_stands;

double gm_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void gm_progress_start(gm_progress *p, const char *what, const char *unit, double total, bool quiet)
{
    *p = (gm_progress){.what = what, .unit = unit, .total = total, .quiet = quiet};
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->start_s = gm_now();
    p->shown_s = p->start_s;
}

/* "collect: 1.2 M of 4.0 M tokens (30 %), 812/s, 57:29 left, note" */
static void describe(const gm_progress *p, double elapsed, char *line, size_t cap)
{
    char done[24], total[24], rate_text[24], left[24];
    double rate = elapsed > 0 ? (p->done - p->skipped) / elapsed : 0;
    int n = snprintf(line, cap, "%s: %s", p->what, gm_show_count(done, p->done));

    /* The line is longer than all its parts can be, so n stays below cap. */
    if (p->total > 0)
        n += snprintf(line + n, cap - (size_t)n, " of %s", gm_show_count(total, p->total));
    n += snprintf(line + n, cap - (size_t)n, " %.64s", p->unit);
    if (p->total > 0)
        n += snprintf(line + n, cap - (size_t)n, " (%.0f %%)", 100 * p->done / p->total);
    if (rate >= 1)
        n += snprintf(line + n, cap - (size_t)n, ", %s/s", gm_show_count(rate_text, rate));
    if (rate > 0 && p->total > p->done)
        n += snprintf(line + n, cap - (size_t)n, ", %s left",
                      gm_show_seconds(left, (p->total - p->done) / rate));
    if (p->note[0] != '\0') (void)snprintf(line + n, cap - (size_t)n, ", %s", p->note);
}

/* How much of a line, which is ASCII, a terminal redraws in place: a longer one would wrap, and
 * leave its first part standing at every redraw. */
static int line_room(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1
                                                                           : INT_MAX;
}

static void draw(gm_progress *p, double now)
{
    char line[512];
    describe(p, now - p->start_s, line, sizeof line);
    if (p->terminal) {
        fprintf(stderr, ERASE_LINE "%.*s", line_room(), line);
        atomic_store(&line_stands, true);
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
    p->shown_s = now;
    p->drawn = true;
}

void gm_progress_set(gm_progress *p, double done)
{
    p->done = done;
    if (p->quiet) return;
    double now = gm_now();
    if (now - p->start_s < QUIET_S) return;
    if (now - p->shown_s >= (p->terminal ? REDRAW_S : REPORT_S)) draw(p, now);
}

void gm_progress_note(gm_progress *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(p->note, sizeof p->note, fmt, args);
    va_end(args);
}

void gm_progress_end(gm_progress *p)
{
    double now = gm_now();
    if (p->quiet || (!p->drawn && now - p->start_s < QUIET_S)) return;
    draw(p, now);
    if (atomic_exchange(&line_stands, false)) fputc('\n', stderr);
}

double gm_progress_elapsed(const gm_progress *p)
{
    return gm_now() - p->start_s;
}

static void GM_PRINTF(2, 0) print_line(const char *kind, const char *fmt, va_list args)
{
    /* As in gm_fail: what does not fit in `text` would not fit in `clean`. */
    char text[2048], clean[1024];
    (void)vsnprintf(text, sizeof text, fmt, args);
    gm_utf8_escape(clean, sizeof clean, text, strlen(text), GM_KEEP_BACKSLASH);
    fprintf(stderr, "%s%s%s\n", atomic_exchange(&line_stands, false) ? ERASE_LINE : "", kind,
            clean);
}

void gm_tell(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    print_line("", fmt, args);
    va_end(args);
}

void gm_warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    print_line("warning: ", fmt, args);
    va_end(args);
}

/* ---- as callbacks ---- */

void gm_progress_take(void *progress, double done, double total)
{
    ((gm_progress *)progress)->total = total;
    gm_progress_set(progress, done);
}

void gm_tell_sentence(void *context, const char *sentence)
{
    (void)context;
    gm_tell("%s", sentence);
}

void gm_warn_sentence(void *context, const char *sentence)
{
    (void)context;
    gm_warn("%s", sentence);
}

/* progress.h - progress of long work on stderr: done, rate, time left.
 *
 * On a terminal one line is redrawn at most ten times a second; elsewhere a line
 * is printed every ten seconds. Nothing is printed before two seconds have gone
 * by, or at all when quiet. Calls come from one thread.
 */
#ifndef GM_PROGRESS_H
#define GM_PROGRESS_H

#include "base/base.h"

typedef struct gm_progress {
    const char *what; /* "collect"; borrowed */
    const char *unit; /* "tokens"; borrowed */
    double total;     /* 0: not known */
    double done;
    double skipped; /* part of `done` from before the start: not in the rate */
    char note[64];  /* free text at the end of the line */
    bool quiet;
    /* private */
    double start_s, shown_s;
    bool drawn, terminal;
} gm_progress;

void gm_progress_start(gm_progress *p, const char *what, const char *unit, double total,
                       bool quiet);
void gm_progress_set(gm_progress *p, double done); /* draws when it is time */
void gm_progress_note(gm_progress *p, const char *fmt, ...) GM_PRINTF(2, 3);
void gm_progress_end(gm_progress *p);             /* last line, then a newline if one was drawn */
double gm_progress_elapsed(const gm_progress *p); /* seconds since start */

/* A line on stderr that does not break a progress line; the second: "warning: ...". */
void gm_tell(const char *fmt, ...) GM_PRINTF(1, 2);
void gm_warn(const char *fmt, ...) GM_PRINTF(1, 2);

/* The same as callbacks: for a progress whose total is known later; for sentences, whose context is
 * not looked at. */
void gm_progress_take(void *progress, double done, double total);
void gm_tell_sentence(void *context, const char *sentence);
void gm_warn_sentence(void *context, const char *sentence);

/* Seconds on the monotonic clock. */
double gm_now(void);

#endif

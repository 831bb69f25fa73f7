/* http.h - the server's side of HTTP/1.1, by libmicrohttpd: a thread for each connection, which
 * reads requests, hands them to jobs.h and sends what comes back.
 *
 *   GET   the files that it was started with (HEAD: without their bytes)
 *   POST  /v1/completions, /v1/chat/completions
 *
 * Bodies are JSON, and their Content-Type says so: a form of another site cannot send that without
 * being asked for leave, which is never given. A server that listens to this machine alone answers
 * only to names of this machine (Host), so that no name of another site can be made to mean it.
 */
#ifndef GM_HTTP_H
#define GM_HTTP_H

#include "steer/serve/jobs.h"

typedef struct gm_http gm_http;

/* What a GET of `path` is answered by. */
typedef struct gm_http_file {
    const char *path, *type;
    const void *bytes; /* (n) */
    size_t n;
} gm_http_file;

typedef struct gm_http_options {
    const char *address; /* numeric, IPv4 or IPv6 */
    int port;            /* 0: one that is free */
    gm_jobs *jobs;
    const gm_request_defaults *defaults;
    const gm_http_file *file; /* (n_files) */
    size_t n_files;
    /* A connection on which nothing moves is closed after so many seconds, where nothing is asked
     * or in the middle of a request (with libmicrohttpd 1.0.1 idle_seconds there, too); never while
     * it waits for an answer. */
    unsigned idle_seconds, request_seconds;
} gm_http_options;

enum { GM_HTTP_MAX_BYTES = 16 << 20 }; /* of a body */

/* Whether one could listen at the address `text` now: asked before weights are loaded. Errors:
 * those of gm_http_start. */
gm_status gm_http_check(const char *text, int port, gm_error *err) GM_MUST_USE;

/* Listen; what options point to is borrowed until the end. *out is NULL on failure. Errors: GM_EARG
 * (no numeric address), GM_EIO (cannot listen there: says why), GM_EMEM. */
gm_status gm_http_start(gm_http **out, const gm_http_options *options, gm_error *err) GM_MUST_USE;
int gm_http_port(const gm_http *http);
/* Every job has ended before, or its connection waits for ever. Answers that are on their way have
 * two seconds to leave. */
void gm_http_stop(gm_http *http);

#endif

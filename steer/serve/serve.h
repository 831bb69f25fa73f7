/* serve.h - the server: responds to requests one after the other, until a signal ends it. */
#ifndef GM_SERVE_H
#define GM_SERVE_H

#include "steer/serve/completions.h"

typedef struct gm_serve_options {
    const char *address;
    int port; /* 0: one that is free */
    bool quiet;
} gm_serve_options;

/* Serve until SIGINT or SIGTERM, which is no failure. Prints where on stdout, and a line a request
 * on stderr unless quiet. Texts of all requests come from the calling thread. Errors: those of
 * gm_http_start; GM_EMEM. */
gm_status gm_serve(const gm_server *server, const gm_serve_options *options, gm_error *err)
    GM_MUST_USE;

#endif

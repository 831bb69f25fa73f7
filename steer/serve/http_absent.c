/* http_absent.c - in place of http.c where there is no libmicrohttpd. */
#include "steer/serve/http.h"

gm_status gm_http_check(const char *text, int port, gm_error *err)
{
    (void)text, (void)port;
    return gm_fail(err, GM_EABSENT,
                   "this build cannot serve: libmicrohttpd was not found when it was made");
}

gm_status gm_http_start(gm_http **out, const gm_http_options *options, gm_error *err)
{
    *out = NULL;
    return gm_http_check(options->address, options->port, err);
}

int gm_http_port(const gm_http *http)
{
    (void)http;
    return 0;
}

void gm_http_stop(gm_http *http)
{
    (void)http;
}

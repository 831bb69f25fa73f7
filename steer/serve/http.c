/* http.c - see http.h. */
#include "steer/serve/http.h"

#include "steer/serve/response.h"

#include <microhttpd.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* More connections than requests may wait, so that one too many gets an error. */
enum { MAX_CONNECTIONS = 256, CHUNK_BYTES = 1 << 14 };

typedef enum MHD_Result result;

struct gm_http {
    gm_http_options options;
    struct MHD_Daemon *daemon;
    bool local;              /* listens to this machine alone */
    atomic_size_t n_pending; /* requests whose responses have not been sent */
};

/* The body of a request, while it arrives. */
typedef struct upload {
    gm_text body;
    bool too_large, no_memory;
} upload;

/* After how many idle seconds a connection is closed. libmicrohttpd can neither
 * close the oldest of many connections nor, where all come from one machine, count by address:
 * those without a request have little time. In 1.0.1 this has no effect: the limit is that of the
 * start, idle_seconds, always. */
static void set_timeout(struct MHD_Connection *c, unsigned seconds)
{
    MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* ---- responses ---- */

static const char JSON[] = "application/json", EVENTS[] = "text/event-stream";

/* Of every response: pages load from here alone, and nothing is cached or sniffed. */
static const char *const headers[][2] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "
                                "connect-src 'self'; img-src data:; base-uri 'none'; "
                                "form-action 'none'; frame-ancestors 'none'"},
};

static result send_response(struct MHD_Connection *c, unsigned code, const char *type,
                            struct MHD_Response *response)
{
    if (response == NULL) return MHD_NO;
    result sent = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    for (size_t i = 0; sent == MHD_YES && i < sizeof headers / sizeof *headers; i++)
        sent = MHD_add_response_header(response, headers[i][0], headers[i][1]);
    if (sent == MHD_YES) sent = MHD_queue_response(c, code, response);
    MHD_destroy_response(response);
    return sent;
}

static struct MHD_Response *error_response(const char *sentence)
{
    gm_error none = {0};
    gm_text text = {0};
    struct MHD_Response *response = NULL;
    if (gm_response_error(&text, sentence, &none) == GM_OK)
        response = MHD_create_response_from_buffer(text.n, text.at, MHD_RESPMEM_MUST_COPY);
    gm_text_clear(&text);
    return response;
}

static result send_error(struct MHD_Connection *c, unsigned code, const char *sentence)
{
    return send_response(c, code, JSON, error_response(sentence));
}

/* `allowed`: the methods that there are, as the header names them. */
static result refuse_method(struct MHD_Connection *c, const char *allowed)
{
    char sentence[32];
    snprintf(sentence, sizeof sentence, "expected %s", allowed);
    struct MHD_Response *response = error_response(sentence);
    if (response) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allowed);
    return send_response(c, MHD_HTTP_METHOD_NOT_ALLOWED, JSON, response);
}

/* ---- responses that a job writes ---- */

/* A response's source; freed with it. */
typedef struct job_reader {
    gm_job *job;
    int socket;
    double keep_alive_seconds;
} job_reader;

/* A peer that has closed its side reads nothing any more. */
static bool is_connected(void *context)
{
    const job_reader *r = context;
    char byte;
    const ssize_t n = recv(r->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

/* An MHD_ContentReaderCallback. The library applies the connection's timeout when it returns: an
 * idle stream sends an empty comment in time. */
static ssize_t read_job(void *context, uint64_t at, char *buffer, size_t most)
{
    static const char comment[] = ":\n\n";
    job_reader *r = context;
    size_t n = sizeof comment - 1;
    (void)at;
    if (n <= most && gm_job_is_idle(r->job, r->keep_alive_seconds, is_connected, r))
        memcpy(buffer, comment, n);
    else
        n = gm_job_read(r->job, buffer, most, is_connected, r);
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_job_reader(void *context)
{
    job_reader *r = context;
    gm_job_release(r->job);
    gm_free(r);
}

/* A response of known length, complete before it is sent. */
static struct MHD_Response *buffered_response(job_reader *r)
{
    gm_error none = {0};
    gm_text text = {0};
    char chunk[CHUNK_BYTES];
    size_t n;
    gm_status status = GM_OK;
    struct MHD_Response *response = NULL;
    while (status == GM_OK && (n = gm_job_read(r->job, chunk, sizeof chunk, is_connected, r)) > 0)
        status = gm_text_append(&text, chunk, n, &none);
    if (status == GM_OK && text.n > 0)
        response = MHD_create_response_from_buffer(text.n, text.at, MHD_RESPMEM_MUST_COPY);
    gm_text_clear(&text);
    free_job_reader(r);
    return response;
}

static struct MHD_Response *streamed_response(job_reader *r)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK_BYTES,
                                                                      read_job, r, free_job_reader);
    if (response == NULL) free_job_reader(r);
    return response;
}

static result send_job(const gm_http *h, struct MHD_Connection *c, gm_job *job, bool streams)
{
    job_reader *r = gm_alloc(1, sizeof *r);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (r == NULL || info == NULL) {
        gm_free(r);
        gm_job_release(job);
        return MHD_NO;
    }
    *r = (job_reader){job, info->connect_fd, h->options.idle_seconds / 2.0};
    const int code = gm_job_wait(job, is_connected, r);
    if (code == 0) {
        free_job_reader(r);
        return MHD_NO;
    }
    const bool chunked = streams && code == MHD_HTTP_OK;
    return send_response(c, (unsigned)code, chunked ? EVENTS : JSON,
                         chunked ? streamed_response(r) : buffered_response(r));
}

/* ---- requests ---- */

static bool is_json(struct MHD_Connection *c)
{
    const char *type = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type");
    return type && strncasecmp(type, JSON, sizeof JSON - 1) == 0;
}

static unsigned code_of(gm_status status)
{
    if (status == GM_EMEM) return MHD_HTTP_INTERNAL_SERVER_ERROR;
    return status == GM_EBUSY ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_BAD_REQUEST;
}

static result post(const gm_http *h, struct MHD_Connection *c, const upload *u, bool chat)
{
    gm_error err = {0};
    gm_request request = {0};
    gm_job *job = NULL;
    if (!is_json(c))
        return send_error(c, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "expected 'Content-Type: application/json'");
    gm_status status = gm_request_read(&request, chat, u->body.n ? u->body.at : "", u->body.n,
                                       h->options.defaults, &err);
    const bool streams = request.stream;
    if (status == GM_OK) status = gm_jobs_post(h->options.jobs, &request, &job, &err);
    if (status != GM_OK) return send_error(c, code_of(status), err.text);
    return send_job(h, c, job, streams);
}

/* Names by which a browser reaches this machine alone: the address listened at is one of them. */
static bool names_this_machine(const char *host, const char *address)
{
    const char *const names[] = {"localhost", "127.0.0.1", "[::1]", address};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t n = strlen(names[i]);
        if (strncasecmp(host, names[i], n) == 0 && (host[n] == '\0' || host[n] == ':')) return true;
    }
    return false;
}

static result get(struct MHD_Connection *c, const gm_http_file *file)
{
    union {
        const void *from;
        void *to;
    } bytes = {file->bytes}; /* the library does not write to what is persistent */
    return send_response(
        c, MHD_HTTP_OK, file->type,
        MHD_create_response_from_buffer(file->n, bytes.to, MHD_RESPMEM_PERSISTENT));
}

static result dispatch(const gm_http *h, struct MHD_Connection *c, const char *path,
                       const char *method, const upload *u)
{
    const bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    const bool is_post = strcmp(method, "POST") == 0;
    const bool chat = strcmp(path, "/v1/chat/completions") == 0;
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    if (h->local && host && !names_this_machine(host, h->options.address))
        return send_error(c, MHD_HTTP_FORBIDDEN, "this server answers to 'localhost' only");
    if (u->no_memory)
        return send_error(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the request");
    if (u->too_large)
        return send_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "the request is larger than 16 MiB");
    if (chat || strcmp(path, "/v1/completions") == 0)
        return is_post ? post(h, c, u, chat) : refuse_method(c, "POST");
    for (size_t i = 0; i < h->options.n_files; i++)
        if (strcmp(path, h->options.file[i].path) == 0)
            return is_get ? get(c, &h->options.file[i]) : refuse_method(c, "GET, HEAD");
    return send_error(
        c, MHD_HTTP_NOT_FOUND,
        "no such page; there are /, /about, /v1/models, /v1/completions and /v1/chat/completions");
}

/* ---- libmicrohttpd's calls ---- */

/* Called with the head, with each piece of the body, and at the end with none. */
static result on_request(void *context, struct MHD_Connection *c, const char *path,
                         const char *method, const char *version, const char *bytes, size_t *n,
                         void **state)
{
    gm_error none = {0};
    gm_http *h = context;
    upload *u = *state;
    (void)version;
    if (u == NULL) {
        *state = gm_alloc(1, sizeof *u);
        if (*state == NULL) return MHD_NO;
        atomic_fetch_add(&h->n_pending, 1);
        set_timeout(c, h->options.request_seconds);
        return MHD_YES;
    }
    if (*n == 0) return dispatch(h, c, path, method, u);
    if (u->body.n + *n > GM_HTTP_MAX_BYTES)
        u->too_large = true;
    else if (gm_text_append(&u->body, bytes, *n, &none) != GM_OK)
        u->no_memory = true;
    *n = 0;
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode how)
{
    gm_http *h = context;
    upload *u = *state;
    (void)how;
    if (u == NULL) return;
    set_timeout(c, h->options.idle_seconds);
    gm_text_clear(&u->body);
    gm_free(u);
    *state = NULL;
    atomic_fetch_sub(&h->n_pending, 1);
}

/* ---- listening ---- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

static gm_status read_address(address *out, bool *local, const char *text, int port, gm_error *err)
{
    *out = (address){0};
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        *local = ntohl(out->v4.sin_addr.s_addr) >> 24 == 127;
        return GM_OK;
    }
    *out = (address){0};
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *local = memcmp(&out->v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback) == 0;
        return GM_OK;
    }
    return gm_fail(err, GM_EARG,
                   "--address '%s' is not a numeric address such as 127.0.0.1 or ::", text);
}

static gm_status cannot_listen(const char *text, int port, int why, gm_error *err)
{
    return gm_fail(err, GM_EIO, "cannot listen on %s, port %d%s%s", text, port, why ? ": " : "",
                   why ? strerror(why) : "");
}

gm_status gm_http_check(const char *text, int port, gm_error *err)
{
    address where;
    bool local;
    const int yes = 1;
    gm_status status = read_address(&where, &local, text, port, err);
    if (status != GM_OK) return status;
    const bool v6 = where.any.sa_family == AF_INET6;
    const int s = socket(where.any.sa_family, SOCK_STREAM, 0);
    if (s < 0) return cannot_listen(text, port, errno, err);
    /* as libmicrohttpd does: a port that a server has just left is free, IPv4's is another */
    (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (v6) (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(s, &where.any, v6 ? sizeof where.v6 : sizeof where.v4) != 0)
        status = cannot_listen(text, port, errno, err);
    close(s);
    return status;
}

gm_status gm_http_start(gm_http **out, const gm_http_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    address where;
    gm_http *h = gm_alloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL) GM_FAIL(GM_EMEM, "no memory for a server");
    h->options = *options;
    GM_TRY(read_address(&where, &h->local, options->address, options->port, err));
    const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                           MHD_USE_POLL | (where.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    errno = 0;
    h->daemon =
        MHD_start_daemon(flags, (uint16_t)options->port, NULL, NULL, on_request, h,
                         MHD_OPTION_SOCK_ADDR, &where.any, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, h, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
                         MHD_OPTION_CONNECTION_TIMEOUT, options->idle_seconds, MHD_OPTION_END);
    if (h->daemon == NULL) GM_TRY(cannot_listen(options->address, options->port, errno, err));
    *out = h;
out:
    if (status != GM_OK) gm_free(h);
    return status;
}

int gm_http_port(const gm_http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : h->options.port;
}

void gm_http_stop(gm_http *h)
{
    if (h == NULL) return;
    const struct timespec a_moment = {.tv_nsec = 10000000};
    for (int i = 0; i < 200 && atomic_load(&h->n_pending) > 0; i++) nanosleep(&a_moment, NULL);
    MHD_stop_daemon(h->daemon);
    gm_free(h);
}

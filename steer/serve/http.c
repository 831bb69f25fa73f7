/* http.c - see http.h. */
#include "steer/serve/http.h"

#include "steer/serve/reply.h"

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

/* More connections than requests may wait: who is too many is told so. */
enum { MOST_CONNECTIONS = 256, PIECE_BYTES = 1 << 14 };

typedef enum MHD_Result result;

struct gm_http {
    gm_http_options options;
    struct MHD_Daemon *daemon;
    bool local;          /* listens to this machine alone */
    atomic_size_t asked; /* requests whose answers have not been sent */
};

/* One request that is being read. */
typedef struct call {
    gm_text body;
    bool too_large, no_memory;
} call;

/* After how many seconds in which nothing moves a connection is closed. libmicrohttpd can neither
 * close the oldest of many connections nor, where all come from one machine, count by address:
 * those that ask nothing have little time. In 1.0.1 this has no effect: the limit is that of the
 * start, idle_seconds, always. */
static void set_patience(struct MHD_Connection *c, unsigned seconds)
{
    MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

/* ---- replies ---- */

static const char JSON[] = "application/json", EVENTS[] = "text/event-stream";

/* What goes with every answer: pages load from here alone, and no answer is kept or guessed at. */
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
    if (gm_reply_error(&text, sentence, &none) == GM_OK)
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

/* ---- answers that a job gives ---- */

/* Who waits for a job: freed with the response. */
typedef struct waiting {
    gm_job *job;
    int socket;
    double rest_seconds;
} waiting;

/* A peer that has closed its side reads nothing any more. */
static bool still_there(void *context)
{
    const waiting *w = context;
    char byte;
    const ssize_t n = recv(w->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

/* The library looks at the clock when this is over, and would close what it was waiting for: a
 * stream that rests says an empty comment in time. */
static ssize_t read_job(void *context, uint64_t at, char *buffer, size_t most)
{
    static const char comment[] = ":\n\n";
    waiting *w = context;
    size_t n = sizeof comment - 1;
    (void)at;
    if (n <= most && gm_job_rests(w->job, w->rest_seconds, still_there, w))
        memcpy(buffer, comment, n);
    else
        n = gm_job_read(w->job, buffer, most, still_there, w);
    return n > 0 ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void end_waiting(void *context)
{
    waiting *w = context;
    gm_job_release(w->job);
    gm_free(w);
}

/* An answer that is known whole, of known length. */
static struct MHD_Response *whole_response(waiting *w)
{
    gm_error none = {0};
    gm_text text = {0};
    char piece[PIECE_BYTES];
    size_t n;
    gm_status status = GM_OK;
    struct MHD_Response *response = NULL;
    while (status == GM_OK && (n = gm_job_read(w->job, piece, sizeof piece, still_there, w)) > 0)
        status = gm_text_append(&text, piece, n, &none);
    if (status == GM_OK && text.n > 0)
        response = MHD_create_response_from_buffer(text.n, text.at, MHD_RESPMEM_MUST_COPY);
    gm_text_clear(&text);
    end_waiting(w);
    return response;
}

static struct MHD_Response *growing_response(waiting *w)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, read_job, w, end_waiting);
    if (response == NULL) end_waiting(w);
    return response;
}

static result send_job(const gm_http *h, struct MHD_Connection *c, gm_job *job, bool streams)
{
    waiting *w = gm_alloc(1, sizeof *w);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (w == NULL || info == NULL) {
        gm_free(w);
        gm_job_release(job);
        return MHD_NO;
    }
    *w = (waiting){job, info->connect_fd, h->options.idle_seconds / 2.0};
    const int code = gm_job_wait(job, still_there, w);
    if (code == 0) {
        end_waiting(w);
        return MHD_NO;
    }
    const bool grows = streams && code == MHD_HTTP_OK;
    return send_response(c, (unsigned)code, grows ? EVENTS : JSON,
                         grows ? growing_response(w) : whole_response(w));
}

/* ---- what is asked ---- */

static bool says_json(struct MHD_Connection *c)
{
    const char *type = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type");
    return type && strncasecmp(type, JSON, sizeof JSON - 1) == 0;
}

static unsigned code_of(gm_status status)
{
    if (status == GM_EMEM) return MHD_HTTP_INTERNAL_SERVER_ERROR;
    return status == GM_EBUSY ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_BAD_REQUEST;
}

static result post(const gm_http *h, struct MHD_Connection *c, const call *asked, bool chat)
{
    gm_error err = {0};
    gm_ask ask = {0};
    gm_job *job = NULL;
    if (!says_json(c))
        return send_error(c, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "expected 'Content-Type: application/json'");
    gm_status status = gm_ask_read(&ask, chat, asked->body.n ? asked->body.at : "", asked->body.n,
                                   h->options.defaults, &err);
    const bool streams = ask.stream;
    if (status == GM_OK) status = gm_jobs_post(h->options.jobs, &ask, &job, &err);
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

static result answer(const gm_http *h, struct MHD_Connection *c, const char *path,
                     const char *method, const call *asked)
{
    const bool gets = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    const bool posts = strcmp(method, "POST") == 0;
    const bool chat = strcmp(path, "/v1/chat/completions") == 0;
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    if (h->local && host && !names_this_machine(host, h->options.address))
        return send_error(c, MHD_HTTP_FORBIDDEN, "this server answers to 'localhost' only");
    if (asked->no_memory)
        return send_error(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the request");
    if (asked->too_large)
        return send_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "the request is larger than 16 MiB");
    if (chat || strcmp(path, "/v1/completions") == 0)
        return posts ? post(h, c, asked, chat) : refuse_method(c, "POST");
    for (size_t i = 0; i < h->options.n_files; i++)
        if (strcmp(path, h->options.file[i].path) == 0)
            return gets ? get(c, &h->options.file[i]) : refuse_method(c, "GET, HEAD");
    return send_error(
        c, MHD_HTTP_NOT_FOUND,
        "no such page; there are /, /about, /v1/models, /v1/completions and /v1/chat/completions");
}

/* ---- libmicrohttpd's calls ---- */

/* Called with the head, then with each piece of the body, then with none. */
static result take(void *context, struct MHD_Connection *c, const char *path, const char *method,
                   const char *version, const char *bytes, size_t *n, void **state)
{
    gm_error none = {0};
    gm_http *h = context;
    call *asked = *state;
    (void)version;
    if (asked == NULL) {
        *state = gm_alloc(1, sizeof *asked);
        if (*state == NULL) return MHD_NO;
        atomic_fetch_add(&h->asked, 1);
        set_patience(c, h->options.request_seconds);
        return MHD_YES;
    }
    if (*n == 0) return answer(h, c, path, method, asked);
    if (asked->body.n + *n > GM_HTTP_MOST_BYTES)
        asked->too_large = true;
    else if (gm_text_append(&asked->body, bytes, *n, &none) != GM_OK)
        asked->no_memory = true;
    *n = 0;
    return MHD_YES;
}

static void forget(void *context, struct MHD_Connection *c, void **state,
                   enum MHD_RequestTerminationCode how)
{
    gm_http *h = context;
    call *asked = *state;
    (void)how;
    if (asked == NULL) return;
    set_patience(c, h->options.idle_seconds);
    gm_text_clear(&asked->body);
    gm_free(asked);
    *state = NULL;
    atomic_fetch_sub(&h->asked, 1);
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
        MHD_start_daemon(flags, (uint16_t)options->port, NULL, NULL, take, h, MHD_OPTION_SOCK_ADDR,
                         &where.any, MHD_OPTION_NOTIFY_COMPLETED, forget, h,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)MOST_CONNECTIONS,
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
    for (int i = 0; i < 200 && atomic_load(&h->asked) > 0; i++) nanosleep(&a_moment, NULL);
    MHD_stop_daemon(h->daemon);
    gm_free(h);
}

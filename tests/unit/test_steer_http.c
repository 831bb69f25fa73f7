/* test_steer_http.c - steer/serve/http.c: how long a connection on which nothing moves is kept.
 * What it answers is tests/cli/test_serve.py's. */
#include "steer/serve/http.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const gm_request_defaults defaults = {
    .sampling = {.top_p = 1, .repetition_penalty = 1}, .max_tokens = 4, .max_context = 9};

typedef struct place {
    gm_jobs *jobs;
    gm_http *http;
} place;

static void begin(place *p)
{
    gm_error err = {0};
    CHECK_OK(gm_jobs_create(&p->jobs, &err), err);
    const gm_http_options how = {.address = "127.0.0.1",
                                 .jobs = p->jobs,
                                 .defaults = &defaults,
                                 .idle_seconds = 1,
                                 .request_seconds = 1};
    CHECK_OK(gm_http_start(&p->http, &how, &err), err);
}

static void end(place *p)
{
    gm_http_stop(p->http);
    gm_jobs_free(p->jobs);
}

static int connect_to(const place *p)
{
    const struct sockaddr_in where = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)gm_http_port(p->http)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int s = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(connect(s, (const struct sockaddr *)&where, sizeof where), 0);
    return s;
}

static void post(int s, const char *body)
{
    char text[512];
    const int n = snprintf(text, sizeof text,
                           "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: "
                           "close\r\nContent-Type: application/json\r\nContent-Length: "
                           "%zu\r\n\r\n%s",
                           strlen(body), body);
    CHECK_INT(send(s, text, (size_t)n, 0), n);
}

/* Everything until the other side closes. */
static void read_all(int s, char *text, size_t size)
{
    size_t n = 0;
    ssize_t got;
    while (n + 1 < size && (got = recv(s, text + n, size - 1 - n, 0)) > 0) n += (size_t)got;
    text[n] = '\0';
    close(s);
}

static void sleep_past_the_limit(void)
{
    const struct timespec two_seconds = {.tv_sec = 2, .tv_nsec = 200000000};
    nanosleep(&two_seconds, NULL);
}

static gm_job *take(const place *p)
{
    gm_job *job = NULL;
    for (int i = 0; job == NULL && i < 50; i++) job = gm_jobs_take(p->jobs);
    CHECK(job != NULL);
    return job;
}

static void write_job(gm_job *job, const char *text)
{
    gm_error err = {0};
    CHECK_OK(gm_job_write(job, 200, text, strlen(text), &err), err);
}

static void a_stream_may_be_idle_between_its_chunks(void)
{
    place p;
    char text[2048];
    begin(&p);
    const int s = connect_to(&p);
    post(s, "{\"prompt\": \"a\", \"stream\": true}");
    gm_job *job = take(&p);
    sleep_past_the_limit();
    write_job(job, "first");
    sleep_past_the_limit();
    write_job(job, "second");
    gm_job_end(job);
    read_all(s, text, sizeof text);
    CHECK_HAS(text, "first");
    CHECK_HAS(text, ":\n\n"); /* said meanwhile */
    CHECK_HAS(text, "second");
    end(&p);
}

static void a_response_may_take_its_time(void)
{
    place p;
    char text[2048];
    begin(&p);
    const int s = connect_to(&p);
    post(s, "{\"prompt\": \"a\"}");
    gm_job *job = take(&p);
    sleep_past_the_limit();
    write_job(job, "all of it");
    gm_job_end(job);
    read_all(s, text, sizeof text);
    CHECK_HAS(text, "200 OK");
    CHECK_HAS(text, "all of it");
    end(&p);
}

/* Nothing, half a head, half a body. */
static void a_connection_without_a_whole_request_is_closed(void)
{
    static const char half_a_body[] =
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 9\r\n\r\n{";
    static const char *const begun[] = {"", "GET / HTTP/1.1\r\n", half_a_body};
    place p;
    begin(&p);
    for (size_t i = 0; i < sizeof begun / sizeof *begun; i++) {
        char byte;
        const int s = connect_to(&p);
        struct pollfd waits = {.fd = s, .events = POLLIN};
        CHECK_INT(send(s, begun[i], strlen(begun[i]), 0), (int)strlen(begun[i]));
        CHECK_INT(poll(&waits, 1, 20000), 1);
        CHECK(recv(s, &byte, 1, 0) <= 0);
        close(s);
    }
    end(&p);
}

TESTS(TEST(a_stream_may_be_idle_between_its_chunks), TEST(a_response_may_take_its_time),
      TEST(a_connection_without_a_whole_request_is_closed))

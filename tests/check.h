/* check.h - comparisons that fail on NaN, and a runner: all a test program needs.
 *
 *     static void ties_go_to_the_lower_id(void)
 *     {
 *         CHECK_INT(winner(scores), 1);
 *     }
 *
 *     TESTS(TEST(ties_go_to_the_lower_id), TEST(...))
 *
 * A failed check prints its place and what was found, is counted, and the test
 * continues. The program returns 1 when any check failed, 77 (CTest: skipped) when
 * every test was skipped, else 0. An argument runs the tests whose name holds it.
 *
 * With GM_HAVE_CMOCKA the tests run under cmocka, which survives a crash in one
 * of them and writes JUnit XML (CMOCKA_MESSAGE_OUTPUT=xml); without it, which is
 * how engine-only builds test, by a loop of our own.
 *
 * A program starts in a folder of its own, which may hold what it left there before. TEST_DATA is
 * the path of the tests' folder: TEST_DATA "/golden/models/olmoe-tiny".
 */
#ifndef GM_CHECK_H
#define GM_CHECK_H

#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef GM_HAVE_CMOCKA
#include <cmocka.h>
#endif

typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;

static int test_failures;            /* failed checks of the running test */
static const char *test_skip_reason; /* why the running test was skipped, or NULL */

#define TEST(function) ((test_case){#function, function})
#define TESTS(...)                                                      \
    int main(int argc, char **argv)                                     \
    {                                                                   \
        const test_case list[] = {__VA_ARGS__};                         \
        return test_main(argc, argv, list, sizeof list / sizeof *list); \
    }

/* Leave the test as skipped, saying why. */
#define TEST_SKIP(reason)            \
    do {                             \
        test_skip_reason = (reason); \
        return;                      \
    } while (0)

GM_PRINTF(3, 4)
static inline void test_failed(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    test_failures++;
}
#define TEST_FAILED_(...) test_failed(__FILE__, __LINE__, __VA_ARGS__)

/* ---- checks ---- */

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) TEST_FAILED_("not true: %s", #condition); \
    } while (0)

/* Integers of any type that fits long long. */
#define CHECK_INT(got, want)                                                   \
    do {                                                                       \
        long long g_ = (long long)(got), w_ = (long long)(want);               \
        if (g_ != w_) TEST_FAILED_("%s is %lld, expected %lld", #got, g_, w_); \
    } while (0)

#define CHECK_NEAR(got, want, tol)                                                            \
    do {                                                                                      \
        double g_ = (double)(got), w_ = (double)(want);                                       \
        if (!(fabs(g_ - w_) <= (double)(tol)))                                                \
            TEST_FAILED_("%s is %.9g, expected %.9g within %g", #got, g_, w_, (double)(tol)); \
    } while (0)

/* C strings; NULL equals NULL only. */
#define CHECK_TEXT(got, want)                                                       \
    do {                                                                            \
        const char *g_ = (got), *w_ = (want);                                       \
        if (!(g_ == w_ || (g_ && w_ && strcmp(g_, w_) == 0)))                       \
            TEST_FAILED_("%s is \"%s\", expected \"%s\"", #got, g_ ? g_ : "(null)", \
                         w_ ? w_ : "(null)");                                       \
    } while (0)

#define CHECK_HAS(text, part)                                                           \
    do {                                                                                \
        const char *t_ = (text), *p_ = (part);                                          \
        if (strstr(t_, p_) == NULL)                                                     \
            TEST_FAILED_("%s is \"%s\", expected it to contain \"%s\"", #text, t_, p_); \
    } while (0)

#define CHECK_BYTES(got, want, n)                                                    \
    do {                                                                             \
        const unsigned char *g_ = (const void *)(got), *w_ = (const void *)(want);   \
        size_t i_ = 0, n_ = (n);                                                     \
        while (i_ < n_ && g_[i_] == w_[i_]) i_++;                                    \
        if (i_ < n_)                                                                 \
            TEST_FAILED_("%s: byte %zu of %zu is %02x, expected %02x", #got, i_, n_, \
                         (unsigned)g_[i_], (unsigned)w_[i_]);                        \
    } while (0)

/* Arrays of n floats: every element within tol; names the worst one's index. */
#define CHECK_FLOATS(got, want, n, tol) \
    test_floats(__FILE__, __LINE__, #got, (got), (want), (n), (double)(tol))

static inline void test_floats(const char *file, int line, const char *name, const float *got,
                               const float *want, size_t n, double tol)
{
    size_t worst = n, n_bad = 0;
    double worst_by = -1;
    for (size_t i = 0; i < n; i++) {
        double by = fabs((double)got[i] - (double)want[i]);
        if (by <= tol) continue;
        n_bad++;
        if (worst == n || by > worst_by || isnan(by)) worst = i, worst_by = by;
    }
    if (n_bad > 0)
        test_failed(file, line, "%s: %zu of %zu differ; [%zu] is %.9g, expected %.9g within %g",
                    name, n_bad, n, worst, (double)got[worst], (double)want[worst], tol);
}

/* A fallible call that must succeed; `err` is the gm_error it was given. */
#define CHECK_OK(call, err)                                                               \
    do {                                                                                  \
        gm_status s_ = (call);                                                            \
        if (s_ != GM_OK)                                                                  \
            TEST_FAILED_("%s failed with %s: %s", #call, gm_status_text(s_), (err).text); \
    } while (0)

/* A fallible call that must fail with `code` and a message that contains `part`. */
#define CHECK_FAILS(call, err, want_code, part)                                              \
    do {                                                                                     \
        (err) = (gm_error){0};                                                               \
        gm_status s_ = (call);                                                               \
        if (s_ != (want_code))                                                               \
            TEST_FAILED_("%s gives '%s', expected '%s'", #call, gm_status_text(s_),          \
                         gm_status_text(want_code));                                         \
        if (strstr((err).text, (part)) == NULL)                                              \
            TEST_FAILED_("%s says \"%s\", expected it to contain \"%s\"", #call, (err).text, \
                         (part));                                                            \
    } while (0)

/* Make every allocation of `attempt` fail in turn, to the first attempt that asks
 * for fewer. It frees whatever it was given and returns the status it saw; nothing
 * may leak, and a failure must be GM_EMEM with a sentence. An attempt may also do
 * without the block and succeed. */
static inline void check_every_allocation(gm_status (*attempt)(void *state, gm_error *err),
                                          void *state)
{
    for (long k = 0; k < 1000000; k++) {
        gm_error err = {0};
        long before = gm_alloc_live();
        gm_alloc_fail_after(k);
        gm_status status = attempt(state, &err);
        bool failed = gm_alloc_fail_after(-1) < 0;
        if (gm_alloc_live() != before)
            TEST_FAILED_("allocation %ld fails: %ld blocks leak", k, gm_alloc_live() - before);
        if (status == GM_OK && failed) continue;
        if (status == GM_OK) return;
        if (status != GM_EMEM) TEST_FAILED_("allocation %ld fails: %s", k, gm_status_text(status));
        if (err.text[0] == '\0') TEST_FAILED_("allocation %ld fails: no message", k);
    }
    TEST_FAILED_("no end after 1000000 allocations");
}

/* The larger of two differences; once NaN, NaN for good, so that no bound holds. */
static inline double check_larger(double worst, double off)
{
    return isnan(worst) || off <= worst ? worst : off;
}

/* The shared folder of large test data (GM_SHARED, or ../shared beside the
 * source); NULL when there is none: then skip. */
static inline const char *test_shared(void)
{
    struct stat info;
    const char *path = getenv("GM_SHARED");
    if (path == NULL || path[0] == '\0') path = TEST_DATA "/../../shared";
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? path : NULL;
}

/* Whether a test takes its small form, which the sanitizers' runs do (GM_TEST_SMALL): every path of
 * the code under test, over fewer of the inputs or with a part of the comparisons. */
static inline bool test_small(void)
{
    return getenv("GM_TEST_SMALL") != NULL;
}

/* ---- the runner ---- */

#ifdef GM_HAVE_CMOCKA
static void test_under_cmocka(void **state)
{
    const test_case *test = *state;
    test_failures = 0;
    test_skip_reason = NULL;
    test->run();
    if (test_failures > 0) fail_msg("%d checks failed", test_failures);
    if (test_skip_reason != NULL) {
        print_message("skipped: %s\n", test_skip_reason);
        skip();
    }
}
#endif

static inline int test_main(int argc, char **argv, const test_case *list, size_t n)
{
    int n_run = 0, n_failed = 0, n_skipped = 0;
    for (size_t i = 0; i < n; i++) {
        if (argc > 1 && strstr(list[i].name, argv[1]) == NULL) continue;
        n_run++;
#ifdef GM_HAVE_CMOCKA
        const struct CMUnitTest test[] = {
            {list[i].name, test_under_cmocka, NULL, NULL, (void *)(uintptr_t)&list[i]}};
        n_failed += cmocka_run_group_tests_name(list[i].name, test, NULL, NULL) != 0;
#else
        test_failures = 0;
        test_skip_reason = NULL;
        list[i].run();
        n_failed += test_failures > 0;
        const char *verdict = test_skip_reason ? "skip" : "ok";
        printf("%-6s %s%s%s\n", test_failures ? "FAILED" : verdict, list[i].name,
               test_skip_reason ? ": " : "", test_skip_reason ? test_skip_reason : "");
#endif
        n_skipped += test_skip_reason != NULL && test_failures == 0;
    }
    printf("%d passed, %d failed, %d skipped\n", n_run - n_failed - n_skipped, n_failed, n_skipped);
    if (n_failed > 0 || n_run == 0) return 1;
    return n_skipped == n_run ? 77 : 0;
}

#endif

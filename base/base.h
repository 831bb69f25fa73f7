/* base.h - what every file uses: status codes, the error that travels with
 * them, the two macros of fallible functions, and checked memory.
 *
 * A fallible function returns gm_status and takes `gm_error *err` last (NULL
 * when the caller wants the code only). It prints nothing and never exits. It
 * declares `gm_status status = GM_OK;` and has one way out, the label `out`,
 * which frees whatever the function still owns; while it holds nothing it may
 * `return gm_fail(...)`. Outputs are set to empty on failure.
 *
 * Messages: lower case, no full stop, what is wrong, subject in quotes, found
 * and expected: "tensor 'lm_head.weight' has 2 rows, expected 3".
 */
#ifndef GM_BASE_H
#define GM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GM_MUST_USE          __attribute__((warn_unused_result))
#else
#define GM_PRINTF(fmt, args)
#define GM_MUST_USE
#endif

/* code, text shown to people. Add at the end: the numbers appear in logs. */
#define GM_STATUS_LIST(X)                          \
    X(GM_OK, "no error")                           \
    X(GM_EARG, "invalid argument")                 \
    X(GM_EIO, "input/output failed")               \
    X(GM_EFORMAT, "unexpected file contents")      \
    X(GM_ESHAPE, "unexpected tensor shape")        \
    X(GM_ENUMERIC, "value is not finite")          \
    X(GM_EMEM, "out of memory")                    \
    X(GM_EDEVICE, "GPU failed")                    \
    X(GM_EABSENT, "not part of this build")        \
    X(GM_EEXIST, "output exists")                  \
    X(GM_EINTERRUPTED, "interrupted")              \
    X(GM_EHELP, "help was printed, nothing to do") \
    X(GM_ECHECK, "a check failed")                 \
    X(GM_EBUSY, "in use by another process")

#define GM_STATUS_ENUM(code, text) code,
typedef enum gm_status { GM_STATUS_LIST(GM_STATUS_ENUM) } gm_status;

typedef struct gm_error {
    gm_status code;
    char text[512]; /* one line, valid UTF-8, no control characters, NUL-terminated */
} gm_error;

/* Fill *err (when not NULL) and return `code`, so that failing is one line.
 * Control characters that arrive through %s are escaped (\x1b), invalid UTF-8
 * too, and a text that does not fit is cut at a character with "...". */
gm_status gm_fail(gm_error *err, gm_status code, const char *fmt, ...) GM_PRINTF(3, 4);
#ifdef __clang_analyzer__ /* sees one file at a time; this tells it what gm_fail returns */
#define gm_fail(err, code, ...) ((void)gm_fail(err, code, __VA_ARGS__), (code))
#endif

/* The text of GM_STATUS_LIST; "unknown status" for anything else. */
const char *gm_status_text(gm_status code);

/* Inside a fallible function: leave through `out` when a step fails. */
#define GM_TRY(call)                              \
    do {                                          \
        if ((status = (call)) != GM_OK) goto out; \
    } while (0)
#define GM_FAIL(code, ...)                          \
    do {                                            \
        status = gm_fail(err, (code), __VA_ARGS__); \
        goto out;                                   \
    } while (0)

/* Zeroed memory for n items, or for a (rows, cols) array, of `size` bytes each,
 * aligned to 64 bytes. NULL when the product overflows or memory is short. A
 * count of 0 gives a block that may be freed. Sizes read from a file go through
 * these, never through a bare multiplication. Thread-safe. */
void *gm_alloc(size_t n, size_t size) GM_MUST_USE;
void *gm_alloc2(size_t rows, size_t cols, size_t size) GM_MUST_USE;

/* n bytes that are neither zeroed nor aligned for more than a scalar: for libraries that ask for
 * millions of small blocks, in half the time and memory. NULL when memory is short. */
void *gm_alloc_small(size_t n) GM_MUST_USE;

/* A block from gm_alloc (or NULL) resized to n items of `size` bytes; old_n
 * items are kept, new ones are zero. NULL on failure: the old block stays. */
void *gm_grow(void *block, size_t old_n, size_t n, size_t size) GM_MUST_USE;

/* A copy of n bytes and a NUL; NULL when memory is short. */
char *gm_copy_text(const char *bytes, size_t n) GM_MUST_USE;

/* Frees what the functions above gave; NULL is allowed. */
void gm_free(void *block);

/* Zeroed memory for an array of many megabytes, in huge pages where the system gives them:
 * reading it is then up to twice as fast. Pages become memory when they are first
 * written, so several threads can share that work. NULL when memory is short; freed with
 * gm_pages_free and the same number of bytes (NULL is allowed). */
void *gm_pages_alloc(size_t bytes) GM_MUST_USE;
void gm_pages_free(void *block, size_t bytes);

/* For tests. gm_alloc_fail_after(k): the k-th call from now on (0 = the next)
 * returns NULL, once; -1 switches it off. Returns the calls that were left of the last
 * such request, -1 when its failure has happened. gm_alloc_live: blocks not yet freed. */
long gm_alloc_fail_after(long k);
long gm_alloc_live(void);

#endif

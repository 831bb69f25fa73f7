/* text.c - byte strings that grow, and whole files in memory. */
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

enum { FIRST_CAP = 64, READ_BYTES = 64 * 1024 };

gm_status gm_text_reserve(gm_text *text, size_t n, gm_error *err)
{
    if (text->at != NULL && n < text->cap - text->n) return GM_OK; /* the NUL has room too */

    size_t need;
    if (__builtin_add_overflow(text->n, n, &need) || need >= SIZE_MAX / 2)
        return gm_fail(err, GM_EMEM, "no memory for a text of %zu more bytes", n);
    /* Half as much again, or what is asked for: a whole file needs no room after it. */
    size_t cap = text->cap ? text->cap + text->cap / 2 : FIRST_CAP;
    if (cap < need + 1) cap = need + 1;
    char *at = gm_grow(text->at, text->at ? text->n : 0, cap, 1);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for a text of %zu bytes", need);
    text->at = at;
    text->cap = cap;
    return GM_OK;
}

gm_status gm_text_append(gm_text *text, const char *bytes, size_t n, gm_error *err)
{
    gm_status status = gm_text_reserve(text, n, err);
    if (status != GM_OK) return status;
    if (n > 0) memcpy(text->at + text->n, bytes, n);
    text->n += n;
    text->at[text->n] = '\0';
    return GM_OK;
}

gm_status gm_text_add(gm_text *text, const char *c_string, gm_error *err)
{
    return gm_text_append(text, c_string, strlen(c_string), err);
}

gm_status gm_text_printf(gm_text *text, gm_error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) return gm_fail(err, GM_EARG, "cannot format '%s'", fmt);

    gm_status status = gm_text_reserve(text, (size_t)n, err);
    if (status != GM_OK) return status;
    va_start(args, fmt);
    (void)vsnprintf(text->at + text->n, (size_t)n + 1, fmt, args);
    va_end(args);
    text->n += (size_t)n;
    return GM_OK;
}

void gm_text_clear(gm_text *text)
{
    gm_free(text->at);
    *text = (gm_text){0};
}

bool gm_ends_in(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return n > m && strcmp(name + n - m, ending) == 0;
}

const char *gm_path_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    return path + n;
}

gm_status gm_text_read_file(gm_text *out, const char *path, size_t max_bytes, gm_error *err)
{
    gm_status status = GM_OK;
    struct stat info;
    FILE *file = NULL;
    *out = (gm_text){0};

    file = fopen(path, "rb");
    if (file == NULL) GM_FAIL(GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(fileno(file), &info) != 0)
        GM_FAIL(GM_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) GM_FAIL(GM_EIO, "'%s' is a folder, expected a file", path);

    /* The size is a hint: pipes have none, and files grow. One byte more than
     * the hint lets the last fread see the end without growing again. */
    size_t hint = S_ISREG(info.st_mode) && info.st_size > 0 ? (size_t)info.st_size : READ_BYTES;
    if (hint > max_bytes) hint = max_bytes;
    GM_TRY(gm_text_reserve(out, hint + 1, err));
    for (;;) {
        size_t got = fread(out->at + out->n, 1, out->cap - 1 - out->n, file);
        out->n += got;
        if (out->n > max_bytes)
            GM_FAIL(GM_EFORMAT, "'%s' is larger than %zu bytes", path, max_bytes);
        if (got == 0 || feof(file)) break;
        GM_TRY(gm_text_reserve(out, READ_BYTES, err));
    }
    if (ferror(file)) GM_FAIL(GM_EIO, "cannot read '%s': %s", path, strerror(errno));
    out->at[out->n] = '\0';
out:
    if (file != NULL) fclose(file);
    if (status != GM_OK) gm_text_clear(out);
    return status;
}

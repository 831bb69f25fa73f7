/* csv.c - see csv.h. */
#include "base/csv.h"

#include "base/sha256.h"
#include "base/text.h"

#include <string.h>

enum { MAX_CSV_BYTES = 1 << 30 };

void gm_csv_put(FILE *to, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"') fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

/* ---- reading ---- */

void gm_csv_clear(gm_csv *csv)
{
    gm_free(csv->name);
    gm_free(csv->field);
    gm_free(csv->line);
    gm_free(csv->text);
    *csv = (gm_csv){0};
}

/* A place in the text, which is rewritten behind it: quotes go, a NUL ends each field. */
typedef struct cursor {
    char *at, *end; /* a NUL stands at end */
    size_t line;    /* of `at`, from 1 */
    const char *path;
} cursor;

static bool at_line_end(const cursor *c)
{
    return c->at == c->end || *c->at == '\n' || (*c->at == '\r' && c->at[1] == '\n');
}

/* The field that begins here; the cursor then stands at what ends it, which is overwritten later.
 */
static gm_status read_quoted(cursor *c, char **field, char **field_end, gm_error *err)
{
    const size_t first = c->line;
    char *to = ++c->at;
    *field = to;
    for (;; c->at++) {
        if (c->at == c->end)
            return gm_fail(err, GM_EFORMAT, "'%s', line %zu: a quoted field is never closed",
                           c->path, first);
        if (*c->at == '"') {
            if (c->at[1] != '"') break;
            c->at++;
        }
        c->line += *c->at == '\n';
        *to++ = *c->at;
    }
    c->at++;
    *field_end = to;
    if (!at_line_end(c) && *c->at != ',')
        return gm_fail(err, GM_EFORMAT, "'%s', line %zu: expected a comma after a quoted field",
                       c->path, c->line);
    return GM_OK;
}

static gm_status read_plain(cursor *c, char **field, char **field_end, gm_error *err)
{
    *field = c->at;
    while (!at_line_end(c) && *c->at != ',') {
        if (*c->at == '"')
            return gm_fail(err, GM_EFORMAT,
                           "'%s', line %zu: a field contains a quote but does not begin with one",
                           c->path, c->line);
        c->at++;
    }
    *field_end = c->at;
    return GM_OK;
}

/* The fields of one line into field (room for all that are left), *n of them. */
static gm_status read_line(cursor *c, char **field, size_t *n, gm_error *err)
{
    *n = 0;
    for (bool more = true; more;) {
        char *end = NULL;
        gm_status status = *c->at == '"' ? read_quoted(c, &field[*n], &end, err)
                                         : read_plain(c, &field[*n], &end, err);
        if (status != GM_OK) return status;
        ++*n;
        more = *c->at == ',';
        if (more) {
            c->at++;
        } else {
            c->at += *c->at == '\r';
            c->line += *c->at == '\n';
            c->at += c->at < c->end;
        }
        *end = '\0'; /* behind the cursor, or the text's own end */
    }
    return GM_OK;
}

static void skip_empty_lines(cursor *c)
{
    while (c->at < c->end && at_line_end(c)) {
        c->at += *c->at == '\r' ? 2 : 1;
        c->line++;
    }
}

/* All lines; out->field has room for as many fields as the text can hold. */
static gm_status read_table(gm_csv *out, cursor *c, gm_error *err)
{
    size_t n;
    skip_empty_lines(c);
    if (c->at == c->end)
        return gm_fail(err, GM_EFORMAT, "'%s' is empty, expected a line of column names", c->path);
    gm_status status = read_line(c, out->field, &out->n_columns, err);
    if (status != GM_OK) return status;
    out->name = gm_alloc(out->n_columns, sizeof *out->name);
    if (out->name == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", c->path);
    memcpy(out->name, out->field, out->n_columns * sizeof *out->name);
    for (skip_empty_lines(c); c->at < c->end; skip_empty_lines(c)) {
        const size_t line = c->line;
        status = read_line(c, out->field + out->n_rows * out->n_columns, &n, err);
        if (status != GM_OK) return status;
        if (n != out->n_columns)
            return gm_fail(err, GM_EFORMAT, "'%s', line %zu: expected %zu field%s, found %zu",
                           c->path, line, out->n_columns, gm_plural(out->n_columns), n);
        out->line[out->n_rows++] = line;
    }
    return GM_OK;
}

gm_status gm_csv_parse(gm_csv *out, const char *bytes, size_t n, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_lines = 1, n_fields = 1,
           mark = n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    uint8_t digest[32];
    *out = (gm_csv){0};

    for (size_t i = 0; i < n; i++) {
        n_lines += bytes[i] == '\n';
        n_fields += bytes[i] == '\n' || bytes[i] == ',';
    }
    if (n > 0 && memchr(bytes, '\0', n))
        GM_FAIL(GM_EFORMAT, "'%s' contains NUL bytes, expected comma-separated values", path);
    if (gm_utf8_valid(bytes, n) != n)
        GM_FAIL(GM_EFORMAT, "'%s' is not valid UTF-8 at byte %zu", path, gm_utf8_valid(bytes, n));
    out->text = gm_copy_text(bytes + mark, n - mark);
    out->field = gm_alloc(n_fields, sizeof *out->field);
    out->line = gm_alloc(n_lines, sizeof *out->line);
    if (!out->text || !out->field || !out->line) GM_FAIL(GM_EMEM, "no memory for '%s'", path);
    cursor c = {.at = out->text, .end = out->text + n - mark, .line = 1, .path = path};
    GM_TRY(read_table(out, &c, err));
    gm_sha256_of(bytes, n, digest);
    gm_sha256_hex(digest, out->sha256);
out:
    if (status != GM_OK) gm_csv_clear(out);
    return status;
}

gm_status gm_csv_read(gm_csv *out, const char *path, gm_error *err)
{
    gm_text bytes = {0};
    *out = (gm_csv){0};
    gm_status status = gm_text_read_file(&bytes, path, MAX_CSV_BYTES, err);
    if (status == GM_OK) status = gm_csv_parse(out, bytes.at ? bytes.at : "", bytes.n, path, err);
    gm_text_clear(&bytes);
    return status;
}

/* Are they the same but for blanks around them, as people put them after commas? */
static bool same_name(const char *a, const char *b)
{
    a += strspn(a, " \t"), b += strspn(b, " \t");
    for (; *a && *a == *b; a++) b++;
    return a[strspn(a, " \t")] == '\0' && b[strspn(b, " \t")] == '\0';
}

bool gm_csv_has(const gm_csv *csv, const char *name)
{
    for (size_t i = 0; i < csv->n_columns; i++)
        if (same_name(csv->name[i], name)) return true;
    return false;
}

gm_status gm_csv_find(const gm_csv *csv, const char *name, const char *path, size_t *column,
                      gm_error *err)
{
    char names[160] = "";
    for (*column = 0; *column < csv->n_columns; ++*column)
        if (same_name(csv->name[*column], name)) return GM_OK;
    for (size_t i = 0, used = 0; i < csv->n_columns && used + 1 < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.40s", i ? ", " : "",
                                 csv->name[i]);
    return gm_fail(err, GM_EFORMAT, "'%s' has no column '%s'; its columns are %s", path, name,
                   names);
}

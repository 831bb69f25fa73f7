/* csv.h - comma-separated values (RFC 4180): fields to write, tables to read.
 *
 * A table's first line names its columns. Fields may be quoted; lines end in \n or \r\n; a leading
 * byte order mark and empty lines are skipped. Refused, with the line: a number of fields other
 * than that of the columns, a quote within an unquoted field or one that does not end, NUL bytes,
 * invalid UTF-8.
 */
#ifndef GM_CSV_H
#define GM_CSV_H

#include "base/base.h"

#include <stdio.h>

/* Write a field, quoted if necessary. A failed write shows when the stream is committed. */
void gm_csv_put(FILE *to, const char *text);

typedef struct gm_csv {
    size_t n_rows, n_columns; /* rows without the names */
    char **name;              /* (n_columns) */
    char **field;             /* (n_rows, n_columns) */
    size_t *line;             /* (n_rows) line of the file where the row begins, from 1 */
    char *text;               /* what the fields point into */
    char sha256[65];          /* of the file's bytes, lower-case hex */
} gm_csv;

/* Read the file `path`, of at most 1 GB. Errors: GM_EIO, GM_EFORMAT (names the line), GM_EMEM. */
gm_status gm_csv_read(gm_csv *out, const char *path, gm_error *err) GM_MUST_USE;

/* The same from the n bytes of a file called `path`. */
gm_status gm_csv_parse(gm_csv *out, const char *bytes, size_t n, const char *path, gm_error *err)
    GM_MUST_USE;
void gm_csv_clear(gm_csv *csv);

/* *column: the first column called `name`, ignoring blanks around it. GM_EFORMAT when there is
 * none; the message names the columns there are. */
gm_status gm_csv_find(const gm_csv *csv, const char *name, const char *path, size_t *column,
                      gm_error *err) GM_MUST_USE;

/* Is there a column of that name? */
bool gm_csv_has(const gm_csv *csv, const char *name);

#endif

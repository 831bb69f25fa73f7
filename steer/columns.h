/* columns.h - texts side by side on a terminal. */
#ifndef GM_COLUMNS_H
#define GM_COLUMNS_H

#include "base/text.h"

#include <stdio.h>

typedef struct gm_column {
    const char *title;
    const char *text; /* n bytes of valid UTF-8 */
    size_t n;
} gm_column;

enum { GM_MAX_COLUMNS = 16 };

/* Print `n` columns, at most GM_MAX_COLUMNS, each `width` cells of the terminal wide
 * (text/terminal.h), broken at blanks where there are any; control characters are shown as blanks.
 */
void gm_columns_print(FILE *out, const gm_column *columns, size_t n, size_t width);

/* Cells of a line of the terminal that `out` is, or `fallback`. */
size_t gm_columns_terminal(FILE *out, size_t fallback);

#endif

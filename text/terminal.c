/* terminal.c - see terminal.h. */
#include "text/terminal.h"

#include "base/text.h"

#include <utf8proc.h>

#include <limits.h>
#include <string.h>

int gm_cells_of(uint32_t code_point)
{
    return utf8proc_charwidth((utf8proc_int32_t)code_point);
}

/* The character, or invalid byte, that text[0..n) begins with, as it is shown. Returns how many
 * bytes it has. */
static size_t show_one(const char *text, size_t n, char shown[16], int *cells)
{
    uint32_t code_point = 0;
    size_t length = 1;
    const bool is_valid = gm_utf8_valid(text, n < 4 ? n : 4) > 0;
    if (is_valid) length = gm_utf8_decode(text, n, &code_point);
    if (!is_valid || gm_utf8_controls(code_point)) {
        gm_text_escape(shown, 16, text, length);
        *cells = (int)strlen(shown);
    } else {
        memcpy(shown, text, length);
        shown[length] = '\0';
        *cells = gm_cells_of(code_point);
    }
    return length;
}

/* Print what fits into `room` cells; `out` NULL: nothing. Returns the cells that it takes. */
static int print_within(FILE *out, int room, const char *text)
{
    char shown[16];
    int used = 0, cells;
    for (size_t n = strlen(text), at = 0; at < n; used += cells) {
        at += show_one(text + at, n - at, shown, &cells);
        if (cells > room - used) break;
        if (out) fputs(shown, out);
    }
    return used;
}

int gm_text_cells(const char *text)
{
    return print_within(NULL, INT_MAX, text);
}

void gm_print_text(FILE *out, int width, const char *text)
{
    const int used = print_within(out, INT_MAX, text);
    if (used < width) fprintf(out, "%*s", width - used, "");
}

void gm_print_column(FILE *out, int width, const char *text)
{
    if (gm_text_cells(text) <= width) {
        gm_print_text(out, width, text);
        return;
    }
    const int used = print_within(out, width - 1, text);
    fprintf(out, "\xE2\x80\xA6%*s", width - 1 - used, ""); /* no room for half a wide character */
}

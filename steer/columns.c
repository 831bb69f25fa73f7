/* columns.c - see columns.h. */
#define _DEFAULT_SOURCE /* struct winsize */
#include "steer/columns.h"

#include "text/terminal.h"

#include <assert.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char GAP[] = " | ";

size_t gm_columns_terminal(FILE *out, size_t fallback)
{
    struct winsize size;
    int fd = fileno(out);
    if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return fallback;
    return size.ws_col;
}

/* Bytes of the next line of text[0..n): at most `width` cells, but a character at least, up to a
 * newline, broken after the last blank when the text goes on. *cells counts what is shown. */
static size_t take_line(const char *text, size_t n, size_t width, size_t *cells)
{
    size_t at = 0, count = 0, blank = 0, blank_cells = 0;
    while (at < n && text[at] != '\n') {
        uint32_t code;
        const size_t bytes = gm_utf8_decode(text + at, n - at, &code);
        const size_t wide = gm_utf8_controls(code) ? 1 : (size_t)gm_cells_of(code);
        if (at > 0 && count + wide > width) break;
        at += bytes;
        count += wide;
        if (code == ' ') blank = at, blank_cells = count;
    }
    bool cut = at < n && text[at] != '\n' && text[at] != ' ';
    *cells = cut && blank ? blank_cells : count;
    return cut && blank ? blank : at;
}

static void put_line(FILE *out, const char *text, size_t n, size_t pad)
{
    for (size_t i = 0; i < n;) {
        uint32_t code;
        const size_t bytes = gm_utf8_decode(text + i, n - i, &code);
        if (gm_utf8_controls(code))
            putc(' ', out);
        else
            fwrite(text + i, 1, bytes, out);
        i += bytes;
    }
    for (size_t i = 0; i < pad; i++) putc(' ', out);
}

/* One line of every column; the texts are shortened by what was printed. */
static void print_row(FILE *out, gm_column *rest, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        size_t cells, taken = take_line(rest[i].text, rest[i].n, width, &cells);
        put_line(out, rest[i].text, taken, i + 1 < n && cells < width ? width - cells : 0);
        if (i + 1 < n) fputs(GAP, out);
        bool newline =
            taken < rest[i].n && (rest[i].text[taken] == '\n' || rest[i].text[taken] == ' ');
        rest[i].text += taken + newline;
        rest[i].n -= taken + newline;
    }
    putc('\n', out);
}

static bool all_empty(const gm_column *columns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (columns[i].n > 0) return false;
    return true;
}

void gm_columns_print(FILE *out, const gm_column *columns, size_t n, size_t width)
{
    gm_column rest[GM_MAX_COLUMNS];
    assert(n <= GM_MAX_COLUMNS && width > 0);
    for (size_t i = 0; i < n; i++)
        rest[i] = (gm_column){.text = columns[i].title, .n = strlen(columns[i].title)};
    while (!all_empty(rest, n)) print_row(out, rest, n, width);
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < width; c++) putc('-', out);
        if (i + 1 < n) fputs("-+-", out);
    }
    putc('\n', out);
    memcpy(rest, columns, n * sizeof *rest);
    while (!all_empty(rest, n)) print_row(out, rest, n, width);
}

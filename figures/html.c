/* html.c - one self-contained HTML page.
 *
 * Text is escaped byte by byte: &, <, >, quotes become entities; control characters,
 * invalid UTF-8 and the marks that turn writing direction become visible escapes,
 * so that a hostile document stays text.
 */
#include "figures/html.h"

#include "base/version.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void gm_html_raw(gm_html *page, const char *markup)
{
    if (page->status == GM_OK) page->status = gm_text_add(&page->text, markup, NULL);
}

static void put(gm_html *page, const char *bytes, size_t n)
{
    if (page->status == GM_OK) page->status = gm_text_append(&page->text, bytes, n, NULL);
}

static const char *entity_of(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

/* Bytes as people may see them: characters that control are spelt out, and so is a byte
 * that is not UTF-8. */
static void put_visible(gm_html *page, const char *bytes, size_t n, bool entities)
{
    while (n > 0) {
        size_t valid = gm_utf8_valid(bytes, n);
        for (size_t i = 0; i < valid;) {
            uint32_t code_point;
            size_t length = gm_utf8_decode(bytes + i, valid - i, &code_point);
            const char *entity = entities && length == 1 ? entity_of(bytes[i]) : NULL;
            if (entity) {
                put(page, entity, strlen(entity));
            } else if (code_point == '\n' || code_point == '\t' || !gm_utf8_controls(code_point)) {
                put(page, bytes + i, length);
            } else {
                char escaped[24];
                gm_text_escape(escaped, sizeof escaped, bytes + i, length);
                put(page, escaped, strlen(escaped));
            }
            i += length;
        }
        bytes += valid, n -= valid;
        if (n > 0) { /* one invalid byte, then on */
            char escaped[24];
            gm_text_escape(escaped, sizeof escaped, bytes, 1);
            put(page, escaped, strlen(escaped));
            bytes++, n--;
        }
    }
}

void gm_html_text(gm_html *page, const char *bytes, size_t n)
{
    put_visible(page, bytes, n, true);
}

gm_status gm_html_visible(gm_text *out, const char *bytes, size_t n, gm_error *err)
{
    gm_html page = {.text = *out};
    put_visible(&page, bytes, n, false);
    *out = page.text;
    return page.status == GM_OK ? GM_OK : gm_fail(err, page.status, "no memory for a text");
}

void gm_html_printf(gm_html *page, const char *fmt, ...)
{
    if (page->status != GM_OK) return;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : gm_alloc((size_t)n + 1, 1);
    if (text) {
        vsnprintf(text, (size_t)n + 1, fmt, again);
        gm_html_text(page, text, (size_t)n);
    } else {
        page->status = GM_EMEM;
    }
    va_end(again);
    gm_free(text);
}

void gm_html_head(gm_html *page, const char *policy, const char *styles, const char *file,
                  const char *title)
{
    gm_html_raw(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "img-src data:; ");
    gm_html_raw(page, policy);
    gm_html_raw(page, "\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    if (file) gm_html_printf(page, "%s: ", gm_path_name(file));
    gm_html_text(page, title, strlen(title));
    gm_html_raw(page, "</title>\n<style>");
    gm_html_raw(page, styles);
    gm_html_raw(page, "</style></head>\n<body>\n");
}

void gm_html_begin(gm_html *page, const char *file, const char *title, const char *css)
{
    gm_html styles = {0};
    gm_html_asset(&styles, &gm_asset_every_page);
    gm_html_raw(&styles, css);
    *page = (gm_html){.status = styles.status};
    gm_html_head(page, "style-src 'unsafe-inline'", styles.text.at, file, title);
    gm_html_clear(&styles);
}

void gm_html_footer(gm_html *page, const char *command, const char *file)
{
    gm_html_raw(page, "<footer class=\"made\">Made by <code>");
    gm_html_printf(page, "%s%s%s", command, file ? " " : "", file ? file : "");
    gm_html_raw(page, "</code>; ");
    gm_html_printf(page, "this page by version %s, commit %s.", gm_version, gm_build_commit);
    gm_html_raw(page, "</footer>\n");
}

void gm_html_heading(gm_html *page, int level, const char *text)
{
    char tag[16];
    snprintf(tag, sizeof tag, "<h%d>", level);
    gm_html_raw(page, tag);
    gm_html_text(page, text, strlen(text));
    snprintf(tag, sizeof tag, "</h%d>\n", level);
    gm_html_raw(page, tag);
}

void gm_html_paragraph(gm_html *page, const char *text)
{
    gm_html_raw(page, "<p>");
    gm_html_text(page, text, strlen(text));
    gm_html_raw(page, "</p>\n");
}

void gm_html_table_begin(gm_html *page, const char *caption, const char *const *header, int n)
{
    gm_html_raw(page, "<div class=\"wide\" tabindex=\"0\"><table>"); /* arrow keys scroll it */
    if (caption) {
        gm_html_raw(page, "<caption>");
        gm_html_text(page, caption, strlen(caption));
        gm_html_raw(page, "</caption>");
    }
    gm_html_raw(page, "<thead><tr>");
    for (int i = 0; i < n; i++) {
        gm_html_raw(page, "<th scope=\"col\">");
        gm_html_text(page, header[i], strlen(header[i]));
        gm_html_raw(page, "</th>");
    }
    gm_html_raw(page, "</tr></thead>\n<tbody><tr>");
}

void gm_html_cell(gm_html *page, const char *text)
{
    gm_html_raw(page, "<td>");
    gm_html_text(page, text, strlen(text));
    gm_html_raw(page, "</td>");
}

void gm_html_cell_number(gm_html *page, double value, int decimals)
{
    gm_html_raw(page, "<td class=\"n\">");
    if (isnan(value))
        gm_html_raw(page, "\xE2\x80\x93"); /* en dash */
    else
        gm_html_printf(page, "%.*f", decimals, value);
    gm_html_raw(page, "</td>");
}

void gm_html_row_end(gm_html *page)
{
    gm_html_raw(page, "</tr>\n<tr>");
}

/* ---- heads over numbers ---- */

static bool starts(const char *at, const char *word)
{
    return strncmp(at, word, strlen(word)) == 0;
}

/* Where the table begins that is open at the end of the text: tables inside it are closed. */
static size_t open_table(const gm_text *text)
{
    size_t at = text->n, inside = 0;
    while (at > 0) {
        const char *here = text->at + --at;
        if (*here != '<') continue;
        if (starts(here, "</table>")) inside++;
        if (starts(here, "<table>") && inside-- == 0) break;
    }
    return at;
}

/* The next cell of a row, past the tables inside the cell before; NULL: the row ends. */
static const char *next_cell(const char *at)
{
    size_t inside = 0;
    for (at = strchr(at, '<'); at; at = strchr(at + 1, '<')) {
        if (starts(at, "<table>")) inside++;
        if (starts(at, "</table>")) inside--;
        if (inside == 0 && starts(at, "</tr>")) return NULL;
        if (inside == 0 && starts(at, "<td")) return at;
    }
    return NULL;
}

/* Heads of columns whose first cell is a number stand to the right, as the numbers do. */
static void align_heads(gm_html *page)
{
    static const char head[] = "<th scope=\"col\"", number[] = " class=\"n\"";
    const size_t added = sizeof number - 1;
    if (page->status != GM_OK) return;
    size_t th = open_table(&page->text);
    const char *body = strstr(page->text.at + th, "<tbody><tr>");
    size_t td = body ? (size_t)(body - page->text.at) : page->text.n;
    for (;;) {
        const char *h = strstr(page->text.at + th, head), *d = next_cell(page->text.at + td);
        if (h == NULL || d == NULL) return;
        th = (size_t)(h - page->text.at) + sizeof head - 1;
        td = (size_t)(d - page->text.at) + 1;
        if (!starts(d, "<td class=\"n\"")) continue;
        page->status = gm_text_reserve(&page->text, added, NULL);
        if (page->status != GM_OK) return;
        char *at = page->text.at + th;
        memmove(at + added, at, page->text.n - th + 1);
        memcpy(at, number, added);
        page->text.n += added, td += added;
    }
}

void gm_html_table_end(gm_html *page)
{
    /* the row that gm_html_row_end opened ahead stays empty: take it back */
    static const char opened[] = "<tr>";
    size_t n = sizeof opened - 1;
    if (page->status == GM_OK && page->text.n >= n &&
        memcmp(page->text.at + page->text.n - n, opened, n) == 0) {
        page->text.n -= n;
        page->text.at[page->text.n] = '\0';
    }
    align_heads(page);
    gm_html_raw(page, "</tbody></table></div>\n");
}

void gm_html_base64(gm_html *page, const void *bytes, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned b0 = at[i], b1 = left > 1 ? at[i + 1] : 0, b2 = left > 2 ? at[i + 2] : 0;
        char four[4] = {digit[b0 >> 2], digit[(b0 & 3) << 4 | b1 >> 4],
                        left > 1 ? digit[(b1 & 15) << 2 | b2 >> 6] : '=',
                        left > 2 ? digit[b2 & 63] : '='};
        put(page, four, 4);
    }
}

void gm_html_picture(gm_html *page, const gm_text *png, const char *alt, const char *caption)
{
    gm_html_raw(page, "<figure><img alt=\"");
    gm_html_text(page, alt, strlen(alt));
    gm_html_raw(page, "\" src=\"data:image/png;base64,");
    gm_html_base64(page, png->at, png->n);
    gm_html_raw(page, "\"><figcaption>");
    gm_html_text(page, caption, strlen(caption));
    gm_html_raw(page, "</figcaption></figure>\n");
}

gm_status gm_html_end(gm_html *page, gm_error *err)
{
    gm_html_raw(page, "</body></html>\n");
    if (page->status != GM_OK) return gm_fail(err, page->status, "no memory for an HTML page");
    return GM_OK;
}

void gm_html_clear(gm_html *page)
{
    gm_text_clear(&page->text);
    page->status = GM_OK;
}

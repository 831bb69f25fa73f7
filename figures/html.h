/* html.h - one self-contained HTML page: escaped text, tables, embedded pictures, scripts.
 *
 * Everything that comes from a corpus goes through gm_html_text; the page's Content-Security-Policy
 * forbids the network, and every script but those it was begun with. Works offline, prints, follows
 * the reader's dark mode. Byte-reproducible: no dates.
 */
#ifndef GM_HTML_H
#define GM_HTML_H

#include "base/text.h"
#include "figures/asset.h"

typedef struct gm_html {
    gm_text text;
    gm_status status; /* first failure; later calls do nothing */
} gm_html;

/* Begin a page about `file` (NULL: none), whose name stands before the title in the browser's tab;
 * `css` are rules of ours on top of what every page has, or "". */
void gm_html_begin(gm_html *page, const char *file, const char *title, const char *css);
void gm_html_raw(gm_html *page, const char *markup);                      /* our own markup */
void gm_html_text(gm_html *page, const char *bytes, size_t n);            /* escaped */
void gm_html_printf(gm_html *page, const char *fmt, ...) GM_PRINTF(2, 3); /* escaped */
void gm_html_heading(gm_html *page, int level, const char *text);
void gm_html_paragraph(gm_html *page, const char *text);

/* A table: header cells, then rows cell by cell; numbers are right-aligned, and so is the header of
 * a column whose first cell is one. */
void gm_html_table_begin(gm_html *page, const char *caption, const char *const *header, int n);
void gm_html_cell(gm_html *page, const char *text);
void gm_html_cell_number(gm_html *page, double value, int decimals); /* NaN: a dash */
void gm_html_row_end(gm_html *page);
void gm_html_table_end(gm_html *page);

/* A table with a row for each member of a JSON object, those of objects inside as "outer.inner".
 * `meaning`: what a name means ("": nothing to say; NULL: no such row) in a third column; NULL:
 * there is none. `where` names the JSON in errors: GM_EFORMAT, GM_EMEM. */
typedef const char *gm_html_meaning(const char *name);
gm_status gm_html_members(gm_html *page, const char *json, const char *where,
                          gm_html_meaning *meaning, gm_error *err) GM_MUST_USE;

/* A PNG as data URI with a text for those who cannot see it. */
void gm_html_picture(gm_html *page, const gm_text *png, const char *alt, const char *caption);

/* ---- pages with scripts (html_script.c) ---- */

/* Begin a page that may run `script` (n), and no others, and is styled by `style` on top of
 * what every page has: the policy names their SHA-256. */
void gm_html_begin_scripted(gm_html *page, const char *file, const char *title,
                            const gm_asset *style, const gm_asset *const *script, int n);
/* What both begin with: the policy beyond pictures of ours, and all styles. */
void gm_html_head(gm_html *page, const char *policy, const char *styles, const char *file,
                  const char *title);
/* One of those scripts, which runs at this place. */
void gm_html_script(gm_html *page, const gm_asset *script);
void gm_html_asset(gm_html *page, const gm_asset *markup); /* our own markup */

/* Bytes that a script reads: a zlib stream (RFC 1950) in base64, the text of element `id`.
 * Returns how many bytes of the page it took. */
size_t gm_html_data(gm_html *page, const char *id, const void *bytes, size_t n);
/* JSON that a script reads, escaped so that nothing in it can end its element. */
void gm_html_json(gm_html *page, const char *id, const char *json);

/* Append a text as gm_html_text shows it, without entities: for scripts that put it on the page
 * as text. GM_EMEM. */
gm_status gm_html_visible(gm_text *out, const char *bytes, size_t n, gm_error *err) GM_MUST_USE;

void gm_html_base64(gm_html *page, const void *bytes, size_t n);

/* The last line: the command that made what is shown, without options that do not matter to it, the
 * file it read (or NULL), and this program's version. */
void gm_html_footer(gm_html *page, const char *command, const char *file);

/* Close the page. GM_OK when everything was written; page->text holds the file. */
gm_status gm_html_end(gm_html *page, gm_error *err) GM_MUST_USE;
void gm_html_clear(gm_html *page);

#endif

/* view.h - text on its way through the tokenizer, and where it came from.
 *
 * A gm_view is a stretch of text, borrowed, of which every byte knows where in
 * the original text its source ends. Text that no normalizer has changed needs
 * no table for that. A gm_marked owns text that was changed, with its table.
 */
#ifndef GM_VIEW_H
#define GM_VIEW_H

#include "base/text.h"

typedef struct gm_view {
    const char *at;      /* (n) valid UTF-8 */
    size_t n;            /* bytes */
    const uint32_t *end; /* (n) one past the source of byte i, never inside a character of
                            the original; NULL: the bytes are the original's own */
    uint32_t origin;     /* where in the original the view begins */
} gm_view;

/* One past the original byte that bytes [0,stop) of the view come from. Inside a
 * character it counts the whole character. */
uint32_t gm_view_end(const gm_view *view, size_t stop);

/* Bytes [start,stop) of a view. */
gm_view gm_view_slice(const gm_view *view, size_t start, size_t stop);

typedef struct gm_marked {
    gm_text text;
    uint32_t *end; /* (cap) of which text.n are in use */
    size_t cap;
} gm_marked; /* starts as (gm_marked){0} */

/* Append n bytes whose source ends at `end`, or bytes [start,stop) of a view with
 * their own ends. */
gm_status gm_marked_append(gm_marked *marked, const char *bytes, size_t n, uint32_t end,
                           gm_error *err) GM_MUST_USE;
gm_status gm_marked_copy(gm_marked *marked, const gm_view *view, size_t start, size_t stop,
                         gm_error *err) GM_MUST_USE;

/* Empty the text but keep the memory; everything as a view; free. */
void gm_marked_reset(gm_marked *marked);
gm_view gm_marked_view(const gm_marked *marked, uint32_t origin);
void gm_marked_clear(gm_marked *marked);

#endif

/* view.c - text on its way through the tokenizer, and where it came from. */
#include "engine/tokenizer/view.h"

#include "engine/tokenizer/codepoint.h"

uint32_t gm_view_end(const gm_view *view, size_t stop)
{
    if (stop == 0) return view->origin;
    if (view->end) return view->end[stop - 1];
    while (stop < view->n && gm_is_tail_byte(view->at[stop])) stop++;
    return view->origin + (uint32_t)stop;
}

gm_view gm_view_slice(const gm_view *view, size_t start, size_t stop)
{
    return (gm_view){.at = view->at + start,
                     .n = stop - start,
                     .end = view->end ? view->end + start : NULL,
                     .origin = gm_view_end(view, start)};
}

static gm_status reserve(gm_marked *marked, size_t n, gm_error *err)
{
    gm_status status = gm_text_reserve(&marked->text, n, err);
    if (status != GM_OK || marked->cap >= marked->text.cap) return status;

    uint32_t *end = gm_grow(marked->end, marked->text.n, marked->text.cap, sizeof *end);
    if (end == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the offsets of %zu bytes", marked->text.cap);
    marked->end = end;
    marked->cap = marked->text.cap;
    return GM_OK;
}

gm_status gm_marked_append(gm_marked *marked, const char *bytes, size_t n, uint32_t end,
                           gm_error *err)
{
    gm_status status = reserve(marked, n, err);
    if (status != GM_OK) return status;
    for (size_t i = 0; i < n; i++) marked->end[marked->text.n + i] = end;
    return gm_text_append(&marked->text, bytes, n, err);
}

gm_status gm_marked_copy(gm_marked *marked, const gm_view *view, size_t start, size_t stop,
                         gm_error *err)
{
    gm_status status = reserve(marked, stop - start, err);
    if (status != GM_OK) return status;

    uint32_t *end = marked->end + marked->text.n;
    uint32_t char_end = 0; /* from the back, so that every character's end is known */
    for (size_t i = stop; i-- > start;) {
        if (view->end) {
            end[i - start] = view->end[i];
        } else {
            if (i + 1 == stop || !gm_is_tail_byte(view->at[i + 1]))
                char_end = gm_view_end(view, i + 1);
            end[i - start] = char_end;
        }
    }
    return gm_text_append(&marked->text, view->at + start, stop - start, err);
}

void gm_marked_reset(gm_marked *marked)
{
    marked->text.n = 0;
}

gm_view gm_marked_view(const gm_marked *marked, uint32_t origin)
{
    return (gm_view){
        .at = marked->text.at, .n = marked->text.n, .end = marked->end, .origin = origin};
}

void gm_marked_clear(gm_marked *marked)
{
    gm_text_clear(&marked->text);
    gm_free(marked->end);
    *marked = (gm_marked){0};
}

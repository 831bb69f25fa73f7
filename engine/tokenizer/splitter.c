/* splitter.c - text into pieces, step by step. */
#define _GNU_SOURCE /* memmem */
#include "engine/tokenizer/splitter.h"

#include <string.h>

/* ---- lists of pieces ---- */

static gm_status grow(gm_pieces *pieces, gm_error *err)
{
    size_t cap = pieces->cap ? 2 * pieces->cap : 64;
    gm_piece *at = gm_grow(pieces->at, pieces->n, cap, sizeof *at);
    if (at == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu pieces of a text", cap);
    pieces->at = at;
    pieces->cap = cap;
    return GM_OK;
}

static gm_status push(gm_pieces *pieces, size_t start, size_t stop, gm_error *err)
{
    if (stop > UINT32_MAX)
        return gm_fail(err, GM_EFORMAT, "a text of %zu bytes is too long to encode", stop);
    if (pieces->n == pieces->cap) {
        gm_status status = grow(pieces, err);
        if (status != GM_OK) return status;
    }
    pieces->at[pieces->n++] = (gm_piece){(uint32_t)start, (uint32_t)stop};
    return GM_OK;
}

/* ---- from matches to pieces ---- */

/* Takes the spans of one piece from left to right, each a match or what lies
 * between matches, and makes pieces of them as the behavior says. A span may be
 * empty (an empty match): it takes part in merging, and is dropped at the end. */
typedef struct cutter {
    gm_behavior behavior;
    bool invert;
    bool was_match; /* the span before */
    size_t first;   /* pieces of this run begin here */
    gm_pieces *out;
} cutter;

static gm_status cut(cutter *c, size_t start, size_t stop, bool match, gm_error *err)
{
    bool before = c->was_match;
    bool any = c->out->n > c->first;
    bool joins = false;
    match ^= c->invert;
    c->was_match = match;

    switch (c->behavior) {
    case GM_SPLIT_REMOVED:
        if (match) return GM_OK;
        break;
    case GM_SPLIT_ISOLATED: break;
    case GM_SPLIT_CONTIGUOUS: joins = match == before; break;
    case GM_SPLIT_WITH_PREVIOUS: joins = match && !before; break;
    case GM_SPLIT_WITH_NEXT: joins = !match && before; break;
    }
    if (joins && any) {
        c->out->at[c->out->n - 1].stop = (uint32_t)stop;
        return GM_OK;
    }
    if (any && c->out->at[c->out->n - 1].start == c->out->at[c->out->n - 1].stop) c->out->n--;
    return push(c->out, start, stop, err);
}

static void cut_end(cutter *c)
{
    size_t n = c->out->n;
    if (n > c->first && c->out->at[n - 1].start == c->out->at[n - 1].stop) c->out->n--;
}

/* ---- finding ---- */

typedef struct finder {
    const gm_splitter_step *step;
    gm_regex_work *regex;
    gm_regex_walk walk; /* over the piece */
} finder;

static bool find_class(finder *f, size_t *start, size_t *stop)
{
    gm_regex_walk *w = &f->walk;
    while (w->from < w->n) {
        uint32_t c;
        size_t len = gm_utf8_decode(w->at + w->from, w->n - w->from, &c);
        w->from += len;
        if (!f->step->class(c)) continue;
        *start = w->from - len;
        *stop = w->from;
        return true;
    }
    return false;
}

static bool find_text(finder *f, size_t *start, size_t *stop)
{
    gm_regex_walk *w = &f->walk;
    const gm_text *text = &f->step->text;
    const char *hit =
        w->from < w->n ? memmem(w->at + w->from, w->n - w->from, text->at, text->n) : NULL;
    if (hit == NULL) return false;
    *start = (size_t)(hit - w->at);
    *stop = w->from = *start + text->n;
    return true;
}

static gm_status find(finder *f, size_t *start, size_t *stop, bool *found, gm_error *err)
{
    switch (f->step->kind) {
    case GM_SPLIT_REGEX:
        return gm_regex_next(f->step->regex, f->regex, &f->walk, start, stop, found, err);
    case GM_SPLIT_CLASS: *found = find_class(f, start, stop); return GM_OK;
    default: *found = find_text(f, start, stop); return GM_OK;
    }
}

/* Split one piece of the view. */
static gm_status split_piece(const gm_splitter_step *step, gm_regex_work *regex,
                             const gm_view *view, gm_piece piece, gm_pieces *out, gm_error *err)
{
    const size_t base = piece.start, n = piece.stop - piece.start;
    finder f = {step, regex, {.at = view->at + base, .n = n}};
    cutter c = {.behavior = step->behavior, .invert = step->invert, .first = out->n, .out = out};
    gm_status status = GM_OK;

    for (size_t done = 0;;) {
        size_t start, stop;
        bool found;
        status = find(&f, &start, &stop, &found, err);
        if (status != GM_OK) break;
        if (!found) {
            if (done < n) status = cut(&c, base + done, base + n, false, err);
            break;
        }
        if (done < start) status = cut(&c, base + done, base + start, false, err);
        if (status == GM_OK) status = cut(&c, base + start, base + stop, true, err);
        if (status != GM_OK) break;
        done = stop;
    }
    cut_end(&c);
    return status;
}

/* ---- steps that put characters in ---- */

static bool begins_with(const char *at, size_t n, const char *text, size_t n_text)
{
    return n >= n_text && memcmp(at, text, n_text) == 0;
}

static gm_status put_space(const gm_view *view, gm_piece piece, gm_marked *text, gm_error *err)
{
    if (view->at[piece.start] != ' ') {
        gm_status status = gm_marked_append(text, " ", 1, gm_view_end(view, piece.start), err);
        if (status != GM_OK) return status;
    }
    return gm_marked_copy(text, view, piece.start, piece.stop, err);
}

static gm_status put_metaspace(const gm_splitter_step *step, const gm_view *view, gm_piece piece,
                               gm_marked *text, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_text *mark = &step->text;
    const char *at = view->at + piece.start;
    uint32_t begin = gm_view_end(view, piece.start);
    bool has = at[0] == ' ' || begins_with(at, piece.stop - piece.start, mark->at, mark->n);

    if (!has &&
        (step->prepend == GM_PREPEND_ALWAYS || (step->prepend == GM_PREPEND_FIRST && begin == 0)))
        GM_TRY(gm_marked_append(text, mark->at, mark->n, begin, err));
    for (size_t i = piece.start; i < piece.stop;) {
        const char *space = memchr(view->at + i, ' ', piece.stop - i);
        size_t stop = space ? (size_t)(space - view->at) : piece.stop;
        GM_TRY(gm_marked_copy(text, view, i, stop, err));
        if (space)
            GM_TRY(gm_marked_append(text, mark->at, mark->n, gm_view_end(view, ++stop), err));
        i = stop;
    }
out:
    return status;
}

/* Every piece is written anew into *text and is a piece of it. */
static gm_status rewrite(const gm_splitter_step *step, const gm_view *view, const gm_pieces *in,
                         gm_pieces *out, gm_marked *text, gm_error *err)
{
    gm_status status = GM_OK;
    gm_marked_reset(text);
    for (size_t i = 0; i < in->n; i++) {
        size_t start = text->text.n;
        GM_TRY(step->kind == GM_SPLIT_SPACE ? put_space(view, in->at[i], text, err)
                                            : put_metaspace(step, view, in->at[i], text, err));
        GM_TRY(push(out, start, text->text.n, err));
    }
out:
    return status;
}

/* ---- all steps ---- */

static gm_status split_all(const gm_splitter_step *step, gm_regex_work *regex, const gm_view *view,
                           const gm_pieces *in, gm_pieces *out, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < in->n && status == GM_OK; i++)
        status = split_piece(step, regex, view, in->at[i], out, err);
    return status;
}

gm_status gm_splitter_apply(const gm_splitter *splitter, gm_splitter_work *work,
                            gm_regex_work *regex, gm_view *view, const gm_pieces **pieces,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_pieces *in = &work->pieces[0], *out = &work->pieces[1];
    gm_marked *text = &work->text[0];

    in->n = 0;
    if (view->n > 0) GM_TRY(push(in, 0, view->n, err));
    for (size_t i = 0; i < splitter->n; i++) {
        const gm_splitter_step *step = &splitter->step[i];
        out->n = 0;
        if (step->kind == GM_SPLIT_SPACE || step->kind == GM_SPLIT_METASPACE) {
            const uint32_t origin = gm_view_end(view, in->n > 0 ? in->at[0].start : 0);
            GM_TRY(rewrite(step, view, in, out, text, err));
            *view = gm_marked_view(text, origin);
            text = text == &work->text[0] ? &work->text[1] : &work->text[0];
        } else {
            GM_TRY(split_all(step, regex, view, in, out, err));
        }
        gm_pieces *swap = in;
        in = out;
        out = swap;
    }
    *pieces = in;
out:
    return status;
}

void gm_splitter_work_clear(gm_splitter_work *work)
{
    for (int i = 0; i < 2; i++) {
        gm_free(work->pieces[i].at);
        gm_marked_clear(&work->text[i]);
    }
    *work = (gm_splitter_work){0};
}

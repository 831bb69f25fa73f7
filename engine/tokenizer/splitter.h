/* splitter.h - the pre-tokenizer of a tokenizer.json: text into pieces that are
 * encoded each by itself.
 *
 * Understood: Sequence, Split (String or Regex; Removed, Isolated, Contiguous,
 * MergedWithPrevious, MergedWithNext; invert), ByteLevel (last only), Digits,
 * Punctuation, WhitespaceSplit, Metaspace.
 */
#ifndef GM_SPLITTER_H
#define GM_SPLITTER_H

#include "base/json.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/view.h"

typedef struct gm_splitter {
    struct gm_splitter_step *step; /* (n) in order */
    size_t n;
    bool byte_level;       /* the pieces are to be read as bytes, not as characters */
    bool asks_start;       /* Metaspace "first": asks whether a piece begins the text */
    bool asks_start_later; /* the same, of pieces that another step has cut */
} gm_splitter;             /* starts as (gm_splitter){0} */

typedef struct gm_piece {
    uint32_t start, stop; /* bytes of the view, start < stop */
} gm_piece;

typedef struct gm_pieces {
    gm_piece *at;
    size_t n, cap;
} gm_pieces;

/* What one thread needs to split; starts as {0}. */
typedef struct gm_splitter_work {
    gm_pieces pieces[2]; /* a step reads one and writes the other */
    gm_marked text[2];   /* text with what Metaspace and ByteLevel put in */
} gm_splitter_work;

/* The "pre_tokenizer" of a tokenizer.json; NULL or null means none. Errors:
 * GM_EFORMAT naming the type or value that is not understood, GM_EMEM. */
gm_status gm_splitter_load(gm_splitter *out, const gm_json *json, const char *where, gm_error *err)
    GM_MUST_USE;
void gm_splitter_clear(gm_splitter *splitter);

/* Split a view of fewer than 4 GiB. *pieces, in order and not overlapping, and
 * the text they point into (*view, changed when characters are put in) stay until
 * the next call. */
gm_status gm_splitter_apply(const gm_splitter *splitter, gm_splitter_work *work,
                            gm_regex_work *regex, gm_view *view, const gm_pieces **pieces,
                            gm_error *err) GM_MUST_USE;
void gm_splitter_work_clear(gm_splitter_work *work);

/* ---- private to splitter*.c ---- */

typedef enum gm_behavior {
    GM_SPLIT_REMOVED,
    GM_SPLIT_ISOLATED,
    GM_SPLIT_CONTIGUOUS,
    GM_SPLIT_WITH_PREVIOUS,
    GM_SPLIT_WITH_NEXT
} gm_behavior;

typedef enum gm_splitter_kind {
    GM_SPLIT_REGEX,    /* at the matches of `regex` */
    GM_SPLIT_TEXT,     /* at the occurrences of `text` */
    GM_SPLIT_CLASS,    /* at the characters of `class` */
    GM_SPLIT_SPACE,    /* a space before every piece that has none */
    GM_SPLIT_METASPACE /* spaces become `text`, one is put first, split before each */
} gm_splitter_kind;

typedef struct gm_splitter_step {
    gm_splitter_kind kind;
    gm_behavior behavior;
    bool invert; /* the text between the matches counts as matches */
    gm_regex *regex;
    gm_text text;
    bool (*class)(uint32_t code_point);
    enum { GM_PREPEND_NEVER, GM_PREPEND_FIRST, GM_PREPEND_ALWAYS } prepend; /* Metaspace */
    bool split;                                                             /* Metaspace */
} gm_splitter_step;

/* Add a zeroed step at the end (splitter_load.c reads, splitter.c applies). */
gm_status gm_splitter_add(gm_splitter *splitter, gm_splitter_step **step, gm_error *err)
    GM_MUST_USE;

#endif

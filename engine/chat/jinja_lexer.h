/* jinja_lexer.h - a template's text as tokens, one at a time (inside engine/chat/).
 *
 * Blanks around tags are removed as by trim_blocks and lstrip_blocks: after a statement or comment
 * the end of the line, before one the blanks of its line; all of them if the tag has a dash, none
 * if it has a plus.
 */
#ifndef GM_JINJA_LEXER_H
#define GM_JINJA_LEXER_H

#include "base/arena.h"
#include "base/text.h"

typedef enum gm_jtoken_kind {
    GM_JT_END,    /* of the template */
    GM_JT_DATA,   /* between tags */
    GM_JT_SAY,    /* {{ */
    GM_JT_DO,     /* {% */
    GM_JT_CLOSE,  /* }} or %} */
    GM_JT_NAME,   /* */
    GM_JT_TEXT,   /* a literal, its escapes resolved */
    GM_JT_NUMBER, /* an integer */
    GM_JT_SIGN    /* operators, brackets, commas */
} gm_jtoken_kind;

typedef struct gm_jtoken {
    gm_jtoken_kind kind;
    int line;
    const char *at; /* n bytes of the template, or of the arena */
    size_t n;
    int64_t number;
} gm_jtoken;

/* Copied, it is a bookmark. */
typedef struct gm_jlexer {
    const char *at, *end; /* the unread rest */
    gm_arena *arena;      /* borrowed: of literals */
    const char *where;    /* the template's name in messages */
    int line;             /* at `at` */
    char tag;             /* inside of a tag of '{' or '%', or '\0' */
    bool opens;           /* its first token is to come */
    bool fresh;           /* at the beginning of a line */
    int depth;            /* open brackets in the tag */
} gm_jlexer;

/* Lines of `text` end in \n alone, and its last one without; it is borrowed while tokens are read.
 */
void gm_jlexer_init(gm_jlexer *lexer, const char *text, size_t n, gm_arena *arena,
                    const char *where);

/* Errors: GM_EFORMAT with the line: a tag or literal that does not end, a character that no
 * expression has, a number that is no integer of 64 bits; GM_EMEM. */
gm_status gm_jlexer_next(gm_jlexer *lexer, gm_jtoken *token, gm_error *err) GM_MUST_USE;

/* How many bytes of a character that Python's str.isspace takes for a blank begin at at[0..n);
 * 0 when another does. Valid UTF-8. */
size_t gm_jinja_blank(const char *at, size_t n);

#endif

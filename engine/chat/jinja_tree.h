/* jinja_tree.h - a parsed template: statements and expressions as one kind of node (inside
 * engine/chat/).
 */
#ifndef GM_JINJA_TREE_H
#define GM_JINJA_TREE_H

#include "base/arena.h"

/* What a node's fields hold; `list` and `other` are nodes chained by `next`. */
typedef enum gm_jnode_kind {
    /* expressions */
    GM_JN_TEXT,    /* text: a literal's, escapes resolved */
    GM_JN_INT,     /* number */
    GM_JN_BOOL,    /* number */
    GM_JN_NONE,    /* nothing */
    GM_JN_NAME,    /* text */
    GM_JN_LIST,    /* list: items; number: it is a tuple */
    GM_JN_DICT,    /* list: nodes with a: key, b: value */
    GM_JN_ATTR,    /* a.text */
    GM_JN_ITEM,    /* a[b] */
    GM_JN_SLICE,   /* a[b:c:list], each of the three may be NULL */
    GM_JN_CALL,    /* a(list); a GM_JN_KEYWORD in the list is text=a */
    GM_JN_KEYWORD, /* text=a, in a list of arguments or parameters */
    GM_JN_FILTER,  /* a | text(list); a: NULL after {% filter or {% set x | */
    GM_JN_TEST,    /* a is text(list) */
    GM_JN_NOT,     /* not a */
    GM_JN_NEGATE,  /* -a */
    GM_JN_BINARY,  /* a text b, text an operator or "and", "or", "in" */
    GM_JN_CHOICE,  /* a if b else c; c: NULL without an else */
    /* statements */
    GM_JN_DATA, /* text between tags */
    GM_JN_SAY,  /* {{ a }} */
    GM_JN_IF,   /* a: condition; list; other: else */
    GM_JN_FOR,  /* b: names (GM_JN_NAME); a: over what; c: if, or NULL; list; other: when empty */
    GM_JN_SET,  /* text = a; b: the name after a dot, or NULL */
    GM_JN_CAPTURE,  /* {% set text %} list {% endset %}; a: filters, or NULL */
    GM_JN_FILTERED, /* {% filter a %} list {% endfilter %} */
    GM_JN_MACRO,    /* text(b: parameters, GM_JN_KEYWORD; a: default, or NULL) list */
    GM_JN_SCOPE,    /* list, with a scope of its own */
    GM_JN_BREAK,
    GM_JN_CONTINUE
} gm_jnode_kind;

typedef struct gm_jnode {
    gm_jnode_kind kind;
    int line; /* from 1 */
    const char *text;
    size_t n_text; /* bytes */
    int64_t number;
    struct gm_jnode *a, *b, *c, *list, *other, *next;
} gm_jnode;

struct gm_jinja {
    gm_arena arena; /* of everything below */
    const char *where;
    gm_jnode *body;
};

static inline bool gm_jnode_is(const gm_jnode *node, const char *word)
{
    size_t n = 0;
    while (word[n] && n < node->n_text && word[n] == node->text[n]) n++;
    return n == node->n_text && word[n] == '\0';
}

#endif

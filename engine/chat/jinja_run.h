/* jinja_run.h - the values of a running template, and the run's limits (inside engine/chat/).
 *
 * Everything that a run makes is in its arena until it ends, so values are copied freely; what they
 * point to does not change, except namespaces and scopes.
 */
#ifndef GM_JINJA_RUN_H
#define GM_JINJA_RUN_H

#include "engine/chat/jinja.h"
#include "engine/chat/jinja_tree.h"

typedef enum gm_jkind {
    GM_J_UNDEFINED,
    GM_J_NONE,
    GM_J_BOOL,
    GM_J_INT,
    GM_J_TEXT,
    GM_J_LIST, /* and tuples, which equal no list */
    GM_J_DICT, /* its keys are texts */
    GM_J_NAMESPACE,
    GM_J_LOOP,    /* the variable of a {% for %} */
    GM_J_MACRO,   /* */
    GM_J_FUNCTION /* one of Jinja's or transformers' own */
} gm_jkind;

typedef struct gm_jvalue {
    gm_jkind kind;
    bool tuple;
    bool once; /* a list from select, map or items, which in Jinja is a generator: true even if
                  empty, and not kept under a name */
    size_t n;  /* bytes of a text, items of a list */
    union {
        int64_t number;   /* GM_J_BOOL: 0, 1 */
        const char *text; /* UTF-8; of a function its name */
        const struct gm_jvalue *item;
        struct gm_jdict *dict;
        const struct gm_jloop *loop;
        const struct gm_jmacro *macro;
    } as;
} gm_jvalue;

typedef struct gm_jentry {
    const char *key;
    size_t n_key;
    gm_jvalue value;
    struct gm_jentry *next;
} gm_jentry;

typedef struct gm_jdict {
    gm_jentry *first; /* in the order of insertion */
    size_t n;
} gm_jdict;

typedef struct gm_jscope {
    gm_jdict names;
    struct gm_jscope *parent; /* NULL: the outermost */
} gm_jscope;

typedef struct gm_jloop {
    gm_jvalue items; /* a list */
    size_t at;
} gm_jloop;

typedef struct gm_jmacro {
    const gm_jnode *node;
    gm_jscope *scope; /* in which it was defined */
} gm_jmacro;

enum { GM_J_MAX_ARGUMENTS = 16 };

typedef struct gm_jarguments {
    gm_jvalue value[GM_J_MAX_ARGUMENTS];
    const gm_jnode *name[GM_J_MAX_ARGUMENTS]; /* NULL: positional; these come first */
    size_t n, n_plain;
} gm_jarguments;

typedef struct gm_jrun {
    const char *where;
    int line;
    const char *date;
    bool said_date;
    gm_arena arena;
    size_t bytes_left, steps_left, work_left;
    int depth;
    gm_text *out;
    gm_jvalue piped; /* what {% filter %} and {% set x | %} filter */
} gm_jrun;

/* GM_EFORMAT, with the template and line before the message. */
gm_status gm_jrun_fail(const gm_jrun *run, gm_error *err, const char *fmt, ...) GM_PRINTF(3, 4);

/* One step, one level deeper, within the limits. The caller restores run->depth. */
gm_status gm_jrun_step(gm_jrun *run, int line, gm_error *err) GM_MUST_USE;

/* Count n bytes that are processed without taking memory; false when the limit is reached. The
 * result then does not matter, because the run's next step, or its end, fails. */
static inline bool gm_jrun_work(gm_jrun *run, size_t n)
{
    run->work_left -= n < run->work_left ? n : run->work_left;
    return run->work_left > 0;
}

/* Zeroed memory of the run, within its limit: *out has n items of `size`. */
gm_status gm_jrun_take(gm_jrun *run, void *out, size_t n, size_t size, gm_error *err) GM_MUST_USE;

/* ---- values (jinja_value.c) ---- */

static inline gm_jvalue gm_j_number(gm_jkind kind, int64_t number)
{
    return (gm_jvalue){.kind = kind, .as.number = number};
}

static inline gm_jvalue gm_j_text(const char *text, size_t n)
{
    return (gm_jvalue){.kind = GM_J_TEXT, .n = n, .as.text = text};
}

static inline bool gm_j_is_number(gm_jvalue v)
{
    return v.kind == GM_J_BOOL || v.kind == GM_J_INT;
}

const char *gm_j_kind_name(gm_jkind kind);
bool gm_j_truth(gm_jvalue value);

/* NULL: no such key. */
gm_jentry *gm_jdict_find(gm_jrun *run, const gm_jdict *dict, const char *key, size_t n);
gm_status gm_jdict_put(gm_jrun *run, gm_jdict *dict, const char *key, size_t n, gm_jvalue value,
                       gm_error *err) GM_MUST_USE;

/* A copy of a text; a value as str() spells it, GM_EFORMAT for lists and the like. */
gm_status gm_j_copy(gm_jrun *run, gm_jvalue *out, const char *text, size_t n, gm_error *err)
    GM_MUST_USE;
gm_status gm_j_spell(gm_jrun *run, gm_jvalue *out, gm_jvalue value, gm_error *err) GM_MUST_USE;

gm_status gm_j_equal(gm_jrun *run, bool *equal, gm_jvalue a, gm_jvalue b, gm_error *err)
    GM_MUST_USE;
/* Below, equal to or above zero as a is to b; two numbers or two texts. */
gm_status gm_j_order(gm_jrun *run, int *order, gm_jvalue a, gm_jvalue b, gm_error *err) GM_MUST_USE;
/* GM_EFORMAT where Python cannot look, as for a list among the keys of a dict. */
gm_status gm_j_contains(gm_jrun *run, bool *found, gm_jvalue whole, gm_jvalue part, gm_error *err)
    GM_MUST_USE;

/* Where `part` begins in text[from..), both texts; SIZE_MAX: nowhere. */
size_t gm_j_find(gm_jrun *run, gm_jvalue text, gm_jvalue part, size_t from);

/* A list of n items, written by the caller through *item before the run goes on. */
gm_status gm_j_list(gm_jrun *run, gm_jvalue *out, gm_jvalue **item, size_t n, gm_error *err)
    GM_MUST_USE;
/* The items of a loop: a list's items, a dict's keys, a text's characters, none if undefined. */
gm_status gm_j_items(gm_jrun *run, gm_jvalue *out, gm_jvalue value, gm_error *err) GM_MUST_USE;
/* How many characters text[0..n) has, and the byte at which the one after `characters` others
 * begins. */
size_t gm_j_length(const char *text, size_t n);
size_t gm_j_offset(const char *text, size_t n, size_t characters);

gm_status gm_j_from_json(gm_jrun *run, gm_jvalue *out, const gm_json *json, gm_error *err)
    GM_MUST_USE;

/* ---- statements and expressions (jinja_render.c, jinja_eval.c) ---- */

gm_status gm_j_scope(gm_jrun *run, gm_jscope **inner, gm_jscope *outer, gm_error *err) GM_MUST_USE;
/* The output of statements, as a text. */
gm_status gm_j_capture(gm_jrun *run, gm_jscope *scope, const gm_jnode *list, gm_jvalue *out,
                       gm_error *err) GM_MUST_USE;
gm_status gm_j_eval(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                    gm_error *err) GM_MUST_USE;

/* value[at]; missing is undefined. GM_EFORMAT where `value` is undefined itself. */
gm_status gm_j_item(gm_jrun *run, gm_jvalue *out, gm_jvalue value, gm_jvalue at, gm_error *err)
    GM_MUST_USE;

/* ---- what templates call (jinja_builtins.c, jinja_filters.c, jinja_methods.c) ---- */

/* value.name; missing is undefined. GM_EFORMAT where `value` is undefined itself, or has a method
 * of that name and no entry. */
gm_status gm_j_attribute(gm_jrun *run, gm_jvalue *out, gm_jvalue value, const char *name, size_t n,
                         gm_error *err) GM_MUST_USE;

bool gm_j_is_function(const gm_jnode *name);
gm_status gm_j_call_function(gm_jrun *run, gm_jvalue *out, gm_jvalue name,
                             const gm_jarguments *given, gm_error *err) GM_MUST_USE;
gm_status gm_j_call_filter(gm_jrun *run, gm_jvalue *out, const gm_jnode *node, gm_jvalue value,
                           const gm_jarguments *given, gm_error *err) GM_MUST_USE;
gm_status gm_j_call_test(gm_jrun *run, bool *out, gm_jvalue name, gm_jvalue value,
                         const gm_jvalue *argument, size_t n, gm_error *err) GM_MUST_USE;

/* Does Python have a method of that name for the kind? One that is missing here is refused when it
 * is called; *known false: Python has none. */
bool gm_j_has_method(gm_jkind kind, const char *name, size_t n);
gm_status gm_j_call_method(gm_jrun *run, gm_jvalue *out, bool *known, gm_jvalue value,
                           const gm_jnode *name, const gm_jarguments *given, gm_error *err)
    GM_MUST_USE;

/* What filters and methods share. `value` and `between` are texts; set NULL or none: blanks. */
gm_status gm_j_strip(gm_jrun *run, gm_jvalue *out, gm_jvalue value, const gm_jvalue *set, bool left,
                     bool right, gm_error *err) GM_MUST_USE;
gm_status gm_j_change_case(gm_jrun *run, gm_jvalue *out, gm_jvalue value, bool upper, gm_error *err)
    GM_MUST_USE;
gm_status gm_j_replace(gm_jrun *run, gm_jvalue *out, gm_jvalue value, const gm_jarguments *given,
                       gm_error *err) GM_MUST_USE;
gm_status gm_j_join(gm_jrun *run, gm_jvalue *out, gm_jvalue list, gm_jvalue between, gm_error *err)
    GM_MUST_USE;
/* A dict's keys, values, or lists of both. */
gm_status gm_j_entries(gm_jrun *run, gm_jvalue *out, gm_jvalue dict, bool keys, bool values,
                       gm_error *err) GM_MUST_USE;

#endif

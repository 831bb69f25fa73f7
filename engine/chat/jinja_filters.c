/* jinja_filters.c - filters of Jinja that chat templates use. */
#include "engine/chat/jinja_run.h"

#include <string.h>

typedef struct call {
    gm_jrun *run;
    const gm_jnode *node; /* the filter */
    gm_jvalue v;          /* what is filtered */
    const gm_jarguments *given;
    const char *const *names; /* of the arguments, by their places */
} call;

static gm_status unknown_arguments(const call *c, gm_error *err)
{
    return gm_jrun_fail(c->run, err, "the filter '%.*s' has arguments that are not supported",
                        (int)c->node->n_text, c->node->text);
}

/* The argument of a place, given there or by its name; NULL: none. */
static const gm_jvalue *argument(const call *c, size_t place)
{
    if (place < c->given->n_plain) return &c->given->value[place];
    for (size_t i = c->given->n_plain; i < c->given->n; i++)
        if (gm_jnode_is(c->given->name[i], c->names[place])) return &c->given->value[i];
    return NULL;
}

/* ---- of texts ---- */

static gm_status trim(const call *c, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_j_spell(c->run, out, c->v, err));
    GM_TRY(gm_j_strip(c->run, out, *out, argument(c, 0), true, true, err));
out:
    return status;
}

static gm_status string(const call *c, gm_jvalue *out, gm_error *err)
{
    return gm_j_spell(c->run, out, c->v, err);
}

static gm_status change_case(const call *c, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue text;
    GM_TRY(gm_j_spell(c->run, &text, c->v, err));
    GM_TRY(gm_j_change_case(c->run, out, text, gm_jnode_is(c->node, "upper"), err));
out:
    return status;
}

static gm_status replace(const call *c, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue text;
    GM_TRY(gm_j_spell(c->run, &text, c->v, err));
    GM_TRY(gm_j_replace(c->run, out, text, c->given, err));
out:
    return status;
}

/* ---- of everything ---- */

static gm_status fallback(const call *c, gm_jvalue *out, gm_error *err)
{
    const gm_jvalue *other = argument(c, 0), *any = argument(c, 1);
    const bool missing =
        c->v.kind == GM_J_UNDEFINED || (any && gm_j_truth(*any) && !gm_j_truth(c->v));
    (void)err;
    *out = !missing ? c->v : other ? *other : gm_j_text("", 0);
    return GM_OK;
}

static gm_status length(const call *c, gm_jvalue *out, gm_error *err)
{
    size_t n = 0;
    if (c->v.kind == GM_J_TEXT)
        n = gm_j_length(c->v.as.text, c->v.n), (void)gm_jrun_work(c->run, c->v.n);
    else if (c->v.kind == GM_J_LIST && !c->v.once)
        n = c->v.n;
    else if (c->v.kind == GM_J_DICT)
        n = c->v.as.dict->n;
    else if (c->v.kind != GM_J_UNDEFINED)
        return gm_jrun_fail(c->run, err, "%s has no length%s", gm_j_kind_name(c->v.kind),
                            c->v.once ? "; use the filter 'list'" : "");
    *out = gm_j_number(GM_J_INT, (int64_t)n);
    return GM_OK;
}

/* ---- of lists ---- */

static gm_status list(const call *c, gm_jvalue *out, gm_error *err)
{
    return gm_j_items(c->run, out, c->v, err);
}

static gm_status items(const call *c, gm_jvalue *out, gm_error *err)
{
    if (c->v.kind == GM_J_UNDEFINED) return gm_j_items(c->run, out, c->v, err);
    if (c->v.kind != GM_J_DICT)
        return gm_jrun_fail(c->run, err, "%s has no items", gm_j_kind_name(c->v.kind));
    const gm_status status = gm_j_entries(c->run, out, c->v, true, true, err);
    out->once = true;
    return status;
}

static gm_status end_of_list(const call *c, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue all;
    const bool last = gm_jnode_is(c->node, "last");
    if (last && c->v.once)
        return gm_jrun_fail(c->run, err, "an iterator has no last item; use the filter 'list'");
    GM_TRY(gm_j_items(c->run, &all, c->v, err));
    *out = (gm_jvalue){.kind = GM_J_UNDEFINED};
    if (all.n > 0) *out = all.as.item[last ? all.n - 1 : 0];
out:
    return status;
}

static gm_status join(const call *c, gm_jvalue *out, gm_error *err)
{
    const gm_jvalue *between = argument(c, 0);
    if (between && between->kind != GM_J_TEXT) return unknown_arguments(c, err);
    return gm_j_join(c->run, out, c->v, between ? *between : gm_j_text("", 0), err);
}

/* The attribute of an item that filters name: "a.b" is one of another, "0" an item of a list. */
static gm_status attribute_of(const call *c, gm_jvalue *out, gm_jvalue v, gm_jvalue path,
                              gm_error *err)
{
    gm_status status = GM_OK;
    *out = v;
    for (size_t from = 0, end; from <= path.n; from = end + 1) {
        const char *dot = memchr(path.as.text + from, '.', path.n - from);
        int64_t place = 0;
        size_t digits = 0;
        end = dot ? (size_t)(dot - path.as.text) : path.n;
        gm_jvalue part = gm_j_text(path.as.text + from, end - from);
        for (; digits < part.n && digits < 18; digits++) {
            const char digit = part.as.text[digits];
            if (digit < '0' || digit > '9') break;
            place = place * 10 + (digit - '0');
        }
        if (digits > 0 && digits == part.n) part = gm_j_number(GM_J_INT, place);
        GM_TRY(gm_j_item(c->run, out, *out, part, err));
    }
out:
    return status;
}

/* select, reject, selectattr, rejectattr: items of which a test holds, or is true. */
static gm_status choose(const call *c, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    const bool attribute = gm_jnode_is(c->node, "selectattr") || gm_jnode_is(c->node, "rejectattr");
    const bool reject = gm_jnode_is(c->node, "reject") || gm_jnode_is(c->node, "rejectattr");
    const gm_jvalue *given = c->given->value;
    size_t n = 0, n_given = c->given->n;
    gm_jvalue all, *item;
    if (attribute && (n_given == 0 || given->kind != GM_J_TEXT)) return unknown_arguments(c, err);
    if (n_given > attribute && given[attribute].kind != GM_J_TEXT) return unknown_arguments(c, err);
    const gm_jvalue nothing = {.kind = GM_J_UNDEFINED};
    GM_TRY(gm_j_items(c->run, &all, gm_j_truth(c->v) ? c->v : nothing, err));
    GM_TRY(gm_j_list(c->run, out, &item, all.n, err));
    for (size_t i = 0; i < all.n; i++) {
        gm_jvalue v = all.as.item[i];
        if (attribute) GM_TRY(attribute_of(c, &v, v, *given, err));
        bool yes = gm_j_truth(v);
        if (n_given > attribute)
            GM_TRY(gm_j_call_test(c->run, &yes, given[attribute], v, given + attribute + 1,
                                  n_given - attribute - 1, err));
        if (yes != reject) item[n++] = all.as.item[i];
    }
    out->n = n;
    out->once = true;
out:
    return status;
}

/* map(attribute='name') */
static gm_status map(const call *c, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_jvalue *name = argument(c, 0);
    gm_jvalue all, *item;
    if (name == NULL || c->given->n_plain > 0 || name->kind != GM_J_TEXT)
        return unknown_arguments(c, err);
    const gm_jvalue nothing = {.kind = GM_J_UNDEFINED};
    GM_TRY(gm_j_items(c->run, &all, gm_j_truth(c->v) ? c->v : nothing, err));
    GM_TRY(gm_j_list(c->run, out, &item, all.n, err));
    for (size_t i = 0; i < all.n; i++)
        GM_TRY(attribute_of(c, &item[i], all.as.item[i], *name, err));
    out->once = true;
out:
    return status;
}

enum { MAX_NAMES = 2 };

/* Has every argument that is given by its name one that the filter knows, of no place given too? */
static bool knows_names(const call *c)
{
    for (size_t i = c->given->n_plain; i < c->given->n; i++) {
        bool known = false;
        for (size_t p = c->given->n_plain; p < MAX_NAMES && c->names[p]; p++)
            known = known || gm_jnode_is(c->given->name[i], c->names[p]);
        if (!known) return false;
    }
    return true;
}

gm_status gm_j_call_filter(gm_jrun *run, gm_jvalue *out, const gm_jnode *node, gm_jvalue v,
                           const gm_jarguments *given, gm_error *err)
{
    static const struct {
        const char *name;
        gm_status (*apply)(const call *, gm_jvalue *, gm_error *);
        size_t most; /* arguments */
        const char *names[MAX_NAMES];
    } filters[] = {
        {"trim", trim, 1, {"chars"}},
        {"string", string, 0, {0}},
        {"upper", change_case, 0, {0}},
        {"lower", change_case, 0, {0}},
        {"replace", replace, 3, {0}},
        {"default", fallback, 2, {"default_value", "boolean"}},
        {"d", fallback, 2, {"default_value", "boolean"}},
        {"length", length, 0, {0}},
        {"count", length, 0, {0}},
        {"list", list, 0, {0}},
        {"items", items, 0, {0}},
        {"first", end_of_list, 0, {0}},
        {"last", end_of_list, 0, {0}},
        {"join", join, 1, {"d"}},
        {"map", map, 1, {"attribute"}},
        {"select", choose, 4, {0}},
        {"reject", choose, 4, {0}},
        {"selectattr", choose, 4, {0}},
        {"rejectattr", choose, 4, {0}},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (!gm_jnode_is(node, filters[i].name)) continue;
        const call c = {run, node, v, given, filters[i].names};
        if (given->n > filters[i].most || !knows_names(&c)) return unknown_arguments(&c, err);
        return filters[i].apply(&c, out, err);
    }
    return gm_jrun_fail(run, err, "the filter '%.*s' is not supported", (int)node->n_text,
                        node->text);
}

/* jinja_eval.c - the values of a template's expressions. */
#include "engine/chat/jinja_run.h"

#include <inttypes.h>
#include <string.h>

/* ---- names and calls ---- */

static gm_jvalue look_up(gm_jrun *run, const gm_jscope *scope, const gm_jnode *name)
{
    for (; scope; scope = scope->parent) {
        const gm_jentry *entry = gm_jdict_find(run, &scope->names, name->text, name->n_text);
        if (entry) return entry->value;
    }
    if (!gm_j_is_function(name)) return (gm_jvalue){.kind = GM_J_UNDEFINED};
    return (gm_jvalue){.kind = GM_J_FUNCTION, .n = name->n_text, .as.text = name->text};
}

static gm_status eval_arguments(gm_jrun *run, gm_jscope *scope, const gm_jnode *list,
                                gm_jarguments *out, gm_error *err)
{
    gm_status status = GM_OK;
    out->n = out->n_plain = 0;
    for (; list; list = list->next, out->n++) {
        if (out->n == GM_J_MAX_ARGUMENTS)
            GM_TRY(gm_jrun_fail(run, err, "a call has more than %d arguments", GM_J_MAX_ARGUMENTS));
        const bool named = list->kind == GM_JN_KEYWORD;
        if (!named && out->n_plain < out->n)
            GM_TRY(gm_jrun_fail(run, err, "a positional argument follows a named one"));
        out->name[out->n] = named ? list : NULL;
        out->n_plain += !named;
        GM_TRY(gm_j_eval(run, scope, named ? list->a : list, &out->value[out->n], err));
    }
out:
    return status;
}

static gm_status call_macro(gm_jrun *run, const gm_jmacro *macro, const gm_jarguments *arguments,
                            gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jscope *scope = NULL;
    size_t place = 0, taken = 0;
    GM_TRY(gm_j_scope(run, &scope, macro->scope, err));
    for (const gm_jnode *p = macro->node->b; p; p = p->next, place++) {
        gm_jvalue value = {.kind = GM_J_UNDEFINED};
        size_t i = place;
        if (place >= arguments->n_plain) {
            i = arguments->n_plain;
            while (i < arguments->n && !(arguments->name[i]->n_text == p->n_text &&
                                         memcmp(arguments->name[i]->text, p->text, p->n_text) == 0))
                i++;
        }
        if (i < arguments->n)
            value = arguments->value[i], taken++;
        else if (p->a)
            GM_TRY(gm_j_eval(run, scope, p->a, &value, err));
        GM_TRY(gm_jdict_put(run, &scope->names, p->text, p->n_text, value, err));
    }
    if (taken < arguments->n)
        GM_TRY(gm_jrun_fail(run, err, "the macro '%.*s' has no such argument",
                            (int)macro->node->n_text, macro->node->text));
    GM_TRY(gm_j_capture(run, scope, macro->node->list, out, err));
out:
    return status;
}

static gm_status eval_call(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                           gm_error *err)
{
    gm_status status = GM_OK;
    const gm_jnode *callee = node->a;
    gm_jarguments arguments;
    gm_jvalue value;
    if (callee->kind == GM_JN_ATTR) {
        bool known = false;
        GM_TRY(gm_j_eval(run, scope, callee->a, &value, err));
        GM_TRY(eval_arguments(run, scope, node->list, &arguments, err));
        GM_TRY(gm_j_call_method(run, out, &known, value, callee, &arguments, err));
        if (known) return GM_OK;
        GM_TRY(gm_j_attribute(run, &value, value, callee->text, callee->n_text, err));
    } else {
        GM_TRY(gm_j_eval(run, scope, callee, &value, err));
        GM_TRY(eval_arguments(run, scope, node->list, &arguments, err));
    }
    run->line = node->line;
    if (value.kind == GM_J_MACRO)
        status = call_macro(run, value.as.macro, &arguments, out, err);
    else if (value.kind == GM_J_FUNCTION)
        status = gm_j_call_function(run, out, value, &arguments, err);
    else
        status = gm_jrun_fail(run, err, "'%.*s' cannot be called: it is %s", (int)callee->n_text,
                              callee->text, gm_j_kind_name(value.kind));
out:
    return status;
}

/* ---- items ---- */

gm_status gm_j_item(gm_jrun *run, gm_jvalue *out, gm_jvalue v, gm_jvalue at, gm_error *err)
{
    *out = (gm_jvalue){.kind = GM_J_UNDEFINED};
    if (v.kind == GM_J_UNDEFINED) return gm_jrun_fail(run, err, "an undefined value has no items");
    if (at.kind == GM_J_TEXT) {
        const gm_jentry *e =
            v.kind == GM_J_DICT ? gm_jdict_find(run, v.as.dict, at.as.text, at.n) : NULL;
        if (e) *out = e->value;
        return e ? GM_OK : gm_j_attribute(run, out, v, at.as.text, at.n, err);
    }
    if (!gm_j_is_number(at) || (v.kind != GM_J_TEXT && v.kind != GM_J_LIST) || v.once) return GM_OK;
    const size_t n = v.kind == GM_J_LIST ? v.n : gm_j_length(v.as.text, v.n);
    if (v.kind == GM_J_TEXT) (void)gm_jrun_work(run, 2 * v.n);
    const int64_t i = at.as.number < 0 ? at.as.number + (int64_t)n : at.as.number;
    if (i < 0 || i >= (int64_t)n) return GM_OK;
    if (v.kind == GM_J_LIST) {
        *out = v.as.item[i];
    } else {
        const size_t from = gm_j_offset(v.as.text, v.n, (size_t)i);
        const size_t length = gm_j_offset(v.as.text + from, v.n - from, 1);
        *out = gm_j_text(v.as.text + from, length);
    }
    return GM_OK;
}

/* One bound of a slice of n items, as Python clamps it. */
static gm_status eval_bound(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, int64_t n,
                            int64_t lo, int64_t hi, int64_t *bound, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue v;
    if (node == NULL) return GM_OK;
    GM_TRY(gm_j_eval(run, scope, node, &v, err));
    if (v.kind == GM_J_NONE) return GM_OK;
    if (!gm_j_is_number(v))
        return gm_jrun_fail(run, err, "a bound of a slice is %s, expected an integer",
                            gm_j_kind_name(v.kind));
    *bound = v.as.number < 0 ? v.as.number + n : v.as.number;
    if (*bound < lo) *bound = lo;
    if (*bound > hi) *bound = hi;
out:
    return status;
}

static gm_status eval_slice(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                            gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue v, step = gm_j_number(GM_J_INT, 1), *item;
    GM_TRY(gm_j_eval(run, scope, node->a, &v, err));
    if (node->list) GM_TRY(gm_j_eval(run, scope, node->list, &step, err));
    if ((v.kind != GM_J_TEXT && v.kind != GM_J_LIST) || v.once)
        return gm_jrun_fail(run, err, "%s cannot be sliced", gm_j_kind_name(v.kind));
    if (step.kind != GM_J_INT || (step.as.number != 1 && step.as.number != -1))
        return gm_jrun_fail(run, err, "the step of a slice is neither 1 nor -1");
    const int64_t n = (int64_t)(v.kind == GM_J_LIST ? v.n : gm_j_length(v.as.text, v.n));
    if (v.kind == GM_J_TEXT) (void)gm_jrun_work(run, 2 * v.n);
    const bool back = step.as.number < 0;
    int64_t from = back ? n - 1 : 0, to = back ? -1 : n;
    GM_TRY(eval_bound(run, scope, node->b, n, back ? -1 : 0, back ? n - 1 : n, &from, err));
    GM_TRY(eval_bound(run, scope, node->c, n, back ? -1 : 0, back ? n - 1 : n, &to, err));
    const int64_t length = back ? from - to : to - from;
    if (v.kind == GM_J_TEXT) {
        if (back) return gm_jrun_fail(run, err, "a string cannot be sliced backwards");
        const size_t first = gm_j_offset(v.as.text, v.n, (size_t)from);
        *out = gm_j_text(v.as.text + first, 0);
        if (length > 0) out->n = gm_j_offset(v.as.text + first, v.n - first, (size_t)length);
        return GM_OK;
    }
    GM_TRY(gm_j_list(run, out, &item, length > 0 ? (size_t)length : 0, err));
    out->tuple = v.tuple;
    for (int64_t i = 0; i < length; i++) item[i] = v.as.item[back ? from - i : from + i];
out:
    return status;
}

/* ---- operators ---- */

/* Python's // and %, which round down. */
static gm_status divide(gm_jrun *run, int64_t *out, int64_t a, int64_t b, bool rest, gm_error *err)
{
    if (b == 0 || (b == -1 && a == INT64_MIN))
        return gm_jrun_fail(run, err, "%" PRId64 " cannot be divided by %" PRId64, a, b);
    const int64_t left = a % b;
    const bool down = left != 0 && (left < 0) != (b < 0);
    *out = rest ? left + (down ? b : 0) : a / b - down;
    return GM_OK;
}

static gm_status add_values(gm_jrun *run, gm_jvalue a, gm_jvalue b, gm_jvalue *out, gm_error *err)
{
    gm_status status = GM_OK;
    const bool text = a.kind == GM_J_TEXT;
    if (a.kind != b.kind || (!text && a.kind != GM_J_LIST) || a.tuple != b.tuple || a.once ||
        b.once)
        return gm_jrun_fail(run, err, "%s and %s cannot be added", gm_j_kind_name(a.kind),
                            gm_j_kind_name(b.kind));
    if (text) {
        char *to;
        GM_TRY(gm_jrun_take(run, &to, a.n + b.n + 1, 1, err));
        memcpy(to, a.as.text, a.n);
        memcpy(to + a.n, b.as.text, b.n);
        *out = gm_j_text(to, a.n + b.n);
    } else {
        gm_jvalue *item;
        GM_TRY(gm_j_list(run, out, &item, a.n + b.n, err));
        out->tuple = a.tuple;
        for (size_t i = 0; i < a.n; i++) item[i] = a.as.item[i];
        for (size_t i = 0; i < b.n; i++) item[a.n + i] = b.as.item[i];
    }
out:
    return status;
}

static gm_status calculate(gm_jrun *run, const gm_jnode *sign, gm_jvalue a, gm_jvalue b,
                           gm_jvalue *out, gm_error *err)
{
    int64_t *to = &out->as.number;
    const int64_t x = a.as.number, y = b.as.number;
    *out = gm_j_number(GM_J_INT, 0);
    if (gm_jnode_is(sign, "//")) return divide(run, to, x, y, false, err);
    if (gm_jnode_is(sign, "%")) return divide(run, to, x, y, true, err);
    if (gm_jnode_is(sign, "/"))
        return gm_jrun_fail(
            run, err, "%" PRId64 " / %" PRId64 " is a fraction, which is not supported", x, y);
    const bool over = gm_jnode_is(sign, "+")   ? __builtin_add_overflow(x, y, to)
                      : gm_jnode_is(sign, "-") ? __builtin_sub_overflow(x, y, to)
                                               : __builtin_mul_overflow(x, y, to);
    if (over)
        return gm_jrun_fail(run, err, "%" PRId64 " %.*s %" PRId64 " does not fit into 64 bits", x,
                            (int)sign->n_text, sign->text, y);
    return GM_OK;
}

static gm_status eval_binary(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                             gm_error *err)
{
    static const char *const orders[] = {"<", "<=", ">", ">="};
    gm_status status = GM_OK;
    gm_jvalue a, b;
    bool yes;
    GM_TRY(gm_j_eval(run, scope, node->a, &a, err));
    const bool is_and = gm_jnode_is(node, "and");
    if (is_and || gm_jnode_is(node, "or")) {
        *out = a;
        return gm_j_truth(a) == is_and ? gm_j_eval(run, scope, node->b, out, err) : GM_OK;
    }
    GM_TRY(gm_j_eval(run, scope, node->b, &b, err));
    run->line = node->line;
    const bool equal = gm_jnode_is(node, "==");
    if (equal || gm_jnode_is(node, "!=")) {
        GM_TRY(gm_j_equal(run, &yes, a, b, err));
        *out = gm_j_number(GM_J_BOOL, yes == equal);
        return GM_OK;
    }
    if (gm_jnode_is(node, "in")) {
        GM_TRY(gm_j_contains(run, &yes, b, a, err));
        *out = gm_j_number(GM_J_BOOL, yes);
        return GM_OK;
    }
    for (int i = 0; i < 4; i++) {
        int order = 0;
        if (!gm_jnode_is(node, orders[i])) continue;
        GM_TRY(gm_j_order(run, &order, a, b, err));
        yes = (i < 2 ? order < 0 : order > 0) || (i % 2 == 1 && order == 0);
        *out = gm_j_number(GM_J_BOOL, yes);
        return GM_OK;
    }
    if (gm_jnode_is(node, "~")) {
        GM_TRY(gm_j_spell(run, &a, a, err));
        GM_TRY(gm_j_spell(run, &b, b, err));
        return add_values(run, a, b, out, err);
    }
    if (gm_j_is_number(a) && gm_j_is_number(b)) return calculate(run, node, a, b, out, err);
    if (gm_jnode_is(node, "+")) return add_values(run, a, b, out, err);
    status = gm_jrun_fail(run, err, "'%.*s' does not work between %s and %s", (int)node->n_text,
                          node->text, gm_j_kind_name(a.kind), gm_j_kind_name(b.kind));
out:
    return status;
}

/* ---- expressions ---- */

static gm_status eval_bracket(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                              gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = 0;
    gm_jvalue *item, key, value;
    for (const gm_jnode *i = node->list; i; i = i->next) n++;
    if (node->kind == GM_JN_LIST) {
        GM_TRY(gm_j_list(run, out, &item, n, err));
        out->tuple = node->number != 0;
        for (const gm_jnode *i = node->list; i; i = i->next, item++) {
            GM_TRY(gm_j_eval(run, scope, i, item, err));
            if (item->once)
                GM_TRY(
                    gm_jrun_fail(run, err, "a list contains an iterator; use the filter 'list'"));
        }
        return GM_OK;
    }
    *out = (gm_jvalue){.kind = GM_J_DICT};
    GM_TRY(gm_jrun_take(run, &out->as.dict, 1, sizeof *out->as.dict, err));
    for (const gm_jnode *i = node->list; i; i = i->next) {
        GM_TRY(gm_j_eval(run, scope, i->a, &key, err));
        GM_TRY(gm_j_eval(run, scope, i->b, &value, err));
        if (key.kind != GM_J_TEXT)
            return gm_jrun_fail(run, err, "the key of a dict is %s, expected a string",
                                gm_j_kind_name(key.kind));
        GM_TRY(gm_jdict_put(run, out->as.dict, key.as.text, key.n, value, err));
    }
out:
    return status;
}

static gm_status eval_filter(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue value = run->piped;
    gm_jarguments arguments;
    if (node->a) GM_TRY(gm_j_eval(run, scope, node->a, &value, err));
    GM_TRY(eval_arguments(run, scope, node->list, &arguments, err));
    run->line = node->line;
    if (node->kind == GM_JN_FILTER) {
        GM_TRY(gm_j_call_filter(run, out, node, value, &arguments, err));
    } else {
        bool yes = false;
        if (arguments.n_plain < arguments.n)
            GM_TRY(gm_jrun_fail(run, err, "a test cannot have a named argument"));
        GM_TRY(gm_j_call_test(run, &yes, gm_j_text(node->text, node->n_text), value,
                              arguments.value, arguments.n, err));
        *out = gm_j_number(GM_J_BOOL, yes);
    }
out:
    return status;
}

/* not a, -a, a if b else c */
static gm_status eval_choice(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue v;
    GM_TRY(gm_j_eval(run, scope, node->kind == GM_JN_CHOICE ? node->b : node->a, &v, err));
    if (node->kind == GM_JN_NOT) {
        *out = gm_j_number(GM_J_BOOL, !gm_j_truth(v));
    } else if (node->kind == GM_JN_NEGATE) {
        if (!gm_j_is_number(v) || v.as.number == INT64_MIN)
            return gm_jrun_fail(run, err, "%s cannot be negated", gm_j_kind_name(v.kind));
        *out = gm_j_number(GM_J_INT, -v.as.number);
    } else {
        const gm_jnode *chosen = gm_j_truth(v) ? node->a : node->c;
        if (chosen) GM_TRY(gm_j_eval(run, scope, chosen, out, err));
    }
out:
    return status;
}

gm_status gm_j_eval(gm_jrun *run, gm_jscope *scope, const gm_jnode *node, gm_jvalue *out,
                    gm_error *err)
{
    gm_status status = GM_OK;
    gm_jvalue a, b;
    *out = (gm_jvalue){.kind = GM_J_UNDEFINED};
    GM_TRY(gm_jrun_step(run, node->line, err));
    if (node->kind == GM_JN_TEXT) {
        *out = gm_j_text(node->text, node->n_text);
    } else if (node->kind == GM_JN_INT || node->kind == GM_JN_BOOL) {
        *out = gm_j_number(node->kind == GM_JN_INT ? GM_J_INT : GM_J_BOOL, node->number);
    } else if (node->kind == GM_JN_NONE) {
        out->kind = GM_J_NONE;
    } else if (node->kind == GM_JN_NAME) {
        *out = look_up(run, scope, node);
    } else if (node->kind == GM_JN_LIST || node->kind == GM_JN_DICT) {
        GM_TRY(eval_bracket(run, scope, node, out, err));
    } else if (node->kind == GM_JN_ATTR) {
        GM_TRY(gm_j_eval(run, scope, node->a, &a, err));
        if (gm_j_has_method(a.kind, node->text, node->n_text))
            return gm_jrun_fail(run, err, "the method '%.*s' is not called, expected '(' after it",
                                (int)node->n_text, node->text);
        GM_TRY(gm_j_attribute(run, out, a, node->text, node->n_text, err));
    } else if (node->kind == GM_JN_ITEM) {
        GM_TRY(gm_j_eval(run, scope, node->a, &a, err));
        GM_TRY(gm_j_eval(run, scope, node->b, &b, err));
        GM_TRY(gm_j_item(run, out, a, b, err));
    } else if (node->kind == GM_JN_SLICE) {
        GM_TRY(eval_slice(run, scope, node, out, err));
    } else if (node->kind == GM_JN_CALL) {
        GM_TRY(eval_call(run, scope, node, out, err));
    } else if (node->kind == GM_JN_FILTER || node->kind == GM_JN_TEST) {
        GM_TRY(eval_filter(run, scope, node, out, err));
    } else if (node->kind == GM_JN_BINARY) {
        GM_TRY(eval_binary(run, scope, node, out, err));
    } else {
        GM_TRY(eval_choice(run, scope, node, out, err));
    }
    run->depth--;
out:
    return status;
}

/* jinja_expression.c - expressions of a template, from `a if b else c` down to names and literals.
 */
#include "engine/chat/jinja_parser.h"

#include <string.h>

/* ---- names, literals, brackets ---- */

/* Items of a bracket up to `close`, which is taken; `pairs`: of a dict. */
static gm_status parse_items(gm_jparser *p, gm_jnode *node, const char *close, bool pairs,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode **end = &node->list;
    bool closed = false, comma = true;
    GM_TRY(gm_jparser_deeper(p, err));
    for (;;) {
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, close, &closed, err));
        if (closed) break;
        if (!comma) GM_TRY(gm_jparser_unexpected(p, close, err));
        if (pairs) {
            GM_TRY(gm_jparser_node(p, end, GM_JN_KEYWORD, err));
            GM_TRY(gm_jparser_expression(p, &(*end)->a, true, err));
            GM_TRY(gm_jparser_expect(p, GM_JT_SIGN, ":", err));
            GM_TRY(gm_jparser_expression(p, &(*end)->b, true, err));
        } else {
            GM_TRY(gm_jparser_expression(p, end, true, err));
        }
        end = &(*end)->next;
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ",", &comma, err));
    }
    p->depth--;
out:
    return status;
}

/* After "(": an expression in brackets, or a tuple, whose node *node is. */
static gm_status parse_bracket(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode *tuple = *node;
    bool comma;
    tuple->number = 1;
    if (!gm_jparser_sees(p, GM_JT_SIGN, ")")) {
        GM_TRY(gm_jparser_deeper(p, err));
        GM_TRY(gm_jparser_expression(p, &tuple->list, true, err));
        p->depth--;
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ",", &comma, err));
        if (!comma) {
            *node = tuple->list;
            return gm_jparser_expect(p, GM_JT_SIGN, ")", err);
        }
        gm_jnode rest = {0};
        GM_TRY(parse_items(p, &rest, ")", false, err));
        tuple->list->next = rest.list;
    } else {
        GM_TRY(gm_jparser_advance(p, err));
    }
out:
    return status;
}

/* Literals that stand side by side are one. */
static gm_status parse_literal(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text joined = {0};
    GM_TRY(gm_jparser_node(p, node, GM_JN_TEXT, err));
    GM_TRY(gm_jparser_advance(p, err));
    if (p->token.kind != GM_JT_TEXT) return GM_OK;
    GM_TRY(gm_text_append(&joined, (*node)->text, (*node)->n_text, err));
    while (p->token.kind == GM_JT_TEXT) {
        GM_TRY(gm_text_append(&joined, p->token.at, p->token.n, err));
        GM_TRY(gm_jparser_advance(p, err));
    }
    (*node)->text = gm_arena_text(p->arena, joined.at, joined.n);
    (*node)->n_text = joined.n;
    if ((*node)->text == NULL) GM_FAIL(GM_EMEM, "no memory for a string of '%s'", p->lexer.where);
out:
    gm_text_clear(&joined);
    return status;
}

static gm_status parse_primary(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    static const char *const none[] = {"none", "None"}, *const no[] = {"false", "False"},
                             *const yes[] = {"true", "True"};
    if (p->token.kind == GM_JT_TEXT) return parse_literal(p, node, err);
    if (p->token.kind == GM_JT_SIGN) {
        const char sign = *p->token.at;
        if (strchr("([{", sign) == NULL) return gm_jparser_unexpected(p, "an expression", err);
        GM_TRY(gm_jparser_node(p, node, sign == '{' ? GM_JN_DICT : GM_JN_LIST, err));
        GM_TRY(gm_jparser_advance(p, err));
        if (sign == '(') return parse_bracket(p, node, err);
        return parse_items(p, *node, sign == '[' ? "]" : "}", sign == '{', err);
    }
    if (p->token.kind != GM_JT_NAME && p->token.kind != GM_JT_NUMBER)
        return gm_jparser_unexpected(p, "an expression", err);
    GM_TRY(gm_jparser_node(p, node, GM_JN_NAME, err));
    if (p->token.kind == GM_JT_NUMBER) (*node)->kind = GM_JN_INT;
    for (size_t i = 0; i < 2; i++) {
        if (gm_jparser_sees(p, GM_JT_NAME, none[i])) (*node)->kind = GM_JN_NONE;
        if (gm_jparser_sees(p, GM_JT_NAME, no[i])) (*node)->kind = GM_JN_BOOL;
        if (gm_jparser_sees(p, GM_JT_NAME, yes[i])) (*node)->kind = GM_JN_BOOL, (*node)->number = 1;
    }
    GM_TRY(gm_jparser_advance(p, err));
out:
    return status;
}

/* ---- what follows them ---- */

/* After "(": arguments, those with a name last. */
static gm_status parse_arguments(gm_jparser *p, gm_jnode *call, gm_error *err)
{
    gm_status status = GM_OK;
    bool closed = false, comma = true;
    GM_TRY(gm_jparser_deeper(p, err));
    for (gm_jnode **end = &call->list;; end = &(*end)->next) {
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ")", &closed, err));
        if (closed) break;
        if (!comma) GM_TRY(gm_jparser_unexpected(p, ")", err));
        gm_jparser mark = *p;
        bool named = false;
        if (p->token.kind == GM_JT_NAME) {
            GM_TRY(gm_jparser_advance(p, err));
            named = gm_jparser_sees(p, GM_JT_SIGN, "=");
            *p = mark;
        }
        if (named) {
            GM_TRY(gm_jparser_name(p, end, GM_JN_KEYWORD, err));
            GM_TRY(gm_jparser_advance(p, err));
            GM_TRY(gm_jparser_expression(p, &(*end)->a, true, err));
        } else {
            GM_TRY(gm_jparser_expression(p, end, true, err));
        }
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ",", &comma, err));
    }
    p->depth--;
out:
    return status;
}

/* After "[": an item, or a slice. */
static gm_status parse_subscript(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode **part[] = {&node->b, &node->c, &node->list};
    bool colon = true;
    GM_TRY(gm_jparser_deeper(p, err));
    for (size_t i = 0; i < 3 && colon; i++) {
        if (!gm_jparser_sees(p, GM_JT_SIGN, ":") && !gm_jparser_sees(p, GM_JT_SIGN, "]"))
            GM_TRY(gm_jparser_expression(p, part[i], true, err));
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ":", &colon, err));
        if (colon) node->kind = GM_JN_SLICE;
    }
    if (node->kind == GM_JN_ITEM && node->b == NULL)
        GM_TRY(gm_jparser_unexpected(p, "an expression", err));
    GM_TRY(gm_jparser_expect(p, GM_JT_SIGN, "]", err));
    p->depth--;
out:
    return status;
}

/* .name [item] (arguments), as many as there are. */
static gm_status parse_postfix(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    while (p->token.kind == GM_JT_SIGN && strchr(".[(", *p->token.at)) {
        const char sign = *p->token.at;
        gm_jnode *next = NULL;
        GM_TRY(gm_jparser_advance(p, err));
        if (sign == '.') {
            GM_TRY(gm_jparser_name(p, &next, GM_JN_ATTR, err));
        } else {
            GM_TRY(gm_jparser_node(p, &next, sign == '[' ? GM_JN_ITEM : GM_JN_CALL, err));
            GM_TRY(sign == '[' ? parse_subscript(p, next, err) : parse_arguments(p, next, err));
        }
        next->a = *node;
        *node = next;
    }
out:
    return status;
}

gm_status gm_jparser_filter(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    bool bracket;
    gm_jnode *next = NULL;
    GM_TRY(gm_jparser_name(p, &next, GM_JN_FILTER, err));
    next->a = *node;
    *node = next;
    GM_TRY(gm_jparser_take(p, GM_JT_SIGN, "(", &bracket, err));
    if (bracket) GM_TRY(parse_arguments(p, next, err));
out:
    return status;
}

gm_status gm_jparser_filters(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    for (;;) {
        bool pipe;
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, "|", &pipe, err));
        if (!pipe) break;
        GM_TRY(gm_jparser_filter(p, node, err));
    }
out:
    return status;
}

/* After "is": a test, maybe with "not" before it, and its argument. Without brackets around the
 * argument every word is one but those that end the test, "if" and "in" too, as in Jinja. */
static gm_status parse_test(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    static const char *const ends[] = {"else", "or", "and"};
    gm_status status = GM_OK;
    gm_jnode *test = NULL, *outer = NULL;
    bool no, bracket;
    GM_TRY(gm_jparser_take(p, GM_JT_NAME, "not", &no, err));
    if (no) GM_TRY(gm_jparser_node(p, &outer, GM_JN_NOT, err));
    GM_TRY(gm_jparser_name(p, &test, GM_JN_TEST, err));
    test->a = *node;
    GM_TRY(gm_jparser_take(p, GM_JT_SIGN, "(", &bracket, err));
    bool bare = p->token.kind == GM_JT_NAME || p->token.kind == GM_JT_TEXT ||
                p->token.kind == GM_JT_NUMBER || gm_jparser_sees(p, GM_JT_SIGN, "[") ||
                gm_jparser_sees(p, GM_JT_SIGN, "{");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (gm_jparser_sees(p, GM_JT_NAME, ends[i])) bare = false;
    if (bracket) {
        GM_TRY(parse_arguments(p, test, err));
    } else if (bare) {
        if (gm_jparser_sees(p, GM_JT_NAME, "is"))
            GM_TRY(gm_jparser_unexpected(p, "the end of a test", err));
        GM_TRY(parse_primary(p, &test->list, err));
        GM_TRY(parse_postfix(p, &test->list, err));
    }
    *node = test;
    if (outer) outer->a = test, *node = outer;
out:
    return status;
}

/* ---- operators ---- */

static gm_status parse_unary(gm_jparser *p, gm_jnode **node, bool filters, gm_error *err)
{
    gm_status status = GM_OK;
    const bool minus = gm_jparser_sees(p, GM_JT_SIGN, "-");
    if (minus) {
        GM_TRY(gm_jparser_node(p, node, GM_JN_NEGATE, err));
        GM_TRY(gm_jparser_advance(p, err));
        GM_TRY(gm_jparser_deeper(p, err));
        GM_TRY(parse_unary(p, &(*node)->a, false, err));
        p->depth--;
    } else {
        GM_TRY(parse_primary(p, node, err));
    }
    GM_TRY(parse_postfix(p, node, err));
    while (filters) {
        bool is = false;
        if (gm_jparser_sees(p, GM_JT_SIGN, "|"))
            GM_TRY(gm_jparser_filters(p, node, err));
        else if (gm_jparser_sees(p, GM_JT_SIGN, "("))
            GM_TRY(parse_postfix(p, node, err));
        else
            GM_TRY(gm_jparser_take(p, GM_JT_NAME, "is", &is, err));
        if (is) GM_TRY(parse_test(p, node, err));
        if (!is && !gm_jparser_sees(p, GM_JT_SIGN, "|") && !gm_jparser_sees(p, GM_JT_SIGN, "(") &&
            !gm_jparser_sees(p, GM_JT_NAME, "is"))
            break;
    }
out:
    return status;
}

static gm_status wrap(gm_jparser *p, gm_jnode **left, gm_jnode *right, const char *text,
                      gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode *node = NULL;
    GM_TRY(gm_jparser_node(p, &node, GM_JN_BINARY, err));
    node->a = *left;
    node->b = right;
    node->text = text;
    node->n_text = strlen(text);
    *left = node;
out:
    return status;
}

/* Operators that bind from the left, weakest first; the others stand around them. */
enum { ADDITION, JOINING, PRODUCT, UNARY };

static gm_status parse_binary(gm_jparser *p, gm_jnode **node, int level, gm_error *err)
{
    static const char *const signs[][5] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}};
    gm_status status = GM_OK;
    if (level == UNARY) return parse_unary(p, node, true, err);
    GM_TRY(parse_binary(p, node, level + 1, err));
    for (;;) {
        const char *const *sign = signs[level];
        while (*sign && !gm_jparser_sees(p, GM_JT_SIGN, *sign)) sign++;
        if (*sign == NULL) break;
        gm_jnode *right = NULL;
        GM_TRY(gm_jparser_advance(p, err));
        GM_TRY(parse_binary(p, &right, level + 1, err));
        GM_TRY(wrap(p, node, right, *sign, err));
    }
out:
    return status;
}

/* The sign of a comparison at the token, which is taken; NULL: none is there. *no: "not in". */
static gm_status take_comparison(gm_jparser *p, const char **found, bool *no, gm_error *err)
{
    static const char *const signs[] = {"==", "!=", "<=", ">=", "<", ">"};
    gm_status status = GM_OK;
    bool taken = false;
    *found = NULL;
    *no = false;
    for (size_t i = 0; i < sizeof signs / sizeof *signs && !taken; i++) {
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, signs[i], &taken, err));
        if (taken) *found = signs[i];
    }
    if (taken) return GM_OK;
    gm_jparser mark = *p;
    GM_TRY(gm_jparser_take(p, GM_JT_NAME, "not", no, err));
    GM_TRY(gm_jparser_take(p, GM_JT_NAME, "in", &taken, err));
    if (taken) *found = "in";
    if (!taken) *p = mark, *no = false;
out:
    return status;
}

/* a < b < c is a < b and b < c: to say b twice has no effects. */
static gm_status parse_comparison(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode *left = NULL, *all = NULL;
    GM_TRY(parse_binary(p, &left, ADDITION, err));
    for (;;) {
        const char *sign;
        bool no;
        gm_jnode *right = NULL, *one = left, *outer = NULL;
        GM_TRY(take_comparison(p, &sign, &no, err));
        if (sign == NULL) break;
        GM_TRY(parse_binary(p, &right, ADDITION, err));
        GM_TRY(wrap(p, &one, right, sign, err));
        if (no) {
            GM_TRY(gm_jparser_node(p, &outer, GM_JN_NOT, err));
            outer->a = one;
            one = outer;
        }
        if (all)
            GM_TRY(wrap(p, &all, one, "and", err));
        else
            all = one;
        left = right;
    }
    *node = all ? all : left;
out:
    return status;
}

static gm_status parse_not(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    bool no;
    if (!gm_jparser_sees(p, GM_JT_NAME, "not")) return parse_comparison(p, node, err);
    GM_TRY(gm_jparser_node(p, node, GM_JN_NOT, err));
    GM_TRY(gm_jparser_take(p, GM_JT_NAME, "not", &no, err));
    GM_TRY(gm_jparser_deeper(p, err));
    GM_TRY(parse_not(p, &(*node)->a, err));
    p->depth--;
out:
    return status;
}

static gm_status parse_and(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(parse_not(p, node, err));
    for (;;) {
        bool taken;
        gm_jnode *right = NULL;
        GM_TRY(gm_jparser_take(p, GM_JT_NAME, "and", &taken, err));
        if (!taken) break;
        GM_TRY(parse_not(p, &right, err));
        GM_TRY(wrap(p, node, right, "and", err));
    }
out:
    return status;
}

static gm_status parse_or(gm_jparser *p, gm_jnode **node, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(parse_and(p, node, err));
    for (;;) {
        bool taken;
        gm_jnode *right = NULL;
        GM_TRY(gm_jparser_take(p, GM_JT_NAME, "or", &taken, err));
        if (!taken) break;
        GM_TRY(parse_and(p, &right, err));
        GM_TRY(wrap(p, node, right, "or", err));
    }
out:
    return status;
}

gm_status gm_jparser_expression(gm_jparser *p, gm_jnode **node, bool whole, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_jparser_deeper(p, err));
    GM_TRY(parse_or(p, node, err));
    while (whole) {
        bool taken;
        gm_jnode *choice = NULL;
        GM_TRY(gm_jparser_take(p, GM_JT_NAME, "if", &taken, err));
        if (!taken) break;
        GM_TRY(gm_jparser_node(p, &choice, GM_JN_CHOICE, err));
        choice->a = *node;
        GM_TRY(parse_or(p, &choice->b, err));
        GM_TRY(gm_jparser_take(p, GM_JT_NAME, "else", &taken, err));
        if (taken) GM_TRY(gm_jparser_expression(p, &choice->c, true, err));
        *node = choice;
    }
    p->depth--;
out:
    return status;
}

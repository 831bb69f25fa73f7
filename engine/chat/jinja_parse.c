/* jinja_parse.c - see jinja.h: statements of a template, and what parsing them and expressions
 * (jinja_expression.c) shares.
 */
#include "engine/chat/jinja.h"
#include "engine/chat/jinja_parser.h"

#include <assert.h>
#include <string.h>

enum {
    MAX_OPEN = 200,      /* brackets and statements inside of each other */
    MAX_BYTES = 1 << 20, /* of a template: nodes take up to fifty times as much */
};

gm_status gm_jparser_advance(gm_jparser *p, gm_error *err)
{
    return gm_jlexer_next(&p->lexer, &p->token, err);
}

bool gm_jparser_sees(const gm_jparser *p, gm_jtoken_kind kind, const char *word)
{
    return p->token.kind == kind && strlen(word) == p->token.n &&
           memcmp(p->token.at, word, p->token.n) == 0;
}

gm_status gm_jparser_take(gm_jparser *p, gm_jtoken_kind kind, const char *word, bool *taken,
                          gm_error *err)
{
    *taken = gm_jparser_sees(p, kind, word);
    return *taken ? gm_jparser_advance(p, err) : GM_OK;
}

gm_status gm_jparser_unexpected(const gm_jparser *p, const char *expected, gm_error *err)
{
    const gm_jtoken *t = &p->token;
    const char *what = t->kind == GM_JT_END     ? "the end"
                       : t->kind == GM_JT_DATA  ? "text"
                       : t->kind == GM_JT_CLOSE ? "the end of the tag"
                       : t->kind == GM_JT_SAY   ? "{{"
                       : t->kind == GM_JT_DO    ? "{%"
                                                : NULL;
    const int n = t->n < 40 ? (int)t->n : 40;
    return gm_fail(err, GM_EFORMAT, "'%s', line %d: found '%.*s', expected %s", p->lexer.where,
                   t->line, what ? (int)strlen(what) : n, what ? what : t->at, expected);
}

gm_status gm_jparser_expect(gm_jparser *p, gm_jtoken_kind kind, const char *word, gm_error *err)
{
    if (!gm_jparser_sees(p, kind, word)) return gm_jparser_unexpected(p, word, err);
    return gm_jparser_advance(p, err);
}

gm_status gm_jparser_node(gm_jparser *p, gm_jnode **node, gm_jnode_kind kind, gm_error *err)
{
    *node = gm_arena_alloc(p->arena, 1, sizeof **node);
    if (*node == NULL) return gm_fail(err, GM_EMEM, "no memory for '%s'", p->lexer.where);
    **node = (gm_jnode){.kind = kind,
                        .line = p->token.line,
                        .text = p->token.at,
                        .n_text = p->token.n,
                        .number = p->token.number};
    return GM_OK;
}

gm_status gm_jparser_name(gm_jparser *p, gm_jnode **node, gm_jnode_kind kind, gm_error *err)
{
    gm_status status = GM_OK;
    if (p->token.kind != GM_JT_NAME) return gm_jparser_unexpected(p, "a name", err);
    GM_TRY(gm_jparser_node(p, node, kind, err));
    GM_TRY(gm_jparser_advance(p, err));
out:
    return status;
}

gm_status gm_jparser_deeper(gm_jparser *p, gm_error *err)
{
    if (++p->depth <= MAX_OPEN) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s', line %d: more than %d brackets and statements are open",
                   p->lexer.where, p->token.line, MAX_OPEN);
}

/* ---- statements ---- */

static gm_status close_tag(gm_jparser *p, gm_error *err)
{
    if (p->token.kind != GM_JT_CLOSE) return gm_jparser_unexpected(p, "the end of the tag", err);
    return gm_jparser_advance(p, err);
}

static gm_status parse_statement(gm_jparser *p, gm_jnode **node, bool *ended, gm_error *err);

/* Statements up to a tag that begins with else, elif or end..., whose name is the token then; or
 * to the template's end. */
static gm_status parse_body(gm_jparser *p, gm_jnode **list, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_jparser_deeper(p, err));
    while (p->token.kind != GM_JT_END) {
        bool ended = false;
        if (p->token.kind == GM_JT_DO) {
            GM_TRY(gm_jparser_advance(p, err));
            GM_TRY(parse_statement(p, list, &ended, err));
        } else if (p->token.kind == GM_JT_SAY) {
            GM_TRY(gm_jparser_node(p, list, GM_JN_SAY, err));
            GM_TRY(gm_jparser_advance(p, err));
            GM_TRY(gm_jparser_expression(p, &(*list)->a, true, err));
            GM_TRY(close_tag(p, err));
        } else {
            GM_TRY(gm_jparser_node(p, list, GM_JN_DATA, err));
            GM_TRY(gm_jparser_advance(p, err));
        }
        if (ended) break;
        list = &(*list)->next;
    }
    p->depth--;
out:
    return status;
}

/* A body, and the tag that ends it, of the name `end`. No loop around it is left from inside. */
static gm_status parse_rest(gm_jparser *p, gm_jnode **list, const char *end, gm_error *err)
{
    gm_status status = GM_OK;
    const int loops = p->loops;
    p->loops = 0;
    GM_TRY(parse_body(p, list, err));
    p->loops = loops;
    GM_TRY(gm_jparser_expect(p, GM_JT_NAME, end, err));
    GM_TRY(close_tag(p, err));
out:
    return status;
}

/* After "if" or "elif". */
static gm_status parse_if(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    for (;;) { /* what else: the next node's */
        bool taken;
        GM_TRY(gm_jparser_expression(p, &node->a, false, err));
        GM_TRY(close_tag(p, err));
        GM_TRY(parse_body(p, &node->list, err));
        if (!gm_jparser_sees(p, GM_JT_NAME, "elif")) {
            GM_TRY(gm_jparser_take(p, GM_JT_NAME, "else", &taken, err));
            if (taken) {
                GM_TRY(close_tag(p, err));
                GM_TRY(parse_body(p, &node->other, err));
            }
            break;
        }
        GM_TRY(gm_jparser_node(p, &node->other, GM_JN_IF, err));
        GM_TRY(gm_jparser_advance(p, err));
        node = node->other;
    }
    GM_TRY(gm_jparser_expect(p, GM_JT_NAME, "endif", err));
    GM_TRY(close_tag(p, err));
out:
    return status;
}

static gm_status parse_for(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode **end = &node->b;
    const int loops = p->loops;
    bool taken;
    do {
        GM_TRY(gm_jparser_name(p, end, GM_JN_NAME, err));
        assert(*end != NULL);
        end = &(*end)->next;
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ",", &taken, err));
    } while (taken);
    GM_TRY(gm_jparser_expect(p, GM_JT_NAME, "in", err));
    GM_TRY(gm_jparser_expression(p, &node->a, false, err));
    GM_TRY(gm_jparser_take(p, GM_JT_NAME, "if", &taken, err));
    if (taken) GM_TRY(gm_jparser_expression(p, &node->c, true, err));
    GM_TRY(close_tag(p, err)); /* so "recursive" is refused */
    p->loops = loops + 1;
    GM_TRY(parse_body(p, &node->list, err));
    p->loops = 0;
    GM_TRY(gm_jparser_take(p, GM_JT_NAME, "else", &taken, err));
    if (taken) {
        GM_TRY(close_tag(p, err));
        GM_TRY(parse_body(p, &node->other, err));
    }
    p->loops = loops;
    GM_TRY(gm_jparser_expect(p, GM_JT_NAME, "endfor", err));
    GM_TRY(close_tag(p, err));
out:
    return status;
}

static gm_status parse_set(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode *name = NULL;
    bool dot, equals;
    GM_TRY(gm_jparser_name(p, &name, GM_JN_NAME, err));
    assert(name != NULL);
    node->text = name->text;
    node->n_text = name->n_text;
    GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ".", &dot, err));
    if (dot) GM_TRY(gm_jparser_name(p, &node->b, GM_JN_NAME, err));
    GM_TRY(gm_jparser_take(p, GM_JT_SIGN, "=", &equals, err));
    if (dot && !equals) GM_TRY(gm_jparser_unexpected(p, "=", err));
    if (equals) {
        GM_TRY(gm_jparser_expression(p, &node->a, true, err));
        return close_tag(p, err);
    }
    node->kind = GM_JN_CAPTURE;
    GM_TRY(gm_jparser_filters(p, &node->a, err));
    GM_TRY(close_tag(p, err));
    GM_TRY(parse_rest(p, &node->list, "endset", err));
out:
    return status;
}

static gm_status parse_macro(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    gm_jnode *name = NULL;
    bool closed, comma = true;
    GM_TRY(gm_jparser_name(p, &name, GM_JN_NAME, err));
    assert(name != NULL);
    node->text = name->text;
    node->n_text = name->n_text;
    GM_TRY(gm_jparser_expect(p, GM_JT_SIGN, "(", err));
    for (gm_jnode **end = &node->b;; end = &(*end)->next) {
        bool equals;
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ")", &closed, err));
        if (closed) break;
        if (!comma) GM_TRY(gm_jparser_unexpected(p, ")", err));
        GM_TRY(gm_jparser_name(p, end, GM_JN_KEYWORD, err));
        assert(*end != NULL);
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, "=", &equals, err));
        if (equals) GM_TRY(gm_jparser_expression(p, &(*end)->a, true, err));
        GM_TRY(gm_jparser_take(p, GM_JT_SIGN, ",", &comma, err));
    }
    GM_TRY(close_tag(p, err));
    GM_TRY(parse_rest(p, &node->list, "endmacro", err));
out:
    return status;
}

static gm_status parse_filtered(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_jparser_filter(p, &node->a, err));
    GM_TRY(gm_jparser_filters(p, &node->a, err));
    GM_TRY(close_tag(p, err));
    GM_TRY(parse_rest(p, &node->list, "endfilter", err));
out:
    return status;
}

static gm_status parse_scope(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(close_tag(p, err));
    GM_TRY(parse_rest(p, &node->list, "endgeneration", err));
out:
    return status;
}

static gm_status parse_jump(gm_jparser *p, gm_jnode *node, gm_error *err)
{
    if (p->loops == 0)
        return gm_fail(err, GM_EFORMAT, "'%s', line %d: '%.*s' is outside a loop", p->lexer.where,
                       node->line, (int)node->n_text, node->text);
    return close_tag(p, err);
}

/* After "{%": one statement, or *ended at a word that ends what stands around it. */
static gm_status parse_statement(gm_jparser *p, gm_jnode **node, bool *ended, gm_error *err)
{
    static const struct {
        const char *word;
        gm_jnode_kind kind;
        gm_status (*parse)(gm_jparser *, gm_jnode *, gm_error *);
    } known[] = {
        {"if", GM_JN_IF, parse_if},
        {"for", GM_JN_FOR, parse_for},
        {"set", GM_JN_SET, parse_set},
        {"macro", GM_JN_MACRO, parse_macro},
        {"filter", GM_JN_FILTERED, parse_filtered},
        {"generation", GM_JN_SCOPE, parse_scope},
        {"break", GM_JN_BREAK, parse_jump},
        {"continue", GM_JN_CONTINUE, parse_jump},
    };
    gm_status status = GM_OK;
    const gm_jtoken *t = &p->token;
    *ended = gm_jparser_sees(p, GM_JT_NAME, "elif") || gm_jparser_sees(p, GM_JT_NAME, "else") ||
             (t->kind == GM_JT_NAME && t->n > 3 && memcmp(t->at, "end", 3) == 0);
    if (*ended) return GM_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!gm_jparser_sees(p, GM_JT_NAME, known[i].word)) continue;
        GM_TRY(gm_jparser_node(p, node, known[i].kind, err));
        GM_TRY(gm_jparser_advance(p, err));
        return known[i].parse(p, *node, err);
    }
    status = gm_jparser_unexpected(p, "a supported statement", err);
out:
    return status;
}

/* ---- templates ---- */

/* The text with its lines ending in \n, the last one without. */
static char *copy_lines(gm_arena *arena, const char *text, size_t n, size_t *n_copy)
{
    char *copy = gm_arena_alloc(arena, n + 1, 1);
    size_t k = 0;
    if (copy == NULL) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n' && i > 0 && text[i - 1] == '\r') continue;
        copy[k++] = text[i] == '\r' ? '\n' : text[i];
    }
    *n_copy = k > 0 && copy[k - 1] == '\n' ? k - 1 : k;
    return copy;
}

gm_status gm_jinja_parse(gm_jinja **out, const char *text, size_t n, const char *where,
                         gm_error *err)
{
    gm_status status = GM_OK;
    gm_jparser p = {0};
    size_t n_lines = 0;
    *out = NULL;
    gm_jinja *jinja = gm_alloc(1, sizeof *jinja);
    if (jinja == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", where);
    if (n > MAX_BYTES)
        GM_FAIL(GM_EFORMAT, "the chat template of '%s' has %zu bytes, expected at most %d", where,
                n, MAX_BYTES);
    if (gm_utf8_valid(text, n) != n) GM_FAIL(GM_EFORMAT, "'%s' is not UTF-8", where);
    jinja->where = gm_arena_text(&jinja->arena, where, strlen(where));
    const char *lines = copy_lines(&jinja->arena, text, n, &n_lines);
    if (jinja->where == NULL || lines == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", where);
    p.arena = &jinja->arena;
    gm_jlexer_init(&p.lexer, lines, n_lines, &jinja->arena, jinja->where);
    GM_TRY(gm_jparser_advance(&p, err));
    GM_TRY(parse_body(&p, &jinja->body, err));
    if (p.token.kind != GM_JT_END)
        GM_TRY(gm_jparser_unexpected(&p, "an opening tag before it", err));
    *out = jinja;
    jinja = NULL;
out:
    gm_jinja_free(jinja);
    return status;
}

void gm_jinja_free(gm_jinja *jinja)
{
    if (jinja == NULL) return;
    gm_arena_clear(&jinja->arena);
    gm_free(jinja);
}

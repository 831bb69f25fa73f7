/* jinja_parser.h - tokens to nodes: what statements and expressions share (inside engine/chat/).
 *
 * The grammar is Jinja's, with its precedences. Not read: floating-point numbers, powers, tuples
 * without brackets, several names on the left of a set, {% call %}, {% raw %}, and all that joins
 * several files.
 */
#ifndef GM_JINJA_PARSER_H
#define GM_JINJA_PARSER_H

#include "engine/chat/jinja_lexer.h"
#include "engine/chat/jinja_tree.h"

typedef struct gm_jparser {
    gm_jlexer lexer;
    gm_jtoken token; /* the current one */
    gm_arena *arena; /* of the nodes, borrowed */
    int depth;       /* statements and brackets that are open */
    int loops;       /* {% for %}s among them, since the last macro */
} gm_jparser;

gm_status gm_jparser_advance(gm_jparser *parser, gm_error *err) GM_MUST_USE;

/* Is the token this sign, or this name? */
bool gm_jparser_sees(const gm_jparser *parser, gm_jtoken_kind kind, const char *word);

/* Advance if it is; GM_EFORMAT with the line if it must be and is not. */
gm_status gm_jparser_take(gm_jparser *parser, gm_jtoken_kind kind, const char *word, bool *taken,
                          gm_error *err) GM_MUST_USE;
gm_status gm_jparser_expect(gm_jparser *parser, gm_jtoken_kind kind, const char *word,
                            gm_error *err) GM_MUST_USE;

/* "expected X" and what is there, GM_EFORMAT. */
gm_status gm_jparser_unexpected(const gm_jparser *parser, const char *expected, gm_error *err);

/* A node at the token's line, its text the token's. GM_EMEM. */
gm_status gm_jparser_node(gm_jparser *parser, gm_jnode **node, gm_jnode_kind kind, gm_error *err)
    GM_MUST_USE;

/* A name into node->text. */
gm_status gm_jparser_name(gm_jparser *parser, gm_jnode **node, gm_jnode_kind kind, gm_error *err)
    GM_MUST_USE;

/* One level deeper in brackets or statements, limited by the stack. The caller restores
 * parser->depth. */
gm_status gm_jparser_deeper(gm_jparser *parser, gm_error *err) GM_MUST_USE;

/* An expression; `whole` false: without an `if` of its own, as after {% if and a loop's `in`. */
gm_status gm_jparser_expression(gm_jparser *parser, gm_jnode **node, bool whole, gm_error *err)
    GM_MUST_USE;
/* Filters that follow *node, as in {% filter %} and {% set %}: "| x | y". */
gm_status gm_jparser_filters(gm_jparser *parser, gm_jnode **node, gm_error *err) GM_MUST_USE;
/* The name and arguments of one. */
gm_status gm_jparser_filter(gm_jparser *parser, gm_jnode **node, gm_error *err) GM_MUST_USE;

#endif

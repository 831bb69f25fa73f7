/* chat_spelling.c - see chat_spelling.h. */
#include "engine/tokenizer/chat_spelling.h"

#include <string.h>

/* A tag of a template: {{ expression }}, {% statement %} or {# comment #}, dashes included; kind 0:
 * the template's beginning or end. */
typedef struct tag {
    const char *at, *end;
    char kind; /* '{', '%', '#' */
} tag;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The first tag at or behind `at`; one that does not close ends with the template. */
static tag find_tag(const char *at, const char *end)
{
    while (end - at >= 2 && !(at[0] == '{' && strchr("{%#", at[1]) && at[1] != '\0')) at++;
    if (end - at < 2) return (tag){end, end, 0};
    const char close = at[1] == '{' ? '}' : at[1];
    tag t = {at, end, at[1]};
    char quote = '\0';
    for (at += 2; end - at >= 2; at++) {
        if (quote && *at == '\\')
            at++; /* and what it escapes */
        else if (quote)
            quote = *at == quote ? '\0' : quote;
        else if (t.kind != '#' && (*at == '\'' || *at == '"'))
            quote = *at;
        else if (at[0] == close && at[1] == '}') {
            t.end = at + 2;
            break;
        }
    }
    return t;
}

/* ---- between tags ---- */

static bool raises(tag t)
{
    static const char word[] = "raise_exception";
    const char *at = t.at + 2;
    if (t.kind != '{') return false;
    while (at < t.end && (is_blank(*at) || *at == '-')) at++;
    return (size_t)(t.end - at) > sizeof word && memcmp(at, word, sizeof word - 1) == 0;
}

/* Is there a dash at `at`, one of the tag's two places for it? */
static bool trims(tag t, const char *at)
{
    return t.kind && at >= t.at && at < t.end && *at == '-';
}

/* Does what stands between two tags vanish? A dash trims all blanks on its side; without one a
 * line's end goes behind a statement, and the blanks of a line in front of one. */
static bool vanishes(tag before, tag after)
{
    const char *at = before.end, *end = after.at;
    while (at < end && is_blank(*at)) at++;
    if (at < end) return false;
    at = before.end;
    if (at == end || trims(before, before.end - 3) || trims(after, after.at + 2) ||
        raises(before) || raises(after))
        return true;
    bool line = before.kind == 0; /* at a line's beginning */
    if ((before.kind == '%' || before.kind == '#' || after.kind == 0) && *at == '\n')
        at++, line = true;
    while (line && (after.kind == '%' || after.kind == '#') && at < end &&
           (*at == ' ' || *at == '\t'))
        at++;
    return at == end;
}

/* ---- inside of one ---- */

/* One item of an expression at text[0..n), outside a literal: what it is written as, and how many
 * bytes it takes. */
static size_t plain_item(const char *text, size_t n, const char **as, size_t *n_as)
{
    static const char *const same[][2] = {
        {"message['role']", "role"},
        {"message[\"role\"]", "role"},
        {"message.role", "role"},
        {"message['content']", "content"},
        {"message[\"content\"]", "content"},
        {"message.content", "content"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        size_t length = strlen(same[i][0]);
        if (n < length || memcmp(text, same[i][0], length) != 0) continue;
        *as = same[i][1];
        *n_as = strlen(same[i][1]);
        return length;
    }
    *as = text;
    *n_as = !is_blank(*text) && *text != '-';
    return 1;
}

/* The same inside a literal. */
static size_t literal_item(const char *text, size_t n, const char **as, size_t *n_as)
{
    const bool escape = n > 1 && *text == '\\';
    *as = escape ? text + 1 : text;
    *n_as = 1;
    if (escape && text[1] == 'n') *as = "\n";
    if (**as == '\'') *as = "\""; /* single quotes end literals */
    return escape ? 2 : 1;
}

static gm_status spell_tag(gm_text *out, tag t, gm_error *err)
{
    gm_status status = GM_OK;
    char quote = '\0'; /* that the literal began with */
    if (t.kind == '#') return GM_OK;
    for (const char *at = t.at; at < t.end;) {
        const char *as = "'";
        size_t n_as = 1, length = 1, n = (size_t)(t.end - at);
        if (quote ? *at == quote : *at == '\'' || *at == '"')
            quote = quote ? '\0' : *at;
        else if (quote)
            length = literal_item(at, n, &as, &n_as);
        else
            length = plain_item(at, n, &as, &n_as);
        GM_TRY(gm_text_append(out, as, n_as, err));
        at += length;
    }
out:
    return status;
}

gm_status gm_chat_spell(gm_text *out, bool *all, const char *text, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const char *end = text + n;
    tag last = {text, text, 0};
    *all = true;
    do {
        tag next = find_tag(last.end, end);
        *all = *all && vanishes(last, next);
        GM_TRY(spell_tag(out, next, err));
        last = next;
    } while (last.kind != 0);
out:
    return status;
}

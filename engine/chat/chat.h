/* chat.h - a question inside an instruct checkpoint's chat template, up to where the answer begins.
 *
 * The template is run (jinja.h) on an optional system message, earlier turns if there are any, and
 * one message of a user, without tools or documents. A template's own variables have its defaults
 * unless they are set. What cannot be run as transformers runs it is refused with the line.
 *
 * Source: Hugging Face's apply_chat_template(messages, add_generation_prompt=True).
 */
#ifndef GM_CHAT_H
#define GM_CHAT_H

#include "engine/chat/jinja.h"
#include "engine/tokenizer/tokenizer.h"

/* The date that templates get as the current one: fixed, so that a run can be repeated. */
#define GM_CHAT_DATE "2025-01-01"

/* Help texts of the programs' options. */
#define GM_CHAT_SET_HELP  "set a variable of the template (enable_thinking=false)"
#define GM_CHAT_DATE_HELP "date for a template that prints one (" GM_CHAT_DATE ")"

/* A turn before the question. */
typedef struct gm_chat_turn {
    const char *role; /* "user", "assistant" */
    const char *text; /* (n) */
    size_t n;
} gm_chat_turn;

/* All borrowed as long as the chat is used; all zeros: no options. */
typedef struct gm_chat_options {
    const char *system; /* the first message; NULL: none */
    const char *answer; /* how the answer begins, after the template; NULL: not given */
    const char *date;   /* YYYY-MM-DD; NULL: GM_CHAT_DATE */
    const char *const
        *settings;            /* (n_settings) "NAME=VALUE": variables of the template; VALUE is */
    size_t n_settings;        /* JSON (true, 3, "high"), or else a text */
    const gm_chat_turn *turn; /* (n_turns) after the system message */
    size_t n_turns;
} gm_chat_options;

typedef struct gm_chat {
    char name[17];      /* the first 16 hexadecimal digits of SHA-256 of the template's text; ""
                           before there is one */
    const char *date;   /* borrowed; NULL: the template asks for none */
    gm_text before;     /* the template's text before a question, other messages included */
    gm_text after;      /* and after it, the answer's beginning included */
    const char *answer; /* borrowed; the rest is the chat's own */
    const char *system, *today;
    const gm_chat_turn *turn; /* (n_turns) */
    size_t n_turns;
    gm_jinja *template;
    gm_json *variables; /* all but the messages */
} gm_chat;

/* Refuse options that are wrong in themselves: invalid UTF-8, something that is not a date or a
 * setting, any of them without a chat. GM_EARG. */
gm_status gm_chat_check(const gm_chat_options *options, bool chat, gm_error *err) GM_MUST_USE;

/* Members of an object for a file of results: "system", "answer", and when there are any
 * "chat_set", "chat_date". */
void gm_chat_put(const gm_chat_options *options, const char *date, gm_json_out *json);

/* Read the template of `folder`: chat_template.jinja, or 'chat_template' of
 * tokenizer_config.json, which also names the special tokens (beside the first it may be missing).
 * Errors: those of gm_chat_check;
 * GM_EIO; GM_EFORMAT (no template, or one that cannot be run), GM_EARG (it leaves a system message
 * out), GM_EMEM. */
gm_status gm_chat_open(gm_chat *out, const char *folder, const gm_chat_options *options,
                       gm_error *err) GM_MUST_USE;

/* The same from a template's text[0..n) and a parsed tokenizer_config.json (may be NULL); `where`
 * is the template's name in messages. */
gm_status gm_chat_make(gm_chat *out, const char *text, size_t n, const gm_json *config,
                       const gm_chat_options *options, const char *where, gm_error *err)
    GM_MUST_USE;
void gm_chat_clear(gm_chat *chat);

/* Append to *out the template's text for a question text[0..n), the answer's beginning included.
 * If the template trims a question, so does this. Errors: GM_EFORMAT (invalid UTF-8; the template
 * fails), GM_EMEM. */
gm_status gm_chat_render(const gm_chat *chat, const char *text, size_t n, gm_text *out,
                         gm_error *err) GM_MUST_USE;

/* Append the ids of a question text[0..n) inside the template, as encode(all of it,
 * add_special_tokens=False) gives them.
 *
 *   n_before, n_after   how many of them are the template's alone, from chat->before and after; a
 *                       token with text of both is the question's
 *
 * Errors: those of gm_chat_render and gm_encode; GM_EMEM. */
gm_status gm_chat_encode(const gm_chat *chat, gm_encoder *encoder, const char *text, size_t n,
                         gm_ids *ids, size_t *n_before, size_t *n_after, gm_error *err) GM_MUST_USE;

#endif

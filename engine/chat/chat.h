/* chat.h - a question inside an instruct checkpoint's chat template, up to where the answer begins.
 *
 * The template is run (jinja.h) on one message of a user, behind one of the system or none, and
 * behind earlier turns if there are any; tools and documents there are none. A template's own
 * variables have its defaults unless they are set. What cannot be run as transformers runs it is
 * refused with the line.
 *
 * Source: what Hugging Face's apply_chat_template(messages, add_generation_prompt=True) gives.
 */
#ifndef GM_CHAT_H
#define GM_CHAT_H

#include "engine/chat/jinja.h"
#include "engine/tokenizer/tokenizer.h"

/* The date of templates that name the current one. It is fixed, so that a run can be repeated. */
#define GM_CHAT_DATE "2025-01-01"

/* What options of programs say of the two. */
#define GM_CHAT_SET_HELP  "set a variable of the template (enable_thinking=false)"
#define GM_CHAT_DATE_HELP "date for a template that prints one (" GM_CHAT_DATE ")"

/* What was said before the question. */
typedef struct gm_chat_turn {
    const char *role; /* "user", "assistant" */
    const char *text; /* (n) */
    size_t n;
} gm_chat_turn;

/* All borrowed as long as the chat is used; zeros: none. */
typedef struct gm_chat_options {
    const char *system; /* message in front; NULL: none */
    const char *answer; /* what the answer begins with, behind the template; NULL: nothing */
    const char *date;   /* YYYY-MM-DD; NULL: GM_CHAT_DATE */
    const char *const
        *settings;            /* (n_settings) "NAME=VALUE": variables of the template; VALUE is */
    size_t n_settings;        /* JSON (true, 3, "high"), or else a text */
    const gm_chat_turn *turn; /* (n_turns) behind the system message */
    size_t n_turns;
} gm_chat_options;

typedef struct gm_chat {
    char name[17];      /* the first 16 hexadecimal digits of SHA-256 of the template's text; ""
                           before there is one */
    const char *date;   /* that the template names, borrowed; NULL: it names none */
    gm_text before;     /* what stands in front of a question, other messages included */
    gm_text after;      /* and behind it, the answer's beginning included */
    const char *answer; /* borrowed; the rest is the chat's own */
    const char *system, *today;
    const gm_chat_turn *turn; /* (n_turns) */
    size_t n_turns;
    gm_jinja *template;
    gm_json *variables; /* but for the messages */
} gm_chat;

/* Refuse options that are wrong in themselves: text that is not UTF-8, a date or setting that is
 * none, any of them without a chat. GM_EARG. */
gm_status gm_chat_check(const gm_chat_options *options, bool chat, gm_error *err) GM_MUST_USE;

/* Members of an object for a file of results: "system", "answer", and when there are any
 * "chat_set", "chat_date". */
void gm_chat_put(const gm_chat_options *options, const char *date, gm_json_out *json);

/* Read the template of `folder`: chat_template.jinja, or 'chat_template' of
 * tokenizer_config.json, which also names the special tokens. Errors: those of gm_chat_check;
 * GM_EIO; GM_EFORMAT (no template, or one that cannot be run), GM_EARG (it leaves a system message
 * out), GM_EMEM. */
gm_status gm_chat_open(gm_chat *out, const char *folder, const gm_chat_options *options,
                       gm_error *err) GM_MUST_USE;

/* The same from a template's text[0..n) and what tokenizer_config.json says (NULL: nothing);
 * `where` is the template's name in messages. */
gm_status gm_chat_make(gm_chat *out, const char *text, size_t n, const gm_json *config,
                       const gm_chat_options *options, const char *where, gm_error *err)
    GM_MUST_USE;
void gm_chat_clear(gm_chat *chat);

/* Append to *out what the template makes of a question text[0..n), the answer's beginning
 * included. Where it leaves the blanks around a question out, so does this. Errors: GM_EFORMAT
 * (no UTF-8; the template fails), GM_EMEM. */
gm_status gm_chat_render(const gm_chat *chat, const char *text, size_t n, gm_text *out,
                         gm_error *err) GM_MUST_USE;

/* Append the ids of a question text[0..n) inside the template, as encode(all of it,
 * add_special_tokens=False) gives them.
 *
 *   n_before, n_after   how many of them are the template's alone: of chat->before and after, as
 *                       far as this question has them around it; a token that holds words of
 *                       both is the question's
 *
 * Errors: those of gm_chat_render and gm_encode; GM_EMEM. */
gm_status gm_chat_encode(const gm_chat *chat, gm_encoder *encoder, const char *text, size_t n,
                         gm_ids *ids, size_t *n_before, size_t *n_after, gm_error *err) GM_MUST_USE;

#endif

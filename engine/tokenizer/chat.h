/* chat.h - what an instruct checkpoint puts around a question: the words of its chat template in
 * front of it and behind it, up to where the answer begins.
 *
 * A template is a program (Jinja), and none is run here. Those of the families whose models this
 * engine reads wrap one question, with or without a system message, in constant words; chat.c has
 * them as a table, and tells by the expressions of the template's text which of them it is. A
 * template that is none of them is refused. Tools, images, earlier turns and templates' own
 * variables are left alone: they have their defaults.
 *
 * Source: what Hugging Face's apply_chat_template(messages, add_generation_prompt=True) gives
 * for one message of a user, behind one of the system or none.
 */
#ifndef GM_CHAT_H
#define GM_CHAT_H

#include "engine/tokenizer/tokenizer.h"

typedef struct gm_chat {
    const char *name; /* "chatml", ...; static */
    gm_text before, after;
} gm_chat;

/* Read the template of `folder`: chat_template.jinja, or 'chat_template' of
 * tokenizer_config.json, which also names the token that begins a text. `system`: the message
 * in front, NULL for none. Errors: GM_EIO, GM_EFORMAT (no template, or none that is known),
 * GM_EARG (a system message where the template has no place for one), GM_EMEM. */
gm_status gm_chat_open(gm_chat *out, const char *folder, const char *system, gm_error *err)
    GM_MUST_USE;

/* The same from a template's text and the spelling of that token ("" where there is none);
 * `where` is the template's name in messages. */
gm_status gm_chat_make(gm_chat *out, const char *text, size_t n, const char *bos,
                       const char *system, const char *where, gm_error *err) GM_MUST_USE;
void gm_chat_clear(gm_chat *chat);

/* Append the ids of a question text[0..n) inside the template, as encode(all of it,
 * add_special_tokens=False) gives them.
 *
 *   n_before, n_after   how many of them are the template's alone; a token that holds words of
 *                       both is the question's
 *
 * Errors: those of gm_encode; GM_EMEM. */
gm_status gm_chat_encode(const gm_chat *chat, gm_encoder *encoder, const char *text, size_t n,
                         gm_ids *ids, size_t *n_before, size_t *n_after, gm_error *err) GM_MUST_USE;

#endif

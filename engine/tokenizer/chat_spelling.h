/* chat_spelling.h - the text of a chat template in one spelling, so that templates written in
 * different hands can be compared (inside engine/tokenizer/).
 */
#ifndef GM_CHAT_SPELLING_H
#define GM_CHAT_SPELLING_H

#include "base/text.h"

/* Append the tags of a Jinja template text[0..n) to *out: without blanks and the dashes that trim
 * them, literals in single quotes and with their escapes resolved (a single quote inside becomes
 * a double one), message['role'] and message.role as `role`, likewise `content`; comments are left
 * out. *all: all that the template says is said by its tags - what stands between them vanishes as
 * transformers renders templates (trim_blocks, lstrip_blocks), or stands beside a
 * raise_exception. GM_EMEM. */
gm_status gm_chat_spell(gm_text *out, bool *all, const char *text, size_t n, gm_error *err)
    GM_MUST_USE;

#endif

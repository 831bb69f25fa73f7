/* decoder.h - the decoder of a tokenizer.json: spellings of tokens into text.
 *
 * Understood: Sequence, ByteLevel, ByteFallback, Fuse, Replace (String), Strip,
 * Metaspace. Without a decoder the spellings are joined by spaces.
 */
#ifndef GM_DECODER_H
#define GM_DECODER_H

#include "base/json.h"
#include "base/text.h"

/* Strings one after another: the tokens on their way to becoming text. */
typedef struct gm_strings {
    gm_text text;
    size_t *stop; /* (cap) one past string i in `text`, of which n are in use */
    size_t n, cap;
} gm_strings; /* starts as (gm_strings){0} */

gm_status gm_strings_append(gm_strings *strings, const char *bytes, size_t n, gm_error *err)
    GM_MUST_USE;
void gm_strings_clear(gm_strings *strings);

typedef struct gm_decoder {
    struct gm_decoder_step *step; /* (n) in order */
    size_t n;
    bool given;     /* false: join by spaces */
    bool all_first; /* the text is known only after the last token */
} gm_decoder;       /* starts as (gm_decoder){0} */

/* The "decoder" of a tokenizer.json; NULL or null means none. Errors: GM_EFORMAT
 * naming the type that is not understood, GM_EMEM. */
gm_status gm_decoder_load(gm_decoder *out, const gm_json *json, const char *where, gm_error *err)
    GM_MUST_USE;
void gm_decoder_clear(gm_decoder *decoder);

/* Decode tokens, taking the strings apart, and append the text.
 *
 *   begun   text was given before these tokens: they are not the first
 *   last    no tokens will follow. When false, what may still change (half a
 *           character, a run of byte tokens) is kept back, and *held is true */
gm_status gm_decoder_apply(const gm_decoder *decoder, gm_strings *tokens, bool begun, bool last,
                           bool *held, gm_text *text, gm_error *err) GM_MUST_USE;

/* Append the bytes that one token adds between others; those of half a character are given as they
 * are. */
gm_status gm_decoder_piece(const gm_decoder *decoder, const char *token, size_t n, gm_text *bytes,
                           gm_error *err) GM_MUST_USE;

#endif

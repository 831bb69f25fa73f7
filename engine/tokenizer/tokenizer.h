/* tokenizer.h - text to token ids and back, exactly as Hugging Face's
 * `tokenizers` does it from a tokenizer.json.
 *
 * Understood: models BPE (byte level, or byte_fallback); normalizers, pre-
 * tokenizers, post-processors and decoders as listed in README.md of this folder.
 * Anything else is refused by name when the file is loaded, never ignored.
 *
 * A tokenizer is immutable after gm_tokenizer_open and may be shared by threads;
 * each thread that encodes has its own gm_encoder (scratch memory, a cache of
 * pieces). Text is valid UTF-8; it may hold NUL.
 */
#ifndef GM_TOKENIZER_H
#define GM_TOKENIZER_H

#include "base/text.h"

typedef struct gm_tokenizer gm_tokenizer;
typedef struct gm_encoder gm_encoder;

/* A growing list of token ids; starts as (gm_ids){0}, freed with gm_ids_clear. */
typedef struct gm_ids {
    uint32_t *at;
    size_t n, cap;
} gm_ids;

gm_status gm_ids_append(gm_ids *ids, uint32_t id, gm_error *err) GM_MUST_USE;
void gm_ids_clear(gm_ids *ids);

/* Load `folder`/tokenizer.json (or the file itself when `path` ends in .json).
 * Errors: GM_EIO, GM_EFORMAT naming the component that is not understood, GM_EMEM. */
gm_status gm_tokenizer_open(gm_tokenizer **out, const char *path, gm_error *err) GM_MUST_USE;

/* The same from the bytes of a tokenizer.json, called `where` in messages. */
gm_status gm_tokenizer_parse(gm_tokenizer **out, const char *bytes, size_t n, const char *where,
                             gm_error *err) GM_MUST_USE;
void gm_tokenizer_close(gm_tokenizer *tokenizer);

/* One more than the largest id, added tokens included. */
size_t gm_tokenizer_size(const gm_tokenizer *tokenizer);

/* SHA-256 of the file's bytes, 64 hex digits. */
const char *gm_tokenizer_digest(const gm_tokenizer *tokenizer);

/* The id of a token by its exact spelling in the file (added tokens included);
 * false when there is none. */
bool gm_tokenizer_find(const gm_tokenizer *tokenizer, const char *spelling, uint32_t *id);

/* Spelling of a token in the file; NULL for an id without one. */
const char *gm_tokenizer_spelling(const gm_tokenizer *tokenizer, uint32_t id, size_t *n_bytes);

gm_status gm_encoder_create(gm_encoder **out, const gm_tokenizer *tokenizer, gm_error *err)
    GM_MUST_USE;
void gm_encoder_free(gm_encoder *encoder);

/* What there is to know of the ids that one call has appended.
 *
 *   n_before, n_after   written: how many of them the post-processor put before
 *              and after the text's own (template tokens, phase 2)
 *   ends       borrowed, appended to; NULL: not wanted. For every id, one past
 *              the byte of the text where the token's text ends (0 for tokens put
 *              before, n for those after), so that the bytes of the first N tokens
 *              can be cut out. Ends never decrease, and are never inside a UTF-8
 *              character: a token that ends there counts the whole character.
 *              Where a normalizer composed several characters: the end of the last
 */
typedef struct gm_encoded {
    size_t n_before, n_after;
    gm_ids *ends;
} gm_encoded;

/* Append the ids of text[0..n) to *ids; on failure nothing is appended.
 *
 *   specials   true: what encode(text) gives, the post-processor's tokens
 *              included; false: the text's own tokens only
 *   about      may be NULL
 *
 * Errors: GM_EFORMAT (the text is not valid UTF-8: says at which byte; or the
 * tokenizer's pattern fails on it, or its unknown token is missing), GM_EARG (a text
 * of 1 GiB or more), GM_EMEM. */
gm_status gm_encode(gm_encoder *encoder, const char *text, size_t n, bool specials, gm_ids *ids,
                    gm_encoded *about, gm_error *err) GM_MUST_USE;

/* Append the text of ids[0..n) to *text, as decode(ids, skip_special_tokens).
 * Bytes that are not UTF-8 become U+FFFD as the reference does. GM_EARG for an id
 * out of range. */
gm_status gm_decode(const gm_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                    bool skip_specials, gm_text *text, gm_error *err) GM_MUST_USE;

/* Append the bytes that a token adds inside a text. gm_decode of several tokens is their pieces one
 * after another, except for a space at the start, and for invalid UTF-8, which is given here as it
 * is. Nothing for an id without a spelling. GM_EARG out of range. */
gm_status gm_tokenizer_piece(const gm_tokenizer *tokenizer, uint32_t id, gm_text *bytes,
                             gm_error *err) GM_MUST_USE;

/* Decoding token by token: whole characters only. What one call appends, over
 * all calls and gm_stream_end, equals gm_decode of all ids. */
typedef struct gm_stream {
    const gm_tokenizer *tokenizer; /* borrowed */
    bool skip_specials;
    gm_ids ids;     /* tokens not yet fully printed */
    size_t n_shown; /* private: bytes of their text already given */
    bool begun;
} gm_stream;

void gm_stream_init(gm_stream *stream, const gm_tokenizer *tokenizer, bool skip_specials);
gm_status gm_stream_add(gm_stream *stream, uint32_t id, gm_text *text, gm_error *err) GM_MUST_USE;
gm_status gm_stream_end(gm_stream *stream, gm_text *text, gm_error *err) GM_MUST_USE;
void gm_stream_clear(gm_stream *stream);

#endif

/* stream.c - token ids to text, all at once and one by one.
 *
 * A stream keeps the tokens whose text may still change: it decodes them again
 * with each new one, gives what is new and certain, and forgets them as soon as
 * nothing is held back. So it keeps a few tokens, except under a decoder that must
 * see the last token first (gm_decoder.all_first).
 */
#include "engine/tokenizer/tokenizer_parts.h"

#include <string.h>

/* What a token decodes to; false when it is left out. The reference knows special
 * tokens by their spelling: one that normalization has changed is not left out. */
static bool spelling_of(const gm_tokenizer *t, uint32_t id, bool skip_specials, gm_spelling *out)
{
    const gm_added_token *token = gm_added_get(&t->added, id);
    if (token == NULL) {
        *out = gm_spellings_get(&t->bpe.vocabulary, id);
        return out->at != NULL;
    }
    gm_spelling content = gm_spellings_get(&t->added.names, id);
    *out = token->shown;
    bool unchanged = out->n == content.n && memcmp(out->at, content.at, content.n) == 0;
    return !(skip_specials && token->special && unchanged);
}

static gm_status check_id(const gm_tokenizer *t, uint32_t id, gm_error *err)
{
    if (id < t->size) return GM_OK;
    return gm_fail(err, GM_EARG, "token id %u, expected less than %zu", (unsigned)id, t->size);
}

/* The spellings of ids[0..n), without specials when they are skipped. */
static gm_status spell(const gm_tokenizer *t, const uint32_t *ids, size_t n, bool skip_specials,
                       gm_strings *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_spelling s;
    for (size_t i = 0; i < n && status == GM_OK; i++) {
        status = check_id(t, ids[i], err);
        if (status == GM_OK && spelling_of(t, ids[i], skip_specials, &s))
            status = gm_strings_append(out, s.at, s.n, err);
    }
    return status;
}

gm_status gm_decode(const gm_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                    bool skip_specials, gm_text *text, gm_error *err)
{
    gm_status status = GM_OK;
    gm_strings tokens = {0};
    const size_t n_text = text->n;
    bool held;
    GM_TRY(spell(tokenizer, ids, n, skip_specials, &tokens, err));
    GM_TRY(gm_decoder_apply(&tokenizer->decoder, &tokens, false, true, &held, text, err));
out:
    gm_strings_clear(&tokens);
    if (status != GM_OK) text->n = n_text;
    return status;
}

gm_status gm_tokenizer_piece(const gm_tokenizer *tokenizer, uint32_t id, gm_text *bytes,
                             gm_error *err)
{
    gm_spelling s;
    gm_status status = check_id(tokenizer, id, err);
    if (status != GM_OK || !spelling_of(tokenizer, id, false, &s)) return status;
    return gm_decoder_piece(&tokenizer->decoder, s.at, s.n, bytes, err);
}

void gm_stream_init(gm_stream *stream, const gm_tokenizer *tokenizer, bool skip_specials)
{
    *stream = (gm_stream){.tokenizer = tokenizer, .skip_specials = skip_specials};
}

/* Give what is certain by now, or, at the end, everything. */
static gm_status show(gm_stream *stream, bool last, gm_text *text, gm_error *err)
{
    gm_status status = GM_OK;
    gm_strings tokens = {0};
    gm_text decoded = {0};
    bool held = false;
    const gm_tokenizer *t = stream->tokenizer;
    if (!last && t->decoder.all_first) return GM_OK;

    GM_TRY(spell(t, stream->ids.at, stream->ids.n, stream->skip_specials, &tokens, err));
    GM_TRY(gm_decoder_apply(&t->decoder, &tokens, stream->begun, last, &held, &decoded, err));
    if (decoded.n > stream->n_shown)
        GM_TRY(
            gm_text_append(text, decoded.at + stream->n_shown, decoded.n - stream->n_shown, err));
    stream->n_shown = decoded.n;
    /* Until something was shown the decoder must see the first token again. */
    if (!held && (decoded.n > 0 || stream->begun)) {
        stream->begun = true;
        stream->ids.n = 0;
        stream->n_shown = 0;
    }
out:
    gm_strings_clear(&tokens);
    gm_text_clear(&decoded);
    return status;
}

gm_status gm_stream_add(gm_stream *stream, uint32_t id, gm_text *text, gm_error *err)
{
    gm_spelling unused;
    gm_status status = check_id(stream->tokenizer, id, err);
    if (status != GM_OK) return status;
    if (!spelling_of(stream->tokenizer, id, stream->skip_specials, &unused)) return GM_OK;
    status = gm_ids_append(&stream->ids, id, err);
    return status != GM_OK ? status : show(stream, false, text, err);
}

gm_status gm_stream_end(gm_stream *stream, gm_text *text, gm_error *err)
{
    gm_status status = show(stream, true, text, err);
    if (status == GM_OK) {
        stream->ids.n = 0;
        stream->n_shown = 0;
        stream->begun = false;
    }
    return status;
}

void gm_stream_clear(gm_stream *stream)
{
    gm_ids_clear(&stream->ids);
    gm_stream_init(stream, stream->tokenizer, stream->skip_specials);
}

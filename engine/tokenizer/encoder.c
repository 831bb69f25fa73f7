/* encoder.c - text to token ids: the parts of a tokenizer one after another.
 *
 * Added tokens are cut out of the raw text; what lies between is normalized;
 * added tokens that ask for it are cut out of that; what is left is split into
 * pieces, and every piece goes through byte-pair encoding.
 */
#include "engine/tokenizer/tokenizer_parts.h"

struct gm_encoder {
    const gm_tokenizer *tokenizer;
    gm_regex_work *regex;
    gm_normalizer_work normalizer;
    gm_splitter_work splitter;
    gm_bpe_work bpe;
};

gm_status gm_encoder_create(gm_encoder **out, const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    *out = NULL;
    gm_encoder *encoder = gm_alloc(1, sizeof *encoder);
    if (encoder == NULL) return gm_fail(err, GM_EMEM, "no memory for an encoder");
    encoder->tokenizer = tokenizer;
    GM_TRY(gm_regex_work_create(&encoder->regex, err));
    GM_TRY(gm_bpe_work_init(&encoder->bpe, err));
    *out = encoder;
    encoder = NULL; /* now the caller's */
out:
    gm_encoder_free(encoder);
    return status;
}

void gm_encoder_free(gm_encoder *encoder)
{
    if (encoder == NULL) return;
    gm_regex_work_free(encoder->regex);
    gm_normalizer_work_clear(&encoder->normalizer);
    gm_splitter_work_clear(&encoder->splitter);
    gm_bpe_work_clear(&encoder->bpe);
    gm_free(encoder);
}

/* Where the tokens go. */
typedef struct sink {
    gm_ids *ids;
    gm_ids *ends;  /* NULL when nobody asks */
    uint32_t last; /* ends never go back, even where stripped white space is met twice */
} sink;

static gm_status emit(sink *out, uint32_t id, uint32_t end, gm_error *err)
{
    if (out->ends) {
        if (end > out->last) out->last = end;
        gm_status status = gm_ids_append(out->ends, out->last, err);
        if (status != GM_OK) return status;
    }
    return gm_ids_append(out->ids, id, err);
}

/* Bytes [start,stop) of the view are one piece. */
static gm_status encode_piece(gm_encoder *encoder, const gm_view *view, size_t start, size_t stop,
                              sink *out, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_bpe *bpe = &encoder->tokenizer->bpe;
    while (start < stop) {
        const gm_token *token;
        const char *at = view->at + start;
        size_t n_tokens, n = gm_bpe_cut(bpe, at, stop - start);
        GM_TRY(gm_bpe_encode(bpe, &encoder->bpe, at, n, &token, &n_tokens, err));
        for (size_t i = 0; i < n_tokens; i++) {
            uint32_t end = out->ends ? gm_view_end(view, start + token[i].end) : 0;
            GM_TRY(emit(out, token[i].id, end, err));
        }
        start += n;
    }
out:
    return status;
}

/* Normalized text without added tokens. */
static gm_status encode_plain(gm_encoder *encoder, gm_view view, sink *out, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_pieces *pieces;
    GM_TRY(gm_splitter_apply(&encoder->tokenizer->splitter, &encoder->splitter, encoder->regex,
                             &view, &pieces, err));
    for (size_t i = 0; i < pieces->n; i++)
        GM_TRY(encode_piece(encoder, &view, pieces->at[i].start, pieces->at[i].stop, out, err));
out:
    return status;
}

static gm_status encode_between(gm_encoder *encoder, gm_view view, sink *out, gm_error *err);

/* Cut the view at the added tokens of one trie; what lies between goes on to
 * `rest`. */
static gm_status encode_around(gm_encoder *encoder, const gm_trie *trie, const gm_view *view,
                               gm_status (*rest)(gm_encoder *, gm_view, sink *, gm_error *),
                               sink *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_added_walk walk = {.at = view->at, .n = view->n};
    size_t done = 0, start, stop;
    uint32_t id;
    while (gm_added_next(&encoder->tokenizer->added, trie, &walk, &start, &stop, &id)) {
        if (done < start) GM_TRY(rest(encoder, gm_view_slice(view, done, start), out, err));
        GM_TRY(emit(out, id, gm_view_end(view, stop), err));
        done = stop;
    }
    if (done < view->n) GM_TRY(rest(encoder, gm_view_slice(view, done, view->n), out, err));
out:
    return status;
}

/* Raw text between added tokens. */
static gm_status encode_between(gm_encoder *encoder, gm_view view, sink *out, gm_error *err)
{
    const gm_tokenizer *t = encoder->tokenizer;
    gm_status status =
        gm_normalizer_apply(&t->normalizer, &encoder->normalizer, encoder->regex, &view, err);
    return status != GM_OK
               ? status
               : encode_around(encoder, &t->added.normalized, &view, encode_plain, out, err);
}

static gm_status emit_all(sink *out, const gm_ids *ids, uint32_t end, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < ids->n && status == GM_OK; i++) status = emit(out, ids->at[i], end, err);
    return status;
}

gm_status gm_encode(gm_encoder *encoder, const char *text, size_t n, bool specials, gm_ids *ids,
                    gm_encoded *about, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_tokenizer *t = encoder->tokenizer;
    gm_ids *ends = about ? about->ends : NULL;
    const size_t n_ids = ids->n, n_ends = ends ? ends->n : 0;
    const gm_view view = {.at = text, .n = n};
    sink out = {.ids = ids, .ends = ends};
    if (about) about->n_before = specials ? t->template.before.n : 0;
    if (about) about->n_after = specials ? t->template.after.n : 0;

    if (n >= UINT32_MAX / 4) GM_FAIL(GM_EARG, "a text of %zu bytes is too long to encode", n);
    size_t valid = gm_utf8_valid(text, n);
    if (valid != n) GM_FAIL(GM_EFORMAT, "the text is not valid UTF-8 at byte %zu", valid);

    if (specials) GM_TRY(emit_all(&out, &t->template.before, 0, err));
    GM_TRY(encode_around(encoder, &t->added.raw, &view, encode_between, &out, err));
    if (specials) GM_TRY(emit_all(&out, &t->template.after, (uint32_t)n, err));
out:
    if (status != GM_OK) {
        ids->n = n_ids;
        if (ends) ends->n = n_ends;
    }
    return status;
}

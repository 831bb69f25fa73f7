/* tokenizer.c - loading a tokenizer.json, and looking things up in it.
 *
 * `truncation` and `padding` are ignored: the reference's callers switch them off
 * unless they are asked for.
 */
#include "engine/tokenizer/tokenizer.h"

#include "base/folder.h"
#include "base/sha256.h"
#include "engine/tokenizer/component.h"
#include "engine/tokenizer/tokenizer_parts.h"

#include <string.h>

enum { MAX_BYTES = 512 * 1024 * 1024 };

/* ---- loading ---- */

/* Every id that the post-processor adds must have a spelling. */
static gm_status check_template(const gm_tokenizer *t, const gm_ids *ids, const char *where,
                                gm_error *err)
{
    size_t n;
    for (size_t i = 0; i < ids->n; i++)
        if (gm_tokenizer_spelling(t, ids->at[i], &n) == NULL)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': the post-processor adds id %u, which no token has", where,
                           (unsigned)ids->at[i]);
    return GM_OK;
}

/* Where in the original text a changed piece begins is known as exactly as the
 * reference knows it only in the simple cases. */
static gm_status check_start(const gm_tokenizer *t, const char *where, gm_error *err)
{
    bool unsure =
        t->normalizer.n > 0 &&
        (t->normalizer.moves_start || t->splitter.asks_start_later || t->added.normalized.n > 0);
    if (!t->splitter.asks_start || !unsure) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s': pre-tokenizer 'Metaspace' with prepend_scheme 'first' is not supported "
                   "together with this normalizer",
                   where);
}

static gm_status load(gm_tokenizer *t, const gm_json *json, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    if (gm_json_kind_of(json) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s' is not a JSON object", where);
    GM_TRY(gm_normalizer_load(&t->normalizer, gm_json_find(json, "normalizer"), where, err));
    GM_TRY(gm_splitter_load(&t->splitter, gm_json_find(json, "pre_tokenizer"), where, err));
    GM_TRY(gm_bpe_load(&t->bpe, gm_json_find(json, "model"), t->splitter.byte_level, where, err));
    GM_TRY(gm_added_load(&t->added, gm_json_find(json, "added_tokens"), &t->bpe.vocabulary,
                         &t->normalizer, where, err));
    GM_TRY(check_start(t, where, err));
    GM_TRY(gm_template_load(&t->template, gm_json_find(json, "post_processor"), where, err));
    GM_TRY(gm_decoder_load(&t->decoder, gm_json_find(json, "decoder"), where, err));

    t->size = t->bpe.vocabulary.n_ids;
    if (t->added.names.n_ids > t->size) t->size = t->added.names.n_ids;
    if (t->size == 0) GM_FAIL(GM_EFORMAT, "'%s' has no tokens", where);
    GM_TRY(check_template(t, &t->template.before, where, err));
    GM_TRY(check_template(t, &t->template.after, where, err));
out:
    return status;
}

/* `path` itself when it ends in .json, otherwise the tokenizer.json in it. */
static gm_status file_name(gm_text *out, const char *path, gm_error *err)
{
    if (gm_ends_in(path, ".json")) return gm_text_add(out, path, err);
    return gm_folder_file(out, path, "tokenizer.json", "model", err);
}

gm_status gm_tokenizer_parse(gm_tokenizer **out, const char *bytes, size_t n, const char *where,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *json = NULL;
    uint8_t digest[32];
    *out = NULL;

    gm_tokenizer *t = gm_alloc(1, sizeof *t);
    if (t == NULL) return gm_fail(err, GM_EMEM, "no memory for a tokenizer");
    GM_TRY(gm_refuse_lfs_pointer(bytes, n, where, err));
    gm_sha256_of(bytes, n, digest);
    gm_sha256_hex(digest, t->digest);
    GM_TRY(gm_json_parse(&json, bytes, n, where, err));
    GM_TRY(load(t, json, where, err));
    *out = t;
    t = NULL; /* now the caller's */
out:
    gm_json_free(json);
    gm_tokenizer_close(t);
    return status;
}

gm_status gm_tokenizer_open(gm_tokenizer **out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text name = {0}, bytes = {0};
    *out = NULL;
    GM_TRY(file_name(&name, path, err));
    GM_TRY(gm_text_read_file(&bytes, name.at, MAX_BYTES, err));
    GM_TRY(gm_tokenizer_parse(out, bytes.at, bytes.n, name.at, err));
out:
    gm_text_clear(&bytes);
    gm_text_clear(&name);
    return status;
}

void gm_tokenizer_close(gm_tokenizer *tokenizer)
{
    if (tokenizer == NULL) return;
    gm_added_clear(&tokenizer->added);
    gm_normalizer_clear(&tokenizer->normalizer);
    gm_splitter_clear(&tokenizer->splitter);
    gm_bpe_clear(&tokenizer->bpe);
    gm_template_clear(&tokenizer->template);
    gm_decoder_clear(&tokenizer->decoder);
    gm_free(tokenizer);
}

/* ---- looking up ---- */

size_t gm_tokenizer_size(const gm_tokenizer *tokenizer)
{
    return tokenizer->size;
}

const char *gm_tokenizer_digest(const gm_tokenizer *tokenizer)
{
    return tokenizer->digest;
}

bool gm_tokenizer_find(const gm_tokenizer *tokenizer, const char *spelling, uint32_t *id)
{
    size_t n = strlen(spelling);
    return gm_spellings_find(&tokenizer->added.names, spelling, n, id) ||
           gm_spellings_find(&tokenizer->bpe.vocabulary, spelling, n, id);
}

const char *gm_tokenizer_spelling(const gm_tokenizer *tokenizer, uint32_t id, size_t *n_bytes)
{
    gm_spelling s = gm_spellings_get(&tokenizer->added.names, id);
    if (s.at == NULL) s = gm_spellings_get(&tokenizer->bpe.vocabulary, id);
    if (n_bytes) *n_bytes = s.n;
    return s.at;
}

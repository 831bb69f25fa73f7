/* bpe.c - byte-pair encoding of one piece of text. */
#include "engine/tokenizer/bpe.h"

#include "base/text.h"
#include "engine/tokenizer/alphabet.h"
#include "engine/tokenizer/bytehash.h"

enum { FIRST_CAP = 256 };

static gm_status make_room(gm_bpe_work *work, size_t n, gm_error *err)
{
    if (n <= work->cap) return GM_OK;
    size_t cap = work->cap ? work->cap : FIRST_CAP;
    while (cap < n) cap += cap / 2;

    gm_free(work->token);
    gm_free(work->link);
    gm_free(work->heap);
    work->cap = 0;
    work->token = gm_alloc(cap, sizeof *work->token);
    work->link = gm_alloc(cap, sizeof *work->link);
    work->heap = gm_alloc2(2, cap, sizeof *work->heap); /* a merge takes one, puts up to two */
    if (work->token == NULL || work->link == NULL || work->heap == NULL)
        return gm_fail(err, GM_EMEM, "no memory to encode a piece of %zu symbols", n);
    work->cap = cap;
    return GM_OK;
}

gm_status gm_bpe_work_init(gm_bpe_work *work, gm_error *err)
{
    *work = (gm_bpe_work){0};
    gm_status status = gm_piece_cache_init(&work->cache, err);
    if (status == GM_OK) status = make_room(work, FIRST_CAP, err);
    if (status != GM_OK) gm_bpe_work_clear(work);
    return status;
}

void gm_bpe_work_clear(gm_bpe_work *work)
{
    gm_piece_cache_clear(&work->cache);
    gm_free(work->token);
    gm_free(work->link);
    gm_free(work->heap);
    *work = (gm_bpe_work){0};
}

size_t gm_bpe_cut(const gm_bpe *bpe, const char *text, size_t n)
{
    if (!bpe->cut_at_marks) return n;
    const char *at = text, *stop = text + n;
    bool after_mark = true; /* nothing is cut off at the very start */
    while (at < stop) {
        bool is_mark =
            (size_t)(stop - at) >= GM_MARK_BYTES && memcmp(at, GM_MARK, GM_MARK_BYTES) == 0;
        if (is_mark && !after_mark) break;
        after_mark = is_mark;
        at += is_mark ? GM_MARK_BYTES : 1;
    }
    return (size_t)(at - text);
}

/* ---- the symbols a piece begins as ---- */

typedef struct symbols {
    const gm_bpe *bpe;
    gm_token *out;
    size_t n;
    bool has_unk; /* an unknown token waits: more of it may come (fuse_unk) */
    gm_token unk;
} symbols;

static void put(symbols *s, uint32_t id, size_t end)
{
    s->out[s->n++] = (gm_token){.id = id, .end = (uint32_t)end};
}

static void put_known(symbols *s, uint32_t id, size_t end)
{
    if (s->has_unk) s->out[s->n++] = s->unk;
    s->has_unk = false;
    put(s, id, end);
}

/* The <0xNN> of every byte of a character; false when one is missing. As in the
 * reference, an unknown token that waits goes on waiting. */
static bool put_bytes(symbols *s, const char *spelling, size_t n, size_t start, size_t stop)
{
    const gm_bpe *bpe = s->bpe;
    if (!bpe->byte_fallback) return false;
    for (size_t i = 0; i < n; i++)
        if (bpe->fallback_id[(uint8_t)spelling[i]] == GM_NO_TOKEN) return false;
    for (size_t i = 0; i < n; i++) {
        size_t end = start + i + 1 < stop ? start + i + 1 : stop;
        put(s, bpe->fallback_id[(uint8_t)spelling[i]], end);
    }
    return true;
}

/* A character without a token, spelt by n bytes, bytes [start,stop) of the piece. */
static gm_status put_unknown(symbols *s, const char *spelling, size_t n, size_t start, size_t stop,
                             gm_error *err)
{
    const gm_bpe *bpe = s->bpe;
    if (put_bytes(s, spelling, n, start, stop) || bpe->unk_kind == GM_UNK_NONE) return GM_OK;
    if (bpe->unk_kind == GM_UNK_MISSING)
        return gm_fail(err, GM_EFORMAT,
                       "a character of the text has no token, and there is no unk_token");
    if (s->has_unk && !bpe->fuse_unk) s->out[s->n++] = s->unk;
    s->has_unk = true;
    s->unk = (gm_token){.id = bpe->unk, .end = (uint32_t)stop};
    return GM_OK;
}

static gm_status byte_symbols(symbols *s, const char *piece, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < n && status == GM_OK; i++) {
        uint8_t byte = (uint8_t)piece[i];
        uint32_t id = s->bpe->byte_id[byte];
        if (id != GM_NO_TOKEN) {
            put_known(s, id, i + 1);
            continue;
        }
        char spelling[4];
        size_t n_spelling = gm_utf8_encode(gm_byte_symbol(byte), spelling);
        status = put_unknown(s, spelling, n_spelling, i, i + 1, err);
    }
    return status;
}

static gm_status char_symbols(symbols *s, const char *piece, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < n && status == GM_OK;) {
        uint32_t c, id;
        size_t len = gm_utf8_decode(piece + i, n - i, &c);
        if (gm_spellings_find(&s->bpe->vocabulary, piece + i, len, &id))
            put_known(s, id, i + len);
        else
            status = put_unknown(s, piece + i, len, i, i + len, err);
        i += len;
    }
    return status;
}

/* ---- a piece ---- */

/* The token that is spelt as the whole piece, for whose symbols `work` has room. */
static bool whole_piece(const gm_bpe *bpe, gm_bpe_work *work, const char *piece, size_t n,
                        uint32_t *id)
{
    char *spelling = (char *)work->heap; /* not in use yet: 16 bytes a byte, of which 2 are taken */
    if (!bpe->byte_level) return gm_spellings_find(&bpe->vocabulary, piece, n, id);
    if (n > bpe->longest) return false;
    size_t n_spelling = 0;
    for (size_t i = 0; i < n; i++)
        n_spelling += gm_utf8_encode(gm_byte_symbol((uint8_t)piece[i]), spelling + n_spelling);
    return gm_spellings_find(&bpe->vocabulary, spelling, n_spelling, id);
}

static gm_status encode_anew(const gm_bpe *bpe, gm_bpe_work *work, const char *piece, size_t n,
                             size_t *n_tokens, gm_error *err)
{
    uint32_t id;
    /* A byte may become two <0xNN>; otherwise there is at most a token for each. */
    size_t most = bpe->byte_level && bpe->byte_fallback ? 2 * n : n;
    gm_status status = make_room(work, most + 1, err);
    if (status != GM_OK) return status;
    if (bpe->ignore_merges && whole_piece(bpe, work, piece, n, &id)) {
        work->token[0] = (gm_token){.id = id, .end = (uint32_t)n};
        *n_tokens = 1;
        return GM_OK;
    }
    symbols s = {.bpe = bpe, .out = work->token};
    status = bpe->byte_level ? byte_symbols(&s, piece, n, err) : char_symbols(&s, piece, n, err);
    if (status != GM_OK) return status;
    if (s.has_unk) s.out[s.n++] = s.unk;
    *n_tokens = gm_bpe_merge(bpe, work, s.n);
    return GM_OK;
}

gm_status gm_bpe_encode(const gm_bpe *bpe, gm_bpe_work *work, const char *piece, size_t n,
                        const gm_token **tokens, size_t *n_tokens, gm_error *err)
{
    uint64_t hash = 0;
    bool cached = n <= GM_PIECE_CACHE_BYTES;
    if (cached) {
        hash = gm_hash_bytes(piece, n);
        *tokens = gm_piece_cache_find(&work->cache, piece, n, hash, n_tokens);
        if (*tokens) return GM_OK;
    }
    gm_status status = encode_anew(bpe, work, piece, n, n_tokens, err);
    if (status != GM_OK) return status;
    *tokens = work->token;
    if (cached) gm_piece_cache_put(&work->cache, piece, n, hash, *tokens, *n_tokens);
    return GM_OK;
}

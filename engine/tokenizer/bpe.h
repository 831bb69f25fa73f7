/* bpe.h - byte-pair encoding: one piece of text into tokens.
 *
 * A piece begins as one symbol per byte (byte level) or per character; then the
 * neighbours with the lowest merge rank are joined, leftmost first, until no pair
 * has a rank. Characters without a token become their <0xNN> tokens
 * (byte_fallback), or the unknown token, or nothing.
 *
 * Understood: the options above, fuse_unk, ignore_merges. Refused: dropout,
 * continuing_subword_prefix, end_of_word_suffix.
 */
#ifndef GM_BPE_H
#define GM_BPE_H

#include "base/json.h"
#include "engine/tokenizer/piece_cache.h"
#include "engine/tokenizer/spellings.h"

#define GM_NO_RANK  UINT32_MAX
#define GM_NO_TOKEN UINT32_MAX

/* U+2581, SentencePiece's space. */
#define GM_MARK       "\xE2\x96\x81"
#define GM_MARK_BYTES (sizeof GM_MARK - 1)

typedef struct gm_merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank; /* GM_NO_RANK: free */
    uint32_t id;   /* of the joined token */
} gm_merge;

typedef struct gm_bpe {
    gm_spellings vocabulary;
    gm_merge *merge; /* (n_slots) open addressing */
    size_t n_slots;  /* a power of two */
    bool byte_level; /* pieces are bytes, spelt in the alphabet of alphabet.h */
    bool fuse_unk, byte_fallback, ignore_merges;
    /* Missing: named in the file, not in the vocabulary; an error once it is needed. */
    enum { GM_UNK_NONE, GM_UNK_KNOWN, GM_UNK_MISSING } unk_kind;
    uint32_t unk;
    size_t longest; /* bytes of the longest spelling */
    /* Of each byte: the token that spells it (byte level), and its <0xNN>;
     * GM_NO_TOKEN when there is none. */
    uint32_t byte_id[256], fallback_id[256];
    bool cut_at_marks; /* gm_bpe_cut may cut */
} gm_bpe;              /* starts as (gm_bpe){0} */

/* The "model" of a tokenizer.json. Errors: GM_EFORMAT (another model, an option
 * that is refused, a token or merge that does not fit: number and text), GM_EMEM. */
gm_status gm_bpe_load(gm_bpe *out, const gm_json *json, bool byte_level, const char *where,
                      gm_error *err) GM_MUST_USE;
void gm_bpe_clear(gm_bpe *bpe);

/* What one thread needs to encode; starts as {0}, then gm_bpe_work_init. */
typedef struct gm_bpe_work {
    gm_piece_cache cache;
    gm_token *token;          /* (cap) symbols, at last the tokens */
    struct gm_bpe_link *link; /* (cap) neighbours of a symbol */
    uint64_t *heap;           /* (2 * cap) */
    size_t cap, n_heap;
} gm_bpe_work;

gm_status gm_bpe_work_init(gm_bpe_work *work, gm_error *err) GM_MUST_USE;
void gm_bpe_work_clear(gm_bpe_work *work);

/* How long a piece at text[0..n) may be cut off without changing any token: n, or
 * up to the next U+2581 that does not follow another, when no merge reaches over
 * such a place. Texts that were not split become words that the cache knows. */
size_t gm_bpe_cut(const gm_bpe *bpe, const char *text, size_t n);

/* Tokens of a piece of fewer than 4 GiB, borrowed until the next call. Cost:
 * O(n log n), and once for a short piece that repeats. Errors: GM_EMEM, GM_EFORMAT
 * (GM_UNK_MISSING). */
gm_status gm_bpe_encode(const gm_bpe *bpe, gm_bpe_work *work, const char *piece, size_t n,
                        const gm_token **tokens, size_t *n_tokens, gm_error *err) GM_MUST_USE;

/* ---- private to bpe*.c ---- */

typedef struct gm_bpe_link {
    uint32_t before, after; /* symbols; GM_NO_TOKEN at the ends */
} gm_bpe_link;

/* Join neighbours in work->token[0..n) until no pair has a merge; returns how many
 * tokens are left, at the front. work->cap >= n (bpe_merge.c). */
size_t gm_bpe_merge(const gm_bpe *bpe, gm_bpe_work *work, size_t n);

#endif

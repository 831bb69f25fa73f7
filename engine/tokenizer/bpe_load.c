/* bpe_load.c - reading the model of a tokenizer.json: vocabulary and merges. */
#include "engine/tokenizer/alphabet.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/bytehash.h"
#include "engine/tokenizer/component.h"

#include <string.h>

/* ---- options ---- */

/* An option that must be absent, null, or (a string) empty. */
static gm_status refuse_option(const gm_json *json, const char *key, const char *where,
                               gm_error *err)
{
    size_t n = 1;
    const gm_json *value = gm_json_find(json, key);
    if (gm_is_absent(value)) return GM_OK;
    if (gm_json_text(value, &n) != NULL && n == 0) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' of model 'BPE' is not supported", where, key);
}

static gm_status load_options(gm_bpe *bpe, const gm_json *json, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    const char *type, *unk;
    double dropout;
    GM_TRY(gm_json_get_text_or(json, "type", "BPE", &type, where, err));
    if (strcmp(type, "BPE") != 0)
        GM_FAIL(GM_EFORMAT, "'%s': model '%s' is not supported (known: BPE)", where, type);
    GM_TRY(gm_json_get_f64_or(json, "dropout", 0, 1, 0, &dropout, where, err));
    if (dropout != 0) GM_FAIL(GM_EFORMAT, "'%s': 'dropout' is %g, expected none", where, dropout);
    GM_TRY(refuse_option(json, "continuing_subword_prefix", where, err));
    GM_TRY(refuse_option(json, "end_of_word_suffix", where, err));
    GM_TRY(gm_json_get_bool_or(json, "fuse_unk", false, &bpe->fuse_unk, where, err));
    GM_TRY(gm_json_get_bool_or(json, "byte_fallback", false, &bpe->byte_fallback, where, err));
    GM_TRY(gm_json_get_bool_or(json, "ignore_merges", false, &bpe->ignore_merges, where, err));
    GM_TRY(gm_json_get_text_or(json, "unk_token", NULL, &unk, where, err));
    if (unk)
        bpe->unk_kind = gm_spellings_find(&bpe->vocabulary, unk, strlen(unk), &bpe->unk)
                            ? GM_UNK_KNOWN
                            : GM_UNK_MISSING;
out:
    return status;
}

/* ---- vocabulary ---- */

static gm_status load_vocabulary(gm_bpe *bpe, const gm_json *json, const char *where, gm_error *err)
{
    const gm_json *vocab = gm_member(json, "vocab");
    if (vocab == NULL || gm_json_kind_of(vocab) != GM_JSON_OBJECT)
        return gm_fail(err, GM_EFORMAT, "'%s': 'model' has no object 'vocab'", where);

    for (const gm_json *item = gm_json_first(vocab); item; item = gm_json_next(item)) {
        size_t n;
        int64_t id;
        const char *spelling = gm_json_key_text(item, &n); /* may hold NUL */
        if (!gm_json_i64(item, &id) || id < 0 || id >= (int64_t)GM_MAX_TOKEN_ID)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': the id of token '%s' is not an integer from 0 to %u", where,
                           spelling, (unsigned)GM_MAX_TOKEN_ID - 1);
        gm_status status =
            gm_spellings_add(&bpe->vocabulary, spelling, n, (uint32_t)id, where, err);
        if (status != GM_OK) return status;
        if (n > bpe->longest) bpe->longest = n;
    }
    return GM_OK;
}

/* The tokens of single bytes: in the byte alphabet, and as <0xNN>. */
static void load_bytes(gm_bpe *bpe)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char symbol[4], code[8];
        size_t n = gm_utf8_encode(gm_byte_symbol((uint8_t)byte), symbol);
        (void)snprintf(code, sizeof code, "<0x%02X>", byte);
        if (!gm_spellings_find(&bpe->vocabulary, symbol, n, &bpe->byte_id[byte]))
            bpe->byte_id[byte] = GM_NO_TOKEN;
        if (!gm_spellings_find(&bpe->vocabulary, code, 6, &bpe->fallback_id[byte]))
            bpe->fallback_id[byte] = GM_NO_TOKEN;
    }
}

/* ---- merges ---- */

typedef struct half {
    const char *at;
    size_t n;
    uint32_t id;
} half;

/* A merge is "a b" or ["a", "b"]; false when it is neither. */
static bool read_halves(const gm_json *item, half *left, half *right)
{
    size_t n;
    const char *text = gm_json_text(item, &n);
    if (text) {
        const char *space = memchr(text, ' ', n);
        if (space == NULL) return false;
        *left = (half){.at = text, .n = (size_t)(space - text)};
        *right = (half){.at = space + 1, .n = n - left->n - 1};
        return memchr(right->at, ' ', right->n) == NULL;
    }
    if (gm_json_kind_of(item) != GM_JSON_ARRAY || gm_json_n_items(item) != 2) return false;
    const gm_json *first = gm_json_first(item), *second = gm_json_next(first);
    left->at = gm_json_text(first, &left->n);
    right->at = gm_json_text(second, &right->n);
    return left->at != NULL && right->at != NULL;
}

static void insert(gm_bpe *bpe, uint64_t pair, uint32_t rank, uint32_t id)
{
    size_t mask = bpe->n_slots - 1, at = (size_t)gm_hash_pair(pair) & mask;
    while (bpe->merge[at].rank != GM_NO_RANK && bpe->merge[at].pair != pair) at = (at + 1) & mask;
    bpe->merge[at] = (gm_merge){.pair = pair, .rank = rank, .id = id}; /* the last of equals */
}

static gm_status not_a_token(const half *left, const half *right, const char *what, uint32_t rank,
                             const char *where, gm_error *err)
{
    char a[64], b[64];
    gm_text_escape(a, sizeof a, left->at, left->n);
    gm_text_escape(b, sizeof b, right->at, right->n);
    return gm_fail(err, GM_EFORMAT, "'%s': merge %u, '%s' and '%s': %s is not in the vocabulary",
                   where, (unsigned)rank, a, b, what);
}

static gm_status load_merge(gm_bpe *bpe, const gm_json *item, uint32_t rank, gm_text *joined,
                            const char *where, gm_error *err)
{
    half left = {0}, right = {0};
    uint32_t id;
    if (!read_halves(item, &left, &right))
        return gm_fail(err, GM_EFORMAT, "'%s': merge %u is not a pair of tokens", where,
                       (unsigned)rank);
    if (!gm_spellings_find(&bpe->vocabulary, left.at, left.n, &left.id))
        return not_a_token(&left, &right, "the first", rank, where, err);
    if (!gm_spellings_find(&bpe->vocabulary, right.at, right.n, &right.id))
        return not_a_token(&left, &right, "the second", rank, where, err);

    joined->n = 0;
    gm_status status = gm_text_append(joined, left.at, left.n, err);
    if (status == GM_OK) status = gm_text_append(joined, right.at, right.n, err);
    if (status != GM_OK) return status;
    if (!gm_spellings_find(&bpe->vocabulary, joined->at, joined->n, &id))
        return not_a_token(&left, &right, "the two joined", rank, where, err);
    insert(bpe, (uint64_t)left.id << 32 | right.id, rank, id);
    return GM_OK;
}

static gm_status load_merges(gm_bpe *bpe, const gm_json *json, const char *where, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text joined = {0};
    const gm_json *list = gm_member_list(json, "merges");
    if (list == NULL) GM_FAIL(GM_EFORMAT, "'%s': 'model' has no list 'merges'", where);
    size_t n = gm_json_n_items(list);
    if (n >= UINT32_MAX / 4) GM_FAIL(GM_EFORMAT, "'%s': %zu merges are too many", where, n);

    bpe->n_slots = 16;
    while (bpe->n_slots < 2 * n) bpe->n_slots *= 2;
    bpe->merge = gm_alloc(bpe->n_slots, sizeof *bpe->merge);
    if (bpe->merge == NULL) GM_FAIL(GM_EMEM, "no memory for %zu merges", n);
    for (size_t i = 0; i < bpe->n_slots; i++) bpe->merge[i].rank = GM_NO_RANK;

    uint32_t rank = 0;
    for (const gm_json *item = gm_json_first(list); item; item = gm_json_next(item)) {
        const char *text = gm_json_text(item, NULL);
        if (text && strncmp(text, "#version", 8) == 0) continue; /* a line of merges.txt */
        GM_TRY(load_merge(bpe, item, rank++, &joined, where, err));
    }
out:
    gm_text_clear(&joined);
    return status;
}

/* Whether a text may be cut before U+2581: it is a token, and no merge joins it to
 * anything but another one on its left. */
static bool may_cut(const gm_bpe *bpe)
{
    const size_t n = GM_MARK_BYTES;
    uint32_t id;
    if (bpe->byte_level || bpe->ignore_merges) return false;
    if (!gm_spellings_find(&bpe->vocabulary, GM_MARK, n, &id)) return false;

    for (size_t i = 0; i < bpe->n_slots; i++) {
        if (bpe->merge[i].rank == GM_NO_RANK) continue;
        gm_spelling left = gm_spellings_get(&bpe->vocabulary, (uint32_t)(bpe->merge[i].pair >> 32));
        gm_spelling right = gm_spellings_get(&bpe->vocabulary, (uint32_t)bpe->merge[i].pair);
        if (right.n < n || memcmp(right.at, GM_MARK, n) != 0) continue;
        if (left.n < n || memcmp(left.at + left.n - n, GM_MARK, n) != 0) return false;
    }
    return true;
}

gm_status gm_bpe_load(gm_bpe *out, const gm_json *json, bool byte_level, const char *where,
                      gm_error *err)
{
    gm_status status = GM_OK;
    *out = (gm_bpe){.byte_level = byte_level};
    if (json == NULL || gm_json_kind_of(json) != GM_JSON_OBJECT)
        GM_FAIL(GM_EFORMAT, "'%s' has no object 'model', expected a tokenizer.json", where);
    GM_TRY(load_vocabulary(out, json, where, err));
    GM_TRY(load_options(out, json, where, err));
    load_bytes(out);
    GM_TRY(load_merges(out, json, where, err));
    out->cut_at_marks = may_cut(out);
out:
    if (status != GM_OK) gm_bpe_clear(out);
    return status;
}

void gm_bpe_clear(gm_bpe *bpe)
{
    gm_spellings_clear(&bpe->vocabulary);
    gm_free(bpe->merge);
    *bpe = (gm_bpe){0};
}

/* added.h - added tokens: found in the text before anything else is done to it.
 *
 * Those with normalized=false are looked for in the raw text, the others, after
 * normalization, in the text between these. The leftmost match wins, and the longest
 * of those that begin there.
 */
#ifndef GM_ADDED_H
#define GM_ADDED_H

#include "base/json.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/trie.h"
#include "engine/tokenizer/spellings.h"

typedef struct gm_added_token {
    uint32_t id;
    gm_spelling shown;   /* what it decodes to: the content, normalized if it is matched so */
    bool special;        /* left out by decoding with skip_specials */
    bool normalized;     /* matched against the normalized text */
    bool single_word;    /* no word character may touch it */
    bool lstrip, rstrip; /* takes the white space on that side with it */
} gm_added_token;

typedef struct gm_added {
    gm_added_token *token; /* (n) in the order of the file */
    size_t n;
    gm_spellings names; /* spelling and id of each */
    uint32_t *by_id;    /* (names.n_ids) place in `token` + 1; 0: not added */
    gm_trie raw, normalized;
} gm_added; /* starts as (gm_added){0} */

/* The "added_tokens" of a tokenizer.json. An id must be the one the reference
 * would give: that of the model's vocabulary when it has the spelling, else the
 * next free one. Errors: GM_EFORMAT, GM_EMEM. */
gm_status gm_added_load(gm_added *out, const gm_json *list, const gm_spellings *model,
                        const gm_normalizer *normalizer, const char *where, gm_error *err)
    GM_MUST_USE;
void gm_added_clear(gm_added *added);

/* The added token with this id; NULL when there is none. */
const gm_added_token *gm_added_get(const gm_added *added, uint32_t id);

/* Walking over the matches of a text; starts as {.at = text, .n = bytes}. */
typedef struct gm_added_walk {
    const char *at; /* valid UTF-8, borrowed */
    size_t n;
    size_t from; /* private: where to look next */
    size_t done; /* private: one past the last match, strips included */
} gm_added_walk;

/* The next match, bytes [*start,*stop) with the white space it takes; false at
 * the end. `trie` is added->raw or added->normalized. */
bool gm_added_next(const gm_added *added, const gm_trie *trie, gm_added_walk *walk, size_t *start,
                   size_t *stop, uint32_t *id);

#endif

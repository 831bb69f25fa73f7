/* pairs.h - private to probe: documents that belong together, a text and its translation, found by
 * what a trace calls them, FILE or FILE:LINE (corpus.h; of a long name the last 64 bytes).
 *
 * No order of documents is relied on: one that was too short or was not drawn leaves its partner
 * alone, and all others paired.
 */
#ifndef GM_PAIRS_H
#define GM_PAIRS_H

#include "base/base.h"

typedef enum gm_pairing {
    GM_UNPAIRED,
    GM_PAIRED_NAME, /* files of one name in two folders, or the same lines of these */
    GM_PAIRED_LINE, /* the same line of two files */
    GM_PAIRED_NEXT  /* lines 1 and 2, 3 and 4, ... of a file */
} gm_pairing;

#define GM_PAIRING_CHOICES "no|name|line|next"

/* Write the pairs, `pair` ((n/2),2) with the document of group a first, and how many they are. id,
 * of_a (n). Refused: a document without a line where one is needed, two of one group that would
 * have the same partner, and when there is no pair at all. GM_EARG, GM_EMEM. */
gm_status gm_pairs_find(uint32_t *pair, size_t *n_pairs, const char *const *id, const uint8_t *of_a,
                        size_t n, gm_pairing how, gm_error *err) GM_MUST_USE;

#endif

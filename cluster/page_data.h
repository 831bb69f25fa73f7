/* page_data.h - the numbers that the page's scripts read (inside cluster/).
 *
 * Sizes: N documents, C clusters, D = L*E experts, M columns of shares.
 *
 * One JSON element, `meta`, and elements of bytes (gm_html_data), little-endian:
 *
 *   xy           u16 (2,N)    x of all, then y: places in a square, 0xFFFF no place
 *   cluster      u16 (N)      0xFFFF none
 *   subset       u16 (N)
 *   tokens       u32 (N)
 *   probability, outlier  u8 (N)  0..255 for 0..1
 *   script       u8 (N)       absent when not known
 *   language     u8 (N)       likewise
 *   usage        u16 (C+1,D)  v = usageMost * (q/4095)^2, multiples of the uniform rate; the last
 *                             row is the corpus
 *   important    u8 (C,D)     0 or 1
 *   spread       u16 (D)      standard deviation over documents, coded as usage; only with shares
 *   shares       u8 (M,N)     meta.shares says of which experts; page_documents.h
 *   ids          a line a document
 *   text         a line a document; absent when texts may not travel
 */
#ifndef GM_PAGE_DATA_H
#define GM_PAGE_DATA_H

#include "cluster/page_documents.h"
#include "figures/html.h"

enum { GM_PAGE_MOST_CLUSTERS = 0xFFFF }; /* C at most */

/* Everything but `ids` and `text`. `documents` NULL: no shares. Errors: GM_EMEM. */
gm_status gm_page_put_data(gm_html *page, const gm_atlas *atlas, const gm_page_documents *documents,
                           gm_error *err) GM_MUST_USE;

/* `ids`. Errors: GM_EMEM. */
gm_status gm_page_put_ids(gm_html *page, const gm_atlas *atlas, gm_error *err) GM_MUST_USE;

#endif

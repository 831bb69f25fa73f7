/* stats_documents.h - private to probe: the counts of all documents of a trace, a few at a time.
 */
#ifndef GM_STATS_DOCUMENTS_H
#define GM_STATS_DOCUMENTS_H

#include "formats/trace.h"

/* Documents [first, first+n), counts (n,L,E). */
typedef void gm_documents_taker(void *context, size_t first, size_t n, const uint32_t *counts);

/* Give all documents to `take`, in order, 8 MiB of counts at a time (at least one document).
 * GM_EIO, GM_EFORMAT, GM_EMEM, GM_EINTERRUPTED. */
gm_status gm_stats_for_documents(gm_trace *trace, gm_documents_taker *take, void *context,
                                 gm_error *err) GM_MUST_USE;

#endif

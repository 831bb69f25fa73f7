/* trace_verify.h - what the self-checks of a trace share (inside formats/).
 */
#ifndef GM_TRACE_VERIFY_H
#define GM_TRACE_VERIFY_H

#include "formats/trace_shards.h"

/* What the checks find, in the order they are reported. */
typedef enum gm_check_id {
    GM_CHECK_DIGEST,
    GM_CHECK_IDS_IN_RANGE,
    GM_CHECK_IDS_DISTINCT,
    GM_CHECK_SENTINELS,
    GM_CHECK_GATES_FINITE,
    GM_CHECK_GATES_ORDERED,
    GM_CHECK_NORMS,
    GM_CHECK_TOKENS,
    GM_CHECK_COUNTS_SUM,
    GM_CHECK_COUNTS_MATCH,
    GM_CHECK_LOAD_ENTROPY,
    GM_CHECK_NLL,
    GM_CHECK_TEXT,
    GM_CHECK_SPELLING,
    GM_CHECK_BAD_ROWS,
    GM_N_CHECKS
} gm_check_id;

/* Note the first breach of a check; later ones add nothing. */
void gm_trace_breach(gm_trace_check *check, gm_check_id id, const char *fmt, ...) GM_PRINTF(3, 4);

/* Check every document: its rows (ids, gates, norms, positions, phases, nll), and its counts
 * against them.
 *
 *   check  (GM_N_CHECKS)  breaches are noted here
 *   load   (L,E)          the stored counts of all documents are added here
 *
 * The first document that breaks a check says what, so nothing depends on the number of threads.
 * Errors: those of reading; GM_EINTERRUPTED; GM_EMEM. */
gm_status gm_trace_check_documents(gm_trace *trace, gm_trace_check *check, uint64_t *load,
                                   gm_error *err) GM_MUST_USE;

#endif

/* corpus_record.h - one line of a corpus, or a whole text, as a document (inside text/).
 *
 * Unusable input gives a document with `skip` and `why_not` set; only memory can fail.
 */
#ifndef GM_CORPUS_RECORD_H
#define GM_CORPUS_RECORD_H

#include "base/json.h"
#include "text/corpus.h"

typedef struct gm_corpus_record {
    char *text_field, *subset_field, *language_field; /* owned; the last may be NULL */
    gm_json *root;            /* the last line's; its strings are borrowed by the document */
    gm_text subset, language; /* the last line's, if it had to be rewritten */
} gm_corpus_record;           /* starts as (gm_corpus_record){0} */

/* The fields that options name. Errors: GM_EMEM. */
gm_status gm_corpus_record_init(gm_corpus_record *record, const gm_corpus_options *options,
                                gm_error *err) GM_MUST_USE;
void gm_corpus_record_clear(gm_corpus_record *record);

/* A line of JSON without its end: text, subset, language and sha of *out, borrowed from the record
 * until the next line. Errors: GM_EMEM. */
gm_status gm_corpus_record_read(gm_corpus_record *record, const char *line, size_t n,
                                gm_document *out, gm_error *err) GM_MUST_USE;

/* bytes[0..n) as they are: text and sha of *out, borrowed from `bytes`. */
void gm_document_read(const char *bytes, size_t n, gm_document *out);

/* Mark *out as one that cannot be used, and say why. */
void gm_document_skip(gm_document *out, gm_skip why, const char *fmt, ...) GM_PRINTF(3, 4);

#endif

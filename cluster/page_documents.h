/* page_documents.h - what the page tells of single documents, read from their trace (inside
 * cluster/).
 *
 * Sizes: N documents, D = L*E experts in all, M experts whose shares are kept, M <= D.
 *
 * A share is the part of a document's choices that fell on an expert, or of its gate weights where
 * the atlas was made of those. All N x D of them are too many for a page; kept are those of M
 * experts, as 16 levels, even in the square root.
 */
#ifndef GM_PAGE_DOCUMENTS_H
#define GM_PAGE_DOCUMENTS_H

#include "base/text.h"
#include "formats/atlas.h"
#include "formats/trace.h"

enum { GM_SHARE_LEVELS = 16 };

typedef struct gm_page_documents {
    size_t n_columns; /* M */
    uint32_t *column; /* (M) which expert, in [0,D) */
    float *most;      /* (M) the share of the highest level */
    uint8_t *level;   /* (M,N) in [0, GM_SHARE_LEVELS): share = most * (level/15)^2 */
    float *spread;    /* (D) standard deviation of the share over documents */
} gm_page_documents;

/* Read the usage of all documents. The experts kept are all, when D <= most_columns; otherwise the
 * important ones of the clusters in turn: the strongest of each, largest cluster first, then the
 * second of each. Errors: those of gm_usage_reader, GM_EFORMAT, GM_EMEM. */
gm_status gm_page_documents_read(gm_page_documents *out, const gm_atlas *atlas, gm_trace *trace,
                                 size_t most_columns, gm_error *err) GM_MUST_USE;
void gm_page_documents_clear(gm_page_documents *documents);

/* The beginning of every document, one a line: `most` characters at most, blanks and line ends
 * drawn together, what controls spelt out (gm_html_visible). Errors: those of
 * gm_trace_read_text, GM_EMEM. */
gm_status gm_page_snippets(gm_text *out, gm_trace *trace, size_t most, gm_error *err) GM_MUST_USE;

/* Cut every line of `text` to `most` characters. */
gm_status gm_page_cut_lines(gm_text *out, const gm_text *text, size_t most, gm_error *err)
    GM_MUST_USE;

#endif

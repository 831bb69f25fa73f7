/* imported.h - private to probe: one document of `gm-probe import`, whose choices another engine
 * recorded, from its line of JSON to rows of a trace.
 *
 * Sizes: T tokens of the document; A layers in the line's arrays, of which L are recorded; E
 * experts, K chosen.
 *
 *   routed_experts  (T,A,K) ids, null where the router failed; A and K as vLLM and SGLang give them
 *   token_ids       (T); T+1 where the last token was generated and never read
 *   phase           (T) or (T+1), optional: 0 prompt, 1 generated, 2 template
 *   gates           (T,A,K), optional
 *   topk_mass, margin   (T,A), optional, together
 *   counts          (A,E), with n_tokens: instead of all these
 *   id, sha, truncated   optional; sha: of the whole text, 64 hex digits
 *
 * A member that is null counts as one that is not there.
 * Layers that are not recorded are not looked at: engines give zeros for layers without experts.
 */
#ifndef GM_PROBE_IMPORTED_H
#define GM_PROBE_IMPORTED_H

#include "base/json.h"
#include "formats/trace.h"

/* What all lines have in common. */
typedef struct gm_import_form {
    size_t A, L, E, K;
    const size_t *place; /* (L) where a recorded layer is among the A */
    gm_record_level level;
    bool no_gates, no_margins;
} gm_import_form;

/* What the first line shows of it: all but L, E and place. `where` is FILE:LINE.
 * GM_EFORMAT. */
gm_status gm_import_form_of(gm_import_form *form, const gm_json *line, const char *where,
                            gm_error *err) GM_MUST_USE;

/* Rows of one document; arrays grow and are used again. */
typedef struct gm_imported {
    size_t n;                 /* rows: T; 0 if only counts are recorded */
    uint32_t *token_id;       /* (T) */
    uint8_t *phase;           /* (T) */
    uint16_t *expert;         /* (T,L,K) strongest first where gates say so, else as given */
    float *gate;              /* (T,L,K); untouched if form.no_gates */
    float *mass, *margin;     /* (T,L); untouched if form.no_margins */
    uint32_t *counts;         /* (L,E) */
    uint32_t n_tokens, n_bad; /* counted tokens, and those of them without choices */
    bool has_sha, truncated;
    uint8_t sha[32];
    const char *id; /* borrowed from the line; NULL: it has none */
    size_t cap;     /* private: rows that there is room for */
    double *number; /* private: (n_numbers) an array of the line */
    size_t n_numbers;
} gm_imported; /* starts as (gm_imported){0} */

/* Read a line; *out is written anew. GM_EFORMAT names place, found and expected: another shape than
 * the form's, an expert that does not exist, or twice in one choice (zeros, where a recording
 * failed), counts that do not add up. GM_EMEM. */
gm_status gm_imported_read(gm_imported *out, const gm_json *line, const gm_import_form *form,
                           const char *where, gm_error *err) GM_MUST_USE;
void gm_imported_clear(gm_imported *imported);

#endif

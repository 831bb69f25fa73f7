/* normalizer.h - what a tokenizer.json does to text before splitting it.
 *
 * Understood: Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Strip, and
 * Replace (String, or Regex without references in the content). Composition and
 * case are those of utf8proc, Unicode 15.0.
 */
#ifndef GM_NORMALIZER_H
#define GM_NORMALIZER_H

#include "base/json.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/view.h"

typedef struct gm_normalizer {
    struct gm_normalizer_step *step; /* (n) in order */
    size_t n;
    bool moves_start; /* Replace, Prepend: the first character may be of another place */
} gm_normalizer;      /* starts as (gm_normalizer){0} */

/* What one thread needs to normalize; starts as {0}. */
typedef struct gm_normalizer_work {
    gm_marked text[2]; /* a step reads one and writes the other */
    int32_t *code;     /* (code_cap) code points of one composed stretch */
    size_t code_cap;
    uint64_t *key; /* (code_cap) for ordering marks */
} gm_normalizer_work;

/* The "normalizer" of a tokenizer.json; NULL or null means none. Errors:
 * GM_EFORMAT naming the type that is not understood, GM_EMEM. */
gm_status gm_normalizer_load(gm_normalizer *out, const gm_json *json, const char *where,
                             gm_error *err) GM_MUST_USE;
void gm_normalizer_clear(gm_normalizer *normalizer);

/* Normalize a view of valid UTF-8: it stays as it is when nothing changes, otherwise it is made to
 * point into `work`, until the next call. Errors: GM_EMEM, GM_EFORMAT (a run of combining marks
 * that is too long; a pattern that needs too many steps). Cost: O(n log n), for any text. */
gm_status gm_normalizer_apply(const gm_normalizer *normalizer, gm_normalizer_work *work,
                              gm_regex_work *regex, gm_view *view, gm_error *err) GM_MUST_USE;
void gm_normalizer_work_clear(gm_normalizer_work *work);

/* ---- private to normalizer*.c ---- */

typedef enum gm_form { GM_FORM_NFC, GM_FORM_NFD, GM_FORM_NFKC, GM_FORM_NFKD } gm_form;

/* Append the view in a normal form to *out; *changed is false, and *out holds
 * nothing of use, when it had that form already (normalizer_form.c). */
gm_status gm_normalize_form(gm_form form, gm_normalizer_work *work, const gm_view *view,
                            gm_marked *out, bool *changed, gm_error *err) GM_MUST_USE;

#endif

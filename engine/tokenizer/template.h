/* template.h - the post-processor of a tokenizer.json: the tokens put before and after
 * those of a text.
 *
 * Understood: Sequence, TemplateProcessing (its `single` template), ByteLevel (it
 * moves offsets only), RobertaProcessing, BertProcessing.
 */
#ifndef GM_TEMPLATE_H
#define GM_TEMPLATE_H

#include "base/json.h"
#include "engine/tokenizer/tokenizer.h"

typedef struct gm_template {
    gm_ids before, after;
} gm_template; /* starts as (gm_template){0} */

/* The "post_processor" of a tokenizer.json; NULL or null means none. Errors:
 * GM_EFORMAT naming what is not understood, GM_EMEM. */
gm_status gm_template_load(gm_template *out, const gm_json *json, const char *where, gm_error *err)
    GM_MUST_USE;
void gm_template_clear(gm_template *template);

#endif

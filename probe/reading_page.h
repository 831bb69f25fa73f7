/* reading_page.h - private to probe: texts coloured by their experts, as one HTML page that works
 * offline. Its scripts and style are in probe/page/.
 *
 * Texts are on the page as text, with or without scripts. What a script colours them by:
 *   meta        JSON: model, experts, chosen, layers (the model's numbers), expert that was asked
 *               for (layer: place in layers) or null; passages {id, subset, sha, first, tokens,
 *               hit}, first: their place among all tokens; ids and spellings of the distinct
 *               tokens (spellings null without a tokenizer)
 *   token, pos u32 (T); phase u8 (T); nll f32 (T), absent when not recorded
 *   expert u16, gate f16 (M,T,K); margin f16 (M,T); corpus f32 (M,E)
 * arrays of the machine's order of bytes, little end first everywhere that this runs.
 */
#ifndef GM_READING_PAGE_H
#define GM_READING_PAGE_H

#include "engine/tokenizer/tokenizer.h"
#include "figures/html.h"
#include "probe/reading.h"

enum { GM_READING_MAX_BYTES = 16 << 20 };

typedef struct gm_reading_page {
    const char *trace; /* its file, for title and footer */
    const gm_trace_info *info;
    const gm_trace_samples *samples;
    const gm_tokenizer *tokenizer; /* spells tokens; NULL: ids instead */
    const gm_passages *passages;
    const gm_reading *reading;
    const size_t *layer; /* (reading->M) MoE layers */
    bool by_expert;
    size_t l, e; /* the expert asked for: place in `layer`, id */
} gm_reading_page;

/* At most so many bytes does a token take on the page, but for long or hostile spellings: what the
 * choice of passages is held against before they are read. */
size_t gm_reading_token_bytes(const gm_trace_info *info, size_t M);

/* The whole page into *html, cleared by the caller also on failure. GM_EMEM, GM_EARG. */
gm_status gm_reading_page_put(gm_html *html, const gm_reading_page *page, gm_error *err)
    GM_MUST_USE;

#endif

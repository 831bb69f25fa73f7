/* knockouts.h - private to probe: the experts that gm-probe ablate takes out, one at a time or some
 * together, as --experts and --layer name them:
 *
 *   all             every expert alone, of one layer or of all
 *   5:2,5:9+5:11    layer:expert, model layers; + takes experts out together
 *   FILE.csv        the experts of a table with the columns layer and expert, each alone
 */
#ifndef GM_KNOCKOUTS_H
#define GM_KNOCKOUTS_H

#include "base/arena.h"
#include "engine/engine.h"

typedef struct gm_knockout {
    const char *name;   /* "5:2", "5:9+5:11" */
    const uint32_t *at; /* (n) layer * E + expert; layer counts MoE layers */
    size_t n;
} gm_knockout;

typedef struct gm_knockouts {
    gm_knockout *at; /* (n) */
    size_t n;
    gm_arena arena; /* holds all of it */
} gm_knockouts;

/* Read them for the model. layer: the one that "all" is of, NULL: all layers. Refused: what is no
 * such expert, one that is named twice, and, unless `mode` is GM_EDIT_GATE, a knock-out that leaves
 * a router fewer experts than it chooses. GM_EARG, GM_EMEM, errors of gm_expert_list_read_names. */
gm_status gm_knockouts_read(gm_knockouts *out, const char *experts, const int64_t *layer,
                            const gm_model_info *info, gm_edit_mode mode, gm_error *err)
    GM_MUST_USE;
void gm_knockouts_clear(gm_knockouts *knockouts);

#endif

/* layer_list.h - layers of a model as people write them: "1-26", "1,3,5-8".
 *
 * Numbers are the model's own, ascending. A range stands for the MoE layers in it.
 */
#ifndef GM_LAYER_LIST_H
#define GM_LAYER_LIST_H

#include "base/text.h"

enum { GM_MAX_LAYERS = 10000 };

typedef struct gm_layer_list {
    size_t n;
    struct {
        int first, last;
    } * range; /* (n) ascending */
} gm_layer_list;

/* GM_EARG with a sentence about --layers; GM_EMEM. */
gm_status gm_layer_list_parse(gm_layer_list *out, const char *text, gm_error *err) GM_MUST_USE;
void gm_layer_list_clear(gm_layer_list *list);

/* Those of layer (L), ascending, that the list names, to out, which has room for L; *n of them.
 * Errors: GM_EARG, naming it, for a layer or an end of a range that is not among them. */
gm_status gm_layer_list_choose(int *out, int *n, const gm_layer_list *list, const int *layer,
                               int n_layers, gm_error *err) GM_MUST_USE;

/* GM_EARG with a sentence: `missing` is not among layer (L) of a trace. */
gm_status gm_layer_list_lacks(int missing, const int *layer, int n_layers, gm_error *err)
    GM_MUST_USE;

/* Append layer (n), ascending, as a list. */
gm_status gm_layer_list_put(gm_text *out, const int *layer, int n, gm_error *err) GM_MUST_USE;

#endif

/* expert_list.h - the biases of a plan as a CSV table of experts, for pandas, spreadsheets and
 * editing by hand: a line for each steered expert, with the columns
 *
 *   layer    number of the layer in the model, as everywhere in the programs; 12.0 is 12
 *   expert   0 to E-1
 *   bias     in logits; -inf takes the expert out
 *
 * in any order, among any others. Experts not listed have a bias of 0. Like an array (array_file.h)
 * it says nothing of mode, windows or model.
 *
 * Sizes: L MoE layers, E experts.
 */
#ifndef GM_EXPERT_LIST_H
#define GM_EXPERT_LIST_H

#include "formats/array_file.h"

/* Does `path` have such a list's ending? */
bool gm_expert_list_is(const char *path);

/* Read `path` for a model of these sizes into a dense (L,E).
 *
 *   layer_of_moe  (L) model layers, ascending
 *
 * Errors: GM_EIO, GM_EFORMAT (a missing column; with its line: not a number, no such layer or
 * expert, no bias, an expert listed twice), GM_EMEM. */
gm_status gm_expert_list_read(gm_array *out, const char *path, const int *layer_of_moe,
                              int n_layers, int n_experts, gm_error *err) GM_MUST_USE;

/* Read which experts a list names, with or without biases, in the order of its lines; repetitions
 * are left out. *out (*n), gm_alloc'd, holds indices into (L,E). Errors as above. */
gm_status gm_expert_list_read_names(uint32_t **out, size_t *n, const char *path,
                                    const int *layer_of_moe, int n_layers, int n_experts,
                                    gm_error *err) GM_MUST_USE;

/* Write the values (L,E) that are not 0, layer by layer, by base/outfile.h; they read back exactly.
 * Errors: GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_expert_list_write(const char *path, const float *values, const int *layer_of_moe,
                               int n_layers, int n_experts, bool replace, gm_error *err)
    GM_MUST_USE;

#endif

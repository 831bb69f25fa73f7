/* recipe_vectors.h - what a recipe takes from an atlas: the vectors of its clusters and subsets,
 * and those that a control puts in their place.
 */
#ifndef GM_RECIPE_VECTORS_H
#define GM_RECIPE_VECTORS_H

#include "steer/recipe.h"

/* The atlas's cluster of that number, "3". GM_EARG where there is none. */
gm_status gm_recipe_cluster(size_t *cluster, const gm_atlas *atlas, const char *name, gm_error *err)
    GM_MUST_USE;

/* Add the vector of each cluster and subset of the recipe, times its factor, to the plan's biases
 * in the layers of the atlas, all of which the plan has. GM_EARG (one that does not exist, has no
 * documents, or of which the filter leaves nothing), GM_EMEM. */
gm_status gm_recipe_add_vectors(gm_plan *plan, const gm_recipe *recipe, const gm_atlas *atlas,
                                gm_error *err) GM_MUST_USE;

/* Put the recipe's control in the place of the plan's biases, at their norm in every layer; without
 * a control they stay. `atlas` may be NULL where the control is a rearrangement of the biases.
 * GM_EARG, GM_EMEM. */
gm_status gm_recipe_apply_control(gm_plan *plan, const gm_recipe *recipe, const gm_atlas *atlas,
                                  gm_error *err) GM_MUST_USE;

#endif

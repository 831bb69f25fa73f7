/* cells.h - which cells a study has, and the plan of each. */
#ifndef GM_CELLS_H
#define GM_CELLS_H

#include "steer/sweep/study.h"

/* Make study->cell. The doses of half 1 are set by gm_cells_resolve, once those of the
 * topics are chosen, and again tries a control that only another filter left nothing of.
 * GM_EMEM. */
gm_status gm_cells_make(gm_study *study, gm_error *err) GM_MUST_USE;
void gm_cells_resolve(gm_study *study);
void gm_cell_clear(gm_cell *cell);

/* Forget what was measured. */
void gm_cell_reset(gm_cell *cell);

/* The plan of a cell; zeros for UNSTEERED and PROMPT. Errors: those of gm_recipe_build. */
gm_status gm_cell_plan(gm_plan *plan, const gm_study *study, const gm_cell *cell, gm_error *err)
    GM_MUST_USE;

/* The plan of a topic that is a cluster or a subset, by the first filter that leaves an expert of
 * it; sets topic->filter. Errors: those of gm_recipe_build by the last filter. */
gm_status gm_cells_first_plan(gm_plan *plan, gm_topic *topic, const gm_study *study, gm_error *err)
    GM_MUST_USE;

/* Build every plan once, so that what cannot be built is known before hours of work: a
 * control that a topic cannot have is marked absent, anything else is an error. */
gm_status gm_cells_try(gm_study *study, gm_error *err) GM_MUST_USE;

#endif

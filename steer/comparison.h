/* comparison.h - prompts continued unsteered and under several plans: what gm-steer compare
 * prints, and the page that it writes.
 */
#ifndef GM_COMPARISON_H
#define GM_COMPARISON_H

#include "steer/reread.h"
#include "steer/setup.h"

enum { GM_TITLE_BYTES = 128 };

/* One plan to set beside the unsteered text. */
typedef struct gm_comparison_column {
    char title[GM_TITLE_BYTES]; /* "cluster 3: keywords" */
    size_t n_name;              /* of which "cluster 3" */
    gm_plan plan;
    uint8_t *important; /* (L,E) whose dose is counted: of the plan at weight 1, no control */
} gm_comparison_column;

/* run (prompts,columns,2): unsteered, steered. The unsteered text is the same in every
 * column; it is generated once for each, because its dose differs. */
typedef struct gm_comparison {
    gm_prompts prompts;
    gm_comparison_column *column; /* (n_columns) */
    gm_edit *edit;                /* (n_columns) */
    gm_schedule *schedule;        /* (n_columns) */
    size_t n_columns, n_runs;
    double weight; /* of every plan, on top of what it says itself */
    gm_continuation *run;
} gm_comparison;

/* Columns: each cluster and subset of the recipe, each plan file. Experts set by hand are in every
 * column of the recipe, or in one of their own if it has none. comparison->prompts is filled
 * before. Loads the weights, continues everything. Errors: those of gm_recipe_build, gm_setup_plan,
 * gm_continue; then gm_comparison_clear frees what was made. */
gm_status gm_comparison_run(gm_comparison *comparison, gm_setup *setup, const gm_recipe *recipe,
                            const gm_opt_list *plans, gm_error *err) GM_MUST_USE;
void gm_comparison_clear(gm_comparison *comparison);

/* Borrowed from the comparison; prompt < prompts.n, column < n_columns. */
const gm_continuation *gm_comparison_text(const gm_comparison *comparison, size_t prompt,
                                          size_t column, bool steered);

/* The two texts of a column, unsteered and steered, read again without its plan and under it; out
 * (2) is written, the caller clears it. Errors: those of gm_reread_all. */
gm_status gm_comparison_reread(gm_reread out[2], const gm_comparison *comparison,
                               const gm_setup *setup, size_t prompt, size_t column, gm_error *err)
    GM_MUST_USE;

/* The whole comparison as one HTML page: each text under its column's plan, its tokens
 * shaded by how much the plan changed their log-probability (reread.h). GM_EEXIST unless
 * `replace`; GM_EIO, GM_EMEM, those of gm_reread_all. */
gm_status gm_comparison_page(const gm_comparison *comparison, const gm_setup *setup,
                             const char *path, bool replace, gm_error *err) GM_MUST_USE;

#endif

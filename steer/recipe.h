/* recipe.h - from the options of the command line to a plan: which clusters, subsets
 * and experts, through which filter and scale, in which mode and windows.
 */
#ifndef GM_RECIPE_H
#define GM_RECIPE_H

#include "base/cli.h"
#include "formats/array_file.h"
#include "formats/atlas.h"
#include "formats/plan.h"
#include "formats/shape.h"
#include "steer/vector.h"

#define GM_WEIGHT_MAX 1e6 /* of a plan and of a cluster or subset in it, above and below 0 */

typedef struct gm_recipe {
    gm_opt_list clusters; /* "3" or "7=0.5" */
    gm_opt_list subsets;  /* "NAME" or "NAME=0.5" */
    gm_opt_list experts;  /* "LAYER:ID=BIAS", model layer numbers */
    const char *filter;   /* gm_filter_parse */
    int scale, mode;      /* gm_scale, gm_plan_mode */
    bool mass_matched;
    const char *layers;       /* "a-b" or "a", model layer numbers; NULL: all */
    int phase;                /* gm_recipe_phase */
    const char *schedule;     /* gm_schedule_parse */
    double weight;            /* multiplies everything */
    const char *control;      /* NULL or GM_CONTROLS */
    int64_t seed;             /* of the control */
    const gm_array *imported; /* NULL, or (L,E) biases to add to the clusters'; borrowed */
    const char *import;       /* the name of the file they came from */
} gm_recipe;

typedef enum gm_recipe_phase {
    GM_RECIPE_BOTH,
    GM_RECIPE_PROMPT,
    GM_RECIPE_GENERATED
} gm_recipe_phase;
#define GM_PHASES   "both|prompt|generated"
#define GM_CONTROLS "random|shuffled|other:ID|mean|committee|half:even|half:odd|reverse"

/* The defaults of the command line. */
gm_recipe gm_recipe_defaults(void);
void gm_recipe_clear(gm_recipe *recipe);

/* Read what can be read without an atlas or a model, before either is opened: filter,
 * control, schedule, and the form of every list entry and window. GM_EARG, GM_EMEM. */
gm_status gm_recipe_check(const gm_recipe *recipe, gm_error *err) GM_MUST_USE;

/* True when nothing is asked for but a weight, as beside a plan file. */
bool gm_recipe_is_bare(const gm_recipe *recipe);

/* Rows of an option table for the recipe `r`: how a vector becomes a plan; and all of it. */
/* clang-format off */
#define GM_RECIPE_RULES(r)                                                                         \
    {GM_OPT_TEXT, "filter", &(r)->filter, 0, 0, "RULE",                                            \
     "which experts: lift, top:N, top-global:N, quantile:Q, none"},                                \
        {GM_OPT_CHOICE, "scale", &(r)->scale, 0, 0, GM_SCALES,                                     \
         "how usage becomes a bias in logits"},                                                    \
        {GM_OPT_CHOICE, "mode", &(r)->mode, 0, 0, GM_PLAN_MODES,                                   \
         "bias acts on choice and gates, select on the choice, gate on the gates; mask forces or bans"},\
        {GM_OPT_FLAG, "mass-match", &(r)->mass_matched, 0, 0, NULL,                                \
         "keep the total weight of the routed experts"},                                           \
        {GM_OPT_TEXT, "layers", &(r)->layers, 0, 0, "A-B", "model layers to steer; otherwise all"},\
        {GM_OPT_CHOICE, "phase", &(r)->phase, 0, 0, GM_PHASES, "which tokens to steer"},           \
    {                                                                                              \
        GM_OPT_TEXT, "schedule", &(r)->schedule, 0, 0, "WHEN",                                     \
            "over generated tokens: constant, first:N, rise:N or fade:N"                           \
    }

#define GM_RECIPE_OPTIONS(r)                                                                       \
    {GM_OPT_GROUP, NULL, NULL, 0, 0, NULL, "What to steer towards"},                               \
        {GM_OPT_LIST, "cluster", &(r)->clusters, 0, 0, "ID[=W]",                                   \
         "cluster of the atlas, and its weight"},                                                  \
        {GM_OPT_LIST, "subset", &(r)->subsets, 0, 0, "NAME[=W]",                                   \
         "labelled subset of the atlas, and its weight"},                                          \
        {GM_OPT_LIST, "expert", &(r)->experts, 0, 0, "LAYER:ID=BIAS",                              \
         "bias of one expert, in logits (-inf takes it out)"},                                     \
        {GM_OPT_F64, "weight", &(r)->weight, -GM_WEIGHT_MAX, GM_WEIGHT_MAX, "W",                        \
         "multiplies the whole plan"},                                                             \
        GM_RECIPE_RULES(r),                                                                        \
        {GM_OPT_TEXT, "control", &(r)->control, 0, 0, "KIND",                                      \
         "use a control of the same norm per layer instead: " GM_CONTROLS},                        \
    {                                                                                              \
        GM_OPT_I64, "control-seed", &(r)->seed, 0, 9e15, "N", "seed of the control"                \
    }
/* clang-format on */

gm_shape gm_shape_of_atlas(const gm_atlas *atlas);

/* Make the plan. `atlas` may be NULL when neither clusters nor subsets are asked for;
 * then `atlas_path` is not looked at. Errors: GM_EARG (a cluster, subset, layer or expert
 * that does not exist, a cluster without documents, imported biases of another shape, a filter that
 * leaves nothing, a mask that leaves fewer than K), GM_ENUMERIC (a weight that is not finite),
 * GM_EMEM. */
gm_status gm_recipe_build(gm_plan *plan, const gm_recipe *recipe, const gm_shape *shape,
                          const gm_atlas *atlas, const char *atlas_path, gm_error *err) GM_MUST_USE;

/* Warn where the recipe's plan does less than it reads: steers nothing, or only lowers experts of
 * what it is to steer towards. Nothing is said of weight 0, or where nothing is asked for. */
void gm_recipe_warn(const gm_recipe *recipe, const gm_plan *plan);

#endif

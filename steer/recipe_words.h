/* recipe_words.h - what the words of a recipe say: entries of its lists, its window, schedule and
 * control. No atlas and no model is needed to read them. Errors of all: GM_EARG, which names the
 * option and says what was expected; GM_EMEM.
 */
#ifndef GM_RECIPE_WORDS_H
#define GM_RECIPE_WORDS_H

#include "steer/recipe.h"

/* Split "NAME=W" of --`option` at the last '='; a factor that is missing is 1. `name` is written.
 */
gm_status gm_recipe_split(const char *text, const char *option, gm_text *name, double *factor,
                          gm_error *err) GM_MUST_USE;

/* One expert by hand. */
typedef struct gm_hand_set {
    int64_t layer, expert; /* model layer number; any integers */
    double bias;           /* what fits a float, or -inf */
} gm_hand_set;

/* "LAYER:ID=BIAS". */
gm_status gm_recipe_expert(const char *text, gm_hand_set *out, gm_error *err) GM_MUST_USE;

/* "A-B" or "A": 0 <= A <= B. */
gm_status gm_recipe_layers(const char *text, int64_t *a, int64_t *b, gm_error *err) GM_MUST_USE;

/* The kind of control, NONE where `text` is NULL; *detail is the text after "other:" or "half:".
 */
gm_status gm_recipe_control(const char *text, gm_control *out, const char **detail, gm_error *err)
    GM_MUST_USE;

/* The schedule, which must have something to act on: no ramp of a mask, none of a prompt. */
gm_status gm_recipe_schedule(const gm_recipe *recipe, gm_schedule *out, gm_error *err) GM_MUST_USE;

#endif

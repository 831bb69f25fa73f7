/* prompts.h - the texts to continue: from the command line, from a file, or our own. */
#ifndef GM_PROMPTS_H
#define GM_PROMPTS_H

#include "base/arena.h"
#include "base/cli.h"

typedef struct gm_prompt {
    const char *text; /* n bytes of valid UTF-8 */
    size_t n;
} gm_prompt;

typedef struct gm_prompts {
    gm_prompt *at; /* (n) */
    size_t n, cap;
    gm_arena arena; /* holds the texts */
} gm_prompts;

/* Starts as (gm_prompts){0}. Append the texts of --prompt, then those of `path` (may be
 * NULL): one a line; a line that begins with '{' or '"' is JSON, a string or an object
 * with "prompt" or "text"; empty lines are left out. GM_EIO, GM_EFORMAT (names the
 * line), GM_EMEM. */
gm_status gm_prompts_read(gm_prompts *prompts, const gm_opt_list *texts, const char *path,
                          gm_error *err) GM_MUST_USE;

/* Append one: n bytes of text, copied; `where` is its name in messages. GM_EARG an empty
 * one, GM_EFORMAT not UTF-8, GM_EMEM. */
gm_status gm_prompts_add(gm_prompts *prompts, const char *text, size_t n, const char *where,
                         gm_error *err) GM_MUST_USE;

/* Append prompts of our own. SHOW: the article's three kinds, a Russian story opening,
 * a bare name, an English sentence of mood. TUNE and TEST: 30 neutral openings each,
 * without a common one, for choosing a dose and for judging it. */
typedef enum gm_prompt_set { GM_PROMPTS_SHOW, GM_PROMPTS_TUNE, GM_PROMPTS_TEST } gm_prompt_set;
gm_status gm_prompts_own(gm_prompts *prompts, gm_prompt_set set, gm_error *err) GM_MUST_USE;

void gm_prompts_clear(gm_prompts *prompts);

#endif

/* interactive.h - prompts on standard input, one a line, without reloading the model. */
#ifndef GM_INTERACTIVE_H
#define GM_INTERACTIVE_H

#include "steer/setup.h"

#include <stdio.h>

/* Read lines until the end of `in`. A line that begins with '/' is a command (/help
 * lists them), every other one is continued under `plan`, which commands replace; it is
 * what gm_setup_plan made of `recipe` and `path`. What is wrong with a line is said on
 * stderr and does not end the reading; nor does a SIGINT while a text is written, which ends
 * the text. GM_EINTERRUPTED, GM_EMEM. */
gm_status gm_interactive(gm_setup *setup, gm_plan *plan, const gm_recipe *recipe, const char *path,
                         FILE *in, gm_error *err) GM_MUST_USE;

#endif

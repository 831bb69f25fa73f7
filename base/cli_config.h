/* cli_config.h - the options of a command as one JSON object, and back: a run's options
 * can be stored with its result and given again.
 *
 * Keys are the options' names without dashes. A list option is an array; a text option
 * that is a list by its own rules ("0.5,1,2") may be one as well. null: not given.
 */
#ifndef GM_CLI_CONFIG_H
#define GM_CLI_CONFIG_H

#include "base/arena.h"
#include "base/cli.h"
#include "base/json.h"

/* If the command line holds "--config FILE" (the last one counts), put the file's members before
 * the line's own options, as if they had been typed there: what is typed wins, and lists
 * grow. *argc and *argv are replaced by texts and an array in the arena; without --config
 * they stay. Errors: GM_EIO, GM_EFORMAT (not an object, a member that no option can take),
 * GM_EMEM; an unknown name is found by gm_opt_parse. */
gm_status gm_opt_expand_config(gm_arena *arena, const gm_opt *opts, int *argc, char ***argv,
                               gm_error *err) GM_MUST_USE;

/* Set options by the members of a JSON object, as if they had been typed. Texts point into the
 * arena; arrays of lists are the caller's, as after gm_opt_parse. Errors: GM_EFORMAT (not an
 * object, a member that is no option, or that it cannot take), those of gm_opt_parse, GM_EMEM. */
gm_status gm_opt_take_object(gm_arena *arena, const gm_opt *opts, const gm_json *object,
                             const char *where, gm_error *err) GM_MUST_USE;

/* Write a member for every option of the table, in its order, except those named in `without` (ends
 * with NULL). The caller has opened an object. */
void gm_opt_put_config(gm_json_out *out, const gm_opt *opts, const char *const *without);
/* One member: an array of the list's texts. */
void gm_opt_put_list(gm_json_out *out, const char *key, const gm_opt_list *list);

#endif

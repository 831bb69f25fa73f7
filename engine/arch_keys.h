/* arch_keys.h - which keys a config.json may hold, and what their values may be.
 *
 * Keys are read, or harmless, or would change the mathematics: of the last kind one value is
 * supported and every other refused. All other keys are listed as unknown.
 */
#ifndef GM_ARCH_KEYS_H
#define GM_ARCH_KEYS_H

#include "engine/arch.h"

/* Refuse unsupported values, except of keys that arch's family reads itself; fill
 * arch->unknown_keys; and fill arch->blocks from config's quantization, unless the family reads it.
 * `own` is the object inside `config` that describes the text model, or `config`. GM_EFORMAT,
 * GM_EMEM. */
gm_status gm_arch_check_keys(const gm_json *config, const gm_json *own, const char *where,
                             gm_arch *arch, gm_error *err) GM_MUST_USE;

/* Check an object inside the config, called `name` in messages: keys in `known` (ends with NULL)
 * may have any value, others must have the supported one, or null. GM_EFORMAT. */
gm_status gm_config_check_part(const gm_json *part, const char *name, const char *const *known,
                               const char *where, gm_error *err) GM_MUST_USE;

/* arch->n_layers, from a number or, where the family has it, as many as a list has; at most `most`.
 * GM_EFORMAT. */
gm_status gm_config_depth(const gm_json *config, int most, const char *where, gm_arch *arch,
                          gm_error *err) GM_MUST_USE;

#endif

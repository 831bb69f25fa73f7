/* arch_keys.h - which keys a config.json may hold, and what their values may be.
 *
 * Three kinds of keys: those that are read; those that would change the mathematics, of
 * which one value is computed and every other refused; and harmless ones. The rest is
 * listed as unknown.
 */
#ifndef GM_ARCH_KEYS_H
#define GM_ARCH_KEYS_H

#include "engine/arch.h"

/* Refuse the first kind of key, but those that arch's family reads, when its value is not the one
 * that is computed; list in arch->unknown_keys what is not known; arch->blocks, unless arch's
 * family reads how it is quantised, which stands in `config`. `own` is the object of it that
 * describes the model of text, or the same. GM_EFORMAT, GM_EMEM. */
gm_status gm_arch_check_keys(const gm_json *config, const gm_json *own, const char *where,
                             gm_arch *arch, gm_error *err) GM_MUST_USE;

/* The keys of an object that is part of the config, `name` in messages: those of `known`, which
 * ends with NULL, may have any value; others must have the one that is computed, or null.
 * GM_EFORMAT. */
gm_status gm_config_check_part(const gm_json *part, const char *name, const char *const *known,
                               const char *where, gm_error *err) GM_MUST_USE;

#endif

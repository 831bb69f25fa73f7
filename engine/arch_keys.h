/* arch_keys.h - which keys a config.json may hold, and what their values may be.
 *
 * Keys are read, or harmless, or would change the mathematics: of the last kind one value is
 * supported and every other refused. All other keys are listed as unknown.
 */
#ifndef GM_ARCH_KEYS_H
#define GM_ARCH_KEYS_H

#include "engine/arch.h"

/* The objects of a config, borrowed: the whole of it; what describes the part that takes text with
 * images; and in this what describes the model of text. Two or all of them are the same where a
 * model is no part of a larger one. */
typedef struct gm_config_parts {
    const gm_json *outermost, *outer, *own;
} gm_config_parts;

struct gm_family;

/* A config by the keys that families share, where arch's family has others (gm_renamed): members of
 * the objects that it has them in stand in the config itself. *out is the caller's; NULL: the
 * family has no others. GM_EFORMAT: a key is there by both names and differs; GM_EMEM. */
gm_status gm_config_rename(gm_json **out, const gm_json *config, const char *where,
                           const struct gm_family *family, gm_error *err) GM_MUST_USE;

/* As the family has them. GM_EFORMAT: one is missing. */
gm_status gm_config_find_parts(gm_config_parts *out, const gm_json *config, const char *where,
                               const struct gm_family *family, gm_error *err) GM_MUST_USE;

/* arch->tied_head: whether the embedding is the head stands in the outer and in the own part, or in
 * one of these. GM_EFORMAT. */
gm_status gm_config_read_tied(const gm_config_parts *parts, const char *where, gm_arch *arch,
                              gm_error *err) GM_MUST_USE;

/* Refuse unsupported values, except of keys that arch's family reads itself; fill
 * arch->unknown_keys; and fill arch->blocks from the quantization of the outermost part, or
 * else of the own, unless the family reads it. GM_EFORMAT, GM_EMEM. */
gm_status gm_arch_check_keys(const gm_config_parts *parts, const char *where, gm_arch *arch,
                             gm_error *err) GM_MUST_USE;

/* Check an object inside the config, called `name` in messages: keys in `known` (ends with NULL)
 * may have any value, others must have the supported one, or null. GM_EFORMAT. */
gm_status gm_config_check_part(const gm_json *part, const char *name, const char *const *known,
                               const char *where, gm_error *err) GM_MUST_USE;

/* arch->n_layers, from a number or, where the family has it, as many as a list has; at most `most`.
 * GM_EFORMAT. */
gm_status gm_config_depth(const gm_json *config, int most, const char *where, gm_arch *arch,
                          gm_error *err) GM_MUST_USE;

#endif

/* arch_parts.c - which objects of a config.json describe a model of text, where it is part of a
 * larger one: arch_keys.h.
 */
#include "engine/arch_keys.h"
#include "engine/families.h"

#include <string.h>

static gm_status find_object(const gm_json **out, const gm_json *holder, const char *key,
                             const char *where, const gm_family *family, gm_error *err)
{
    *out = gm_json_find(holder, key);
    if (*out && gm_json_kind_of(*out) == GM_JSON_OBJECT) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': '%s' is not an object, which %s needs", where, key,
                   family->architecture);
}

gm_status gm_config_find_parts(gm_config_parts *out, const gm_json *config, const char *where,
                               const gm_family *family, gm_error *err)
{
    gm_status status = GM_OK;
    const char *type;
    *out = (gm_config_parts){.outermost = config, .outer = config, .own = config};
    if (family->outer) GM_TRY(find_object(&out->outer, config, family->outer, where, family, err));
    out->own = out->outer;
    if (family->nested)
        GM_TRY(find_object(&out->own, out->outer, "text_config", where, family, err));
    if (family->nested && family->own_type) {
        GM_TRY(gm_json_get_text_or(out->own, "model_type", "", &type, where, err));
        if (strcmp(type, family->own_type) != 0)
            GM_FAIL(GM_EFORMAT,
                    "'%s': 'text_config' is of type '%.48s', but of %s only '%s' is supported",
                    where, type, family->architecture, family->own_type);
    }
out:
    return status;
}

gm_status gm_config_read_tied(const gm_config_parts *parts, const char *where, gm_arch *arch,
                              gm_error *err)
{
    static const char key[] = "tie_word_embeddings";
    gm_status status = GM_OK;
    const bool around = arch->family->tied_out;
    bool inside, outside;
    GM_TRY(gm_json_get_bool_or(parts->outer, key, around ? false : arch->tied_head, &outside, where,
                               err));
    GM_TRY(
        gm_json_get_bool_or(around ? parts->outer : parts->own, key, outside, &inside, where, err));
    if (inside != outside)
        GM_FAIL(GM_EFORMAT, "'%s': '%s' is %s, but %s in 'text_config'; expected the same", where,
                key, outside ? "true" : "false", inside ? "true" : "false");
    arch->tied_head = inside;
out:
    return status;
}

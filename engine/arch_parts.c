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

/* ---- keys by other names ---- */

static const gm_json *find_in(const gm_json *config, const char *object, const char *key)
{
    const gm_json *holder = object ? gm_json_find(config, object) : config;
    return holder ? gm_json_find(holder, key) : NULL;
}

/* Does the table have this key of the object (NULL: of the config itself), or this object? */
static bool is_renamed(const gm_renamed *r, const char *object, const char *key)
{
    for (; r->ours; r++) {
        const bool same =
            object && r->object ? strcmp(r->object, object) == 0 : object == r->object;
        if (same && strcmp(r->theirs, key) == 0) return true;
        if (object == NULL && r->object && strcmp(r->object, key) == 0) return true;
    }
    return false;
}

/* Does the key stand already, by another name or from the config or an object before `end`? */
static bool is_taken(const gm_json *config, const gm_renamed *all, const gm_renamed *end,
                     const char *key)
{
    for (const gm_renamed *r = all; r->ours; r++)
        if (strcmp(r->ours, key) == 0 && find_in(config, r->object, r->theirs)) return true;
    if (end && gm_json_find(config, key)) return true;
    for (const gm_renamed *r = all; end && r < end; r++)
        if (r->object && find_in(config, r->object, key)) return true;
    return false;
}

/* The other members of the config, or (row) of the object that a row names; of one that a row
 * before it names nothing is left. */
static void put_others(gm_json_out *out, const gm_json *config, const gm_renamed *all,
                       const gm_renamed *row)
{
    const char *object = row ? row->object : NULL;
    const gm_json *holder = object ? gm_json_find(config, object) : config;
    for (const gm_json *v = holder ? gm_json_first(holder) : NULL; v; v = gm_json_next(v)) {
        const char *key = gm_json_key(v);
        if (key && !is_renamed(all, object, key) && !is_taken(config, all, row, key))
            gm_json_put_value(out, key, v);
    }
}

gm_status gm_config_rename(gm_json **out, const gm_json *config, const char *where,
                           const gm_family *family, gm_error *err)
{
    gm_status status = GM_OK;
    gm_json_out text = {0};
    const gm_renamed *const all = family->renamed;
    *out = NULL;
    if (all == NULL) return GM_OK;

    gm_json_open_object(&text, NULL);
    for (const gm_renamed *r = all; r->ours; r++) {
        const gm_json *value = find_in(config, r->object, r->theirs);
        const gm_json *again = gm_json_find(config, r->ours);
        if (value && again && !gm_json_same(value, again))
            GM_FAIL(GM_EFORMAT, "'%s': '%s' and '%s' disagree", where, r->theirs, r->ours);
        if (value) gm_json_put_value(&text, r->ours, value);
    }
    put_others(&text, config, all, NULL);
    for (const gm_renamed *r = all; r->ours; r++)
        if (r->object) put_others(&text, config, all, r);
    gm_json_close_object(&text);
    GM_TRY(gm_json_out_done(&text, err));
    GM_TRY(gm_json_parse(out, text.text.at, text.text.n, where, err));
out:
    gm_text_clear(&text.text);
    return status;
}

/* ---- objects ---- */

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

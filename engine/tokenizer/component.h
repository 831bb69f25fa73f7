/* component.h - small helpers for reading the parts of a tokenizer.json. */
#ifndef GM_COMPONENT_H
#define GM_COMPONENT_H

#include "base/json.h"

/* True for a part that is not there: no value, or null. */
static inline bool gm_is_absent(const gm_json *json)
{
    return json == NULL || gm_json_kind_of(json) == GM_JSON_NULL;
}

/* The member `key` of an object that may be NULL itself. */
static inline const gm_json *gm_member(const gm_json *object, const char *key)
{
    return object ? gm_json_find(object, key) : NULL;
}

/* The member's string; NULL when there is none, or it is something else. */
static inline const char *gm_member_text(const gm_json *object, const char *key, size_t *n)
{
    const gm_json *value = gm_member(object, key);
    return value ? gm_json_text(value, n) : NULL;
}

/* The member when it is an array, otherwise NULL. */
static inline const gm_json *gm_member_list(const gm_json *object, const char *key)
{
    const gm_json *value = gm_member(object, key);
    return value && gm_json_kind_of(value) == GM_JSON_ARRAY ? value : NULL;
}

#endif

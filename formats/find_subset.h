/* find_subset.h - a labelled subset of a trace or an atlas, by the name that a person gave. */
#ifndef GM_FIND_SUBSET_H
#define GM_FIND_SUBSET_H

#include "base/base.h"

/* The place of `name` among subset_name[0..n). where: "trace" or "atlas", for the message.
 * Errors: GM_EARG with the name that was probably meant, or else with all names. */
gm_status gm_find_subset(size_t *at, const char *name, const char *const *subset_name, size_t n,
                         const char *where, gm_error *err) GM_MUST_USE;

#endif

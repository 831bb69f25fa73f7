/* members.h - who is in which group: from labels to lists.
 *
 * Sizes: N things (documents, points) with a label each, G groups.
 */
#ifndef GM_MEMBERS_H
#define GM_MEMBERS_H

#include "base/base.h"

typedef struct gm_members {
    size_t *first; /* (G+1) where the members of each group begin */
    uint32_t *at;  /* (first[G]) group after group, ascending in each */
} gm_members;

/* label (N), of which those outside [0, G) belong to none. Errors: GM_EMEM. Cost: N + G. */
gm_status gm_members_find(gm_members *out, const int32_t *label, size_t n, size_t n_groups,
                          gm_error *err) GM_MUST_USE;
void gm_members_clear(gm_members *members);

#endif

/* labels.h - boxes moved apart so that labels do not cover each other (inside
 * figures/).
 */
#ifndef GM_LABELS_H
#define GM_LABELS_H

#include <stddef.h>

typedef struct gm_box {
    double x, y;           /* centre; moved */
    double width, height;  /* margins included */
    double home_x, home_y; /* where it wants to be */
} gm_box;

/* Move n boxes, inside [0,width] x [0,height], until none covers another, or as far
 * as a fixed number of rounds gets; boxes in their way push each other along the
 * shorter overlap, and drift home otherwise. Same input, same result. */
void gm_labels_spread(gm_box *box, size_t n, double width, double height);

#endif

/* labels.h - labels that do not cover each other: in columns beside a plot, or boxes moved
 * apart (inside figures/).
 */
#ifndef GM_LABELS_H
#define GM_LABELS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct gm_box {
    double x, y;           /* centre; moved */
    double width, height;  /* margins included */
    double home_x, home_y; /* where it wants to be */
} gm_box;

/* A label in a column beside a plot, and the point in the plot that it names. */
typedef struct gm_beside {
    double home_x, home_y; /* in [0,width] x [0,height] */
    bool left;             /* written: in the left column, not in the right one */
    double y;              /* written: its middle in the column, in [line/2, height - line/2] */
} gm_beside;

/* Share n labels out to two columns, half of them each, by home_x; each gets a place of its own,
 * `line` high, as near to its home's height as that allows, and lines from the labels to their
 * homes do not cross within a column. At most 2 * floor(height/line) labels; order (n) is room.
 * Same input, same result. */
void gm_labels_beside(gm_beside *label, size_t n, double width, double height, double line,
                      size_t *order);

/* Move n boxes, inside [0,width] x [0,height], until none covers another, or as far
 * as a fixed number of rounds gets; boxes in their way push each other along the
 * shorter overlap, and drift home otherwise. Same input, same result. */
void gm_labels_spread(gm_box *box, size_t n, double width, double height);

#endif

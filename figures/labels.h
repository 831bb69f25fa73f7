/* labels.h - labels that do not cover each other: in columns beside a plot, or next to the points
 * that they name (inside figures/).
 */
#ifndef GM_LABELS_H
#define GM_LABELS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct gm_box {
    double x, y;           /* centre; written */
    double width, height;  /* margins included */
    double home_x, home_y; /* the point that it names */
} gm_box;

/* The area that two boxes share. */
double gm_box_shared(const gm_box *p, const gm_box *q);

/* A label in a column beside a plot, and the point in the plot that it names. */
typedef struct gm_beside {
    double home_x, home_y; /* in [0,width] x [0,height] */
    bool left;             /* written: in the left column, not in the right one */
    double y;              /* written: its middle in the column, in [line/2, height - line/2] */
} gm_beside;

/* Divide n labels between two columns, half each, by home_x. Each gets a place of its own, `line`
 * high, as near to its home's height as possible, and within a column the lines from labels to
 * homes do not cross. At most 2 * floor(height/line) labels; order (n) is scratch. Same input, same
 * result. */
void gm_labels_beside(gm_beside *label, size_t n, double width, double height, double line,
                      size_t *order);

/* Place n boxes near their homes, inside [0,width] x [0,height], so that they cover neither each
 * other nor, if possible, what is drawn: `taken` (n_taken; homes ignored). Each in turn takes the
 * best of some places around its home, in a few rounds. Same input, same result. */
void gm_labels_place(gm_box *box, size_t n, const gm_box *taken, size_t n_taken, double width,
                     double height);

/* The point of a box that is nearest to its home, and how far that is. */
double gm_label_edge(const gm_box *box, double *x, double *y);

#endif

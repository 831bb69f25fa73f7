/* curves.h - y against x in panels side by side: lines with intervals, single marks, and a band in
 * the background to compare with.
 */
#ifndef GM_CURVES_H
#define GM_CURVES_H

#include "figures/figures.h"

/* A point; lo and hi are an interval of y, NaN: none. A NaN x or y is left out. */
typedef struct gm_curve_point {
    double x, y, lo, hi;
    const char *label; /* NULL: none */
} gm_curve_point;

typedef struct gm_curve_panel {
    const char *title;
    const gm_curve_point *band; /* (n_band) by x: lo to hi is shaded, y is a line in it; a
                                   point with a NaN is left out */
    size_t n_band;
    const gm_curve_point *line; /* (n_line) joined in this order */
    size_t n_line;
    const gm_curve_point *mark; /* (n_mark) apart */
    size_t n_mark;
    double limit_x;    /* a vertical line there; NaN: none */
    double level_y;    /* a horizontal line there; NaN: none */
    const char *level; /* what it is */
} gm_curve_panel;

typedef struct gm_curve_figure {
    const char *title, *subtitle, *x_axis, *y_axis;
    const gm_curve_panel *panel;
    int n_panels, columns; /* panels a row; 0: up to 3 */
    bool by_column;        /* only panels of one column share their axes; otherwise all do */
    bool x_doubles;        /* 0, 1, 2, 3, 4, ... on the x axis stand for 0, 1, 2, 4, 8, ... */
} gm_curve_figure;

/* Draw into the file `path`, *.png or *.svg, or append a PNG to `png`. Errors: GM_EARG (another
 * ending, no panel), GM_EEXIST unless `replace`, GM_EBUSY, GM_EIO, GM_EMEM. */
gm_status gm_figure_curves(const gm_curve_figure *figure, const char *path, bool replace,
                           gm_error *err) GM_MUST_USE;
gm_status gm_figure_curves_png(const gm_curve_figure *figure, gm_text *png, gm_error *err)
    GM_MUST_USE;

/* Ends and step of an axis that holds lo..hi with round numbers on at most `most` ticks. */
typedef struct gm_axis {
    double lo, hi, step;
} gm_axis;
gm_axis gm_axis_round(double lo, double hi, int most);

#endif

/* figures.h - pictures for papers and pages: scatter maps, heatmaps, lines, as PNG
 * or SVG by the file's ending (cairo, pango; any script the fonts have).
 *
 * Same input, same bytes on one machine. Colours of values, and of up to eight groups, are safe for
 * colour-blind readers; of more groups neighbours differ. A text that no installed font can write
 * is GM_EABSENT, without a picture.
 */
#ifndef GM_FIGURES_H
#define GM_FIGURES_H

#include "base/text.h"

/* Can the installed fonts write all of a text? Always true of printable ASCII, mostly not of
 * control characters. */
bool gm_fonts_can(const char *text);

/* Could a picture be written there? To ask before hours of work. GM_EARG for another ending than
 * .png and .svg; errors of gm_outfile_check. */
gm_status gm_picture_check(const char *path, bool replace, gm_error *err) GM_MUST_USE;
/* And pictures in `folder`, of which `first` is one? The folder is made. */
gm_status gm_picture_folder_check(const char *folder, const char *first, bool replace,
                                  gm_error *err) GM_MUST_USE;

typedef struct gm_rgb {
    uint8_t r, g, b;
} gm_rgb;

/* Colour of group i of n in a categorical palette (polar for many groups, so that
 * neighbours differ); grey for i < 0. */
gm_rgb gm_palette(int i, int n);

/* Colour of a group by its place on a map: hue from the angle (radians), lighter away from the
 * middle (radius in [0,1]), so that nearby groups look alike. `i` shifts the
 * lightness a little, so that neighbours still differ. */
gm_rgb gm_palette_polar(double angle, double radius, int i);

/* A sequential colour map (light to dark) for value in [0,1], and a diverging one for
 * value in [-1,1]; NaN is grey. */
gm_rgb gm_colour_sequential(double value);
gm_rgb gm_colour_diverging(double value);

/* The diverging map for dark paper: its middle is dark. */
gm_rgb gm_colour_diverging_dark(double value);

/* Black or white, whichever is easier to read on `paper`; at least 4.5 : 1. */
gm_rgb gm_colour_ink(gm_rgb paper);

/* Contrast of two colours, 1 to 21. Source: WCAG 2.1, "contrast ratio". */
double gm_colour_contrast(gm_rgb a, gm_rgb b);

typedef struct gm_map_label {
    float x, y;
    const char *text; /* UTF-8 */
    int group;
} gm_map_label;

/* A scatter map: points xy (n,2) coloured by group (n), -1 grey and drawn first; labels in columns
 * left and right of it, the first ones if there is no room for all. `legend` (n_groups texts, of
 * which the first are shown if there is no room for all) may be NULL. NaN points are left out. */
typedef struct gm_map_figure {
    const char *title, *subtitle;
    size_t n;
    const float *xy;
    const int32_t *group;
    int n_groups;
    const gm_rgb *colour; /* (n_groups); NULL: gm_palette */
    const char *const *legend;
    const gm_map_label *label;
    size_t n_labels;
    int width, height; /* pixels; 0: 1600, and by the map's shape, at most 1200 */
} gm_map_figure;

gm_status gm_figure_map(const gm_map_figure *figure, const char *path, bool replace, gm_error *err)
    GM_MUST_USE;

/* Heatmaps side by side, layers down and experts across: `n_panels` of (rows, cols). */
typedef struct gm_heat_panel {
    const char *title;
    const float *value; /* (rows, cols) */
    bool diverging;     /* range [-max, max]; otherwise [0, max] */
    const char *unit;
} gm_heat_panel;

typedef struct gm_heat_figure {
    const char *title;
    const gm_heat_panel *panel;
    int n_panels;
    int rows, cols;
    const int *row_number; /* (rows) model layers; NULL: 0.. */
    const char *row_axis, *col_axis;
    int width, height; /* 0: chosen from rows and cols */
} gm_heat_figure;

gm_status gm_figure_heat(const gm_heat_figure *figure, const char *path, bool replace,
                         gm_error *err) GM_MUST_USE;

/* The same figures as PNG bytes in memory, for the HTML page. */
gm_status gm_figure_map_png(const gm_map_figure *figure, gm_text *png, gm_error *err) GM_MUST_USE;
gm_status gm_figure_heat_png(const gm_heat_figure *figure, gm_text *png, gm_error *err) GM_MUST_USE;

#endif

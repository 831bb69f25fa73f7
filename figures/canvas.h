/* canvas.h - a surface to draw on that becomes PNG or SVG bytes (inside figures/).
 *
 * Lengths are pixels, y grows downwards.
 */
#ifndef GM_CANVAS_H
#define GM_CANVAS_H

#include "figures/figures.h"

#include <cairo.h>

#define GM_INK      ((gm_rgb){34, 34, 34})
#define GM_SOFT_INK ((gm_rgb){96, 96, 96})

typedef enum gm_picture_kind { GM_PICTURE_PNG, GM_PICTURE_SVG } gm_picture_kind;

typedef struct gm_canvas {
    cairo_surface_t *surface;
    cairo_t *cr;
    gm_picture_kind kind;
    gm_text *bytes;   /* borrowed: where the picture goes */
    gm_status status; /* of the stream that receives the bytes */
    char lacking[64]; /* the first text that the fonts cannot write, escaped; "": none */
} gm_canvas;

enum { GM_MAX_PIXELS = 20000 }; /* of a picture, either way */

/* Begin a white picture; its bytes are appended to *bytes by gm_canvas_end.
 * Errors: GM_EARG for a size outside 16..GM_MAX_PIXELS, GM_EMEM. */
gm_status gm_canvas_begin(gm_canvas *canvas, gm_picture_kind kind, int width, int height,
                          gm_text *bytes, gm_error *err) GM_MUST_USE;

/* Finish when `status` is GM_OK, and free the canvas in every case; returns the
 * first failure: GM_EABSENT when no font here has the characters of a text that was drawn. */
gm_status gm_canvas_end(gm_canvas *canvas, gm_status status, gm_error *err) GM_MUST_USE;

/* Draws a figure of its own type and appends the picture to *bytes. */
typedef gm_status gm_picture_draw(const void *figure, gm_picture_kind kind, gm_text *bytes,
                                  gm_error *err);

/* Draw a figure into the file `path`, PNG or SVG by its ending, complete or not at all.
 * Errors: GM_EARG for another ending; those of `draw` and of gm_outfile_write. */
gm_status gm_picture_write(const char *path, bool replace, gm_picture_draw *draw,
                           const void *figure, gm_error *err) GM_MUST_USE;

void gm_canvas_colour(gm_canvas *canvas, gm_rgb colour, double opacity);

/* Where a text is anchored: 0 left/top, 0.5 centre, 1 right/bottom of its box. */
typedef struct gm_text_style {
    double size; /* pixels */
    bool bold;
    gm_rgb colour;
    bool halo; /* white outline, for text over points */
    double anchor_x, anchor_y;
    double max_width; /* cut with an ellipsis; 0: not cut */
} gm_text_style;

/* Size of a text's box, and the text drawn with its anchor at (x, y). */
void gm_canvas_measure(gm_canvas *canvas, const char *text, const gm_text_style *style,
                       double *width, double *height);
/* Its width before there is a canvas, for pictures as wide as their titles. */
double gm_canvas_width_of(const char *text, const gm_text_style *style);
void gm_canvas_text(gm_canvas *canvas, double x, double y, const char *text,
                    const gm_text_style *style);

#endif

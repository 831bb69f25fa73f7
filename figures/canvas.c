/* canvas.c - a surface to draw on that becomes PNG or SVG bytes.
 *
 * cairo keeps its errors inside the surface; they are looked at once, at the end.
 */
#include "figures/canvas.h"

#include "base/folder.h"
#include "base/outfile.h"

#include <cairo-svg.h>
#include <pango/pangocairo.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_PIXELS = 16 };

static cairo_status_t take_bytes(void *closure, const unsigned char *data, unsigned int length)
{
    gm_canvas *canvas = closure;
    if (canvas->status == GM_OK)
        canvas->status = gm_text_append(canvas->bytes, (const char *)data, length, NULL);
    return canvas->status == GM_OK ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

gm_status gm_canvas_begin(gm_canvas *canvas, gm_picture_kind kind, int width, int height,
                          gm_text *bytes, gm_error *err)
{
    *canvas = (gm_canvas){.kind = kind, .bytes = bytes};
    if (width < MIN_PIXELS || width > GM_MAX_PIXELS || height < MIN_PIXELS ||
        height > GM_MAX_PIXELS)
        return gm_fail(err, GM_EARG, "picture of %d x %d pixels, expected %d to %d each way", width,
                       height, MIN_PIXELS, GM_MAX_PIXELS);

    canvas->surface = kind == GM_PICTURE_SVG
                          ? cairo_svg_surface_create_for_stream(take_bytes, canvas, width, height)
                          : cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    canvas->cr = cairo_create(canvas->surface);
    if (cairo_status(canvas->cr) != CAIRO_STATUS_SUCCESS) {
        gm_status status = gm_fail(err, GM_EMEM, "cannot begin a picture of %d x %d pixels: %s",
                                   width, height, cairo_status_to_string(cairo_status(canvas->cr)));
        return gm_canvas_end(canvas, status, NULL);
    }
    cairo_set_source_rgb(canvas->cr, 1, 1, 1);
    cairo_paint(canvas->cr);
    return GM_OK;
}

gm_status gm_canvas_end(gm_canvas *canvas, gm_status status, gm_error *err)
{
    cairo_status_t drawn = CAIRO_STATUS_SUCCESS;
    if (canvas->cr) {
        drawn = cairo_status(canvas->cr);
        cairo_destroy(canvas->cr);
    }
    if (canvas->surface) {
        if (status == GM_OK && drawn == CAIRO_STATUS_SUCCESS && canvas->kind == GM_PICTURE_PNG)
            drawn = cairo_surface_write_to_png_stream(canvas->surface, take_bytes, canvas);
        cairo_surface_finish(canvas->surface); /* an SVG is written here */
        if (drawn == CAIRO_STATUS_SUCCESS) drawn = cairo_surface_status(canvas->surface);
        cairo_surface_destroy(canvas->surface);
    }
    canvas->cr = NULL, canvas->surface = NULL;
    if (status != GM_OK) return status;
    if (canvas->status != GM_OK || drawn == CAIRO_STATUS_NO_MEMORY)
        return gm_fail(err, GM_EMEM, "no memory for a picture");
    if (drawn != CAIRO_STATUS_SUCCESS)
        return gm_fail(err, GM_EIO, "cannot draw a picture: %s", cairo_status_to_string(drawn));
    if (canvas->lacking[0])
        return gm_fail(err, GM_EABSENT,
                       "no installed font has all characters of '%s'; install one that does "
                       "(Debian: fonts-dejavu-core, fonts-noto-cjk)",
                       canvas->lacking);
    return GM_OK;
}

/* PNG or SVG by the ending of `path`. */
static gm_status kind_of(const char *path, gm_picture_kind *kind, gm_error *err)
{
    if (gm_ends_in(path, ".png"))
        *kind = GM_PICTURE_PNG;
    else if (gm_ends_in(path, ".svg"))
        *kind = GM_PICTURE_SVG;
    else
        return gm_fail(err, GM_EARG, "picture '%s' ends in neither .png nor .svg", path);
    return GM_OK;
}

gm_status gm_picture_check(const char *path, bool replace, gm_error *err)
{
    gm_picture_kind kind;
    gm_status status = kind_of(path, &kind, err);
    return status == GM_OK ? gm_outfile_check(path, replace, err) : status;
}

gm_status gm_picture_folder_check(const char *folder, const char *first, bool replace,
                                  gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    GM_TRY(gm_folder_make(folder, err));
    GM_TRY(gm_text_printf(&path, err, "%s/%s", folder, first));
    GM_TRY(gm_picture_check(path.at, replace, err));
out:
    gm_text_clear(&path);
    return status;
}

gm_status gm_picture_write(const char *path, bool replace, gm_picture_draw *draw,
                           const void *figure, gm_error *err)
{
    gm_status status = GM_OK;
    gm_picture_kind kind = GM_PICTURE_PNG;
    gm_text bytes = {0};
    GM_TRY(kind_of(path, &kind, err));
    GM_TRY(draw(figure, kind, &bytes, err));
    GM_TRY(gm_outfile_write(path, replace, bytes.at, bytes.n, err));
out:
    gm_text_clear(&bytes);
    return status;
}

void gm_canvas_colour(gm_canvas *canvas, gm_rgb colour, double opacity)
{
    cairo_set_source_rgba(canvas->cr, colour.r / 255.0, colour.g / 255.0, colour.b / 255.0,
                          opacity);
}

static PangoLayout *layout_of(gm_canvas *canvas, const char *text, const gm_text_style *style)
{
#ifdef GM_FONTS /* of a build without root: fonts are in its folder of packages */
    (void)setenv("FONTCONFIG_FILE", GM_FONTS, 0);
#endif
    PangoLayout *layout = pango_cairo_create_layout(canvas->cr);
    PangoFontDescription *font = pango_font_description_from_string("DejaVu Sans, sans");
    pango_font_description_set_absolute_size(font, style->size * PANGO_SCALE);
    if (style->bold) pango_font_description_set_weight(font, PANGO_WEIGHT_BOLD);
    pango_layout_set_font_description(layout, font);
    pango_font_description_free(font);
    pango_layout_set_single_paragraph_mode(layout, TRUE);
    pango_layout_set_auto_dir(layout, FALSE); /* an Arabic name begins where the others do */
    if (style->max_width > 0) {
        pango_layout_set_width(layout, (int)(style->max_width * PANGO_SCALE));
        pango_layout_set_ellipsize(layout, PANGO_ELLIPSIZE_END);
    }
    /* pango refuses invalid UTF-8 and warns on stderr: hand it what is valid */
    pango_layout_set_text(layout, text, (int)gm_utf8_valid(text, strlen(text)));
    return layout;
}

/* A canvas of one pixel, to lay texts out on. */
static gm_canvas scratch_begin(void)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    return (gm_canvas){.surface = surface, .cr = cairo_create(surface)};
}

static void scratch_end(gm_canvas *canvas)
{
    cairo_destroy(canvas->cr);
    cairo_surface_destroy(canvas->surface);
}

bool gm_fonts_can(const char *text)
{
    const gm_text_style style = {.size = 12};
    const char *at = text;
    while (*at >= 0x20 && *at < 0x7F) at++;
    if (*at == '\0') return true; /* plain ASCII: a picture says itself what it lacks of it */
    gm_canvas canvas = scratch_begin();
    PangoLayout *layout = layout_of(&canvas, text, &style);
    const bool can = pango_layout_get_unknown_glyphs_count(layout) == 0;
    g_object_unref(layout);
    scratch_end(&canvas);
    return can;
}

double gm_canvas_width_of(const char *text, const gm_text_style *style)
{
    double width, height;
    gm_canvas canvas = scratch_begin();
    gm_canvas_measure(&canvas, text, style, &width, &height);
    scratch_end(&canvas);
    return width;
}

void gm_canvas_measure(gm_canvas *canvas, const char *text, const gm_text_style *style,
                       double *width, double *height)
{
    PangoLayout *layout = layout_of(canvas, text, style);
    int w, h;
    pango_layout_get_pixel_size(layout, &w, &h);
    *width = w, *height = h;
    g_object_unref(layout);
}

void gm_canvas_text(gm_canvas *canvas, double x, double y, const char *text,
                    const gm_text_style *style)
{
    PangoLayout *layout = layout_of(canvas, text, style);
    int w, h;
    pango_layout_get_pixel_size(layout, &w, &h);
    cairo_move_to(canvas->cr, x - style->anchor_x * w, y - style->anchor_y * h);
    if (style->halo) {
        pango_cairo_layout_path(canvas->cr, layout);
        gm_canvas_colour(canvas, (gm_rgb){255, 255, 255}, 0.85);
        cairo_set_line_width(canvas->cr, style->size / 4);
        cairo_set_line_join(canvas->cr, CAIRO_LINE_JOIN_ROUND);
        cairo_stroke(canvas->cr);
        cairo_move_to(canvas->cr, x - style->anchor_x * w, y - style->anchor_y * h);
    }
    gm_canvas_colour(canvas, style->colour, 1);
    pango_cairo_show_layout(canvas->cr, layout);
    if (canvas->lacking[0] == '\0' && pango_layout_get_unknown_glyphs_count(layout) > 0)
        gm_text_escape(canvas->lacking, sizeof canvas->lacking, text, strlen(text));
    cairo_new_path(canvas->cr);
    g_object_unref(layout);
}

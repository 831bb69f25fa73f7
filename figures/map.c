/* map.c - the scatter map: points coloured by group, labels beside it, a legend. */
#include "figures/canvas.h"
#include "figures/labels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_WIDTH = 1600, DEFAULT_HEIGHT = 1200, MARGIN = 40, TITLE_HEIGHT = 74 };
enum { MAX_HEIGHT = DEFAULT_HEIGHT - TITLE_HEIGHT - MARGIN }; /* of a plot */
#define FILLED 0.96                           /* of the plot's width or height, by points */
enum { MAX_CIRCLES = 5000, LAYER_SCALE = 2 }; /* of an SVG; pixels of a picture in it, each way */
/* Of labels beside the plot. */
enum { COLUMN = 280, GAP = 8, MIN_LINE = 13, MAX_LINE = 26, MAX_LABEL_BYTES = 512 };
enum { MIN_NAME = 10 }; /* a line of a legend, at least */

/* The plot's place on the canvas and the map from data to pixels. */
typedef struct plot {
    double x, y, width, height; /* pixels */
    double left, top, scale;    /* pixel = x + (v - left) * scale; y grows downwards */
} plot;

static bool is_point(const float *xy)
{
    return isfinite(xy[0]) && isfinite(xy[1]);
}

/* Where the finite points lie: their middle, and how far they spread, 1 for not at all. */
static void find_bounds(const gm_map_figure *f, double middle[2], double span[2])
{
    float lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < f->n; i++) {
        if (!is_point(f->xy + 2 * i)) continue;
        for (int d = 0; d < 2; d++) {
            lo[d] = fminf(lo[d], f->xy[2 * i + (size_t)d]);
            hi[d] = fmaxf(hi[d], f->xy[2 * i + (size_t)d]);
        }
    }
    for (int d = 0; d < 2; d++) {
        const bool any = isfinite(lo[d]);
        span[d] = any && hi[d] > lo[d] ? (double)hi[d] - (double)lo[d] : 1;
        middle[d] = any ? ((double)lo[d] + (double)hi[d]) / 2 : 0;
    }
}

/* Fit the finite points into the plot, both axes to one scale, centred. */
static void fit(plot *p, const gm_map_figure *f)
{
    double middle[2], span[2];
    find_bounds(f, middle, span);
    p->scale = FILLED * fmin(p->width / span[0], p->height / span[1]);
    p->left = middle[0] - p->width / 2 / p->scale;
    p->top = middle[1] + p->height / 2 / p->scale;
}

/* A flat map takes a flat picture, with room for its labels. */
static double choose_height(const gm_map_figure *f, double width)
{
    double middle[2], span[2];
    find_bounds(f, middle, span);
    const double labels = MAX_LINE * ceil(0.5 * (double)f->n_labels); /* in two columns */
    const double names = f->legend ? MAX_LINE * (double)f->n_groups : 0;
    const double least = fmax(DEFAULT_HEIGHT / 2.0, fmax(labels, names));
    return fmin(fmax(least, width * span[1] / span[0]), MAX_HEIGHT);
}

static double px(const plot *p, float x)
{
    return p->x + ((double)x - p->left) * p->scale;
}

static double py(const plot *p, float y)
{
    return p->y + (p->top - (double)y) * p->scale;
}

static gm_rgb colour_of(const gm_map_figure *f, int group)
{
    return f->colour && group >= 0 ? f->colour[group] : gm_palette(group, f->n_groups);
}

/* Small points with little ink when there are many of them. */
static void draw_points(gm_canvas *canvas, const plot *p, const gm_map_figure *f)
{
    double radius = fmax(1.1, fmin(5, 260 / sqrt((double)f->n + 1)));
    double opacity = f->n > 20000 ? 0.45 : f->n > 4000 ? 0.6 : 0.75;
    for (int pass = 0; pass < 2; pass++) /* noise lies below */
        for (size_t i = 0; i < f->n; i++) {
            int group = f->group ? f->group[i] : 0;
            if (!is_point(f->xy + 2 * i) || (group < 0) != (pass == 0)) continue;
            gm_canvas_colour(canvas, colour_of(f, group), pass ? opacity : opacity / 2);
            cairo_arc(canvas->cr, px(p, f->xy[2 * i]), py(p, f->xy[2 * i + 1]),
                      pass ? radius : 0.8 * radius, 0, 6.283185307179586);
            cairo_fill(canvas->cr);
        }
}

/* Points as one picture inside an SVG, which as many circles would make too large for a paper;
 * all else stays lines and text. */
static void draw_points_as_picture(gm_canvas *canvas, const plot *p, const gm_map_figure *f)
{
    cairo_surface_t *layer = cairo_image_surface_create(
        CAIRO_FORMAT_ARGB32, (int)ceil(LAYER_SCALE * p->width), (int)ceil(LAYER_SCALE * p->height));
    gm_canvas on = *canvas;
    on.cr = cairo_create(layer);
    cairo_scale(on.cr, LAYER_SCALE, LAYER_SCALE);
    cairo_translate(on.cr, -p->x, -p->y);
    draw_points(&on, p, f);
    cairo_destroy(on.cr);

    cairo_save(canvas->cr);
    cairo_translate(canvas->cr, p->x, p->y);
    cairo_scale(canvas->cr, 1.0 / LAYER_SCALE, 1.0 / LAYER_SCALE);
    cairo_set_source_surface(canvas->cr, layer, 0, 0); /* a layer that failed fails the canvas */
    cairo_paint(canvas->cr);
    cairo_restore(canvas->cr);
    cairo_surface_destroy(layer);
}

/* The height of a label's line: as large as `room` allows for n labels in two columns, within
 * bounds; *shown: how many of them then fit, the first ones. */
static double line_height(double room, size_t n, size_t *shown)
{
    const size_t column = (n + 1) / 2; /* labels in the fuller one */
    double line = fmin(MAX_LINE, fmax(MIN_LINE, room / (double)column));
    size_t most = 2 * (size_t)floor(room / line);
    *shown = n < most ? n : most;
    return line;
}

/* A label of words with commas between them: as many of the first ones as have room. */
static void put_words(gm_canvas *canvas, double x, double y, const char *text,
                      const gm_text_style *style)
{
    char words[MAX_LABEL_BYTES];
    gm_text_style whole = *style;
    whole.max_width = 0;
    snprintf(words, sizeof words, "%s", text);
    for (;;) {
        double width, height;
        gm_canvas_measure(canvas, words, &whole, &width, &height);
        char *last = width > style->max_width ? strrchr(words, ',') : NULL;
        if (last == NULL) break;
        *last = '\0';
    }
    gm_canvas_text(canvas, x, y, words, style);
}

/* Labels in columns left and right of the plot, a line from each to its place. */
static gm_status draw_labels(gm_canvas *canvas, const plot *p, const gm_map_figure *f,
                             gm_error *err)
{
    gm_status status = GM_OK;
    size_t n;
    const double line = line_height(p->height, f->n_labels, &n);
    gm_text_style style = {.size = 0.66 * line,
                           .colour = GM_INK,
                           .anchor_y = 0.5,
                           .max_width = p->x - MARGIN - 2 * GAP};
    gm_beside *beside = gm_alloc(n, sizeof *beside);
    size_t *order = gm_alloc(n, sizeof *order);
    if (!beside || !order) GM_FAIL(GM_EMEM, "no memory for %zu labels", n);
    for (size_t i = 0; i < n; i++) {
        beside[i].home_x = px(p, f->label[i].x) - p->x;
        beside[i].home_y = py(p, f->label[i].y) - p->y;
    }
    gm_labels_beside(beside, n, p->width, p->height, line, order);

    for (size_t i = 0; i < n; i++) {
        const gm_beside *b = &beside[i];
        double edge = b->left ? p->x - GAP : p->x + p->width + GAP, y = p->y + b->y;
        gm_canvas_colour(canvas, colour_of(f, f->label[i].group), 0.9);
        cairo_set_line_width(canvas->cr, 1.2);
        cairo_move_to(canvas->cr, edge, y);
        cairo_line_to(canvas->cr, p->x + b->home_x, p->y + b->home_y);
        cairo_stroke(canvas->cr);
        style.anchor_x = b->left ? 1 : 0;
        put_words(canvas, b->left ? edge - 4 : edge + 4, y, f->label[i].text, &style);
    }
out:
    gm_free(order);
    gm_free(beside);
    return status;
}

/* Names in one column at the right, as large as the height allows; of too many the first ones, and
 * how many more there are. */
static void draw_legend(gm_canvas *canvas, const gm_map_figure *f, double x, double y, double width,
                        double height)
{
    const int most = (int)fmax(1, height / MIN_NAME), n = f->n_groups < most ? f->n_groups : most;
    const int n_more = f->n_groups > n ? f->n_groups - n + 1 : 0, n_names = n_more ? n - 1 : n;
    const double line = fmin(26, height / (n > 0 ? n : 1));
    gm_text_style style = {
        .size = fmax(6, 0.62 * line), .colour = GM_INK, .anchor_y = 0.5, .max_width = width - line};
    for (int i = 0; i < n_names; i++) {
        double middle = y + (i + 0.5) * line;
        gm_canvas_colour(canvas, colour_of(f, i), 1);
        cairo_arc(canvas->cr, x + line / 2, middle, 0.28 * line, 0, 6.283185307179586);
        cairo_fill(canvas->cr);
        gm_canvas_text(canvas, x + line, middle, f->legend[i], &style);
    }
    if (n_more == 0) return;
    char rest[32];
    snprintf(rest, sizeof rest, "and %d more", n_more);
    gm_canvas_text(canvas, x + line, y + (n_names + 0.5) * line, rest, &style);
}

static gm_status draw(const void *figure, gm_picture_kind kind, gm_text *bytes, gm_error *err)
{
    const gm_map_figure *f = figure;
    gm_status status = GM_OK;
    const int width = f->width ? f->width : DEFAULT_WIDTH;
    double legend_width = f->legend ? 260 : 0;
    double room = fmax(4, width - 2 * MARGIN - legend_width);
    double column = f->n_labels ? fmin(COLUMN, 0.25 * room) : 0;
    plot p = {.x = MARGIN + column, .y = TITLE_HEIGHT, .width = room - 2 * column};
    p.height = f->height ? f->height - TITLE_HEIGHT - MARGIN : floor(choose_height(f, p.width));
    const int height = f->height ? f->height : (int)p.height + TITLE_HEIGHT + MARGIN;
    gm_canvas canvas;
    status = gm_canvas_begin(&canvas, kind, width, height, bytes, err);
    if (status != GM_OK) return status;

    gm_canvas_text(&canvas, MARGIN, 16, f->title ? f->title : "",
                   &(gm_text_style){.size = 24, .bold = true, .colour = GM_INK});
    if (f->subtitle)
        gm_canvas_text(&canvas, MARGIN, 46, f->subtitle,
                       &(gm_text_style){.size = 15, .colour = GM_SOFT_INK});
    gm_canvas_colour(&canvas, (gm_rgb){210, 210, 210}, 1);
    cairo_set_line_width(canvas.cr, 1);
    cairo_rectangle(canvas.cr, p.x - 0.5, p.y - 0.5, p.width + 1, p.height + 1);
    cairo_stroke(canvas.cr);

    fit(&p, f);
    if (kind == GM_PICTURE_SVG && f->n > MAX_CIRCLES)
        draw_points_as_picture(&canvas, &p, f);
    else
        draw_points(&canvas, &p, f);
    if (f->n_labels) GM_TRY(draw_labels(&canvas, &p, f, err));
    if (f->legend) draw_legend(&canvas, f, p.x + p.width + 16, p.y, legend_width - 16, p.height);
out:
    return gm_canvas_end(&canvas, status, err);
}

gm_status gm_figure_map_png(const gm_map_figure *figure, gm_text *png, gm_error *err)
{
    return draw(figure, GM_PICTURE_PNG, png, err);
}

gm_status gm_figure_map(const gm_map_figure *figure, const char *path, bool replace, gm_error *err)
{
    return gm_picture_write(path, replace, draw, figure, err);
}

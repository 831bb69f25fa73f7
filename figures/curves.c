/* curves.c - see curves.h. */
#include "figures/curves.h"

#include "figures/canvas.h"
#include "figures/labels.h"

#include <math.h>
#include <stdio.h>

enum {
    MARGIN = 24,
    HEAD = 64,
    PANEL_WIDTH = 390, /* three across the page of a paper, 17.5 cm, leave SMALL 5 points */
    PANEL_HEIGHT = 330,
    LEFT = 62,
    BELOW = 48,
    ABOVE = 28,
    RIGHT = 12,
    SMALL = 13, /* texts, in pixels: numbers and labels; axes; panels */
    MIDDLE = 14,
    LARGE = 15,
    MAX_LABELS = 64,
    MAX_DRAWN = 400
};

static const double PI = 3.14159265358979;
static const gm_rgb LINE = {32, 98, 168}, MARK = {176, 82, 20}, BAND = {150, 150, 150};

gm_axis gm_axis_round(double lo, double hi, int most)
{
    if (!(hi > lo)) hi = lo + 1;
    double raw = (hi - lo) / most, unit = pow(10, floor(log10(raw)));
    double step = raw <= unit       ? unit
                  : raw <= 2 * unit ? 2 * unit
                  : raw <= 5 * unit ? 5 * unit
                                    : 10 * unit;
    return (gm_axis){floor(lo / step + 1e-9) * step, ceil(hi / step - 1e-9) * step, step};
}

/* Where a panel's plane lies, in pixels, and what it holds. */
typedef struct plane {
    double left, top, width, height;
    gm_axis x, y;
} plane;

static double px(const plane *p, double x)
{
    return p->left + (x - p->x.lo) / (p->x.hi - p->x.lo) * p->width;
}

static double py(const plane *p, double y)
{
    return p->top + p->height - (y - p->y.lo) / (p->y.hi - p->y.lo) * p->height;
}

static bool is_point(const gm_curve_point *q)
{
    return isfinite(q->x) && isfinite(q->y);
}

static bool is_band(const gm_curve_point *q)
{
    return is_point(q) && isfinite(q->lo) && isfinite(q->hi);
}

typedef struct range {
    double lo, hi;
} range;

static void hold(range *r, double value)
{
    if (!isfinite(value)) return;
    r->lo = fmin(r->lo, value);
    r->hi = fmax(r->hi, value);
}

static void hold_points(range *x, range *y, const gm_curve_point *q, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_point(&q[i])) continue;
        hold(x, q[i].x);
        hold(y, q[i].y);
        hold(y, q[i].lo);
        hold(y, q[i].hi);
    }
}

/* Panels first, first + step, ... share their axes, so that they can be compared by eye. */
static void find_axes(plane *p, const gm_curve_figure *f, int first, int step)
{
    range x = {0, 0}, y = {0, 0};
    for (int i = first; i < f->n_panels; i += step) {
        const gm_curve_panel *q = &f->panel[i];
        hold_points(&x, &y, q->band, q->n_band);
        hold_points(&x, &y, q->line, q->n_line);
        hold_points(&x, &y, q->mark, q->n_mark);
        hold(&x, q->limit_x);
        hold(&y, q->level_y);
    }
    p->x = gm_axis_round(x.lo, x.hi, 6);
    if (f->x_doubles) p->x.step = fmax(1, p->x.step); /* nothing stands between its points */
    p->y = gm_axis_round(y.lo, y.hi, 6);
}

/* ---- drawing ---- */

static void stroke(gm_canvas *c, double x0, double y0, double x1, double y1)
{
    cairo_move_to(c->cr, x0, y0);
    cairo_line_to(c->cr, x1, y1);
    cairo_stroke(c->cr);
}

static void draw_axes(gm_canvas *c, const plane *p, const gm_curve_figure *f)
{
    char number[32];
    gm_text_style style = {.size = SMALL, .colour = GM_SOFT_INK, .anchor_x = 0.5};
    cairo_set_line_width(c->cr, 1);
    for (int i = 0; p->x.lo + i * p->x.step <= p->x.hi + p->x.step / 2; i++) {
        double x = p->x.lo + i * p->x.step;
        gm_canvas_colour(c, GM_SOFT_INK, 0.15);
        stroke(c, px(p, x), p->top, px(p, x), p->top + p->height);
        const double shown = fabs(x) < p->x.step / 2 ? 0 : f->x_doubles ? exp2(x - 1) : x;
        snprintf(number, sizeof number, "%.4g", shown);
        gm_canvas_text(c, px(p, x), p->top + p->height + 4, number, &style);
    }
    style.anchor_x = 1, style.anchor_y = 0.5;
    for (int i = 0; p->y.lo + i * p->y.step <= p->y.hi + p->y.step / 2; i++) {
        double y = p->y.lo + i * p->y.step;
        gm_canvas_colour(c, GM_SOFT_INK, fabs(y) < p->y.step / 2 ? 0.6 : 0.15);
        stroke(c, p->left, py(p, y), p->left + p->width, py(p, y));
        snprintf(number, sizeof number, "%.4g", fabs(y) < p->y.step / 2 ? 0 : y);
        gm_canvas_text(c, p->left - 6, py(p, y), number, &style);
    }
    style = (gm_text_style){.size = MIDDLE, .colour = GM_SOFT_INK, .anchor_x = 0.5};
    if (f->x_axis)
        gm_canvas_text(c, p->left + p->width / 2, p->top + p->height + 22, f->x_axis, &style);
    if (f->y_axis == NULL) return;
    style.anchor_y = 0.5;
    cairo_save(c->cr);
    cairo_translate(c->cr, p->left - LEFT + 10, p->top + p->height / 2);
    cairo_rotate(c->cr, -PI / 2);
    gm_canvas_text(c, 0, 0, f->y_axis, &style);
    cairo_restore(c->cr);
}

static void draw_band(gm_canvas *c, const plane *p, const gm_curve_point *q, size_t n)
{
    cairo_new_path(c->cr);
    for (size_t i = 0; i < n; i++)
        if (is_band(&q[i])) cairo_line_to(c->cr, px(p, q[i].x), py(p, q[i].hi));
    for (size_t i = n; i-- > 0;)
        if (is_band(&q[i])) cairo_line_to(c->cr, px(p, q[i].x), py(p, q[i].lo));
    if (cairo_has_current_point(c->cr)) cairo_close_path(c->cr);
    gm_canvas_colour(c, BAND, 0.35);
    cairo_fill(c->cr);
    gm_canvas_colour(c, BAND, 1);
    cairo_set_line_width(c->cr, 1.5);
    for (size_t i = 0; i < n; i++)
        if (is_band(&q[i])) cairo_line_to(c->cr, px(p, q[i].x), py(p, q[i].y));
    cairo_stroke(c->cr);
}

static void draw_points(gm_canvas *c, const plane *p, const gm_curve_point *q, size_t n, gm_rgb hue,
                        bool joined)
{
    gm_canvas_colour(c, hue, 1);
    cairo_set_line_width(c->cr, 2);
    cairo_new_path(c->cr);
    for (size_t i = 0; i < n && joined; i++)
        if (is_point(&q[i])) cairo_line_to(c->cr, px(p, q[i].x), py(p, q[i].y));
    cairo_stroke(c->cr);
    for (size_t i = 0; i < n; i++) {
        if (!is_point(&q[i])) continue;
        cairo_set_line_width(c->cr, 1);
        if (isfinite(q[i].lo) && isfinite(q[i].hi))
            stroke(c, px(p, q[i].x), py(p, q[i].lo), px(p, q[i].x), py(p, q[i].hi));
        cairo_new_path(c->cr);
        cairo_arc(c->cr, px(p, q[i].x), py(p, q[i].y), joined ? 3.5 : 3, 0, 2 * PI);
        cairo_fill(c->cr);
    }
}

/* ---- labels ---- */

/* What labels should not cover, in pixels of the plane. */
typedef struct drawn {
    gm_box at[MAX_DRAWN];
    size_t n;
} drawn;

static void add_drawn(drawn *d, double x, double y, double width, double height)
{
    if (d->n < MAX_DRAWN) d->at[d->n++] = (gm_box){x, y, width, height, x, y};
}

static void add_points(drawn *d, const plane *p, const gm_curve_point *q, size_t n, bool joined)
{
    enum { DOT = 9, PIECE = 6 };
    const gm_curve_point *before = NULL;
    for (size_t i = 0; i < n; i++) {
        if (!is_point(&q[i])) continue;
        double x = px(p, q[i].x) - p->left, y = py(p, q[i].y) - p->top;
        add_drawn(d, x, y, DOT, DOT);
        if (isfinite(q[i].lo) && isfinite(q[i].hi)) {
            double hi = py(p, q[i].hi) - p->top, lo = py(p, q[i].lo) - p->top;
            add_drawn(d, x, (hi + lo) / 2, 3, lo - hi);
        }
        if (before && joined) {
            double x0 = px(p, before->x) - p->left, y0 = py(p, before->y) - p->top;
            int pieces = (int)(hypot(x - x0, y - y0) / PIECE);
            for (int k = 1; k < pieces; k++)
                add_drawn(d, x0 + (x - x0) * k / pieces, y0 + (y - y0) * k / pieces, PIECE, PIECE);
        }
        before = &q[i];
    }
}

static const gm_text_style LEVEL_STYLE = {
    .size = SMALL, .colour = {176, 82, 20}, .halo = true, .anchor_x = 0.5, .anchor_y = 0.5};

/* Where the level's label hides least of what is drawn: above or below its line, at its right or
 * left end. */
static gm_box place_level(gm_canvas *c, const plane *p, const gm_curve_panel *q, const drawn *d)
{
    double width, height, least = INFINITY;
    gm_box best = {0};
    gm_canvas_measure(c, q->level, &LEVEL_STYLE, &width, &height);
    for (int way = 0; way < 4; way++) {
        const double in = 4 + width / 2, off = 3 + height / 2;
        const gm_box box = {.x = way & 2 ? in : p->width - in,
                            .y = py(p, q->level_y) - p->top + (way & 1 ? off : -off),
                            .width = width,
                            .height = height};
        const double middle = p->height / 2;
        double hidden = width * fmax(0, fabs(box.y - middle) + height / 2 - middle); /* outside */
        for (size_t i = 0; i < d->n; i++) hidden += gm_box_shared(&box, &d->at[i]);
        if (hidden < least) least = hidden, best = box;
    }
    return best;
}

/* The labels of the line and of the marks; a thin line leads to the point from one that stands
 * apart from it. */
static void draw_labels(gm_canvas *c, const plane *p, const gm_curve_panel *q, const drawn *d)
{
    enum { APART = 9 };
    gm_box box[MAX_LABELS];
    const gm_curve_point *of[MAX_LABELS];
    gm_text_style style = {.size = SMALL, .halo = true, .anchor_x = 0.5, .anchor_y = 0.5};
    size_t n = 0, n_line = 0;
    double width, height, x, y;
    for (size_t i = 0; i < q->n_line + q->n_mark && n < MAX_LABELS; i++) {
        const gm_curve_point *at = i < q->n_line ? &q->line[i] : &q->mark[i - q->n_line];
        if (!is_point(at) || at->label == NULL) continue;
        gm_canvas_measure(c, at->label, &style, &width, &height);
        box[n] = (gm_box){.width = width + 4, .height = height};
        box[n].home_x = px(p, at->x) - p->left, box[n].home_y = py(p, at->y) - p->top;
        of[n++] = at;
        if (i < q->n_line) n_line = n; /* the line's labels come first */
    }
    gm_labels_place(box, n, d->at, d->n, p->width, p->height);
    cairo_set_line_width(c->cr, 0.7);
    for (size_t i = 0; i < n; i++) {
        gm_canvas_colour(c, i < n_line ? LINE : MARK, 0.6);
        if (gm_label_edge(&box[i], &x, &y) > APART)
            stroke(c, p->left + box[i].home_x, p->top + box[i].home_y, p->left + x, p->top + y);
    }
    for (size_t i = 0; i < n; i++) {
        style.colour = i < n_line ? LINE : MARK;
        gm_canvas_text(c, p->left + box[i].x, p->top + box[i].y, of[i]->label, &style);
    }
}

static void draw_panel(gm_canvas *c, const plane *p, const gm_curve_figure *f,
                       const gm_curve_panel *q)
{
    const double dash[] = {5, 4};
    drawn d = {.n = 0};
    gm_canvas_text(c, p->left, p->top - 22, q->title ? q->title : "",
                   &(gm_text_style){.size = LARGE, .colour = GM_INK, .max_width = p->width});
    draw_axes(c, p, f);
    cairo_save(c->cr);
    cairo_set_dash(c->cr, dash, 2, 0);
    cairo_set_line_width(c->cr, 1);
    gm_canvas_colour(c, GM_SOFT_INK, 0.9);
    if (isfinite(q->limit_x))
        stroke(c, px(p, q->limit_x), p->top, px(p, q->limit_x), p->top + p->height);
    gm_canvas_colour(c, MARK, 0.9);
    if (isfinite(q->level_y))
        stroke(c, p->left, py(p, q->level_y), p->left + p->width, py(p, q->level_y));
    cairo_restore(c->cr);
    add_points(&d, p, q->line, q->n_line, true);
    add_points(&d, p, q->mark, q->n_mark, false);
    if (isfinite(q->level_y) && q->level) { /* below the points */
        const gm_box level = place_level(c, p, q, &d);
        add_drawn(&d, level.x, level.y, level.width, level.height);
        gm_canvas_text(c, p->left + level.x, p->top + level.y, q->level, &LEVEL_STYLE);
    }
    draw_band(c, p, q->band, q->n_band);
    draw_points(c, p, q->mark, q->n_mark, MARK, false);
    draw_points(c, p, q->line, q->n_line, LINE, true);
    draw_labels(c, p, q, &d);
}

static gm_status draw(const void *figure, gm_picture_kind kind, gm_text *bytes, gm_error *err)
{
    const gm_curve_figure *f = figure;
    if (f->n_panels < 1)
        return gm_fail(err, GM_EARG, "figure of %d panels, expected at least 1", f->n_panels);
    int columns = f->columns > 0 ? f->columns : 3;
    if (columns > f->n_panels) columns = f->n_panels;
    int rows = (f->n_panels + columns - 1) / columns;
    /* A column alone is as wide as two: the title needs it. */
    const int panel_width = columns == 1 ? 2 * PANEL_WIDTH : PANEL_WIDTH;
    int width = columns * panel_width + 2 * MARGIN, height = HEAD + rows * PANEL_HEIGHT + MARGIN;
    plane p = {.width = panel_width - LEFT - RIGHT, .height = PANEL_HEIGHT - ABOVE - BELOW};
    gm_canvas c;
    gm_status status = gm_canvas_begin(&c, kind, width, height, bytes, err);
    if (status != GM_OK) return status;
    gm_text_style style = {
        .size = 19, .bold = true, .colour = GM_INK, .max_width = width - 2 * MARGIN};
    gm_canvas_text(&c, MARGIN, 10, f->title ? f->title : "", &style);
    style.size = MIDDLE, style.bold = false, style.colour = GM_SOFT_INK;
    gm_canvas_text(&c, MARGIN, 36, f->subtitle ? f->subtitle : "", &style);
    for (int i = 0; i < f->n_panels; i++) {
        int row = i / columns, column = i % columns;
        find_axes(&p, f, f->by_column ? column : 0, f->by_column ? columns : 1);
        p.left = MARGIN + column * panel_width + LEFT;
        p.top = HEAD + row * PANEL_HEIGHT + ABOVE;
        draw_panel(&c, &p, f, &f->panel[i]);
    }
    return gm_canvas_end(&c, GM_OK, err);
}

gm_status gm_figure_curves_png(const gm_curve_figure *figure, gm_text *png, gm_error *err)
{
    return draw(figure, GM_PICTURE_PNG, png, err);
}

gm_status gm_figure_curves(const gm_curve_figure *figure, const char *path, bool replace,
                           gm_error *err)
{
    return gm_picture_write(path, replace, draw, figure, err);
}

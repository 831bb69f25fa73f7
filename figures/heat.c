/* heat.c - heatmaps side by side, rows (layers) down and columns (experts) across. */
#include "figures/canvas.h"

#include <math.h>
#include <stdio.h>

enum {
    MARGIN = 28,
    TITLE_HEIGHT = 52,
    PANEL_TITLE = 30,
    AXIS_LEFT = 50,
    AXIS_BELOW = 44,
    BAR = 56,
    SMALL = 14, /* texts, in pixels: numbers, axes, panels, the title */
    MIDDLE = 15,
    LARGE = 16,
    TITLE = 20
};

/* Where one panel's cells lie, in pixels. */
typedef struct grid {
    double x, y, cell_x, cell_y;
    int rows, cols;
} grid;

/* Cells as large as fits a page: square-ish, and no thinner than 3 pixels unless they
 * would not fit `most` pixels, the most a picture may have. */
static double cell_size(int n, double room, double most)
{
    double size = fmax(3, fmin(22, floor(room / (n > 0 ? n : 1))));
    return fmin(size, most / (n > 0 ? n : 1));
}

/* The colour scale's end: largest absolute finite value, or 1 when there is none. */
static double range_of(const gm_heat_panel *panel, size_t n)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(panel->value[i])) top = fmax(top, fabs((double)panel->value[i]));
    return top > 0 ? top : 1;
}

static gm_rgb colour_of(const gm_heat_panel *panel, double value, double top)
{
    return panel->diverging ? gm_colour_diverging(value / top) : gm_colour_sequential(value / top);
}

/* The value of largest size among cells [from, to) of a row; NaN only when all are. */
static double strongest(const float *row, int from, int to)
{
    double best = (double)row[from];
    for (int c = from + 1; c < to; c++)
        if (!(fabs((double)row[c]) <= fabs(best))) best = isnan(row[c]) ? best : (double)row[c];
    return best;
}

/* Where there are more cells than pixels, a pixel shows the strongest of its cells. */
static void draw_cells(gm_canvas *canvas, const grid *g, const gm_heat_panel *panel, double top)
{
    cairo_set_antialias(canvas->cr, CAIRO_ANTIALIAS_NONE); /* no seams between cells */
    const int n = g->cell_x >= 1 ? g->cols : (int)fmax(1, g->cols * g->cell_x);
    const double width = g->cols * g->cell_x / n;
    for (int r = 0; r < g->rows; r++) {
        const float *row = panel->value + (size_t)r * (size_t)g->cols; /* (cols) */
        for (int i = 0; i < n; i++) {
            int from = (int)((int64_t)g->cols * i / n), to = (int)((int64_t)g->cols * (i + 1) / n);
            gm_canvas_colour(canvas, colour_of(panel, strongest(row, from, to), top), 1);
            cairo_rectangle(canvas->cr, g->x + i * width, g->y + r * g->cell_y, width, g->cell_y);
            cairo_fill(canvas->cr);
        }
    }
    cairo_set_antialias(canvas->cr, CAIRO_ANTIALIAS_DEFAULT);
    gm_canvas_colour(canvas, GM_SOFT_INK, 0.6);
    cairo_set_line_width(canvas->cr, 1);
    cairo_rectangle(canvas->cr, g->x - 0.5, g->y - 0.5, g->cols * g->cell_x + 1,
                    g->rows * g->cell_y + 1);
    cairo_stroke(canvas->cr);
}

/* A tick every `step` cells, so that at most about `most` numbers stand on an axis. */
static int tick_step(int n, int most)
{
    int step = 1;
    while (n / step > most) step *= 2;
    return step;
}

static void draw_axes(gm_canvas *canvas, const grid *g, const gm_heat_figure *f)
{
    char number[16];
    gm_text_style style = {.size = SMALL, .colour = GM_SOFT_INK, .anchor_x = 1, .anchor_y = 0.5};
    int step = tick_step(g->rows, (int)(g->rows * g->cell_y / 16));
    for (int r = 0; r < g->rows; r += step) {
        snprintf(number, sizeof number, "%d", f->row_number ? f->row_number[r] : r);
        gm_canvas_text(canvas, g->x - 6, g->y + (r + 0.5) * g->cell_y, number, &style);
    }
    style.anchor_x = 0.5, style.anchor_y = 0;
    step = tick_step(g->cols, (int)(g->cols * g->cell_x / 30));
    for (int c = 0; c < g->cols; c += step) {
        snprintf(number, sizeof number, "%d", c);
        gm_canvas_text(canvas, g->x + (c + 0.5) * g->cell_x, g->y + g->rows * g->cell_y + 4, number,
                       &style);
    }
    style.size = MIDDLE;
    if (f->col_axis)
        gm_canvas_text(canvas, g->x + g->cols * g->cell_x / 2, g->y + g->rows * g->cell_y + 22,
                       f->col_axis, &style);
    if (f->row_axis) {
        style.anchor_x = 1, style.anchor_y = 1;
        gm_canvas_text(canvas, g->x - 6, g->y - 4, f->row_axis, &style);
    }
}

/* The colour scale with its ends written out. */
static void draw_bar(gm_canvas *canvas, const gm_heat_panel *panel, double x, double y,
                     double width, double top)
{
    enum { STEPS = 128, HEIGHT = 10 };
    for (int i = 0; i < STEPS; i++) {
        double t = (i + 0.5) / STEPS, value = panel->diverging ? (2 * t - 1) * top : t * top;
        gm_canvas_colour(canvas, colour_of(panel, value, top), 1);
        cairo_rectangle(canvas->cr, x + i * width / STEPS, y, width / STEPS + 0.7, HEIGHT);
        cairo_fill(canvas->cr);
    }
    char text[64];
    gm_text_style style = {.size = SMALL, .colour = GM_SOFT_INK};
    snprintf(text, sizeof text, "%.3g", panel->diverging ? -top : 0.0);
    gm_canvas_text(canvas, x, y + HEIGHT + 2, text, &style);
    snprintf(text, sizeof text, "%.3g%s%s", top, panel->unit ? " " : "",
             panel->unit ? panel->unit : "");
    style.anchor_x = 1;
    gm_canvas_text(canvas, x + width, y + HEIGHT + 2, text, &style);
}

/* Of a title or a panel's title; cut at `room`, 0: not. */
static gm_text_style title_style(bool panel, double room)
{
    return (gm_text_style){
        .size = panel ? LARGE : TITLE, .bold = !panel, .colour = GM_INK, .max_width = room};
}

/* A panel's width for its cells, or for its title and its part of the figure's where these are
 * wider, but then no more than `most`. */
static double panel_room(const gm_heat_figure *f, double cells, double most)
{
    const gm_text_style whole = title_style(false, 0), part = title_style(true, 0);
    double room = 0;
    if (f->title)
        room = (gm_canvas_width_of(f->title, &whole) + MARGIN) / f->n_panels - AXIS_LEFT - MARGIN;
    for (int i = 0; i < f->n_panels; i++)
        if (f->panel[i].title) room = fmax(room, gm_canvas_width_of(f->panel[i].title, &part));
    return fmax(cells, fmin(ceil(room) + 1, most));
}

static gm_status draw(const void *figure, gm_picture_kind kind, gm_text *bytes, gm_error *err)
{
    const gm_heat_figure *f = figure;
    if (f->n_panels < 1 || f->rows < 1 || f->cols < 1)
        return gm_fail(err, GM_EARG, "heatmap of %d panels with %d x %d cells, expected at least 1",
                       f->n_panels, f->rows, f->cols);

    double page = f->width ? f->width : 1500, n = f->n_panels;
    grid g = {.rows = f->rows, .cols = f->cols};
    double most_x = (GM_MAX_PIXELS - MARGIN) / n - AXIS_LEFT - MARGIN;
    double above = TITLE_HEIGHT + PANEL_TITLE, below = AXIS_BELOW + BAR;
    double most_y = GM_MAX_PIXELS - above - below;
    const double part = (page - 2 * MARGIN) / n - AXIS_LEFT - MARGIN; /* of the page, a panel's */
    g.cell_x = cell_size(f->cols, part, most_x);
    g.cell_y = cell_size(f->rows, f->height ? f->height - above - below : 560, most_y);
    if (f->height == 0) g.cell_y = fmin(fmax(g.cell_x, g.cell_y), most_y / f->rows);
    const double cells = f->cols * g.cell_x, room = f->width ? cells : panel_room(f, cells, part);
    double panel_width = AXIS_LEFT + room + MARGIN;
    double grid_height = f->rows * g.cell_y;
    int width = f->width ? f->width : (int)(n * panel_width + MARGIN);
    int height = f->height ? f->height : (int)(above + grid_height + below);

    gm_canvas canvas;
    gm_status status = gm_canvas_begin(&canvas, kind, width, height, bytes, err);
    if (status != GM_OK) return status;
    gm_text_style style = title_style(false, width - 2 * MARGIN);
    gm_canvas_text(&canvas, MARGIN, 14, f->title ? f->title : "", &style);
    style = title_style(true, room);
    for (int i = 0; i < f->n_panels; i++) {
        const gm_heat_panel *panel = &f->panel[i];
        double top = range_of(panel, (size_t)f->rows * (size_t)f->cols);
        g.x = 0.5 * MARGIN + i * panel_width + AXIS_LEFT;
        g.y = TITLE_HEIGHT + PANEL_TITLE;
        gm_canvas_text(&canvas, g.x, TITLE_HEIGHT, panel->title ? panel->title : "", &style);
        draw_cells(&canvas, &g, panel, top);
        draw_axes(&canvas, &g, f);
        draw_bar(&canvas, panel, g.x, g.y + grid_height + AXIS_BELOW + 4, fmin(220, room), top);
    }
    return gm_canvas_end(&canvas, GM_OK, err);
}

gm_status gm_figure_heat_png(const gm_heat_figure *figure, gm_text *png, gm_error *err)
{
    return draw(figure, GM_PICTURE_PNG, png, err);
}

gm_status gm_figure_heat(const gm_heat_figure *figure, const char *path, bool replace,
                         gm_error *err)
{
    return gm_picture_write(path, replace, draw, figure, err);
}

/* sweep_figure.c - a panel a topic, shift against KL. See sweep_figure.h. */
#include "steer/sweep/sweep_figure.h"

#include "figures/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MARKS = 16, TITLE_BYTES = 192, DOSE_BYTES = 32 };

/* All that the panels borrow. */
typedef struct drawing {
    gm_curve_panel *panel; /* (n_topics) */
    gm_curve_point *band;  /* (n_topics, GM_MAX_DOSES + 1) */
    gm_curve_point *line;  /* (n_topics, GM_MAX_DOSES) */
    gm_curve_point *mark;  /* (n_topics, MAX_MARKS) */
    char *title;           /* (n_topics, TITLE_BYTES) */
    char *dose;            /* (n_topics, GM_MAX_DOSES, DOSE_BYTES) */
    double *draw;          /* (most draws) shifts */
} drawing;

static void drawing_clear(drawing *d)
{
    gm_free(d->panel);
    gm_free(d->band);
    gm_free(d->line);
    gm_free(d->mark);
    gm_free(d->title);
    gm_free(d->dose);
    gm_free(d->draw);
}

static gm_status drawing_init(drawing *d, const gm_study *s, gm_error *err)
{
    size_t C = s->n_topics;
    d->panel = gm_alloc(C, sizeof *d->panel);
    d->band = gm_alloc2(C, GM_MAX_DOSES + 1, sizeof *d->band);
    d->line = gm_alloc2(C, GM_MAX_DOSES, sizeof *d->line);
    d->mark = gm_alloc2(C, MAX_MARKS, sizeof *d->mark);
    d->title = gm_alloc2(C, TITLE_BYTES, 1);
    d->dose = gm_alloc2(C, (size_t)GM_MAX_DOSES * DOSE_BYTES, 1);
    d->draw = gm_alloc(s->n_cells, sizeof *d->draw);
    if (d->panel && d->band && d->line && d->mark && d->title && d->dose && d->draw) return GM_OK;
    return gm_fail(err, GM_EMEM, "no memory for the figure");
}

static int by_x(const void *a, const void *b)
{
    return gm_ascending(&((const gm_curve_point *)a)->x, &((const gm_curve_point *)b)->x);
}

/* The middle 95 % of the random draws of each dose, from (0,0) on. */
static size_t make_band(const gm_study *s, int topic, gm_curve_point *out, double *draw)
{
    size_t n_points = 1;
    out[0] = (gm_curve_point){0, 0, 0, 0, NULL};
    for (size_t k = 0; k < gm_protocol_n_positive(s->protocol); k++) {
        double dose = gm_protocol_positive(s->protocol, k), kl = 0, sum = 0;
        size_t n = 0;
        for (size_t i = 0; i < s->n_cells; i++) {
            const gm_cell *c = &s->cell[i];
            if (!gm_is_judged(c, topic, GM_ARM_RANDOM) || c->dose != dose) continue;
            kl += c->cost[GM_NEUTRAL].kl_mean;
            sum += c->shift;
            draw[n++] = c->shift;
        }
        if (n == 0 || !isfinite(kl) || !isfinite(sum)) continue;
        qsort(draw, n, sizeof *draw, gm_ascending);
        size_t out_of = n / 40; /* left out at each end */
        out[n_points++] = (gm_curve_point){kl / (double)n, sum / (double)n, draw[out_of],
                                           draw[n - 1 - out_of], NULL};
    }
    qsort(out, n_points, sizeof *out, by_x);
    return n_points;
}

static size_t make_line(const gm_study *s, int topic, gm_curve_point *out, char *label)
{
    size_t n = 0;
    for (size_t k = 0; k < gm_protocol_n_positive(s->protocol); k++) {
        double dose = gm_protocol_positive(s->protocol, k);
        for (size_t i = 0; i < s->n_cells; i++) {
            const gm_cell *c = &s->cell[i];
            if (!gm_is_judged(c, topic, GM_ARM_PLAN) || c->dose != dose) continue;
            snprintf(label + n * DOSE_BYTES, DOSE_BYTES, "%s%.4g",
                     dose == s->topic[topic].dose ? "plan x" : "x", dose);
            out[n] = (gm_curve_point){c->cost[GM_NEUTRAL].kl_mean, c->shift, c->shift_lo,
                                      c->shift_hi, label + n * DOSE_BYTES};
            n++;
            break;
        }
    }
    return n;
}

static size_t make_marks(const gm_study *s, int topic, gm_curve_point *out)
{
    size_t n = 0;
    for (int arm = GM_ARM_SHUFFLED; arm < GM_ARM_PROMPT && n < MAX_MARKS; arm++) {
        gm_arm_row row = gm_arm_row_of(s, topic, (gm_arm)arm);
        if (row.n == 0) continue;
        out[n++] = (gm_curve_point){row.kl, row.shift, (double)NAN, (double)NAN, gm_arm_names[arm]};
    }
    return n;
}

static void make_panel(drawing *d, const gm_study *s, const gm_outcomes *o, int t)
{
    const size_t at = (size_t)t;
    gm_curve_panel *p = &d->panel[at];
    gm_curve_point *band = d->band + at * (GM_MAX_DOSES + 1);
    gm_curve_point *line = d->line + at * GM_MAX_DOSES, *mark = d->mark + at * MAX_MARKS;
    char *title = d->title + at * TITLE_BYTES;
    gm_arm_row prompt = gm_arm_row_of(s, t, GM_ARM_PROMPT);
    const gm_topic *topic = &s->topic[t];
    char name[GM_TOPIC_NAME_BYTES];
    if (topic->given) {
        gm_text_escape(name, sizeof name, topic->name, strlen(topic->name));
        snprintf(title, TITLE_BYTES, "%s  %s   p %.3f", name, topic->domain, o->topic[t].p);
    } else if (topic->subset) {
        snprintf(title, TITLE_BYTES, "%s   p %.3f", topic->domain, o->topic[t].p);
    } else {
        snprintf(title, TITLE_BYTES, "%d  %s   p %.3f", topic->cluster, topic->domain,
                 o->topic[t].p);
    }
    *p = (gm_curve_panel){.title = title,
                          .band = band,
                          .line = line,
                          .mark = mark,
                          .limit_x = s->protocol->max_kl,
                          .level_y = prompt.n ? prompt.shift : (double)NAN,
                          .level = "a line that names the topic"};
    p->n_band = make_band(s, t, band, d->draw);
    p->n_line = make_line(s, t, line, d->dose + at * GM_MAX_DOSES * DOSE_BYTES);
    p->n_mark = make_marks(s, t, mark);
}

/* The figure as PNG bytes, or as the file `path`. */
static gm_status make(const gm_study *s, const gm_outcomes *o, gm_text *png, const char *path,
                      bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    drawing d = {0};
    GM_TRY(drawing_init(&d, s, err));
    for (int t = 0; t < (int)s->n_topics; t++) make_panel(&d, s, o, t);
    const gm_curve_figure figure = {
        .title = "What steering does to the topic and to everything else",
        .subtitle = "blue: plan by dose; grey: random draws (95 % of them from 40 on); "
                    "brown: controls at the chosen dose; vertical line: highest cost allowed",
        .x_axis = "KL on neutral text, nats a token",
        .y_axis = "shift of log-odds",
        .panel = d.panel,
        .n_panels = (int)s->n_topics};
    status = png ? gm_figure_curves_png(&figure, png, err)
                 : gm_figure_curves(&figure, path, replace, err);
out:
    drawing_clear(&d);
    return status;
}

gm_status gm_sweep_figure_png(const gm_study *s, const gm_outcomes *o, gm_text *png, gm_error *err)
{
    return make(s, o, png, NULL, false, err);
}

gm_status gm_sweep_figure_write(const gm_study *s, const gm_outcomes *o, const char *path,
                                bool replace, gm_error *err)
{
    return make(s, o, NULL, path, replace, err);
}

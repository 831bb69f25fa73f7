/* labels.c - see labels.h. */
#include "figures/labels.h"

#include <math.h>
#include <stdbool.h>

/* ---- at points ---- */

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

double gm_box_shared(const gm_box *p, const gm_box *q)
{
    double x = (p->width + q->width) / 2 - fabs(q->x - p->x);
    double y = (p->height + q->height) / 2 - fabs(q->y - p->y);
    return x > 0 && y > 0 ? fmin(x, fmin(p->width, q->width)) * fmin(y, fmin(p->height, q->height))
                          : 0;
}

double gm_label_edge(const gm_box *box, double *x, double *y)
{
    *x = clamp(box->home_x, box->x - box->width / 2, box->x + box->width / 2);
    *y = clamp(box->home_y, box->y - box->height / 2, box->y + box->height / 2);
    return hypot(*x - box->home_x, *y - box->home_y);
}

/* How bad a label stands: square pixels that it covers of others and of what is drawn, and how far
 * from its point. To cover a label is worse than to stand at the other end of a panel. */
static double badness(const gm_box *box, size_t i, size_t n, const gm_box *taken, size_t n_taken)
{
    double x, y, sum = 6 * gm_label_edge(&box[i], &x, &y);
    for (size_t j = 0; j < n; j++)
        if (j != i) sum += 60 * gm_box_shared(&box[i], &box[j]);
    for (size_t j = 0; j < n_taken; j++) sum += 4 * gm_box_shared(&box[i], &taken[j]);
    return sum;
}

/* Try places around the label's point, nearer ones first, and take the best. */
static bool improve(gm_box *box, size_t i, size_t n, const gm_box *taken, size_t n_taken,
                    double width, double height)
{
    /* right of the point and a little above first, then around it */
    static const double direction[][2] = {{1, -0.6}, {1, 0},     {1, 0.6},   {0, -1},
                                          {0, 1},    {-1, -0.6}, {-1, 0},    {-1, 0.6},
                                          {0.5, -1}, {0.5, 1},   {-0.5, -1}, {-0.5, 1}};
    static const double gap[] = {7, 12, 20, 30, 42, 56, 72, 90};
    const gm_box before = box[i];
    gm_box best = before;
    double least = badness(box, i, n, taken, n_taken);
    for (size_t g = 0; g < sizeof gap / sizeof gap[0]; g++)
        for (size_t d = 0; d < sizeof direction / sizeof direction[0]; d++) {
            const double *way = direction[d];
            gm_box *at = &box[i];
            at->x = at->home_x + way[0] * (at->width / 2 + gap[g]);
            at->y = at->home_y + way[1] * (at->height / 2 + gap[g]);
            at->x = clamp(at->x, at->width / 2, width - at->width / 2);
            at->y = clamp(at->y, at->height / 2, height - at->height / 2);
            double bad = badness(box, i, n, taken, n_taken);
            if (!(bad < least - 1e-9)) continue;
            least = bad;
            best = *at;
        }
    box[i] = best;
    return best.x != before.x || best.y != before.y;
}

void gm_labels_place(gm_box *box, size_t n, const gm_box *taken, size_t n_taken, double width,
                     double height)
{
    enum { ROUNDS = 8 };
    for (size_t i = 0; i < n; i++) { /* outside, until each has its first place */
        box[i].x = -4 * width - (double)i * 4 * width;
        box[i].y = -4 * height;
    }
    for (int round = 0; round < ROUNDS; round++) {
        bool moved = false;
        for (size_t i = 0; i < n; i++) moved |= improve(box, i, n, taken, n_taken, width, height);
        if (!moved) return;
    }
}

/* ---- beside a plot ---- */

/* Sort order[0..n) by key, ties to the lower number. Insertion: there are few labels. */
static void sort_by(size_t *order, size_t n, const gm_beside *label, bool by_x)
{
    for (size_t i = 1; i < n; i++) {
        const size_t moved = order[i];
        const double key = by_x ? label[moved].home_x : label[moved].home_y;
        size_t at = i;
        for (; at > 0; at--) {
            const gm_beside *before = &label[order[at - 1]];
            double other = by_x ? before->home_x : before->home_y;
            if (other < key || (other <= key && order[at - 1] < moved)) break;
            order[at] = order[at - 1];
        }
        order[at] = moved;
    }
}

/* The i-th of n ascending values that are nearest, in squares, to wish[k] = home_y - k*line: the
 * largest over beginnings j <= i of the least mean of wishes j to k, k >= i.
 * Source: Robertson, Wright, Dykstra 1988, "Order Restricted Statistical Inference", 1.4. */
static double ascending(const gm_beside *label, const size_t *column, size_t n, size_t i,
                        double line)
{
    double best = -INFINITY;
    for (size_t j = 0; j <= i; j++) {
        double sum = 0, least = INFINITY;
        for (size_t k = j; k < n; k++) {
            sum += label[column[k]].home_y - (double)k * line;
            if (k >= i) least = fmin(least, sum / (double)(k - j + 1));
        }
        best = fmax(best, least);
    }
    return best;
}

/* Heights for labels that are sorted by home_y, `line` apart, as near to it as may be. */
static void stack(gm_beside *label, const size_t *column, size_t n, double height, double line)
{
    const double last = height - line / 2 - (double)(n - 1) * line;
    for (size_t i = 0; i < n; i++) {
        double first = clamp(ascending(label, column, n, i, line), line / 2, last);
        label[column[i]].y = first + (double)i * line;
    }
}

/* Do the lines of two labels of a column at `edge`, p's place above q's, cross? */
static bool cross(const gm_beside *p, const gm_beside *q, double edge)
{
    double reach_p = fabs(p->home_x - edge), reach_q = fabs(q->home_x - edge);
    const gm_beside *near = reach_p < reach_q ? p : q, *far = near == p ? q : p;
    double reach = fmin(reach_p, reach_q), whole = fmax(reach_p, reach_q);
    double far_there = whole > 0 ? far->y + (far->home_y - far->y) * reach / whole : far->y;
    return near == p ? far_there < near->home_y : far_there > near->home_y;
}

/* Labels whose lines cross change places: every change shortens the lines, so it ends. */
static void uncross(gm_beside *label, const size_t *column, size_t n, double edge)
{
    bool changed = true;
    for (size_t round = 0; changed && round < n * n; round++) {
        changed = false;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++) {
                gm_beside *p = &label[column[i]], *q = &label[column[j]];
                if (!(p->y < q->y ? cross(p, q, edge) : cross(q, p, edge))) continue;
                double y = p->y;
                p->y = q->y, q->y = y;
                changed = true;
            }
    }
}

void gm_labels_beside(gm_beside *label, size_t n, double width, double height, double line,
                      size_t *order)
{
    const size_t n_left = n / 2;
    for (size_t i = 0; i < n; i++) order[i] = i;
    sort_by(order, n, label, true);
    for (size_t i = 0; i < n; i++) label[order[i]].left = i < n_left;
    for (int side = 0; side < 2; side++) {
        size_t *column = side ? order + n_left : order, size = side ? n - n_left : n_left;
        sort_by(column, size, label, false);
        stack(label, column, size, height, line);
        uncross(label, column, size, side ? width : 0);
    }
}

/* labels.c - see labels.h. */
#include "figures/labels.h"

#include <math.h>
#include <stdbool.h>

enum { N_ROUNDS = 3000, N_PULLED = 200 };

/* Push two overlapping boxes apart by half the overlap each; false when they do
 * not overlap. Equal centres part by number, so that nothing stays stuck. */
static bool push_apart(gm_box *p, gm_box *q)
{
    double dx = q->x - p->x, dy = q->y - p->y;
    double over_x = (p->width + q->width) / 2 - fabs(dx);
    double over_y = (p->height + q->height) / 2 - fabs(dy);
    if (over_x <= 0 || over_y <= 0) return false;
    if (over_y <= over_x) {
        double step = (dy < 0 ? -over_y : over_y) / 2;
        p->y -= step, q->y += step;
    } else {
        double step = (dx < 0 ? -over_x : over_x) / 2;
        p->x -= step, q->x += step;
    }
    return true;
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

void gm_labels_spread(gm_box *box, size_t n, double width, double height)
{
    for (int round = 0; round < N_ROUNDS; round++) {
        bool moved = false;
        double pull = round < N_PULLED ? 0.05 : 0; /* home first, then only apart */
        for (size_t i = 0; i < n; i++) {
            box[i].x += pull * (box[i].home_x - box[i].x);
            box[i].y += pull * (box[i].home_y - box[i].y);
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++) moved |= push_apart(&box[i], &box[j]);
        for (size_t i = 0; i < n; i++) {
            box[i].x = clamp(box[i].x, box[i].width / 2, width - box[i].width / 2);
            box[i].y = clamp(box[i].y, box[i].height / 2, height - box[i].height / 2);
        }
        if (!moved && pull <= 0) return;
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

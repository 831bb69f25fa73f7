/* labels.c - boxes moved apart so that labels do not cover each other. */
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

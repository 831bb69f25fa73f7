/* layout_steps.h - which steps a point of the layout takes at an epoch.
 *
 * umap-learn's schedule written without state: at epoch n an edge of w times the largest weight is
 * due when floor(n w) grew, and then draws as many random points as the schedule owes it. Random
 * points are of the others, each as likely; their numbers are those of a generator that is seeded
 * by (seed, point, epoch), so they do not depend on who asks.
 *
 * Source: umap-learn, layouts.py; Steele, Lea, Flood 2014, SplitMix64.
 */
#ifndef GM_LAYOUT_STEPS_H
#define GM_LAYOUT_STEPS_H

#include "cluster/layout_lanes.h"

typedef struct gm_step_plan {
    int epoch;         /* from 1 */
    int draws_a_visit; /* random points an edge draws near */
    size_t n_points;   /* at least 2 */
    gm_isa isa;        /* changes no bit */
} gm_step_plan;

/* Edges are looked at so many at a time: a list that is a multiple of it, filled up with edges of
 * next to no visits, is gone through fastest. */
enum { GM_EDGES = 16 };

/* The edges of a point. */
typedef struct gm_edge_list {
    size_t n;
    const uint32_t *to; /* (n) */
    const float *rate;  /* (n) visits an epoch, in (0,1] */
} gm_edge_list;

/* Room for the most edges that a point has. */
typedef struct gm_step_room {
    int32_t *draws;         /* (most edges) */
    uint32_t *due;          /* (most edges, and GM_EDGES) */
    gm_layout_step *random; /* gm_steps_max of them */
} gm_step_room;

/* No point with n edges has more steps, and the terminator. */
size_t gm_steps_max(size_t n_edges, int draws_a_visit);

/* Write the steps of point `self` to out; returns how many. Every edge that is due pulls twice, as
 * (i,j) and as (j,i) in the serial descent, then its random points push. `state` is where the
 * generator begins. */
size_t gm_steps_list(gm_layout_step *out, const gm_step_room *room, const gm_step_plan *plan,
                     const gm_edge_list *edges, uint32_t self, uint64_t state);

#endif

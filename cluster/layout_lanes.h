/* layout_lanes.h - points of the layout moved side by side.
 *
 * Each lane is a point that goes through steps of its own, one after another; a step pulls it
 * to, or pushes it from, where another point is. Lanes do not touch each other, and every
 * instruction set gives the same bits.
 *
 * Source of the forces: McInnes et al. 2018, arXiv:1802.03426, and umap-learn.
 */
#ifndef GM_LAYOUT_LANES_H
#define GM_LAYOUT_LANES_H

#include "cluster/isa.h"

enum { GM_LANES = 64, GM_MAX_LAYOUT_DIM = 10 };

/* A step: twice the number of the other point, below 2^30, and 1 more for a push. */
typedef int32_t gm_layout_step;

typedef struct gm_forces {
    float a, b, repulsion; /* of the curve 1/(1 + a d^2b) */
    float alpha;           /* learning rate */
    const float *term;     /* (N,2) of densMAP (density.h) when it acts, else NULL */
    float scale;
} gm_forces;

/* Where each lane's point is, its share in densMAP's pulls, and which of its steps are left:
 * step[next .. next + left). */
typedef struct gm_lanes {
    float at[GM_MAX_LAYOUT_DIM][GM_LANES];
    float term[2][GM_LANES];
    int32_t next[GM_LANES], left[GM_LANES];
} gm_lanes;

/* Take every lane `count` steps on, or as many as it has left; at (N,dim) is where the other points
 * are. step[next] of a lane that has none left is read, and must be a step. inverse: 1/membership
 * of each step that pulls, where densMAP acts; else NULL. */
void gm_lanes_move(gm_lanes *lanes, int count, const gm_layout_step *step, const float *inverse,
                   const float *at, int dim, const gm_forces *forces, gm_isa isa);

#endif

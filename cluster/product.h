/* product.h - approximate squared distances between many points at once, and how far off they
 * may be: what proposes neighbours.
 *
 * Sizes: N points; a block is at most GM_BLOCK_ROWS points against GM_BLOCK_COLS.
 *
 * With GM_ISA_AMX points are rounded to bfloat16, less their mean (a shift changes no distance,
 * and what is shorter loses less); otherwise the products are of floats.
 */
#ifndef GM_PRODUCT_H
#define GM_PRODUCT_H

#include "cluster/points.h"

enum { GM_BLOCK_ROWS = 192, GM_BLOCK_COLS = 512, GM_BLOCK_PANELS = GM_BLOCK_COLS / 16 };

typedef struct gm_product {
    const gm_points *points; /* borrowed */
    size_t dim;              /* of what is multiplied, padded with zeros */
    const float *norm;       /* (N) its squared lengths */
    /* bfloat16 only, else NULL */
    uint16_t *half;   /* (N to a multiple of 32, dim) in tiles of 16 points by 32 inputs */
    float *half_norm; /* (N) */
    double *lost;     /* (N) how far a point moved when it was rounded */
    double most_lost; /* the largest of them */
    double longest;   /* length of the longest rounded point */
    double unit;      /* error of an addition of their products, relative to the sum */
} gm_product;

/* Units: of AMX, to nearest; of a GPU's tensor cores, which may cut what they add and what they
 * have so far to the exponent of the largest, a unit in the last place each (Fasi, Higham,
 * Mikaitis, Pranesh 2021, "Numerical behavior of NVIDIA tensor cores"). */
#define GM_UNIT_AMX 0x1p-24
#define GM_UNIT_GPU 0x1p-22

/* `isa` as points->isa or less. Errors: GM_EMEM. */
gm_status gm_product_init(gm_product *out, const gm_points *points, gm_isa isa, gm_error *err)
    GM_MUST_USE;
void gm_product_clear(gm_product *product);

/* The rounded point i as it is multiplied: `to` (dim), written. */
void gm_product_row(const gm_product *product, size_t i, uint16_t *to);

/* Bytes of a packed block of columns, and what a thread needs to multiply. */
size_t gm_product_packed_bytes(const gm_product *product);
enum { GM_PRODUCT_SCRATCH = GM_BLOCK_ROWS * 1024 };

/* Pack panel p, the points first + 16 p .. + 15, of the block of n columns that starts at
 * `first`; columns past n are zeros. Panels may be packed by different threads. */
void gm_product_pack(const gm_product *product, size_t first, size_t n, size_t p, void *packed);

/* dot (GM_BLOCK_ROWS, GM_BLOCK_COLS), written: products of the points row[0..n_rows) with a
 * packed block of n columns. */
void gm_product_block(const gm_product *product, const uint32_t *row, size_t n_rows,
                      const void *packed, size_t n, void *scratch, float *dot);

/* A lower bound of the squared distance (gm_points_squared) of point i to another one whose
 * approximate distance, gm_dots's `distances` of their product and norms, is s. With products of
 * floats it is s less an error which does not depend on s; s plus that is an upper bound. */
double gm_product_lower_bound(const gm_product *product, size_t i, double s);

#endif

/* bytes.h - points rounded to bytes, which AMX multiplies at twice the rate of bfloat16, and how
 * far off their distances may be.
 *
 * Sizes: N points, each at a place in [0,N); D dimensions.
 *
 * A point, less the mean, is a row of whole numbers times a scale of its own. Products of whole
 * numbers are exact, so all that is lost is lost in rounding. By Cauchy and Schwarz a product of
 * two points is off by no more than the length of one times what the other lost, both ways.
 *
 * Only to be used where gm_isa_best is GM_ISA_AMX.
 */
#ifndef GM_BYTES_H
#define GM_BYTES_H

#include "cluster/points.h"

enum { GM_BYTES_ROWS = 64, GM_BYTES_COLS = 384, GM_BYTES_PANELS = GM_BYTES_COLS / 16 };

typedef struct gm_bytes {
    size_t n, dim; /* N; D rounded up to a multiple of 64 */
    int8_t *byte;  /* (N, dim) in tiles of 16 places by 64; as all below, N is
                    * rounded up to a multiple of GM_BYTES_COLS */
    /* (N) by place: x_i . x_j is scale_i scale_j (r_i . r_j), off by
     * at most reach_i lost_j + lost_i reach_j. */
    float *scale, *reach, *lost;
    float *norm;   /* |x|^2; infinity after the last point */
    float longest; /* the largest of them */
} gm_bytes;

/* Whether points can be rounded so: whole numbers stay in 32 bits, scales are normal floats. */
bool gm_bytes_can(const gm_points *points);

/* Place p holds point order[p]. Errors: GM_EMEM. */
gm_status gm_bytes_init(gm_bytes *out, const gm_points *points, const uint32_t *order,
                        gm_error *err) GM_MUST_USE;
void gm_bytes_clear(gm_bytes *bytes);

/* A block of columns: the places first .. first + GM_BYTES_COLS - 1, first a multiple of that; one
 * panel of 16 at a time. packed: GM_BYTES_COLS * dim. */
void gm_bytes_pack(const gm_bytes *bytes, size_t first, size_t panel, int8_t *packed);

/* dot (GM_BYTES_ROWS, GM_BYTES_COLS) = products of the places row .. row + GM_BYTES_ROWS - 1, row a
 * multiple of that, with a packed block. The rows from place `next` on are fetched meanwhile. */
void gm_bytes_block(const gm_bytes *bytes, size_t row, const int8_t *packed, size_t next,
                    int32_t *dot);

/* A place and a block of columns: their squared distances, and a bit for each column where the
 * distance less its error is at most the place's limit, at most the column's own. */
typedef struct gm_bytes_distances {
    float s[GM_BYTES_COLS];
    uint16_t of_row[GM_BYTES_PANELS], of_col[GM_BYTES_PANELS];
} gm_bytes_distances;

/* Write those of place i and the block of columns at `first`, whose products are dot; col_limit
 * (GM_BYTES_COLS). Limits are finite. */
void gm_bytes_row(gm_bytes_distances *out, const gm_bytes *bytes, size_t i, size_t first,
                  const int32_t *dot, float limit, const float *col_limit);

/* How far s of places i and j may be above the squared distance of their points, but for
 * gm_bytes_slack(i), which is for the rounding of floats. */
static inline float gm_bytes_error(const gm_bytes *b, size_t i, size_t j)
{
    return 2.0f * b->reach[i] * b->lost[j] + 2.0f * b->lost[i] * b->reach[j];
}
double gm_bytes_slack(const gm_bytes *bytes, size_t i);

#endif

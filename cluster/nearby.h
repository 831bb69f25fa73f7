/* nearby.h - an order of points in which near ones are near each other.
 *
 * Sizes: N points.
 *
 * For those who go through all pairs and want the nearest first: what they find is the same in any
 * order, how long they take is not. Nothing may depend on the order itself, which differs with the
 * instruction set.
 */
#ifndef GM_NEARBY_H
#define GM_NEARBY_H

#include "cluster/points.h"

/* order (N) written: all points, by which of some centres is the nearest; within that by number.
 * Errors: GM_EMEM. Cost: 64 N D multiply-adds. */
gm_status gm_nearby_order(uint32_t *order, const gm_points *points, gm_error *err) GM_MUST_USE;

#endif

/* dots_amx.h - dot products of points rounded to bfloat16, or to bytes, on AMX tiles.
 *
 * TDPBF16PS adds, per output, the products of 32 inputs in one even and one odd chain to a
 * float; TDPBSSD those of 64 signed bytes to an int32, exactly. Only to be called where gm_isa_best
 * is GM_ISA_AMX.
 */
#ifndef GM_DOTS_AMX_H
#define GM_DOTS_AMX_H

#include "base/base.h"

enum {
    GM_AMX_DEPTH = 32, /* inputs of one tile; of bytes: */
    GM_AMX_BYTES_DEPTH = 64,
    GM_AMX_ROWS = 32, /* rows and columns that are computed together: two tiles by two */
    GM_AMX_TILE = 16 * GM_AMX_DEPTH
};

/* c (rows, cols; row stride c_stride) = a . b, or += where `add`; rows and cols multiples of
 * GM_AMX_ROWS.
 *   a  for every 16 rows, `a_stride` elements apart, `blocks` tiles (16 rows, 32 inputs)
 *   b  for every 16 columns, `b_stride` elements apart, `blocks` tiles (16 pairs of inputs,
 *      16 columns, 2) */
void gm_amx_block(const uint16_t *a, size_t a_stride, const uint16_t *b, size_t b_stride,
                  size_t blocks, size_t rows, size_t cols, bool add, float *c, size_t c_stride);

/* c (32 pairs, cols) = a . b, of bytes.
 *   a     for every pair `blocks` tiles (16 rows, 64 inputs), and `apart` bytes after the first
 *         of them another `blocks`; pairs follow one another 2 `blocks` tiles apart
 *   b     for every 16 columns `blocks` tiles (16 fours of inputs, 16 columns, 4); cols a multiple
 *         of GM_AMX_ROWS
 *   next  fetched meanwhile, as much as a: what will be a soon */
void gm_amx_block_bytes(const int8_t *a, size_t apart, size_t pairs, const int8_t *b, size_t blocks,
                        size_t cols, int32_t *c, const int8_t *next);

#endif

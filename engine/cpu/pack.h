/* pack.h - the panels that a matrix of weights is stored in.
 *
 * A matrix of N outputs and K inputs is cut into panels of 16 outputs, one after
 * another; outputs and inputs beyond N and K are zero.
 *   f32   panel = K x 16: the 16 outputs of input 0, then of input 1, ...
 *   bf16  panel = K/32 blocks of 16 pairs x 16 outputs x 2: a pair of inputs of one
 *         output is one 32-bit word, the even input in its low half. A block is
 *         the B tile of AMX's TDPBF16PS.
 *   int8  panel = K/32 blocks of 16 x 2 x 16 bytes: the 16 outputs of an even input, then of
 *         the next odd one; and at its end the 16 scales, f32. A weight is a whole number,
 *         -127 to 127, times the scale of its output: largest absolute value / 127.
 *   fp8   the same; a weight is the value of its byte (base/half.h) times the scale of its
 *         output: largest absolute value / 448.
 */
#ifndef GM_PACK_H
#define GM_PACK_H

#include "engine/buf.h"

/* Element of output n and input k, counted in elements from the matrix's start. */
static inline size_t gm_panel_index(gm_dtype dtype, size_t depth, size_t n, size_t k)
{
    size_t panel = n / GM_PANEL * depth * GM_PANEL, lane = n % GM_PANEL;
    if (dtype != GM_BF16) return panel + k * GM_PANEL + lane; /* 8 bits: scales not counted */
    return panel + k / 2 * (2 * GM_PANEL) + 2 * lane + k % 2;
}

/* Inputs of a panel, padding included. */
static inline size_t gm_panel_depth(gm_dtype dtype, size_t k)
{
    return dtype == GM_F32 ? k : gm_round_up(k, GM_K_BLOCK);
}

/* Panel `panel` of matrix `item`. */
const void *gm_panel_at(const gm_buf *buf, size_t item, size_t panel);

/* Store outputs [n, n + rows) of matrix `item`, rows <= 16 and all in one panel, from
 * `from` (rows, K) f32; panels of bf16 and of 8 bits round to nearest even. An output with a weight
 * that is not finite gets a scale of NaN. */
void gm_panel_store(gm_buf *buf, size_t item, size_t n, size_t rows, const float *from);

/* The same for bf16 panels from rows that are bf16 already: `from` (rows, K) in the
 * machine's byte order, not aligned. A quarter of the time; the same bits, except that a NaN keeps
 * its own. */
void gm_panel_store_bf16(gm_buf *buf, size_t item, size_t n, size_t rows, const void *from);

/* The 8-bit form of one output's k weights, which panels and a GPU's rows share: bytes `step`
 * apart at `to`. Gives the scale: 0 where all weights are smaller than 2^-100 times the largest
 * number of the form, NaN (and bytes 0) where one is not finite. */
float gm_pack_row(gm_dtype dtype, const float *from, size_t k, size_t step, uint8_t *to);

#endif

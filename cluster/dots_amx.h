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

/* Rows, or columns, as tiles: for every 16 of them as many tiles as there are blocks of inputs. */
typedef struct gm_amx_tiles {
    const uint16_t *at; /* of rows (16 rows, 32 inputs), of columns (16 pairs of inputs, 16, 2) */
    size_t stride;      /* elements from one 16 to the next */
} gm_amx_tiles;

/* c (rows, cols; rows `stride` elements apart) is written, or added to where `add`; rows and cols
 * are multiples of GM_AMX_ROWS. */
typedef struct gm_amx_out {
    float *c;
    size_t stride, rows, cols;
    bool add;
} gm_amx_out;

/* The products of rows and columns, over `blocks` tiles of inputs. */
void gm_amx_block(gm_amx_out out, gm_amx_tiles rows, gm_amx_tiles cols, size_t blocks);

typedef struct gm_amx_bytes_job {
    const int8_t *a; /* for every 16 rows `blocks` tiles (16 rows, 64 inputs) */
    const int8_t *b; /* for every 16 columns `blocks` tiles (16 fours of inputs, 16 columns, 4) */
    size_t blocks;
    size_t rows, cols;  /* multiples of GM_AMX_ROWS */
    const int8_t *next; /* prefetched meanwhile, as much as a: the next rows */
} gm_amx_bytes_job;

/* c (rows, cols) = a . b, of bytes; written. */
void gm_amx_block_bytes(int32_t *c, const gm_amx_bytes_job *job);

#endif

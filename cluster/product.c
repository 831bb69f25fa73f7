/* product.c - blocks of products of floats or of bfloat16. See product.h. */
#include "cluster/product.h"

#include "base/half.h"
#include "cluster/dots.h"
#include "cluster/dots_amx.h"

#include <math.h>
#include <string.h>

enum {
    F32_DEPTH = GM_DOTS_TILE_DEPTH, /* inputs multiplied before the next row of tiles is begun */
    BF16_DEPTH = 512,
    BF16_TILES = BF16_DEPTH / GM_AMX_DEPTH
};

/* ---- rounding ---- */

/* Where inputs [k, k + 32) of point i stand, k a multiple of 32. */
static size_t tile_row(const gm_product *p, size_t i, size_t k)
{
    return i / 16 * 16 * p->dim + k * 16 + i % 16 * GM_AMX_DEPTH;
}

/* Round point i less the middle. Its distance to another one changes by at most what both moved. */
static void round_point(gm_product *p, const float *middle, size_t i)
{
    enum { LANES = 8 };
    const gm_points *points = p->points;
    const float *f = points->at + i * points->dim; /* (dim) */
    double moved[LANES] = {0}, norm[LANES] = {0}, all_moved = 0, all_norm = 0;
    for (size_t k = 0; k < points->dim; k += 16) { /* half a row of a tile */
        uint16_t *to = p->half + tile_row(p, i, k / 32 * 32) + k % 32;
        for (size_t c = 0; c < 16; c++) {
            double x = (double)f[k + c] - (double)middle[k + c];
            to[c] = gm_bf16_from_f32((float)x);
            double rounded = (double)gm_bf16_to_f32(to[c]);
            moved[c % LANES] += (x - rounded) * (x - rounded);
            norm[c % LANES] += rounded * rounded;
        }
    }
    for (size_t l = 0; l < LANES; l++) all_moved += moved[l], all_norm += norm[l];
    p->half_norm[i] = (float)all_norm;
    p->lost[i] = sqrt(all_moved);
}

void gm_product_row(const gm_product *p, size_t i, uint16_t *to)
{
    for (size_t k = 0; k < p->dim; k += GM_AMX_DEPTH)
        memcpy(to + k, p->half + tile_row(p, i, k), GM_AMX_DEPTH * sizeof *to);
}

static gm_status round_points(gm_product *p, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = p->points->n, padded = (n + GM_AMX_ROWS - 1) / GM_AMX_ROWS * GM_AMX_ROWS;
    float *middle = gm_alloc(p->points->dim, sizeof *middle);
    p->half = gm_alloc2(padded, p->dim, sizeof *p->half);
    p->half_norm = gm_alloc(n, sizeof *p->half_norm);
    p->lost = gm_alloc(n, sizeof *p->lost);
    if (!middle || !p->half || !p->half_norm || !p->lost)
        GM_FAIL(GM_EMEM, "no memory to round %zu points", n);
    GM_TRY(gm_points_middle(middle, p->points, err)); /* any shift will do; one near it is best */
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) round_point(p, middle, i);
    for (size_t i = 0; i < n; i++) {
        p->most_lost = fmax(p->most_lost, p->lost[i]);
        p->longest = fmax(p->longest, sqrt((double)p->half_norm[i]));
    }
    p->norm = p->half_norm;
    p->unit = GM_UNIT_AMX;
out:
    gm_free(middle);
    return status;
}

gm_status gm_product_init(gm_product *out, const gm_points *points, gm_isa isa, gm_error *err)
{
    gm_status status = GM_OK;
    gm_product p = {.points = points, .dim = points->dim, .norm = points->norm};
    *out = (gm_product){0};
    if (isa == GM_ISA_AMX) {
        p.dim = (points->dim + GM_AMX_DEPTH - 1) / GM_AMX_DEPTH * GM_AMX_DEPTH;
        GM_TRY(round_points(&p, err));
    }
    *out = p;
    p = (gm_product){0};
out:
    gm_product_clear(&p);
    return status;
}

void gm_product_clear(gm_product *product)
{
    gm_free(product->half);
    gm_free(product->half_norm);
    gm_free(product->lost);
    *product = (gm_product){0};
}

/* ---- packing and multiplying ---- */

size_t gm_product_packed_bytes(const gm_product *product)
{
    return GM_BLOCK_COLS * product->dim * (product->half ? sizeof(uint16_t) : sizeof(float));
}

static void pack_floats(const gm_points *points, size_t first, size_t n, float *to)
{
    for (size_t j = 0; j < GM_DOTS_TILE_COLS; j++) {
        const float *from = points->at + (first + j) * points->dim; /* (dim), read when j < n */
        for (size_t k = 0; k < points->dim; k++)
            to[k * GM_DOTS_TILE_COLS + j] = j < n ? from[k] : 0.0f;
    }
}

/* Tiles of 16 pairs of inputs by 16 columns. */
static void pack_halves(const gm_product *p, size_t first, size_t n, uint16_t *to)
{
    const size_t n_points = n < GM_DOTS_TILE_COLS ? n : GM_DOTS_TILE_COLS;
    if (n_points < GM_DOTS_TILE_COLS) memset(to, 0, GM_DOTS_TILE_COLS * p->dim * sizeof *to);
    for (size_t k = 0; k < p->dim; k += GM_AMX_DEPTH, to += GM_AMX_TILE)
        for (size_t j = 0; j < n_points; j++) {
            const uint16_t *from = p->half + tile_row(p, first + j, k); /* (32) */
            for (size_t c = 0; c < GM_AMX_DEPTH; c += 2)
                memcpy(to + (c / 2 * GM_DOTS_TILE_COLS + j) * 2, from + c, 2 * sizeof *to);
        }
}

void gm_product_pack(const gm_product *product, size_t first, size_t n, size_t p, void *packed)
{
    const size_t at = p * GM_DOTS_TILE_COLS, left = n > at ? n - at : 0;
    const size_t panel = p * GM_DOTS_TILE_COLS * product->dim;
    if (product->half)
        pack_halves(product, first + at, left, (uint16_t *)packed + panel);
    else
        pack_floats(product->points, first + at, left, (float *)packed + panel);
}

/* Inputs [k, k + depth) of the rows one after another, up to a whole number of tiles. */
static void pack_float_rows(const gm_points *points, const uint32_t *row, size_t n_rows, size_t k,
                            size_t depth, float *to)
{
    for (size_t r = 0; r < n_rows || r % GM_DOTS_TILE_ROWS != 0; r++) {
        if (r < n_rows)
            memcpy(to + r * depth, points->at + row[r] * points->dim + k, depth * sizeof *to);
        else
            memset(to + r * depth, 0, depth * sizeof *to);
    }
}

/* The same as tiles of 16 rows by 32 inputs, up to a whole number of pairs of tiles. */
static void pack_half_rows(const gm_product *p, const uint32_t *row, size_t n_rows, size_t k,
                           size_t tiles, uint16_t *to)
{
    for (size_t r = 0; r < n_rows || r % GM_AMX_ROWS != 0; r++) {
        uint16_t *line = to + r / 16 * tiles * GM_AMX_TILE + r % 16 * GM_AMX_DEPTH;
        const uint16_t *from = p->half + tile_row(p, row[r < n_rows ? r : 0], k);
        for (size_t t = 0; t < tiles; t++)
            memcpy(line + t * GM_AMX_TILE, from + t * GM_AMX_TILE, GM_AMX_DEPTH * sizeof *line);
    }
}

/* Rows that follow one another from the first of a pair of tiles on need no packing. */
static bool stand_together(const uint32_t *row, size_t n_rows)
{
    size_t r = 0;
    while (r < n_rows && row[r] == row[0] + r) r++;
    return r == n_rows && row[0] % GM_AMX_ROWS == 0;
}

static void multiply_floats(const gm_product *p, const uint32_t *row, size_t n_rows,
                            const float *packed, size_t n, float *scratch, float *dot)
{
    const gm_dots *dots = gm_dots_of(p->points->isa);
    for (size_t k = 0; k < p->dim; k += F32_DEPTH) {
        size_t depth = p->dim - k < F32_DEPTH ? p->dim - k : F32_DEPTH;
        pack_float_rows(p->points, row, n_rows, k, depth, scratch);
        for (size_t j = 0; j < n; j += GM_DOTS_TILE_COLS) {
            const float *panel = packed + j * p->dim + k * GM_DOTS_TILE_COLS; /* (depth, 16) */
            for (size_t r = 0; r < n_rows; r += GM_DOTS_TILE_ROWS)
                dots->tile(scratch + r * depth, panel, depth, dot + r * GM_BLOCK_COLS + j,
                           GM_BLOCK_COLS);
        }
    }
}

static void multiply_halves(const gm_product *p, const uint32_t *row, size_t n_rows,
                            const uint16_t *packed, size_t n, uint16_t *scratch, float *dot)
{
    const size_t rows = (n_rows + GM_AMX_ROWS - 1) / GM_AMX_ROWS * GM_AMX_ROWS;
    const size_t cols = (n + GM_AMX_ROWS - 1) / GM_AMX_ROWS * GM_AMX_ROWS;
    const bool together = stand_together(row, n_rows);
    for (size_t k = 0; k < p->dim; k += BF16_DEPTH) {
        size_t left = (p->dim - k) / GM_AMX_DEPTH, tiles = left < BF16_TILES ? left : BF16_TILES;
        gm_amx_tiles a = {scratch, tiles * GM_AMX_TILE};
        if (together)
            a = (gm_amx_tiles){p->half + tile_row(p, row[0], k), 16 * p->dim};
        else
            pack_half_rows(p, row, n_rows, k, tiles, scratch);
        const gm_amx_tiles b = {packed + k * GM_DOTS_TILE_COLS, GM_DOTS_TILE_COLS * p->dim};
        gm_amx_block((gm_amx_out){dot, GM_BLOCK_COLS, rows, cols, k > 0}, a, b, tiles);
    }
}

void gm_product_block(const gm_product *product, const uint32_t *row, size_t n_rows,
                      const void *packed, size_t n, void *scratch, float *dot)
{
    if (product->half) {
        multiply_halves(product, row, n_rows, packed, n, scratch, dot);
    } else {
        memset(dot, 0, sizeof *dot * GM_BLOCK_ROWS * GM_BLOCK_COLS);
        multiply_floats(product, row, n_rows, packed, n, scratch, dot);
    }
}

/* ---- error ---- */

/* A chain of n float additions of products is off by at most (n+1) u sum|x y|, u = 2^-24, and
 * sum|x y| <= |x||y|. Floats: chains of GM_DOTS_TILE_DEPTH, then dim/GM_DOTS_TILE_DEPTH additions
 * of their results; twice the dot, the rounded norms and two more additions: 8 u more than covers
 * them. */
static double float_error(const gm_product *p, size_t i)
{
    double reach = sqrt((double)p->points->norm[i]) + sqrt((double)p->points->max_norm);
    size_t n_chains = p->dim / GM_DOTS_TILE_DEPTH;
    double steps = 8.0 + GM_DOTS_TILE_DEPTH + (double)n_chains;
    return steps * 0x1p-24 * reach * reach;
}

/* Halves: products are exact, every sum of the tiles' is one of at most dim + 8 additions, and
 * what is below 2^-126 may have become 0. */
static double half_error(const gm_product *p, size_t i)
{
    double reach = sqrt((double)p->half_norm[i]) + p->longest;
    return ((double)p->dim + 8) * (p->unit * reach * reach + 0x1p-120);
}

double gm_product_lower_bound(const gm_product *product, size_t i, double s)
{
    if (product->half == NULL) return s - float_error(product, i);
    double rounded = s - half_error(product, i);
    if (!(rounded > 0)) return 0;
    /* A billionth less for the rounding of these lines and of the distance itself. */
    double apart = sqrt(rounded) * (1 - 1e-9) - product->lost[i] - product->most_lost;
    return apart > 0 ? apart * apart * (1 - 1e-9) : 0;
}

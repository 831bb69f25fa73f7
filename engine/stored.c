/* stored.c - see stored.h. */
#include "engine/stored.h"

#include "base/half.h"

#include <string.h>

enum {
    CODES = 16,
    EXPONENT_BIT = 1 << 7, /* of a bf16 */
    INFINITE = 0x7f80,
    NOT_A_NUMBER = 0x7fc0,
};

/* The sixteen numbers of E2M1 as bf16. */
static const uint16_t e2m1[CODES] = {0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040,
                                     0x4080, 0x40c0, 0x8000, 0xbf00, 0xbf80, 0xbfc0,
                                     0xc000, 0xc040, 0xc080, 0xc0c0};

/* One of them times 2^(scale - 127) where that is no normal number. */
static uint16_t extreme(uint16_t code, unsigned scale)
{
    const unsigned sign = code & 0x8000u, magnitude = code & 0x7fffu;
    if (scale == 255) return NOT_A_NUMBER;
    if (magnitude == 0) return code;
    const int exponent = (int)(magnitude / EXPONENT_BIT) + (int)scale - 127;
    const unsigned fraction = magnitude % EXPONENT_BIT;
    if (exponent >= 255) return (uint16_t)(sign | INFINITE);
    if (exponent > 0) return (uint16_t)(sign | (unsigned)exponent * EXPONENT_BIT | fraction);
    return (uint16_t)(sign | (EXPONENT_BIT + fraction) >> (1 - exponent)); /* a denormal, exact */
}

static void scaled_codes(unsigned scale, uint16_t to[CODES])
{
    enum { LEAST = 2, MOST = 252 }; /* scales that leave every code normal */
    const int by = ((int)scale - 127) * EXPONENT_BIT;
    for (int i = 0; i < CODES; i++)
        to[i] = (uint16_t)(e2m1[i] % 0x8000u ? (int)e2m1[i] + by : (int)e2m1[i]);
    if (scale < LEAST || scale > MOST)
        for (int i = 0; i < CODES; i++) to[i] = extreme(e2m1[i], scale);
}

static void take_mxfp4(const uint8_t *data, const uint8_t *scales, size_t blocks, uint16_t *to)
{
    enum { BYTES = GM_MX_BLOCK / 2 };
    for (size_t b = 0; b < blocks; b++, data += BYTES) {
        uint16_t number[CODES];
        scaled_codes(scales[b], number);
        for (int i = 0; i < BYTES; i++) {
            *to++ = number[data[i] & 15];
            *to++ = number[data[i] >> 4];
        }
    }
}

/* Columns become rows; elements of `size` bytes, 2 or 4. Each has its branch, for a copy whose size
 * the compiler knows is one instruction. */
static void take_columns(const char *from, size_t ld, size_t every, size_t n, size_t cols,
                         size_t size, char *to)
{
    for (size_t k = 0; k < cols; k++, from += ld * size)
        for (size_t r = 0; r < n; r++) {
            if (size == 2)
                memcpy(to + (r * cols + k) * 2, from + r * every * 2, 2);
            else
                memcpy(to + (r * cols + k) * 4, from + r * every * 4, 4);
        }
}

/* ---- F8_E4M3 ---- */

bool gm_scale_is_fit(float scale)
{
    return scale == 0.0f || (scale >= 0x1p-100f && scale <= 0x1p100f);
}

/* All 256 numbers under one scale: a block has more weights than that. */
typedef union fp8_table {
    float f32[256];
    uint16_t bf16[256];
} fp8_table;

/* Of bf16 without a branch, so that it is made of vectors: a product of a fit scale is a normal
 * number or zero, but for the two bytes that are no number. */
static void scale_table(float scale, gm_dtype as, fp8_table *table)
{
    float x[256];
    for (int i = 0; i < 256; i++) x[i] = gm_fp8_values[i] * scale;
    if (as != GM_BF16) {
        memcpy(table->f32, x, sizeof x);
        return;
    }
    for (int i = 0; i < 256; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        table->bf16[i] = (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }
    table->bf16[127] = table->bf16[255] = NOT_A_NUMBER;
}

static void look_up(const uint8_t *from, size_t n, gm_dtype as, const fp8_table *table, void *to)
{
    if (as == GM_BF16) {
        uint16_t *bf16 = to;
        for (size_t i = 0; i < n; i++) bf16[i] = table->bf16[from[i]];
    } else {
        float *f32 = to;
        for (size_t i = 0; i < n; i++) f32[i] = table->f32[from[i]];
    }
}

/* Block by block: of those that one row of scales is for, each in turn. */
static void take_fp8_rows(const gm_stored_rows *from, size_t row, size_t every, size_t n, char *to)
{
    const gm_grid *g = &from->grid;
    const size_t cols = from->cols, size = gm_dtype_bytes(from->as);
    const uint8_t *data = from->data;
    fp8_table table;
    for (size_t r = 0, m; r < n; r += m) {
        const size_t line = g->first + row + r * every, left = g->rows - line % g->rows;
        m = (left - 1) / every + 1;
        if (m > n - r) m = n - r;
        for (size_t k = 0, b = 0; k < cols; k += g->cols, b++) {
            const size_t width = cols - k < g->cols ? cols - k : g->cols;
            scale_table(g->scale[line / g->rows * g->per_row + b], from->as, &table);
            for (size_t i = r; i < r + m; i++)
                look_up(data + (row + i * every) * cols + k, width, from->as, &table,
                        to + (i * cols + k) * size);
        }
    }
}

static void put_number(void *to, size_t at, float x, gm_dtype as)
{
    if (as == GM_BF16)
        ((uint16_t *)to)[at] = gm_bf16_from_f32(x);
    else
        ((float *)to)[at] = x;
}

/* Element by element: few matrices lie so. */
static void take_fp8_columns(const gm_stored_rows *from, size_t row, size_t every, size_t n,
                             void *to)
{
    const gm_grid *g = &from->grid;
    const uint8_t *data = from->data;
    for (size_t k = 0; k < from->cols; k++, data += from->rows)
        for (size_t r = 0; r < n; r++) {
            const size_t c = row + r * every;
            const float scale = g->scale[(g->first + k) / g->rows * g->per_row + c / g->cols];
            put_number(to, r * from->cols + k, gm_fp8_values[data[c]] * scale, from->as);
        }
}

/* ---- four bits with scales ---- */

enum { IN_WORD = 8, PIECE = 256 };

/* All sixteen numbers of a group. */
typedef struct int4_table {
    float f32[CODES];
    uint16_t bf16[CODES];
} int4_table;

/* What a code is, of output o of the tensor and the group that input k is in. */
static float widen_code(const gm_grid *g, size_t o, size_t k, unsigned code)
{
    const size_t group = g->group ? (size_t)g->group[k] : k / g->cols;
    const size_t at = o * g->per_row + group * g->per_col;
    return ((float)code - g->zero[at]) * g->scale[at];
}

static int4_table group_of(const gm_grid *g, size_t o, size_t k)
{
    int4_table table;
    for (unsigned i = 0; i < CODES; i++) {
        table.f32[i] = widen_code(g, o, k, i);
        table.bf16[i] = gm_bf16_from_f32(table.f32[i]);
    }
    return table;
}

/* Which of the codes is that of output n of the matrix and input k. */
static size_t place_of(const gm_grid *g, size_t n, size_t k)
{
    const size_t o = g->first + n;
    switch (g->packing) {
    case GM_PACKING_ROWS: return n * g->inputs + k;
    case GM_PACKING_GPTQ: return (k / IN_WORD * g->outputs + o) * IN_WORD + k % IN_WORD;
    default: return k * g->outputs + o / IN_WORD * IN_WORD + gm_awq_place(o % IN_WORD);
    }
}

/* Codes of an output, inputs [k, k + n): whole words of them. */
static void read_codes(const gm_grid *g, const void *data, size_t output, size_t k, size_t n,
                       uint8_t *code)
{
    if (g->packing == GM_PACKING_AWQ) {
        size_t at = place_of(g, output, k);
        for (size_t i = 0; i < n; i++, at += g->outputs) code[i] = (uint8_t)gm_code_at(data, at);
        return;
    }
    for (size_t w = 0; w < n; w += IN_WORD) {
        const size_t at = place_of(g, output, k + w);
        for (size_t i = 0; i < IN_WORD; i++) code[w + i] = (uint8_t)gm_code_at(data, at + i);
    }
}

static void look_up_codes(const uint8_t *code, size_t n, gm_dtype as, const int4_table *table,
                          void *to)
{
    if (as == GM_BF16)
        for (size_t i = 0; i < n; i++) ((uint16_t *)to)[i] = table->bf16[code[i]];
    else
        for (size_t i = 0; i < n; i++) ((float *)to)[i] = table->f32[code[i]];
}

static void take_int4_rows(const gm_stored_rows *from, size_t row, size_t every, size_t n, char *to)
{
    const gm_grid *g = &from->grid;
    const size_t size = gm_dtype_bytes(from->as);
    uint8_t code[PIECE];
    for (size_t r = 0; r < n; r++, row += every)
        for (size_t group = 0; group < from->cols; group += g->cols) {
            const int4_table table = group_of(g, g->first + row, group);
            for (size_t k = group, m; k < group + g->cols; k += m, to += m * size) {
                m = group + g->cols - k < PIECE ? group + g->cols - k : PIECE;
                read_codes(g, from->data, row, k, m, code);
                look_up_codes(code, m, from->as, &table, to);
            }
        }
}

/* Inputs in any order: no table serves two that are side by side. */
static void take_int4_ordered(const gm_stored_rows *from, size_t row, size_t every, size_t n,
                              char *to)
{
    const gm_grid *g = &from->grid;
    uint8_t code[PIECE];
    for (size_t r = 0; r < n; r++, row += every)
        for (size_t k = 0, m; k < from->cols; k += m) {
            m = from->cols - k < PIECE ? from->cols - k : PIECE;
            read_codes(g, from->data, row, k, m, code);
            for (size_t i = 0; i < m; i++)
                put_number(to, r * from->cols + k + i,
                           widen_code(g, g->first + row, k + i, code[i]), from->as);
        }
}

/* Rows that are inputs of the tensor: few matrices lie so. */
static void take_int4_columns(const gm_stored_rows *from, size_t row, size_t every, size_t n,
                              char *to)
{
    const gm_grid *g = &from->grid;
    for (size_t r = 0; r < n; r++, row += every)
        for (size_t c = 0; c < from->cols; c++) {
            const unsigned code = gm_code_at(from->data, place_of(g, c, row));
            put_number(to, r * from->cols + c, widen_code(g, g->first + c, row, code), from->as);
        }
}

/* ---- all of them ---- */

/* Of fp8 and four bits. */
static gm_tensor take_scaled(const gm_stored_rows *from, size_t row, size_t every, size_t n,
                             void *to)
{
    const bool columns = from->stored == GM_STORED_COLUMNS;
    if (from->grid.packing && columns)
        take_int4_columns(from, row, every, n, to);
    else if (from->grid.packing)
        (from->grid.group ? take_int4_ordered : take_int4_rows)(from, row, every, n, to);
    else if (columns)
        take_fp8_columns(from, row, every, n, to);
    else
        take_fp8_rows(from, row, every, n, to);
    return (gm_tensor){.dtype = from->as,
                       .rank = 2,
                       .dim = {n, from->cols},
                       .data = to,
                       .n_bytes = n * from->cols * gm_dtype_bytes(from->as)};
}

size_t gm_stored_bytes(gm_stored stored, gm_dtype dtype, size_t rows, size_t cols)
{
    const bool half = stored == GM_STORED_MXFP4 || dtype == GM_I32;
    return half ? rows * cols / 2 : rows * cols * gm_dtype_bytes(dtype);
}

gm_tensor gm_stored_take(const gm_stored_rows *from, size_t row, size_t every, size_t n, void *to)
{
    if (from->stored != GM_STORED_MXFP4 && (from->dtype == GM_FP8 || from->dtype == GM_I32))
        return take_scaled(from, row, every, n, to);
    const gm_dtype dtype = from->stored == GM_STORED_MXFP4 ? GM_BF16 : from->dtype;
    const char *data = from->data;
    const size_t size = gm_dtype_bytes(dtype), cols = from->cols, blocks = cols / GM_MX_BLOCK;
    if (from->stored == GM_STORED_COLUMNS)
        take_columns(data + row * size, from->rows, every, n, cols, size, to);
    else
        for (size_t r = 0; r < n; r++, row += every) {
            char *at = (char *)to + r * cols * size;
            if (from->stored == GM_STORED_MXFP4)
                take_mxfp4((const uint8_t *)data + row * cols / 2, from->scales + row * blocks,
                           blocks, (uint16_t *)(void *)at);
            else
                memcpy(at, data + row * cols * size, cols * size);
        }
    return (gm_tensor){
        .dtype = dtype, .rank = 2, .dim = {n, cols}, .data = to, .n_bytes = n * cols * size};
}

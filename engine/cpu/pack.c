/* pack.c - writing weights into panels. */
#include "engine/cpu/pack.h"

#include "base/half.h"

#include <math.h>
#include <string.h>

const void *gm_panel_at(const gm_buf *buf, size_t item, size_t panel)
{
    return (const char *)buf->address + item * buf->item_bytes +
           panel * gm_panel_bytes(buf->dtype, buf->cols);
}

float gm_pack_row(gm_dtype dtype, const float *from, size_t k_all, size_t step, uint8_t *to)
{
    float most = 0.0f;
    bool finite = true;
    for (size_t k = 0; k < k_all; k++) {
        finite = finite && isfinite(from[k]);
        most = fmaxf(most, fabsf(from[k]));
    }
    float scale = finite ? most / (dtype == GM_I8 ? 127.0f : 448.0f) : NAN;
    if (scale < 0x1p-100f) scale = 0.0f; /* so that 1 / scale is finite, denormals flushed or not */
    const float by = finite && scale > 0.0f ? 1.0f / scale : 0.0f;
    for (size_t k = 0; k < k_all; k++) {
        const float x = finite ? from[k] * by : 0.0f, whole = rintf(x);
        to[k * step] = dtype == GM_I8 ? (uint8_t)(int8_t)(whole > 127.0f    ? 127.0f
                                                          : whole < -127.0f ? -127.0f
                                                                            : whole)
                                      : gm_fp8_from_f32(x);
    }
    return scale;
}

void gm_panel_store(gm_buf *buf, size_t item, size_t n, size_t rows, const float *from)
{
    const size_t k_all = buf->cols, depth = gm_panel_depth(buf->dtype, k_all);
    void *matrix = (char *)buf->address + item * buf->item_bytes;
    if (gm_is_scaled(buf->dtype)) {
        uint8_t *panel = (uint8_t *)matrix + n / GM_PANEL * gm_panel_bytes(buf->dtype, k_all);
        float *scale = (float *)(void *)(panel + depth * GM_PANEL); /* of the rows' own panel */
        for (size_t r = 0, lane = n % GM_PANEL; r < rows; r++, lane++)
            scale[lane] = gm_pack_row(buf->dtype, from + r * k_all, k_all, GM_PANEL, panel + lane);
    } else if (buf->dtype == GM_BF16) {
        uint16_t *to = matrix;
        for (size_t k = 0; k < k_all; k++)
            for (size_t r = 0; r < rows; r++)
                to[gm_panel_index(GM_BF16, depth, n + r, k)] =
                    gm_bf16_from_f32(from[r * k_all + k]);
    } else {
        float *to = matrix;
        for (size_t k = 0; k < k_all; k++)
            for (size_t r = 0; r < rows; r++)
                to[gm_panel_index(GM_F32, depth, n + r, k)] = from[r * k_all + k];
    }
}

void gm_panel_store_bf16(gm_buf *buf, size_t item, size_t n, size_t rows, const void *from)
{
    const size_t k_all = buf->cols, depth = gm_panel_depth(GM_BF16, k_all), pairs = k_all / 2;
    uint16_t *matrix = (uint16_t *)(void *)((char *)buf->address + item * buf->item_bytes);
    uint16_t *panel = matrix + gm_panel_index(GM_BF16, depth, n, 0);
    const unsigned char *at = from;
    enum { BLOCK = 16 }; /* pairs of inputs: 16 x 16 words are turned in the first-level cache */
    for (size_t p = 0; p < pairs; p += BLOCK) {
        const size_t m = pairs - p < BLOCK ? pairs - p : BLOCK;
        for (size_t r = 0; r < rows; r++) {
            uint32_t word[BLOCK];
            memcpy(word, at + (r * k_all + 2 * p) * sizeof *panel, m * sizeof *word);
            for (size_t i = 0; i < m; i++)
                memcpy(panel + ((p + i) * GM_PANEL + r) * 2, &word[i], sizeof *word);
        }
    }
    for (size_t r = 0; k_all % 2 && r < rows; r++)
        memcpy(panel + (pairs * GM_PANEL + r) * 2, at + (r * k_all + k_all - 1) * sizeof *panel,
               sizeof *panel);
}

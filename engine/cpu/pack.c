/* pack.c - writing weights into panels. */
#include "engine/cpu/pack.h"

#include "base/half.h"

const void *gm_panel_at(const gm_buf *buf, size_t item, size_t panel)
{
    size_t panel_bytes =
        gm_panel_depth(buf->dtype, buf->cols) * GM_PANEL * gm_dtype_bytes(buf->dtype);
    return (const char *)buf->address + item * buf->item_bytes + panel * panel_bytes;
}

void gm_panel_store(gm_buf *buf, size_t item, size_t n, size_t rows, const float *from)
{
    const size_t k_all = buf->cols, depth = gm_panel_depth(buf->dtype, k_all);
    void *matrix = (char *)buf->address + item * buf->item_bytes;
    if (buf->dtype == GM_BF16) {
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

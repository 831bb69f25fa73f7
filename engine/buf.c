/* buf.c - describing, allocating and freeing buffers in host memory, large ones in huge
 * pages. */
#include "engine/buf.h"

#include <inttypes.h>

static gm_buf rows_apart(gm_dtype dtype, size_t count, size_t rows, size_t cols, size_t stride)
{
    const size_t scales = gm_is_scaled(dtype) ? gm_round_up(rows * sizeof(float), 32) : 0;
    return (gm_buf){.layout = GM_LAYOUT_ROWS,
                    .dtype = dtype,
                    .count = count,
                    .rows = rows,
                    .cols = cols,
                    .stride = stride,
                    .item_bytes = rows * stride * gm_dtype_bytes(dtype) + scales};
}

gm_buf gm_buf_rows(gm_dtype dtype, size_t count, size_t rows, size_t cols)
{
    return rows_apart(dtype, count, rows, cols, gm_round_up(cols, GM_K_BLOCK));
}

gm_buf gm_buf_spread_rows(gm_dtype dtype, size_t count, size_t rows, size_t cols)
{
    const size_t line = 64 / gm_dtype_bytes(dtype);
    return rows_apart(dtype, count, rows, cols, (gm_round_up(cols, GM_K_BLOCK) / line | 1) * line);
}

size_t gm_panel_bytes(gm_dtype dtype, size_t k)
{
    const size_t depth = dtype == GM_F32 ? k : gm_round_up(k, GM_K_BLOCK);
    return GM_PANEL * (depth * gm_dtype_bytes(dtype) + (gm_is_scaled(dtype) ? sizeof(float) : 0));
}

gm_buf gm_buf_panels(gm_dtype dtype, size_t count, size_t rows, size_t cols)
{
    return (gm_buf){.layout = GM_LAYOUT_PANELS,
                    .dtype = dtype,
                    .count = count,
                    .rows = rows,
                    .cols = cols,
                    .item_bytes =
                        gm_round_up(rows, GM_PANEL) / GM_PANEL * gm_panel_bytes(dtype, cols)};
}

uint64_t gm_buf_bytes(const gm_buf *buf)
{
    return (uint64_t)buf->count * buf->item_bytes;
}

/* From this size on pages are worth asking for. */
static bool is_large(const gm_buf *buf)
{
    return gm_buf_bytes(buf) >= (4 << 20);
}

gm_status gm_buf_create(gm_buf *buf, const char *what, gm_error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(buf->count, buf->item_bytes, &bytes))
        buf->address = NULL;
    else
        buf->address = is_large(buf) ? gm_pages_alloc(bytes) : gm_alloc(bytes, 1);
    if (buf->address == NULL)
        return gm_fail(err, GM_EMEM, "no memory for %s (%" PRIu64 " bytes)", what,
                       gm_buf_bytes(buf));
    buf->place = GM_PLACE_HOST;
    return GM_OK;
}

void gm_buf_free(gm_buf *buf)
{
    if (is_large(buf))
        gm_pages_free(buf->address, (size_t)gm_buf_bytes(buf));
    else
        gm_free(buf->address);
    *buf = (gm_buf){0};
}

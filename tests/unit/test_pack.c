/* test_pack.c - weights that are bf16 already go into panels as they would by way of f32. */
#include "engine/cpu/pack.h"

#include "base/half.h"
#include "tests/check.h"

enum { MOST_ROWS = 40, MOST_COLS = 130 };

static void pack(gm_buf *plain, gm_buf *fast, size_t rows, size_t cols)
{
    static unsigned char bytes[MOST_ROWS * MOST_COLS * 2 + 1];
    static float value[MOST_ROWS * MOST_COLS];
    unsigned char *at = bytes + 1; /* not aligned, as in a file */
    for (size_t i = 0; i < rows * cols; i++) {
        uint16_t word = gm_bf16_from_f32((float)i * 0.37f - 11.0f);
        value[i] = gm_bf16_to_f32(word);
        memcpy(at + 2 * i, &word, sizeof word);
    }
    for (size_t item = 0; item < plain->count; item++)
        for (size_t r = 0; r < rows; r += GM_PANEL) {
            size_t n = rows - r < GM_PANEL ? rows - r : GM_PANEL;
            gm_panel_store(plain, item, r, n, value + r * cols);
            gm_panel_store_bf16(fast, item, r, n, at + 2 * r * cols);
        }
}

static void bf16_rows_are_packed_as_floats_are(void)
{
    static const size_t rows[] = {1, 15, 16, 17, 32, 40}, cols[] = {1, 2, 31, 32, 33, 64, 127, 130};
    gm_error err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof cols / sizeof *cols; j++) {
            gm_buf plain = gm_buf_panels(GM_BF16, 2, rows[i], cols[j]), fast = plain;
            CHECK_OK(gm_buf_create(&plain, "panels", &err), err);
            CHECK_OK(gm_buf_create(&fast, "panels", &err), err);
            pack(&plain, &fast, rows[i], cols[j]);
            CHECK_BYTES(fast.address, plain.address, gm_buf_bytes(&plain));
            gm_buf_free(&plain);
            gm_buf_free(&fast);
        }
}

TESTS(TEST(bf16_rows_are_packed_as_floats_are))

/* fuzz_checkpoint.c - any bytes as the index of a sharded model folder, and as one of its
 * shards: of what is opened every byte can be read, and what is F8_E4M3 or of four bits widened.
 *
 * The input is model.safetensors.index.json, and after a first NUL 3.safetensors. The
 * shards 1 and 2 beside it are whole; they hold the tensors a, b and c.
 */
#include "base/text.h"
#include "engine/located.h"
#include "engine/quantised.h"
#include "engine/stored.h"
#include "tests/fuzz/demand.h"
#include "tests/fuzz/safetensors_image.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The folder with its two good shards, made once. */
static void make_folder(void)
{
    static bool made;
    const float value[] = {1, 2};
    const gm_tensor tensor[] = {
        {.name = "a", .dtype = GM_F32, .rank = 1, .dim = {2}, .data = value, .n_bytes = 8},
        {.name = "b", .dtype = GM_BF16, .rank = 2, .dim = {1, 2}, .data = value, .n_bytes = 4},
        {.name = "c", .dtype = GM_F16, .rank = 0, .data = value, .n_bytes = 2}};
    if (made) return;
    (void)mkdir("fuzz.model", 0777);
    demand(gm_safetensors_write("fuzz.model/1.safetensors", true, tensor, 2, NULL, 0, NULL) ==
           GM_OK);
    demand(gm_safetensors_write("fuzz.model/2.safetensors", true, tensor + 2, 1, NULL, 0, NULL) ==
           GM_OK);
    made = true;
}

/* The third, whose header has the length it says: fuzz_safetensors.c tries others. */
static void write_shard(const uint8_t *bytes, size_t n)
{
    uint8_t *mended = image_mended(bytes, n);
    write_input("fuzz.model/3.safetensors", mended ? mended : bytes, n);
    gm_free(mended);
}

/* The last matrix that the tensor may hold; no rows when it can be none. */
static gm_slice slice_of(const gm_tensor *t)
{
    gm_slice slice = {.cols = 0};
    snprintf(slice.name, sizeof slice.name, "%s", t->name);
    const bool blocks = t->dtype == GM_U8 && t->rank == 4 && t->dim[3] == GM_MX_BLOCK / 2;
    if (t->dtype == GM_FP8 && t->rank == 2 && t->dim[0] > 1 && strlen(t->name) < 100) {
        slice.rows = t->dim[0], slice.cols = t->dim[1];
        slice.blocks = (gm_scale_blocks){.suffix = "_scale", .rows = 2, .cols = 3};
        return slice;
    }
    if (!blocks && (!gm_dtype_is_float(t->dtype) || t->rank < 1 || t->rank > 3)) return slice;
    slice.cols = blocks ? t->dim[2] * GM_MX_BLOCK : t->dim[t->rank - 1];
    slice.rows = blocks ? t->dim[1] : t->rank > 1 ? t->dim[t->rank - 2] : 1;
    if (blocks) slice.stored = GM_STORED_MXFP4;
    if (t->rank < 3) return slice;
    slice.stack = t->dim[0];
    slice.stack_rows = slice.rows;
    if (slice.stack > 0) slice.item = slice.stack - 1;
    if (slice.stack == 0 || slice.cols == 1) slice.rows = 0; /* one column: of rank 2 */
    return slice;
}

/* All rows of F8_E4M3, widened as rows and as columns, by whatever its scales are. */
static void use_fp8(const gm_slice *slice, const gm_tensor *t, const gm_tensor *scales)
{
    const size_t n = scales->n_bytes / gm_dtype_bytes(scales->dtype);
    gm_stored_rows from = {.dtype = GM_FP8,
                           .data = t->data,
                           .grid = gm_slice_grid(slice),
                           .as = GM_BF16,
                           .rows = slice->rows,
                           .cols = slice->cols};
    float *scale = gm_alloc(n, sizeof *scale), *room = gm_alloc(t->n_bytes, sizeof *room);
    demand(scale && room && n >= gm_slice_scales(slice).rows * gm_slice_scales(slice).cols);
    gm_error err = {0};
    demand(gm_scales_check(scales, &err) == GM_OK || err.text[0] != '\0');
    gm_tensor_to_f32(scales, 0, n, scale);
    from.grid.scale = scale;
    (void)gm_stored_take(&from, 0, 1, from.rows, room);
    from.stored = GM_STORED_COLUMNS, from.rows = slice->cols, from.cols = slice->rows;
    from.as = GM_F32;
    (void)gm_stored_take(&from, 0, 1, from.rows, room);
    gm_free(scale);
    gm_free(room);
}

/* The matrix whose codes the tensor holds, packed so; no rows when it can be none. */
static gm_slice packed_slice(const gm_tensor *t, gm_packing packing, bool zeros)
{
    const bool by_rows = packing == GM_PACKING_ROWS;
    const char *end = by_rows ? "weight_packed" : "qweight";
    gm_slice slice = {.blocks = {.suffix = by_rows ? "_scale" : ".scales",
                                 .rows = 1,
                                 .cols = 8,
                                 .packing = packing,
                                 .zeros = zeros || !by_rows,
                                 .above = packing == GM_PACKING_GPTQ}};
    if (t->dtype != GM_I32 || t->rank != 2 || !gm_ends_in(t->name, end) || strlen(t->name) > 100)
        return slice;
    snprintf(slice.name, sizeof slice.name, "%.*sweight", (int)(strlen(t->name) - strlen(end)),
             t->name);
    slice.rows = t->dim[packing != GM_PACKING_ROWS] * (packing == GM_PACKING_AWQ ? 8 : 1);
    slice.cols = t->dim[packing == GM_PACKING_ROWS] * (packing == GM_PACKING_AWQ ? 1 : 8);
    return slice;
}

/* A matrix of four bits, widened as rows and as columns. */
static void use_packed(const gm_checkpoint *c, const gm_slice *slice)
{
    const gm_scale_blocks *blocks = &slice->blocks;
    gm_located at;
    gm_error err = {0};
    gm_reader reader = {0};
    size_t n;
    if (gm_locate(&at, c, slice, &err) != GM_OK) {
        demand(err.text[0] != '\0' && at.tensor.name == NULL);
        return;
    }
    if (at.tensor.dtype != GM_I32) return;
    const size_t n_values = slice->rows * slice->cols;
    float *values = gm_alloc(gm_grid_most(c, blocks), sizeof *values);
    float *room = gm_alloc(n_values, sizeof *room);
    demand(values && room);
    demand(gm_reader_create(&reader, c, gm_grid_most_bytes(c, blocks), NULL) == GM_OK);
    gm_stored_rows from = {.dtype = GM_I32,
                           .data = at.tensor.data,
                           .grid = at.grid,
                           .as = GM_BF16,
                           .rows = slice->rows,
                           .cols = slice->cols};
    if (gm_grid_read(&from.grid, &at.beside, &reader, values, &n, &err) == GM_OK) {
        (void)gm_stored_take(&from, 0, 1, from.rows, room);
        from.stored = GM_STORED_COLUMNS, from.rows = slice->cols, from.cols = slice->rows;
        from.as = GM_F32;
        (void)gm_stored_take(&from, 0, 1, from.rows, room);
    } else {
        demand(err.text[0] != '\0');
    }
    gm_reader_clear(&reader);
    gm_free(values);
    gm_free(room);
}

static void use_tensor(const gm_checkpoint *c, const gm_tensor *t)
{
    unsigned sum = 0;
    for (size_t i = 0; i < t->n_bytes; i++) sum += ((const unsigned char *)t->data)[i];
    demand(sum <= 255 * t->n_bytes && gm_checkpoint_find(c, t->name) == t);

    gm_tensor found;
    gm_located at;
    gm_error err = {0};
    gm_slice slice = slice_of(t);
    const bool fits = strcmp(slice.name, t->name) == 0 && slice.rows > 0 && slice.cols > 0;
    const bool scaled = slice.blocks.suffix || strstr(slice.name, "_blocks");
    gm_status status =
        scaled ? gm_locate(&at, c, &slice, &err) : gm_checkpoint_get(c, &slice, &found, &err);
    if (scaled) found = at.tensor;
    demand(status == GM_OK || err.text[0] != '\0');
    demand(status == GM_OK || !fits || scaled);
    if (status == GM_OK && slice.blocks.suffix && found.dtype == GM_FP8)
        use_fp8(&slice, &found, &at.beside.scales);
    for (int p = GM_PACKING_ROWS; p <= GM_PACKING_AWQ; p++)
        for (int zeros = 0; zeros < 2; zeros++) {
            const gm_slice packed = packed_slice(t, (gm_packing)p, zeros);
            if (packed.rows > 0 && packed.cols > 0) use_packed(c, &packed);
        }
    for (size_t i = 0; i < found.n_bytes; i++) sum += ((const unsigned char *)found.data)[i];
    demand(sum <= 510 * t->n_bytes);
    if (gm_dtype_is_float(t->dtype) && t->n_bytes > 0) {
        size_t last = t->n_bytes / gm_dtype_bytes(t->dtype) - 1;
        float value[2];
        gm_tensor_to_f32(t, last, 1, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *nul = n ? memchr(bytes, '\0', n) : NULL;
    gm_checkpoint *c = NULL;
    gm_error err = {0};
    char hex[65];

    make_folder();
    write_input("fuzz.model/model.safetensors.index.json", bytes, nul ? (size_t)(nul - bytes) : n);
    if (nul)
        write_shard(nul + 1, n - (size_t)(nul - bytes) - 1);
    else
        (void)unlink("fuzz.model/3.safetensors");
    if (gm_checkpoint_open(&c, "fuzz.model", &err) != GM_OK) {
        demand(c == NULL && err.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < gm_checkpoint_n(c); i++) {
        use_tensor(c, gm_checkpoint_at(c, i));
        demand(i == 0 ||
               strcmp(gm_checkpoint_at(c, i - 1)->name, gm_checkpoint_at(c, i)->name) < 0);
    }
    (void)gm_checkpoint_dtype(c);
    gm_checkpoint_digest(c, hex);
    demand(strlen(hex) == 64);
    gm_checkpoint_close(c);
    return 0;
}

/* located.c - see located.h. */
#include "engine/located.h"

#include "base/text.h"
#include "engine/quantised.h"
#include "engine/stored.h"

#include <stdio.h>
#include <string.h>

enum { IN_WORD = 8, PACKED_NAME_BYTES = GM_NAME_BYTES + 16, ANY_FLOAT = GM_N_DTYPES };

static const char WEIGHT[] = "weight"; /* the end of the name that the others replace */

static const struct part_names {
    const char *codes, *scales, *zeros, *order, *sizes;
} part_names[] = {
    [GM_PACKING_ROWS] = {"weight_packed", "weight_scale", "weight_zero_point", NULL,
                         "weight_shape"},
    [GM_PACKING_GPTQ] = {"qweight", "scales", "qzeros", "g_idx", NULL},
    [GM_PACKING_AWQ] = {"qweight", "scales", "qzeros", NULL, NULL},
};

/* ---- whole numbers and codes of 4 bits ---- */

static int64_t element(const gm_tensor *t, const void *data, size_t i)
{
    int32_t narrow;
    int64_t wide;
    if (t->dtype == GM_I32) {
        memcpy(&narrow, (const char *)data + i * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, (const char *)data + i * sizeof wide, sizeof wide);
    return wide;
}

/* The tensor that is called as the slice's but for its end; NULL: there is none. */
static const gm_tensor *find_part(const gm_checkpoint *c, const gm_slice *slice, const char *part)
{
    char name[PACKED_NAME_BYTES];
    if (part == NULL) return NULL;
    const int stem = (int)(strlen(slice->name) - strlen(WEIGHT));
    (void)snprintf(name, sizeof name, "%.*s%s", stem, slice->name, part);
    return gm_checkpoint_find(c, name);
}

static bool is_packed(const gm_checkpoint *c, const gm_slice *slice)
{
    const gm_packing p = slice->blocks.packing;
    return p && gm_ends_in(slice->name, ".weight") && gm_checkpoint_find(c, slice->name) == NULL &&
           find_part(c, slice, part_names[p].codes) != NULL;
}

/* A tensor (rows, cols), or where cols is 0 (rows). */
static gm_status check_part(const gm_tensor *t, int dtype, size_t rows, size_t cols, gm_error *err)
{
    const bool right = dtype == ANY_FLOAT ? gm_dtype_is_float(t->dtype) : (int)t->dtype == dtype;
    const int rank = cols > 0 ? 2 : 1;
    if (!right)
        return gm_fail(err, GM_EFORMAT, "'%s': tensor '%s' has dtype %s, expected %s", t->file,
                       t->name, gm_dtype_name(t->dtype),
                       dtype == ANY_FLOAT ? "F32, F16 or BF16" : gm_dtype_name((gm_dtype)dtype));
    if (t->rank != rank)
        return gm_fail(err, GM_ESHAPE, "'%s': tensor '%s' has rank %d, expected %d", t->file,
                       t->name, t->rank, rank);
    if (t->dim[0] != rows || (rank > 1 && t->dim[1] != cols))
        return gm_fail(err, GM_ESHAPE, "'%s': tensor '%s' is %zu x %zu, expected %zu x %zu",
                       t->file, t->name, t->dim[0], rank > 1 ? t->dim[1] : 1, rows,
                       rank > 1 ? cols : 1);
    return GM_OK;
}

static gm_status need_part(const gm_tensor *t, const gm_tensor *codes, const char *part,
                           gm_error *err)
{
    if (t) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "'%s': there is no '%s' beside '%s'", codes->file, part,
                   codes->name);
}

/* ---- where four bits are ---- */

/* Words hold whole groups, and no part of a matrix. */
static gm_status check_sizes(const gm_slice *slice, const gm_tensor *codes, const gm_grid *g,
                             gm_error *err)
{
    const bool by_outputs = slice->blocks.zeros || g->packing == GM_PACKING_AWQ;
    if (g->inputs % g->cols == 0 && g->cols % IN_WORD == 0 &&
        (!by_outputs || g->outputs % IN_WORD == 0))
        return GM_OK;
    return gm_fail(err, GM_ESHAPE,
                   "'%s': '%s' is of %zu outputs of %zu inputs in groups of %zu, expected whole "
                   "groups and whole words of 8",
                   codes->file, codes->name, g->outputs, g->inputs, g->cols);
}

static gm_grid grid_of(const gm_slice *slice)
{
    const size_t out = gm_slice_outputs(slice), in = gm_slice_inputs(slice);
    const bool by_rows = slice->blocks.packing == GM_PACKING_ROWS;
    gm_grid g = {.rows = 1,
                 .cols = slice->blocks.cols ? slice->blocks.cols : in,
                 .first = slice->first,
                 .packing = slice->blocks.packing,
                 .outputs = out,
                 .inputs = in};
    g.per_row = by_rows ? in / g.cols : 1;
    g.per_col = by_rows ? 1 : out;
    return g;
}

/* The two numbers that compressed-tensors writes down. */
static gm_status check_written(const gm_tensor *sizes, const gm_grid *g, gm_error *err)
{
    if (sizes == NULL) return GM_OK;
    gm_status status = check_part(sizes, sizes->dtype == GM_I32 ? GM_I32 : GM_I64, 2, 0, err);
    if (status != GM_OK) return status;
    const int64_t out = element(sizes, sizes->data, 0), in = element(sizes, sizes->data, 1);
    if (out == (int64_t)g->outputs && in == (int64_t)g->inputs) return GM_OK;
    return gm_fail(err, GM_ESHAPE, "'%s': '%s' says %lld x %lld, expected %zu x %zu", sizes->file,
                   sizes->name, (long long)out, (long long)in, g->outputs, g->inputs);
}

static gm_status check_parts(const gm_located *l, const gm_tensor *codes, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_grid *g = &l->grid;
    const size_t out = g->outputs, in = g->inputs, groups = in / g->cols;
    const bool by_rows = g->packing == GM_PACKING_ROWS;
    const gm_scaling *b = &l->beside;
    if (by_rows)
        GM_TRY(check_part(codes, GM_I32, out, in / IN_WORD, err));
    else if (g->packing == GM_PACKING_GPTQ)
        GM_TRY(check_part(codes, GM_I32, in / IN_WORD, out, err));
    else
        GM_TRY(check_part(codes, GM_I32, in, out / IN_WORD, err));
    GM_TRY(check_part(&b->scales, ANY_FLOAT, by_rows ? out : groups, by_rows ? groups : out, err));
    if (b->zeros)
        GM_TRY(check_part(b->zeros, GM_I32, by_rows ? out / IN_WORD : groups,
                          by_rows ? groups : out / IN_WORD, err));
    if (b->order) GM_TRY(check_part(b->order, GM_I32, in, 0, err));
    GM_TRY(check_written(b->sizes, g, err));
out:
    return status;
}

/* The rows of a tall tensor that are the matrix's, or where it is of columns their inputs. */
static void cut_rows(gm_tensor *t, const gm_slice *slice)
{
    const size_t row_bytes = t->n_bytes / t->dim[0];
    if (slice->tall == 0) return;
    t->dim[0] = slice->stored == GM_STORED_COLUMNS ? slice->cols : slice->rows;
    t->data = (const char *)t->data + slice->first * row_bytes;
    t->n_bytes = t->dim[0] * row_bytes;
}

static gm_status locate_packed(gm_located *out, const gm_checkpoint *c, const gm_slice *slice,
                               gm_error *err)
{
    gm_status status = GM_OK;
    const struct part_names *name = &part_names[slice->blocks.packing];
    const gm_tensor *codes = find_part(c, slice, name->codes);
    const gm_tensor *scales = find_part(c, slice, name->scales);
    gm_located l = {.is_whole = slice->blocks.packing != GM_PACKING_ROWS, .grid = grid_of(slice)};
    GM_TRY(need_part(scales, codes, name->scales, err));
    l.beside = (gm_scaling){.scales = *scales,
                            .zeros = slice->blocks.zeros ? find_part(c, slice, name->zeros) : NULL,
                            .order = find_part(c, slice, name->order),
                            .sizes = find_part(c, slice, name->sizes),
                            .above = slice->blocks.above};
    if (slice->blocks.zeros) GM_TRY(need_part(l.beside.zeros, codes, name->zeros, err));
    if (slice->blocks.ordered) GM_TRY(need_part(l.beside.order, codes, name->order, err));
    GM_TRY(check_sizes(slice, codes, &l.grid, err));
    GM_TRY(check_parts(&l, codes, err));
    l.tensor = *codes;
    if (!l.is_whole) cut_rows(&l.tensor, slice);
    *out = l;
out:
    return status;
}

gm_status gm_locate(gm_located *out, const gm_checkpoint *c, const gm_slice *slice, gm_error *err)
{
    gm_status status = GM_OK;
    gm_located l = {.grid = gm_slice_grid(slice)};
    *out = (gm_located){0};
    if (is_packed(c, slice)) return locate_packed(out, c, slice, err);
    GM_TRY(gm_checkpoint_get(c, slice, &l.tensor, err));
    if (slice->stored == GM_STORED_MXFP4 || l.tensor.dtype == GM_FP8) {
        const gm_slice scales = gm_slice_scales(slice);
        GM_TRY(gm_checkpoint_get(c, &scales, &l.beside.scales, err));
    }
    *out = l;
out:
    return status;
}

/* ---- how much of it there is ---- */

size_t gm_grid_most(const gm_checkpoint *checkpoint, const gm_scale_blocks *blocks)
{
    const size_t scales = gm_checkpoint_most(checkpoint, blocks->suffix);
    if (!blocks->packing) return scales;
    return 2 * scales + gm_checkpoint_most(checkpoint, part_names[blocks->packing].order);
}

size_t gm_grid_most_bytes(const gm_checkpoint *checkpoint, const gm_scale_blocks *blocks)
{
    const size_t scales = gm_checkpoint_most(checkpoint, blocks->suffix) * sizeof(float);
    const char *name = part_names[blocks->packing].order;
    const size_t order = gm_checkpoint_most(checkpoint, name) * sizeof(int32_t);
    return scales > order ? scales : order;
}

size_t gm_tensor_inputs(const gm_tensor *t, const gm_scale_blocks *blocks)
{
    const size_t last = t->rank > 0 ? t->dim[t->rank - 1] : 1;
    if (t->dtype != GM_I32 || t->rank != 2) return last;
    switch (blocks->packing) {
    case GM_PACKING_ROWS: return last * IN_WORD;
    case GM_PACKING_GPTQ: return t->dim[0] * IN_WORD;
    case GM_PACKING_AWQ: return t->dim[0];
    default: return last;
    }
}

size_t gm_whole_most(const gm_checkpoint *checkpoint, const gm_scale_blocks *blocks)
{
    if (blocks->packing <= GM_PACKING_ROWS) return 0;
    return gm_checkpoint_most(checkpoint, part_names[blocks->packing].codes) * sizeof(int32_t);
}

/* ---- reading scales and zeros ---- */

/* Where the zero of output o and group i is among the codes of all. */
static size_t zero_place(const gm_grid *g, size_t o, size_t i)
{
    if (g->packing == GM_PACKING_ROWS)
        return (o / IN_WORD * g->per_row + i) * IN_WORD + o % IN_WORD;
    const size_t place = g->packing == GM_PACKING_AWQ ? gm_awq_place(o % IN_WORD) : o % IN_WORD;
    return i * g->outputs + o / IN_WORD * IN_WORD + place;
}

static gm_status read_zeros(const gm_grid *g, const gm_scaling *b, gm_reader *reader, float *zero,
                            gm_error *err)
{
    enum { MIDDLE = 8, MOST = 15 };
    gm_status status = GM_OK;
    const size_t groups = g->inputs / g->cols;
    const void *words = NULL;
    if (b->zeros) GM_TRY(gm_reader_get(reader, b->zeros, 0, b->zeros->n_bytes, &words, err));
    for (size_t o = 0; o < g->outputs; o++)
        for (size_t i = 0; i < groups; i++) {
            const unsigned stored = words ? gm_code_at(words, zero_place(g, o, i)) : MIDDLE;
            if (b->above > 0 && stored == MOST)
                GM_FAIL(GM_EFORMAT,
                        "'%s': '%s' stores a zero of 15, to which 1 is added: programs differ "
                        "about what that gives",
                        b->zeros->file, b->zeros->name);
            zero[o * g->per_row + i * g->per_col] = (float)(stored + b->above);
        }
out:
    return status;
}

/* The group of each input (inputs). *follow: they follow one another, as without a list. */
static gm_status read_order(const gm_grid *g, const gm_scaling *b, gm_reader *reader, float *group,
                            bool *follow, gm_error *err)
{
    gm_status status = GM_OK;
    const void *data;
    *follow = true;
    if (b->order == NULL) return GM_OK;
    GM_TRY(gm_reader_get(reader, b->order, 0, b->order->n_bytes, &data, err));
    for (size_t k = 0; k < g->inputs; k++) {
        const int64_t number = element(b->order, data, k);
        if (number < 0 || number >= (int64_t)(g->inputs / g->cols))
            GM_FAIL(GM_EFORMAT, "'%s': '%s' puts input %zu into group %lld, expected 0 to %zu",
                    b->order->file, b->order->name, k, (long long)number, g->inputs / g->cols - 1);
        group[k] = (float)number;
        *follow = *follow && number == (int64_t)(k / g->cols);
    }
out:
    return status;
}

gm_status gm_grid_read(gm_grid *grid, const gm_scaling *beside, gm_reader *reader, float *values,
                       size_t *n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_tensor t = beside->scales;
    const size_t n_scales = t.n_bytes / gm_dtype_bytes(t.dtype);
    bool follow = true;
    GM_TRY(gm_reader_get(reader, &beside->scales, 0, t.n_bytes, &t.data, err));
    gm_tensor_to_f32(&t, 0, n_scales, values);
    if (grid->packing) {
        GM_TRY(gm_scales_check(&t, err));
        GM_TRY(read_zeros(grid, beside, reader, values + n_scales, err));
        GM_TRY(read_order(grid, beside, reader, values + 2 * n_scales, &follow, err));
    }
    grid->scale = values;
    grid->zero = grid->packing ? values + n_scales : NULL;
    grid->group = follow ? NULL : values + 2 * n_scales;
    *n = (grid->packing ? 2 * n_scales : n_scales) + (follow ? 0 : grid->inputs);
out:
    return status;
}

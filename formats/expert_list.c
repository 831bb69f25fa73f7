/* expert_list.c - see expert_list.h. */
#include "formats/expert_list.h"

#include "base/csv.h"
#include "base/outfile.h"
#include "base/text.h"
#include "formats/shape.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

bool gm_expert_list_is(const char *path)
{
    return gm_ends_in(path, ".csv");
}

/* Where the columns of a list are, and what it is for. */
typedef struct list {
    gm_csv table;
    const char *path;
    size_t layer, expert, bias;
    const int *layer_of_moe; /* (L) */
    int n_layers, n_experts;
} list;

/* A whole number, also as pandas writes one of a column of floats: 12.0. */
static bool parse_whole(const char *text, int64_t *out)
{
    double value;
    if (gm_parse_i64(text, out)) return true;
    if (!gm_parse_f64(text, &value) || !(fabs(value) <= INT32_MAX) || value != rint(value))
        return false;
    *out = (int64_t)value;
    return true;
}

/* The field of a row and column, without leading blanks. */
static const char *field_of(const list *l, size_t r, size_t column)
{
    const char *field = l->table.field[r * l->table.n_columns + column];
    return field + strspn(field, " ");
}

/* Row r: its place in (L,E). */
static gm_status read_place(const list *l, size_t r, size_t *at, gm_error *err)
{
    const char *of_layer = field_of(l, r, l->layer), *of_expert = field_of(l, r, l->expert);
    const size_t line = l->table.line[r];
    int64_t layer, expert;
    if (!parse_whole(of_layer, &layer) || !parse_whole(of_expert, &expert))
        return gm_fail(err, GM_EFORMAT,
                       "'%s', line %zu: expected whole numbers for layer and expert, found '%s' "
                       "and '%s'",
                       l->path, line, of_layer, of_expert);
    const int row = gm_find_layer(l->layer_of_moe, l->n_layers, layer);
    if (row < 0)
        return gm_fail(err, GM_EFORMAT,
                       "'%s', line %zu: layer %" PRId64
                       " is not an MoE layer, expected one from %d to %d",
                       l->path, line, layer, l->layer_of_moe[0], l->layer_of_moe[l->n_layers - 1]);
    if (expert < 0 || expert >= l->n_experts)
        return gm_fail(err, GM_EFORMAT, "'%s', line %zu: expert %" PRId64 ", expected 0 to %d",
                       l->path, line, expert, l->n_experts - 1);
    *at = (size_t)row * (size_t)l->n_experts + (size_t)expert;
    return GM_OK;
}

static gm_status read_bias(const list *l, size_t r, float *bias, gm_error *err)
{
    const char *of_bias = field_of(l, r, l->bias);
    const size_t line = l->table.line[r];
    double value;
    if (of_bias[0] == '\0')
        return gm_fail(err, GM_EFORMAT,
                       "'%s', line %zu: the bias is empty, expected a number or -inf; to leave the "
                       "expert unchanged, remove the row",
                       l->path, line);
    if (!gm_parse_f64(of_bias, &value) || !(value == -INFINITY || fabs(value) <= (double)FLT_MAX))
        return gm_fail(err, GM_EFORMAT,
                       "'%s', line %zu: expected a number or -inf for bias, found "
                       "'%s'",
                       l->path, line, of_bias);
    *bias = (float)value;
    return GM_OK;
}

/* Read the table and find where it names layer and expert. */
static gm_status open_list(list *l, gm_error *err)
{
    gm_status status = gm_csv_read(&l->table, l->path, err);
    if (status == GM_OK) status = gm_csv_find(&l->table, "layer", l->path, &l->layer, err);
    if (status == GM_OK) status = gm_csv_find(&l->table, "expert", l->path, &l->expert, err);
    return status;
}

gm_status gm_expert_list_read(gm_array *out, const char *path, const int *layer_of_moe,
                              int n_layers, int n_experts, gm_error *err)
{
    gm_status status = GM_OK;
    list l = {
        .path = path, .layer_of_moe = layer_of_moe, .n_layers = n_layers, .n_experts = n_experts};
    size_t *listed = NULL; /* (L,E) the line that lists it, 0: none */
    *out = (gm_array){.n_rows = (size_t)n_layers, .n_cols = (size_t)n_experts};

    GM_TRY(open_list(&l, err));
    GM_TRY(gm_csv_find(&l.table, "bias", path, &l.bias, err));
    out->at = gm_alloc2(out->n_rows, out->n_cols, sizeof *out->at);
    listed = gm_alloc2(out->n_rows, out->n_cols, sizeof *listed);
    if (out->at == NULL || listed == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", path);
    for (size_t r = 0; r < l.table.n_rows; r++) {
        size_t at = 0;
        float bias = 0;
        GM_TRY(read_place(&l, r, &at, err));
        GM_TRY(read_bias(&l, r, &bias, err));
        if (listed[at] > 0)
            GM_FAIL(GM_EFORMAT, "'%s', line %zu: expert %zu of layer %d is already in line %zu",
                    path, l.table.line[r], at % out->n_cols, layer_of_moe[at / out->n_cols],
                    listed[at]);
        listed[at] = l.table.line[r];
        out->at[at] = bias;
    }
    memcpy(out->sha256, l.table.sha256, sizeof out->sha256);
out:
    if (status != GM_OK) gm_array_clear(out);
    gm_csv_clear(&l.table);
    gm_free(listed);
    return status;
}

gm_status gm_expert_list_read_names(uint32_t **out, size_t *n, const char *path,
                                    const int *layer_of_moe, int n_layers, int n_experts,
                                    gm_error *err)
{
    gm_status status = GM_OK;
    list l = {
        .path = path, .layer_of_moe = layer_of_moe, .n_layers = n_layers, .n_experts = n_experts};
    uint32_t *place = NULL;
    bool *named = gm_alloc2((size_t)n_layers, (size_t)n_experts, sizeof *named);
    *out = NULL;
    *n = 0;
    if (named == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", path);
    GM_TRY(open_list(&l, err));
    place = gm_alloc(l.table.n_rows, sizeof *place);
    if (place == NULL) GM_FAIL(GM_EMEM, "no memory for '%s'", path);
    for (size_t r = 0; r < l.table.n_rows; r++) {
        size_t at = 0;
        GM_TRY(read_place(&l, r, &at, err));
        if (!named[at]) place[(*n)++] = (uint32_t)at;
        named[at] = true;
    }
    *out = place;
    place = NULL;
out:
    if (status != GM_OK) *n = 0;
    gm_csv_clear(&l.table);
    gm_free(named);
    gm_free(place);
    return status;
}

gm_status gm_expert_list_write(const char *path, const float *values, const int *layer_of_moe,
                               int n_layers, int n_experts, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text text = {0};
    GM_TRY(gm_text_add(&text, "layer,expert,bias\n", err));
    for (int l = 0; l < n_layers; l++)
        for (int e = 0; e < n_experts; e++) {
            float bias = values[(size_t)l * (size_t)n_experts + (size_t)e];
            if (bias != 0) /* nine digits are all of a float */
                GM_TRY(
                    gm_text_printf(&text, err, "%d,%d,%.9g\n", layer_of_moe[l], e, (double)bias));
        }
    GM_TRY(gm_outfile_write(path, replace, text.at, text.n, err));
out:
    gm_text_clear(&text);
    return status;
}

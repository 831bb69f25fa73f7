/* trace_select.c - some layers and some documents of a trace as if they were all of it. Rows are
 * read by trace_read.c.
 */
#include "formats/find_subset.h"
#include "formats/layer_list.h"
#include "formats/shape.h"
#include "formats/trace_shards.h"

#include <assert.h>
#include <string.h>

/* ---- which ---- */

static gm_status choose_layers(gm_trace_view *view, gm_trace *trace,
                               const gm_trace_selection *selection, gm_error *err)
{
    const gm_trace_info *whole = &trace->head.info;
    const int n = selection->n_layers > 0 ? selection->n_layers : whole->n_layers;
    size_t *row = gm_arena_alloc(&trace->arena, (size_t)n, sizeof *row);
    int *number = gm_arena_alloc(&trace->arena, (size_t)n, sizeof *number);
    if (!row || !number) return gm_fail(err, GM_EMEM, "no memory for %d layers", n);
    for (int l = 0; l < n; l++) {
        number[l] = selection->n_layers > 0 ? selection->layer[l] : whole->layer_of_moe[l];
        const int at = gm_find_layer(whole->layer_of_moe, whole->n_layers, number[l]);
        if (at < 0)
            return gm_layer_list_lacks(number[l], whole->layer_of_moe, whole->n_layers, err);
        row[l] = (size_t)at;
    }
    view->info = *whole;
    view->info.n_layers = n;
    view->info.layer_of_moe = number;
    view->layer = row;
    return GM_OK;
}

static gm_status choose_documents(gm_trace_view *view, gm_trace *trace,
                                  const gm_trace_selection *selection, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *whole = &trace->samples;
    bool *wanted = gm_alloc(whole->n_subsets, sizeof *wanted);
    size_t *document = gm_arena_alloc(&trace->arena, whole->n, sizeof *document), n = 0;
    if (!wanted || !document) GM_FAIL(GM_EMEM, "no memory to choose of %zu documents", whole->n);
    for (size_t s = 0; s < whole->n_subsets; s++) wanted[s] = selection->n_subsets == 0;
    for (size_t i = 0, at; i < selection->n_subsets; i++) {
        GM_TRY(gm_find_subset(&at, selection->subset[i], whole->subset_name, whole->n_subsets,
                              "trace", err));
        wanted[at] = true;
    }
    for (size_t i = 0; i < whole->n; i++)
        if (wanted[whole->subset[i]] && whole->n_tokens[i] >= selection->min_tokens)
            document[n++] = i;
    view->document = document;
    view->samples.n = n;
out:
    gm_free(wanted);
    return status;
}

/* ---- their columns ---- */

/* The subsets that still have documents, in the old order. */
static gm_status keep_subsets(gm_trace_view *view, gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_samples *whole = &trace->samples;
    const size_t n = view->samples.n, n_subsets = whole->n_subsets;
    const char **name = gm_arena_alloc(&trace->arena, n_subsets, sizeof *name);
    uint16_t *subset = gm_arena_alloc(&trace->arena, n, sizeof *subset);
    uint16_t *to = gm_alloc(n_subsets, sizeof *to); /* 1 + the new number; 0: gone */
    if (!name || !subset || !to) GM_FAIL(GM_EMEM, "no memory for %zu subsets", n_subsets);
    for (size_t i = 0; i < n; i++) to[whole->subset[view->document[i]]] = 1;
    for (size_t s = 0; s < n_subsets; s++) {
        if (to[s] == 0) continue;
        name[view->samples.n_subsets++] = whole->subset_name[s];
        to[s] = (uint16_t)view->samples.n_subsets;
    }
    for (size_t i = 0; i < n; i++) subset[i] = (uint16_t)(to[whole->subset[view->document[i]]] - 1);
    view->samples.subset = subset;
    view->samples.subset_name = name;
out:
    gm_free(to);
    return status;
}

static gm_status keep_samples(gm_trace_view *view, gm_trace *trace, gm_error *err)
{
    const gm_trace_samples *whole = &trace->samples;
    const size_t n = view->samples.n;
    gm_arena *arena = &trace->arena;
    uint64_t *offset = gm_arena_alloc(arena, n + 1, sizeof *offset);
    uint32_t *n_tokens = gm_arena_alloc(arena, n, sizeof *n_tokens);
    uint32_t *bad = gm_arena_alloc(arena, n, sizeof *bad);
    uint8_t *truncated = gm_arena_alloc(arena, n, 1), *sha = gm_arena_alloc(arena, n, 32);
    const char **id = gm_arena_alloc(arena, n, sizeof *id);
    const char **language = gm_arena_alloc(arena, n, sizeof *language);
    if (!offset || !n_tokens || !bad || !truncated || !sha || !id || !language)
        return gm_fail(err, GM_EMEM, "no memory for %zu documents", n);
    for (size_t i = 0; i < n; i++) {
        const size_t at = view->document[i];
        offset[i + 1] = offset[i] + (whole->offset[at + 1] - whole->offset[at]);
        n_tokens[i] = whole->n_tokens[at];
        bad[i] = whole->bad[at];
        truncated[i] = whole->truncated[at];
        memcpy(sha + 32 * i, whole->sha + 32 * at, 32);
        id[i] = whole->id[at];
        if (whole->language) language[i] = whole->language[at];
    }
    gm_trace_samples *s = &view->samples;
    s->offset = offset, s->n_tokens = n_tokens, s->bad = bad, s->truncated = truncated;
    s->sha = sha, s->id = id, s->language = whole->language ? language : NULL;
    return keep_subsets(view, trace, err);
}

gm_status gm_trace_select(gm_trace *trace, const gm_trace_selection *selection, gm_error *err)
{
    assert(trace->view == NULL);
    gm_status status = GM_OK;
    gm_trace_view *view = gm_arena_alloc(&trace->arena, 1, sizeof *view);
    if (view == NULL) return gm_fail(err, GM_EMEM, "no memory for a part of a trace");
    GM_TRY(choose_layers(view, trace, selection, err));
    GM_TRY(choose_documents(view, trace, selection, err));
    if (view->info.n_layers == trace->head.info.n_layers && view->samples.n == trace->samples.n)
        goto out;
    GM_TRY(keep_samples(view, trace, err));
    trace->view = view;
out:
    return status;
}

/* ---- their rows ---- */

void gm_trace_whole_rows(uint64_t *row, const gm_trace *trace, gm_trace_column column,
                         uint64_t first, size_t n)
{
    const gm_trace_view *view = trace->view;
    if (column == GM_COL_COUNTS || column == GM_COL_TEXT_OFFSET) {
        for (size_t i = 0; i < n; i++) row[i] = view->document[first + i];
        return;
    }
    const uint64_t *offset = view->samples.offset;
    size_t d = 0, end = view->samples.n; /* offset[d] <= first < offset[end], once they meet */
    while (end - d > 1) {
        const size_t middle = d + (end - d) / 2;
        if (offset[middle] <= first)
            d = middle;
        else
            end = middle;
    }
    for (size_t i = 0; i < n; i++) {
        while (first + i >= offset[d + 1]) d++;
        row[i] = trace->samples.offset[view->document[d]] + (first + i - offset[d]);
    }
}

/* atlas_selection.c - see atlas_selection.h. */
#include "cluster/atlas_selection.h"

#include "formats/layer_list.h"

#include <inttypes.h>
#include <string.h>

static const char where[] = "/parameters";

gm_status gm_atlas_selection_options(gm_fit_options *out, const gm_json *parameters, gm_error *err)
{
    out->by_subset = gm_json_find(parameters, "subsets") != NULL;
    return gm_json_get_i64_or(parameters, "min_tokens", 0, UINT32_MAX, 0, &out->min_tokens, where,
                              err);
}

/* How documents were selected, and of how many; 0: all were. */
static gm_status read_selection(gm_fit_options *how, int64_t *n_documents, const gm_atlas *atlas,
                                gm_error *err)
{
    gm_status status = GM_OK;
    gm_json *root = NULL;
    *how = (gm_fit_options){0};
    *n_documents = 0;
    if (atlas->parameters == NULL || atlas->parameters[0] == '\0') return GM_OK;
    GM_TRY(gm_json_parse(&root, atlas->parameters, strlen(atlas->parameters), where, err));
    GM_TRY(gm_atlas_selection_options(how, root, err));
    GM_TRY(gm_json_get_i64_or(root, "trace_documents", 0, INT64_MAX, 0, n_documents, where, err));
out:
    gm_json_free(root);
    return status;
}

gm_status gm_atlas_selection_apply(gm_trace *trace, const gm_atlas *atlas, gm_error *err)
{
    gm_fit_options how;
    int64_t n_documents;
    gm_status status = read_selection(&how, &n_documents, atlas, err);
    if (status != GM_OK) return status;
    const bool some_layers = atlas->n_layers < atlas->n_trace_layers;
    const gm_trace_selection selection = {.layer = atlas->layer_of_moe,
                                          .n_layers = some_layers ? atlas->n_layers : 0,
                                          .subset = atlas->subset_name,
                                          .n_subsets = how.by_subset ? atlas->n_subsets : 0,
                                          .min_tokens = (uint32_t)how.min_tokens};
    return gm_trace_select(trace, &selection, err);
}

gm_status gm_atlas_selection_put(gm_json_out *out, const gm_trace *trace,
                                 const gm_fit_options *options, gm_error *err)
{
    const gm_trace_info *info = gm_trace_get_info(trace);
    const gm_trace_samples *samples = gm_trace_get_samples(trace),
                           *whole = gm_trace_get_whole_samples(trace);
    if (info->n_layers < gm_trace_get_whole_info(trace)->n_layers) {
        gm_text layers = {0};
        gm_status status = gm_layer_list_put(&layers, info->layer_of_moe, info->n_layers, err);
        if (status == GM_OK) gm_json_put_string(out, "layers", layers.at);
        gm_text_clear(&layers);
        if (status != GM_OK) return status;
    }
    if (samples->n == whole->n) return GM_OK;
    if (options->by_subset) {
        gm_json_open_array(out, "subsets");
        for (size_t s = 0; s < samples->n_subsets; s++)
            gm_json_put_string(out, NULL, samples->subset_name[s]);
        gm_json_close_array(out);
    }
    if (options->min_tokens > 0) gm_json_put_i64(out, "min_tokens", options->min_tokens);
    gm_json_put_u64(out, "trace_documents", whole->n);
    return GM_OK;
}

/* "47 of 90 documents, those of the subsets 'soup', 'stars' with at least 120 tokens" */
static gm_status describe_documents(gm_text *out, const gm_atlas *atlas, const gm_fit_options *how,
                                    int64_t n_documents, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_text_printf(out, err, "%zu of %" PRId64 " documents, those", atlas->n, n_documents));
    if (how->by_subset)
        GM_TRY(gm_text_printf(out, err, " of the subset%s", gm_plural(atlas->n_subsets)));
    for (size_t s = 0; how->by_subset && s < atlas->n_subsets; s++)
        GM_TRY(gm_text_printf(out, err, "%s '%s'", s > 0 ? "," : "", atlas->subset_name[s]));
    if (how->min_tokens > 0)
        GM_TRY(gm_text_printf(out, err, " with at least %" PRId64 " tokens", how->min_tokens));
out:
    return status;
}

gm_status gm_atlas_selection_describe(gm_text *out, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_fit_options how;
    int64_t n_documents;
    const bool some_layers = atlas->n_layers < atlas->n_trace_layers;
    GM_TRY(read_selection(&how, &n_documents, atlas, err));
    if (!some_layers && n_documents == 0) goto out;
    GM_TRY(gm_text_add(out, "This is a map of a part of the trace: ", err));
    if (some_layers) {
        GM_TRY(gm_text_printf(out, err, "layer%s ", gm_plural((uint64_t)atlas->n_layers)));
        GM_TRY(gm_layer_list_put(out, atlas->layer_of_moe, atlas->n_layers, err));
        GM_TRY(gm_text_add(out, " of ", err));
        GM_TRY(gm_layer_list_put(out, atlas->trace_layer, atlas->n_trace_layers, err));
        if (n_documents > 0) GM_TRY(gm_text_add(out, "; ", err));
    }
    if (n_documents > 0) GM_TRY(describe_documents(out, atlas, &how, n_documents, err));
    GM_TRY(gm_text_add(out, ".", err));
out:
    return status;
}

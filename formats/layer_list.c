/* layer_list.c - see layer_list.h. */
#include "formats/layer_list.h"

#include <string.h>

static gm_status refuse(const char *text, gm_error *err)
{
    return gm_fail(err, GM_EARG,
                   "--layers '%s': expected layers in ascending order, such as 1-26 or 1,3,5-8, "
                   "from 0 to %d",
                   text, GM_MAX_LAYERS - 1);
}

gm_status gm_layer_list_parse(gm_layer_list *out, const char *text, gm_error *err)
{
    gm_status status = GM_OK;
    size_t most = 1;
    *out = (gm_layer_list){0};
    for (const char *at = text; *at; at++) most += *at == ',';
    out->range = gm_alloc(most, sizeof *out->range);
    if (out->range == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu layers", most);
    int64_t next = 0;
    for (const char *at = text; status == GM_OK; at++) {
        const size_t n = strcspn(at, ","), dash = strcspn(at, "-,");
        const bool range = dash < n;
        int64_t first, last;
        if (gm_parse_i64_n(at, range ? dash : n, &first) &&
            gm_parse_i64_n(at + (range ? dash + 1 : 0), range ? n - dash - 1 : n, &last) &&
            first >= next && last >= first && last < GM_MAX_LAYERS) {
            out->range[out->n].first = (int)first;
            out->range[out->n++].last = (int)last;
            next = last + 1;
        } else {
            status = refuse(text, err);
        }
        at += n;
        if (*at == '\0') break;
    }
    if (status != GM_OK) gm_layer_list_clear(out);
    return status;
}

void gm_layer_list_clear(gm_layer_list *list)
{
    gm_free(list->range);
    *list = (gm_layer_list){0};
}

gm_status gm_layer_list_lacks(int missing, const int *layer, int n_layers, gm_error *err)
{
    gm_text has = {0};
    gm_status status = gm_layer_list_put(&has, layer, n_layers, err);
    if (status == GM_OK)
        status = gm_fail(err, GM_EARG,
                         "layer %d does not exist in the trace, which has the MoE layers %s",
                         missing, has.at);
    gm_text_clear(&has);
    return status;
}

gm_status gm_layer_list_choose(int *out, int *n, const gm_layer_list *list, const int *layer,
                               int n_layers, gm_error *err)
{
    *n = 0;
    for (size_t i = 0; i < list->n; i++) {
        const int first = list->range[i].first, last = list->range[i].last, before = *n;
        if (last > layer[n_layers - 1]) return gm_layer_list_lacks(last, layer, n_layers, err);
        if (first < layer[0]) return gm_layer_list_lacks(first, layer, n_layers, err);
        for (int l = 0; l < n_layers; l++)
            if (layer[l] >= first && layer[l] <= last) out[(*n)++] = layer[l];
        if (*n == before) return gm_layer_list_lacks(first, layer, n_layers, err);
    }
    return GM_OK;
}

gm_status gm_layer_list_put(gm_text *out, const int *layer, int n, gm_error *err)
{
    gm_status status = GM_OK;
    for (int i = 0, end; status == GM_OK && i < n; i = end + 1) {
        for (end = i; end + 1 < n && layer[end + 1] == layer[end] + 1;) end++;
        status = gm_text_printf(out, err, "%s%d", i > 0 ? "," : "", layer[i]);
        if (status == GM_OK && end > i) status = gm_text_printf(out, err, "-%d", layer[end]);
    }
    return status;
}

/* shape.c - see shape.h. */
#include "formats/shape.h"

#include <string.h>

int gm_find_layer(const int *layer_of_moe, int n_layers, int64_t layer)
{
    for (int l = 0; l < n_layers; l++)
        if (layer_of_moe[l] == layer) return l;
    return -1;
}

/* Whether two digests, "" where one is not known, say that something differs. */
static bool differ(const char *a, const char *b)
{
    return a[0] && b[0] && strcmp(a, b) != 0;
}

gm_status gm_shape_check(const gm_shape *has, const char *what, const gm_shape *own,
                         const char *folder, bool any_model, gm_error *err)
{
    if (has->n_layers != own->n_layers || has->n_experts != own->n_experts)
        return gm_fail(err, GM_EARG,
                       "%s is for %d layers of %d experts, the model '%s' has %d of %d", what,
                       has->n_layers, has->n_experts, folder, own->n_layers, own->n_experts);
    for (int l = 0; l < has->n_layers; l++)
        if (has->layer_of_moe[l] != own->layer_of_moe[l])
            return gm_fail(
                err, GM_EARG,
                "%s%s: row %d is for layer %d, MoE layer %d of the model '%s' is layer %d", what,
                differ(has->model_digest, own->model_digest) ? " was made for another model" : "",
                l, has->layer_of_moe[l], l, folder, own->layer_of_moe[l]);
    if (any_model) return GM_OK;
    if (differ(has->model_digest, own->model_digest))
        return gm_fail(err, GM_EARG,
                       "%s was made for another model (weights %.12s, '%s' has %.12s); give "
                       "--any-model to use it anyway",
                       what, has->model_digest, folder, own->model_digest);
    if (differ(has->config_digest, own->config_digest))
        return gm_fail(err, GM_EARG,
                       "%s was made for these weights with another config.json (%.12s, '%s' has "
                       "%.12s); give --any-model to use it anyway",
                       what, has->config_digest, folder, own->config_digest);
    return GM_OK;
}

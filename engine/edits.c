/* edits.c - checking and copying what a plan does to the routers. */
#include "engine/edits.h"

#include "engine/model.h"

#include <math.h>
#include <string.h>

/* Can a router still choose K experts in this layer? */
static gm_status check_layer(const gm_arch *arch, const gm_edit *edit, size_t index, int layer,
                             gm_error *err)
{
    const int model_layer = arch->layer_of_moe[layer];
    const float *bias = edit->bias + (size_t)layer * (size_t)arch->n_experts; /* (E) */
    int left = arch->n_experts, last_removed = 0;
    for (int e = 0; e < arch->n_experts; e++) {
        if (isnan(bias[e]) || bias[e] == INFINITY)
            return gm_fail(err, GM_EARG,
                           "edit %zu: the bias of expert %d in layer %d is %g, expected a number "
                           "or -inf",
                           index, e, model_layer, (double)bias[e]);
        bool removed = edit->mode == GM_EDIT_MASK ? bias[e] < 0.0f : bias[e] == -INFINITY;
        left -= removed;
        if (removed) last_removed = e;
    }
    if (left < arch->n_chosen && edit->mode != GM_EDIT_GATE)
        return gm_fail(err, GM_EARG,
                       "edit %zu leaves %d experts in layer %d (the last removed is %d), but the "
                       "router chooses %d",
                       index, left, model_layer, last_removed, arch->n_chosen);
    return GM_OK;
}

static gm_status check_edit(const gm_arch *arch, const gm_edit *edit, size_t index, gm_error *err)
{
    if (edit->mode < GM_EDIT_BIAS || edit->mode > GM_EDIT_MASK)
        return gm_fail(err, GM_EARG, "edit %zu: unknown mode %d", index, (int)edit->mode);
    if (edit->first_layer < 0 || edit->last_layer >= arch->n_moe ||
        edit->first_layer > edit->last_layer)
        return gm_fail(err, GM_EARG,
                       "edit %zu is for MoE layers %d to %d, expected a range within 0 to %d",
                       index, edit->first_layer, edit->last_layer, arch->n_moe - 1);
    for (int l = edit->first_layer; l <= edit->last_layer; l++) {
        gm_status status = check_layer(arch, edit, index, l, err);
        if (status != GM_OK) return status;
    }
    return GM_OK;
}

bool gm_edit_is_local(const gm_model *model, gm_edit_mode mode)
{
    const gm_router_desc *router = &model->arch.router;
    const bool apart = router->scoring == GM_SCORE_SIGMOID; /* a score is of its own logit alone */
    const bool gates = mode == GM_EDIT_SELECT || apart;
    const bool choice =
        mode == GM_EDIT_GATE || (router->n_groups <= 1 && (apart || !router->has_correction));
    return gates && choice;
}

/* False when the biases of a layer change nothing, whatever the logits are. */
static bool does_something(const gm_arch *arch, gm_edit_mode mode, const float *bias)
{
    const gm_router_desc *router = &arch->router;
    const bool shift_drops_out = mode != GM_EDIT_MASK && router->scoring != GM_SCORE_SIGMOID &&
                                 router->scoring != GM_SCORE_SPARSEMIXER && !router->has_correction;
    float still = shift_drops_out && isfinite(bias[0]) ? bias[0] : 0.0f;
    for (int e = 0; e < arch->n_experts; e++)
        if (bias[e] != still) return true;
    return false;
}

gm_status gm_edits_create(gm_edits *out, const gm_arch *arch, const gm_edit *edits, size_t n,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n_layers = (size_t)arch->n_moe, n_experts = (size_t)arch->n_experts;
    *out = (gm_edits){.n = n, .n_layers = n_layers, .n_experts = n_experts};
    for (size_t i = 0; i < n; i++) GM_TRY(check_edit(arch, &edits[i], i, err));
    out->edit = gm_alloc(n, sizeof *out->edit);
    out->bias = gm_alloc2(n, n_layers * n_experts, sizeof *out->bias);
    out->active = gm_alloc2(n, n_layers, sizeof *out->active);
    if (!out->edit || !out->bias || !out->active) GM_FAIL(GM_EMEM, "no memory for %zu edits", n);

    for (size_t i = 0; i < n; i++) {
        float *bias = out->bias + i * n_layers * n_experts; /* (L,E) */
        memcpy(bias, edits[i].bias, n_layers * n_experts * sizeof *bias);
        out->edit[i] = edits[i];
        out->edit[i].bias = bias;
        for (int l = edits[i].first_layer; l <= edits[i].last_layer; l++)
            out->active[i * n_layers + (size_t)l] =
                does_something(arch, edits[i].mode, bias + (size_t)l * n_experts);
    }
out:
    if (status != GM_OK) gm_edits_clear(out);
    return status;
}

void gm_edits_clear(gm_edits *edits)
{
    gm_free(edits->edit);
    gm_free(edits->bias);
    gm_free(edits->active);
    *edits = (gm_edits){0};
}

bool gm_edits_find(const gm_edits *edits, int index, int layer, uint8_t phase, gm_router_edit *out)
{
    if (index < 0 || (size_t)index >= edits->n) return false;
    const gm_edit *edit = &edits->edit[index];
    if (!edits->active[(size_t)index * edits->n_layers + (size_t)layer]) return false;
    if (!(edit->phases >> phase & 1)) return false;
    *out = (gm_router_edit){.bias = edit->bias + (size_t)layer * edits->n_experts,
                            .mode = edit->mode,
                            .mass_matched = edit->mass_matched};
    return true;
}

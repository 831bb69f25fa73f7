/* run_plan.c - the plan that a run of gm-probe collect is under. */
#include "base/text.h"
#include "engine/engine.h"
#include "formats/shape.h"
#include "probe/run.h"

gm_status gm_run_open_plan(gm_run *r, const gm_model_info *m, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text what = {0};
    gm_plan *plan = &r->plan;
    GM_TRY(gm_plan_read(plan, r->o.plan, err));
    GM_TRY(gm_text_printf(&what, err, "plan '%s'", r->o.plan));
    const gm_shape has = {plan->n_layers,     plan->n_experts,    0,
                          plan->layer_of_moe, plan->model_digest, plan->config_digest};
    const gm_shape own = {m->n_moe_layers, m->n_experts, m->n_chosen,
                          m->layer_of_moe, m->digest,    m->config_digest};
    GM_TRY(gm_shape_check(&has, what.at, &own, r->o.model, r->o.any_model, err));
    if (!(plan->phases & 1u << GM_PHASE_PROMPT))
        GM_FAIL(GM_EARG,
                "%s acts only on generated tokens, but a corpus is read like a prompt; make the "
                "plan with --phase both or --phase prompt",
                what.at);
    r->edit = (gm_edit){.bias = plan->bias,
                        .mode = (gm_edit_mode)plan->mode,
                        .mass_matched = plan->mass_matched,
                        .phases = plan->phases};
    gm_plan_window(plan, &r->edit.first_layer, &r->edit.last_layer);
    gm_plan_digest(plan, r->plan_digest);
out:
    gm_text_clear(&what);
    return status;
}

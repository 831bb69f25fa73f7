/* cuda_out_norms.c - experts and the MLP that all rows take, where what they give has norms of its
 * own: few rows take two kernels of products, one each, and one for the norms.
 */
#include "engine/cuda/cuda_session.h"

void gm_cuda_down_separate(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    gm_cuda_experts experts = gm_cuda_experts_of(step, w), always = experts;
    experts.always_width = 0;
    always.n_chosen = 0;
    always.out = gm_cuda_at(s, GM_CUDA_ALWAYS_WIDE);
    always.x_stride = s->plan.always_wide;
    gm_cuda_note(s, gm_cuda_down_few(&s->how, &experts), "down");
    gm_cuda_note(s, gm_cuda_down_few(&s->how, &always), "down");
}

void gm_cuda_add_normed_rows(const gm_step *step, const gm_layer *w)
{
    gm_cuda_session *s = step->own;
    const gm_cuda_out_norms p = {.x = gm_cuda_at(s, GM_CUDA_RESIDUAL),
                                 .experts = gm_cuda_at(s, GM_CUDA_GIVEN),
                                 .always = gm_cuda_at(s, GM_CUDA_ALWAYS_WIDE),
                                 .expert_norm = w->expert_out_norm.address,
                                 .always_norm = w->always_out_norm.address,
                                 .norm = w->mlp_out_norm.address,
                                 .scale = w->scale.address,
                                 .stride = s->plan.width,
                                 .always_stride = s->plan.always_wide,
                                 .n_rows = (int)step->n_rows,
                                 .width = step->arch->width,
                                 .epsilon = step->arch->norm_epsilon,
                                 .residual_scale = step->arch->residual_scale};
    gm_cuda_note(s, gm_cuda_add_normed(&s->how, &p), "the norms of outputs");
}

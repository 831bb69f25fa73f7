/* router.c - choosing experts, in plain C: E is small and every row is its own. */
#include "engine/cpu/router.h"

#include <math.h>

/* Who may be chosen: a higher class always comes first. */
enum { REMOVED = -2, OTHER_GROUP = -1, OPEN = 0, FORCED = 1 };

/* The parts of the scratch, each (E). */
typedef struct view {
    float *select; /* selection score */
    float *gate;   /* logits that gates are made of, then p */
    float *rank;   /* class of the expert */
    float *power;
} view;

size_t gm_router_scratch(size_t n_experts)
{
    return 4 * n_experts;
}

/* True when expert a comes before expert b: class, then score, then the lower id. */
static bool precedes(const view *v, size_t a, size_t b)
{
    if (v->rank[a] != v->rank[b]) return v->rank[a] > v->rank[b];
    if (v->select[a] != v->select[b]) return v->select[a] > v->select[b];
    return a < b;
}

/* The first expert of [from, end) after `last` (none: SIZE_MAX) in that order. */
static size_t next_best(const view *v, size_t from, size_t end, size_t last)
{
    size_t best = SIZE_MAX;
    for (size_t e = from; e < end; e++) {
        if (last != SIZE_MAX && !precedes(v, last, e)) continue;
        if (best == SIZE_MAX || precedes(v, e, best)) best = e;
    }
    return best;
}

static void activate(const gm_router *r, const float *logit, float *out)
{
    const size_t n = r->n_experts;
    if (r->desc->scoring == GM_SCORE_SIGMOID) {
        for (size_t e = 0; e < n; e++) out[e] = -logit[e];
        r->kernels->exp_shifted(out, 0.0f, n, out);
        for (size_t e = 0; e < n; e++) out[e] = 1.0f / (1.0f + out[e]);
        return;
    }
    float top = -INFINITY;
    for (size_t e = 0; e < n; e++) top = logit[e] > top ? logit[e] : top;
    if (top == -INFINITY) top = 0.0f; /* every gate removed: all 0 */
    r->kernels->exp_shifted(logit, top, n, out);
    double sum = 0.0;
    for (size_t e = 0; e < n; e++) sum += (double)out[e];
    for (size_t e = 0; e < n; e++) out[e] = sum > 0.0 ? (float)((double)out[e] / sum) : 0.0f;
}

/* Selection scores, gate logits and classes of the experts under the edit. */
static void apply_edit(const gm_router *r, const float *logits, const gm_router_edit *edit, view *v)
{
    const bool mask = edit && edit->mode == GM_EDIT_MASK;
    const bool selects = edit && !mask && edit->mode != GM_EDIT_GATE;
    const bool gates = edit && !mask && edit->mode != GM_EDIT_SELECT;
    for (size_t e = 0; e < r->n_experts; e++) {
        float bias = edit ? edit->bias[e] : 0.0f;
        v->select[e] = selects ? logits[e] + bias : logits[e];
        v->gate[e] = gates ? logits[e] + bias : logits[e];
        v->rank[e] = OPEN;
        if (mask && bias > 0.0f) v->rank[e] = FORCED;
        if (mask && bias < 0.0f) v->gate[e] = -INFINITY;
        if ((mask && bias < 0.0f) || v->select[e] == -INFINITY) v->rank[e] = REMOVED;
    }
    if (r->correction) {
        activate(r, v->select, v->power);
        for (size_t e = 0; e < r->n_experts; e++) v->select[e] = v->power[e] + r->correction[e];
    }
}

/* Leave only the experts of the best groups open. */
static void limit_groups(const gm_router *r, view *v)
{
    const size_t groups = (size_t)r->desc->n_groups, size = r->n_experts / groups;
    float *score = v->power; /* (groups) */
    for (size_t g = 0; g < groups; g++) {
        size_t first = next_best(v, g * size, (g + 1) * size, SIZE_MAX);
        size_t second = next_best(v, g * size, (g + 1) * size, first);
        score[g] = v->rank[first] == REMOVED ? -INFINITY : v->select[first];
        if (r->correction && second != SIZE_MAX && v->rank[second] != REMOVED)
            score[g] += v->select[second];
    }
    for (size_t g = 0; g < groups; g++) {
        int stronger = 0;
        for (size_t h = 0; h < groups; h++)
            stronger += score[h] > score[g] || (score[h] == score[g] && h < g);
        for (size_t e = g * size; stronger >= r->desc->top_groups && e < (g + 1) * size; e++)
            if (v->rank[e] == OPEN) v->rank[e] = OTHER_GROUP;
    }
}

/* The K strongest, and how far the next one is behind. */
static float choose(const gm_router *r, const view *v, uint16_t *expert)
{
    const size_t k = r->n_chosen;
    size_t next = SIZE_MAX, n = 0; /* the best of those not chosen; chosen so far */
    for (size_t e = 0; e < r->n_experts; e++) {
        if (n == k && !precedes(v, e, expert[k - 1])) {
            if (next == SIZE_MAX || precedes(v, e, next)) next = e;
            continue;
        }
        if (n == k)
            next = expert[k - 1];
        else
            n++;
        size_t i = n - 1;
        for (; i > 0 && precedes(v, e, expert[i - 1]); i--) expert[i] = expert[i - 1];
        expert[i] = (uint16_t)e;
    }
    const size_t last = expert[k - 1];
    bool could = next != SIZE_MAX && v->rank[next] == v->rank[last];
    return could ? v->select[last] - v->select[next] : INFINITY;
}

/* Order the chosen by p descending, then lower id; p is v->power. */
static void order_chosen(const gm_router *r, const view *v, uint16_t *expert)
{
    for (size_t i = 1; i < r->n_chosen; i++) {
        uint16_t e = expert[i];
        size_t j = i;
        for (; j > 0; j--) {
            float a = v->power[expert[j - 1]], b = v->power[e];
            if (a > b || (a == b && expert[j - 1] < e)) break;
            expert[j] = expert[j - 1];
        }
        expert[j] = e;
    }
}

static bool is_among(size_t e, const uint16_t *expert, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (expert[k] == e) return true;
    return false;
}

/* Gate of the expert chosen in a round (router.h); v->power is written over. */
static float gate_of_round(const gm_router *r, const view *v, const uint16_t *expert, size_t round)
{
    const float own = v->gate[expert[round]];
    float top = own;
    double sum = 0.0;
    if (own == -INFINITY) return 0.0f;
    for (size_t e = 0; e < r->n_experts; e++) {
        const float g = v->gate[e], behind = (own - g) / fmaxf(fabsf(g), own);
        /* 0 / 0, of an equal one, is near enough */
        v->power[e] = is_among(e, expert, round) || behind > r->desc->within ? -INFINITY : g;
        top = v->power[e] > top ? v->power[e] : top;
    }
    r->kernels->exp_shifted(v->power, top, r->n_experts, v->power);
    for (size_t e = 0; e < r->n_experts; e++) sum += (double)v->power[e];
    return (float)((double)v->power[expert[round]] / sum);
}

/* Gates of the rounds, one after the other, then by gate. */
static void make_gates_of_rounds(const gm_router *r, view *v, gm_choice *out)
{
    for (size_t k = 0; k < r->n_chosen; k++) out->gate[k] = gate_of_round(r, v, out->expert, k);
    for (size_t k = 0; k < r->n_chosen; k++) v->power[out->expert[k]] = out->gate[k];
    order_chosen(r, v, out->expert);
    for (size_t k = 0; k < r->n_chosen; k++) out->gate[k] = v->power[out->expert[k]];
}

static void make_gates(const gm_router *r, view *v, gm_choice *out)
{
    const gm_router_desc *desc = r->desc;
    const bool rounds = desc->scoring == GM_SCORE_SPARSEMIXER;
    activate(r, v->gate, v->power);
    if (!rounds) order_chosen(r, v, out->expert);
    double sum = 0.0;
    for (size_t k = 0; k < r->n_chosen; k++) sum += (double)v->power[out->expert[k]];
    out->mass = (float)sum;
    if (rounds) {
        make_gates_of_rounds(r, v, out);
        return;
    }

    double divisor = 1.0; /* a softmax over the chosen is one over all, renormalised */
    if (desc->scoring == GM_SCORE_TOPK_SOFTMAX)
        divisor = sum;
    else if (desc->renormalise)
        divisor = fmax(sum, (double)desc->least_sum) + (double)desc->renorm_epsilon;
    for (size_t k = 0; k < r->n_chosen; k++) {
        double p = (double)v->power[out->expert[k]];
        out->gate[k] = divisor > 0.0 ? (float)(p / divisor) : 0.0f;
    }
}

static double total_gate(const gm_router *r, const gm_choice *c)
{
    double total = 0.0;
    for (size_t k = 0; k < r->n_chosen; k++) total += (double)c->gate[k];
    return total;
}

static void choose_row(const gm_router *r, const float *logits, const gm_router_edit *edit, view *v,
                       gm_choice *out)
{
    apply_edit(r, logits, edit, v);
    if (r->desc->n_groups > 1) limit_groups(r, v);
    out->margin = choose(r, v, out->expert);
    make_gates(r, v, out);
}

bool gm_router_choose(const gm_router *r, const float *logits, const gm_router_edit *edit,
                      float *scratch, gm_choice *out)
{
    const size_t n = r->n_experts;
    view v = {scratch, scratch + n, scratch + 2 * n, scratch + 3 * n};
    bool finite = true;
    for (size_t e = 0; e < n; e++) finite = finite && isfinite(logits[e]);
    if (!finite) {
        for (size_t k = 0; k < r->n_chosen; k++) out->expert[k] = GM_NO_EXPERT, out->gate[k] = NAN;
        out->mass = out->margin = NAN;
        return false;
    }
    double wanted = 0.0;
    if (edit && edit->mass_matched) {
        choose_row(r, logits, NULL, &v, out);
        wanted = total_gate(r, out);
    }
    choose_row(r, logits, edit, &v, out);
    if (edit && edit->mass_matched) {
        double total = total_gate(r, out);
        float factor = total > 0.0 ? (float)(wanted / total) : 1.0f;
        for (size_t k = 0; k < r->n_chosen; k++) out->gate[k] *= factor;
    }
    return true;
}

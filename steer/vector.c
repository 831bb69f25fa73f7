/* vector.c - see vector.h. */
#include "steer/vector.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LIFT_UP = 1.25, LIFT_DOWN = 0.8, CLIP = 2.0;

/* ---- filters ---- */

/* The number after "name:"; false when `text` is something else. */
static bool filter_argument(const char *text, const char *name, const char **number)
{
    size_t n = strlen(name);
    *number = text + n + 1;
    return strncmp(text, name, n) == 0 && text[n] == ':';
}

gm_status gm_filter_parse(gm_filter *out, const char *text, gm_error *err)
{
    const char *number;
    int64_t n = 0;
    *out = (gm_filter){0};
    if (strcmp(text, "lift") == 0) return GM_OK;
    if (strcmp(text, "none") == 0) {
        out->kind = GM_FILTER_NONE;
        return GM_OK;
    }
    if (filter_argument(text, "quantile", &number)) {
        out->kind = GM_FILTER_QUANTILE;
        if (gm_parse_f64(number, &out->q) && out->q >= 0 && out->q <= 1) return GM_OK;
        return gm_fail(err, GM_EARG, "filter '%s': expected a quantile from 0 to 1", text);
    }
    bool global = filter_argument(text, "top-global", &number);
    if (global || filter_argument(text, "top", &number)) {
        out->kind = global ? GM_FILTER_TOP_GLOBAL : GM_FILTER_TOP;
        if (!gm_parse_i64(number, &n) || n < 1 || n > INT32_MAX)
            return gm_fail(err, GM_EARG, "filter '%s': expected a number of experts from 1", text);
        out->n = (int)n;
        return GM_OK;
    }
    return gm_fail(err, GM_EARG,
                   "filter '%s' is unknown, expected lift, top:N, top-global:N, quantile:Q or none",
                   text);
}

typedef struct ranked {
    float rate;
    size_t at;
} ranked;

/* Rate down, then place up: lower layer, then lower id. */
static int by_rate(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->rate != y->rate) return x->rate > y->rate ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Keep the n largest of rate[0..count). `order` is room for count entries. */
static void keep_largest(bool *keep, const float *rate, size_t count, size_t n, ranked *order)
{
    for (size_t i = 0; i < count; i++) order[i] = (ranked){rate[i], i};
    qsort(order, count, sizeof *order, by_rate);
    for (size_t i = 0; i < count && i < n; i++) keep[order[i].at] = true;
}

/* The smallest rate that is kept: the q quantile, between neighbours by straight line. */
static double quantile(const float *rate, size_t count, double q, ranked *order)
{
    for (size_t i = 0; i < count; i++) order[i] = (ranked){rate[i], i};
    qsort(order, count, sizeof *order, by_rate);
    double place = q * (double)(count - 1);
    size_t below = (size_t)place, above = below + 1 < count ? below + 1 : below;
    double lo = (double)order[count - 1 - below].rate, hi = (double)order[count - 1 - above].rate;
    return lo + (place - (double)below) * (hi - lo);
}

static double smoothing(const gm_rates *r)
{
    return 0.05 / ((double)r->n_layers * (double)r->n_experts);
}

/* Does the lift say the same in both halves of the cluster's documents? */
static bool keeps_lift(const gm_rates *r, size_t i, bool is_signed)
{
    double e = smoothing(r), base = (double)r->corpus[i] + e;
    double even = ((double)r->half[0][i] + e) / base, odd = ((double)r->half[1][i] + e) / base;
    if (even >= LIFT_UP && odd >= LIFT_UP) return true;
    return is_signed && even <= LIFT_DOWN && odd <= LIFT_DOWN;
}

static void apply_filter(bool *keep, const gm_rates *r, const gm_filter *filter, bool is_signed,
                         ranked *order)
{
    size_t E = (size_t)r->n_experts, n = (size_t)r->n_layers * E;
    double least;
    switch (filter->kind) {
    case GM_FILTER_LIFT:
        for (size_t i = 0; i < n; i++) keep[i] = keeps_lift(r, i, is_signed);
        break;
    case GM_FILTER_TOP:
        for (size_t l = 0; l < n; l += E)
            keep_largest(keep + l, r->rate + l, E, (size_t)filter->n, order);
        break;
    case GM_FILTER_TOP_GLOBAL: keep_largest(keep, r->rate, n, (size_t)filter->n, order); break;
    case GM_FILTER_QUANTILE:
        least = quantile(r->rate, n, filter->q, order);
        for (size_t i = 0; i < n; i++) keep[i] = (double)r->rate[i] >= least;
        break;
    case GM_FILTER_NONE:
        for (size_t i = 0; i < n; i++) keep[i] = true;
    }
}

/* ---- scales ---- */

static float log_ratio(const gm_rates *r, size_t i)
{
    double e = smoothing(r);
    double value = log(((double)r->rate[i] + e) / ((double)r->corpus[i] + e));
    return (float)(value > CLIP ? CLIP : value < -CLIP ? -CLIP : value); /* NaN stays */
}

static void scale_to_maximum_1(float *vector, size_t n_experts)
{
    float top = 0;
    for (size_t e = 0; e < n_experts; e++) top = fmaxf(top, vector[e]);
    for (size_t e = 0; e < n_experts && top > 0; e++) vector[e] /= top;
}

gm_status gm_vector_make(float *out, const gm_rates *r, const gm_filter *filter, gm_scale scale,
                         gm_error *err)
{
    gm_status status = GM_OK;
    size_t E = (size_t)r->n_experts, n = (size_t)r->n_layers * E;
    bool *keep = gm_alloc(n, sizeof *keep);
    ranked *order = gm_alloc(n, sizeof *order);
    if (keep == NULL || order == NULL) GM_FAIL(GM_EMEM, "no memory for a steering vector");

    apply_filter(keep, r, filter, scale == GM_SCALE_LOGRATIO, order);
    for (size_t i = 0; i < n; i++) {
        float value = scale == GM_SCALE_LOGRATIO ? log_ratio(r, i) : r->rate[i];
        out[i] = keep[i] ? value : 0;
    }
    for (size_t l = 0; l < n && scale == GM_SCALE_LOGIT; l += E) scale_to_maximum_1(out + l, E);
out:
    gm_free(keep);
    gm_free(order);
    return status;
}

/* ---- controls ---- */

/* The layer's values, in the order of their experts, on the experts of `order`. */
static void move_values(float *layer, float *value, const uint32_t *order, size_t n_experts)
{
    size_t n = 0;
    for (size_t e = 0; e < n_experts; e++) {
        if (layer[e] != 0) value[n++] = layer[e];
        layer[e] = 0;
    }
    for (size_t i = 0; i < n; i++) layer[order[i]] = value[i];
}

/* The experts of the layer that have a value, in the order in which `order` names them. */
static void keep_valued(uint32_t *order, const float *layer, size_t n_experts)
{
    size_t n = 0;
    for (size_t i = 0; i < n_experts; i++)
        if (layer[order[i]] != 0) order[n++] = order[i];
}

gm_status gm_vector_control(float *vector, int n_layers, int n_experts, gm_control control,
                            uint64_t seed, gm_error *err)
{
    gm_status status = GM_OK;
    size_t L = (size_t)n_layers, E = (size_t)n_experts;
    uint32_t *order = gm_alloc(E, sizeof *order);
    float *value = gm_alloc(E, sizeof *value);
    if (order == NULL || value == NULL) GM_FAIL(GM_EMEM, "no memory for a control");

    for (size_t l = 0; l < L; l++) {
        float *layer = vector + l * E;
        gm_rng rng = gm_rng_make(seed, l);
        for (size_t e = 0; e < E; e++) order[e] = (uint32_t)e;
        gm_rng_shuffle(&rng, order, E);
        if (control == GM_CONTROL_SHUFFLED) keep_valued(order, layer, E);
        if (control == GM_CONTROL_RANDOM || control == GM_CONTROL_SHUFFLED)
            move_values(layer, value, order, E);
        for (size_t e = 0; e < E && control == GM_CONTROL_REVERSE; e++) layer[e] = -layer[e];
    }
out:
    gm_free(order);
    gm_free(value);
    return status;
}

gm_status gm_vector_committee(float *out, const float *rate, int n_layers, int n_experts,
                              gm_error *err)
{
    size_t E = (size_t)n_experts;
    ranked *order = gm_alloc(E, sizeof *order);
    if (order == NULL) return gm_fail(err, GM_EMEM, "no memory for a control");
    memset(out, 0, (size_t)n_layers * E * sizeof *out);
    for (size_t l = 0; l < (size_t)n_layers; l++) {
        double total = 0, taken = 0;
        for (size_t e = 0; e < E; e++) {
            order[e] = (ranked){rate[l * E + e], e};
            total += (double)rate[l * E + e];
        }
        qsort(order, E, sizeof *order, by_rate);
        for (size_t i = 0; i < E && taken < total / 2; i++) {
            out[l * E + order[i].at] = 1;
            taken += (double)order[i].rate;
        }
    }
    gm_free(order);
    return GM_OK;
}

static double layer_norm(const float *layer, size_t n_experts)
{
    double sum = 0;
    for (size_t e = 0; e < n_experts; e++) sum += (double)layer[e] * (double)layer[e];
    return sqrt(sum);
}

void gm_vector_match_norm(float *vector, const float *model, int n_layers, int n_experts)
{
    size_t E = (size_t)n_experts;
    for (size_t l = 0; l < (size_t)n_layers; l++) {
        double has = layer_norm(vector + l * E, E), wants = layer_norm(model + l * E, E);
        if (has == wants || !(has > 0)) continue; /* equal: keep the bits */
        for (size_t e = 0; e < E; e++)
            vector[l * E + e] = (float)((double)vector[l * E + e] * wants / has);
    }
}

void gm_vector_important(uint8_t *out, const float *vector, int n_layers, int n_experts, int most)
{
    size_t E = (size_t)n_experts;
    memset(out, 0, (size_t)n_layers * E);
    for (size_t l = 0; l < (size_t)n_layers; l++) {
        const float *layer = vector + l * E; /* (E) */
        for (int k = 0; k < most; k++) {
            size_t best = E;
            for (size_t e = 0; e < E; e++) {
                if (layer[e] > 0 && !out[l * E + e] && (best == E || layer[e] > layer[best]))
                    best = e;
            }
            if (best < E) out[l * E + best] = 1;
        }
    }
}

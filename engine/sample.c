/* sample.c - greedy choice, and a draw from the strongest tokens by a heap. */
#include "engine/sample.h"

#include "base/rng.h"

#include <math.h>

gm_status gm_sampling_check(const gm_sampling *s, gm_error *err)
{
    if (!(s->temperature >= 0.0 && isfinite(s->temperature)))
        return gm_fail(err, GM_EARG, "the temperature is %g, expected 0 or more", s->temperature);
    if (s->top_k < 0) return gm_fail(err, GM_EARG, "top-k is %d, expected 0 or more", s->top_k);
    if (!(s->top_p > 0.0 && s->top_p <= 1.0))
        return gm_fail(err, GM_EARG, "top-p is %g, expected a number above 0 and at most 1",
                       s->top_p);
    if (!(s->repetition_penalty > 0.0 && isfinite(s->repetition_penalty)))
        return gm_fail(err, GM_EARG, "the repetition penalty is %g, expected a number above 0",
                       s->repetition_penalty);
    return GM_OK;
}

void gm_sample_penalise(float *logits, const uint8_t *seen, size_t vocab, double penalty)
{
    for (size_t i = 0; i < vocab; i++) {
        if (!seen[i]) continue;
        double z = (double)logits[i];
        logits[i] = (float)(z > 0.0 ? z / penalty : z * penalty);
    }
}

static bool stronger(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static uint32_t strongest(const float *logits, size_t vocab)
{
    uint32_t best = GM_NO_TARGET;
    float top = -INFINITY;
    for (size_t i = 0; i < vocab; i++)
        if (logits[i] > top) top = logits[i], best = (uint32_t)i;
    return best;
}

/* ---- a heap of token ids, the strongest at the root ---- */

static void sift_down(const float *logits, uint32_t *heap, size_t n, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) return;
        if (child + 1 < n && stronger(logits, heap[child + 1], heap[child])) child++;
        if (!stronger(logits, heap[child], heap[i])) return;
        uint32_t id = heap[i];
        heap[i] = heap[child];
        heap[child] = id;
        i = child;
    }
}

/* Move the root to the place after the heap; gives it. */
static uint32_t pop(const float *logits, uint32_t *heap, size_t *n)
{
    uint32_t root = heap[0];
    heap[0] = heap[--*n];
    heap[*n] = root;
    sift_down(logits, heap, *n, 0);
    return root;
}

/* The strongest tokens that top-k and top-p leave, strongest first from the end of
 * order (n) downwards; gives how many, and their weight. */
static size_t keep_strongest(const float *logits, const gm_sampling *s, uint32_t *order, size_t n,
                             const float *weight, double total, double *kept_weight)
{
    const size_t most = s->top_k > 0 && (size_t)s->top_k < n ? (size_t)s->top_k : n;
    size_t left = n, kept = 0;
    for (size_t i = n / 2; i-- > 0;) sift_down(logits, order, n, i);
    if (most < n) {
        total = 0.0;
        for (size_t i = 0; i < most; i++) total += (double)weight[pop(logits, order, &left)];
    }
    *kept_weight = 0.0;
    while (kept < most && (kept == 0 || *kept_weight < s->top_p * total)) {
        if (n - left == kept) (void)pop(logits, order, &left);
        *kept_weight += (double)weight[order[n - 1 - kept++]];
    }
    return kept;
}

static double unit(const gm_sampling *s, uint64_t position)
{
    gm_rng rng = gm_rng_make(s->seed, s->stream);
    uint32_t word[4];
    gm_rng_at(&rng, position, 0, word);
    return (double)(((uint64_t)word[0] << 32 | word[1]) >> 11) * 0x1p-53;
}

uint32_t gm_sample_token(const float *logits, size_t vocab, const gm_sampling *s, uint64_t position,
                         uint32_t *order, float *weight)
{
    const uint32_t best = strongest(logits, vocab);
    if (best == GM_NO_TARGET || s->temperature == 0.0 || isinf(logits[best])) return best;

    size_t n = 0;
    double total = 0.0;
    for (size_t i = 0; i < vocab; i++) {
        if (!(logits[i] > -INFINITY)) continue; /* NaN and -inf are no candidates */
        weight[i] = expf((float)((double)(logits[i] - logits[best]) / s->temperature));
        total += (double)weight[i];
        order[n++] = (uint32_t)i;
    }
    const bool cut = s->top_p < 1.0 || (s->top_k > 0 && (size_t)s->top_k < n);
    double kept_weight = total;
    size_t kept = cut ? keep_strongest(logits, s, order, n, weight, total, &kept_weight) : n;

    double left = unit(s, position) * kept_weight;
    for (size_t i = 0; i < kept; i++) { /* by strength, or uncut by id */
        uint32_t id = cut ? order[n - 1 - i] : order[i];
        left -= (double)weight[id];
        if (left < 0.0) return id;
    }
    return best; /* the sum was rounded below the draw */
}

gm_status gm_sampled_check(const uint32_t *sampled, size_t n, gm_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (sampled[i] == GM_NO_TARGET)
            return gm_fail(
                err, GM_EARG,
                "segment %zu: no token can be sampled because all logits are NaN or -inf", i);
    return GM_OK;
}

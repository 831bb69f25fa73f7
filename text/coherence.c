/* coherence.c - documents of each keyword as bits, and what pairs have in common. */
#include "text/coherence.h"

#include <math.h>
#include <string.h>

/* Documents that hold a word: a row of bits for each distinct keyword. */
typedef struct presence {
    uint32_t *slot; /* (n_words) row + 1, 0: no keyword */
    uint64_t *bits; /* (n_slots, width) */
    size_t n_slots, width;
} presence;

static gm_status find_presence(presence *p, const gm_coherence_input *in, gm_error *err)
{
    const gm_bag *counts = in->counts;
    p->width = counts->n_rows / 64 + 1;
    p->slot = gm_alloc(in->n_words, sizeof *p->slot);
    if (p->slot == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu words", in->n_words);
    for (size_t i = 0; i < in->n_classes * in->n_keywords; i++)
        if (in->keyword[i] != UINT32_MAX && p->slot[in->keyword[i]] == 0)
            p->slot[in->keyword[i]] = (uint32_t)++p->n_slots;
    p->bits = gm_alloc2(p->n_slots, p->width, sizeof *p->bits);
    if (p->bits == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu keywords", p->n_slots);
    for (size_t d = 0; d < counts->n_rows; d++)
        for (uint64_t e = counts->indptr[d]; e < counts->indptr[d + 1]; e++) {
            uint32_t s = p->slot[counts->word[e]];
            if (s > 0) p->bits[(s - 1) * p->width + d / 64] |= (uint64_t)1 << d % 64;
        }
    return GM_OK;
}

static size_t n_common(const uint64_t *a, const uint64_t *b, size_t width)
{
    size_t n = 0;
    for (size_t i = 0; i < width; i++) n += (size_t)__builtin_popcountll(a[i] & b[i]);
    return n;
}

static double npmi(size_t both, size_t a, size_t b, size_t n)
{
    if (both == 0) return -1;
    if (both == n) return 0;
    const double N = (double)n;
    return log((double)both * N / ((double)a * (double)b)) / -log((double)both / N);
}

static double coherence_of(const presence *p, const gm_coherence_input *in, size_t class)
{
    const uint32_t *keyword = in->keyword + class * in->n_keywords; /* (K) */
    double sum = 0;
    size_t pairs = 0;
    for (size_t i = 0; i < in->n_keywords; i++)
        for (size_t j = i + 1; j < in->n_keywords; j++) {
            if (keyword[i] == UINT32_MAX || keyword[j] == UINT32_MAX) continue;
            const uint64_t *a = p->bits + (p->slot[keyword[i]] - 1) * p->width;
            const uint64_t *b = p->bits + (p->slot[keyword[j]] - 1) * p->width;
            sum += npmi(n_common(a, b, p->width), n_common(a, a, p->width),
                        n_common(b, b, p->width), in->counts->n_rows);
            pairs++;
        }
    return pairs > 0 ? sum / (double)pairs : (double)NAN;
}

gm_status gm_coherence_find(gm_coherence *out, double *of_class, const gm_coherence_input *in,
                            gm_error *err)
{
    gm_status status = GM_OK;
    presence p = {0};
    size_t known = 0, present = 0;
    double sum = 0;
    *out = (gm_coherence){(double)NAN, (double)NAN};
    GM_TRY(find_presence(&p, in, err));
    for (size_t c = 0; c < in->n_classes; c++) {
        of_class[c] = coherence_of(&p, in, c);
        if (isnan(of_class[c])) continue;
        sum += of_class[c], known++;
    }
    for (size_t i = 0; i < in->n_classes * in->n_keywords; i++)
        present += in->keyword[i] != UINT32_MAX;
    if (known > 0) out->mean = sum / (double)known;
    if (present > 0) out->diversity = (double)p.n_slots / (double)present;
out:
    gm_free(p.slot);
    gm_free(p.bits);
    return status;
}

/* coherence.c - documents of each keyword as a list, and what pairs have in common. */
#include "text/coherence.h"

#include <math.h>

/* The documents that hold each distinct keyword. */
typedef struct presence {
    uint32_t *slot;     /* (n_words) its number + 1, 0: no keyword */
    uint64_t *first;    /* (n_slots+1) */
    uint32_t *document; /* (first[n_slots]) */
    bool *in;           /* (N) of one keyword; false in between */
    size_t n_slots;
} presence;

static gm_status find_presence(presence *p, const gm_coherence_input *in, gm_error *err)
{
    const gm_bag *counts = in->counts;
    p->slot = gm_alloc(in->n_words, sizeof *p->slot);
    if (p->slot == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu words", in->n_words);
    for (size_t i = 0; i < in->n_classes * in->n_keywords; i++)
        if (in->keyword[i] != UINT32_MAX && p->slot[in->keyword[i]] == 0)
            p->slot[in->keyword[i]] = (uint32_t)++p->n_slots;
    p->first = gm_alloc(p->n_slots + 2, sizeof *p->first);
    p->in = gm_alloc(counts->n_rows, sizeof *p->in);
    if (!p->first || !p->in) return gm_fail(err, GM_EMEM, "no memory for %zu keywords", p->n_slots);
    uint64_t *end = p->first + 1; /* end[s] runs from where keyword s begins to its end */
    for (size_t e = 0; e < counts->n_entries; e++) {
        const uint32_t s = p->slot[counts->word[e]];
        if (s > 0) end[s]++;
    }
    for (size_t s = 1; s <= p->n_slots; s++) end[s] += end[s - 1];
    p->document = gm_alloc(end[p->n_slots], sizeof *p->document);
    if (p->document == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu keywords", p->n_slots);
    for (size_t d = 0; d < counts->n_rows; d++)
        for (uint64_t e = counts->indptr[d]; e < counts->indptr[d + 1]; e++) {
            const uint32_t s = p->slot[counts->word[e]];
            if (s > 0) p->document[end[s - 1]++] = (uint32_t)d;
        }
    return GM_OK;
}

/* How many documents hold a keyword; how many of them p->in has. */
static size_t n_documents(const presence *p, uint32_t s)
{
    return (size_t)(p->first[s + 1] - p->first[s]);
}

static size_t n_common(const presence *p, uint32_t s)
{
    size_t n = 0;
    for (uint64_t i = p->first[s]; i < p->first[s + 1]; i++) n += p->in[p->document[i]];
    return n;
}

static void mark(const presence *p, uint32_t s, bool as)
{
    for (uint64_t i = p->first[s]; i < p->first[s + 1]; i++) p->in[p->document[i]] = as;
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
    for (size_t i = 0; i < in->n_keywords; i++) {
        if (keyword[i] == UINT32_MAX) continue;
        const uint32_t a = p->slot[keyword[i]] - 1;
        mark(p, a, true);
        for (size_t j = i + 1; j < in->n_keywords; j++) {
            if (keyword[j] == UINT32_MAX) continue;
            const uint32_t b = p->slot[keyword[j]] - 1;
            sum += npmi(n_common(p, b), n_documents(p, a), n_documents(p, b), in->counts->n_rows);
            pairs++;
        }
        mark(p, a, false);
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
    gm_free(p.first);
    gm_free(p.document);
    gm_free(p.in);
    return status;
}

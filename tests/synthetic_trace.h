/* synthetic_trace.h - a trace whose truth is known: documents of topics, each topic with
 * experts of its own in every layer and words of its own.
 */
#ifndef GM_SYNTHETIC_TRACE_H
#define GM_SYNTHETIC_TRACE_H

#include "base/rng.h"
#include "base/sha256.h"
#include "formats/trace.h"
#include "tests/check.h"

enum {
    SYN_LAYERS = 4,
    SYN_EXPERTS = 16,
    SYN_CHOSEN = 2,
    SYN_DIM = SYN_LAYERS * SYN_EXPERTS,
    SYN_TOKENS = 200,
    SYN_OWN = 2 /* experts a layer that a topic prefers: topic and topic + 5 */
};

typedef struct synthetic {
    size_t n;                    /* documents */
    gm_trace_document *document; /* (n) */
    uint32_t *counts;            /* (n, SYN_DIM) */
    char (*id)[16];
    char (*subset)[16];
    char (*text)[512];
} synthetic;

static inline bool synthetic_is_own(size_t topic, size_t expert)
{
    return expert == topic || expert == (topic + 5) % SYN_EXPERTS;
}

/* K distinct experts for one token: own ones are 8 times as likely. */
static inline void synthetic_count_token(uint32_t *counts, size_t topic, gm_rng *rng)
{
    size_t taken = SYN_EXPERTS;
    for (int k = 0; k < SYN_CHOSEN; k++) {
        size_t e;
        do {
            e = (size_t)gm_rng_below(rng, SYN_EXPERTS);
        } while (e == taken || (!synthetic_is_own(topic, e) && gm_rng_below(rng, 8) != 0));
        counts[e]++;
        taken = e;
    }
}

static inline void synthetic_fill(synthetic *s, size_t i, size_t topic)
{
    gm_rng rng = gm_rng_make(7, 1000 + i);
    gm_trace_document *d = &s->document[i];
    int at = 0;
    for (int t = 0; t < SYN_TOKENS; t++)
        for (size_t l = 0; l < SYN_LAYERS; l++)
            synthetic_count_token(s->counts + i * SYN_DIM + l * SYN_EXPERTS, topic, &rng);
    for (int w = 0; w < 24; w++)
        at += snprintf(s->text[i] + at, sizeof s->text[i] - (size_t)at, "%s%c%c ",
                       w % 2 ? "common" : "topic", w % 2 ? 'x' : (int)('a' + topic),
                       (int)('a' + gm_rng_below(&rng, 8)));
    snprintf(s->id[i], sizeof s->id[i], "doc:%zu", i);
    snprintf(s->subset[i], sizeof s->subset[i], "subset%zu", topic);
    gm_sha256_of(s->text[i], (size_t)at, d->sha);
    d->sha[31] = (uint8_t)i; /* equal texts stay distinct documents */
    d->id = s->id[i];
    d->subset = s->subset[i];
    d->n_rows = d->n_tokens = SYN_TOKENS;
    d->text = s->text[i];
    d->n_text = (size_t)at;
}

/* n documents, document i of topic i mod n_topics. */
static inline synthetic synthetic_make(size_t n, size_t n_topics)
{
    synthetic s = {.n = n};
    s.document = gm_alloc(n, sizeof *s.document);
    s.counts = gm_alloc2(n, SYN_DIM, sizeof *s.counts);
    s.id = gm_alloc(n, sizeof *s.id);
    s.subset = gm_alloc(n, sizeof *s.subset);
    s.text = gm_alloc(n, sizeof *s.text);
    for (size_t i = 0; i < n; i++) synthetic_fill(&s, i, i % n_topics);
    return s;
}

static inline void synthetic_clear(synthetic *s)
{
    gm_free(s->document);
    gm_free(s->counts);
    gm_free(s->id);
    gm_free(s->subset);
    gm_free(s->text);
}

/* Document i gets the counts of document j. */
static inline void synthetic_copy_counts(synthetic *s, size_t i, size_t j)
{
    memcpy(s->counts + i * SYN_DIM, s->counts + j * SYN_DIM, SYN_DIM * sizeof *s->counts);
}

/* Document i has no token that counts. */
static inline void synthetic_empty(synthetic *s, size_t i)
{
    memset(s->counts + i * SYN_DIM, 0, SYN_DIM * sizeof *s->counts);
    s->document[i].bad = s->document[i].n_tokens;
}

/* Write the documents order[0..n) (NULL: as they are) as the trace `path`. */
static inline void synthetic_write(const synthetic *s, const size_t *order, bool text,
                                   const char *path)
{
    static const int layers[SYN_LAYERS] = {1, 2, 3, 4};
    const gm_trace_info info = {.n_layers = SYN_LAYERS,
                                .n_experts = SYN_EXPERTS,
                                .n_chosen = SYN_CHOSEN,
                                .layer_of_moe = layers,
                                .level = GM_RECORD_COUNTS,
                                .has_text = text,
                                .model = "synthetic",
                                .architecture = "none",
                                .family = "none",
                                .model_digest = "",
                                .tokenizer_digest = "",
                                .numerics = "f32",
                                .kernels = "none",
                                .device = "cpu",
                                .invariance = "A",
                                .scoring = "softmax",
                                .routed_scale = 1,
                                .command = "test",
                                .options = "{}",
                                .fingerprint = "",
                                .provenance = "{}",
                                .steering = ""};
    gm_error err = {0};
    gm_trace_document *document = gm_alloc(s->n, sizeof *document);
    uint32_t *counts = gm_alloc2(s->n, SYN_DIM, sizeof *counts);
    for (size_t i = 0; i < s->n; i++) {
        size_t from = order ? order[i] : i;
        document[i] = s->document[from];
        document[i].n_rows = 0;
        if (!text) document[i].text = NULL;
        memcpy(counts + i * SYN_DIM, s->counts + from * SYN_DIM, SYN_DIM * sizeof *counts);
    }
    const gm_trace_block block = {.n_documents = s->n, .document = document, .counts = counts};
    CHECK_OK(gm_trace_write(path, &info, &block, NULL, 0, true, &err), err);
    gm_free(document);
    gm_free(counts);
}

#endif

/* trace_sample.h - a small synthetic block for the tests of the trace: every number a
 * function of its place, every self-check satisfied. */
#ifndef GM_TRACE_SAMPLE_H
#define GM_TRACE_SAMPLE_H

#include "formats/trace.h"

#include <math.h>
#include <string.h>

enum { SAMPLE_L = 3, SAMPLE_K = 2, SAMPLE_DOCUMENTS = 5, SAMPLE_ROWS = 40, SAMPLE_MAX_E = 300 };
enum { SAMPLE_SPELT_BYTES = 4 * SAMPLE_ROWS };

static const int SAMPLE_LAYERS[SAMPLE_L] = {1, 2, 4};
static const char *const SAMPLE_REASONS[] = {"not_json", "too_short"};

typedef struct sample {
    gm_trace_info info;
    gm_trace_block block;
    gm_trace_document document[SAMPLE_DOCUMENTS];
    uint32_t counts[SAMPLE_DOCUMENTS * SAMPLE_L * SAMPLE_MAX_E];
    uint16_t expert[SAMPLE_ROWS * SAMPLE_L * SAMPLE_K];
    float gate[SAMPLE_ROWS * SAMPLE_L * SAMPLE_K];
    float mass[SAMPLE_ROWS * SAMPLE_L], margin[SAMPLE_ROWS * SAMPLE_L];
    uint32_t token_id[SAMPLE_ROWS], pos[SAMPLE_ROWS];
    uint8_t phase[SAMPLE_ROWS];
    float nll[SAMPLE_ROWS];
    uint64_t logit_row[2];
    float logits[2 * SAMPLE_L * SAMPLE_MAX_E];
    uint64_t skipped[2];
    uint32_t spelt_id[SAMPLE_ROWS];
    uint64_t spelt_offset[SAMPLE_ROWS + 1];
    char spelt_bytes[SAMPLE_SPELT_BYTES];
    float norm[SAMPLE_ROWS * SAMPLE_L * SAMPLE_K];
    gm_trace_spelling spelling;
} sample;

/* Block `number` of a run with E experts; document i has 4, 6, 8, 10, 12 rows, the
 * first of each a template token. */
static inline void sample_fill(sample *s, gm_record_level level, int E, uint64_t number)
{
    static const char *const id[] = {"a.jsonl:1", "a.jsonl:2", "a.jsonl:5", "b.txt", "c.txt"};
    static const char *const subset[] = {"Books", "", "Code", "Books", "Code"};
    static const char text[] = "some text, \xd1\x82\xd0\xb5\xd0\xba\xd1\x81\xd1\x82";
    *s = (sample){0};
    size_t row = 0;
    for (int d = 0; d < SAMPLE_DOCUMENTS; d++) {
        uint32_t n = 4 + 2 * (uint32_t)d;
        s->document[d] = (gm_trace_document){.id = id[d],
                                             .subset = subset[d],
                                             .n_rows = n,
                                             .n_tokens = n - 1,
                                             .truncated = d == 2,
                                             .text = text,
                                             .n_text = sizeof text - 1};
        for (int i = 0; i < 32; i++)
            s->document[d].sha[i] = (uint8_t)(37 * d + 5 * i + (int)number);
        for (uint32_t p = 0; p < n; p++, row++) {
            s->token_id[row] = 100 * (uint32_t)d + p;
            s->pos[row] = p;
            s->phase[row] = p == 0 ? GM_TRACE_TEMPLATE : GM_TRACE_PROMPT;
            s->nll[row] = p == 0 ? NAN : 0.5f * (float)p;
            for (int l = 0; l < SAMPLE_L; l++) {
                size_t at = (row * SAMPLE_L + (size_t)l);
                int first = (int)(7 * row + 3 * (size_t)l + number) % E;
                int chosen[SAMPLE_K] = {first, (first + 1 + l) % E};
                s->mass[at] = 0.75f;
                s->margin[at] = 0.125f * (float)(row % 8);
                for (int k = 0; k < SAMPLE_K; k++) {
                    s->expert[at * SAMPLE_K + (size_t)k] = (uint16_t)chosen[k];
                    s->gate[at * SAMPLE_K + (size_t)k] = 0.5f / (float)(k + 1);
                    if (p > 0) s->counts[(d * SAMPLE_L + l) * E + chosen[k]]++;
                }
            }
        }
    }
    s->logit_row[0] = 3;
    s->logit_row[1] = 17;
    for (int i = 0; i < 2 * SAMPLE_L * E; i++) s->logits[i] = (float)i / 16;
    s->skipped[1] = 3;
    s->info = (gm_trace_info){.n_layers = SAMPLE_L,
                              .n_experts = E,
                              .n_chosen = SAMPLE_K,
                              .layer_of_moe = SAMPLE_LAYERS,
                              .level = level,
                              .has_text = true,
                              .has_nll = level > GM_RECORD_COUNTS,
                              .logits_rate = 0.05,
                              .model = "tiny",
                              .config_digest = "c0de",
                              .fingerprint = "f00d",
                              .options = "{}"};
    s->block = (gm_trace_block){.n_documents = SAMPLE_DOCUMENTS,
                                .n_rows = SAMPLE_ROWS,
                                .document = s->document,
                                .counts = s->counts,
                                .expert = s->expert,
                                .gate = s->gate,
                                .mass = s->mass,
                                .margin = s->margin,
                                .token_id = s->token_id,
                                .pos = s->pos,
                                .phase = s->phase,
                                .nll = s->nll,
                                .n_logit_rows = level == GM_RECORD_LOGITS ? 2 : 0,
                                .logit_row = s->logit_row,
                                .logits = s->logits,
                                .skipped = s->skipped,
                                .number = number,
                                .n_read = SAMPLE_DOCUMENTS + 3};
}

/* Norms of what experts give, as no half has them. */
static inline void sample_norms(sample *s)
{
    for (size_t i = 0; i < SAMPLE_ROWS * SAMPLE_L * SAMPLE_K; i++)
        s->norm[i] = 1e5f / (float)(3 + 7 * i % 100);
    s->info.has_norms = true;
    s->block.norm = s->norm;
}

/* Spell its tokens, template tokens aside: in turn " a1", a letter cut in two, "2". */
static inline void sample_spell(sample *s)
{
    static const char *const piece[] = {" a1", "\xd1", "\x82", "2"};
    gm_trace_spelling *to = &s->spelling;
    *to =
        (gm_trace_spelling){.id = s->spelt_id, .offset = s->spelt_offset, .bytes = s->spelt_bytes};
    for (size_t t = 0; t < SAMPLE_ROWS; t++) {
        if (s->phase[t] == GM_TRACE_TEMPLATE) continue;
        const char *bytes = piece[s->pos[t] % 4];
        const size_t n = strlen(bytes);
        memcpy(to->bytes + to->offset[to->n], bytes, n);
        to->id[to->n] = s->token_id[t];
        to->offset[to->n + 1] = to->offset[to->n] + n;
        to->n++;
    }
    s->info.has_spelling = true;
    s->block.spelling = to;
}

#endif

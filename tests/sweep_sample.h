/* sweep_sample.h - a small valid sweep in memory, for tests of what reads one. */
#ifndef GM_TESTS_SWEEP_SAMPLE_H
#define GM_TESTS_SWEEP_SAMPLE_H

#include "formats/sweep.h"

enum { SM = 2, SR = 3, SQ = 2, SJ = 2, SL = 2, SE = 3, SC = 1, SK = GM_SWEEP_KINDS };

typedef struct made_sweep {
    gm_sweep sweep;
    /* numbers first, so that a fuzzer can overwrite them in one piece */
    int32_t cluster[SM], draw[SM];
    uint8_t arm[SM], filter[SM], half[SM];
    double dose[SM], score[5][SM], cost[8][SM * SK];
    float max_bias[SM], rms[SM], usage[SM * SL * SE];
    uint32_t tokens[SM * SK], text[4][SR];
    uint8_t end[SR];
    float rep4[SR], distinct2[SR], log_p[SR * SJ];
    uint64_t text_offset[SR + 1], prompt_offset[SQ + 1];
    int32_t prompt_class[SQ], id[SC], class_id[SC];
    uint8_t prompt_half[SQ], topic_filter[SC];
    double topic_dose[SC];
    const char *name[2];
} made_sweep;

static inline void made_sweep_init(made_sweep *m)
{
    *m = (made_sweep){.cluster = {-1, 4},
                      .arm = {0, 1},
                      .half = {0, 1},
                      .dose = {0, 1.5},
                      .text = {{0, 1, 1}, {0, 1, 1}, {0, 0, 1}, {5, 6, 7}},
                      .end = {0, 1, 2},
                      .log_p = {-0.1f, -2, -3, -0.2f, -1, -1},
                      .text_offset = {0, 2, 2, 5},
                      .prompt_offset = {0, 3, 6},
                      .prompt_class = {-1, 1},
                      .prompt_half = {0, 1},
                      .id = {4},
                      .class_id = {1},
                      .topic_dose = {1.5},
                      .name = {"soup", "stars"}};
    for (int i = 0; i < SM * SL * SE; i++) m->usage[i] = (float)i;
    for (int i = 0; i < 5 * SM; i++) m->score[i / SM][i % SM] = 0.5 + i;
    for (int i = 0; i < 8 * SM * SK; i++) m->cost[i / (SM * SK)][i % (SM * SK)] = 100.5 + i;
    for (int i = 0; i < SM * SK; i++) m->tokens[i] = 200 + (uint32_t)i;
    for (int i = 0; i < SM; i++) m->draw[i] = 7 + i, m->max_bias[i] = 3, m->rms[i] = 2;
    for (int i = 0; i < SR; i++) m->rep4[i] = 0.25f, m->distinct2[i] = 0.75f;
    m->sweep = (gm_sweep){.n_cells = SM,
                          .n_texts = SR,
                          .n_prompts = SQ,
                          .n_classes = SJ,
                          .n_arms = 2,
                          .n_filters = 1,
                          .n_clusters = SC,
                          .n_layers = SL,
                          .n_experts = SE,
                          .cluster = m->cluster,
                          .draw = m->draw,
                          .arm = m->arm,
                          .filter = m->filter,
                          .half = m->half,
                          .dose = m->dose,
                          .max_bias = m->max_bias,
                          .rms_bias = m->rms,
                          .usage = m->usage,
                          .log_odds = m->score[0],
                          .share = m->score[1],
                          .shift = m->score[2],
                          .shift_lo = m->score[3],
                          .shift_hi = m->score[4],
                          .cost_tokens = m->tokens,
                          .kl_mean = m->cost[0],
                          .kl_median = m->cost[1],
                          .kl_p99 = m->cost[2],
                          .same_top1 = m->cost[3],
                          .nll_base = m->cost[4],
                          .nll = m->cost[5],
                          .jaccard = m->cost[6],
                          .mass = m->cost[7],
                          .text_cell = m->text[0],
                          .text_prompt = m->text[1],
                          .text_seed = m->text[2],
                          .text_tokens = m->text[3],
                          .text_end = m->end,
                          .rep4 = m->rep4,
                          .distinct2 = m->distinct2,
                          .log_p = m->log_p,
                          .text_offset = m->text_offset,
                          .text_bytes = (const uint8_t *)"abcde",
                          .prompt_class = m->prompt_class,
                          .prompt_half = m->prompt_half,
                          .prompt_offset = m->prompt_offset,
                          .prompt_bytes = (const uint8_t *)"onetwo",
                          .class_name = m->name,
                          .arm_name = m->name,
                          .filter_name = m->name,
                          .cluster_id = m->id,
                          .cluster_class = m->class_id,
                          .cluster_dose = m->topic_dose,
                          .cluster_filter = m->topic_filter,
                          .config = (const uint8_t *)"{}",
                          .n_config = 2,
                          .fingerprint = "f",
                          .model_digest = "m",
                          .config_digest = "c0de"};
}

#endif

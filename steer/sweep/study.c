/* study.c - see study.h. */
#include "steer/sweep/study.h"

#include <math.h>
#include <string.h>

#include "base/sha256.h"
#include "formats/sweep.h"
#include "steer/sweep/cells.h"
#include "steer/sweep/topics.h"

static void hash_text(gm_sha256 *hash, const char *text)
{
    gm_sha256_update(hash, text, strlen(text) + 1);
}

/* Of everything that a cell's contents follow from. */
static void make_fingerprint(gm_study *s, const char *config)
{
    gm_sha256 hash;
    uint8_t digest[32];
    const uint32_t schema = GM_SWEEP_SCHEMA;
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, &schema, sizeof schema);
    hash_text(&hash, config);
    hash_text(&hash, s->stage->info->digest);
    hash_text(&hash, s->stage->info->numerics == GM_NUMERICS_BF16 ? "bf16" : "f32");
    hash_text(&hash, s->stage->atlas->digest);
    gm_sha256_update(&hash, s->judge.digest, sizeof s->judge.digest);
    for (size_t i = 0; i < s->prompts.n; i++) {
        gm_sha256_update(&hash, &s->prompt_half[i], 1);
        gm_sha256_update(&hash, s->prompts.at[i].text, s->prompts.at[i].n + 1);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, s->fingerprint);
}

gm_status gm_study_prepare(gm_study *s, const gm_protocol *protocol, const gm_stage *stage,
                           const char *config, gm_error *err)
{
    gm_status status = GM_OK;
    *s = (gm_study){.protocol = protocol, .stage = stage};
    GM_TRY(gm_judge_create(&s->judge, &protocol->corpus, stage->atlas, err));
    GM_TRY(gm_topics_choose(s, err));
    GM_TRY(gm_topics_read_prompts(s, err));
    GM_TRY(gm_topics_read_passages(s, err));
    GM_TRY(gm_cells_make(s, err));
    gm_cells_resolve(s);
    GM_TRY(gm_cells_try(s, err));
    make_fingerprint(s, config);
out:
    if (status != GM_OK) gm_study_clear(s);
    return status;
}

void gm_study_clear(gm_study *s)
{
    for (size_t i = 0; s->cell && i < s->n_cells; i++) gm_cell_clear(&s->cell[i]);
    for (size_t i = 0; s->passage && i < s->n_passages; i++) gm_ids_clear(&s->passage[i].ids);
    gm_free(s->cell);
    gm_free(s->passage);
    gm_free(s->topic);
    gm_prompts_clear(&s->prompts);
    gm_judge_clear(&s->judge);
    gm_arena_clear(&s->arena);
    *s = (gm_study){0};
}

bool gm_is_judged(const gm_cell *c, int topic, gm_arm arm)
{
    return c->topic == topic && c->half == 1 && c->arm == arm && c->done;
}

int gm_by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double gm_study_tokens(const gm_study *s, const gm_cell *c)
{
    enum { PROMPT = 10, LINE = 20 };   /* tokens, about */
    const double shared = 1 + 1.0 / 8; /* the unsteered rows of a group of 8 */
    double texts = 0, fixed = 0;
    if (c->absent) return 0;
    for (size_t i = 0; i < s->prompts.n; i++)
        texts += s->prompt_half[i] == c->half && gm_study_counts(s, c->topic, i);
    double each = (double)s->stage->options->max_tokens + PROMPT;
    if (c->arm == GM_ARM_PROMPT) each += LINE;
    for (int kind = 0; kind < GM_N_KINDS && c->topic >= 0 && c->arm != GM_ARM_PROMPT; kind++)
        fixed += shared * GM_PASSAGE_TOKENS *
                 (double)gm_topics_n_passages(s->protocol, (gm_passage_kind)kind);
    return texts * (double)s->protocol->seeds * each + fixed;
}

/* study.c - see study.h. */
#include "steer/sweep/study.h"

#include "base/sha256.h"
#include "formats/sweep.h"
#include "steer/sweep/cells.h"
#include "steer/sweep/topics_given.h"
#include "steer/sweep/topics.h"

#include <math.h>
#include <string.h>

static void hash_text(gm_sha256 *hash, const char *text)
{
    gm_sha256_update(hash, text, strlen(text) + 1);
}

static void hash_plan(gm_sha256 *hash, const gm_topic *t)
{
    const gm_plan *p = t->given;
    const int32_t words[] = {
        p->n_layers,   p->n_experts, (int32_t)p->mode,          p->mass_matched, p->first_layer,
        p->last_layer, p->phases,    (int32_t)p->schedule.kind, p->schedule.n};
    gm_sha256_update(hash, words, sizeof words);
    gm_sha256_update(hash, p->bias, (size_t)p->n_layers * (size_t)p->n_experts * sizeof *p->bias);
    hash_text(hash, t->domain);
}

/* What the model's folder says beside its weights: tokens, template, and how they are drawn. */
static void hash_folder(gm_sha256 *hash, const gm_setup *setup)
{
    const gm_sampling *how = &setup->sampling;
    const double numbers[] = {how->temperature, how->top_k, how->top_p, how->repetition_penalty};
    hash_text(hash, gm_tokenizer_digest(setup->tokenizer));
    hash_text(hash, setup->chat.name);
    gm_sha256_update(hash, numbers, sizeof numbers);
    for (size_t i = 0; i < setup->stop.n; i++)
        gm_sha256_update(hash, &setup->stop.at[i], sizeof setup->stop.at[i]);
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
    if (gm_protocol_chooses(s->protocol))
        hash_text(&hash, "each half has every other text of a class");
    hash_text(&hash, s->setup->info->digest);
    hash_text(&hash, s->setup->info->config_digest);
    hash_text(&hash, gm_numerics_name(s->setup->info->numerics));
    hash_text(&hash, s->setup->info->kernels); /* they name the device too */
    hash_folder(&hash, s->setup);
    hash_text(&hash, s->setup->atlas->digest);
    gm_sha256_update(&hash, s->judge.digest, sizeof s->judge.digest);
    for (size_t i = 0; i < s->n_topics; i++)
        if (s->topic[i].given) hash_plan(&hash, &s->topic[i]);
    for (size_t i = 0; i < s->prompts.n; i++) {
        gm_sha256_update(&hash, &s->prompt_half[i], 1);
        gm_sha256_update(&hash, s->prompts.at[i].text, s->prompts.at[i].n + 1);
    }
    gm_sha256_final(&hash, digest);
    gm_sha256_hex(digest, s->fingerprint);
}

gm_status gm_study_prepare(gm_study *s, const gm_protocol *protocol, const gm_setup *setup,
                           const char *config, gm_error *err)
{
    gm_status status = GM_OK;
    *s = (gm_study){.protocol = protocol, .setup = setup};
    GM_TRY(gm_judge_create(&s->judge, &protocol->corpus, setup->atlas, err));
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
    gm_given_clear(s);
    gm_prompts_clear(&s->prompts);
    gm_judge_clear(&s->judge);
    gm_arena_clear(&s->arena);
    *s = (gm_study){0};
}

const char *gm_topic_show(char text[GM_TOPIC_NAME_BYTES], const gm_topic *t)
{
    const char *name = t->given ? t->name : t->subset;
    if (name == NULL) {
        snprintf(text, GM_TOPIC_NAME_BYTES, "cluster %d", t->cluster);
        return text;
    }
    size_t n = (size_t)snprintf(text, GM_TOPIC_NAME_BYTES, t->given ? "plan " : "subset ");
    gm_text_escape(text + n, GM_TOPIC_NAME_BYTES - n, name, strlen(name));
    return text;
}

const char *gm_topic_filter(const gm_study *s, const gm_topic *t, size_t filter)
{
    return t->given ? "-" : s->protocol->filter[filter];
}

bool gm_is_judged(const gm_cell *c, int topic, gm_arm arm)
{
    return c->topic == topic && c->half == 1 && c->arm == arm && c->done;
}

bool gm_is_chosen(const gm_study *s, const gm_cell *c, int topic, gm_arm arm)
{
    return gm_is_judged(c, topic, arm) && c->dose == s->topic[topic].dose;
}

/* Tokens of the fixed texts of one kind for a topic and a half. */
static double fixed_tokens(const gm_study *s, int topic, gm_passage_kind kind, int half)
{
    enum { MAX = 64 }; /* looked at; beyond, their mean stands for the others */
    size_t at[MAX], wanted = gm_topics_n_passages(s->protocol, kind);
    size_t n = gm_topics_passages(s, topic, kind, half, at, MAX), sum = 0;
    for (size_t i = 0; i < n; i++) sum += s->passage[at[i]].ids.n;
    return n == MAX ? (double)sum / MAX * (double)wanted : (double)sum;
}

gm_cell_work gm_study_work(const gm_study *s, const gm_cell *c)
{
    gm_cell_work w = {0};
    if (c->absent) return w;
    for (size_t i = 0; i < s->prompts.n; i++) {
        if (s->prompt_half[i] != c->half || !gm_study_counts(s, c->topic, i)) continue;
        w.texts++;
        w.prompts += s->prompt_tokens[i];
        if (c->arm == GM_ARM_PROMPT) w.prompts += (double)s->line_tokens;
    }
    w.texts *= (double)s->protocol->seeds;
    w.prompts *= (double)s->protocol->seeds;
    w.generated = w.texts * (double)s->setup->options->max_tokens;
    for (int kind = 0; kind < GM_N_KINDS && c->topic >= 0 && c->arm != GM_ARM_PROMPT; kind++)
        w.fixed += fixed_tokens(s, c->topic, (gm_passage_kind)kind, c->half);
    return w;
}

void gm_cell_work_add(gm_cell_work *sum, gm_cell_work w)
{
    sum->texts += w.texts;
    sum->generated += w.generated;
    sum->prompts += w.prompts;
    sum->fixed += w.fixed;
}

double gm_study_tokens(const gm_study *s, const gm_cell *c)
{
    gm_cell_work w = gm_study_work(s, c);
    return w.generated + w.prompts + w.fixed * (1 + 1.0 / 8);
}

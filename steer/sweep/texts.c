/* texts.c - continuing the prompts of cells, and judging what came: see measure.h. */
#include "steer/sweep/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct batch {
    const gm_study *study;
    gm_cell *const *cell; /* (n) */
    size_t n;
    gm_continuation *list; /* (n_list), the texts of one cell after those of another */
    size_t *cell_of;       /* (n_list) index into cell */
    size_t n_list;
    uint64_t *count;       /* (n,L,E) choices of generated tokens */
    gm_edit *edit;         /* (n) */
    gm_schedule *schedule; /* (n) */
} batch;

static void batch_clear(batch *b)
{
    for (size_t i = 0; b->list && i < b->n_list; i++) gm_continuation_clear(&b->list[i]);
    gm_free(b->list);
    gm_free(b->cell_of);
    gm_free(b->count);
    gm_free(b->edit);
    gm_free(b->schedule);
}

static size_t count_texts(const gm_study *s, const gm_cell *c)
{
    size_t n = 0;
    for (size_t p = 0; p < s->prompts.n; p++)
        n += s->prompt_half[p] == c->half && gm_study_counts(s, c->topic, p);
    return n * (size_t)s->protocol->seeds;
}

/* Prepare continuation i of a cell: the given prompt for the given time. */
static gm_status prepare(batch *b, size_t i, const gm_cell *c, size_t prompt, size_t seed,
                         gm_error *err)
{
    gm_status status = GM_OK;
    const gm_study *s = b->study;
    gm_text text = {0};
    gm_prompt whole = s->prompts.at[prompt];
    if (c->arm == GM_ARM_PROMPT) {
        GM_TRY(gm_text_add(&text, s->topic[c->topic].line, err));
        GM_TRY(gm_text_append(&text, whole.text, whole.n, err));
        whole = (gm_prompt){text.at, text.n};
    }
    GM_TRY(gm_setup_prepare(s->setup, &b->list[i], &whole, (uint64_t)seed << 32 | prompt, err));
    bool steered = c->topic >= 0 && c->arm != GM_ARM_PROMPT;
    b->list[i].edit = steered ? (int)b->cell_of[i] : -1;
out:
    gm_text_clear(&text);
    return status;
}

static gm_status batch_fill(batch *b, const gm_plan *plan, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_study *s = b->study;
    size_t LE = (size_t)s->setup->info->n_moe_layers * (size_t)s->setup->info->n_experts, i = 0;
    for (size_t k = 0; k < b->n; k++) b->n_list += count_texts(s, b->cell[k]);
    b->list = gm_alloc(b->n_list, sizeof *b->list);
    b->cell_of = gm_alloc(b->n_list, sizeof *b->cell_of);
    b->count = gm_alloc2(b->n, LE, sizeof *b->count);
    b->edit = gm_alloc(b->n, sizeof *b->edit);
    b->schedule = gm_alloc(b->n, sizeof *b->schedule);
    if (!b->list || !b->cell_of || !b->count || !b->edit || !b->schedule)
        GM_FAIL(GM_EMEM, "no memory for %zu texts", b->n_list);
    for (size_t k = 0; k < b->n; k++) {
        gm_cell *c = b->cell[k];
        b->edit[k] = gm_setup_edit(&plan[k]);
        b->schedule[k] = plan[k].schedule;
        c->n_texts = count_texts(s, c);
        c->text = gm_arena_alloc(&c->arena, c->n_texts, sizeof *c->text);
        if (c->text == NULL) GM_FAIL(GM_EMEM, "no memory for %zu texts", c->n_texts);
        size_t first = i;
        for (size_t seed = 0; seed < (size_t)s->protocol->seeds; seed++) {
            for (size_t p = 0; p < s->prompts.n; p++) {
                if (s->prompt_half[p] != c->half || !gm_study_counts(s, c->topic, p)) continue;
                b->cell_of[i] = k;
                GM_TRY(prepare(b, i, c, p, seed, err));
                c->text[i++ - first] = (gm_written){.prompt = (uint32_t)p, .seed = (uint32_t)seed};
            }
        }
    }
out:
    return status;
}

/* Count the choices of generated rows; a gm_on_rows. */
static gm_status count_choices(void *context, const gm_segment *segments,
                               gm_continuation *const *owner, size_t n_segments,
                               const gm_record *record, size_t n_rows, gm_error *err)
{
    batch *b = context;
    size_t L = (size_t)b->study->setup->info->n_moe_layers, t = 0;
    size_t E = (size_t)b->study->setup->info->n_experts;
    size_t K = (size_t)b->study->setup->info->n_chosen;
    (void)err;
    for (size_t s = 0; s < n_segments; s++) {
        uint64_t *count = b->count + b->cell_of[owner[s] - b->list] * L * E; /* (L,E) */
        for (size_t j = 0; j < segments[s].n; j++, t++) {
            if (segments[s].phase[j] != GM_PHASE_GENERATED || record->bad[t]) continue;
            for (size_t l = 0; l < L; l++)
                for (size_t k = 0; k < K; k++)
                    count[l * E + record->expert[(l * n_rows + t) * K + k]]++;
        }
    }
    return GM_OK;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

gm_status gm_repeated_share(double *share, const uint32_t *ids, size_t n, size_t gram,
                            gm_error *err)
{
    size_t n_grams = n >= gram ? n - gram + 1 : 0, distinct = 0;
    *share = (double)NAN;
    if (n_grams == 0) return GM_OK;
    uint64_t *key = gm_alloc(n_grams, sizeof *key); /* hashes: 64 bits do not meet by chance */
    if (key == NULL) return gm_fail(err, GM_EMEM, "no memory to count n-grams");
    for (size_t i = 0; i < n_grams; i++) {
        key[i] = 0;
        for (size_t k = 0; k < gram; k++)
            key[i] = (key[i] ^ (ids[i + k] + 1)) * 0x9E3779B97F4A7C15u ^ key[i] >> 29;
    }
    qsort(key, n_grams, sizeof *key, by_value);
    for (size_t i = 0; i < n_grams; i++) distinct += i == 0 || key[i] != key[i - 1];
    gm_free(key);
    *share = 1 - (double)distinct / (double)n_grams;
    return GM_OK;
}

/* Keep what the continuations of cell k say, and what the judge says of them. */
static gm_status keep(batch *b, size_t k, size_t first, gm_error *err)
{
    gm_status status = GM_OK;
    gm_cell *c = b->cell[k];
    const gm_judge *judge = &b->study->judge;
    const char **text = gm_alloc(c->n_texts, sizeof *text);
    size_t *n_bytes = gm_alloc(c->n_texts, sizeof *n_bytes);
    double rep4, rep2;
    c->log_p = gm_arena_alloc(&c->arena, c->n_texts * judge->n_classes, sizeof *c->log_p);
    if (!text || !n_bytes || !c->log_p) GM_FAIL(GM_EMEM, "no memory to judge the texts");
    for (size_t i = 0; i < c->n_texts; i++) {
        const gm_continuation *from = &b->list[first + i];
        gm_written *w = &c->text[i];
        w->n_tokens = (uint32_t)from->generated.n;
        w->end = (uint8_t)(from->end - 1);
        GM_TRY(gm_repeated_share(&rep4, from->generated.at, from->generated.n, 4, err));
        GM_TRY(gm_repeated_share(&rep2, from->generated.at, from->generated.n, 2, err));
        w->rep4 = (float)rep4;
        w->distinct2 = (float)(1 - rep2);
        w->text = gm_arena_text(&c->arena, from->text.at ? from->text.at : "", from->text.n);
        w->n_bytes = from->text.n;
        if (w->text == NULL) GM_FAIL(GM_EMEM, "no memory to keep the texts");
        text[i] = w->text;
        n_bytes[i] = w->n_bytes;
    }
    GM_TRY(gm_judge_texts(judge, text, n_bytes, c->n_texts, c->log_p, err));
out:
    gm_free(text);
    gm_free(n_bytes);
    return status;
}

/* Counts as shares of all choices; zeros where no token was generated. */
static gm_status keep_usage(gm_cell *c, const uint64_t *count, size_t n, gm_error *err)
{
    uint64_t total = 0;
    c->usage = gm_arena_alloc(&c->arena, n, sizeof *c->usage);
    if (c->usage == NULL) return gm_fail(err, GM_EMEM, "no memory for a cell's usage");
    for (size_t i = 0; i < n; i++) total += count[i];
    for (size_t i = 0; i < n && total > 0; i++)
        c->usage[i] = (float)((double)count[i] / (double)total);
    return GM_OK;
}

gm_status gm_measure_texts(const gm_study *s, gm_cell *const *cell, const gm_plan *plan, size_t n,
                           gm_error *err)
{
    gm_status status = GM_OK;
    batch b = {.study = s, .cell = cell, .n = n};
    size_t LE = (size_t)s->setup->info->n_moe_layers * (size_t)s->setup->info->n_experts;
    size_t first = 0;
    GM_TRY(batch_fill(&b, plan, err));
    gm_continue_options options = gm_setup_continue(s->setup, b.edit, n);
    options.schedules = b.schedule;
    options.quiet = true;
    options.on_rows = count_choices;
    options.on_rows_context = &b;
    GM_TRY(gm_continue(b.list, b.n_list, s->setup->model, s->setup->tokenizer, &options, err));
    for (size_t k = 0; k < n; k++) {
        GM_TRY(keep(&b, k, first, err));
        GM_TRY(keep_usage(cell[k], b.count + k * LE, LE, err));
        first += cell[k]->n_texts;
    }
out:
    batch_clear(&b);
    return status;
}

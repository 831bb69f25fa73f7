/* block.c - one block of a run in memory: see block.h. */
#include "probe/block.h"

#include <stdlib.h>
#include <string.h>

/* What the engine is told of a token is what the trace says of it. */
_Static_assert((int)GM_PHASE_PROMPT == (int)GM_TRACE_PROMPT &&
                   (int)GM_PHASE_GENERATED == (int)GM_TRACE_GENERATED &&
                   (int)GM_PHASE_TEMPLATE == (int)GM_TRACE_TEMPLATE,
               "a trace's phases are the engine's");

void gm_probe_skip_names(const char *name[GM_PROBE_N_SKIPS])
{
    for (int i = 1; i < GM_N_SKIPS; i++) name[i - 1] = gm_skip_name((gm_skip)i);
    name[GM_PROBE_NOT_SAMPLED] = "not_sampled";
}

const char *gm_probe_skip_option(const char *name)
{
    if (strcmp(name, gm_skip_name(GM_SKIP_TOO_SHORT)) == 0) return " (under --min-tokens)";
    if (strcmp(name, gm_skip_name(GM_SKIP_NO_TEXT)) == 0)
        return " (no string in the one field that --text-field names for all lines)";
    return "";
}

gm_status gm_probe_block_create(gm_probe_block **out, uint64_t number, gm_error *err)
{
    *out = gm_alloc(1, sizeof **out);
    if (*out == NULL) return gm_fail(err, GM_EMEM, "no memory for a block");
    (*out)->number = number;
    return GM_OK;
}

void gm_probe_block_free(gm_probe_block *block)
{
    if (block == NULL) return;
    gm_ids_clear(&block->token);
    gm_free(block->phase);
    gm_free(block->counts);
    gm_free(block->expert);
    gm_free(block->gate);
    gm_free(block->norm);
    gm_free(block->mass);
    gm_free(block->margin);
    gm_free(block->nll);
    gm_free(block->scale);
    gm_free(block->pos);
    gm_free(block->logit_row);
    gm_free(block->logits);
    gm_trace_spelling_clear(&block->spelling);
    gm_arena_clear(&block->arena);
    gm_free(block);
}

/* Room for n more phases. */
static gm_status grow_phases(gm_probe_block *block, size_t n, gm_error *err)
{
    if (block->token.n + n <= block->phase_cap) return GM_OK;
    size_t cap = 2 * (block->token.n + n);
    uint8_t *grown = gm_grow(block->phase, block->phase_cap, cap, 1);
    if (grown == NULL) return gm_fail(err, GM_EMEM, "no memory for a block of %zu tokens", cap);
    block->phase = grown;
    block->phase_cap = cap;
    return GM_OK;
}

bool gm_probe_block_fits(const gm_probe_block *block, size_t n)
{
    if (block->n_documents == 0) return true;
    return block->n_documents < GM_BLOCK_MAX_DOCUMENTS && block->token.n + n <= GM_BLOCK_MAX_TOKENS;
}

gm_status gm_probe_block_add(gm_probe_block *block, const gm_probe_document *document,
                             gm_error *err)
{
    gm_status status = GM_OK;
    size_t first = block->token.n, n = document->n;
    GM_TRY(grow_phases(block, n, err));
    for (size_t i = 0; i < n; i++) {
        bool is_template = i < document->n_before || i >= n - document->n_after;
        block->phase[first + i] = is_template ? GM_PHASE_TEMPLATE : GM_PHASE_PROMPT;
        GM_TRY(gm_ids_append(&block->token, document->token[i], err));
    }
    gm_trace_document *d = &block->document[block->n_documents];
    *d = (gm_trace_document){
        .id = gm_arena_text(&block->arena, document->id, strlen(document->id)),
        .subset = gm_arena_text(&block->arena, document->subset, strlen(document->subset)),
        .language = gm_arena_text(&block->arena, document->language, strlen(document->language)),
        .n_rows = (uint32_t)n,
        .n_tokens = (uint32_t)(n - document->n_before - document->n_after),
        .truncated = document->truncated};
    memcpy(d->sha, document->sha, sizeof d->sha);
    if (document->text) {
        d->text = gm_arena_text(&block->arena, document->text, document->n_text);
        d->n_text = document->n_text;
    }
    if (!d->id || !d->subset || !d->language || (document->text && !d->text))
        GM_FAIL(GM_EMEM, "no memory for document '%s'", document->id);
    block->begin[++block->n_documents] = first + n;
out:
    return status;
}

/* The ids of the texts, ascending, each once: id (T), *n of them. */
static void list_tokens(const gm_probe_block *block, uint32_t *id, size_t *n)
{
    size_t all = 0;
    *n = 0;
    for (size_t t = 0; t < block->token.n; t++)
        if (block->phase[t] != GM_PHASE_TEMPLATE) id[all++] = block->token.at[t];
    qsort(id, all, sizeof *id, gm_ascending_u32);
    for (size_t i = 0; i < all; i++)
        if (i == 0 || id[i] != id[i - 1]) id[(*n)++] = id[i];
}

gm_status gm_probe_block_spell(gm_probe_block *block, const gm_tokenizer *tokenizer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text bytes = {0}, piece = {0};
    gm_trace_spelling s = {.id = gm_alloc(block->token.n, sizeof *s.id),
                           .offset = gm_alloc(block->token.n + 1, sizeof *s.offset)};
    if (!s.id || !s.offset) GM_FAIL(GM_EMEM, "no memory to spell %zu tokens", block->token.n);
    list_tokens(block, s.id, &s.n);
    for (size_t i = 0; i < s.n; i++) {
        piece.n = 0;
        GM_TRY(gm_tokenizer_piece(tokenizer, s.id[i], &piece, err));
        const size_t most = GM_TRACE_SPELLING_BYTES, n = piece.n < most ? piece.n : most;
        GM_TRY(gm_text_append(&bytes, piece.at, n, err));
        s.offset[i + 1] = bytes.n;
    }
    s.bytes = bytes.at;
    bytes = (gm_text){0};
    block->spelling = s;
    s = (gm_trace_spelling){0};
out:
    gm_text_clear(&bytes);
    gm_text_clear(&piece);
    gm_trace_spelling_clear(&s);
    return status;
}

gm_trace_block gm_probe_block_view(const gm_probe_block *block)
{
    return (gm_trace_block){.n_documents = block->n_documents,
                            .n_rows = block->token.n,
                            .document = block->document,
                            .counts = block->counts,
                            .expert = block->expert,
                            .gate = block->gate,
                            .norm = block->norm,
                            .mass = block->mass,
                            .margin = block->margin,
                            .token_id = block->token.at,
                            .pos = block->pos,
                            .phase = block->phase,
                            .nll = block->nll,
                            .spelling = block->spelling.offset ? &block->spelling : NULL,
                            .n_logit_rows = block->n_logit_rows,
                            .logit_row = block->logit_row,
                            .logits = block->logits,
                            .skipped = block->skipped,
                            .number = block->number,
                            .n_read = block->n_read,
                            .more = block->more};
}

/* held_texts.c - the documents of a corpus in memory, and their groups: see held_texts.h. */
#include "probe/held_texts.h"

#include "formats/atlas.h"
#include "probe/sha_index.h"
#include "text/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gm_status no_memory(const gm_held_texts *t, gm_error *err)
{
    return gm_fail(err, GM_EMEM, "no memory for %zu documents", t->n);
}

/* Room for one more block's documents and rows. */
static gm_status make_room(gm_held_texts *t, const gm_probe_block *b, gm_error *err)
{
    const size_t rows = t->token.n + b->token.n, n = t->n + b->n_documents;
    if (rows > t->cap_rows) {
        uint8_t *phase = gm_grow(t->phase, t->cap_rows, 2 * rows, 1);
        if (phase == NULL) return no_memory(t, err);
        t->phase = phase;
        t->cap_rows = 2 * rows;
    }
    if (n <= t->cap) return GM_OK;
    size_t *begin = gm_grow(t->begin, t->cap ? t->cap + 1 : 0, 2 * n + 1, sizeof *begin);
    if (begin) t->begin = begin;
    uint8_t *sha = gm_grow(t->sha, 32 * t->cap, 64 * n, 1);
    if (sha) t->sha = sha;
    uint16_t *group = gm_grow(t->group, t->cap, 2 * n, sizeof *group);
    if (group) t->group = group;
    if (!begin || !sha || !group) return no_memory(t, err);
    t->cap = 2 * n;
    return GM_OK;
}

static gm_status add_block(gm_held_texts *t, const gm_probe_block *b, gm_vocabulary *subsets,
                           gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(make_room(t, b, err));
    memcpy(t->phase + t->token.n, b->phase, b->token.n);
    for (size_t d = 0; d < b->n_documents; d++) {
        const gm_trace_document *from = &b->document[d];
        uint32_t subset;
        for (size_t i = b->begin[d]; i < b->begin[d + 1]; i++)
            GM_TRY(gm_ids_append(&t->token, b->token.at[i], err));
        memcpy(t->sha + 32 * t->n, from->sha, 32);
        t->group[t->n] = GM_HELD_NO_GROUP;
        if (from->subset[0]) {
            GM_TRY(gm_vocabulary_add(subsets, from->subset, strlen(from->subset), &subset, err));
            t->group[t->n] = (uint16_t)subset; /* gm_blocks refuses more than a trace can name */
        }
        t->begin[++t->n] = t->token.n;
    }
out:
    return status;
}

gm_status gm_held_texts_put(const gm_held_texts *t, size_t i, gm_probe_block **block, gm_error *err)
{
    const size_t first = t->begin[i], n = t->begin[i + 1] - first;
    gm_probe_document d = {
        .id = "", .subset = "", .language = "", .token = t->token.at + first, .n = n};
    while (d.n_before < n && t->phase[first + d.n_before] == GM_PHASE_TEMPLATE) d.n_before++;
    while (d.n_after < n && t->phase[first + n - 1 - d.n_after] == GM_PHASE_TEMPLATE) d.n_after++;
    const gm_status status = *block ? GM_OK : gm_probe_block_create(block, 0, err);
    return status == GM_OK ? gm_probe_block_add(*block, &d, err) : status;
}

/* ---- groups ---- */

/* Number the subsets by name, so that a corpus in another order has the same table. */
static gm_status name_groups(gm_held_texts *t, const gm_vocabulary *subsets, gm_error *err)
{
    t->n_groups = gm_vocabulary_n(subsets);
    t->group_name = gm_arena_alloc(&t->arena, t->n_groups, sizeof *t->group_name);
    if (t->group_name == NULL) return no_memory(t, err);
    for (size_t g = 0; g < t->n_groups; g++) {
        const char *name = gm_vocabulary_word(subsets, (uint32_t)g);
        t->group_name[g] = gm_arena_text(&t->arena, name, strlen(name));
        if (t->group_name[g] == NULL) return no_memory(t, err);
    }
    qsort(t->group_name, t->n_groups, sizeof *t->group_name, gm_ascending_text);
    for (size_t i = 0; i < t->n; i++) {
        if (t->group[i] == GM_HELD_NO_GROUP) continue;
        const char *name = gm_vocabulary_word(subsets, t->group[i]);
        const char **at =
            bsearch(&name, t->group_name, t->n_groups, sizeof *t->group_name, gm_ascending_text);
        t->group[i] = (uint16_t)(at - t->group_name);
    }
    return GM_OK;
}

gm_status gm_held_texts_read(gm_held_texts *t, gm_blocks *blocks, gm_error *err)
{
    gm_status status = GM_OK;
    gm_probe_block *block = NULL;
    gm_vocabulary *subsets = NULL;
    *t = (gm_held_texts){0};
    GM_TRY(gm_vocabulary_create(&subsets, err));
    for (;;) {
        GM_TRY(gm_blocks_next(blocks, &block, err));
        if (block == NULL) break;
        GM_TRY(add_block(t, block, subsets, err));
        gm_probe_block_free(block);
        block = NULL;
    }
    GM_TRY(name_groups(t, subsets, err));
out:
    gm_probe_block_free(block);
    gm_vocabulary_free(subsets);
    if (status != GM_OK) gm_held_texts_clear(t);
    return status;
}

/* The names and keywords of the atlas's clusters; noise is the last. */
static gm_status name_clusters(gm_held_texts *t, const gm_atlas *atlas, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text words = {0};
    char name[24];
    t->n_groups = atlas->n_clusters + 1;
    t->group_name = gm_arena_alloc(&t->arena, t->n_groups, sizeof *t->group_name);
    t->group_words = gm_arena_alloc(&t->arena, t->n_groups, sizeof *t->group_words);
    if (!t->group_name || !t->group_words)
        GM_FAIL(GM_EMEM, "no memory for %zu clusters", t->n_groups);
    for (size_t g = 0; g < atlas->n_clusters; g++) {
        const char *const *word = &atlas->keyword[g * GM_N_KEYWORDS];
        gm_text_clear(&words);
        for (size_t i = 0; i < GM_N_KEYWORDS && word[i][0]; i++)
            GM_TRY(gm_text_printf(&words, err, "%s%s", i > 0 ? ", " : "", word[i]));
        snprintf(name, sizeof name, "%zu", g);
        t->group_name[g] = gm_arena_text(&t->arena, name, strlen(name));
        t->group_words[g] = gm_arena_text(&t->arena, words.at ? words.at : "", words.n);
        if (!t->group_name[g] || !t->group_words[g])
            GM_FAIL(GM_EMEM, "no memory for %zu clusters", t->n_groups);
    }
    t->group_name[atlas->n_clusters] = "noise";
    t->group_words[atlas->n_clusters] = "";
out:
    gm_text_clear(&words);
    return status;
}

gm_status gm_held_texts_cluster(gm_held_texts *t, const char *path, size_t *n_unknown,
                                gm_error *err)
{
    gm_status status = GM_OK;
    gm_atlas *atlas = NULL;
    gm_sha_index index = {0};
    *n_unknown = 0;
    GM_TRY(gm_atlas_open(&atlas, path, err));
    GM_TRY(gm_sha_index_init(&index, atlas->sha, atlas->n, err));
    if (atlas->n_clusters + 1 >= GM_HELD_NO_GROUP)
        GM_FAIL(GM_EARG, "'%s' has %zu clusters, which are more than a table can name", path,
                atlas->n_clusters);
    GM_TRY(name_clusters(t, atlas, err));
    for (size_t i = 0; i < t->n; i++) {
        const int64_t at = gm_sha_index_find(&index, t->sha + 32 * i);
        const int32_t cluster = at < 0 ? 0 : atlas->cluster[at];
        t->group[i] = (uint16_t)(cluster < 0 ? (int32_t)atlas->n_clusters : cluster);
        if (at < 0) t->group[i] = GM_HELD_NO_GROUP;
        *n_unknown += at < 0;
    }
    if (*n_unknown == t->n)
        GM_FAIL(GM_EARG, "'%s' has none of the %zu documents: it is from another corpus", path,
                t->n);
out:
    gm_sha_index_clear(&index);
    gm_atlas_close(atlas);
    return status;
}

void gm_held_texts_clear(gm_held_texts *t)
{
    gm_ids_clear(&t->token);
    gm_free(t->phase);
    gm_free(t->begin);
    gm_free(t->sha);
    gm_free(t->group);
    gm_arena_clear(&t->arena);
    *t = (gm_held_texts){0};
}

/* Where the progress stood before a block. */
typedef struct show {
    gm_progress *progress;
    double before;
} show;

static void show_rows(void *context, size_t rows)
{
    show *s = context;
    gm_progress_set(s->progress, s->before + (double)rows);
}

gm_status gm_held_texts_run(gm_runner *runner, gm_probe_block *block, gm_progress *progress,
                            gm_error *err)
{
    show s = {progress, progress ? progress->done : 0.0};
    return gm_runner_run(runner, block, progress ? show_rows : NULL, &s, err);
}

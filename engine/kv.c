/* kv.c - a pool of KV blocks and the sequences that hold them. */
#include "engine/kv.h"

#include <string.h>

static void describe_states(gm_kv *kv, const gm_arch *arch, size_t layers)
{
    const gm_delta *d = &arch->delta;
    const size_t count = layers * kv->max_sequences, key = (size_t)d->key;
    const size_t channels =
        2 * (size_t)d->key_heads * key + (size_t)d->value_heads * (size_t)d->value;
    kv->state = gm_buf_rows(GM_F32, count, (size_t)d->value_heads,
                            gm_round_up((size_t)d->value, GM_PANEL) * key);
    kv->history = gm_buf_rows(GM_F32, count, (size_t)d->taps - 1, channels);
}

/* For `layers` layers. */
static gm_cached describe_cached(const gm_kv *kv, const gm_heads *heads, gm_dtype dtype,
                                 size_t layers)
{
    const size_t count = layers * kv->n_blocks * heads->kv;
    return (gm_cached){.k = gm_buf_panels(dtype, count, GM_KV_BLOCK, heads->key),
                       .v = gm_buf_panels(dtype, count, heads->value, GM_KV_BLOCK),
                       .n_heads = heads->kv};
}

/* One block more per sequence than the rows need, so that sequences whose capacities add up to
 * `rows` always find room. */
void gm_kv_describe(gm_kv *kv, const gm_arch *arch, gm_numerics numerics, size_t rows,
                    size_t sequences, bool one_layer)
{
    const gm_dtype dtype = numerics == GM_NUMERICS_F32 ? GM_F32 : GM_BF16;
    const size_t context = (size_t)arch->max_context;
    size_t longest = rows < context ? rows : context;
    *kv = (gm_kv){.n_blocks = rows / GM_KV_BLOCK + sequences,
                  .max_context = context,
                  .max_sequences = sequences,
                  .blocks_per_sequence = gm_round_up(longest, GM_KV_BLOCK) / GM_KV_BLOCK,
                  .rows_left = rows};
    kv->layer_blocks = one_layer ? 0 : kv->n_blocks;
    kv->layer_states = one_layer ? 0 : sequences;
    size_t layers[2] = {0};
    for (int l = 0; l < arch->n_layers; l++)
        layers[gm_arch_is_global(arch, l)] += gm_arch_has_keys(arch, l);
    for (int global = 0; global < 2; global++) {
        const gm_heads heads = gm_arch_heads(arch, global);
        const size_t count = one_layer ? 1 : layers[global];
        kv->of[global] = describe_cached(kv, &heads, dtype, count);
    }
    if (arch->n_delta > 0) describe_states(kv, arch, one_layer ? 1 : (size_t)arch->n_delta);
}

uint64_t gm_kv_state_bytes(const gm_arch *arch)
{
    gm_kv kv = {.max_sequences = 1};
    if (arch->n_delta == 0) return 0;
    describe_states(&kv, arch, (size_t)arch->n_delta);
    return gm_buf_bytes(&kv.state) + gm_buf_bytes(&kv.history);
}

uint64_t gm_kv_bytes(const gm_arch *arch, gm_numerics numerics, size_t rows, size_t sequences,
                     bool one_layer)
{
    gm_kv kv;
    uint64_t bytes = 0;
    gm_kv_describe(&kv, arch, numerics, rows, sequences, one_layer);
    for (int global = 0; global < 2; global++)
        bytes += gm_buf_bytes(&kv.of[global].k) + gm_buf_bytes(&kv.of[global].v);
    return bytes + gm_buf_bytes(&kv.state) + gm_buf_bytes(&kv.history) +
           kv.n_blocks * (GM_KV_BLOCK + 1) * sizeof *kv.token +
           sequences * (kv.blocks_per_sequence * sizeof *kv.block + sizeof *kv.sequence);
}

gm_status gm_kv_create(gm_kv *kv, const gm_arch *arch, gm_numerics numerics, size_t rows,
                       size_t sequences, bool one_layer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_kv_describe(kv, arch, numerics, rows, sequences, one_layer);
    kv->free_block = gm_alloc(kv->n_blocks, sizeof *kv->free_block);
    kv->block = gm_alloc2(sequences, kv->blocks_per_sequence, sizeof *kv->block);
    kv->token = gm_alloc2(kv->n_blocks, GM_KV_BLOCK, sizeof *kv->token);
    kv->sequence = gm_alloc(sequences, sizeof *kv->sequence);
    if (!kv->free_block || !kv->block || !kv->token || !kv->sequence)
        GM_FAIL(GM_EMEM, "no memory for the tables of %zu sequences", sequences);
    for (size_t i = 0; i < kv->n_blocks; i++)
        kv->free_block[i] = (uint32_t)(kv->n_blocks - 1 - i); /* the lowest is taken first */
    kv->n_free = kv->n_blocks;
out:
    if (status != GM_OK) gm_kv_clear(kv);
    return status;
}

gm_status gm_kv_allocate(gm_kv *kv, gm_error *err)
{
    gm_status status = GM_OK;
    for (int global = 0; global < 2; global++) {
        GM_TRY(gm_buf_create(&kv->of[global].k, "the cache of keys", err));
        GM_TRY(gm_buf_create(&kv->of[global].v, "the cache of values", err));
    }
    GM_TRY(gm_buf_create(&kv->state, "the states of sequences", err));
    GM_TRY(gm_buf_create(&kv->history, "the states of sequences", err));
out:
    return status;
}

void gm_kv_clear(gm_kv *kv)
{
    gm_free(kv->free_block);
    gm_free(kv->block);
    gm_free(kv->token);
    gm_free(kv->sequence);
    for (int global = 0; global < 2; global++) {
        gm_buf_free(&kv->of[global].k);
        gm_buf_free(&kv->of[global].v);
    }
    gm_buf_free(&kv->state);
    gm_buf_free(&kv->history);
    *kv = (gm_kv){0};
}

gm_status gm_kv_open(gm_kv *kv, size_t capacity, int *id, gm_error *err)
{
    *id = -1;
    if (capacity < 1 || capacity > kv->max_context)
        return gm_fail(err, GM_EARG,
                       "a sequence of %zu tokens was requested, but the model's context is %zu",
                       capacity, kv->max_context);
    size_t s = 0;
    while (s < kv->max_sequences && kv->sequence[s].open) s++;
    if (s == kv->max_sequences)
        return gm_fail(err, GM_EMEM, "all %zu sequences of the session are already open", s);
    if (capacity > kv->rows_left)
        return gm_fail(err, GM_EMEM,
                       "a sequence of %zu tokens was requested, but only %zu are left", capacity,
                       kv->rows_left);

    size_t blocks = gm_round_up(capacity, GM_KV_BLOCK) / GM_KV_BLOCK;
    for (size_t i = 0; i < blocks; i++)
        kv->block[s * kv->blocks_per_sequence + i] = kv->free_block[--kv->n_free];
    kv->rows_left -= capacity;
    kv->sequence[s] = (gm_sequence){.open = true, .capacity = capacity};
    *id = (int)s;
    return GM_OK;
}

void gm_kv_close(gm_kv *kv, int id)
{
    if (!gm_kv_is_open(kv, id)) return;
    gm_sequence *sequence = &kv->sequence[id];
    size_t blocks = gm_round_up(sequence->capacity, GM_KV_BLOCK) / GM_KV_BLOCK;
    while (blocks > 0)
        kv->free_block[kv->n_free++] = kv->block[(size_t)id * kv->blocks_per_sequence + --blocks];
    kv->rows_left += sequence->capacity;
    *sequence = (gm_sequence){0};
}

bool gm_kv_is_open(const gm_kv *kv, int id)
{
    return id >= 0 && (size_t)id < kv->max_sequences && kv->sequence[id].open;
}

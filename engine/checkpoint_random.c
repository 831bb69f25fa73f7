/* checkpoint_random.c - a checkpoint of random weights in memory, see checkpoint.h. The
 * values do not matter for speed, as long as routers spread their choices and nothing
 * overflows.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "engine/arch.h"
#include "engine/checkpoint.h"

#include <string.h>
#include <sys/mman.h>

#include "base/half.h"
#include "base/rng.h"

enum {
    PERIOD = 1048573, /* values drawn before they repeat: a prime, so rows differ */
    NAME_BYTES = 128,
};

typedef struct listing {
    const gm_arch *arch;
    gm_tensor *tensor; /* NULL: tensors are counted only */
    char *names;
    const uint16_t *pool; /* random values, then ones */
    size_t n, most_random, most_ones;
} listing;

static bool is_norm(gm_role role)
{
    return role == GM_ROLE_FINAL_NORM || role == GM_ROLE_ATTN_NORM || role == GM_ROLE_MLP_NORM ||
           role == GM_ROLE_Q_NORM || role == GM_ROLE_K_NORM;
}

static void add_tensor(listing *l, gm_role role, int layer, int expert)
{
    char name[NAME_BYTES];
    size_t rows, cols;
    if (!gm_arch_tensor(l->arch, role, layer, expert, name, &rows, &cols)) return;
    const size_t size = rows * cols;
    size_t *most = is_norm(role) ? &l->most_ones : &l->most_random;
    if (l->tensor) {
        char *kept = memcpy(l->names + l->n * NAME_BYTES, name, NAME_BYTES);
        const size_t first = l->n * 7919 % PERIOD; /* another part of the pool for each */
        l->tensor[l->n] =
            (gm_tensor){.name = kept,
                        .dtype = GM_BF16,
                        .rank = rows == 1 ? 1 : 2,
                        .dim = {rows == 1 ? cols : rows, rows == 1 ? 0 : cols},
                        .data = is_norm(role) ? l->pool + PERIOD + l->most_random : l->pool + first,
                        .n_bytes = size * sizeof *l->pool,
                        .file = "random weights"};
    } else if (size > *most) {
        *most = size;
    }
    l->n++;
}

static void add_all(listing *l)
{
    const gm_arch *arch = l->arch;
    l->n = 0;
    for (int role = 0; role < GM_N_ROLES; role++) {
        const bool once = role <= GM_ROLE_HEAD, by_expert = role >= GM_ROLE_EXPERT_GATE;
        for (int layer = 0; layer < (once ? 1 : arch->n_layers); layer++)
            for (int expert = 0; expert < (by_expert ? arch->n_experts : 1); expert++)
                add_tensor(l, (gm_role)role, layer, expert);
    }
}

static void fill_pool(uint16_t *pool, size_t n_random, size_t n_ones)
{
    gm_rng rng = gm_rng_make(1, 0);
    const size_t drawn = n_random < PERIOD ? n_random : PERIOD;
    for (size_t i = 0; i < drawn; i++)
        pool[i] = gm_bf16_from_f32((float)(0.02 * gm_rng_normal(&rng)));
    for (size_t i = drawn; i < n_random; i += PERIOD) {
        size_t n = n_random - i < PERIOD ? n_random - i : PERIOD;
        memcpy(pool + i, pool, n * sizeof *pool);
    }
    for (size_t i = 0; i < n_ones; i++) pool[n_random + i] = gm_bf16_from_f32(1.0f);
}

gm_status gm_checkpoint_random(gm_checkpoint **out, const gm_arch *arch, gm_error *err)
{
    listing l = {.arch = arch};
    *out = NULL;
    add_all(&l);
    const size_t n = l.n, n_random = PERIOD + l.most_random;
    const size_t pool_bytes = (n_random + l.most_ones) * sizeof *l.pool;
    const size_t n_bytes = pool_bytes + n * NAME_BYTES;
    gm_tensor *tensor = gm_alloc(n, sizeof *tensor);
    if (tensor == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu random tensors", n);
    void *map = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        gm_free(tensor);
        return gm_fail(err, GM_EMEM, "no memory for random weights (%zu bytes)", n_bytes);
    }
    fill_pool(map, n_random, l.most_ones);
    l.tensor = tensor;
    l.names = (char *)map + pool_bytes;
    l.pool = map;
    add_all(&l);
    return gm_checkpoint_in_memory(out, "random weights", tensor, n, map, n_bytes, err);
}

/* checkpoint_random.c - a checkpoint of random weights in memory, see checkpoint.h. The
 * values do not matter for speed, as long as routers spread their choices and nothing
 * overflows.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "engine/checkpoint.h"

#include "base/half.h"
#include "base/rng.h"
#include "engine/arch.h"

#include <string.h>
#include <sys/mman.h>

enum {
    PERIOD = 1048573, /* values drawn before they repeat: a prime, so rows differ */
};

/* What lies in the mapping, followed by scales and names. */
typedef struct random_pool {
    size_t n_ones;
    uint16_t value[]; /* ones, then random values */
} random_pool;

typedef struct listing {
    const gm_arch *arch;
    gm_tensor *tensor; /* NULL: tensors are counted only */
    char *names;
    const uint16_t *pool; /* ones, then random values */
    const uint8_t *scales;
    size_t n, most_random, most_ones, most_scales; /* bytes of the scales */
} listing;

/* A norm, or a scale: ones. */
static bool is_norm(gm_role role)
{
    if (role >= GM_ROLE_ROUTER_NORM && role <= GM_ROLE_LAYER_SCALE) return true;
    return role == GM_ROLE_FINAL_NORM || role == GM_ROLE_ATTN_NORM || role == GM_ROLE_MLP_NORM ||
           role == GM_ROLE_ATTN_OUT_NORM || role == GM_ROLE_MLP_OUT_NORM ||
           role == GM_ROLE_Q_NORM || role == GM_ROLE_K_NORM || role == GM_ROLE_DELTA_NORM;
}

/* One row of these is a matrix still, not a vector. */
static bool is_matrix(gm_role role)
{
    return role == GM_ROLE_ROUTER || role == GM_ROLE_SHARE;
}

static void add_slice(listing *l, gm_role role, const gm_slice *slice)
{
    const bool norm = is_norm(role), scales = slice->stored == GM_STORED_SCALES;
    const gm_dtype dtype = slice->stored >= GM_STORED_MXFP4 ? GM_U8 : GM_BF16;
    size_t dim[GM_MAX_RANK] = {0}, n_bytes = gm_dtype_bytes(dtype);
    int rank = gm_slice_shape(slice, dim);
    for (int i = 0; i < rank; i++) n_bytes *= dim[i];
    if (rank == 1 && is_matrix(role)) dim[rank++] = dim[0], dim[0] = 1;
    size_t *most = norm ? &l->most_ones : scales ? &l->most_scales : &l->most_random;
    const size_t size = scales ? n_bytes : (n_bytes + 1) / sizeof *l->pool;
    if (l->tensor) {
        char *kept = memcpy(l->names + l->n * GM_NAME_BYTES, slice->name, GM_NAME_BYTES);
        const size_t first = l->n * 7919 % PERIOD; /* another part of the pool for each */
        const uint16_t *values = norm ? l->pool : l->pool + l->most_ones + first;
        gm_tensor *t = &l->tensor[l->n];
        *t = (gm_tensor){.name = kept,
                         .dtype = dtype,
                         .rank = rank,
                         .data = scales ? (const void *)l->scales : values,
                         .n_bytes = n_bytes,
                         .file = "random weights"};
        memcpy(t->dim, dim, sizeof dim);
    } else if (size > *most) {
        *most = size;
    }
    l->n++;
}

static void add_tensor(listing *l, gm_role role, int layer, int expert)
{
    gm_slice slice;
    if (!gm_arch_tensor(l->arch, role, layer, expert, &slice)) return;
    if (slice.item > 0 || slice.first > 0) return; /* its tensor is there with the first matrix */
    add_slice(l, role, &slice);
    if (slice.stored != GM_STORED_MXFP4) return;
    slice = gm_slice_scales(&slice);
    add_slice(l, role, &slice);
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
    uint16_t *random = pool + n_ones;
    for (size_t i = 0; i < n_ones; i++) pool[i] = gm_bf16_from_f32(1.0f);
    for (size_t i = 0; i < drawn; i++)
        random[i] = gm_bf16_from_f32((float)(0.02 * gm_rng_normal(&rng)));
    for (size_t i = drawn; i < n_random; i += PERIOD) {
        size_t n = n_random - i < PERIOD ? n_random - i : PERIOD;
        memcpy(random + i, random, n * sizeof *pool);
    }
}

gm_status gm_checkpoint_random(gm_checkpoint **out, const gm_arch *arch, gm_error *err)
{
    listing l = {.arch = arch};
    *out = NULL;
    add_all(&l);
    const size_t n = l.n, n_random = PERIOD + l.most_random;
    const size_t pool_bytes = sizeof(random_pool) + (n_random + l.most_ones) * sizeof *l.pool;
    const size_t n_bytes = pool_bytes + l.most_scales + n * GM_NAME_BYTES;
    gm_tensor *tensor = gm_alloc(n, sizeof *tensor);
    if (tensor == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu random tensors", n);
    void *map = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        gm_free(tensor);
        return gm_fail(err, GM_EMEM, "no memory for random weights (%zu bytes)", n_bytes);
    }
    random_pool *pool = map;
    pool->n_ones = l.most_ones;
    fill_pool(pool->value, n_random, l.most_ones);
    l.tensor = tensor;
    l.scales = memset((char *)map + pool_bytes, GM_RANDOM_SCALE, l.most_scales);
    l.names = (char *)map + pool_bytes + l.most_scales;
    l.pool = pool->value;
    add_all(&l);
    return gm_checkpoint_in_memory(out, "random weights", tensor, n, map, n_bytes, err);
}

const uint16_t *gm_checkpoint_random_values(const gm_checkpoint *checkpoint, size_t *n)
{
    const random_pool *pool = gm_checkpoint_memory(checkpoint);
    *n = pool ? pool->n_ones + PERIOD : 0;
    return pool ? pool->value : NULL;
}

gm_random_place gm_checkpoint_random_place(const gm_checkpoint *checkpoint, const gm_tensor *tensor)
{
    const random_pool *pool = gm_checkpoint_memory(checkpoint);
    const size_t first = (size_t)((const uint16_t *)tensor->data - pool->value);
    if (first < pool->n_ones) return (gm_random_place){.period = 1};
    return (gm_random_place){.at = pool->n_ones, .first = first - pool->n_ones, .period = PERIOD};
}

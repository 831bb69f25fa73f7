/* test_cuda_latent.c - attention to latents against its definition in double, with products of
 * heads and without: positions on both sides of a split of 32 and of where splits have a second
 * turn; heads that do not fill a block; as wide as published; tiles; what is not finite; and what
 * few rows and many leave in the cache.
 */
#include "emulated_run.h"
#include "engine/cuda/cuda_plan.h"

enum { POOL = 48 << 20, MOST_ROWS = 16 };

/* Sizes, and pinned memory, which a GPU reaches too. */
typedef struct arena {
    gm_cuda_latents p;
    gm_cuda_how how;
    size_t blocks; /* of a sequence, which lie in the pool backwards */
    gm_row *row;
    gm_tile *tile;
    float *queries, *keys, *k_norm, *cosine, *sine, *key_up, *value_up, *cache, *of_heads;
    char *pool;
    size_t used;
    void *alone; /* the cache: what reads after its last block is seen */
} arena;

static void *take(arena *a, size_t bytes)
{
    void *at = a->pool + a->used;
    a->used += gm_round_up(bytes, 256);
    CHECK(a->used <= POOL);
    return at;
}

static float *take_floats(arena *a, size_t n, gm_rng *rng, double size)
{
    float *at = take(a, n * sizeof *at);
    for (size_t i = 0; i < n; i++) at[i] = size > 0.0 ? (float)(size * gm_rng_normal(rng)) : NAN;
    return at;
}

/* The same in memory of their own, in place of those before. */
static float *take_alone(arena *a, size_t n, gm_rng *rng, double size)
{
    float *at;
    CHECK_INT(cudaFreeHost(a->alone), cudaSuccess);
    CHECK_INT(cudaMallocHost(&a->alone, n * sizeof *at), cudaSuccess);
    at = a->alone;
    for (size_t i = 0; i < n; i++) at[i] = (float)(size * gm_rng_normal(rng));
    return at;
}

/* Matrices of heads, their padding zeros. */
static float *take_matrices(arena *a, int rows, int cols, size_t stride, gm_rng *rng)
{
    const size_t all = (size_t)(a->p.n_heads * rows);
    float *at = take_floats(a, all * stride, rng, 1.0 / sqrt(cols));
    for (size_t r = 0; r < all; r++)
        for (size_t k = (size_t)cols; k < stride; k++) at[r * stride + k] = 0.0f;
    return at;
}

/* Rows of other sequences, or `together` one after the other in one. */
static void set_rows(arena *a, const uint32_t *position, bool together)
{
    for (int r = 0; r < a->p.n_rows; r++) {
        a->row[r] = (gm_row){.position = together ? *position + (uint32_t)r : position[r],
                             .sequence = together ? 0 : r};
        a->tile[r] = (gm_tile){.first = (uint32_t)r, .n = 1};
    }
    if (together) a->tile[0].n = (uint32_t)a->p.n_rows;
}

static size_t cache_at(const arena *a, const gm_row *row, size_t position)
{
    const size_t block = a->p.block[(size_t)row->sequence * a->blocks + position / GM_KV_BLOCK];
    return (block * GM_KV_BLOCK + position % GM_KV_BLOCK) * a->p.head_stride;
}

/* Fresh memory of a step of n rows, `longest` being the last position of any. */
static void set_up(arena *a, const gm_cuda_latents *sizes, int n, uint32_t longest)
{
    gm_rng rng = gm_rng_make(17, (uint64_t)longest);
    gm_cuda_latents *p = &a->p;
    *p = *sizes;
    a->used = 0;
    a->blocks = longest / GM_KV_BLOCK + 1;
    const size_t rows = (size_t)n, heads = (size_t)p->n_heads, positions = longest + 1;
    const size_t dim = (size_t)(p->plain + p->turning), width = (size_t)(p->kv + p->turning);
    const size_t splits = positions / GM_CUDA_LATENT_SPLIT + 1;
    p->n_rows = n, p->wide = true, p->dtype = GM_F32, p->scale = 0.4f;
    p->n_splits = (int)(splits < GM_CUDA_MOST_SPLITS ? splits : GM_CUDA_MOST_SPLITS);
    p->queries_stride = heads * dim, p->keys_stride = width, p->angle_stride = dim;
    p->blocks_per_sequence = a->blocks;
    p->plain_stride = gm_round_up((size_t)p->plain, GM_K_BLOCK);
    p->kv_stride = gm_round_up((size_t)p->kv, GM_K_BLOCK);
    p->head_stride = gm_round_up(width, 8);
    p->each_stride = p->plain_stride > p->kv_stride ? p->plain_stride : p->kv_stride;
    p->heads_stride = heads * (size_t)p->value;
    p->row = a->row = take(a, rows * sizeof *a->row);
    a->tile = take(a, rows * sizeof *a->tile);
    p->queries = a->queries = take_floats(a, rows * p->queries_stride, &rng, 1.0);
    p->keys = a->keys = take_floats(a, rows * width, &rng, 1.0);
    p->k_norm = a->k_norm = take_floats(a, (size_t)p->kv, &rng, 1.0);
    p->cosine = a->cosine = take_floats(a, positions * dim, &rng, 1.0);
    p->sine = a->sine = take_floats(a, positions * dim, &rng, 1.0);
    p->key_up = a->key_up = take_matrices(a, p->kv, p->plain, p->plain_stride, &rng);
    p->value_up = a->value_up = take_matrices(a, p->value, p->kv, p->kv_stride, &rng);
    uint32_t *block = take(a, rows * a->blocks * sizeof *block);
    for (size_t b = 0; b < rows * a->blocks; b++) block[b] = (uint32_t)(rows * a->blocks - 1 - b);
    p->block = block;
    p->cache = a->cache = take_alone(a, rows * a->blocks * GM_KV_BLOCK * p->head_stride, &rng, 0.7);
    p->query = take_floats(a, rows * heads * p->head_stride, &rng, 0.0);
    p->of_heads = a->of_heads = take_floats(a, rows * heads * p->each_stride, &rng, 0.0);
    p->part = take_floats(a, rows * (size_t)p->n_splits * heads * (p->head_stride + 4), &rng, 0.0);
    p->heads = take_floats(a, rows * p->heads_stride, &rng, 0.0);
}

/* ---- the definition ---- */

static void turn(const arena *a, const gm_row *row, const float *x, double *out)
{
    for (int i = 0; i < a->p.turning / 2; i++) {
        const size_t at = row->position * a->p.angle_stride + (size_t)i;
        const double c = (double)a->cosine[at], s = (double)a->sine[at];
        const double p = (double)x[2 * i], q = (double)x[2 * i + 1];
        out[2 * i] = p * c - q * s;
        out[2 * i + 1] = q * c + p * s;
    }
}

/* What a head's query is multiplied with. */
static void absorb(const arena *a, size_t r, int h, double *query)
{
    const gm_cuda_latents *p = &a->p;
    const float *x = a->queries + r * p->queries_stride + h * (p->plain + p->turning);
    for (int n = 0; n < p->kv; n++) {
        const float *row = a->key_up + (size_t)(h * p->kv + n) * p->plain_stride;
        query[n] = 0.0;
        for (int k = 0; k < p->plain; k++) query[n] += (double)row[k] * (double)x[k];
    }
    turn(a, &a->row[r], x + p->plain, query + p->kv);
}

/* The softmax of the query's products with what the cache has, times the latents. */
static void attend(const arena *a, size_t r, const double *query, double *latent)
{
    const gm_cuda_latents *p = &a->p;
    const size_t n = a->row[r].position + 1;
    double *score = gm_alloc(n, sizeof *score), top = -INFINITY, total = 0.0;
    for (size_t j = 0; j < n; j++) {
        const float *key = a->cache + cache_at(a, &a->row[r], j);
        score[j] = 0.0;
        for (int d = 0; d < p->kv + p->turning; d++) score[j] += query[d] * (double)key[d];
        score[j] *= (double)p->scale;
        top = fmax(top, score[j]);
    }
    for (int d = 0; d < p->kv; d++) latent[d] = 0.0;
    for (size_t j = 0; j < n; j++) {
        const float *key = a->cache + cache_at(a, &a->row[r], j);
        const double w = exp(score[j] - top);
        total += w;
        for (int d = 0; d < p->kv; d++) latent[d] += w * (double)key[d];
    }
    for (int d = 0; d < p->kv; d++) latent[d] /= total;
    gm_free(score);
}

/* The row's own key, as it is to be in the cache. */
static double key_off(const arena *a, size_t r)
{
    const gm_cuda_latents *p = &a->p;
    const float *x = a->keys + r * p->keys_stride;
    const float *got = a->cache + cache_at(a, &a->row[r], a->row[r].position);
    double want[GM_CUDA_MAX_LATENT_HEAD], squares = 0.0, most = 0.0;
    for (int i = 0; i < p->kv; i++) squares += (double)x[i] * (double)x[i];
    const double factor = 1.0 / sqrt(squares / p->kv + (double)GM_LATENT_EPSILON);
    for (int i = 0; i < p->kv; i++) want[i] = (double)x[i] * factor * (double)a->k_norm[i];
    turn(a, &a->row[r], x + p->kv, want + p->kv);
    for (int i = 0; i < p->kv + p->turning; i++)
        most = check_larger(most, fabs((double)got[i] - want[i]));
    for (size_t i = (size_t)(p->kv + p->turning); i < p->head_stride; i++) CHECK(got[i] == 0.0f);
    return most;
}

/* Largest difference of what the heads give: after their values, or of many rows before. */
static double heads_off(const arena *a, size_t r, bool after_values)
{
    const gm_cuda_latents *p = &a->p;
    double most = key_off(a, r), query[GM_CUDA_MAX_LATENT_HEAD], latent[GM_CUDA_MAX_LATENT];
    for (int h = 0; h < p->n_heads; h++) {
        absorb(a, r, h, query);
        attend(a, r, query, latent);
        for (int n = 0; !after_values && n < p->kv; n++) {
            const float *got = a->of_heads + (r * (size_t)p->n_heads + (size_t)h) * p->each_stride;
            most = check_larger(most, fabs((double)got[n] - latent[n]));
        }
        for (int n = 0; after_values && n < p->value; n++) {
            const float *row = a->value_up + (size_t)(h * p->value + n) * p->kv_stride;
            double want = 0.0;
            for (int k = 0; k < p->kv; k++) want += (double)row[k] * latent[k];
            const float got = p->heads[r * p->heads_stride + (size_t)(h * p->value + n)];
            most = check_larger(most, fabs((double)got - want));
        }
    }
    return most;
}

/* ---- running ---- */

static void run_few(const arena *a)
{
    CHECK_INT(gm_cuda_latent_keys_few(&a->how, &a->p), cudaSuccess);
    CHECK_INT(gm_cuda_latent_attend_few(&a->how, &a->p), cudaSuccess);
    CHECK_INT(gm_cuda_latent_values_few(&a->how, &a->p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(a->how.stream), cudaSuccess);
}

/* What cuBLAS would do between the kernels of many rows is done here. */
static void run_many(const arena *a, int n_tiles)
{
    const gm_cuda_latents *p = &a->p;
    CHECK_INT(gm_cuda_latent_append_many(&a->how, p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(a->how.stream), cudaSuccess);
    for (size_t i = 0; i < (size_t)(p->n_rows * p->n_heads); i++)
        for (size_t n = 0, h = i % (size_t)p->n_heads; n < (size_t)p->kv; n++) {
            const float *row = a->key_up + (h * (size_t)p->kv + n) * p->plain_stride;
            double sum = 0.0;
            for (int k = 0; k < p->plain; k++)
                sum += (double)row[k] * (double)a->of_heads[i * p->each_stride + (size_t)k];
            p->query[i * p->head_stride + n] = (float)sum;
        }
    CHECK_INT(gm_cuda_latent_attend_many(&a->how, p, a->tile, n_tiles), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(a->how.stream), cudaSuccess);
}

static arena make_arena(void)
{
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("deepseek-v2-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#else
    CHECK_INT(gm_cuda_latent_prepare(), cudaSuccess);
    CHECK_INT(gm_cuda_latent_attend_prepare(), cudaSuccess);
#endif
    CHECK_INT(cudaMallocHost(&at, POOL), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    return (arena){.pool = at, .how = {.stream = stream, .multiprocessors = 4}};
}

static void free_arena(arena *a)
{
    CHECK_INT(cudaStreamDestroy(a->how.stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(a->alone), cudaSuccess);
    CHECK_INT(cudaFreeHost(a->pool), cudaSuccess);
}

static const gm_cuda_latents odd = {.n_heads = 3, .kv = 18, .plain = 6, .turning = 4, .value = 10};
static const gm_cuda_latents heads = {
    .n_heads = 9, .kv = 33, .plain = 34, .turning = 10, .value = 31};
static const gm_cuda_latents published = {
    .n_heads = 2, .kv = 512, .plain = 128, .turning = 64, .value = 129};

/* Row r against the definition; *worst: of all that were checked. */
static void check_row(const char *form, const arena *a, size_t r, bool after_values, double *worst)
{
    const double off = heads_off(a, r, after_values);
    if (!(off <= 2e-5)) TEST_FAILED_("%s, position %u: off by %.3g", form, a->row[r].position, off);
    *worst = check_larger(*worst, off);
}

static void both_forms_are_the_definition(void)
{
    static const struct {
        const gm_cuda_latents *sizes;
        int n;
        uint32_t position[8];
    } cases[] = {
        {&odd, 1, {0}},
        {&odd, 1, {2047}},
        {&odd, 2, {2048, 31}},
        {&odd, 3, {2110, 32, 1}},
        {&heads, 8, {0, 1, 31, 32, 33, 63, 64, 95}},
        {&published, 1, {40}},
    };
    double worst = 0.0;
    arena a = make_arena();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int n = cases[i].n;
        uint32_t longest = 0;
        for (int r = 0; r < n; r++)
            if (cases[i].position[r] > longest) longest = cases[i].position[r];
        set_up(&a, cases[i].sizes, n, longest);
        set_rows(&a, cases[i].position, false);
        run_few(&a);
        const size_t bytes = (size_t)n * a.blocks * GM_KV_BLOCK * a.p.head_stride * sizeof *a.cache;
        void *cache = gm_alloc(bytes, 1);
        memcpy(cache, a.cache, bytes);
        for (size_t r = 0; r < (size_t)n; r++) check_row("few rows", &a, r, true, &worst);
        run_many(&a, n);
        CHECK_BYTES(a.cache, cache, bytes);
        for (size_t r = 0; r < (size_t)n; r++) check_row("many rows", &a, r, false, &worst);
        gm_free(cache);
    }
    printf("within %.2g\n", worst);
    free_arena(&a);
}

/* Rows of a tile see the ones before; the tile begins anywhere in a block of 32. */
static void tiles_see_what_came_before(void)
{
    static const uint32_t begin[] = {0, 20, 32};
    static const int n[] = {16, 15, 1};
    double worst = 0.0;
    arena a = make_arena();
    for (size_t i = 0; i < 3; i++) {
        set_up(&a, &heads, n[i], begin[i] + (uint32_t)n[i]);
        set_rows(&a, &begin[i], true);
        run_many(&a, 1);
        for (size_t r = 0; r < (size_t)n[i]; r++) check_row("a tile", &a, r, false, &worst);
    }
    printf("within %.2g\n", worst);
    free_arena(&a);
}

/* ---- what is not finite ---- */

static size_t not_finite(const float *x, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += isfinite(x[i]) ? 0 : 1;
    return count;
}

/* Row 3's latent is marked in the cache, and reaches the rows that see it: of few rows itself, of a
 * tile those after it. */
static void what_is_not_finite_is_marked(void)
{
    enum { ROWS = 6, WRONG = 3 };
    static const uint32_t position[ROWS] = {4, 40, 33, 70, 0, 64};
    arena a = make_arena();
    for (int many = 0; many < 2; many++)
        for (int at = 0; at < heads.kv + heads.turning; at += heads.kv + 3) {
            set_up(&a, &heads, ROWS, 70);
            set_rows(&a, position, many);
            a.keys[WRONG * a.p.keys_stride + (size_t)at] = many ? NAN : INFINITY;
            if (many)
                run_many(&a, 1);
            else
                run_few(&a);
            const float *key = a.cache + cache_at(&a, &a.row[WRONG], a.row[WRONG].position);
            for (int d = 0; d < heads.kv + heads.turning; d++)
                CHECK(d < heads.kv ? key[d] == 0.0f : isnan(key[d]));
            for (int r = 0; r < ROWS; r++) {
                const bool sees = many ? r >= WRONG : r == WRONG;
                for (int h = 0; h < heads.n_heads; h++) {
                    const size_t i = (size_t)(r * heads.n_heads + h);
                    const size_t each = (size_t)(many ? heads.kv : heads.value);
                    const float *x = many ? a.of_heads + i * a.p.each_stride : a.p.heads + i * each;
                    CHECK_INT(not_finite(x, each), sees ? each : 0);
                }
            }
        }
    free_arena(&a);
}

TESTS(TEST(both_forms_are_the_definition), TEST(tiles_see_what_came_before),
      TEST(what_is_not_finite_is_marked))

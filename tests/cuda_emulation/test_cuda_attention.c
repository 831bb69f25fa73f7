/* test_cuda_attention.c - both forms of attention against its definition in double: positions on
 * both sides of a block of 32, of a split of 64, and of where splits have a second turn; scores of
 * every size, heads that share keys; windows that begin anywhere in a split, sinks; values that are
 * keys; and what both leave in the cache. test_cuda_wide_heads.c is the same with wide heads.
 */
#include "base/half.h"
#include "emulated_run.h"
#include "engine/cuda/cuda_plan.h"

#include <float.h>

#ifndef HEAD_ELEMENTS
#define HEAD_ELEMENTS 34
#endif

enum {
    HEADS = 4,
    KV_HEADS = 2,
    HEAD = HEAD_ELEMENTS,
    STRIDE = (HEAD + 7) / 8 * 8,
    BLOCKS = 132, /* of the pool; a sequence's blocks lie in it backwards */
    POSITIONS = BLOCKS * GM_KV_BLOCK,
    SPLITS = GM_CUDA_MOST_SPLITS,
    QKV = (HEADS + 2 * KV_HEADS) * HEAD,
    CACHE = BLOCKS * KV_HEADS * GM_KV_BLOCK * STRIDE
};

/* Pinned memory, which a GPU reaches too. */
typedef struct arena {
    float k[CACHE], v[CACHE], query[HEADS * STRIDE]; /* read 16 bytes at a time: first */
    float part[SPLITS * HEADS * (STRIDE + 4)];
    gm_row row;
    gm_tile tile;
    uint32_t block[BLOCKS];
    unsigned ticket[HEADS];
    float qkv[QKV], heads[HEADS * HEAD], sinks[HEADS];
    float cosine[POSITIONS * (HEAD / 2)], sine[POSITIONS * (HEAD / 2)];
} arena;

/* Where element 0 of a position lies in the cache. */
static size_t cache_at(size_t position, size_t kv_head)
{
    const size_t block = BLOCKS - 1 - position / GM_KV_BLOCK;
    return ((block * KV_HEADS + kv_head) * GM_KV_BLOCK + position % GM_KV_BLOCK) * STRIDE;
}

static void fill(arena *a, uint32_t position)
{
    gm_rng rng = gm_rng_make(9, position);
    memset(a, 0, sizeof *a);
    a->row.position = position;
    a->tile = (gm_tile){.first = 0, .n = 1};
    for (uint32_t b = 0; b < BLOCKS; b++) a->block[b] = BLOCKS - 1 - b;
    for (size_t i = 0; i < QKV; i++) a->qkv[i] = (float)gm_rng_normal(&rng);
    for (int h = 0; h < HEADS; h++)
        a->sinks[h] = (float)(4 * h - 4); /* little, and more than all */
    for (size_t i = 0; i < POSITIONS * (HEAD / 2); i++) {
        a->cosine[i] = cosf(0.1f * (float)i);
        a->sine[i] = sinf(0.1f * (float)i);
    }
    for (size_t p = 0; p < position; p++)
        for (size_t h = 0; h < KV_HEADS; h++)
            for (size_t i = 0; i < HEAD; i++) { /* keys grow: each split has another maximum */
                a->k[cache_at(p, h) + i] =
                    (float)(gm_rng_normal(&rng) * (1.0 + (double)(p % 300) / 100.0));
                a->v[cache_at(p, h) + i] = (float)gm_rng_normal(&rng);
            }
}

static void rotate(const arena *a, const float *x, double *out)
{
    const size_t at = a->row.position * (size_t)(HEAD / 2);
    for (size_t i = 0; i < HEAD / 2; i++) {
        const double c = (double)a->cosine[at + i], s = (double)a->sine[at + i];
        const double p = (double)x[i], q = (double)x[i + HEAD / 2];
        out[i] = p * c - q * s;
        out[i + HEAD / 2] = q * c + p * s;
    }
}

/* A norm without weights. */
static void unit(double x[HEAD], float epsilon)
{
    double squares = 0.0;
    for (size_t i = 0; i < HEAD; i++) squares += x[i] * x[i];
    for (size_t i = 0; i < HEAD; i++) x[i] /= sqrt(squares / HEAD + (double)epsilon);
}

/* The softmax of q k over the positions that are seen, and the sink if there is one, times the
 * values. */
static void attend(const arena *a, const gm_cuda_attention *how, size_t head, double out[HEAD])
{
    const size_t kv_head = head / (HEADS / KV_HEADS), last = a->row.position;
    const size_t window = how->window ? (size_t)how->window : POSITIONS;
    const size_t first = how->chunked     ? last - last % window
                         : last >= window ? last - window + 1
                                          : 0;
    const float *own = a->qkv + (size_t)how->at_v + kv_head * HEAD;
    double query[HEAD], key[HEAD], score[POSITIONS], squares = 0.0, factor = 1.0;
    double top = how->sinks ? (double)a->sinks[head] : -INFINITY;
    rotate(a, a->qkv + head * HEAD, query);
    rotate(a, a->qkv + (HEADS + kv_head) * HEAD, key);
    if (how->norm_unit) unit(query, how->epsilon), unit(key, how->epsilon);
    if (how->grows) /* by what follows a position's angles: here the next one's first */
        for (size_t i = 0; i < HEAD; i++)
            query[i] *= (double)a->cosine[(last + 1) * (size_t)(HEAD / 2)];
    for (size_t p = first; p <= last; p++) {
        score[p] = 0.0;
        for (size_t i = 0; i < HEAD; i++)
            score[p] += query[i] * (p == last ? key[i] : (double)a->k[cache_at(p, kv_head) + i]);
        score[p] *= (double)how->scale;
        if (score[p] > top) top = score[p];
    }
    for (size_t i = 0; i < HEAD; i++) squares += (double)own[i] * (double)own[i];
    if (how->norm_values) factor = 1.0 / sqrt(squares / HEAD + (double)how->epsilon);
    double total = how->sinks ? exp((double)a->sinks[head] - top) : 0.0;
    for (size_t i = 0; i < HEAD; i++) out[i] = 0.0;
    for (size_t p = first; p <= last; p++) {
        const float *value = p == last ? own : a->v + cache_at(p, kv_head);
        const double w = exp(score[p] - top), by = p == last ? w * factor : w;
        total += w;
        for (size_t i = 0; i < HEAD; i++) out[i] += by * (double)value[i];
    }
    for (size_t i = 0; i < HEAD; i++) out[i] /= total;
}

static gm_cuda_attention describe(arena *a)
{
    return (gm_cuda_attention){.row = &a->row,
                               .qkv = a->qkv,
                               .cosine = a->cosine,
                               .sine = a->sine,
                               .block = a->block,
                               .k = a->k,
                               .v = a->v,
                               .query = a->query,
                               .heads = a->heads,
                               .part = a->part,
                               .ticket = a->ticket,
                               .qkv_stride = QKV,
                               .angle_stride = HEAD / 2,
                               .head_stride = STRIDE,
                               .heads_stride = HEADS * HEAD,
                               .blocks_per_sequence = BLOCKS,
                               .n_rows = 1,
                               .n_heads = HEADS,
                               .n_kv_heads = KV_HEADS,
                               .head_dim = HEAD,
                               .value_dim = HEAD,
                               .value_scale = 1.0f,
                               .rotary_dim = HEAD,
                               .at_k = HEADS * HEAD,
                               .at_v = (HEADS + KV_HEADS) * HEAD,
                               .n_splits = SPLITS,
                               .scale = 0.3f,
                               .wide = true};
}

static void check_heads(const char *form, const arena *a, const gm_cuda_attention *how)
{
    double worst = 0.0;
    for (size_t h = 0; h < HEADS; h++) {
        double want[HEAD];
        attend(a, how, h, want);
        for (size_t i = 0; i < HEAD; i++)
            worst = check_larger(worst, fabs((double)a->heads[h * HEAD + i] - want[i]));
    }
    if (!(worst <= 1.5e-7 * HEAD)) /* sums of so many, whose size is their weights' exponent */
        TEST_FAILED_("%s, position %u, window %d: heads off by %.3g", form, a->row.position,
                     how->window, worst);
    for (int i = 0; i < HEADS; i++) CHECK_INT(a->ticket[i], 0);
}

/* The arena, and how to run on it. */
static arena *make_arena(gm_cuda_how *how)
{
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(gm_cuda_prefill_prepare(), cudaSuccess); /* tiles of wide heads are large */
    CHECK_INT(cudaMallocHost(&at, sizeof(arena)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    *how = (gm_cuda_how){.stream = stream, .multiprocessors = 4};
    return at;
}

static void free_arena(arena *a, const gm_cuda_how *how)
{
    CHECK_INT(cudaStreamDestroy(how->stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(a), cudaSuccess);
}

static void run_few(const gm_cuda_how *how, const gm_cuda_attention *p)
{
    CHECK_INT(gm_cuda_attend_few(how, p), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(how->stream), cudaSuccess);
}

static void run_many(const gm_cuda_how *how, const gm_cuda_attention *p, const arena *a)
{
    CHECK_INT(gm_cuda_append_many(how, p), cudaSuccess);
    CHECK_INT(gm_cuda_attend_many(how, p, &a->tile, 1), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(how->stream), cudaSuccess);
}

static void compare_forms(const gm_cuda_how *how, arena *a, const gm_cuda_attention *p,
                          uint32_t position)
{
    static float k[CACHE], v[CACHE];
    fill(a, position);
    run_few(how, p);
    check_heads("few rows", a, p);
    memcpy(k, a->k, sizeof k);
    memcpy(v, a->v, sizeof v);
    fill(a, position);
    run_many(how, p, a);
    check_heads("many rows", a, p);
    CHECK_BYTES(k, a->k, sizeof k);
    CHECK_BYTES(v, a->v, sizeof v);
}

static void both_forms_are_the_definition(void)
{
    static const uint32_t positions[] = {0,  1,   31,  32,   33,   63,   64,
                                         65, 512, 600, 1600, 4095, 4096, 4200};
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        const gm_cuda_attention p = describe(a);
        compare_forms(&how, a, &p, positions[i]);
    }
    free_arena(a, &how);
}

/* With the blocks that the window needs, and none more. */
static void windows_and_sinks(void)
{
    static const struct {
        uint32_t position;
        int window, splits;
    } cases[] = {{0, 1, 1},    {70, 1, 1},   {127, 2, 2},   {128, 2, 2},   {300, 65, 2},
                 {191, 66, 3}, {40, 128, 3}, {700, 128, 3}, {4200, 33, 2}, {4210, 4200, 64}};
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_cuda_attention p = describe(a);
        p.window = cases[i].window;
        p.n_splits = gm_cuda_splits(SPLITS, (size_t)p.window);
        p.sinks = i % 3 ? a->sinks : NULL;
        CHECK_INT(p.n_splits, cases[i].splits);
        compare_forms(&how, a, &p, cases[i].position);
    }
    free_arena(a, &how);
}

/* Of which some begin with their row, or with its split. */
static void chunks(void)
{
    static const struct {
        uint32_t position;
        int window;
    } cases[] = {{0, 1}, {63, 64}, {64, 64}, {128, 65}, {191, 66}, {300, 128}, {4200, 33}};
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_cuda_attention p = describe(a);
        p.window = cases[i].window, p.chunked = true;
        p.n_splits = gm_cuda_splits(SPLITS, (size_t)p.window);
        compare_forms(&how, a, &p, cases[i].position);
    }
    free_arena(a, &how);
}

/* Norms without weights, and queries that grow. */
static void lengths_of_queries_and_keys(void)
{
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (int way = 1; way < 4; way++) {
        gm_cuda_attention p = describe(a);
        p.norm_unit = way & 1;
        p.norm_last = way & 1;
        p.grows = way & 2;
        p.epsilon = 0.3f;
        compare_forms(&how, a, &p, 70);
    }
    free_arena(a, &how);
}

/* A value is its key before norm and rotation, or has a norm of its own. */
static void values_that_are_keys(void)
{
    static const uint32_t positions[] = {0, 31, 70};
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++)
        for (int way = 1; way < 4; way++) {
            gm_cuda_attention p = describe(a);
            if (way & 1) p.at_v = p.at_k;
            p.norm_values = way & 2;
            p.epsilon = 0.3f;
            compare_forms(&how, a, &p, positions[i]);
        }
    free_arena(a, &how);
}

/* A block of keys whose scores are below all floats counts nothing, however small those after it.
 */
static void scores_below_all_floats(void)
{
    enum { POSITION = 40 };
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (int many = 0; many < 2; many++) {
        const gm_cuda_attention p = describe(a);
        fill(a, POSITION);
        for (size_t i = 0; i < POSITIONS * (HEAD / 2); i++) a->cosine[i] = 1.0f, a->sine[i] = 0.0f;
        for (size_t i = 0; i < (size_t)p.at_v; i++) a->qkv[i] = i < (size_t)p.at_k ? 1.0f : -20.0f;
        for (size_t k = 0; k < POSITION; k++)
            for (size_t h = 0; h < KV_HEADS; h++)
                for (size_t i = 0; i < HEAD; i++)
                    a->k[cache_at(k, h) + i] = k < GM_KV_BLOCK ? -1e38f : -20.0f;
        if (many)
            run_many(&how, &p, a);
        else
            run_few(&how, &p);
        check_heads(many ? "many rows" : "few rows", a, &p);
    }
    free_arena(a, &how);
}

/* A tile's queries begin to see at 16 positions, on both sides of a block of 32: some see nothing
 * of the first. */
static void queries_of_a_tile_have_windows_of_their_own(void)
{
    enum { POSITION = 90, N = GM_TILE_ROWS };
    static const int windows[] = {1, 7, 33, 59, 64};
    gm_cuda_how how;
    void *at = NULL;
    arena *a = make_arena(&how), *each = gm_alloc(1, sizeof *each);
    CHECK_INT(cudaMallocHost(&at, (N * QKV + N * HEADS * (STRIDE + HEAD)) * sizeof(float) +
                                      N * sizeof(gm_row)),
              cudaSuccess);
    float *query = at, *qkv = query + N * HEADS * STRIDE, *heads = qkv + N * QKV;
    gm_row *row = (gm_row *)(void *)(heads + N * HEADS * HEAD);
    for (size_t i = 0; i < 2 * sizeof windows / sizeof *windows; i++) {
        gm_cuda_attention p = describe(a);
        gm_rng rng = gm_rng_make(12, i);
        fill(a, POSITION);
        for (size_t k = 0; k < N * QKV; k++) qkv[k] = (float)gm_rng_normal(&rng);
        for (uint32_t r = 0; r < N; r++) row[r] = (gm_row){.position = POSITION + r};
        a->tile = (gm_tile){.first = 0, .n = N};
        p.row = row, p.qkv = qkv, p.query = query, p.heads = heads, p.n_rows = N;
        p.window = windows[i / 2], p.chunked = i % 2, p.sinks = i / 2 % 2 ? a->sinks : NULL;
        if (p.window == 1) p.scale = 40.0f; /* a score far below 0 is the only one */
        run_many(&how, &p, a);
        for (uint32_t r = 0; r < N; r++) { /* a row of it as the only one, after what is cached */
            *each = *a;
            each->row.position = POSITION + r;
            memcpy(each->qkv, qkv + r * QKV, sizeof each->qkv);
            memcpy(each->heads, heads + r * HEADS * HEAD, sizeof each->heads);
            check_heads("a tile", each, &p);
        }
    }
    gm_free(each);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
    free_arena(a, &how);
}

/* ---- what is not finite ---- */

/* Element i of the own row of the cache, of either type. */
static double own_element(const void *cache, const arena *a, bool wide, size_t kv_head, size_t i)
{
    const size_t at = cache_at(a->row.position, kv_head) + i;
    if (wide) return (double)((const float *)cache)[at];
    return (double)gm_bf16_to_f32(((const uint16_t *)cache)[at]);
}

/* KV head 1's own row is marked, or is as it was projected; KV head 0's is never marked. Its query
 * heads see what it is. */
static void check_marked(const char *what, const arena *a, bool wide, bool marked)
{
    size_t wrong = 0;
    for (size_t h = 0; h < KV_HEADS; h++)
        for (size_t i = 0; i < HEAD; i++) {
            const double k = own_element(a->k, a, wide, h, i), v = own_element(a->v, a, wide, h, i);
            wrong += (h == 1 && marked ? isnan(k) && v == 0.0 : isfinite(k) && isfinite(v)) ? 0 : 1;
        }
    for (size_t i = 0; i < (size_t)(HEADS * HEAD); i++) {
        const bool sees = i / HEAD / (HEADS / KV_HEADS) == 1 && marked;
        wrong += (sees ? isnan(a->heads[i]) : isfinite(a->heads[i])) ? 0 : 1;
    }
    if (wrong) TEST_FAILED_("%s, %s: %zu elements", what, wide ? "f32" : "bf16", wrong);
}

/* A key or value that is not finite, as it is stored, becomes a key of NaN and a value of 0. */
static void what_is_not_finite_is_marked(void)
{
    enum { KEY = (HEADS + 1) * HEAD, VALUE = (HEADS + KV_HEADS + 1) * HEAD };
    static const struct {
        const char *what;
        int at;
        float x;
        bool in_f32, in_bf16;
    } cases[] = {
        {"all finite", KEY, 1.0f, false, false},
        {"a key of NaN", KEY + 3, NAN, true, true},
        {"an infinite key", KEY + HEAD - 1, -INFINITY, true, true},
        {"an infinite value", VALUE, INFINITY, true, true},
        {"a value of NaN", VALUE + HEAD - 1, NAN, true, true},
        {"a value that bf16 has no room for", VALUE + 20, FLT_MAX, false, true},
    };
    gm_cuda_how how;
    arena *a = make_arena(&how);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int wide = 0; wide < 2; wide++)
            for (int many = 0; many < 2; many++) {
                gm_cuda_attention p = describe(a);
                const bool marked = wide ? cases[i].in_f32 : cases[i].in_bf16;
                fill(a, 70);
                memset(a->k, 0, sizeof a->k), memset(a->v, 0, sizeof a->v); /* of either type */
                a->qkv[cases[i].at] = cases[i].x;
                p.wide = wide;
                if (many)
                    run_many(&how, &p, a);
                else
                    run_few(&how, &p);
                check_marked(cases[i].what, a, wide, marked);
            }
    free_arena(a, &how);
}

TESTS(TEST(both_forms_are_the_definition), TEST(windows_and_sinks), TEST(chunks),
      TEST(lengths_of_queries_and_keys), TEST(values_that_are_keys), TEST(scores_below_all_floats),
      TEST(queries_of_a_tile_have_windows_of_their_own), TEST(what_is_not_finite_is_marked))

/* test_cuda_attention.c - both forms of attention against its definition in double: positions on
 * both sides of a block of 32, of a split of 64, and of where splits get longer; scores of every
 * size, heads that share keys.
 */
#include "emulated_run.h"
#include "engine/cuda/cuda_kernels.h"

enum {
    HEADS = 4,
    KV_HEADS = 2,
    HEAD = 34,
    STRIDE = 40,
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
    float qkv[QKV], heads[HEADS * HEAD];
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

/* The softmax of q k over all positions, times the values. */
static void attend(const arena *a, size_t head, double out[HEAD])
{
    const size_t kv_head = head / (HEADS / KV_HEADS), last = a->row.position;
    double query[HEAD], key[HEAD], score[POSITIONS], top = -INFINITY, total = 0.0;
    rotate(a, a->qkv + head * HEAD, query);
    rotate(a, a->qkv + (HEADS + kv_head) * HEAD, key);
    for (size_t p = 0; p <= last; p++) {
        score[p] = 0.0;
        for (size_t i = 0; i < HEAD; i++)
            score[p] += query[i] * (p == last ? key[i] : (double)a->k[cache_at(p, kv_head) + i]);
        score[p] *= 0.3;
        if (score[p] > top) top = score[p];
    }
    for (size_t i = 0; i < HEAD; i++) out[i] = 0.0;
    for (size_t p = 0; p <= last; p++) {
        const float *value =
            p == last ? a->qkv + (HEADS + KV_HEADS + kv_head) * HEAD : a->v + cache_at(p, kv_head);
        const double w = exp(score[p] - top);
        total += w;
        for (size_t i = 0; i < HEAD; i++) out[i] += w * (double)value[i];
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
                               .at_k = HEADS * HEAD,
                               .at_v = (HEADS + KV_HEADS) * HEAD,
                               .n_splits = SPLITS,
                               .scale = 0.3f,
                               .wide = true};
}

static void check_heads(const char *form, const arena *a)
{
    double worst = 0.0;
    for (size_t h = 0; h < HEADS; h++) {
        double want[HEAD];
        attend(a, h, want);
        for (size_t i = 0; i < HEAD; i++)
            worst = check_larger(worst, fabs((double)a->heads[h * HEAD + i] - want[i]));
    }
    if (!(worst <= 5e-6))
        TEST_FAILED_("%s, position %u: heads off by %.3g", form, a->row.position, worst);
    for (int i = 0; i < HEADS; i++) CHECK_INT(a->ticket[i], 0);
}

static void both_forms_are_the_definition(void)
{
    static const uint32_t positions[] = {0, 1, 31, 32, 33, 63, 64, 65, 512, 600, 4095, 4096, 4200};
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaMallocHost(&at, sizeof(arena)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    const gm_cuda_how how = {.stream = stream, .multiprocessors = 4};
    arena *a = at;
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        fill(a, positions[i]);
        gm_cuda_attention p = describe(a);
        CHECK_INT(gm_cuda_attend_few(&how, &p), cudaSuccess);
        CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
        check_heads("few rows", a);
        fill(a, positions[i]);
        CHECK_INT(gm_cuda_append_many(&how, &p), cudaSuccess);
        CHECK_INT(gm_cuda_attend_many(&how, &p, &a->tile, 1), cudaSuccess);
        CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
        check_heads("many rows", a);
    }
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

TESTS(TEST(both_forms_are_the_definition))

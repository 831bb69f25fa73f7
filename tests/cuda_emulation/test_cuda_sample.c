/* test_cuda_sample.c - sampling on the emulated GPU against sample.c: vocabularies of one block and
 * of several, ties on both sides of where a block's part ends, tokens seen before, logits that are
 * no candidates.
 */
#include "emulated_run.h"
#include "engine/cuda/cuda_kernels.h"
#include "engine/kv.h"
#include "engine/sample.h"

enum { MOST = 16411, PART = 8192 /* of a block */, POSITION = 40, BLOCKS = 2, ROWS = 2 };

/* Pinned memory, which a GPU reaches too. */
typedef struct arena {
    float logits[ROWS][MOST + 5], weight[ROWS][MOST + 5]; /* read 16 bytes at a time: first */
    unsigned long long best[ROWS];
    unsigned seen[ROWS][(MOST + 31) / 32], ticket[ROWS];
    uint32_t token[BLOCKS * GM_KV_BLOCK], block[BLOCKS], sampled[ROWS];
    gm_row row[ROWS];
    gm_cuda_head head[ROWS];
} arena;

static const gm_sampling samplings[] = {
    {.temperature = 0, .top_p = 1, .repetition_penalty = 1},
    {.temperature = 0, .top_p = 1, .repetition_penalty = 3},
    {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 5},
    {.temperature = 2, .top_k = 50, .top_p = 0.8, .repetition_penalty = 1.5, .seed = 6},
};
enum { N_SAMPLINGS = sizeof samplings / sizeof *samplings };

/* Whole numbers, so that there are ties; the largest at both ends of a block's part; row 1 has
 * nothing but a few candidates. */
static void fill(arena *a, size_t vocab)
{
    gm_rng rng = gm_rng_make(3, vocab);
    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < vocab; i++) {
        a->logits[0][i] = (float)floor(2.0 * gm_rng_normal(&rng));
        a->logits[1][i] = i % 7 == 3 ? (float)gm_rng_normal(&rng) : i % 2 ? NAN : -INFINITY;
    }
    if (vocab > PART) a->logits[0][PART - 1] = a->logits[0][PART] = 11.0f;
    a->block[0] = 1, a->block[1] = 0;
    for (size_t i = 0; i < BLOCKS * GM_KV_BLOCK; i++) /* the strongest among them, and some twice */
        a->token[i] = i % 3 && vocab > PART ? PART - 1 : (uint32_t)gm_rng_below(&rng, vocab);
}

static gm_cuda_finish describe(arena *a, size_t vocab, const gm_sampling *s)
{
    for (uint32_t r = 0; r < ROWS; r++) {
        a->row[r] = (gm_row){.position = POSITION};
        a->head[r] = (gm_cuda_head){.row = r,
                                    .segment = (int32_t)r,
                                    .target = GM_NO_TARGET,
                                    .top_k = s->top_k,
                                    .temperature = s->temperature,
                                    .top_p = s->top_p,
                                    .penalty = s->repetition_penalty,
                                    .seed = s->seed};
    }
    return (gm_cuda_finish){.head = a->head,
                            .row = a->row,
                            .logits = a->logits[0],
                            .weight = a->weight[0],
                            .seen = a->seen[0],
                            .best = a->best,
                            .ticket = a->ticket,
                            .token = a->token,
                            .block = a->block,
                            .sampled = a->sampled,
                            .stride = MOST + 5,
                            .seen_words = (MOST + 31) / 32,
                            .blocks_per_sequence = BLOCKS,
                            .n = ROWS,
                            .vocab = (int)vocab};
}

/* What sample.c says of row r as it is before the kernel. */
static uint32_t expected(const arena *a, size_t r, size_t vocab, const gm_sampling *s)
{
    static float logits[MOST], weight[MOST];
    static uint32_t order[MOST];
    static uint8_t seen[MOST];
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i <= POSITION; i++)
        seen[a->token[a->block[i / GM_KV_BLOCK] * GM_KV_BLOCK + i % GM_KV_BLOCK]] = 1;
    memcpy(logits, a->logits[r], vocab * sizeof *logits);
    if (s->repetition_penalty != 1.0)
        gm_sample_penalise(logits, seen, vocab, s->repetition_penalty);
    return gm_sample_token(logits, vocab, s, POSITION + 1, order, weight);
}

static void the_same_token_as_the_definition(void)
{
    static const size_t sizes[] = {1, 31, 33, 257, MOST};
    void *at = NULL;
    cudaStream_t stream = NULL;
#ifdef GM_REAL_GPU
    gm_model_close(open_tiny("olmoe-tiny", "cuda", GM_NUMERICS_F32)); /* or skipped */
#endif
    CHECK_INT(cudaMallocHost(&at, sizeof(arena)), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
    const gm_cuda_how how = {.stream = stream, .multiprocessors = 4};
    arena *a = at;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < N_SAMPLINGS; k++) {
            uint32_t want[ROWS];
            fill(a, sizes[i]);
            const gm_cuda_finish p = describe(a, sizes[i], &samplings[k]);
            for (size_t r = 0; r < ROWS; r++) want[r] = expected(a, r, sizes[i], &samplings[k]);
            CHECK_INT(gm_cuda_sample_rows(&how, &p), cudaSuccess);
            CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
            for (size_t r = 0; r < ROWS; r++) {
                if (a->sampled[r] != want[r])
                    TEST_FAILED_("%zu tokens, sampling %zu, row %zu: %u, expected %u", sizes[i], k,
                                 r, a->sampled[r], want[r]);
                CHECK_INT(a->best[r] != 0 || a->ticket[r] != 0, 0);
            }
            for (size_t w = 0; w < sizeof a->seen / sizeof **a->seen; w++)
                CHECK_INT(a->seen[w / p.seen_words][w % p.seen_words], 0);
        }
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_INT(cudaFreeHost(at), cudaSuccess);
}

TESTS(TEST(the_same_token_as_the_definition))

/* bench_recording.c - what recording costs gm-probe collect: the same blocks computed with
 * nothing recorded, and with counts, choices and the logits of 1 % of the tokens recorded and
 * written as shards.
 *
 *     bench_recording MODEL CORPUS [DOCUMENTS [BLOCKS [ROUNDS [STEP]]]]
 *
 * A block is the first DOCUMENTS of the corpus. Tokenizing is not timed. The levels take turns,
 * the other way round in every other round; costs are medians over rounds of a level beside
 * nothing in the same round. Tokens a second of processor time are what to look at on a machine
 * that others use as well. A run's last block is written while nothing is computed: BLOCKS says
 * how much that weighs.
 */
#include "base/progress.h"
#include "formats/shards.h"
#include "probe/blocks.h"
#include "probe/runner.h"
#include "probe/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    N_MODES = 4,
    MAX_BLOCKS = 64,
    MAX_ROUNDS = 64,
    DOC_TOKENS = 512,
    MAX_DOCUMENT = DOC_TOKENS + 64
};
static const char *const mode_name[N_MODES] = {"nothing", "counts", "choices", "logits of 1 %"};

typedef struct bench {
    gm_model *model;
    gm_tokenizer *tokenizer;
    const char *corpus;
    size_t documents, n_blocks, step;
    gm_probe_block *block[MAX_BLOCKS]; /* of the round to come */
} bench;

static gm_status make_blocks(bench *b, gm_error *err)
{
    gm_status status = GM_OK;
    gm_blocks *blocks = NULL;
    const gm_blocks_options options = {
        .paths = &b->corpus,
        .n_paths = 1,
        .corpus = {.text_field = "text", .subset_field = "meta.pile_set_name"},
        .tokenizer = b->tokenizer,
        .doc_tokens = DOC_TOKENS,
        .max_context = (size_t)gm_model_get_info(b->model)->max_context,
        .min_tokens = DOC_TOKENS,
        .limit = b->documents,
        .keep_text = true};
    for (size_t i = 0; i < b->n_blocks; i++) {
        GM_TRY(gm_blocks_create(&blocks, &options, err));
        GM_TRY(gm_blocks_next(blocks, &b->block[i], err));
        b->block[i]->number = i;
        gm_blocks_free(blocks);
        blocks = NULL;
    }
out:
    gm_blocks_free(blocks);
    return status;
}

/* Steps as the runner cuts them, and nothing of what the routers did. */
static gm_status run_bare(gm_session *session, const gm_probe_block *block, size_t step,
                          gm_error *err)
{
    gm_status status = GM_OK;
    gm_segment segment[GM_BLOCK_MAX_DOCUMENTS];
    for (size_t d = 0; d < block->n_documents;) {
        size_t rows = 0, n = 0;
        for (; d < block->n_documents && rows + block->document[d].n_rows <= step; d++, n++) {
            const size_t begin = block->begin[d], length = block->document[d].n_rows;
            int id;
            GM_TRY(gm_sequence_open(session, length, &id, err));
            segment[n] = (gm_segment){.sequence = id,
                                      .n = length,
                                      .token = block->token.at + begin,
                                      .phase = block->phase + begin,
                                      .edit = -1};
            rows += length;
        }
        GM_TRY(gm_session_step(session, segment, n, NULL, NULL, err));
        for (size_t i = 0; i < n; i++) gm_sequence_close(session, segment[i].sequence);
    }
out:
    return status;
}

static gm_trace_info info_of(const bench *b, const gm_runner_options *o)
{
    const gm_model_info *m = gm_model_get_info(b->model);
    return (gm_trace_info){.n_layers = m->n_moe_layers,
                           .n_experts = m->n_experts,
                           .n_chosen = m->n_chosen,
                           .layer_of_moe = m->layer_of_moe,
                           .level = o->level,
                           .has_text = true,
                           .logits_rate = o->logits_rate,
                           .model = "bench",
                           .architecture = m->architecture,
                           .family = m->family,
                           .model_digest = m->digest,
                           .tokenizer_digest = "",
                           .numerics = gm_numerics_name(m->numerics),
                           .kernels = m->kernels,
                           .device = "cpu",
                           .invariance = "B",
                           .scoring = m->scoring,
                           .command = "",
                           .options = "{}",
                           .fingerprint = m->digest,
                           .provenance = "{}",
                           .steering = ""};
}

/* Seconds of all threads. */
static double processor_now(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Tokens a second, of the clock and of a processor. */
typedef struct rates {
    double clock, processor;
} rates;

/* Of all blocks at one level, until the last is on disk. */
static gm_status measure(bench *b, int mode, rates *rate, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_runner_options options = {.level = mode <= 1   ? GM_RECORD_COUNTS
                                                : mode == 2 ? GM_RECORD_CHOICES
                                                            : GM_RECORD_LOGITS,
                                       .logits_rate = mode == 3 ? 0.01 : 0,
                                       .step_tokens = b->step,
                                       .max_document = MAX_DOCUMENT};
    const gm_session_options so = gm_runner_session(&options);
    const gm_trace_info info = info_of(b, &options);
    gm_runner *runner = NULL;
    gm_session *session = NULL;
    gm_writer *writer = NULL;
    gm_shard_lock lock = {0};
    bool mine = false;
    size_t tokens = 0;
    GM_TRY(make_blocks(b, err));
    GM_TRY(gm_shard_lock_take(&lock, "bench.parts", 0, 1, err));
    mine = true;
    if (mode == 0)
        GM_TRY(gm_session_create(&session, b->model, &so, err));
    else
        GM_TRY(gm_runner_create(&runner, b->model, &options, err));
    GM_TRY(gm_writer_create(&writer, "bench.parts", &info, err));
    const double start = gm_now(), used = processor_now();
    for (size_t i = 0; i < b->n_blocks; i++) {
        gm_probe_block *block = b->block[i];
        tokens += block->token.n;
        GM_TRY(mode == 0 ? run_bare(session, block, b->step, err)
                         : gm_runner_run(runner, block, NULL, NULL, err));
        if (mode == 0) continue;
        b->block[i] = NULL; /* now the writer's */
        GM_TRY(gm_writer_put(writer, block, err));
    }
    status = gm_writer_finish(writer, err);
    writer = NULL;
    *rate = (rates){(double)tokens / (gm_now() - start), (double)tokens / (processor_now() - used)};
out:
    if (writer) (void)!gm_writer_finish(writer, NULL);
    for (size_t i = 0; i < b->n_blocks; i++) gm_probe_block_free(b->block[i]), b->block[i] = NULL;
    gm_runner_free(runner);
    gm_session_free(session);
    if (mine && gm_shards_remove("bench.parts", NULL) != GM_OK) gm_warn("'bench.parts' stays");
    gm_shard_lock_release(&lock);
    return status;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* Median rates of a mode, and its medians beside nothing recorded in the same round. */
static void print_mode(int mode, rates round[][N_MODES], size_t n)
{
    double clock[MAX_ROUNDS], processor[MAX_ROUNDS], more[MAX_ROUNDS], used[MAX_ROUNDS];
    for (size_t i = 0; i < n; i++) {
        clock[i] = round[i][mode].clock;
        processor[i] = round[i][mode].processor;
        more[i] = 100 * (round[i][0].clock / clock[i] - 1);
        used[i] = 100 * (round[i][0].processor / processor[i] - 1);
    }
    const double middle = median(more, n); /* and they are sorted */
    printf("%-14s %8.1f tokens/s, %+5.1f %% of time (%+.1f to %+.1f)  %8.1f a processor's second, "
           "%+5.1f %%\n",
           mode_name[mode], median(clock, n), middle, more[0], more[n - 1], median(processor, n),
           median(used, n));
}

static size_t number_at(int argc, char **argv, int i, size_t otherwise)
{
    int64_t n;
    return i < argc && gm_parse_i64(argv[i], &n) && n > 0 ? (size_t)n : otherwise;
}

int main(int argc, char **argv)
{
    gm_status status = GM_OK;
    gm_error failure = {0}, *err = &failure;
    static rates round[MAX_ROUNDS][N_MODES];
    if (argc < 3) {
        fprintf(stderr,
                "usage: bench_recording MODEL CORPUS [DOCUMENTS [BLOCKS [ROUNDS [STEP]]]]\n");
        return 2;
    }
    bench b = {.corpus = argv[2],
               .documents = number_at(argc, argv, 3, 100),
               .n_blocks = number_at(argc, argv, 4, 2),
               .step = number_at(argc, argv, 6, 2048)};
    size_t n_rounds = number_at(argc, argv, 5, 3);
    const gm_model_options options = {.no_head = true};
    if (b.n_blocks > MAX_BLOCKS) b.n_blocks = MAX_BLOCKS;
    if (n_rounds > MAX_ROUNDS) n_rounds = MAX_ROUNDS;
    if (b.step < MAX_DOCUMENT) b.step = MAX_DOCUMENT;
    GM_TRY(gm_tokenizer_open(&b.tokenizer, argv[1], err));
    GM_TRY(gm_model_open(&b.model, argv[1], &options, err));
    for (size_t i = 0; i < n_rounds; i++)
        for (int turn = 0; turn < N_MODES; turn++) {
            int mode = i % 2 ? N_MODES - 1 - turn : turn;
            GM_TRY(measure(&b, mode, &round[i][mode], err));
            fprintf(stderr, "round %zu: %-14s %8.1f tokens/s\n", i, mode_name[mode],
                    round[i][mode].clock);
        }
    for (int mode = 0; mode < N_MODES; mode++) print_mode(mode, round, n_rounds);
out:
    if (status != GM_OK) fprintf(stderr, "bench_recording: %s\n", failure.text);
    gm_model_close(b.model);
    gm_tokenizer_close(b.tokenizer);
    return status == GM_OK ? 0 : 1;
}

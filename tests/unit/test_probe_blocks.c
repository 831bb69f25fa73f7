/* test_probe_blocks.c - blocks are a pure function of corpus and options: cut in one go
 * or with blocks passed over, sampled by hash whatever the order. */
#include "probe/blocks.h"
#include "base/cli.h"
#include "tests/put_file.h"

#include <signal.h>
#include <unistd.h>

#define MODEL TEST_DATA "/../notebooks-data/demo-model"

enum { DOCUMENTS = 2500 };

static gm_tokenizer *tokenizer;

/* Lines in order, or backwards; every tenth is not JSON. */
static void write_corpus(const char *path, bool backwards)
{
    FILE *out = fopen(path, "w");
    for (int k = 0; k < DOCUMENTS; k++) {
        int i = backwards ? DOCUMENTS - 1 - k : k;
        if (i % 10 == 3)
            fprintf(out, "not json %d\n", i);
        else
            fprintf(out,
                    "{\"text\": \"document %d of rivers and roads\", \"meta\": "
                    "{\"pile_set_name\": \"S%d\"}}\n",
                    i, i % 3);
    }
    fclose(out);
}

static gm_blocks_options options_for(const char *const *path)
{
    gm_error err = {0};
    if (tokenizer == NULL) CHECK_OK(gm_tokenizer_open(&tokenizer, MODEL, &err), err);
    return (gm_blocks_options){.paths = path,
                               .n_paths = 1,
                               .tokenizer = tokenizer,
                               .doc_tokens = 4,
                               .max_context = 512,
                               .min_tokens = 3,
                               .keep_text = true};
}

static void passing_over_changes_nothing(void)
{
    static const char *const path[] = {"corpus.jsonl"};
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    gm_probe_block *whole[4] = {0}, *again = NULL;
    size_t n = 0, kept = 0;
    write_corpus(path[0], false);
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    for (; n < 4; n++) {
        CHECK_OK(gm_blocks_next(blocks, &whole[n], &err), err);
        if (whole[n] == NULL) break;
        kept += whole[n]->n_documents;
        CHECK(whole[n]->n_documents <= GM_BLOCK_MAX_DOCUMENTS);
        CHECK(whole[n]->document[0].truncated && whole[n]->document[0].n_tokens == 4);
    }
    gm_blocks_free(blocks);
    CHECK_INT(n, 3);
    CHECK_INT(kept, DOCUMENTS - DOCUMENTS / 10);
    CHECK_INT(whole[0]->n_read + whole[1]->n_read + whole[2]->n_read, DOCUMENTS);
    CHECK(whole[0]->more && whole[1]->more && !whole[2]->more);

    for (unsigned there = 0; there < 8; there++) { /* every set of blocks that are there */
        CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
        for (size_t b = 0; b < 3; b++) {
            const gm_probe_block *want = whole[b];
            if (there >> b & 1) {
                uint8_t sha[GM_BLOCK_MAX_DOCUMENTS * 32];
                for (size_t i = 0; i < want->n_documents; i++)
                    memcpy(sha + 32 * i, want->document[i].sha, 32);
                CHECK_OK(gm_blocks_skip(blocks, want->n_read, sha, want->n_documents, &err), err);
                continue;
            }
            CHECK_OK(gm_blocks_next(blocks, &again, &err), err);
            CHECK(again != NULL && again->number == b);
            CHECK_INT(again->n_read, want->n_read);
            CHECK_INT(again->n_documents, want->n_documents);
            CHECK_INT(again->token.n, want->token.n);
            CHECK(memcmp(again->token.at, want->token.at, want->token.n * sizeof(uint32_t)) == 0);
            CHECK(memcmp(again->skipped, want->skipped, sizeof want->skipped) == 0);
            gm_probe_block_free(again);
        }
        gm_blocks_free(blocks);
    }
    for (size_t b = 0; b < 3; b++) gm_probe_block_free(whole[b]);
}

static void a_changed_corpus_is_noticed(void)
{
    static const char *const path[] = {"corpus.jsonl"};
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    const uint8_t sha[32] = {1};
    write_corpus(path[0], false);
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    CHECK_FAILS(gm_blocks_skip(blocks, 1000, sha, 1, &err), err, GM_EFORMAT,
                "the corpus is not the one that block 0 was made from; give --force to start over");
    gm_blocks_free(blocks);
}

/* Sum of the digests, as far as 64 bits hold them, of the texts that a sample takes: the same for
 * both orders of lines. */
static uint64_t sampled(const char *const *path, uint64_t n, bool per_subset, size_t *kept)
{
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    gm_probe_block *block = NULL;
    uint64_t sum = 0, digest;
    options.sample = n;
    options.per_subset = per_subset;
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    for (*kept = 0;;) {
        CHECK_OK(gm_blocks_next(blocks, &block, &err), err);
        if (block == NULL) break;
        *kept += block->n_documents;
        for (size_t i = 0; i < block->n_documents; i++) {
            memcpy(&digest, block->document[i].sha, sizeof digest);
            sum += digest;
        }
        gm_probe_block_free(block);
    }
    gm_blocks_free(blocks);
    return sum;
}

static void samples_do_not_depend_on_order(void)
{
    static const char *const forth[] = {"forth.jsonl"}, *const back[] = {"back.jsonl"};
    size_t kept;
    write_corpus(forth[0], false);
    write_corpus(back[0], true);
    uint64_t sum = sampled(forth, 50, false, &kept);
    CHECK_INT(kept, 50);
    CHECK_INT(sampled(back, 50, false, &kept), sum);
    sum = sampled(forth, 20, true, &kept);
    CHECK_INT(kept, 60);
    CHECK_INT(sampled(back, 20, true, &kept), sum);
}

static void a_useless_corpus_says_why(void)
{
    static const char *const path[] = {"useless.jsonl"};
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    gm_probe_block *block = NULL;
    put_text(path[0], "nonsense\n{\"text\": \"a\"}\n");
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    CHECK_FAILS(gm_blocks_next(blocks, &block, &err), err, GM_EFORMAT,
                "no usable document in corpus 'useless.jsonl' (1 not_json, 1 too_short)");
    gm_blocks_free(blocks);
}

/* It would be empty when it is read again. */
static void a_pipe_is_not_sampled(void)
{
    gm_error err = {0};
    gm_blocks *blocks = NULL;
    int end[2];
    char name[32];
    const char *const path[] = {name};
    gm_blocks_options options = options_for(path);
    CHECK_INT(pipe(end), 0);
    close(end[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", end[0]);
    options.sample = 2;
    CHECK_FAILS(gm_blocks_create(&blocks, &options, &err), err, GM_EIO, "is a pipe, which can be");
    close(end[0]);
}

/* A field that differs in every document is no subset. */
static void too_many_subsets_are_said_while_they_are_read(void)
{
    static const char *const path[] = {"many.jsonl"};
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    gm_probe_block *block = NULL;
    FILE *out = fopen(path[0], "w");
    for (int i = 0; i < 65536; i++) fprintf(out, "{\"text\":\"a b c\",\"url\":%d}\n", i);
    fclose(out);
    options.corpus.subset_field = "url";
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    for (int i = 0; i < 63; i++) {
        CHECK_OK(gm_blocks_next(blocks, &block, &err), err);
        gm_probe_block_free(block);
    }
    CHECK_FAILS(gm_blocks_next(blocks, &block, &err), err, GM_EFORMAT,
                "more than the 65535 subsets that a trace can name; the next is '65535'");
    gm_blocks_free(blocks);
}

/* Whoever waits for a document of a large corpus can stop it. */
static void an_interrupt_ends_the_reading(void)
{
    static const char *const path[] = {"corpus.jsonl"};
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    gm_probe_block *block = NULL;
    const uint8_t sha[32] = {1};
    write_corpus(path[0], false);
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    gm_catch_signals();
    CHECK_INT(raise(SIGINT), 0);
    CHECK_FAILS(gm_blocks_next(blocks, &block, &err), err, GM_EINTERRUPTED, "interrupted");
    CHECK_FAILS(gm_blocks_skip(blocks, 9, sha, 1, &err), err, GM_EINTERRUPTED, "interrupted");
    CHECK(gm_interrupt_taken() && block == NULL);
    gm_blocks_free(blocks);
}

/* What was drawn is known by its text: another one in its place is noticed, at the same size too.
 */
static void a_corpus_that_changed_since_the_drawing_is_noticed(void)
{
    static const char *const path[] = {"corpus.jsonl"};
    gm_error err = {0};
    gm_blocks_options options = options_for(path);
    gm_blocks *blocks = NULL;
    gm_probe_block *block = NULL;
    options.sample = 5;
    write_corpus(path[0], false);
    CHECK_OK(gm_blocks_create(&blocks, &options, &err), err);
    write_corpus(path[0], true);
    CHECK_FAILS(gm_blocks_next(blocks, &block, &err), err, GM_EFORMAT,
                "'corpus.jsonl' has changed since this run drew its documents");
    gm_blocks_free(blocks);
}

TESTS(TEST(an_interrupt_ends_the_reading), TEST(a_corpus_that_changed_since_the_drawing_is_noticed),
      TEST(a_pipe_is_not_sampled), TEST(too_many_subsets_are_said_while_they_are_read),
      TEST(passing_over_changes_nothing), TEST(a_changed_corpus_is_noticed),
      TEST(samples_do_not_depend_on_order), TEST(a_useless_corpus_says_why))

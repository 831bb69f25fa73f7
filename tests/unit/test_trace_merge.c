/* test_trace_merge.c - what becomes of shards of older programs, and of a document too long to be
 * recounted at once. */
#include "formats/trace.h"
#include "tests/written_sample.h"

#include <hdf5.h>

/* ---- a long document ---- */

enum { LONG = 40000, ROWS = LONG + 8, E = 4, DOCUMENTS = 3 };

static const uint32_t N_ROWS[DOCUMENTS] = {4, LONG, 4};

static struct {
    uint32_t counts[DOCUMENTS * E];
    uint16_t expert[ROWS];
    float gate[ROWS], mass[ROWS], margin[ROWS], nll[ROWS];
    uint32_t token_id[ROWS], pos[ROWS];
    uint8_t phase[ROWS];
} rows;

/* One long document between two short ones, in one layer. */
static void fill_rows(void)
{
    memset(&rows, 0, sizeof rows);
    for (size_t d = 0, row = 0; d < DOCUMENTS; d++)
        for (uint32_t p = 0; p < N_ROWS[d]; p++, row++) {
            rows.expert[row] = (uint16_t)(row % 7 % E);
            rows.gate[row] = 0.5f;
            rows.nll[row] = p == 0 ? NAN : 1.5f;
            rows.pos[row] = p;
            rows.phase[row] = p == 0 ? GM_TRACE_TEMPLATE : GM_TRACE_PROMPT;
            if (p > 0) rows.counts[d * E + rows.expert[row]]++;
        }
}

static gm_trace *write_rows(const char *path)
{
    static const int layer[] = {0};
    static const uint64_t skipped[2] = {0};
    gm_error err = {0};
    gm_trace *trace = NULL;
    gm_trace_document document[DOCUMENTS];
    for (uint32_t d = 0; d < DOCUMENTS; d++)
        document[d] = (gm_trace_document){.id = d == 0   ? "a"
                                                : d == 1 ? "b"
                                                         : "c",
                                          .sha = {(uint8_t)d},
                                          .subset = "",
                                          .n_rows = N_ROWS[d],
                                          .n_tokens = N_ROWS[d] - 1};
    const gm_trace_info info = {.n_layers = 1,
                                .n_experts = E,
                                .n_chosen = 1,
                                .layer_of_moe = layer,
                                .level = GM_RECORD_CHOICES,
                                .has_nll = true,
                                .options = "{}"};
    const gm_trace_block block = {.n_documents = DOCUMENTS,
                                  .n_rows = ROWS,
                                  .document = document,
                                  .counts = rows.counts,
                                  .expert = rows.expert,
                                  .gate = rows.gate,
                                  .mass = rows.mass,
                                  .margin = rows.margin,
                                  .token_id = rows.token_id,
                                  .pos = rows.pos,
                                  .phase = rows.phase,
                                  .nll = rows.nll,
                                  .skipped = skipped,
                                  .n_read = DOCUMENTS};
    CHECK_OK(gm_trace_write(path, &info, &block, SAMPLE_REASONS, 2, true, &err), err);
    CHECK_OK(gm_trace_open(&trace, path, &err), err);
    return trace;
}

/* The check that fails, and how, or NULL when all pass. */
static const gm_trace_check *failing(gm_trace *trace)
{
    static gm_trace_check check[GM_MAX_CHECKS];
    gm_error err = {0};
    size_t n = 0;
    CHECK_OK(gm_trace_verify(trace, check, &n, &err), err);
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++)
        if (!check[i].passed) return &check[i];
    return NULL;
}

static void a_long_document_is_recounted(void)
{
    const char *const path[] = {"long.h5"};
    gm_error err = {0};
    fill_rows();
    gm_trace *trace = write_rows(path[0]);
    CHECK(failing(trace) == NULL);
    gm_trace_close(trace);
    CHECK_OK(gm_trace_merge("merged.h5", path, 1, true, &err), err);

    rows.pos[LONG - 7] = 9; /* of its last piece */
    trace = write_rows(path[0]);
    const gm_trace_check *check = failing(trace);
    CHECK(check != NULL);
    if (check) CHECK_TEXT(check->name, "tokens");
    if (check) CHECK_TEXT(check->detail, "token 39993 has position 9 and phase 0");
    gm_trace_close(trace);

    fill_rows();
    rows.counts[E + 2]++; /* the long one's */
    rows.counts[E + 3]--;
    gm_trace_close(write_rows(path[0]));
    CHECK_FAILS(gm_trace_merge("no.h5", path, 1, true, &err), err, GM_ECHECK,
                "document 1 layer 0 expert 2: counted");
}

/* ---- shards of a run ---- */

static void write_shard(const char *path, int number, bool knows)
{
    static sample s;
    sample_fill(&s, GM_RECORD_CHOICES, 8, (uint64_t)number);
    s.block.more = number == 0;
    sample_write(&s, path);
    if (knows) return;
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    CHECK(H5Adelete(file, "config_digest") >= 0);
    CHECK(H5Fclose(file) >= 0);
}

/* Shares of one run, of which an older program wrote one: what any of them knows is kept. */
static void a_digest_that_one_shard_has_is_the_whole_s(void)
{
    static const char *const shard[] = {"0.h5", "1.h5"};
    static const char *const out[] = {"merged.h5", "index.h5"};
    for (int knows = 0; knows < 4; knows++) {
        write_shard(shard[0], 0, knows & 1);
        write_shard(shard[1], 1, knows & 2);
        for (int i = 0; i < 2; i++) {
            gm_error err = {0};
            gm_trace *trace = NULL;
            CHECK_OK((i ? gm_trace_index : gm_trace_merge)(out[i], shard, 2, true, &err), err);
            CHECK_OK(gm_trace_open(&trace, out[i], &err), err);
            if (trace) CHECK_TEXT(gm_trace_get_info(trace)->config_digest, knows ? "c0de" : "");
            gm_trace_close(trace);
        }
    }
}

/* Whatever their fingerprint says. */
static void shards_have_the_same_columns(void)
{
    static const char *const shard[] = {"0.h5", "1.h5"};
    static sample s;
    for (int without = 0; without < 4; without++) {
        gm_error err = {0};
        write_shard(shard[without & 1], without & 1, true);
        sample_fill(&s, GM_RECORD_CHOICES, 8, without & 1 ? 0 : 1);
        s.block.more = without & 1;
        s.info.no_gates = without < 2;
        s.info.no_margins = without >= 2;
        sample_write(&s, shard[1 - (without & 1)]);
        CHECK_FAILS(gm_trace_merge("no.h5", shard, 2, true, &err), err, GM_EFORMAT,
                    "is from a different run");
    }
}

/* HDF5 takes a percent sign in the name of a mapped file for a format; what it does not find it
 * fills up. */
static void a_shard_may_have_a_percent_sign(void)
{
    static const char *const shard[] = {"50%.h5", "%b%%.h5"};
    gm_error err = {0};
    uint32_t counts[2 * SAMPLE_DOCUMENTS * SAMPLE_L * 8], sum = 0;
    for (int i = 0; i < 2; i++) write_shard(shard[i], i, true);
    CHECK_OK(gm_trace_index("percent.h5", shard, 2, true, &err), err);
    hid_t file = H5Fopen("percent.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "/samples/counts", H5P_DEFAULT);
    CHECK(H5Dread(set, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, counts) >= 0);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) sum += counts[i];
    CHECK_INT(sum, 2 * (SAMPLE_ROWS - SAMPLE_DOCUMENTS) * SAMPLE_L * SAMPLE_K);
    H5Dclose(set);
    H5Fclose(file);
}

TESTS(TEST(a_long_document_is_recounted), TEST(a_digest_that_one_shard_has_is_the_whole_s),
      TEST(shards_have_the_same_columns), TEST(a_shard_may_have_a_percent_sign))

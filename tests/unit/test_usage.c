/* test_usage.c - cluster/usage.c: rows of counts or gates, their order, what is not counted. */
#include "cluster/usage.h"
#include "tests/synthetic_trace.h"
#include "tests/written_sample.h"

#include <sys/resource.h>
#include <unistd.h>

enum { EXPERTS = 8, CELLS = SAMPLE_L * EXPERTS };

static sample s;

/* Of this process, by /proc/self/statm. */
static size_t mapped_bytes(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%zu", &pages) == 1);
    if (file) fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static gm_trace *open_sample(gm_record_level level)
{
    gm_trace *trace = sample_open(&s, "usage.h5");
    CHECK_INT(gm_trace_get_info(trace)->level, level);
    return trace;
}

static void rows_sum_to_one_and_lead_back(void)
{
    gm_usage usage;
    gm_error err = {0};
    bool seen[SAMPLE_DOCUMENTS] = {0};
    sample_fill(&s, GM_RECORD_CHOICES, EXPERTS, 0);
    gm_trace *trace = open_sample(GM_RECORD_CHOICES);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    CHECK_OK(gm_usage_read(&usage, trace, GM_USAGE_COUNTS, NULL, &err), err);
    CHECK_INT(usage.n, SAMPLE_DOCUMENTS);
    CHECK_INT(usage.dim, CELLS);
    CHECK_INT(usage.n_zero, 0);
    CHECK_INT(usage.n_distinct, SAMPLE_DOCUMENTS);
    for (size_t i = 0; i < usage.n; i++) {
        const size_t at = usage.place[i];
        const uint32_t *counts = s.counts + at * CELLS;
        double n = (double)s.document[at].n_tokens * SAMPLE_L * SAMPLE_K, sum = 0;
        CHECK(!seen[at]);
        seen[at] = true;
        for (size_t c = 0; c < CELLS; c++) {
            CHECK_NEAR(usage.row[i][c], counts[c] / n, 1e-7);
            sum += (double)usage.row[i][c];
        }
        CHECK_NEAR(sum, 1, 1e-6);
        CHECK_INT(usage.subset[i], samples->subset[at]);
        CHECK_BYTES(usage.sha[i], s.document[at].sha, 32);
    }
    gm_usage_clear(&usage);
    gm_trace_close(trace);
}

/* The sum of gates of counted tokens: template tokens and bad rows are left out. */
static void gates_are_summed(void)
{
    gm_usage usage;
    gm_error err = {0};
    double want[SAMPLE_DOCUMENTS * CELLS] = {0}, total[SAMPLE_DOCUMENTS] = {0};
    size_t row = 0;
    sample_fill(&s, GM_RECORD_CHOICES, EXPERTS, 0);
    /* Row 6, the third of document 1, is bad in layer 1. */
    for (size_t k = 0; k < SAMPLE_K; k++) {
        size_t at = (6 * SAMPLE_L + 1) * SAMPLE_K + k;
        s.counts[(1 * SAMPLE_L + 1) * EXPERTS + s.expert[at]]--;
        s.expert[at] = GM_TRACE_NO_EXPERT;
        s.gate[at] = NAN;
    }
    for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++)
        for (size_t p = 0; p < s.document[d].n_rows; p++, row++)
            for (size_t c = 0; p > 0 && c < SAMPLE_L * SAMPLE_K; c++) {
                uint16_t e = s.expert[row * SAMPLE_L * SAMPLE_K + c];
                double gate = (double)s.gate[row * SAMPLE_L * SAMPLE_K + c];
                if (e == GM_TRACE_NO_EXPERT) continue;
                want[d * CELLS + c / SAMPLE_K * EXPERTS + e] += gate;
                total[d] += gate;
            }
    gm_trace *trace = open_sample(GM_RECORD_CHOICES);
    CHECK_OK(gm_usage_read(&usage, trace, GM_USAGE_GATES, NULL, &err), err);
    for (size_t i = 0; i < usage.n; i++)
        for (size_t c = 0; c < CELLS; c++) {
            size_t at = usage.place[i];
            CHECK_NEAR(usage.row[i][c], want[at * CELLS + c] / total[at], 1e-7);
        }
    gm_usage_clear(&usage);
    gm_trace_close(trace);
}

static void gates_that_were_not_recorded(void)
{
    gm_usage usage;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_COUNTS, EXPERTS, 0);
    gm_trace *trace = open_sample(GM_RECORD_COUNTS);
    CHECK_FAILS(gm_usage_read(&usage, trace, GM_USAGE_GATES, NULL, &err), err, GM_EABSENT,
                "--record choices");
    CHECK(usage.row == NULL);
    gm_trace_close(trace);
}

/* Nothing but the place may depend on the order of the corpus. */
static void order_of_the_corpus_does_not_matter(void)
{
    enum { MANY = 600 }; /* more than a block of reading */
    size_t order[MANY];
    gm_error err = {0};
    synthetic docs = synthetic_make(MANY, 3);
    gm_usage a, b;
    gm_trace *trace = NULL;
    for (size_t i = 0; i < MANY; i++) order[i] = (i * 7 + 5) % MANY;
    synthetic_copy_counts(&docs, 100, 4); /* equal counts: then the text decides */
    synthetic_copy_counts(&docs, 599, 4);
    synthetic_empty(&docs, 17);
    synthetic_write(&docs, NULL, false, "straight.h5");
    synthetic_write(&docs, order, false, "shuffled.h5");
    CHECK_OK(gm_trace_open(&trace, "straight.h5", &err), err);
    CHECK_OK(gm_usage_read(&a, trace, GM_USAGE_COUNTS, NULL, &err), err);
    gm_trace_close(trace);
    CHECK_OK(gm_trace_open(&trace, "shuffled.h5", &err), err);
    CHECK_OK(gm_usage_read(&b, trace, GM_USAGE_COUNTS, NULL, &err), err);
    gm_trace_close(trace);
    for (size_t i = 0; i < MANY; i++) CHECK_BYTES(b.row[i], a.row[i], SYN_DIM * sizeof(float));
    CHECK_BYTES(b.sha, a.sha, MANY * sizeof *a.sha);
    for (size_t i = 0; i < MANY; i++) CHECK_INT(order[b.place[i]], a.place[i]);
    CHECK_INT(a.n_distinct, MANY - 3); /* two copies, one row of zeros */
    CHECK_INT(a.n_zero, 1);
    for (size_t i = 1; i < MANY; i++) /* copies stand together, and are kept once */
        CHECK((a.row[i] == a.row[i - 1]) == (a.point[i] == a.point[i - 1]));
    for (size_t i = 0; i < MANY; i++) /* the document that counts nothing is a row of zeros */
        if (a.place[i] == 17)
            for (size_t c = 0; c < SYN_DIM; c++) CHECK_NEAR(a.row[i][c], 0, 0);
    gm_usage_clear(&a);
    gm_usage_clear(&b);
    synthetic_clear(&docs);
}

/* What usage and text do not tell apart goes by id, and by place. */
static void equal_documents_go_by_id(void)
{
    static const char *const id[SAMPLE_DOCUMENTS] = {"b", "a", "b", "a", "a"};
    static const uint32_t want[SAMPLE_DOCUMENTS] = {1, 3, 4, 0, 2};
    gm_usage usage;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_COUNTS, EXPERTS, 0);
    memset(s.counts, 0, sizeof s.counts);
    for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++) {
        s.document[d].id = id[d];
        memset(s.document[d].sha, 7, 32);
        for (size_t l = 0; l < SAMPLE_L; l++)
            for (size_t k = 0; k < SAMPLE_K; k++)
                s.counts[(d * SAMPLE_L + l) * EXPERTS + k] = s.document[d].n_tokens;
    }
    gm_trace *trace = open_sample(GM_RECORD_COUNTS);
    CHECK_OK(gm_usage_read(&usage, trace, GM_USAGE_COUNTS, NULL, &err), err);
    CHECK_INT(usage.n_distinct, 1);
    for (size_t i = 0; i < SAMPLE_DOCUMENTS; i++) CHECK_INT(usage.place[i], want[i]);
    gm_usage_clear(&usage);
    gm_trace_close(trace);
}

/* Read with hardly any memory left. */
static gm_status read_tightly(gm_usage *usage, gm_trace *trace, gm_error *err)
{
    struct rlimit before, tight;
    CHECK_INT(getrlimit(RLIMIT_AS, &before), 0);
    tight = (struct rlimit){mapped_bytes() + 4096, before.rlim_max};
    CHECK_INT(setrlimit(RLIMIT_AS, &tight), 0);
    gm_status status = gm_usage_read(usage, trace, GM_USAGE_COUNTS, NULL, err);
    CHECK_INT(setrlimit(RLIMIT_AS, &before), 0);
    return status;
}

/* What does not fit is refused while it is read, with numbers. Sanitizers need memory of their
 * own. */
static void what_does_not_fit_is_refused(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    TEST_SKIP("sanitizers need memory of their own");
#endif
    enum { MANY = 300 };
    synthetic docs = synthetic_make(MANY, 3);
    gm_usage usage;
    gm_error err = {0};
    gm_trace *trace = NULL;
    synthetic_write(&docs, NULL, false, "many.h5");
    synthetic_clear(&docs);
    CHECK_OK(gm_trace_open(&trace, "many.h5", &err), err);
    CHECK_FAILS(read_tightly(&usage, trace, &err), err, GM_EMEM,
                "the usage of the first 256 of 300 documents needs ");
    CHECK(strstr(err.text, " more, but ulimit has only ") != NULL);
    gm_trace_close(trace);
}

static gm_status read_gates(void *state, gm_error *err)
{
    gm_usage usage;
    gm_status status = gm_usage_read(&usage, state, GM_USAGE_GATES, NULL, err);
    gm_usage_clear(&usage);
    return status;
}

static void survives_every_allocation_failure(void)
{
    sample_fill(&s, GM_RECORD_CHOICES, EXPERTS, 0);
    gm_trace *trace = open_sample(GM_RECORD_CHOICES);
    gm_usage usage;
    gm_error err = {0};
    /* Reading opens datasets the first time; that is the trace's, not ours. */
    CHECK_OK(gm_usage_read(&usage, trace, GM_USAGE_GATES, NULL, &err), err);
    gm_usage_clear(&usage);
    check_every_allocation(read_gates, trace);
    gm_trace_close(trace);
}

TESTS(TEST(rows_sum_to_one_and_lead_back), TEST(gates_are_summed),
      TEST(gates_that_were_not_recorded), TEST(order_of_the_corpus_does_not_matter),
      TEST(equal_documents_go_by_id), TEST(what_does_not_fit_is_refused),
      TEST(survives_every_allocation_failure))

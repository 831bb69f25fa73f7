/* test_stats_outputs.c - probe/stats_outputs.c: EAN and REAP by hand, of a trace that is written
 * and read; template tokens and bad rows left out. label: threads
 */
#include "probe/stats_outputs.h"

#include "tests/check.h"
#include "tests/written_sample.h"

enum { E = 8, LK = SAMPLE_L * SAMPLE_K };

static sample s;

/* Four rows of the first document, a template token first; layer 0 chooses 0 and 5 in rows 1 and 2,
 * row 3 is bad. Layer 1 chooses 7 twice, then 6 and none. */
static void fill(void)
{
    static const float norm[] = {3, 5, 7, 11}, gate[] = {0.5f, 0.25f, 0.75f, 0.125f};
    sample_fill(&s, GM_RECORD_CHOICES, E, 0);
    sample_norms(&s);
    memset(s.counts, 0, sizeof s.counts);
    s.block.n_documents = 1;
    s.block.n_rows = 4;
    for (size_t i = 0; i < (size_t)4 * LK; i++) s.norm[i] = 100, s.gate[i] = 1, s.expert[i] = 7;
    for (size_t i = 0; i < 4; i++) {
        const size_t at = (1 + i / 2) * LK + i % 2;
        s.expert[at] = i % 2 == 0 ? 0 : 5;
        s.norm[at] = norm[i], s.gate[at] = gate[i];
    }
    const size_t last = 2 * LK + SAMPLE_K;
    s.expert[last] = 6, s.norm[last] = 50;
    s.expert[last + 1] = GM_TRACE_NO_EXPERT, s.norm[last + 1] = s.gate[last + 1] = NAN;
    for (size_t i = (size_t)3 * LK; i < (size_t)4 * LK; i++)
        s.expert[i] = GM_TRACE_NO_EXPERT, s.norm[i] = s.gate[i] = NAN;
}

static gm_trace *written(void)
{
    gm_error err = {0};
    gm_trace *trace = NULL;
    sample_write(&s, "outputs.h5");
    CHECK_OK(gm_trace_open(&trace, "outputs.h5", &err), err);
    return trace;
}

static void worked_by_hand(void)
{
    gm_error err = {0};
    gm_outputs o;
    fill();
    gm_trace *trace = written();
    CHECK_OK(gm_outputs_count(&o, trace, &err), err);
    CHECK_INT(o.sum[0].n, 2);
    CHECK_INT(o.sum[7].n, 0); /* the template token's */
    CHECK_NEAR(gm_outputs_ean(&o, 0, 0), 3 + 7, 0);
    CHECK_NEAR(gm_outputs_ean(&o, 0, 5), 5 + 11, 0);
    CHECK_NEAR(gm_outputs_ean(&o, 0, 7), 0, 0);
    CHECK_NEAR(gm_outputs_reap(&o, 0, 0), (0.5 * 3 + 0.75 * 7) / 2, 0);
    CHECK_NEAR(gm_outputs_reap(&o, 0, 5), (0.25 * 5 + 0.125 * 11) / 2, 0);
    CHECK(isnan(gm_outputs_reap(&o, 0, 7)));
    CHECK_NEAR(gm_outputs_mean_reap(&o, 0), (3.375 + 1.3125) / 2, 0);
    CHECK_NEAR(gm_outputs_relative_reap(&o, 0, 0), 3.375 / 2.34375, 1e-15);
    CHECK_NEAR(gm_outputs_ean_share(&o, 0, 5), 16.0 / 26, 1e-15);
    CHECK_NEAR(gm_outputs_choice_share(&o, 0, 5), 0.5, 0);
    CHECK_NEAR(o.sum[5].largest, 11, 0);
    CHECK_NEAR(gm_outputs_ean(&o, 1, 7), 2 * 100, 0); /* one row, twice */
    CHECK_NEAR(gm_outputs_mean_reap(&o, 1), (100.0 + 50) / 2, 0);
    CHECK_NEAR(gm_outputs_choice_share(&o, 1, 6), 1.0 / 3, 1e-15);
    gm_outputs_clear(&o);
    gm_trace_close(trace);
}

static void nothing_was_counted(void)
{
    gm_error err = {0};
    gm_outputs o;
    fill();
    for (size_t t = 0; t < 4; t++) s.phase[t] = GM_TRACE_TEMPLATE;
    gm_trace *trace = written();
    CHECK_OK(gm_outputs_count(&o, trace, &err), err);
    CHECK(isnan(gm_outputs_mean_reap(&o, 0)) && isnan(gm_outputs_ean_share(&o, 0, 0)));
    CHECK(isnan(gm_outputs_choice_share(&o, 0, 0)));
    gm_outputs_clear(&o);
    gm_trace_close(trace);
}

static void what_is_wrong_is_said(void)
{
    gm_error err = {0};
    gm_outputs o;
    fill();
    s.expert[LK] = E;
    gm_trace *trace = written();
    CHECK_FAILS(gm_outputs_count(&o, trace, &err), err, GM_EFORMAT,
                "a token from 0 on chose an expert above 7, the last");
    CHECK(o.sum == NULL);
    gm_trace_close(trace);

    sample_fill(&s, GM_RECORD_CHOICES, E, 0);
    trace = written();
    CHECK_FAILS(gm_outputs_count(&o, trace, &err), err, GM_EABSENT, "without norms");
    gm_trace_close(trace);
}

static gm_status count(void *unused, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace *trace = NULL;
    gm_outputs o = {0};
    (void)unused;
    GM_TRY(gm_trace_open(&trace, "outputs.h5", err));
    GM_TRY(gm_outputs_count(&o, trace, err));
out:
    gm_outputs_clear(&o);
    gm_trace_close(trace);
    return status;
}

static void allocations_fail(void)
{
    fill();
    gm_trace_close(written());
    check_every_allocation(count, NULL);
}

TESTS(TEST(worked_by_hand), TEST(nothing_was_counted), TEST(what_is_wrong_is_said),
      TEST(allocations_fail))

/* test_control.c - cluster/control.c: tokens that the control refuses; what it finds is in
 * test_analysis.c. */
#include "cluster/control.h"
#include "tests/written_sample.h"

static void an_id_that_no_vocabulary_has_is_refused(void)
{
    static sample s;
    const uint32_t wrong[] = {UINT32_MAX, 1u << 26};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        gm_error err = {0};
        gm_usage usage;
        gm_distinct distinct;
        gm_token_control control;
        const gm_words_of words = {0};
        sample_fill(&s, GM_RECORD_CHOICES, 4, 0);
        s.token_id[5] = wrong[i];
        gm_trace *trace = sample_open(&s, "t.h5");
        CHECK_OK(gm_usage_read(&usage, trace, GM_USAGE_COUNTS, NULL, &err), err);
        CHECK_OK(gm_distinct_find(&distinct, &usage, &err), err);
        const gm_token_control_input in = {.trace = trace,
                                           .usage = &usage,
                                           .distinct = &distinct,
                                           .words = &words,
                                           .most = SAMPLE_DOCUMENTS};
        CHECK_FAILS(gm_token_control_find(&control, &in, &err), err, GM_EFORMAT,
                    i == 0 ? "a token with id 4294967295" : "a token with id 67108864");
        CHECK_INT(control.basis, GM_BASIS_NONE);
        gm_distinct_clear(&distinct);
        gm_usage_clear(&usage);
        gm_trace_close(trace);
    }
}

TESTS(TEST(an_id_that_no_vocabulary_has_is_refused))

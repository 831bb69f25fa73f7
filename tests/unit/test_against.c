/* test_against.c - probe/against.c: two small traces that differ in known places; every
 * allocation failing. */
#include "probe/against.h"

#include "tests/written_sample.h"

static uint16_t *expert_of(sample *s, size_t row, size_t l)
{
    return s->expert + (row * SAMPLE_L + l) * SAMPLE_K;
}

static void equal_traces(void)
{
    static sample s;
    gm_against got;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    gm_trace *a = sample_open(&s, "a.h5");
    CHECK_OK(gm_against_compare(&got, a, a, true, &err), err);
    CHECK_INT(got.documents, SAMPLE_DOCUMENTS);
    CHECK_INT(got.alone, 0);
    CHECK_INT(got.tokens, SAMPLE_ROWS);
    CHECK_INT(got.left, 0);
    gm_agree all = gm_against_sum(&got, 0, SAMPLE_L, -1);
    CHECK_INT(all.n, SAMPLE_ROWS * SAMPLE_L);
    CHECK_INT(all.same_set, all.n);
    CHECK_INT(all.same_first, all.n);
    CHECK_INT(all.shared, all.n * SAMPLE_K);
    /* margins are row mod 8 eighths: 0; 1/8; 2/8 3/8; 4/8 to 7/8: of 40 rows 5, 5, 10, 20 */
    const int bin[] = {0, 9, 10, 11}, rows[] = {5, 5, 10, 20};
    for (int i = 0; i < 4; i++) CHECK_INT(gm_against_sum(&got, 1, 1, bin[i]).n, rows[i]);
    gm_against_clear(&got);
    gm_trace_close(a);
}

/* In the second trace the documents stand in another order of blocks of the same rows, one has
 * another text, one another token, one a bad row, and two rows other experts. */
static void differences_are_where_they_are(void)
{
    static sample s, t;
    gm_against got;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    sample_fill(&t, GM_RECORD_CHOICES, 8, 0);
    t.document[0].sha[0] ^= 1; /* rows 0 to 3 have no partner */
    t.token_id[6] = 77;        /* document 1 is rows 4 to 9: 4 and 5 are compared */
    for (size_t l = 0; l < SAMPLE_L; l++)
        expert_of(&t, 12, l)[0] = expert_of(&t, 12, l)[1] = GM_TRACE_NO_EXPERT; /* of 2: 10-17 */
    uint16_t *swapped = expert_of(&t, 20, 1), *other = expert_of(&t, 30, 2);    /* of 3; of 4 */
    uint16_t first = swapped[0];
    swapped[0] = swapped[1];
    swapped[1] = first;
    other[1] = (uint16_t)((other[0] + 5) % 8);
    gm_trace *a = sample_open(&s, "a.h5"), *b = sample_open(&t, "b.h5");
    CHECK_OK(gm_against_compare(&got, a, b, true, &err), err);
    CHECK_INT(got.documents, 4);
    CHECK_INT(got.alone, 1);
    CHECK_INT(got.tokens, 2 + 7 + 10 + 12);
    CHECK_INT(got.left, 4 + 1);
    gm_agree layer[SAMPLE_L];
    for (size_t l = 0; l < SAMPLE_L; l++) layer[l] = gm_against_sum(&got, l, 1, -1);
    CHECK_INT(layer[0].same_set, 31);
    CHECK_INT(layer[1].same_set, 31);
    CHECK_INT(layer[1].same_first, 30);
    CHECK_INT(layer[2].same_set, 30);
    CHECK_INT(layer[2].same_first, 31);
    CHECK_INT(layer[2].shared, 61);
    /* row 30 has margin 6/8: it is missed in that bin */
    gm_agree bin = gm_against_sum(&got, 2, 1, 11);
    CHECK_INT(bin.n - bin.same_set, 1);
    gm_against_clear(&got);
    gm_trace_close(a);
    gm_trace_close(b);
}

/* An infinite margin is in the last bin, one below the first edge in the first. */
static void margins_at_the_ends(void)
{
    static sample s;
    gm_against got;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    for (int i = 0; i < SAMPLE_ROWS * SAMPLE_L; i++) s.margin[i] = i % 2 ? INFINITY : 0x1p-13f;
    gm_trace *a = sample_open(&s, "a.h5");
    CHECK_OK(gm_against_compare(&got, a, a, true, &err), err);
    CHECK_INT(gm_against_sum(&got, 0, SAMPLE_L, 0).n, 60);
    CHECK_INT(gm_against_sum(&got, 0, SAMPLE_L, GM_MARGIN_BINS - 1).n, 60);
    gm_against_clear(&got);
    gm_trace_close(a);
}

/* Losses are of the text's rows that are compared, bad ones too, and only where both traces have
 * them. */
static void losses_of_the_same_tokens(void)
{
    static sample s, t;
    gm_against got;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    sample_fill(&t, GM_RECORD_CHOICES, 8, 0);
    t.document[0].sha[0] ^= 1;
    t.token_id[6] = 77;                                       /* of document 1: 4 and 5 */
    s.phase[20] = GM_TRACE_TEMPLATE;                          /* of document 3 */
    for (int i = 10; i < SAMPLE_ROWS; i++) t.nll[i] += 0.25f; /* documents 2 to 4 */
    for (size_t l = 0; l < SAMPLE_L; l++)
        expert_of(&t, 12, l)[0] = expert_of(&t, 12, l)[1] = GM_TRACE_NO_EXPERT;
    gm_trace *a = sample_open(&s, "a.h5"), *b = sample_open(&t, "b.h5");
    CHECK_OK(gm_against_compare(&got, a, b, true, &err), err);
    const uint64_t tokens[SAMPLE_DOCUMENTS] = {0, 1, 7, 8, 11};
    for (int d = 0; d < SAMPLE_DOCUMENTS; d++) {
        CHECK_INT(got.loss[d].n, tokens[d]);
        CHECK_NEAR(got.loss[d].b - got.loss[d].a, d < 2 ? 0 : 0.25 * (double)tokens[d], 0);
    }
    CHECK_NEAR(got.loss[2].a, 0.5 * (1 + 2 + 3 + 4 + 5 + 6 + 7), 0);
    gm_against_clear(&got);
    gm_trace_close(b);
    t.info.has_nll = false;
    b = sample_open(&t, "b.h5");
    CHECK_OK(gm_against_compare(&got, a, b, true, &err), err);
    CHECK(got.loss == NULL);
    gm_against_clear(&got);
    CHECK_OK(gm_against_compare(&got, b, a, true, &err), err);
    CHECK(got.loss == NULL);
    gm_against_clear(&got);
    gm_trace_close(a);
    gm_trace_close(b);
}

static void what_cannot_be_compared(void)
{
    static sample s, t, counts, other;
    static const int layers[SAMPLE_L] = {1, 3, 4};
    gm_against got;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    sample_fill(&t, GM_RECORD_CHOICES, 9, 0);
    sample_fill(&counts, GM_RECORD_COUNTS, 8, 0);
    sample_fill(&other, GM_RECORD_CHOICES, 8, 0);
    other.info.layer_of_moe = layers;
    gm_trace *a = sample_open(&s, "a.h5"), *b = sample_open(&t, "b.h5");
    gm_trace *c = sample_open(&counts, "c.h5"), *d = sample_open(&other, "d.h5");
    CHECK_FAILS(gm_against_compare(&got, a, b, true, &err), err, GM_EARG, "8 experts");
    CHECK_FAILS(gm_against_compare(&got, a, d, true, &err), err, GM_EARG,
                "layer 2 of the first is");
    CHECK_FAILS(gm_against_compare(&got, a, c, true, &err), err, GM_EABSENT, "without choices");
    CHECK_FAILS(gm_against_compare(&got, c, a, true, &err), err, GM_EABSENT, "without choices");
    gm_trace_close(a);
    gm_trace_close(b);
    gm_trace_close(c);
    gm_trace_close(d);
}

static gm_status attempt(void *trace, gm_error *err)
{
    gm_against got;
    gm_status status = gm_against_compare(&got, trace, trace, true, err);
    gm_against_clear(&got);
    return status;
}

static void allocations_fail(void)
{
    static sample s;
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    gm_trace *trace = sample_open(&s, "a.h5");
    CHECK_OK(attempt(trace, &err), err); /* opens the file, which stays open */
    check_every_allocation(attempt, trace);
    gm_trace_close(trace);
}

TESTS(TEST(equal_traces), TEST(differences_are_where_they_are), TEST(margins_at_the_ends),
      TEST(losses_of_the_same_tokens), TEST(what_cannot_be_compared), TEST(allocations_fail))

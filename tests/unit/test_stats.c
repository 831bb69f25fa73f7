/* test_stats.c - probe/stats*.c: counts and sums of small traces, worked by hand; what is
 * left out; every allocation failing.
 * label: threads
 */
#include "probe/stats.h"

#include "tests/written_sample.h"

static void count(gm_stats *stats, gm_trace *trace, int permutations)
{
    gm_error err = {0};
    const gm_stats_options options = {
        .permutations = permutations, .seed = 1, .vocabulary = 20, .quiet = true};
    CHECK_OK(gm_stats_count(stats, trace, &options, &err), err);
}

/* Five documents of 3, 5, 7, 9, 11 counted tokens in subsets Books, "", Code, Books, Code. */
static void counts_by_subset(void)
{
    static sample s;
    gm_stats stats = {0};
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 0);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    CHECK_INT(stats.S, 3);
    CHECK_INT(stats.n_tokens, 35);
    CHECK(stats.router == NULL);
    size_t books = samples->subset[0], code = samples->subset[2];
    CHECK_INT(stats.documents[books], 2);
    CHECK_INT(stats.tokens[books], 12);
    CHECK_INT(stats.tokens[code], 18);
    CHECK(!stats.has_routing);
    for (size_t at = 0; at < SAMPLE_L * 8; at++) {
        const uint32_t *c = s.counts + at; /* of document d: c[d L E] */
        enum { LE = SAMPLE_L * 8 };
        CHECK_INT(stats.choices[books * LE + at], c[0] + c[(size_t)3 * LE]);
        CHECK_INT(stats.choices[code * LE + at], c[(size_t)2 * LE] + c[(size_t)4 * LE]);
        CHECK_INT(stats.all[at],
                  c[0] + c[LE] + c[(size_t)2 * LE] + c[(size_t)3 * LE] + c[(size_t)4 * LE]);
    }
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Gates are 1/2 and 1/4: 2/3 and 1/3; mass 3/4; margins 0 to 7/8 by row. A bad row and the
 * template tokens do not count. */
static void router_by_place(void)
{
    static sample s;
    gm_stats stats = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    for (int i = 0; i < SAMPLE_L * SAMPLE_K; i++) { /* row 2: position 2 of document 0 */
        uint16_t *expert = &s.expert[2 * SAMPLE_L * SAMPLE_K + i];
        s.counts[i / SAMPLE_K * 8 + *expert]--;
        *expert = GM_TRACE_NO_EXPERT;
        s.gate[2 * SAMPLE_L * SAMPLE_K + i] = NAN;
    }
    s.document[0].bad = 1;
    for (int l = 0; l < SAMPLE_L; l++) s.margin[SAMPLE_L + l] = INFINITY; /* row 1 */
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 0);
    gm_router_sum all = gm_stats_router_sum(&stats, 0, SAMPLE_L, -1, -1);
    gm_router_sum template = gm_stats_router_sum(&stats, 0, 1, 2, -1);
    gm_router_sum second = gm_stats_router_sum(&stats, 1, 1, -1, 2); /* positions 2 and 3 */
    CHECK_INT(all.n, 34 * SAMPLE_L);
    CHECK_INT(all.n_margin, 33 * SAMPLE_L);
    CHECK_INT(template.n, 5);
    CHECK_INT(second.n, 9);
    CHECK_INT(gm_stats_router_sum(&stats, 0, SAMPLE_L, 1, -1).n, 0);
    CHECK_INT(gm_stats_router_sum(&stats, 0, 1, -1, 4).n, 2 + 4); /* 8 to 15 */
    double entropy = log(3) - 2 * log(2) / 3;
    CHECK_NEAR((double)all.entropy_nats / GM_STATS_UNIT / (double)all.n, entropy, 1e-6);
    CHECK_NEAR((double)all.mass / GM_STATS_UNIT / (double)all.n, 0.75, 0);
    /* rows 3; 6 7; 12 13; 20 21; 30 31: eighths of what is left by 8 */
    double margin = (3 + 6 + 7 + 4 + 5 + 4 + 5 + 6 + 7) / 8.0;
    CHECK_NEAR((double)second.margin / GM_STATS_UNIT, margin, 1e-12);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Documents 0, 1, 2 of "a" are all on expert 0, 0, 1 in every layer, 3 and 4 of "b" on 1, 1: within
 * "a" one pair of three is equal, within "b" the only one; between, two of six are. */
static void cosines_within_and_between(void)
{
    static sample s;
    gm_stats stats = {0};
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    memset(s.counts, 0, sizeof s.counts);
    for (uint32_t d = 0; d < SAMPLE_DOCUMENTS; d++) {
        s.document[d].subset = d < 3 ? "a" : "b";
        for (size_t l = 0; l < SAMPLE_L; l++)
            s.counts[(d * SAMPLE_L + l) * 8 + (d < 2 ? 0 : 1)] = SAMPLE_K * s.document[d].n_tokens;
    }
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 0);
    size_t a = gm_trace_get_samples(trace)->subset[0];
    CHECK_NEAR(stats.within[a], 1.0 / 3, 1e-12);
    CHECK_NEAR(stats.within[1 - a], 1, 1e-12);
    CHECK_NEAR(stats.within_all, 2.0 / 4, 1e-12);
    CHECK_NEAR(stats.between_all, 2.0 / 6, 1e-12);
    /* within 1 0 0 1, between 0 0 1 0 0 1 as 0 or 1: sums of squares 1 and 4/3 over 4 + 6 - 2 */
    CHECK_INT(stats.cosine_documents, 5);
    CHECK_NEAR(stats.cosine_d, (2.0 / 4 - 2.0 / 6) / sqrt((1 + 4.0 / 3) / 8), 1e-6);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Documents of 3, 5, 7, 9, 11 tokens, two choices each, on eight experts. In layer 0 all choose 0
 * and 1; a capacity of ceil(factor n / 4) is 1 2 2 3 3, 1 2 3 3 4 and 2 3 4 5 6, of all 35 9, 11
 * and 18. In layer 1 document d chooses d and 5: each is one of two again, of all 5 has all
 * tokens. */
static void beyond_capacity(void)
{
    static sample s;
    static const double of_document[] = {2 * (35 - 11), 2 * (35 - 13), 2 * (35 - 20)};
    static const double of_all[][GM_STATS_CAPACITIES] = {
        {2 * (35 - 9), 2 * (35 - 11), 2 * (35 - 18)}, {26 + 2, 24, 17}};
    gm_stats stats = {0};
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    memset(s.counts, 0, sizeof s.counts);
    for (uint32_t d = 0; d < SAMPLE_DOCUMENTS; d++)
        for (size_t l = 0; l < SAMPLE_L; l++) {
            uint32_t *counts = s.counts + (d * SAMPLE_L + l) * 8;
            counts[l == 1 ? d : 0] = counts[l == 1 ? 5 : 1] = s.document[d].n_tokens;
        }
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 0);
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < GM_STATS_CAPACITIES; i++) {
            CHECK_NEAR(gm_stats_dropped_by_document(&stats, l, i), of_document[i] / 70, 1e-15);
            CHECK_NEAR(gm_stats_dropped_of_all(&stats, l, i), of_all[l][i] / 70, 1e-15);
        }
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* With each document a subset of its own any dealing out gives the same table, rows in another
 * order: the null is the measured information and p is 1. */
static void null_of_what_cannot_differ(void)
{
    static sample s;
    gm_stats stats = {0};
    static const char *const own[] = {"a", "b", "c", "d", "e"};
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    for (int d = 0; d < SAMPLE_DOCUMENTS; d++) s.document[d].subset = own[d];
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 19);
    for (size_t l = 0; l < SAMPLE_L; l++) {
        const gm_subset_information *i = &stats.information[l];
        CHECK(i->mutual.bits > 0.01);
        CHECK_NEAR(i->null_bits, i->mutual.bits, 1e-12);
        CHECK_NEAR(i->null_95_bits, i->mutual.bits, 1e-12);
        CHECK_NEAR(i->p, 1, 0);
    }
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* One expert a subset and eight documents: few dealings out tell as much. */
static void information_above_its_null(void)
{
    static sample s;
    gm_stats stats = {0};
    sample_fill(&s, GM_RECORD_COUNTS, 8, 0);
    memset(s.counts, 0, sizeof s.counts);
    for (uint32_t d = 0; d < SAMPLE_DOCUMENTS; d++) {
        s.document[d].subset = d < 2 ? "a" : "b";
        for (size_t l = 0; l < SAMPLE_L; l++)
            for (size_t k = 0; k < SAMPLE_K; k++)
                s.counts[(d * SAMPLE_L + l) * 8 + k + (d < 2 ? 0 : 2)] = s.document[d].n_tokens;
    }
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 99);
    /* one dealing out in ten keeps the two of "a" together */
    CHECK_NEAR(stats.information[0].mutual.bits, stats.information[0].mutual.row_bits, 1e-12);
    CHECK_NEAR(stats.information[0].p, 0.1, 0.09);
    CHECK(stats.information[0].null_bits < 0.7 * stats.information[0].mutual.bits);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Of experts_by_token, by OLMoE's run_moe_analysis.py. Strongest experts: of id 5 0 1 0 0, of id 9
 * 2 2 4: shares 3/4 and 2/3, a plain mean. With K = 2 all pairs are of neighbouring ranks. */
static void as_the_published_script(const gm_token_counts *c)
{
    CHECK_NEAR(gm_token_script_specialisation(c, 1), (3.0 / 4 + 2.0 / 3) / 2, 1e-15);
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 8; j++) {
            double script = gm_token_script_together(c, 1, i, j);
            double ours = gm_token_together(c, 1, i, j);
            if (i != j) CHECK(script == ours || (isnan(script) && isnan(ours)));
        }
}

/* Every layer has the same choices: those of expert 2 have 2 in the next layer too, two of three
 * have 3; {0,1} go on as {0,1}, the last of four equal pairs that the search meets comes first. */
static void from_layer_to_layer(const gm_token_counts *c)
{
    CHECK_NEAR(gm_token_follows(c, 0, 2, 2), 1, 1e-15);
    CHECK_NEAR(gm_token_follows(c, 1, 2, 3), 2.0 / 3, 1e-15);
    CHECK_NEAR(gm_token_follows(c, 1, 3, 2), 1, 1e-15);
    CHECK_NEAR(gm_token_follows(c, 1, 0, 2), 0, 0);
    CHECK(isnan(gm_token_follows(c, 0, 6, 0)));
    gm_token_pair pair = gm_token_next_pair_of(c, 1, 5);
    CHECK(pair.found);
    CHECK_INT(pair.i * 8 + pair.j, 0);
    CHECK_NEAR(pair.npmi, 1, 1e-12);
    CHECK(!gm_token_next_pair_of(c, 1, 6).found);
}

/* Three ranks: {0,1,2} once, {2,0,1} once, and in the next layer {3,0,1} and {3,1,0}. OLMoE's
 * script pairs 0-1 and 1-2, 2-0 and 0-1: of the two tokens that chose 1 it finds one with 2, where
 * both have it. */
static void neighbouring_ranks_alone(void)
{
    enum { L = 2, E = 4, K = 3, TABLE = L * 2 * E, PAIRS = L * E * E };
    uint32_t shuffled[2] = {0, 0}, row_of[1] = {0}, count[TABLE] = {0}, null[TABLE] = {0};
    uint32_t together[PAIRS] = {0}, first[TABLE] = {0}, neighbour[PAIRS] = {0};
    gm_token_place place[4], unsorted[4];
    static const uint16_t expert[] = {0, 1, 2, 2, 0, 1, /**/ 3, 0, 1, 3, 1, 0};
    static const uint32_t id[2] = {0};
    static const uint8_t phase[2] = {0};
    static const bool good[2] = {true, true};
    gm_token_counts c = {.L = L,
                         .E = E,
                         .K = K,
                         .R = 1,
                         .row_of = row_of,
                         .n_ids = 1,
                         .shuffled = shuffled,
                         .count = count,
                         .null_count = null,
                         .together = together,
                         .first = first,
                         .neighbour = neighbour,
                         .place = place,
                         .unsorted = unsorted};
    gm_token_counts_add(&c, expert, 2, id, phase, good, 2);
    CHECK_NEAR(gm_token_script_together(&c, 0, 1, 2), 0.5, 1e-15);
    CHECK_NEAR(gm_token_script_together(&c, 0, 2, 1), 0.5, 1e-15);
    CHECK_NEAR(gm_token_script_together(&c, 0, 0, 1), 1, 1e-15);
    CHECK_NEAR(gm_token_together(&c, 0, 1, 2), 1, 1e-15);
    CHECK_NEAR(gm_token_script_specialisation(&c, 0), 0.5, 1e-15);
}

/* Eight tokens, one document, E = 8, K = 2, rows for two ids. Id 5 four times, always with
 * {0,1}; id 9 three times, with {2,3}, {2,3}, {2,4}; id 7 once, with {0,1}, shares the last row.
 * A template token of id 5 with {6,7} counts nowhere. */
static void experts_by_token(void)
{
    static sample s;
    static const uint16_t chosen[9][2] = {{6, 7}, {0, 1}, {1, 0}, {0, 1}, {0, 1},
                                          {2, 3}, {2, 3}, {4, 2}, {1, 0}};
    static const uint32_t id[9] = {5, 5, 5, 5, 5, 9, 9, 9, 7};
    gm_stats stats = {0};
    gm_error err = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    memset(s.counts, 0, sizeof s.counts);
    s.block.n_documents = 1;
    s.block.n_rows = s.document[0].n_rows = 9;
    s.document[0].n_tokens = 8;
    for (size_t t = 0; t < 9; t++) {
        s.token_id[t] = id[t];
        s.pos[t] = (uint32_t)t;
        s.phase[t] = t == 0 ? 2 : 0;
        for (size_t i = 0; i < SAMPLE_L * SAMPLE_K; i++) {
            s.expert[t * SAMPLE_L * SAMPLE_K + i] = chosen[t][i % 2];
            if (t > 0) s.counts[i / 2 * 8 + chosen[t][i % 2]]++;
        }
    }
    gm_trace *trace = sample_open(&s, "t.h5");
    const gm_stats_options options = {.seed = 1, .vocabulary = 2, .olmoe = true, .quiet = true};
    CHECK_OK(gm_stats_count(&stats, trace, &options, &err), err);
    const gm_token_counts *c = &stats.by_token;
    CHECK_INT(c->R, 2);
    CHECK_INT(c->token_id[0], 5);
    CHECK_INT(c->token_id[1], 9);
    for (size_t r = 0; r < 3; r++) CHECK_INT(gm_token_row(c, 1, r), r == 0 ? 4 : r == 1 ? 3 : 1);
    /* choices: rows 8 6 2; experts 5 5 3 2 1 of 16; cells 4 4 1 1 | 3 2 1 */
    double bits = 0;
    const double cell[][3] = {{4, 8, 5}, {4, 8, 5}, {1, 2, 5}, {1, 2, 5},
                              {3, 6, 3}, {2, 6, 2}, {1, 6, 1}};
    for (int i = 0; i < 7; i++)
        bits += cell[i][0] / 16 * log2(cell[i][0] * 16 / (cell[i][1] * cell[i][2]));
    CHECK_NEAR(gm_token_information(c, 1, false).bits, bits, 1e-12);
    CHECK_INT(gm_token_information(c, 1, true).n, 16);
    CHECK_NEAR(gm_token_specialisation(c, 1, false), 1, 1e-15); /* 4 of 4, 3 of 3 */
    CHECK(gm_token_specialisation(c, 1, true) >= 0.5);
    /* co-activation: of the three of expert 2 two chose 3, one chose 4 */
    CHECK_NEAR(gm_token_together(c, 2, 2, 3), 2.0 / 3, 1e-15);
    CHECK_NEAR(gm_token_together(c, 2, 3, 2), 1, 1e-15);
    CHECK_NEAR(gm_token_together(c, 2, 4, 2), 1, 1e-15);
    CHECK_NEAR(gm_token_together(c, 2, 0, 1), 1, 1e-15);
    CHECK(isnan(gm_token_together(c, 2, 6, 7)));
    gm_token_pair pair = gm_token_pair_of(c, 0, 0);
    CHECK(pair.found);
    CHECK_INT(pair.i * 8 + pair.j, 1); /* 0 and 1: never one without the other */
    CHECK_NEAR(pair.npmi, 1, 1e-12);
    CHECK(gm_token_pair_of(c, 0, 5).found); /* five tokens chose both */
    CHECK(!gm_token_pair_of(c, 0, 6).found);
    gm_best best;
    CHECK_OK(gm_best_init(&best, 2, &err), err);
    gm_token_best(c, 0, 2, &best);
    CHECK_INT(best.n, 1); /* id 9 alone meets expert 2 */
    CHECK_INT(best.at[0], 1);
    gm_best_clear(&best);
    as_the_published_script(c);
    from_layer_to_layer(c);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

/* Rows 3 and 17 (positions 3 of document 0, 7 of document 2) have logits 0 to 23 sixteenths and
 * the next 24 after it: the softmax of eight steps of 1/16, whatever the first. */
static void softmax_of_recorded_logits(void)
{
    static sample s;
    gm_stats stats = {0};
    double z = 0, mean = 0;
    sample_fill(&s, GM_RECORD_LOGITS, 8, 0);
    s.logits[5] = NAN; /* layer 0 of the first */
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 0);
    for (int e = 0; e < 8; e++) {
        z += exp(e / 16.0);
        mean += exp(e / 16.0) * e / 16.0;
    }
    CHECK(gm_stats_has_softmax(&stats));
    CHECK_INT(gm_stats_router_sum(&stats, 0, 1, -1, -1).n_softmax, 1);
    gm_router_sum all = gm_stats_router_sum(&stats, 0, SAMPLE_L, -1, -1);
    CHECK_INT(all.n_softmax, 5);
    CHECK_NEAR((double)all.softmax_nats / GM_STATS_UNIT / 5, log(z) - mean / z, 1e-3);
    CHECK_INT(gm_stats_router_sum(&stats, 1, 1, 0, 2).n_softmax, 1); /* position 3 */
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

static void an_expert_that_is_not_there(void)
{
    static sample s;
    gm_stats stats;
    gm_error err = {0};
    const gm_stats_options options = {.vocabulary = 20, .quiet = true};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    s.expert[7 * SAMPLE_L * SAMPLE_K + 1] = 8;
    gm_trace *trace = sample_open(&s, "t.h5");
    CHECK_FAILS(gm_stats_count(&stats, trace, &options, &err), err, GM_EFORMAT,
                "token 7 chose an expert above 7, the last");
    gm_trace_close(trace);
}

static gm_status attempt(void *trace, gm_error *err)
{
    gm_stats stats;
    const gm_stats_options options = {
        .permutations = 3, .seed = 1, .vocabulary = 20, .olmoe = true, .quiet = true};
    gm_status status = gm_stats_count(&stats, trace, &options, err);
    gm_stats_clear(&stats);
    return status;
}

/* Documents 1 and 3 have prompt and generated tokens; in document 1 all tokens chose {0,1}, in 3
 * the prompt chose {0,1} and the rest {0,2}: cosine 1/2. Nothing was written on document 0; the
 * others are template tokens. */
static void prompt_and_rollout(void)
{
    static sample s;
    gm_stats stats = {0};
    sample_fill(&s, GM_RECORD_CHOICES, 8, 0);
    memset(s.counts, 0, sizeof s.counts);
    size_t row = 0;
    for (size_t d = 0; d < SAMPLE_DOCUMENTS; d++) {
        bool both = d == 1 || d == 3;
        s.document[d].n_tokens = d == 0 || both ? s.document[d].n_rows : 0;
        for (size_t p = 0; p < s.document[d].n_rows; p++, row++) {
            bool written = both && p >= 2;
            s.phase[row] = written ? 1 : d == 0 || both ? 0 : 2;
            for (size_t l = 0; l < SAMPLE_L; l++) {
                uint16_t *expert = s.expert + (row * SAMPLE_L + l) * SAMPLE_K;
                expert[0] = 0;
                expert[1] = d == 3 && written ? 2 : 1;
                uint32_t *counts = s.counts + (d * SAMPLE_L + l) * 8;
                for (size_t k = 0; k < SAMPLE_K && s.phase[row] < 2; k++) counts[expert[k]]++;
            }
        }
    }
    gm_trace *trace = sample_open(&s, "t.h5");
    count(&stats, trace, 0);
    CHECK_INT(stats.rollout.documents, 2);
    for (size_t l = 0; l < SAMPLE_L; l++) {
        CHECK_NEAR(stats.rollout.own[l], (1 + 0.5) / 2, 1e-12);
        CHECK_NEAR(stats.rollout.other[l], 0.5, 1e-12);
    }
    check_every_allocation(attempt, trace);
    gm_stats_clear(&stats);
    gm_trace_close(trace);
}

static void allocations_fail(void)
{
    static sample s;
    sample_fill(&s, GM_RECORD_LOGITS, 8, 0);
    gm_trace *trace = sample_open(&s, "t.h5");
    gm_error err = {0};
    CHECK_OK(attempt(trace, &err), err); /* opens the file, which stays open */
    check_every_allocation(attempt, trace);
    gm_trace_close(trace);
}

TESTS(TEST(counts_by_subset), TEST(beyond_capacity), TEST(router_by_place),
      TEST(cosines_within_and_between), TEST(null_of_what_cannot_differ),
      TEST(information_above_its_null), TEST(experts_by_token), TEST(neighbouring_ranks_alone),
      TEST(softmax_of_recorded_logits), TEST(an_expert_that_is_not_there), TEST(prompt_and_rollout),
      TEST(allocations_fail))

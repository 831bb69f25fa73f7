/* test_measures.c - probe/measures.c: figures worked by hand. Against scikit-learn and numpy:
 * scripts/golden/live_stats.py */
#include "probe/measures.h"

#include "tests/check.h"

static gm_load load_of(const uint64_t *count, size_t E)
{
    uint64_t scratch[8];
    return gm_load_of(count, scratch, E);
}

static void even_load(void)
{
    const uint64_t count[] = {5, 5, 5, 5};
    gm_load load = load_of(count, 4);
    CHECK_INT(load.choices, 20);
    CHECK_NEAR(load.gini, 0, 1e-15);
    CHECK_NEAR(load.cv, 0, 1e-15);
    CHECK_NEAR(load.max_over_mean, 1, 1e-15);
    CHECK_NEAR(load.entropy_bits, 2, 1e-12);
    CHECK_INT(load.dead, 0);
    CHECK_INT(load.committee, 2);
}

/* 1 0 3 0: the six pairs differ by 1 2 1 3 0 3, each twice in the sum over i and j: 20 / (2 4 4).
 * Mean 1, variance (0 + 1 + 4 + 1)/4. Expert 2 alone has half and more. */
static void uneven_load(void)
{
    const uint64_t count[] = {1, 0, 3, 0};
    gm_load load = load_of(count, 4);
    CHECK_NEAR(load.gini, 20.0 / 32, 1e-15);
    CHECK_NEAR(load.cv, sqrt(1.5), 1e-15);
    CHECK_NEAR(load.max_over_mean, 3, 1e-15);
    CHECK_NEAR(load.entropy_bits, 0.25 * 2 + 0.75 * log2(4.0 / 3), 1e-12);
    CHECK_INT(load.dead, 2);
    CHECK_INT(load.committee, 1);
}

static void one_expert_has_all(void)
{
    const uint64_t count[] = {0, 7, 0, 0, 0}, none[] = {0, 0};
    gm_load load = load_of(count, 5);
    CHECK_NEAR(load.gini, 1 - 1.0 / 5, 1e-15);
    CHECK_NEAR(load.entropy_bits, 0, 1e-15);
    CHECK_INT(load.committee, 1);
    load = load_of(none, 2);
    CHECK_INT(load.dead, 2);
    CHECK_INT(load.committee, 0);
    CHECK_NEAR(load.gini, 0, 0);
}

/* Rows tell columns wholly: one bit; 2 cells, 2 rows, 2 columns: a correction of +1/(2 n ln 2). */
static void rows_that_tell_columns(void)
{
    const uint64_t table[] = {4, 0, 0, 4};
    gm_mutual mutual = gm_mutual_of(table, 2, 2, 2);
    CHECK_INT(mutual.n, 8);
    CHECK_NEAR(mutual.bits, 1, 1e-15);
    CHECK_NEAR(mutual.row_bits, 1, 1e-15);
    CHECK_NEAR(mutual.column_bits, 1, 1e-15);
    CHECK_NEAR(mutual.miller_madow_bits, 1 + 1 / (16 * log(2)), 1e-12);
}

/* Independent but for nothing: 0 bits, and below it when corrected. An empty column and an
 * empty row add no freedom; a stride steps over what is not of the table. */
static void rows_that_tell_nothing(void)
{
    const uint64_t table[] = {2, 4, 0, 99, 1, 2, 0, 99, 0, 0, 0, 99};
    gm_mutual mutual = gm_mutual_of(table, 3, 3, 4);
    CHECK_INT(mutual.n, 9);
    CHECK_NEAR(mutual.bits, 0, 1e-15);
    CHECK_NEAR(mutual.miller_madow_bits, -1 / (18 * log(2)), 1e-12);
    CHECK_INT(gm_mutual_of(table, 0, 3, 4).n, 0);
}

/* OLMoE's definition on a worked example: E = 4, K = 2, code of three tokens that chose {0,1}
 * {0,2} {0,3}, books of five that chose {1,2} {1,2} {0,1} {2,3} {1,3}. */
static void domains_by_hand(void)
{
    gm_domain_measure code = gm_domain_of(3, 3, 4, 8, 4, 2, 0),
                      books = gm_domain_of(1, 5, 4, 8, 4, 2, 0);
    CHECK_NEAR(code.specialisation, 1, 1e-15);
    CHECK_NEAR(books.specialisation, 0.2, 1e-15);
    CHECK_NEAR(code.lift, (1 + 0.025) / (0.5 + 0.025), 1e-15);
    CHECK_NEAR(books.lift, (0.2 + 0.025) / (0.5 + 0.025), 1e-15);
    CHECK_NEAR(code.risk_difference, 1 - 0.2, 1e-15);
    CHECK_NEAR(books.risk_difference, 0.2 - 1, 1e-15);
    /* P(e,D) = 3/8, P(e) = 1/2, P(D) = 3/8: PMI = ln 2 */
    CHECK_NEAR(code.npmi, log(2) / log(8.0 / 3), 1e-12);
    CHECK_NEAR(books.npmi, log(0.125 / (0.5 * 0.625)) / log(8), 1e-12);
}

static void domains_at_the_ends(void)
{
    gm_domain_measure never = gm_domain_of(0, 3, 4, 8, 4, 2, 0),
                      whole = gm_domain_of(4, 8, 4, 8, 4, 2, 0);
    CHECK_NEAR(never.npmi, -1, 0);
    CHECK_NEAR(never.specialisation, 0, 0);
    CHECK(isnan(whole.risk_difference));
    CHECK_NEAR(whole.npmi, 0, 1e-15);
    CHECK_NEAR(whole.lift, 1, 1e-15);
    CHECK_NEAR(gm_domain_of(8, 8, 8, 8, 4, 2, 0).npmi, 0, 0);
    CHECK(isnan(gm_domain_of(0, 3, 0, 8, 4, 2, 0).npmi));
    CHECK(isnan(gm_domain_of(0, 0, 4, 8, 4, 2, 0).specialisation));
}

/* nPMI alone needs a support: of 3 found and 1.5 expected tokens, 3 at most; of none found where
 * 1.5 were expected, 1 at most. */
static void few_tokens_say_nothing_of_npmi(void)
{
    CHECK_NEAR(gm_domain_of(3, 3, 4, 8, 4, 2, 3).npmi, log(2) / log(8.0 / 3), 1e-12);
    CHECK(isnan(gm_domain_of(3, 3, 4, 8, 4, 2, 4).npmi));
    CHECK_NEAR(gm_domain_of(3, 3, 4, 8, 4, 2, 4).lift, (1 + 0.025) / (0.5 + 0.025), 1e-15);
    CHECK_NEAR(gm_domain_of(0, 3, 4, 8, 4, 2, 1).npmi, -1, 0);
    CHECK(isnan(gm_domain_of(0, 3, 4, 8, 4, 2, 2).npmi));
}

static void cosines_by_hand(void)
{
    const uint64_t a[] = {3, 4, 0}, b[] = {4, 3, 0}, c[] = {0, 0, 7}, none[] = {0, 0, 0};
    CHECK_NEAR(gm_cosine_of(a, a, 3), 1, 1e-15);
    CHECK_NEAR(gm_cosine_of(a, b, 3), 24.0 / 25, 1e-15);
    CHECK_NEAR(gm_cosine_of(a, c, 3), 0, 0);
    CHECK(isnan(gm_cosine_of(a, none, 3)));
}

TESTS(TEST(cosines_by_hand), TEST(even_load), TEST(uneven_load), TEST(one_expert_has_all),
      TEST(rows_that_tell_columns), TEST(rows_that_tell_nothing), TEST(domains_by_hand),
      TEST(domains_at_the_ends), TEST(few_tokens_say_nothing_of_npmi))

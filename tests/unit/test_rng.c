/* test_rng.c - Philox against its published vectors; ranges, bias, independence. */
#include "base/rng.h"

#include "tests/check.h"

/* Salmon et al., Random123's kat_vectors, philox4x32 10: counter and key all ones,
 * all zeros, and the digits of pi. The streams are chosen to make that counter. */
static void published_vectors_come_out(void)
{
    static const struct {
        uint64_t seed, stream, index;
        uint32_t step, want[4];
    } cases[] = {
        {0, 0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX,
         0xffffffff,
         UINT64_MAX,
         UINT32_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {UINT64_C(0x299f31d0a4093822),
         0x03707344,
         UINT64_C(0x85a308d3243f6a88),
         0x13198a2e,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t word[4];
        gm_rng rng = gm_rng_make(cases[i].seed, cases[i].stream);
        gm_rng_at(&rng, cases[i].index, cases[i].step, word);
        for (int k = 0; k < 4; k++) CHECK_INT(word[k], cases[i].want[k]);
    }
}

static void seeds_and_streams_give_different_numbers(void)
{
    const uint64_t big = UINT64_C(1) << 32;
    gm_rng rng[] = {gm_rng_make(1, 0), gm_rng_make(1, 1),   gm_rng_make(2, 0),
                    gm_rng_make(1, 2), gm_rng_make(1, big), gm_rng_make(1, big + 1)};
    uint32_t first[6];
    for (int i = 0; i < 6; i++) first[i] = gm_rng_next(&rng[i]);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++) CHECK(first[i] != first[j]);

    gm_rng again = gm_rng_make(1, 0);
    CHECK_INT(gm_rng_next(&again), first[0]);
    CHECK(gm_rng_next(&again) != first[0]);
}

static void units_are_uniform(void)
{
    gm_rng rng = gm_rng_make(7, 3);
    enum { N = 100000 };
    double sum = 0, sum2 = 0, lo = 1, hi = 0;
    for (int i = 0; i < N; i++) {
        double u = gm_rng_unit(&rng);
        CHECK(u >= 0 && u < 1);
        sum += u, sum2 += u * u;
        lo = fmin(lo, u), hi = fmax(hi, u);
    }
    CHECK_NEAR(sum / N, 0.5, 0.004); /* 4 standard errors */
    CHECK_NEAR(sum2 / N, 1.0 / 3, 0.004);
    CHECK(lo < 1e-3 && hi > 1 - 1e-3);
}

static void below_has_no_bias(void)
{
    gm_rng rng = gm_rng_make(11, 0);
    enum { N = 60000 };
    int count[6] = {0};
    for (int i = 0; i < N; i++) count[gm_rng_below(&rng, 6)]++;
    for (int i = 0; i < 6; i++) CHECK_NEAR(count[i], N / 6, 400); /* 4.4 sigma */
    CHECK_INT(gm_rng_below(&rng, 1), 0);

    /* n = 3 * 2^62: a plain remainder would give the lower third twice as often. */
    int low = 0;
    const uint64_t n = UINT64_C(3) << 62;
    for (int i = 0; i < 3000; i++) low += gm_rng_below(&rng, n) < n / 3;
    CHECK_NEAR(low, 1000, 120);
}

static void normals_have_mean_zero_and_variance_one(void)
{
    gm_rng rng = gm_rng_make(5, 0);
    enum { N = 100000 };
    double sum = 0, sum2 = 0, tail = 0;
    for (int i = 0; i < N; i++) {
        double z = gm_rng_normal(&rng);
        CHECK(isfinite(z));
        sum += z, sum2 += z * z, tail += fabs(z) > 1.959964;
    }
    CHECK_NEAR(sum / N, 0, 0.014);
    CHECK_NEAR(sum2 / N, 1, 0.02);
    CHECK_NEAR(tail / N, 0.05, 0.003);
}

static void shuffles_are_permutations_and_all_of_them(void)
{
    gm_rng rng = gm_rng_make(9, 0);
    int seen[6] = {0};
    for (int i = 0; i < 6000; i++) {
        uint32_t item[3] = {0, 1, 2};
        gm_rng_shuffle(&rng, item, 3);
        CHECK_INT((1u << item[0]) | (1u << item[1]) | (1u << item[2]), 7);
        seen[item[0] * 2 + (item[1] > item[2])]++;
    }
    for (int i = 0; i < 6; i++) CHECK_NEAR(seen[i], 1000, 130);
    gm_rng_shuffle(&rng, NULL, 0);
}

TESTS(TEST(published_vectors_come_out), TEST(seeds_and_streams_give_different_numbers),
      TEST(units_are_uniform), TEST(below_has_no_bias),
      TEST(normals_have_mean_zero_and_variance_one),
      TEST(shuffles_are_permutations_and_all_of_them))

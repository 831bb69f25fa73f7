/* test_profile.c - cluster/profile.c, worked by hand. */
#include "cluster/profile.h"

#include "tests/check.h"

enum { N = 6, L = 2, E = 3, DIM = L * E };

/* Documents 0..3 are of group 0, 4 of group 1, 5 of none; first bytes of their sha. */
static const int32_t LABEL[N] = {0, 0, 0, 0, 1, -1};
static const uint8_t FIRST_BYTE[N] = {0, 2, 1, 4, 7, 3};

typedef struct documents {
    gm_usage usage;
    float rate[N * DIM];
    const float *row[N];
    uint8_t sha[N][32];
} documents;

/* Document i has rate (i+1)/64 at place i and the rest at place 5. */
static void make(documents *d)
{
    *d = (documents){0};
    for (size_t i = 0; i < N; i++) {
        d->row[i] = d->rate + i * DIM;
        d->rate[i * DIM + i] += (float)(i + 1) / 64;
        d->rate[i * DIM + 5] += 1 - (float)(i + 1) / 64;
        d->sha[i][0] = FIRST_BYTE[i];
        d->sha[i][31] = (uint8_t)i;
    }
    d->usage = (gm_usage){.n = N, .dim = DIM, .row = d->row, .sha = d->sha};
}

static void means_and_halves(void)
{
    documents d;
    gm_error err = {0};
    float mean[2 * DIM], half[2 * 2 * DIM];
    make(&d);
    CHECK_OK(gm_profile_means(mean, half, &d.usage, LABEL, 2, &err), err);
    /* All the sums are exact in float. */
    const float all[DIM] = {1.0f / 256, 2.0f / 256, 3.0f / 256, 4.0f / 256, 0, 246.0f / 256};
    CHECK_FLOATS(mean, all, DIM, 0);
    CHECK_FLOATS(mean + DIM, d.rate + 4 * DIM, DIM, 0);
    /* Group 0: documents 0, 1, 3 are even, 2 is odd. */
    CHECK_NEAR(half[0], 1.0 / 64 / 3, 1e-9);
    CHECK_NEAR(half[3], 4.0 / 64 / 3, 1e-9);
    CHECK_NEAR(half[2], 0, 0);
    CHECK_FLOATS(half + DIM, d.rate + 2 * DIM, DIM, 0);
    /* Group 1 has one document, an odd one: its even half is empty, which is zero. */
    for (size_t c = 0; c < DIM; c++) CHECK_NEAR(half[2 * DIM + c], 0, 0);
    CHECK_FLOATS(half + 3 * DIM, d.rate + 4 * DIM, DIM, 0);

    const int32_t everyone[N] = {0};
    CHECK_OK(gm_profile_means(mean, NULL, &d.usage, everyone, 1, &err), err);
    CHECK_NEAR(mean[5], (64 * 6 - 15 - 6 + 6) / 64.0 / 6, 1e-7); /* noise included */
    CHECK_OK(gm_profile_means(mean, NULL, &d.usage, LABEL, 0, &err), err);
}

static void lift_is_smoothed(void)
{
    const float rate[DIM] = {0.5f, 0, 0, 0.25f, 0.25f, 0};
    const float corpus[DIM] = {0.25f, 0.25f, 0, 0.25f, 0.125f, 0.125f};
    float lift[DIM];
    const double e = 0.05 / DIM;
    gm_profile_lift(lift, rate, corpus, DIM);
    CHECK_NEAR(lift[0], (0.5 + e) / (0.25 + e), 1e-6);
    CHECK_NEAR(lift[1], e / (0.25 + e), 1e-6);
    CHECK_NEAR(lift[2], 1, 0); /* neither uses it */
    CHECK_NEAR(lift[3], 1, 0);
}

/* Usage as a multiple of the corpus's, which is uniform: 1/6 everywhere. */
static void mark(uint8_t *important, const double *whole, const double *even, const double *odd,
                 size_t n_chosen)
{
    float rate[DIM], half[2 * DIM], corpus[DIM];
    for (size_t c = 0; c < DIM; c++) {
        rate[c] = (float)(whole[c] / DIM), corpus[c] = 1.0f / DIM;
        half[c] = (float)(even[c] / DIM), half[DIM + c] = (float)(odd[c] / DIM);
    }
    gm_profile_important(important, rate, half, corpus, L, E, n_chosen);
}

static void both_halves_must_lift(void)
{
    uint8_t important[DIM];
    /* Smoothing makes 1.27 a lift of 1.257 and 1.26 one of 1.248. */
    const double whole[DIM] = {2, 2, 2, 1.27, 1.26, 1};
    const double even[DIM] = {3, 2, 1.2, 1.27, 1.26, 1}, odd[DIM] = {1.2, 2, 3, 1.27, 1.26, 1};
    const uint8_t want[DIM] = {0, 1, 0, 1, 0, 0};
    mark(important, whole, even, odd, 3);
    CHECK_BYTES(important, want, DIM);
}

static void at_most_k_a_layer_highest_lift_first(void)
{
    uint8_t important[DIM];
    const double lift[DIM] = {2, 4, 3, 2, 2, 2};
    const uint8_t two[DIM] = {0, 1, 1, 1, 1, 0}, one[DIM] = {0, 1, 0, 1, 0, 0};
    mark(important, lift, lift, lift, 2);
    CHECK_BYTES(important, two, DIM); /* equal lifts: the lower id */
    mark(important, lift, lift, lift, 1);
    CHECK_BYTES(important, one, DIM);
}

static void an_empty_half_has_no_important_expert(void)
{
    uint8_t important[DIM];
    const double lift[DIM] = {9, 9, 9, 9, 9, 9}, none[DIM] = {0};
    mark(important, lift, lift, none, 3);
    for (size_t c = 0; c < DIM; c++) CHECK_INT(important[c], 0);
}

static void halves_agree_or_do_not(void)
{
    float corpus[DIM], half[2 * DIM];
    for (size_t c = 0; c < DIM; c++) {
        corpus[c] = 1.0f / DIM;
        half[c] = half[DIM + c] = (float)(c + 1) / 21;
    }
    CHECK_NEAR(gm_profile_agreement(half, corpus, DIM), 1, 1e-12);
    for (size_t c = 0; c < DIM; c++) half[DIM + c] = (float)(6 - c) / 21;
    CHECK_NEAR(gm_profile_agreement(half, corpus, DIM), -1, 1e-6);
    memset(half, 0, DIM * sizeof *half);
    CHECK(isnan(gm_profile_agreement(half, corpus, DIM)));
}

/* Clusters 0, 1, 2 of 2, 3 and 2 members; the smaller sha of a member decides between 0, 2. */
static void numbers_by_size_then_smallest_sha(void)
{
    int32_t label[] = {0, 0, 1, 1, 1, 2, 2, -1};
    const int32_t want[] = {2, 2, 0, 0, 0, 1, 1, -1};
    uint8_t sha[8][32] = {{9}, {5}, {7}, {1}, {8}, {10}, {4}, {0}};
    uint32_t order[3];
    gm_error err = {0};
    CHECK_OK(gm_profile_number(label, 8, (const uint8_t(*)[32])sha, 3, order, &err), err);
    for (size_t i = 0; i < 8; i++) CHECK_INT(label[i], want[i]);
    CHECK_INT(order[0], 1);
    CHECK_INT(order[1], 2);
    CHECK_INT(order[2], 0);
}

static gm_status number_and_mean(void *state, gm_error *err)
{
    documents *d = state;
    int32_t label[N];
    uint32_t order[2];
    float mean[2 * DIM], half[4 * DIM];
    memcpy(label, LABEL, sizeof label);
    gm_status status = gm_profile_number(label, N, (const uint8_t(*)[32])d->sha, 2, order, err);
    return status == GM_OK ? gm_profile_means(mean, half, &d->usage, label, 2, err) : status;
}

static void survives_every_allocation_failure(void)
{
    documents d;
    make(&d);
    check_every_allocation(number_and_mean, &d);
}

TESTS(TEST(means_and_halves), TEST(lift_is_smoothed), TEST(both_halves_must_lift),
      TEST(at_most_k_a_layer_highest_lift_first), TEST(an_empty_half_has_no_important_expert),
      TEST(halves_agree_or_do_not), TEST(numbers_by_size_then_smallest_sha),
      TEST(survives_every_allocation_failure))

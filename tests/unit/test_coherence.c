/* test_coherence.c - text/coherence.c: NPMI by hand. */
#include "text/coherence.h"

#include "tests/check.h"

enum { ROWS = 8, WORDS = 5 };

/* Word 0 in documents 0-3, 1 in 0-1, 2 in 4-5, 3 in all, 4 in none. */
static const uint64_t indptr[] = {0, 3, 6, 8, 10, 12, 14, 15, 16};
static const uint32_t word[] = {0, 1, 3, 0, 1, 3, 0, 3, 0, 3, 2, 3, 2, 3, 3, 3};

static gm_bag bag(void)
{
    return (gm_bag){
        .n_rows = ROWS, .n_entries = 16, .indptr = (uint64_t *)indptr, .word = (uint32_t *)word};
}

static void by_hand(void)
{
    const uint32_t keyword[] = {0,      1, 2, /**/ 3, 0, UINT32_MAX, /**/ 1, UINT32_MAX, UINT32_MAX,
                                /**/ 3, 3, 3};
    const gm_bag counts = bag();
    const gm_coherence_input in = {&counts, WORDS, keyword, 4, 3};
    double each[4];
    gm_coherence got;
    gm_error err = {0};
    CHECK_OK(gm_coherence_find(&got, each, &in, &err), err);
    /* p(0) 1/2, p(1) 1/4, together 1/4: ln 2 / ln 4; neither meets word 2. */
    CHECK_NEAR(each[0], (0.5 - 1 - 1) / 3, 1e-12);
    CHECK_NEAR(each[1], 0, 1e-12); /* what is everywhere tells nothing */
    CHECK(isnan(each[2]));
    CHECK_NEAR(each[3], 0, 0);
    CHECK_NEAR(got.mean, (each[0] + each[1] + each[3]) / 3, 1e-12);
    CHECK_NEAR(got.diversity, 4.0 / 9, 1e-12);
}

/* Of many documents, in one word of the presence or another: words 0 and 1 in every third and every
 * fifth. */
static void many_documents(void)
{
    enum { MANY = 200 };
    static uint64_t begin[MANY + 1];
    static uint32_t found[2 * MANY];
    const uint32_t keyword[] = {0, 1};
    gm_bag counts = {.n_rows = MANY, .indptr = begin, .word = found};
    gm_coherence_input in = {&counts, 2, keyword, 1, 2};
    for (uint32_t d = 0; d < MANY; d++) {
        if (d % 3 == 0) found[counts.n_entries++] = 0;
        if (d % 5 == 0) found[counts.n_entries++] = 1;
        begin[d + 1] = counts.n_entries;
    }
    gm_coherence got;
    gm_error err = {0};
    CHECK_OK(gm_coherence_find(&got, &(double){0}, &in, &err), err);
    const double a = 67.0 / MANY, b = 40.0 / MANY, both = 14.0 / MANY;
    CHECK_NEAR(got.mean, log(both / (a * b)) / -log(both), 1e-12);
}

/* Of many documents and many keywords: room for what there is, not for every pair of them. */
static void many_keywords_of_many_documents(void)
{
    enum { MANY = 1 << 22, WORDS_A_CLASS = 2, CLASSES = 1 << 17, KEYWORDS = 2 * CLASSES };
    uint64_t *begin = gm_alloc(MANY + 1, sizeof *begin);
    uint32_t *found = gm_alloc(MANY, sizeof *found), *keyword = gm_alloc(KEYWORDS, sizeof *keyword);
    double *each = gm_alloc(CLASSES, sizeof *each);
    gm_bag counts = {.n_rows = MANY, .n_entries = MANY, .indptr = begin, .word = found};
    const gm_coherence_input in = {&counts, KEYWORDS, keyword, CLASSES, WORDS_A_CLASS};
    gm_coherence got;
    gm_error err = {0};
    for (uint32_t d = 0; d < MANY; d++) found[d] = d % KEYWORDS, begin[d + 1] = d + 1;
    for (uint32_t k = 0; k < KEYWORDS; k++) keyword[k] = k;
    CHECK_OK(gm_coherence_find(&got, each, &in, &err), err);
    CHECK_NEAR(got.mean, -1, 0); /* no document has two */
    CHECK_NEAR(got.diversity, 1, 0);
    gm_free(begin);
    gm_free(found);
    gm_free(keyword);
    gm_free(each);
}

static void without_keywords(void)
{
    const uint32_t keyword[] = {UINT32_MAX, UINT32_MAX};
    const gm_bag counts = bag();
    gm_coherence_input in = {&counts, WORDS, keyword, 1, 2};
    double each[1];
    gm_coherence got;
    gm_error err = {0};
    CHECK_OK(gm_coherence_find(&got, each, &in, &err), err);
    CHECK(isnan(each[0]) && isnan(got.mean) && isnan(got.diversity));
    in.n_classes = 0;
    CHECK_OK(gm_coherence_find(&got, each, &in, &err), err);
    CHECK(isnan(got.mean));
}

static gm_status find_something(void *state, gm_error *err)
{
    const uint32_t keyword[] = {0, 1};
    const gm_bag counts = bag();
    const gm_coherence_input in = {&counts, WORDS, keyword, 1, 2};
    double each[1];
    gm_coherence got;
    (void)state;
    return gm_coherence_find(&got, each, &in, err);
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(find_something, NULL);
}

TESTS(TEST(by_hand), TEST(many_documents), TEST(many_keywords_of_many_documents),
      TEST(without_keywords), TEST(survives_every_allocation_failure))

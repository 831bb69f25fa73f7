/* test_vocabulary.c - text/vocabulary.c: words keep their numbers while the table grows. */
#include "tests/check.h"
#include "text/words.h"

enum { MANY = 20000 };

static void numbers_go_by_first_appearance(void)
{
    gm_vocabulary *v = NULL;
    gm_error err = {0};
    uint32_t id = 9;
    CHECK_OK(gm_vocabulary_create(&v, &err), err);
    CHECK_INT(gm_vocabulary_n(v), 0);
    CHECK(!gm_vocabulary_find(v, "ab", 2, &id));
    CHECK_OK(gm_vocabulary_add(v, "abc", 3, &id, &err), err);
    CHECK_INT(id, 0);
    CHECK_OK(gm_vocabulary_add(v, "abc", 2, &id, &err), err); /* "ab" is another word */
    CHECK_INT(id, 1);
    CHECK_OK(gm_vocabulary_add(v, "abc", 3, &id, &err), err);
    CHECK_INT(id, 0);
    CHECK_TEXT(gm_vocabulary_word(v, 1), "ab");
    CHECK(gm_vocabulary_find(v, "abx", 2, &id) && id == 1);
    CHECK(!gm_vocabulary_find(v, "a", 1, &id));
    CHECK(!gm_vocabulary_find(v, "abcd", 4, &id));
    CHECK_INT(gm_vocabulary_n(v), 2);
    gm_vocabulary_free(v);
}

static gm_status add_many(void *state, gm_error *err)
{
    gm_vocabulary *v = NULL;
    const uint32_t many = *(const uint32_t *)state;
    gm_status status = gm_vocabulary_create(&v, err);
    for (uint32_t i = 0; i < many && status == GM_OK; i++) {
        char word[16];
        uint32_t id = 0;
        int n = snprintf(word, sizeof word, "w%u", i * 7919 % many);
        status = gm_vocabulary_add(v, word, (size_t)n, &id, err);
        if (status == GM_OK) CHECK_INT(id, i);
    }
    for (uint32_t i = 0; i < many && status == GM_OK; i++) {
        char word[16];
        uint32_t id = 0;
        int n = snprintf(word, sizeof word, "w%u", i * 7919 % many);
        CHECK(gm_vocabulary_find(v, word, (size_t)n, &id) && id == i);
        CHECK_TEXT(gm_vocabulary_word(v, i), word);
    }
    gm_vocabulary_free(v);
    return status;
}

static void grows(void)
{
    uint32_t many = MANY;
    gm_error err = {0};
    CHECK_OK(add_many(&many, &err), err);
}

static void survives_every_allocation_failure(void)
{
    uint32_t many = 3000; /* grows words and slots */
    check_every_allocation(add_many, &many);
    gm_vocabulary_free(NULL);
}

TESTS(TEST(numbers_go_by_first_appearance), TEST(grows), TEST(survives_every_allocation_failure))

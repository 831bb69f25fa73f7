/* test_steer_judge.c - steer/judge.c: a classifier of three made-up domains. */
#include "steer/judge.h"

#include "base/sha256.h"
#include "base/text.h"
#include "tests/put_file.h"

enum { DOMAINS = 3, EACH = 40 };

static const char *const domain[DOMAINS] = {"soup", "ships", "stars"};
static const char *const word[DOMAINS][6] = {
    {"salt", "onion", "broth", "carrot", "pepper", "spoon"},
    {"sail", "harbour", "anchor", "captain", "tide", "deck"},
    {"orbit", "comet", "nebula", "planet", "lens", "moon"}};

static gm_opt_list put_corpus(void)
{
    static const char *const path[] = {"judge.jsonl"};
    FILE *file = fopen(path[0], "w");
    for (int i = 0; i < DOMAINS * EACH; i++) {
        int d = i % DOMAINS;
        fprintf(file, "{\"text\": \"");
        for (int w = 0; w < 12; w++) fprintf(file, "%s ", word[d][(i * 7 + w * w) % 6]);
        fprintf(file, "document %d", i);
        fprintf(file, "\", \"meta\": {\"pile_set_name\": \"%s\"}}\n", domain[d]);
    }
    fputs("{\"text\": \"without a label\"}\nnot JSON\n"
          "{\"text\": \"\", \"meta\": {\"pile_set_name\": \"nothing\"}}\n",
          file);
    fclose(file);
    return (gm_opt_list){(const char **)path, 1};
}

static void the_class_is_the_subset(void)
{
    gm_judge judge;
    gm_error err = {0};
    const gm_opt_list corpus = put_corpus();
    CHECK_OK(gm_judge_create(&judge, &corpus, NULL, &err), err);
    CHECK_INT(judge.n, DOMAINS * EACH); /* unlabelled and unusable lines are left out */
    CHECK_INT(judge.n_classes, DOMAINS);
    for (int d = 0; d < DOMAINS; d++) CHECK_INT(gm_judge_class(&judge, domain[d]), d);
    CHECK_INT(gm_judge_class(&judge, "sport"), -1);
    gm_judge_clear(&judge);
}

static void texts_are_judged_by_their_words(void)
{
    static const char *const text[] = {"the captain saw the harbour", "salt and broth",
                                       "nothing known", ""};
    static const size_t n_bytes[] = {27, 14, 13, 0};
    gm_judge judge;
    gm_error err = {0};
    const gm_opt_list corpus = put_corpus();
    float log_p[4 * DOMAINS];
    gm_judgement v[4];
    CHECK_OK(gm_judge_create(&judge, &corpus, NULL, &err), err);
    CHECK_OK(gm_judge_texts(&judge, text, n_bytes, 4, log_p, &err), err);
    for (int i = 0; i < 4; i++)
        v[i] = gm_judgement_of(log_p + i * DOMAINS, DOMAINS, gm_judge_class(&judge, "ships"));
    CHECK(v[0].hit && !v[1].hit && !v[2].hit && !v[3].hit);
    CHECK(v[0].log_odds > 0.5);
    CHECK(v[1].log_odds < -1);
    for (int i = 2; i < 4; i++) CHECK_NEAR(v[i].log_odds, log(0.5), 1e-6); /* p = 1/3 */
    gm_judge_clear(&judge);
}

/* A judge of two texts that is the same only where texts and their classes are. */
static void digests_are_of_texts_and_classes(void)
{
    static const char *const says[][3] = {{"aa", "soup", "ships"},
                                          {"aa", "ships", "soup"},
                                          {"cc", "soup", "ships"},
                                          {"aa", "soup", "ships"}};
    static const char *const path[] = {"two.jsonl"};
    const gm_opt_list corpus = {(const char **)path, 1};
    uint8_t digest[4][32];
    for (size_t i = 0; i < 4; i++) {
        gm_text text = {0};
        gm_judge judge;
        gm_error err = {0};
        CHECK_OK(
            gm_text_printf(&text, &err,
                           "{\"text\": \"%s and salt\", \"meta\": {\"pile_set_name\": \"%s\"}}\n"
                           "{\"text\": \"b and salt\", \"meta\": {\"pile_set_name\": \"%s\"}}\n",
                           says[i][0], says[i][1], says[i][2]),
            err);
        put_text(path[0], text.at);
        CHECK_OK(gm_judge_create(&judge, &corpus, NULL, &err), err);
        memcpy(digest[i], judge.digest, sizeof digest[i]);
        gm_judge_clear(&judge);
        gm_text_clear(&text);
    }
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            CHECK((memcmp(digest[i], digest[j], sizeof digest[i]) == 0) == (j == 0 && i == 3));
}

static void certainty_is_clipped(void)
{
    const float sure[] = {0, -INFINITY}, never[] = {-INFINITY, 0};
    CHECK_NEAR(gm_judgement_of(sure, 2, 0).log_odds, 30, 0);
    CHECK_NEAR(gm_judgement_of(never, 2, 0).log_odds, -30, 0);
    const float unknown[] = {(float)NAN, (float)NAN}; /* is not certainty */
    CHECK(isnan(gm_judgement_of(unknown, 2, 0).log_odds));
    CHECK(!gm_judgement_of(unknown, 2, 0).hit);
}

/* About an eighth of the documents is held out and tested, none of a class with few. */
static void some_documents_are_tested_on(void)
{
    gm_judge judge;
    gm_error err = {0};
    const gm_opt_list corpus = put_corpus();
    CHECK_OK(gm_judge_create(&judge, &corpus, NULL, &err), err);
    CHECK(judge.n_held_out > 0 && judge.n_held_out < judge.n / 2);
    CHECK_NEAR(judge.accuracy, 1, 0); /* the words tell the domains apart */
    const size_t n = judge.n, n_held_out = judge.n_held_out;
    gm_judge_clear(&judge);

    FILE *file = fopen(corpus.at[0], "a"); /* 17, of which four would be held out */
    for (int i = 0; i < 17; i++)
        fprintf(file, "{\"text\": \"jade %d\", \"meta\": {\"pile_set_name\": \"gems\"}}\n", i);
    fclose(file);
    CHECK_OK(gm_judge_create(&judge, &corpus, NULL, &err), err);
    CHECK_INT(judge.n, n + 17);
    CHECK_INT(judge.n_held_out, n_held_out);
    for (size_t i = n; i < judge.n; i++) CHECK(!judge.held_out[i]);
    gm_judge_clear(&judge);
}

/* What took part in the clustering never trains the judge. */
static void clustered_documents_are_left_out(void)
{
    gm_judge all, rest;
    gm_error err = {0};
    const gm_opt_list corpus = put_corpus();
    uint8_t sha[3 * 32];
    CHECK_OK(gm_judge_create(&all, &corpus, NULL, &err), err);
    for (int i = 0; i < 3; i++) gm_sha256_of(all.text[7 * i], all.n_bytes[7 * i], sha + 32 * i);
    const gm_atlas atlas = {.n = 3, .sha = sha};
    CHECK_OK(gm_judge_create(&rest, &corpus, &atlas, &err), err);
    CHECK_INT(all.n_shared, 0);
    CHECK_INT(rest.n_shared, 3);
    CHECK_INT(rest.n, all.n - 3);
    for (size_t i = 0; i < rest.n; i++)
        for (int k = 0; k < 3; k++) CHECK(strcmp(rest.text[i], all.text[7 * k]) != 0);
    CHECK(memcmp(all.digest, rest.digest, sizeof all.digest) != 0);
    gm_judge_clear(&all);
    gm_judge_clear(&rest);
}

static void one_domain_is_not_enough(void)
{
    static const char *const path[] = {"one.jsonl"};
    const gm_opt_list corpus = {(const char **)path, 1};
    gm_judge judge;
    gm_error err = {0};
    put_text(path[0], "{\"text\": \"a\", \"meta\": {\"pile_set_name\": \"soup\"}}\n");
    CHECK_FAILS(gm_judge_create(&judge, &corpus, NULL, &err), err, GM_EFORMAT,
                "1 labelled domain outside");
}

static gm_status attempt(void *state, gm_error *err)
{
    gm_judge judge;
    gm_status status = gm_judge_create(&judge, state, NULL, err);
    gm_judge_clear(&judge);
    return status;
}

static void every_allocation_may_fail(void)
{
    gm_opt_list corpus = put_corpus();
    check_every_allocation(attempt, &corpus);
}

TESTS(TEST(the_class_is_the_subset), TEST(texts_are_judged_by_their_words),
      TEST(digests_are_of_texts_and_classes), TEST(certainty_is_clipped),
      TEST(some_documents_are_tested_on), TEST(clustered_documents_are_left_out),
      TEST(one_domain_is_not_enough), TEST(every_allocation_may_fail))

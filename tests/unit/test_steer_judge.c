/* test_steer_judge.c - steer/judge.c: a classifier of three made-up domains, and losses of
 * a tiny model.
 */
#include "steer/judge.h"

#include "tests/check.h"

static const char TINY[] = TEST_DATA "/golden/models/deepseek-tiny"; /* L 3, E 12 */
enum { L = 3, E = 12, DOMAINS = 3, EACH = 12 };

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
        fprintf(file, "\", \"meta\": {\"pile_set_name\": \"%s\"}}\n", domain[d]);
    }
    fputs("{\"text\": \"without a label\"}\nnot JSON\n", file);
    fclose(file);
    return (gm_opt_list){(const char **)path, 1};
}

static void the_class_is_the_subset(void)
{
    gm_judge judge;
    gm_error err = {0};
    const gm_opt_list corpus = put_corpus();
    CHECK_OK(gm_judge_create(&judge, &corpus, &err), err);
    CHECK_INT(judge.n, DOMAINS * EACH); /* unlabelled and unusable lines are left out */
    CHECK_INT(judge.n_classes, DOMAINS);
    for (int d = 0; d < DOMAINS; d++) CHECK_INT(gm_judge_class(&judge, domain[d]), d);
    CHECK_INT(gm_judge_class(&judge, "sport"), -1);
    gm_judge_clear(&judge);
}

static gm_continuation saying(const char *text)
{
    return (gm_continuation){.text = {.at = (char *)(uintptr_t)text, .n = strlen(text)}};
}

static void texts_are_judged_by_their_words(void)
{
    gm_judge judge;
    gm_error err = {0};
    const gm_opt_list corpus = put_corpus();
    const gm_continuation list[] = {saying("the captain saw the harbour"), saying("salt and broth"),
                                    saying("nothing known"), saying("")};
    gm_verdict v[4];
    CHECK_OK(gm_judge_create(&judge, &corpus, &err), err);
    CHECK_OK(gm_judge_texts(&judge, list, 4, gm_judge_class(&judge, "ships"), v, &err), err);
    CHECK(v[0].hit && !v[1].hit && !v[2].hit && !v[3].hit);
    CHECK(v[0].log_odds > 0.5);
    CHECK(v[1].log_odds < -1);
    for (int i = 2; i < 4; i++) CHECK_NEAR(v[i].log_odds, log(0.5), 1e-9); /* p = 1/3 */
    gm_judge_clear(&judge);
}

/* A model for the loss: no edit, an edit of zeros, an edit that pushes hard. */
static void the_loss_is_of_the_domain_or_of_the_others(void)
{
    gm_judge judge;
    gm_stage stage;
    gm_error err = {0};
    float bias[L * E] = {0};
    double own, other, same, pushed;
    const gm_opt_list corpus = put_corpus();
    gm_stage_options options = gm_stage_defaults();
    gm_edit edit = {.bias = bias, .last_layer = L - 1, .phases = 7};
    options.model = TINY;
    options.threads = 1;
    CHECK_OK(gm_judge_create(&judge, &corpus, &err), err);
    CHECK_OK(gm_stage_open(&stage, &options, &err), err);
    CHECK_OK(gm_judge_loss(&judge, &stage, NULL, 0, false, &own, &err), err);
    CHECK_OK(gm_judge_loss(&judge, &stage, NULL, 0, true, &other, &err), err);
    CHECK(own > 0 && other > 0 && own != other);
    CHECK_OK(gm_judge_loss(&judge, &stage, &edit, 0, false, &same, &err), err);
    CHECK(same == own); /* bit for bit */
    for (int i = 0; i < L * E; i += 5) bias[i] = 20;
    CHECK_OK(gm_judge_loss(&judge, &stage, &edit, 0, false, &pushed, &err), err);
    CHECK(pushed != own);
    gm_stage_close(&stage);
    gm_judge_clear(&judge);
}

static void one_domain_is_not_enough(void)
{
    static const char *const path[] = {"one.jsonl"};
    const gm_opt_list corpus = {(const char **)path, 1};
    gm_judge judge;
    gm_error err = {0};
    FILE *file = fopen(path[0], "w");
    fputs("{\"text\": \"a\", \"meta\": {\"pile_set_name\": \"soup\"}}\n", file);
    fclose(file);
    CHECK_FAILS(gm_judge_create(&judge, &corpus, &err), err, GM_EFORMAT, "1 labelled domains");
}

static gm_status attempt(void *state, gm_error *err)
{
    gm_judge judge;
    gm_status status = gm_judge_create(&judge, state, err);
    gm_judge_clear(&judge);
    return status;
}

static void every_allocation_may_fail(void)
{
    gm_opt_list corpus = put_corpus();
    check_every_allocation(attempt, &corpus);
}

TESTS(TEST(the_class_is_the_subset), TEST(texts_are_judged_by_their_words),
      TEST(the_loss_is_of_the_domain_or_of_the_others), TEST(one_domain_is_not_enough),
      TEST(every_allocation_may_fail))

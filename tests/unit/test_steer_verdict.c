/* test_steer_verdict.c - steer/sweep/outcomes.c and verdict.c on a small study worked by hand: two
 * topics, three random draws, one text a cell, whose log-odds are the cell's.
 */
#include "steer/sweep/scores.h"
#include "steer/sweep/verdict.h"

#include "tests/check.h"

enum { J = 2, E = 2, CELLS = 32, PROMPTS = 2 };

typedef struct made {
    gm_model_info info;
    gm_setup setup;
    gm_protocol protocol;
    gm_study study;
    gm_topic topic[2];
    gm_cell cell[CELLS];
    gm_written text[CELLS];
    float log_p[CELLS][J], usage[2][E];
    int32_t prompt_class[PROMPTS];
    gm_prompt prompt[PROMPTS];
} made;

/* A judged cell; the unsteered text's log-odds are 0 (a hair above, not to be printed as -0.00), so
 * that `odds` is its shift, too. */
static gm_cell *put(made *m, int topic, gm_arm arm, int draw, double dose, double odds, double kl)
{
    const size_t at = m->study.n_cells++;
    const int class_id = topic < 0 ? 0 : m->topic[topic].class_id;
    gm_cell *c = &m->cell[at];
    m->text[at] = (gm_written){.n_tokens = 9, .text = odds == 0 ? "same" : "else", .n_bytes = 4};
    m->log_p[at][class_id] = nextafterf((float)-log1p(exp(-odds)), 0);
    m->log_p[at][1 - class_id] = nextafterf((float)-log1p(exp(odds)), 0);
    *c = (gm_cell){.topic = topic, .arm = arm, .draw = draw, .dose = dose, .half = 1, .done = true};
    c->text = &m->text[at], c->n_texts = 1, c->log_p = m->log_p[at];
    c->cost[GM_NEUTRAL].kl_mean = kl;
    c->cost[GM_IN_TOPIC] = (gm_cost){.nll_base = 2, .nll = 1.5};
    c->cost[GM_OFF_TOPIC] = (gm_cost){.nll_base = 3, .nll = 3.25};
    return c;
}

static void make(made *m)
{
    static const uint8_t important[E] = {0, 1};
    *m = (made){.info = {.n_moe_layers = 1, .n_experts = E},
                .protocol = {.draws = 3, .max_kl = 0.5, .dose = {-1, 0, 1, 2}, .n_doses = 4},
                .topic = {{.cluster = 4, .domain = "soup", .purity = 0.9, .dose = 1},
                          {.cluster = GM_FIRST_GIVEN, .class_id = 1, .subset = "stars", .dose = 1}},
                .usage = {{0.875f, 0.125f}, {0.75f, 0.25f}},
                .prompt_class = {-1, -1}};
    m->topic[1].domain = "stars";
    m->protocol.filter[0] = "lift";
    m->topic[0].important = m->topic[1].important = important;
    m->setup.info = &m->info;
    m->study = (gm_study){.protocol = &m->protocol,
                          .setup = &m->setup,
                          .judge = {.n_classes = J, .n = 40, .n_held_out = 8, .accuracy = 1},
                          .prompts = {.at = m->prompt, .n = PROMPTS},
                          .prompt_class = m->prompt_class,
                          .topic = m->topic,
                          .n_topics = 2,
                          .cell = m->cell};
    put(m, -1, GM_ARM_UNSTEERED, 0, 0, 0, 0)->usage = m->usage[0];
    put(m, 0, GM_ARM_PLAN, 0, 0, 0, 0);
    put(m, 0, GM_ARM_PLAN, 0, 1, 1.5, 0.2)->usage = m->usage[1];
    put(m, 0, GM_ARM_PLAN, 0, 2, 2, 1.2);
    put(m, 0, GM_ARM_REVERSE, 0, 1, -0.5, 0.3);
    put(m, 0, GM_ARM_RANDOM, 0, 1, 0.5, 0.1);
    put(m, 0, GM_ARM_RANDOM, 0, 2, 1, 0.3);
    put(m, 0, GM_ARM_RANDOM, 1, 1, -0.25, 0.05);
    put(m, 0, GM_ARM_RANDOM, 1, 2, 0.125, 0.1);
    put(m, 0, GM_ARM_RANDOM, 2, 1, 0.25, 0.3);
    put(m, 1, GM_ARM_PLAN, 0, 0, 0.25, 0);
    put(m, 1, GM_ARM_PLAN, 0, 1, -0.5, 0.7)->usage = m->usage[1];
    put(m, 1, GM_ARM_RANDOM, 0, 1, -0.5, 0.1);
    put(m, 1, GM_ARM_RANDOM, 1, 1, -0.75, 0.1);
    put(m, 1, GM_ARM_RANDOM, 2, 1, 0.5, 0.1);
    put(m, 0, GM_ARM_PLAN, 0, -1, -3, 5); /* costs much, and is no dose of the plan */
    put(m, 0, GM_ARM_REVERSE, 0, 2, -9, 3);
}

static gm_outcomes outcomes_of(made *m)
{
    gm_outcomes all;
    gm_error err = {0};
    CHECK_OK(gm_scores_cells(&m->study, 1, &err), err);
    CHECK_OK(gm_scores_outcomes(&all, &m->study, &err), err);
    return all;
}

static void scored(made *m, gm_outcomes *o)
{
    make(m);
    *o = outcomes_of(m);
}

static void outcomes(void)
{
    made m;
    gm_outcomes all;
    scored(&m, &all);
    const gm_outcome *o = &all.topic[0];
    CHECK(o->plan == &m.cell[2]);
    CHECK_NEAR(o->p, 0.25, 0);
    CHECK_NEAR(o->p_share, 3.0 / 4, 0);
    CHECK_NEAR(o->random_shift, 0.5 / 3, 1e-6);
    CHECK_NEAR(o->random_kl, 0.15, 1e-12);
    CHECK_NEAR(o->random_equal_kl, 0.75, 1e-6); /* of draw 0, the only one that costs as much */
    CHECK_NEAR(o->reverse_shift, -0.5, 1e-6);
    CHECK_NEAR(o->ed50, 1 / 1.5, 1e-6);
    CHECK_NEAR(o->best_dose, 1, 0);
    CHECK_NEAR(o->collapse_dose, 2, 0);
    CHECK_NEAR(o->target_gain, 0.75, 0);
    CHECK_NEAR(o->usage, 0.25, 0);
    CHECK_NEAR(o->base_usage, 0.125, 0);
    CHECK(o->within_kl && !o->beats_random && o->reverse_lowers && o->zero_same);
    CHECK(o->has_others && o->own_largest);
    o = &all.topic[1];
    CHECK_NEAR(o->p, 3.0 / 4, 0); /* an equal draw counts against */
    CHECK(isnan(o->random_equal_kl) && isnan(o->reverse_shift) && isnan(o->collapse_dose));
    CHECK(isnan(o->best_dose));
    CHECK(!o->within_kl && !o->zero_same && o->has_others && !o->own_largest);
    /* draws of both: 0, -.5, .375 */
    CHECK_NEAR(all.shift, 0.5, 1e-6);
    CHECK_NEAR(all.random_shift, -0.125 / 3, 1e-6);
    CHECK_NEAR(all.p, 0.25, 0);
    CHECK(all.n_draws == 3 && all.n_beat == 0 && all.n_reverse == 1);
    CHECK(all.n_own == 1 && all.n_compared == 2);
    gm_outcomes_clear(&all);
}

/* What is just at a limit: within the KL, not below 0, not the largest; what makes text collapse,
 * the smallest dose of it. */
static void limits(void)
{
    made m;
    gm_outcomes all;
    make(&m);
    m.study.n_cells = 10, m.study.n_topics = 1;
    gm_cell *zero = &m.cell[1], *one = &m.cell[2], *two = &m.cell[3], *reverse = &m.cell[4];
    one->cost[GM_NEUTRAL].kl_mean = m.protocol.max_kl;
    two->cost[GM_NEUTRAL].kl_mean = 1;
    reverse->log_p = m.cell[0].log_p;
    all = outcomes_of(&m);
    CHECK(all.topic[0].within_kl && all.topic[0].best_dose == 1);
    CHECK(all.topic[0].reverse_shift == 0 && !all.topic[0].reverse_lowers);
    CHECK(isnan(all.topic[0].collapse_dose) && all.topic[0].zero_same);
    gm_outcomes_clear(&all);
    two->log_p = one->log_p, two->cost[GM_NEUTRAL].kl_mean = 0.25; /* as good: the smaller dose */
    m.text[0].rep4 = 0.125f, m.text[3].rep4 = 0.375f;              /* as much as may be added */
    zero->cost[GM_NEUTRAL].kl_mean = 1e-9; /* the same text, but other predictions */
    all = outcomes_of(&m);
    CHECK(all.topic[0].best_dose == 1 && isnan(all.topic[0].collapse_dose));
    CHECK(!all.topic[0].zero_same);
    gm_outcomes_clear(&all);
    m.text[3].rep4 = 0.5f;
    all = outcomes_of(&m);
    CHECK_NEAR(all.topic[0].collapse_dose, 2, 0);
    gm_outcomes_clear(&all);
    one->cost[GM_NEUTRAL].kl_mean = (double)NAN;
    all = outcomes_of(&m);
    CHECK_NEAR(all.topic[0].collapse_dose, 1, 0);
    CHECK(!all.topic[0].within_kl && all.topic[0].best_dose == 2);
    gm_outcomes_clear(&all);
}

/* A topic of the same class is no other one; one that gains as much leaves none the largest. */
static void topics_of_other_classes_are_compared(void)
{
    made m;
    gm_outcomes all;
    make(&m);
    m.topic[1].class_id = 0;
    all = outcomes_of(&m);
    CHECK(!all.topic[0].has_others && all.n_compared == 0 && all.n_own == 0);
    gm_outcomes_clear(&all);
    m.topic[1].class_id = 1;
    m.cell[2].log_p = m.cell[0].log_p; /* nothing is gained, by either class */
    all = outcomes_of(&m);
    CHECK(all.topic[0].has_others && !all.topic[0].own_largest);
    gm_outcomes_clear(&all);
}

/* Where a topic has fewer draws, so many are the null of all. */
static void the_null_of_all_has_the_draws_of_each(void)
{
    made m;
    make(&m);
    m.cell[9].done = false; /* the last draw of the first topic */
    gm_outcomes all = outcomes_of(&m);
    CHECK_INT(all.n_draws, 2);
    CHECK_NEAR(all.random_shift, (0 - 0.5) / 2, 1e-6);
    CHECK_NEAR(all.p, 1.0 / 3, 1e-15);
    gm_outcomes_clear(&all);
}

/* A prompt that the topic's own texts opened is not written on under its plan. */
static void the_same_texts_are_those_of_the_prompts_that_count(void)
{
    made m;
    gm_written base[2] = {{.text = "same", .n_bytes = 4},
                          {.prompt = 1, .text = "own", .n_bytes = 3}};
    float log_p[2 * J];
    make(&m);
    m.prompt_class[1] = 0;
    for (int i = 0; i < 2; i++) memcpy(log_p + i * J, m.log_p[0], sizeof m.log_p[0]);
    m.cell[0].text = base, m.cell[0].n_texts = 2, m.cell[0].log_p = log_p;
    gm_outcomes all = outcomes_of(&m);
    CHECK(all.topic[0].zero_same);
    gm_outcomes_clear(&all);
    m.cell[1].text = base, m.cell[1].n_texts = 2, m.cell[1].log_p = log_p; /* one too many */
    all = outcomes_of(&m);
    CHECK(!all.topic[0].zero_same);
    gm_outcomes_clear(&all);
    m.prompt_class[1] = -1, m.cell[1].text = &m.text[1], m.cell[1].n_texts = 1; /* one too few */
    all = outcomes_of(&m);
    CHECK(!all.topic[0].zero_same);
    gm_outcomes_clear(&all);
}

static gm_status attempt(void *state, gm_error *err)
{
    made *m = state;
    gm_outcomes all;
    const gm_status status = gm_scores_outcomes(&all, &m->study, err);
    if (status != GM_OK) CHECK(all.topic == NULL && all.specificity == NULL);
    gm_outcomes_clear(&all);
    return status;
}

static void every_allocation_may_fail(void)
{
    made m;
    gm_outcomes all;
    scored(&m, &all);
    gm_outcomes_clear(&all);
    check_every_allocation(attempt, &m);
}

/* As many as a p of .05 needs, and no other topic. */
static void nineteen_draws(void)
{
    made m;
    gm_text text = {0};
    gm_error err = {0};
    make(&m);
    m.study.n_cells = 5, m.study.n_topics = 1, m.protocol.draws = 19;
    for (int d = 0; d < 19; d++) put(&m, 0, GM_ARM_RANDOM, d, 1, -1, 0.1);
    m.cell[2].cost[GM_NEUTRAL].kl_mean = 0.75;
    gm_outcomes all = outcomes_of(&m);
    CHECK(all.topic[0].beats_random && all.n_beat == 0); /* at too high a cost */
    gm_outcomes_clear(&all);
    m.cell[2].cost[GM_NEUTRAL].kl_mean = 0.2;
    all = outcomes_of(&m);
    CHECK(all.topic[0].beats_random && !all.topic[0].has_others);
    CHECK(all.n_beat == 1 && all.n_compared == 0 && all.n_own == 0);
    CHECK_OK(gm_verdict_all(&text, &m.study, &all, &err), err);
    CHECK_TEXT(text.at, "All topics: log-odds +1.50, random -1.00, p 0.050 over 19 draws: steering "
                        "beats random experts. Of 1 topic 1 beats random experts within 0.5 nats a "
                        "token, 1 falls when reversed.");
    gm_text_clear(&text);
    gm_outcomes_clear(&all);
}

static void a_single_draw(void)
{
    made m;
    make(&m);
    m.study.n_cells = 5, m.study.n_topics = 1, m.protocol.draws = 1;
    put(&m, 0, GM_ARM_RANDOM, 0, 1, -1, 0.1);
    put(&m, 0, GM_ARM_RANDOM, 1, 1, 9, 9); /* of a study with more of them */
    gm_outcomes all = outcomes_of(&m);
    CHECK_NEAR(all.topic[0].random_shift, -1, 1e-6);
    CHECK_NEAR(all.topic[0].random_kl, 0.1, 1e-12);
    CHECK_NEAR(all.topic[0].p, 0.5, 0);
    CHECK_NEAR(all.random_shift, -1, 1e-6);
    gm_outcomes_clear(&all);
}

static void all_that_is_printed(void)
{
    made m;
    gm_outcomes all;
    gm_text text = {0};
    gm_error err = {0};
    scored(&m, &all);
    m.cell[2].shift_lo = 1.25, m.cell[2].shift_hi = 1.75; /* a single prompt has none */
    CHECK_OK(gm_verdict_text(&text, &m.study, &all, &err), err);
    CHECK_TEXT(
        text.at,
        "judge: 2 classes, 40 documents outside the clustering, right on 100.0 % of 8 "
        "held-out ones\n"
        "\n"
        "cluster 4: soup (purity 0.90), dose 1, filter lift\n"
        "              texts  of topic  log-odds   shift      KL  loss own loss other\n"
        "  unsteered       1     0.0 %      0.00    0.00   0.000     2.000      3.000\n"
        "  plan            1   100.0 %      1.50    1.50   0.200     1.500      3.250\n"
        "  random          3    66.7 %      0.17    0.17   0.150     1.500      3.250\n"
        "  reverse         1     0.0 %     -0.50   -0.50   0.300     1.500      3.250\n"
        "Cluster 4, soup: at dose 1 the plan cannot be told from random experts with so few "
        "draws. Log-odds +1.50 (95 %: +1.25 to +1.75), random +0.17, p 0.250 over 3 draws; "
        "share 100 % against 0 %. It changes predictions on neutral text by 0.20 nats a "
        "token, more than 3-bit quantisation does. Random experts at the same cost: +0.75. "
        "Its own topic gains most. Reversed: -0.50.\n"
        "\n"
        "subset stars: stars, dose 1, filter lift\n"
        "              texts  of topic  log-odds   shift      KL  loss own loss other\n"
        "  unsteered       1     0.0 %      0.00    0.00   0.000     2.000      3.000\n"
        "  plan            1     0.0 %     -0.50   -0.50   0.700     1.500      3.250\n"
        "  random          3    33.3 %     -0.25   -0.25   0.100     1.500      3.250\n"
        "Subset stars, stars: at dose 1 the plan cannot be told from random experts with so "
        "few draws. Log-odds -0.50, random -0.25, p 0.750 over 3 "
        "draws; share 0 % against 0 %. It changes predictions on neutral text by 0.70 nats a "
        "token, more than 3-bit quantisation does. Another topic gains as much or more. DOSE "
        "0 CHANGED THE TEXTS.\n"
        "\n"
        "shift of log-odds: steered towards (row), judged for (column)\n"
        "         4      +1\n"
        "  4   +1.50   -1.50\n"
        " +1   +0.50   -0.50\n"
        "\n"
        "All topics: log-odds +0.50, random -0.04, p 0.250 over 3 draws (so few draws cannot "
        "give a p of .05: use 19 or more): steering cannot be told from random experts. Of 2 "
        "topics 0 beat random experts within 0.5 nats a token, 1 gains most on its own, 1 "
        "falls when reversed.\n"
        "\n"
        "of topic: texts that the classifier gives to the cluster's domain; log-odds: its "
        "mean\n"
        "ln p/(1-p) of that domain; shift: log-odds less those of unsteered texts; KL: "
        "change of\n"
        "predictions on neutral text, nats a token; loss: nats a token on documents of the "
        "domain,\n"
        "of others\n");
    gm_text_clear(&text);
    gm_outcomes_clear(&all);
}

/* What a topic's sentences say as its outcome changes. */
static void check_says(const made *m, const gm_outcomes *all, const char *want)
{
    gm_text text = {0};
    gm_error err = {0};
    CHECK_OK(gm_verdict_topic(&text, &m->study, all, 0, &err), err);
    CHECK_HAS(text.at, want);
    gm_text_clear(&text);
}

static void words(void)
{
    static const struct {
        double kl;
        const char *want;
    } costs[] = {{0, "0.00 nats a token, nothing."},
                 {0.004, "less than 5-bit"},
                 {0.005, "about as much as 4-bit"},
                 {0.05, "as much as 3-bit"},
                 {0.2, "more than 3-bit"},
                 {1, "more than 3-bit"},
                 {1.01, "so much that text falls apart"},
                 {NAN, "predictions were not finite"}};
    made m;
    gm_outcomes all;
    scored(&m, &all);
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        m.cell[2].cost[GM_NEUTRAL].kl_mean = costs[i].kl;
        check_says(&m, &all, costs[i].want);
    }
    gm_outcome *o = &all.topic[0];
    o->n_draws = 18;
    check_says(&m, &all, "the plan cannot be told from random experts with so few draws.");
    o->n_draws = 19;
    check_says(&m, &all, "the plan does no more for the topic than random experts do.");
    o->beats_random = true;
    check_says(&m, &all, "the plan moves text towards the topic, more than random experts do.");
    m.study.n_choosing = 1; /* of which nothing but this is read here */
    check_says(&m, &all, "No dose is within the limit of 0.5 nats a token; the smallest is shown.");
    m.topic[0].affordable = true;
    o->within_kl = o->reverse_lowers = false;
    check_says(&m, &all, "the plan moves text more than random experts do, but costs too much.");
    check_says(&m, &all, "chosen on, but is not on others.");
    check_says(&m, &all, "Reversed: -0.50, which is not below 0.");
    gm_outcomes_clear(&all);
    CHECK_TEXT(gm_verdict_words(true, 3), "beats");
    CHECK_TEXT(gm_verdict_words(false, 18), "cannot be told from");
    CHECK_TEXT(gm_verdict_words(false, 19), "does not beat");
}

TESTS(TEST(outcomes), TEST(limits), TEST(topics_of_other_classes_are_compared),
      TEST(the_null_of_all_has_the_draws_of_each),
      TEST(the_same_texts_are_those_of_the_prompts_that_count), TEST(every_allocation_may_fail),
      TEST(nineteen_draws), TEST(a_single_draw), TEST(all_that_is_printed), TEST(words))

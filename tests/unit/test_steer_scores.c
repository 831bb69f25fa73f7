/* test_steer_scores.c - steer/sweep/scores.c, outcomes.c, the rows of verdict.c and the small
 * functions of texts.c, on numbers worked by hand.
 */
#include "steer/sweep/measure.h"
#include "steer/sweep/scores.h"
#include "steer/sweep/verdict.h"

#include "tests/check.h"

static void a_draw_counts_once(void)
{
    const double draw[] = {1, 2, 3, 4};
    CHECK_NEAR(gm_empirical_p(5, draw, 4), 1.0 / 5, 1e-15);
    CHECK_NEAR(gm_empirical_p(3, draw, 4), 3.0 / 5, 1e-15); /* equal counts against */
    CHECK_NEAR(gm_empirical_p(0, draw, 4), 1, 1e-15);
    CHECK_NEAR(gm_empirical_p(0, draw, 0), 1, 0);
    CHECK(isnan(gm_empirical_p((double)NAN, draw, 4)));
    const double bad[] = {1, (double)NAN};
    CHECK_NEAR(gm_empirical_p(5, bad, 2), 2.0 / 3, 1e-15); /* an unknown draw too */
}

static void a_judge_that_was_not_tested_says_so(void)
{
    gm_error err = {0};
    gm_text words = {0};
    gm_judge judge = {.n_classes = 2, .n = 20, .accuracy = (double)NAN};
    CHECK_OK(gm_verdict_judge(&words, &judge, &err), err);
    CHECK_TEXT(words.at, "2 classes, 20 documents outside the clustering, too few texts of each "
                         "class to hold some out for a test");
    words.n = 0;
    judge.n_held_out = 4;
    judge.accuracy = .75;
    CHECK_OK(gm_verdict_judge(&words, &judge, &err), err);
    CHECK_HAS(words.at, "right on 75.0 % of 4 held-out ones");
    gm_text_clear(&words);
}

static void facts_are_numbers_or_words(void)
{
    gm_error err = {0};
    gm_text words = {0};
    gm_outcome o = {.usage = .25,
                    .base_usage = .125,
                    .target_gain = .5,
                    .ed50 = .75,
                    .best_dose = 2,
                    .collapse_dose = 4};
    CHECK_OK(gm_verdict_facts(&words, &o, &err), err);
    CHECK_TEXT(words.at,
               "Share of the choices that are important experts while it writes: 25.0 % (unsteered "
               "12.5 %). The loss on the topic's text changes by -0.500 nats a token relative "
               "to that on others'. Half of the largest shift at dose 0.75. Largest shift within "
               "the KL limit "
               "at dose 2. Text collapses at dose 4.");
    words.n = 0;
    o.usage = o.target_gain = o.ed50 = o.best_dose = o.collapse_dose = (double)NAN;
    CHECK_OK(gm_verdict_facts(&words, &o, &err), err);
    CHECK_TEXT(words.at, "Loss on the topic's text or on others' is not a number. No dose measured "
                         "makes text collapse.");
    gm_text_clear(&words);
}

static void half_of_the_largest_shift(void)
{
    const double x[] = {0.5, 1, 2, 4}, rising[] = {0.5, 1, 4, 3}, late[] = {-1, 0, 0, 8};
    const double never[] = {-1, 0, 0, -2};
    CHECK_NEAR(gm_half_dose(x, rising, 4), 1 + 1.0 / 3, 1e-12);
    CHECK_NEAR(gm_half_dose(x, late, 4), 3, 1e-12);
    CHECK(isnan(gm_half_dose(x, never, 4)));
    CHECK(isnan(gm_half_dose(x, rising, 0)));
    CHECK_NEAR(gm_half_dose(x, rising, 1), 0.25, 1e-12); /* on the line from (0,0) */
    const double dip[] = {2, 1, 4, 4};
    CHECK_NEAR(gm_half_dose(x, dip, 4), 0.5, 0); /* at a dose itself, and first there */
}

static void repetition(void)
{
    const uint32_t ids[] = {1, 2, 1, 2, 1, 2}, same[] = {7, 7, 7, 7, 7, 7};
    gm_error err = {0};
    double share = 0;
    CHECK_OK(gm_repeated_share(&share, ids, 6, 2, &err), err);
    CHECK_NEAR(share, 3.0 / 5, 1e-15);
    CHECK_OK(gm_repeated_share(&share, ids, 6, 4, &err), err);
    CHECK_NEAR(share, 1.0 / 3, 1e-15);
    CHECK_OK(gm_repeated_share(&share, same, 6, 4, &err), err);
    CHECK_NEAR(share, 2.0 / 3, 1e-15);
    CHECK_OK(gm_repeated_share(&share, ids, 2, 2, &err), err);
    CHECK_NEAR(share, 0, 0);
    CHECK_OK(gm_repeated_share(&share, ids, 3, 4, &err), err);
    CHECK(isnan(share));
    gm_alloc_fail_after(0);
    gm_status status = gm_repeated_share(&share, ids, 6, 2, &err);
    gm_alloc_fail_after(-1);
    CHECK_INT(status, GM_EMEM); /* and not one text without a number */
}

/* What random experts do at the plan's cost is not known beyond the costs they reach. */
static void a_curve_ends_where_it_was_measured(void)
{
    const double kl[] = {0.1, 0.3}, shift[] = {1, 2}, gap[] = {0.1, (double)NAN};
    CHECK_NEAR(gm_shift_at(kl, shift, 2, 0.05), 0.5, 1e-12); /* from (0,0) */
    CHECK_NEAR(gm_shift_at(kl, shift, 2, 0.2), 1.5, 1e-12);
    CHECK_NEAR(gm_shift_at(kl, shift, 2, 0.3), 2, 1e-12);
    CHECK(isnan(gm_shift_at(kl, shift, 2, 0.31)));
    CHECK(isnan(gm_shift_at(kl, shift, 2, (double)NAN)));
    CHECK(isnan(gm_shift_at(gap, shift, 2, 0.2)));
    CHECK(isnan(gm_shift_at(kl, shift, 0, 0.1)));
    CHECK_NEAR(gm_shift_at((const double[]){0, 0.1}, shift, 2, 0), 1, 0); /* at no cost at all */
}

/* Two classes, two prompts with two texts each, in an unsteered and a steered cell. */
enum { J = 2, PROMPTS = 2, TEXTS = 4 };

typedef struct sample {
    gm_study study;
    gm_protocol protocol;
    gm_topic topic[2];
    gm_cell cell[4];
    gm_written text[TEXTS];
    float log_p[4][TEXTS * J];
    int32_t prompt_class[PROMPTS];
    gm_prompt prompt[PROMPTS];
} sample;

/* ln p of (p, 1-p) such that the log-odds of class 0 are as given. */
static void say(float *log_p, double odds)
{
    log_p[0] = (float)-log1p(exp(-odds));
    log_p[1] = (float)-log1p(exp(odds));
}

static void sample_init(sample *s)
{
    static const double odds[4][TEXTS] = {
        {-2, -1, -2, -1}, {-1, 1, 1, 1}, {0, 0, 0, 0}, {3, 3, 3, 3}};
    *s = (sample){.protocol = {.max_kl = 0.5, .dose = {-1, 1, 2}, .n_doses = 3}};
    for (uint32_t i = 0; i < TEXTS; i++)
        s->text[i] =
            (gm_written){.prompt = i % 2, .seed = i / 2, .n_tokens = 10 + i, .end = i == 3};
    for (int c = 0; c < 4; c++) {
        s->cell[c] = (gm_cell){.topic = c ? 0 : -1,
                               .arm = c ? GM_ARM_PLAN : GM_ARM_UNSTEERED,
                               .dose = c,
                               .done = true,
                               .text = s->text,
                               .log_p = s->log_p[c],
                               .n_texts = TEXTS};
        s->cell[c].cost[GM_NEUTRAL].kl_mean = 0.2 * c;
        for (int i = 0; i < TEXTS; i++) say(s->log_p[c] + J * i, odds[c][i]);
    }
    s->prompt_class[0] = s->prompt_class[1] = -1;
    s->study = (gm_study){.protocol = &s->protocol,
                          .judge = {.n_classes = J},
                          .prompts = {.at = s->prompt, .n = PROMPTS},
                          .prompt_class = s->prompt_class,
                          .topic = s->topic,
                          .n_topics = 1,
                          .cell = s->cell,
                          .n_cells = 4,
                          .n_choosing = 4};
}

static void a_shift_is_over_prompts(void)
{
    sample s;
    gm_error err = {0};
    sample_init(&s);
    CHECK_OK(gm_scores_cells(&s.study, 0, &err), err);
    const gm_cell *c = &s.cell[1];
    CHECK_NEAR(c->log_odds, 0.5, 1e-6);
    CHECK_NEAR(c->share, 0.75, 0);
    CHECK_NEAR(c->shift, 2, 1e-6); /* prompt 0: 0 - -2, prompt 1: 1 - -1 */
    CHECK_NEAR(c->shift_lo, 2, 1e-5);
    CHECK_NEAR(c->shift_hi, 2, 1e-5);
    CHECK_NEAR(s.cell[2].shift, 1.5, 1e-6);                             /* 2 and 1 */
    CHECK_NEAR(s.cell[2].shift_lo, 1.5 - 12.706204736432095 / 2, 1e-5); /* t.ppf(.975, 1) */
    CHECK_NEAR(s.cell[2].shift_hi, 1.5 + 12.706204736432095 / 2, 1e-5);
    for (int i = 0; i < TEXTS; i++) s.text[i].rep4 = 0.25f * (float)i, s.text[i].distinct2 = 0.5f;
    s.text[3].rep4 = NAN; /* too short: they do not count */
    s.text[1].distinct2 = NAN;
    gm_quality q = gm_scores_quality(c);
    CHECK_NEAR(q.rep4, 0.25, 0);
    CHECK_NEAR(q.distinct2, 0.5, 0);
    CHECK_NEAR(q.tokens, 11.5, 0);
    CHECK_NEAR(q.ended, 0.25, 0);
    s.topic[0].class_id = 1;
    CHECK_NEAR(gm_scores_log_odds(&s.study, c, 0, NULL), -0.5, 1e-6);
}

/* Cells are compared with the unsteered texts of their own half. */
static void either_half_has_its_own_base(void)
{
    sample s;
    gm_error err = {0};
    sample_init(&s);
    s.study.n_choosing = 2;
    s.cell[2].topic = -1, s.cell[2].half = s.cell[3].half = 1;
    for (int half = 0; half < 2; half++) CHECK_OK(gm_scores_cells(&s.study, half, &err), err);
    CHECK_NEAR(s.cell[1].shift, 2, 1e-6);
    CHECK_NEAR(s.cell[3].shift, 3, 1e-6);
    CHECK(gm_scores_base(&s.study, 0) == &s.cell[0] && gm_scores_base(&s.study, 1) == &s.cell[2]);
}

/* Cells of the other half, and those not done, stay as they are. */
static void cells_of_one_half_are_scored(void)
{
    sample s;
    gm_error err = {0};
    sample_init(&s);
    s.cell[1].shift = s.cell[2].shift = 7;
    s.cell[1].half = 1;
    s.cell[2].done = false;
    CHECK_OK(gm_scores_cells(&s.study, 0, &err), err);
    CHECK(s.cell[1].shift == 7 && s.cell[2].shift == 7 && s.cell[3].shift > 4);
}

/* The same texts have no shift, to the bit. */
static void the_same_texts_do_not_shift(void)
{
    static const double odds[TEXTS] = {-2.1, -1.3, 0.7, -4.9};
    sample s;
    gm_error err = {0};
    sample_init(&s);
    for (int i = 0; i < TEXTS; i++) {
        say(s.log_p[0] + J * i, odds[i]);
        say(s.log_p[1] + J * i, odds[i]);
    }
    CHECK_OK(gm_scores_cells(&s.study, 0, &err), err);
    CHECK(s.cell[1].shift == 0 && s.cell[1].shift_lo == 0 && s.cell[1].shift_hi == 0);
}

/* A prompt that was taken from the topic's own class says nothing of it. */
static void own_openings_do_not_count(void)
{
    sample s;
    gm_error err = {0};
    sample_init(&s);
    s.prompt_class[1] = 0;
    CHECK_OK(gm_scores_cells(&s.study, 0, &err), err);
    CHECK_NEAR(s.cell[1].log_odds, 0, 1e-6);
    CHECK_NEAR(s.cell[1].share, 0.5, 0);
    CHECK_NEAR(s.cell[2].shift, 2, 1e-6);
    CHECK(isnan(s.cell[2].shift_lo) && isnan(s.cell[2].shift_hi)); /* of one prompt */
    CHECK_NEAR(gm_scores_log_odds(&s.study, &s.cell[0], 0, NULL), -2, 1e-6);
}

static void the_dearest_dose_is_not_chosen(void)
{
    sample s;
    gm_error err = {0};
    sample_init(&s);
    memcpy(s.log_p[2], s.log_p[1], sizeof s.log_p[1]); /* as good: the smaller dose */
    for (size_t c = 0; c < 4; c++) s.cell[c].filter = c;
    CHECK_OK(gm_scores_cells(&s.study, 0, &err), err);
    gm_scores_choose(&s.study); /* 3 is the strongest and costs .6 */
    CHECK_NEAR(s.topic[0].dose, 1, 0);
    CHECK(s.topic[0].affordable);
    s.protocol.max_kl = 0.7;
    gm_scores_choose(&s.study);
    CHECK_NEAR(s.topic[0].dose, 3, 0);
    CHECK_INT(s.topic[0].filter, 3);
    s.protocol.max_kl = s.cell[1].cost[GM_NEUTRAL].kl_mean; /* is within it */
    gm_scores_choose(&s.study);
    CHECK(s.topic[0].affordable && s.topic[0].filter == 1);
    s.protocol.max_kl = 0.1;
    gm_scores_choose(&s.study);
    CHECK(!s.topic[0].affordable);
    CHECK_NEAR(s.topic[0].dose, 1, 0); /* the smallest */
    s.cell[1].cost[GM_NEUTRAL].kl_mean = (double)NAN;
    gm_scores_choose(&s.study);
    CHECK(!s.topic[0].affordable);
}

static void specificity_is_per_class(void)
{
    sample s;
    gm_error err = {0};
    double m[4];
    sample_init(&s);
    s.study.n_topics = 2;
    s.topic[1].class_id = 1;
    s.topic[0].dose = 1;
    s.study.n_choosing = 0;
    for (int c = 0; c < 4; c++) s.cell[c].half = 1;
    CHECK_OK(gm_scores_specificity(m, &s.study, &err), err);
    CHECK_NEAR(m[0], 2, 1e-6);
    CHECK_NEAR(m[1], -2, 1e-6); /* two classes: what one gains the other loses */
    CHECK(isnan(m[2]) && isnan(m[3]));
    for (int k = 0; k < 3; k++) { /* other cells of the dose do not count */
        s.cell[2] = s.cell[1];
        s.cell[2].log_p = s.log_p[2];
        if (k == 0) s.cell[2].done = false;
        if (k == 1) s.cell[2].half = 0;
        if (k == 2) s.cell[2].arm = GM_ARM_REVERSE;
        CHECK_OK(gm_scores_specificity(m, &s.study, &err), err);
        CHECK_NEAR(m[0], 2, 1e-6);
    }
    s.cell[1].done = false;
    CHECK_OK(gm_scores_specificity(m, &s.study, &err), err);
    CHECK(isnan(m[0]));
}

static void unsteered_loss_is_of_the_texts_judged(void)
{
    gm_cell cell[3] = {{.arm = GM_ARM_PLAN, .half = 0, .done = true},
                       {.arm = GM_ARM_UNSTEERED, .topic = -1, .half = 1, .done = true},
                       {.arm = GM_ARM_PLAN, .half = 1, .done = true}};
    gm_topic topic = {.dose = 0};
    gm_study study = {.cell = cell, .n_cells = 3, .n_choosing = 1, .topic = &topic, .n_topics = 1};
    cell[0].cost[GM_IN_TOPIC].nll_base = cell[0].cost[GM_OFF_TOPIC].nll_base = 9;
    cell[2].cost[GM_IN_TOPIC].nll_base = 2, cell[2].cost[GM_OFF_TOPIC].nll_base = 3;
    gm_arm_row row = gm_arm_row_of(&study, 0, GM_ARM_UNSTEERED);
    CHECK(row.n == 1 && row.nll_in == 2 && row.nll_off == 3);
}

TESTS(TEST(a_draw_counts_once), TEST(facts_are_numbers_or_words), TEST(half_of_the_largest_shift),
      TEST(a_judge_that_was_not_tested_says_so), TEST(repetition),
      TEST(a_curve_ends_where_it_was_measured), TEST(a_shift_is_over_prompts),
      TEST(either_half_has_its_own_base), TEST(cells_of_one_half_are_scored),
      TEST(the_same_texts_do_not_shift), TEST(own_openings_do_not_count),
      TEST(the_dearest_dose_is_not_chosen), TEST(specificity_is_per_class),
      TEST(unsteered_loss_is_of_the_texts_judged))

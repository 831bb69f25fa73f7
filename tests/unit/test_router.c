/* test_router.c - the choice of experts on hand-worked rows: order, ties, gates,
 * modes, groups, correction, bad rows. */
#include "engine/cpu/router.h"

#include "tests/check.h"

enum { MOST = 8 };

typedef struct row {
    uint16_t expert[MOST];
    float gate[MOST];
    float mass, margin;
    bool good;
} row;

static const gm_router_desc plain = {
    .scoring = GM_SCORE_SOFTMAX, .n_groups = 1, .top_groups = 1, .scale = 1.0f};

static row choose_with(const gm_router_desc *desc, const float *correction, size_t e, size_t k,
                       const float *logits, const gm_router_edit *edit)
{
    float scratch[4 * MOST];
    row out = {0};
    gm_router router = {desc, &gm_kernels_portable, correction, e, k};
    gm_choice choice = {.expert = out.expert, .gate = out.gate};
    CHECK(gm_router_scratch(e) <= sizeof scratch / sizeof scratch[0]);
    out.good = gm_router_choose(&router, logits, edit, scratch, &choice);
    out.mass = choice.mass;
    out.margin = choice.margin;
    return out;
}

static row choose(size_t e, size_t k, const float *logits, const gm_router_edit *edit)
{
    return choose_with(&plain, NULL, e, k, logits, edit);
}

static void check_ids(const row *r, size_t k, const int *want)
{
    for (size_t i = 0; i < k; i++) CHECK_INT(r->expert[i], want[i]);
}

/* ln of these is a row whose softmax is 0.1 0.2 0.3 0.4. */
static const float tenths[] = {-2.30258509f, -1.60943791f, -1.20397280f, -0.91629073f};

static void strongest_first_with_softmax_gates(void)
{
    row r = choose(4, 2, tenths, NULL);
    check_ids(&r, 2, (int[]){3, 2});
    CHECK_NEAR(r.gate[0], 0.4, 1e-6);
    CHECK_NEAR(r.gate[1], 0.3, 1e-6);
    CHECK_NEAR(r.mass, 0.7, 1e-6);
    CHECK_NEAR(r.margin, 0.40546511, 1e-6); /* ln 3 - ln 2 */
    CHECK(r.good);
}

static void ties_go_to_the_lower_id(void)
{
    const float logits[] = {5, 7, 7, 5, 7};
    row r = choose(5, 5, logits, NULL);
    check_ids(&r, 5, (int[]){1, 2, 4, 0, 3});
    CHECK(isinf(r.margin) && r.margin > 0);
    r = choose(5, 2, logits, NULL);
    check_ids(&r, 2, (int[]){1, 2});
    CHECK_NEAR(r.margin, 0.0, 0);
}

static void renormalised_gates_sum_to_one(void)
{
    gm_router_desc desc = plain;
    desc.renormalise = true;
    row r = choose_with(&desc, NULL, 4, 2, tenths, NULL);
    CHECK_NEAR(r.gate[0], 4.0 / 7, 1e-6);
    CHECK_NEAR(r.gate[1], 3.0 / 7, 1e-6);
    CHECK_NEAR(r.mass, 0.7, 1e-6);
}

static void top_k_first_is_a_softmax_over_the_chosen(void)
{
    gm_router_desc desc = plain;
    desc.scoring = GM_SCORE_TOPK_SOFTMAX;
    row r = choose_with(&desc, NULL, 4, 2, tenths, NULL);
    check_ids(&r, 2, (int[]){3, 2});
    CHECK_NEAR(r.gate[0], 4.0 / 7, 1e-6);
    CHECK_NEAR(r.mass, 0.7, 1e-6);
}

static void sigmoid_with_correction_and_groups(void)
{
    /* sigmoid: .5 .7310586 .8807971 .2689414; the correction lifts expert 0 only in
     * the choice */
    const float logits[] = {0, 1, 2, -1}, correction[] = {1, 0, 0, 0};
    gm_router_desc desc = plain;
    desc.scoring = GM_SCORE_SIGMOID;
    row r = choose_with(&desc, correction, 4, 2, logits, NULL);
    check_ids(&r, 2, (int[]){2, 0}); /* by gate */
    CHECK_NEAR(r.gate[0], 0.8807971, 1e-6);
    CHECK_NEAR(r.gate[1], 0.5, 1e-6);
    CHECK_NEAR(r.margin, 0.8807971 - 0.7310586, 1e-6);

    /* groups {0,1} = 1.5 + .731 and {2,3} = .881 + .269: only the first is left */
    desc.n_groups = 2;
    r = choose_with(&desc, correction, 4, 2, logits, NULL);
    check_ids(&r, 2, (int[]){1, 0});
    CHECK(isinf(r.margin));
}

/* Softmax .1 .2 .3 .4, of which a correction lifts the first in the choice alone. */
static void a_softmax_may_be_corrected_too(void)
{
    const float correction[] = {0.35f, 0, 0, -0.15f};
    gm_router_desc desc = plain;
    desc.renormalise = true;
    row r = choose_with(&desc, correction, 4, 2, tenths, NULL);
    check_ids(&r, 2, (int[]){2, 0}); /* scores .45 .2 .3 .25 */
    CHECK_NEAR(r.gate[0], 0.75, 1e-6);
    CHECK_NEAR(r.gate[1], 0.25, 1e-6);
    CHECK_NEAR(r.mass, 0.4, 1e-6);
    CHECK_NEAR(r.margin, 0.05, 1e-6);

    desc.least_sum = 0.5f; /* which .3 + .1 does not reach */
    r = choose_with(&desc, correction, 4, 2, tenths, NULL);
    CHECK_NEAR(r.gate[0], 0.6, 1e-6);
    CHECK_NEAR(r.gate[1], 0.2, 1e-6);
    desc.least_sum = 0.3f; /* which it does */
    r = choose_with(&desc, correction, 4, 2, tenths, NULL);
    CHECK_NEAR(r.gate[0], 0.75, 1e-6);
}

static gm_router_desc sparsemixer(void)
{
    gm_router_desc desc = plain;
    desc.scoring = GM_SCORE_SPARSEMIXER;
    desc.within = 0.02f;
    return desc;
}

/* transformers 5.24, sparsemixer(logits, 0.01, training=False) of models/phimoe, its two experts
 * put in the order of their gates: near ones, all below zero, a maximum of 0, ties, signs that
 * differ, logits far apart; and the same with one expert removed and another lifted. */
static void two_rounds_as_transformers_has_them(void)
{
    static const struct {
        float logits[5];
        int expert[2];
        double gate[2];
        int edited[2];
        double edited_gate[2];
    } rows[] = {
        {{1, 0.99f, 0.5f, -2, 0.985f}, {1, 0}, {0.501249969, 0.336116165}, {0, 4}, {1, 1}},
        {{-1, -1.01f, -1.03f, -5, -1.015f}, {0, 1}, {0.336116165, 0.336110592}, {0, 4}, {1, 1}},
        {{0, 0, -0.01f, -1, 0}, {1, 0}, {0.5, 0.333333343}, {0, 4}, {1, 1}},
        {{2, 2, 2, 1, 0}, {1, 0}, {0.5, 0.333333343}, {2, 0}, {1, 0.5}},
        {{5, 1, 0.985f, 0.99f, -1}, {0, 1}, {1, 0.336116165}, {0, 3}, {1, 0.501249969}},
        {{0.01f, -0.01f, -3, 0.0099f, 0}, {3, 0}, {1, 0.500025034}, {4, 0}, {1, 0.500025034}},
        {{60, -60, -60.5f, -61.3f, -90}, {0, 1}, {1, 0.622459352}, {0, 2}, {1, 0.689974308}},
        {{3, 2.95f, 2.94f, 2.93f, 2.9f},
         {0, 1},
         {0.345662653, 0.255005896},
         {4, 0},
         {1, 0.514995515}},
    };
    const float bias[] = {0, -INFINITY, 0, 0, 0.2f};
    const gm_router_desc desc = sparsemixer();
    const gm_router_edit edit = {bias, GM_EDIT_BIAS, false};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        row r = choose_with(&desc, NULL, 5, 2, rows[i].logits, NULL);
        check_ids(&r, 2, rows[i].expert);
        for (int k = 0; k < 2; k++) CHECK_NEAR(r.gate[k], rows[i].gate[k], 1e-6);
        r = choose_with(&desc, NULL, 5, 2, rows[i].logits, &edit);
        check_ids(&r, 2, rows[i].edited);
        for (int k = 0; k < 2; k++) CHECK_NEAR(r.gate[k], rows[i].edited_gate[k], 1e-6);
    }
}

/* Rounds belong to those who are chosen, by whatever: one that is not the best that is left shares
 * with all who are better. */
static void edits_of_rounds(void)
{
    const float logits[] = {5, 1, 0, 0, 0}, last[] = {0, 0, 0, 0, 10}, first[] = {-10, 0, 0, 0, 0};
    const gm_router_desc desc = sparsemixer();
    gm_router_edit edit = {last, GM_EDIT_SELECT, false};
    row r = choose_with(&desc, NULL, 5, 2, logits, &edit);
    check_ids(&r, 2, (int[]){0, 4});
    CHECK_NEAR(r.gate[0], 1, 0);
    CHECK_NEAR(r.gate[1], 1 / (exp(5) + exp(1) + 3), 1e-7);
    CHECK_NEAR(r.margin, 4, 0);
    CHECK_NEAR(r.mass, (exp(5) + 1) / (exp(5) + exp(1) + 3), 1e-6);

    edit = (gm_router_edit){first, GM_EDIT_GATE, false};
    r = choose_with(&desc, NULL, 5, 2, logits, &edit);
    check_ids(&r, 2, (int[]){1, 0});
    CHECK_NEAR(r.gate[0], 1, 0);
    CHECK_NEAR(r.gate[1], exp(-5) / (exp(-5) + exp(1) + 3), 1e-7);
    edit.mass_matched = true;
    r = choose_with(&desc, NULL, 5, 2, logits, &edit);
    CHECK_NEAR(r.gate[0] + r.gate[1], 2, 1e-6); /* as without the edit */

    edit = (gm_router_edit){first, GM_EDIT_MASK, false};
    r = choose_with(&desc, NULL, 5, 2, logits, &edit);
    check_ids(&r, 2, (int[]){1, 2});
    CHECK_NEAR(r.gate[0], 1, 0);
    CHECK_NEAR(r.gate[1], 1.0 / 3, 1e-6);
    edit = (gm_router_edit){last, GM_EDIT_MASK, false};
    r = choose_with(&desc, NULL, 5, 2, logits, &edit);
    check_ids(&r, 2, (int[]){0, 4});
    CHECK_NEAR(r.gate[1], 1 / (exp(5) + exp(1) + 3), 1e-7);

    const float gone[] = {0, -INFINITY, 0, 0,
                          0}; /* for the gates alone: chosen, and weighs nothing */
    edit = (gm_router_edit){gone, GM_EDIT_GATE, false};
    r = choose_with(&desc, NULL, 5, 2, logits, &edit);
    check_ids(&r, 2, (int[]){0, 1});
    CHECK_NEAR(r.gate[1], 0, 0);
}

/* Where a bias goes: before the sigmoid, for the choice the correction after it. The largest
 * score is 1, so a bias lifts an expert over a correction that is larger never. */
static void a_bias_comes_before_the_sigmoid(void)
{
    const float logits[] = {0, 1, 2, -1}, none[4] = {0}, correction[] = {0, 0, 0, 1.5f};
    const float bias[] = {20, 0, 0, 0};
    gm_router_desc desc = plain;
    gm_router_edit edit = {bias, GM_EDIT_BIAS, false};
    desc.scoring = GM_SCORE_SIGMOID;
    row r = choose_with(&desc, none, 4, 1, logits, &edit);
    check_ids(&r, 1, (int[]){0});
    CHECK_NEAR(r.gate[0], 1.0, 1e-6);
    CHECK_NEAR(r.margin, 1.0 - 0.8807971, 1e-6);
    edit.mode = GM_EDIT_SELECT;
    r = choose_with(&desc, none, 4, 1, logits, &edit);
    check_ids(&r, 1, (int[]){0});
    CHECK_NEAR(r.gate[0], 0.5, 1e-6);
    r = choose_with(&desc, correction, 4, 1, logits, &edit);
    check_ids(&r, 1, (int[]){3}); /* .2689 + 1.5 against 1 */
    const float ban[] = {0, 0, 0, -INFINITY};
    edit = (gm_router_edit){ban, GM_EDIT_BIAS, false};
    r = choose_with(&desc, correction, 4, 1, logits, &edit);
    check_ids(&r, 1, (int[]){2}); /* however large its correction is */
}

static void equal_scores_of_a_sigmoid_go_to_the_lower_id(void)
{
    const float logits[] = {30, 40, 50, 60, -1, 30}, none[6] = {0}; /* 1 in f32 but one */
    gm_router_desc desc = plain;
    desc.scoring = GM_SCORE_SIGMOID;
    row r = choose_with(&desc, none, 6, 3, logits, NULL);
    check_ids(&r, 3, (int[]){0, 1, 2});
    CHECK_NEAR(r.margin, 0.0, 0);
    desc.n_groups = 3; /* {0,1} {2,3} {4,5}: 2, 2, 1.27: of equal ones the lower */
    r = choose_with(&desc, none, 6, 2, logits, NULL);
    check_ids(&r, 2, (int[]){0, 1});
    CHECK(isinf(r.margin));
}

/* A group of which one expert is left counts that one. */
static void a_group_counts_those_who_are_left(void)
{
    const float logits[] = {4, 4, 1, 1, -2, -2}, none[6] = {0};
    const float bias[] = {0, -INFINITY, 0, 0, 0, 0};
    gm_router_desc desc = plain;
    gm_router_edit edit = {bias, GM_EDIT_BIAS, false};
    desc.scoring = GM_SCORE_SIGMOID;
    desc.n_groups = 3;
    row r = choose_with(&desc, none, 6, 2, logits, NULL);
    check_ids(&r, 2, (int[]){0, 1});
    r = choose_with(&desc, none, 6, 2, logits, &edit); /* .98 against 1.46 */
    check_ids(&r, 2, (int[]){2, 3});
}

static void groups_without_correction_count_their_best(void)
{
    const float logits[] = {3, 0, 2.5f, 2.4f};
    gm_router_desc desc = plain;
    desc.n_groups = 2;
    row r = choose_with(&desc, NULL, 4, 2, logits, NULL);
    check_ids(&r, 2, (int[]){0, 1});
}

static const float lift_first[] = {2, 0, 0, 0}; /* ln .1 + 2: weight .739 of 1.639 */

static void bias_changes_choice_and_gates(void)
{
    gm_router_edit edit = {lift_first, GM_EDIT_BIAS, false};
    row r = choose(4, 2, tenths, &edit);
    check_ids(&r, 2, (int[]){0, 3});
    CHECK_NEAR(r.gate[0], 0.73890561 / 1.63890561, 1e-6);
    CHECK_NEAR(r.gate[1], 0.4 / 1.63890561, 1e-6);
    CHECK_NEAR(r.margin, -0.91629073 + 1.20397280, 1e-6);
}

static void select_changes_the_choice_only(void)
{
    gm_router_edit edit = {lift_first, GM_EDIT_SELECT, false};
    row r = choose(4, 2, tenths, &edit);
    check_ids(&r, 2, (int[]){3, 0}); /* ordered by the unedited gate */
    CHECK_NEAR(r.gate[0], 0.4, 1e-6);
    CHECK_NEAR(r.gate[1], 0.1, 1e-6);
}

static void gate_changes_the_gates_only(void)
{
    const float lift_third[] = {0, 0, 2, 0};
    gm_router_edit edit = {lift_third, GM_EDIT_GATE, false};
    row r = choose(4, 2, tenths, &edit);
    check_ids(&r, 2, (int[]){2, 3});
    CHECK_NEAR(r.gate[0], 0.3 * 7.3890561 / (0.7 + 0.3 * 7.3890561), 1e-6);
    CHECK_NEAR(r.margin, 0.40546511, 1e-6);
}

static void mask_forces_and_bans(void)
{
    const float bias[] = {1, 0, 0, -1};
    gm_router_edit edit = {bias, GM_EDIT_MASK, false};
    row r = choose(4, 2, tenths, &edit);
    check_ids(&r, 2, (int[]){2, 0}); /* 3 is gone, 0 is forced, 2 the best of the rest */
    CHECK_NEAR(r.gate[0], 0.5, 1e-6);
    CHECK_NEAR(r.gate[1], 0.1 / 0.6, 1e-6);

    const float three[] = {1, 1, 1, 0}; /* more than K: the strongest of them */
    edit.bias = three;
    r = choose(4, 2, tenths, &edit);
    check_ids(&r, 2, (int[]){2, 1});
    CHECK_NEAR(r.margin, 0.69314718, 1e-6);

    const float two[] = {1, 1, 0, 0}; /* exactly K: nothing could have been chosen instead */
    edit.bias = two;
    r = choose(4, 2, tenths, &edit);
    check_ids(&r, 2, (int[]){1, 0});
    CHECK(isinf(r.margin));
}

static void minus_infinity_removes_the_expert(void)
{
    const float bias[] = {0, 0, 0, -INFINITY}, rest[] = {tenths[0], tenths[1], tenths[2]};
    gm_router_edit edit = {bias, GM_EDIT_BIAS, false};
    row r = choose(4, 2, tenths, &edit), without = choose(3, 2, rest, NULL);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(r.expert[i], without.expert[i]);
        CHECK_NEAR(r.gate[i], without.gate[i], 0);
    }
    CHECK_NEAR(r.margin, without.margin, 0);
    CHECK_NEAR(r.mass, without.mass, 0);
}

static void mass_matching_keeps_the_total(void)
{
    gm_router_edit edit = {lift_first, GM_EDIT_BIAS, true};
    row r = choose(4, 2, tenths, &edit);
    CHECK_NEAR(r.gate[0] + r.gate[1], 0.7, 1e-6);
    CHECK_NEAR(r.gate[0] / r.gate[1], 0.73890561 / 0.4, 1e-5);
}

static void zero_bias_is_the_same_bits_in_every_mode(void)
{
    const float zero[] = {0, 0, 0, 0};
    const gm_router_desc descs[] = {plain, sparsemixer()};
    for (int i = 0; i < 16; i++) {
        const gm_router_desc *desc = &descs[i / 8];
        const row want = choose_with(desc, NULL, 4, 2, tenths, NULL);
        gm_router_edit edit = {zero, (gm_edit_mode)(i % 4), i / 4 % 2 == 1};
        row r = choose_with(desc, NULL, 4, 2, tenths, &edit);
        CHECK_BYTES(r.expert, want.expert, sizeof r.expert);
        CHECK_BYTES(r.gate, want.gate, sizeof r.gate);
        CHECK_BYTES(&r.mass, &want.mass, sizeof r.mass);
        CHECK_BYTES(&r.margin, &want.margin, sizeof r.margin);
    }
}

static void bad_rows_are_marked(void)
{
    const float bad[][2] = {{NAN, 1}, {INFINITY, 0}, {-INFINITY, 2}}, none[2] = {0};
    gm_router_desc desc = plain;
    const gm_scoring scoring[] = {GM_SCORE_SOFTMAX, GM_SCORE_SPARSEMIXER, GM_SCORE_SIGMOID};
    for (size_t i = 0; i < 9; i++) {
        desc.scoring = scoring[i / 3];
        row r = choose_with(&desc, i < 6 ? NULL : none, 2, 1, bad[i % 3], NULL);
        CHECK(!r.good && r.expert[0] == GM_NO_EXPERT && isnan(r.gate[0]));
        CHECK(isnan(r.mass) && isnan(r.margin));
    }
}

TESTS(TEST(strongest_first_with_softmax_gates), TEST(ties_go_to_the_lower_id),
      TEST(renormalised_gates_sum_to_one), TEST(top_k_first_is_a_softmax_over_the_chosen),
      TEST(sigmoid_with_correction_and_groups), TEST(a_softmax_may_be_corrected_too),
      TEST(two_rounds_as_transformers_has_them), TEST(edits_of_rounds),
      TEST(a_bias_comes_before_the_sigmoid), TEST(equal_scores_of_a_sigmoid_go_to_the_lower_id),
      TEST(a_group_counts_those_who_are_left), TEST(groups_without_correction_count_their_best),
      TEST(bias_changes_choice_and_gates), TEST(select_changes_the_choice_only),
      TEST(gate_changes_the_gates_only), TEST(mask_forces_and_bans),
      TEST(minus_infinity_removes_the_expert), TEST(mass_matching_keeps_the_total),
      TEST(zero_bias_is_the_same_bits_in_every_mode), TEST(bad_rows_are_marked))

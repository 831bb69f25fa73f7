/* test_edits.c - what is refused, which layers are active, and which rows are edited. */
#include "engine/edits.h"

#include "tests/check.h"

enum { L = 2, E = 4, K = 2 };

static gm_arch arch_of(gm_scoring scoring)
{
    static int layer_of_moe[L] = {1, 3};
    return (gm_arch){.n_moe = L,
                     .layer_of_moe = layer_of_moe,
                     .n_experts = E,
                     .n_chosen = K,
                     .router = {.scoring = scoring}};
}

static gm_edit edit_of(const float *bias, gm_edit_mode mode)
{
    return (gm_edit){.bias = bias, .mode = mode, .last_layer = L - 1, .phases = 3};
}

static void refused(const float *bias, gm_edit_mode mode, const char *says)
{
    gm_arch arch = arch_of(GM_SCORE_SOFTMAX);
    gm_edit edit = edit_of(bias, mode);
    gm_edits edits;
    gm_error err;
    CHECK_FAILS(gm_edits_create(&edits, &arch, &edit, 1, &err), err, GM_EARG, says);
    CHECK(edits.edit == NULL && edits.n == 0);
}

static void bad_biases_are_refused(void)
{
    const float off = -INFINITY;
    const float nan[L * E] = {0, 0, 0, 0, 0, NAN}, inf[L * E] = {INFINITY};
    const float too_few[L * E] = {0, 0, 0, 0, off, off, off, 0};
    const float banned[L * E] = {-1, -1, -1, 0};
    refused(nan, GM_EDIT_BIAS, "expert 1 in layer 3");
    refused(inf, GM_EDIT_SELECT, "expert 0 in layer 1");
    refused(too_few, GM_EDIT_BIAS, "leaves 1 experts in layer 3");
    refused(too_few, GM_EDIT_SELECT, "the last removed is 2");
    refused(banned, GM_EDIT_MASK, "leaves 1 experts in layer 1");
}

static void windows_are_checked(void)
{
    const float bias[L * E] = {1};
    gm_arch arch = arch_of(GM_SCORE_SOFTMAX);
    gm_edits edits;
    gm_error err;
    gm_edit edit = edit_of(bias, GM_EDIT_BIAS);
    edit.last_layer = L;
    CHECK_FAILS(gm_edits_create(&edits, &arch, &edit, 1, &err), err, GM_EARG, "MoE layers 0 to 2");
    edit.first_layer = 1, edit.last_layer = 0;
    CHECK_FAILS(gm_edits_create(&edits, &arch, &edit, 1, &err), err, GM_EARG, "MoE layers 1 to 0");
    edit = edit_of(bias, (gm_edit_mode)7);
    CHECK_FAILS(gm_edits_create(&edits, &arch, &edit, 1, &err), err, GM_EARG, "unknown mode 7");
}

/* K experts are enough. */
static void all_others_may_go(void)
{
    const float off = -INFINITY, bias[L * E] = {off, 0, 0, off, 0, off, off, 0};
    gm_arch arch = arch_of(GM_SCORE_SOFTMAX);
    gm_edit edit = edit_of(bias, GM_EDIT_BIAS);
    gm_edits edits;
    gm_error err = {0};
    CHECK_OK(gm_edits_create(&edits, &arch, &edit, 1, &err), err);
    gm_edits_clear(&edits);
}

static bool active(gm_scoring scoring, gm_edit_mode mode, const float *bias)
{
    gm_arch arch = arch_of(scoring);
    gm_edit edit = edit_of(bias, mode);
    gm_edits edits;
    gm_error err = {0};
    gm_router_edit found;
    CHECK_OK(gm_edits_create(&edits, &arch, &edit, 1, &err), err);
    bool is = gm_edits_find(&edits, 0, 0, GM_PHASE_PROMPT, &found);
    gm_edits_clear(&edits);
    return is;
}

static void what_changes_nothing_is_inactive(void)
{
    const float zero[L * E] = {0}, flat[L * E] = {3, 3, 3, 3}, one[L * E] = {0, 1};
    CHECK(!active(GM_SCORE_SOFTMAX, GM_EDIT_BIAS, zero));
    CHECK(!active(GM_SCORE_SOFTMAX, GM_EDIT_BIAS, flat));
    CHECK(!active(GM_SCORE_TOPK_SOFTMAX, GM_EDIT_GATE, flat));
    CHECK(active(GM_SCORE_SIGMOID, GM_EDIT_BIAS, flat));
    CHECK(active(GM_SCORE_SPARSEMIXER, GM_EDIT_BIAS, flat)); /* who is near depends on it */
    CHECK(active(GM_SCORE_SOFTMAX, GM_EDIT_MASK, flat));
    CHECK(active(GM_SCORE_SOFTMAX, GM_EDIT_BIAS, one));
}

static void rows_are_found_by_layer_and_phase(void)
{
    float bias[L * E] = {1, 0, 0, 0, 0, 0, 0, 5};
    gm_arch arch = arch_of(GM_SCORE_SOFTMAX);
    gm_edit edit = edit_of(bias, GM_EDIT_SELECT);
    gm_edits edits;
    gm_error err = {0};
    gm_router_edit found;
    edit.first_layer = 1;
    edit.phases = 1u << GM_PHASE_GENERATED;
    edit.mass_matched = true;
    CHECK_OK(gm_edits_create(&edits, &arch, &edit, 1, &err), err);
    bias[7] = 6; /* the caller's, who may do with it what he wants */
    CHECK(!gm_edits_find(&edits, -1, 1, GM_PHASE_GENERATED, &found));
    CHECK(!gm_edits_find(&edits, 1, 1, GM_PHASE_GENERATED, &found));
    CHECK(!gm_edits_find(&edits, 0, 0, GM_PHASE_GENERATED, &found));
    CHECK(!gm_edits_find(&edits, 0, 1, GM_PHASE_PROMPT, &found));
    CHECK(gm_edits_find(&edits, 0, 1, GM_PHASE_GENERATED, &found));
    CHECK(found.bias[3] == 5 && found.mode == GM_EDIT_SELECT && found.mass_matched);
    gm_edits_clear(&edits);
}

static gm_status create_some(void *state, gm_error *err)
{
    const float bias[L * E] = {1};
    gm_arch arch = arch_of(GM_SCORE_SOFTMAX);
    gm_edit edit = edit_of(bias, GM_EDIT_BIAS);
    gm_edits edits;
    (void)state;
    gm_status status = gm_edits_create(&edits, &arch, &edit, 1, err);
    gm_edits_clear(&edits);
    return status;
}

static void allocations_may_fail(void)
{
    check_every_allocation(create_some, NULL);
}

TESTS(TEST(bad_biases_are_refused), TEST(all_others_may_go), TEST(windows_are_checked),
      TEST(what_changes_nothing_is_inactive), TEST(rows_are_found_by_layer_and_phase),
      TEST(allocations_may_fail))

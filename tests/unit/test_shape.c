/* test_shape.c - formats/shape.c: what is of another model is told from what is of this one. */
#include "formats/shape.h"

#include "tests/check.h"

static const int layers[] = {1, 2, 3}, others[] = {1, 2, 4};
static const gm_shape own = {3, 8, 2, layers, "aaaa", "cccc"};

static void layers_are_found(void)
{
    CHECK_INT(gm_find_layer(others, 3, 1), 0);
    CHECK_INT(gm_find_layer(others, 3, 4), 2);
    CHECK_INT(gm_find_layer(others, 3, 3), -1);
    CHECK_INT(gm_find_layer(others, 3, INT64_C(1) << 32 | 4), -1);
    CHECK_INT(gm_find_layer(others, 2, 4), -1);
}

static void what_belongs_to_the_model(void)
{
    gm_error err = {0};
    gm_shape has = own;
    CHECK_OK(gm_shape_check(&has, "plan", &own, "dir", false, &err), err);
    has.n_chosen = 0; /* a plan does not say */
    has.model_digest = has.config_digest = "";
    CHECK_OK(gm_shape_check(&has, "plan", &own, "dir", false, &err), err);
}

static void what_does_not(void)
{
    gm_error err = {0};
    gm_shape has = own;
    has.model_digest = "bbbb";
    CHECK_FAILS(gm_shape_check(&has, "plan 'p'", &own, "dir", false, &err), err, GM_EARG,
                "plan 'p' was made for another model (weights bbbb, 'dir' has aaaa)");
    CHECK_OK(gm_shape_check(&has, "plan", &own, "dir", true, &err), err);
    has = own;
    has.config_digest = "dddd";
    CHECK_FAILS(gm_shape_check(&has, "plan", &own, "dir", false, &err), err, GM_EARG,
                "another config.json (dddd, 'dir' has cccc)");
    CHECK_OK(gm_shape_check(&has, "plan", &own, "dir", true, &err), err);
}

static void other_sizes_are_refused_always(void)
{
    gm_error err = {0};
    gm_shape has = own;
    has.n_experts = 9;
    CHECK_FAILS(gm_shape_check(&has, "plan", &own, "dir", true, &err), err, GM_EARG,
                "for 3 layers of 9 experts, the model 'dir' has 3 of 8");
    has = own;
    has.n_layers = 2;
    CHECK_FAILS(gm_shape_check(&has, "plan", &own, "dir", true, &err), err, GM_EARG, "2 layers");
    has = own;
    has.layer_of_moe = others;
    CHECK_FAILS(gm_shape_check(&has, "plan", &own, "dir", true, &err), err, GM_EARG,
                "plan: row 2 is for layer 4, MoE layer 2 of the model 'dir' is layer 3");
    has.model_digest = "bbbb";
    CHECK_FAILS(gm_shape_check(&has, "plan", &own, "dir", true, &err), err, GM_EARG,
                "plan was made for another model: row 2 is for layer 4,");
}

TESTS(TEST(layers_are_found), TEST(what_belongs_to_the_model), TEST(what_does_not),
      TEST(other_sizes_are_refused_always))

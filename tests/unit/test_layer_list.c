/* test_layer_list.c - formats/layer_list.c: lists of layers are read, chosen by, and written. */
#include "formats/layer_list.h"

#include "tests/check.h"

static const int layers[] = {1, 2, 4, 5, 6, 9}; /* of a model */
enum { L = sizeof layers / sizeof *layers };

/* What `text` chooses of them, as a list again. */
static void chooses(const char *text, const char *want)
{
    gm_error err = {0};
    gm_layer_list list;
    gm_text out = {0};
    int chosen[L], n = 7; /* of another list */
    CHECK_OK(gm_layer_list_parse(&list, text, &err), err);
    CHECK_OK(gm_layer_list_choose(chosen, &n, &list, layers, L, &err), err);
    CHECK_OK(gm_layer_list_put(&out, chosen, n, &err), err);
    CHECK_TEXT(out.at, want);
    gm_text_clear(&out);
    gm_layer_list_clear(&list);
}

static void ranges_take_the_layers_in_them(void)
{
    chooses("1", "1");
    chooses("1,2,4-6,9", "1-2,4-6,9");
    chooses("1-9", "1-2,4-6,9");
    chooses("2-5", "2,4-5");
    chooses("3-4,7-9", "4,9");
}

static void lacks(const char *text, const char *what)
{
    gm_error err = {0};
    gm_layer_list list;
    int chosen[L], n;
    CHECK_OK(gm_layer_list_parse(&list, text, &err), err);
    CHECK_FAILS(gm_layer_list_choose(chosen, &n, &list, layers, L, &err), err, GM_EARG, what);
    CHECK_HAS(err.text, "which has the MoE layers 1-2,4-6,9");
    gm_layer_list_clear(&list);
}

static void layers_that_are_not_there_are_named(void)
{
    lacks("3", "layer 3 does not exist");
    lacks("7-8", "layer 7 does not exist");
    lacks("0-4", "layer 0 does not exist");
    lacks("5-10", "layer 10 does not exist");
    lacks("1,3-3", "layer 3 does not exist");
}

static void what_is_no_list_is_refused(void)
{
    static const char *const wrong[] = {"",    "x",   "1,",    ",1",    "1-",   "-1",  "2,1",
                                        "1,1", "3-2", "1-3,3", "10000", "1--2", "1 2", "1.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        gm_error err = {0};
        gm_layer_list list;
        CHECK_FAILS(gm_layer_list_parse(&list, wrong[i], &err), err, GM_EARG,
                    "expected layers in ascending order");
        CHECK(list.range == NULL && list.n == 0);
    }
}

static gm_status parse_and_put(void *unused, gm_error *err)
{
    (void)unused;
    gm_layer_list list = {0};
    gm_text out = {0};
    gm_status status = gm_layer_list_parse(&list, "1,3-9", err);
    if (status == GM_OK) status = gm_layer_list_put(&out, layers, L, err);
    gm_text_clear(&out);
    gm_layer_list_clear(&list);
    return status;
}

static void every_allocation_may_fail(void)
{
    check_every_allocation(parse_and_put, NULL);
}

TESTS(TEST(ranges_take_the_layers_in_them), TEST(layers_that_are_not_there_are_named),
      TEST(what_is_no_list_is_refused), TEST(every_allocation_may_fail))

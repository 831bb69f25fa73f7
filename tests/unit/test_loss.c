/* test_loss.c - probe/loss.c: means over tokens, intervals over documents, worked by hand. */
#include "probe/loss.h"
#include "tests/check.h"

#include <math.h>

/* Three documents of one subset and one of another; of the last nothing counts. */
static const uint16_t SUBSET[] = {0, 0, 0, 1, 1};
static const char *const NAME[] = {"a", "b", "none"};
static const gm_trace_samples SAMPLES = {
    .n = 5, .subset = SUBSET, .n_subsets = 3, .subset_name = NAME};

static void tokens_that_both_have_count(void)
{
    gm_document_loss loss = {0};
    gm_loss_add(&loss, 1, 1.5f);
    gm_loss_add(&loss, NAN, 2);
    gm_loss_add(&loss, 2, NAN);
    gm_loss_add(&loss, 2, INFINITY);
    gm_loss_add(&loss, 3, 2);
    CHECK_INT(loss.n, 2);
    CHECK_NEAR(loss.a, 4, 0);
    CHECK_NEAR(loss.b, 3.5, 0);
}

/* Changes 1, 4, 2 over 2, 4, 4 tokens: D = .7; off by -.4, 1.2, -.8: squares 2.24; the variance
 * 3/2 2.24 / 100 = .0336; Student's .975 quantile with 2 degrees of freedom is 4.302652729911275.
 */
static void the_change_of_a_ratio(void)
{
    const gm_document_loss loss[] = {{2, 4, 5}, {4, 8, 12}, {4, 4, 6}, {10, 10, 5}, {0, 0, 0}};
    gm_loss a = gm_loss_of(loss, &SAMPLES, 0);
    CHECK_INT(a.documents, 3);
    CHECK_INT(a.tokens, 10);
    CHECK_NEAR(a.a, 1.6, 1e-15);
    CHECK_NEAR(a.b, 2.3, 1e-15);
    CHECK_NEAR(a.change, 0.7, 1e-15);
    CHECK_NEAR(a.high - a.change, 4.302652729911275 * sqrt(0.0336), 1e-9);
    CHECK_NEAR(a.change - a.low, 4.302652729911275 * sqrt(0.0336), 1e-9);
    CHECK_NEAR(a.p, 0.06223831123007423, 1e-12); /* SciPy 1.17: 2 t.sf(.7 / sqrt(.0336), 2) */
    gm_loss all = gm_loss_of(loss, &SAMPLES, -1);
    CHECK_INT(all.documents, 4);
    CHECK_NEAR(all.change, 2.0 / 20, 1e-15);
}

static void one_document_has_no_interval(void)
{
    const gm_document_loss loss[] = {{2, 4, 5}, {4, 8, 12}, {4, 4, 6}, {10, 10, 5}, {0, 0, 0}};
    gm_loss one = gm_loss_of(loss, &SAMPLES, 1);
    CHECK_INT(one.documents, 1);
    CHECK_NEAR(one.change, -0.5, 0);
    CHECK(isnan(one.low) && isnan(one.high) && isnan(one.p));
    gm_loss none = gm_loss_of(loss, &SAMPLES, 2);
    CHECK_INT(none.documents, 0);
    CHECK(isnan(none.a) && isnan(none.change));
}

/* Where no loss changed, or all by the same, there is nothing to estimate the error from. */
static void changes_without_variance(void)
{
    const gm_document_loss same[] = {{2, 4, 4}, {4, 8, 8}, {4, 4, 4}, {1, 1, 1}, {0, 0, 0}};
    CHECK_NEAR(gm_loss_of(same, &SAMPLES, 0).p, 1, 0);
    const gm_document_loss more[] = {{2, 4, 5}, {4, 8, 10}, {4, 4, 6}, {1, 1, 1}, {0, 0, 0}};
    CHECK_NEAR(gm_loss_of(more, &SAMPLES, 0).p, 0, 0);
}

static void without_losses_there_is_null(void)
{
    const gm_document_loss loss[] = {{2, 4, 5}, {4, 8, 12}, {4, 4, 6}, {10, 10, 5}, {0, 0, 0}};
    gm_json_out out = {0};
    gm_error err = {0};
    gm_json_open_object(&out, NULL);
    gm_loss_put(NULL, &SAMPLES, &out);
    gm_loss_put(loss, &SAMPLES, &out);
    gm_json_close_object(&out);
    CHECK_OK(gm_json_out_done(&out, &err), err);
    CHECK_HAS(out.text.at, "{\"loss\":null,\"loss\":{\"documents\":4,\"tokens\":20,\"nll\":1.3,");
    CHECK_HAS(out.text.at, "{\"subset\":\"b\",\"documents\":1,\"tokens\":10,\"nll\":1,"
                           "\"nll_against\":0.5,\"change\":-0.5,\"change_low\":null,"
                           "\"change_high\":null,\"p\":null}");
    CHECK(strstr(out.text.at, "none") == NULL);
    gm_text_clear(&out.text);
}

TESTS(TEST(tokens_that_both_have_count), TEST(the_change_of_a_ratio),
      TEST(one_document_has_no_interval), TEST(changes_without_variance),
      TEST(without_losses_there_is_null))

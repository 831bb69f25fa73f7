/* test_rows.c - cluster/rows.c: rows in an order of their own. */
#include "cluster/rows.h"
#include "tests/check.h"

#include <math.h>

static gm_matrix matrix_of(const double *at, size_t rows, size_t cols)
{
    gm_matrix m = {rows, cols, gm_alloc2(rows, cols, sizeof *at)};
    memcpy(m.at, at, rows * cols * sizeof *at);
    return m;
}

/* Rows 0 and 3 are equal, as are 1 and 5 up to the sign of zero; 2 and 4 are not finite. */
static const double SIX[] = {1,         2, /**/ 0.0, 7, /**/ NAN, 0, /**/ 1, 2, /**/ 3, INFINITY,
                             /**/ -0.0, 7};

static void rows_that_are_not_finite_are_set_aside(void)
{
    gm_matrix m = matrix_of(SIX, 6, 2);
    gm_rows r;
    gm_error err = {0};
    CHECK_OK(gm_rows_take(&r, &m, &err), err);
    CHECK(m.at == NULL);
    CHECK_INT(r.n, 6);
    CHECK_INT(r.n_used, 4);
    CHECK_INT(r.distinct.n, 4);
    CHECK_INT(r.distinct.m, 2);
    for (size_t i = 0; i < 4; i++) {
        const uint32_t row = r.place[i];
        CHECK(row != 2 && row != 4);
        CHECK_NEAR(r.at[2 * i], SIX[2 * row], 0);
        CHECK_NEAR(r.at[2 * i + 1], SIX[2 * row + 1], 0);
        CHECK_INT(r.distinct.point[i], i / 2); /* equal rows stand together */
    }
    CHECK_INT(r.distinct.first[1], 2);
    CHECK_INT(r.distinct.count[0], 2);
    CHECK_INT(r.distinct.count[1], 2);
    gm_rows_clear(&r);
}

static void the_order_is_not_the_files(void)
{
    double at[20], back[20];
    for (size_t i = 0; i < 20; i++)
        at[i] = (double)(i * i % 13), back[18 - i / 2 * 2 + i % 2] = at[i];
    gm_matrix m = matrix_of(at, 10, 2), n = matrix_of(back, 10, 2);
    gm_rows r, s;
    gm_error err = {0};
    CHECK_OK(gm_rows_take(&r, &m, &err), err);
    CHECK_OK(gm_rows_take(&s, &n, &err), err);
    CHECK_BYTES(r.at, s.at, sizeof at);
    CHECK_BYTES(r.sha, s.sha, 10 * 32);
    for (size_t i = 0; i + 1 < 10; i++) CHECK(memcmp(r.sha[i], r.sha[i + 1], 32) <= 0);
    gm_rows_clear(&r);
    gm_rows_clear(&s);
}

static void distinct_rows_are_floats(void)
{
    gm_matrix m = matrix_of(SIX, 6, 2);
    gm_rows r;
    float *at = NULL;
    gm_error err = {0};
    CHECK_OK(gm_rows_take(&r, &m, &err), err);
    CHECK_OK(gm_rows_distinct(&at, &r, GM_COSINE, &err), err);
    for (size_t p = 0; p < 2; p++)
        CHECK(at[2 * p] == 1 ? at[2 * p + 1] == 2 : at[2 * p] == 0 && at[2 * p + 1] == 7);
    gm_free(at);
    CHECK_OK(gm_rows_distinct(&at, &r, GM_EUCLIDEAN, &err), err); /* less (0.5, 4.5) */
    for (size_t p = 0; p < 2; p++)
        CHECK(at[2 * p] == 0.5f ? at[2 * p + 1] == -2.5f
                                : at[2 * p] == -0.5f && at[2 * p + 1] == 2.5f);
    gm_free(at);
    gm_rows_clear(&r);
    for (size_t huge = 0; huge < 4; huge++) { /* which moves the mean, so that all are long */
        double large[] = {1, 2, 3, 4, 5, 6, 7, 8};
        char want[32];
        large[2 * huge] = 1e300;
        snprintf(want, sizeof want, "row %zu has length 7.5e+299", huge);
        m = matrix_of(large, 4, 2);
        CHECK_OK(gm_rows_take(&r, &m, &err), err);
        CHECK_FAILS(gm_rows_distinct(&at, &r, GM_EUCLIDEAN, &err), err, GM_EARG, want);
        CHECK(at == NULL);
        gm_rows_clear(&r);
    }
    const double negative[] = {1, 2, 3, -4};
    m = matrix_of(negative, 2, 2);
    CHECK_OK(gm_rows_take(&r, &m, &err), err);
    CHECK_FAILS(gm_rows_distinct(&at, &r, GM_HELLINGER, &err), err, GM_EARG,
                "row 1, column 1 is -4; hellinger needs values of at least 0");
    CHECK_OK(gm_rows_distinct(&at, &r, GM_COSINE, &err), err);
    gm_free(at);
    gm_rows_clear(&r);
}

/* Two pairs are one float each: numbers of ten digits, and those too small to be any. */
static void what_floats_do_not_tell_is_counted(void)
{
    const double close[] = {1e10, 1e10 + 1, 1e10 + 2, 1e10, 1, 2, -1e-310, 1, 1e-310, 1};
    gm_matrix m = matrix_of(close, 5, 2);
    gm_rows r;
    float *at = NULL;
    size_t n_alike;
    gm_error err = {0};
    CHECK_OK(gm_rows_take(&r, &m, &err), err);
    CHECK_INT(r.distinct.m, 5);
    CHECK_OK(gm_rows_distinct(&at, &r, GM_COSINE, &err), err);
    CHECK_OK(gm_rows_alike(&n_alike, at, 5, 2, &err), err);
    CHECK_INT(n_alike, 2);
    CHECK_OK(gm_rows_alike(&n_alike, at, 1, 2, &err), err);
    CHECK_INT(n_alike, 0);
    gm_free(at);
    gm_rows_clear(&r);
}

static void a_matrix_without_a_finite_row_is_refused(void)
{
    const double none[] = {NAN, 1, INFINITY, 2};
    gm_matrix m = matrix_of(none, 2, 2);
    gm_rows r;
    gm_error err = {0};
    CHECK_FAILS(gm_rows_take(&r, &m, &err), err, GM_EARG, "none of the matrix's 2 rows is finite");
    CHECK(m.at == NULL && r.at == NULL);
}

static gm_status attempt(void *state, gm_error *err)
{
    (void)state;
    gm_rows r;
    float *at = NULL;
    gm_matrix m = {6, 2, gm_alloc2(6, 2, sizeof(double))};
    if (m.at == NULL) return gm_fail(err, GM_EMEM, "no memory for the test");
    memcpy(m.at, SIX, sizeof SIX);
    gm_status status = gm_rows_take(&r, &m, err);
    if (status == GM_OK) status = gm_rows_distinct(&at, &r, GM_COSINE, err);
    size_t n_alike;
    if (status == GM_OK) status = gm_rows_alike(&n_alike, at, r.distinct.m, 2, err);
    gm_free(at);
    gm_rows_clear(&r);
    return status;
}

static void survives_every_allocation_failure(void)
{
    check_every_allocation(attempt, NULL);
}

TESTS(TEST(rows_that_are_not_finite_are_set_aside), TEST(the_order_is_not_the_files),
      TEST(distinct_rows_are_floats), TEST(what_floats_do_not_tell_is_counted),
      TEST(a_matrix_without_a_finite_row_is_refused), TEST(survives_every_allocation_failure))

/* test_quality_golden.c - quality figures of maps and clusters against the packages that define
 * them: DBCV against hdbscan, correlations of lengths against SciPy. Labelings, trustworthiness:
 * test_keywords_golden.c.
 */
#include "cluster/quality.h"
#include "cluster/validity.h"
#include "tests/golden_tensors.h"

enum { MAX = 256 };

/* The numbers of an array; returns how many. */
static size_t read_numbers(double *out, size_t most, const gm_json *array)
{
    size_t n = 0;
    for (const gm_json *v = gm_json_first(array); v && n < most; v = gm_json_next(v))
        out[n++] = golden_number(v);
    return n;
}

static void validity_agrees(void)
{
    static const char *const names[] = {"blobs", "five", "mixed", "moons", "noisy", "pair"};
    gm_json *golden = golden_json("cluster/metrics.json");
    for (size_t s = 0; s < 6; s++) {
        const gm_json *entry = gm_json_find(gm_json_find(golden, "validity"), names[s]);
        double x[5 * MAX], number[MAX], want[8], each[8], whole;
        float at[5 * MAX];
        int32_t label[MAX];
        gm_error err = {0};
        size_t dim = (size_t)golden_number(gm_json_find(entry, "dim"));
        size_t n = read_numbers(x, 5 * MAX, gm_json_find(entry, "at")) / dim;
        CHECK_INT(read_numbers(number, MAX, gm_json_find(entry, "label")), n);
        size_t n_clusters = read_numbers(want, 8, gm_json_find(entry, "clusters"));
        for (size_t i = 0; i < n * dim; i++) at[i] = (float)x[i];
        for (size_t i = 0; i < n; i++) label[i] = (int32_t)number[i];
        const gm_validity_input in = {at, label, n, dim, n_clusters};
        CHECK_OK(gm_validity_find(&whole, each, &in, &err), err);
        CHECK_NEAR(whole, golden_number(gm_json_find(entry, "whole")), 1e-9);
        for (size_t c = 0; c < n_clusters; c++) CHECK_NEAR(each[c], want[c], 1e-9);
    }
    gm_json_free(golden);
}

static void lengths_agree(void)
{
    gm_json *golden = golden_json("cluster/metrics.json");
    const gm_json *entry = gm_json_find(golden, "lengths");
    double number[MAX], noise, cluster;
    uint32_t length[MAX];
    int32_t label[MAX];
    gm_error err = {0};
    size_t n = read_numbers(number, MAX, gm_json_find(entry, "length"));
    for (size_t i = 0; i < n; i++) length[i] = (uint32_t)number[i];
    CHECK_INT(read_numbers(number, MAX, gm_json_find(entry, "label")), n);
    for (size_t i = 0; i < n; i++) label[i] = (int32_t)number[i];
    CHECK_OK(gm_quality_lengths(&noise, &cluster, length, label, n, 4, &err), err);
    CHECK_NEAR(noise, golden_number(gm_json_find(entry, "noise")), 1e-12);
    CHECK_NEAR(cluster, golden_number(gm_json_find(entry, "cluster")), 1e-12);
    CHECK(noise > 0.1 && cluster > 0.1);
    gm_json_free(golden);
}

TESTS(TEST(validity_agrees), TEST(lengths_agree))

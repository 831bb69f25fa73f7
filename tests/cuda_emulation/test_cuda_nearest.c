/* test_cuda_nearest.c - neighbours proposed by the emulated GPU are those that the CPU finds: ties,
 * copies, zeros, tiles that do not fill, any order of blocks; and what is refused.
 */
#include "base/rng.h"
#include "cluster/cuda/cuda_nearest.h"
#include "cluster/gpu.h"
#include "cluster/knn.h"
#include "tests/check.h"
#ifndef GM_REAL_GPU
#include "emulation.h"
#endif

enum { K = 15 };

/* Small whole numbers give many ties; every 9th row repeats another one, a few are zero. */
static gm_points make_points(size_t n, size_t d, int values, gm_metric metric)
{
    gm_points points;
    gm_error err = {0};
    gm_rng rng = gm_rng_make(31, n * 1000 + d);
    float *rows = gm_alloc2(n, d, sizeof *rows);
    for (size_t i = 0; i < n * d; i++)
        rows[i] = (float)gm_rng_below(&rng, (uint64_t)values) / (values > 100 ? 1000.0f : 1.0f);
    for (size_t i = 9; i < n; i += 9) memcpy(rows + i * d, rows + i / 2 * d, d * sizeof *rows);
    for (size_t i = 5; i < n; i += 50) memset(rows + i * d, 0, d * sizeof *rows);
    CHECK_OK(gm_points_init(&points, rows, n, d, metric, &err), err);
    gm_free(rows);
    return points;
}

/* For few points, whose neighbours take the CPU so many seconds. */
static gm_status open_as(const char *device, gm_gpu **gpu, double seconds, gm_error *err)
{
    char note[GM_GPU_NOTE];
    return gm_gpu_open(gpu, device, &(gm_gpu_work){600, 16, seconds}, note, err);
}

/* Leaves the program where there is no GPU. */
static gm_gpu *open_gpu(void)
{
    gm_gpu *gpu = NULL;
    gm_error err = {0};
    gm_status status = open_as("cuda", &gpu, 0, &err);
#ifdef GM_REAL_GPU
    if (status == GM_EABSENT) {
        fprintf(stderr, "skipped: %s\n", err.text);
        exit(77);
    }
#endif
    CHECK_OK(status, err);
    if (gpu == NULL) exit(1);
    return gpu;
}

static void compare(const char *what, gm_points *points, gm_gpu *gpu, const uint32_t *query,
                    size_t n, int k)
{
    gm_knn want, got;
    gm_error err = {0};
    CHECK_OK(gm_knn_find(&want, points, query, n, k, NULL, &err), err);
    points->gpu = gpu;
    CHECK_OK(gm_knn_find(&got, points, query, n, k, NULL, &err), err);
    points->gpu = NULL;
    CHECK_INT(got.n, want.n);
    CHECK_BYTES(got.index, want.index, want.n * (size_t)k * sizeof *want.index);
    CHECK_BYTES(got.distance, want.distance, want.n * (size_t)k * sizeof *want.distance);
    printf("%s: %zu of %zu lists made the slow way\n", what, got.n_uncertified, got.n);
    gm_knn_clear(&want);
    gm_knn_clear(&got);
}

static void the_neighbours_of_the_cpu(void)
{
    static const struct {
        const char *name;
        size_t n, d;
        int values;
        gm_metric metric;
        size_t rows, cols; /* of a tile */
    } cases[] = {{"hellinger", 150, 33, 1000, GM_HELLINGER, 64, 47},
                 {"ties", 97, 3, 4, GM_EUCLIDEAN, 97, 97},
                 {"cosine", 33, 40, 1000, GM_COSINE, 7, 1024}};
    gm_gpu *gpu = open_gpu();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gm_points points = make_points(cases[i].n, cases[i].d, cases[i].values, cases[i].metric);
        gm_cuda_gpu_set_tile(gpu, cases[i].rows, cases[i].cols);
        compare(cases[i].name, &points, gpu, NULL, 0, K);
        gm_points_clear(&points);
    }
    gm_gpu_close(gpu);
}

/* Queries in any order, more columns than a row has room for at once, as many neighbours as there
 * are points. */
static void some_queries_of_many_points(void)
{
    static const uint32_t query[] = {2999, 0, 17, 1500, 1};
    gm_gpu *gpu = open_gpu();
    gm_points many = make_points(3000, 16, 1000, GM_EUCLIDEAN);
    gm_points few = make_points(5, 16, 1000, GM_EUCLIDEAN);
    compare("some of many", &many, gpu, query, 5, 64);
#ifndef GM_REAL_GPU
    gm_emulation.order = 7919;
    compare("in another order", &many, gpu, query, 5, 64);
    gm_emulation.order = 0;
#endif
    compare("all of five", &few, gpu, NULL, 0, 5);
    compare("itself alone", &few, gpu, NULL, 0, 1);
    gm_points_clear(&many);
    gm_points_clear(&few);
    gm_gpu_close(gpu);
}

/* What is proposed, before anything is decided: the nearest by distances that are as near to the
 * true ones as they claim. */
static void proposals_are_the_nearest(void)
{
    enum { N = 150, WIDTH = 40 };
    gm_gpu *gpu = open_gpu();
    gm_points points = make_points(N, 33, 1000, GM_HELLINGER);
    gm_product product;
    gm_candidates found;
    gm_error err = {0};
    uint32_t query[N];
    for (uint32_t i = 0; i < N; i++) query[i] = N - 1 - i;
    gm_cuda_gpu_set_tile(gpu, 64, 47);
    CHECK_OK(gm_product_init(&product, &points, GM_ISA_AMX, &err), err);
    CHECK_OK(gm_candidates_init(&found, N, WIDTH, &err), err);
    product.unit = GM_UNIT_GPU;
    CHECK_OK(gm_gpu_propose(gpu, &product, query, &found, N, NULL, &err), err);
    for (size_t q = 0; q < N; q++) {
        const gm_candidate *list = found.list + q * 2 * WIDTH;
        bool listed[N] = {false};
        CHECK_INT(found.n_listed[q], WIDTH);
        CHECK(found.limit[q] == gm_candidate_s(list[WIDTH - 1]));
        for (size_t c = 0; c < WIDTH; c++) {
            const uint32_t j = gm_candidate_index(list[c]);
            const double s = (double)gm_candidate_s(list[c]);
            const double true_s = gm_points_squared(&points, query[q], j);
            CHECK(j < N && j != query[q] && !listed[j] && (c == 0 || list[c - 1] < list[c]));
            CHECK_NEAR(s, true_s, 0.01);
            CHECK(gm_product_lower_bound(&product, query[q], s) <= true_s);
            listed[j] = true;
        }
        const double least = gm_product_lower_bound(&product, query[q], (double)found.limit[q]);
        for (uint32_t j = 0; j < N; j++)
            CHECK(listed[j] || j == query[q] || gm_points_squared(&points, query[q], j) >= least);
    }
    gm_candidates_clear(&found);
    gm_product_clear(&product);
    gm_points_clear(&points);
    gm_gpu_close(gpu);
}

#ifndef GM_REAL_GPU
static void what_cannot_be_done_is_said(void)
{
    gm_gpu *gpu = NULL;
    gm_knn knn;
    gm_error err = {0};
    CHECK_FAILS(open_as("tpu", &gpu, 0, &err), err, GM_EARG, "unknown device 'tpu'");
    CHECK_FAILS(open_as("cuda:2", &gpu, 0, &err), err, GM_EABSENT, "cuda:0 to cuda:0");
    gm_emulation.driver_version = 0;
    CHECK_FAILS(open_as("cuda", &gpu, 0, &err), err, GM_EABSENT,
                "this machine has no NVIDIA driver (libcuda.so.1); '--device cpu' needs no GPU");
    emulation_reset();
    gpu = open_gpu();
    gm_points points = make_points(600, 16, 1000, GM_EUCLIDEAN);
    points.gpu = gpu;
    CHECK_FAILS(gm_knn_find(&knn, &points, NULL, 0, 500, NULL, &err), err, GM_EABSENT,
                "keeps at most 512 candidates");
    gm_emulation.memory = gm_emulation.used + 1000;
    CHECK_FAILS(gm_knn_find(&knn, &points, NULL, 0, 5, NULL, &err), err, GM_EMEM,
                "on 'emulated GPU', which has 1.0 kB free");
    emulation_reset();
    gm_points_clear(&points);
    gm_gpu_close(gpu);
}

/* Whether "auto" takes the GPU as the emulation stands, and what it says. */
static void check_auto(double seconds, bool taken, const char *says)
{
    gm_gpu *gpu = NULL;
    gm_error err = {0};
    char note[GM_GPU_NOTE] = "not written";
    CHECK_OK(gm_gpu_open(&gpu, "auto", &(gm_gpu_work){600, 16, seconds}, note, &err), err);
    CHECK_INT(gpu != NULL, taken);
    if (says[0])
        CHECK_HAS(note, says);
    else
        CHECK_TEXT(note, "");
    CHECK_TEXT(gm_gpu_name(gpu), taken ? "emulated GPU" : "cpu");
    gm_gpu_close(gpu);
}

/* A GPU for what takes the CPU long, if there is one that can. */
static void auto_is_for_what_takes_long(void)
{
    const double is_long = GM_GPU_WORTH_SECONDS + 1.0;
    emulation_reset();
    const long n_taken = gm_emulation.n_taken;
    check_auto(0, false, ""); /* other neighbours, or none */
    check_auto(GM_GPU_WORTH_SECONDS / 2.0, false, "");
    gm_emulation.driver_version = 0;
    check_auto(is_long, false, "");
    gm_emulation.driver_version = 11040;
    check_auto(is_long, false,
               "neighbours are found on the CPU: the NVIDIA driver supports CUDA 11.4");
    CHECK_INT(gm_emulation.n_taken, n_taken);
    emulation_reset();
    check_auto(is_long, true, "neighbours are found on emulated GPU");
    gm_emulation.taken_of_first = gm_emulation.memory - 5000;
    check_auto(is_long, false, "neighbours are found on the CPU: finding neighbours of 600 points");
    gm_emulation.n_devices = 2;
    check_auto(is_long, true, "neighbours are found on emulated GPU");
    emulation_reset();
}

/* Somebody else has its memory by the time it is needed, or it breaks: the CPU finds the same. */
static void what_auto_took_may_fail_later(void)
{
    gm_points points = make_points(150, 33, 1000, GM_HELLINGER);
    for (int breaks = 0; breaks < 2; breaks++) {
        gm_gpu *gpu = NULL;
        gm_error err = {0};
        emulation_reset();
        CHECK_OK(open_as("auto", &gpu, GM_GPU_WORTH_SECONDS + 1.0, &err), err);
        if (breaks)
            gm_emulation.fail_after = 12, gm_emulation.fail_with = cudaErrorECCUncorrectable;
        else
            gm_emulation.taken_of_first = gm_emulation.memory - 1000;
        compare("left to the CPU", &points, gpu, NULL, 0, K);
        if (breaks) CHECK(gm_emulation.fail_after < 0);
        gm_gpu_close(gpu);
        CHECK_INT(gm_emulation.n_blocks, 0);
    }
    emulation_reset();
    gm_points_clear(&points);
}

/* Whatever call of the runtime fails: a sentence, nothing stays allocated. */
static void any_call_may_fail(void)
{
    gm_points points = make_points(40, 16, 1000, GM_EUCLIDEAN);
    bool reached_end = false;
    for (long k = 0; k < 1000 && !reached_end; k++) {
        gm_gpu *gpu = NULL;
        gm_knn knn = {0};
        gm_error err = {0};
        const long blocks = gm_alloc_live();
        emulation_reset();
        gm_emulation.fail_after = k;
        gm_emulation.fail_with = cudaErrorECCUncorrectable;
        gm_status status = open_as("cuda", &gpu, 0, &err);
        points.gpu = gpu;
        if (status == GM_OK) status = gm_knn_find(&knn, &points, NULL, 0, 5, NULL, &err);
        reached_end = gm_emulation.fail_after >= 0;
        if (!reached_end && (status != GM_EDEVICE || err.text[0] == '\0'))
            TEST_FAILED_("call %ld: %s, '%s'", k, gm_status_text(status), err.text);
        gm_knn_clear(&knn);
        gm_gpu_close(gpu);
        CHECK_INT(gm_emulation.n_blocks, 0);
        CHECK_INT(gm_alloc_live(), blocks);
    }
    CHECK(reached_end);
    emulation_reset();
    gm_points_clear(&points);
}
#else
static void what_cannot_be_done_is_said(void)
{
    TEST_SKIP("refusals are ordered on the emulated GPU only");
}

static void auto_is_for_what_takes_long(void)
{
    TEST_SKIP("other machines are made up on the emulated GPU only");
}

static void what_auto_took_may_fail_later(void)
{
    TEST_SKIP("failures are ordered on the emulated GPU only");
}

static void any_call_may_fail(void)
{
    TEST_SKIP("failures are ordered on the emulated GPU only");
}
#endif

TESTS(TEST(the_neighbours_of_the_cpu), TEST(some_queries_of_many_points),
      TEST(proposals_are_the_nearest), TEST(what_cannot_be_done_is_said),
      TEST(auto_is_for_what_takes_long), TEST(what_auto_took_may_fail_later),
      TEST(any_call_may_fail))

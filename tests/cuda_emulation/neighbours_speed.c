/* neighbours_speed.c - how long exact neighbours take a GPU and the CPU, and that they are the
 * same.
 *
 * usage: neighbours_speed [--points N] [--columns D] [--device cuda:N]
 *
 * Points are usage vectors of made-up documents of 60 topics. The GPU comes twice: the first time
 * it and its library are started.
 */
#include "base/cli.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/rng.h"
#include "cluster/gpu.h"
#include "cluster/knn.h"

#include <stdio.h>
#include <string.h>

enum { TOPICS = 60, CHOICES = 200, K = 15 };

/* n documents of CHOICES choices each, half of them of the document's topic. */
static gm_status make_points(gm_points *out, size_t n, size_t dim, gm_error *err)
{
    gm_rng rng = gm_rng_make(7, 0);
    const size_t own = dim / TOPICS > 0 ? dim / TOPICS : 1;
    float *rows = gm_alloc2(n, dim, sizeof *rows);
    if (rows == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu points", n);
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < CHOICES; c++) {
            const size_t at =
                c % 2 ? i % TOPICS * own + gm_rng_below(&rng, own) : gm_rng_below(&rng, dim);
            rows[i * dim + at % dim] += 1.0f / CHOICES;
        }
    gm_status status = gm_points_init(out, rows, n, dim, GM_HELLINGER, err);
    gm_free(rows);
    return status;
}

static gm_status find(gm_knn *out, gm_points *points, gm_gpu *gpu, double *seconds, gm_error *err)
{
    const double start = gm_now();
    points->gpu = gpu;
    gm_status status = gm_knn_find(out, points, NULL, 0, K, NULL, err);
    *seconds = gm_now() - start;
    return status;
}

static gm_status measure(size_t n, size_t dim, const char *device, gm_error *err)
{
    gm_status status = GM_OK;
    gm_points points = {0};
    gm_knn first = {0}, again = {0}, cpu = {0};
    gm_gpu *gpu = NULL;
    char note[GM_GPU_NOTE];
    double opened, seconds[3];
    GM_TRY(make_points(&points, n, dim, err));
    const double start = gm_now();
    GM_TRY(gm_gpu_open(&gpu, device, &(gm_gpu_work){.n = n, .dim = dim}, note, err));
    opened = gm_now() - start;
    GM_TRY(find(&first, &points, gpu, &seconds[0], err));
    GM_TRY(find(&again, &points, gpu, &seconds[1], err));
    GM_TRY(find(&cpu, &points, NULL, &seconds[2], err));
    const size_t all = n * K;
    const bool same = memcmp(again.index, cpu.index, all * sizeof *cpu.index) == 0 &&
                      memcmp(again.distance, cpu.distance, all * sizeof *cpu.distance) == 0;
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "gpu", gm_gpu_name(gpu));
    gm_json_put_u64(&out, "points", n);
    gm_json_put_u64(&out, "columns", dim);
    gm_json_put_f64(&out, "open_s", opened);
    gm_json_put_f64(&out, "first_gpu_s", seconds[0]);
    gm_json_put_f64(&out, "gpu_s", seconds[1]);
    gm_json_put_f64(&out, "cpu_s", seconds[2]);
    gm_json_put_string(&out, "cpu", gm_isa_name(points.isa));
    gm_json_put_u64(&out, "uncertified", again.n_uncertified);
    gm_json_put_bool(&out, "same_neighbours", same);
    gm_json_close_object(&out);
    status = gm_json_out_done(&out, err);
    if (status == GM_OK) printf("%s\n", out.text.at);
    gm_text_clear(&out.text);
    if (status == GM_OK && !same) GM_FAIL(GM_ECHECK, "the neighbours are not the CPU's");
out:
    gm_knn_clear(&first);
    gm_knn_clear(&again);
    gm_knn_clear(&cpu);
    gm_gpu_close(gpu);
    gm_points_clear(&points);
    return status;
}

int main(int argc, char **argv)
{
    gm_error err = {0};
    int64_t n = 40000, dim = 1728;
    const char *device = "cuda";
    const gm_opt opts[] = {
        {GM_OPT_I64, "points", &n, K + 1, 1 << 24, "N", "documents"},
        {GM_OPT_I64, "columns", &dim, 1, 1 << 20, "D", "layers x experts"},
        {GM_OPT_TEXT, "device", &device, 0, 0, "NAME", "cuda or cuda:N"},
        {.kind = GM_OPT_END_},
    };
    gm_status status = gm_opt_parse("neighbours_speed", NULL, opts, &argc, argv, &err);
    const bool usage = status != GM_OK;
    if (status == GM_OK) status = measure((size_t)n, (size_t)dim, device, &err);
    return gm_cli_end("neighbours_speed", "", status, usage, &err);
}

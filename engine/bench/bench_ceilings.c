/* bench_ceilings.c - how fast this machine reads memory and multiplies matrices with the
 * threads and kernels that the model has. */
#include "engine/bench/bench.h"

#include "base/rng.h"
#include "engine/cpu/cpu_ops.h"

#include <math.h>
#include <sys/resource.h>
#include <time.h>

double gm_bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

uint64_t gm_bench_peak_bytes(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}

/* ---- reading memory ---- */

enum {
    PIECE = 1 << 20, /* bytes that a worker reads at a time */
    AHEAD = 1024,    /* bytes prefetched ahead */
};

gm_status gm_bench_memory_create(gm_buf *memory, size_t bytes, gm_error *err)
{
    *memory = gm_buf_rows(GM_U8, 1, (bytes + PIECE - 1) / PIECE, PIECE);
    gm_status status = gm_buf_create(memory, "measuring how fast memory is read", err);
    if (status != GM_OK) return status;
    /* a page that was never written may be one shared page of zeros */
    for (size_t i = 0; i < memory->item_bytes; i += 4096) ((uint8_t *)memory->address)[i] = 1;
    return GM_OK;
}

typedef struct reading {
    const gm_buf *buf;
    _Atomic uint64_t sum; /* so that nothing is left out */
} reading;

static uint64_t read_piece(const uint64_t *p)
{
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < PIECE / sizeof *p; i += 8) {
        __builtin_prefetch(p + i + AHEAD / sizeof *p);
        for (size_t j = 0; j < 8; j++) sum[j] += p[i + j];
    }
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

static void read_all(void *context, gm_worker *me)
{
    reading *r = context;
    uint64_t sum = 0;
    for (size_t i; (i = gm_worker_next(me)) < r->buf->rows;)
        sum += read_piece((const uint64_t *)(void *)((char *)r->buf->address + i * PIECE));
    r->sum += sum;
}

double gm_bench_read_rate(gm_team *team, const gm_buf *memory)
{
    reading r = {.buf = memory};
    double start = gm_bench_now();
    gm_team_run(team, false, read_all, &r);
    double seconds = gm_bench_now() - start;
    return (double)memory->item_bytes * (r.sum ? 1.0 : NAN) / seconds;
}

/* ---- a product ---- */

typedef struct product {
    const gm_kernels *kernels;
    gm_buf x, panels, out, packed;
} product;

static void multiply(void *context, gm_worker *me)
{
    product *p = context;
    const size_t n_panels = gm_n_panels(p->panels.rows);
    gm_gemm *gemm = p->panels.dtype == GM_BF16 ? p->kernels->gemm_bf16 : p->kernels->gemm_f32;
    const size_t blocks = (p->x.rows + TASK_ROWS - 1) / TASK_ROWS;
    const size_t groups = (n_panels + TASK_PANELS - 1) / TASK_PANELS;
    for (size_t t; (t = gm_worker_next(me)) < blocks * groups;) {
        size_t r = t / groups * TASK_ROWS, at = t % groups * TASK_PANELS;
        size_t m = p->x.rows - r < TASK_ROWS ? p->x.rows - r : TASK_ROWS;
        size_t n = n_panels - at < TASK_PANELS ? n_panels - at : TASK_PANELS;
        gemm(gm_row_at(&p->x, r), p->x.stride, NULL, m, gm_panel_at(&p->panels, 0, at), p->x.cols,
             n, gm_row_at(&p->out, r) + at * GM_PANEL, p->out.stride);
    }
}

/* Random values, rounded for bf16 products. */
static void fill(product *p)
{
    gm_rng rng = gm_rng_make(1, 1);
    float row[GM_PANEL] = {0};
    float *x = p->x.address;
    for (size_t i = 0; i < p->x.rows * p->x.stride; i++)
        x[i] = (float)gm_rng_next(&rng) / 4e9f - 0.5f;
    p->kernels->round_bf16(x, p->x.rows * p->x.stride);
    for (size_t i = 0; i < GM_PANEL; i++) row[i] = (float)gm_rng_next(&rng) / 4e9f - 0.5f;
    if (p->panels.dtype == GM_BF16) {
        uint16_t *w = p->panels.address;
        for (size_t i = 0; i < p->panels.item_bytes / sizeof *w; i++)
            w[i] = (uint16_t)(0x3c00 + (gm_rng_next(&rng) & 0x80ff)); /* about +-0.01 */
    } else {
        float *w = p->panels.address;
        for (size_t i = 0; i < p->panels.item_bytes / sizeof *w; i++) w[i] = row[i % GM_PANEL];
    }
}

gm_status gm_bench_product_rate(double *out, gm_team *team, const gm_kernels *kernels,
                                gm_dtype dtype, size_t m, size_t n, size_t k, int repeats,
                                gm_error *err)
{
    gm_status status = GM_OK;
    product p = {.kernels = kernels,
                 .x = gm_buf_rows(GM_F32, 1, m, k),
                 .panels = gm_buf_panels(dtype, 1, n, k),
                 .out = gm_buf_rows(GM_F32, 1, m, gm_round_up(n, GM_PANEL))};
    *out = 0;
    GM_TRY(gm_buf_create(&p.x, "rows to multiply", err));
    GM_TRY(gm_buf_create(&p.panels, "panels to multiply with", err));
    GM_TRY(gm_buf_create(&p.out, "a product", err));
    fill(&p);
    for (int i = 0; i < repeats; i++) {
        double start = gm_bench_now();
        gm_team_run(team, false, multiply, &p);
        double rate = 2.0 * (double)m * (double)n * (double)k / (gm_bench_now() - start);
        if (rate > *out) *out = rate;
    }
out:
    gm_buf_free(&p.x);
    gm_buf_free(&p.panels);
    gm_buf_free(&p.out);
    return status;
}

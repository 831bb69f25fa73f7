/* bench_ceilings.c - how fast this machine reads memory and multiplies matrices with the
 * threads and kernels that the model has. */
#include "engine/bench/bench.h"

#include "base/progress.h"
#include "base/half.h"
#include "base/rng.h"
#include "engine/cpu/cpu_ops.h"

#include <math.h>
#include <sys/resource.h>

uint64_t gm_bench_peak_bytes(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (uint64_t)usage.ru_maxrss * 1024;
}

/* ---- reading memory ---- */

enum {
    PIECE = 1 << 20, /* bytes that a worker reads at a time */
    STREAMS = 8,     /* in which it does: memory gives one core a sixth more than to one stream */
    AHEAD = 1024,    /* bytes prefetched ahead in each */
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
    enum { STREAM = PIECE / STREAMS / sizeof *p };
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < STREAM; i += 8)
        for (size_t stream = 0; stream < STREAMS; stream++) {
            const uint64_t *at = p + stream * STREAM + i;
            __builtin_prefetch(at + AHEAD / sizeof *p);
            for (size_t j = 0; j < 8; j++) sum[j] += at[j];
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
    double start = gm_now();
    gm_team_run(team, false, read_all, &r);
    double seconds = gm_now() - start;
    return (double)memory->item_bytes * (r.sum ? 1.0 : NAN) / seconds;
}

/* ---- a product ---- */

static const double MIN_SECONDS = 0.5; /* a core that slept takes a while to be fast */

typedef struct product {
    const gm_kernel_product *how;
    gm_buf x, panels, out;
    gm_buf room; /* (workers, floats) */
} product;

/* Blocks of rows by groups of panels, as the operations cut them. */
static void multiply(void *context, gm_worker *me)
{
    product *p = context;
    const size_t panels = gm_n_panels(p->panels.rows), k = p->panels.cols;
    const gm_split split = gm_split_rows(me, p->x.rows, k, panels);
    for (size_t t; (t = gm_worker_next(me)) < split.blocks * split.groups;) {
        size_t r = t / split.groups * split.rows, at = t % split.groups * split.panels, ld;
        size_t m = p->x.rows - r < split.rows ? p->x.rows - r : split.rows;
        size_t n = panels - at < split.panels ? panels - at : split.panels;
        const void *x = p->how->gather(gm_row_of(&p->x, r), p->x.stride, NULL, m, k,
                                       gm_row_at(&p->room, me->index), &ld);
        p->how->gemm(x, ld, m, gm_panel_at(&p->panels, 0, at), k, n,
                     gm_row_at(&p->out, r) + at * GM_PANEL, p->out.stride, false);
    }
}

/* Values of about one hundredth, of both signs. */
static void fill(gm_buf *buf)
{
    gm_rng rng = gm_rng_make(1, 1);
    const size_t n = buf->item_bytes / gm_dtype_bytes(buf->dtype);
    for (size_t i = 0; i < n; i++) {
        uint16_t half = (uint16_t)(0x3c00 + (gm_rng_next(&rng) & 0x80ff));
        if (gm_is_scaled(buf->dtype)) /* scales as well: tiny or not finite, which takes as long */
            ((int8_t *)buf->address)[i] = (int8_t)(half % 100);
        else if (buf->dtype == GM_BF16)
            ((uint16_t *)buf->address)[i] = half;
        else
            ((float *)buf->address)[i] = gm_bf16_to_f32(half);
    }
}

gm_status gm_bench_product_rate(double *out, gm_team *team, const gm_kernels *kernels,
                                gm_numerics numerics, const gm_bench_product *of, gm_error *err)
{
    const size_t m = of->m, n = of->n, k = of->k;
    const gm_dtype dtype = gm_weights_dtype(numerics);
    gm_status status = GM_OK;
    product p = {
        .x = gm_buf_spread_rows(dtype == GM_F32 ? GM_F32 : GM_BF16, 1, m, k),
        .panels = gm_buf_panels(dtype, 1, n, k),
        .out = gm_buf_spread_rows(GM_F32, 1, m, gm_round_up(n, GM_PANEL)),
        .room = gm_buf_rows(GM_F32, 1, gm_team_size(team), gm_room_floats(gm_block_rows(k), k))};
    p.how = gm_kernel_product_for(kernels, numerics, dtype);
    *out = 0;
    GM_TRY(gm_buf_create(&p.x, "rows to multiply", err));
    GM_TRY(gm_buf_create(&p.panels, "panels to multiply with", err));
    GM_TRY(gm_buf_create(&p.out, "a product", err));
    GM_TRY(gm_buf_create(&p.room, "a product", err));
    fill(&p.x);
    fill(&p.panels);
    const double begin = gm_now();
    for (int i = 0; i < of->repeats || gm_now() - begin < MIN_SECONDS; i++) {
        double start = gm_now();
        gm_team_run(team, false, multiply, &p);
        double rate = 2.0 * (double)m * (double)n * (double)k / (gm_now() - start);
        if (rate > *out) *out = rate;
    }
out:
    gm_buf_free(&p.x);
    gm_buf_free(&p.panels);
    gm_buf_free(&p.out);
    gm_buf_free(&p.room);
    return status;
}

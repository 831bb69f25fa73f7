/* cuda_nearest.c - tiles of products on a GPU, and the way there and back. See cuda_nearest.h. */
#include "cluster/cuda/cuda_nearest.h"

#include "base/text.h"

#include <string.h>

/* A tile of products takes 256 MB. */
enum { TILE_ROWS = 2048, TILE_COLS = 32768 };

struct gm_gpu {
    gm_cuda_device device;
    gm_cuda_blas library;
    size_t tile_rows, tile_cols;
    bool optional;
};

void gm_cuda_gpu_close(gm_gpu *gpu)
{
    if (gpu) gm_cuda_blas_close(&gpu->library);
    gm_free(gpu);
}

const char *gm_cuda_gpu_name(const gm_gpu *gpu)
{
    return gpu->device.name;
}

void gm_cuda_gpu_set_optional(gm_gpu *gpu, bool optional)
{
    gpu->optional = optional;
}

bool gm_cuda_gpu_is_optional(const gm_gpu *gpu)
{
    return gpu->optional;
}

void gm_cuda_gpu_set_tile(gm_gpu *gpu, size_t rows, size_t cols)
{
    gpu->tile_rows = rows;
    gpu->tile_cols = cols;
}

/* ---- memory ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

typedef struct tiles {
    const gm_product *product;
    size_t rows, cols, width; /* of a tile; W */
    cudaStream_t stream;
    gm_cuda_how how;
    gm_cuda_blas blas;
    /* on the GPU, in one block */
    void *memory;
    uint16_t *half;          /* (N, D) */
    uint16_t *query;         /* (rows, D) */
    float *norm, *row_norm;  /* (N), (rows) */
    uint32_t *self, *n_keys; /* (rows) */
    float *dot;              /* (rows, cols) */
    gm_candidate *key;       /* (rows, W) */
    /* the host's, of a tile: queries and their norms; what came back */
    uint16_t *gathered;
    float *gathered_norm;
    gm_candidate *found;
    uint32_t *n_found;
} tiles;

/* The next place in the block; NULL while there is none. */
static void *take(const tiles *t, size_t *at, size_t bytes)
{
    const size_t here = *at;
    *at += (bytes + 255) / 256 * 256;
    return t->memory ? (char *)t->memory + here : NULL;
}

/* All places, for n points of `dim` rounded values; gives the bytes of the block. */
static size_t lay_out(tiles *t, size_t n, size_t dim)
{
    size_t at = 0;
    t->half = take(t, &at, n * dim * sizeof *t->half);
    t->query = take(t, &at, t->rows * dim * sizeof *t->query);
    t->norm = take(t, &at, n * sizeof *t->norm);
    t->row_norm = take(t, &at, t->rows * sizeof *t->row_norm);
    t->self = take(t, &at, t->rows * sizeof *t->self);
    t->n_keys = take(t, &at, t->rows * sizeof *t->n_keys);
    t->key = take(t, &at, t->rows * t->width * sizeof *t->key);
    t->dot = take(t, &at, t->rows * t->cols * sizeof *t->dot);
    return at;
}

/* A block of so many bytes, beside cuBLAS's own. */
static gm_status check_room(const gm_gpu *gpu, size_t n, size_t block, size_t n_free, gm_error *err)
{
    char need[24], have[24];
    const size_t all = block + GM_CUDA_WORKSPACE_BYTES;
    if (all <= n_free) return GM_OK;
    return gm_fail(
        err, GM_EMEM, "finding neighbours of %zu points takes %s on '%s', which has %s free", n,
        gm_show_bytes(need, (double)all), gpu->device.name, gm_show_bytes(have, (double)n_free));
}

static gm_status allocate(tiles *t, const gm_gpu *gpu, size_t n_free, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = t->product->points->n, dim = t->product->dim, bytes = lay_out(t, n, dim);
    GM_TRY(check_room(gpu, n, bytes, n_free, err));
    GM_TRY(gm_cuda_alloc(&t->memory, bytes, "memory for neighbours", err));
    (void)lay_out(t, n, dim);
    t->gathered = gm_alloc2(t->rows, dim, sizeof *t->gathered);
    t->gathered_norm = gm_alloc(t->rows, sizeof *t->gathered_norm);
    t->found = gm_alloc2(t->rows, t->width, sizeof *t->found);
    t->n_found = gm_alloc(t->rows, sizeof *t->n_found);
    if (!t->gathered || !t->gathered_norm || !t->found || !t->n_found)
        GM_FAIL(GM_EMEM, "no memory for neighbour lists");
out:
    return status;
}

gm_status gm_cuda_gpu_open(gm_gpu **out, int index, const gm_gpu_work *work, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_free;
    gm_gpu *gpu = gm_alloc(1, sizeof *gpu);
    *out = NULL;
    if (gpu == NULL) return gm_fail(err, GM_EMEM, "no memory for a GPU");
    gm_cuda_gpu_set_tile(gpu, TILE_ROWS, TILE_COLS);
    tiles most = {.rows = smaller(TILE_ROWS, work->n),
                  .cols = smaller(TILE_COLS, work->n),
                  .width = GM_CUDA_MOST_KEPT};
    GM_TRY(gm_cuda_device_look(&gpu->device, index, err));
    GM_TRY(gm_cuda_blas_open(&gpu->library, err));
    GM_TRY(gm_cuda_device_take(&gpu->device, &n_free, err));
    GM_TRY(check_room(gpu, work->n, lay_out(&most, work->n, work->dim), n_free, err));
    *out = gpu;
    gpu = NULL;
out:
    gm_cuda_gpu_close(gpu);
    return status;
}

/* ---- one search ---- */

static gm_status send(tiles *t, void *to, const void *from, size_t bytes, gm_error *err)
{
    return gm_cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, t->stream),
                         "sending points", err);
}

/* All points, some at a time, by way of the host's rows. */
static gm_status send_points(tiles *t, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_product *p = t->product;
    for (size_t i = 0; i < p->points->n; i += t->rows) {
        const size_t n = smaller(t->rows, p->points->n - i);
        for (size_t r = 0; r < n; r++) gm_product_row(p, i + r, t->gathered + r * p->dim);
        GM_TRY(send(t, t->half + i * p->dim, t->gathered, n * p->dim * sizeof *t->half, err));
        GM_TRY(gm_cuda_check(cudaStreamSynchronize(t->stream), "sending points", err));
    }
out:
    return status;
}

static gm_status begin(tiles *t, const gm_gpu *gpu, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_product *p = t->product;
    size_t n_free;
    GM_TRY(gm_cuda_device_take(&gpu->device, &n_free, err));
    GM_TRY(allocate(t, gpu, n_free, err));
    GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&t->stream, cudaStreamNonBlocking),
                         "making a stream", err));
    GM_TRY(gm_cuda_blas_start(&t->blas, &gpu->library, &t->stream, 1, err));
    t->how = (gm_cuda_how){.stream = t->stream, .multiprocessors = gpu->device.multiprocessors};
    GM_TRY(send_points(t, err));
    GM_TRY(send(t, t->norm, p->norm, p->points->n * sizeof *p->norm, err));
out:
    return status;
}

static void end(tiles *t)
{
    gm_cuda_blas_close(&t->blas);
    if (t->stream) (void)cudaStreamDestroy(t->stream);
    (void)cudaFree(t->memory); /* waits for what still runs */
    gm_free(t->gathered);
    gm_free(t->gathered_norm);
    gm_free(t->found);
    gm_free(t->n_found);
}

/* The queries of a tile, one after another, and no keys yet. */
static gm_status send_queries(tiles *t, const uint32_t *query, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_product *p = t->product;
    for (size_t r = 0; r < n; r++) {
        gm_product_row(p, query[r], t->gathered + r * p->dim);
        t->gathered_norm[r] = p->norm[query[r]];
    }
    GM_TRY(send(t, t->query, t->gathered, n * p->dim * sizeof *p->half, err));
    GM_TRY(send(t, t->row_norm, t->gathered_norm, n * sizeof *t->gathered_norm, err));
    GM_TRY(send(t, t->self, query, n * sizeof *query, err));
    GM_TRY(gm_cuda_check(cudaMemsetAsync(t->n_keys, 0, n * sizeof *t->n_keys, t->stream),
                         "finding neighbours", err));
out:
    return status;
}

/* n queries of a tile against the points [first, first + cols). */
static gm_status sweep(tiles *t, size_t n, size_t first, size_t cols, gm_error *err)
{
    const size_t dim = t->product->dim;
    const gm_cuda_product product = {.a = t->query,
                                     .b = t->half + first * dim,
                                     .c = t->dot,
                                     .m = n,
                                     .n = cols,
                                     .k = dim,
                                     .lda = dim,
                                     .ldb = dim,
                                     .ldc = t->cols,
                                     .factor = 1.0f};
    const gm_cuda_keep keep = {.dot = t->dot,
                               .row_norm = t->row_norm,
                               .norm = t->norm + first,
                               .self = t->self,
                               .key = (unsigned long long *)(void *)t->key,
                               .n_keys = t->n_keys,
                               .stride = t->cols,
                               .first = (uint32_t)first,
                               .n_rows = (int)n,
                               .n_cols = (int)cols,
                               .n_kept = (int)t->width};
    gm_status status = gm_cuda_multiply(&t->blas, 0, &product, err);
    if (status != GM_OK) return status;
    return gm_cuda_check(gm_cuda_keep_nearest(&t->how, &keep), "finding neighbours", err);
}

/* What was kept of a tile's n queries, to the lists of those from `at` on. */
static gm_status fetch(tiles *t, gm_candidates *c, size_t at, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t others = t->product->points->n - 1;
    GM_TRY(gm_cuda_check(cudaMemcpyAsync(t->found, t->key, n * t->width * sizeof *t->found,
                                         cudaMemcpyDeviceToHost, t->stream),
                         "fetching neighbours", err));
    GM_TRY(gm_cuda_check(cudaMemcpyAsync(t->n_found, t->n_keys, n * sizeof *t->n_found,
                                         cudaMemcpyDeviceToHost, t->stream),
                         "fetching neighbours", err));
    GM_TRY(gm_cuda_check(cudaStreamSynchronize(t->stream), "finding neighbours", err));
    for (size_t r = 0; r < n; r++) {
        gm_candidate *list = c->list + (at + r) * 2 * c->width;
        memcpy(list, t->found + r * t->width, t->n_found[r] * sizeof *list);
        c->n_listed[at + r] = t->n_found[r];
        if (t->n_found[r] < others) c->limit[at + r] = gm_candidate_s(list[t->n_found[r] - 1]);
    }
out:
    return status;
}

gm_status gm_cuda_propose(gm_gpu *gpu, const gm_product *product, const uint32_t *query,
                          gm_candidates *candidates, size_t n_queries, gm_progress *progress,
                          gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = product->points->n;
    tiles t = {.product = product,
               .rows = smaller(gpu->tile_rows, n_queries),
               .cols = smaller(gpu->tile_cols, n),
               .width = candidates->width};
    if (t.width > GM_CUDA_MOST_KEPT)
        return gm_fail(err, GM_EABSENT, "the GPU keeps at most %d candidates per point, not %zu",
                       GM_CUDA_MOST_KEPT, t.width);
    if (n_queries == 0) return GM_OK;
    GM_TRY(begin(&t, gpu, err));
    for (size_t q = 0; q < n_queries; q += t.rows) {
        const size_t rows = smaller(t.rows, n_queries - q);
        GM_TRY(send_queries(&t, query + q, rows, err));
        for (size_t first = 0; first < n; first += t.cols)
            GM_TRY(sweep(&t, rows, first, smaller(t.cols, n - first), err));
        GM_TRY(fetch(&t, candidates, q, rows, err));
        if (progress) gm_progress_set(progress, (double)n * (double)(q + rows) / (double)n_queries);
    }
out:
    end(&t);
    return status;
}

/* cuda_measure.c - the ceilings of a GPU, timed by its own events. */
#include "engine/cuda/cuda_measure.h"

#include "engine/cuda/cuda_session.h"

#include <string.h>

enum {
    REPEATS = 5,
    NODES = 200,    /* kernels of the graph that gaps are measured with */
    BARRIERS = 200, /* meetings of the persistent kernel */
    MOST_EXPERTS = 16,
    MAX_MB = 2048, /* of memory that is read: far more than L2 holds */
};

typedef struct meter {
    const gm_cuda_model *model;
    gm_cuda_how how;
    cudaStream_t stream, lane[GM_CUDA_LANES];
    cudaEvent_t from, to, lane_done;
    char *memory;
    size_t bytes;
    unsigned *word; /* (1) on the device */
    gm_cuda_blas blas;
} meter;

/* What is timed; enqueues on m->stream. */
typedef gm_status piece_of_work(meter *m, const void *what, gm_error *err);

/* Seconds of the fastest of a few runs. */
static gm_status time_it(meter *m, piece_of_work *work, const void *what, double *seconds,
                         gm_error *err)
{
    gm_status status = GM_OK;
    *seconds = 0.0;
    for (int i = 0; i <= REPEATS; i++) { /* the first warms up */
        float ms = 0.0f;
        GM_TRY(gm_cuda_check(cudaMemsetAsync(m->word, 0, sizeof *m->word, m->stream), "a ceiling",
                             err));
        GM_TRY(gm_cuda_check(cudaEventRecord(m->from, m->stream), "a ceiling", err));
        GM_TRY(work(m, what, err));
        GM_TRY(gm_cuda_check(cudaEventRecord(m->to, m->stream), "a ceiling", err));
        GM_TRY(gm_cuda_check(cudaEventSynchronize(m->to), "a ceiling", err));
        GM_TRY(gm_cuda_check(cudaEventElapsedTime(&ms, m->from, m->to), "a ceiling", err));
        const double s = (double)ms * 1e-3;
        if (i == 1 || (i > 1 && s < *seconds)) *seconds = s;
    }
out:
    return status;
}

/* ---- memory ---- */

static gm_status read_all(meter *m, const void *what, gm_error *err)
{
    const gm_stream_rate *r = what;
    return gm_cuda_check(
        gm_cuda_measure_read(&m->how, m->memory, m->bytes, r->loads, r->blocks, m->word), "reading",
        err);
}

static gm_status copy_half(meter *m, const void *what, gm_error *err)
{
    (void)what;
    return gm_cuda_check(cudaMemcpyAsync(m->memory, m->memory + m->bytes / 2, m->bytes / 2,
                                         cudaMemcpyDeviceToDevice, m->stream),
                         "copying", err);
}

static gm_status measure_memory(meter *m, gm_ceilings *out, gm_error *err)
{
    gm_status status = GM_OK;
    double seconds;
    for (int i = 0; i < GM_STREAM_RATES; i++) {
        gm_stream_rate *r = &out->stream[i];
        *r = (gm_stream_rate){.loads = 1 << i / 2, .blocks = i % 2 ? 4 : 2};
        GM_TRY(time_it(m, read_all, r, &seconds, err));
        r->rate = (double)m->bytes / seconds;
        if (r->rate > out->read_rate) out->read_rate = r->rate;
    }
    GM_TRY(time_it(m, copy_half, NULL, &seconds, err));
    out->copy_rate = (double)m->bytes / seconds; /* half is read, half is written */
out:
    return status;
}

/* ---- products ---- */

typedef struct shape {
    size_t m, n, k, count; /* `count` products, round-robin over the lanes */
} shape;

static size_t product_bytes(const shape *s)
{
    return s->m * s->k * 2 + s->count * s->n * s->k * 2 +
           GM_CUDA_LANES * s->m * s->n * sizeof(float);
}

static gm_status products(meter *m, const void *what, gm_error *err)
{
    gm_status status = GM_OK;
    const shape *s = what;
    const size_t a = s->m * s->k * 2, b = s->n * s->k * 2, c = s->m * s->n * sizeof(float);
    char *to = m->memory + a + s->count * b;
    if (product_bytes(s) > m->bytes)
        return gm_fail(err, GM_EMEM, "too little memory on the GPU to measure a product");
    for (int i = 0; i < GM_CUDA_LANES; i++)
        GM_TRY(gm_cuda_check(cudaStreamWaitEvent(m->lane[i], m->from, 0), "a product", err));
    for (size_t i = 0; i < s->count; i++) {
        const int lane = (int)(i % GM_CUDA_LANES);
        const gm_cuda_product p = {.a = m->memory,
                                   .b = m->memory + a + i * b,
                                   .c = (float *)(void *)(to + (size_t)lane * c),
                                   .m = s->m,
                                   .n = s->n,
                                   .k = s->k,
                                   .lda = s->k,
                                   .ldb = s->k,
                                   .ldc = s->n,
                                   .factor = 1.0f};
        GM_TRY(gm_cuda_multiply(&m->blas, lane, &p, err));
    }
    for (int i = 0; i < GM_CUDA_LANES; i++) {
        GM_TRY(gm_cuda_check(cudaEventRecord(m->lane_done, m->lane[i]), "a product", err));
        GM_TRY(gm_cuda_check(cudaStreamWaitEvent(m->stream, m->lane_done, 0), "a product", err));
    }
out:
    return status;
}

static gm_status product_rate(meter *m, const shape *s, double *rate, gm_error *err)
{
    double seconds;
    gm_status status = time_it(m, products, s, &seconds, err);
    if (status == GM_OK)
        *rate = 2.0 * (double)s->m * (double)s->n * (double)s->k * (double)s->count / seconds;
    return status;
}

/* ---- gaps ---- */

static gm_status replay(meter *m, const void *what, gm_error *err)
{
    return gm_cuda_check(cudaGraphLaunch(*(const cudaGraphExec_t *)what, m->stream), "a graph",
                         err);
}

/* Seconds that an empty kernel takes in a graph of many. */
static gm_status measure_gap(meter *m, bool early, double *gap, gm_error *err)
{
    gm_status status = GM_OK;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    gm_cuda_how how = m->how;
    double seconds;
    how.early = early && m->how.early;
    GM_TRY(gm_cuda_check(cudaStreamBeginCapture(m->stream, cudaStreamCaptureModeThreadLocal),
                         "a graph", err));
    for (int i = 0; i < NODES && status == GM_OK; i++)
        status = gm_cuda_check(gm_cuda_measure_empty(&how, m->word), "a graph", err);
    gm_status ended = gm_cuda_check(cudaStreamEndCapture(m->stream, &graph), "a graph", err);
    if (status == GM_OK) status = ended;
    if (status != GM_OK) goto out;
    GM_TRY(gm_cuda_check(cudaGraphInstantiate(&exec, graph, 0), "a graph", err));
    GM_TRY(time_it(m, replay, &exec, &seconds, err));
    *gap = seconds / NODES;
out:
    if (exec) (void)cudaGraphExecDestroy(exec);
    if (graph) (void)cudaGraphDestroy(graph);
    return status;
}

static gm_status barriers(meter *m, const void *what, gm_error *err)
{
    (void)what;
    return gm_cuda_check(gm_cuda_measure_barrier(&m->how, m->word, BARRIERS), "a barrier", err);
}

/* ---- the whole ---- */

static gm_status create(meter *m, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n_free = 0, total = 0;
    void *at = NULL;
    GM_TRY(gm_cuda_check(cudaSetDevice(m->model->device.index), "choosing the GPU", err));
    GM_TRY(gm_cuda_check(cudaMemGetInfo(&n_free, &total), "asking for memory", err));
    m->bytes = n_free / 2 < (size_t)MAX_MB << 20 ? n_free / 2 / 512 * 512 : (size_t)MAX_MB << 20;
    GM_TRY(gm_cuda_alloc(&at, m->bytes, "memory to measure with", err));
    m->memory = at;
    GM_TRY(gm_cuda_alloc(&at, 256, "memory to measure with", err));
    m->word = at;
    GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&m->stream, cudaStreamNonBlocking), "a stream",
                         err));
    for (int i = 0; i < GM_CUDA_LANES; i++)
        GM_TRY(gm_cuda_check(cudaStreamCreateWithFlags(&m->lane[i], cudaStreamNonBlocking),
                             "a stream", err));
    GM_TRY(gm_cuda_blas_start(&m->blas, &m->model->blas, m->lane, GM_CUDA_LANES, err));
    cudaEvent_t *event[] = {&m->from, &m->to, &m->lane_done};
    for (int i = 0; i < 3; i++)
        GM_TRY(gm_cuda_check(cudaEventCreateWithFlags(event[i], 0), "an event", err));
    m->how =
        (gm_cuda_how){.stream = m->stream, .multiprocessors = m->model->device.multiprocessors};
    GM_TRY(gm_cuda_check(cudaMemsetAsync(m->memory, 0, m->bytes, m->stream), "clearing", err));
out:
    return status;
}

static void destroy(meter *m)
{
    gm_cuda_blas_close(&m->blas);
    for (int i = 0; i < GM_CUDA_LANES; i++)
        if (m->lane[i]) (void)cudaStreamDestroy(m->lane[i]);
    if (m->stream) (void)cudaStreamDestroy(m->stream);
    cudaEvent_t event[] = {m->from, m->to, m->lane_done};
    for (int i = 0; i < 3; i++)
        if (event[i]) (void)cudaEventDestroy(event[i]);
    (void)cudaFree(m->memory);
    (void)cudaFree(m->word);
}

gm_status gm_cuda_measure(const gm_weights *weights, gm_ceilings *out, gm_error *err)
{
    static const shape one = {512, 2048, 2048, 1};
    shape experts = {1536, 3584, 2048, MOST_EXPERTS};
    gm_status status = GM_OK;
    meter m = {.model = weights->own};
    double seconds;
    *out = (gm_ceilings){0};
    GM_TRY(create(&m, err));
    GM_TRY(measure_memory(&m, out, err));
    GM_TRY(product_rate(&m, &one, &out->product_rate, err));
    while (experts.count > 1 && product_bytes(&experts) > m.bytes) experts.count--;
    GM_TRY(product_rate(&m, &experts, &out->expert_rate, err));
    GM_TRY(measure_gap(&m, false, &out->gap_s, err));
    m.how.early = m.model->device.early;
    GM_TRY(measure_gap(&m, true, &out->early_gap_s, err));
    m.how.early = false;
    GM_TRY(time_it(&m, barriers, NULL, &seconds, err));
    out->barrier_s = seconds / BARRIERS;
out:
    destroy(&m);
    return status;
}

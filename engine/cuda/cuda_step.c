/* cuda_step.c - running a step: its data goes to the GPU, the forward pass is enqueued (or, for
 * few rows, a graph of it is replayed), its results come back.
 *
 * A graph is captured once for a shape: number of rows, and which results are wanted. Positions,
 * tokens, lengths, edits and sampling are read from device memory, so they need no other graph. */
#include "engine/cuda/cuda_session.h"

#include "engine/sample.h"

#include <math.h>
#include <string.h>

/* ---- to the GPU ---- */

/* Few rows: each the only one of its sequence, so that no row of the step attends to another. */
static bool are_few(const gm_cuda_session *s, const gm_step *step)
{
    if (step->n_rows > (size_t)s->plan.few || step->n_segments != step->n_rows) return false;
    for (size_t i = 0; i < step->n_rows; i++)
        for (size_t j = 0; j < i; j++)
            if (step->row[i].sequence == step->row[j].sequence) return false;
    return true;
}

/* Block tables of the step's sequences that differ from what the device has. */
static void send_blocks(gm_cuda_session *s, const gm_step *step)
{
    const size_t n = s->kv->blocks_per_sequence, bytes = n * sizeof *s->blocks;
    int32_t last = -1;
    for (size_t r = 0; r < step->n_rows; r++) {
        if (step->row[r].sequence == last) continue;
        last = step->row[r].sequence;
        const size_t at = (size_t)last * n;
        if (memcmp(s->blocks + at, s->kv->block + at, bytes) == 0) continue;
        memcpy(s->blocks + at, s->kv->block + at, bytes);
        gm_cuda_note(s,
                     cudaMemcpyAsync((uint32_t *)gm_cuda_at(s, GM_CUDA_BLOCKS) + at, s->blocks + at,
                                     bytes, cudaMemcpyHostToDevice, s->stream),
                     "sending the tables of the cache");
    }
}

static gm_cuda_head head_of(const gm_head_row *h)
{
    gm_cuda_head out = {.row = h->row, .target = h->target, .segment = -1};
    if (h->segment < 0) return out;
    out.segment = (int32_t)h->segment;
    out.top_k = h->sampling->top_k;
    out.temperature = h->sampling->temperature;
    out.top_p = h->sampling->top_p;
    out.penalty = h->sampling->repetition_penalty;
    out.seed = h->sampling->seed;
    out.stream = h->sampling->stream;
    return out;
}

/* Rows, head rows, tiles and runs in one copy. */
static void send_step(gm_cuda_session *s, const gm_step *step)
{
    const gm_cuda_step_data at =
        gm_cuda_plan_step(step->n_rows, step->n_head, step->n_tiles, step->n_runs);
    memcpy(s->upload + at.row, step->row, step->n_rows * sizeof *step->row);
    gm_cuda_head *head = (gm_cuda_head *)(void *)(s->upload + at.head);
    for (size_t i = 0; i < step->n_head; i++) head[i] = head_of(&step->head[i]);
    memcpy(s->upload + at.tile, step->tile, step->n_tiles * sizeof *step->tile);
    if (step->n_runs) memcpy(s->upload + at.run, step->run, step->n_runs * sizeof *step->run);
    gm_cuda_note(s,
                 cudaMemcpyAsync(gm_cuda_at(s, GM_CUDA_STEP_DATA), s->upload, at.bytes,
                                 cudaMemcpyHostToDevice, s->stream),
                 "sending a step");
}

/* The step as the operations see it: rows, tiles and runs on the device. */
static gm_step on_device(const gm_cuda_session *s, const gm_step *step)
{
    const gm_cuda_step_data at =
        gm_cuda_plan_step(step->n_rows, step->n_head, step->n_tiles, step->n_runs);
    char *data = gm_cuda_at(s, GM_CUDA_STEP_DATA);
    gm_step d = *step;
    d.row = (gm_row *)(void *)(data + at.row);
    d.tile = (gm_tile *)(void *)(data + at.tile);
    d.run = (gm_sequence_rows *)(void *)(data + at.run);
    return d;
}

/* ---- results ---- */

static bool wants_choices(const gm_record *r)
{
    return r && (r->expert || r->gate || r->mass || r->margin);
}

/* A row that was bad in any layer counts as bad: nothing of it is a choice. */
static void mark_bad(const gm_step *step, size_t r)
{
    const gm_record *record = step->record;
    const size_t k = (size_t)step->arch->n_chosen;
    for (size_t l = 0; l < (size_t)step->arch->n_moe; l++) {
        const size_t at = l * step->n_rows + r;
        for (size_t i = at * k; i < (at + 1) * k; i++) {
            if (record->expert) record->expert[i] = GM_NO_EXPERT;
            if (record->gate) record->gate[i] = NAN;
        }
        if (record->mass) record->mass[at] = NAN;
        if (record->margin) record->margin[at] = NAN;
    }
}

static void copy_if(void *to, const char *from, size_t bytes)
{
    if (to) memcpy(to, from, bytes);
}

/* From pinned memory to the caller's. */
static void deliver(const gm_cuda_session *s, const gm_step *step, const char *from)
{
    const gm_cuda_results *at = &s->at;
    const gm_record *record = step->record;
    const size_t rows = (size_t)step->arch->n_moe * step->n_rows;
    const size_t k = (size_t)step->arch->n_chosen, e = (size_t)step->arch->n_experts;
    const float *nll = (const float *)(const void *)(from + at->nll);
    const uint32_t *sampled = (const uint32_t *)(const void *)(from + at->sampled);
    for (size_t i = 0; i < step->n_head; i++) {
        const gm_head_row *h = &step->head[i];
        if (h->target != GM_NO_TARGET) step->result->nll[h->row] = nll[h->row];
        if (h->segment >= 0) step->result->sampled[h->segment] = sampled[h->segment];
    }
    if (record == NULL) return;
    copy_if(record->expert, from + at->expert, rows * k * sizeof *record->expert);
    copy_if(record->gate, from + at->gate, rows * k * sizeof *record->gate);
    copy_if(record->mass, from + at->mass, rows * sizeof *record->mass);
    copy_if(record->margin, from + at->margin, rows * sizeof *record->margin);
    copy_if(record->logits, from + at->logits, rows * e * sizeof *record->logits);
    copy_if(record->bad, from + at->bad, step->n_rows);
    for (size_t r = 0; r < step->n_rows; r++)
        if (from[at->bad + r]) mark_bad(step, r);
}

/* ---- many rows ---- */

/* The host waits for a layer's routing before it enqueues the layer's experts, so the watch is
 * asked in step with the GPU. */
static void run_many(gm_cuda_session *s, const gm_step *device, gm_watch *watch)
{
    gm_forward(NULL, device, 1, watch);
    /* sampled, nll and bad lie before the record, which is on its way already */
    const size_t ends = s->at.bad + device->n_rows;
    gm_cuda_note(s, cudaMemcpyAsync(s->ring, s->result, ends, cudaMemcpyDeviceToHost, s->stream),
                 "fetching results");
    gm_cuda_note(s, cudaStreamSynchronize(s->stream), "a step");
    gm_cuda_note(s, cudaStreamSynchronize(s->copies), "the record");
}

/* ---- few rows ---- */

static bool same_shape(const gm_cuda_graph *a, const gm_cuda_graph *b)
{
    return a->n_rows == b->n_rows && a->n_head == b->n_head && a->record == b->record &&
           a->router_logits == b->router_logits && a->logits == b->logits && a->nll == b->nll &&
           a->sampled == b->sampled;
}

static void capture(gm_cuda_session *s, const gm_step *device, gm_cuda_graph *g)
{
    cudaGraph_t graph = NULL;
    gm_cuda_note(s, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal),
                 "capturing a step");
    if (s->status != GM_OK) return;
    gm_forward(NULL, device, 1, NULL);
    gm_cuda_note(s, cudaStreamEndCapture(s->stream, &graph), "capturing a step");
    if (s->status == GM_OK)
        gm_cuda_note(s, cudaGraphGetNodes(graph, NULL, &g->n_nodes), "capturing a step");
    if (s->status == GM_OK)
        gm_cuda_note(s, cudaGraphInstantiate(&g->exec, graph, 0), "capturing a step");
    if (graph) (void)cudaGraphDestroy(graph);
}

/* The graph of the step's shape; the one used longest ago makes room for a new one. NULL: the
 * session has failed. */
static gm_cuda_graph *graph_of(gm_cuda_session *s, const gm_step *device)
{
    const gm_result *result = device->result;
    const gm_cuda_graph want = {.n_rows = device->n_rows,
                                .n_head = device->n_head,
                                .record = s->record,
                                .router_logits = s->router_logits,
                                .logits = s->wants_logits,
                                .nll = result && result->nll,
                                .sampled = result && result->sampled};
    gm_cuda_graph *oldest = &s->graph[0];
    for (int i = 0; i < GM_CUDA_GRAPHS; i++) {
        if (s->graph[i].exec && same_shape(&s->graph[i], &want)) return &s->graph[i];
        if (s->graph[i].used < oldest->used) oldest = &s->graph[i];
    }
    if (oldest->exec) (void)cudaGraphExecDestroy(oldest->exec);
    *oldest = want;
    capture(s, device, oldest);
    return oldest->exec ? oldest : NULL;
}

static void launch_graph(gm_cuda_session *s, gm_cuda_graph *g)
{
    gm_cuda_note(s, cudaGraphLaunch(g->exec, s->stream), "starting a step");
    if (s->status == GM_OK) g->used = ++s->n_steps;
}

/* Wait until step `number` is in its slot: polled, the driver asked now and then whether the GPU
 * still works. Gives the slot's results, NULL on failure. */
static const char *wait_for(gm_cuda_session *s, uint64_t number)
{
    enum { POLLS = 256 };
    const size_t slot = number % GM_CUDA_SLOTS;
    const volatile uint64_t *arrived = &s->arrived[slot];
    while (s->status == GM_OK) {
        for (int i = 0; i < POLLS; i++) {
            if (*arrived != number) continue;
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            return s->ring +
                   slot * gm_cuda_plan_results(s->arch, (size_t)s->plan.few, true, true).bytes;
        }
        cudaError_t e = cudaStreamQuery(s->stream);
        if (e == cudaSuccess && *arrived != number) {
            s->status = gm_fail(&s->error, GM_EDEVICE, "a step ended without its results");
        } else if (e != cudaErrorNotReady) {
            gm_cuda_note(s, e, "a step");
        }
    }
    return NULL;
}

static void deliver_few(gm_cuda_session *s, const gm_step *step, uint64_t number)
{
    const char *from = wait_for(s, number);
    if (from == NULL) return;
    deliver(s, step, from);
    if (!s->wants_logits) return;
    gm_cuda_note(s, cudaStreamSynchronize(s->stream), "fetching logits");
    gm_cuda_deliver_logits(step, 0);
}

/* ---- a step ---- */

static gm_status end(const gm_cuda_session *s, gm_error *err)
{
    if (s->status != GM_OK && err) *err = s->error;
    return s->status;
}

/* What the step wants, and room for it; then its data is on the way. */
static gm_status begin(gm_cuda_session *s, const gm_step *step, gm_error *err)
{
    if (s->status != GM_OK) /* what a failed step left on the GPU is not to be relied on */
        return gm_fail(err, s->status, "this session has already failed: %s", s->error.text);
    s->few = are_few(s, step);
    s->record = wants_choices(step->record);
    s->router_logits = step->record && step->record->logits;
    s->wants_logits = false;
    for (size_t i = 0; i < step->n_head; i++)
        s->wants_logits = s->wants_logits || step->head[i].out >= 0;
    s->at = gm_cuda_plan_results(s->arch, step->n_rows, s->record, s->router_logits);
    gm_status status = gm_cuda_check(cudaSetDevice(s->model->device.index), "a step", err);
    if (status == GM_OK) status = gm_cuda_results_reserve(s, s->at.bytes, err);
    if (status != GM_OK) return status;
    send_blocks(s, step);
    send_step(s, step);
    return end(s, err);
}

/* Steps of few rows take a millisecond or so: the watch is asked when one has ended. Must it be the
 * last? */
static bool ask_watch(const gm_step *step, gm_watch *watch)
{
    const size_t n = step->weights->n_layers;
    if (watch) watch->stopped = watch->after_layer(watch->context, n, n);
    return watch && watch->stopped;
}

gm_status gm_cuda_step(const gm_step *step, gm_watch *watch, gm_error *err)
{
    gm_cuda_session *s = step->own;
    gm_status status = begin(s, step, err);
    if (status != GM_OK) return status;
    const gm_step device = on_device(s, step);
    if (s->few) {
        gm_cuda_graph *g = graph_of(s, &device);
        if (g) launch_graph(s, g);
        if (s->status == GM_OK) deliver_few(s, step, s->n_steps);
        if (s->status == GM_OK) (void)ask_watch(step, watch);
    } else {
        run_many(s, &device, watch);
        const bool stopped = watch && watch->stopped;
        if (s->status == GM_OK && !stopped) deliver(s, step, s->ring);
    }
    return end(s, err);
}

/* ---- decoding ---- */

size_t gm_cuda_launches(const void *own)
{
    const gm_cuda_session *s = own;
    const gm_cuda_graph *last = &s->graph[0];
    for (int i = 1; i < GM_CUDA_GRAPHS; i++)
        if (s->graph[i].used > last->used) last = &s->graph[i];
    return last->n_nodes;
}

bool gm_cuda_decodes(void *own, size_t n_segments)
{
    const gm_cuda_session *s = own;
    return n_segments <= (size_t)s->plan.few;
}

/* The rows advance on the device, so steps are started before the previous ones have been
 * looked at: at most as many as the ring has slots, so nothing is ever overwritten. States cannot
 * be taken back where the caller then wants no more steps: there it is one. */
gm_status gm_cuda_decode(const gm_step *step, const gm_decoding *how, gm_watch *watch,
                         size_t *n_done, gm_error *err)
{
    gm_cuda_session *s = step->own;
    const size_t n = how->n_steps;
    *n_done = 0;
    gm_status status = begin(s, step, err);
    if (status != GM_OK) return status;
    const gm_step device = on_device(s, step);
    gm_cuda_graph *g = graph_of(s, &device);
    const uint64_t before = s->n_steps, most = s->arch->n_delta > 0 ? 1 : GM_CUDA_SLOTS;
    bool going = true;
    while (g && going && *n_done < n && status == GM_OK && s->status == GM_OK) {
        while (s->n_steps - before < n && s->n_steps - before - *n_done < most &&
               s->status == GM_OK)
            launch_graph(s, g);
        deliver_few(s, step, before + *n_done + 1);
        if (s->status != GM_OK) break;
        going = how->each(how->context, *n_done, step->result->sampled) && !ask_watch(step, watch);
        ++*n_done;
        if (going && *n_done < n) /* ends this decoding, not the session */
            status = gm_sampled_check(step->result->sampled, step->n_segments, err);
    }
    /* what was started for nothing ends before its memory is used again */
    gm_cuda_note(s, cudaStreamSynchronize(s->stream), "a step");
    return s->status != GM_OK ? end(s, err) : status;
}

/* stub_runner.c - gm-probe without the model's computing, for the tests that kill it.
 *
 * Linked before probe/runner.c, which it replaces: what a router would have done is
 * made up from token, position and layer. Everything else is the program's own - corpus,
 * blocks, writer, commit, resume, merge - so that a kill at a random moment lands inside
 * the writing. With GM_STUB_CLOCK=S the process's clocks gain S seconds at every look, and run
 * backwards where S is below 0; with GM_STUB_LOSES=N the device is lost in block N, from 0.
 */
#define _GNU_SOURCE /* syscall */
#include "base/cli.h"
#include "probe/runner.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct gm_runner {
    size_t L, E, K;
    gm_record_level level;
    int lost_in; /* blocks until the device is lost; -1: never */
};

int clock_gettime(clockid_t clock, struct timespec *t)
{
    static atomic_int calls;
    const char *gain = getenv("GM_STUB_CLOCK");
    int result = (int)syscall(SYS_clock_gettime, clock, t);
    if (gain) t->tv_sec += (time_t)atoi(gain) * ++calls;
    return result;
}

gm_status gm_runner_create(gm_runner **out, const gm_model *model, const gm_runner_options *options,
                           gm_error *err)
{
    const gm_model_info *info = gm_model_get_info(model);
    *out = gm_alloc(1, sizeof **out);
    if (*out == NULL) return gm_fail(err, GM_EMEM, "no memory for a stub");
    **out = (gm_runner){.L = (size_t)info->n_moe_layers,
                        .E = (size_t)info->n_experts,
                        .K = (size_t)info->n_chosen,
                        .level = options->level,
                        .lost_in = getenv("GM_STUB_LOSES") ? atoi(getenv("GM_STUB_LOSES")) : -1};
    return GM_OK;
}

/* What is made up listens to no plan. */
void gm_runner_layers(gm_runner *r, size_t first, size_t end)
{
    (void)r, (void)first, (void)end;
}

bool gm_runner_takes_layers(const gm_runner *r)
{
    (void)r;
    return false;
}

gm_status gm_runner_steer(gm_runner *r, const gm_edit *edit, gm_error *err)
{
    (void)r, (void)edit, (void)err;
    return GM_OK;
}

void gm_runner_free(gm_runner *r)
{
    gm_free(r);
}

gm_session_options gm_runner_session(const gm_runner_options *options)
{
    return (gm_session_options){
        .max_rows = options->step_tokens, .kv_rows = options->step_tokens, .max_sequences = 1};
}

gm_runner_memory gm_runner_bytes(const gm_model *model, const gm_runner_options *options)
{
    (void)model;
    return (gm_runner_memory){.rest = options->step_tokens};
}

/* Row t of document d: K experts in a row from a made-up first, gates 1/2, 1/3, ... */
static void make_up_row(const gm_runner *r, gm_probe_block *b, size_t d, size_t t)
{
    const size_t K = r->K;
    for (size_t l = 0; l < r->L; l++) {
        size_t first = (size_t)b->token.at[t] * 7 + (t - b->begin[d]) * 3 + l, at = t * r->L + l;
        for (size_t k = 0; k < K; k++) {
            size_t expert = (first + k) % r->E;
            if (b->phase[t] != GM_PHASE_TEMPLATE) b->counts[(d * r->L + l) * r->E + expert]++;
            if (r->level < GM_RECORD_CHOICES) continue;
            b->expert[at * K + k] = (uint16_t)expert;
            b->gate[at * K + k] = 1.0f / (float)(k + 2 + first % 5);
        }
        if (r->level < GM_RECORD_CHOICES) continue;
        b->mass[at] = 1.0f / (float)(1 + first % 7);
        b->margin[at] = (float)(first % 11);
    }
}

gm_status gm_runner_run(gm_runner *r, gm_probe_block *b, gm_runner_progress *progress,
                        void *context, gm_error *err)
{
    size_t T = b->token.n;
    b->counts = gm_alloc2(b->n_documents, r->L * r->E, sizeof *b->counts);
    bool fine = b->counts != NULL;
    if (r->level >= GM_RECORD_CHOICES) {
        b->expert = gm_alloc2(T, r->L * r->K, sizeof *b->expert);
        b->gate = gm_alloc2(T, r->L * r->K, sizeof *b->gate);
        b->mass = gm_alloc2(T, r->L, sizeof *b->mass);
        b->margin = gm_alloc2(T, r->L, sizeof *b->margin);
        b->pos = gm_alloc(T, sizeof *b->pos);
        fine = fine && b->expert && b->gate && b->mass && b->margin && b->pos;
    }
    if (!fine) return gm_fail(err, GM_EMEM, "no memory for a stub's block");
    if (r->lost_in >= 0 && r->lost_in-- == 0) /* what engine/cuda says of an ECC error */
        return gm_fail(err, GM_EDEVICE,
                       "routing: the GPU reported 'uncorrectable ECC error encountered'");
    for (size_t d = 0; d < b->n_documents; d++) {
        if (gm_interrupted()) return gm_fail(err, GM_EINTERRUPTED, "interrupted");
        for (size_t t = b->begin[d]; t < b->begin[d + 1]; t++) {
            if (b->pos) b->pos[t] = (uint32_t)(t - b->begin[d]);
            make_up_row(r, b, d, t);
        }
        if (progress) progress(context, b->begin[d + 1]);
    }
    return GM_OK;
}

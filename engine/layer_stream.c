/* layer_stream.c - see layer_stream.h. Layers are counted through all passes: number n is layer
 * n % L and lies in slot n % 2. Slots are filled up to two layers beyond what was released.
 */
#include "engine/layer_stream.h"

#include "base/progress.h"
#include "base/text.h"
#include "engine/fill.h"
#include "engine/packed.h"
#include "engine/team.h"

#include <pthread.h>
#include <string.h>

enum { SLOTS = 2 };

struct gm_layer_stream {
    gm_weights *weights;
    gm_fill *fill;
    void *slots; /* one after the other */
    size_t slot_bytes;
    gm_layer layer[SLOTS];
    bool started;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t ready, released; /* layers so far; guarded by mutex, as is all below */
    bool quit, taken;
    double waited;
    gm_status status;
    gm_error err;
};

static size_t slot_bytes(const gm_weights *w)
{
    size_t most = 0;
    for (size_t i = 1; i <= w->n_layers; i++)
        if (w->section[i].n_bytes > most) most = w->section[i].n_bytes;
    return most;
}

uint64_t gm_layer_stream_bytes(uint64_t layer_bytes, const gm_arch *arch,
                               const gm_checkpoint *checkpoint)
{
    return SLOTS * layer_bytes + gm_fill_bytes(arch, checkpoint, 1);
}

/* ---- the reading thread ---- */

static gm_status read_layer(gm_layer_stream *s, uint64_t number, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = s->weights;
    const size_t l = (size_t)(number % w->n_layers), slot = (size_t)(number % SLOTS);
    gm_layer *layer = &s->layer[slot];
    gm_buf *list[GM_SECTION_BUFFERS];
    char *base = (char *)s->slots + slot * s->slot_bytes;
    *layer = w->layer[l];
    gm_section_place(list, gm_section_buffers(w, l + 1, layer, list), base);
    if (w->packed) return gm_packed_read(w->packed, l + 1, base, err);
    if (w->section[l + 1].padded) memset(base, 0, w->section[l + 1].n_bytes);
    GM_TRY(gm_fill_add(s->fill, w, l + 1, layer, err));
    GM_TRY(gm_fill_run(s->fill, NULL, NULL, NULL, err));
out:
    return status;
}

static void *read_layers(void *context)
{
    gm_layer_stream *s = context;
    (void)gm_denormals_flush(); /* packs as a team does */
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (s->ready >= s->released + SLOTS && !s->quit)
            pthread_cond_wait(&s->changed, &s->mutex);
        if (s->quit) break;
        const uint64_t number = s->ready;
        gm_error err = {0};
        pthread_mutex_unlock(&s->mutex);
        const gm_status status = read_layer(s, number, &err);
        pthread_mutex_lock(&s->mutex);
        if (s->status == GM_OK && status != GM_OK) {
            s->status = status;
            s->err = err;
        }
        s->ready++;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* ---- for those who compute ---- */

const gm_layer *gm_layer_stream_acquire(gm_layer_stream *s, const gm_worker *me, size_t layer)
{
    const size_t n_layers = s->weights->n_layers;
    const double start = gm_now();
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        if (s->ready == s->released) {
            pthread_cond_wait(&s->changed, &s->mutex);
        } else if (s->released % n_layers != layer) { /* nobody wants that one */
            s->released++;
            pthread_cond_broadcast(&s->changed);
        } else {
            break;
        }
    }
    if (me->index == 0) s->waited += gm_now() - start;
    const gm_layer *there = &s->layer[s->released % SLOTS];
    pthread_mutex_unlock(&s->mutex);
    return there;
}

void gm_layer_stream_release(gm_layer_stream *s)
{
    pthread_mutex_lock(&s->mutex);
    s->released++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

gm_status gm_layer_stream_status(gm_layer_stream *s, gm_error *err)
{
    pthread_mutex_lock(&s->mutex);
    gm_status status = s->status;
    if (status != GM_OK && err) *err = s->err;
    pthread_mutex_unlock(&s->mutex);
    return status;
}

double gm_layer_stream_waited(gm_layer_stream *s)
{
    pthread_mutex_lock(&s->mutex);
    double waited = s->waited;
    pthread_mutex_unlock(&s->mutex);
    return waited;
}

bool gm_layer_stream_take(gm_layer_stream *s)
{
    pthread_mutex_lock(&s->mutex);
    bool is_free = !s->taken;
    s->taken = true;
    pthread_mutex_unlock(&s->mutex);
    return is_free;
}

void gm_layer_stream_give_back(gm_layer_stream *s)
{
    pthread_mutex_lock(&s->mutex);
    s->taken = false;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- beginning and end ---- */

gm_status gm_layer_stream_create(gm_layer_stream **out, gm_weights *w, const gm_arch *arch,
                                 const gm_checkpoint *checkpoint, gm_error *err)
{
    gm_status status = GM_OK;
    char need[24];
    *out = NULL;
    gm_layer_stream *s = gm_alloc(1, sizeof *s);
    if (s == NULL) return gm_fail(err, GM_EMEM, "no memory to stream weights");
    s->weights = w;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
    GM_TRY(gm_fill_create(&s->fill, arch, checkpoint, 1, err));
    s->slot_bytes = slot_bytes(w);
    s->slots = gm_pages_alloc(SLOTS * s->slot_bytes);
    if (s->slots == NULL)
        GM_FAIL(GM_EMEM, "no memory for two layers of weights (%s)",
                gm_show_bytes(need, (double)(SLOTS * s->slot_bytes)));
    if (pthread_create(&s->thread, NULL, read_layers, s) != 0)
        GM_FAIL(GM_EIO, "cannot start the thread that reads weights");
    s->started = true;
    *out = s;
    s = NULL;
out:
    gm_layer_stream_free(s);
    return status;
}

void gm_layer_stream_free(gm_layer_stream *s)
{
    if (s == NULL) return;
    if (s->started) {
        pthread_mutex_lock(&s->mutex);
        s->quit = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    gm_pages_free(s->slots, SLOTS * s->slot_bytes);
    gm_fill_free(s->fill);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    gm_free(s);
}

/* writer.c - the writer thread: see writer.h. */
#include "probe/writer.h"

#include "formats/shards.h"

#include <pthread.h>

struct gm_writer {
    const char *folder;
    const gm_trace_info *info;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    gm_probe_block *block; /* being written; guarded by mutex, as is all below */
    bool ended;
    gm_status status; /* the thread's first failure */
    gm_error err;
};

static gm_status write_shard(const gm_writer *w, const gm_probe_block *block, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    gm_trace_block view = gm_probe_block_view(block);
    const char *skip_name[GM_PROBE_N_SKIPS];
    gm_probe_skip_names(skip_name);
    GM_TRY(gm_shard_path(&path, w->folder, block->number, err));
    GM_TRY(gm_trace_write(path.at, w->info, &view, skip_name, GM_PROBE_N_SKIPS, false, err));
out:
    gm_text_clear(&path);
    return status;
}

static void *run(void *context)
{
    gm_writer *w = context;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (w->block == NULL && !w->ended) pthread_cond_wait(&w->changed, &w->mutex);
        gm_probe_block *block = w->block;
        if (block == NULL) break;
        gm_error err = {0};
        pthread_mutex_unlock(&w->mutex);
        gm_status status = write_shard(w, block, &err);
        gm_probe_block_free(block);
        pthread_mutex_lock(&w->mutex);
        if (status != GM_OK) {
            w->status = status;
            w->err = err;
        }
        w->block = NULL; /* its place is free when it is on disk */
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

gm_status gm_writer_create(gm_writer **out, const char *folder, const gm_trace_info *info,
                           gm_error *err)
{
    *out = NULL;
    gm_writer *w = gm_alloc(1, sizeof *w);
    if (w == NULL) return gm_fail(err, GM_EMEM, "no memory for the writer");
    w->folder = folder;
    w->info = info;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        gm_free(w);
        return gm_fail(err, GM_EMEM, "cannot start the writer thread");
    }
    *out = w;
    return GM_OK;
}

/* Until the place is free: the thread's status. The mutex is held. */
static gm_status await_place(gm_writer *w, gm_error *err)
{
    while (w->block != NULL) pthread_cond_wait(&w->changed, &w->mutex);
    if (w->status != GM_OK && err) *err = w->err;
    return w->status;
}

gm_status gm_writer_put(gm_writer *w, gm_probe_block *block, gm_error *err)
{
    pthread_mutex_lock(&w->mutex);
    gm_status status = await_place(w, err);
    if (status == GM_OK) w->block = block;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    if (status != GM_OK) gm_probe_block_free(block);
    return status;
}

gm_status gm_writer_wait(gm_writer *w, gm_error *err)
{
    pthread_mutex_lock(&w->mutex);
    gm_status status = await_place(w, err);
    pthread_mutex_unlock(&w->mutex);
    return status;
}

gm_status gm_writer_finish(gm_writer *w, gm_error *err)
{
    if (w == NULL) return GM_OK;
    pthread_mutex_lock(&w->mutex);
    w->ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    gm_status status = w->status;
    if (status != GM_OK && err) *err = w->err;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    gm_free(w);
    return status;
}

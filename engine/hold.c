/* hold.c - how a model's weights are held: resident, mapped from a cache of packed weights, or
 * streamed; and what happens when memory is too small.
 */
#include "engine/weights.h"

#include "base/machine.h"
#include "base/progress.h"
#include "engine/cache_file.h"
#include "engine/cpu/cpu_ops.h"
#include "engine/fill.h"
#include "engine/layer_stream.h"
#include "engine/ops.h"
#include "engine/session.h"

#include <stdatomic.h>
#include <string.h>

/* Beside weights and session: threads, tokenizers, blocks of a trace. */
static const uint64_t OTHER_BYTES = (uint64_t)64 << 20;

/* A packing that took longer than this is worth a cache, if it is a large one: a small one takes
 * long where the machine has other work, once. */
static const double LONG_LOAD_SECONDS = 5.0;
static const uint64_t LARGE_IMAGE_BYTES = (uint64_t)256 << 20;

/* ---- the image ---- */

/* Memory for the whole image, or (stride: layers + 1) for its two ends. Sections that are not
 * filled take no room. */
static gm_status create_image(gm_weights *w, size_t stride, gm_error *err)
{
    size_t n_bytes = 0, at = 0;
    char need[24];
    for (size_t i = 0; i < w->n_layers + 2; i += stride) n_bytes += w->section[i].n_bytes;
    w->resident_bytes = n_bytes;
    w->image = gm_pages_alloc(n_bytes);
    if (w->image == NULL)
        return gm_fail(err, GM_EMEM, "no memory for the weights (%s)",
                       gm_show_bytes(need, (double)n_bytes));
    for (size_t i = 0; i < w->n_layers + 2; at += w->section[i].n_bytes, i += stride) {
        gm_buf *list[GM_SECTION_BUFFERS];
        size_t n = gm_section_buffers(w, i, NULL, list);
        gm_section_place(list, n, (char *)w->image + at);
    }
    return GM_OK;
}

/* Pack the sections, every `stride`-th: all of them, or the two ends. */
static gm_status fill_image(const gm_holding *h, size_t stride, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = h->weights;
    gm_team *team = NULL;
    gm_fill *fill = NULL;
    const size_t end = w->n_layers + (w->no_head && h->options->cache != GM_CACHE_WRITE ? 1 : 2);
    GM_TRY(gm_team_create(&team, h->options->threads, err));
    GM_TRY(gm_fill_create(&fill, h->arch, h->checkpoint, gm_team_size(team), err));
    for (size_t i = 0; i < end; i += stride) GM_TRY(gm_fill_add(fill, w, i, NULL, err));
    GM_TRY(gm_fill_run(fill, team, h->options->progress, h->options->progress_context, err));
out:
    gm_fill_free(fill);
    gm_team_free(team);
    return status;
}

/* Place the buffers in a whole image. */
static void place_image(gm_weights *w, char *image)
{
    for (size_t i = 0; i < w->n_layers + 2; i++) {
        gm_buf *list[GM_SECTION_BUFFERS];
        size_t n = gm_section_buffers(w, i, NULL, list);
        gm_section_place(list, n, image + w->section[i].offset);
    }
}

/* ---- resident ---- */

/* Reading a cache by a team: chunks of 8 MiB, whose sums add up to those of their sections. */
typedef struct reading {
    const gm_holding *h;
    gm_packed *packed;
    size_t n; /* sections */
    _Atomic uint64_t *sum;
    _Atomic uint64_t done_bytes;
    atomic_bool failed;
    gm_error err; /* of who failed first */
} reading;

static void read_chunks(void *context, gm_worker *me)
{
    reading *c = context;
    const gm_weights *w = c->h->weights;
    const gm_model_options *o = c->h->options;
    size_t section = 0, before = 0; /* chunks of the sections before */
    for (size_t t; (t = gm_worker_next(me), !atomic_load(&c->failed));) {
        for (; section < c->n && t - before >= gm_packed_n_chunks(c->packed, section); section++)
            before += gm_packed_n_chunks(c->packed, section);
        if (section == c->n) return;
        uint64_t sum = 0;
        gm_error err;
        char *to = w->image ? (char *)w->image + w->section[section].offset : NULL;
        if (gm_packed_read_chunk(c->packed, section, t - before, to, &sum, &err) != GM_OK &&
            !atomic_exchange(&c->failed, true))
            c->err = err;
        atomic_fetch_add(&c->sum[section], sum);
        uint64_t done = atomic_fetch_add(&c->done_bytes, GM_READ_BYTES) + GM_READ_BYTES;
        if (me->index == 0 && o->progress && done < w->image_bytes)
            o->progress(o->progress_context, (double)done, (double)w->image_bytes);
    }
}

/* Into the image, or where there is none, in place: then sums are all that is done. */
static gm_status read_cache(const gm_holding *h, gm_packed *packed, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = h->weights;
    gm_team *team = NULL;
    reading c = {.h = h, .packed = packed, .n = w->n_layers + (w->no_head ? 1 : 2)};
    c.sum = gm_alloc(c.n, sizeof *c.sum);
    if (c.sum == NULL) GM_FAIL(GM_EMEM, "no memory to read weights");
    GM_TRY(gm_team_create(&team, h->options->threads, err));
    gm_team_run(team, false, read_chunks, &c);
    if (atomic_load(&c.failed)) GM_FAIL(c.err.code, "%s", c.err.text);
    for (size_t i = 0; i < c.n; i++)
        GM_TRY(gm_packed_check(packed, i, atomic_load(&c.sum[i]), err));
    if (h->options->progress)
        h->options->progress(h->options->progress_context, (double)w->image_bytes,
                             (double)w->image_bytes);
out:
    gm_team_free(team);
    gm_free((void *)c.sum);
    return status;
}

/* Fill writes where tensors reach; what lies between must be zero. */
static void clear_padded(gm_weights *w)
{
    for (size_t i = 0; i < w->n_layers + 2; i++)
        if (w->section[i].padded)
            memset((char *)w->image + w->section[i].offset, 0, w->section[i].n_bytes);
}

/* A file system that keeps the cache in huge pages lets it be used where it is: that takes no
 * memory beside it, and no time when it is there since the last start. false: see `damage`.
 * Checking its sums is what brings in a file that is not there, by all threads and with progress;
 * whether all of it came in huge pages is asked then. */
static bool use_in_place(const gm_holding *h, gm_packed **packed, gm_error *damage)
{
    enum { SAMPLE = 64 << 20 };
    if (!gm_packed_is_huge(*packed, SAMPLE)) return false;
    if (read_cache(h, *packed, damage) != GM_OK) return false;
    if (!gm_packed_is_huge(*packed, SIZE_MAX)) return false;
    place_image(h->weights, gm_packed_image(*packed));
    h->weights->packed = *packed;
    *packed = NULL;
    return true;
}

static gm_status hold_resident(const gm_holding *h, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = h->weights;
    gm_packed *packed = NULL;
    gm_error damage = {0};
    char size[24];
    GM_TRY(gm_cache_find(h, false, &packed, err));
    if (packed && use_in_place(h, &packed, &damage)) goto out;
    GM_TRY(create_image(w, 1, err));
    if (packed) {
        if (damage.code == GM_OK && read_cache(h, packed, &damage) == GM_OK) goto out;
        gm_say(h, "%s; the cache is not used", damage.text);
        clear_padded(w);
    }
    const double start = gm_now();
    GM_TRY(fill_image(h, 1, err));
    if (h->options->cache == GM_CACHE_WRITE)
        gm_cache_write(h);
    else if (gm_now() - start > LONG_LOAD_SECONDS && w->image_bytes > LARGE_IMAGE_BYTES &&
             !gm_checkpoint_in_memory_only(h->checkpoint))
        gm_say(
            h,
            "packing the weights took %.0f s; '--cache write' keeps them (%s) for the next start",
            gm_now() - start, gm_show_bytes(size, (double)w->image_bytes));
out:
    gm_packed_close(packed);
    return status;
}

/* ---- mapped ---- */

static gm_status hold_mapped(const gm_holding *h, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = h->weights;
    GM_TRY(gm_cache_find(h, false, &w->packed, err));
    if (w->packed == NULL) GM_TRY(gm_cache_build(h, &w->packed, err));
    place_image(w, gm_packed_image(w->packed));
out:
    return status;
}

/* ---- streamed ---- */

/* Rows of the embedding are taken from the checkpoint's mapping where they lie as we want
 * them: a step needs few of them. */
static void place_embedding(gm_weights *w, const gm_arch *arch, const gm_checkpoint *checkpoint)
{
    gm_slice slice;
    if (w->embed.stride != w->embed.cols) return;
    if (!gm_arch_tensor(arch, GM_ROLE_EMBED, 0, 0, &slice)) return;
    const gm_tensor *tensor = gm_checkpoint_find(checkpoint, slice.name);
    w->embed_in_place = tensor != NULL;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): read only, as all weights are */
    if (tensor) w->embed.address = (void *)(uintptr_t)tensor->data;
}

/* A cache for a stream, which does without where none can be written. */
static gm_status build_for_stream(const gm_holding *h, gm_error *err)
{
    gm_error why = {0};
    gm_status status = gm_cache_build(h, &h->weights->packed, &why);
    if (status == GM_OK) return GM_OK;
    if (status == GM_EMEM) return gm_fail(err, status, "%s", why.text);
    gm_say(h, "the packed weights are not cached: %s", why.text);
    return GM_OK;
}

/* The ends are resident, layers come one by one, from a cache where there is one. */
static gm_status hold_streamed(const gm_holding *h, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = h->weights;
    const size_t ends = w->n_layers + 1;
    GM_TRY(gm_cache_find(h, false, &w->packed, err));
    if (w->packed == NULL && h->options->cache == GM_CACHE_WRITE) GM_TRY(build_for_stream(h, err));
    GM_TRY(create_image(w, ends, err)); /* layers are described, and placed when they come */
    place_embedding(w, h->arch, h->checkpoint);
    GM_TRY(fill_image(h, ends, err));
    GM_TRY(gm_layer_stream_create(&w->stream, w, h->arch, h->checkpoint, err));
out:
    return status;
}

/* ---- memory ---- */

/* What needs less, where the weights and `other` bytes exceed the memory that is free. */
static const char *advice(const gm_model_info *info, uint64_t other, uint64_t free)
{
    if (other >= free) return "a smaller --batch or --step-tokens needs less";
    if (info->numerics == GM_NUMERICS_INT8)
        return "--map leaves weights in the page cache, 'gm-probe collect --stream' holds two "
               "layers of them";
    return "--map leaves weights in the page cache, --numerics int8 makes them smaller, 'gm-probe "
           "collect --stream' holds two layers of them";
}

/* Weights that exceed what this process may have would end in the system killing it without a
 * word: then they are mapped, unless the caller wants to be told. */
static gm_status choose_hold(const gm_holding *h, gm_hold *hold, gm_error *err)
{
    const gm_model_options *o = h->options;
    const gm_memory memory = gm_machine_memory("");
    uint64_t other = OTHER_BYTES, held = 0;
    char weights[24], rest[24], have[24], image[24];
    char mapped[256];
    const bool resident = o->hold == GM_HOLD_RESIDENT;
    const bool no_file = o->cache == GM_CACHE_OFF || gm_checkpoint_in_memory_only(h->checkpoint);
    *hold = o->hold;
    if (resident)
        held = gm_weights_bytes(h->arch, h->checkpoint, h->info->numerics,
                                o->no_head && o->cache != GM_CACHE_WRITE);
    if (*hold == GM_HOLD_STREAMED)
        held = gm_weights_stream_bytes(h->arch, h->checkpoint, h->info->numerics, o->no_head);
    if (o->planned) other += gm_session_bytes_for(h->arch, h->info->numerics, o->planned);
    if (held + other <= memory.free) return GM_OK;
    gm_show_bytes(weights, (double)held);
    gm_show_bytes(rest, (double)other);
    gm_show_bytes(have, (double)memory.free);
    if (o->strict_memory || (resident && no_file))
        return gm_fail(
            err, GM_EMEM,
            "the weights need %s of memory and the rest %s, but %s has only %s free; %s%s", weights,
            rest, memory.free_by, have, advice(h->info, other, memory.free),
            o->strict_memory ? "; refused by --strict-memory" : "");
    if (resident) *hold = GM_HOLD_MAPPED;
    (void)snprintf(mapped, sizeof mapped,
                   ", with mapped weights, for which a file of %s is written once; 'gm-probe "
                   "collect --stream' is faster and writes none, '--cache off' stops here",
                   gm_show_bytes(image, (double)h->weights->image_bytes));
    gm_say(h,
           "the weights need %s of memory and the rest %s, but %s has only %s free; continuing, "
           "but slowly%s",
           weights, rest, memory.free_by, have,
           resident ? mapped : "; a smaller --step-tokens needs less");
    return GM_OK;
}

gm_status gm_weights_hold(gm_weights **out, const gm_arch *arch, const gm_checkpoint *checkpoint,
                          const gm_model_info *info, const gm_model_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_hold hold;
    gm_weights *w = NULL;
    char stamp[65];
    *out = NULL;
    w = gm_alloc(1, sizeof *w);
    if (w == NULL) GM_FAIL(GM_EMEM, "no memory for the weights");
    w->ops = &gm_cpu_ops;
    w->numerics = info->numerics;
    w->no_head = options->no_head;
    snprintf(w->device, sizeof w->device, "cpu");
    GM_TRY(gm_kernels_find(&w->kernels, options->kernels, err));
    GM_TRY(gm_weights_describe(w, arch, checkpoint, err));
    gm_holding h = {
        .weights = w, .arch = arch, .checkpoint = checkpoint, .info = info, .options = options};
    if (options->threads > gm_team_processors())
        gm_say(&h, "%d threads on %d processors are slower than %d", options->threads,
               gm_team_processors(), gm_team_processors());
    GM_TRY(choose_hold(&h, &hold, err));
    gm_checkpoint_stamp(checkpoint, info->digest, stamp);
    gm_packed_key(w, arch, stamp, h.key);
    switch (hold) {
    case GM_HOLD_MAPPED: GM_TRY(hold_mapped(&h, err)); break;
    case GM_HOLD_STREAMED: GM_TRY(hold_streamed(&h, err)); break;
    default: GM_TRY(hold_resident(&h, err));
    }
    *out = w;
    w = NULL;
out:
    gm_weights_free(w);
    return status;
}

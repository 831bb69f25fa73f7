/* cache_file.c - see cache_file.h. */
#include "engine/cache_file.h"

#include "engine/fill.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

void gm_say(const gm_holding *h, const char *fmt, ...)
{
    char sentence[1024];
    va_list args;
    if (h->options->notice == NULL) return;
    va_start(args, fmt);
    (void)vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    h->options->notice(h->options->notice_context, sentence);
}

/* ---- places ---- */

static const char *type_name(const gm_holding *h)
{
    return gm_numerics_name(h->info->numerics);
}

static gm_status in_folder(const gm_holding *h, const char *folder, gm_text *path, gm_error *err)
{
    return gm_text_printf(path, err, "%s/%.16s-%s.gm", folder, h->info->digest, type_name(h));
}

/* The user's folder for caches; empty when there is no home. */
static gm_status user_folder(gm_text *folder, gm_error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') return gm_text_printf(folder, err, "%s/gm", cache);
    if (home && home[0] == '/') return gm_text_printf(folder, err, "%s/.cache/gm", home);
    return GM_OK;
}

enum { PLACES = 2 };

/* Place number `i`; empty when there is none of that number. */
static gm_status place(const gm_holding *h, int i, gm_text *path, gm_error *err)
{
    gm_text folder = {0};
    path->n = 0;
    if (h->options->cache_folder)
        return i == 0 ? in_folder(h, h->options->cache_folder, path, err) : GM_OK;
    if (i == 0) return gm_text_printf(path, err, "%s/packed-%s.gm", h->info->folder, type_name(h));
    gm_status status = user_folder(&folder, err);
    if (status == GM_OK && folder.n > 0) status = in_folder(h, folder.at, path, err);
    gm_text_clear(&folder);
    return status;
}

/* Make the folders above a file; what goes wrong shows when it is created. */
static void make_folders(const char *path)
{
    char folder[4096];
    for (size_t i = 1; path[i] && i < sizeof folder; i++) {
        if (path[i] != '/') continue;
        memcpy(folder, path, i);
        folder[i] = '\0';
        (void)mkdir(folder, 0777);
    }
}

/* ---- finding one ---- */

gm_status gm_cache_find(const gm_holding *h, bool quiet, gm_packed **out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    *out = NULL;
    if (h->options->cache == GM_CACHE_OFF || gm_checkpoint_in_memory_only(h->checkpoint)) goto out;
    for (int i = 0; i < PLACES && *out == NULL; i++) {
        gm_error why = {0};
        GM_TRY(place(h, i, &path, err));
        if (path.n == 0 || access(path.at, F_OK) != 0) continue;
        status = gm_packed_open(out, path.at, h->key, h->weights->section, h->weights->n_layers + 2,
                                &why);
        if (status == GM_EMEM) {
            if (err) *err = why;
            goto out;
        }
        if (status != GM_OK && !quiet)
            gm_say(h, "%s; the cache is %s", why.text,
                   h->options->cache == GM_CACHE_WRITE || h->options->hold == GM_HOLD_MAPPED
                       ? "written again"
                       : "not used");
        status = GM_OK;
    }
out:
    gm_text_clear(&path);
    return status;
}

/* ---- writing one ---- */

/* Is there room for the image in the file's folder? */
static gm_status check_room(const gm_holding *h, const char *path, gm_error *err)
{
    struct statvfs disk;
    char need[24], have[24];
    gm_text folder = {0};
    const char *slash = strrchr(path, '/');
    gm_status status = gm_text_append(&folder, path, slash ? (size_t)(slash - path) + 1 : 0, err);
    if (status == GM_OK && statvfs(folder.n ? folder.at : ".", &disk) == 0) {
        const double room = (double)disk.f_bavail * (double)disk.f_frsize;
        const double image = (double)h->weights->image_bytes;
        if (room < 1.01 * image)
            status = gm_fail(err, GM_EIO, "'%s' needs %s, but its disk has only %s left", path,
                             gm_show_bytes(need, image), gm_show_bytes(have, room));
    }
    gm_text_clear(&folder);
    return status;
}

/* Begin the cache in the first place that takes it, and say where when that is not beside the
 * checkpoint. GM_EBUSY: another process is writing there. */
static gm_status begin(const gm_holding *h, gm_packed_out **out, gm_text *path, gm_error *err)
{
    gm_status status = gm_fail(err, GM_EIO, "no folder can hold a cache of packed weights");
    gm_error first = {0};
    *out = NULL;
    for (int i = 0; i < PLACES && *out == NULL; i++) {
        gm_error why = {0};
        const gm_status placed = place(h, i, path, &why);
        if (placed == GM_OK && path->n == 0) continue; /* there is no such place */
        status = placed;
        if (status == GM_OK && (i > 0 || h->options->cache_folder)) make_folders(path->at);
        if (status == GM_OK) status = check_room(h, path->at, &why);
        if (status == GM_OK)
            status = gm_packed_begin(out, path->at, h->key, h->weights->section,
                                     h->weights->n_layers + 2, &why);
        if (i == 0 || status == GM_EMEM || status == GM_EBUSY) first = why;
        if (status == GM_EMEM || status == GM_EBUSY) break;
        if (*out && i > 0) gm_say(h, "%s; the packed weights go to '%s'", first.text, path->at);
    }
    if (*out == NULL && err && first.text[0]) *err = first;
    return *out ? GM_OK : status;
}

void gm_cache_write(const gm_holding *h)
{
    gm_status status = GM_OK;
    gm_error why = {0}, *err = &why;
    gm_text path = {0};
    gm_packed_out *out = NULL;
    const gm_weights *w = h->weights;
    if (gm_checkpoint_in_memory_only(h->checkpoint)) return;
    GM_TRY(begin(h, &out, &path, err));
    for (size_t i = 0; i < w->n_layers + 2; i++)
        gm_packed_put(out, (const char *)w->image + w->section[i].offset);
    status = gm_packed_commit(out, err);
out:
    if (status != GM_OK) gm_say(h, "the packed weights are not cached: %s", why.text);
    gm_text_clear(&path);
}

static gm_status put_sections(const gm_holding *h, gm_packed_out *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_weights *w = h->weights;
    gm_team *team = NULL;
    gm_fill *fill = NULL;
    size_t most = 0;
    uint64_t done = 0;
    void *section = NULL;
    const gm_model_options *o = h->options;
    for (size_t i = 0; i < w->n_layers + 2; i++)
        if (w->section[i].n_bytes > most) most = w->section[i].n_bytes;
    section = gm_pages_alloc(most);
    if (section == NULL) GM_FAIL(GM_EMEM, "no memory to pack a layer (%zu bytes)", most);
    GM_TRY(gm_team_create(&team, o->threads, err));
    GM_TRY(gm_fill_create(&fill, h->arch, h->checkpoint, gm_team_size(team), err));
    for (size_t i = 0; i < w->n_layers + 2; i++) {
        gm_buf *list[GM_SECTION_BUFFERS];
        gm_section_place(list, gm_section_buffers(w, i, NULL, list), section);
        if (w->section[i].padded) memset(section, 0, w->section[i].n_bytes);
        GM_TRY(gm_fill_add(fill, w, i, NULL, err));
        GM_TRY(gm_fill_run(fill, team, NULL, NULL, err));
        gm_packed_put(out, section);
        done += w->section[i].n_bytes;
        if (o->progress) o->progress(o->progress_context, (double)done, (double)w->image_bytes);
    }
out:
    gm_fill_free(fill);
    gm_team_free(team);
    gm_pages_free(section, most);
    return status;
}

/* ---- building and opening one ---- */

static void sleep_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

gm_status gm_cache_build(const gm_holding *h, gm_packed **packed, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    gm_packed_out *out = NULL;
    char size[24];
    bool waited = false;
    *packed = NULL;
    if (h->options->cache == GM_CACHE_OFF || gm_checkpoint_in_memory_only(h->checkpoint))
        GM_FAIL(GM_EARG, "mapped weights need the cache of packed weights, which is off");
    while ((status = begin(h, &out, &path, err)) == GM_EBUSY) {
        if (!waited) gm_say(h, "another process is writing '%s'; waiting for it", path.at);
        waited = true;
        sleep_a_little();
        GM_TRY(gm_cache_find(h, true, packed, err));
        if (*packed) goto out;
    }
    if (status != GM_OK) goto out;
    gm_say(h, "packing the weights once into '%s' (%s)", path.at,
           gm_show_bytes(size, (double)h->weights->image_bytes));
    GM_TRY(put_sections(h, out, err));
    gm_packed_out *full = out;
    out = NULL;
    GM_TRY(gm_packed_commit(full, err));
    GM_TRY(gm_packed_open(packed, path.at, h->key, h->weights->section, h->weights->n_layers + 2,
                          err));
out:
    gm_packed_abort(out);
    gm_text_clear(&path);
    return status;
}

/* import.c - lines of JSON to blocks to a trace: see import.h. */
#include "probe/import.h"

#include "base/outfile.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "formats/shards.h"
#include "probe/checks.h"
#include "probe/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The block that is being filled; its arrays have room for so many rows and documents. */
typedef struct filling {
    gm_import *import;
    gm_writer *writer;
    gm_probe_block *block;
    size_t rows, documents; /* room */
    uint64_t n_blocks, n_read, n_documents, n_tokens;
} filling;

static gm_status begin_block(filling *f, gm_error *err)
{
    f->rows = f->documents = 0;
    return gm_probe_block_create(&f->block, f->n_blocks++, err);
}

static gm_status end_block(filling *f, bool more, gm_error *err)
{
    gm_probe_block *block = f->block;
    f->block = NULL;
    block->n_read = f->n_read;
    block->more = more;
    f->n_read = 0;
    return gm_writer_put(f->writer, block, err);
}

/* `array` of n items where it had `had`; as it was, and *whole false, when memory is short. */
static void *grown(void *array, size_t had, size_t n, size_t size, bool *whole)
{
    void *larger = gm_grow(array, had, n, size);
    if (larger == NULL) *whole = false;
    return larger ? larger : array;
}

/* Room in the block's arrays for one more document of n rows. */
static gm_status make_room(filling *f, size_t n, gm_error *err)
{
    gm_probe_block *b = f->block;
    const gm_import_form *form = &f->import->form;
    const size_t LK = form->L * form->K, LE = form->L * form->E;
    const size_t rows = 2 * (b->token.n + n), documents = 2 * f->documents + 16;
    bool whole = true;
    if (b->n_documents == f->documents) {
        b->counts = grown(b->counts, f->documents, documents, LE * sizeof *b->counts, &whole);
        if (whole) f->documents = documents;
    }
    if (b->token.n + n > f->rows) {
        b->expert = grown(b->expert, f->rows, rows, LK * sizeof *b->expert, &whole);
        b->pos = grown(b->pos, f->rows, rows, sizeof *b->pos, &whole);
        if (!form->no_gates) b->gate = grown(b->gate, f->rows, rows, LK * sizeof *b->gate, &whole);
        if (!form->no_margins) {
            b->mass = grown(b->mass, f->rows, rows, form->L * sizeof *b->mass, &whole);
            b->margin = grown(b->margin, f->rows, rows, form->L * sizeof *b->margin, &whole);
        }
        if (whole) f->rows = rows;
    }
    return whole ? GM_OK : gm_fail(err, GM_EMEM, "no memory for a block of %zu tokens", rows);
}

/* The rows of `in` after those of the block, from row `at` on. */
static void copy_rows(gm_probe_block *b, size_t at, const gm_imported *in,
                      const gm_import_form *form)
{
    const size_t L = form->L, LK = L * form->K;
    for (size_t t = 0; t < in->n; t++) b->pos[at + t] = (uint32_t)t;
    if (in->n == 0) return;
    memcpy(b->phase + at, in->phase, in->n);
    memcpy(b->expert + at * LK, in->expert, in->n * LK * sizeof *in->expert);
    if (!form->no_gates) memcpy(b->gate + at * LK, in->gate, in->n * LK * sizeof *in->gate);
    if (form->no_margins) return;
    memcpy(b->mass + at * L, in->mass, in->n * L * sizeof *in->mass);
    memcpy(b->margin + at * L, in->margin, in->n * L * sizeof *in->margin);
}

static gm_status add(filling *f, const gm_imported *in, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_import *m = f->import;
    const gm_document *d = &m->document;
    gm_probe_document document = {.id = in->id ? in->id : m->where.at,
                                  .subset = d->subset,
                                  .language = d->language,
                                  .text = m->info.has_text ? d->text : NULL,
                                  .n_text = m->info.has_text ? d->n_bytes : 0,
                                  .token = in->token_id,
                                  .n = in->n,
                                  .truncated = in->truncated};
    memcpy(document.sha, in->has_sha ? in->sha : d->sha, sizeof document.sha);
    if (!in->has_sha && d->skip != GM_SKIP_NONE) /* nothing but its name tells it from others */
        gm_sha256_of(document.id, strlen(document.id), document.sha);
    GM_TRY(make_room(f, in->n, err));
    gm_probe_block *b = f->block;
    const size_t i = b->n_documents, at = b->token.n, LE = m->form.L * m->form.E;
    GM_TRY(gm_probe_block_add(b, &document, err));
    b->document[i].n_tokens = in->n_tokens;
    b->document[i].bad = in->n_bad;
    memcpy(b->counts + i * LE, in->counts, LE * sizeof *in->counts);
    copy_rows(b, at, in, &m->form);
out:
    return status;
}

/* Texts are there in all lines or in none, and so are choices; ids are the tokenizer's. */
static gm_status check_line(const gm_import *m, const gm_imported *in, gm_error *err)
{
    const size_t most = m->tokenizer ? gm_tokenizer_size(m->tokenizer) : SIZE_MAX;
    const gm_json *choices = gm_json_find(m->document.record, "routed_experts");
    if (m->info.has_text && m->document.skip != GM_SKIP_NONE)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': %s, and the first line has one (--no-text imports none)", m->where.at,
                       m->document.why_not);
    if (m->o->record == GM_IMPORT_AS_GIVEN && m->form.level == GM_RECORD_COUNTS && choices &&
        gm_json_kind_of(choices) != GM_JSON_NULL)
        return gm_fail(err, GM_EFORMAT,
                       "'%s': it has 'routed_experts', and the first line counts alone "
                       "(--record counts counts them)",
                       m->where.at);
    for (size_t t = 0; t < in->n; t++)
        if (in->token_id[t] >= most)
            return gm_fail(err, GM_EFORMAT,
                           "'%s': token %zu has id %" PRIu32 ", the tokenizer of '%s' has %zu",
                           m->where.at, t, in->token_id[t], m->o->model, most);
    return GM_OK;
}

/* All lines into shards. */
static gm_status read_lines(filling *f, gm_error *err)
{
    gm_status status = GM_OK;
    gm_import *m = f->import;
    gm_imported in = {0};
    gm_progress progress;
    uint64_t done, total;
    gm_corpus_progress(m->corpus, &done, &total);
    gm_progress_start(&progress, "import", "bytes", (double)total, m->o->quiet);
    GM_TRY(begin_block(f, err));
    while (m->more) {
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted; nothing was written");
        GM_TRY(gm_imported_read(&in, m->document.record, &m->form, m->where.at, err));
        GM_TRY(check_line(m, &in, err));
        if (!gm_probe_block_fits(f->block, in.n)) {
            GM_TRY(end_block(f, true, err));
            GM_TRY(begin_block(f, err));
        }
        GM_TRY(add(f, &in, err));
        f->n_read++;
        f->n_documents++;
        f->n_tokens += in.n_tokens;
        gm_corpus_progress(m->corpus, &done, &total);
        gm_progress_set(&progress, (double)done);
        GM_TRY(gm_import_next(m, err));
    }
    GM_TRY(end_block(f, false, err));
out:
    gm_progress_end(&progress);
    gm_imported_clear(&in);
    return status;
}

/* The shards of `folder` into one file, which is checked. */
static gm_status conclude(const gm_import *m, const char *folder, gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    gm_trace *trace = NULL;
    gm_checks checks;
    GM_TRY(gm_shard_list_read(&list, folder, err));
    GM_TRY(gm_trace_merge(m->o->out, (const char *const *)list.path, list.n, m->o->force, err));
    GM_TRY(gm_trace_open(&trace, m->o->out, err));
    GM_TRY(gm_checks_run(&checks, trace, m->o->allow_bad, err));
    GM_TRY(gm_checks_verdict(&checks, m->o->out, err));
out:
    gm_trace_close(trace);
    gm_shard_list_clear(&list);
    return status;
}

/* The folder of shards, locked; what an earlier run left there is replaced under --force alone. */
static gm_status take_folder(const gm_import *m, gm_shard_lock *lock, const char *folder,
                             gm_error *err)
{
    gm_status status = GM_OK;
    gm_shard_list list = {0};
    GM_TRY(gm_outfile_check(m->o->out, m->o->force, err));
    GM_TRY(gm_shard_lock_take(lock, folder, 0, 1, err));
    GM_TRY(gm_shard_list_read(&list, folder, err));
    if (list.n > 0 && !m->o->force) {
        gm_shard_lock_release(lock); /* what is there is not ours to remove */
        GM_FAIL(GM_EEXIST, "'%s' holds %zu block%s of a run; --force replaces them", folder, list.n,
                gm_plural(list.n));
    }
    GM_TRY(gm_shards_clear(folder, err));
out:
    gm_shard_list_clear(&list);
    return status;
}

gm_status gm_import_run(gm_import *m, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text folder = {0};
    gm_shard_lock lock = {0};
    filling f = {.import = m};
    gm_error why = {0};
    GM_TRY(gm_text_printf(&folder, err, "%s.parts", m->o->out));
    GM_TRY(take_folder(m, &lock, folder.at, err));
    GM_TRY(gm_writer_create(&f.writer, folder.at, &m->info, err));
    status = read_lines(&f, err);
    gm_status written = gm_writer_finish(f.writer, &why);
    if (status == GM_OK && written != GM_OK) GM_FAIL(written, "%s", why.text);
    if (status == GM_OK) GM_TRY(conclude(m, folder.at, err));
    if (status == GM_OK)
        printf("%s: %" PRIu64 " document%s, %" PRIu64 " token%s\n", m->o->out, f.n_documents,
               gm_plural(f.n_documents), f.n_tokens, gm_plural(f.n_tokens));
out:
    if (lock.fd[0] != 0 && gm_shards_remove(folder.at, NULL) != GM_OK)
        gm_warn("cannot remove '%s'", folder.at);
    gm_shard_lock_release(&lock);
    gm_probe_block_free(f.block);
    gm_text_clear(&folder);
    return status;
}

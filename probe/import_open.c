/* import_open.c - what all lines of an import have in common: see import.h. */
#include "base/folder.h"
#include "base/sha256.h"
#include "base/version.h"
#include "probe/import.h"

#include <inttypes.h>
#include <string.h>

/* ---- lines ---- */

/* What stands in `record` is looked at by imported.h; a text may be missing. */
static bool is_usable(const gm_document *d)
{
    return d->record &&
           (d->skip == GM_SKIP_NONE || d->skip == GM_SKIP_NO_TEXT || d->skip == GM_SKIP_EMPTY);
}

gm_status gm_import_next(gm_import *m, gm_error *err)
{
    gm_status status = GM_OK;
    m->where.n = 0;
    GM_TRY(gm_corpus_next(m->corpus, &m->document, &m->more, err));
    if (!m->more) goto out;
    GM_TRY(gm_document_name(&m->where, &m->document, err));
    if (m->document.line == 0)
        GM_FAIL(GM_EFORMAT, "'%s': expected a .jsonl, plain or compressed", m->document.file);
    if (!is_usable(&m->document)) GM_FAIL(GM_EFORMAT, "'%s': %s", m->where.at, m->document.why_not);
out:
    return status;
}

/* ---- layers ---- */

/* The model's MoE layers, the named ones, or those that the arrays have. */
static gm_status find_layers(gm_import *m, gm_error *err)
{
    const gm_model_info *info = m->model ? gm_model_get_info(m->model) : NULL;
    const int *layer = info ? info->layer_of_moe : m->o->layer; /* NULL: all */
    m->form.L = info ? (size_t)info->n_moe_layers : layer ? m->o->n_layers : m->form.A;
    if (m->form.L > GM_MAX_LAYERS)
        return gm_fail(err, GM_EFORMAT, "'%s': its arrays have %zu layers, expected at most %d",
                       m->where.at, m->form.L, GM_MAX_LAYERS);
    m->layer = gm_alloc(m->form.L, sizeof *m->layer);
    if (m->layer == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu layers", m->form.L);
    for (size_t l = 0; l < m->form.L; l++) m->layer[l] = layer ? layer[l] : (int)l;
    return GM_OK;
}

/* The arrays have the layers with experts, or all of the model. */
static gm_status place_layers(gm_import *m, gm_error *err)
{
    gm_import_form *form = &m->form;
    const size_t last = (size_t)m->layer[form->L - 1];
    m->place = gm_alloc(form->L, sizeof *m->place);
    if (m->place == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu layers", form->L);
    if (form->A != form->L && form->A <= last)
        return gm_fail(err, GM_EARG,
                       "'%s': its arrays have %zu layers, expected %zu, those with experts, or at "
                       "least %zu, all of the model",
                       m->where.at, form->A, form->L, last + 1);
    for (size_t l = 0; l < form->L; l++) m->place[l] = form->A == form->L ? l : (size_t)m->layer[l];
    form->place = m->place;
    return GM_OK;
}

/* ---- the model ---- */

static gm_status open_model(gm_import *m, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text path = {0};
    const char *folder = m->o->model;
    if (folder == NULL) goto out;
    GM_TRY(gm_model_open(&m->model, folder, &(gm_model_options){.headers_only = true}, err));
    GM_TRY(gm_text_printf(&path, err, "%s/tokenizer.json", folder));
    if (gm_path_is_taken(path.at)) GM_TRY(gm_tokenizer_open(&m->tokenizer, folder, err));
out:
    gm_text_clear(&path);
    return status;
}

/* How many experts there are, and whether so many are chosen. */
static gm_status settle_experts(gm_import *m, gm_error *err)
{
    gm_import_form *form = &m->form;
    const gm_model_info *info = m->model ? gm_model_get_info(m->model) : NULL;
    form->E = info ? (size_t)info->n_experts : (size_t)m->o->experts;
    if (info && form->K != (size_t)info->n_chosen)
        return gm_fail(err, GM_EARG,
                       "'%s': each layer chose %zu experts, the model '%s' chooses %d", m->where.at,
                       form->K, m->o->model, info->n_chosen);
    if (form->K > form->E)
        return gm_fail(err, GM_EARG, "'%s': each layer chose %zu of %zu experts", m->where.at,
                       form->K, form->E);
    return GM_OK;
}

static gm_status settle_level(gm_import *m, gm_error *err)
{
    const bool has_choices = m->form.level == GM_RECORD_CHOICES;
    if (m->o->record == GM_IMPORT_CHOICES && !has_choices)
        return gm_fail(err, GM_EARG, "'%s': it has counts alone, so --record choices is impossible",
                       m->where.at);
    if (m->o->record == GM_IMPORT_COUNTS) m->form.level = GM_RECORD_COUNTS;
    return GM_OK;
}

/* ---- what the trace says of itself ---- */

static gm_status write_options(gm_import *m, gm_error *err)
{
    gm_json_out out = {0};
    gm_json_open_object(&out, NULL);
    gm_json_put_string(&out, "imported", m->form.level == GM_RECORD_COUNTS ? "counts" : "choices");
    gm_json_put_string(&out, "text_field", m->o->text_field);
    gm_json_put_string(&out, "subset_field", m->o->subset_field);
    if (m->o->language_field) gm_json_put_string(&out, "language_field", m->o->language_field);
    gm_json_put_bool(&out, "text", m->info.has_text);
    if (m->o->layers) gm_json_put_string(&out, "layers", m->o->layers);
    gm_json_open_array(&out, "files");
    for (size_t i = 0; i < m->o->n_paths && i < 100; i++)
        gm_json_put_string(&out, NULL, m->o->paths[i]);
    gm_json_close_array(&out);
    gm_json_close_object(&out);
    m->options = out.text;
    return gm_json_out_done(&out, err);
}

static gm_status fill_info(gm_import *m, const char *command, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_model_info *info = m->model ? gm_model_get_info(m->model) : NULL;
    const char *name = m->o->name ? m->o->name : m->o->model ? gm_path_name(m->o->model) : "";
    gm_json_out provenance = {0};
    uint8_t digest[32];
    m->info =
        (gm_trace_info){.n_layers = (int)m->form.L,
                        .n_experts = (int)m->form.E,
                        .n_chosen = (int)m->form.K,
                        .layer_of_moe = m->layer,
                        .level = m->form.level,
                        .no_gates = m->form.no_gates,
                        .no_margins = m->form.no_margins,
                        .has_text = m->o->text && m->document.skip == GM_SKIP_NONE,
                        .has_language = m->o->language_field != NULL,
                        .model = *name ? name : "an imported model",
                        .architecture = info ? info->architecture : "",
                        .family = info ? info->family : "",
                        .model_digest = info ? info->digest : "",
                        .config_digest = info ? info->config_digest : "",
                        .tokenizer_digest = m->tokenizer ? gm_tokenizer_digest(m->tokenizer) : "",
                        .numerics = "imported",
                        .kernels = "imported",
                        .device = "imported",
                        .invariance = "",
                        .scoring = info ? info->scoring : "",
                        .renormalised = info && info->renormalised,
                        .routed_scale = info ? info->routed_scale : 1,
                        .command = command,
                        .steering = ""};
    GM_TRY(write_options(m, err));
    gm_sha256_of(m->options.at, m->options.n, digest);
    gm_sha256_hex(digest, m->fingerprint);
    gm_json_open_object(&provenance, NULL);
    gm_version_put(&provenance);
    gm_json_close_object(&provenance);
    m->provenance = provenance.text;
    GM_TRY(gm_json_out_done(&provenance, err));
    m->info.options = m->options.at;
    m->info.fingerprint = m->fingerprint;
    m->info.provenance = m->provenance.at;
out:
    return status;
}

gm_status gm_import_open(gm_import *m, const gm_import_options *o, const char *command,
                         gm_error *err)
{
    gm_status status = GM_OK;
    *m = (gm_import){.o = o};
    const gm_corpus_options fields = {.text_field = o->text_field,
                                      .subset_field = o->subset_field,
                                      .language_field = o->language_field};
    GM_TRY(gm_corpus_open(&m->corpus, o->paths, o->n_paths, &fields, err));
    GM_TRY(open_model(m, err));
    GM_TRY(gm_import_next(m, err));
    if (!m->more) GM_FAIL(GM_EFORMAT, "'%s' has no lines", o->paths[0]);
    GM_TRY(gm_import_form_of(&m->form, m->document.record, m->where.at, err));
    GM_TRY(settle_level(m, err));
    GM_TRY(settle_experts(m, err));
    GM_TRY(find_layers(m, err));
    GM_TRY(place_layers(m, err));
    GM_TRY(fill_info(m, command, err));
out:
    return status;
}

void gm_import_close(gm_import *m)
{
    gm_corpus_close(m->corpus);
    gm_tokenizer_close(m->tokenizer);
    gm_model_close(m->model);
    gm_free(m->place);
    gm_free(m->layer);
    gm_text_clear(&m->where);
    gm_text_clear(&m->options);
    gm_text_clear(&m->provenance);
}

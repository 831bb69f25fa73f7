/* import.h - private to probe: a run of `gm-probe import`, from lines of JSON to a trace.
 *
 * import_command.c reads the command line; import_open.c settles what all lines have in common;
 * import.c reads them into blocks (imported.h) and writes the trace.
 */
#ifndef GM_PROBE_IMPORT_H
#define GM_PROBE_IMPORT_H

#include "base/cli.h"
#include "engine/engine.h"
#include "engine/tokenizer/tokenizer.h"
#include "formats/layer_list.h"
#include "formats/trace.h"
#include "probe/imported.h"
#include "text/corpus.h"

typedef struct gm_import_options {
    const char *const *paths;
    size_t n_paths;
    const char *out, *model, *name, *layers, *text_field, *subset_field, *language_field;
    int *layer; /* (n_layers) what `layers` lists, ascending; NULL: not given */
    size_t n_layers;
    int64_t experts; /* 0: not given */
    int record;      /* GM_IMPORT_... */
    bool text, allow_bad, force, quiet;
} gm_import_options;

enum { GM_IMPORT_AS_GIVEN, GM_IMPORT_COUNTS, GM_IMPORT_CHOICES };

typedef struct gm_import {
    const gm_import_options *o;
    gm_corpus *corpus;
    gm_document document;    /* the line that was read last */
    bool more;               /* there is one */
    gm_text where;           /* FILE:LINE of it */
    gm_model *model;         /* its headers; NULL without --model */
    gm_tokenizer *tokenizer; /* NULL: not there */
    gm_import_form form;
    size_t *place; /* (L) form.place */
    int *layer;    /* (L) layers of the model */
    gm_trace_info info;
    gm_text options, provenance; /* JSON */
    char fingerprint[65];
} gm_import;

/* Open the files, read the first line, and settle form and info by it and the options. GM_EARG when
 * they disagree; errors of the corpus and of gm_model_open. */
gm_status gm_import_open(gm_import *m, const gm_import_options *options, const char *command,
                         gm_error *err) GM_MUST_USE;
void gm_import_close(gm_import *m);

/* The next line, which must be an object; m->more is false after the last. GM_EFORMAT. */
gm_status gm_import_next(gm_import *m, gm_error *err) GM_MUST_USE;

/* Read all lines from the one that is there on, write the trace, and say what it holds. GM_EEXIST,
 * GM_EFORMAT, GM_EINTERRUPTED, GM_ECHECK, GM_EIO, GM_EMEM. */
gm_status gm_import_run(gm_import *m, gm_error *err) GM_MUST_USE;

#endif

/* corpus.h - documents of a corpus, one after another: .jsonl, .jsonl.zst,
 * .jsonl.gz in the Pile's form, plain text files, folders of any of these.
 *
 * A document is one line of a .jsonl, or one plain text file. A pipe or a descriptor (/dev/stdin,
 * /dev/fd/N) holds lines if its first line is a JSON object, otherwise one text. Folders are walked
 * in C-locale order of their paths; a text file's subset is its parent folder. A line that cannot
 * be used (not JSON, not UTF-8, no text field, too long, empty) is delivered as a document with
 * `skip` set, so that the caller counts it; it never ends the reading unless `strict`.
 */
#ifndef GM_CORPUS_H
#define GM_CORPUS_H

#include "base/json.h"

typedef enum gm_skip {
    GM_SKIP_NONE,
    GM_SKIP_NOT_JSON,
    GM_SKIP_NOT_UTF8,
    GM_SKIP_NO_TEXT, /* no such field, or it is not a string */
    GM_SKIP_TOO_LONG,
    GM_SKIP_EMPTY,
    GM_SKIP_TOO_SHORT, /* given by the caller: fewer tokens than the minimum */
    GM_N_SKIPS
} gm_skip;

/* "not_json", "too_short", ... : the names used in /corpus/skipped. */
const char *gm_skip_name(gm_skip skip);

typedef struct gm_corpus_options {
    const char *text_field;     /* NULL: "text"; a dot goes into objects, "meta.body", or is part
                                 * of a key if that finds nothing */
    const char *subset_field;   /* NULL: "meta.pile_set_name"; a text, a number or a bool */
    const char *language_field; /* NULL: none; a text */
    size_t max_line_bytes;      /* 0: 64 MiB; a longer line is GM_SKIP_TOO_LONG */
    bool strict;                /* an unusable line is an error that names it */
} gm_corpus_options;

typedef struct gm_document {
    const char *text; /* n_bytes of valid UTF-8, may hold NUL; borrowed until the next call */
    size_t n_bytes;
    const char *subset;    /* "" when there is none; NUL in it is written \x00; borrowed likewise */
    const char *language;  /* "" when the record says none; borrowed likewise */
    const char *file;      /* path as given or found; borrowed likewise */
    uint64_t line;         /* from 1; 0 for a plain text file */
    uint8_t sha[32];       /* SHA-256 of the text */
    const gm_json *record; /* the line's object; NULL when there is none; borrowed likewise */
    gm_skip skip;          /* not GM_SKIP_NONE: text is empty, why_not says what is wrong */
    char why_not[160];
} gm_document;

typedef struct gm_corpus gm_corpus;

/* Open `n` paths, read in the order given. Every file is looked for at once, so a
 * missing one is found before hours of work. Errors: GM_EIO, GM_EFORMAT, GM_EARG (one is given
 * twice, under any names), GM_EMEM. */
gm_status gm_corpus_open(gm_corpus **out, const char *const *paths, size_t n,
                         const gm_corpus_options *options, gm_error *err) GM_MUST_USE;

/* The next document; *more is false at the end. Errors: GM_EIO, GM_EFORMAT
 * (a truncated or damaged compressed file: names file and byte; a file that has grown or
 * shrunk since the opening), GM_EMEM. */
gm_status gm_corpus_next(gm_corpus *corpus, gm_document *out, bool *more, gm_error *err)
    GM_MUST_USE;

/* Append a document's name: "FILE:LINE", or FILE for a plain text file.
 * Errors: GM_EMEM. */
gm_status gm_document_name(gm_text *out, const gm_document *document, gm_error *err) GM_MUST_USE;

/* The names of the fields of a document's record ("" without one), as many as there is room for,
 * for whoever named another: "text, meta". */
void gm_record_fields(const gm_json *record, char *out, size_t room);

/* The first file that can be read only once, a pipe; NULL when there is none. */
const char *gm_corpus_pipe(const gm_corpus *corpus);

/* Compressed bytes read and to read, for progress. */
void gm_corpus_progress(const gm_corpus *corpus, uint64_t *done, uint64_t *total);
void gm_corpus_close(gm_corpus *corpus);

#endif

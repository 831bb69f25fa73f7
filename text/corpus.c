/* corpus.c - documents of a corpus, one after another. */
#include "text/corpus.h"

#include "text/corpus_files.h"
#include "text/corpus_record.h"
#include "text/source.h"

#include <inttypes.h>
#include <string.h>

enum { READ_BYTES = 1 << 18, DEFAULT_LINE_BYTES = 64 << 20 };

struct gm_corpus {
    size_t max_line_bytes;
    bool strict;
    gm_corpus_files files;
    size_t next_file;      /* files[next_file - 1] is open when source is */
    uint64_t bytes_before; /* of the files read to the end */
    gm_source *source;
    bool source_ended;
    gm_text buffer; /* bytes read and not yet given: [first, buffer.n) */
    size_t first;
    uint64_t line;
    gm_corpus_record record; /* the last line's */
};

const char *gm_skip_name(gm_skip skip)
{
    static const char *const name[GM_N_SKIPS] = {"none",     "not_json", "not_utf8", "no_text",
                                                 "too_long", "empty",    "too_short"};
    return skip >= 0 && skip < GM_N_SKIPS ? name[skip] : "unknown";
}

gm_status gm_corpus_open(gm_corpus **out, const char *const *paths, size_t n,
                         const gm_corpus_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_corpus_options none = {0};
    if (options == NULL) options = &none;
    gm_corpus *corpus = gm_alloc(1, sizeof *corpus);
    *out = NULL;
    if (corpus == NULL) return gm_fail(err, GM_EMEM, "no memory for a corpus reader");

    corpus->max_line_bytes = options->max_line_bytes ? options->max_line_bytes : DEFAULT_LINE_BYTES;
    corpus->strict = options->strict;
    GM_TRY(gm_corpus_record_init(&corpus->record, options, err));
    GM_TRY(gm_text_reserve(&corpus->buffer, READ_BYTES, err));
    GM_TRY(gm_corpus_files_find(&corpus->files, paths, n, err));
    *out = corpus;
    corpus = NULL;
out:
    gm_corpus_close(corpus);
    return status;
}

void gm_corpus_close(gm_corpus *corpus)
{
    if (corpus == NULL) return;
    gm_source_close(corpus->source);
    gm_corpus_files_clear(&corpus->files);
    gm_corpus_record_clear(&corpus->record);
    gm_text_clear(&corpus->buffer);
    gm_free(corpus);
}

const char *gm_corpus_pipe(const gm_corpus *corpus)
{
    for (size_t i = 0; i < corpus->files.n; i++)
        if (!corpus->files.at[i].is_regular) return corpus->files.at[i].path;
    return NULL;
}

void gm_corpus_progress(const gm_corpus *corpus, uint64_t *done, uint64_t *total)
{
    *total = 0;
    for (size_t i = 0; i < corpus->files.n; i++) *total += corpus->files.at[i].n_bytes;
    *done = corpus->bytes_before;
    if (corpus->source) *done += gm_source_position(corpus->source);
}

/* ---- bytes ---- */

static const gm_corpus_file *current_file(const gm_corpus *corpus)
{
    return &corpus->files.at[corpus->next_file - 1];
}

/* The end of a file must be where it was when the corpus was opened: documents that a file
 * lost or gained during a run of hours would be missed without a word. */
static gm_status close_current(gm_corpus *corpus, gm_error *err)
{
    const gm_corpus_file *file = current_file(corpus);
    uint64_t found = gm_source_position(corpus->source);
    gm_source_close(corpus->source);
    corpus->source = NULL;
    corpus->bytes_before += file->n_bytes;
    if (!file->is_regular || found == file->n_bytes) return GM_OK;
    return gm_fail(err, GM_EFORMAT,
                   "'%s' changed while it was read: it had %" PRIu64 " bytes, now it has %" PRIu64,
                   file->path, file->n_bytes, found);
}

/* More bytes after those in the buffer; what was given already moves out first. */
static gm_status fill(gm_corpus *corpus, gm_error *err)
{
    gm_text *buffer = &corpus->buffer;
    if (corpus->first > 0) {
        memmove(buffer->at, buffer->at + corpus->first, buffer->n - corpus->first);
        buffer->n -= corpus->first;
        corpus->first = 0;
    }
    gm_status status = gm_text_reserve(buffer, READ_BYTES, err);
    if (status != GM_OK) return status;
    size_t got = 0;
    status = gm_source_read(corpus->source, buffer->at + buffer->n, READ_BYTES, &got, err);
    buffer->n += got;
    buffer->at[buffer->n] = '\0';
    corpus->source_ended = status == GM_OK && got == 0;
    return status;
}

/* Where the first line begins that is not blank. */
static const char *first_line(const gm_text *buffer)
{
    static const char mark[] = "\xEF\xBB\xBF";
    const char *at = buffer->at;
    if (strncmp(at, mark, sizeof mark - 1) == 0) at += sizeof mark - 1;
    return at + strspn(at, " \t\r\n");
}

static gm_status is_object(const char *line, size_t n, bool *yes, gm_error *err)
{
    gm_json *root = NULL;
    gm_error why = {0};
    gm_status status = *line == '{' ? gm_json_parse(&root, line, n, "line", &why) : GM_EFORMAT;
    *yes = status == GM_OK && gm_json_kind_of(root) == GM_JSON_OBJECT;
    gm_json_free(root);
    return status == GM_EMEM ? gm_fail(err, GM_EMEM, "%s", why.text) : GM_OK;
}

/* The name of a pipe, /dev/fd/63, or of standard input does not say what it holds. Its first line
 * does: an object of JSON and nothing else, where LaTeX, C or indented JSON may begin with a brace
 * too. Of a line that is longer than what is looked at, the start will do. */
static gm_status detect_lines(gm_corpus *corpus, gm_corpus_file *file, gm_error *err)
{
    const gm_text *buffer = &corpus->buffer;
    const char *line, *end;
    do {
        gm_status status = fill(corpus, err);
        if (status != GM_OK) return status;
        line = first_line(buffer);
        end = memchr(line, '\n', buffer->n - (size_t)(line - buffer->at));
    } while (end == NULL && buffer->n < READ_BYTES && !corpus->source_ended);
    if (end == NULL && !corpus->source_ended) {
        file->lines = line[0] == '{' && line[1 + strspn(line + 1, " \t")] == '"';
        return GM_OK;
    }
    const char *stop = end ? end : buffer->at + buffer->n;
    return is_object(line, (size_t)(stop - line), &file->lines, err);
}

static gm_status open_next(gm_corpus *corpus, gm_error *err)
{
    gm_corpus_file *file = &corpus->files.at[corpus->next_file];
    gm_status status = gm_source_open(&corpus->source, file->path, err);
    if (status != GM_OK) return status;
    corpus->next_file++;
    corpus->source_ended = false;
    corpus->buffer.n = corpus->first = 0;
    corpus->line = 0;
    return file->by_content ? detect_lines(corpus, file, err) : GM_OK;
}

/* The next piece of the file: a line without its end, or the whole file. *too_long:
 * it was passed over and `piece` is empty. *found is false at the end of the file. */
static gm_status next_piece(gm_corpus *corpus, bool whole, const char **piece, size_t *n,
                            bool *too_long, bool *found, gm_error *err)
{
    size_t seen = 0; /* bytes of the piece known to hold no line end */
    *too_long = false;
    *found = true;
    for (;;) {
        const char *start = corpus->buffer.at + corpus->first;
        size_t have = corpus->buffer.n - corpus->first;
        const char *end = whole || have == seen ? NULL : memchr(start + seen, '\n', have - seen);
        if (end == NULL && !corpus->source_ended) {
            seen = have;
            if (have > corpus->max_line_bytes) { /* forget it and look for its end only */
                *too_long = true;
                corpus->first = corpus->buffer.n, seen = 0;
            }
            gm_status status = fill(corpus, err);
            if (status != GM_OK) return status;
            continue;
        }
        *found = end != NULL || have > 0 || *too_long;
        *n = end ? (size_t)(end - start) : have;
        *piece = start;
        corpus->first += *n + (end != NULL);
        *too_long = *too_long || *n > corpus->max_line_bytes;
        return GM_OK;
    }
}

/* ---- documents ---- */

static gm_status strict_error(const gm_document *document, gm_error *err)
{
    if (document->line == 0)
        return gm_fail(err, GM_EFORMAT, "'%s': %s", document->file, document->why_not);
    return gm_fail(err, GM_EFORMAT, "'%s', line %" PRIu64 ": %s", document->file, document->line,
                   document->why_not);
}

gm_status gm_corpus_next(gm_corpus *corpus, gm_document *out, bool *more, gm_error *err)
{
    gm_status status = GM_OK;
    const char *piece = NULL;
    size_t n = 0;
    bool too_long = false, found = false;
    *out = (gm_document){.text = "", .subset = "", .language = "", .file = ""};
    *more = false;

    while (!found) {
        if (corpus->source == NULL) {
            if (corpus->next_file == corpus->files.n) return GM_OK;
            GM_TRY(open_next(corpus, err));
        }
        GM_TRY(
            next_piece(corpus, !current_file(corpus)->lines, &piece, &n, &too_long, &found, err));
        /* an empty text file is a document that is skipped, not nothing */
        if (!found && !current_file(corpus)->lines && corpus->line == 0) found = true, n = 0;
        if (!found) GM_TRY(close_current(corpus, err));
    }

    const gm_corpus_file *file = current_file(corpus);
    corpus->line++;
    out->file = file->path;
    out->line = file->lines ? corpus->line : 0;
    out->subset = file->lines ? "" : file->folder;
    if (corpus->line == 1 && n >= 3 && memcmp(piece, "\xEF\xBB\xBF", 3) == 0) piece += 3, n -= 3;
    if (too_long)
        gm_document_skip(out, GM_SKIP_TOO_LONG, "longer than %zu bytes", corpus->max_line_bytes);
    else if (file->lines)
        GM_TRY(gm_corpus_record_read(&corpus->record, piece, n, out, err));
    else
        gm_document_read(piece, n, out);
    if (corpus->strict && out->skip != GM_SKIP_NONE) GM_TRY(strict_error(out, err));
    *more = true;
out:
    return status;
}

gm_status gm_document_name(gm_text *out, const gm_document *d, gm_error *err)
{
    if (d->line == 0) return gm_text_add(out, d->file, err);
    return gm_text_printf(out, err, "%s:%" PRIu64, d->file, d->line);
}

/* corpus.c - documents of a corpus, one after another. */
#include "text/corpus.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/sha256.h"
#include "text/corpus_files.h"
#include "text/source.h"

enum { READ_BYTES = 1 << 18, DEFAULT_LINE_BYTES = 64 << 20 };

struct gm_corpus {
    char *text_field, *subset_field, *language_field;
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
    gm_json *record;          /* the last line's; its strings are borrowed by the caller */
    gm_text subset, language; /* the last line's, where its own text will not do */
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
    const char *text = options->text_field ? options->text_field : "text";
    const char *subset = options->subset_field ? options->subset_field : "meta.pile_set_name";
    gm_corpus *corpus = gm_alloc(1, sizeof *corpus);
    *out = NULL;
    if (corpus == NULL) return gm_fail(err, GM_EMEM, "no memory for a corpus reader");

    corpus->max_line_bytes = options->max_line_bytes ? options->max_line_bytes : DEFAULT_LINE_BYTES;
    corpus->strict = options->strict;
    corpus->text_field = gm_copy_text(text, strlen(text));
    corpus->subset_field = gm_copy_text(subset, strlen(subset));
    if (options->language_field)
        corpus->language_field =
            gm_copy_text(options->language_field, strlen(options->language_field));
    if (corpus->text_field == NULL || corpus->subset_field == NULL ||
        (options->language_field && corpus->language_field == NULL))
        GM_FAIL(GM_EMEM, "no memory for a corpus reader");
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
    gm_json_free(corpus->record);
    gm_text_clear(&corpus->buffer);
    gm_text_clear(&corpus->subset);
    gm_text_clear(&corpus->language);
    gm_free(corpus->text_field);
    gm_free(corpus->subset_field);
    gm_free(corpus->language_field);
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
    return gm_fail(err, GM_EFORMAT, "'%s' has changed while it was read: %llu bytes, now %llu",
                   file->path, (unsigned long long)file->n_bytes, (unsigned long long)found);
}

/* More bytes behind those in the buffer; what was given already moves out first. */
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
static gm_status look_inside(gm_corpus *corpus, gm_corpus_file *file, gm_error *err)
{
    const gm_text *buffer = &corpus->buffer;
    const char *line = NULL, *end = NULL;
    while (end == NULL && buffer->n < READ_BYTES && !corpus->source_ended) {
        gm_status status = fill(corpus, err);
        if (status != GM_OK) return status;
        line = first_line(buffer);
        end = memchr(line, '\n', buffer->n - (size_t)(line - buffer->at));
    }
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
    return file->by_content ? look_inside(corpus, file, err) : GM_OK;
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

static void skip(gm_document *out, gm_skip why, const char *fmt, ...) GM_PRINTF(3, 4);

static void skip(gm_document *out, gm_skip why, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(out->why_not, sizeof out->why_not, fmt, args);
    va_end(args);
    out->skip = why;
    out->text = "";
    out->n_bytes = 0;
}

/* The member that a path "meta.pile_set_name" leads to, NULL when there is none. */
static const gm_json *follow(const gm_json *object, const char *path)
{
    for (;;) {
        char key[128];
        size_t n = strcspn(path, ".");
        if (object == NULL || n >= sizeof key || gm_json_kind_of(object) != GM_JSON_OBJECT)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        object = gm_json_find(object, key);
        if (path[n] == '\0') return object;
        path += n + 1;
    }
}

/* The same; a table that was flattened has it under the whole path as its key. */
static const gm_json *find_field(const gm_json *record, const char *path)
{
    const gm_json *nested = follow(record, path);
    return nested ? nested : gm_json_find(record, path);
}

static bool is_blank(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr(" \t\r\f\v", bytes[i]) == NULL || bytes[i] == '\0') return false;
    return true;
}

/* Check that a piece is UTF-8; says where it is not. */
static bool is_utf8(const char *bytes, size_t n, gm_document *out)
{
    size_t valid = gm_utf8_valid(bytes, n);
    if (valid == n) return true;
    const bool utf16 = n > 1 && (!memcmp(bytes, "\xFF\xFE", 2) || !memcmp(bytes, "\xFE\xFF", 2));
    skip(out, GM_SKIP_NOT_UTF8, "byte %zu (0x%02x) is not UTF-8%s", valid + 1,
         (unsigned)(unsigned char)bytes[valid], utf16 ? "; UTF-16 begins like this" : "");
    return false;
}

static void take_text(const char *bytes, size_t n, gm_document *out)
{
    if (n == 0) {
        skip(out, GM_SKIP_EMPTY, "the text is empty");
        return;
    }
    out->text = bytes;
    out->n_bytes = n;
    gm_sha256_of(bytes, n, out->sha);
}

/* A subset or a language is a C string: NUL in its name is written \x00, so that names that part
 * behind it stay two. `room` is for what does not stand in the record as it is. */
static gm_status take_name(const gm_json *value, gm_text *room, const char **out, gm_error *err)
{
    gm_status status = GM_OK;
    size_t n = 0;
    const char *name = gm_json_text(value, &n);
    if (name == NULL) return GM_OK;
    *out = name;
    if (strlen(name) == n) return GM_OK;
    room->n = 0;
    for (const char *at = name, *end = name + n; at <= end; at += strlen(at) + 1)
        GM_TRY(gm_text_printf(room, err, "%s%s", at > name ? "\\x00" : "", at));
    *out = room->at;
out:
    return status;
}

/* Classes of many data sets are numbers, or true and false. */
static gm_status take_subset(const gm_json *value, gm_text *room, const char **out, gm_error *err)
{
    gm_status status = GM_OK;
    int64_t number;
    double real;
    bool yes;
    room->n = 0;
    if (gm_json_bool(value, &yes)) {
        *out = yes ? "true" : "false";
    } else if (gm_json_i64(value, &number)) {
        GM_TRY(gm_text_printf(room, err, "%" PRId64, number));
        *out = room->at;
    } else if (gm_json_f64(value, &real) && isfinite(real)) {
        gm_json_out digits = {.text = *room};
        gm_json_put_f64(&digits, NULL, real);
        *room = digits.text;
        GM_TRY(gm_json_out_done(&digits, err));
        *out = room->at;
    }
    GM_TRY(take_name(value, room, out, err));
out:
    return status;
}

/* The names of a record's fields, as many as there is room for, for whoever named another. */
static void list_fields(const gm_json *record, char *out, size_t room)
{
    size_t n = 0;
    out[0] = '\0';
    for (const gm_json *m = gm_json_first(record); m; m = gm_json_next(m)) {
        const char *name = gm_json_key(m);
        if (n + strlen(", ") + strlen(name) + sizeof ", ..." > room) {
            snprintf(out + n, room - n, "%s...", n ? ", " : "");
            return;
        }
        n += (size_t)snprintf(out + n, room - n, "%s%s", n ? ", " : "", name);
    }
}

static gm_status read_record(gm_corpus *corpus, const char *line, size_t n, gm_document *out,
                             gm_error *err)
{
    gm_error why = {0};
    if (n > 0 && line[n - 1] == '\r') n--;
    if (is_blank(line, n)) {
        skip(out, GM_SKIP_NOT_JSON, "the line is blank");
        return GM_OK;
    }
    if (!is_utf8(line, n, out)) return GM_OK;
    gm_status status = gm_json_parse(&corpus->record, line, n, "line", &why);
    if (status == GM_EMEM) return gm_fail(err, GM_EMEM, "%s", why.text);
    if (status != GM_OK) {
        const char *what = strstr(why.text, ": "); /* behind the place, 'line' */
        skip(out, GM_SKIP_NOT_JSON, "not JSON%.140s", what ? what : "");
        return GM_OK;
    }
    if (gm_json_kind_of(corpus->record) != GM_JSON_OBJECT) {
        skip(out, GM_SKIP_NO_TEXT, "the line has type %s, expected an object",
             gm_json_kind_name(gm_json_kind_of(corpus->record)));
        return GM_OK;
    }
    const gm_json *subset = find_field(corpus->record, corpus->subset_field);
    if (subset) status = take_subset(subset, &corpus->subset, &out->subset, err);
    if (status != GM_OK) return status;
    const gm_json *language =
        corpus->language_field ? find_field(corpus->record, corpus->language_field) : NULL;
    if (language) status = take_name(language, &corpus->language, &out->language, err);
    if (status != GM_OK) return status;
    const gm_json *text = find_field(corpus->record, corpus->text_field);
    size_t n_bytes;
    const char *bytes = text ? gm_json_text(text, &n_bytes) : NULL;
    if (bytes)
        take_text(bytes, n_bytes, out);
    else if (text == NULL) {
        char fields[64];
        list_fields(corpus->record, fields, sizeof fields);
        skip(out, GM_SKIP_NO_TEXT, "field '%.50s' is missing, expected a string%s%s",
             corpus->text_field, fields[0] ? "; there are: " : "", fields);
    } else
        skip(out, GM_SKIP_NO_TEXT, "field '%.100s' has type %s, expected a string",
             corpus->text_field, gm_json_kind_name(gm_json_kind_of(text)));
    return GM_OK;
}

static gm_status strict_error(const gm_document *document, gm_error *err)
{
    if (document->line == 0)
        return gm_fail(err, GM_EFORMAT, "'%s': %s", document->file, document->why_not);
    return gm_fail(err, GM_EFORMAT, "'%s', line %llu: %s", document->file,
                   (unsigned long long)document->line, document->why_not);
}

gm_status gm_corpus_next(gm_corpus *corpus, gm_document *out, bool *more, gm_error *err)
{
    gm_status status = GM_OK;
    const char *piece = NULL;
    size_t n = 0;
    bool too_long = false, found = false;
    *out = (gm_document){.text = "", .subset = "", .language = "", .file = ""};
    *more = false;
    gm_json_free(corpus->record);
    corpus->record = NULL;

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
        skip(out, GM_SKIP_TOO_LONG, "longer than %zu bytes", corpus->max_line_bytes);
    else if (file->lines)
        GM_TRY(read_record(corpus, piece, n, out, err));
    else if (is_utf8(piece, n, out))
        take_text(piece, n, out);
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

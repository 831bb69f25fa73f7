/* corpus_record.c - one line of a corpus, or a whole text, as a document: see corpus_record.h. */
#include "text/corpus_record.h"

#include "base/sha256.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

gm_status gm_corpus_record_init(gm_corpus_record *record, const gm_corpus_options *options,
                                gm_error *err)
{
    const char *text = options->text_field ? options->text_field : "text";
    const char *subset = options->subset_field ? options->subset_field : "meta.pile_set_name";
    const char *language = options->language_field;
    *record = (gm_corpus_record){.text_field = gm_copy_text(text, strlen(text)),
                                 .subset_field = gm_copy_text(subset, strlen(subset)),
                                 .language_field =
                                     language ? gm_copy_text(language, strlen(language)) : NULL};
    if (record->text_field && record->subset_field && (record->language_field || !language))
        return GM_OK;
    gm_corpus_record_clear(record);
    return gm_fail(err, GM_EMEM, "no memory for a corpus reader");
}

void gm_corpus_record_clear(gm_corpus_record *record)
{
    gm_json_free(record->root);
    gm_text_clear(&record->subset);
    gm_text_clear(&record->language);
    gm_free(record->text_field);
    gm_free(record->subset_field);
    gm_free(record->language_field);
    *record = (gm_corpus_record){0};
}

void gm_document_skip(gm_document *out, gm_skip why, const char *fmt, ...)
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
    gm_document_skip(out, GM_SKIP_NOT_UTF8, "byte %zu (0x%02x) is not UTF-8%s", valid + 1,
                     (unsigned)(unsigned char)bytes[valid], utf16 ? "; it looks like UTF-16" : "");
    return false;
}

static void take_text(const char *bytes, size_t n, gm_document *out)
{
    if (n == 0) {
        gm_document_skip(out, GM_SKIP_EMPTY, "the text is empty");
        return;
    }
    out->text = bytes;
    out->n_bytes = n;
    gm_sha256_of(bytes, n, out->sha);
}

/* A subset or a language is a C string: NUL in its name is written \x00, so that names that part
 * after it stay two. `room` is for what does not stand in the record as it is. */
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

void gm_record_fields(const gm_json *record, char *out, size_t room)
{
    size_t n = 0;
    out[0] = '\0';
    for (const gm_json *m = record ? gm_json_first(record) : NULL; m; m = gm_json_next(m)) {
        const char *name = gm_json_key(m);
        if (n + strlen(", ") + strlen(name) + sizeof ", ..." > room) {
            snprintf(out + n, room - n, "%s...", n ? ", " : "");
            return;
        }
        n += (size_t)snprintf(out + n, room - n, "%s%s", n ? ", " : "", name);
    }
}

/* The text of a record is its member `text`, NULL when there is none. */
static void take_member(const gm_corpus_record *record, const gm_json *text, gm_document *out)
{
    size_t n = 0;
    const char *bytes = text ? gm_json_text(text, &n) : NULL;
    if (bytes) {
        take_text(bytes, n, out);
    } else if (text) {
        const gm_json *first = gm_json_first(text);
        const bool is_chat = first && gm_json_find(first, "role");
        gm_document_skip(out, GM_SKIP_NO_TEXT, "field '%.50s' has type %s, expected a string%s",
                         record->text_field, gm_json_kind_name(gm_json_kind_of(text)),
                         is_chat ? "; make each chat one text first, as transformers' "
                                   "apply_chat_template(..., tokenize=False) does"
                                 : "");
    } else {
        char fields[64];
        gm_record_fields(record->root, fields, sizeof fields);
        gm_document_skip(out, GM_SKIP_NO_TEXT, "field '%.50s' is missing, expected a string%s%s",
                         record->text_field, fields[0] ? "; there are: " : "", fields);
    }
}

gm_status gm_corpus_record_read(gm_corpus_record *record, const char *line, size_t n,
                                gm_document *out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_error why = {0};
    gm_json_free(record->root);
    record->root = NULL;
    if (n > 0 && line[n - 1] == '\r') n--;
    if (is_blank(line, n)) {
        gm_document_skip(out, GM_SKIP_NOT_JSON, "the line is blank");
        return GM_OK;
    }
    if (!is_utf8(line, n, out)) return GM_OK;
    status = gm_json_parse(&record->root, line, n, "line", &why);
    if (status == GM_EMEM) return gm_fail(err, GM_EMEM, "%s", why.text);
    if (status != GM_OK) {
        const char *what = strstr(why.text, ": "); /* after the place, 'line' */
        gm_document_skip(out, GM_SKIP_NOT_JSON, "not JSON%.140s", what ? what : "");
        return GM_OK;
    }
    if (gm_json_kind_of(record->root) != GM_JSON_OBJECT) {
        gm_document_skip(out, GM_SKIP_NO_TEXT, "the line has type %s, expected an object",
                         gm_json_kind_name(gm_json_kind_of(record->root)));
        return GM_OK;
    }
    out->record = record->root;
    const gm_json *subset = find_field(record->root, record->subset_field);
    const gm_json *language =
        record->language_field ? find_field(record->root, record->language_field) : NULL;
    if (subset) GM_TRY(take_subset(subset, &record->subset, &out->subset, err));
    if (language) GM_TRY(take_name(language, &record->language, &out->language, err));
    take_member(record, find_field(record->root, record->text_field), out);
out:
    return status;
}

void gm_document_read(const char *bytes, size_t n, gm_document *out)
{
    if (is_utf8(bytes, n, out)) take_text(bytes, n, out);
}

/* words.c - words of texts, counted.
 *
 * ASCII, most of most corpora, is split byte by byte; a text with anything else is
 * brought to NFC first and decoded. Source of the token rule: scikit-learn's
 * CountVectorizer, token_pattern "(?u)\b\w\w+\b".
 */
#include "text/words.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/text.h"
#include "text/stop_words.h"

/* What counting carries from text to text. */
typedef struct counter {
    gm_vocabulary *vocabulary;
    gm_vocabulary *stop;
    bool frozen, fold_yo;
    gm_bag *bag;
    size_t cap;      /* entries that fit in the bag */
    uint64_t *place; /* (n_places) entry of a word in the running row, + 1 */
    size_t n_places;
    gm_text lower; /* the running text, lower case */
} counter;

void gm_bag_clear(gm_bag *bag)
{
    gm_free(bag->indptr);
    gm_free(bag->word);
    gm_free(bag->value);
    *bag = (gm_bag){0};
}

/* ---- one row ---- */

static gm_status grow_bag(counter *c, gm_error *err)
{
    gm_bag *bag = c->bag;
    size_t cap = c->cap ? 2 * c->cap : 4096;
    uint32_t *word = gm_grow(bag->word, bag->n_entries, cap, sizeof *word);
    if (word) bag->word = word;
    double *value = word ? gm_grow(bag->value, bag->n_entries, cap, sizeof *value) : NULL;
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu word counts", cap);
    bag->value = value, c->cap = cap;
    return GM_OK;
}

static gm_status count_word(counter *c, const char *word, size_t n, gm_error *err)
{
    uint32_t id;
    if (c->stop && gm_vocabulary_find(c->stop, word, n, &id)) return GM_OK;
    if (c->frozen) {
        if (!gm_vocabulary_find(c->vocabulary, word, n, &id)) return GM_OK;
    } else {
        gm_status status = gm_vocabulary_add(c->vocabulary, word, n, &id, err);
        if (status != GM_OK) return status;
    }
    if (id >= c->n_places) {
        size_t more = 2 * (size_t)id + 1024;
        uint64_t *place = gm_grow(c->place, c->n_places, more, sizeof *place);
        if (place == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu words", more);
        c->place = place, c->n_places = more;
    }
    gm_bag *bag = c->bag;
    if (c->place[id] == 0) {
        gm_status status = bag->n_entries == c->cap ? grow_bag(c, err) : GM_OK;
        if (status != GM_OK) return status;
        bag->word[bag->n_entries] = id;
        bag->value[bag->n_entries] = 0;
        c->place[id] = ++bag->n_entries;
    }
    bag->value[c->place[id] - 1] += 1;
    return GM_OK;
}

typedef struct entry {
    uint32_t word;
    double value;
} entry;

static int by_word(const void *p, const void *q)
{
    uint32_t a = ((const entry *)p)->word, b = ((const entry *)q)->word;
    return (a > b) - (a < b);
}

/* Sort the row's entries by word and forget their places. */
static gm_status end_row(counter *c, uint64_t first, gm_error *err)
{
    gm_bag *bag = c->bag;
    size_t n = bag->n_entries - first;
    entry *row = gm_alloc(n, sizeof *row);
    if (row == NULL) return gm_fail(err, GM_EMEM, "no memory for a row of %zu words", n);
    for (size_t i = 0; i < n; i++) {
        row[i] = (entry){bag->word[first + i], bag->value[first + i]};
        c->place[row[i].word] = 0;
    }
    qsort(row, n, sizeof *row, by_word);
    for (size_t i = 0; i < n; i++)
        bag->word[first + i] = row[i].word, bag->value[first + i] = row[i].value;
    gm_free(row);
    return GM_OK;
}

/* ---- characters ---- */

static bool is_word_character(uint32_t code_point)
{
    if (code_point == '_') return true;
    switch (utf8proc_category((utf8proc_int32_t)code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

static bool is_ascii_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_ascii(const char *bytes, size_t n)
{
    unsigned char high = 0;
    for (size_t i = 0; i < n; i++) high |= (unsigned char)bytes[i];
    return high < 0x80;
}

static gm_status count_ascii(counter *c, const char *bytes, size_t n, gm_error *err)
{
    gm_status status = gm_text_reserve(&c->lower, n, err);
    char *lower = c->lower.at;
    for (size_t i = 0; i < n && status == GM_OK; i++)
        lower[i] = bytes[i] >= 'A' && bytes[i] <= 'Z' ? (char)(bytes[i] + 32) : bytes[i];
    for (size_t i = 0; i < n && status == GM_OK;) {
        size_t start = i;
        while (i < n && is_ascii_word((unsigned char)lower[i])) i++;
        if (i - start >= 2) status = count_word(c, lower + start, i - start, err);
        i += i == start;
    }
    return status;
}

static bool is_cased(uint32_t code_point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

/* Lower case, with the two characters whose lower case is not one for one: a capital sigma at
 * the end of a word is the final one, and a capital I with a dot is i and a combining dot,
 * which ends the word. */
enum { SIGMA = 0x3A3, FINAL_SIGMA = 0x3C2, I_WITH_DOT = 0x130 };

static uint32_t lower_case(uint32_t code_point, uint32_t before, const char *after, size_t n)
{
    uint32_t next = ' ';
    if (code_point == I_WITH_DOT) return 'i';
    if (code_point == SIGMA && is_cased(before)) {
        if (n > 0) gm_utf8_decode(after, n, &next);
        if (!is_cased(next)) return FINAL_SIGMA;
    }
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code_point);
}

/* The text is in NFC; a word grows in c->lower, lower case, until it ends. */
static gm_status count_unicode(counter *c, const char *bytes, size_t n, gm_error *err)
{
    enum { YO = 0x451, YE = 0x435 };
    gm_status status = gm_text_reserve(&c->lower, 4 * n + 4, err);
    size_t n_word = 0, n_characters = 0;
    uint32_t before = ' ';
    bool ends = false; /* whatever comes next */
    for (size_t i = 0; i <= n && status == GM_OK;) {
        uint32_t code_point = ' ';
        if (!ends) i += i < n ? gm_utf8_decode(bytes + i, n - i, &code_point) : 1;
        ends = !ends && code_point == I_WITH_DOT;
        if (is_word_character(code_point)) {
            uint32_t lower = lower_case(code_point, before, bytes + i, i < n ? n - i : 0);
            if (c->fold_yo && lower == YO) lower = YE;
            n_word += gm_utf8_encode(lower, c->lower.at + n_word);
            n_characters++;
        } else {
            if (n_characters >= 2) status = count_word(c, c->lower.at, n_word, err);
            n_word = n_characters = 0;
        }
        before = code_point;
    }
    return status;
}

static gm_status count_text(counter *c, const char *bytes, size_t n, gm_error *err)
{
    if (is_ascii(bytes, n)) return count_ascii(c, bytes, n, err);
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)n,
                                           &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (length < 0)
        return gm_fail(err, GM_EMEM, "cannot normalise a text of %zu bytes: %s", n,
                       utf8proc_errmsg(length));
    gm_status status = count_unicode(c, (const char *)composed, (size_t)length, err);
    free(composed);
    return status;
}

/* ---- stop words ---- */

static gm_status add_stop_list(gm_vocabulary *stop, const char *words, gm_error *err)
{
    gm_status status = GM_OK;
    while (*words && status == GM_OK) {
        uint32_t id;
        size_t n = strcspn(words, " ");
        status = gm_vocabulary_add(stop, words, n, &id, err);
        words += n + (words[n] == ' ');
    }
    return status;
}

static gm_status make_stop(gm_vocabulary **out, const gm_words_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    GM_TRY(gm_vocabulary_create(out, err));
    if (options->stop & GM_STOP_ENGLISH)
        GM_TRY(add_stop_list(*out, gm_stop_list(GM_STOP_ENGLISH), err));
    if (options->stop & GM_STOP_RUSSIAN)
        GM_TRY(add_stop_list(*out, gm_stop_list(GM_STOP_RUSSIAN), err));
    for (const char *const *word = options->extra_stop; word && *word; word++)
        GM_TRY(add_stop_list(*out, *word, err));
out:
    return status;
}

gm_status gm_bag_count(gm_bag *out, gm_vocabulary *vocabulary, bool frozen, const char *const *text,
                       const size_t *n_bytes, size_t n_texts, const gm_words_options *options,
                       gm_error *err)
{
    gm_status status = GM_OK;
    const gm_words_options none = {0};
    if (options == NULL) options = &none;
    counter c = {
        .vocabulary = vocabulary, .frozen = frozen, .fold_yo = options->fold_yo, .bag = out};
    *out = (gm_bag){.n_rows = n_texts};
    GM_TRY(make_stop(&c.stop, options, err));
    out->indptr = gm_alloc(n_texts + 1, sizeof *out->indptr);
    if (out->indptr == NULL) GM_FAIL(GM_EMEM, "no memory for %zu rows of words", n_texts);
    for (size_t i = 0; i < n_texts; i++) {
        GM_TRY(count_text(&c, text[i], n_bytes[i], err));
        GM_TRY(end_row(&c, out->indptr[i], err));
        out->indptr[i + 1] = out->n_entries;
    }
out:
    gm_vocabulary_free(c.stop);
    gm_text_clear(&c.lower);
    gm_free(c.place);
    if (status != GM_OK) gm_bag_clear(out);
    return status;
}

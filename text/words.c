/* words.c - words of texts, counted.
 *
 * Threads take chunks of texts, each with a vocabulary of its own; chunk after chunk these join
 * the common one, so that words are numbered as if one thread had read everything.
 */
#include "text/words.h"

#include "text/split.h"
#include "text/stop_words.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 128 /* texts */ };

/* What counting a chunk of texts carries from one to the next. */
typedef struct counter {
    const gm_vocabulary *stop;
    gm_vocabulary *vocabulary;
    bool *stops;     /* (n_places) by word: a stop word */
    uint64_t *place; /* (n_places) entry of a word in the running row, + 1 */
    size_t n_places;
    gm_bag bag;
    size_t cap; /* entries that fit in the bag */
    gm_text room;
    gm_status status;
    gm_error err;
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
    gm_bag *bag = &c->bag;
    size_t cap = c->cap ? 2 * c->cap : 4096;
    uint32_t *word = gm_grow(bag->word, bag->n_entries, cap, sizeof *word);
    if (word) bag->word = word;
    double *value = word ? gm_grow(bag->value, bag->n_entries, cap, sizeof *value) : NULL;
    if (value == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu word counts", cap);
    bag->value = value, c->cap = cap;
    return GM_OK;
}

static gm_status grow_places(counter *c, size_t more, gm_error *err)
{
    uint64_t *place = gm_grow(c->place, c->n_places, more, sizeof *place);
    if (place) c->place = place;
    bool *stops = place ? gm_grow(c->stops, c->n_places, more, sizeof *stops) : NULL;
    if (stops == NULL) return gm_fail(err, GM_EMEM, "no memory for %zu words", more);
    c->stops = stops, c->n_places = more;
    return GM_OK;
}

/* A gm_word_taker. */
static gm_status count_word(void *to, const char *word, size_t n, gm_error *err)
{
    counter *c = to;
    gm_bag *bag = &c->bag;
    const size_t known = gm_vocabulary_n(c->vocabulary);
    uint32_t id, unused;
    gm_status status = gm_vocabulary_add(c->vocabulary, word, n, &id, err);
    if (status == GM_OK && id >= c->n_places) status = grow_places(c, 2 * (size_t)id + 1024, err);
    if (status == GM_OK && bag->n_entries == c->cap) status = grow_bag(c, err);
    if (status != GM_OK) return status;
    if (id == known) c->stops[id] = gm_vocabulary_find(c->stop, word, n, &unused);
    if (c->stops[id]) return GM_OK;
    if (c->place[id] == 0) {
        bag->word[bag->n_entries] = id;
        bag->value[bag->n_entries] = 0;
        c->place[id] = ++bag->n_entries;
    }
    bag->value[c->place[id] - 1] += 1;
    return GM_OK;
}

static gm_status count_chunk(counter *c, const gm_alphabet *alphabet, const char *const *text,
                             const size_t *n_bytes, size_t n)
{
    gm_status status = GM_OK;
    gm_error *err = &c->err;
    gm_bag *bag = &c->bag;
    GM_TRY(gm_vocabulary_create(&c->vocabulary, err));
    bag->n_rows = n;
    bag->indptr = gm_alloc(n + 1, sizeof *bag->indptr);
    if (bag->indptr == NULL) GM_FAIL(GM_EMEM, "no memory for %zu rows of words", n);
    for (size_t i = 0; i < n; i++) {
        GM_TRY(gm_split_words(alphabet, text[i], n_bytes[i], &c->room, count_word, c, err));
        bag->indptr[i + 1] = bag->n_entries;
        for (size_t e = bag->indptr[i]; e < bag->n_entries; e++) c->place[bag->word[e]] = 0;
    }
out:
    gm_free(c->place);
    gm_text_clear(&c->room);
    c->place = NULL;
    return status;
}

static void clear_counter(counter *c)
{
    gm_vocabulary_free(c->vocabulary);
    gm_free(c->stops);
    gm_bag_clear(&c->bag);
    *c = (counter){0};
}

/* ---- chunks together ---- */

static const uint32_t NO_WORD = UINT32_MAX;

/* number (words of the chunk): what the common vocabulary calls them, or NO_WORD. */
static gm_status number_words(uint32_t *number, const counter *c, gm_vocabulary *vocabulary,
                              bool frozen, gm_error *err)
{
    const size_t n = gm_vocabulary_n(c->vocabulary);
    for (uint32_t w = 0; w < n; w++) {
        const char *word = gm_vocabulary_word(c->vocabulary, w);
        gm_status status = GM_OK;
        number[w] = NO_WORD;
        if (c->stops[w]) continue;
        if (!frozen)
            status = gm_vocabulary_add(vocabulary, word, strlen(word), &number[w], err);
        else if (!gm_vocabulary_find(vocabulary, word, strlen(word), &number[w]))
            number[w] = NO_WORD;
        if (status != GM_OK) return status;
    }
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

/* A row's entries under their new numbers, ascending, without those that have none; `row` has
 * room for n. Returns how many. */
static size_t renumber_row(entry *row, uint32_t *word, double *value, size_t n,
                           const uint32_t *number)
{
    size_t kept = 0;
    for (size_t e = 0; e < n; e++)
        if (number[word[e]] != NO_WORD) row[kept++] = (entry){number[word[e]], value[e]};
    qsort(row, kept, sizeof *row, by_word);
    for (size_t e = 0; e < kept; e++) word[e] = row[e].word, value[e] = row[e].value;
    return kept;
}

/* The chunk's rows under the common numbers, packed. */
static gm_status renumber_chunk(counter *c, const uint32_t *number)
{
    gm_bag *bag = &c->bag;
    size_t longest = 0, to = 0, from = 0;
    for (size_t i = 0; i < bag->n_rows; i++) {
        size_t n = bag->indptr[i + 1] - bag->indptr[i];
        longest = n > longest ? n : longest;
    }
    entry *row = gm_alloc(longest, sizeof *row);
    if (row == NULL) return gm_fail(&c->err, GM_EMEM, "no memory for a row of %zu words", longest);
    for (size_t i = 0; i < bag->n_rows; i++) {
        size_t n = bag->indptr[i + 1] - from, kept = 0;
        if (n > 0) { /* without any entry there are no arrays */
            kept = renumber_row(row, bag->word + from, bag->value + from, n, number);
            memmove(bag->word + to, bag->word + from, kept * sizeof *bag->word);
            memmove(bag->value + to, bag->value + from, kept * sizeof *bag->value);
        }
        from += n, to += kept;
        bag->indptr[i + 1] = to;
    }
    bag->n_entries = to;
    gm_free(row);
    return GM_OK;
}

/* The first chunk that failed speaks for all. */
static gm_status first_failure(const counter *c, size_t n_chunks, gm_error *err)
{
    for (size_t k = 0; k < n_chunks; k++)
        if (c[k].status != GM_OK) return gm_fail(err, c[k].status, "%s", c[k].err.text);
    return GM_OK;
}

/* Number the words of every chunk, in order; then the rows, by many threads. */
static gm_status renumber(counter *c, size_t n_chunks, gm_vocabulary *vocabulary, bool frozen,
                          gm_error *err)
{
    gm_status status = GM_OK;
    uint32_t **number = gm_alloc(n_chunks, sizeof *number);
    if (number == NULL) GM_FAIL(GM_EMEM, "no memory to number words");
    for (size_t k = 0; k < n_chunks; k++) {
        number[k] = gm_alloc(gm_vocabulary_n(c[k].vocabulary), sizeof *number[k]);
        if (number[k] == NULL) GM_FAIL(GM_EMEM, "no memory to number words");
        GM_TRY(number_words(number[k], &c[k], vocabulary, frozen, err));
        gm_vocabulary_free(c[k].vocabulary);
        c[k].vocabulary = NULL;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t k = 0; k < n_chunks; k++) c[k].status = renumber_chunk(&c[k], number[k]);
    GM_TRY(first_failure(c, n_chunks, err));
out:
    for (size_t k = 0; number && k < n_chunks; k++) gm_free(number[k]);
    gm_free(number);
    return status;
}

/* One bag of all chunks, which are emptied on the way. */
static gm_status join(gm_bag *out, counter *c, size_t n_chunks, size_t n_texts, gm_error *err)
{
    gm_bag bag = {.n_rows = n_texts};
    for (size_t k = 0; k < n_chunks; k++) bag.n_entries += c[k].bag.n_entries;
    bag.indptr = gm_alloc(n_texts + 1, sizeof *bag.indptr);
    bag.word = gm_alloc(bag.n_entries, sizeof *bag.word);
    bag.value = gm_alloc(bag.n_entries, sizeof *bag.value);
    if (!bag.indptr || !bag.word || !bag.value) {
        gm_bag_clear(&bag);
        return gm_fail(err, GM_EMEM, "no memory for %zu word counts", bag.n_entries);
    }
    uint64_t at = 0;
    for (size_t k = 0; k < n_chunks; k++) {
        const gm_bag *from = &c[k].bag;
        if (from->n_entries > 0) { /* an empty bag may have no arrays */
            memcpy(bag.word + at, from->word, from->n_entries * sizeof *bag.word);
            memcpy(bag.value + at, from->value, from->n_entries * sizeof *bag.value);
        }
        for (size_t i = 0; i < from->n_rows; i++)
            bag.indptr[k * CHUNK + i + 1] = at + from->indptr[i + 1];
        at += from->n_entries;
        clear_counter(&c[k]);
    }
    *out = bag;
    return GM_OK;
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

gm_status gm_bag_count(gm_bag *out, gm_vocabulary *vocabulary, bool frozen, gm_texts texts,
                       const gm_words_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_words_options none = {0};
    const size_t n_chunks = (texts.n + CHUNK - 1) / CHUNK;
    gm_vocabulary *stop = NULL;
    gm_alphabet alphabet;
    counter *c = gm_alloc(n_chunks, sizeof *c);
    if (options == NULL) options = &none;
    *out = (gm_bag){0};
    if (c == NULL) GM_FAIL(GM_EMEM, "no memory to count the words of %zu texts", texts.n);
    GM_TRY(make_stop(&stop, options, err));
    gm_alphabet_init(&alphabet, options->fold_yo);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t k = 0; k < n_chunks; k++) {
        size_t first = k * CHUNK, left = texts.n - first;
        c[k].stop = stop;
        c[k].status = count_chunk(&c[k], &alphabet, texts.at + first, texts.n_bytes + first,
                                  left < CHUNK ? left : CHUNK);
    }
    GM_TRY(first_failure(c, n_chunks, err));
    GM_TRY(renumber(c, n_chunks, vocabulary, frozen, err));
    GM_TRY(join(out, c, n_chunks, texts.n, err));
out:
    for (size_t k = 0; c && k < n_chunks; k++) clear_counter(&c[k]);
    gm_free(c);
    gm_vocabulary_free(stop);
    return status;
}

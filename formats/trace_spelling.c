/* trace_spelling.c - how the tokens of a trace are spelt, and its texts put together from them.
 *
 * Every shard spells its own tokens; a trace of several has the spellings of all.
 */
#include "formats/trace_shards.h"

#include <inttypes.h>
#include <string.h>

void gm_trace_spelling_clear(gm_trace_spelling *spelling)
{
    gm_free(spelling->id);
    gm_free(spelling->offset);
    gm_free(spelling->bytes);
    *spelling = (gm_trace_spelling){0};
}

static gm_status make_spelling(gm_trace_spelling *out, size_t n, size_t n_bytes, gm_error *err)
{
    *out = (gm_trace_spelling){.n = n,
                               .id = gm_alloc(n, sizeof *out->id),
                               .offset = gm_alloc(n + 1, sizeof *out->offset),
                               .bytes = gm_alloc(n_bytes, 1)};
    if (out->id && out->offset && out->bytes) return GM_OK;
    gm_trace_spelling_clear(out);
    return gm_fail(err, GM_EMEM, "no memory for the spellings of %zu tokens", n);
}

gm_status gm_trace_check_spelling(const gm_trace_spelling *s, const char *where, gm_status code,
                                  gm_error *err)
{
    if (s->offset[0] != 0)
        return gm_fail(err, code, "'%s': the spellings of the tokens do not begin at byte 0",
                       where);
    for (size_t i = 0; i < s->n; i++) {
        if (s->id[i] > GM_TRACE_MAX_TOKEN_ID || (i > 0 && s->id[i] <= s->id[i - 1]))
            return gm_fail(
                err, code,
                "'%s': the spelling of token %u is out of order, expected ascending ids up to %d",
                where, s->id[i], (int)GM_TRACE_MAX_TOKEN_ID);
        if (s->offset[i + 1] < s->offset[i] ||
            s->offset[i + 1] - s->offset[i] > GM_TRACE_SPELLING_BYTES)
            return gm_fail(err, code, "'%s': the spelling of token %u does not have 0 to %d bytes",
                           where, s->id[i], (int)GM_TRACE_SPELLING_BYTES);
    }
    return GM_OK;
}

static gm_status read_file(gm_trace_spelling *out, const gm_trace_file *f, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_spelling s = {0};
    const size_t n = (size_t)f->sizes.V, n_bytes = (size_t)f->sizes.W;
    *out = s;
    GM_TRY(make_spelling(&s, n, n_bytes, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_SPELT_ID], 0, n, s.id, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_SPELT_OFFSET], 0, n + 1, s.offset, err));
    GM_TRY(gm_h5_set_read(&f->set[GM_COL_SPELT_BYTES], 0, n_bytes, s.bytes, err));
    GM_TRY(gm_trace_check_spelling(&s, f->path, GM_EFORMAT, err));
    if (s.offset[n] != n_bytes)
        GM_FAIL(GM_EFORMAT,
                "'%s': the spellings of the tokens end at byte %" PRIu64 ", expected %zu", f->path,
                s.offset[n], n_bytes);
    *out = s;
    s = (gm_trace_spelling){0};
out:
    gm_trace_spelling_clear(&s);
    return status;
}

static void add_entry(gm_trace_spelling *to, const gm_trace_spelling *from, size_t i)
{
    const size_t n = (size_t)(from->offset[i + 1] - from->offset[i]);
    const uint64_t at = to->offset[to->n];
    if (n > 0) memcpy(to->bytes + at, from->bytes + from->offset[i], n);
    to->id[to->n] = from->id[i];
    to->offset[++to->n] = at + n;
}

static bool same_entry(const gm_trace_spelling *a, size_t i, const gm_trace_spelling *b, size_t k)
{
    const uint64_t n = a->offset[i + 1] - a->offset[i];
    return n == b->offset[k + 1] - b->offset[k] &&
           memcmp(a->bytes + a->offset[i], b->bytes + b->offset[k], (size_t)n) == 0;
}

/* Add the spellings of one shard to those of all, *all. */
static gm_status join(gm_trace_spelling *all, const gm_trace_spelling *shard, const char *where,
                      gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_spelling both = {0};
    const size_t n = all->n, m = shard->n;
    GM_TRY(make_spelling(&both, n + m, (size_t)(all->offset[n] + shard->offset[m]), err));
    both.n = 0;
    for (size_t i = 0, k = 0; i < n || k < m;) {
        if (i < n && k < m && all->id[i] == shard->id[k]) {
            if (!same_entry(all, i, shard, k))
                GM_FAIL(GM_EFORMAT, "'%s' spells token %u differently from the shards before it",
                        where, shard->id[k]);
            k++;
        }
        if (k == m || (i < n && all->id[i] < shard->id[k]))
            add_entry(&both, all, i++);
        else
            add_entry(&both, shard, k++);
    }
    gm_trace_spelling_clear(all);
    *all = both;
    both = (gm_trace_spelling){0};
out:
    gm_trace_spelling_clear(&both);
    return status;
}

gm_status gm_trace_read_spelling(gm_trace *trace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_spelling all = {0}, shard = {0};
    if (trace->spelling.offset) return GM_OK;
    GM_TRY(make_spelling(&all, 0, 0, err));
    for (size_t i = 0; i < trace->n_shards; i++) {
        GM_TRY(gm_trace_open_shard(trace, i, err));
        GM_TRY(read_file(&shard, &trace->open, err));
        GM_TRY(join(&all, &shard, trace->open.path, err));
        gm_trace_spelling_clear(&shard);
    }
    trace->n_spelt = all.n ? (size_t)all.id[all.n - 1] + 1 : 0;
    trace->spelt = gm_alloc(trace->n_spelt, sizeof *trace->spelt);
    if (trace->spelt == NULL)
        GM_FAIL(GM_EMEM, "no memory for the spellings of '%s'", trace->head.path);
    for (size_t i = 0; i < all.n; i++) trace->spelt[all.id[i]] = (uint32_t)i + 1;
    trace->spelling = all;
    all = (gm_trace_spelling){0};
out:
    gm_trace_spelling_clear(&shard);
    gm_trace_spelling_clear(&all);
    return status;
}

/* ---- texts ---- */

/* Tokens of documents, one after the other. */
typedef struct stretch {
    size_t first, n;        /* documents */
    const uint64_t *offset; /* (n+1) their first tokens in the trace */
    uint32_t *token;
    uint8_t *phase;
} stretch;

/* What token t of the stretch adds; NULL: it has no spelling. */
static const char *piece_of(const gm_trace *trace, const stretch *s, size_t t, size_t *n)
{
    const gm_trace_spelling *spelling = &trace->spelling;
    *n = 0;
    if (s->phase[t] == GM_TRACE_TEMPLATE) return "";
    const uint32_t place = s->token[t] < trace->n_spelt ? trace->spelt[s->token[t]] : 0;
    if (place == 0) return NULL;
    *n = (size_t)(spelling->offset[place] - spelling->offset[place - 1]);
    return spelling->bytes + spelling->offset[place - 1];
}

/* end (n): how long the text is after each document. */
static gm_status measure(const gm_trace *trace, const stretch *s, size_t begin, size_t *end,
                         gm_error *err)
{
    size_t wrong = s->n;
#pragma omp parallel for schedule(static) reduction(min : wrong) if (s->n > 1)
    for (size_t i = 0; i < s->n; i++) {
        end[i] = 0;
        for (uint64_t t = s->offset[i]; t < s->offset[i + 1]; t++) {
            size_t n;
            if (piece_of(trace, s, (size_t)(t - s->offset[0]), &n) == NULL && i < wrong) wrong = i;
            end[i] += n;
        }
    }
    if (wrong < s->n)
        return gm_fail(err, GM_EFORMAT, "'%s': a token of document %zu has no spelling",
                       trace->head.path, s->first + wrong);
    for (size_t i = 0; i < s->n; i++) end[i] += i > 0 ? end[i - 1] : begin;
    return GM_OK;
}

/* Document i of the stretch to `to`, where its `length` bytes fit. What is no UTF-8, a character
 * that the last kept token cuts in two, becomes blanks. */
static void spell(const gm_trace *trace, const stretch *s, size_t i, char *to, size_t length)
{
    char *at = to;
    for (uint64_t t = s->offset[i]; t < s->offset[i + 1]; t++) {
        size_t n;
        const char *piece = piece_of(trace, s, (size_t)(t - s->offset[0]), &n);
        if (n > 0) memcpy(at, piece, n);
        at += n;
    }
    for (size_t k = 0; (k += gm_utf8_valid(to + k, length - k)) < length; k++) to[k] = ' ';
}

gm_status gm_trace_spell_texts(gm_trace *trace, size_t first, size_t n, gm_text *text, size_t *end,
                               gm_error *err)
{
    gm_status status = GM_OK;
    stretch s = {.first = first, .n = n};
    if (!gm_trace_has(&trace->head.info, GM_COL_SPELT_ID))
        return gm_fail(err, GM_EABSENT, "'%s' was recorded without the spelling of its tokens",
                       trace->head.path);
    const gm_trace_samples *samples = gm_trace_get_samples(trace);
    if (first > samples->n || n > samples->n - first)
        return gm_fail(err, GM_EARG, "document %zu does not exist; there are %zu", first + n - 1,
                       samples->n);
    if (n == 0) return GM_OK;
    s.offset = samples->offset + first;
    const size_t n_tokens = (size_t)(s.offset[n] - s.offset[0]), begin = text->n;
    s.token = gm_alloc(n_tokens, sizeof *s.token);
    s.phase = gm_alloc(n_tokens, 1);
    if (!s.token || !s.phase) GM_FAIL(GM_EMEM, "no memory for %zu tokens", n_tokens);
    GM_TRY(gm_trace_read_spelling(trace, err));
    GM_TRY(gm_trace_read_tokens(trace, s.offset[0], n_tokens, s.token, NULL, s.phase, NULL, err));
    GM_TRY(measure(trace, &s, begin, end, err));
    if (end[n - 1] == begin) goto out;
    GM_TRY(gm_text_reserve(text, end[n - 1] - begin, err));
#pragma omp parallel for schedule(static) if (n > 1)
    for (size_t i = 0; i < n; i++) {
        const size_t from = i > 0 ? end[i - 1] : begin;
        spell(trace, &s, i, text->at + from, end[i] - from);
    }
    text->n = end[n - 1];
    text->at[text->n] = '\0';
out:
    gm_free(s.token);
    gm_free(s.phase);
    return status;
}

/* page_documents.c - shares of experts and beginnings of texts, document by document. */
#include "cluster/page_documents.h"

#include "cluster/from_atlas.h"
#include "cluster/summary.h"
#include "figures/html.h"

#include <math.h>
#include <string.h>

/* ---- shares ---- */

/* Choose the columns; their number is the return value, at most `most`. top (C, most) is room. */
static size_t choose_columns(uint32_t *column, const gm_atlas *atlas, size_t most,
                             gm_top_expert *top, size_t *n_top, bool *taken)
{
    const size_t E = (size_t)atlas->n_experts;
    size_t n = 0, longest = 0;
    for (size_t c = 0; c < atlas->n_clusters; c++) {
        n_top[c] = gm_cluster_top_experts(atlas, c, top + c * most, most);
        if (n_top[c] > longest) longest = n_top[c];
    }
    for (size_t rank = 0; rank < longest; rank++)
        for (size_t c = 0; c < atlas->n_clusters && n < most; c++) {
            if (rank >= n_top[c]) continue;
            const gm_top_expert *t = &top[c * most + rank];
            size_t d = (size_t)t->moe_layer * E + (size_t)t->expert;
            if (!taken[d]) column[n++] = (uint32_t)d;
            taken[d] = true;
        }
    return n;
}

static gm_status find_columns(gm_page_documents *out, const gm_atlas *atlas, size_t dim,
                              size_t most, gm_error *err)
{
    gm_status status = GM_OK;
    gm_top_expert *top = NULL;
    size_t *n_top = NULL;
    bool *taken = NULL;
    if (most >= dim) {
        out->n_columns = dim;
        for (size_t d = 0; d < dim; d++) out->column[d] = (uint32_t)d;
        return GM_OK;
    }
    top = gm_alloc2(atlas->n_clusters, most, sizeof *top);
    n_top = gm_alloc(atlas->n_clusters, sizeof *n_top);
    taken = gm_alloc(dim, sizeof *taken);
    if (!top || !n_top || !taken) GM_FAIL(GM_EMEM, "no memory to choose %zu experts", most);
    out->n_columns = choose_columns(out->column, atlas, most, top, n_top, taken);
out:
    gm_free(top);
    gm_free(n_top);
    gm_free(taken);
    return status;
}

/* One document's usage (D) into sums over documents (D) and its values of the columns. */
static void add_document(const gm_page_documents *out, float *value, size_t n, size_t i,
                         const float *row, size_t dim, double *sum, double *square)
{
    for (size_t d = 0; d < dim; d++) {
        const double u = (double)row[d];
        sum[d] += u, square[d] += u * u;
    }
    for (size_t m = 0; m < out->n_columns; m++) value[m * n + i] = row[out->column[m]];
}

static void quantise(gm_page_documents *out, const float *value, size_t n)
{
    for (size_t m = 0; m < out->n_columns; m++) {
        const float *v = value + m * n; /* (N) */
        float most = 0;
        for (size_t i = 0; i < n; i++) most = fmaxf(most, v[i]);
        out->most[m] = most;
        for (size_t i = 0; i < n; i++) {
            double root = most > 0 ? sqrt((double)v[i] / (double)most) : 0;
            out->level[m * n + i] = (uint8_t)lround((GM_SHARE_LEVELS - 1) * root);
        }
    }
}

gm_status gm_page_documents_read(gm_page_documents *out, const gm_atlas *atlas, gm_trace *trace,
                                 size_t most_columns, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = atlas->n, dim = (size_t)atlas->n_layers * (size_t)atlas->n_experts;
    const size_t most = most_columns < dim ? most_columns : dim;
    gm_page_documents made = {0};
    gm_usage_reader *reader = NULL;
    gm_usage_kind kind;
    float *rows = gm_alloc2(GM_USAGE_BLOCK, dim, sizeof *rows);
    double *sum = gm_alloc(dim, sizeof *sum), *square = gm_alloc(dim, sizeof *square);
    float *value = gm_alloc2(most, n, sizeof *value); /* (M,N) */
    *out = made;
    made.column = gm_alloc(most, sizeof *made.column);
    made.most = gm_alloc(most, sizeof *made.most);
    made.level = gm_alloc2(most, n, sizeof *made.level);
    made.spread = gm_alloc(dim, sizeof *made.spread);
    if (!rows || !sum || !square || !value || !made.column || !made.most || !made.level ||
        !made.spread)
        GM_FAIL(GM_EMEM, "no memory for shares of %zu experts in %zu documents", most, n);
    GM_TRY(find_columns(&made, atlas, dim, most, err));

    GM_TRY(gm_from_atlas_usage(&kind, atlas, err));
    GM_TRY(gm_usage_reader_open(&reader, trace, kind, err));
    for (size_t first = 0; first < n; first += GM_USAGE_BLOCK) {
        const size_t some = n - first < GM_USAGE_BLOCK ? n - first : GM_USAGE_BLOCK;
        GM_TRY(gm_usage_reader_read(reader, first, some, rows, err));
        for (size_t r = 0; r < some; r++)
            add_document(&made, value, n, first + r, rows + r * dim, dim, sum, square);
    }
    for (size_t d = 0; d < dim; d++) {
        double mean = sum[d] / (double)n, variance = square[d] / (double)n - mean * mean;
        made.spread[d] = variance > 0 ? (float)sqrt(variance) : 0;
    }
    quantise(&made, value, n);
    *out = made;
    made = (gm_page_documents){0};
out:
    gm_usage_reader_close(reader);
    gm_free(rows);
    gm_free(sum);
    gm_free(square);
    gm_free(value);
    gm_page_documents_clear(&made);
    return status;
}

void gm_page_documents_clear(gm_page_documents *documents)
{
    gm_free(documents->column);
    gm_free(documents->most);
    gm_free(documents->level);
    gm_free(documents->spread);
    *documents = (gm_page_documents){0};
}

/* ---- beginnings of texts ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes of the first `most` characters of valid UTF-8. */
static size_t head_bytes(const char *text, size_t n, size_t most)
{
    size_t at = 0;
    for (size_t k = 0; k < most && at < n; k++) {
        uint32_t code_point;
        at += gm_utf8_decode(text + at, n - at, &code_point);
    }
    return at;
}

/* Runs of blanks become one, none at the ends; in place. */
static size_t squeeze(char *text, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_blank(text[i]))
            text[kept++] = text[i];
        else if (kept > 0 && text[kept - 1] != ' ')
            text[kept++] = ' ';
    }
    return kept > 0 && text[kept - 1] == ' ' ? kept - 1 : kept;
}

gm_status gm_page_snippets(gm_text *out, gm_trace *trace, size_t most, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n = gm_trace_get_samples(trace)->n;
    gm_text text = {0};
    for (size_t i = 0; i < n; i++) {
        text.n = 0;
        GM_TRY(gm_trace_read_text(trace, i, &text, err));
        size_t kept = squeeze(text.at, text.n), head = head_bytes(text.at, kept, most);
        GM_TRY(gm_html_visible(out, text.at, head, err));
        GM_TRY(gm_text_append(out, "\n", 1, err));
    }
out:
    gm_text_clear(&text);
    return status;
}

gm_status gm_page_cut_lines(gm_text *out, const gm_text *text, size_t most, gm_error *err)
{
    for (size_t at = 0; at < text->n;) {
        const char *line = text->at + at, *end = memchr(line, '\n', text->n - at);
        size_t n = end ? (size_t)(end - line) : text->n - at;
        gm_status status = gm_text_append(out, line, head_bytes(line, n, most), err);
        if (status == GM_OK) status = gm_text_append(out, "\n", 1, err);
        if (status != GM_OK) return status;
        at += n + 1;
    }
    return GM_OK;
}

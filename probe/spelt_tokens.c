/* spelt_tokens.c - see spelt_tokens.h. */
#include "probe/spelt_tokens.h"

#include "formats/trace.h"

#include <string.h>

/* The bytes of all tokens, one after another; end (n): where each token ends. */
typedef struct pieces {
    gm_text bytes;
    size_t *end;
} pieces;

static gm_status read_pieces(pieces *out, const gm_tokenizer *tokenizer, const uint32_t *token,
                             size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    out->end = gm_alloc(n, sizeof *out->end);
    if (out->end == NULL) GM_FAIL(GM_EMEM, "no memory for %zu tokens", n);
    for (size_t t = 0; t < n; t++) {
        const size_t before = out->bytes.n;
        if (tokenizer) GM_TRY(gm_tokenizer_piece(tokenizer, token[t], &out->bytes, err));
        if (out->bytes.n == before)
            GM_TRY(gm_text_printf(&out->bytes, err, tokenizer ? "[%u]" : "%u ", token[t]));
        out->end[t] = out->bytes.n;
    }
out:
    return status;
}

/* Where the character that begins before bytes[end] and is not complete there ends: `end` when
 * there is none, or when what follows does not complete it. */
static size_t complete(const gm_text *bytes, size_t begin, size_t end)
{
    const size_t begun = gm_utf8_pending(bytes->at + begin, end - begin);
    const char *character = bytes->at + end - begun;
    const size_t left = bytes->n - (end - begun);
    if (begun == 0) return end;
    for (size_t n = begun + 1; n <= 4 && n <= left; n++)
        if (gm_utf8_valid(character, n) == n) return end - begun + n;
    return end;
}

/* The text of one token; ends of lines and tabs are marked, and stay. */
static void put_text(gm_html *page, const char *bytes, size_t n)
{
    while (n > 0) {
        size_t run = 0;
        while (run < n && bytes[run] != '\n' && bytes[run] != '\t') run++;
        gm_html_text(page, bytes, run);
        if (run < n) {
            gm_html_raw(page, bytes[run] == '\n' ? "<i>\u21b5</i>\n" : "<i>\u2192</i>\t");
            run++;
        }
        bytes += run, n -= run;
    }
}

static void put_token(gm_html *page, const char *bytes, size_t n, uint8_t phase, bool hit)
{
    const bool template = phase == GM_TRACE_TEMPLATE; /* does not decide where the text begins */
    const char *what = n == 0 ? "more" : template ? "template" : "";
    char tag[64];
    snprintf(tag, sizeof tag, "<span class=\"%s%s\"%s>", what,
             !hit      ? ""
             : what[0] ? " hit"
                       : "hit",
             template ? " dir=\"ltr\"" : "");
    gm_html_raw(page, what[0] || hit ? tag : "<span>");
    put_text(page, bytes, n);
    gm_html_raw(page, "</span>");
}

gm_status gm_spelt_tokens_put(gm_html *page, const gm_tokenizer *tokenizer, const uint32_t *token,
                              const uint8_t *phase, size_t n, int64_t hit, gm_error *err)
{
    gm_status status = GM_OK;
    pieces p = {0};
    uint8_t spoken = GM_TRACE_PROMPT;
    GM_TRY(read_pieces(&p, tokenizer, token, n, err));
    for (size_t t = 0, from = 0; t < n; t++) {
        if (phase[t] < GM_TRACE_TEMPLATE && phase[t] != spoken) { /* the file may say any number */
            spoken = phase[t];
            gm_html_raw(page, "<em>");
            gm_html_raw(page, gm_trace_phase_name[spoken]);
            gm_html_raw(page, "</em>");
        }
        const size_t to = from < p.end[t] ? complete(&p.bytes, from, p.end[t]) : from;
        put_token(page, p.bytes.at + from, to - from, phase[t], (int64_t)t == hit);
        from = to;
    }
out:
    gm_text_clear(&p.bytes);
    gm_free(p.end);
    return status;
}

gm_status gm_spelt_token(gm_text *out, const gm_tokenizer *tokenizer, uint32_t token, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text piece = {0};
    char *escaped = NULL;
    if (tokenizer == NULL) return GM_OK;
    GM_TRY(gm_tokenizer_piece(tokenizer, token, &piece, err));
    if (piece.n == 0) goto out;
    escaped = gm_alloc(8 * piece.n + 4, 1); /* \u{H} of three bytes is the longest */
    if (escaped == NULL) GM_FAIL(GM_EMEM, "no memory for a spelling of %zu bytes", piece.n);
    gm_text_escape(escaped, 8 * piece.n + 4, piece.at, piece.n);
    GM_TRY(gm_text_add(out, escaped, err));
out:
    gm_free(escaped);
    gm_text_clear(&piece);
    return status;
}

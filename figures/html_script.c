/* html_script.c - pages that run scripts of ours: policy, scripts, the data they read. */
#define ZLIB_CONST /* zlib does not write to its input */
#include "figures/html.h"

#include "base/sha256.h"

#include <zlib.h>

#include <string.h>

/* 'sha256-...' of an inline script or style, as a policy names it. Source: W3C CSP Level 3. */
static void put_hash(gm_html *page, const void *bytes, size_t n)
{
    uint8_t digest[32];
    gm_sha256_of(bytes, n, digest);
    gm_html_raw(page, " 'sha256-");
    gm_html_base64(page, digest, sizeof digest);
    gm_html_raw(page, "'");
}

static void put_bytes(gm_html *page, const void *bytes, size_t n)
{
    if (page->status == GM_OK) page->status = gm_text_append(&page->text, bytes, n, NULL);
}

void gm_html_begin_scripted(gm_html *page, const char *file, const char *title,
                            const gm_asset *style, const gm_asset *const *script, int n)
{
    gm_html styles = {0}, policy = {0};
    gm_html_asset(&styles, &gm_asset_every_page);
    gm_html_asset(&styles, style);
    gm_html_raw(&policy, "base-uri 'none'; form-action 'none'; script-src");
    for (int i = 0; i < n; i++) put_hash(&policy, script[i]->at, script[i]->n);
    gm_html_raw(&policy, "; style-src");
    put_hash(&policy, styles.text.at, styles.text.n);

    *page = (gm_html){.status = styles.status != GM_OK ? styles.status : policy.status};
    gm_html_head(page, policy.text.at, styles.text.at, file, title);
    gm_html_clear(&styles);
    gm_html_clear(&policy);
}

void gm_html_script(gm_html *page, const gm_asset *script)
{
    gm_html_raw(page, "<script>");
    put_bytes(page, script->at, script->n);
    gm_html_raw(page, "</script>\n");
}

void gm_html_asset(gm_html *page, const gm_asset *markup)
{
    put_bytes(page, markup->at, markup->n);
}

/* All of `bytes` as a zlib stream, appended to *out. */
static gm_status deflate_all(gm_text *out, const void *bytes, size_t n)
{
    z_stream z = {0};
    if (n > UINT32_MAX - 1024) return GM_EARG; /* zlib counts in unsigned int */
    if (deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) return GM_EMEM;
    size_t most = deflateBound(&z, (uLong)n);
    gm_status status = gm_text_reserve(out, most, NULL);
    if (status == GM_OK) {
        z.next_in = bytes;
        z.avail_in = (uInt)n;
        z.next_out = (Bytef *)out->at + out->n;
        z.avail_out = (uInt)most;
        if (deflate(&z, Z_FINISH) == Z_STREAM_END)
            out->n += z.total_out;
        else
            status = GM_EMEM;
    }
    deflateEnd(&z);
    return status;
}

/* An element that browsers neither show nor run. */
static void open_data(gm_html *page, const char *id, const char *type)
{
    gm_html_raw(page, "<script type=\"");
    gm_html_raw(page, type);
    gm_html_raw(page, "\" id=\"");
    gm_html_text(page, id, strlen(id));
    gm_html_raw(page, "\">");
}

size_t gm_html_data(gm_html *page, const char *id, const void *bytes, size_t n)
{
    size_t before = page->text.n;
    gm_text packed = {0};
    if (page->status == GM_OK) page->status = deflate_all(&packed, bytes, n);
    open_data(page, id, "application/octet-stream");
    gm_html_base64(page, packed.at, packed.n);
    gm_html_raw(page, "</script>\n");
    gm_text_clear(&packed);
    return page->text.n - before;
}

/* Inside a JSON document these stand in strings only, where \u says the same; so does `\"`. */
void gm_html_json(gm_html *page, const char *id, const char *json)
{
    open_data(page, id, "application/json");
    for (const char *at = json; *at;) {
        size_t run = strcspn(at, "<>&\\");
        put_bytes(page, at, run);
        at += run;
        if (*at == '\\') { /* an escape of two characters at least */
            if (at[1] == '"')
                gm_html_raw(page, "\\u0022");
            else
                put_bytes(page, at, 2);
            at += 2;
        } else if (*at) {
            gm_html_raw(page, *at == '<' ? "\\u003c" : *at == '>' ? "\\u003e" : "\\u0026");
            at++;
        }
    }
    gm_html_raw(page, "</script>\n");
}

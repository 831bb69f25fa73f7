/* blocks.c - cuts a corpus into blocks: see blocks.h. */
#include "probe/blocks.h"

#include "base/cli.h"
#include "base/progress.h"
#include "formats/trace.h"
#include "probe/choose_documents.h"
#include "text/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_REPORTED = 8 }; /* unusable lines that are named; all are counted */

struct gm_blocks {
    const gm_blocks_options *options;
    gm_corpus *corpus;
    gm_encoder *encoder;
    gm_sample sample;
    uint64_t n_blocks; /* given or skipped */
    uint64_t n_read;   /* documents of the corpus */
    uint64_t n_kept;
    uint64_t n_unusable;
    bool ended, pending; /* pending: `document` did not fit into the last block */
    gm_document source;  /* as the corpus gave it */
    gm_probe_document document;
    gm_text id; /* of `document` */
    gm_ids ids, ends;
    char fields[64];        /* of the first document kept, if it has no subset */
    gm_vocabulary *subsets; /* names seen */
    gm_vocabulary *kept;    /* as the trace keeps them; NULL once two were one */
};

gm_status gm_blocks_create(gm_blocks **out, const gm_blocks_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    *out = NULL;
    gm_blocks *blocks = gm_alloc(1, sizeof *blocks);
    if (blocks == NULL) return gm_fail(err, GM_EMEM, "no memory to read a corpus");
    blocks->options = options;
    GM_TRY(gm_vocabulary_create(&blocks->subsets, err));
    GM_TRY(gm_vocabulary_create(&blocks->kept, err));
    if (options->sample > 0) GM_TRY(gm_sample_draw(&blocks->sample, options, err));
    GM_TRY(
        gm_corpus_open(&blocks->corpus, options->paths, options->n_paths, &options->corpus, err));
    GM_TRY(gm_encoder_create(&blocks->encoder, options->tokenizer, err));
    *out = blocks;
    blocks = NULL;
out:
    gm_blocks_free(blocks);
    return status;
}

void gm_blocks_free(gm_blocks *blocks)
{
    if (blocks == NULL) return;
    gm_encoder_free(blocks->encoder);
    gm_corpus_close(blocks->corpus);
    gm_sample_clear(&blocks->sample);
    gm_ids_clear(&blocks->ids);
    gm_ids_clear(&blocks->ends);
    gm_text_clear(&blocks->id);
    gm_vocabulary_free(blocks->subsets);
    gm_vocabulary_free(blocks->kept);
    gm_free(blocks);
}

double gm_blocks_share(const gm_blocks *blocks)
{
    uint64_t done, total;
    const uint64_t limit = blocks->options->limit;
    gm_corpus_progress(blocks->corpus, &done, &total);
    const double read = total > 0 ? (double)done / (double)total : 0;
    const double kept = limit > 0 ? (double)blocks->n_kept / (double)limit : 0;
    return read > kept ? read : kept;
}

uint64_t gm_blocks_bytes(const gm_blocks *blocks)
{
    uint64_t done, total;
    gm_corpus_progress(blocks->corpus, &done, &total);
    return total;
}

/* Keep the first tokens of the text, and of the text the bytes they stand for. */
static void truncate_document(gm_blocks *blocks, size_t n_before, size_t n_after)
{
    gm_probe_document *d = &blocks->document;
    const gm_blocks_options *o = blocks->options;
    size_t n_text = blocks->ids.n - n_before - n_after, keep = o->doc_tokens;
    if (keep + n_before + n_after > o->max_context) {
        keep = o->max_context > n_before + n_after ? o->max_context - n_before - n_after : 0;
    }
    d->truncated = n_text > keep;
    if (d->truncated) {
        uint32_t *after = blocks->ids.at + n_before + n_text;
        memmove(blocks->ids.at + n_before + keep, after, n_after * sizeof *after);
        blocks->ids.n = n_before + keep + n_after;
        d->n_text = keep > 0 ? blocks->ends.at[n_before + keep - 1] : 0;
    }
    d->token = blocks->ids.at;
    d->n = blocks->ids.n;
    d->n_before = n_before;
    d->n_after = n_after;
}

/* Long names that end alike are one in a trace; of the first two it is said. */
static gm_status check_kept(gm_blocks *blocks, uint32_t number, gm_error *err)
{
    const char *name = blocks->source.subset;
    char kept[GM_TRACE_NAME_BYTES];
    uint32_t as_kept;
    if (blocks->kept == NULL) return GM_OK;
    gm_trace_keep_name(kept, name);
    gm_status status = gm_vocabulary_add(blocks->kept, kept, strlen(kept), &as_kept, err);
    if (status != GM_OK || as_kept == number) return status;
    gm_warn("the subsets '%.100s' and '%.100s' are the same in the trace, which keeps only the "
            "last %d bytes of a name",
            gm_vocabulary_word(blocks->subsets, as_kept), name, GM_TRACE_NAME_BYTES - 1);
    gm_vocabulary_free(blocks->kept);
    blocks->kept = NULL;
    return GM_OK;
}

/* More subsets than a trace can number would show when the blocks are merged, hours later. */
static gm_status note_subset(gm_blocks *blocks, gm_error *err)
{
    const char *name = blocks->source.subset;
    uint32_t number;
    if (blocks->n_kept == 0 && name[0] == '\0')
        gm_record_fields(blocks->source.record, blocks->fields, sizeof blocks->fields);
    gm_status status = gm_vocabulary_add(blocks->subsets, name, strlen(name), &number, err);
    if (status == GM_OK) status = check_kept(blocks, number, err);
    if (status != GM_OK || number < GM_TRACE_MAX_SUBSETS) return status;
    return gm_fail(err, GM_EFORMAT,
                   "the corpus has more than the %d subsets that a trace can name; the next is "
                   "'%s'; check --subset-field",
                   (int)GM_TRACE_MAX_SUBSETS, name);
}

/* Tokenize blocks->source into blocks->document; *skip says why it is left out. */
static gm_status prepare(gm_blocks *blocks, size_t *skip, bool *kept, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_document *source = &blocks->source;
    gm_encoded about = {.ends = &blocks->ends};
    bool drawn = true;
    *kept = false;
    *skip = source->skip != GM_SKIP_NONE ? (size_t)source->skip - 1 : GM_PROBE_NOT_SAMPLED;
    if (blocks->options->sample > 0)
        GM_TRY(gm_sample_has(&blocks->sample, blocks->n_read - 1, source, &drawn, err));
    if (source->skip != GM_SKIP_NONE || !drawn) return GM_OK;

    blocks->id.n = blocks->ids.n = blocks->ends.n = 0;
    GM_TRY(gm_document_name(&blocks->id, source, err));
    GM_TRY(
        gm_encode(blocks->encoder, source->text, source->n_bytes, true, &blocks->ids, &about, err));
    *skip = GM_SKIP_TOO_SHORT - 1;
    if (blocks->ids.n - about.n_before - about.n_after < blocks->options->min_tokens) return GM_OK;
    GM_TRY(note_subset(blocks, err));

    blocks->document = (gm_probe_document){.id = blocks->id.at,
                                           .subset = source->subset,
                                           .language = source->language,
                                           .text = source->text,
                                           .n_text = source->n_bytes};
    memcpy(blocks->document.sha, source->sha, 32);
    truncate_document(blocks, about.n_before, about.n_after);
    if (!blocks->options->keep_text) blocks->document.text = NULL;
    *kept = blocks->document.n > about.n_before + about.n_after;
out:
    return status;
}

/* Say which line cannot be used and why; a corpus of such lines is not listed in full. */
static void report_unusable(gm_blocks *blocks)
{
    const gm_document *d = &blocks->source;
    if (d->skip == GM_SKIP_NONE || blocks->n_unusable > MAX_REPORTED) return;
    if (blocks->n_unusable++ == MAX_REPORTED)
        gm_warn("further lines that cannot be used are counted but not named");
    else if (d->line > 0)
        gm_warn("'%s', line %" PRIu64 " is left out: %s", d->file, d->line, d->why_not);
    else
        gm_warn("'%s' is left out: %s", d->file, d->why_not);
}

/* Read on until a document is kept or the corpus ends. */
static gm_status read_on(gm_blocks *blocks, gm_probe_block *block, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t limit = blocks->options->limit;
    while (!blocks->pending && !blocks->ended) {
        bool more = false, kept;
        size_t skip;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        if (limit == 0 || blocks->n_kept < limit)
            GM_TRY(gm_corpus_next(blocks->corpus, &blocks->source, &more, err));
        blocks->ended = !more;
        if (blocks->ended) break;
        blocks->n_read++;
        report_unusable(blocks);
        GM_TRY(prepare(blocks, &skip, &kept, err));
        if (kept) {
            blocks->pending = true; /* its place in n_read is the block that takes it */
            blocks->n_kept++;
        } else {
            block->n_read++;
            block->skipped[skip]++;
        }
    }
out:
    return status;
}

static gm_status nothing_kept(const gm_blocks *blocks, const gm_probe_block *block, gm_error *err)
{
    char why[300] = "";
    const char *skip_name[GM_PROBE_N_SKIPS];
    gm_probe_skip_names(skip_name);
    for (int i = 0; i < GM_PROBE_N_SKIPS; i++) {
        size_t n = strlen(why);
        if (block->skipped[i] > 0)
            snprintf(why + n, sizeof why - n, "%s%" PRIu64 " %s", n ? ", " : "", block->skipped[i],
                     skip_name[i]);
    }
    /* What a person may have meant otherwise. */
    char hint[80] = "";
    if (block->skipped[GM_SKIP_TOO_SHORT - 1] > 0)
        snprintf(hint, sizeof hint, "; the minimum length is %zu token%s (--min-tokens)",
                 blocks->options->min_tokens, gm_plural(blocks->options->min_tokens));
    else if (block->skipped[GM_SKIP_NO_TEXT - 1] > 0)
        snprintf(hint, sizeof hint, "; --text-field names the field that holds the text");
    return gm_fail(err, GM_EFORMAT, "no usable document in corpus '%s'%s (%s)%s",
                   blocks->options->paths[0], blocks->options->n_paths > 1 ? " and others" : "",
                   *why ? why : "it is empty", hint);
}

/* A field of subsets that no line has is a slip that would show at the end of a long run, unless
 * nobody named it and lines have no other than their text. */
static void warn_without_subsets(const gm_blocks *blocks, const gm_probe_block *block)
{
    const bool others = strchr(blocks->fields, ',') != NULL;
    if (blocks->n_blocks > 0 || !(blocks->options->subset_asked || others)) return;
    for (size_t i = 0; i < block->n_documents; i++)
        if (block->document[i].subset[0]) return;
    gm_warn("none of the first %zu documents has a subset: field '%.100s' (--subset-field) is "
            "missing, or is not a string, number or boolean%s%s",
            block->n_documents, blocks->options->corpus.subset_field, others ? "; there are: " : "",
            others ? blocks->fields : "");
}

gm_status gm_blocks_next(gm_blocks *blocks, gm_probe_block **out, gm_error *err)
{
    gm_status status = GM_OK;
    gm_probe_block *block = NULL;
    *out = NULL;
    if (blocks->ended && !blocks->pending) return GM_OK;
    GM_TRY(gm_probe_block_create(&block, blocks->n_blocks, err));
    for (;;) {
        GM_TRY(read_on(blocks, block, err));
        if (!blocks->pending || !gm_probe_block_fits(block, blocks->document.n)) break;
        GM_TRY(gm_probe_block_add(block, &blocks->document, err));
        block->n_read++;
        blocks->pending = false;
    }
    block->more = blocks->pending;
    if (block->n_documents == 0) {
        status = nothing_kept(blocks, block, err);
        goto out;
    }
    warn_without_subsets(blocks, block);
    if (blocks->options->spell)
        GM_TRY(gm_probe_block_spell(block, blocks->options->tokenizer, err));
    blocks->n_blocks++;
    *out = block;
    block = NULL;
out:
    gm_probe_block_free(block);
    return status;
}

gm_status gm_blocks_skip(gm_blocks *blocks, uint64_t n_read, const uint8_t *sha, size_t n,
                         gm_error *err)
{
    gm_status status = GM_OK;
    size_t found = 0;
    for (uint64_t i = 0; i < n_read; i++) {
        bool more = true;
        if (gm_interrupted()) GM_FAIL(GM_EINTERRUPTED, "interrupted");
        if (i == 0 && blocks->pending) { /* read, counted as kept, and waiting */
            blocks->pending = false;
            blocks->n_kept--;
        } else {
            GM_TRY(gm_corpus_next(blocks->corpus, &blocks->source, &more, err));
            blocks->n_read++;
        }
        if (!more) break;
        if (found == n || memcmp(blocks->source.sha, sha + 32 * found, 32) != 0) continue;
        GM_TRY(note_subset(blocks, err));
        found++;
    }
    if (found < n)
        GM_FAIL(GM_EFORMAT,
                "the corpus is not the one that block %" PRIu64
                " was made from; give --force to start over",
                blocks->n_blocks);
    blocks->n_kept += n;
    blocks->n_blocks++;
out:
    return status;
}

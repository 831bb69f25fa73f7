/* trace_write.c - writing one file of a trace, from a block or column by column. */
#include "base/half.h"
#include "formats/names.h"
#include "formats/trace_shards.h"

#include <inttypes.h>
#include <string.h>

enum { CONVERT_ITEMS = 1 << 18 }; /* converted at a time: 512 KiB of halves */

/* ---- the writer ---- */

static gm_status make_scales(hid_t file, const gm_trace_info *info, const gm_trace_sizes *sizes,
                             gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t most = sizes->E > sizes->K ? sizes->E : sizes->K;
    int32_t *count = gm_alloc(most, sizeof *count);
    if (count == NULL) GM_FAIL(GM_EMEM, "no memory for scales");
    for (uint64_t i = 0; i < most; i++) count[i] = (int32_t)i;
    GM_TRY(gm_h5_make_scale(file, "/layer", info->layer_of_moe, (size_t)sizes->L,
                            "layer of the model, dense layers counted", err));
    GM_TRY(gm_h5_make_scale(file, "/expert", count, (size_t)sizes->E, NULL, err));
    GM_TRY(gm_h5_make_scale(file, "/rank", count, (size_t)sizes->K, "0 is the strongest", err));
    GM_TRY(gm_h5_make_length(file, "/document", sizes->N, err));
    GM_TRY(gm_h5_make_length(file, "/bound", sizes->N + 1, err));
    GM_TRY(gm_h5_make_length(file, "/subset", sizes->U, err));
    GM_TRY(gm_h5_make_length(file, "/reason", sizes->R, err));
    if (info->level >= GM_RECORD_CHOICES) GM_TRY(gm_h5_make_length(file, "/token", sizes->T, err));
    if (info->level >= GM_RECORD_LOGITS) GM_TRY(gm_h5_make_length(file, "/logit", sizes->S, err));
    if (info->has_text) GM_TRY(gm_h5_make_length(file, "/byte", sizes->B, err));
    if (info->has_spelling) {
        GM_TRY(gm_h5_make_length(file, "/spelt", sizes->V, err));
        GM_TRY(gm_h5_make_length(file, "/spelt_bound", sizes->V + 1, err));
        GM_TRY(gm_h5_make_length(file, "/spelt_byte", sizes->W, err));
    }
out:
    gm_free(count);
    return status;
}

/* The shard table of an index: names as one text, numbers as columns. */
static gm_status put_sources(hid_t file, const gm_trace_source *source, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_text files = {0};
    char *digest = gm_alloc(n, GM_H5_TEXT_BYTES);
    uint64_t *number = gm_alloc2(GM_TRACE_N_SHARD_NUMBERS, n, sizeof *number);
    hid_t group = H5I_INVALID_HID;
    if (digest == NULL || number == NULL) GM_FAIL(GM_EMEM, "no memory for the shard table");
    GM_TRY(gm_h5_make_group(file, "/shards", err));
    for (size_t i = 0; i < n; i++) {
        GM_TRY(gm_text_printf(&files, err, "%s\n", source[i].file));
        memcpy(digest + i * GM_H5_TEXT_BYTES, source[i].digest, strlen(source[i].digest));
        number[i] = source[i].sizes.N;
        number[n + i] = source[i].sizes.T;
        number[2 * n + i] = source[i].sizes.S;
    }
    group = H5Gopen2(file, "/shards", H5P_DEFAULT);
    GM_TRY(gm_h5_put_text(group, "files", files.at, err));
    gm_h5_layout layout = {.name = "/shards/digest",
                           .type = GM_H5_TEXT,
                           .stored = -1,
                           .rank = 1,
                           .dim = {n},
                           .chunk_rows = 4096};
    GM_TRY(gm_h5_write_all(file, &layout, digest, NULL, err));
    layout.type = GM_H5_U64;
    for (size_t k = 0; k < GM_TRACE_N_SHARD_NUMBERS; k++) {
        layout.name = gm_trace_shard_number[k];
        GM_TRY(gm_h5_write_all(file, &layout, number + k * n, NULL, err));
    }
out:
    if (group >= 0) H5Gclose(group);
    gm_free(number);
    gm_free(digest);
    gm_text_clear(&files);
    return status;
}

/* Create one column, or map it onto the shards of an index. */
static gm_status begin_column(gm_trace_writer *w, gm_trace_column column, hid_t stored,
                              gm_error *err)
{
    gm_h5_layout layout = gm_trace_layout(column, &w->of.sizes);
    layout.stored = stored;
    if (w->of.n_sources == 0 || !gm_trace_in_shards(column))
        return gm_h5_column_create(&w->column[column], w->commit.file, &layout, err);
    if (!gm_trace_is_virtual(column)) return GM_OK;

    gm_h5_part *part = gm_alloc(w->of.n_sources, sizeof *part);
    if (part == NULL) return gm_fail(err, GM_EMEM, "no memory to map '%s'", layout.name);
    for (size_t i = 0; i < w->of.n_sources; i++)
        part[i] = (gm_h5_part){.file = w->of.source[i].file,
                               .n_rows = gm_trace_rows(column, &w->of.source[i].sizes)};
    gm_status status = gm_h5_write_virtual(w->commit.file, &layout, part, w->of.n_sources, err);
    gm_free(part);
    return status;
}

static gm_status begin_columns(gm_trace_writer *w, gm_error *err)
{
    static const char *const group[] = {"/routing", "/tokens", "/samples", "/corpus", "/text"};
    gm_status status = GM_OK;
    hid_t subset = gm_h5_type_make_enum(GM_H5_U16, w->of.subset_name, (size_t)w->of.sizes.U);
    hid_t phases = gm_h5_type_make_enum(GM_H5_U8, gm_trace_phase_name, GM_TRACE_N_PHASES);
    if (subset < 0 || phases < 0) {
        status =
            gm_h5_fail(err, GM_EFORMAT, w->commit.file, "cannot create the type of the subsets");
        goto out;
    }
    for (size_t i = w->of.info->level >= GM_RECORD_CHOICES ? 0 : 2;
         i < (w->of.info->has_text ? 5 : 4); i++)
        GM_TRY(gm_h5_make_group(w->commit.file, group[i], err));
    if (w->of.info->has_spelling) GM_TRY(gm_h5_make_group(w->commit.file, "/spelling", err));
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) {
        hid_t stored = c == GM_COL_SUBSET ? subset : c == GM_COL_PHASE ? phases : H5I_INVALID_HID;
        if (gm_trace_has(w->of.info, c)) GM_TRY(begin_column(w, c, stored, err));
    }
out:
    if (phases >= 0) H5Tclose(phases);
    if (subset >= 0) H5Tclose(subset);
    return status;
}

gm_status gm_trace_writer_begin(gm_trace_writer *writer, const char *path,
                                const gm_trace_outline *of, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_trace_info *info = of->info;
    *writer = GM_TRACE_WRITER_NONE;
    writer->of = *of;
    writer->of.sizes.L = (uint64_t)info->n_layers;
    writer->of.sizes.E = (uint64_t)info->n_experts;
    writer->of.sizes.K = (uint64_t)info->n_chosen;
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) writer->column[c] = GM_H5_COLUMN_CLOSED;
    GM_TRY(gm_commit_begin(&writer->commit, path, replace, err));
    GM_TRY(gm_trace_put_info(writer->commit.file, info, err));
    GM_TRY(make_scales(writer->commit.file, info, &writer->of.sizes, err));
    if (of->n_sources > 0) GM_TRY(put_sources(writer->commit.file, of->source, of->n_sources, err));
    GM_TRY(begin_columns(writer, err));
out:
    if (status != GM_OK) gm_trace_writer_drop(writer);
    return status;
}

gm_status gm_trace_writer_end(gm_trace_writer *writer, gm_error *err)
{
    gm_status status = GM_OK;
    gm_trace_hashes hashes = {{0}};
    char digest[65];
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) {
        if (writer->column[c].id >= 0)
            GM_TRY(gm_h5_column_finish(&writer->column[c], hashes[c], err));
        else if (writer->of.n_sources > 0 && gm_trace_in_shards(c))
            gm_trace_hash_sources(writer->of.source, writer->of.n_sources, hashes[c]);
    }
    gm_trace_fold_digest(writer->of.info, hashes, digest);
    GM_TRY(gm_h5_put_text(writer->commit.file, "digest", digest, err));
    GM_TRY(gm_commit_end(&writer->commit, digest, gm_trace_file_digest, err));
out:
    gm_trace_writer_drop(writer);
    return status;
}

void gm_trace_writer_drop(gm_trace_writer *writer)
{
    if (writer->of.info == NULL) return; /* never begun */
    for (gm_trace_column c = 0; c < GM_N_COLUMNS; c++) gm_h5_column_drop(&writer->column[c]);
    gm_commit_drop(&writer->commit);
    *writer = GM_TRACE_WRITER_NONE;
}

gm_status gm_trace_writer_put_block(gm_trace_writer *writer, uint64_t number, uint64_t n_read,
                                    bool more, gm_error *err)
{
    gm_status status = GM_OK;
    hid_t file = writer->commit.file;
    GM_TRY(gm_h5_put_i64(file, "block", (int64_t)number, err));
    GM_TRY(gm_h5_put_i64(file, "block_read", (int64_t)n_read, err));
    GM_TRY(gm_h5_put_i64(file, "block_more", more, err));
out:
    return status;
}

gm_status gm_trace_append_spelling(gm_trace_writer *writer, const gm_trace_spelling *spelling,
                                   gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_column *column = writer->column;
    const uint64_t *offset = spelling->offset;
    GM_TRY(gm_h5_column_append(&column[GM_COL_SPELT_ID], spelling->id, spelling->n, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_SPELT_OFFSET], offset, spelling->n + 1, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_SPELT_BYTES], spelling->bytes,
                               (size_t)offset[spelling->n], err));
out:
    return status;
}

_Static_assert((int)GM_TRACE_NAME_BYTES == (int)GM_H5_TEXT_BYTES, "a name is a stored text");

void gm_trace_keep_name(char kept[GM_TRACE_NAME_BYTES], const char *name)
{
    gm_h5_text_pack(kept, name);
}

gm_status gm_trace_append_texts(gm_h5_column *column, const char *const *text, size_t n,
                                gm_error *err)
{
    gm_status status = GM_OK;
    char packed[GM_H5_TEXT_BYTES];
    for (size_t i = 0; i < n; i++) {
        gm_h5_text_pack(packed, text[i]);
        GM_TRY(gm_h5_column_append(column, packed, 1, err));
    }
out:
    return status;
}

/* ---- a block: arrays as the engine gives them, into what is stored ---- */

/* Number the block's subsets in order of appearance, named as they are stored. */
static gm_status number_subsets(gm_names *names, uint16_t *subset, const gm_trace_block *block,
                                gm_error *err)
{
    gm_status status = GM_OK;
    for (size_t i = 0; i < block->n_documents; i++) {
        const char *name = block->document[i].subset;
        char stored[GM_TRACE_NAME_BYTES];
        size_t number;
        gm_trace_keep_name(stored, name ? name : "");
        GM_TRY(gm_names_add(names, stored, GM_TRACE_MAX_SUBSETS, &number, err));
        subset[i] = (uint16_t)number;
    }
out:
    return status;
}

/* Append rows of f32 as f16. */
static gm_status append_halves(gm_h5_column *column, const float *value, size_t n_rows,
                               gm_error *err)
{
    gm_status status = GM_OK;
    size_t width = column->row_bytes / sizeof(uint16_t);
    size_t at_once = CONVERT_ITEMS / width + 1;
    uint16_t *half = gm_alloc2(at_once, width, sizeof *half);
    if (half == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", column->name);
    for (size_t first = 0; first < n_rows; first += at_once) {
        size_t n = n_rows - first < at_once ? n_rows - first : at_once;
        const float *from = value + first * width;
#pragma omp parallel for if (n * width > 1 << 16)
        for (size_t i = 0; i < n * width; i++) half[i] = gm_half_from_f32(from[i]);
        GM_TRY(gm_h5_column_append(column, half, n, err));
    }
out:
    gm_free(half);
    return status;
}

/* Append expert ids, as u8 where E allows; the low byte of the sentinel is its own. */
static gm_status append_experts(gm_h5_column *column, const uint16_t *expert, size_t n_rows,
                                gm_error *err)
{
    gm_status status = GM_OK;
    uint8_t *narrow = NULL;
    if (column->item_bytes == 2) return gm_h5_column_append(column, expert, n_rows, err);
    size_t width = column->row_bytes, at_once = CONVERT_ITEMS / width + 1;
    narrow = gm_alloc2(at_once, width, 1);
    if (narrow == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", column->name);
    for (size_t first = 0; first < n_rows; first += at_once) {
        size_t n = n_rows - first < at_once ? n_rows - first : at_once;
        for (size_t i = 0; i < n * width; i++) narrow[i] = (uint8_t)expert[first * width + i];
        GM_TRY(gm_h5_column_append(column, narrow, n, err));
    }
out:
    gm_free(narrow);
    return status;
}

static gm_status append_tokens(gm_trace_writer *w, const gm_trace_block *block, gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_column *column = w->column;
    size_t T = block->n_rows;
    GM_TRY(append_experts(&column[GM_COL_EXPERT], block->expert, T, err));
    if (!w->of.info->no_gates) GM_TRY(append_halves(&column[GM_COL_GATE], block->gate, T, err));
    if (w->of.info->has_norms)
        GM_TRY(gm_h5_column_append(&column[GM_COL_NORM], block->norm, T, err));
    if (!w->of.info->no_margins) {
        GM_TRY(append_halves(&column[GM_COL_MASS], block->mass, T, err));
        GM_TRY(append_halves(&column[GM_COL_MARGIN], block->margin, T, err));
    }
    GM_TRY(gm_h5_column_append(&column[GM_COL_TOKEN_ID], block->token_id, T, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_POS], block->pos, T, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_PHASE], block->phase, T, err));
    for (uint32_t i = 0; i < block->n_documents; i++)
        for (uint32_t k = 0; k < block->document[i].n_rows; k++)
            GM_TRY(gm_h5_column_append(&column[GM_COL_SAMPLE], &i, 1, err));
    if (w->of.info->has_nll) GM_TRY(gm_h5_column_append(&column[GM_COL_NLL], block->nll, T, err));
    if (w->of.info->level < GM_RECORD_LOGITS) goto out;
    GM_TRY(append_halves(&column[GM_COL_LOGITS], block->logits, block->n_logit_rows, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_LOGITS_TOKEN], block->logit_row, block->n_logit_rows,
                               err));
out:
    return status;
}

static gm_status append_documents(gm_trace_writer *w, const gm_trace_block *block,
                                  const uint16_t *subset, gm_error *err)
{
    gm_status status = GM_OK;
    gm_h5_column *column = w->column;
    bool has_tokens = w->of.info->level >= GM_RECORD_CHOICES;
    uint64_t token = 0, byte = 0;
    GM_TRY(gm_h5_column_append(&column[GM_COL_OFFSET], &token, 1, err));
    if (w->of.info->has_text)
        GM_TRY(gm_h5_column_append(&column[GM_COL_TEXT_OFFSET], &byte, 1, err));
    for (size_t i = 0; i < block->n_documents; i++) {
        const gm_trace_document *d = &block->document[i];
        char sha[65];
        uint8_t truncated = d->truncated;
        gm_sha256_hex(d->sha, sha);
        token += has_tokens ? d->n_rows : 0;
        byte += d->n_text;
        GM_TRY(gm_h5_column_append(&column[GM_COL_OFFSET], &token, 1, err));
        GM_TRY(gm_trace_append_texts(&column[GM_COL_ID], &d->id, 1, err));
        GM_TRY(gm_h5_column_append(&column[GM_COL_SHA], sha, 1, err));
        GM_TRY(gm_h5_column_append(&column[GM_COL_N_TOKENS], &d->n_tokens, 1, err));
        GM_TRY(gm_h5_column_append(&column[GM_COL_BAD], &d->bad, 1, err));
        GM_TRY(gm_h5_column_append(&column[GM_COL_TRUNCATED], &truncated, 1, err));
        if (w->of.info->has_language)
            GM_TRY(gm_trace_append_texts(&column[GM_COL_LANGUAGE], &d->language, 1, err));
        if (!w->of.info->has_text) continue;
        GM_TRY(gm_h5_column_append(&column[GM_COL_TEXT_BYTES], d->text, d->n_text, err));
        GM_TRY(gm_h5_column_append(&column[GM_COL_TEXT_OFFSET], &byte, 1, err));
    }
    GM_TRY(gm_h5_column_append(&column[GM_COL_SUBSET], subset, block->n_documents, err));
    GM_TRY(gm_h5_column_append(&column[GM_COL_COUNTS], block->counts, block->n_documents, err));
out:
    return status;
}

static gm_status check_block(const gm_trace_info *info, const gm_trace_block *block, gm_error *err)
{
    uint64_t rows = 0;
    if (info->n_layers < 1 || info->n_experts < 1 || info->n_experts > UINT16_MAX ||
        info->n_chosen < 1 || info->n_chosen > info->n_experts)
        return gm_fail(err, GM_EARG, "a trace with L=%d E=%d K=%d, expected 1 <= K <= E <= %d",
                       info->n_layers, info->n_experts, info->n_chosen, UINT16_MAX);
    for (size_t i = 0; i < block->n_documents; i++) rows += block->document[i].n_rows;
    if (info->level >= GM_RECORD_CHOICES && rows != block->n_rows)
        return gm_fail(err, GM_EARG,
                       "the documents of a block have %" PRIu64 " rows, but the block has %zu",
                       rows, block->n_rows);
    if (!info->has_spelling) return GM_OK;
    if (info->level < GM_RECORD_CHOICES || block->spelling == NULL)
        return gm_fail(err, GM_EARG,
                       "the spelling of tokens can only be recorded together with choices");
    return gm_trace_check_spelling(block->spelling, "the block", GM_EARG, err);
}

gm_status gm_trace_write(const char *path, const gm_trace_info *info, const gm_trace_block *block,
                         const char *const *skip_name, size_t n_skips, bool replace, gm_error *err)
{
    gm_status status = GM_OK;
    gm_names subsets = {0};
    gm_trace_writer w = GM_TRACE_WRITER_NONE;
    gm_trace_outline of = {
        .info = info, .sizes = {.N = block->n_documents, .S = block->n_logit_rows, .R = n_skips}};
    gm_trace_sizes *sizes = &of.sizes;
    uint16_t *subset = gm_alloc(block->n_documents, sizeof *subset);
    if (subset == NULL) GM_FAIL(GM_EMEM, "no memory to write '%s'", path);
    GM_TRY(check_block(info, block, err));
    GM_TRY(number_subsets(&subsets, subset, block, err));
    sizes->T = info->level >= GM_RECORD_CHOICES ? block->n_rows : 0;
    sizes->U = subsets.n;
    for (size_t i = 0; info->has_text && i < block->n_documents; i++)
        sizes->B += block->document[i].n_text;
    if (info->has_spelling) {
        sizes->V = block->spelling->n;
        sizes->W = block->spelling->offset[sizes->V];
    }

    of.subset_name = subsets.at;
    GM_TRY(gm_trace_writer_begin(&w, path, &of, replace, err));
    GM_TRY(gm_trace_writer_put_block(&w, block->number, block->n_read, block->more, err));
    GM_TRY(gm_trace_append_texts(&w.column[GM_COL_SUBSET_NAME], subsets.at, subsets.n, err));
    GM_TRY(gm_trace_append_texts(&w.column[GM_COL_SKIP_NAME], skip_name, n_skips, err));
    GM_TRY(gm_h5_column_append(&w.column[GM_COL_SKIP_NUMBER], block->skipped, n_skips, err));
    if (info->level >= GM_RECORD_CHOICES) GM_TRY(append_tokens(&w, block, err));
    GM_TRY(append_documents(&w, block, subset, err));
    if (info->has_spelling) GM_TRY(gm_trace_append_spelling(&w, block->spelling, err));
    GM_TRY(gm_trace_writer_end(&w, err));
out:
    gm_trace_writer_drop(&w);
    gm_names_clear(&subsets);
    gm_free(subset);
    return status;
}

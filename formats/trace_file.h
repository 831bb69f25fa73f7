/* trace_file.h - private to formats: one HDF5 file of a trace open for reading, and the
 * writer that makes one. trace_read.c joins files, trace_merge.c copies them.
 */
#ifndef GM_TRACE_FILE_H
#define GM_TRACE_FILE_H

#include "formats/commit.h"
#include "formats/trace_schema.h"

/* ---- reading one file ---- */

/* A shard that an index points at. */
typedef struct gm_trace_source {
    const char *file; /* relative to the index's folder, or absolute */
    const char *digest;
    gm_trace_sizes sizes; /* of one that an index names: N, T, S alone */
} gm_trace_source;

/* Where an index keeps N, T and S of its shards. */
enum { GM_TRACE_N_SHARD_NUMBERS = 3 };
extern const char *const gm_trace_shard_number[GM_TRACE_N_SHARD_NUMBERS];

typedef struct gm_trace_file {
    char *path; /* owned */
    hid_t id;
    gm_trace_info info;
    gm_trace_sizes sizes;
    gm_h5_set set[GM_N_COLUMNS];   /* closed where the trace has no such column */
    char digest[65];               /* as stated */
    int64_t number, n_read, more;  /* of its block; zero in a merged file */
    const gm_trace_source *source; /* (n_sources) the shards of an index */
    size_t n_sources;
    gm_arena arena; /* texts of info, layer_of_moe, source */
} gm_trace_file;

enum { GM_TRACE_PATH = 64 };

#define GM_TRACE_FILE_CLOSED ((gm_trace_file){.id = H5I_INVALID_HID})

/* Open, with every shape checked; contents are not read. */
gm_status gm_trace_file_open(gm_trace_file *file, const char *path, gm_error *err) GM_MUST_USE;
void gm_trace_file_close(gm_trace_file *file);

/* The path of something in the groups of a trace that is no column of ours, "" when there is none:
 * where a digest is another, a newer program may have put it there. */
void gm_trace_file_unknown(const gm_trace_file *file, char path[GM_TRACE_PATH]);

/* Recompute the digest of the file's contents; a gm_commit_digest. */
gm_status gm_trace_file_digest(const char *path, char hex[65], gm_error *err);

/* ---- writing one file ---- */

/* What is known of a file before its rows; borrowed until the end. */
typedef struct gm_trace_outline {
    const gm_trace_info *info;
    gm_trace_sizes sizes;           /* L, E, K are taken from info */
    const char *const *subset_name; /* (U) */
    const gm_trace_source *source;  /* (n_sources) the shards of an index */
    size_t n_sources;               /* 0: the file has its rows itself */
} gm_trace_outline;

typedef struct gm_trace_writer {
    gm_commit commit;
    gm_trace_outline of;
    gm_h5_column column[GM_N_COLUMNS]; /* closed: not in this file */
} gm_trace_writer;

#define GM_TRACE_WRITER_NONE ((gm_trace_writer){.commit.file = H5I_INVALID_HID})

/* Create the file with its attributes, scales and empty columns. Errors: as gm_commit_begin. */
gm_status gm_trace_writer_begin(gm_trace_writer *writer, const char *path,
                                const gm_trace_outline *of, bool replace, gm_error *err)
    GM_MUST_USE;
/* Close the columns, write the digest, commit. */
gm_status gm_trace_writer_end(gm_trace_writer *writer, gm_error *err) GM_MUST_USE;
void gm_trace_writer_drop(gm_trace_writer *writer);

/* What a shard says of its block; zeros in a file that is the whole. */
gm_status gm_trace_writer_put_block(gm_trace_writer *writer, uint64_t number, uint64_t n_read,
                                    bool more, gm_error *err) GM_MUST_USE;

/* Append texts as packed rows of 64 bytes. */
gm_status gm_trace_append_texts(gm_h5_column *column, const char *const *text, size_t n,
                                gm_error *err) GM_MUST_USE;

/* Append to the three columns of /spelling. */
gm_status gm_trace_append_spelling(gm_trace_writer *writer, const gm_trace_spelling *spelling,
                                   gm_error *err) GM_MUST_USE;

/* The SHA-256 used for every column that an index leaves in its shards: of their
 * digests, one after another. */
void gm_trace_hash_sources(const gm_trace_source *source, size_t n, uint8_t digest[32]);

#endif

/* source.c - the bytes of a file, decompressed as they are read. */
#include "text/source.h"

#include "base/cli.h"
#include "base/text.h"

#include <zlib.h>
#include <zstd.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT_BYTES = 1 << 17, LONGEST_WINDOW_LOG = 31 };

typedef enum source_kind { SOURCE_PLAIN, SOURCE_GZIP, SOURCE_ZSTD } source_kind;

struct gm_source {
    source_kind kind;
    int file;
    char *path;
    uint64_t n_read; /* bytes read from the file */
    bool at_end;     /* of the file */
    bool open_frame; /* inside a zstd frame or a gzip member, or before the first: an end here is
                      * a cut */
    char *input;     /* (INPUT_BYTES) compressed bytes not yet taken: [first, end) */
    size_t first, end;
    ZSTD_DStream *zstd;
    z_stream gzip;
    bool gzip_begun;
};

static gm_status open_file(gm_source *source, const char *path, gm_error *err)
{
    struct stat info;
    source->file = open(path, O_RDONLY | O_CLOEXEC);
    if (source->file < 0)
        return gm_fail(err, GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(source->file, &info) == 0 && S_ISDIR(info.st_mode))
        return gm_fail(err, GM_EIO, "'%s' is a folder, expected a file", path);
    return GM_OK;
}

static gm_status begin_decoder(gm_source *source, gm_error *err)
{
    enum { GZIP_HEADER_ONLY = 16 + MAX_WBITS };
    if (source->kind == SOURCE_ZSTD) {
        source->zstd = ZSTD_createDStream();
        if (source->zstd == NULL) return gm_fail(err, GM_EMEM, "no memory for a decompressor");
        ZSTD_DCtx_setParameter(source->zstd, ZSTD_d_windowLogMax, LONGEST_WINDOW_LOG);
    }
    if (source->kind == SOURCE_GZIP) {
        if (inflateInit2(&source->gzip, GZIP_HEADER_ONLY) != Z_OK)
            return gm_fail(err, GM_EMEM, "no memory for a decompressor");
        source->gzip_begun = true;
    }
    return GM_OK;
}

gm_status gm_source_open(gm_source **out, const char *path, gm_error *err)
{
    gm_status status = GM_OK;
    gm_source *source = gm_alloc(1, sizeof *source);
    *out = NULL;
    if (source == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", path);
    source->file = -1;
    source->kind = gm_ends_in(path, ".zst")  ? SOURCE_ZSTD
                   : gm_ends_in(path, ".gz") ? SOURCE_GZIP
                                             : SOURCE_PLAIN;
    source->open_frame = source->kind != SOURCE_PLAIN; /* none may be empty */
    source->path = gm_copy_text(path, strlen(path));
    source->input = gm_alloc(INPUT_BYTES, 1);
    if (source->path == NULL || source->input == NULL)
        GM_FAIL(GM_EMEM, "no memory to open '%s'", path);
    GM_TRY(open_file(source, path, err));
    GM_TRY(begin_decoder(source, err));
    *out = source;
    source = NULL;
out:
    gm_source_close(source);
    return status;
}

void gm_source_close(gm_source *source)
{
    if (source == NULL) return;
    if (source->file >= 0) close(source->file);
    if (source->gzip_begun) inflateEnd(&source->gzip);
    ZSTD_freeDStream(source->zstd);
    gm_free(source->input);
    gm_free(source->path);
    gm_free(source);
}

uint64_t gm_source_position(const gm_source *source)
{
    return source->n_read - (source->end - source->first);
}

static gm_status read_file(gm_source *source, char *bytes, size_t cap, size_t *n, gm_error *err)
{
    ssize_t got;
    do got = read(source->file, bytes, cap);
    while (got < 0 && errno == EINTR && gm_interrupted() == 0);
    if (got < 0 && errno == EINTR) /* a pipe that nobody writes into */
        return gm_fail(err, GM_EINTERRUPTED, "interrupted while reading '%s'", source->path);
    if (got < 0)
        return gm_fail(err, GM_EIO, "cannot read '%s' at byte %" PRIu64 ": %s", source->path,
                       source->n_read, strerror(errno));
    *n = (size_t)got;
    source->n_read += (uint64_t)got;
    source->at_end = got == 0;
    return GM_OK;
}

static gm_status damaged(const gm_source *source, const char *what, gm_error *err)
{
    return gm_fail(err, GM_EFORMAT, "'%s' is damaged at byte %" PRIu64 ": %s", source->path,
                   gm_source_position(source), what);
}

/* One call of the zstd decoder; *n bytes came out. */
static gm_status step_zstd(gm_source *source, char *bytes, size_t cap, size_t *n, gm_error *err)
{
    ZSTD_inBuffer in = {source->input + source->first, source->end - source->first, 0};
    ZSTD_outBuffer out = {bytes, cap, 0};
    size_t left = ZSTD_decompressStream(source->zstd, &out, &in);
    source->first += in.pos;
    *n = out.pos;
    if (ZSTD_isError(left)) return damaged(source, ZSTD_getErrorName(left), err);
    source->open_frame = left != 0;
    return GM_OK;
}

/* After a member zeros may fill up a block, of a tape or an archive: gzip passes over them. */
static void skip_zeros(gm_source *source)
{
    while (source->first < source->end && source->input[source->first] == 0) source->first++;
}

/* One call of the gzip decoder; *n bytes came out. */
static gm_status step_gzip(gm_source *source, char *bytes, size_t cap, size_t *n, gm_error *err)
{
    z_stream *z = &source->gzip;
    if (!source->open_frame) skip_zeros(source);
    if (!source->open_frame && source->first == source->end) return GM_OK;
    z->next_in = (unsigned char *)source->input + source->first;
    z->avail_in = (unsigned)(source->end - source->first);
    z->next_out = (unsigned char *)bytes;
    z->avail_out = (unsigned)cap;
    int code = inflate(z, Z_NO_FLUSH);
    source->first = source->end - z->avail_in;
    *n = cap - z->avail_out;
    source->open_frame = code != Z_STREAM_END;
    if (code == Z_STREAM_END) /* another member may follow */
        code = inflateReset(z);
    if (code == Z_MEM_ERROR) return gm_fail(err, GM_EMEM, "no memory to read '%s'", source->path);
    if (code != Z_OK && code != Z_BUF_ERROR)
        return damaged(source, z->msg ? z->msg : "not gzip", err);
    return GM_OK;
}

gm_status gm_source_read(gm_source *source, char *bytes, size_t cap, size_t *n, gm_error *err)
{
    gm_status status = GM_OK;
    *n = 0;
    if (cap > 1u << 30) cap = 1u << 30; /* zlib counts in unsigned int */
    if (source->kind == SOURCE_PLAIN) return read_file(source, bytes, cap, n, err);

    while (*n == 0 && status == GM_OK) {
        if (source->first == source->end) {
            size_t got = 0;
            GM_TRY(read_file(source, source->input, INPUT_BYTES, &got, err));
            source->first = 0, source->end = got;
            /* a decoder may still hold output when the input has ended */
            if (got == 0 && !source->open_frame) break;
        }
        size_t before = source->first;
        status = source->kind == SOURCE_ZSTD ? step_zstd(source, bytes, cap, n, err)
                                             : step_gzip(source, bytes, cap, n, err);
        if (status == GM_OK && *n == 0 && source->at_end && source->open_frame &&
            source->first == before)
            GM_FAIL(GM_EFORMAT,
                    "'%s' is truncated: it ends at byte %" PRIu64 " inside compressed data",
                    source->path, source->n_read);
    }
out:
    return status;
}

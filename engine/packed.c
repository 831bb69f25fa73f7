/* packed.c - see packed.h. */
#define _GNU_SOURCE /* O_DIRECT */
#include "engine/packed.h"

#include "base/machine.h"
#include "base/outfile.h"
#include "base/sha256.h"
#include "engine/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACKED_VERSION = 1, FIXED_BYTES = 64, MAX_SECTIONS = 1 << 20 };
enum { HUGE_PAGE = 2 << 20 }; /* of Linux with pages of 4 kB; other sizes cost speed only */
enum { POPULATE_READ = 22 };  /* MADV_POPULATE_READ, Linux 5.14 */
/* Where the header has what; sums of the sections follow after FIXED_BYTES. */
enum { AT_VERSION = 8, AT_SECTIONS = 12, AT_BYTES = 16, AT_KEY = 24, AT_SUM = 56 };
static const char MAGIC[8] = {'g', 'm', 'p', 'a', 'c', 'k', 'e', 'd'};

struct gm_packed {
    char *path;
    const gm_section *section; /* (n) borrowed */
    size_t n, header_bytes;
    int fd, direct; /* direct: past the page cache; -1: the file system cannot */
    unsigned char *map;
    size_t map_bytes;
};

struct gm_packed_out {
    gm_outfile *file;
    const gm_section *section; /* (n) borrowed */
    size_t n, next, header_bytes;
    unsigned char *header;
    char *buffer; /* of the stream: the page cache gets whole huge pages at once */
};

/* ---- numbers and sums ---- */

static void put_number(unsigned char *at, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get_number(const unsigned char *at, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* Eight chains, so that a sum goes as fast as memory; every bit of the bytes counts. Against
 * damage, not against malice. */
static uint64_t sum_of(const void *bytes, size_t n, uint64_t seed)
{
    enum { CHAINS = 8 };
    const uint64_t prime = 0x9e3779b97f4a7c15u;
    const unsigned char *at = bytes;
    uint64_t chain[CHAINS], word;
    for (int i = 0; i < CHAINS; i++) chain[i] = (seed + (uint64_t)i + 1) * prime;
    for (; n >= sizeof chain; n -= sizeof chain, at += sizeof chain)
        for (int i = 0; i < CHAINS; i++) {
            memcpy(&word, at + (size_t)i * sizeof word, sizeof word);
            chain[i] = (chain[i] ^ word) * prime;
            chain[i] ^= chain[i] >> 32;
        }
    for (; n > 0; n--) chain[0] = (chain[0] ^ *at++) * prime;
    for (int i = 1; i < CHAINS; i++) chain[0] = (chain[0] ^ (chain[i] >> 29) ^ chain[i]) * prime;
    return chain[0] ^ chain[0] >> 32;
}

static size_t header_bytes(size_t n_sections)
{
    return gm_round_up(FIXED_BYTES + n_sections * sizeof(uint64_t), GM_DISK_PAGE);
}

static uint64_t image_bytes(const gm_section *section, size_t n)
{
    return n ? section[n - 1].offset + section[n - 1].n_bytes : 0;
}

/* The sum of a header, as if its own place were zero. */
static uint64_t sum_of_header(unsigned char *header, size_t n_bytes)
{
    unsigned char kept[8];
    memcpy(kept, header + AT_SUM, sizeof kept);
    memset(header + AT_SUM, 0, sizeof kept);
    uint64_t sum = sum_of(header, n_bytes, n_bytes);
    memcpy(header + AT_SUM, kept, sizeof kept);
    return sum;
}

void gm_packed_key(const gm_weights *w, const gm_arch *arch, const char *stamp,
                   uint8_t key[GM_PACKED_KEY])
{
    const uint64_t scaled[] = {arch->blocks.rows, arch->blocks.cols};
    gm_sha256 hash;
    gm_weights described = *w; /* listing buffers does not change them */
    gm_sha256_init(&hash);
    gm_sha256_update(&hash, stamp, strlen(stamp) + 1);
    const uint64_t four_bits[] = {arch->blocks.packing, arch->blocks.zeros, arch->blocks.above};
    if (arch->blocks.suffix) gm_sha256_update(&hash, scaled, sizeof scaled);
    if (arch->blocks.packing) gm_sha256_update(&hash, four_bits, sizeof four_bits);
    if (arch->n_delta > 0) gm_sha256_update(&hash, &arch->delta, offsetof(gm_delta, rank));
    for (size_t i = 0; i < w->n_layers + 2; i++) {
        gm_buf *list[GM_SECTION_BUFFERS];
        const size_t n = gm_section_buffers(&described, i, NULL, list);
        for (size_t b = 0; b < n; b++) {
            const uint64_t what[] = {PACKED_VERSION,
                                     i,
                                     b,
                                     list[b]->layout,
                                     list[b]->dtype,
                                     list[b]->count,
                                     list[b]->rows,
                                     list[b]->cols,
                                     list[b]->item_bytes,
                                     w->section[i].offset};
            gm_sha256_update(&hash, what, sizeof what);
        }
    }
    gm_sha256_final(&hash, key);
}

/* ---- reading ---- */

/* The header is read, not touched where it is mapped: that would bring the file's first megabytes
 * in by small pages, and it could no longer be used in place (gm_packed_is_huge). */
static gm_status check_header(gm_packed *p, const uint8_t *key, gm_error *err)
{
    gm_status status = GM_OK;
    const size_t n_bytes = p->header_bytes;
    const size_t n_here = n_bytes < p->map_bytes ? n_bytes : p->map_bytes;
    const uint64_t whole = n_bytes + image_bytes(p->section, p->n);
    unsigned char *copy = gm_alloc(n_bytes, 1);
    if (copy == NULL) GM_FAIL(GM_EMEM, "no memory to read '%s'", p->path);
    GM_TRY(gm_read_whole(p->fd, copy, n_here, n_here, 0, p->path, err));
    if (n_here < FIXED_BYTES || memcmp(copy, MAGIC, sizeof MAGIC) != 0)
        GM_FAIL(GM_EFORMAT, "'%s' is not a cache of packed weights", p->path);
    if (get_number(copy + AT_VERSION, 4) != PACKED_VERSION)
        GM_FAIL(GM_EFORMAT, "'%s' has version %" PRIu64 ", expected %d", p->path,
                get_number(copy + AT_VERSION, 4), PACKED_VERSION);
    if (memcmp(copy + AT_KEY, key, GM_PACKED_KEY) != 0 || get_number(copy + AT_SECTIONS, 4) != p->n)
        GM_FAIL(GM_EFORMAT,
                "'%s' is for another model, for weights that have changed since, or for another "
                "packing",
                p->path);
    if (p->map_bytes != whole || get_number(copy + AT_BYTES, 8) != whole - n_bytes)
        GM_FAIL(GM_EFORMAT, "'%s' has %zu bytes, expected %" PRIu64, p->path, p->map_bytes, whole);
    if (get_number(copy + AT_SUM, 8) != sum_of_header(copy, n_bytes))
        GM_FAIL(GM_EFORMAT, "the header of '%s' is damaged", p->path);
out:
    gm_free(copy);
    return status;
}

gm_status gm_packed_open(gm_packed **out, const char *path, const uint8_t key[GM_PACKED_KEY],
                         const gm_section *section, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    struct stat about;
    gm_packed *p = gm_alloc(1, sizeof *p);
    *out = NULL;
    if (p == NULL) return gm_fail(err, GM_EMEM, "no memory to open '%s'", path);
    *p = (gm_packed){
        .section = section, .n = n, .header_bytes = header_bytes(n), .fd = -1, .direct = -1};
    p->path = gm_copy_text(path, strlen(path));
    if (p->path == NULL) GM_FAIL(GM_EMEM, "no memory to open '%s'", path);
    p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would not open */
    if (p->fd < 0) GM_FAIL(GM_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(p->fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0)
        GM_FAIL(GM_EFORMAT, "'%s' is not a cache of packed weights", path);
    p->map_bytes = (size_t)about.st_size;
    void *map = mmap(NULL, p->map_bytes, PROT_READ, MAP_SHARED, p->fd, 0);
    if (map == MAP_FAILED) GM_FAIL(GM_EIO, "cannot map '%s': %s", path, strerror(errno));
    p->map = map;
    GM_TRY(check_header(p, key, err));
    p->direct = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    *out = p;
    p = NULL;
out:
    gm_packed_close(p);
    return status;
}

void gm_packed_close(gm_packed *p)
{
    if (p == NULL) return;
    if (p->map) munmap(p->map, p->map_bytes);
    if (p->fd >= 0) close(p->fd);
    if (p->direct >= 0) close(p->direct);
    gm_free(p->path);
    gm_free(p);
}

void *gm_packed_image(const gm_packed *p)
{
    return p->map + p->header_bytes;
}

bool gm_packed_is_huge(gm_packed *p, size_t n)
{
    enum { FEW = 4 };
    if (p->map_bytes < (size_t)FEW * HUGE_PAGE) return true;
    if (n > p->map_bytes) n = p->map_bytes;
    (void)madvise(p->map, p->map_bytes, MADV_HUGEPAGE);
    if (madvise(p->map, n, POPULATE_READ) != 0) return false;
    return gm_machine_huge_bytes(p->map) >= n / 10 * 9;
}

/* Bring in what is mapped, so that a disk that fails is an error and not a signal. Where the kernel
 * cannot, it comes in when it is read. */
static gm_status bring_in(const gm_packed *p, uint64_t offset, size_t n, gm_error *err)
{
    const size_t before = (size_t)(offset % (uint64_t)sysconf(_SC_PAGESIZE));
    if (madvise(p->map + (offset - before), before + n, POPULATE_READ) == 0 || errno != EFAULT)
        return GM_OK;
    return gm_fail(err, GM_EIO, "cannot read '%s' at byte %" PRIu64, p->path, offset);
}

size_t gm_packed_n_chunks(const gm_packed *p, size_t i)
{
    return (p->section[i].n_bytes + GM_READ_BYTES - 1) / GM_READ_BYTES;
}

gm_status gm_packed_read_chunk(const gm_packed *p, size_t i, size_t c, void *section, uint64_t *sum,
                               gm_error *err)
{
    const gm_section *s = &p->section[i];
    const size_t first = c * GM_READ_BYTES, left = s->n_bytes - first;
    const size_t n = left < GM_READ_BYTES ? left : GM_READ_BYTES;
    const uint64_t offset = p->header_bytes + s->offset + first;
    const void *at = p->map + offset;
    gm_status status = GM_OK;
    if (section) {
        const bool direct = p->direct >= 0 && !gm_is_cached(at, n);
        char *to = (char *)section + first;
        status = gm_read_whole(direct ? p->direct : p->fd, to, n, n, offset, p->path, err);
        at = to;
    } else {
        status = bring_in(p, offset, n, err);
    }
    if (status != GM_OK) return status;
    *sum += sum_of(at, n, c);
    return GM_OK;
}

gm_status gm_packed_check(const gm_packed *p, size_t i, uint64_t sum, gm_error *err)
{
    if (sum == get_number(p->map + FIXED_BYTES + 8 * i, 8)) return GM_OK;
    return gm_fail(err, GM_EFORMAT, "section %zu of '%s' is damaged; remove the file", i, p->path);
}

gm_status gm_packed_read(const gm_packed *p, size_t i, void *to, gm_error *err)
{
    gm_status status = GM_OK;
    uint64_t sum = 0;
    for (size_t c = 0; c < gm_packed_n_chunks(p, i); c++)
        GM_TRY(gm_packed_read_chunk(p, i, c, to, &sum, err));
    GM_TRY(gm_packed_check(p, i, sum, err));
out:
    return status;
}

/* ---- writing ---- */

gm_status gm_packed_begin(gm_packed_out **out, const char *path, const uint8_t key[GM_PACKED_KEY],
                          const gm_section *section, size_t n, gm_error *err)
{
    gm_status status = GM_OK;
    gm_packed_out *o = gm_alloc(1, sizeof *o);
    *out = NULL;
    if (o == NULL) return gm_fail(err, GM_EMEM, "no memory to write '%s'", path);
    *o = (gm_packed_out){.section = section, .n = n, .header_bytes = header_bytes(n)};
    o->header = gm_alloc(o->header_bytes, 1);
    const uint64_t all = o->header_bytes + image_bytes(section, n);
    const size_t buffered = all < HUGE_PAGE ? (size_t)all : HUGE_PAGE;
    o->buffer = gm_alloc(buffered, 1);
    if (!o->header || !o->buffer || n > MAX_SECTIONS)
        GM_FAIL(GM_EMEM, "no memory to write '%s'", path);
    memcpy(o->header, MAGIC, sizeof MAGIC);
    put_number(o->header + AT_VERSION, PACKED_VERSION, 4);
    put_number(o->header + AT_SECTIONS, n, 4);
    put_number(o->header + AT_BYTES, image_bytes(section, n), 8);
    memcpy(o->header + AT_KEY, key, GM_PACKED_KEY);
    GM_TRY(gm_outfile_open(&o->file, path, true, err));
    (void)setvbuf(gm_outfile_stream(o->file), o->buffer, _IOFBF, buffered);
    (void)!fwrite(o->header, 1, o->header_bytes, gm_outfile_stream(o->file)); /* its place */
    *out = o;
    o = NULL;
out:
    gm_packed_abort(o);
    return status;
}

void gm_packed_put(gm_packed_out *o, const void *section)
{
    const size_t i = o->next++, n_bytes = o->section[i].n_bytes;
    uint64_t sum = 0;
    for (size_t at = 0; at < n_bytes; at += GM_READ_BYTES) {
        const size_t n = n_bytes - at < GM_READ_BYTES ? n_bytes - at : GM_READ_BYTES;
        const char *chunk = (const char *)section + at;
        sum += sum_of(chunk, n, at / GM_READ_BYTES);
        (void)!fwrite(chunk, 1, n, gm_outfile_stream(o->file)); /* shows at the commit */
    }
    put_number(o->header + FIXED_BYTES + 8 * i, sum, 8);
}

gm_status gm_packed_commit(gm_packed_out *o, gm_error *err)
{
    FILE *stream = gm_outfile_stream(o->file);
    put_number(o->header + AT_SUM, sum_of_header(o->header, o->header_bytes), 8);
    if (fseek(stream, 0, SEEK_SET) == 0) (void)!fwrite(o->header, 1, o->header_bytes, stream);
    gm_status status = gm_outfile_commit(o->file, err);
    o->file = NULL;
    gm_packed_abort(o);
    return status;
}

void gm_packed_abort(gm_packed_out *o)
{
    if (o == NULL) return;
    gm_outfile_abort(o->file);
    gm_free(o->buffer); /* not before the stream is closed */
    gm_free(o->header);
    gm_free(o);
}

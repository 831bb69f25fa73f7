/* reader.c - see reader.h. */
#define _GNU_SOURCE /* mincore */
#include "engine/reader.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Checkpoints up to this size stay in the page cache for the next start. */
static const uint64_t SMALL_BYTES = (uint64_t)2 << 30;

void gm_reader_init(gm_reader *reader, const gm_checkpoint *checkpoint)
{
    *reader = (gm_reader){.checkpoint = checkpoint,
                          .borrowed = true,
                          .direct = gm_checkpoint_bytes(checkpoint) > SMALL_BYTES};
}

void gm_reader_use(gm_reader *reader, void *memory)
{
    reader->staging = memory;
}

gm_status gm_reader_create(gm_reader *reader, const gm_checkpoint *checkpoint, size_t most,
                           gm_error *err)
{
    gm_reader_init(reader, checkpoint);
    reader->borrowed = false;
    /* Both ends are rounded outwards, and gm_alloc aligns to less than a page. */
    reader->staging = gm_alloc((most / GM_DISK_PAGE + 4) * GM_DISK_PAGE, 1);
    if (reader->staging == NULL)
        return gm_fail(err, GM_EMEM, "no memory to read weights (%zu bytes)", most);
    return GM_OK;
}

void gm_reader_clear(gm_reader *reader)
{
    if (!reader->borrowed) gm_free(reader->staging);
    *reader = (gm_reader){0};
}

gm_status gm_read_whole(int fd, void *to, size_t n, size_t needed, uint64_t offset,
                        const char *where, gm_error *err)
{
    for (size_t done = 0; done < needed;) {
        ssize_t got = pread(fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return gm_fail(err, GM_EIO, "cannot read '%s': %s", where, strerror(errno));
        if (got == 0) return gm_fail(err, GM_EIO, "'%s' ended while it was being read", where);
        done += (size_t)got;
    }
    return GM_OK;
}

bool gm_is_cached(const void *mapped, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), off = (uintptr_t)mapped % page;
    const char *at = (const char *)mapped - off;
    unsigned char here[GM_READ_BYTES / GM_DISK_PAGE];
    for (size_t left = n + off, bytes; left > 0; left -= bytes, at += bytes) {
        bytes = left < GM_READ_BYTES ? left : GM_READ_BYTES;
        const size_t pages = (bytes + page - 1) / page;
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): mincore only reads, its type says not so */
        if (mincore((void *)(uintptr_t)at, bytes, here) != 0) return false;
        for (size_t i = 0; i < pages; i++)
            if ((here[i] & 1) == 0) return false;
    }
    return true;
}

gm_status gm_reader_get(gm_reader *reader, const gm_tensor *tensor, size_t first, size_t n,
                        const void **out, gm_error *err)
{
    gm_status status = GM_OK;
    const char *at = (const char *)tensor->data + first;
    unsigned char *staging = reader->staging;
    const bool direct = reader->direct && !gm_is_cached(at, n);
    uint64_t offset = 0;
    int fd = -1;
    *out = at; /* a tensor that lies in memory */
    GM_TRY(gm_checkpoint_reopen(reader->checkpoint, tensor, direct, &fd, &offset, err));
    if (fd < 0) goto out;
    offset += first;
    const size_t before = (size_t)(offset % GM_DISK_PAGE);
    const size_t whole = (before + n + GM_DISK_PAGE - 1) / GM_DISK_PAGE * GM_DISK_PAGE;
    staging += (GM_DISK_PAGE - (uintptr_t)staging % GM_DISK_PAGE) % GM_DISK_PAGE;
    GM_TRY(gm_read_whole(fd, staging, whole, before + n, offset - before, tensor->file, err));
    *out = staging + before;
out:
    if (fd >= 0) close(fd);
    return status;
}

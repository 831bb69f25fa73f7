/* h5_chunks.c - whole chunks of a dataset, unpacked by all threads: see h5_chunks.h. */
#include "formats/h5_chunks.h"

#include "formats/h5_filter.h"

enum { BATCH = 16, BATCH_BYTES = 8 << 20 }; /* chunks, and bytes of rows, in memory packed */

static bool packed_as_ours(hid_t list, bool *shuffle)
{
    static const H5Z_filter_t ours[] = {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE,
                                        H5Z_FILTER_FLETCHER32};
    int n = H5Pget_nfilters(list);
    *shuffle = n == 3;
    if (n != 2 && n != 3) return false;
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t values = 0;
        if (H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, 0, NULL, &config) !=
            ours[3 - n + i])
            return false;
    }
    return true;
}

void gm_h5_chunks_find(gm_h5_set *set, hid_t list)
{
    hsize_t chunk[GM_H5_MAX_RANK] = {0};
    set->chunk_rows = 0;
    set->item_bytes = H5Tget_size(set->type);
    if (H5Pget_layout(list) != H5D_CHUNKED || set->row_bytes == 0 || set->item_bytes == 0) return;
    if (H5Pget_chunk(list, GM_H5_MAX_RANK, chunk) != set->rank) return;
    for (int i = 1; i < set->rank; i++)
        if (chunk[i] != set->dim[i]) return;
    hid_t stored = H5Dget_type(set->id); /* floats of a size differ; HDF5 converts them */
    bool same = stored >= 0 && H5Tequal(stored, set->type) > 0;
    if (stored >= 0) H5Tclose(stored);
    if (same && packed_as_ours(list, &set->shuffle)) set->chunk_rows = (size_t)chunk[0];
}

/* The packed bytes of up to n chunks from row `first` on, one after another; returns how many
 * are there, no longer than packing makes them. */
static size_t fetch(const gm_h5_set *set, uint64_t first, size_t n, uint8_t *packed, size_t bound,
                    size_t size[BATCH])
{
    for (size_t i = 0; i < n; i++) {
        hsize_t at[GM_H5_MAX_RANK] = {first + i * set->chunk_rows}, bytes = 0;
        uint32_t left_out = 0; /* filters that this chunk did not go through */
        if (H5Dget_chunk_storage_size(set->id, at, &bytes) < 0 || bytes == 0 || bytes > bound)
            return i;
        if (H5Dread_chunk(set->id, H5P_DEFAULT, at, &left_out, packed + i * bound) < 0 ||
            left_out != 0)
            return i;
        size[i] = (size_t)bytes;
    }
    return n;
}

gm_status gm_h5_chunks_read(const gm_h5_set *set, uint64_t first, size_t n, uint8_t *out,
                            size_t *n_read, gm_error *err)
{
    gm_status status = GM_OK;
    size_t chunk_bytes = set->chunk_rows * set->row_bytes, n_chunks = n / set->chunk_rows;
    size_t batch = (size_t)BATCH_BYTES / chunk_bytes;
    batch = batch > BATCH ? BATCH : batch < 2 ? 2 : batch;
    if (batch > n_chunks) batch = n_chunks;
    size_t bound = gm_h5_pack_bound(chunk_bytes), size[BATCH];
    bool whole = true;
    *n_read = 0;
    uint8_t *packed = gm_alloc2(batch, bound, 1);
    uint8_t *scratch = set->shuffle ? gm_alloc2(batch, chunk_bytes, 1) : NULL;
    if (packed == NULL || (set->shuffle && scratch == NULL))
        GM_FAIL(GM_EMEM, "no memory to read '%s'", set->name);
    for (size_t done = 0; whole && done < n_chunks;) {
        size_t wanted = n_chunks - done < batch ? n_chunks - done : batch, failed = BATCH;
        size_t here = fetch(set, first + *n_read, wanted, packed, bound, size);
        uint8_t *to = out + done * chunk_bytes;
#pragma omp parallel for schedule(dynamic) reduction(min : failed) if (here > 1)
        for (size_t i = 0; i < here; i++) {
            uint8_t *spare = scratch ? scratch + i * chunk_bytes : NULL;
            if (!gm_h5_unpack(to + i * chunk_bytes, chunk_bytes, packed + i * bound, size[i],
                              set->item_bytes, spare) &&
                i < failed)
                failed = i;
        }
        size_t good = failed < here ? failed : here;
        whole = good == wanted;
        done += good;
        *n_read = done * set->chunk_rows;
    }
out:
    gm_free(packed);
    gm_free(scratch);
    return status;
}

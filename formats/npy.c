/* npy.c - see npy.h. */
#include "formats/npy.h"

#include <assert.h>
#include <inttypes.h>

/* magic, version, length of the header; the data begins at a multiple of 64 */
enum { FRONT = 10, ALIGN = 64 };
static const char magic[] = "\x93NUMPY\x01"; /* and a NUL: version 1.0 */

gm_status gm_npy_put_front(gm_text *out, const char *descr, const uint64_t *dim, int rank,
                           gm_error *err)
{
    assert(rank >= 1 && rank <= GM_NPY_MAX_RANK);
    gm_status status = GM_OK;
    gm_text header = {0};
    GM_TRY(
        gm_text_printf(&header, err, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr));
    for (int r = 0; r < rank; r++)
        GM_TRY(gm_text_printf(&header, err, r > 0 ? ", %" PRIu64 : "%" PRIu64, dim[r]));
    GM_TRY(gm_text_add(&header, rank == 1 ? ",), }" : "), }", err));
    while ((FRONT + header.n + 1) % ALIGN != 0) GM_TRY(gm_text_add(&header, " ", err));
    GM_TRY(gm_text_add(&header, "\n", err));
    const char length[2] = {(char)(header.n & 0xFF), (char)(header.n >> 8)};
    GM_TRY(gm_text_append(out, magic, sizeof magic, err));
    GM_TRY(gm_text_append(out, length, sizeof length, err));
    GM_TRY(gm_text_append(out, header.at, header.n, err));
out:
    gm_text_clear(&header);
    return status;
}

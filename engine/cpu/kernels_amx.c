/* kernels_amx.c - bf16 products on AMX tiles; every other loop as for AVX-512F.
 *
 * TDPBF16PS multiplies 16 rows x 32 inputs by 32 inputs x 16 outputs, in exactly the
 * order that kernels.h defines (per output an even and an odd chain, then added; no
 * denormals), so these products are bit-equal to plain C. A block of a panel is the B
 * tile as it lies in memory; A is packed here, up to 32 rows at a time, from rows of f32.
 */
/* gcc spells the macro __AMX_BF16__, clang before 17 __AMXBF16__ */
#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512F__)
#define _GNU_SOURCE /* syscall */
#define GM_LANES_AVX512
#define KERNELS      gm_kernels_amx
#define KERNELS_NAME "amx"
#define KERNELS_BF16 gemm_amx
#define SHAPES_F32   X(8, 2) X(4, 4) X(2, 8) X(1, 8)
#define SHAPES_BF16  X(8, 1) X(2, 4) X(1, 8)
#include "engine/cpu/kernels.h"

static gm_gemm gemm_amx;
#include "engine/cpu/kernels_body.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TILE = 16,      /* rows of A and C, outputs of B and C */
    ROW_BYTES = 64, /* of every tile: 32 bf16 or 16 f32 */
    TILE_BYTES = TILE * ROW_BYTES,
    MOST_ROWS = 2 * TILE,
    MOST_K = 4096 /* packed A stays on the stack: 256 KiB */
};

/* Eight whole tiles: 0 to 3 hold C, 4 and 5 A, 6 and 7 B. Static, so that no compiler
 * drops its stores (GCC 12 takes _tile_loadconfig to read eight bytes only). */
static const struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} whole_tiles __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

bool gm_amx_here(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if (!(d & AMX_BF16) || !(d & AMX_TILE)) return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* `n` rows of x, which hold bf16 values already (their upper halves are taken), as tiles
 * of A: for each 16 rows all blocks of 32 inputs. The last tile is filled with zeros. */
static void pack_rows(const float *x, size_t ldx, const uint32_t *row, size_t n, size_t blocks,
                      uint16_t *a)
{
    for (size_t r = 0; r < n || r % TILE != 0; r++) {
        uint16_t *to = a + (r / TILE * blocks * TILE + r % TILE) * K_BLOCK;
        const float *from = x + (row ? row[r < n ? r : 0] : r < n ? r : 0) * ldx;
        for (size_t b = 0; b < blocks; b++, from += K_BLOCK, to += (size_t)TILE * K_BLOCK) {
            if (r >= n) {
                memset(to, 0, ROW_BYTES);
                continue;
            }
            v16i low = v16i_down(v16i_load(from), 16);
            v16i high = v16i_down(v16i_load(from + LANES), 16);
            _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi32_epi16(low));
            _mm256_storeu_si256((__m256i *)(void *)(to + LANES), _mm512_cvtepi32_epi16(high));
        }
    }
}

/* Tiles of C: one or two of rows by one or two panels. */
static void multiply(const uint16_t *a, bool two_rows, const uint16_t *w, bool two_panels,
                     size_t blocks)
{
    enum { STEP = TILE * K_BLOCK }; /* elements of a tile of A or B */
    const uint16_t *a1 = a + blocks * STEP, *w1 = w + blocks * STEP;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t b = 0; b < blocks; b++) {
        _tile_loadd(4, a + b * STEP, ROW_BYTES);
        _tile_loadd(6, w + b * STEP, ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        if (two_panels) {
            _tile_loadd(7, w1 + b * STEP, ROW_BYTES);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (two_rows) {
            _tile_loadd(5, a1 + b * STEP, ROW_BYTES);
            _tile_dpbf16ps(2, 5, 6);
            if (two_panels) _tile_dpbf16ps(3, 5, 7);
        }
    }
}

/* The first `rows` rows of a tile of C, stored as `part`, to out. */
static void copy_part(const float *part, size_t rows, float *out, size_t ldo)
{
    for (size_t r = 0; r < rows && r < TILE; r++)
        v16_store(out + r * ldo, v16_load(part + r * TILE));
}

static void store_tiles(size_t rows, bool two_panels, float *out, size_t ldo)
{
    float part[4][TILE * TILE];
    _tile_stored(0, part[0], ROW_BYTES);
    copy_part(part[0], rows, out, ldo);
    if (two_panels) {
        _tile_stored(1, part[1], ROW_BYTES);
        copy_part(part[1], rows, out + TILE, ldo);
    }
    if (rows <= TILE) return;
    _tile_stored(2, part[2], ROW_BYTES);
    copy_part(part[2], rows - TILE, out + TILE * ldo, ldo);
    if (two_panels) {
        _tile_stored(3, part[3], ROW_BYTES);
        copy_part(part[3], rows - TILE, out + TILE * ldo + TILE, ldo);
    }
}

static void gemm_amx(const float *x, size_t ldx, const uint32_t *row, size_t m, const void *panels,
                     size_t k, size_t n_panels, float *out, size_t ldo)
{
    if (k > MOST_K) {
        gemm_bf16(x, ldx, row, m, panels, k, n_panels, out, ldo); /* the same bits */
        return;
    }
    uint16_t a[MOST_ROWS * MOST_K] __attribute__((aligned(64)));
    const size_t blocks = (k + K_BLOCK - 1) / K_BLOCK, panel_size = blocks * K_BLOCK * PANEL;
    _tile_loadconfig(&whole_tiles);
    for (size_t r = 0; r < m; r += MOST_ROWS) {
        size_t rows = m - r < MOST_ROWS ? m - r : MOST_ROWS;
        pack_rows(row ? x : x + r * ldx, ldx, row ? row + r : NULL, rows, blocks, a);
        for (size_t p = 0; p < n_panels; p += 2) {
            bool two_panels = p + 1 < n_panels;
            multiply(a, rows > TILE, (const uint16_t *)panels + p * panel_size, two_panels, blocks);
            store_tiles(rows, two_panels, out + r * ldo + p * PANEL, ldo);
        }
    }
    _tile_release();
}
#else
typedef int gm_no_amx_here; /* ISO C wants a declaration */
#endif

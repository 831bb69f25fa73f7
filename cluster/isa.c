/* isa.c - what this processor has. */
#define _GNU_SOURCE /* syscall */
#include "cluster/isa.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avx512f", "amx"};

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits 22, 24 and 25 of leaf 7: bfloat16 on tiles, tiles, bytes on tiles. Linux hands out their
 * registers on request. */
static bool has_amx(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    const unsigned amx = 1u << 22 | 1u << 24 | 1u << 25;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if ((d & amx) != amx) return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static gm_isa find_best(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return GM_ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq"))
        return GM_ISA_AVX2;
    return has_amx() ? GM_ISA_AMX : GM_ISA_AVX512F;
}
#else
static gm_isa find_best(void)
{
    return GM_ISA_PORTABLE;
}
#endif

gm_isa gm_isa_best(void)
{
    const gm_isa best = find_best();
    const char *asked = getenv("GM_KERNELS");
    for (int i = GM_ISA_PORTABLE; asked && i < (int)best; i++)
        if (strcmp(asked, names[i]) == 0) return (gm_isa)i;
    return best;
}

const char *gm_isa_name(gm_isa isa)
{
    return names[isa];
}

gm_status gm_isa_find(gm_isa *out, const char *name, gm_error *err)
{
    const gm_isa best = find_best();
    *out = gm_isa_best();
    if (name == NULL || strcmp(name, "auto") == 0) return GM_OK;
    for (int i = GM_ISA_PORTABLE; i <= GM_ISA_AMX; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (gm_isa)i;
        if (*out > best)
            return gm_fail(err, GM_EABSENT, "this processor has no '%s' kernels", name);
        return GM_OK;
    }
    return gm_fail(err, GM_EARG,
                   "unknown kernels '%s', expected auto, portable, avx2, avx512f or amx", name);
}

/* kernels_find.c - which kernels this processor has; the only place that asks. */
#include "engine/cpu/kernels.h"
#include "engine/engine.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <string.h>

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool has_avx512f(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx512bf16(void)
{
    enum { LEAF = 7, PART = 1, AVX512_BF16 = 1 << 5 };
    unsigned a, b, c, d;
    return has_avx512f() && __get_cpuid_count(LEAF, PART, &a, &b, &c, &d) && (a & AVX512_BF16);
}

static bool has_amx(void)
{
    return has_avx512f() && gm_amx_here();
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* Fastest first. */
static const struct choice {
    const gm_kernels *kernels;
    bool (*here)(void);
} choices[] = {
#if defined(__x86_64__)
    {&gm_kernels_amx, has_amx},         {&gm_kernels_avx512bf16, has_avx512bf16},
    {&gm_kernels_avx512f, has_avx512f}, {&gm_kernels_avx2, has_avx2},
#elif defined(__aarch64__)
    {&gm_kernels_neon, always},
#endif
    {&gm_kernels_portable, always},
};

const gm_kernels *gm_kernels_at(size_t i)
{
    return i < sizeof choices / sizeof choices[0] ? choices[i].kernels : NULL;
}

/* Those that not every processor has, nor every build: each is compiled for its own. */
static bool is_known(const char *name)
{
    static const char *const names[] = {"neon", "avx2", "avx512f", "avx512bf16", "amx"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

gm_status gm_kernels_find(const gm_kernels **out, const char *name, gm_error *err)
{
    *out = NULL;
    if (name && strcmp(name, "auto") == 0) name = NULL;
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const struct choice *c = &choices[i];
        if (name && strcmp(name, c->kernels->name) != 0) continue;
        if (c->here()) {
            *out = c->kernels;
            return GM_OK;
        }
    }
    if (name && is_known(name))
        return gm_fail(err, GM_EABSENT, "this processor has no '%s' kernels", name);
    return gm_fail(err, GM_EARG, "unknown kernels '%s', expected " GM_KERNELS, name);
}

gm_status gm_kernels_check(const char *name, gm_error *err)
{
    const gm_kernels *found;
    return gm_kernels_find(&found, name, NULL) == GM_EARG ? gm_kernels_find(&found, name, err)
                                                          : GM_OK;
}

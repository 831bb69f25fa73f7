/* test_isa.c - cluster/isa.c: names, and what is not there. */
#include "cluster/isa.h"

#include "tests/check.h"

/* The environment may ask for less than there is, not for more. */
static void the_environment_asks_for_less(void)
{
    gm_isa isa;
    gm_error err = {0};
    const gm_isa best = gm_isa_best();
    CHECK_INT(setenv("GM_KERNELS", "portable", 1), 0);
    CHECK_INT(gm_isa_best(), GM_ISA_PORTABLE);
    CHECK_OK(gm_isa_find(&isa, "auto", &err), err);
    CHECK_INT(isa, GM_ISA_PORTABLE);
    CHECK_OK(gm_isa_find(&isa, gm_isa_name(best), &err), err);
    CHECK_INT(isa, best);
    CHECK_INT(setenv("GM_KERNELS", "amx", 1), 0);
    CHECK_INT(gm_isa_best(), best);
    CHECK_INT(unsetenv("GM_KERNELS"), 0);
    CHECK_INT(gm_isa_best(), best);
}

static void names(void)
{
    gm_isa isa;
    gm_error err = {0};
    CHECK_OK(gm_isa_find(&isa, NULL, &err), err);
    CHECK_INT(isa, gm_isa_best());
    CHECK_OK(gm_isa_find(&isa, "auto", &err), err);
    CHECK_INT(isa, gm_isa_best());
    for (gm_isa i = GM_ISA_PORTABLE; i <= GM_ISA_AMX; i++) {
        if (i <= gm_isa_best()) {
            CHECK_OK(gm_isa_find(&isa, gm_isa_name(i), &err), err);
            CHECK_INT(isa, i);
        } else {
            CHECK_FAILS(gm_isa_find(&isa, gm_isa_name(i), &err), err, GM_EABSENT,
                        "this processor has no");
        }
    }
    CHECK_FAILS(gm_isa_find(&isa, "sse", &err), err, GM_EARG, "unknown kernels 'sse'");
}

TESTS(TEST(names), TEST(the_environment_asks_for_less))

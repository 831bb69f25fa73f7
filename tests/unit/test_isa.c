/* test_isa.c - cluster/isa.c: names, and what is not there. */
#include "cluster/isa.h"

#include "tests/check.h"

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

TESTS(TEST(names))

/* test_cluster_verdict.c - cluster/cluster_verdict.c: thresholds, and what is printed of a quality
 * JSON. What fit says of a trace: test_analysis.c. */
#include "cluster/cluster_verdict.h"

#include "base/text.h"
#include "tests/check.h"

static void figures_are_judged(void)
{
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.95), GM_VERDICT_TRUST);
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.9), GM_VERDICT_TRUST);
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.85), GM_VERDICT_FAIR);
    CHECK_INT(gm_threshold_judge("trustworthiness", 0.79), GM_VERDICT_DOUBT);
    CHECK_INT(gm_threshold_judge("noise_share", 0.1), GM_VERDICT_TRUST); /* less is better */
    CHECK_INT(gm_threshold_judge("noise_share", 0.3), GM_VERDICT_FAIR);
    CHECK_INT(gm_threshold_judge("noise_share", 0.41), GM_VERDICT_DOUBT);
    CHECK_INT(gm_threshold_judge("dbcv", (double)NAN), GM_VERDICT_FAIR);
    CHECK_INT(gm_threshold_judge("ari", 0.01), GM_VERDICT_FAIR); /* never a gate */
    CHECK(gm_threshold_find("ari") == NULL && gm_threshold_find("seed_jaccard") != NULL);
}

static void check_printed(const char *quality, const char *want)
{
    gm_error err = {0};
    gm_text got = {0};
    FILE *to = fopen("said.txt", "w");
    CHECK_OK(gm_verdict_print(to, quality, &err), err);
    fclose(to);
    CHECK_OK(gm_text_read_file(&got, "said.txt", 1 << 20, &err), err);
    CHECK_TEXT(got.at ? got.at : "", want);
    gm_text_clear(&got);
}

static void doubts_come_first(void)
{
    check_printed("{\"verdict\":[{\"level\":\"trust\",\"text\":\"A\"},{\"level\":\"doubt\","
                  "\"text\":\"B\\u001b[2J\"},{\"level\":\"fair\",\"text\":\"C\"},{\"level\":1},"
                  "{\"text\":\"D\"},7]}",
                  "doubt B\\x1b[2J\nfair  C\ntrust A\n");
    check_printed("{}", "");
    check_printed("", "");
    check_printed("{\"verdict\":null}", "");
}

TESTS(TEST(figures_are_judged), TEST(doubts_come_first))

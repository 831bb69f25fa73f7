/* test_language.c - text/language.h: languages of short texts; where the build has no CLD2, none.
 */
#include "text/language.h"

#include "tests/check.h"

static const char *const KNOWN[][2] = {
    {"en", "The ship left the harbour early in the morning, and nobody on the shore saw it go."},
    {"ru", "Корабль вышел из гавани рано утром, и никто на берегу не видел, как он ушёл."},
    {"uk", "Корабель вийшов із гавані рано вранці, і ніхто на березі не бачив, як він пішов."},
    {"de", "Das Schiff verließ den Hafen früh am Morgen, und niemand am Ufer sah es auslaufen."},
    {"fr", "Le navire a quitté le port tôt le matin, et personne sur la rive ne l'a vu partir."},
    {"pl", "Statek opuścił port wcześnie rano i nikt na brzegu nie widział, jak odpływał."},
    {"he", "האונייה עזבה את הנמל מוקדם בבוקר ואיש על החוף לא ראה אותה יוצאת לדרך."},
    {"zh", "这艘船一大早就离开了港口，岸上没有人看见它离开。"}};
enum { N_KNOWN = sizeof KNOWN / sizeof *KNOWN };

static void languages_are_told_apart(void)
{
    if (!gm_language_is_there()) TEST_SKIP("this build has no CLD2");
    for (int i = 0; i < N_KNOWN; i++)
        CHECK_TEXT(gm_language_of(KNOWN[i][1], strlen(KNOWN[i][1])), KNOWN[i][0]);
}

static void what_says_nothing_has_none(void)
{
    CHECK_TEXT(gm_language_of("", 0), "");
    CHECK_TEXT(gm_language_of("12 + 30 = 42; 7, 8, 9", 21), "");
    const char *runes = "ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾᛁᛃ ᛇᛈᛉᛊᛏᛒ ᛖᛗᛚᛜᛞᛟ";
    CHECK_TEXT(gm_language_of(runes, strlen(runes)), "");
    CHECK_TEXT(gm_language_of("\0\x01\xFF\xFE", 4), "");
}

/* The beginning decides, cut at a character; controls and what is no UTF-8 do no harm. */
static void the_first_bytes_decide(void)
{
    static char text[3 * GM_LANGUAGE_BYTES];
    if (!gm_language_is_there()) TEST_SKIP("this build has no CLD2");
    const char *german = KNOWN[3][1], *russian = KNOWN[1][1];
    size_t n = 0;
    while (n < GM_LANGUAGE_BYTES - 3) text[n] = german[n % strlen(german)], n++;
    for (size_t i = 0; n < sizeof text; i++) text[n++] = russian[i % strlen(russian)];
    CHECK_TEXT(gm_language_of(text, n), "de");
    for (const char *at = text + GM_LANGUAGE_BYTES - 3; at < text + GM_LANGUAGE_BYTES + 20; at++)
        if (((unsigned char)*at & 0xC0) != 0x80) /* the cut falls within a letter for some */
            CHECK_TEXT(gm_language_of(at, 1500), "ru");
    for (size_t i = 0; i < GM_LANGUAGE_BYTES; i += 20) text[i] = i % 40 ? '\0' : '\x07';
    CHECK_TEXT(gm_language_of(text, n), "de");
    text[300] = '\xFF';
    CHECK_TEXT(gm_language_of(text, n), "de");
}

TESTS(TEST(languages_are_told_apart), TEST(what_says_nothing_has_none),
      TEST(the_first_bytes_decide))

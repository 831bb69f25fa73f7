/* stop_words.h - lists of words without a topic (inside text/). */
#ifndef GM_STOP_WORDS_H
#define GM_STOP_WORDS_H

#include "text/words.h"

/* The words of one language, lower case, each followed by a space. */
const char *gm_stop_list(gm_stop_words language);

#endif

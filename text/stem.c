/* stem.c - Snowball stems. */
#include "text/words.h"

#include <libstemmer.h>

#include <string.h>

struct gm_stemmer {
    struct sb_stemmer *english, *russian;
};

gm_status gm_stemmer_create(gm_stemmer **out, gm_error *err)
{
    gm_stemmer *stemmer = gm_alloc(1, sizeof *stemmer);
    *out = stemmer;
    if (stemmer) {
        stemmer->english = sb_stemmer_new("english", "UTF_8");
        stemmer->russian = sb_stemmer_new("russian", "UTF_8");
    }
    if (stemmer == NULL || stemmer->english == NULL || stemmer->russian == NULL) {
        gm_stemmer_free(stemmer);
        *out = NULL;
        return gm_fail(err, GM_EMEM, "no memory for the stemmers");
    }
    return GM_OK;
}

void gm_stemmer_free(gm_stemmer *stemmer)
{
    if (stemmer == NULL) return;
    sb_stemmer_delete(stemmer->english);
    sb_stemmer_delete(stemmer->russian);
    gm_free(stemmer);
}

/* U+0400..U+04FF is two bytes, the first 0xD0 to 0xD3. */
static bool has_cyrillic(const char *word)
{
    for (const unsigned char *at = (const unsigned char *)word; *at; at++)
        if (*at >= 0xD0 && *at <= 0xD3) return true;
    return false;
}

const char *gm_stem(gm_stemmer *stemmer, const char *word, size_t *n_bytes)
{
    struct sb_stemmer *language = has_cyrillic(word) ? stemmer->russian : stemmer->english;
    const sb_symbol *stem = sb_stemmer_stem(language, (const sb_symbol *)word, (int)strlen(word));
    if (stem == NULL) { /* no memory: the word is its own stem */
        *n_bytes = strlen(word);
        return word;
    }
    *n_bytes = (size_t)sb_stemmer_length(language);
    return (const char *)stem;
}

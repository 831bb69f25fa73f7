/* tokenizer_parts.h - what a tokenizer is made of; private to this folder. */
#ifndef GM_TOKENIZER_PARTS_H
#define GM_TOKENIZER_PARTS_H

#include "engine/tokenizer/added.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/decoder.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/splitter.h"
#include "engine/tokenizer/template.h"
#include "engine/tokenizer/tokenizer.h"

/* In the order in which a text meets them. */
struct gm_tokenizer {
    gm_added added;
    gm_normalizer normalizer;
    gm_splitter splitter;
    gm_bpe bpe;
    gm_template template;
    gm_decoder decoder;
    size_t size;
    char digest[65];
};

#endif

/* language.cpp - CLD2 behind C functions. See language.h. */
#include "text/language.h"

#include <cstdio> /* CLD2's header uses both */
#include <cstring>
#include <new>

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>

bool gm_language_is_there(void)
{
    return true;
}

/* Codes that CLD2 kept from before ISO changed them; "xx-Runr" is a script, of no language. */
static const char *code_of(CLD2::Language language)
{
    static const char *const today[][2] = {
        {"iw", "he"}, {"jw", "jv"}, {"in", "id"}, {"mo", "ro"}, {"sh", "sr"}};
    const char *code = CLD2::LanguageCode(language);
    if (std::strncmp(code, "xx", 2) == 0) return "";
    for (const auto &pair : today)
        if (std::strcmp(code, pair[0]) == 0) return pair[1];
    return code;
}

static const char *find_language(const char *bytes, size_t n)
{
    char text[GM_LANGUAGE_BYTES];
    size_t length = n < sizeof text ? n : sizeof text;
    if (n > length) /* not within a character */
        while (length > 0 && (static_cast<unsigned char>(bytes[length]) & 0xC0) == 0x80) length--;
    for (size_t i = 0; i < length; i++) { /* CLD2 stops at control characters */
        const unsigned char c = static_cast<unsigned char>(bytes[i]);
        text[i] = c < 0x20 || c == 0x7F ? ' ' : bytes[i];
    }
    CLD2::Language best[3];
    int percent[3], n_letters, n_valid;
    double score[3];
    bool reliable;
    const CLD2::CLDHints none = {nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
    CLD2::Language found = CLD2::UNKNOWN_LANGUAGE;
    for (int tries = 0; tries < 2 && length > 0; tries++) { /* again up to what it does not take */
        found = CLD2::ExtDetectLanguageSummaryCheckUTF8(text, static_cast<int>(length), true, &none,
                                                        0, best, percent, score, nullptr,
                                                        &n_letters, &reliable, &n_valid);
        if (n_valid < 0 || static_cast<size_t>(n_valid) >= length) break;
        length = static_cast<size_t>(n_valid);
    }
    return found == CLD2::UNKNOWN_LANGUAGE ? "" : code_of(found);
}

const char *gm_language_of(const char *bytes, size_t n)
{
    try {
        return find_language(bytes, n);
    } catch (const std::bad_alloc &) { /* CLD2 asks for its memory with new */
        return nullptr;
    }
}

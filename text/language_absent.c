/* language_absent.c - in place of language.cpp where there is no C++ compiler or no CLD2. */
#include "text/language.h"

bool gm_language_is_there(void)
{
    return false;
}

const char *gm_language_of(const char *bytes, size_t n)
{
    (void)bytes, (void)n;
    return "";
}

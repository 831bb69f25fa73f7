/* schedule.c - see schedule.h. */
#include "formats/schedule.h"

#include "base/text.h"

#include <string.h>

static const char *const names[] = {"constant", "first", "rise", "fade"};

bool gm_schedule_parse(gm_schedule *out, const char *text)
{
    int64_t n;
    *out = (gm_schedule){GM_SCHEDULE_CONSTANT, 0};
    if (strcmp(text, names[GM_SCHEDULE_CONSTANT]) == 0) return true;
    for (int kind = GM_SCHEDULE_FIRST; kind <= GM_SCHEDULE_FADE; kind++) {
        size_t length = strlen(names[kind]);
        if (strncmp(text, names[kind], length) != 0 || text[length] != ':') continue;
        if (!gm_parse_i64(text + length + 1, &n) || n < 1 || n > GM_SCHEDULE_MAX) return false;
        *out = (gm_schedule){(gm_schedule_kind)kind, (int)n};
        return true;
    }
    return false;
}

const char *gm_schedule_show(char text[24], gm_schedule s)
{
    if (s.kind == GM_SCHEDULE_CONSTANT)
        snprintf(text, 24, "%s", names[s.kind]);
    else
        snprintf(text, 24, "%s:%d", names[s.kind], s.n);
    return text;
}

bool gm_schedule_is_ramp(gm_schedule s)
{
    return s.kind == GM_SCHEDULE_RISE || s.kind == GM_SCHEDULE_FADE;
}

int gm_schedule_parts(gm_schedule s)
{
    return gm_schedule_is_ramp(s) ? s.n : 1;
}

int gm_schedule_at(gm_schedule s, size_t i)
{
    const size_t n = (size_t)s.n;
    switch (s.kind) {
    case GM_SCHEDULE_FIRST: return i < n;
    case GM_SCHEDULE_RISE: return i < n ? (int)i + 1 : s.n;
    case GM_SCHEDULE_FADE: return i < n ? s.n - (int)i : 0;
    case GM_SCHEDULE_CONSTANT: break;
    }
    return 1;
}

/* h5_fail.c - an error of an HDF5 call as one sentence: see h5.h. */
#include "formats/h5.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Walking upwards starts at the innermost function: its description is the reason. Of a
 * failed system call it says more than anyone wants to read: only its message is kept. */
static herr_t keep_innermost(unsigned depth, const H5E_error2_t *entry, void *reason)
{
    static const char before[] = "error message = '";
    if (depth != 0 || entry->desc == NULL) return 0;
    const char *system = strstr(entry->desc, before);
    const char *text = system ? system + strlen(before) : entry->desc;
    int n = (int)(system ? strcspn(text, "'") : strlen(text));
    snprintf(reason, 160, "%.*s", n, text);
    return 0;
}

#undef gm_h5_fail /* what an analyzer sees elsewhere */
gm_status gm_h5_fail(gm_error *err, gm_status code, hid_t object, const char *fmt, ...)
{
    char what[512], reason[160] = "", path[256] = "";
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);

    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    if (object >= 0) H5Fget_name(object, path, sizeof path);
    return gm_fail(err, code, "%s%s%s%s%s%s%s", *path ? "'" : "", path, *path ? "': " : "", what,
                   *reason ? " (" : "", reason, *reason ? ")" : "");
}

/* version.c - what this program is and how it was built.
 *
 * The texts come from version_info.h, which every build writes anew when they
 * have changed (scripts/cmake/gm_version.cmake).
 */
#include "base/version.h"

#include "version_info.h" /* in the build folder */

#include <gnu/libc-version.h>

const char gm_version[] = GM_VERSION;
const char gm_build_commit[] = GM_COMMIT;
const char gm_build_flags[] = GM_BUILD_FLAGS;
#if defined(__clang__)
const char gm_compiler[] = "clang " __clang_version__;
#else
const char gm_compiler[] = "gcc " __VERSION__;
#endif

void gm_version_put(gm_json_out *out)
{
    static const char *const libraries[] = {GM_LIBRARIES NULL}; /* name, version, name, ... */

    gm_json_put_string(out, "version", gm_version);
    gm_json_put_string(out, "commit", gm_build_commit);
    gm_json_put_string(out, "compiler", gm_compiler);
    gm_json_put_string(out, "flags", gm_build_flags);
    gm_json_open_object(out, "libraries");
    gm_json_put_string(out, "glibc", gnu_get_libc_version());
    gm_json_put_string(out, "cjson", gm_json_library_version());
    for (const char *const *at = libraries; *at != NULL; at += 2)
        gm_json_put_string(out, at[0], at[1]);
    gm_json_close_object(out);
}

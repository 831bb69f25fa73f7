/* version.h - what this program is and how it was built: the provenance record.
 *
 * gm_version is "0.1.0"; gm_build_commit the git commit at build time with "+" when
 * the tree was changed, or "unknown". gm_build_flags are the compiler's, of the
 * build type; the libraries' versions are those found when the build was made.
 */
#ifndef GM_VERSION_H
#define GM_VERSION_H

#include "base/json.h"

extern const char gm_version[];
extern const char gm_build_commit[];
extern const char gm_compiler[];
extern const char gm_build_flags[];

/* Write version, commit, compiler, flags and libraries (an object: name to
 * version) as members of an object that the caller has opened. */
void gm_version_put(gm_json_out *out);

#endif

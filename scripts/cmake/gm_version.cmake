# Writes version_info.h: run by every build, so that the commit in the provenance
# record is the one that was built and not the one that was configured.
#
#   cmake -D INFO=FILE -D SOURCE=DIR -D VERSION=V -D FLAGS=F -D LIBRARIES="a 1;b 2" -P gm_version.cmake

set(commit unknown)
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE head OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(NOT failed)
    set(commit ${head})
    execute_process(COMMAND ${GIT} -C ${SOURCE} status --porcelain --untracked-files=no
      OUTPUT_VARIABLE changes ERROR_QUIET)
    if(NOT changes STREQUAL "")
      string(APPEND commit "+")
    endif()
  endif()
endif()

set(libraries "")
foreach(library IN LISTS LIBRARIES)
  string(REPLACE " " "\", \"" pair "${library}")
  string(APPEND libraries "\"${pair}\", ")
endforeach()

file(CONFIGURE OUTPUT ${INFO} CONTENT [[
/* Written by scripts/cmake/gm_version.cmake. */
#define GM_VERSION "@VERSION@"
#define GM_COMMIT "@commit@"
#define GM_BUILD_FLAGS "@FLAGS@"
#define GM_LIBRARIES @libraries@
]] @ONLY)

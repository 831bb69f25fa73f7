# What the toolkit is built from: finds every library once, as an imported target.
# Versions and reasons stand in README, "Dependencies".

find_package(Threads REQUIRED)
find_package(OpenMP COMPONENTS C)

# gm_need(library debian fedora FOUND...): remembers a library of which one of the variables FOUND says that it is not here.
set(gm_missing "")
macro(gm_need library debian fedora)
  foreach(found ${ARGN})
    if(NOT ${found})
      string(APPEND gm_missing "\n  ${library} (Debian: ${debian}; Fedora: ${fedora})")
      break()
    endif()
  endforeach()
endmacro()

# gm_module(NAME "modules" library debian fedora): the same of a library that pkg-config knows, as PkgConfig::NAME.
macro(gm_module name modules)
  pkg_check_modules(${name} QUIET IMPORTED_TARGET ${modules})
  gm_need(${ARGN} ${name}_FOUND)
endmacro()

# Found as files, not by pkg-config: an engine-only build may have them in GM_DEPS.
find_path(CJSON_INCLUDE_DIR cjson/cJSON.h)
find_library(CJSON_LIBRARY cjson)
gm_need(cJSON libcjson-dev cjson-devel CJSON_INCLUDE_DIR CJSON_LIBRARY)
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h)
gm_need(Random123 librandom123-dev Random123-devel RANDOM123_INCLUDE_DIR)

if(GM_PARTS STREQUAL "all")
  find_package(PkgConfig)
  # As files, too: not every HDF5 comes with a module, and Debian's has a name of its own.
  find_path(HDF5_INCLUDE_DIR hdf5_hl.h PATH_SUFFIXES hdf5/serial)
  find_library(HDF5_LIBRARY NAMES hdf5_serial hdf5)
  find_library(HDF5_HL_LIBRARY NAMES hdf5_serial_hl hdf5_hl)
  gm_need(HDF5 libhdf5-dev hdf5-devel HDF5_INCLUDE_DIR HDF5_LIBRARY HDF5_HL_LIBRARY)
  find_package(ZLIB)
  gm_need(zlib zlib1g-dev zlib-devel ZLIB_FOUND)
  find_library(STEMMER_LIBRARY stemmer)
  find_path(STEMMER_INCLUDE_DIR libstemmer.h)
  gm_need(libstemmer libstemmer-dev libstemmer-devel STEMMER_LIBRARY STEMMER_INCLUDE_DIR)
  # node-d3: scripts that the HTML page carries; `share` of another prefix in CMAKE_PREFIX_PATH
  find_path(GM_D3_MODULES d3-zoom/dist/d3-zoom.min.js PATH_SUFFIXES share/nodejs nodejs)
  find_file(GM_D3_LICENCE copyright PATHS ${GM_D3_MODULES}/../doc/node-d3 NO_DEFAULT_PATH)
  gm_need("d3 5, as node-d3 has it" node-d3 none GM_D3_MODULES GM_D3_LICENCE)
  if(PKG_CONFIG_FOUND)
    gm_module(GSL gsl GSL libgsl-dev gsl-devel)
    gm_module(PCRE2 libpcre2-8 PCRE2 libpcre2-dev pcre2-devel)
    gm_module(UTF8PROC libutf8proc utf8proc libutf8proc-dev utf8proc-devel)
    gm_module(ZSTD libzstd zstd libzstd-dev libzstd-devel)
    gm_module(CAIRO "cairo;pangocairo" "cairo and pango" "libcairo2-dev, libpango1.0-dev" "cairo-devel, pango-devel")
    if(BUILD_TESTING)
      gm_module(CMOCKA cmocka "cmocka, unless -D BUILD_TESTING=OFF" libcmocka-dev libcmocka-devel)
    endif()
    pkg_check_modules(MICROHTTPD QUIET IMPORTED_TARGET libmicrohttpd)
  else()
    gm_need("pkg-config, to look for others" pkgconf pkgconf PKG_CONFIG_FOUND)
  endif()
endif()

if(gm_missing)
  message(FATAL_ERROR "The build needs what was not found:${gm_missing}\n"
    "On Debian scripts/setup installs all of it, or unpacks it without root: then say\n  . deps/env\n"
    "and repeat this. Libraries that are elsewhere are found with\n  -D CMAKE_PREFIX_PATH=FOLDER\n"
    "More: CONTRIBUTING.md, Libraries.")
endif()

add_library(gm_cjson UNKNOWN IMPORTED)
set_target_properties(gm_cjson PROPERTIES IMPORTED_LOCATION ${CJSON_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${CJSON_INCLUDE_DIR})
if(GM_PARTS STREQUAL "all")
  add_library(gm_hdf5 UNKNOWN IMPORTED)
  set_target_properties(gm_hdf5 PROPERTIES IMPORTED_LOCATION ${HDF5_LIBRARY} INTERFACE_LINK_LIBRARIES ${HDF5_HL_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${HDF5_INCLUDE_DIR})
  file(STRINGS ${HDF5_INCLUDE_DIR}/H5public.h HDF5_VERSION REGEX "H5_VERS_INFO +\"")
  string(REGEX REPLACE ".*version:? ([0-9.]+).*" "\\1" HDF5_VERSION "${HDF5_VERSION}")
  if(NOT MICROHTTPD_FOUND)
    message(STATUS "left out: gm-steer serve, which needs libmicrohttpd")
  endif()
endif()

include(CheckLanguage)

# hnswlib is C++, headers only: without a C++ compiler, or without it, a build finds exact neighbours.
set(GM_HAVE_HNSW OFF)
if(GM_PARTS STREQUAL "all")
  check_language(CXX)
  find_path(HNSW_INCLUDE_DIR hnswlib/hnswlib.h)
  if(CMAKE_CXX_COMPILER AND HNSW_INCLUDE_DIR)
    set(GM_HAVE_HNSW ON)
  else()
    message(STATUS "left out: approximate neighbours, which need hnswlib and a C++ compiler")
  endif()
endif()

# CLD2 is C++ too; without it no language is guessed.
set(GM_HAVE_CLD2 OFF)
if(GM_PARTS STREQUAL "all")
  find_path(CLD2_INCLUDE_DIR cld2/public/compact_lang_det.h)
  find_library(CLD2_LIBRARY cld2)
  if(CMAKE_CXX_COMPILER AND CLD2_INCLUDE_DIR AND CLD2_LIBRARY)
    set(GM_HAVE_CLD2 ON)
  else()
    message(STATUS "left out: languages of texts, which need CLD2 and a C++ compiler")
  endif()
endif()

set(GM_HAVE_CUDA OFF)
if(NOT GM_CUDA STREQUAL "OFF")
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(GM_HAVE_CUDA ON)
  elseif(GM_CUDA STREQUAL "ON")
    message(FATAL_ERROR "GM_CUDA is ON but no CUDA compiler was found")
  endif()
endif()

# "name version" of each library found, for the provenance record.
set(GM_LIBRARY_VERSIONS "")
foreach(library HDF5 GSL PCRE2 UTF8PROC ZSTD ZLIB CAIRO MICROHTTPD)
  if(${library}_VERSION)
    string(TOLOWER ${library} name)
    list(APPEND GM_LIBRARY_VERSIONS "${name} ${${library}_VERSION}")
  endif()
endforeach()
if(GM_HAVE_CUDA)
  list(APPEND GM_LIBRARY_VERSIONS "cuda ${CUDAToolkit_VERSION}")
endif()

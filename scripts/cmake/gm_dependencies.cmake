# What the toolkit is built from: finds every library once, as an imported target.
# Versions and reasons stand in README, "Dependencies".

find_package(Threads REQUIRED)
find_package(OpenMP COMPONENTS C)

# Found as files, not by pkg-config: an engine-only build may have them in GM_DEPS.
find_path(CJSON_INCLUDE_DIR cjson/cJSON.h REQUIRED)
find_library(CJSON_LIBRARY cjson REQUIRED)
add_library(gm_cjson UNKNOWN IMPORTED)
set_target_properties(gm_cjson PROPERTIES IMPORTED_LOCATION ${CJSON_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES ${CJSON_INCLUDE_DIR})
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h REQUIRED)

if(GM_PARTS STREQUAL "all")
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial)
  find_library(HDF5_HL_LIBRARY NAMES hdf5_serial_hl hdf5_hl REQUIRED)
  pkg_check_modules(GSL REQUIRED IMPORTED_TARGET gsl)
  pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
  pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
  pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
  pkg_check_modules(CAIRO REQUIRED IMPORTED_TARGET cairo pangocairo)
  pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
  find_package(ZLIB REQUIRED)
  find_library(STEMMER_LIBRARY stemmer REQUIRED)
  find_path(STEMMER_INCLUDE_DIR libstemmer.h REQUIRED)
  # node-d3: scripts that the HTML page carries; `share` of another prefix in CMAKE_PREFIX_PATH
  find_path(GM_D3_MODULES d3-zoom/dist/d3-zoom.min.js PATH_SUFFIXES share/nodejs nodejs REQUIRED)
  find_file(GM_D3_LICENCE copyright PATHS ${GM_D3_MODULES}/../doc/node-d3 NO_DEFAULT_PATH REQUIRED)
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

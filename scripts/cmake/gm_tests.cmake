# How tests are built and registered. A test is a file in the right folder; nothing
# else has to be edited:
#
#   tests/unit/test_NAME.c    -> unit.NAME     tests/golden/test_NAME.c -> golden.NAME
#   tests/twin/test_NAME.c    -> twin.NAME     tests/cli/NAME.cmd       -> cli.NAME.threads-N
#   tests/cli/test_NAME.py    -> cli.NAME      tests/fuzz/fuzz_NAME.c   -> fuzz.NAME (replay)
#
# A test links the libraries of the folders it includes headers from, and HDF5 where it
# includes that itself. Its first lines may name a further label, "label: WORD":
#
#   slow     left out of the sanitizers' runs
#   threads  about what threads share: also run under ThreadSanitizer; the target
#            `threads` builds these tests alone
#   long     begins before the others, so that no core waits for it at the end

set(GM_TEST_SKIPPED 77)
find_program(GM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH DOC "Python of the tests: Debian's")
find_program(GM_PYTHON python3 REQUIRED)

# What every test's process finds around it.
set(GM_TEST_ENVIRONMENT
  OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 GM_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
  "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1"
  "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0"
  "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1" "TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1")
if(GM_SANITIZE)
  list(APPEND GM_TEST_ENVIRONMENT GM_TEST_SMALL=1) # tests/check.h, test_small
endif()

# gm_libraries_of(OUT source): the libraries of the folders whose headers a source
# includes ("probe/..." -> gm_probe_parts); what they need comes with them. Empty
# when this build lacks one of them: then the source is left out.
function(gm_libraries_of out source)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(STRINGS ${source} includes REGEX "^#include \"[a-z]+/")
  set(found "")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE "^#include \"([a-z/]+)/.*" "\\1" folder ${include})
    if(folder MATCHES "^tests(/|$)")
      continue()
    elseif(folder MATCHES "^engine/(tokenizer|chat)$")
      set(candidates gm_${CMAKE_MATCH_1})
    else()
      string(REGEX REPLACE "/.*" "" folder ${folder})
      set(candidates gm_${folder}_parts gm_${folder})
    endif()
    set(existing "")
    foreach(target IN LISTS candidates)
      if(TARGET ${target})
        list(APPEND existing ${target})
      endif()
    endforeach()
    if(NOT existing)
      message(STATUS "left out: ${source} needs ${folder}/")
      set(${out} "" PARENT_SCOPE)
      return()
    endif()
    list(APPEND found ${existing})
  endforeach()
  file(STRINGS ${source} hdf5 REGEX "^#include <hdf5\\.h>")
  if(hdf5 AND found) # a test that makes files our writer never would
    list(APPEND found gm_hdf5)
  endif()
  list(REMOVE_DUPLICATES found)
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# The labels of a test: its kind, and those that its source names.
function(gm_labels_of out kind source)
  set(labels ${kind})
  file(STRINGS ${source} lines LIMIT_COUNT 20 REGEX "label: (slow|threads|long)( \\*/)?$")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE ".*label: ([a-z]+).*" "\\1" word "${line}")
    list(APPEND labels ${word})
  endforeach()
  set(${out} "${labels}" PARENT_SCOPE)
endfunction()

add_custom_target(threads)

# Common properties; each test starts in a folder of its own, which may hold what it left there.
function(gm_register name labels)
  set(folder ${CMAKE_BINARY_DIR}/test-work/${name})
  file(MAKE_DIRECTORY ${folder})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT 900
    SKIP_RETURN_CODE ${GM_TEST_SKIPPED} WORKING_DIRECTORY ${folder}
    ENVIRONMENT "${GM_TEST_ENVIRONMENT}")
  if("long" IN_LIST labels)
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
  if(NOT "gpu" IN_LIST labels) # what they compare is the CPU's, also where there is a GPU
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT CUDA_VISIBLE_DEVICES=)
  endif()
endfunction()

# gm_add_test_program(label source): label.NAME from label/test_NAME.c.
function(gm_add_test_program label source)
  get_filename_component(program ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "${label}." name ${program})
  gm_libraries_of(libraries ${source})
  if(NOT libraries AND GM_PARTS STREQUAL "all") # it would vanish without a word
    message(FATAL_ERROR "${source} includes no header of a folder that is built")
  elseif(NOT libraries)
    return()
  endif()
  add_executable(${program} ${source})
  target_link_libraries(${program} PRIVATE ${libraries} gm_flags
    $<TARGET_NAME_IF_EXISTS:OpenMP::OpenMP_C>)
  target_compile_definitions(${program} PRIVATE TEST_DATA="${PROJECT_SOURCE_DIR}/tests")
  set_target_properties(${program} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${label})
  if(label STREQUAL "unit")
    target_link_libraries(${program} PRIVATE PkgConfig::CMOCKA)
    target_compile_definitions(${program} PRIVATE GM_HAVE_CMOCKA)
  endif()
  add_test(NAME ${name} COMMAND ${program})
  gm_labels_of(labels ${label} ${source})
  gm_register(${name} "${labels}")
  if("threads" IN_LIST labels)
    add_dependencies(threads ${program})
  endif()
endfunction()

# gm_add_cli_case(file.cmd): the case, with one thread and with two; the sanitizers see two, unless
# it is slow. Label `again`: what they see with the same expected files.
function(gm_add_cli_case file)
  get_filename_component(case ${file} NAME_WE)
  gm_labels_of(labels cli ${file})
  foreach(threads 1 2)
    set(name cli.${case}.threads-${threads})
    add_test(NAME ${name} COMMAND ${GM_PYTHON} ${PROJECT_SOURCE_DIR}/tests/cli/run.py
      --bin ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} --threads ${threads} ${file})
    if(threads EQUAL 1)
      gm_register(${name} "${labels};slow")
    elseif("slow" IN_LIST labels)
      gm_register(${name} "${labels}")
    else()
      gm_register(${name} "${labels};again")
    endif()
  endforeach()
endfunction()

# gm_add_python_test(file.py): exit code 0, or 77 to skip.
function(gm_add_python_test file)
  get_filename_component(program ${file} NAME_WE)
  string(REGEX REPLACE "^test_" "cli." name ${program})
  add_test(NAME ${name} COMMAND ${GM_PYTHON} ${file})
  gm_labels_of(labels cli ${file})
  gm_register(${name} "${labels}")
endfunction()

# gm_add_fuzzer(name SOURCES file... [LIBS target...]): with GM_FUZZ a libFuzzer
# program bin/fuzz_NAME; always the test fuzz.NAME, which feeds the committed
# corpus tests/fuzz/corpus/NAME to the same entry point.
function(gm_add_fuzzer name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(replay_${name} ${arg_SOURCES})
  target_link_libraries(replay_${name} PRIVATE gm_replay ${arg_LIBS} gm_flags)
  add_test(NAME fuzz.${name}
    COMMAND replay_${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  gm_register(fuzz.${name} fuzz)
  set_target_properties(replay_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/fuzz)
  if(GM_FUZZ)
    add_executable(fuzz_${name} ${arg_SOURCES})
    target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBS} gm_flags)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()

# gm_cpp_object(target SOURCE INCLUDE_DIR): compile one C++ file into a C library, as an object made by
# a command: to CMake a program that links it stays a C program. As a C++ one it would be linked by the
# C++ compiler, which may be another one's than the C compiler's sanitizers.
function(gm_cpp_object target source include)
  get_filename_component(name ${source} NAME_WE)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  add_custom_command(OUTPUT ${object} DEPENDS ${name}.cpp ${name}.h
    COMMAND ${CMAKE_CXX_COMPILER} -std=c++11 -O2 -g -fPIC -ffp-contract=off -Wall -Wextra -Wpedantic
      $<$<BOOL:${GM_WERROR}>:-Werror> -I${PROJECT_SOURCE_DIR} -idirafter ${include}
      -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
    COMMENT "${name}.cpp, by ${CMAKE_CXX_COMPILER}" COMMAND_EXPAND_LISTS VERBATIM)
  set_source_files_properties(${object} PROPERTIES GENERATED ON EXTERNAL_OBJECT ON)
  target_sources(${target} PRIVATE ${object})
  target_link_libraries(${target} PUBLIC stdc++)
endfunction()

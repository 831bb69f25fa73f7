# gm_embed(target NAME files...): the files become the asset NAME (figures/asset.h) in `target`.
function(gm_embed target name)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  add_custom_command(OUTPUT ${source} COMMAND gm_embed_files ${source} ${name} ${ARGN}
    DEPENDS gm_embed_files ${ARGN} VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()

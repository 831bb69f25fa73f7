# `neighbours`: what finds neighbours in cluster/. It needs nothing but base/, so that a bare machine
# can check it as well.
set(neighbours "")
foreach(name knn knn_bytes bytes nearby shortlist candidates product points dots dots_amx isa gpu)
  list(APPEND neighbours ${PROJECT_SOURCE_DIR}/cluster/${name}.c)
endforeach()

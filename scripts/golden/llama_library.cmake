# For scripts/oracles: read by llama.cpp's project() call, builds its library and nothing else. llama-cpp-python asks for the
# common code of llama.cpp's programs, half of the build, and never loads it.
set(LLAMA_BUILD_COMMON OFF)

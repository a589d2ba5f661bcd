# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/aes/dispatch.cpp
  csrc/aes/key_schedule.cpp
  csrc/aes/portable.cpp
  csrc/aes/stream.cpp
)
# Pairs of words are written out; the compiler finding more of them costs a quarter of the speed (NOTES.md).
set_source_files_properties(csrc/aes/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3;-fno-tree-slp-vectorize")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/aes/aesni.cpp csrc/aes/avx2.cpp csrc/aes/avx512.cpp)
  set_source_files_properties(csrc/aes/aesni.cpp PROPERTIES COMPILE_OPTIONS "-O3;-maes;-msse4.1;-mssse3")
  set_source_files_properties(csrc/aes/avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-maes;-mvaes")
  set(avx512_options -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -maes -mvaes -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warning then reports (GCC bug 105593).
    list(APPEND avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/aes/avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512_options}")
endif()

# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/bitmatrix/dispatch.cpp csrc/bitmatrix/portable.cpp)
# -O3: the loops of small_field.h and the squares of transpose_portable.h become vectors of what the flags allow.
set_source_files_properties(csrc/bitmatrix/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/bitmatrix/avx2.cpp csrc/bitmatrix/avx512.cpp)
  set_source_files_properties(csrc/bitmatrix/avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mpclmul;-msse4.1")
  set(bitmatrix_avx512_options
    -O3 -mavx512f -mavx512bw -mavx512vl -mgfni -mvpclmulqdq -mpclmul -msse4.1 -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warnings then report (GCC bug 105593).
    list(APPEND bitmatrix_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/bitmatrix/avx512.cpp PROPERTIES COMPILE_OPTIONS "${bitmatrix_avx512_options}")
endif()

# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/okvs/core.cpp csrc/okvs/dispatch.cpp csrc/okvs/portable.cpp csrc/okvs/solve.cpp)
set_source_files_properties(csrc/okvs/portable.cpp csrc/okvs/solve.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/okvs/avx2.cpp csrc/okvs/avx512.cpp)
  set_source_files_properties(csrc/okvs/avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-maes;-mpclmul")
  set(okvs_avx512_options
    -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -maes -mvaes -mvpclmulqdq -mpclmul -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warning then reports (GCC bug 105593).
    list(APPEND okvs_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/okvs/avx512.cpp PROPERTIES COMPILE_OPTIONS "${okvs_avx512_options}")
endif()

# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/sampling/dispatch.cpp csrc/sampling/portable.cpp)
set_source_files_properties(csrc/sampling/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/sampling/avx2.cpp csrc/sampling/avx512.cpp)
  set_source_files_properties(csrc/sampling/avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2")
  set(sampling_avx512_options -O3 -mavx512f -mavx512bw -mavx512dq -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warning then reports (GCC bug 105593).
    list(APPEND sampling_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/sampling/avx512.cpp PROPERTIES COMPILE_OPTIONS "${sampling_avx512_options}")
endif()

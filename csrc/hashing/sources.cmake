# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/hashing/dispatch.cpp
  csrc/hashing/portable.cpp
  csrc/hashing/scalar.cpp
  csrc/hashing/schedule.cpp
)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/hashing/sha_ni.cpp csrc/hashing/avx2.cpp csrc/hashing/avx512.cpp)
  set_source_files_properties(csrc/hashing/sha_ni.cpp PROPERTIES COMPILE_OPTIONS "-msha;-msse4.1;-mssse3")
  set_source_files_properties(csrc/hashing/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2")
  set(avx512_options -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warning then reports (GCC bug 105593).
    list(APPEND avx512_options -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/hashing/avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512_options}")
endif()

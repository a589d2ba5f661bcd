# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/partition/dispatch.cpp csrc/partition/large.cpp csrc/partition/portable.cpp)
# -O3: the loops over the parts of a line are unrolled, and a line stays in registers.
set_source_files_properties(csrc/partition/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/partition/avx512.cpp)
  set(partition_avx512_options -O3 -mavx512f -mavx512bw -mavx512vl -mbmi2)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warnings then report (GCC bug 105593).
    list(APPEND partition_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/partition/avx512.cpp PROPERTIES COMPILE_OPTIONS "${partition_avx512_options}")
endif()

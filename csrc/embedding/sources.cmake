# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/embedding/dispatch.cpp
  csrc/embedding/portable.cpp
  csrc/embedding/tables.cpp
  csrc/embedding/words.cpp
)
# Every backend rounds every product and every sum: no contraction anywhere, or results would differ in their last bits.
# Without errno the rounding conversion is one instruction, without a branch.
set(embedding_options -O3 -ffp-contract=off -fno-math-errno)
set_source_files_properties(
  csrc/embedding/portable.cpp csrc/embedding/tables.cpp csrc/embedding/words.cpp
  PROPERTIES COMPILE_OPTIONS "${embedding_options}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/embedding/avx2.cpp csrc/embedding/avx512.cpp)
  set_source_files_properties(csrc/embedding/avx2.cpp PROPERTIES COMPILE_OPTIONS "${embedding_options};-mavx2")
  set(embedding_avx512_options ${embedding_options} -mavx512f -mavx512dq -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warning then reports (GCC bug 105593).
    list(APPEND embedding_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/embedding/avx512.cpp PROPERTIES COMPILE_OPTIONS "${embedding_avx512_options}")
endif()

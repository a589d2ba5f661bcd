# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/bigint/dispatch.cpp
  csrc/bigint/inverse.cpp
  csrc/bigint/modulus.cpp
  csrc/bigint/multi.cpp
  csrc/bigint/portable.cpp
  csrc/bigint/products.cpp
)
set_source_files_properties(csrc/bigint/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND sources csrc/bigint/avx512.cpp)
  # g++ 12 takes the undefined operand inside its own intrinsics for ours (GCC PR 105593).
  set_source_files_properties(csrc/bigint/avx512.cpp PROPERTIES
    COMPILE_OPTIONS "-O3;-mavx512f;-mavx512dq;-mavx512ifma;-Wno-uninitialized;-Wno-maybe-uninitialized")
endif()

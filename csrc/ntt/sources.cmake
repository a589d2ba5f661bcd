# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/ntt/dispatch.cpp csrc/ntt/galois.cpp csrc/ntt/portable.cpp csrc/ntt/tables.cpp)
set_source_files_properties(csrc/ntt/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/ntt/avx2.cpp csrc/ntt/avx512.cpp csrc/ntt/avx512ifma.cpp)
  # Every product and every sum is rounded where the proofs say so.
  set_source_files_properties(csrc/ntt/avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mfma;-ffp-contract=off")
  set(ntt_avx512_options -O3 -mavx512f -mavx512dq -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warnings then report (GCC bug 105593).
    list(APPEND ntt_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/ntt/avx512.cpp PROPERTIES COMPILE_OPTIONS "${ntt_avx512_options}")
  set_source_files_properties(csrc/ntt/avx512ifma.cpp PROPERTIES COMPILE_OPTIONS "${ntt_avx512_options};-mavx512ifma")
endif()

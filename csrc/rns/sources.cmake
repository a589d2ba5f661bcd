# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/rns/chain.cpp csrc/rns/dispatch.cpp csrc/rns/divide.cpp csrc/rns/engine.cpp
     csrc/rns/packing.cpp csrc/rns/portable.cpp csrc/rns/products.cpp csrc/rns/rotations.cpp csrc/rns/switch.cpp)
set_source_files_properties(csrc/rns/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND sources csrc/rns/avx2.cpp csrc/rns/avx512.cpp csrc/rns/avx512ifma.cpp)
  # Every product and every sum is rounded where the proofs say so.
  set_source_files_properties(csrc/rns/avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mfma;-ffp-contract=off")
  set(rns_avx512_options -O3 -mavx512f -mavx512dq -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own intrinsics start from a variable set to itself, which its warnings then report (GCC bug 105593).
    list(APPEND rns_avx512_options -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set_source_files_properties(csrc/rns/avx512.cpp PROPERTIES COMPILE_OPTIONS "${rns_avx512_options}")
  set_source_files_properties(csrc/rns/avx512ifma.cpp PROPERTIES COMPILE_OPTIONS "${rns_avx512_options};-mavx512ifma")
endif()

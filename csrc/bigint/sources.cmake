# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/bigint/dispatch.cpp
  csrc/bigint/inverse.cpp
  csrc/bigint/modulus.cpp
  csrc/bigint/portable.cpp
  csrc/bigint/products.cpp
)
set_source_files_properties(csrc/bigint/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")

# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/ntt/dispatch.cpp csrc/ntt/portable.cpp csrc/ntt/tables.cpp)
set_source_files_properties(csrc/ntt/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")

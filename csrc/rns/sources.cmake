# SPDX-License-Identifier: Apache-2.0
list(APPEND sources csrc/rns/chain.cpp csrc/rns/dispatch.cpp csrc/rns/divide.cpp csrc/rns/engine.cpp
     csrc/rns/portable.cpp csrc/rns/switch.cpp)
set_source_files_properties(csrc/rns/portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")

# SPDX-License-Identifier: Apache-2.0
list(APPEND sources
  csrc/aes/key_schedule.cpp
)

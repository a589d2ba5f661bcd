// SPDX-License-Identifier: Apache-2.0
// The integer types of the kernels (NVRTC has no <cstdint>) and the one way to dynamic shared memory.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;  // not unsigned long: CUDA's atomics are declared for this one
typedef int i32;
typedef long long i64;

static_assert(sizeof(u32) == 4 && sizeof(u64) == 8, "kernels assume 32-bit int and 64-bit long long");

// CRYPSIS_DYNAMIC_SHARED(type, name): `type* const name` points to the block's dynamic shared memory, 16-byte
// aligned. Once in a function; cut it into parts with pointer arithmetic. tests/cuda_on_cpu defines its own.
#ifndef CRYPSIS_DYNAMIC_SHARED
#define CRYPSIS_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char crypsis_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(crypsis_dynamic_shared)
#endif

// Every warp collective is called by whole, converged warps: the only mask that kernels use.
constexpr u32 kFullWarp = 0xffffffffu;

// SPDX-License-Identifier: Apache-2.0
// One kernel a unit of the multiprocessor, for rates per clock: `make gpu-check`, docs/gpu.md. Not part of a product.
//
// Launch: blocks of up to 1024 threads, full warps. Each thread keeps kChains chains that do not depend on each other,
// and each warp takes the multiprocessor's clock before and after its loop. All results are functions of the
// arguments and reach `out`: nothing can be dropped, and the host computes them again (benchmarks/gpu/units.py).
// out: u32[threads of the grid]. clocks: u64[warps of the grid, 2], begin and end. Operands come by way of memory, so
// that they stand in registers and are unknown to the compiler: `in` is u32[16].
#include "common/arith.cuh"
#include "common/types.cuh"

constexpr int kChains = 8;
constexpr int kTurns = 16;    // operations of each chain in the body of the loop
constexpr int kRow = 32;      // limbs of an accumulator of `wide_chain`
constexpr int kRows = 8;      // rows in the body of its loop
constexpr u32 kTable = 2048;  // words of shared memory of `lds`

#ifdef __CUDA_ARCH__
#define CRYPSIS_CLOCK() static_cast<u64>(clock64())
#define CRYPSIS_FMA(x, y, z) __fma_rn(x, y, z)
#else
#define CRYPSIS_CLOCK() 0ull
#define CRYPSIS_FMA(x, y, z) __builtin_fma(x, y, z)
#endif

__device__ __forceinline__ u32 thread_index() {
  return blockIdx.x * blockDim.x + threadIdx.x;
}

// Begins and ends with all warps of the block at one place.
struct Timer {
  u64 begin;
  __device__ __forceinline__ Timer() {
    __syncthreads();
    begin = CRYPSIS_CLOCK();
  }
  __device__ __forceinline__ void stop(u64* clocks) const {
    const u64 end = CRYPSIS_CLOCK();
    const u32 t = thread_index();
    if (t % 32 == 0) {
      clocks[t / 32 * 2] = begin;
      clocks[t / 32 * 2 + 1] = end;
    }
  }
};

__device__ __forceinline__ u32 first(const u32* in, int chain) {
  return in[chain] + thread_index() * 0x9e3779b9u;
}

__device__ __forceinline__ u64 first_pair(const u32* in, int chain) {
  const u64 low = first(in, chain);
  return ~low << 32 | low;
}

// x = x * m + c, low 32 bits.
extern "C" __global__ void __launch_bounds__(1024)
    imad(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 m = in[8], c = in[9];
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) x[j] = x[j] * m + c;
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j];
  out[thread_index()] = sum;
}

// x = low(next x) * m + x, 64 bits: IMAD.WIDE.
extern "C" __global__ void __launch_bounds__(1024)
    wide(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 m = in[8];
  u64 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first_pair(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j)
        x[j] = mad_wide_fused(static_cast<u32>(x[(j + 1) % kChains]), m, x[j]);
    }
  }
  timer.stop(clocks);
  u64 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j];
  out[thread_index()] = static_cast<u32>(sum) ^ static_cast<u32>(sum >> 32);
}

// Rows as in big integers: accumulators of kRow limbs plus kRow / 2 products each, a carry chain of IMAD.WIDE.X. At most
// 512 threads: the accumulators are registers.
extern "C" __global__ void __launch_bounds__(512)
    wide_chain(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  u32 even[kRow], odd[kRow], b[kRow];
#pragma unroll
  for (int j = 0; j < kRow; ++j) {
    b[j] = in[j % 8] + j;
    even[j] = first(in, j % 8) * (j + 1);
    odd[j] = ~even[j];
  }
  u32 carry = 0;
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kRows; ++turn) {
      const u32 m = odd[0];
      carry += mad_row<kRow>(odd, odd, b + 1, m);
      carry += mad_row<kRow>(even, even, b, m);
    }
  }
  timer.stop(clocks);
  u32 sum = carry;
#pragma unroll
  for (int j = 0; j < kRow; ++j) sum ^= even[j] ^ (odd[j] << 1);
  out[thread_index()] = sum;
}

// x = high 32 bits of x * m.
extern "C" __global__ void __launch_bounds__(1024)
    imad_hi(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 m = in[10];
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) x[j] = mul_hi(x[j], m);
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j];
  out[thread_index()] = sum;
}

// x = x + (next x) + c: three operands, so that no IMAD can do it.
extern "C" __global__ void __launch_bounds__(1024)
    iadd3(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 c = in[9];
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) x[j] = x[j] + x[(j + 1) % kChains] + c;
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j];
  out[thread_index()] = sum;
}

// x = x xor (next x and not the one after): one LOP3.
extern "C" __global__ void __launch_bounds__(1024)
    lop3(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) x[j] ^= x[(j + 1) % kChains] & ~x[(j + 2) % kChains];
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j];
  out[thread_index()] = sum;
}

// x = high 32 bits of (next x : x) << s.
extern "C" __global__ void __launch_bounds__(1024)
    shf(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 s = in[11];
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) x[j] = funnel_left(x[j], x[(j + 1) % kChains], s);
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j];
  out[thread_index()] = sum;
}

// x = x * m + c in double precision; m is -1, so that the values stay exact.
extern "C" __global__ void __launch_bounds__(1024)
    dfma(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const double m = -static_cast<double>(in[12]), c = in[9];
  double x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) x[j] = CRYPSIS_FMA(x[j], m, c);
    }
  }
  timer.stop(clocks);
  double sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum += x[j];
  out[thread_index()] = static_cast<u32>(static_cast<i64>(sum));
}

// Half the chains IMAD.WIDE, half DFMA: do the two pipes run side by side?
extern "C" __global__ void __launch_bounds__(1024)
    wide_dfma(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 m = in[8];
  const double y = -static_cast<double>(in[12]), z = in[9];
  u64 x[kChains / 2];
  double d[kChains / 2];
#pragma unroll
  for (int j = 0; j < kChains / 2; ++j) {
    x[j] = first_pair(in, j);
    d[j] = first(in, j + kChains / 2);
  }
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains / 2; ++j) {
        x[j] = mad_wide_fused(static_cast<u32>(x[(j + 1) % (kChains / 2)]), m, x[j]);
        d[j] = CRYPSIS_FMA(d[j], y, z);
      }
    }
  }
  timer.stop(clocks);
  u64 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains / 2; ++j) sum ^= x[j] ^ static_cast<u64>(static_cast<i64>(d[j]));
  out[thread_index()] = static_cast<u32>(sum) ^ static_cast<u32>(sum >> 32);
}

// Half the chains IMAD.WIDE, half IADD3.
extern "C" __global__ void __launch_bounds__(1024)
    wide_iadd3(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  const u32 m = in[8], d = in[9];
  u64 x[kChains / 2];
  u32 y[kChains / 2];
#pragma unroll
  for (int j = 0; j < kChains / 2; ++j) {
    x[j] = first_pair(in, j);
    y[j] = first(in, j + kChains / 2);
  }
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains / 2; ++j) {
        x[j] = mad_wide_fused(static_cast<u32>(x[(j + 1) % (kChains / 2)]), m, x[j]);
        y[j] = y[j] + y[(j + 1) % (kChains / 2)] + d;
      }
    }
  }
  timer.stop(clocks);
  u64 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains / 2; ++j) sum ^= x[j] ^ y[j];
  out[thread_index()] = static_cast<u32>(sum) ^ static_cast<u32>(sum >> 32);
}

// x = the neighbour's x.
extern "C" __global__ void __launch_bounds__(1024)
    shfl(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = first(in, j);
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j)
        x[j] = __shfl_sync(kFullWarp, x[j], static_cast<int>(threadIdx.x + 1));
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum ^= x[j] + j;
  out[thread_index()] = sum;
}

// x = table[x], four bytes a lane, each lane in a bank of its own: the table holds byte addresses, and row i of 32
// words leads to row 5 i + 1.
extern "C" __global__ void __launch_bounds__(1024)
    lds(u32* __restrict__ out, u64* __restrict__ clocks, const u32* __restrict__ in, u32 rounds) {
  __shared__ u32 table[kTable];
  for (u32 i = threadIdx.x; i < kTable; i += blockDim.x) {
    table[i] = (((i / 32 * in[13] + 1) * 32 + i % 32) % kTable) * 4;
  }
  const u32 lane = threadIdx.x % 32;
  u32 x[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = ((threadIdx.x / 32 * 8 + j) * 32 % kTable + lane) * 4;
  const Timer timer;
#pragma unroll 1
  for (u32 r = 0; r < rounds; ++r) {
#pragma unroll
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
      for (int j = 0; j < kChains; ++j) {
        x[j] = *reinterpret_cast<const u32*>(reinterpret_cast<const u8*>(table) + x[j]);
      }
    }
  }
  timer.stop(clocks);
  u32 sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum = sum * 31 + x[j];
  out[thread_index()] = sum;
}

// out = in, 16 bytes a thread and turn. n: elements of 16 bytes. Launch: any.
extern "C" __global__ void __launch_bounds__(256)
    copy16(uint4* __restrict__ out, const uint4* __restrict__ in, u64 n) {
  const u64 stride = static_cast<u64>(gridDim.x) * blockDim.x;
  for (u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) out[i] = in[i];
}

// Nothing: what a launch takes by itself.
extern "C" __global__ void __launch_bounds__(32) nothing(u32* out) {
  if (out != nullptr && threadIdx.x == 0) out[0] = blockIdx.x;
}

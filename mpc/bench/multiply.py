# SPDX-License-Identifier: Apache-2.0
"""Loops that only multiply, for the rate of the multipliers: independent chains in registers, compiled by numba.

LLVM may not shorten them: each product depends on the one before it in its chain, and what a chain ends with is
returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_VECTOR_CHAINS = 16  # four cycles of latency, two a cycle: eight would do
_SCALAR_CHAINS = 8
_LANES = 8
_ODD = 0x9E3779B97F4A7C15

Loop = Callable[[Any], Any]


def vector() -> tuple[Loop, int]:
    """A loop of `vpmadd52luq` on 512 bits, and the products of one turn. The CPU must have AVX-512 IFMA."""
    import numba
    from llvmlite import ir
    from numba.core import cgutils
    from numba.extending import intrinsic

    word = ir.IntType(64)
    lanes = ir.VectorType(word, _LANES)
    first = ir.Constant(ir.IntType(32), 0)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(lanes, [lanes, lanes, lanes])
        madd = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpmadd52l.uq.512")
        sums = [
            cgutils.alloca_once_value(builder, ir.Constant(lanes, [i + 1] * _LANES))
            for i in range(_VECTOR_CHAINS)
        ]
        factor = builder.insert_element(ir.Constant(lanes, [3] * _LANES), arguments[0], first)
        with cgutils.for_range(builder, arguments[0]):
            for one in sums:
                builder.store(builder.call(madd, [builder.load(one), factor, factor]), one)
        total = builder.load(sums[0])
        for one in sums[1:]:
            total = builder.add(total, builder.load(one))
        return builder.extract_element(total, first)

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def chains(context: Any, turns: Any) -> Any:
        return numba.uint64(numba.uint64), generate

    def loop(turns: Any) -> Any:
        return chains(turns)

    return numba.njit(loop), _VECTOR_CHAINS * _LANES


def scalar() -> tuple[Loop, int]:
    """A loop of 64 x 64 -> 128 bit products, and the products of one turn."""
    import numba
    from llvmlite import ir
    from numba.core import cgutils
    from numba.extending import intrinsic

    word, double = ir.IntType(64), ir.IntType(128)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [
            cgutils.alloca_once_value(builder, ir.Constant(word, (2 * i + 1) * _ODD % 2**64))
            for i in range(_SCALAR_CHAINS)
        ]
        factor = builder.zext(builder.or_(arguments[0], ir.Constant(word, 1 << 63)), double)
        with cgutils.for_range(builder, arguments[0]):
            for one in values:
                product = builder.mul(builder.zext(builder.load(one), double), factor)
                high = builder.trunc(builder.lshr(product, ir.Constant(double, 64)), word)
                builder.store(builder.xor(high, builder.trunc(product, word)), one)
        total = builder.load(values[0])
        for one in values[1:]:
            total = builder.xor(total, builder.load(one))
        return total

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def chains(context: Any, turns: Any) -> Any:
        return numba.uint64(numba.uint64), generate

    def loop(turns: Any) -> Any:
        return chains(turns)

    return numba.njit(loop), _SCALAR_CHAINS

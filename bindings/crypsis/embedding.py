# SPDX-License-Identifier: Apache-2.0
"""The canonical embedding of CKKS [CKKS17]: vectors of slots to polynomials and back.

    coefficients = embedding.encode(slots, 2.0**40, basis)     # uint64[..., len(basis), N], not transformed
    slots = embedding.decode(centred_coefficients, 2.0**40)    # float64[..., N] -> complex128[..., N / 2]

A polynomial of degree below N = 2^log_n has N / 2 slots: its values at zeta^(5^j), zeta = exp(pi i / N), j = 0 to
N / 2 - 1. The automorphism x -> x^5 moves all slots one to the left, x -> x^(2 N - 1) conjugates them, and products
modulo x^N + 1 are products slot by slot.

Every sum and product is rounded once, in one order: all backends give the same bits. The error of a transform of n
slots, as a vector's length, is below 6.7 log2(n) 2^-53 of the result's [Higham02, 24.1]; csrc/embedding/NOTES.md has
what was measured (typically 2^-51 of the largest slot).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core

RealArray: TypeAlias = npt.NDArray[np.float64]
ComplexArray: TypeAlias = npt.NDArray[np.complex128]
ResidueArray: TypeAlias = npt.NDArray[np.uint64]

MIN_LOG_N: int = _core.embedding.MIN_LOG_N
MAX_LOG_N: int = _core.embedding.MAX_LOG_N
MAX_BITS: int = _core.embedding.MAX_BITS
"""Slots, coefficients and their products with a scale have to be below 2^MAX_BITS."""


def encode(
    slots: RealArray | ComplexArray,
    scale: float | Fraction,
    basis: Any,
    *,
    out: ResidueArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ResidueArray:
    """The polynomials with these slots, times `scale`, rounded: residues `uint64[..., len(basis), N]`.

    slots: float64 or complex128 `[..., m]`, m at most N / 2; the others are zero. scale: from 2^-1000 to 2^1000,
    rounded to a double. basis: an `ntt.Basis`, whose N and primes it is. Coefficients are integers nearest to the
    scaled ones, ties to even; they are not transformed.

    No branch and no address depends on the slots where the scale times the largest real or imaginary part is below
    2^60 and below a third of the primes' product (and no number is subnormal: some CPUs take longer for those). Beyond,
    the time shows how many words of 62 bits the largest coefficient has. Raises TypeError; ValueError for NaN or
    infinity, more than N / 2 values, a coefficient of half the primes' product or more; BackendUnavailable.
    """
    rows, is_complex, shape = _slots(slots)
    log_n, primes = _basis(basis)
    out = _output(out, (*shape, len(primes), 1 << log_n), np.uint64, slots)
    _core.embedding.encode(
        rows, is_complex, log_n, _scale(scale), primes, _flat(out), *_options(backend, threads)
    )
    return out


def decode(
    coefficients: RealArray,
    scale: float | Fraction,
    *,
    out: ComplexArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ComplexArray:
    """The slots of polynomials: `float64[..., N]` centred coefficients -> `complex128[..., N / 2]`, over `scale`.

    N: a power of two from 4 to 2^17. Raises TypeError; ValueError for NaN or infinity; BackendUnavailable. No branch
    and no address depends on the coefficients.
    """
    rows, log_n, shape = _coefficients(coefficients)
    out = _output(out, (*shape, 1 << (log_n - 1)), np.complex128, coefficients)
    parts = _flat(out).view(np.float64)
    _core.embedding.to_slots(rows, log_n, _scale(scale), parts, *_options(backend, threads))
    return out


def to_coefficients(
    slots: RealArray | ComplexArray,
    log_n: int,
    *,
    scale: float | Fraction = 1.0,
    out: RealArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> RealArray:
    """`encode` before it rounds: `float64[..., 2^log_n]`, times `scale`. Raises as it does."""
    rows, is_complex, shape = _slots(slots)
    log_n = _arguments.integer("log_n", log_n, MIN_LOG_N, MAX_LOG_N)
    out = _output(out, (*shape, 1 << log_n), np.float64, slots)
    _core.embedding.to_coefficients(
        rows, is_complex, log_n, _scale(scale), _flat(out), *_options(backend, threads)
    )
    return out


def to_residues(
    coefficients: RealArray,
    basis: Any,
    *,
    out: ResidueArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ResidueArray:
    """The integers nearest to `float64[..., N]`, ties to even, as residues `uint64[..., len(basis), N]`.

    Exact for all below 2^1000; half the primes' product or more is refused. No branch and no address depends on the
    numbers, but the time shows how many words of 62 bits the largest has. Raises as `encode` does.
    """
    log_n, primes = _basis(basis)
    rows, own, shape = _coefficients(coefficients)
    if own != log_n:
        raise ValueError(f"coefficients has {1 << own} a polynomial: the basis is for {1 << log_n}")
    out = _output(out, (*shape, len(primes), 1 << log_n), np.uint64, coefficients)
    _core.embedding.to_residues(rows, log_n, primes, _flat(out), *_options(backend, threads))
    return out


def _slots(slots: Any) -> tuple[RealArray, bool, tuple[int, ...]]:
    """Rows of doubles, whether two make a slot, and the batch axes."""
    _arguments.refuse_gpu("slots", slots)
    if not isinstance(slots, np.ndarray) or slots.dtype not in (np.float64, np.complex128):
        raise TypeError(
            f"slots is {_arguments.kind(slots)}: give a NumPy array of float64 or complex128, as "
            "numpy.asarray(slots, numpy.float64) makes it"
        )
    if slots.ndim < 1:
        raise ValueError("slots has no axis: give float64[..., m] or complex128[..., m]")
    is_complex = slots.dtype == np.complex128
    rows = _flat(np.ascontiguousarray(slots))
    return rows.view(np.float64), is_complex, slots.shape[:-1]


def _coefficients(coefficients: Any) -> tuple[RealArray, int, tuple[int, ...]]:
    values: RealArray = _arguments.array("coefficients", coefficients, np.float64)
    n = values.shape[-1] if values.ndim else 0
    log_n = n.bit_length() - 1
    if n != 1 << max(log_n, 0) or not MIN_LOG_N <= log_n <= MAX_LOG_N:
        raise ValueError(
            f"coefficients has shape {values.shape}: give float64[..., N], N a power of two from "
            f"{1 << MIN_LOG_N} to {1 << MAX_LOG_N}"
        )
    return _flat(np.ascontiguousarray(values)), log_n, values.shape[:-1]


def _flat(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of a contiguous array with one axis for a polynomial, or its residues, after one for the batch."""
    inner = array.ndim - (2 if array.dtype == np.uint64 else 1)
    return array.reshape(math.prod(array.shape[:inner]), math.prod(array.shape[inner:]))


def _basis(basis: Any) -> tuple[int, tuple[int, ...]]:
    try:
        return _arguments.integer("log_n", basis.log_n, MIN_LOG_N, MAX_LOG_N), tuple(basis.primes)
    except AttributeError:
        raise TypeError(f"basis is {_arguments.kind(basis)}: give an ntt.Basis") from None


def _scale(scale: Any) -> float:
    if isinstance(scale, bool) or not isinstance(scale, int | float | Fraction | np.floating | np.integer):
        raise TypeError(f"scale is {_arguments.kind(scale)}: give a float or a Fraction")
    try:
        value = float(scale)
    except OverflowError:
        value = math.inf
    if not 2.0**-MAX_BITS <= value <= 2.0**MAX_BITS:
        raise ValueError(f"scale is {value}: give a number from 2^-{MAX_BITS} to 2^{MAX_BITS}")
    return value


def _output(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], dtype: type[np.generic], source: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    if out is None:
        return np.empty(shape, dtype)
    out = _arguments.output(out, shape, dtype)
    if np.may_share_memory(out, source):
        raise ValueError("out overlaps the input: give memory of its own")
    return out


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)

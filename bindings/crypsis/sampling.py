# SPDX-License-Identifier: Apache-2.0
"""Random polynomials of lattice schemes as functions of a stream of random bytes.

    stream = aes.ctr_stream(key, len(basis) * basis.n).reshape(len(basis), basis.n, 16)
    mask = sampling.uniform(stream, basis)                # uint64[len(basis), N]
    secret = sampling.ternary(generator_bytes, basis.n)   # int8[N] of -1, 0, 1
    error = sampling.binomial(generator_bytes, basis.n)   # int8[N], sigma 3.24

The stream is a pseudorandom generator's output that nobody else sees, or for public masks anybody's; each byte of it is
used once. Numbers in it are little-endian. No branch and no address depends on it, and every backend gives the same
values. What is sampled is the caller's to wipe, as is the stream.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core

ByteArray: TypeAlias = npt.NDArray[np.uint8]
ResidueArray: TypeAlias = npt.NDArray[np.uint64]
SmallArray: TypeAlias = npt.NDArray[np.int8]

WIDE_BYTES: int = _core.sampling.WIDE_BYTES
"""Bytes of the stream for a residue."""
TERNARY_BYTES: int = _core.sampling.TERNARY_BYTES
BINOMIAL_BYTES: int = _core.sampling.BINOMIAL_BYTES
COINS: int = _core.sampling.COINS
SIGMA: float = math.sqrt(COINS / 4)
"""Standard deviation of `binomial`: sqrt(10.5) = 3.24."""
MAX_FLOOD_BITS: int = _core.sampling.MAX_FLOOD_BITS


def uniform(
    stream: ByteArray,
    basis: Any,
    *,
    out: ResidueArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ResidueArray:
    """Uniform residues: `uint8[..., len(basis), n, 16]` -> `uint64[..., len(basis), n]`.

    Each is a number of 128 bits modulo its prime: within 2^-68 of uniform in statistical distance, primes being below
    2^60. basis: an `ntt.Basis`; n need not be its N. Raises TypeError, ValueError, BackendUnavailable.
    """
    primes = _primes(basis)
    stream = _stream(stream, "uint8[..., len(basis), n, 16]", 3)
    if stream.shape[-3] != len(primes) or stream.shape[-1] != WIDE_BYTES:
        raise ValueError(f"stream has shape {stream.shape}: give uint8[..., {len(primes)}, n, {WIDE_BYTES}]")
    out = _output(out, stream.shape[:-1], np.uint64, stream)
    flat = out.reshape(math.prod(out.shape[:-2]), *out.shape[-2:])
    _core.sampling.uniform(stream, primes, flat, *_options(backend, threads))
    return out


def flood(
    stream: ByteArray,
    bits: int,
    basis: Any,
    *,
    out: ResidueArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> ResidueArray:
    """Uniform integers from -2^bits to 2^bits - 1, as residues: `uint8[..., n, 16]` -> `uint64[..., len(basis), n]`.

    The lower bits + 1 bits of each number of 128 bits, less 2^bits; exactly uniform. bits: 0 to 100. Raises TypeError,
    ValueError, BackendUnavailable.
    """
    primes = _primes(basis)
    bits = _arguments.integer("bits", bits, 0, MAX_FLOOD_BITS)
    stream = _stream(stream, "uint8[..., n, 16]", 2)
    if stream.shape[-1] != WIDE_BYTES:
        raise ValueError(f"stream has shape {stream.shape}: give uint8[..., n, {WIDE_BYTES}]")
    out = _output(out, (*stream.shape[:-2], len(primes), stream.shape[-2]), np.uint64, stream)
    flat = out.reshape(math.prod(out.shape[:-2]), *out.shape[-2:])
    _core.sampling.flood(stream, bits, primes, flat, *_options(backend, threads))
    return out


def ternary(
    stream: ByteArray,
    n: int,
    *,
    out: SmallArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> SmallArray:
    """-1, 0 and 1 with probability 1/3 each: `uint8[..., 8 n]` -> `int8[..., n]`, floor(3 x / 2^64) - 1.

    The probabilities are within 2^-64 of a third. Raises TypeError, ValueError, BackendUnavailable.
    """
    stream, out = _small(stream, n, TERNARY_BYTES, out)
    _core.sampling.ternary(stream, out, *_options(backend, threads))
    return out


def binomial(
    stream: ByteArray,
    n: int,
    *,
    out: SmallArray | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> SmallArray:
    """Centred binomial values of 42 coins, -21 to 21, sigma 3.24: `uint8[..., 6 n]` -> `int8[..., n]`.

    Of each number of 48 bits: ones among bits 0 to 20 less ones among bits 21 to 41. Stands for a discrete Gaussian of
    sigma 3.2 in the errors of lattice schemes. Raises TypeError, ValueError, BackendUnavailable.
    """
    stream, out = _small(stream, n, BINOMIAL_BYTES, out)
    _core.sampling.binomial(stream, out, *_options(backend, threads))
    return out


def _small(stream: Any, n: Any, n_bytes: int, out: SmallArray | None) -> tuple[ByteArray, SmallArray]:
    n = _arguments.integer("n", n, 0, 1 << 48)
    array = _stream(stream, f"uint8[..., {n_bytes} n]", 1)
    if array.shape[-1] != n_bytes * n:
        raise ValueError(
            f"stream has shape {array.shape}: give uint8[..., {n_bytes * n}], {n_bytes} bytes a value"
        )
    return array, _output(out, (*array.shape[:-1], n), np.int8, array)


def _stream(stream: Any, wanted: str, n_axes: int) -> ByteArray:
    array: ByteArray = _arguments.array("stream", stream)
    if array.ndim < n_axes:
        raise ValueError(f"stream has shape {array.shape}: give {wanted}")
    if not array.flags.c_contiguous:
        raise ValueError("stream is not C-contiguous: pass numpy.ascontiguousarray(stream)")
    return array


def _primes(basis: Any) -> tuple[int, ...]:
    try:
        return tuple(basis.primes)
    except AttributeError:
        raise TypeError(f"basis is {_arguments.kind(basis)}: give an ntt.Basis") from None


def _output(
    out: npt.NDArray[Any] | None, shape: tuple[int, ...], dtype: type[np.generic], stream: ByteArray
) -> npt.NDArray[Any]:
    if out is None:
        return np.empty(shape, dtype)
    out = _arguments.output(out, shape, dtype)
    if np.may_share_memory(out, stream):
        raise ValueError("out overlaps stream: give memory of its own")
    return out


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)

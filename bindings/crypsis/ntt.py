# SPDX-License-Identifier: Apache-2.0
"""Negacyclic number-theoretic transforms: polynomials of Z_p[x] / (x^N + 1), for several primes p at once.

    basis = Basis(13, find_primes(13, [60, 40, 40, 60]))        # N = 8192 and four limbs
    product = inverse(multiply(forward(a, basis), forward(b, basis), basis), basis)

A batch of polynomials is a C-contiguous `uint64[..., limbs, N]` NumPy array: any leading axes, a limb for each prime of
the basis, residues in [0, p). Residues at or above their prime give a wrong result (`is_reduced` tells); all results
are in [0, p), so every backend returns the same words.

`forward` takes coefficients in natural order to the values at the odd powers of psi, the smallest primitive 2N-th root
of unity mod p, in bit-reversed order: out[j] = a(psi^(2 brev(j) + 1)) with brev over log_n bits. There, products of
polynomials are element-wise products.

Options that the functions share, all keyword-only:

    out       array for the result, of its shape; it may be an input of that shape where the function says so, and must
              not overlap one otherwise. Untouched when an error is raised.
    backend   a name from `crypsis.backends.runnable("ntt")`; default: `CRYPSIS_BACKEND`, else the best
    threads   default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use

Constant-time (no branch and no address depends on residues or coefficients) is everything but `is_reduced`; bases,
constants of `scale` and `galois` are public.

On a GPU (`crypsis.cuda`) arrays are CuPy's, with the same words; so is `out`, and `backend` and `threads` do not count.

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or value,
`crypsis.errors.BackendUnavailable` for a backend this CPU cannot run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis.cuda._dispatch import follow_data

Words = npt.NDArray[np.uint64]

MIN_LOG_N = _core.ntt.MIN_LOG_N
"""log2 of the smallest ring degree: for tests."""
MAX_LOG_N = _core.ntt.MAX_LOG_N
"""log2 of the largest ring degree."""

_WORD = np.dtype(np.uint64)
_ADD, _SUBTRACT, _NEGATE, _MULTIPLY, _MULTIPLY_ADD = range(5)  # csrc/ntt/ntt.h: Pointwise


class Basis:
    """A ring degree N = 2^log_n and distinct primes that are 1 mod 2N, with the tables that transforms need.

    Immutable; equal bases compare and hash equal. `basis[i]` and `basis[a:b]` are bases of some of the primes and
    `basis + other` of both's, which share their tables (48 N bytes a prime, half of that before the first transform).

    log_n: MIN_LOG_N to MAX_LOG_N. primes: at least one, from 17 to below 2^60 (those below 2^50 are faster on CPUs
    with AVX2 or 52-bit products). ValueError for other primes, for a number that is no prime or not 1 mod 2N, and for
    duplicates.
    """

    __slots__ = ("__weakref__", "_handle", "_last", "log_n", "n", "primes")
    _handle: Any  # _core.ntt.Basis
    _last: tuple[int, int]  # how the shapes of arrays end
    log_n: int
    """log2 of the ring degree."""
    n: int
    """The ring degree N."""
    primes: tuple[int, ...]
    """One prime a limb."""

    def __init__(self, log_n: int, primes: Sequence[int]) -> None:
        log_n = _log_n(log_n)
        numbers = [_arguments.integer("a prime", prime, 17, 2**60 - 1) for prime in _list("primes", primes)]
        self._fill(log_n, tuple(numbers), _core.ntt.Basis(log_n, numbers))

    def _fill(self, log_n: int, primes: tuple[int, ...], handle: Any) -> Basis:
        if not primes:
            raise ValueError("the basis has no prime: give at least one")
        fields = {"log_n": log_n, "n": 1 << log_n, "primes": primes, "_handle": handle}
        for name, value in (fields | {"_last": (len(primes), 1 << log_n)}).items():
            object.__setattr__(self, name, value)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Basis is immutable: make another one instead of setting {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Basis, (self.log_n, self.primes)

    def __len__(self) -> int:
        return len(self.primes)

    def __getitem__(self, limbs: int | slice) -> Basis:
        some = range(len(self))[limbs]
        taken = [some] if isinstance(some, int) else list(some)
        primes = tuple(self.primes[i] for i in taken)
        return object.__new__(Basis)._fill(self.log_n, primes, self._handle.take(taken))

    def __iter__(self) -> Iterator[Basis]:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: Basis) -> Basis:
        if not isinstance(other, Basis):
            return NotImplemented
        return object.__new__(Basis)._fill(
            self.log_n, self.primes + other.primes, self._handle.join(other._handle)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Basis):
            return NotImplemented
        return (self.log_n, self.primes) == (other.log_n, other.primes)

    def __hash__(self) -> int:
        return hash((self.log_n, self.primes))

    def __repr__(self) -> str:
        return f"Basis({self.log_n}, {self.primes})"

    @property
    def roots(self) -> tuple[int, ...]:
        """psi of each prime: the smallest primitive 2N-th root of unity."""
        return tuple(self._handle.roots())


def find_primes(log_n: int, bits: Sequence[int]) -> tuple[int, ...]:
    """A distinct prime for each entry of `bits`: the largest below 2^bits that is 1 mod 2N and not taken yet.

    Deterministic. bits: 5 to 60 each. Raises ValueError where no prime of that many bits is left.
    """
    sizes = [_arguments.integer("bits", size, 5, 60) for size in _list("bits", bits)]
    return tuple(_core.ntt.find_primes(_log_n(log_n), sizes))


@follow_data("ntt")
def forward(
    values: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """Coefficients to values at the odd powers of psi (above): `uint64[..., limbs, N]`. out may be `values`."""
    values = _words("values", values, basis)
    result = _output(out, values.shape)
    _core.ntt.forward(basis._handle, values, result, *_options(backend, threads))
    return result


@follow_data("ntt")
def inverse(
    values: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """The inverse of `forward`: `uint64[..., limbs, N]`. out may be `values`."""
    values = _words("values", values, basis)
    result = _output(out, values.shape)
    _core.ntt.inverse(basis._handle, values, result, *_options(backend, threads))
    return result


@follow_data("ntt")
def add(
    a: Words,
    b: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """a + b, element by element. The leading axes of `b` may broadcast to those of `a`. out may be `a` or `b`."""
    return _pointwise(_ADD, a, b, None, basis, out, backend, threads)


@follow_data("ntt")
def subtract(
    a: Words,
    b: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """a - b, element by element. The leading axes of `b` may broadcast to those of `a`. out may be `a` or `b`."""
    return _pointwise(_SUBTRACT, a, b, None, basis, out, backend, threads)


@follow_data("ntt")
def negate(
    a: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """-a. out may be `a`."""
    return _pointwise(_NEGATE, a, None, None, basis, out, backend, threads)


@follow_data("ntt")
def multiply(
    a: Words,
    b: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """a b, element by element. The leading axes of `b` may broadcast to those of `a`. out may be `a` or `b`."""
    return _pointwise(_MULTIPLY, a, b, None, basis, out, backend, threads)


@follow_data("ntt")
def multiply_add(
    a: Words,
    b: Words,
    c: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """a b + c, element by element. The leading axes of `b` and `c` may broadcast to `a`'s. out may be any of them."""
    return _pointwise(_MULTIPLY_ADD, a, b, c, basis, out, backend, threads)


@follow_data("ntt")
def tensor(
    x: Words,
    y: Words,
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """(x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1): what `multiply` and `multiply_add` give, in one pass over memory.

    x and y, of one shape: `uint64[..., 2, limbs, N]`, they may be the same array. Returns `uint64[..., 3, limbs, N]`;
    out must not overlap x or y.
    """
    x, y = _words("x", x, basis), _words("y", y, basis)
    if x.ndim < 3 or x.shape[-3] != 2 or x.shape != y.shape:
        raise ValueError(
            f"x and y have shapes {x.shape} and {y.shape}: give both uint64[..., 2, {len(basis)}, {basis.n}]"
        )
    result = _output(out, (*x.shape[:-3], 3, *basis._last))
    _core.ntt.tensor(basis._handle, x, y, result, *_options(backend, threads))
    return result


@follow_data("ntt")
def scale(
    a: Words,
    constants: int | Sequence[int],
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """a times integers, taken mod each prime: one for all limbs, or one a limb. out may be `a`.

    The integers are public, of any size and sign.
    """
    a = _words("a", a, basis)
    residues = _residues(constants, basis)
    result = _output(out, a.shape)
    _core.ntt.scale(basis._handle, a, residues, result, *_options(backend, threads))
    return result


@follow_data("ntt")
def automorphism(
    values: Words,
    galois: int,
    basis: Basis,
    *,
    ntt_domain: bool = True,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """a(x) to a(x^galois), galois odd from 1 to 2N - 1: `uint64[..., limbs, N]`. out must not overlap `values`.

    ntt_domain: whether `values` are what `forward` returns, of which this is a permutation; else they are
    coefficients, of which it is one with signs.
    """
    values = _words("values", values, basis)
    galois = _galois(galois, basis)
    ntt_domain = _arguments.flag("ntt_domain", ntt_domain)
    result = _output(out, values.shape)
    _core.ntt.automorphism(basis._handle, values, galois, ntt_domain, result, *_options(backend, threads))
    return result


@follow_data("ntt")
def from_signed(
    values: npt.NDArray[np.signedinteger[Any]],
    basis: Basis,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """Signed integers to residues: `int8`, `int16`, `int32` or `int64[..., N]` -> `uint64[..., limbs, N]`."""
    basis = _basis(basis)
    _arguments.refuse_gpu("values", values)
    if not isinstance(values, np.ndarray) or values.dtype.kind != "i":
        raise TypeError(
            f"values is {_arguments.kind(values)}: give a NumPy array of int8, int16, int32 or int64"
        )
    if values.ndim == 0 or values.shape[-1] != basis.n:
        raise ValueError(f"values has shape {values.shape}: give [..., {basis.n}], a polynomial a row")
    result = _output(out, (*values.shape[:-1], len(basis), basis.n))
    if out is not None and np.may_share_memory(out, values):
        raise ValueError("out overlaps values: give memory of its own")
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    _core.ntt.from_signed(basis._handle, native, result, *_options(backend, threads))
    return result


def empty(shape: tuple[int, ...]) -> Words:
    """`numpy.empty` of uint64 whose first word begins a cache line: vectors that cross lines cost time.

    Every result that is not given as `out` is such an array.
    """
    memory: Words = _core.ntt.empty(shape)
    return memory


@follow_data("ntt")
def is_reduced(values: Words, basis: Basis) -> bool:
    """Whether every residue is below its prime: to check what comes from a file or a peer. Not constant-time."""
    values = _words("values", values, basis)
    return bool((values < np.array(basis.primes, np.uint64)[:, None]).all())


def _pointwise(
    operation: int,
    a: Words,
    b: Words | None,
    c: Words | None,
    basis: Basis,
    out: Words | None,
    backend: str | None,
    threads: int | None,
) -> Words:
    a = _words("a", a, basis)
    b_repeat = c_repeat = 1
    if b is not None:
        b, b_repeat = _operand("b", b, a, basis)
    if c is not None:
        c, c_repeat = _operand("c", c, a, basis)
    result = _output(out, a.shape)
    options = _options(backend, threads)
    _core.ntt.pointwise(operation, basis._handle, a, b, b_repeat, c, c_repeat, result, *options)
    return result


def _operand(name: str, operand: Words, a: Words, basis: Basis) -> tuple[Words, int]:
    """`operand` and how many polynomials of `a` in a row take the same one of it; they go round as often as needed."""
    operand = _words(name, operand, basis)
    if operand.shape == a.shape:
        return operand, 1
    repeat = _turns(name, operand.shape, a.shape)
    if repeat is None:
        return np.ascontiguousarray(np.broadcast_to(operand, a.shape)), 1
    return operand, repeat


def _turns(name: str, shape: tuple[int, ...], whole: tuple[int, ...]) -> int | None:
    """How many polynomials of an array of shape `whole` in a row take the same one of an operand of `shape`, which go
    round; None where that does not describe how it broadcasts."""
    lead, wanted = shape[:-2], whole[:-2]
    if len(lead) > len(wanted) or any(
        x not in (1, y) for x, y in zip(lead[::-1], wanted[::-1], strict=False)
    ):
        raise ValueError(f"{name} has shape {shape}: it does not broadcast to {whole}, a's")
    last = len(lead)
    while last and lead[last - 1] == 1:
        last -= 1
    first = next((i for i in range(last) if lead[i] != 1), last)
    missing = len(wanted) - len(lead)
    if lead[first:last] == wanted[missing + first : missing + last]:
        return int(np.prod(wanted[missing + last :], dtype=np.int64))
    return None  # an axis of 1 between others


def _residues(constants: Any, basis: Basis) -> list[int]:
    """What `scale` multiplies limbs by."""
    if type(constants) is int:
        return [constants % prime for prime in basis.primes]
    if isinstance(constants, int | np.integer):
        constants = [constants] * len(basis)
    numbers = _list("constants", constants)
    if len(numbers) != len(basis):
        raise ValueError(f"constants has {len(numbers)} entries: give one for each of {len(basis)} limbs")
    return [_whole(number) % prime for number, prime in zip(numbers, basis.primes, strict=True)]


def _galois(value: Any, basis: Basis) -> int:
    galois = _arguments.integer("galois", value, 1, 2 * basis.n - 1)
    if galois % 2 == 0:
        raise ValueError(f"galois is {galois}: give an odd number, x -> x^{galois} is no automorphism")
    return galois


def _basis(basis: Any) -> Basis:
    if not isinstance(basis, Basis):
        raise TypeError(f"basis is {_arguments.kind(basis)}: give a crypsis.ntt.Basis")
    return basis


def _words(name: str, value: Any, basis: Any) -> Words:
    if (  # what nearly all calls give, without the cost of a message
        type(value) is np.ndarray
        and value.dtype is _WORD
        and type(basis) is Basis
        and value.shape[-2:] == basis._last
        and value.flags.c_contiguous
    ):
        return value
    basis = _basis(basis)
    array: Words = _arguments.array(name, value, np.uint64)
    if array.shape[-2:] != (len(basis), basis.n):
        raise ValueError(f"{name} has shape {array.shape}: give uint64[..., {len(basis)}, {basis.n}]")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _output(out: Words | None, shape: tuple[int, ...]) -> Words:
    """`out`, or a new array. The compiled code refuses one that overlaps an input."""
    if out is None:
        return empty(shape)
    if type(out) is np.ndarray and out.dtype is _WORD and out.shape == shape and out.flags.carray:
        return out
    return _arguments.output(out, shape, np.uint64)


def _list(name: str, value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{name} is {_arguments.kind(value)}: give a sequence of ints") from None


def _log_n(value: Any) -> int:
    return _arguments.integer("log_n", value, MIN_LOG_N, MAX_LOG_N)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"a constant is {_arguments.kind(value)}: give ints")
    return int(value)


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    if backend is None and threads is None:
        return "", 0
    return _arguments.backend(backend), _arguments.threads(threads)

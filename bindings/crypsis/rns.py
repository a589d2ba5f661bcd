# SPDX-License-Identifier: Apache-2.0
"""The residue number system of CKKS [CHKKS18, HK20]: digits, key switching, divisions that round, composition.

    chain = Chain(13, ntt.find_primes(13, [60, 40, 40]), ntt.find_primes(13, [60, 60])[1:])
    pair = switch_key(c, key, chain, level)         # c s' as a pair under s, if `key` hides s' under s

A polynomial at level l has l + 1 limbs, one for each of q_0 .. q_l; the arrays are C-contiguous
`uint64[..., limbs, N]` as in `crypsis.ntt`, residues in [0, q), in the transform's domain (`compose` takes
coefficients). "Full" ones have the special moduli p_0 .. p_(k-1) as k more limbs; P is their product.

Everything is exact. [x]_m is the centred residue, in [-(m - 1) / 2, (m - 1) / 2]; all moduli are odd, so that it is one
number and rounding to the nearest integer has no ties:

- digit j of c is [c]_D, D the product of those moduli of the digit that are left at the level: |digit| < D / 2. Since
  digit j is c modulo its own moduli, a key's gadget is plain: row j of a key hides P s' in the limbs of digit j's
  moduli and 0 in all others, and one key serves all levels.
- Digits of c(X^g) are the digits of c, each through X -> X^g: rotating after decomposing (hoisting) loses no bit.
- `divide_special` is round(x / P) and `rescale` round(x / q_level), each coefficient within 1/2 of the quotient.
  `divide_special_and_rescale` equals the one after the other, bit for bit.

What switching adds: for a key with noise e_j, the pair decrypts to c s' + noise, where noise P = sum of digit_j e_j
plus what rounding adds, at most (1 + |s|_1) / 2 a coefficient.

Options that the functions share, all keyword-only:

    out       array for the result, of its shape, that overlaps no input. Untouched when an error is raised. Without
              it the result begins a cache line, as `crypsis.ntt.empty` does
    backend   a name from `crypsis.backends.runnable("rns")`, also for the transforms inside; default:
              `CRYPSIS_BACKEND`, else the best
    threads   default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use; over the leading axes, and over limbs
              where these are too few

Constant-time in all residues is everything but `compose_ints`; chains, levels and `galois` are public. Residues at or
above their modulus give a wrong result (`crypsis.ntt.is_reduced` tells).

On a GPU (`crypsis.cuda`) arrays are CuPy's, with the same words; so is `out`, and `backend` and `threads` do not count.
`compose` and `compose_ints` are the host's.

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or value,
`crypsis.errors.BackendUnavailable` for a backend this CPU cannot run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis._chain import Chain as Chain
from crypsis._chain import check_level
from crypsis.cuda._dispatch import follow_data
from crypsis.errors import CorruptData, InvalidCiphertext
from crypsis.ntt import Basis, empty

Words = npt.NDArray[np.uint64]
Doubles = npt.NDArray[np.float64]

MAX_MODULI = _core.rns.MAX_MODULI
"""Most moduli of a chain, special ones included."""


@follow_data("rns")
def decompose(
    c: Words,
    chain: Chain,
    level: int,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """The digits of c: `uint64[..., level + 1, N]` -> `uint64[..., n_digits(level), level + 1 + k, N]`, full each."""
    level = check_level(chain, level)
    c = _words("c", c, len(chain.basis(level)), chain.n)
    shape = (*c.shape[:-2], chain.n_digits(level), len(chain.full(level)), chain.n)
    result = _output(out, shape, c=c)
    _core.rns.decompose(chain._handle, level, c, _items(c, 2), result, *_options(backend, threads))
    return result


@follow_data("rns")
def inner_product(
    digits: Words,
    key: Words,
    chain: Chain,
    level: int,
    *,
    galois: int = 1,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """The sum over the digits of digit(X^galois) key[digit], for both halves of a key.

    digits: as `decompose` returns them. key: `uint64[dnum, 2, L + k, N]`, over `chain.full(L - 1)` whatever the level.
    galois: odd, 1 to 2N - 1. Returns `uint64[..., 2, level + 1 + k, N]`: divide it by P with `divide_special`.
    """
    level = check_level(chain, level)
    n_full = len(chain.full(level))
    digits = _words("digits", digits, chain.n_digits(level), n_full, chain.n)
    key = _key(key, chain)
    galois = _galois(galois, chain)
    result = _output(out, (*digits.shape[:-3], 2, n_full, chain.n), digits=digits, key=key)
    _core.rns.inner_product(
        chain._handle, level, digits, _items(digits, 3), key, galois, result, *_options(backend, threads)
    )
    return result


@follow_data("rns")
def divide_special(
    x: Words,
    chain: Chain,
    level: int,
    *,
    add: Words | None = None,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """round(x / P) + add: `uint64[..., level + 1 + k, N]` -> `uint64[..., level + 1, N]`, the shape of `add`."""
    return _divide_special(x, chain, level, add, False, out, backend, threads)


@follow_data("rns")
def divide_special_and_rescale(
    x: Words,
    chain: Chain,
    level: int,
    *,
    add: Words | None = None,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """round((round(x / P) + add) / q_level): `uint64[..., level + 1 + k, N]` -> `uint64[..., level, N]`.

    add: `uint64[..., level + 1, N]`. level: at least 1. The bits of `rescale(divide_special(x, add=add))`, with one
    transform a limb that stays in place of two.
    """
    return _divide_special(x, chain, level, add, True, out, backend, threads)


@follow_data("rns")
def rescale(
    x: Words,
    chain: Chain,
    level: int,
    *,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """round(x / q_level): `uint64[..., level + 1, N]` -> `uint64[..., level, N]`. level: at least 1."""
    level = _droppable(chain, level)
    x = _words("x", x, level + 1, chain.n)
    result = _output(out, (*x.shape[:-2], level, chain.n), x=x)
    _core.rns.rescale(chain._handle, level, x, _items(x, 2), result, *_options(backend, threads))
    return result


@follow_data("rns")
def switch_key(
    c: Words,
    key: Words,
    chain: Chain,
    level: int,
    *,
    galois: int = 1,
    add: Words | None = None,
    rescale: bool = False,
    out: Words | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Words:
    """`decompose`, `inner_product` and `divide_special` in one call: `[..., level + 1, N]` -> `[..., 2, level + 1, N]`.

    Switches c(X^galois) and adds add(X^galois): both are read through the automorphism. add: `uint64[..., 2, level + 1,
    N]`, or `[..., 1, level + 1, N]` for the first half alone. So a rotation of (c0, c1) is
    `switch_key(c1, key, chain, level, galois=g, add=c0[..., None, :, :])` and relinearising (d0, d1, d2) is
    `switch_key(d2, key, chain, level, add=d01)`. rescale: divide by q_level too, as `divide_special_and_rescale` does;
    the result then is `uint64[..., 2, level, N]` and level at least 1.

    Each limb's digits are transformed, multiplied and divided before the next's: up to N = 8192 all but the key and the
    result stays in one core's caches.
    """
    rescale = _arguments.flag("rescale", rescale)
    level = _droppable(chain, level) if rescale else check_level(chain, level)
    c = _words("c", c, level + 1, chain.n)
    key = _key(key, chain)
    galois = _galois(galois, chain)
    lead = c.shape[:-2]
    n_added = 0
    if add is not None:
        halves = add.shape[-3:-2] if isinstance(add, np.ndarray) else ()
        n_added = 1 if halves == (1,) else 2
        add = _summand(add, (*lead, n_added, level + 1, chain.n))
    result = _output(out, (*lead, 2, level if rescale else level + 1, chain.n), c=c, key=key, add=add)
    _core.rns.switch_key(
        chain._handle,
        level,
        c,
        key,
        add,
        n_added,
        galois,
        rescale,
        _items(c, 2),
        result,
        *_options(backend, threads),
    )
    return result


def pair_products(
    factors: Words,
    first: Words,
    second: Words,
    basis: Basis,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> tuple[Words, Words]:
    """A matrix of polynomials times a vector of pairs: the sums over j of factors[i, j] first[j] and of factors[i, j]
    second[j], reduced once for many terms.

    factors: `uint64[rows, terms, limbs, N]`, of which the first two axes need not be contiguous (a transposed matrix is
    fine). first, second: `uint64[terms, limbs, N]`, terms > 0. All transformed, on the host. Returns two
    `uint64[rows, limbs, N]`. basis: an `ntt.Basis`.
    """
    if not isinstance(basis, Basis):
        raise TypeError(f"basis is {_arguments.kind(basis)}: give a crypsis.ntt.Basis")
    last = (len(basis), basis.n)
    array: Words = _arguments.array("factors", factors, np.uint64)
    if array.ndim != 4 or array.shape[2:] != last or not array.shape[1]:
        raise ValueError(f"factors has shape {array.shape}: give uint64[rows, terms, {last[0]}, {last[1]}]")
    if (array.size and not array[0, 0].flags.c_contiguous) or min(array.strides) < 0:
        raise ValueError(
            "factors is not contiguous in its last two axes: pass numpy.ascontiguousarray(factors)"
        )
    first, second = _words("first", first, *last), _words("second", second, *last)
    for name, half in (("first", first), ("second", second)):
        if half.shape != (array.shape[1], *last):
            raise ValueError(f"{name} has shape {half.shape}: give uint64{[array.shape[1], *last]}")
    sums = empty((array.shape[0], *last)), empty((array.shape[0], *last))
    _core.rns.pair_products(basis._handle, array, first, second, *sums, *_options(backend, threads))
    return sums


def packed_bytes(count: int, n: int, basis: Basis) -> int:
    """Bytes that `pack` gives for `uint64[count, limbs, n]`."""
    words = -(-count * n // 64)
    return 8 * words * sum(prime.bit_length() for prime in basis.primes)


def pack(values: Words, basis: Basis) -> npt.NDArray[np.uint8]:
    """Residues as they travel, `uint64[count, limbs, n]` with any n -> `uint8[packed_bytes(count, n, basis)]`.

    All numbers of the first prime, then those of the next. A prime of b bits takes b bits a number, one after the other
    from the lowest bit of little-endian words on; zeros fill up the last 64 numbers. On the host; one backend.
    """
    array: Words = _arguments.array("values", values, np.uint64)
    if array.ndim != 3 or array.shape[1] != len(basis):
        raise ValueError(f"values has shape {array.shape}: give uint64[count, {len(basis)}, n]")
    data = np.empty(packed_bytes(array.shape[0], array.shape[2], basis), np.uint8)
    bits = [prime.bit_length() for prime in basis.primes]
    _core.rns.pack(_contiguous("values", array), bits, data)
    return data


def unpack(data: npt.NDArray[np.uint8], count: int, n: int, basis: Basis) -> Words:
    """The `uint64[count, limbs, n]` of which `pack` gave these bytes: from a peer, checked.

    InvalidCiphertext for a number that is no residue of its prime, CorruptData for other bits than 0 at an end.
    """
    array: npt.NDArray[np.uint8] = _arguments.array("data", data, np.uint8)
    size = packed_bytes(count, n, basis)
    if array.shape != (size,) or not array.flags.c_contiguous:
        raise ValueError(f"data has shape {array.shape}: give uint8[{size}], contiguous")
    values = empty((count, len(basis), n))
    bits = [prime.bit_length() for prime in basis.primes]
    below, filled = _core.rns.unpack(array, list(basis.primes), bits, values)
    if not below:
        raise InvalidCiphertext("a number in the buffer is no residue of its prime: have it sent again")
    if not filled:
        raise CorruptData("the buffer has bits behind its numbers that should be 0: have it sent again")
    return values


@follow_data("rns")
def compose(
    x: Words,
    chain: Chain,
    level: int,
    *,
    out: Doubles | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Doubles:
    """Centred values of coefficients: `uint64[..., level + 1, N]` (not transformed) -> `float64[..., N]`.

    The double nearest to the integer in (-Q / 2, Q / 2), Q = q_0 .. q_level, ties to even: one rounding of the exact
    value. Values from 2^1024 - 2^970 on are infinite.
    """
    level = check_level(chain, level)
    x = _words("x", x, level + 1, chain.n)
    shape = (*x.shape[:-2], chain.n)
    result = empty(shape).view(np.float64) if out is None else _arguments.output(out, shape, np.float64)
    if np.may_share_memory(result, x):
        raise ValueError("out overlaps x: give memory of its own")
    _core.rns.compose(chain._handle, level, x, _items(x, 2), result, *_options(backend, threads))
    return result


@follow_data("rns")
def compose_ints(x: Words, chain: Chain, level: int) -> list[Any]:
    """As `compose`, exact: nested lists of Python ints. Slow and not constant-time: for tests and diagnostics."""
    level = check_level(chain, level)
    x = _words("x", x, level + 1, chain.n)
    primes = chain.basis(level).primes
    q = math.prod(primes)
    total = np.zeros((*x.shape[:-2], chain.n), object)
    for limb, prime in enumerate(primes):
        weight = q // prime * pow(q // prime, -1, prime)
        total += x[..., limb, :].astype(object) * weight
    half = (q - 1) // 2
    values: list[Any] = ((total + half) % q - half).tolist()
    return values


def _divide_special(
    x: Words,
    chain: Chain,
    level: int,
    add: Words | None,
    rescale: bool,
    out: Words | None,
    backend: str | None,
    threads: int | None,
) -> Words:
    level = _droppable(chain, level) if rescale else check_level(chain, level)
    x = _words("x", x, len(chain.full(level)), chain.n)
    lead = x.shape[:-2]
    if add is not None:
        add = _summand(add, (*lead, level + 1, chain.n))
    result = _output(out, (*lead, level if rescale else level + 1, chain.n), x=x, add=add)
    _core.rns.divide_special(
        chain._handle, level, x, add, _items(x, 2), rescale, result, *_options(backend, threads)
    )
    return result


def _droppable(chain: Any, level: Any) -> int:
    checked = check_level(chain, level)
    if checked == 0:
        raise ValueError("level is 0: no modulus is left to divide by; give 1 or more")
    return checked


def _galois(value: Any, chain: Chain) -> int:
    galois = _arguments.integer("galois", value, 1, 2 * chain.n - 1)
    if galois % 2 == 0:
        raise ValueError(f"galois is {galois}: give an odd number, X -> X^{galois} is no automorphism")
    return galois


def _words(name: str, value: Any, *last: int) -> Words:
    array: Words = _arguments.array(name, value, np.uint64)
    if array.shape[-len(last) :] != last:
        axes = ", ".join(str(axis) for axis in last)
        raise ValueError(f"{name} has shape {array.shape}: give uint64[..., {axes}]")
    return _contiguous(name, array)


def _summand(value: Any, shape: tuple[int, ...]) -> Words:
    array: Words = _arguments.array("add", value, np.uint64)
    if array.shape != shape:
        raise ValueError(f"add has shape {array.shape}: give uint64{list(shape)}")
    return _contiguous("add", array)


def _key(value: Any, chain: Chain) -> Words:
    array: Words = _arguments.array("key", value, np.uint64)
    if array.shape != chain.key_shape:
        raise ValueError(f"key has shape {array.shape}: a key of this chain is uint64{list(chain.key_shape)}")
    return _contiguous("key", array)


def _contiguous(name: str, array: Words) -> Words:
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _items(array: Words, last: int) -> int:
    return math.prod(array.shape[:-last])


def _output(out: Words | None, shape: tuple[int, ...], **inputs: Words | None) -> Words:
    if out is None:
        return empty(shape)
    out = _arguments.output(out, shape, np.uint64)
    for name, array in inputs.items():
        if array is not None and np.may_share_memory(out, array):
            raise ValueError(f"out overlaps {name}: give memory of its own")
    return out


def _options(backend: str | None, threads: int | None) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)

# SPDX-License-Identifier: Apache-2.0
"""Arrays of ciphertexts with NumPy manners.

Two types, by one rule. A `CipherArray` is what `encrypt` and `rerandomize` return, and what basic slicing, reshaping,
transposing and concatenating make of it: every ciphertext in it carries a blinding factor that was drawn for it and is
used nowhere else in it. It can be serialised. Everything else is an `UnblindedCipherArray`: results of arithmetic are
functions of ciphertexts that others may have seen, so they would tell how they were made (a sum can be divided by a
summand, a product with 1 is recognised); a choice by indexes or masks may depend on data, and sending what was sent
before tells which it was; what was loaded was blinded by its maker. `rerandomize()` makes one of the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crypsis import bigint
from crypsis._homomorphic import devices, limbs, operations, wire
from crypsis._homomorphic.devices import current
from crypsis._homomorphic.encoding import DEFAULT, Encoded, Exponents, fixed_point
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.numpy_calls import cipher_arrays, implements
from crypsis._homomorphic.reductions import Reductions
from crypsis._homomorphic.wiping import wiping
from crypsis.cuda import _registry

if TYPE_CHECKING:
    from crypsis._homomorphic.blinding import BlindingPool


class UnblindedCipherArray(Reductions):
    """Ciphertexts that may be computed with and decrypted, but not leave the process: see `rerandomize`.

    `+` and `-` take ciphertexts of the same key and plaintexts (numbers, arrays, `Encoded`), `*` and `@` plaintexts,
    all with broadcasting. Plaintext reals are encoded as multiples of 2^-52 (or of 1/base of a fixed point) unless
    they come as `Encoded`. Encodings with different exponents are aligned, which costs a power for ciphertexts.
    Constant-time in plaintext operands as `PublicKey.encrypt` is, given the bits of the largest and whether any factor
    is negative; the `_vartime` methods are faster.
    Overflow beyond `public_key.max_int` is noticed, where it can be, when decrypting.

    `.to("cuda:0")` moves the ciphertexts to a GPU, and what is computed from them stays there: only plaintexts are
    encoded on the host. Operands on different devices are a ValueError, numbers in a GPU's memory too where the
    ciphertexts are elsewhere.
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """As NumPy; a copy. Slices and integers keep the type, indexes and masks give an unblinded array."""
        parts = key if isinstance(key, tuple) else (key,)
        if _registry.possible():
            for part in parts:
                devices.check_beside("the index", part, self._device)
            parts = tuple(devices.plain("the index", part) for part in parts)
            key = parts if isinstance(key, tuple) else parts[0]
        basic = all(p is None or p is Ellipsis or isinstance(p, slice | int | np.integer) for p in parts)
        basic = basic and not any(isinstance(p, bool | np.bool_) for p in parts)
        return self._take(np.asarray(self._positions()[key]), type(self) if basic else UnblindedCipherArray)

    def reshape(self, *shape: Any) -> Any:
        target = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self._take(self._positions().reshape(target), type(self))

    def ravel(self) -> Any:
        return self.reshape(-1)

    def transpose(self, *axes: int) -> Any:
        return self._take(self._positions().transpose(*axes), type(self))

    @property
    def T(self) -> Any:  # noqa: N802  (NumPy's name)
        return self.transpose()

    def broadcast_to(self, shape: tuple[int, ...]) -> UnblindedCipherArray:
        """As NumPy. Copies of a ciphertext are equal for all to see: unblinded."""
        if shape == self.shape:
            return self
        result: UnblindedCipherArray = self._take(
            np.broadcast_to(self._positions(), shape), UnblindedCipherArray
        )
        return result

    @current
    def at_exponent(self, exponent: int) -> UnblindedCipherArray:
        """The same values with `exponent`, which is nowhere above the present one."""
        if operations.uniform(self.exponent) < exponent:
            raise ValueError(
                f"exponent {exponent} is above {operations.uniform(self.exponent)}, the present one: no digit can go"
            )
        rows = operations.align(self._rows, self.exponent, exponent, self.base, self.public_key)
        return self._result(rows, self.shape, exponent)

    @current
    def __add__(self, other: Any) -> UnblindedCipherArray:
        if not isinstance(other, UnblindedCipherArray):
            return self._add_plain(self._encode(other))
        self._check_partner(other)
        shape = np.broadcast_shapes(self.shape, other.shape)
        left, right = self.broadcast_to(shape), other.broadcast_to(shape)
        target = operations.lowest(left.exponent, right.exponent)
        key = self.public_key
        a, b = (operations.align(x._rows, x.exponent, target, x.base, key) for x in (left, right))
        return self._result(bigint.mod_mul(a, b, key.modulus, montgomery=True), shape, target)

    __radd__ = __add__

    def __neg__(self) -> UnblindedCipherArray:
        return self._negated()

    @current
    def _negated(self) -> UnblindedCipherArray:
        rows = operations.inverses(self._rows, self.public_key.modulus)
        return self._result(rows, self.shape, self.exponent)

    def __sub__(self, other: Any) -> UnblindedCipherArray:
        if isinstance(other, UnblindedCipherArray):
            self._check_partner(other)
            return self.__add__(other._negated())
        return self._add_plain(_negated(self._encode(other)))

    def __rsub__(self, other: Any) -> UnblindedCipherArray:
        return self._negated().__add__(other)

    @current
    def _add_plain(self, plain: Encoded) -> UnblindedCipherArray:
        key = self.public_key
        shape = np.broadcast_shapes(self.shape, plain.shape)
        left, plain = self.broadcast_to(shape), plain.broadcast_to(shape)
        target = operations.lowest(left.exponent, plain.exponent)
        operations.steps_between(plain.exponent, target, plain.size, self.base, key.max_int)
        plain = plain.align(target)
        key.check_range(plain)
        rows = operations.align(left._rows, left.exponent, target, self.base, key)
        total = limbs.module_of(rows).empty_like(rows)

        def work(part: slice) -> None:
            size = part.stop - part.start
            block = Encoded(plain.magnitude[part], plain.negative[part], 0, plain.base, (size,))
            with wiping() as secret:
                message = secret(key.trivial(block, device=self._device))
                bigint.mod_mul(rows[part], message, key.modulus, montgomery=True, out=total[part])

        devices.in_blocks(len(rows), self._device, 8 * key.modulus.limbs, work, what="addition")
        return self._result(total, shape, target)

    def __mul__(self, other: Any) -> UnblindedCipherArray:
        return self._multiply(other, False)

    __rmul__ = __mul__

    def multiply_vartime(self, other: Any) -> UnblindedCipherArray:
        """`self * other`, faster: time depends on the plaintexts."""
        return self._multiply(other, True)

    @current
    def _multiply(self, other: Any, vartime: bool) -> UnblindedCipherArray:
        factors = self._encode(other)
        key = self.public_key
        key.check_range(factors)
        shape = np.broadcast_shapes(self.shape, factors.shape)
        take = None if shape == self.shape else np.broadcast_to(self._positions(), shape).reshape(-1)
        if factors.size != 1:
            factors = factors.broadcast_to(shape)
        rows = operations.multiply(self._rows, factors, take, key.modulus, vartime)
        left = self.exponent if take is None or isinstance(self.exponent, int) else self.exponent[take]
        right = operations.uniform(factors.exponent) if factors.size == 1 else factors.exponent
        return self._result(rows, shape, _added(left, right))

    def __matmul__(self, other: Any) -> UnblindedCipherArray:
        return self.matmul(other)

    def __rmatmul__(self, other: Any) -> UnblindedCipherArray:
        return self.rmatmul(other)

    def matmul(self, plain: Any, *, vartime: bool = False) -> UnblindedCipherArray:
        """self @ plain for 1-D and 2-D operands; `vartime=True` is faster, its time depends on the plaintexts."""
        return self._matrix(plain, vartime, reflected=False)

    def rmatmul(self, plain: Any, *, vartime: bool = False) -> UnblindedCipherArray:
        """plain @ self for 1-D and 2-D operands."""
        return self._matrix(plain, vartime, reflected=True)

    @current
    def _matrix(self, other: Any, vartime: bool, reflected: bool) -> UnblindedCipherArray:
        matrix, exponent = operations.integer_matrix(other), 0
        if matrix is None:
            encoded = self._encode(other)
            exponent = operations.uniform(encoded.exponent)
            matrix = operations.signed_matrix(encoded.align(exponent))
        shapes = (matrix.shape, self.shape) if reflected else (self.shape, matrix.shape)
        if not all(1 <= len(shape) <= 2 for shape in shapes):
            raise ValueError(
                f"@ takes vectors and matrices: the operands have shapes {shapes[0]} and {shapes[1]}"
            )
        if shapes[0][-1] != shapes[1][0]:
            raise ValueError(
                f"@ of shapes {shapes[0]} and {shapes[1]}: {shapes[0][-1]} is not {shapes[1][0]}"
            )
        own = self.at_exponent(operations.uniform(self.exponent))
        positions = self._positions()
        # As plain[m, k] @ encrypted vectors of length k, one for each column (or row) of ours.
        left = matrix if reflected else matrix.T
        left = left.reshape(1, -1) if matrix.ndim == 1 else left
        vectors = positions.T if reflected else positions
        vectors = vectors.reshape(1, -1) if self.ndim == 1 else vectors
        modulus = self.public_key.modulus
        columns = [
            operations.matrix_product(left, limbs.gather(own._rows, v), modulus, vartime) for v in vectors
        ]
        stack = limbs.module_of(own._rows).stack
        total = stack(columns, axis=1 if reflected else 0) if columns else own._rows[:0]
        shape = shapes[0][:-1] + shapes[1][1:]
        return self._result(
            total.reshape(math.prod(shape), modulus.limbs), shape, exponent + operations.uniform(own.exponent)
        )

    @current
    def rerandomize(self, *, full: bool = False, pool: BlindingPool | None = None) -> CipherArray:
        """The same values under fresh blinding: may leave the process.

        full: hides how the values were made from the owner of the private key too, if the key is an honest one: factors
        uniform among all encryptions of zero (long powers). The default hides it from everybody else; an
        owner who chose the key for it undoes short exponents. pool: factors made ahead.
        """
        key = self.public_key
        if pool is not None and (full or pool.digest != key.digest):
            raise ValueError(
                "pool holds " + ("short" if full else "another key's") + " factors: leave it out"
            )
        if pool is not None and pool.device != self.device:
            raise ValueError(
                f"the ciphertexts are on {self.device} and the pool's factors on {pool.device}: make the pool with"
                f" device={self.device!r}, or move the ciphertexts, as .to({pool.device!r}) does"
            )
        make = key.full_blinding_factors if full else key.blinding_factors
        blinder = pool.take if pool else functools.partial(make, device=self._device)
        return self._blinded(blinder)

    def _blinded(self, blinder: Callable[[int], Limbs]) -> CipherArray:
        """`rerandomize` with factors from `blinder`, which are wiped."""
        key = self.public_key
        rows = limbs.module_of(self._rows).empty_like(self._rows)

        def work(part: slice) -> None:
            with wiping() as secret:
                factors = secret(blinder(part.stop - part.start))
                bigint.mod_mul(self._rows[part], factors, key.modulus, montgomery=True, out=rows[part])

        devices.in_blocks(self.size, self._device, 8 * key.modulus.limbs, work, what="blinding")
        return CipherArray(key, rows, self.shape, self.exponent, self.base)

    def to_bytes(self) -> bytes:
        """Refused: TypeError."""
        raise TypeError(
            "these ciphertexts are results of arithmetic, chosen by data or loaded, and would tell how they were made:"
            " send .rerandomize() of them"
        )

    def to_ints(self) -> list[int]:
        """Refused as `to_bytes` is: TypeError."""
        self.to_bytes()
        return []

    def _encode(self, other: Any) -> Encoded:
        if isinstance(other, UnblindedCipherArray):
            raise TypeError(
                f"{self.public_key.scheme} cannot multiply ciphertexts: one operand must be in the clear"
            )
        devices.check_beside("the other operand", other, self._device)
        encoded = (DEFAULT if self.base == 16 else fixed_point(self.base)).encode(other)
        if encoded.base != self.base:
            raise ValueError(
                f"operands are encoded with bases {self.base} and {encoded.base}: use one encoding"
            )
        self.public_key.check_packed(encoded.packed_bits)
        return encoded

    def _check_partner(self, other: UnblindedCipherArray) -> None:
        if other.public_key != self.public_key:
            raise ValueError(
                "the operands are encrypted under different keys: only ciphertexts of one key combine"
            )
        if other.base != self.base:
            raise ValueError(
                f"operands are encoded with bases {self.base} and {other.base}: use one encoding"
            )
        if other._device is not self._device:
            raise ValueError(
                f"the operands are on {self.device} and {other.device}: move one, as .to({self.device!r}) does"
            )

    def _result(self, rows: Limbs, shape: tuple[int, ...], exponent: Exponents) -> UnblindedCipherArray:
        return UnblindedCipherArray(self.public_key, rows, shape, exponent, self.base)


class CipherArray(UnblindedCipherArray):
    """Freshly blinded ciphertexts: what may leave the process. Operations as in `UnblindedCipherArray`."""

    __slots__ = ()

    def to_bytes(self) -> bytes:
        """One versioned buffer: key digest, shape, exponents and ciphertexts. `load_ciphertexts` reads it."""
        return wire.ciphertexts_to_bytes(
            self.public_key, self._plain_rows(), self.shape, self.exponent, self.base
        )

    def to_ints(self) -> list[int]:
        """The ciphertexts as integers, in C order, for other implementations."""
        return limbs.to_ints(self._plain_rows())

    @current
    def _plain_rows(self) -> Limbs:
        """The ciphertexts as plain residues, on the host."""
        return devices.to_host(self.public_key.modulus.from_montgomery(self._rows))


@implements(np.concatenate)
def concatenate(arrays: Sequence[UnblindedCipherArray], axis: int = 0) -> UnblindedCipherArray:
    """As `numpy.concatenate`; a `CipherArray` when all parts are and no ciphertext is in them twice."""
    if not arrays:
        raise ValueError("nothing to concatenate: give at least one array")
    first = cipher_arrays(arrays)[0]
    for other in arrays[1:]:
        first._check_partner(other)
    offsets = np.cumsum([0] + [a.size for a in arrays])
    positions = np.concatenate(
        [a._positions() + o for a, o in zip(arrays, offsets[:-1], strict=True)], axis=axis
    )
    exponents = {a.exponent for a in arrays if isinstance(a.exponent, int)}
    same = len(exponents) == 1 and all(isinstance(a.exponent, int) for a in arrays)
    exponent: Exponents
    if same:
        exponent = exponents.pop()
    else:
        exponent = np.concatenate([np.broadcast_to(np.int32(a.exponent), (a.size,)) for a in arrays])
    with devices.at(first._device):
        rows = limbs.concatenate([a._rows for a in arrays])
        blinded = all(isinstance(a, CipherArray) for a in arrays) and not _repeats(rows)
    whole = UnblindedCipherArray(first.public_key, rows, (int(offsets[-1]),), exponent, first.base)
    result: UnblindedCipherArray = whole._take(positions, CipherArray if blinded else UnblindedCipherArray)
    return result


def _repeats(rows: Limbs) -> bool:
    """Whether two rows are equal."""
    xp = limbs.module_of(rows)
    first = xp.sort(rows[:, 0])
    if not (first[1:] == first[:-1]).any():
        return False
    if xp is np:
        return len(np.unique(rows, axis=0)) < len(rows)
    ordered = rows[xp.lexsort(xp.ascontiguousarray(rows.T))]
    return bool((ordered[1:] == ordered[:-1]).all(axis=1).any())


def _negated(plain: Encoded) -> Encoded:
    negative = ~plain.negative & plain.magnitude.any(axis=1)
    return Encoded(plain.magnitude, negative, plain.exponent, plain.base, plain.shape)


def _added(a: Exponents, b: Exponents) -> Exponents:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return np.add(a, b).astype(np.int32)

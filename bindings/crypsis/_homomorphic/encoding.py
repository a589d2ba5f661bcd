# SPDX-License-Identifier: Apache-2.0
"""Numbers to integers and back: value = mantissa * base^exponent, mantissa exact and signed, exponent in the clear.

Two conventions, both vectorised:

    base16()            exponents of base 16 as python-paillier chooses them, from the 53-bit mantissa of each float64:
                        exact, interoperable; the exponents tell the size of every value to who sees them
    base16(exponent=e)  the same base, one exponent for the whole array: nothing told, sums need no alignment
    fixed_point(scale)  value = mantissa / scale, HEU's integer scale

Integers have exponent 0 and are exact in all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis._homomorphic import limbs
from crypsis._homomorphic.devices import plain
from crypsis._homomorphic.limbs import Bools, Limbs

Exponents = int | npt.NDArray[np.int32]

FLOAT_MANTISSA_BITS = 53
MIN_EXPONENT, MAX_EXPONENT = -(2**12), 2**12
"""Exponents outside are refused: they are past all that plaintexts of 4096 bits hold, and the power of the base that
decoding divides by could take minutes a value: from a peer, an attack."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoded numbers, in the clear: value i is (-1)^negative[i] * magnitude[i] * base^exponent (or exponent[i]).

    `magnitude` is `uint64[size, k]`, `negative` `bool[size]`, for a C-contiguous array of `shape`. Its
    representation shows no value. On the host: to a GPU goes what `encrypt(..., device=...)` and operations make of it.
    """

    magnitude: Limbs = field(repr=False)
    negative: Bools = field(repr=False)
    exponent: Exponents
    base: int
    shape: tuple[int, ...]
    packed_bits: int = 0
    """Bits of all slots together, of what `Packing.pack` made: the key must hold them."""

    @property
    def size(self) -> int:
        return len(self.magnitude)

    def mantissas(self) -> list[int]:
        """The signed mantissas as Python integers."""
        signs = np.where(self.negative, -1, 1).tolist()
        return [sign * value for sign, value in zip(signs, limbs.to_ints(self.magnitude), strict=True)]

    def exponents(self) -> npt.NDArray[np.int32]:
        """One exponent a value, `int32[size]`."""
        return np.broadcast_to(np.asarray(self.exponent, dtype=np.int32), (self.size,))

    def broadcast_to(self, shape: tuple[int, ...]) -> Encoded:
        """The same values repeated to `shape`, as NumPy broadcasts."""
        if shape == self.shape:
            return self
        rows = np.broadcast_to(np.arange(self.size).reshape(self.shape), shape).ravel()
        exponent = self.exponent if isinstance(self.exponent, int) else self.exponent[rows]
        return Encoded(
            self.magnitude[rows], self.negative[rows], exponent, self.base, shape, self.packed_bits
        )

    def align(self, exponent: Exponents) -> Encoded:
        """The same values with `exponent` (nowhere larger than now): mantissas times powers of the base.

        Constant-time in the mantissas, but for the bits of the largest, where the base is a power of two.
        """
        if isinstance(exponent, int) and isinstance(self.exponent, int) and exponent == self.exponent:
            return self
        steps = self.exponents() - np.broadcast_to(np.asarray(exponent, dtype=np.int32), (self.size,))
        if steps.size and steps.min() < 0:
            raise ValueError(
                f"cannot raise an exponent by {-int(steps.min())}: that loses digits; encode anew"
            )
        if self.base & (self.base - 1) == 0:
            shifts = steps.astype(np.int64) * (self.base.bit_length() - 1)
            width = limbs.n_limbs(limbs.bit_length(self.magnitude) + int(shifts.max(initial=0)))
            magnitude = limbs.shift_left(self.magnitude, shifts, width)
        else:
            powers = {int(step): self.base ** int(step) for step in np.unique(steps)}
            pairs = zip(limbs.to_ints(self.magnitude), steps.tolist(), strict=True)
            wide = [value * powers[step] for value, step in pairs]
            width = limbs.n_limbs(max((value.bit_length() for value in wide), default=1))
            magnitude = limbs.from_ints(wide, width)
        return Encoded(magnitude, self.negative, exponent, self.base, self.shape)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A convention: `base` and, for reals, the `exponent` of all values; None chooses one for each (base 16 only)."""

    base: int
    exponent: int | None

    def __post_init__(self) -> None:
        if not isinstance(self.base, int) or not 2 <= self.base < 2**63:
            raise ValueError(f"base is {self.base!r}: give an integer from 2 to 2^63 - 1")
        if self.exponent is None:
            if self.base != 16:
                raise ValueError(
                    f"base {self.base} needs an exponent: only base 16 chooses one for each value"
                )
        elif not isinstance(self.exponent, int) or not MIN_EXPONENT <= self.exponent <= 0:
            raise ValueError(f"exponent is {self.exponent!r}: give an integer from {MIN_EXPONENT} to 0")

    def encode(self, values: Any) -> Encoded:
        """Encode numbers: an array (bool, integers, float32, float64, or Python numbers), a list or a scalar.

        This is work for the host: an array on a GPU is copied there first.
        ValueError naming the index for NaN and infinities; TypeError for what is not a number.
        """
        if isinstance(values, Encoded):
            return values
        array = _as_array(plain("values", values))
        if array.dtype == object:
            return self._encode_objects(array)
        flat = np.ascontiguousarray(array).reshape(-1)
        if array.dtype.kind in "iub":
            magnitude, negative = _split_integers(flat)
            return Encoded(magnitude.reshape(-1, 1), negative, 0, self.base, array.shape)
        reals = flat.astype(np.float64)
        _refuse_non_finite(reals, array.shape)
        if self.exponent is None:
            magnitude, negative, exponent = _float_mantissas(reals)
            return Encoded(magnitude.reshape(-1, 1), negative, exponent, self.base, array.shape)
        magnitude = _scaled_floats(reals, self.base, self.exponent)
        return Encoded(
            magnitude, np.signbit(reals) & magnitude.any(axis=1), self.exponent, self.base, array.shape
        )

    def _encode_objects(self, array: npt.NDArray[np.object_]) -> Encoded:
        """Python numbers: integers of any size, or, when one is not an integer, all as reals."""
        items = [python_number(item) for item in array.reshape(-1).tolist()]
        if all(isinstance(item, int) for item in items):
            mantissas, exponent = items, 0
        elif all(isinstance(item, int | float | Fraction) for item in items):
            _refuse_non_finite(
                np.array([item if isinstance(item, float) else 0.0 for item in items]), array.shape
            )
            if self.exponent is None:
                return self._encode_each(items, array.shape)
            exponent = self.exponent
            mantissas = [round(Fraction(item) / Fraction(self.base) ** exponent) for item in items]
        else:
            wrong = next(i for i in items if not isinstance(i, int | float | Fraction))
            raise TypeError(f"cannot encode a {type(wrong).__name__}: give integers or floats")
        width = limbs.n_limbs(max((abs(m).bit_length() for m in mantissas), default=1))
        negative = np.array([m < 0 for m in mantissas], dtype=bool)
        return Encoded(
            limbs.from_ints((abs(m) for m in mantissas), width), negative, exponent, self.base, array.shape
        )

    def _encode_each(self, items: list[Any], shape: tuple[int, ...]) -> Encoded:
        mantissas, exponents = [], []
        for i, item in enumerate(items):
            number = _float_of(i, item) if isinstance(item, Fraction) else item
            mantissa, exponent = encode_scalar(number)
            mantissas.append(mantissa)
            exponents.append(exponent)
        width = limbs.n_limbs(max((abs(m).bit_length() for m in mantissas), default=1))
        negative = np.array([m < 0 for m in mantissas], dtype=bool)
        magnitude = limbs.from_ints((abs(m) for m in mantissas), width)
        return Encoded(magnitude, negative, np.array(exponents, dtype=np.int32), self.base, shape)


def base16(exponent: int | None = None, *, precision: float | None = None) -> Encoding:
    """python-paillier's base 16. No argument: an exponent for each float from its mantissa, as python-paillier does.

    exponent: one for all reals (0 or less): they are rounded to multiples of 16^exponent, half to even.
    precision: the same, given as the largest multiple wanted: 1e-6 means exponent floor(log16(1e-6)) = -5.
    """
    if precision is None:
        return Encoding(16, exponent)
    if exponent is not None:
        raise ValueError("exponent and precision exclude each other: give one")
    return Encoding(16, min(0, precision_exponent(precision)))


def fixed_point(scale: int) -> Encoding:
    """Reals rounded to multiples of 1/scale (2 to 2^63 - 1), half to even; a product of two has 1/scale^2."""
    return Encoding(scale, -1)


DEFAULT = base16(-13)
"""Reals as multiples of 16^-13 = 2^-52, the resolution of float64 at 1: one exponent for all, nothing told by it."""


def precision_exponent(precision: float) -> int:
    """The largest exponent e with 16^e <= precision (a positive number)."""
    if not precision > 0 or not math.isfinite(precision):
        raise ValueError(f"precision is {precision!r}: give a positive number")
    return math.floor(math.log(precision, 16))


def encode_scalar(
    value: float | int, *, precision: float | None = None, max_exponent: int | None = None
) -> tuple[int, int]:
    """(mantissa, exponent) of one number in python-paillier's convention, base 16: its scalar form.

    An integer has exponent 0, a float the one at which its 53-bit mantissa is exact, unless `precision` sets it;
    `max_exponent` lowers it further. The mantissa is value * 16^-exponent, rounded half to even.
    """
    if precision is not None:
        exponent = precision_exponent(precision)
    elif isinstance(value, int):
        exponent = 0
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"cannot encode {value}: give a finite number")
        exponent = (math.frexp(value)[1] - FLOAT_MANTISSA_BITS) // 4
    else:
        raise TypeError(f"cannot encode a {type(value).__name__}: give an int or a float")
    if max_exponent is not None:
        exponent = min(max_exponent, exponent)
    return round(Fraction(value) * Fraction(16) ** -exponent), exponent


def _as_array(values: Any) -> npt.NDArray[Any]:
    if np.ma.isMaskedArray(values):
        raise TypeError(
            "values is a masked array, which cannot be encrypted as such: pass .filled(...) of it"
        )
    array = np.asarray(values)
    if not isinstance(values, np.ndarray | np.generic) and array.dtype == np.float64:
        # NumPy makes floats of integers that fit no common type, such as uint64 and int64, or stand beside a float.
        items = np.array(values, dtype=object)
        numbers = [python_number(item) for item in items.reshape(-1).tolist()]
        if numbers and (all(isinstance(n, int) for n in numbers) or any(_no_float_is(n) for n in numbers)):
            return items
    if array.dtype == object or array.dtype.kind in "iub":
        return array
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:  # of either byte order
        return array
    raise TypeError(f"values have dtype {array.dtype}: give integers, float32 or float64")


def python_number(item: Any) -> Any:
    """NumPy's numbers as Python's, whose arithmetic is exact; anything else as it is."""
    known = isinstance(item, np.number | np.bool_) and not isinstance(item, np.timedelta64)
    return item.item() if known else item


def _no_float_is(number: Any) -> bool:
    """Whether a number is an integer that no float equals."""
    return isinstance(number, int) and abs(number) > 1 << FLOAT_MANTISSA_BITS and int(float(number)) != number


def _float_of(i: int, value: Fraction) -> float | int:
    """A fraction as the integer or float that it is."""
    try:
        number = value.numerator if value.denominator == 1 else float(value)
    except OverflowError:
        number = math.inf
    if number != value:
        raise ValueError(
            f"value {i} is {value}, which no float is: use base16(exponent) or fixed_point(scale)"
        )
    return number


def _split_integers(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint64], Bools]:
    """(|value| as uint64, value < 0) of integers of any NumPy width; no branch on a value."""
    negative = values < 0
    bits = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    mask = np.uint64(0) - negative.astype(np.uint64)
    return (bits ^ mask) - mask, negative


def _refuse_non_finite(reals: npt.NDArray[np.float64], shape: tuple[int, ...]) -> None:
    wrong = ~np.isfinite(reals)
    if wrong.any():
        flat = int(np.argmax(wrong))
        index = ", ".join(str(i) for i in np.unravel_index(flat, shape)) if shape else ""
        raise ValueError(f"value [{index}] is {reals[flat]}: only finite numbers can be encrypted")


def _float_mantissas(
    reals: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.uint64], Bools, npt.NDArray[np.int32]]:
    """Exact: |x| = m * 2^(e - 53), m of 53 bits; the exponent is floor((e - 53) / 4), so m moves up 0 to 3 bits."""
    fractions, binary = np.frexp(np.abs(reals))
    lowest = binary.astype(np.int64) - FLOAT_MANTISSA_BITS
    exponent = lowest // 4
    mantissas = np.ldexp(fractions, FLOAT_MANTISSA_BITS).astype(np.uint64)
    return (
        mantissas << (lowest - 4 * exponent).astype(np.uint64),
        np.signbit(reals) & (mantissas != 0),
        exponent.astype(np.int32),
    )


def _scaled_floats(reals: npt.NDArray[np.float64], base: int, exponent: int) -> Limbs:
    """round(|x| * base^-exponent), half to even, as `uint64[n, k]`."""
    magnitude = np.abs(reals)
    if base & (base - 1):
        exact = (round(Fraction(x) / Fraction(base) ** exponent) for x in magnitude.tolist())
        wide = list(exact)
        return limbs.from_ints(wide, limbs.n_limbs(max((m.bit_length() for m in wide), default=1)))
    # A power of two: scaling is exact, and at 2^53 or more nothing is left to round.
    fractions, binary = np.frexp(magnitude)
    shift = binary.astype(np.int64) - exponent * (base.bit_length() - 1)
    small = shift <= FLOAT_MANTISSA_BITS
    rounded = np.rint(np.ldexp(fractions, np.where(small, shift, 0).astype(np.int32))).astype(np.uint64)
    mantissas = np.where(small, rounded, np.ldexp(fractions, FLOAT_MANTISSA_BITS).astype(np.uint64))
    shifts = np.where(small, 0, shift - FLOAT_MANTISSA_BITS)
    width = limbs.n_limbs(FLOAT_MANTISSA_BITS + 1 + int(shifts.max(initial=0)))
    return limbs.shift_left(mantissas[:, None], shifts, width)

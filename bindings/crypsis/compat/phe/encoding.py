# SPDX-License-Identifier: Apache-2.0
"""Numbers as residues modulo n with an exponent: `phe.encoding`'s class, bit for bit the same encodings."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from crypsis.compat.phe.paillier import PaillierPublicKey

Self = TypeVar("Self", bound="EncodedNumber")


class EncodedNumber:
    """A number as `encoding` (0 to n - 1, negative ones from n downwards) times BASE^`exponent`.

    A subclass may set BASE and LOG2_BASE; every party must use the same. Exponents are public: with none asked for,
    they tell the magnitude of a float.
    """

    BASE: int = 16
    LOG2_BASE: float = math.log2(BASE)
    FLOAT_MANTISSA_BITS: int = sys.float_info.mant_dig

    def __init__(self, public_key: PaillierPublicKey, encoding: int, exponent: int) -> None:
        self.public_key = public_key
        self.encoding = encoding
        self.exponent = exponent

    @classmethod
    def encode(
        cls: type[Self],
        public_key: PaillierPublicKey,
        scalar: Any,
        precision: float | None = None,
        max_exponent: int | None = None,
    ) -> Self:
        """The encoding of an int or a float.

        precision: a positive number; the value is rounded to a multiple of the largest power of BASE at or below it.
        Without it, ints are exact with exponent 0, and a float's exponent is the one at which its mantissa fits.
        max_exponent: the exponent becomes this at most. TypeError for other types (such as NumPy's integers; its
        float64 is a float). ValueError beyond `public_key.max_int`, for NaN, and for a precision that is not
        positive; OverflowError for infinities.
        """
        exponent: int
        if precision is not None:
            exponent = math.floor(math.log(precision, cls.BASE))
        elif isinstance(scalar, int):
            exponent = 0
        elif isinstance(scalar, float):
            lowest_bit = math.frexp(scalar)[1] - cls.FLOAT_MANTISSA_BITS
            exponent = math.floor(lowest_bit / cls.LOG2_BASE)
        else:
            raise TypeError(f"cannot encode a {type(scalar)}: give an int or a float")
        if max_exponent is not None and max_exponent < exponent:
            exponent = max_exponent

        if exponent == 0 and isinstance(scalar, int):
            mantissa = int(scalar)
        else:
            mantissa = _scaled(scalar, cls.BASE, exponent)
        if abs(mantissa) > public_key.max_int:
            raise ValueError(
                f"the encoding needs {abs(mantissa).bit_length()} bits and must be within +/- max_int, of"
                f" {public_key.max_int.bit_length()} bits: use a longer key or a coarser precision"
            )
        return cls(public_key, mantissa % public_key.n, exponent)

    def decode(self) -> int | float:
        """The number: an int where the exponent is 0 or more, else a float.

        ValueError where the encoding is not below n; OverflowError where it lies between the positive and the
        negative numbers (a computation went beyond `max_int`), or the value is too large for a float.
        """
        key = self.public_key
        if self.encoding >= key.n:
            raise ValueError("the encoding is not below n: the number is corrupted, or of another key")
        if self.encoding <= key.max_int:
            mantissa = self.encoding
        elif self.encoding >= key.n - key.max_int:
            mantissa = self.encoding - key.n
        else:
            raise OverflowError("Overflow in a decrypted number: a result went beyond max_int of its key")
        if self.exponent >= 0:
            return mantissa * int(self.BASE**self.exponent)
        # The quotient of two integers is correctly rounded; BASE^exponent as a float could underflow.
        return mantissa / int(self.BASE**-self.exponent)

    def decrease_exponent_to(self: Self, new_exp: int) -> Self:
        """The same number with the exponent `new_exp`. ValueError where that is above the present one."""
        if new_exp > self.exponent:
            raise ValueError(
                f"new_exp is {new_exp}, above the present exponent {self.exponent}: it can only decrease"
            )
        factor = self.BASE ** (self.exponent - new_exp)
        return type(self)(self.public_key, self.encoding * factor % self.public_key.n, new_exp)


def _scaled(scalar: Any, base: int, exponent: int) -> int:
    """round(scalar / base^exponent), exactly, half to even."""
    if isinstance(scalar, int) and isinstance(exponent, int) and exponent <= 0:
        return int(scalar) * int(base**-exponent)
    if isinstance(scalar, float) and base & (base - 1) == 0 and isinstance(exponent, int):
        # A power of two: the mantissa moves; only bits below the point need rounding.
        numerator, denominator = scalar.as_integer_ratio()
        shift = -exponent * (base.bit_length() - 1) - (denominator.bit_length() - 1)
        if shift >= 0:
            return numerator << shift
    return round(Fraction(scalar) * Fraction(base) ** -exponent)

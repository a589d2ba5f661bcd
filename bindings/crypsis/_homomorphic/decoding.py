# SPDX-License-Identifier: Apache-2.0
"""Encoded numbers to arrays of numbers again, with every value that does not fit named."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis._homomorphic import limbs
from crypsis._homomorphic.encoding import FLOAT_MANTISSA_BITS, Encoded


def decode(encoded: Encoded, dtype: Any = None) -> Any:
    """The numbers again. dtype None: int64 where every exponent is 0, else float64; object: exact Python numbers.

    OverflowError naming the index where a value is outside the dtype. float64 is correctly rounded.
    """
    exponents = encoded.exponents()
    integers = not exponents.any()
    kind = np.dtype(np.int64 if integers else np.float64) if dtype is None else np.dtype(dtype)
    if kind.hasobject:
        return _exact(encoded).reshape(encoded.shape)
    if kind.kind in "iu":
        return _decode_integers(encoded, exponents, kind).reshape(encoded.shape)
    if kind.kind != "f":
        raise TypeError(f"cannot decode to {kind}: give an integer or float dtype, or object")
    with np.errstate(over="ignore"):
        result = _decode_floats(encoded, exponents).astype(kind)
    wrong = ~np.isfinite(result)
    if wrong.any():
        raise OverflowError(
            f"value {int(np.argmax(wrong))} is outside {kind}: pass dtype=object for exact numbers"
        )
    return result.reshape(encoded.shape)


def _exact(encoded: Encoded) -> npt.NDArray[np.object_]:
    """Python integers where the value is one by its exponent, else Fractions."""
    result = np.empty(encoded.size, dtype=object)
    powers = _powers(encoded.base, encoded.exponents())
    for i, (mantissa, exponent) in enumerate(
        zip(encoded.mantissas(), encoded.exponents().tolist(), strict=True)
    ):
        power = powers[exponent]
        result[i] = mantissa * power if exponent >= 0 else Fraction(mantissa, power)
    return result


def _decode_integers(
    encoded: Encoded, exponents: npt.NDArray[np.int32], kind: np.dtype[Any]
) -> npt.NDArray[Any]:
    if exponents.any():
        raise ValueError(f"the values have exponents other than 0: decode to float64 or object, not {kind}")
    info = np.iinfo(kind)
    limit = np.where(encoded.negative, np.uint64(-int(info.min)), np.uint64(info.max))
    outside = encoded.magnitude[:, 1:].any(axis=1) | (encoded.magnitude[:, 0] > limit)
    if outside.any():
        raise OverflowError(
            f"value {int(np.argmax(outside))} is outside {kind}: pass dtype=object for integers of any size"
        )
    low = encoded.magnitude[:, 0]
    mask = np.uint64(0) - encoded.negative.astype(np.uint64)
    bits = (low ^ mask) - mask
    result: npt.NDArray[Any] = (bits.view(np.int64) if kind.kind == "i" else bits).astype(kind)
    return result


def _decode_floats(encoded: Encoded, exponents: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    low = encoded.magnitude[:, 0]
    short = not encoded.magnitude[:, 1:].any() and bool((low < np.uint64(1 << FLOAT_MANTISSA_BITS)).all())
    if short and encoded.base & (encoded.base - 1) == 0:
        shifts = exponents.astype(np.int64) * (encoded.base.bit_length() - 1)
        result = np.ldexp(low.astype(np.float64), np.clip(shifts, -5000, 5000).astype(np.int32))
    else:
        powers = _powers(encoded.base, exponents)
        result = np.array(_divided(limbs.to_ints(encoded.magnitude), exponents.tolist(), powers))
    return np.where(encoded.negative, -result, result)


def _powers(base: int, exponents: npt.NDArray[np.int32]) -> dict[int, int]:
    """base^|exponent| of each exponent, made once."""
    return {exponent: base ** abs(exponent) for exponent in np.unique(exponents).tolist()}


def _divided(magnitudes: Iterable[int], exponents: Iterable[int], powers: dict[int, int]) -> list[float]:
    """Python's true division of integers is correctly rounded."""
    result = []
    for magnitude, exponent in zip(magnitudes, exponents, strict=True):
        power = powers[exponent]
        try:
            result.append(magnitude / power if exponent < 0 else float(magnitude * power))
        except OverflowError:
            result.append(math.inf)
    return result

# SPDX-License-Identifier: Apache-2.0
"""Polynomials of encrypted numbers in the least depth: split at powers of two [PS73], in powers or in Chebyshev's
polynomials [CCS19].

p = q x^m + r with m a power of two is split until the pieces are sums of powers that are at hand, times numbers. What
is wanted is handed down as (level, scale): a number is encoded with just the scale that its power lacks, and r is added
to q x^m before both are relinearised and rescaled once. So scales are exact and no operand is brought down by a
rescaling of its own. Depth: ceil(log2(degree + 1)), and one more for Chebyshev series of an interval that is not
[-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt, rns
from crypsis._arguments import integer, kind
from crypsis._ckks import encoder, levels, products, sums
from crypsis._ckks.noise import Estimate
from crypsis._ckks.places import contiguous, empty, parts
from crypsis._ckks.rotations import check_rotatable
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import LevelError

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray

Doubles = npt.NDArray[np.float64]

MAX_DEGREE = 1023
NEGLIGIBLE = 2.0**-50
"""Coefficients below this much of the largest are rounding errors of whoever computed them, and are dropped."""
GRID = 10_001
"""Points at which the error of a series is measured."""


class Series(Frozen):
    """sum of c_j T_j(t), T_j Chebyshev's polynomials and t = (2 x - a - b) / (b - a) for x in [a, b].

    `chebyshev` makes it from a function; `series(x)` evaluates it on numbers, `array.polynomial(series)` on encrypted
    ones, which must lie in the interval: outside, |T_j| grows like |2t|^j.
    """

    __slots__ = ("coefficients", "interval", "max_error")

    coefficients: tuple[float, ...]
    """Negligible ones (below 2^-50 of the largest) are zeros, and left out at the end."""
    interval: tuple[float, float]
    max_error: float | None
    """The largest |series(x) - function(x)| found in the interval; None for coefficients from elsewhere."""

    def __init__(
        self,
        coefficients: Sequence[float] | Doubles,
        interval: tuple[float, float] = (-1.0, 1.0),
        *,
        max_error: float | None = None,
    ) -> None:
        self._set(
            coefficients=tuple(_trimmed(_coefficients(coefficients)).tolist()),
            interval=_interval(interval),
            max_error=max_error,
        )

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    @property
    def depth(self) -> int:
        """Levels that an evaluation takes."""
        return depth_of(self)

    def __call__(self, x: Any) -> Doubles:
        low, high = self.interval
        t = (2 * np.asarray(x, np.float64) - low - high) / (high - low)
        values: Doubles = np.polynomial.chebyshev.chebval(t, np.array(self.coefficients))
        return values

    def __repr__(self) -> str:
        error = "" if self.max_error is None else f", largest error {self.max_error:.3g}"
        return f"Series(degree {self.degree}, {list(self.interval)}{error})"


def chebyshev(
    function: Callable[[Doubles], Any], degree: int, interval: tuple[float, float] = (-1.0, 1.0)
) -> Series:
    """The polynomial that equals `function` at the degree + 1 Chebyshev nodes of the interval: near the best one.

    function: of a NumPy array, element by element, finite in the interval. degree: 0 to 1023. ValueError for NaN and
    infinities. `max_error` of the result says how good it is; depth grows with log2(degree).
    """
    degree = integer("degree", degree, 0, MAX_DEGREE)
    low, high = _interval(interval)

    def evaluate(x: Doubles) -> Doubles:
        values = np.asarray(function(x), np.float64)
        if values.shape != x.shape:
            raise ValueError(
                f"function made {values.shape} of {x.shape} numbers: give one that works element by element"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"function is {values[~np.isfinite(values)][0]} at {x[~np.isfinite(values)][0]}")
        return values

    angles = (np.arange(degree + 1) + 0.5) * math.pi / (degree + 1)
    values = evaluate((low + high) / 2 + (high - low) / 2 * np.cos(angles))
    coefficients = 2 / (degree + 1) * np.cos(np.arange(degree + 1)[:, None] * angles) @ values
    coefficients[0] /= 2
    series = Series(coefficients, (low, high))
    x = np.linspace(low, high, GRID)
    return Series(coefficients, (low, high), max_error=float(np.abs(series(x) - evaluate(x)).max()))


def sigmoid_series(degree: int = 7, interval: tuple[float, float] = (-8.0, 8.0)) -> Series:
    """1 / (1 + exp(-x)) as a Chebyshev series."""

    def sigmoid(x: Doubles) -> Doubles:
        values: Doubles = 0.5 + 0.5 * np.tanh(0.5 * x)
        return values

    return chebyshev(sigmoid, degree, interval)


def depth_of(polynomial: Any) -> int:
    """Levels that `array.polynomial(polynomial)` takes: ceil(log2(degree + 1)), one more for a mapped interval."""
    if isinstance(polynomial, Series):
        found = _trimmed(_coefficients(polynomial.coefficients))
        mapped = polynomial.interval != (-1.0, 1.0) and polynomial.degree > 0
    else:
        found, mapped = _trimmed(_coefficients(polynomial)), False
    return (len(found) - 1).bit_length() + mapped


def evaluate(array: CkksArray, polynomial: Any) -> CkksArray:
    """The polynomial of every slot in use."""
    check_rotatable(array)
    series = polynomial if isinstance(polynomial, Series) else None
    coefficients = _trimmed(_coefficients(polynomial if series is None else series.coefficients))
    depth = depth_of(polynomial)
    if depth > array.depth:
        raise LevelError(
            f"a polynomial of degree {len(coefficients) - 1} takes {depth} levels, the ciphertext has"
            f" {levels.describe(array)} and {array.depth} left: take a lower degree or parameters with more moduli"
        )
    if len(coefficients) == 1:
        return products.multiply(array, 0) + float(coefficients[0])
    if series is not None and series.interval != (-1.0, 1.0):
        low, high = series.interval
        array = products.multiply(array, 2 / (high - low))
        if low + high:
            array = array - (low + high) / (high - low)
    elif not array.canonical:
        raise ValueError(
            f"the ciphertext has {levels.describe(array)}, not the scale of its level: rescale() it first"
        )
    if series is not None and array.estimate:
        array = array.with_estimate(_within(array.estimate, 1.0))
    level = array.level - (len(coefficients) - 1).bit_length() + 1
    parameters = array.parameters
    wanted = parameters.scales[level - 1] * parameters.moduli.primes[level]
    evaluation = _Evaluation(array, coefficients, level, series is not None)
    return _finish(evaluation.whole(coefficients, level, wanted))


class _Powers:
    """x^j or T_j(x), each in the least depth, made when it is first asked for."""

    def __init__(self, array: CkksArray, chebyshev: bool) -> None:
        self.top = array.level
        self.chebyshev = chebyshev
        self._made: dict[int, CkksArray] = {1: array}

    def level(self, j: int) -> int:
        """Of power j."""
        return self.top - (j - 1).bit_length()

    def __getitem__(self, j: int) -> CkksArray:
        if j not in self._made:
            self._made[j] = self._make(j)
        return self._made[j]

    def _make(self, j: int) -> CkksArray:
        high, low = factors_of(j)
        level = self.level(j) + 1
        a, b = levels.drop(self[high], level), levels.drop(self[low], level)
        if high == low:
            b = a
        if not self.chebyshev:
            return products.multiply(a, b)
        # T_high T_low = (T_(high + low) + T_(high - low)) / 2.
        product = products.multiply(a, b, relinearise=False, rescale=False)
        product = sums.add(product, product)
        rest = high - low
        if rest:
            product = sums.subtract(product, _times(self[rest], product.level, product.scale, 1.0))
        else:
            product = sums.subtract(product, 1.0)
        found = _finish(product)
        return found.with_estimate(found.estimate and _within(found.estimate, 1.0))


def factors_of(j: int) -> tuple[int, int]:
    """Powers that make power j: the largest power of two below it and what is left, which is no deeper."""
    high = 1 << ((j - 1).bit_length() - 1)
    return high, j - high


class _Evaluation:
    """One polynomial's: its powers, and up to which degree its pieces are not split."""

    def __init__(self, array: CkksArray, coefficients: Doubles, level: int, chebyshev: bool) -> None:
        self.powers = _Powers(array, chebyshev)
        self.chebyshev = chebyshev
        sizes = [2 << i for i in range(len(coefficients).bit_length())]
        self.size = min(sizes, key=lambda size: self._count(coefficients, level, size))

    def make(self, coefficients: Doubles, level: int, scale: float) -> tuple[CkksArray | None, float]:
        """(piece, constant): the piece but for its constant, at `level` and `scale`, not relinearised or rescaled.

        None for a piece that is a constant.
        """
        constant = float(coefficients[0])
        used = _used(coefficients)
        if not used:
            return None, constant
        if self._is_sum(coefficients, level, self.size):
            total: CkksArray | None = None
            for j in used:
                term = _times(self.powers[j], level, scale, float(coefficients[j]))
                total = term if total is None else sums.add(total, term)
            return total, constant
        m, q, r = _split(coefficients, self.chebyshev)
        power = levels.drop(self.powers[m], level)
        if not _used(q):
            head = _times(power, level, scale, float(q[0]))
        else:
            modulus = power.parameters.moduli.primes[level + 1]
            left = _finish(self.whole(q, level + 1, scale / power.scale * modulus))
            head = products.multiply(left, power, relinearise=False, rescale=False)
        rest, constant = self.make(r, level, scale)
        return head if rest is None else sums.add(head, rest), constant

    def whole(self, coefficients: Doubles, level: int, scale: float) -> CkksArray:
        """All of a polynomial of degree 1 and more."""
        piece, constant = self.make(coefficients, level, scale)
        if piece is None:
            raise ValueError(f"the polynomial {coefficients} is a constant")
        return sums.add(piece, constant) if constant else piece

    def _is_sum(self, coefficients: Doubles, level: int, size: int) -> bool:
        """It is a sum of powers that are high enough at this level, times numbers."""
        used = _used(coefficients)
        return not used or (used[-1] < size and all(self.powers.level(j) >= level for j in used))

    def _count(self, coefficients: Doubles, level: int, size: int) -> int:
        """Products of ciphertexts with pieces below degree `size`."""
        needed: set[int] = set()

        def pieces(piece: Doubles, at: int) -> int:
            if self._is_sum(piece, at, size):
                needed.update(_used(piece))
                return 0
            m, q, r = _split(piece, self.chebyshev)
            needed.add(m)
            return pieces(r, at) + (1 + pieces(q, at + 1) if _used(q) else 0)

        count = pieces(coefficients, level)
        made: set[int] = {0, 1}
        while needed - made:
            j = max(needed - made)
            made.add(j)
            high, low = factors_of(j)
            needed |= {high, low, high - low} if self.chebyshev else {high, low}
        return count + len(made) - 2


def _split(coefficients: Doubles, chebyshev: bool) -> tuple[int, Doubles, Doubles]:
    """(m, q, r) with p = q x^m + r, or q T_m + r; m the largest power of two up to the degree."""
    used = _used(coefficients)
    m = 1 << (used[-1].bit_length() - 1)
    q, r = coefficients[m : used[-1] + 1].copy(), coefficients[:m].copy()
    if chebyshev:  # T_(m + j) = 2 T_m T_j - T_(m - j)
        r[m - np.arange(1, len(q))] -= q[1:]
        q[1:] *= 2
    return m, q, r


def _used(coefficients: Doubles) -> list[int]:
    """Powers that occur, but for the constant."""
    return [int(j) for j in np.flatnonzero(coefficients) if j]


def _times(array: CkksArray, level: int, scale: float, number: float) -> CkksArray:
    """number * array at a level, of just this scale: the number is encoded with what the array's lacks."""
    array = levels.drop(array, level)
    factor = scale / array.scale
    encoder.check_fits(array.parameters, abs(number), level, scale, "the coefficients")
    integer = round(number * factor)
    basis = array.parameters.basis(level)
    data = ntt.scale(array.data, [integer % q for q in basis.primes], basis)
    estimate = array.estimate
    if estimate:
        error = abs(number) * estimate.error + (estimate.magnitude + estimate.error) / (2 * factor)
        estimate = Estimate(array.parameters, level, scale, error, abs(number) * estimate.magnitude)
    return array.replaced(data, scale=scale, estimate=estimate)


def _finish(array: CkksArray) -> CkksArray:
    """Relinearised and rescaled, in one."""
    if array.size_of == 2:
        return levels.rescale(array)
    parameters, top = array.parameters, array.level
    level, scale = levels.after_rescale(array)
    key = levels.relinearisation_of(array).beside(array.data)
    flat = array.data.reshape(-1, 3, top + 1, parameters.n)
    out = empty((len(flat), 2, level + 1, parameters.n), flat)
    for part in parts(flat):
        low, high = contiguous(flat[part, :2]), contiguous(flat[part, 2])
        rns.switch_key(high, key, parameters.chain, top, add=low, rescale=True, out=out[part])
    estimate = array.estimate and array.estimate.switched().rescaled(level, scale)
    return array.replaced(
        out.reshape(*array.shape, *out.shape[1:]), level=level, scale=scale, estimate=estimate
    )


def _within(estimate: Estimate, magnitude: float) -> Estimate:
    """The same of values that are known to be this small."""
    return Estimate(estimate.parameters, estimate.level, estimate.scale, estimate.error, magnitude)


def _coefficients(values: Any) -> Doubles:
    """float64 `[degree + 1]`, from the constant on."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        raise TypeError(
            f"the coefficients are {kind(values)} of {array.dtype}, shape {array.shape}: give a list of real numbers,"
            " the constant first, or a Series"
        )
    if not 1 <= array.size <= MAX_DEGREE + 1:
        raise ValueError(f"{array.size} coefficients were given: give 1 to {MAX_DEGREE + 1}")
    found: Doubles = array.astype(np.float64)
    if not np.isfinite(found).all():
        at = int(np.argmin(np.isfinite(found)))
        raise ValueError(f"coefficient {at} is {found[at]}: give finite numbers")
    return found


def _trimmed(coefficients: Doubles) -> Doubles:
    """Negligible ones as zeros, none at the end."""
    found = np.where(np.abs(coefficients) < NEGLIGIBLE * np.abs(coefficients).max(), 0.0, coefficients)
    used = _used(found)
    return found[: used[-1] + 1 if used else 1]


def _interval(interval: Any) -> tuple[float, float]:
    try:
        low, high = map(float, interval)
    except (TypeError, ValueError):
        raise TypeError(f"interval is {interval!r}: give two numbers, (low, high)") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"interval is {interval!r}: give two finite numbers, the lower one first")
    return low, high

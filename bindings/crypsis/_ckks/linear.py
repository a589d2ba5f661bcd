# SPDX-License-Identifier: Apache-2.0
"""Matrices in the clear times encrypted vectors: generalised diagonals by baby and giant steps [HS14, HS18].

A linear map A of all slots is the sum over k of diag_k * rotate(x, k) with diag_k[i] = A[i, i + k], indices modulo the
slots. With k = giant + baby this is the sum over giants of

    rotate(sum over babies of rotate(diag_k, -giant) * rotate(x, baby), giant)

Baby steps share their digits, and neither they nor what they are multiplied with is divided by P: plaintexts are
encoded over the special moduli too, and there is one division a giant step, merged with the rescaling for the last one.
So a baby step has no transform at all; docs/ckks.md counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import embedding, ntt, rns
from crypsis._arguments import integer, kind
from crypsis._ckks import encoder, levels
from crypsis._ckks.noise import Estimate, encoding_error, switch_error
from crypsis._ckks.parameters import Literal, Parameters
from crypsis._ckks.places import Placed, contiguous, empty
from crypsis._ckks.rotated_sums import MAX_ROTATIONS, rotated_sums
from crypsis._ckks.rotations import check_rotatable
from crypsis._ckks.windows import check_period, dot, galois_keys, repeat_shifts, sum_shifts
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import LevelError

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray

Residues = npt.NDArray[np.uint64]

MAX_BABIES = MAX_ROTATIONS
TRANSFORM_COST = 3
"""A limb's transform, in reads of a limb of a key: what a baby step spends its time on."""
BATCH_BYTES = 1 << 27
"""Of digits and sums of the ciphertexts that go through a matrix together, for which keys are read once."""


class Matrix(Frozen):
    """A matrix in the clear, encoded to be multiplied with encrypted vectors: `matrix @ array`, any number of times.

    matrix: real or complex `[rows, columns]`, both from 1 to n_slots. level: of the vectors it multiplies, default the
    top; those of higher levels are brought down. The product takes one level.
    period: how the vector lies in the slots.

    - None: vectors of `columns` numbers as `encrypt` lays them out, zeros behind; so is the result, of `rows` numbers.
      Takes up to rows + columns - 1 diagonals.
    - a power of two, at least as large as rows and columns: the vector, filled up with zeros to `period` numbers, is
      repeated over all slots (`numpy.tile` before encryption, or `array.repeat(period)`); so is the result, and one
      such matrix can follow another. Takes up to `period` diagonals, half as many for a square matrix.

    babies: baby steps, a power of two to 64; default: what is fastest. More of them need more keys (babies - 1) and
    fewer giant steps. It depends on shape, period, level and parameters only, so that `rotations_for` needs no numbers.
    A matrix takes (level + 1 + k) N 8 bytes for each diagonal that is not all zeros.
    """

    __slots__ = (
        "_factors",
        "_giants",
        "_products",
        "_turns",
        "babies",
        "level",
        "magnitude",
        "parameters",
        "period",
        "row_sum",
        "shape",
    )

    parameters: Parameters
    shape: tuple[int, int]
    period: int | None
    level: int
    babies: int
    magnitude: float
    """The largest |entry|."""
    row_sum: float
    """The largest sum of |entries| of a row: what values grow by."""
    _factors: Placed
    _products: list[tuple[int, int]]
    _turns: tuple[int, ...]
    _giants: tuple[int, ...]

    def __init__(
        self,
        parameters: Parameters | Literal,
        matrix: Any,
        *,
        level: int | None = None,
        period: int | None = None,
        babies: int | None = None,
    ) -> None:
        parameters = Parameters.of(parameters)
        numbers = encoder.as_numbers(matrix, "matrix")
        if numbers.ndim != 2:
            raise ValueError(f"matrix has shape {numbers.shape}: give [rows, columns]")
        plan = _Plan(parameters, numbers.shape, level, period, babies)
        magnitude = encoder.largest(numbers, "matrix")
        scale = parameters.scales[plan.level]
        encoder.check_fits(parameters, magnitude, plan.level, scale * scale, "matrix")
        shifts = [shift for shift in plan.shifts if _diagonal(numbers, shift, plan).any()]
        shifts = shifts or plan.shifts[:1]  # a zero matrix has one diagonal too: the result is a ciphertext
        giants = sorted({plan.giant(shift) for shift in shifts})
        turns = sorted({plan.baby(shift) for shift in shifts})
        self._set(
            parameters=parameters,
            shape=numbers.shape,
            period=period,
            level=plan.level,
            babies=plan.babies,
            magnitude=magnitude,
            row_sum=float(np.abs(numbers).sum(1).max()),
            _factors=Placed(_encoded(parameters, numbers, shifts, plan, scale)),
            _products=[(giants.index(plan.giant(s)), turns.index(plan.baby(s))) for s in shifts],
            _turns=tuple(turns),
            _giants=tuple(giants),
        )

    @property
    def scale(self) -> float:
        """What its numbers are encoded with: the scale of its level."""
        return self.parameters.scales[self.level]

    @property
    def rotations(self) -> tuple[int, ...]:
        """The rotations it needs Galois keys for: `secret.public_key(rotations=matrix.rotations)`."""
        return tuple(sorted({*self._turns, *self._giants} - {0}))

    @property
    def diagonals(self) -> int:
        """Diagonals that are not all zeros."""
        return len(self._products)

    @property
    def nbytes(self) -> int:
        """Memory of the encoded diagonals."""
        return int(self._factors.host.nbytes)

    def __matmul__(self, array: CkksArray) -> CkksArray:
        return array.__rmatmul__(self)  # which works where the array is

    __array_ufunc__ = None

    def __repr__(self) -> str:
        lies = (
            "zeros behind vectors" if self.period is None else f"vectors repeated every {self.period} slots"
        )
        return (
            f"Matrix({self.shape[0]} x {self.shape[1]}, {lies}, level {self.level}, {self.diagonals} diagonals,"
            f" {len(self._turns)} baby steps, {len(self._giants)} giant steps)"
        )


def rotations_for(
    parameters: Parameters | Literal,
    matrix: tuple[int, int] | None = None,
    *,
    period: int | None = None,
    level: int | None = None,
    babies: int | None = None,
    width: int | None = None,
) -> tuple[int, ...]:
    """The rotations that an operation needs keys for: `secret.public_key(rotations=rotations_for(...))`.

    matrix: the shape of a `Matrix` that has no zero diagonal, the other arguments as for it. Without: `width`, of
    `inner_sum` and `dot`, None for all slots; with `period`, those of `repeat(period)`.
    """
    parameters = Parameters.of(parameters)
    if matrix is None:
        if period is not None:
            return repeat_shifts(parameters.n_slots, period)
        return sum_shifts(parameters.n_slots, width)
    if width is not None:
        raise ValueError("width and matrix were given: width is of inner_sum, call rotations_for for each")
    try:
        rows, columns = matrix
    except (TypeError, ValueError):
        raise TypeError(f"matrix is {kind(matrix)}: give its shape, (rows, columns)") from None
    plan = _Plan(parameters, (rows, columns), level, period, babies)
    steps = {plan.baby(shift) for shift in plan.shifts} | {plan.giant(shift) for shift in plan.shifts}
    return tuple(sorted(steps - {0}))


def multiply(matrix: Any, array: CkksArray) -> CkksArray:
    """matrix @ x for each vector x of the array; a `Matrix`, or numbers `[rows, columns]`, encoded for this once."""
    if not isinstance(matrix, Matrix):
        check_rotatable(array)
        numbers = encoder.as_numbers(matrix, "matrix")
        if numbers.ndim != 2:
            raise ValueError(
                f"matrix has shape {numbers.shape}, the ciphertext {levels.describe(array)}: give [rows, columns]"
            )
        with levels.naming(array):
            matrix = Matrix(array.parameters, numbers, level=array.level)
    parameters = array.parameters
    both = levels.describe_all(array, matrix)
    if matrix.parameters != parameters:
        raise ValueError(
            f"{both}, the ciphertext {parameters!r}, the matrix {matrix.parameters!r}: encode it for those of the"
            " ciphertext"
        )
    check_rotatable(array, matrix)
    wanted = matrix.shape[1] if matrix.period is None else parameters.n_slots
    if array.length != wanted:
        remedy = "give vectors of as many" if matrix.period is None else f"repeat({matrix.period}) them first"
        raise ValueError(
            f"{both}, and the vectors {array.length} numbers, {matrix!r} takes {wanted}: {remedy}"
        )
    if array.level < matrix.level:
        raise LevelError(
            f"{both}, the matrix the higher level: encode it with level={array.level}, or multiply before levels are"
            " used up"
        )
    given = array
    with levels.naming(given, matrix):
        array = levels.at_level(array, matrix.level)
    level, scale = levels.next_scale(parameters, array.level, array.scale * matrix.scale, given, matrix)
    keys = galois_keys(array, matrix.rotations, matrix)
    flat = array.data.reshape(-1, 2, array.level + 1, parameters.n)
    out = empty((len(flat), 2, level + 1, parameters.n), flat)
    chain = parameters.chain
    rows = (chain.n_digits(array.level) + 2 * len(matrix._giants)) * len(chain.full(array.level))
    step = max(1, BATCH_BYTES // (8 * parameters.n * rows))
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        _multiply(matrix, flat[part], keys, array.level, out[part])
    estimate = array.estimate and _estimate(matrix, array.estimate).rescaled(level, scale)
    return array.replaced(
        out.reshape(*array.shape, *out.shape[1:]),
        level=level,
        scale=scale,
        length=matrix.shape[0] if matrix.period is None else parameters.n_slots,
        estimate=estimate,
    )


def matmul(array: CkksArray, other: Any) -> CkksArray:
    """x @ other for each vector x."""
    if isinstance(other, Matrix):
        raise TypeError(
            f"{levels.describe_all(array, other)}, in array @ Matrix: write matrix @ array, with a Matrix of the"
            " transposed numbers if need be"
        )
    numbers = encoder.as_numbers(other, "the operand of @")
    if numbers.ndim == 1:
        if len(numbers) != array.length:
            raise ValueError(
                f"the operand of @ has {len(numbers)} numbers, the vectors {array.length}, {levels.describe(array)}:"
                " give as many"
            )
        return dot(array, numbers, None)
    if numbers.ndim != 2:
        raise ValueError(
            f"the operand of @ has shape {numbers.shape}, the ciphertext {levels.describe(array)}: give"
            f" [{array.length}] or [{array.length}, columns]"
        )
    return multiply(numbers.T, array)


def _multiply(matrix: Matrix, c: Any, keys: dict[int, tuple[int, Any]], level: int, out: Any) -> None:
    """c: `uint64[n, 2, level + 1, N]`, out one limb less."""
    chain = matrix.parameters.chain
    full = chain.full(level)
    digits = rns.decompose(contiguous(c[:, 1]), chain, level)
    turns = [keys[turn] for turn in matrix._turns]
    sums = rotated_sums(c, digits, turns, matrix._factors.beside(c), matrix._products, chain, level)
    room = digits[0]
    total, turned = empty(sums.shape[2:], c), empty(sums.shape[2:], c)
    for i, target in enumerate(out):
        total.fill(0)
        for giant, inner in zip(matrix._giants, sums[:, i], strict=True):
            if giant:
                element, key = keys[giant]
                second = rns.divide_special(inner[1], chain, level)
                rns.decompose(second, chain, level, out=room)
                rns.inner_product(room, key, chain, level, galois=element, out=turned)
                first = ntt.automorphism(inner[0], element, full)
                ntt.add(turned[0], first, full, out=turned[0])
            ntt.add(total, turned if giant else inner, full, out=total)
        rns.divide_special_and_rescale(total, chain, level, out=target)


def _estimate(matrix: Matrix, estimate: Estimate) -> Estimate:
    """Before the rescaling. Each rotation's noise is multiplied by its diagonal; the giants' comes on top."""
    parameters, scale = matrix.parameters, estimate.scale * matrix.scale
    switched = estimate.switched()
    rounding = encoding_error(parameters) / matrix.scale
    error = (
        switched.error * matrix.row_sum + matrix.diagonals * (estimate.magnitude + switched.error) * rounding
    )
    error += len(matrix._giants) * switch_error(parameters, matrix.level) / scale
    return Estimate(parameters, matrix.level, scale, error, estimate.magnitude * matrix.row_sum)


class _Plan:
    """Which diagonals a matrix of some shape can have, and how they fall into baby and giant steps."""

    def __init__(
        self,
        parameters: Parameters,
        shape: Sequence[int],
        level: int | None,
        period: int | None,
        babies: int | None,
    ) -> None:
        if not parameters.special:
            raise ValueError(
                f"{parameters!r} has no special primes, so that nothing can be rotated: take parameters with"
                " special_bits, as crypsis.ckks.SHALLOW has"
            )
        self.n_slots = n_slots = parameters.n_slots
        self.level = parameters.check_level(level)
        if self.level == parameters.bottom:
            raise LevelError(
                f"level is {self.level}, the lowest of {parameters!r}: a matrix product takes a level, encode it higher"
            )
        rows = integer("rows of the matrix", shape[0], 1, n_slots)
        columns = integer("columns of the matrix", shape[1], 1, n_slots)
        self.shape, self.period = (rows, columns), period
        if period is None:
            self.shifts = list(range(1 - rows, columns))
            if len(self.shifts) > n_slots:  # around all slots, both ends meet
                self.shifts = list(range(n_slots))
        else:
            check_period(n_slots, period)
            if period < max(rows, columns):
                raise ValueError(
                    f"period is {period}, the matrix is {rows} x {columns}: give no less than its sides"
                )
            self.shifts = list(range(period))
        if babies is None:
            chain = parameters.chain
            self.babies = _best(self.shifts, chain.n_digits(self.level), self.level + 1, len(chain.special))
        else:
            self.babies = integer("babies", babies, 1, MAX_BABIES, "None for what is fastest")
            if babies & (babies - 1):
                raise ValueError(f"babies is {babies}: give a power of two")

    def baby(self, shift: int) -> int:
        return shift % self.babies

    def giant(self, shift: int) -> int:
        """Modulo the slots, so that equal rotations are one."""
        return (shift - shift % self.babies) % self.n_slots


def _best(shifts: list[int], n_digits: int, limbs: int, n_special: int) -> int:
    """The number of baby steps that costs least."""
    full = limbs + n_special
    switch = 2 * n_digits * full
    # A giant step: one half divided by P, its digits, a key.
    giant = switch + TRANSFORM_COST * (n_special + limbs + limbs + n_digits * full - limbs)

    def cost(babies: int) -> int:
        n_babies = len({shift % babies for shift in shifts})
        n_giants = len({shift - shift % babies for shift in shifts})
        return (n_babies - 1) * switch + (n_giants - 1) * giant

    return min((1 << i for i in range(MAX_BABIES.bit_length())), key=cost)


def _diagonal(numbers: npt.NDArray[Any], shift: int, plan: _Plan) -> npt.NDArray[Any]:
    """A[i, i + shift] for the rows i of the matrix."""
    rows, columns = plan.shape
    at = (np.arange(rows) + shift) % (plan.period or plan.n_slots)
    values: npt.NDArray[Any] = np.where(
        at < columns, numbers[np.arange(rows), np.minimum(at, columns - 1)], 0
    )
    return values


def _encoded(
    parameters: Parameters, numbers: npt.NDArray[Any], shifts: list[int], plan: _Plan, scale: float
) -> Residues:
    """The diagonals, each turned back by its giant step, `uint64[n, level + 1 + k, N]`."""
    basis = parameters.chain.full(plan.level)
    factors = np.empty((len(shifts), len(basis), parameters.n), np.uint64)
    span = plan.period or plan.n_slots
    for factor, shift in zip(factors, shifts, strict=True):
        slots = np.zeros(span, numbers.dtype)
        slots[: plan.shape[0]] = _diagonal(numbers, shift, plan)
        whole = np.roll(np.tile(slots, plan.n_slots // span), plan.giant(shift))
        embedding.encode(whole, scale, basis, out=factor)
        ntt.forward(factor, basis, out=factor)
    return factors

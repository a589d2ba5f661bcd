# SPDX-License-Identifier: Apache-2.0
"""How a matrix of small integers lies in polynomials, for its products and its transposed's with vectors mod t.

A column of m rows is cut into pieces of N, a polynomial each; the last one is filled up with zeros. Where m <= N / 2, a
polynomial holds g = N / B columns, B the smallest power of two that is at least m, column c of them at x^(c B):

    P(x) = sum_c x^(c B) X_c(x),   X_c(x) = sum_i X_ic x^i.

Forward: with w(x) = sum_c w_c x^(-c B), coefficient i < m of P w is sum_c X_ic w_c. Backward: with e(x) = sum_i e_i
x^i, coefficient -c B of P(1/x) e is sum_i X_ic e_i. (x^N = -1: x^(-k) is -x^(N - k).) The same P serve both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis._arguments import integer, kind
from crypsis._bgv import words
from crypsis._bgv.parameters import Parameters, check_parameters
from crypsis._bgv.plains import Plains, plain
from crypsis._homomorphic.secret import Frozen

Words = npt.NDArray[np.uint64]


class Layout(Frozen):
    """A matrix of `rows` and `columns` in polynomials, a column or several in each; see this module. Immutable.

    pieces: polynomials a column takes. groups: polynomials that the columns take. block: B, the places of a column.
    forward_coefficients, backward_coefficients: what of a product is of use, for `hide`.
    """

    __slots__ = (
        "backward_coefficients",
        "block",
        "columns",
        "forward_coefficients",
        "groups",
        "parameters",
        "pieces",
        "rows",
        "share",
    )

    parameters: Parameters
    rows: int
    columns: int
    block: int
    share: int
    """Columns in a polynomial."""
    pieces: int
    groups: int
    forward_coefficients: range
    backward_coefficients: range

    def __init__(self, parameters: Parameters, rows: int, columns: int) -> None:
        n = check_parameters(parameters).n
        rows = integer("rows", rows, 1, 1 << 40)
        columns = integer("columns", columns, 1, 1 << 24)
        block = n if rows >= n else 1 << (rows - 1).bit_length()
        share = min(n // block, columns)
        self._set(
            parameters=parameters,
            rows=rows,
            columns=columns,
            block=block,
            share=share,
            pieces=-(-rows // n),
            groups=-(-columns // share),
            forward_coefficients=range(min(rows, n)),
            backward_coefficients=range(0, n, block),
        )

    def plains(self, matrix: npt.NDArray[np.signedinteger[Any]]) -> Plains:
        """The matrix, signed integers `[rows, columns]`, as plains `[pieces, groups]`, for `forward`; `backward` takes
        `plains.transposed().reversed()`. 40 N bytes a polynomial with RING128."""
        if not isinstance(matrix, np.ndarray) or matrix.dtype.kind != "i":
            raise TypeError(f"matrix is {kind(matrix)}: give a NumPy array of int8, int16, int32 or int64")
        if matrix.shape != (self.rows, self.columns):
            raise ValueError(f"matrix has shape {matrix.shape}: give [{self.rows}, {self.columns}]")
        n = self.parameters.n
        values = np.zeros((self.pieces, self.groups, n), matrix.dtype)
        for k in range(self.columns):
            group, place = divmod(k, self.share)
            for piece in range(self.pieces):
                part = matrix[piece * n : (piece + 1) * n, k]
                values[piece, group, place * self.block : place * self.block + len(part)] = part
        return plain(values, self.parameters)

    def spread(self, vector: Words) -> Words:
        """A vector `uint64[columns, limbs]` as `SecretKey.encrypt` takes it, `uint64[groups, N, limbs]`: the factor of
        `forward`."""
        vector = self._vector(vector, self.columns)
        values = np.zeros((self.groups, self.parameters.n, self.parameters.limbs), np.uint64)
        negative = negated(vector)
        for k in range(self.columns):
            group, place = divmod(k, self.share)
            values[group, self._place(place)] = negative[k] if place else vector[k]
        return values

    def cut(self, vector: Words) -> Words:
        """A vector `uint64[rows, limbs]` as `SecretKey.encrypt` takes it, `uint64[pieces, min(rows, N), limbs]`: the
        factor of `backward`."""
        vector = self._vector(vector, self.rows)
        width = min(self.rows, self.parameters.n)
        values = np.zeros((self.pieces * width, self.parameters.limbs), np.uint64)
        values[: self.rows] = vector
        return values.reshape(self.pieces, width, -1)

    def join(self, values: Words) -> Words:
        """What `forward` gives, `uint64[pieces, min(rows, N), limbs]`, as `uint64[rows, limbs]`; masks, too."""
        found = words.check("values", values, self.parameters, 3, "[pieces, rows of a piece, limbs]")
        if found.shape[:2] != (self.pieces, len(self.forward_coefficients)):
            raise ValueError(
                f"values has shape {found.shape}: give [{self.pieces}, {len(self.forward_coefficients)}, limbs]"
            )
        return np.ascontiguousarray(found.reshape(-1, found.shape[-1])[: self.rows])

    def gather(self, values: Words) -> Words:
        """What `backward` gives, `uint64[groups, N / block, limbs]`, as `uint64[columns, limbs]`; masks, too."""
        found = words.check("values", values, self.parameters, 3, "[groups, N / block, limbs]")
        turns = len(self.backward_coefficients)
        if found.shape[:2] != (self.groups, turns):
            raise ValueError(f"values has shape {found.shape}: give [{self.groups}, {turns}, limbs]")
        order = -np.arange(self.share) % turns
        chosen = found[:, order]
        chosen[:, 1:] = negated(chosen[:, 1:])
        return np.ascontiguousarray(chosen.reshape(-1, found.shape[-1])[: self.columns])

    def forward_noise_bits(self, magnitude: int, *, ciphertexts: int) -> int:
        """`Parameters.noise_bits` of products of this matrix, no entry above `magnitude`, with a vector of columns."""
        entries = min(self.rows, self.parameters.n) * self.columns
        places = len(self.forward_coefficients)
        return self.parameters.noise_bits(entries, magnitude, ciphertexts=ciphertexts, coefficients=places)

    def backward_noise_bits(self, magnitude: int, *, ciphertexts: int) -> int:
        """`Parameters.noise_bits` of products of this matrix's transposed with a vector of rows."""
        places = len(self.backward_coefficients)
        return self.parameters.noise_bits(
            self.rows * self.share, magnitude, ciphertexts=ciphertexts, coefficients=places
        )

    def _place(self, place: int) -> int:
        return -place * self.block % self.parameters.n

    def _vector(self, vector: Words, n: int) -> Words:
        found = words.check("vector", vector, self.parameters, 2, f"[{n}, {self.parameters.limbs}]")
        if len(found) != n:
            raise ValueError(f"vector has shape {found.shape}: give uint64[{n}, {self.parameters.limbs}]")
        return found

    def __repr__(self) -> str:
        return f"Layout({self.parameters!r}, {self.rows}, {self.columns})"


def negated(values: Words) -> Words:
    """-values mod 2^(64 limbs), `uint64[..., limbs]`: mod t once t is taken."""
    result = ~values
    result[..., 0] += np.uint64(1)
    if values.shape[-1] == 2:
        result[..., 1] += result[..., 0] == 0
    return result

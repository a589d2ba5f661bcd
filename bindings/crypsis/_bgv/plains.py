# SPDX-License-Identifier: Apache-2.0
"""Polynomials of small integers, and sums of their products with ciphertexts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt, rns
from crypsis._arguments import flag, kind
from crypsis._bgv.ciphertexts import Ciphertexts, Products
from crypsis._bgv.parameters import Parameters, blocks, check_parameters
from crypsis._homomorphic.secret import Frozen
from crypsis.errors import InvalidCiphertext

Residues = npt.NDArray[np.uint64]


class Plains(Frozen):
    """Polynomials with small coefficients in the NTT domain, an array of them. Immutable; `plain` makes it.

    data: `uint64[*shape, primes, N]`. squared: of each, the sum of its squared coefficients. is_reversed: it stands for
    the polynomials a(1/x). Indexing takes some along the first axes, without a copy.
    """

    __slots__ = ("data", "is_reversed", "parameters", "squared")

    parameters: Parameters
    data: Residues
    squared: npt.NDArray[np.float64]
    is_reversed: bool

    def __init__(
        self, parameters: Parameters, data: Residues, squared: npt.NDArray[np.float64], is_reversed: bool
    ) -> None:
        self._set(parameters=parameters, data=data, squared=squared, is_reversed=is_reversed)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array of polynomials."""
        return self.squared.shape

    def transposed(self) -> Plains:
        """The transposed matrix of polynomials, without a copy. ValueError for what has not two axes."""
        if len(self.shape) != 2:
            raise ValueError(
                f"plains have shape {self.shape}: only a matrix of polynomials can be transposed"
            )
        return Plains(self.parameters, self.data.swapaxes(0, 1), self.squared.T, self.is_reversed)

    def reversed(self) -> Plains:
        """The polynomials a(1/x) = a_0 - sum_i a_i x^(N - i), for no work: `matmul` turns the ciphertexts instead."""
        return Plains(self.parameters, self.data, self.squared, not self.is_reversed)

    def __getitem__(self, index: int | slice | tuple[int | slice, ...]) -> Plains:
        rows = index if isinstance(index, tuple) else (index,)
        if len(rows) > len(self.shape):
            raise IndexError(f"{len(rows)} indices for plains of shape {self.shape}")
        squared = np.asarray(self.squared[rows])
        return Plains(self.parameters, self.data[rows], squared, self.is_reversed)

    def __repr__(self) -> str:
        return f"Plains({self.shape}, {self.parameters!r})"


def plain(
    values: npt.NDArray[np.signedinteger[Any]], parameters: Parameters, *, reversed: bool = False
) -> Plains:
    """Signed integers `int8`, `int16`, `int32` or `int64[..., n]`, n <= N, as polynomials `[...]` of coefficients
    values[..., i], zeros above.

    reversed: as a(1/x): then coefficient 0 of the product with e is sum_i a_i e_i, which `Plains.reversed` gives of
    plains, too. Constant-time. TypeError and ValueError for other arrays.
    """
    parameters = check_parameters(parameters)
    n = parameters.n
    if not isinstance(values, np.ndarray) or values.dtype.kind != "i":
        raise TypeError(f"values is {kind(values)}: give a NumPy array of int8, int16, int32 or int64")
    if values.ndim == 0 or not 0 < values.shape[-1] <= n:
        raise ValueError(
            f"values has shape {values.shape}: give [..., n] with n up to {n}, a polynomial a row"
        )
    given, shape = values.shape[-1], values.shape[:-1]
    rows = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1, given)
    data = ntt.empty((len(rows), len(parameters.basis), n))
    squared = np.empty(len(rows))
    for part in blocks(len(rows), parameters):  # near the processor from one step to the next
        some = rows[part]
        floats = some.astype(np.float64)
        squared[part] = np.einsum("ri,ri->r", floats, floats)
        if given < n:
            some = np.zeros((len(some), n), values.dtype.newbyteorder("="))
            some[:, :given] = rows[part]
        ntt.from_signed(some, parameters.basis, out=data[part])
        ntt.forward(data[part], parameters.basis, out=data[part])
    polynomials = data.reshape(*shape, len(parameters.basis), n)
    return Plains(parameters, polynomials, squared.reshape(shape), flag("reversed", reversed))


def matmul(plains: Plains, ciphertexts: Ciphertexts) -> Products:
    """sum_k plains[r, k] ciphertexts[k] for each r: `plains` of shape [r, k], k ciphertexts -> r products.

    Constant-time. Memory: the result and a few polynomials. TypeError and ValueError for other arguments,
    InvalidCiphertext for ciphertexts of other parameters.
    """
    if not isinstance(plains, Plains):
        raise TypeError(f"plains is {kind(plains)}: give what crypsis.bgv.plain returned")
    if not isinstance(ciphertexts, Ciphertexts):
        raise TypeError(f"ciphertexts is {kind(ciphertexts)}: give crypsis.bgv.Ciphertexts")
    if plains.parameters != ciphertexts.parameters:
        raise InvalidCiphertext(
            f"the ciphertexts are of {ciphertexts.parameters!r}, the plains of {plains.parameters!r}: make them of the"
            " same parameters"
        )
    if len(plains.shape) != 2 or plains.shape[1] != len(ciphertexts) or not len(ciphertexts):
        raise ValueError(
            f"plains have shape {plains.shape}, there are {len(ciphertexts)} ciphertexts: give [r, {len(ciphertexts)}]"
        )
    basis = plains.parameters.basis
    halves = (ciphertexts.first, ciphertexts.second)
    turn = 2 * basis.n - 1
    if plains.is_reversed:  # a(1/x) c = (a c(1/x))(1/x)
        halves = tuple(ntt.automorphism(half, turn, basis) for half in halves)  # type: ignore[assignment]
    result = rns.pair_products(plains.data, *halves, basis)
    if plains.is_reversed:
        result = tuple(ntt.automorphism(sums, turn, basis) for sums in result)  # type: ignore[assignment]
    squared, sources = plains.squared.sum(axis=1), frozenset({ciphertexts.seed})
    return Products(plains.parameters, ciphertexts.key_id, result[0], result[1], squared, sources)


def multiply_sum(plains: Plains, ciphertexts: Ciphertexts) -> Products:
    """sum_k plains[k] ciphertexts[k]: `plains` of shape [k] -> one product. As `matmul`."""
    if not isinstance(plains, Plains):
        raise TypeError(f"plains is {kind(plains)}: give what crypsis.bgv.plain returned")
    if len(plains.shape) != 1:
        raise ValueError(f"plains have shape {plains.shape}: give [k], or call matmul")
    row = Plains(plains.parameters, plains.data[None], plains.squared[None], plains.is_reversed)
    return matmul(row, ciphertexts)

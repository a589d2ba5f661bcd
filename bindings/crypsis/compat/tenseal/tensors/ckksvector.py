# SPDX-License-Identifier: Apache-2.0
"""`CKKSVector`: a vector in the slots of one ciphertext, or of several where it is longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crypsis._arguments import integer, kind
from crypsis._ckks.levels import naming
from crypsis.compat.tenseal import _evaluate, _format
from crypsis.compat.tenseal.enc_context import Context, SecretKey
from crypsis.compat.tenseal.tensors.abstract_tensor import AbstractTensor, numbers
from crypsis.compat.tenseal.tensors.plaintensor import PlainTensor


class CKKSVector(AbstractTensor):
    """Encrypted real numbers. vector: numbers of one axis. scale: in place of the context's `global_scale`.

    A vector of at most n_slots numbers repeats in all slots of its ciphertext, so that rotations turn it in itself;
    `_slots` counts those in which it still does. A longer one has a ciphertext for every n_slots numbers.
    """

    _MAGIC, _NAME = b"CTSV", "vector"
    _size: int
    _slots: int

    def __init__(
        self, context: Context | None = None, vector: Any = None, scale: float | None = None
    ) -> None:
        if not isinstance(context, Context):
            raise TypeError(f"context is {kind(context)}: give what context(...) returned")
        values = vector if isinstance(vector, PlainTensor) else PlainTensor(vector)
        if len(values.shape) != 1:
            raise ValueError(f"the vector has shape {values.shape}: can only encrypt a vector, of one axis")
        flat = values.numpy().astype(np.float64, copy=False)
        if not flat.size:
            raise ValueError("the vector is empty: attempting to encrypt nothing")
        self._size, self._slots = flat.size, context.n_slots
        self._encrypt(context, scale, _rows(flat, context.n_slots))

    def _parse(self, context: Context, data: bytes) -> None:
        slots, size = self._parsed(context, data)
        chunks = self._array.size if self._array.ndim == 1 else 0
        most = context.n_slots
        if not (chunks - 1) * most < size <= chunks * most or not min(size, most) <= slots <= most:
            raise self._corrupt(f"{size} numbers in {chunks} ciphertexts")
        self._size, self._slots = size, slots

    def serialize(self) -> bytes:
        if self._lazy is not None:
            return self._lazy
        self._linked()
        return _format.pack_tensor(self._MAGIC, self._slots, self._size, self._scale, self._array)

    def size(self) -> int:
        self._linked()
        return self._size

    @property
    def shape(self) -> list[int]:
        return [self.size()]

    def decrypt(self, secret_key: SecretKey | None = None) -> list[float]:
        """The numbers. With the context's secret key, or that given."""
        context = self._linked()
        array = self._array
        if array.size == 1:
            array = array.with_length(self._size)
        found: list[float] = context.decrypt(array, secret_key).reshape(-1)[: self._size].tolist()
        return found

    def _filled(self, value: float) -> Self:
        return type(self)(self._context, np.full(self._size, value), self._scale)

    def _combine(self, name: str, other: Any) -> Self:
        context = self._linked()
        if isinstance(other, CKKSVector):
            other._linked()
            size = max(self._size, other._size)
            with naming(self._array, other._array):
                first, second = self._spread(size), other._spread(size)
            result = self._twin(_evaluate.combine(context, name, first._array, second._array))
            result._size, result._slots = size, min(first._slots, second._slots)
            return result
        operand = numbers(other)
        if isinstance(operand, np.ndarray):
            self._check_vector(operand)
            operand = _rows(operand, context.n_slots)
            if name == "mul" and not operand.any():
                operand = 0
        return self._twin(_evaluate.combine(context, name, self._array, operand))

    def _check_vector(self, operand: npt.NDArray[np.float64]) -> None:
        if operand.ndim != 1:
            raise ValueError(f"the operand has shape {operand.shape}: can only operate with a vector")
        if operand.size != self._size:
            raise ValueError(
                f"can't operate on vectors of different sizes: {self._size} encrypted numbers and {operand.size}"
            )

    def _spread(self, size: int) -> CKKSVector:
        """A vector of one number as one of `size`, others as they are. ValueError where the size is another."""
        if self._size == size:
            return self
        if self._size != 1:
            raise ValueError(f"can't compute on vectors of different sizes: {self._size} and {size}")
        context = self._linked()
        if self._slots >= min(size, context.n_slots):
            return self
        # What is in other slots goes; then all slots get the sum of all.
        mask = np.zeros((1, context.n_slots))
        mask[0, 0] = 1.0
        only = _evaluate.combine(context, "mul", self._array, mask)
        result = self._twin(_evaluate.window_sum(context, only, context.n_slots))
        result._slots = context.n_slots
        return result

    def _after_window(self, width: int) -> int:
        """Slots that repeat after each became a sum over the `width` from it on."""
        n_slots = self._linked().n_slots
        return n_slots if self._slots == n_slots and n_slots % width == 0 else self._slots - width + 1

    def sum(self, axis: int = 0) -> Self:
        """The sum of the numbers, a vector of one. Needs Galois keys, unless there is one number."""
        context, n_slots = self._linked(), self._linked().n_slots
        full, rest = divmod(self._size, n_slots)
        parts = []
        if full:
            whole = self._array[:full].sum(0).reshape(1)
            parts.append((_evaluate.window_sum(context, whole, n_slots), self._slots))
        if rest:
            last = self._array[full:]
            parts.append((_evaluate.window_sum(context, last, rest), self._after_window(rest)))
        result = self._twin(parts[0][0] if len(parts) == 1 else parts[0][0] + parts[1][0])
        result._size, result._slots = 1, max(1, min(slots for _, slots in parts))
        return result

    def dot(self, other: Any) -> Self:
        """The inner product with a vector, a vector of one number."""
        if not isinstance(other, CKKSVector):
            operand = numbers(other)
            if not isinstance(operand, np.ndarray):
                raise ValueError("the operand is a number: can only operate with a vector")
            other = operand
        return self.mul(other).sum()

    def dot_(self, other: Any) -> Self:
        return self._become(self.dot(other))

    def mm(self, other: Any) -> Self:
        """The product with a matrix `[size, columns]` in the clear, a vector of `columns`. Needs Galois keys."""
        context = self._linked()
        matrix = numbers(other)
        if not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
            raise ValueError(f"the operand has shape {np.shape(matrix)}: can only operate with a matrix")
        rows, columns = matrix.shape
        if self._array.size != 1:
            raise ValueError(
                f"can't execute matmul on chunked vectors: the vector has {self._size} numbers, a ciphertext"
                f" {context.n_slots}: take a larger poly_modulus_degree"
            )
        if rows != self._size:
            raise ValueError(
                f"matrix shape doesn't match with vector size: {rows} rows, {self._size} numbers"
            )
        slots = self._after_window(rows)
        if not 0 < columns <= slots:
            raise ValueError(
                f"the matrix has {columns} columns, for a vector of {rows} numbers in {context.n_slots} slots at most"
                f" {max(slots, 0)} come out right: fill the vector up with zeros to a power of two, or take a larger"
                " poly_modulus_degree"
            )
        result = self._twin(_evaluate.vector_matrix(context, self._array, matrix))
        result._size, result._slots = columns, slots
        return result

    def mm_(self, other: Any) -> Self:
        return self._become(self.mm(other))

    matmul, matmul_ = mm, mm_

    def enc_matmul_plain(self, other: Any, row_size: int) -> Self:
        """The product of an encrypted matrix of `row_size` rows (`enc_matmul_encoding`) and a vector in the clear."""
        context = self._linked()
        vector = numbers(other)
        if not isinstance(vector, np.ndarray) or vector.ndim != 1 or not vector.size:
            raise ValueError(f"the operand has shape {np.shape(vector)}: can only operate with a vector")
        rows = integer("row_size", row_size, 1, context.n_slots)
        columns = 1 << (vector.size - 1).bit_length()
        if self._array.size != 1:
            raise ValueError(
                f"can't execute enc_matmul_plain on chunked vectors: the vector has {self._size} numbers, a ciphertext"
                f" {context.n_slots}: take a larger poly_modulus_degree"
            )
        if rows * columns != self._size:
            raise ValueError(
                f"matrix shape doesn't match with vector size: {rows} rows and {columns} columns ({vector.size} filled"
                f" up), {self._size} numbers"
            )
        slots = self._after_window(self._size - rows + 1)
        if context.n_slots % self._size == 0 and self._slots == context.n_slots:
            slots = self._slots
        factors = np.zeros(columns)
        factors[: vector.size] = vector
        result = self.mul(np.repeat(factors, rows))
        array = result._array
        while columns > 1:
            columns //= 2
            array = array + _evaluate.rotate_any(context, array, rows * columns)
        result._array, result._size, result._slots = array, rows, slots
        return result

    def enc_matmul_plain_(self, other: Any, row_size: int) -> Self:
        return self._become(self.enc_matmul_plain(other, row_size))

    def conv2d_im2col(self, other: Any, windows_nb: int) -> Self:
        """The convolution of an image (`im2col_encoding`) with a kernel matrix in the clear."""
        kernel = numbers(other)
        if not isinstance(kernel, np.ndarray) or kernel.ndim != 2:
            raise ValueError(f"the kernel has shape {np.shape(kernel)}: can only operate with a matrix")
        return self.enc_matmul_plain(kernel.reshape(-1), windows_nb)

    def conv2d_im2col_(self, other: Any, windows_nb: int) -> Self:
        return self._become(self.conv2d_im2col(other, windows_nb))

    @classmethod
    def pack_vectors(cls, vectors: Sequence[CKKSVector]) -> CKKSVector:
        """Vectors of one size behind each other in one ciphertext, at the price of a level."""
        items = list(vectors)
        if not items or not all(isinstance(item, CKKSVector) for item in items):
            raise TypeError("vectors to pack must be CKKSVectors, and at least one")
        first = items[0]
        context, size, total = first._linked(), first.size(), first.size() * len(items)
        if any(item.size() != size for item in items):
            raise ValueError(f"vectors sizes are different: {[item.size() for item in items]}")
        slots = min(item._slots for item in items)
        if total > slots:
            raise ValueError(
                f"output size {total} is bigger than the {slots} slots that hold the vectors: pack fewer, or take a"
                " larger poly_modulus_degree"
            )
        # Slot j of every vector holds its number j mod size: those that stay are in their places already.
        place = np.arange(context.n_slots) % total // size
        parts = [
            _evaluate.combine(context, "mul", item._array, (place == i)[None].astype(np.float64))
            for i, item in enumerate(items)
        ]
        array = parts[0]
        for part in parts[1:]:
            array = _evaluate.combine(context, "add", array, part)
        result = first._twin(array)
        result._size, result._slots = total, slots
        return result

    def __matmul__(self, other: Any) -> Self:
        return self.mm(other)

    def __imatmul__(self, other: Any) -> Self:
        return self.mm_(other)


def _rows(flat: npt.NDArray[np.float64], n_slots: int) -> npt.NDArray[np.float64]:
    """`[chunks, n_slots]`: the last chunk again and again until the slots are full."""
    full, rest = divmod(flat.size, n_slots)
    rows = np.empty((full + (rest > 0), n_slots))
    rows[:full] = flat[: full * n_slots].reshape(full, n_slots)
    if rest:
        rows[full] = np.resize(flat[full * n_slots :], n_slots)
    return rows

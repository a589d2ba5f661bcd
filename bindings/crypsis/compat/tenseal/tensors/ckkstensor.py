# SPDX-License-Identifier: Apache-2.0
"""`CKKSTensor`: a ciphertext for each element, or for each element of all rows of a batch."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crypsis import ckks
from crypsis._arguments import kind
from crypsis._ckks.levels import describe_all
from crypsis.compat.tenseal import _evaluate, _format
from crypsis.compat.tenseal._errors import BroadcastError
from crypsis.compat.tenseal.enc_context import Context, SecretKey
from crypsis.compat.tenseal.tensors.abstract_tensor import AbstractTensor, numbers
from crypsis.compat.tenseal.tensors.plaintensor import PlainTensor


class CKKSTensor(AbstractTensor):
    """Encrypted real numbers of any shape. batch: the first axis goes into the slots, and is not part of `shape`.

    scale: in place of the context's `global_scale`.
    """

    _MAGIC, _NAME = b"CTST", "tensor"
    _batch: int | None

    def __init__(
        self,
        context: Context | None = None,
        tensor: Any = None,
        scale: float | None = None,
        batch: bool = False,
    ) -> None:
        if not isinstance(context, Context):
            raise TypeError(f"context is {kind(context)}: give what context(...) returned")
        plain = tensor if isinstance(tensor, PlainTensor) else PlainTensor(tensor)
        values = plain.numpy().astype(np.float64, copy=False)
        if not values.size or not values.ndim:
            raise ValueError(f"the tensor has shape {values.shape}: give at least one axis and one number")
        self._batch = values.shape[0] if batch else None
        if self._batch is not None and self._batch > context.n_slots:
            raise ValueError(
                f"the batch has {self._batch} rows, a ciphertext {context.n_slots} slots: use a larger"
                " poly_modulus_degree, or several tensors"
            )
        self._encrypt(context, scale, _rows(values, context.n_slots, batch))

    def _parse(self, context: Context, data: bytes) -> None:
        batch, _ = self._parsed(context, data)
        if batch > context.n_slots:
            raise self._corrupt(f"a batch of {batch}")
        self._batch = batch or None

    def serialize(self) -> bytes:
        if self._lazy is not None:
            return self._lazy
        self._linked()
        return _format.pack_tensor(self._MAGIC, self._batch or 0, 0, self._scale, self._array)

    @property
    def shape(self) -> list[int]:
        """Without the batch axis."""
        self._linked()
        return list(self._array.shape)

    def decrypt(self, secret_key: SecretKey | None = None) -> PlainTensor:
        """The numbers, the batch axis first. With the context's secret key, or that given."""
        context = self._linked()
        slots = context.decrypt(self._array.with_length(self._batch or 1), secret_key)
        return PlainTensor(slots[..., 0] if self._batch is None else np.moveaxis(slots, -1, 0))

    def _filled(self, value: float) -> Self:
        batch = () if self._batch is None else (self._batch,)
        context = self._linked()
        values = np.full((*batch, *self._array.shape), value)
        return self._twin(context.encrypt(_rows(values, context.n_slots, bool(batch))))

    def _combine(self, name: str, other: Any) -> Self:
        context = self._linked()
        batch = self._batch
        if isinstance(other, CKKSTensor):
            other._linked()
            batch = self._joint_batch(other)
            operand: Any = other._array
            shape = operand.shape
        else:
            operand = numbers(other)
            shape = np.shape(operand)
            if isinstance(operand, np.ndarray):
                operand = operand[..., None]
        try:
            np.broadcast_shapes(self._array.shape, shape)
        except ValueError:
            raise BroadcastError(
                f"{self._told(other)}, and shapes {list(self._array.shape)} and {list(shape)}, which do not broadcast"
                " together: reshape one of them"
            ) from None
        result = self._twin(_evaluate.combine(context, name, self._array, operand))
        result._batch = batch
        return result

    def _joint_batch(self, other: CKKSTensor) -> int | None:
        if self._batch is not None and other._batch is not None and self._batch != other._batch:
            raise ValueError(
                f"{self._told(other)}, and batches of {self._batch} and {other._batch}: give such of one size"
            )
        return other._batch if self._batch is None else self._batch

    def _told(self, other: Any) -> str:
        """Level and scale of the tensor, and of the other where that is encrypted too, for messages."""
        return describe_all(self._array, *([other._array] if isinstance(other, CKKSTensor) else []))

    def sum(self, axis: int = 0) -> Self:
        """The sum over an axis; axis 0 of a batch is that in the slots, and needs Galois keys."""
        self._linked()
        if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
            raise TypeError(f"axis is {axis!r}: give an int from 0")
        at = axis if self._batch is None else axis - 1
        if at >= self._array.ndim:
            raise ValueError(f"axis is {axis}, the tensor has shape {self.shape}: invalid axis")
        return self.sum_batch() if at < 0 else self._twin(self._array.sum(at))

    def sum_batch(self) -> Self:
        """The sum over the batch, a tensor without one."""
        context = self._linked()
        if self._batch is None:
            raise ValueError("unsupported operation: the tensor has no batch, sum(axis) adds over its axes")
        result = self._twin(_evaluate.window_sum(context, self._array, self._batch))
        result._batch = None
        return result

    def sum_batch_(self) -> Self:
        return self._become(self.sum_batch())

    def mm(self, other: Any) -> Self:
        """The product of matrices `[m, k]` and `[k, n]`, of which other may be in the clear."""
        context = self._linked()
        right, shape, batch = self._matrix_operand(other)
        if len(self._array.shape) != 2:
            raise ValueError(f"this tensor isn't a matrix: it has shape {self.shape}")
        if len(shape) != 2:
            raise ValueError(f"operand tensor isn't a matrix: it has shape {list(shape)}")
        if self._array.shape[1] != shape[0]:
            raise ValueError(
                f"{self._told(other)}: can't multiply matrices of shapes {self.shape} and {list(shape)}"
            )
        total = None
        for k in range(shape[0]):
            # Products are added up before they are relinearised and rescaled, both once.
            column = self._array[:, k : k + 1]
            if isinstance(right, np.ndarray):
                product = column.multiply(right[k : k + 1, :, None], rescale=False)
            else:
                _evaluate.check_levels(context, column, right)
                product = column.multiply(right[k : k + 1], relinearise=False, rescale=False)
            total = product if total is None else total + product
        if total is None:
            raise ValueError(f"can't multiply matrices of shapes {self.shape} and {list(shape)}")
        result = self._twin(_evaluate.rescale(context, _evaluate.relinearise(context, total)))
        if isinstance(right, np.ndarray) and not right.any(axis=0).all():
            result = result._twin(result._array + context.zeros(result._array.shape, result._array.level))
        result._batch = batch
        return result

    def _matrix_operand(
        self, other: Any
    ) -> tuple[ckks.CkksArray | npt.NDArray[np.float64], tuple[int, ...], int | None]:
        if isinstance(other, CKKSTensor):
            other._linked()
            return other._array, other._array.shape, self._joint_batch(other)
        values = numbers(other)
        if not isinstance(values, np.ndarray):
            raise ValueError(f"the operand is the number {values}: give a tensor")
        return values, values.shape, self._batch

    def mm_(self, other: Any) -> Self:
        return self._become(self.mm(other))

    def __matmul__(self, other: Any) -> Self:
        return self.mm(other)

    def __imatmul__(self, other: Any) -> Self:
        return self.mm_(other)

    def dot(self, other: Any) -> Self:
        """As NumPy's for one and two axes."""
        right, shape, _ = self._matrix_operand(other)
        mine = self._array.shape
        if not 1 <= len(mine) <= 2 or not 1 <= len(shape) <= 2:
            raise ValueError(
                f"shapes {list(mine)} and {list(shape)}: dot is for operands of 1 and 2 dimensions"
            )
        if mine[-1] != shape[0]:
            raise ValueError(f"can't perform dot: dimension mismatch of {list(mine)} and {list(shape)}")
        matrix = self if len(mine) == 2 else self.reshape([1, *mine])
        if len(shape) == 1:
            other = other.reshape([*shape, 1]) if isinstance(other, CKKSTensor) else right.reshape(*shape, 1)
        return matrix.mm(other).reshape_([*mine[:-1], *shape[1:]])

    def dot_(self, other: Any) -> Self:
        return self._become(self.dot(other))

    def __getitem__(self, item: Any) -> Self:
        """Ints and slices of the axes; an int keeps its axis, with length 1. IndexError outside."""
        parts = item if isinstance(item, tuple) else (item,)
        shape = self.shape
        if len(parts) > len(shape):
            raise IndexError(f"{len(parts)} indexes for a tensor of shape {shape}")
        slices = []
        for part, length in zip(parts, shape, strict=False):
            if isinstance(part, int):
                if not -length <= part < length:
                    raise IndexError(f"index {part} is outside an axis of length {length}")
                start = part % length
                part = slice(start, start + 1)
            elif not isinstance(part, slice):
                raise TypeError(f"index is {kind(part)}: give ints and slices")
            slices.append(part)
        found = self._array[tuple(slices)]
        if not found.size:
            raise IndexError(f"{item!r} is empty in a tensor of shape {shape}")
        return self._twin(found)

    def reshape(self, shape: Any) -> Self:
        return self._twin(self.data.reshape(tuple(int(n) for n in shape)))

    def reshape_(self, shape: Any) -> Self:
        return self._become(self.reshape(shape))

    def broadcast(self, shape: Any) -> Self:
        positions = self._positions()
        try:
            return self._twin(_evaluate.gather(self._array, np.broadcast_to(positions, tuple(shape))))
        except ValueError:
            raise BroadcastError(f"shape {self.shape} does not broadcast to {list(shape)}") from None

    def broadcast_(self, shape: Any) -> Self:
        return self._become(self.broadcast(shape))

    def transpose(self) -> Self:
        return self._twin(_evaluate.gather(self.data, self._positions().T))

    def transpose_(self) -> Self:
        return self._become(self.transpose())

    def _positions(self) -> npt.NDArray[np.intp]:
        array = self.data
        return np.arange(array.size).reshape(array.shape)


def _rows(values: npt.NDArray[np.float64], n_slots: int, batch: bool) -> npt.NDArray[np.float64]:
    """`[..., n_slots]`: a number in all slots, or the batch and zeros."""
    if not batch:
        return np.broadcast_to(values[..., None], (*values.shape, n_slots))
    rows = np.zeros((*values.shape[1:], n_slots))
    rows[..., : values.shape[0]] = np.moveaxis(values, 0, -1)
    return rows

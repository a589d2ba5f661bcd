# SPDX-License-Identifier: Apache-2.0
"""`PlainTensor`: numbers in the clear, with TenSEAL's methods on a NumPy array."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.compat.tenseal._errors import BroadcastError, CorruptData

_DTYPES = {"float": np.float64, "int": np.int64}


class PlainTensor:
    """Numbers of any shape. dtype: "float" or "int". shape: in place of the tensor's own.

    TypeError for what is no array of numbers, ValueError for a shape that does not fit. `numpy()` is the array.
    """

    def __init__(self, tensor: Any, shape: Any = None, dtype: str = "float") -> None:
        self._dtype = _checked(dtype)
        if isinstance(tensor, PlainTensor):
            tensor = tensor.numpy()
        try:
            array = np.array(tensor, dtype=_DTYPES[dtype])
        except (TypeError, ValueError) as error:
            raise TypeError(f"input isn't a well structured tensor of numbers: {error}") from error
        self._array = array if shape is None else _reshaped(array, shape)

    def numpy(self) -> npt.NDArray[Any]:
        """The numbers as they are held, not a copy."""
        return self._array

    __array_priority__ = 0.0

    @property
    def raw(self) -> list[Any]:
        """All numbers in one list."""
        return self._array.reshape(-1).tolist()

    @property
    def data(self) -> npt.NDArray[Any]:
        return self._array

    @property
    def dtype(self) -> str:
        return self._dtype

    @dtype.setter
    def dtype(self, value: str) -> None:
        self._dtype = _checked(value)
        self._array = self._array.astype(_DTYPES[value])

    def at(self, index: Any) -> Any:
        """The number at a full index; ValueError outside."""
        where = tuple(index)
        if len(where) != self._array.ndim or any(
            not 0 <= i < n for i, n in zip(where, self._array.shape, strict=True)
        ):
            raise ValueError(f"index is {list(where)}, the tensor has shape {self.shape}: give one inside")
        return self._array[where].item()

    @property
    def shape(self) -> list[int]:
        return list(self._array.shape)

    def strides(self) -> list[int]:
        """Numbers from one element of an axis to the next; 0 for an axis of one."""
        result, step = [], 1
        for length in reversed(self._array.shape):
            result.append(0 if length == 1 else step)
            step *= length
        return result[::-1]

    def empty(self) -> bool:
        return self._array.size == 0

    def size(self) -> int:
        """The length of the first axis."""
        return int(self._array.shape[0])

    def __len__(self) -> int:
        return self.size()

    def tolist(self) -> Any:
        return self._array.tolist()

    def batch(self, dim: int) -> list[list[Any]]:
        """Lists along an axis, one for each index of the others."""
        if not 0 <= dim < self._array.ndim:
            raise ValueError(
                f"dim is {dim}, the tensor has {self._array.ndim} axes: invalid dimension for batching"
            )
        moved = np.moveaxis(self._array, dim, -1)
        return moved.reshape(-1, moved.shape[-1]).tolist()

    def reshape(self, shape: Any) -> PlainTensor:
        return PlainTensor(self._array, shape=shape, dtype=self._dtype)

    def reshape_(self, shape: Any) -> PlainTensor:
        self._array = _reshaped(self._array, shape)
        return self

    def broadcast(self, shape: Any) -> PlainTensor:
        return PlainTensor(self._array, dtype=self._dtype).broadcast_(shape)

    def broadcast_(self, shape: Any) -> PlainTensor:
        try:
            self._array = np.broadcast_to(self._array, tuple(shape)).copy()
        except ValueError:
            raise BroadcastError(f"shape {self.shape} does not broadcast to {list(shape)}") from None
        return self

    def transpose(self) -> PlainTensor:
        return PlainTensor(self._array, dtype=self._dtype).transpose_()

    def transpose_(self) -> PlainTensor:
        self._array = np.ascontiguousarray(self._array.T) if self._array.ndim else self._array
        return self

    @classmethod
    def load(cls, data: bytes, dtype: str = "float") -> PlainTensor:
        """The tensor that `serialize` wrote, a list in JSON, as TenSEAL's."""
        _checked(dtype)
        if not isinstance(data, bytes):
            raise TypeError(
                f"data is of type {type(data).__name__}: give the bytes that serialize() returned"
            )
        try:
            return cls(json.loads(data), dtype=dtype)
        except (TypeError, ValueError, RecursionError):
            raise CorruptData(
                "failed to parse: the bytes are no tensor: give what serialize() returned"
            ) from None

    def serialize(self) -> bytes:
        return json.dumps(self.tolist(), separators=(",", ":")).encode()


def _checked(dtype: str) -> str:
    if dtype not in _DTYPES:
        raise ValueError(f"wrong dtype {dtype!r}: give 'float' or 'int'")
    return dtype


def _reshaped(array: npt.NDArray[Any], shape: Any) -> npt.NDArray[Any]:
    wanted = tuple(int(n) for n in shape)
    if min(wanted, default=0) < 0 or np.prod(wanted, dtype=np.int64) != array.size:
        raise ValueError(f"tensor with mismatched shape: {array.size} numbers do not make {list(wanted)}")
    return array.reshape(wanted)

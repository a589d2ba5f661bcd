# SPDX-License-Identifier: Apache-2.0
"""What encrypted vectors and tensors have in common: ciphertexts, a context, operators, twins that work in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from crypsis import ckks
from crypsis._arguments import kind
from crypsis.compat.tenseal import _evaluate, _format
from crypsis.compat.tenseal._errors import CorruptData
from crypsis.compat.tenseal.enc_context import Context
from crypsis.compat.tenseal.tensors.plaintensor import PlainTensor


class AbstractTensor(ABC):
    """Ciphertexts with a context. Objects made by `lazy_load` have none until `link_context`."""

    __array_ufunc__ = None
    """NumPy leaves operators to this class."""
    _MAGIC: bytes
    _NAME: str

    _array: ckks.CkksArray
    _scale: float
    _context: Context | None
    _lazy: bytes | None

    def _linked(self) -> Context:
        if self._context is None:
            raise ValueError(f"missing context: link_context(context) the {self._NAME} first")
        return self._context

    @property
    def data(self) -> ckks.CkksArray:
        """The ciphertexts in `crypsis.ckks`."""
        self._linked()
        return self._array

    def _encrypt(self, context: Any, scale: float | None, rows: npt.NDArray[np.float64]) -> None:
        self._context, self._lazy = context, None
        context.native  # noqa: B018  (settles the scale)
        self._scale = context.global_scale if scale is None else float(scale)
        context.check_scale(self._scale)
        self._array = context.encrypt(rows)

    def _twin(self, array: ckks.CkksArray) -> Self:
        """A copy with other ciphertexts."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._array = array
        return twin

    def _become(self, other: Self) -> Self:
        self.__dict__.update(other.__dict__)
        return self

    def copy(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)  # ciphertexts are immutable
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Self:
        return self.copy()

    def context(self) -> Context:
        """The context itself, not a copy."""
        return self._linked()

    def link_context(self, ctx: Context) -> None:
        """Take the keys and switches of a context; parses what was loaded lazily."""
        if not isinstance(ctx, Context):
            raise TypeError(f"ctx is {kind(ctx)}: give a Context")
        if self._lazy is not None:
            self._parse(ctx, self._lazy)
        else:
            self._array = ctx.native.bind(self._array)
        self._context = ctx

    @abstractmethod
    def _parse(self, context: Context, data: bytes) -> None:
        """Set what `serialize` wrote."""

    def _parsed(self, context: Context, data: Any) -> tuple[int, int]:
        slots, size, self._scale, self._array = _format.unpack_tensor(
            data, self._MAGIC, self._NAME, context.native
        )
        self._lazy = None
        return slots, size

    @classmethod
    def load(cls, context: Context, data: bytes) -> Self:
        """What `serialize` wrote. CorruptData, a ValueError, for other bytes; InvalidCiphertext for another key's."""
        if not isinstance(context, Context) or not isinstance(data, bytes):
            raise TypeError(f"got {kind(context)} and {kind(data)}: give a Context and bytes")
        found = cls.lazy_load(data)
        found.link_context(context)
        return found

    @classmethod
    def lazy_load(cls, data: bytes) -> Self:
        """What `serialize` wrote, to be parsed by `link_context`."""
        if not isinstance(data, bytes):
            raise TypeError(f"data is {kind(data)}: give the bytes that serialize() returned")
        found = object.__new__(cls)
        found._context, found._lazy = None, data
        return found

    @abstractmethod
    def serialize(self) -> bytes:
        """The ciphertexts as bytes, in a format of its own."""

    def __reduce__(self) -> Any:
        # Keys do not travel with every vector: it comes back lazily loaded.
        return type(self).lazy_load, (self.serialize(),)

    def scale(self) -> float:
        """The scale that was asked for."""
        self._linked()
        return self._scale

    def ciphertext(self) -> list[ckks.CkksArray]:
        """The ciphertexts one by one, of `crypsis.ckks`."""
        return list(self.data.reshape(self._array.size))

    @property
    @abstractmethod
    def shape(self) -> list[int]:
        """Lengths of the axes."""

    @abstractmethod
    def _combine(self, name: str, other: Any) -> Self: ...

    @abstractmethod
    def _filled(self, value: float) -> Self:
        """A fresh encryption of a number in this shape."""

    @abstractmethod
    def sum(self, axis: int = 0) -> Self: ...

    def add(self, other: Any) -> Self:
        return self._combine("add", other)

    def sub(self, other: Any) -> Self:
        return self._combine("sub", other)

    def mul(self, other: Any) -> Self:
        return self._combine("mul", other)

    def neg(self) -> Self:
        self._linked()
        return self._twin(-self._array)

    def square(self) -> Self:
        return self._twin(_evaluate.combine(self._linked(), "mul", self._array, self._array))

    def pow(self, power: int) -> Self:
        """The elements to a power from 0."""
        context = self._linked()
        if isinstance(power, bool) or not isinstance(power, int) or power < 0:
            raise TypeError(f"power is {power!r}: give an int from 0")
        if power == 0:
            return self._filled(1.0)
        return self._twin(_evaluate.power(context, self._array, power))

    def polyval(self, coefficients: Sequence[float]) -> Self:
        """coefficients[0] + coefficients[1] x + ...: floor(log2(degree)) + 1 levels."""
        context = self._linked()
        terms = [float(value) for value in coefficients]
        if not terms:
            raise ValueError("coefficients are empty: the coefficients vector needs at least one element")
        if not np.isfinite(terms).all():
            raise ValueError(f"coefficients are {terms}: give finite numbers")
        result = _evaluate.polynomial(context, self._array, terms)
        return self._filled(result) if isinstance(result, float) else self._twin(result)

    def add_(self, other: Any) -> Self:
        return self._become(self.add(other))

    def sub_(self, other: Any) -> Self:
        return self._become(self.sub(other))

    def mul_(self, other: Any) -> Self:
        return self._become(self.mul(other))

    def neg_(self) -> Self:
        return self._become(self.neg())

    def square_(self) -> Self:
        return self._become(self.square())

    def pow_(self, power: int) -> Self:
        return self._become(self.pow(power))

    def polyval_(self, coefficients: Sequence[float]) -> Self:
        return self._become(self.polyval(coefficients))

    def sum_(self, axis: int = 0) -> Self:
        return self._become(self.sum(axis))

    def __add__(self, other: Any) -> Self:
        return self.add(other)

    __radd__ = __add__

    def __iadd__(self, other: Any) -> Self:
        return self.add_(other)

    def __sub__(self, other: Any) -> Self:
        return self.sub(other)

    def __isub__(self, other: Any) -> Self:
        return self.sub_(other)

    def __rsub__(self, other: Any) -> Self:
        return self.neg().add_(other)

    def __mul__(self, other: Any) -> Self:
        return self.mul(other)

    __rmul__ = __mul__

    def __imul__(self, other: Any) -> Self:
        return self.mul_(other)

    def __neg__(self) -> Self:
        return self.neg()

    def __pow__(self, power: int) -> Self:
        return self.pow(power)

    def __ipow__(self, power: int) -> Self:
        return self.pow_(power)

    def __repr__(self) -> str:
        if self._context is None:
            return f"<{type(self).__name__} without a context>"
        return f"<{type(self).__name__} of shape {self.shape}, {self._array!r}>"

    def _corrupt(self, what: str) -> CorruptData:
        return CorruptData(f"the {self._NAME} has {what}: it is damaged, have it sent again")


def numbers(other: Any) -> npt.NDArray[np.float64] | float | int:
    """An operand in the clear: a number as it is, others as an array. TypeError for what is no numbers."""
    if isinstance(other, int | float):
        if not np.isfinite(other):
            raise ValueError(f"the operand is {other}: give finite numbers")
        return other
    if isinstance(other, AbstractTensor):
        raise TypeError(f"can't operate with object of type {type(other).__name__}")
    try:
        array = PlainTensor(other).numpy().astype(np.float64, copy=False)
    except TypeError:
        raise TypeError(f"can't operate with object of type {type(other).__name__}: give numbers") from None
    if not np.isfinite(array).all():
        raise ValueError("the operand has NaN or infinite numbers: give finite ones")
    return array.item() if isinstance(other, np.generic) else array

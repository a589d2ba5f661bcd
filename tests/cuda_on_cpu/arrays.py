# SPDX-License-Identifier: Apache-2.0
"""Arrays of the shim device: as strict as CuPy's, so that code which mixes host and device fails here too.

Only what CuPy also has is there, and host arrays are no operands: not of operators, functions, indices nor
assignments. `.get()` copies to the host; views share memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cuda_on_cpu.device import ShimDevice


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Methods and functions that CuPy has under the same name and with the same meaning.
METHODS = _words(
    "all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill flatten max mean min nonzero "
    "prod put ravel repeat reshape sort squeeze sum swapaxes take transpose view"
)
FUNCTIONS = _words(
    "abs absolute add all any arange argmax argmin argsort around array_equal atleast_1d atleast_2d bincount "
    "bitwise_and bitwise_or bitwise_xor broadcast_to ceil clip column_stack compress concatenate copy count_nonzero "
    "cumprod cumsum diff divide divmod dstack equal expand_dims flatnonzero flip floor floor_divide full_like "
    "greater greater_equal hstack invert isfinite isin isnan ldexp left_shift less less_equal lexsort logical_and "
    "logical_not logical_or max maximum mean min minimum mod moveaxis multiply negative nonzero not_equal "
    "ones_like outer packbits pad prod ravel remainder repeat reshape result_type right_shift rint roll rollaxis "
    "searchsorted sign sort split sqrt squeeze stack subtract sum swapaxes take tile transpose tril triu trunc unique "
    "unpackbits vstack where zeros_like empty_like array_split ascontiguousarray"
)
CREATORS = _words("arange eye full identity linspace ones zeros")
CONSTANTS = _words(
    "bool_ dtype e float32 float64 inf int8 int16 int32 int64 intp nan newaxis pi uint8 uint16 uint32 uint64 "
    "iinfo finfo broadcast_shapes"
)
OPERATORS = _words("add sub mul truediv floordiv mod pow lshift rshift and or xor matmul")
COMPARISONS = _words("eq ne lt le gt ge")


def _host(device: ShimDevice, value: Any) -> Any:
    """What NumPy works on: `value` with this device's arrays opened; host arrays and other devices' refused."""
    if isinstance(value, ShimArray):
        if value.device is not device:
            raise ValueError(f"array of {value.device.name} used on {device.name}")
        return value.memory
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: host array among device arrays")
    if isinstance(value, list | tuple):
        return type(value)(_host(device, item) for item in value)
    if isinstance(value, slice):
        return slice(*(_host(device, item) for item in (value.start, value.stop, value.step)))
    return value


def _wrapped(device: ShimDevice, result: Any) -> Any:
    """Results of NumPy as arrays of the device; CuPy has no scalars, so these are 0-dimensional arrays."""
    if isinstance(result, np.ndarray):
        return device.adopt(result)
    if isinstance(result, np.generic):
        return device.adopt(np.array(result))
    if isinstance(result, list | tuple):
        return type(result)(_wrapped(device, item) for item in result)
    return result


class ShimArray:
    """An array in the memory of a `ShimDevice`; `memory` is the NumPy array behind it, for the launcher only."""

    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, memory: np.ndarray, device: ShimDevice) -> None:
        self.memory = memory
        self.device = device

    # What NumPy would do by itself, and must not.
    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        return _wrapped(self.device, ufunc(*(_host(self.device, x) for x in inputs)))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise TypeError("the shim's arrays are in no GPU's memory")

    # Shape and type.
    shape = property(lambda self: self.memory.shape)
    dtype = property(lambda self: self.memory.dtype)
    ndim = property(lambda self: self.memory.ndim)
    size = property(lambda self: self.memory.size)
    nbytes = property(lambda self: self.memory.nbytes)
    itemsize = property(lambda self: self.memory.itemsize)
    strides = property(lambda self: self.memory.strides)
    flags = property(lambda self: self.memory.flags)
    T = property(lambda self: ShimArray(self.memory.T, self.device))

    def get(self) -> np.ndarray:
        """A copy on the host."""
        return np.array(self.memory, order="C")

    def set(self, host: np.ndarray) -> None:
        """Copies a host array of the same shape and type in."""
        if not isinstance(host, np.ndarray) or host.shape != self.shape or host.dtype != self.dtype:
            raise ValueError("set takes a NumPy array of the same shape and dtype")
        self.memory[...] = host

    def item(self) -> Any:
        return self.memory.item()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in METHODS:
            raise AttributeError(f"the shim's arrays have no {name}: use what CuPy has, or add it to METHODS")
        method = getattr(self.memory, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            opened = {key: _host(self.device, value) for key, value in kwargs.items()}
            return _wrapped(self.device, method(*_host(self.device, args), **opened))

        return call

    def __getitem__(self, index: Any) -> Any:
        return _wrapped(self.device, self.memory[_host(self.device, index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.memory[_host(self.device, index)] = _host(self.device, value)

    def __len__(self) -> int:
        return len(self.memory)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.memory)

    def __int__(self) -> int:
        return int(self.memory)

    def __index__(self) -> int:
        return self.memory.__index__()

    def __float__(self) -> float:
        return float(self.memory)

    def __repr__(self) -> str:
        return f"ShimArray({self.memory!r}, {self.device.name})"


def _operator(name: str) -> Callable[[ShimArray, Any], Any]:
    def operate(self: ShimArray, other: Any) -> Any:
        result = getattr(self.memory, name)(_host(self.device, other))
        if result is NotImplemented:
            return result
        if name.startswith("__i"):  # in place: the same array
            return self
        return _wrapped(self.device, result)

    return operate


for _name in (
    *OPERATORS,
    *(f"r{name}" for name in OPERATORS),
    *(f"i{name}" for name in OPERATORS),
    *COMPARISONS,
):
    setattr(ShimArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(
        ShimArray,
        f"__{_name}__",
        lambda self, method=f"__{_name}__": _wrapped(self.device, getattr(self.memory, method)()),
    )


class ShimNamespace:
    """The module `xp` of a shim device: NumPy's functions that CuPy has too, on this device's arrays only."""

    ndarray = ShimArray

    def __init__(self, device: ShimDevice) -> None:
        self._device = device

    def empty(self, shape: Any, dtype: Any = float) -> ShimArray:
        return self._device.empty(shape, dtype)

    def asarray(self, value: Any, dtype: Any = None) -> ShimArray:
        """Host arrays, scalars and lists are copied to the device, as CuPy does; device arrays stay."""
        if isinstance(value, ShimArray):
            if dtype is None or value.dtype == dtype:
                _host(self._device, value)
                return value
            return self._device.adopt(value.memory.astype(dtype))
        return self._device.adopt(np.array(value, dtype))

    def array(self, value: Any, dtype: Any = None) -> ShimArray:
        memory = value.memory if isinstance(value, ShimArray) else value
        return self._device.adopt(np.array(memory, dtype))

    def asnumpy(self, value: Any) -> np.ndarray:
        return value.get() if isinstance(value, ShimArray) else np.asarray(value)

    def shares_memory(self, a: ShimArray, b: ShimArray) -> bool:
        return np.shares_memory(a.memory, b.memory)

    def may_share_memory(self, a: ShimArray, b: ShimArray) -> bool:
        return np.may_share_memory(a.memory, b.memory)

    def __getattr__(self, name: str) -> Any:
        if name in CONSTANTS:
            return getattr(np, name)
        if name not in (*FUNCTIONS, *CREATORS):
            raise AttributeError(f"the shim's xp has no {name}: use what CuPy has, or add it to FUNCTIONS")
        function = getattr(np, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            device = self._device
            opened = {key: _host(device, value) for key, value in kwargs.items()}
            if name == "ascontiguousarray" and not isinstance(args[0], ShimArray):
                raise TypeError(f"ascontiguousarray takes a device array, not {type(args[0]).__name__}")
            result = function(*_host(device, args), **opened)
            for arg in args:  # returned as it came, as ascontiguousarray may
                if isinstance(arg, ShimArray) and result is arg.memory:
                    return arg
            return _wrapped(device, result)

        return call

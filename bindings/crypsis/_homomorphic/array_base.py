# SPDX-License-Identifier: Apache-2.0
"""Shape, indexing and movement of cipher arrays: what needs no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from crypsis._homomorphic import devices, limbs
from crypsis._homomorphic.encoding import Exponents
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.numpy_calls import NumpyCalls
from crypsis._homomorphic.secret import Frozen
from crypsis.cuda._device import Device

if TYPE_CHECKING:
    from crypsis._homomorphic.keys import PublicKeyBase


class ArrayBase(NumpyCalls, Frozen):
    """Shape, indexing and movement; no arithmetic."""

    __slots__ = ("_device", "_rows", "base", "exponent", "public_key", "shape")

    public_key: PublicKeyBase
    shape: tuple[int, ...]
    exponent: Exponents
    """Of the encoding: one for all, or int32[size] in C order. Value = plaintext * base^exponent; public."""
    base: int
    _rows: Limbs
    _device: Device | None

    def __init__(
        self, public_key: PublicKeyBase, rows: Limbs, shape: tuple[int, ...], exponent: Exponents, base: int
    ) -> None:
        if math.prod(shape) != len(rows):
            raise ValueError(f"{len(rows)} ciphertexts do not make the shape {shape}")
        if not isinstance(exponent, int):
            exponent = np.array(exponent, dtype=np.int32).reshape(-1)  # a copy: arrays do not change
            if len(exponent) != len(rows):
                raise ValueError(
                    f"{len(exponent)} exponents for {len(rows)} ciphertexts: give one, or one for each"
                )
            exponent.setflags(write=False)
        self._set(
            public_key=public_key,
            _rows=rows,
            _device=devices.device_of(rows),
            shape=tuple(shape),
            exponent=exponent,
            base=base,
        )

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Memory of the ciphertexts."""
        return self._rows.nbytes

    @property
    def device(self) -> str:
        """Where the ciphertexts are: "cpu", or a GPU, "cuda:0" say. What is computed from them is there too."""
        return devices.name_of(self._device)

    def to(self, device: str) -> Self:
        """The array on `device`: "cpu", "cuda" for the first GPU, "cuda:0", "cuda:1"; the same one where it is there.

        ValueError for another name, BackendUnavailable where the device cannot be used, saying why,
        DeviceMemoryError where the ciphertexts do not fit there.
        """
        target = devices.named(device)
        if target is self._device:
            return self
        host = devices.to_host(self._rows)
        return type(self)(self.public_key, devices.placed(host, target), self.shape, self.exponent, self.base)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a single ciphertext")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a single ciphertext")
        positions = self._positions()
        return (self._take(np.asarray(positions[i]), type(self)) for i in range(len(self)))

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the values are encrypted: decrypt first, with PrivateKey.decrypt")

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, item: Any) -> NoReturn:
        self._refuse()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a cipher array cannot be pickled: send to_bytes() and read it with load_ciphertexts()"
        )

    def __repr__(self) -> str:
        exponent = self.exponent if isinstance(self.exponent, int) else "each its own"
        where = "" if self._device is None else f", {self.device}"
        return (
            f"{type(self).__name__}(shape={self.shape}, {self.public_key.scheme} {self.public_key.n_bits} bits,"
            f" exponent={exponent}{where})"
        )

    @devices.current
    def _take(self, indexes: npt.NDArray[np.int64], kind: type[ArrayBase]) -> Any:
        """The elements at flat `indexes`, in the shape of `indexes`."""
        flat = indexes.reshape(-1)
        exponent = self.exponent if isinstance(self.exponent, int) else self.exponent[flat]
        return kind(self.public_key, limbs.gather(self._rows, flat), indexes.shape, exponent, self.base)

    def _positions(self) -> npt.NDArray[np.int64]:
        return np.arange(self.size).reshape(self.shape)

# SPDX-License-Identifier: Apache-2.0
"""Moduli, conversion of Python integers, and products row by row."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from crypsis import _arguments, _core
from crypsis._bigint import arrays as check
from crypsis._bigint.arrays import Limbs
from crypsis.cuda._dispatch import device_of, follow_data

if TYPE_CHECKING:
    from crypsis.cuda import Device

MIN_BITS = 256
"""Bits of the smallest modulus."""
MAX_BITS = 8192
"""Bits of the largest modulus."""


def from_ints(values: Iterable[int], limbs: int) -> Limbs:
    """`uint64[n, limbs]` of non-negative integers below 2^(64 * limbs); errors name the index.

    ValueError: negative or too large. TypeError: not an integer of Python, NumPy or gmpy2; nothing is rounded.
    """
    n_bytes = 8 * _arguments.integer("limbs", limbs, 1, 1 << 20)
    parts = []
    for index, value in enumerate(values):
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"the value at index {index} is {_arguments.kind(value)}: give an int") from None
        try:
            parts.append(number.to_bytes(n_bytes, "little"))
        except OverflowError:
            reason = "negative" if number < 0 else f"above {limbs} limbs ({number.bit_length()} bits)"
            raise ValueError(f"the value at index {index} is {reason}") from None
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64).reshape(-1, limbs)


def to_ints(values: Limbs) -> list[int]:
    """Python integers of the rows of `uint64[n, limbs]`, or of the one row `uint64[limbs]`."""
    checked = check.array("values", values, (np.uint64,), (1, 2))
    rows = checked.reshape(-1, checked.shape[-1]).astype("<u8", copy=False)
    width = 8 * rows.shape[1]
    data = rows.tobytes()
    return [int.from_bytes(data[i * width : (i + 1) * width], "little") for i in range(len(rows))]


class Modulus:
    """An odd modulus of MIN_BITS to MAX_BITS bits with its constants. Immutable, thread-safe, hashable by `n`.

    n: the modulus, a Python integer. ValueError where it is even or of another size.
    """

    __slots__ = ("__weakref__", "_core", "_n", "_on_devices", "_r")

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"n is {type(n).__name__}: give an int")
        if n < 0 or n % 2 == 0 or not MIN_BITS <= n.bit_length() <= MAX_BITS:
            kind = "negative" if n < 0 else "even" if n % 2 == 0 else f"of {n.bit_length()} bits"
            raise ValueError(f"the modulus is {kind}: give an odd one of {MIN_BITS} to {MAX_BITS} bits")
        self._n = n
        self._core = _core.bigint.Modulus(from_ints([n], -(-n.bit_length() // 64))[0])
        self._r = self._core.r()
        self._r.setflags(write=False)
        self._on_devices: dict[Device, Any] = {}  # what crypsis.cuda.bigint keeps of this modulus

    @property
    def n(self) -> int:
        """The modulus."""
        return self._n

    @property
    def n_bits(self) -> int:
        """Bits of the modulus."""
        return self._core.n_bits

    @property
    def limbs(self) -> int:
        """Limbs of a value: ceil(n_bits / 64)."""
        return self._core.limbs

    @property
    def one_montgomery(self) -> Limbs:
        """One in Montgomery form, `uint64[limbs]`, read-only."""
        return self._r

    def to_montgomery(
        self, a: Limbs, *, out: Limbs | None = None, backend: str | None = None, threads: int | None = None
    ) -> Limbs:
        """a * R mod n of each row; `out` may be `a`. Returns the shape of `a`."""
        if (device := device_of(a, out)) is not None:
            from crypsis.cuda import bigint

            return bigint.to_montgomery(device, a, self, out=out)  # type: ignore[no-any-return]
        return mod_mul(a, self._core.r2(), self, montgomery=True, out=out, backend=backend, threads=threads)

    def from_montgomery(
        self, a: Limbs, *, out: Limbs | None = None, backend: str | None = None, threads: int | None = None
    ) -> Limbs:
        """a / R mod n of each row; `out` may be `a`. Returns the shape of `a`."""
        if (device := device_of(a, out)) is not None:
            from crypsis.cuda import bigint

            return bigint.from_montgomery(device, a, self, out=out)  # type: ignore[no-any-return]
        one = np.zeros(self.limbs, dtype=np.uint64)
        one[0] = 1
        return mod_mul(a, one, self, montgomery=True, out=out, backend=backend, threads=threads)

    def __eq__(self, other: object) -> bool:
        return self._n == other._n if isinstance(other, Modulus) else NotImplemented

    def __hash__(self) -> int:
        return hash((Modulus, self._n))

    def __repr__(self) -> str:
        return f"Modulus(<{self.n_bits} bits>)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Modulus, (self._n,)


@follow_data("bigint")
def mod_mul(
    a: Limbs,
    b: Limbs,
    modulus: Modulus,
    *,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """a * b mod n, row by row; either may be one row for all. `out` may be an operand with as many rows."""
    left, right, product = factors(a, b, modulus, out)
    _core.bigint.mul(
        modulus._core,
        left,
        right,
        product.reshape(-1, modulus.limbs),
        _arguments.flag("montgomery", montgomery),
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return product


def factors(
    a: Limbs, b: Limbs, modulus: Modulus, out: Limbs | None, device: Device | None = None
) -> tuple[Limbs, Limbs, Limbs]:
    """The operands of a product as rows, and where it goes; private."""
    left = check.rows("a", a, modulus.limbs, device)
    right = check.rows("b", b, modulus.limbs, device)
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise ValueError(
            f"a has shape {a.shape} and b {b.shape}: give as many rows, or one for all in either"
        )
    n = len(right) if len(left) == 1 else len(left)
    shape = (n, modulus.limbs) if max(a.ndim, b.ndim) == 2 else (modulus.limbs,)
    product = check.result(
        out,
        shape,
        same=tuple(rows for rows in (left, right) if len(rows) == n),
        apart=tuple(rows for rows in (left, right) if len(rows) != n),
        device=device,
    )
    return left, right, product


@follow_data("bigint")
def mod_sqr(
    a: Limbs,
    modulus: Modulus,
    *,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """a^2 mod n of each row; less work than `mod_mul(a, a)`. `out` may be `a`."""
    rows = check.rows("a", a, modulus.limbs)
    square = check.result(out, a.shape, same=(rows,))
    _core.bigint.mul(
        modulus._core,
        rows,
        None,
        square.reshape(-1, modulus.limbs),
        _arguments.flag("montgomery", montgomery),
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return square

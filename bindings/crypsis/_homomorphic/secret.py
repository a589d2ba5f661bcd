# SPDX-License-Identifier: Apache-2.0
"""Random limbs from the operating system, wiping, and classes whose objects neither change nor travel by pickle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from crypsis._homomorphic import limbs
from crypsis._homomorphic.limbs import Limbs

RANDOM_THREADS = 4
RANDOM_BYTES = 1 << 20
"""A thread of `random_bits` reads at least as many."""


class Frozen:
    """Attributes are set once, in `__init__` through `_set`; no pickle."""

    __slots__ = ()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be deleted")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled: use its own serialisation (see its docstring)"
        )


def random_bits(n_rows: int, n_bits: int) -> Limbs:
    """`uint64[n_rows, k]`: uniform integers below 2^n_bits, each from the operating system's generator."""
    rows = np.empty((n_rows, limbs.n_limbs(n_bits)), dtype=np.uint64)
    if rows.size:
        os.urandom(1)  # waits until the system's generator is seeded, which the file does not
        view = memoryview(rows.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        n_parts = min(RANDOM_THREADS, os.cpu_count() or 1, len(view) // RANDOM_BYTES)
        if n_parts <= 1:
            _read_random(view)
        else:  # a thread gives 200 to 500 MB/s, a GPU takes 200 MB/s
            step = -(-len(view) // n_parts)
            with ThreadPoolExecutor(n_parts) as pool:
                list(pool.map(_read_random, (view[at : at + step] for at in range(0, len(view), step))))
    spare = limbs.LIMB_BITS * rows.shape[1] - n_bits
    if spare:
        rows[:, -1] >>= np.uint64(spare)
    return rows


def _read_random(view: memoryview) -> None:
    """Read into place: immutable bytes, as os.urandom returns, could not be wiped."""
    with open("/dev/urandom", "rb", buffering=0) as generator:
        while len(view):
            got = generator.readinto(view)
            if not got:
                raise OSError("/dev/urandom gave no bytes; the system's random generator is broken")
            view = view[got:]


def random_below(n_rows: int, bound: int) -> Limbs:
    """`uint64[n_rows, k]`: uniform integers from 1 to bound - 1, by rejection."""
    n_bits = bound.bit_length()
    rows = random_bits(n_rows, n_bits)
    last = limbs.from_int(bound - 1, rows.shape[1])
    while True:
        wrong = ~limbs.at_most(rows, last) | ~rows.any(axis=1)
        if not wrong.any():
            return rows
        rows[wrong] = random_bits(int(wrong.sum()), n_bits)


def wipe(*arrays: Limbs | None) -> None:
    """Overwrite with zeros, on the host or a device."""
    for array in arrays:
        if array is not None:
            array.fill(0)


@contextmanager
def wiping() -> Iterator[Callable[[Any], Any]]:
    """`with wiping() as secret:` arrays that went through `secret(array)` are zeros behind the block, error or not."""
    kept: list[Any] = []

    def secret(array: Any) -> Any:
        kept.append(array)
        return array

    try:
        yield secret
    finally:
        wipe(*kept)

# SPDX-License-Identifier: Apache-2.0
"""Zeros over secret arrays, on the host or a device, also where the work on them fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def wipe(*arrays: Any) -> None:
    """Overwrite with zeros, on the host or a device; None is left out."""
    for array in arrays:
        if array is not None:
            array.fill(0)


class Held:
    """`secret(array)` and `secret.result(array)` of `wiping`; both give the array back."""

    def __init__(self) -> None:
        self.passing: list[Any] = []
        self.results: list[Any] = []

    def __call__(self, array: Any) -> Any:
        """`array` is zeros behind the block."""
        self.passing.append(array)
        return array

    def result(self, array: Any) -> Any:
        """`array` is zeros behind the block if that fails: what the caller gets else."""
        self.results.append(array)
        return array


@contextmanager
def wiping() -> Iterator[Held]:
    """`with wiping() as secret:` arrays that went through `secret(array)` are zeros behind the block, error or not."""
    held = Held()
    try:
        yield held
    except BaseException:
        wipe(*held.results)
        raise
    finally:
        wipe(*held.passing)

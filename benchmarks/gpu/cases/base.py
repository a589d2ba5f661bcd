# SPDX-License-Identifier: Apache-2.0
"""What a benchmark of `make gpu-check` is, and what all of them use.

A case prepares its inputs for n items and gives `resident` (inputs and results stay on the device), `end_to_end` (from
arrays of the host to arrays of the host; None where that is no use) and `check`, which compares a sample with the CPU's
bytes and says how many items that were. Keys and operands are fixed: nothing here needs gmpy2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.limits import Need
from benchmarks.gpu.units import WrongAnswer
from benchmarks.rows import ROOT
from crypsis.cuda import Device

if str(ROOT / "tests") not in sys.path:  # the fixed keys and coins of the tests
    sys.path.append(str(ROOT / "tests"))

Rows = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
SAMPLE = 64
TEST_BITS = 256


@dataclass(frozen=True)
class Work:
    """A case ready to run on one device."""

    resident: Callable[[], Any]
    check: Callable[[Any], int]
    end_to_end: Callable[[], Any] | None = None


Prepare = Callable[[Device, int, int], Work]


@dataclass(frozen=True)
class Case:
    """One row of the table. items: a batch that fills the device; few: enough to compile its kernels and compare all of
    it. bits: of the modulus, the key or a message, or log2 of the ring degree; `prepare(device, items, bits)` takes
    TEST_BITS too for those of numbers and rings, where a CPU plays the device. least: items that it then plays."""

    name: str
    unit: str
    bits: int
    items: int
    few: int
    need: Need
    prepare: Prepare
    least: int = 2


def same(name: str, got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> int:
    """How many rows were compared. WrongAnswer names the first that differs."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        raise WrongAnswer(f"{name}: {got.dtype}{list(got.shape)}, not {wanted.dtype}{list(wanted.shape)}")
    wrong = np.flatnonzero((got != wanted).reshape(len(got), -1).any(axis=1))
    if len(wrong):
        raise WrongAnswer(f"{name}: row {wrong[0]} of the sample of {len(got)} is not the CPU's")
    return len(got)


def sample(n: int, most: int = SAMPLE) -> npt.NDArray[np.int64]:
    """First, last and spread rows."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def chosen(device: Device, result: Any, at: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Rows of a result, which is on the device or, of `end_to_end`, on the host."""
    host: npt.NDArray[Any] = result if isinstance(result, np.ndarray) else device.to_host(result)
    return host[at]


def random_bytes(seed: int, *shape: int) -> Bytes:
    """Uniform, the same ones every time."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def row_by_row(
    name: str,
    device: Device,
    function: Callable[..., Any],
    inputs: Sequence[npt.NDArray[Any]],
    *,
    most: int = SAMPLE,
) -> Work:
    """Work of a function that makes a row of uint8 of the same row of each of its inputs, as wide as the first's."""
    there = [device.from_host(array) for array in inputs]
    out = device.empty(inputs[0].shape, np.uint8)
    at = sample(len(inputs[0]), most)

    def check(result: Any) -> int:
        return same(name, chosen(device, result, at), function(*(array[at] for array in inputs)))

    def end_to_end() -> Any:
        return device.to_host(function(*(device.from_host(array) for array in inputs)))

    return Work(lambda: function(*there, out=out), check, end_to_end)

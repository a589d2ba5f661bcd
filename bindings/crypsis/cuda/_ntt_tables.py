# SPDX-License-Identifier: Apache-2.0
"""What kernels/ntt knows of a basis, on one device: constants and tables of factors, and launches with them. Private.

Tables are made on the device, once for each prime and degree that some living `Basis` has; nothing here is secret.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import numpy.typing as npt

from crypsis.cuda._device import Device
from crypsis.cuda._tuning import block_of, launch_shape
from crypsis.ntt import Basis

SLUG = "ntt"
POINTWISE = "ntt/pointwise.cu"
WORD = 1 << 64
DIGIT_BOUND = 1 << 59
"""Digits of kernels/rns are smaller; a multiple of the prime from here on makes them positive."""
N_POWERS = 17
"""Powers psi^(2^k) that tables are made from: for N up to 2^16."""

MAX_ELEMENTS = 16
"""Of a thread: E of kernels/ntt/tables.cuh."""
LOG_ONE_PASS = 13
"""Up to which a transform is one block's: kLogOnePass of kernels/ntt/passes.cuh."""


class Shape:
    """Launch shapes of the transforms of one degree in kernels/ntt or, of `slug`, kernels/rns: the constants of
    kernels/ntt/passes.cuh."""

    def __init__(self, log_n: int, slug: str = SLUG) -> None:
        n = 1 << log_n
        of_line = n // min(n, MAX_ELEMENTS)
        tuned = launch_shape(slug, size=log_n)
        self.threads = tuned["block"]
        self.defines = {"LOG_N": log_n, "THREADS": self.threads, "BLOCKS": tuned["blocks"]}
        self.one_pass = log_n <= LOG_ONE_PASS
        self._lines = self.threads // of_line
        tile = MAX_ELEMENTS * self.threads  # elements of a block of two passes
        columns = n if self.one_pass else n >> ((log_n + 1) // 2)
        rows = self._lines if self.one_pass else tile // columns
        self.row_bytes = 8 * rows * (columns + columns // 16)
        """Dynamic shared memory where lines are rows: padded."""
        self.column_bytes = 8 * tile
        self._blocks = 1 if self.one_pass else n // tile

    def grid(self, transforms: int) -> int:
        """Blocks for so many transforms."""
        return -(-transforms // self._lines) if self.one_pass else transforms * self._blocks


def factors(values: Sequence[int], primes: Sequence[int]) -> npt.NDArray[np.uint64]:
    """uint64[n, 2]: each value below its prime with its quotient floor(value 2^64 / prime)."""
    pairs = [(value, (value * WORD) // prime) for value, prime in zip(values, primes, strict=True)]
    return np.array(pairs, np.uint64).reshape(-1, 2)


class _PrimeTables:
    """Of one prime: twelve words and the two tables that they point to."""

    def __init__(self, device: Device, log_n: int, prime: int, root: int) -> None:
        n = 1 << log_n
        inverse_root, degree = pow(root, -1, prime), pow(n, -1, prime)
        self.table = device.empty((2, n, 2), np.uint64)
        address = device.address(self.table)
        last = degree * pow(inverse_root, n // 2, prime) % prime
        words = [prime, pow(prime, -1, WORD), *factors([WORD % prime], [prime])[0], WORD // prime]
        offset = -(-DIGIT_BOUND // prime) * prime
        words += [address, address + 16 * n, offset, *factors([degree, last], [prime] * 2).reshape(-1)]
        self.words = np.array(words, np.uint64)
        block = block_of(SLUG, "build_tables")
        steps = [pow(r, 1 << k, prime) for r in (root, inverse_root) for k in range(N_POWERS)]
        device.launch(
            SLUG,
            "build_tables",
            grid=-(-2 * n // block),
            block=block,
            args=[
                self.table,
                device.from_host(factors(steps, [prime] * len(steps))),
                device.from_host(self.words),
                np.uint32(log_n),
            ],
            source=POINTWISE,
        )


class Tables:
    """A basis on a device."""

    def __init__(self, device: Device, basis: Basis) -> None:
        self.device = device
        self.log_n, self.limbs = basis.log_n, len(basis)
        self.shape = Shape(basis.log_n)
        self.moduli = basis.primes
        self._of_primes = [
            _tables_of_prime(device, basis.log_n, prime, root)
            for prime, root in zip(basis.primes, basis.roots, strict=True)
        ]
        self.primes = device.from_host(np.stack([tables.words for tables in self._of_primes]))
        """uint64[limbs, 12]: struct Prime of kernels/ntt/residues.cuh."""
        device.synchronize()  # kept, and used on any stream

    def launch(
        self,
        kernel: str,
        transforms: int,
        args: Sequence[object],
        *,
        columns: bool = False,
        source: str | None = None,
        shape: Shape | None = None,
    ) -> None:
        """A kernel of transforms, of kernels/ntt by default; nothing for none."""
        if transforms:
            shape = shape or self.shape
            self.device.launch(
                SLUG,
                kernel,
                grid=shape.grid(transforms),
                block=shape.threads,
                args=args,
                shared_bytes=shape.column_bytes if columns else shape.row_bytes,
                defines=shape.defines,
                source=source,
            )

    def elementwise(self, kernel: str, n: int, args: Sequence[object]) -> None:
        """A kernel of kernels/ntt/pointwise.cu with a thread for each of n elements; nothing for none."""
        if n:
            block = block_of(SLUG, kernel)
            self.device.launch(SLUG, kernel, grid=-(-n // block), block=block, args=args, source=POINTWISE)

    def forward(self, values: Any, out: Any) -> None:
        """uint64[n, limbs, N] to the transform; `out` may be `values`."""
        n = len(values)
        sizes = (self.primes, np.uint64(n), np.uint32(self.limbs))
        if self.shape.one_pass:
            self.launch("forward", n * self.limbs, [out, values, *sizes])
        else:
            self.launch("forward_columns", n * self.limbs, [out, values, *sizes], columns=True)
            self.launch("forward_rows", n * self.limbs, [out, *sizes])

    def inverse(self, values: Any, out: Any) -> None:
        """uint64[n, limbs, N] back from the transform; `out` may be `values`."""
        n = len(values)
        sizes = (self.primes, np.uint64(n), np.uint32(self.limbs))
        if self.shape.one_pass:
            self.launch("inverse", n * self.limbs, [out, values, *sizes])
        else:
            self.launch("inverse_rows", n * self.limbs, [out, values, *sizes])
            self.launch("inverse_columns", n * self.limbs, [out, *sizes], columns=True)


_lock = threading.Lock()
_of_primes: WeakKeyDictionary[Device, WeakValueDictionary[tuple[int, int], _PrimeTables]] = (
    WeakKeyDictionary()
)
_of_bases: WeakKeyDictionary[Basis, dict[Device, Tables]] = WeakKeyDictionary()


def _tables_of_prime(device: Device, log_n: int, prime: int, root: int) -> _PrimeTables:
    on_device = _of_primes.setdefault(device, WeakValueDictionary())
    found = on_device.get((log_n, prime))
    if found is None:
        found = on_device[log_n, prime] = _PrimeTables(device, log_n, prime, root)
    return found


def tables_of(device: Device, basis: Basis) -> Tables:
    """The tables of a basis on a device; they stay there as long as the basis, or an equal one, lives."""
    with _lock:
        on_devices = _of_bases.setdefault(basis, {})
        found = on_devices.get(device)
        if found is None:
            found = on_devices[device] = Tables(device, basis)
        return found

# SPDX-License-Identifier: Apache-2.0
"""The kernels of kernels/bigint for one modulus on one device: constants, launch shapes, range checks. Private.

Arrays are the device's, `uint64[n, limbs]` as on the CPU. Nothing here checks arguments but for the values of rows.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from crypsis._bigint.modulus import Modulus, from_ints
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._device import Device
from crypsis.cuda._errors import NO_ERROR, ErrorCode, decode, exception
from crypsis.cuda._tuning import launch_shape

SLUG = "bigint"
SCRATCH_BYTES = 1 << 30
"""What the tables of a launch of `powm` take at most; more rows go in further launches."""
SQUARING = frozenset(("sqr", "powm", "powm_vartime", "multi_powm"))
"""Kernels that square, and so need shared memory for double-length numbers."""


class _Values(threading.local):
    """What a thread knows of the values it passes."""

    known = False


_values = _Values()


@contextmanager
def known_values() -> Iterator[None]:
    """Inside, this thread passes only rows below their modulus and exponents of the bits it says: ciphertexts, say,
    which are checked when loaded, and random numbers of its own. They are not checked again, so that nothing waits."""
    before = _values.known
    try:
        _values.known = True
        yield
    finally:
        _values.known = before


class Shape(NamedTuple):
    """How numbers of one size are spread over threads."""

    limbs: int
    """32-bit limbs of a number."""
    threads_per_number: int
    threads: int
    """Of a block."""
    blocks: int
    """Of a multiprocessor, at least: what bounds the registers."""

    @property
    def rows(self) -> int:
        """Numbers of a block."""
        return self.threads // self.threads_per_number

    @property
    def part(self) -> int:
        """32-bit limbs of a thread, even."""
        return -(-self.limbs // (2 * self.threads_per_number)) * 2

    def shared_bytes(self, kernel: str) -> int:
        """Dynamic shared memory of a block: kStride or kSquareStride of kernels/bigint words a number."""
        if kernel.startswith("check"):
            return 0
        multiplier = self.threads_per_number * self.part + 1
        unit = self.part // 2
        if kernel not in SQUARING or self.part % 4 or self.part > 16 or self.limbs % unit:
            return 4 * self.rows * multiplier
        operand = self.threads_per_number * (self.part + 1)
        total = 4 * self.threads_per_number * (unit + 1) + 1
        return 4 * self.rows * ((operand + total * (1 if self.threads_per_number == 1 else 2)) | 1)

    @property
    def defines(self) -> dict[str, int]:
        """The macros of kernels/bigint/group.cuh."""
        return {
            "LIMBS": self.limbs,
            "TPI": self.threads_per_number,
            "THREADS": self.threads,
            "BLOCKS": self.blocks,
        }


def shape_of(limbs: int) -> Shape:
    """The launch shape of numbers of `limbs` 64-bit limbs, by kernels/bigint/tuning.json, where a size is its bits."""
    tuned = launch_shape(SLUG, size=64 * limbs)
    most = tuned["limbs_per_thread"]
    threads_per_number = 1
    while threads_per_number < 32 and 2 * limbs > most * threads_per_number:
        threads_per_number *= 2
    return Shape(2 * limbs, threads_per_number, tuned["block"], tuned["blocks"])


class Kernels:
    """Launches for one modulus on one device."""

    def __init__(self, device: Device, modulus: Modulus) -> None:
        limbs = modulus.limbs
        one = np.zeros(limbs, dtype=np.uint64)
        one[0] = 1
        minus_inverse = np.array([-pow(modulus.n, -1, 1 << 64) % (1 << 64)], dtype=np.uint64)
        n = from_ints([modulus.n], limbs)[0]
        parts = (n, modulus.one_montgomery, modulus._core.r2(), one, minus_inverse)
        self.device = device
        self.shape = shape_of(limbs)
        joined = np.concatenate([part.reshape(-1) for part in parts])
        try:
            self.constants = device.from_host_secret(joined)
            device.synchronize()  # kept, and used on any stream
        finally:
            for part in (n, minus_inverse, joined):
                part.fill(0)  # the modulus may be secret
        self._limbs = limbs

    @property
    def one(self) -> Any:
        """R mod n, `uint64[limbs]`."""
        return self.constants[self._limbs : 2 * self._limbs]

    @property
    def r2(self) -> Any:
        """R^2 mod n, `uint64[limbs]`."""
        return self.constants[2 * self._limbs : 3 * self._limbs]

    @property
    def plain_one(self) -> Any:
        """1, `uint64[limbs]`."""
        return self.constants[3 * self._limbs : 4 * self._limbs]

    @property
    def resident_rows(self) -> int:
        """Numbers that the device computes at a time."""
        return self.device.n_multiprocessors * self.shape.blocks * self.shape.rows

    def rows(self, n: int) -> Any:
        """Room for n rows."""
        return self.device.empty((n, self._limbs), np.uint64)

    def launch(
        self, kernel: str, n_rows: int, args: Sequence[object], *, per_block: int | None = None
    ) -> None:
        """Queues a kernel over `n_rows` groups; nothing for none."""
        if n_rows == 0:
            return
        grid = -(-n_rows // (per_block or self.shape.rows))
        self.device.launch(
            SLUG,
            kernel,
            grid=grid,
            block=self.shape.threads,
            args=args,
            shared_bytes=self.shape.shared_bytes(kernel),
            defines=self.shape.defines,
        )

    # ---- range checks ---------------------------------------------------------------------------------------

    def check_values(self, *named: tuple[str, Any]) -> None:
        """ValueError naming the array and its first row that is not below the modulus; waits for the device once."""
        if _values.known:
            return
        words = self._words(len(named))
        for i, (_, rows) in enumerate(named):
            args = [words[i : i + 1], rows, self.constants, np.uint64(len(rows))]
            self.launch("check_rows", len(rows), args)
        self._raise(
            words, [f"{name}: the value in row {{}} is not below the modulus; reduce it" for name, _ in named]
        )

    def check_exponents(self, exponents: Any, n_bits: int, *, columns: bool = False) -> None:
        """ValueError for exponents `uint64[n, e]` of more than n_bits bits: of e limbs, or e of one limb each."""
        n, width = exponents.shape
        if _values.known or n_bits >= (64 if columns else 64 * width):
            return
        words = self._words(1)
        n_columns, limbs = (width, 2) if columns else (1, 2 * width)
        sizes = (np.uint32(n_columns), np.uint32(limbs), np.uint32(n_bits), np.uint64(n))
        self.launch("check_bits", n, [words, exponents, *sizes], per_block=self.shape.threads)
        what = "a value" if columns else "the value"
        self._raise(words, [f"exponents: {what} in row {{}} has more than exponent_bits = {n_bits} bits"])

    def _words(self, n: int) -> Any:
        return self.device.from_host(np.full(n, NO_ERROR, dtype=np.uint64))

    def _raise(self, words: Any, messages: Sequence[str]) -> None:
        for word, message in zip(self.device.to_host(words), messages, strict=True):
            found = decode(int(word))
            if found is not None:
                code, row = found
                raise exception(ErrorCode(code), message.format(row))

    # ---- products -------------------------------------------------------------------------------------------

    def mul(self, out: Any, a: Any, b: Any, *, plain: bool = False) -> Any:
        """out = a * b / R mod n, or a * b mod n where `plain`; rows `[n, limbs]`, or one row for all of the other."""
        n = len(out)
        args = [
            out,
            a,
            self._stride(a, n),
            b,
            self._stride(b, n),
            self.constants,
            np.uint64(n),
            np.uint32(plain),
        ]
        self.launch("mul", n, args)
        return out

    def sqr(self, out: Any, a: Any, *, plain: bool = False) -> Any:
        """out = a^2 / R mod n, or a^2 mod n."""
        n = len(out)
        self.launch("sqr", n, [out, a, self.constants, np.uint64(n), np.uint32(plain)])
        return out

    def _stride(self, rows: Any, n: int) -> np.uint64:
        return np.uint64(0 if len(rows) == 1 and n != 1 else self.shape.limbs)

    def to_montgomery(self, rows: Any, out: Any = None) -> Any:
        """rows * R mod n."""
        return self.mul(self.rows(len(rows)) if out is None else out, rows, self.r2.reshape(1, -1))

    def from_montgomery(self, rows: Any, out: Any = None) -> Any:
        """rows / R mod n."""
        return self.mul(self.rows(len(rows)) if out is None else out, rows, self.plain_one.reshape(1, -1))

    # ---- powers ---------------------------------------------------------------------------------------------

    def powm(
        self, out: Any, bases: Any, exponents: Any, exponent_bits: int, *, montgomery: bool, vartime: bool
    ) -> Any:
        """out = bases^exponents mod n, in as many launches as the memory for the tables asks for."""
        n = len(out)
        if n == 0:
            return out
        window = powm_window(exponent_bits, vartime)
        block_bytes = (4 << window) * self.shape.part * self.shape.threads

        def work(part: slice) -> None:
            tables = self.device.empty((part.stop - part.start) * block_bytes // 8, np.uint64)
            try:
                chosen = slice(part.start * self.shape.rows, min(n, part.stop * self.shape.rows))
                of_bases, of_exponents = (
                    rows if len(rows) == 1 else rows[chosen] for rows in (bases, exponents)
                )
                args = [
                    out[chosen],
                    of_bases,
                    self._stride(of_bases, n),
                    of_exponents,
                    np.uint64(0 if len(exponents) == 1 else 2 * exponents.shape[1]),
                    np.uint32(2 * exponents.shape[1]),
                    np.uint32(exponent_bits),
                    np.uint32(window),
                    tables,
                    self.constants,
                    np.uint64(chosen.stop - chosen.start),
                    np.uint32(montgomery),
                ]
                self.launch("powm_vartime" if vartime else "powm", chosen.stop - chosen.start, args)
            finally:
                tables.fill(0)  # powers of what may be secret

        most = max(1, SCRATCH_BYTES // block_bytes)
        n_blocks = -(-n // self.shape.rows)
        try:
            in_blocks(self.device, n_blocks, block_bytes, work, what="the tables of powm", most=most)
        except BaseException:
            out.fill(0)  # powers of the blocks before
            raise
        return out

    def tables(self, bases: Any, window: int) -> Any:
        """The powers of each of the bases, all in Montgomery form: see kernels/bigint/tables.cuh."""
        n = len(bases)
        words = self.shape.threads_per_number * self.shape.part // 2
        table = self.device.empty((n, 1 << window, words), np.uint64)
        self.launch("build_tables", n, [table, bases, np.uint32(window), self.constants, np.uint64(n)])
        return table

    def table_powm(
        self, out: Any, table: Any, window: int, exponents: Any, *, montgomery: bool, vartime: bool
    ) -> Any:
        """out[i] = product over t of entry (t, digit t of exponents[i])."""
        n = len(out)
        args = [
            out,
            table,
            np.uint32(len(table)),
            np.uint32(window),
            exponents,
            np.uint32(2 * exponents.shape[1]),
            self.constants,
            np.uint64(n),
            np.uint32(montgomery),
        ]
        self.launch("table_powm_vartime" if vartime else "table_powm", n, args)
        return out

    def multi_powm(self, out: Any, table: Any, window: int, exponents: Any, exponent_bits: int) -> Any:
        """out[i] = product over t of base_t^exponents[i, t], in Montgomery form."""
        n = len(out)
        sizes = (np.uint32(len(table)), np.uint32(window))
        args = [out, table, *sizes, exponents, np.uint32(exponent_bits), self.constants, np.uint64(n)]
        self.launch("multi_powm", n, args)
        return out

    # ---- runs -----------------------------------------------------------------------------------------------

    def run_products(
        self, out: Any, rows: Any, index: Any, runs: Any, initial: Any = None, *, running: bool = False
    ) -> Any:
        """Products of runs `int64[n, 3]` of rows, see kernels/bigint/runs.cuh."""
        n = len(runs)
        args = [out, rows, index, runs, initial, self.constants, np.uint64(n), np.uint32(running)]
        self.launch("run_products", n, args)
        return out

    def inverse_runs(self, out: Any, rows: Any, before: Any, runs: Any, inverses: Any) -> Any:
        """The inverses of rows from their running products and the inverses of their runs."""
        n = len(runs)
        self.launch("inverse_runs", n, [out, rows, before, runs, inverses, self.constants, np.uint64(n)])
        return out


def powm_window(exponent_bits: int, vartime: bool) -> int:
    """Bits of a window of `powm`: least products, a scan of the table in memory costing 1/24 product an entry."""
    scan = 0.0 if vartime else 1 / 24

    def cost(window: int) -> float:
        entries = 1 << window
        return entries + -(-exponent_bits // window) * (1 + entries * scan)

    return min(range(1, 7), key=cost)


def scanned_window(limbs: int, exponent_bits: int, most: int, *, rows: int, builds: int) -> int:
    """Bits of a window of shared tables that are read whole: least products for `rows` powers and `builds` tables.

    What an entry's scan needs beside the multiply units is a thirtieth of a step, of which a product has 2 limbs; half
    of it counts, since the multiply units work meanwhile.
    """

    def cost(window: int) -> float:
        entries = 1 << window
        return builds * entries + rows * -(-exponent_bits // window) * (1 + entries / (16 * limbs))

    return min(range(1, min(most, 7) + 1), key=cost)


def kernels_of(device: Device, modulus: Modulus) -> Kernels:
    """The kernels of a modulus on a device; its constants stay there as long as the modulus lives, then are wiped."""
    found: Kernels | None = modulus._on_devices.get(device)
    if found is None:
        made = Kernels(device, modulus)
        found = modulus._on_devices.setdefault(device, made)
        if found is made:
            wiped_with(modulus, device, made.constants)
        else:
            wipe_last(device, made.constants)  # another thread was faster
    return found


def wiped_with(owner: object, device: Device, array: Any) -> None:
    """`wipe_last` when `owner` goes; at the end of the process, when devices may be gone, the driver clears."""
    weakref.finalize(owner, wipe_last, device, array).atexit = False


def wipe_last(device: Device, array: Any) -> None:
    """Zeros before the memory is given back. Waits: other streams may still read it, or be the next to get it."""
    with device.current():
        device.synchronize()
        array.fill(0)
        device.synchronize()

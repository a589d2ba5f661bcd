# SPDX-License-Identifier: Apache-2.0
"""What a job of VOLE-PSI takes of `memory`: the sums by which bins are refused, and by which `crypsis plan` predicts.

A party goes through three stages, and gives back between them what it took (`release`):

    read      base + batches of the input on their way + what `BinWriter` collects
    exchange  base + for each worker: its process, windows of its channel, VOLEs and steps, keys that wait for an
              answer, the bins in hand
    write     base + a bit a row + what is gathered for the output + the part of it that is being written

All are upper bounds for rows of up to about a hundred bytes; wider ones take more in reading and writing. Constants are
measured with glibc, CPython 3.11, NumPy 2 and PyArrow 26 on x86-64: the highest resident size (VmHWM, which counts
shared libraries in full) of parties with one thread.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from crypsis import partition
from crypsis.errors import ConfigError
from crypsis.mpc.jobs.relay import RELAY_BYTES
from crypsis.mpc.jobs.workdir import size_text
from crypsis.mpc.ot.silent_vole import ROUNDS_A_REFILL
from crypsis.mpc.psi.layout import MAX_ROWS, Layout
from crypsis.mpc.psi.vole.room import AHEAD, BLOCK_BYTES, WAITING_KEYS
from crypsis.mpc.transport.channel import DEFAULT_WINDOW_BYTES

_MIB: Final = 1 << 20

MIN_BYTES: Final = 512 * _MIB
"""Jobs of 4 M rows a party, aligned, in bins of 2^20, peak at 367 MiB semi-honest and 396 malicious with this much."""

BASE_BYTES: Final = 144 * _MIB
"""The program, its libraries and threads: 129 to 136 MiB in jobs of 1,000 rows, with all that such a job does."""

PROCESS_BYTES: Final = 112 * _MIB
"""A worker in a process of its own, which imports less."""

READ_BYTES: Final = 64 * _MIB
"""Batches of key columns and a block of digests: 40 MiB more than the writer's with 18-character ids in Parquet."""

WRITE_BYTES: Final = 208 * _MIB
"""What the exchange took and no `release` gives back (100 to 130 MiB in those jobs), a row group of 64 MiB, the batches
before it, and its columns as they are encoded."""

RECORD_BYTES: Final = 144
"""A record of a bin that is: read and grouped (40), waiting (24), encoded (24), matched and written (56)."""

_WINDOWS: Final = 3  # streams that fill their windows: tables or tags out, tags or tables in, VOLEs
_STEP_KEY_BYTES: Final = 288
"""A key in a step: values, decoding, hashes, tags of both, and the graph that is peeled."""

_KEY_BYTES: Final = 24
"""Of a bin: key, start and row."""


def session_bytes(layout: Layout, threads: int) -> int:
    """Of a worker's session besides its bins: steps are as wide as `threads`, at most an outer bin."""
    width = min(threads, layout.inner)
    columns, element = layout.table.columns, layout.field // 8
    bound = max(layout.receiver_bound, layout.sender_bound)
    voles = (AHEAD + 2) * columns * (element + BLOCK_BYTES)
    step = columns * element + bound * _STEP_KEY_BYTES
    outputs = 3 * (BLOCK_BYTES + element) << layout.parameters.log_outputs
    pool = ROUNDS_A_REFILL * layout.parameters.n_base(layout.security) * (BLOCK_BYTES + 1)
    each = _KEY_BYTES + (2 * BLOCK_BYTES if layout.security == "malicious" else layout.tag_bytes)
    in_all = max(layout.n_receiver, layout.n_sender)
    waiting = each * min(max(WAITING_KEYS, 2 * width * bound), in_all)
    windows = min(_WINDOWS * DEFAULT_WINDOW_BYTES, (layout.table_bytes + layout.tags_bytes) * layout.n_bins)
    return width * (voles + step) + outputs + pool + waiting + windows


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`memory` bytes, of which `gather` are for the payload of the output, for `workers` of `threads` threads each."""

    memory: int
    gather: int
    workers: int = 1
    threads: int = 1

    @property
    def writer_bytes(self) -> int:
        """What `BinWriter` may collect; more gains nothing."""
        return min(max(self.memory // 8, 16 * _MIB), 256 * _MIB)

    def worker_bytes(self, layout: Layout) -> int:
        """Of a worker, without its bins. A single one is a thread of the driver's."""
        own = session_bytes(layout, self.threads)
        if self.workers == 1:
            return own
        return own + PROCESS_BYTES + 4 * _WINDOWS * RELAY_BYTES

    def chunk_records(self, layout: Layout) -> int:
        """Records of a bin that a worker may take into memory at one time, at least 1."""
        left = self.memory - BASE_BYTES - self.workers * self.worker_bytes(layout)
        return max(left // (RECORD_BYTES * self.workers), 1)

    def read_bytes(self, n_rows: int) -> int:
        """What reading and spilling takes."""
        return BASE_BYTES + READ_BYTES + min(self.writer_bytes, 36 * n_rows)

    def exchange_bytes(self, layout: Layout, n_rows: int) -> int:
        """What the exchange takes at the party that has n_rows."""
        records = RECORD_BYTES * largest_bin(n_rows, layout.n_outer)
        return BASE_BYTES + self.workers * (self.worker_bytes(layout) + records)

    def write_bytes(self, n_rows: int) -> int:
        """What writing the output takes."""
        return BASE_BYTES + n_rows // 8 + self.gather + WRITE_BYTES

    def peak_bytes(self, layout: Layout, n_rows: int, *, writes: bool) -> int:
        """The most of all stages; `writes`: this party has an output."""
        stages = [self.read_bytes(n_rows), self.exchange_bytes(layout, n_rows)]
        return max(*stages, self.write_bytes(n_rows) if writes else 0)

    def check(self, layout: Layout, n_rows: int, *, writes: bool) -> None:
        """Raises ConfigError where n_rows, without many duplicates, take more than `memory`."""
        needed = self.exchange_bytes(layout, n_rows)
        if needed > self.memory:
            workers = f"{self.workers} workers" if self.workers > 1 else "one worker"
            threads = f"{self.threads} threads" if self.threads > 1 else "one thread"
            raise ConfigError(
                f"memory is {size_text(self.memory)}: {workers} of {threads} with bins of up to "
                f"{largest_bin(n_rows, layout.n_outer)} rows need {size_text(needed)}; raise `memory`, or give fewer "
                "`threads`, or agree on fewer `workers` or (for a new job) on a smaller `bin_rows`"
            )
        needed = max(self.read_bytes(n_rows), self.write_bytes(n_rows) if writes else 0)
        if needed > self.memory:
            raise ConfigError(
                f"memory is {size_text(self.memory)}: reading {n_rows} rows and writing the output needs "
                f"{size_text(needed)}; raise `memory`"
            )


def largest_bin(n_rows: int, n_outer: int) -> int:
    """Rows that no outer bin exceeds but with probability 2^-40, keys being distinct."""
    return partition.bin_bound(min(n_rows, MAX_ROWS), n_outer)


def release() -> None:
    """Gives back to the system what a stage has freed; allocators keep it otherwise, and the next stage comes on top.
    Where the C library is not glibc, what it keeps stays."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)

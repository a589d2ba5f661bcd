# SPDX-License-Identifier: Apache-2.0
"""Whole intersections, both parties on one device in one process, messages passed through memory; an item is a key of
each party. Digests (VOLE) or identifiers (ECDH) begin on the host and indices or rows end there, so what is timed has
base OTs and Python on the host in it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import TEST_BITS, Case, Work, random_bytes, same
from crypsis.cuda import Device
from crypsis.errors import DeviceMemoryError
from crypsis.mpc.transport import Channel, memory_pair

THREADS = 8


def _both(receiver: Callable[[Channel], Any], sender: Callable[[Channel], Any]) -> Any:
    """What the receiver learns."""

    def party(function: Callable[[Channel], Any], channel: Channel) -> Any:
        with channel:
            return function(channel)

    with ThreadPoolExecutor(2) as pool:
        first, second = memory_pair()
        parties = [pool.submit(party, receiver, first), pool.submit(party, sender, second)]
        for error in (future.exception() for future in parties):
            if isinstance(error, DeviceMemoryError):  # the other party's error is that this one ended
                raise error
        parties[1].result()
        return parties[0].result()


def _sorted(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Rows of 16 bytes in one order, whatever theirs is."""
    words = np.ascontiguousarray(rows).view(np.uint64)
    return words[np.lexsort(words.T)]


def _rounds(bits: int) -> AbstractContextManager[Any]:
    """Rounds of VOLE as small as they go where a CPU plays the device: 512 VOLEs, with no security."""
    from crypsis.mpc.ot.silent_vole import insecure_parameters
    from crypsis.mpc.psi.layout import Layout

    if bits != TEST_BITS:
        return nullcontext()
    return mock.patch.object(Layout, "parameters", property(lambda _: insecure_parameters(9, 7, 16)))


def _vole(device: Device, n: int, bits: int) -> Work:
    from crypsis.mpc.place import place_named
    from crypsis.mpc.psi.layout import Layout
    from crypsis.mpc.psi.vole import intersect_digests

    keys = random_bytes(32, 2 * n - n // 2, 16)
    receiver, sender = keys[:n], keys[n - n // 2 :]
    layout, place = Layout(n, n), place_named(device.name)

    def party(role: Any, digests: Any) -> Callable[[Channel], Any]:
        return lambda channel: intersect_digests(channel, role, digests, layout, threads=THREADS, place=place)

    def run() -> Any:
        with _rounds(bits):
            return _both(party("receiver", receiver), party("sender", sender))

    def check(matched: Any) -> int:
        return same("psi/vole", _sorted(receiver[matched]), _sorted(receiver[n - n // 2 :]))

    return Work(run, check)


def _ecdh(device: Device, n: int, bits: int) -> Work:
    import pyarrow as pa

    from crypsis.mpc.data import KeySpec
    from crypsis.mpc.psi import intersect

    tables = [pa.table({"id": np.arange(n) + first}) for first in (0, n - n // 2)]

    def party(role: str, table: Any) -> Callable[[Channel], Any]:
        keys = [KeySpec("id", "int")]
        return lambda channel: intersect(table, keys, channel, role=role, device=device.name, threads=THREADS)

    def check(result: Any) -> int:
        found = np.sort(result.table["id"].to_numpy())
        return same("psi/ecdh", found, np.arange(n - n // 2, n))

    return Work(lambda: _both(party("receiver", tables[0]), party("sender", tables[1])), check)


CASES = (
    Case("psi/vole", "keys of each", 128, 1 << 20, 3_000, limits.psi_vole(), _vole, 200),
    Case("psi/ecdh", "keys of each", 255, 1 << 20, 3_000, limits.psi_ecdh(), _ecdh, 20),
)

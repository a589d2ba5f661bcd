# SPDX-License-Identifier: Apache-2.0
"""How many inner bins a party works on at a time, and what of a GPU's memory that takes."""

from __future__ import annotations

from typing import Final

from crypsis import partition
from crypsis.errors import DeviceMemoryError
from crypsis.mpc.place import OnDevice, Place
from crypsis.mpc.psi.layout import Layout

BLOCK_BYTES = 16
AHEAD = 3
"""Steps that a thread may be ahead of the one that takes up its results."""

WAITING_KEYS = 1 << 20
"""Own keys that may wait for the peer's answer, with the bins that they are of: more than fill a stream's window."""

MAX_WIDTH = 256
"""Inner bins of a step; the greeting has two bytes for it."""

DEVICE_WIDTH: Final = 64
"""Inner bins of a step on a GPU, about three million keys: more fill it no better, and wait longer for the peer."""

HOST_SHARE: Final = 6
"""Inner bins of a step on a GPU for each thread: their messages, on the host, take no more than a thread's own bin does
there, and `memory` covers a thread each."""

_STEP_KEY_BYTES: Final = 352
"""A key in a step on a GPU: values, decoding, hashes, tags of both, and what encoding, sorting and matching take
meanwhile."""

_BIN_KEY_BYTES: Final = 128
"""A record of the bin that is being grouped, and of the one before it."""

_WAITING_TAG_BYTES: Final = 2 * BLOCK_BYTES

SLACK_BYTES: Final = 8 << 20
"""Programs' constants, small arrays, and what lies in pieces."""


def device_bytes(layout: Layout, width: int, n_keys: int) -> int:
    """Of a GPU's memory, for a session in steps of `width` inner bins with outer bins of up to n_keys keys here."""
    columns, element = layout.table.columns, layout.field // 8
    bound = max(layout.receiver_bound, layout.sender_bound)
    voles = (AHEAD + 2) * columns * (element + BLOCK_BYTES) + 2 * columns * element
    outputs = 2 * 3 * (BLOCK_BYTES + element) << layout.parameters.log_outputs
    waiting = _WAITING_TAG_BYTES * min(max(WAITING_KEYS, 2 * width * bound), n_keys)
    step = width * (voles + bound * _STEP_KEY_BYTES)
    return (step + outputs + waiting + n_keys * _BIN_KEY_BYTES) * 17 // 16 + SLACK_BYTES


def largest_bin(layout: Layout) -> int:
    """Keys that no outer bin of either party exceeds but with probability 2^-40."""
    return partition.bin_bound(max(layout.n_receiver, layout.n_sender), layout.n_outer)


def steps_at_a_time(place: Place, layout: Layout, threads: int) -> int:
    """Inner bins that this party works on together: on the host one a thread, on a GPU as many as its memory holds.

    Raises DeviceMemoryError where not even one fits.
    """
    if not isinstance(place, OnDevice):
        return min(threads, MAX_WIDTH)
    free, n_keys = place.free_bytes(), largest_bin(layout)
    width = max(min(layout.inner, DEVICE_WIDTH, HOST_SHARE * threads), 1)
    while width > 1 and device_bytes(layout, width, n_keys) > free:
        width = -(-width // 2)
    needed = device_bytes(layout, width, n_keys)
    if needed > free:
        raise DeviceMemoryError(
            f"{place.name} has {free:,} bytes free for a worker: VOLE-PSI with bins of up to {n_keys:,} keys needs "
            f"{needed:,}; give `--device cpu`, free memory on the GPU, or agree on fewer `workers` or (for a new "
            "job) on a smaller `bin_rows`"
        )
    return width

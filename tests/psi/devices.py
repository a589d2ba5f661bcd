# SPDX-License-Identifier: Apache-2.0
"""Parties on the shim device, and exchanges that are small enough for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from crypsis.cuda._registry import registered
from crypsis.errors import DeviceError
from crypsis.mpc.ot.silent_vole import insecure_parameters
from crypsis.mpc.place import place_named
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.vole import intersect_digests
from cuda_on_cpu.device import ShimDevice, ShimStream

from .pair import both

TINY = insecure_parameters(9, 7, 16)  # 512 VOLEs a round, of which 16 are kept


def small_voles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of VOLE as small as they go: what they compute is the same, what they protect is nothing."""
    monkeypatch.setattr(Layout, "parameters", property(lambda self: TINY))


@contextmanager
def shims(*names: str, **options: Any) -> Iterator[list[ShimDevice]]:
    """Shim devices of these names, registered meanwhile."""
    with ExitStack() as stack:
        yield [stack.enter_context(registered(ShimDevice(name=name, **options))) for name in names]


def keys_of(n_receiver: int, n_sender: int, n_common: int, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys of each party, in random order, n_common of them in both."""
    generator = np.random.default_rng(seed)
    every = generator.integers(0, 256, (n_receiver + n_sender - n_common, 16), np.uint8)
    receiver, sender = every[:n_receiver], every[n_receiver - n_common :]
    return generator.permutation(receiver), generator.permutation(sender)


def exchange(
    receiver: np.ndarray,
    sender: np.ndarray,
    layout: Layout,
    *,
    places: tuple[str, str] = ("cpu", "cpu"),
    threads: tuple[int, int] = (2, 2),
    broadcast: bool,
) -> tuple[Any, Any, list[dict[int, list[int]]]]:
    """(what the receiver learns, what the sender learns, the sizes of their messages by stream)."""
    kept: dict[str, Any] = {}

    def party(role: Any, keys: np.ndarray, place: str, n_threads: int) -> Any:
        def go(channel: Any) -> Any:
            kept[role] = channel
            there = place_named(place)
            return intersect_digests(
                channel, role, keys, layout, broadcast=broadcast, threads=n_threads, place=there
            )

        return go

    futures = both(
        party("receiver", receiver, places[0], threads[0]), party("sender", sender, places[1], threads[1])
    )
    own, theirs = (future.result() for future in futures)
    sizes = [
        {stream: [len(message) for message in messages] for stream, messages in kept[role].sent.items()}
        for role in ("receiver", "sender")
    ]
    return own, theirs, sizes


class CountingDevice(ShimDevice):
    """Remembers the most that its arrays took at one time."""

    peak = 0

    def _owned(self, array: np.ndarray) -> Any:
        made = super()._owned(array)
        self.peak = max(self.peak, self._used)
        return made


class _Stream(ShimStream):
    """Knows whether something was queued that nobody has waited for."""

    def __init__(self) -> None:
        object.__setattr__(self, "queued", False)

    def queue(self) -> None:
        object.__setattr__(self, "queued", True)

    def synchronize(self) -> None:
        object.__setattr__(self, "queued", False)


class StagedDevice(ShimDevice):
    """Refuses work outside a stage, which on a GPU would run on a stream that nobody waits for, and a stage that ends
    before its work does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._here = threading.local()
        self.stages = 0

    @property
    def stream(self) -> Any:
        return _Stream()

    @contextmanager
    def using(self, stream: Any) -> Iterator[None]:
        before, self._here.stream = getattr(self._here, "stream", None), stream
        self.stages += 1
        try:
            yield
        finally:
            self._here.stream = before
        if stream.queued:
            raise AssertionError("a stage ended before its work did")

    def _queue(self, what: str) -> None:
        stream = getattr(self._here, "stream", None)
        if stream is None:
            raise AssertionError(f"{what} outside a stage")
        stream.queue()

    def from_host(self, a: np.ndarray) -> Any:
        self._queue("a copy to the device")
        return super().from_host(a)

    def to_host(self, a: Any) -> np.ndarray:
        self._queue("a copy from the device")
        return super().to_host(a)

    def _launch(self, *args: Any) -> None:
        self._queue("a launch")
        super()._launch(*args)


class LostDevice(ShimDevice):
    """Falls off the bus at its `lasts`-th launch."""

    lasts: float = float("inf")

    def _launch(self, *args: Any) -> None:
        if len(self.launches) >= self.lasts:
            raise DeviceError(
                f"{self.name} (CPU shim): cudaErrorDeviceUnavailable: it has fallen off the bus"
            )
        super()._launch(*args)

# SPDX-License-Identifier: Apache-2.0
"""Two parties of an OT protocol in one process, and what travels between them within reach of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from crypsis.mpc.transport import Channel, ChannelOptions, memory_pair

WAIT_S = 300


class Tampering:
    """A channel whose messages a test may change on their way out: change(number, bytearray) -> what to send.

    None drops the message and ends the connection.
    """

    def __init__(self, channel: Channel, change: Callable[[int, bytearray], Any]) -> None:
        self._channel, self._change, self._number = channel, change, 0

    def send(self, stream: int, payload: Any) -> None:
        changed = self._change(self._number, bytearray(payload))
        self._number += 1
        if changed is None:
            self._channel.abort("the test pulls the plug")
            raise ConnectionAbortedError("pulled")
        self._channel.send(stream, changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def run(
    sender: Callable[[Any], Any], receiver: Callable[[Any], Any], **options: Any
) -> tuple[Any, Any, Any, Any]:
    """(what the sender returned or raised, the same of the receiver, both channels)."""
    channels = memory_pair("alice", "bob", options=ChannelOptions(patience_s=60, **options))
    results: list[Any] = [None, None]

    def party(i: int, function: Callable[[Any], Any]) -> None:
        try:
            with channels[i]:
                results[i] = function(channels[i])
        except BaseException as error:
            results[i] = error

    threads = [
        threading.Thread(target=party, args=(i, function), daemon=True)
        for i, function in enumerate((sender, receiver))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a party hangs"
    return results[0], results[1], *channels


def good(*results: Any) -> None:
    for result in results:
        if isinstance(result, BaseException):
            raise result


def unpack(packed: np.ndarray, n: int) -> np.ndarray:
    return np.unpackbits(packed, count=n, bitorder="little")


def pack(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits, bitorder="little")


def random_bits(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, n, dtype=np.uint8)

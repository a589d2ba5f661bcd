# SPDX-License-Identifier: Apache-2.0
"""Two parties of a silent protocol in one process; the correlations below them from a dealer, or from SoftSpokenOT."""

from __future__ import annotations

from threading import Thread

import numpy as np

from crypsis.mpc.ot.correlation import CotReceiver, CotSender, check_items
from crypsis.mpc.transport import memory_pair

DELTA = np.frombuffer(bytes(range(0x31, 0x41)), np.uint8).copy()  # odd
PIECE = 1000


class DealtSender(CotSender):
    """Correlations that both sides derive from one seed: for tests of what lies above."""

    def __init__(self, security="malicious", delta=DELTA, seed=5):
        self.security, self.session, self.delta = security, b"s" * 32, delta.copy()
        self._rng = np.random.default_rng(seed)
        self.n_dealt = 0

    def _deal(self, n):
        self.n_dealt += n
        return self._rng.integers(0, 256, (n, 16), np.uint8), self._rng.integers(0, 2, n, np.uint8)

    def blocks(self, n_items, *, chosen=False):
        n_items = check_items(n_items)
        for begin in range(0, n_items, PIECE):
            yield self._deal(min(PIECE, n_items - begin))[0]

    def _wipe(self):
        self.delta.fill(0)


class DealtReceiver(DealtSender, CotReceiver):
    def blocks(self, n_items, choices=None):
        for begin in range(0, n_items, PIECE):
            q, bits = self._deal(min(PIECE, n_items - begin))
            yield np.packbits(bits, bitorder="little"), q ^ (0 - bits)[:, None] & self.delta


def run_both(sender, receiver, channels=None):
    """[what the sender returned or raised, the receiver's, the channels]; each gets its channel."""
    channels = memory_pair("sender", "receiver") if channels is None else channels
    results = [None, None]

    def run(i, party):
        try:
            results[i] = party(channels[i])
        except BaseException as error:
            results[i] = error
            channels[i].abort(type(error).__name__)

    threads = [Thread(target=run, args=(i, party)) for i, party in enumerate((sender, receiver))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    return [*results, channels]


def results_of(outcome):
    for result in outcome[:2]:
        if isinstance(result, BaseException):
            raise result
    return outcome[:2]


class Tampering:
    """A channel that changes what its party sends: `change(number of the message, bytes) -> bytes or None`."""

    def __init__(self, channel, change):
        self._channel, self._change, self._n = channel, change, 0

    def __getattr__(self, name):
        return getattr(self._channel, name)

    def send(self, stream, payload):
        number, self._n = self._n, self._n + 1
        changed = self._change(number, bytes(payload))
        if changed is not None:
            self._channel.send(stream, changed)


def flip(message, at):
    changed = bytearray(message)
    changed[at] ^= 1
    return bytes(changed)

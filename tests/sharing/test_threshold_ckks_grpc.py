# SPDX-License-Identifier: Apache-2.0
"""Threshold CKKS over gRPC with mutual TLS, the preset's parameters."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from crypsis.ckks import JOINT, threshold
from crypsis.mpc.sharing import threshold_ckks, threshold_frames
from crypsis.mpc.transport import connect, listen
from crypsis.mpc.transport.certs import make_development_certificates
from threshold_cases import agreement

N_VALUES = 20_000


def test_key_and_sum(tmp_path: Path) -> None:
    deal = agreement(2, literal=JOINT)
    certificates = make_development_certificates(tmp_path, ["server", *deal.parties])
    listeners = {
        name: listen("127.0.0.1:0", party="server", peer=name, tls=certificates["server"])
        for name in deal.parties
    }
    results: dict[str, Any] = {}

    def party(name: str, value: float) -> None:
        address = f"127.0.0.1:{listeners[name].port}"
        with connect(address, party=name, peer="server", tls=certificates[name]) as channel:
            share = threshold_ckks.join_key(channel, deal, name)
            results[name] = threshold_ckks.contribute(channel, share, np.full(N_VALUES, value), run=1)

    threads = [threading.Thread(target=party, args=(n, i + 0.5)) for i, n in enumerate(deal.parties)]
    for thread in threads:
        thread.start()
    channels = {name: listener.accept() for name, listener in listeners.items()}
    joint = threshold_ckks.make_key(channels, deal)
    total = threshold_ckks.aggregate(channels, joint, N_VALUES, run=1)
    key, run = threshold_frames.key_traffic(deal), threshold_frames.sum_traffic(deal, N_VALUES)
    for channel in channels.values():
        stats = channel.stats
        sealed = threshold.sealed_bytes(deal) if channel is channels[deal.parties[0]] else 0
        assert stats.payload_bytes_received == key.bytes_sent + sealed + run.bytes_sent
        assert stats.payload_bytes_sent == key.bytes_received + run.bytes_received
        channel.close()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    assert np.abs(total - 2.0).max() < deal.error
    for name in deal.parties:
        assert np.array_equal(results[name], total)

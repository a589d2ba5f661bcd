# SPDX-License-Identifier: Apache-2.0
"""Masked sums of 100 clients with drop-outs: all 100 in this process, and the parts of one client and of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Compare
from crypsis.mpc.learning.horizontal.masks import MaskClient, MaskServer, Plan

Size = Callable[[int, int], int]
N_CLIENTS = 100


def masked_sum(plan: Plan, values: Any) -> MaskServer:
    """10 % drop out: half of them before their masked input, half after it."""
    clients = {name: MaskClient(plan, name) for name in plan.clients}
    server = MaskServer(plan)
    gone = dict.fromkeys(plan.clients[::20], 2) | dict.fromkeys(plan.clients[7::20], 3)
    outbox: dict[str, bytes] = dict.fromkeys(plan.clients, b"")
    for count in range(4):
        for name, asked in outbox.items():
            if count < gone.get(name, 4):
                client = clients[name]
                vector = plan.encode(values) if client.needs_input else None
                server.receive(name, client.answer(asked, vector) if asked else client.advertise())
        outbox = server.advance()
    return server


@pytest.mark.parametrize("ring_bits", [32, 64])
def test_masked_sum(compare: Compare, size: Size, ring_bits: int) -> None:
    n_values = size(20_000, 1_000_000)
    plan = Plan(
        clients=tuple(f"c{i}" for i in range(N_CLIENTS)),
        n_values=n_values,
        session=b"of the benchmark",
        magnitude=4.0,
        ring_bits=ring_bits,
    )
    values = np.random.default_rng(1).uniform(-4, 4, n_values)

    def check(server: MaskServer, _: Any) -> None:
        assert len(server.survivors) == 95
        want = (plan.encode(values) * np.array(95, plan.dtype)).astype(plan.dtype)
        assert (server.words() == want).all()

    compare(
        f"horizontal/masks/100 clients, 10 % drop out/Z_2^{ring_bits}",
        lambda: masked_sum(plan, values),
        items=N_CLIENTS * n_values,
        unit="parameters of clients",
        check=check,
        rounds=3,
        extra={"n_values": n_values, "bytes_masked_a_client": plan.n_words * ring_bits // 8},
    )

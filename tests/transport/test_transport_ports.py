# SPDX-License-Identifier: Apache-2.0
"""Ports that nobody gets by accident."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from crypsis.mpc.transport import ports


def test_a_free_port_can_be_bound_and_is_not_ephemeral() -> None:
    first_ephemeral = ports._first_ephemeral()
    for _ in range(20):
        port = ports.free_port()
        assert ports.FIRST_PORT <= port < first_ephemeral
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.free_port()))
        taken_port = taken.getsockname()[1]
        draws = iter([taken_port - ports.FIRST_PORT] * 2 + list(range(50)))
        monkeypatch.setattr(ports.secrets, "randbelow", lambda end: next(draws))
        assert ports.FIRST_PORT <= ports.free_port() < ports.FIRST_PORT + 50


@pytest.mark.parametrize("text", [None, "", "many\n", "1024 65535\n"])
def test_unusual_systems(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "range"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(ports, "_EPHEMERAL_RANGE", path)
    assert 1024 <= ports.free_port() <= 65535

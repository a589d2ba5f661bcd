# SPDX-License-Identifier: Apache-2.0
"""Channels of both kinds, and threads whose exceptions are not lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from crypsis.mpc.transport import Channel, ChannelOptions, TlsFiles, connect, listen, memory_pair
from crypsis.mpc.transport.certs import make_development_certificates

from .proxy import DroppingProxy

PairFactory = Callable[..., tuple[Channel, Channel]]


def spawn(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Run in a daemon thread, so that a hang is a failed test and not a hanging run."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def close_both(*channels: Channel) -> None:
    for future in [spawn(channel.close) for channel in channels]:
        future.result(60)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    """Of alice, bob and mallory, from one authority."""
    return make_development_certificates(Path(tmp_path_factory.mktemp("certs")), ["alice", "bob", "mallory"])


@pytest.fixture
def grpc_pair(certificates: dict[str, TlsFiles]) -> Iterator[PairFactory]:
    """alice listens, bob dials, over mutual TLS; `through` maps alice's port to the one that bob dials."""
    made: list[Channel] = []

    def make(
        options: ChannelOptions | None = None, through: Callable[[int], int] = lambda port: port
    ) -> tuple[Channel, Channel]:
        listener = listen(
            "127.0.0.1:0", party="alice", peer="bob", tls=certificates["alice"], options=options
        )
        accepted = spawn(listener.accept)
        port = through(listener.port)
        bob = connect(
            f"127.0.0.1:{port}", party="bob", peer="alice", tls=certificates["bob"], options=options
        )
        alice = accepted.result(60)
        made.extend((alice, bob))
        return alice, bob

    yield make
    for future in [spawn(channel.abort, "the test is over") for channel in made]:
        future.result(60)


@pytest.fixture
def proxies() -> Iterator[list[DroppingProxy]]:
    made: list[DroppingProxy] = []
    yield made
    for proxy in made:
        proxy.close()


@pytest.fixture
def pair_of(request: pytest.FixtureRequest) -> PairFactory:
    """A factory of connected channels; parametrise indirectly with "memory" or "grpc"."""
    if request.param == "memory":
        return lambda options=None: memory_pair(options=options)
    factory: PairFactory = request.getfixturevalue("grpc_pair")
    return factory

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crypsis.mpc.cli import main

from .parties import Finished, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Ids 0..299 at the bank, 200..599 at the telco: 100 in common."""
    made = Scene(tmp_path)
    made.table("bank", 0, 300)
    made.table("telco", 200, 400)
    made.config("bank")
    made.config("telco")
    return made


@pytest.fixture
def crypsis(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Finished]]:
    """The command in this process: for what ends before a peer is needed."""
    handler, handlers = signal.getsignal(signal.SIGTERM), logging.getLogger().handlers[:]

    def run(*arguments: str) -> Finished:
        with pytest.raises(SystemExit) as exit:
            main(list(arguments))
        told = capsys.readouterr()
        return Finished(int(exit.value.code or 0), told.out, told.err)

    yield run
    signal.signal(signal.SIGTERM, handler)
    logging.getLogger().handlers[:] = handlers

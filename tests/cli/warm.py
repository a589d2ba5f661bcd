# SPDX-License-Identifier: Apache-2.0
"""`crypsis` commands as processes that are forked from one that has imported everything and compiled numba's loops.

A party started from nothing spends most of its time on that, and on a new key; tests that start dozens of parties have
neither. They are processes all the same: kill -9 ends one as it ends any.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048

from crypsis.mpc.cli import main
from crypsis.mpc.learning import CipherOptions, Frame, Session
from crypsis.mpc.learning.boosting import GradientBoostingClassifier
from crypsis.mpc.learning.preprocess import WoeEncoder
from crypsis.mpc.transport import memory_pair

from .parties import Finished

_context = multiprocessing.get_context("forkserver")


def _fixed_key(options: CipherOptions) -> Any:
    if (options.scheme, options.key_bits) != ("okamoto-uchiyama", 2048):
        raise ValueError("the fixed key of the tests is Okamoto-Uchiyama's with 2048 bits")
    return okamoto_uchiyama_2048()


def _train(role: Any, channel: Any, frame: Frame) -> None:
    session = Session(role, channel, cipher=CipherOptions(key_bits=2048), threads=1)
    WoeEncoder(n_fine=4).fit(frame, session=session)
    GradientBoostingClassifier(role, n_estimators=2, max_depth=2).fit(frame, session=session)
    channel.close()


def prepare() -> None:
    """Compiles what a training needs; once, in the process that is forked."""
    CipherOptions.generate = _fixed_key  # type: ignore[method-assign]
    values = np.random.default_rng(1).normal(size=(40, 4))
    labels = (values[:, 0] + values[:, 2] > 0).astype(np.float64)
    pair = memory_pair("bank", "telco")
    frames = Frame.from_numpy(values[:, :2], labels), Frame.from_numpy(values[:, 2:])
    threads = [
        threading.Thread(target=_train, args=args)
        for args in zip(("guest", "host"), pair, frames, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@functools.cache
def _start_server() -> None:
    """The process to fork from. What it imports it looks for where this one does, and says nothing if it finds nothing:
    Python hands it no path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        _context.set_forkserver_preload([f"{__package__}.warm_server"])
        forkserver.ensure_running()


class Warm:
    """A command running in a forked process, in the manner of `subprocess.Popen`."""

    def __init__(self, arguments: list[str], told: Path) -> None:
        _start_server()
        self._told = told
        self._process = _context.Process(target=_run, args=(arguments, str(told)), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def finished(self, wait_s: float) -> Finished:
        """Waits; kills it when that takes too long."""
        deadline = time.monotonic() + wait_s
        self._process.join(max(0.0, deadline - time.monotonic()))
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        texts = [Path(f"{self._told}.{name}").read_text() if Path(f"{self._told}.{name}").exists() else ""
                 for name in ("out", "err")]  # fmt: skip
        return Finished(int(self._process.exitcode or 0), *texts)


def _run(arguments: list[str], told: str) -> None:
    if CipherOptions.generate is not _fixed_key:
        raise RuntimeError("the process that this one is forked from is not prepared")
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{told}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
    os.environ["MPLBACKEND"] = "agg"
    main(arguments)

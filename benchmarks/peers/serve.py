# SPDX-License-Identifier: Apache-2.0
"""What every peer that times itself shares: answers operations, a line each, over standard input and output.

Runs in the peer's own virtual environment, so it imports the standard library only. The other end is
`crypsis.mpc.bench.peer_process`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

# Peers log to standard output, some from their import on: import this module first.
OUTPUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

MIN_SECONDS = 0.05
PEERS = ("tenseal", "openfhe", "sf-heu", "spu")


def versions() -> dict[str, str]:
    """Of the peers' packages that are installed here."""
    found = {}
    for name in PEERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def serve(operations: dict[str, Callable[[], float]]) -> None:
    """Says which versions it has; then reads names of operations, answers {"per_second": rate} or {"error": text}.

    Until the input ends.
    """
    print(json.dumps({"ready": True, "versions": versions()}), file=OUTPUT, flush=True)
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"per_second": operations[line.strip()]()}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), file=OUTPUT, flush=True)


def one_core() -> None:
    """Keeps this process on one of the CPUs it may use."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def rate(call: Callable[[], Any], check: Callable[[Any], bool]) -> float:
    """Calls a second, by as many calls as take MIN_SECONDS; ValueError where the result is wrong. Where there are
    several, the first warms the caches and is not counted: so it is with ours."""
    calls, start = 1, time.perf_counter()
    found = call()
    seconds = time.perf_counter() - start
    if seconds < MIN_SECONDS:
        calls, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < MIN_SECONDS:
            found = call()
            calls += 1
    if not check(found):
        raise ValueError("wrong answer")
    return calls / seconds

# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the benchmarks: `compare` measures against peers in one run, `size` picks the scale."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from benchmarks import rows
from benchmarks.rows import Limit, Measurement, Rate, Timing

SCALE = os.environ.get("CRYPSIS_BENCH_SCALE", "quick")
ROUND_SECONDS = 0.02  # a round shorter than this is repeated inside: the clock and the loop would show
# Full rounds are many, quick ones are enough to see a factor.
ROUNDS, BUDGET_SECONDS = {"quick": (7, 2.0), "full": (15, 60.0)}.get(SCALE, (0, 0.0))

_measured: list[Measurement] = []


class Compare(Protocol):
    """The type of the `compare` fixture."""

    def __call__(
        self,
        name: str,
        ours: Callable[[], Any],
        *,
        items: int,
        check: Callable[[Any, dict[str, Any]], None],
        peers: Mapping[str, Callable[[], Any]] | None = None,
        unit: str = "items",
        limit: Limit | None = None,
        rounds: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Measurement | None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rows-out",
        type=Path,
        default=None,
        help="file the JSON rows are appended to (default: benchmarks/results/<date>-<commit>.jsonl)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if SCALE not in ("quick", "full"):
        raise pytest.UsageError(f"CRYPSIS_BENCH_SCALE is {SCALE!r}: use quick or full")
    # A wrong answer ends `compare` before it times anything: that failure says all, this one would follow it.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Benchmark fixture was not used:pytest_benchmark.logger.PytestBenchmarkWarning",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not _measured:
        return
    terminalreporter.section("measurements (median, spread between quartiles, times faster than each peer)")
    for measurement in _measured:
        terminalreporter.write_line(measurement.as_text())
    terminalreporter.write_line(f"rows: {config.stash[_path_key]}")


_path_key = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> dict[str, Any]:
    """Commit, CPU and versions, read once; also settles the file that the rows go to."""
    pytestconfig.stash[_path_key] = pytestconfig.getoption("--rows-out") or rows.default_path()
    return rows.environment()


@pytest.fixture(scope="module")
def one_core() -> Iterator[None]:
    """This process and its children on one core; one thread. `pytestmark = pytest.mark.usefixtures("one_core")`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    threads = os.environ.get("CRYPSIS_NUM_THREADS")
    os.environ["CRYPSIS_NUM_THREADS"] = "1"
    yield
    os.sched_setaffinity(0, before)
    os.environ.pop("CRYPSIS_NUM_THREADS")
    if threads is not None:
        os.environ["CRYPSIS_NUM_THREADS"] = threads


@pytest.fixture
def size() -> Callable[[int, int], int]:
    """`size(quick, full)`: the number of items for the scale that CRYPSIS_BENCH_SCALE asks for."""
    return lambda quick, full: full if SCALE == "full" else quick


@pytest.fixture
def compare(benchmark: Any, environment: dict[str, Any], pytestconfig: pytest.Config) -> Compare:
    """Check the answers, then time `ours` and every peer alternately and write the JSON row.

    `ours` and the `peers` take nothing and return their result; inputs are made before.
    `check(result, {peer: result})` raises when an answer is wrong. `items` is what one call handles. A peer
    that times itself returns a `Rate`; its `versions`, where it has such, go into the row with ours. With
    --benchmark-disable the answers are checked and nothing is timed (returns None).
    """

    def run(
        name: str,
        ours: Callable[[], Any],
        *,
        items: int,
        check: Callable[[Any, dict[str, Any]], None],
        peers: Mapping[str, Callable[[], Any]] | None = None,
        unit: str = "items",
        limit: Limit | None = None,
        rounds: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Measurement | None:
        peers = dict(peers or {})
        start = time.perf_counter()
        result = ours()
        first_seconds = time.perf_counter() - start
        start = time.perf_counter()
        check(result, {peer: call() for peer, call in peers.items()})
        all_seconds = first_seconds + time.perf_counter() - start
        del result
        if benchmark.disabled:
            benchmark(lambda: None)
            return None

        start = time.perf_counter()
        ours()  # warm now: pages touched, tables built
        warm_seconds = time.perf_counter() - start
        inner = max(1, round(ROUND_SECONDS / max(warm_seconds, 1e-7)))
        if rounds is None:
            round_seconds = all_seconds - first_seconds + inner * warm_seconds
            rounds = max(3, min(ROUNDS, int(BUDGET_SECONDS / max(round_seconds, 1e-9))))
        peer_inner = dict.fromkeys(peers, 1)
        peer_seconds: dict[str, list[float]] = {peer: [] for peer in peers}

        def peers_first() -> None:
            for peer, call in peers.items():
                seconds = _seconds_per_call(call, peer_inner[peer], items)
                if seconds < ROUND_SECONDS and peer_inner[peer] == 1:  # first round shows how short it is
                    peer_inner[peer] = max(1, round(ROUND_SECONDS / max(seconds, 1e-7)))
                    seconds = _seconds_per_call(call, peer_inner[peer], items)
                peer_seconds[peer].append(seconds)

        def repeated() -> None:
            for _ in range(inner):
                ours()

        # pedantic() calls setup before every round, outside the clock: so peers and ours alternate.
        benchmark.pedantic(repeated, setup=peers_first, rounds=rounds, iterations=1)
        ours_seconds = [seconds / inner for seconds in benchmark.stats.stats.data]
        measurement = Measurement(
            name,
            items,
            unit,
            Timing(ours_seconds),
            {peer: Timing(seconds) for peer, seconds in peer_seconds.items()},
            limit,
            dict(extra or {}) | {"scale": SCALE},  # after `check`, which may add what it saw
        )
        _measured.append(measurement)
        versions = dict(environment["versions"])
        for call in peers.values():
            versions |= getattr(call, "versions", {})
        row = measurement.as_row() | environment | {"versions": versions}
        rows.append(pytestconfig.stash[_path_key], row)
        return measurement

    return run


def _seconds_per_call(call: Callable[[], Any], inner: int, items: int) -> float:
    start = time.perf_counter()
    for _ in range(inner):
        result = call()
    seconds = (time.perf_counter() - start) / inner
    return items / result.per_second if isinstance(result, Rate) else seconds

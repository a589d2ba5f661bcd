# SPDX-License-Identifier: Apache-2.0
"""All cases of the suites, one after the other, in several passes. An interrupted run keeps the passes it has."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crypsis.errors import CrypsisError
from crypsis.mpc.bench import rows
from crypsis.mpc.bench.earlier import Earlier
from crypsis.mpc.bench.limits import Machine
from crypsis.mpc.bench.measure import EFFORT, joined, measure
from crypsis.mpc.bench.peers import Peers
from crypsis.mpc.bench.rows import Measurement
from crypsis.mpc.bench.suite import Case, Setting, Suite, WrongAnswer
from crypsis.mpc.bench.suites import load

Say = Callable[[str, int, int], None]
Row = dict[str, Any]


@dataclass
class Outcome:
    """Rows as they were written, cases that could not be measured, and peers that were left out, with the reason."""

    rows: list[Row] = field(default_factory=list)
    not_measured: dict[str, str] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def one_core() -> Iterator[None]:
    """This process, and those that it starts, on one of the CPUs it may use, with one thread."""
    before = os.sched_getaffinity(0)
    threads = os.environ.get("CRYPSIS_NUM_THREADS")
    os.sched_setaffinity(0, {max(before)})
    os.environ["CRYPSIS_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        os.environ.pop("CRYPSIS_NUM_THREADS")
        if threads is not None:
            os.environ["CRYPSIS_NUM_THREADS"] = threads


@dataclass
class _Going:
    """A case of the run, and its passes so far."""

    suite: Suite
    case: Case
    passes: list[Measurement] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def run(
    names: Sequence[str],
    *,
    scale: str,
    peers: Peers,
    out: Path | None = None,
    keep: Callable[[Row], None] | None = None,
    say: Say | None = None,
    outcome: Outcome | None = None,
    earlier: Earlier | None = None,
) -> Outcome:
    """Measures the suites, all of them in each of several passes. out: a file that each row is appended to once its
    last pass is over; keep: told each row. say: told the case, rounds done and rounds in all. outcome: filled as rows
    come, for a caller who is interrupted: cases that had a pass by then have their rows too. earlier: runs that spreads
    reach to, and where this one is remembered."""
    outcome = Outcome() if outcome is None else outcome
    suites = [load(name) for name in names]
    environment = rows.environment()
    machine = Machine(brief=scale == "tiny")
    effort = EFFORT[scale]
    going = [_Going(suite, case) for suite in suites for case in suite.cases if scale in case.scales]

    def end(one: _Going) -> None:
        measured = joined(one.passes)
        one.passes.clear()
        outcome.peers |= measured.skipped
        extra = measured.extra | {"scale": scale, "limits": machine.known()}
        versions = environment["versions"] | one.versions
        row = measured.as_row() | {"extra": extra} | environment | {"versions": versions}
        if earlier is not None:
            row = earlier.widened(row)
        if out is not None:
            rows.append(out, row)
        outcome.rows.append(row)
        if keep is not None:
            keep(row)

    try:
        with peers, one_core():
            for number in range(1, effort.passes + 1):
                settings = {suite.name: Setting(scale, machine) for suite in suites}
                for one in list(going):
                    setting = settings[one.suite.name]
                    if not _pass(one, setting, f"pass {number} of {effort.passes}", peers, say, outcome):
                        going.remove(one)
                    elif number == effort.passes:
                        end(one)
                del settings, setting
                _give_memory_back()
    except BaseException:
        for one in going:
            if one.passes:
                with contextlib.suppress(OSError, CrypsisError):  # what stopped the run may stop its rows too
                    end(one)
        raise
    return outcome


def _give_memory_back() -> None:
    """To the system, so that the next pass gets other pages: which ones share a cache's sets decides over many per cent
    of what is bound by memory. Nothing where the C library has no such call."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _pass(one: _Going, setting: Setting, title: str, peers: Peers, say: Say | None, outcome: Outcome) -> bool:
    """Another pass of the case; False where it cannot be measured, which the outcome then says."""
    name = one.case.name
    told = None if say is None else lambda done, total: say(f"{title}: {name}", done, total)
    if told is not None:
        told(0, 0)
    try:
        work = one.case.make(setting)
        try:
            measured, versions = measure(
                one.suite.name, one.case, work, peers, EFFORT[setting.scale], say=told
            )
        finally:
            work.close()
    except WrongAnswer as error:
        outcome.wrong.append(str(error))
        outcome.not_measured[name] = str(error)
        return False
    except CrypsisError as error:
        outcome.not_measured[name] = str(error)
        return False
    finally:
        if told is not None:
            told(1, 1)
    one.passes.append(measured)
    one.versions |= versions
    return True

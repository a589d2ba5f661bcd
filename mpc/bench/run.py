# SPDX-License-Identifier: Apache-2.0
"""Suites one after the other. Each row is kept the moment it is measured: what is interrupted has lost one case."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crypsis.errors import CrypsisError
from crypsis.mpc.bench import rows
from crypsis.mpc.bench.limits import Machine
from crypsis.mpc.bench.measure import EFFORT, measure
from crypsis.mpc.bench.peers import Peers
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


def run(
    names: Sequence[str],
    *,
    scale: str,
    peers: Peers,
    out: Path | None = None,
    keep: Callable[[Row], None] | None = None,
    say: Say | None = None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Measures the suites. out: a file that each row is appended to at once; keep: told each row. say: told the case,
    rounds done and rounds in all. outcome: filled as rows come, for a caller who is interrupted."""
    outcome = Outcome() if outcome is None else outcome
    suites = [load(name) for name in names]
    environment = rows.environment()
    machine = Machine(brief=scale == "tiny")
    with peers, one_core():
        for suite in suites:
            setting = Setting(scale, machine)
            for case in suite.cases:
                if scale not in case.scales:
                    continue
                row = _one(suite, case, setting, peers, environment, say, outcome)
                if row is None:
                    continue
                if out is not None:
                    rows.append(out, row)
                outcome.rows.append(row)
                if keep is not None:
                    keep(row)
            peers.rest()
    return outcome


def _one(
    suite: Suite,
    case: Case,
    setting: Setting,
    peers: Peers,
    environment: Row,
    say: Say | None,
    outcome: Outcome,
) -> Row | None:
    """The row of a case; None where it could not be measured, which the outcome then says."""
    told = None if say is None else lambda done, total: say(case.name, done, total)
    if told is not None:
        told(0, 0)
    try:
        work = case.make(setting)
        try:
            measurement, versions = measure(suite.name, case, work, peers, EFFORT[setting.scale], say=told)
        finally:
            work.close()
    except WrongAnswer as error:
        outcome.wrong.append(str(error))
        outcome.not_measured[case.name] = str(error)
        return None
    except CrypsisError as error:
        outcome.not_measured[case.name] = str(error)
        return None
    finally:
        if told is not None:
            told(1, 1)
    outcome.peers |= measurement.skipped
    extra = measurement.extra | {"scale": setting.scale, "limits": setting.machine.known()}
    versions = environment["versions"] | versions
    return measurement.as_row() | {"extra": extra} | environment | {"versions": versions}

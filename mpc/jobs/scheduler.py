# SPDX-License-Identifier: Apache-2.0
"""`run_bins`: all bins of a job over pairs of workers, one of each pair at either party.

Both parties call it. The one that leads gives out bins and decides when one is complete: when both workers of
a pair have done it. A pair that loses a worker is ended at both parties, and its unfinished bins go to another
pair, or to a fresh one with a session number of its own. control.py has the messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from crypsis.errors import ConfigError
from crypsis.mpc.jobs.drivers import MAX_WORKERS, Follower, Leader, OnComplete, OnDone, Progress
from crypsis.mpc.jobs.executors import Executor, InlineExecutor, ProcessExecutor
from crypsis.mpc.jobs.task import Work, name_of
from crypsis.mpc.transport import Hub


def run_bins(
    hub: Hub,
    todo: Iterable[int],
    *,
    work: Work,
    spec: dict[str, Any],
    leads: bool,
    executor: Executor | None = None,
    on_done: OnDone | None = None,
    on_complete: OnComplete | None = None,
    n_workers: int = 1,
    ahead: int = 2,
    progress: Progress | None = None,
    by_worker: Sequence[dict[str, Any]] = (),
) -> None:
    """Run the bins `todo` (distinct numbers, the same at both parties; the leader's order counts).

    hub          to the peer; session 0 is the drivers', and `control.CONTROL_STREAM` of it ours meanwhile
    work, spec   this party's worker function (see `Work`) and what it is given, JSON-able
    leads        True at exactly one party
    executor     where workers run; by default in this process for one worker, in processes for more
    on_done      called with (bin, result) when this party's worker has done a bin. A bin whose pair is lost
                 afterwards comes again, and then so does this call: the latest result counts
    on_complete  called with (bin) when both parties have done it, once for each bin, after the on_done that
                 counts. A job that ends early may have told one party and not yet the other one
    n_workers    pairs at work at most; the smaller number of the two parties holds. A pair that has no more
                 bins may still be ending beside them
    ahead        bins that a pair has at one time: the one it works on, and those that it may begin early. The
                 leader's number holds
    by_worker    what a worker gets beside `spec`: those at work at one time have different ones, in turn, as long as
                 there are enough
    progress     called with ("bins", bins complete, bins in all)

    Callbacks run in the calling thread. Returns when all bins are complete at both parties. On any exception
    all workers have ended, and so have all sessions of the hub: a failed job starts anew with a new hub.

    Raises ConfigError (arguments; the parties disagree), WorkerLost when a bin lost its workers MAX_FAILURES
    times, ProtocolAbort and ChannelError as a channel does, and what a worker function raised if doing it
    again cannot help (ConfigError, DataError, BackendUnavailable, ProtocolAbort).
    """
    bins = list(todo)
    for given in (spec, *by_worker):
        _check(bins, given, n_workers, ahead)
    own_executor = executor is None
    if executor is None:
        executor = InlineExecutor() if n_workers == 1 else ProcessExecutor()
    kind = Leader if leads else Follower
    driver = kind(
        hub,
        bins,
        work=name_of(work),
        spec=spec,
        executor=executor,
        on_done=on_done or _ignore_result,
        on_complete=on_complete or _ignore,
        progress=progress or _ignore_progress,
        ahead=ahead,
        by_worker=by_worker,
    )
    try:
        driver.run(n_workers, leads)
    except BaseException as error:
        driver.stop(error)
        raise
    finally:
        if own_executor:
            executor.close()


def _check(bins: list[int], spec: dict[str, Any], n_workers: int, ahead: int) -> None:
    if any(type(number) is not int or not 0 <= number <= 1 << 53 for number in bins):
        raise ConfigError("todo holds what is no bin number; bins are integers from 0")
    if len(set(bins)) != len(bins):
        raise ConfigError("todo names a bin twice; give each bin once")
    if type(n_workers) is not int or not 1 <= n_workers <= MAX_WORKERS:
        raise ConfigError(f"n_workers is {n_workers!r}: use a whole number from 1 to {MAX_WORKERS}")
    if type(ahead) is not int or not 1 <= ahead <= 64:
        raise ConfigError(f"ahead is {ahead!r}: use a whole number from 1 to 64")
    try:
        if json.loads(json.dumps(spec)) != spec:
            raise TypeError("it does not come back the same")
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"spec cannot go to a worker as JSON: {error}; use dicts with text keys, lists, numbers, text"
        ) from None


def _ignore_result(number: int, result: dict[str, Any]) -> None:
    return


def _ignore(number: int) -> None:
    return


def _ignore_progress(phase: str, done: int, total: int) -> None:
    return

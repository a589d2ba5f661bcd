# SPDX-License-Identifier: Apache-2.0
"""One pass of one case: answers are checked, then every round times each peer and ours, one after the other, so that a
neighbour on the machine disturbs all of them alike. Passes of a case lie some time apart, with new data in new memory:
what they differ by is what a later run may differ by.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from crypsis.mpc.bench.peer_process import PeerFailed
from crypsis.mpc.bench.peers import Peer, Peers
from crypsis.mpc.bench.rows import Measurement, Timing
from crypsis.mpc.bench.suite import Case, Work

Say = Callable[[int, int], None]


@dataclass(frozen=True)
class Effort:
    """How long a case is measured in each of so many passes: rounds at most, seconds in all, the shortest round (calls
    are repeated), and how many rounds and jobs there are even where that takes longer."""

    passes: int
    rounds: int
    seconds: float
    round_seconds: float = 0.02
    fewest_rounds: int = 2
    fewest_jobs: int = 1


EFFORT = {
    "tiny": Effort(1, 2, 0.0, 0.0, 2, 2),
    "quick": Effort(3, 4, 0.4),
    "full": Effort(3, 9, 7.0),
}


def measure(
    suite: str, case: Case, work: Work, peers: Peers, effort: Effort, *, say: Say | None = None
) -> tuple[Measurement, dict[str, str]]:
    """A pass, and the versions of its peers. WrongAnswer where ours is wrong; a peer that is wrong or fails,
    now or in a later round, is left out with the reason."""
    begin = time.perf_counter()
    result = work.run()
    work.check(result)
    skipped: dict[str, str] = {}
    timed: dict[Peer, list[float]] = {}
    for peer in work.peers if peers.enabled else ():
        try:
            answer = peers.ask(peer)
        except PeerFailed as error:
            skipped[peer.name] = str(error)
            continue
        if answer.digest is not None and work.digest is not None:
            wanted = work.digest(result, _items_of(peer))
            if answer.digest != wanted:
                skipped[peer.name] = f"{peer.name} gives another answer than ours, which was checked"
                continue
        timed[peer] = []
    del result
    first = time.perf_counter() - begin
    inner, warm = _inner(work, effort)
    round_seconds = max(first + (inner - 1) * warm, 1e-9)
    fewest = effort.fewest_rounds if work.seconds is None else effort.fewest_jobs
    rounds = max(fewest, min(effort.rounds, int(effort.seconds / round_seconds)))
    ours: list[float] = []
    for number in range(rounds):
        if say is not None:
            say(number, rounds)
        for peer in list(timed):
            try:
                timed[peer].append(work.items / peers.ask(peer).rate.per_second)
            except PeerFailed as error:
                skipped[peer.name] = str(error)
                del timed[peer]
        ours.append(_seconds(work, inner))
    if say is not None:
        say(rounds, rounds)
    versions: dict[str, str] = {}
    for peer in timed:
        versions |= peers.versions(peer)
    measurement = Measurement(
        case.name,
        work.items,
        case.unit,
        Timing(ours),
        {peer.name: Timing(seconds) for peer, seconds in timed.items()},
        work.limit,
        dict(work.extra),
        suite,
        skipped,
    )
    return measurement, versions


def joined(passes: Sequence[Measurement]) -> Measurement:
    """The measurement of all passes of a case; a peer that failed in one of them is left out with that reason."""
    last = passes[-1]
    skipped = {peer: why for one in reversed(passes) for peer, why in one.skipped.items()}
    return dataclasses.replace(
        last,
        ours=Timing.joined([one.ours for one in passes]),
        peers={
            peer: Timing.joined([one.peers[peer] for one in passes])
            for peer in last.peers
            if peer not in skipped
        },
        skipped=skipped,
    )


def _items_of(peer: Peer) -> int:
    """The number in "sha256 2000": for how many items the peer answers."""
    words = peer.operation.split()
    return int(words[-1]) if words[-1].isdigit() else 0


def _seconds(work: Work, inner: int) -> float:
    """Seconds a call."""
    if work.seconds is not None:
        return work.seconds(work.run())
    if inner > 1:
        work.run()  # a peer has just had the caches
    begin = time.perf_counter()
    for _ in range(inner):
        work.run()
    return (time.perf_counter() - begin) / inner


def _inner(work: Work, effort: Effort) -> tuple[int, float]:
    """Calls that make a round long enough for the clock, and the seconds of one, warm."""
    if work.seconds is not None:
        return 1, 0.0
    begin = time.perf_counter()
    result: Any = work.run()
    warm = time.perf_counter() - begin
    del result
    return max(1, round(effort.round_seconds / max(warm, 1e-7))), warm

# SPDX-License-Identifier: Apache-2.0
"""The two drivers of `run_bins`: `Leader` gives out bins, `Follower` does as it is told. control.py has what
they say to each other."""

from __future__ import annotations

import abc
import hashlib
import json
import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from crypsis.errors import BackendUnavailable, ConfigError, DataError, ProtocolAbort
from crypsis.mpc.jobs import control
from crypsis.mpc.jobs.executors import Executor
from crypsis.mpc.jobs.task import Task, WorkerLost
from crypsis.mpc.transport import Hub
from crypsis.mpc.transport.engine import PeerAborted

_log = logging.getLogger("crypsis.jobs")

MAX_FAILURES = 3
"""So often a bin may lose its workers until the job gives up."""

MAX_WORKERS = 200  # below the hub's sessions, so that there is room for successors

OnDone = Callable[[int, dict[str, Any]], None]
OnComplete = Callable[[int], None]
Progress = Callable[[str, int, int], None]


def can_be_mended(error: BaseException) -> bool:
    """Whether another worker may succeed where one failed with `error`."""
    hopeless = (ConfigError, DataError, BackendUnavailable, ProtocolAbort)
    return isinstance(error, Exception) and not isinstance(error, hopeless)


class Pair:
    """This party's half of a worker pair."""

    def __init__(self, task: Task, own: int = 0) -> None:
        self.task = task
        self.own = own  # which of the driver's `by_worker` it has
        self.thread: threading.Thread | None = None
        self.last = False  # it gets no more bins
        self.ended = False  # the worker has returned, or its session was ended by the peer
        self.assigned: dict[int, None] = {}  # not complete, oldest first
        self.here: set[int] = set()  # of those, done by this party's worker
        self.there: set[int] = set()  # of those, done by the peer's (known to the leader)

    @property
    def is_through(self) -> bool:
        """Whether this party's worker has nothing left to do."""
        return self.last and self.assigned.keys() <= self.here


class Driver(abc.ABC):
    """What leader and follower share: worker pairs, and one queue of everything that happens."""

    listens_to = control.FROM_FOLLOWER
    last_word = "finished"

    def __init__(
        self,
        hub: Hub,
        bins: list[int],
        *,
        work: str,
        spec: dict[str, Any],
        executor: Executor,
        on_done: OnDone,
        on_complete: OnComplete,
        progress: Progress,
        ahead: int,
        by_worker: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.ahead = ahead
        self.by_worker = list(by_worker) or [{}]
        self.hub, self.bins = hub, bins
        self.todo = set(bins)
        self.work, self.spec, self.executor = work, spec, executor
        self.on_done, self.on_complete, self.progress = on_done, on_complete, progress
        self.events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.pairs: dict[int, Pair] = {}
        self.past: set[int] = set()  # numbers of pairs that have ended
        self.completed: set[int] = set()
        self.n_workers = 0
        self.finishing = False

    # ---- from beginning to end

    def run(self, n_workers: int, leads: bool) -> None:
        """All bins."""
        self.channel = self.hub.channel(0)
        self._agree(n_workers, leads)
        listener = control.Listener(self.channel, self.events, self.listens_to, self.last_word)
        self.progress("bins", 0, len(self.bins))
        self.begin()
        while not self.is_over():
            kind, *details = self.events.get()
            if kind == "failed":
                raise details[0]
            if kind == "peer":
                self.heard(*details[0])
                listener.heard()
            elif kind == "done":
                number, bin_number, result = details
                pair = self.pairs.get(number)
                if pair is not None and bin_number in pair.assigned and bin_number not in pair.here:
                    self.on_done(bin_number, result)
                    pair.here.add(bin_number)
                    self.done_here(number, pair, bin_number)
            else:
                self._ended(*details)
        listener.thread.join()
        self.after()

    def stop(self, error: BaseException) -> None:
        """End everything now. The peer learns the kind of failure only."""
        if isinstance(error, Exception):
            reason = f"{type(error).__name__} at party {self.hub.party!r}; see its own log"
        else:
            reason = f"party {self.hub.party!r} was interrupted by its operator"
        self.hub.abort(reason)
        for number in list(self.pairs):
            self.end(number, reason)

    def _agree(self, n_workers: int, leads: bool) -> None:
        ours = {
            "leads": leads,
            "bins": len(self.bins),
            "digest": hashlib.sha256(json.dumps(sorted(self.bins)).encode()).hexdigest(),
            "workers": n_workers,
        }
        control.send(self.channel, "start", ours)
        theirs = control.receive(self.channel, frozenset({"start"}))[1]
        if {name: type(value) for name, value in theirs.items()} != {
            name: type(value) for name, value in ours.items()
        } or not 1 <= theirs["workers"] <= MAX_WORKERS:
            raise ProtocolAbort("the peer's driver began with fields that a start does not have")
        if theirs["leads"] == leads:
            both = "both parties lead" if leads else "neither party leads"
            raise ConfigError(f"{both}: exactly one may (the receiver, for PSI)")
        if (theirs["bins"], theirs["digest"]) != (ours["bins"], ours["digest"]):
            raise ConfigError(
                f"the parties have different bins to do: {ours['bins']} here, {theirs['bins']} at party"
                f" {self.hub.peer!r}; agree on the same list first"
            )
        self.n_workers = min(n_workers, theirs["workers"])

    # ---- worker pairs

    def start(self, number: int) -> None:
        """This party's worker on session `number`."""
        # The one that fewest of those at work have.
        held = Counter(pair.own for pair in self.pairs.values())
        own = min(range(len(self.by_worker)), key=lambda i: held[i])
        spec = self.spec | self.by_worker[own]
        task = Task(number, self.work, spec, lambda *done: self.events.put(("done", *done)))
        pair = self.pairs[number] = Pair(task, own)
        pair.thread = threading.Thread(
            target=self._serve, args=(task,), name=f"crypsis worker {number}", daemon=True
        )
        pair.thread.start()

    def _serve(self, task: Task) -> None:
        """One worker from beginning to end, in a thread of its own."""
        try:
            task.on_cancel(lambda: self.hub.drop(task.number, "the worker pair was ended"))
            channel = self.hub.channel(task.number)
            self.executor.run(channel, task)
            task.check_ended()
            channel.close()
        except BaseException as error:
            # First the event: what the peer's driver says when it sees the session end comes after it.
            self.events.put(("ended", task.number, error))
            self.hub.drop(task.number, f"a worker of party {self.hub.party!r} was lost")
        else:
            self.events.put(("ended", task.number, None))

    def end(self, number: int, reason: str) -> None:
        """End this party's worker now; returns when it no longer runs."""
        pair = self.pairs.pop(number)
        self.past.add(number)
        pair.task.cancel(reason)
        if pair.thread is not None:
            pair.thread.join()

    def _ended(self, number: int, error: BaseException | None) -> None:
        """A worker of ours has ended by itself, or was ended before (then its number is past)."""
        pair = self.pairs.get(number)
        if pair is None:
            return
        if error is None or isinstance(error, PeerAborted):
            # In order, or the peer's driver ended the session: then it says on its own stream what was lost.
            pair.ended = True
            self.tidy(number, pair)
            return
        if not pair.is_through and not can_be_mended(error):
            raise error
        _log.warning("worker %d was lost: %s: %s", number, type(error).__name__, error)
        if not (self.finishing and self.last_word == "finished"):  # the leader has said its last word then
            why = str(error) if isinstance(error, WorkerLost) else type(error).__name__
            control.send(self.channel, "lost", number, control.printable(why))
        self.lost(number, f"at party {self.hub.party!r}: {error}", error)

    def lost(self, number: int, why: str, error: BaseException | None = None) -> None:
        """Forget a pair of which a worker is gone."""
        self.end(number, why)

    def told_last(self, number: int) -> None:
        """The pair gets no more bins: its workers end when they have done those that they have."""
        self.pairs[number].last = True
        self.pairs[number].task.finish()

    def complete(self, bin_number: int) -> None:
        """Both parties have done a bin."""
        self.completed.add(bin_number)
        self.on_complete(bin_number)
        self.progress("bins", len(self.completed), len(self.bins))

    # ---- what the roles differ in

    @abc.abstractmethod
    def tidy(self, number: int, pair: Pair) -> None:
        """Forget a pair that has ended, if nothing is to come from it."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Before the first event."""

    @abc.abstractmethod
    def is_over(self) -> bool:
        """Whether nothing is left to wait for."""

    @abc.abstractmethod
    def after(self) -> None:
        """After the last event."""

    @abc.abstractmethod
    def heard(self, word: str, *values: Any) -> None:
        """The peer's driver said something."""

    @abc.abstractmethod
    def done_here(self, number: int, pair: Pair, bin_number: int) -> None:
        """Our worker has done a bin, and on_done knows."""


class Leader(Driver):
    """Gives out the bins."""

    def begin(self) -> None:
        self.waiting = deque(self.bins)
        self.failures: Counter[int] = Counter()
        self.peer_finished = False
        self._go_on()

    def is_over(self) -> bool:
        return self.peer_finished and not self.pairs

    def after(self) -> None:
        """The follower has had the last word."""

    def tidy(self, number: int, pair: Pair) -> None:
        if pair.ended and not pair.assigned:
            self.end(number, "it has ended")
            self._go_on()

    def _go_on(self) -> None:
        """Give out what can be given out; finish when all is complete."""
        while self.waiting:
            active = {k: pair for k, pair in self.pairs.items() if not pair.last}
            number = min(active, key=lambda k: len(active[k].assigned), default=None)
            if (
                (number is None or active[number].assigned)
                and len(active) < self.n_workers
                and len(self.pairs) < 2 * self.n_workers
            ):
                number = self.hub.fresh_number()
                control.send(self.channel, "open", number)
                self.start(number)
            elif number is None or len(active[number].assigned) >= self.ahead:
                return
            pair = self.pairs[number]
            bin_number = self.waiting.popleft()
            pair.assigned[bin_number] = None
            control.send(self.channel, "assign", number, bin_number)
            pair.task.assign(bin_number)
        # A worker that looks for its next bin before it has done the last one must not wait for ever. Should
        # bins come back, a fresh pair does them.
        for number, pair in self.pairs.items():
            if not pair.last:
                control.send(self.channel, "last", number)
                self.told_last(number)
        if len(self.completed) == len(self.bins) and not self.finishing:
            self.finishing = True
            control.send(self.channel, "finish")

    def heard(self, word: str, *values: Any) -> None:
        if word == "finished":
            if not self.finishing:
                raise ProtocolAbort("the peer's driver finished before the bins were")
            self.peer_finished = True
        elif values[0] in self.past:
            return  # both parties noticed at the same time, or its last words
        elif values[0] not in self.pairs:
            raise ProtocolAbort(
                f"the peer's driver said {word!r} of worker pair {values[0]}, which never was"
            )
        elif word == "lost":
            why = f"at party {self.hub.peer!r}: {control.printable(values[1])}"
            _log.warning("worker pair %d was lost %s", values[0], why)
            self.lost(values[0], why)
        else:  # done
            number, bin_number = values
            pair = self.pairs[number]
            if bin_number not in pair.assigned or bin_number in pair.there:
                raise ProtocolAbort(f"the peer's worker {number} has done bin {bin_number}, which it has not")
            pair.there.add(bin_number)
            self._check_complete(number, pair, bin_number)

    def done_here(self, number: int, pair: Pair, bin_number: int) -> None:
        self._check_complete(number, pair, bin_number)

    def _check_complete(self, number: int, pair: Pair, bin_number: int) -> None:
        if bin_number in pair.here and bin_number in pair.there:
            del pair.assigned[bin_number]
            self.complete(bin_number)
            control.send(self.channel, "complete", bin_number)
            self._go_on()
            self.tidy(number, pair)

    def lost(self, number: int, why: str, error: BaseException | None = None) -> None:
        bins = list(self.pairs[number].assigned)
        self.end(number, why)
        for bin_number in bins:
            self.failures[bin_number] += 1
        for bin_number in bins:
            if self.failures[bin_number] >= MAX_FAILURES:
                raise WorkerLost(
                    f"bin {bin_number} lost its workers {MAX_FAILURES} times; the last time, worker {number}"
                    f" {why}"
                ) from error
        self.waiting.extendleft(reversed(bins))
        self._go_on()


class Follower(Driver):
    """Does as the leader says."""

    listens_to = control.FROM_LEADER
    last_word = "finish"

    def is_over(self) -> bool:
        return self.finishing and not self.pairs

    def after(self) -> None:
        control.send(self.channel, "finished")

    def tidy(self, number: int, pair: Pair) -> None:
        if pair.ended and pair.is_through:
            self.end(number, "it has ended")

    def heard(self, word: str, *values: Any) -> None:
        if word == "finish":
            if len(self.completed) != len(self.bins):
                raise ProtocolAbort("the peer's driver finished before the bins were")
            self.finishing = True
        elif word == "complete":
            self._complete(values[0])
        elif word == "open":
            n_active = sum(not pair.last for pair in self.pairs.values())
            if (
                values[0] in self.past
                or values[0] in self.pairs
                or n_active >= self.n_workers
                or len(self.pairs) >= 4 * self.n_workers  # the leader's view of those that end is another one
            ):
                raise ProtocolAbort(f"the peer's driver opened worker pair {values[0]}, which is no new one")
            self.start(values[0])
        elif values[0] in self.past:
            return  # the leader has not heard yet that we lost it
        elif values[0] not in self.pairs:
            raise ProtocolAbort(
                f"the peer's driver said {word!r} of worker pair {values[0]}, which never was"
            )
        elif word == "lost":
            why = f"at party {self.hub.peer!r}: {control.printable(values[1])}"
            _log.warning("worker pair %d was lost %s", values[0], why)
            self.lost(values[0], why)
        elif word == "last":
            self.told_last(values[0])
        else:  # assign
            number, bin_number = values
            if (
                self.pairs[number].last
                or bin_number not in self.todo
                or bin_number in self.completed
                or any(bin_number in pair.assigned for pair in self.pairs.values())
            ):
                raise ProtocolAbort(f"the peer's driver gave out bin {bin_number}, which is not to be done")
            # What a protocol promises holds for one attempt: a leader could ask for another with other input each time.
            self.given[bin_number] += 1
            if self.given[bin_number] > MAX_FAILURES:
                raise ProtocolAbort(
                    f"the peer's driver gave out bin {bin_number} more than {MAX_FAILURES} times; ended"
                )
            self.reported.discard(bin_number)
            self.pairs[number].assigned[bin_number] = None
            self.pairs[number].task.assign(bin_number)

    def _complete(self, bin_number: int) -> None:
        for pair in self.pairs.values():
            if bin_number in pair.here and bin_number in pair.assigned:
                del pair.assigned[bin_number]
                break
        else:
            # Its worker may have been lost since it reported: then the report still counts.
            if bin_number not in self.reported or bin_number in self.completed:
                raise ProtocolAbort(f"the peer's driver completed bin {bin_number}, which was not done here")
        self.complete(bin_number)

    def begin(self) -> None:
        self.reported: set[int] = set()
        self.given: Counter[int] = Counter()

    def done_here(self, number: int, pair: Pair, bin_number: int) -> None:
        self.reported.add(bin_number)
        control.send(self.channel, "done", number, bin_number)

# SPDX-License-Identifier: Apache-2.0
"""What a suite is: named cases, each of which makes its work when it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crypsis.errors import CrypsisError
from crypsis.mpc.bench.limits import Machine
from crypsis.mpc.bench.peers import Peer
from crypsis.mpc.bench.rows import Limit


class WrongAnswer(CrypsisError):
    """Ours computed something else than it should: nothing was timed."""

    exit_code = 70


def same(name: str, found: Any, wanted: Any) -> None:
    """WrongAnswer where two arrays differ."""
    import numpy as np

    if not np.array_equal(found, wanted):
        raise WrongAnswer(f"{name}: the answer is wrong")


def near(name: str, found: Any, wanted: Any, most: float) -> None:
    """WrongAnswer where two arrays of numbers differ by `most` or more anywhere."""
    import numpy as np

    if found.shape != wanted.shape or not float(np.abs(found - wanted).max()) < most:
        raise WrongAnswer(f"{name}: the answer is wrong: it is off by {most} or more")


@dataclass(frozen=True)
class Work:
    """A case that is ready: `run` takes nothing and handles `items` of them.

    check: raises WrongAnswer. bound: the limit, or why none is stated, which the row's `extra` then says ("no limit").
    digest: what a peer's answer for its input must hash to, by the peer's operation.
    seconds: of a run, where another clock than the caller's tells (a job's own report).
    """

    items: int
    run: Callable[[], Any]
    check: Callable[[Any], None]
    peers: Sequence[Peer] = ()
    bound: Limit | str = ""
    digest: Callable[[Any, int], str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    seconds: Callable[[Any], float] | None = None
    close: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if isinstance(self.bound, str) and self.bound:
            self.extra["no limit"] = self.bound

    @property
    def limit(self) -> Limit | None:
        return self.bound if isinstance(self.bound, Limit) else None


class Setting:
    """How large a run is, what its machine can do, and what cases of a suite share (keys).

    scale: "quick" or "full", or "tiny", whose sizes are of no use but to see that all runs.
    """

    def __init__(self, scale: str, machine: Machine) -> None:
        self.scale, self.machine = scale, machine
        self._kept: dict[str, Any] = {}

    def size(self, tiny: int, quick: int, full: int) -> int:
        """The number of items at this scale."""
        return {"tiny": tiny, "quick": quick, "full": full}[self.scale]

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """Made once a suite."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]


Make = Callable[[Setting], Work]
SCALES = ("tiny", "quick", "full")


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    unit: str
    make: Make
    scales: tuple[str, ...] = SCALES


@dataclass(frozen=True)
class Suite:
    """Cases of one kind; `what` says in a line how they are measured."""

    name: str
    what: str
    cases: list[Case] = field(default_factory=list)

    def case(self, name: str, *, unit: str, scales: tuple[str, ...] = SCALES) -> Callable[[Make], Make]:
        """Adds the decorated function, which makes the work, at these scales."""

        def add(make: Make) -> Make:
            self.cases.append(Case(name, unit, make, scales))
            return make

        return add

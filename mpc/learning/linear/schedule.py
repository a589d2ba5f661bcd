# SPDX-License-Identifier: Apache-2.0
"""Which rows a step of descent takes and how far it goes: functions of public values, so that both parties agree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

MAX_DROPS = 4
"""How often the rate is halved."""


def batch_order(run: str, epoch: int, rows: int) -> npt.NDArray[np.int64]:
    """The order of rows in an epoch, the same at both: by draws of Philox, whose stream NumPy promises to keep."""
    key = hashlib.sha256(f"{run}/{epoch}".encode()).digest()[:16]
    draws = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(rows)
    return np.argsort(draws, kind="stable")


def batches(rows: int, batch_size: int) -> list[slice]:
    """As few batches of at most `batch_size` rows as there can be, of the same size but for one row.

    A short one at the end would draw the weights to its few rows as much as a full one does to its many: of 1050 rows
    in batches of 1024, the last 26 alone would move them half of the way.
    """
    count = -(-rows // batch_size)
    edges = [rows * i // count for i in range(count + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


@dataclass(frozen=True)
class Course:
    """What the losses of the epochs so far decide: how often the rate was halved, and whether training ends."""

    drops: int
    ended: bool


def course(losses: tuple[float, ...], *, tol: float | None, patience: int, n_batches: int) -> Course:
    """Ended: the loss has moved by less than `tol` over `patience` epochs. Momentum makes it swing, so that a rise ends
    nothing. With several batches it never comes to rest at a constant rate (their gradients differ), so where no epoch
    of the last `patience` is better than all before by `tol` the rate is halved, MAX_DROPS times, and then it is ended.
    """
    if tol is None:
        return Course(0, False)
    drops, since = 0, 0
    for count in range(1, len(losses) + 1):
        since += 1
        if count <= patience:
            continue
        last = losses[count - patience - 1 : count]
        if max(last) - min(last) < tol:
            return Course(drops, True)
        better = min(losses[: count - patience]) - min(last[1:]) >= tol
        if n_batches > 1 and since > patience and not better:
            if drops == MAX_DROPS:
                return Course(drops, True)
            drops, since = drops + 1, 0
    return Course(drops, False)

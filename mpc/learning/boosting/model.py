# SPDX-License-Identifier: Apache-2.0
"""What each party keeps of a boosted model: the guest the trees, a host its splits. Both know the job's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from crypsis.errors import CorruptData
from crypsis.mpc.learning.boosting.losses import Floats, Loss
from crypsis.mpc.learning.boosting.trees import Record, Tree

KIND = "gradient-boosting"
_DAMAGED = "the model file is damaged; take the file that the training wrote"


@dataclass(kw_only=True)
class Part:
    """Of either party. names: of the columns at training; categories: their texts; records: the own splits;
    counts: how many of them each round of trees has."""

    job: str
    loss: Loss
    n_outputs: int
    params: dict[str, Any]
    names: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    records: list[Record] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def n_rounds(self) -> int:
        return len(self.counts)

    def cut(self, n_rounds: int) -> None:
        """Keeps the first rounds only."""
        self.counts = self.counts[:n_rounds]
        self.records = self.records[: sum(self.counts)]

    def to_json(self) -> dict[str, Any]:
        return {
            "loss": self.loss,
            "n_outputs": self.n_outputs,
            "params": dict(self.params),
            "names": list(self.names),
            "categories": {name: list(texts) for name, texts in self.categories.items()},
            "records": [record.to_json() for record in self.records],
            "counts": list(self.counts),
        }


@dataclass(kw_only=True)
class GuestPart(Part):
    """rounds: n_outputs trees each; base: float64[outputs]; hosts: their names, in order; seed: of the sampling;
    watched: the metric of the validation rows after each round, None without them."""

    base: Floats
    hosts: tuple[str, ...]
    seed: int
    rounds: list[list[Tree]] = field(default_factory=list)
    watched: list[float | None] = field(default_factory=list)

    def cut(self, n_rounds: int) -> None:
        super().cut(n_rounds)
        self.rounds = self.rounds[:n_rounds]
        self.watched = self.watched[:n_rounds]

    def host_records(self, host: int) -> int:
        """Splits of the i-th host, from 1, in all trees."""
        return sum(int((tree.owner == host).sum()) for trees in self.rounds for tree in trees)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {
            "base": self.base.tolist(),
            "hosts": list(self.hosts),
            "seed": self.seed,
            "watched": list(self.watched),
            "rounds": [[tree.to_json() for tree in trees] for trees in self.rounds],
        }


def part_from_json(job: str, role: str, body: Mapping[str, Any]) -> Part:
    """Of `to_json`. CorruptData for what it did not write."""
    try:
        common: dict[str, Any] = {
            "job": job,
            "loss": body["loss"],
            "n_outputs": body["n_outputs"],
            "params": dict(body["params"]),
            "names": tuple(body["names"]),
            "categories": {name: tuple(texts) for name, texts in body["categories"].items()},
            "records": [Record.from_json(raw) for raw in body["records"]],
            "counts": list(body["counts"]),
        }
        if (
            common["loss"] not in get_args(Loss)
            or type(common["n_outputs"]) is not int
            or not 1 <= common["n_outputs"] <= 1000
            or any(type(count) is not int or count < 0 for count in common["counts"])
            or sum(common["counts"]) != len(common["records"])
            or any(record.feature not in common["names"] for record in common["records"])
        ):
            raise CorruptData(_DAMAGED)
        if role == "host":
            return Part(**common)
        hosts = tuple(body["hosts"])
        part = GuestPart(
            **common,
            base=np.array(body["base"], dtype=np.float64),
            hosts=hosts,
            seed=body["seed"],
            rounds=[
                [Tree.from_json(raw, 1 + len(hosts), len(common["records"])) for raw in trees]
                for trees in body["rounds"]
            ],
            watched=[None if value is None else float(value) for value in body["watched"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptData(_DAMAGED) from error
    if (
        part.base.shape != (part.n_outputs,)
        or not np.isfinite(part.base).all()
        or type(part.seed) is not int
        or len(part.rounds) != part.n_rounds
        or len(part.watched) != part.n_rounds
        or any(len(trees) != part.n_outputs for trees in part.rounds)
        or not _records_in_order(part)
    ):
        raise CorruptData(_DAMAGED)
    return part


def _records_in_order(part: GuestPart) -> bool:
    """Each owner's records are 0, 1, 2, ... over the trees, once each: what a host will answer for."""
    for owner in range(1 + len(part.hosts)):
        found = [tree.record[tree.owner == owner] for trees in part.rounds for tree in trees]
        numbers = np.concatenate(found) if found else np.zeros(0, dtype=np.int32)
        if not np.array_equal(np.sort(numbers), np.arange(len(numbers))):
            return False
    return True

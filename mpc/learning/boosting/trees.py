# SPDX-License-Identifier: Apache-2.0
"""A tree as each party has it: the guest the nodes, every party the splits on its own features ("records").

Record r of a party says which of its features a split looks at, and where. The guest's nodes name the owner of the
split and the number of its record there; what that record says only the owner knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import CorruptData
from crypsis.mpc.learning.boosting import compiled
from crypsis.mpc.learning.boosting.bins import Bins
from crypsis.mpc.learning.boosting.splits import Candidates
from crypsis.mpc.learning.frame import Frame

Bools = npt.NDArray[np.bool_]
LEAF = -1


@dataclass(frozen=True)
class Record:
    """A split on an own feature: values below `threshold` go left, or the categories `left`; missing values (and
    categories not known) where missing_left says. threshold: infinite where all values but missing ones go left."""

    feature: str
    threshold: float | None
    left: tuple[str, ...] | None
    missing_left: bool

    @classmethod
    def numeric(cls, bins: Bins, candidates: Candidates, choice: int) -> Record:
        """Of a numeric split by its number."""
        feature = bins.features[candidates.feature[choice]]
        b = int(candidates.bin[choice])
        return cls(
            feature.name,
            float(feature.edges[b]) if b < len(feature.edges) else math.inf,
            None,
            bool(candidates.missing_left[choice]),
        )

    @classmethod
    def categorical(cls, bins: Bins, candidates: Candidates, block: int, in_left: Bools) -> Record:
        """Of categories, and missing behind them, bool[categories + 1]."""
        feature = bins.features[candidates.blocks[block]]
        texts = feature.categories or ()
        chosen = tuple(text for text, is_left in zip(texts, in_left[:-1].tolist(), strict=True) if is_left)
        return cls(feature.name, None, chosen, bool(in_left[-1]))

    def goes_left(self, frame: Frame) -> Bools:
        """bool[rows], of a frame with the feature in it."""
        column = frame.values[:, frame.names.index(self.feature)]
        missing = np.isnan(column)
        if self.threshold is not None:
            return np.where(missing, self.missing_left, column < self.threshold)
        texts = frame.categories.get(self.feature, ())
        chosen = set(self.left or ())
        in_left = np.array([text in chosen for text in texts] + [self.missing_left])
        result: Bools = in_left[np.where(missing, len(texts), column).astype(np.int64)]
        return result

    def to_json(self) -> dict[str, Any]:
        finite = self.threshold is not None and math.isfinite(self.threshold)
        return {
            "feature": self.feature,
            "below": self.threshold if finite else None,
            "left": None if self.left is None else list(self.left),
            "missing_left": self.missing_left,
        }

    @classmethod
    def from_json(cls, raw: Any) -> Record:
        """CorruptData for what `to_json` did not write."""
        fields = raw if isinstance(raw, Mapping) else {}
        name, below, left = fields.get("feature"), fields.get("below", math.nan), fields.get("left")
        numeric = left is None and (below is None or (type(below) is float and math.isfinite(below)))
        texts = isinstance(left, list) and all(isinstance(text, str) for text in left) and below is None
        if (
            not isinstance(name, str)
            or not (numeric or texts)
            or type(fields.get("missing_left")) is not bool
        ):
            raise CorruptData("a split in the model file is damaged; take the file that the training wrote")
        missing_left = fields["missing_left"]
        if isinstance(left, list):
            return cls(name, None, tuple(left), missing_left)
        return cls(name, math.inf if below is None else float(below), None, missing_left)


@dataclass(frozen=True, eq=False)
class Tree:
    """The guest's view: arrays over nodes, 0 the root.

    owner: -1 leaf, 0 the guest, i the i-th host by name; record: of the owner, -1 for leaves; left, right: children;
    value: of a leaf, learning rate included; gain, cover (sum of h): of a split.
    """

    owner: npt.NDArray[np.int32]
    record: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]
    cover: npt.NDArray[np.float64]

    @property
    def n_leaves(self) -> int:
        return int((self.owner == LEAF).sum())

    def leaves(self, goes: Bools, offsets: Sequence[int]) -> npt.NDArray[np.int32]:
        """The leaf of each row, int32[n]. goes: bool[records of all, n]; offsets: where each owner's records begin."""
        place = np.array([*offsets, 0], dtype=np.int32)[self.owner] + self.record
        record = np.where(self.owner == LEAF, -1, place).astype(np.int32)
        found = np.empty(goes.shape[1], dtype=np.int32)
        compiled.leaves_of(self.left, self.right, record, goes, found)
        return found

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name).tolist() for name in _FIELDS}

    @classmethod
    def from_json(cls, raw: Any, n_owners: int, n_records: int | None) -> Tree:
        """CorruptData for what is no tree: children are behind their parents, so that routing ends. n_records: of the
        guest."""
        damaged = CorruptData("a tree in the model file is damaged; take the file that the training wrote")
        if not isinstance(raw, Mapping) or set(raw) != set(_FIELDS):
            raise damaged
        try:
            arrays = {name: np.array(raw[name], dtype=kind) for name, kind in _FIELDS.items()}
        except (ValueError, TypeError, OverflowError) as error:
            raise damaged from error
        n = len(arrays["owner"])
        if not n or any(array.shape != (n,) for array in arrays.values()):
            raise damaged
        tree = cls(**arrays)
        inner, own = tree.owner != LEAF, np.arange(n)
        if (
            (tree.owner < LEAF).any()
            or (tree.owner >= n_owners).any()
            or (tree.record[inner] < 0).any()
            or any(
                (side[inner] <= own[inner]).any() or (side[inner] >= n).any()
                for side in (tree.left, tree.right)
            )
            or not all(np.isfinite(array).all() for array in (tree.value, tree.gain, tree.cover))
            or (n_records is not None and (tree.record[tree.owner == 0] >= n_records).any())
        ):
            raise damaged
        return tree


_FIELDS: dict[str, Any] = {
    "owner": np.int32,
    "record": np.int32,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
    "gain": np.float64,
    "cover": np.float64,
}


def goes_left(records: Sequence[Record], frame: Frame) -> Bools:
    """bool[records, rows]: which rows go left by each."""
    result = np.empty((len(records), len(frame)), dtype=bool)
    for i, record in enumerate(records):
        result[i] = record.goes_left(frame)
    return result

# SPDX-License-Identifier: Apache-2.0
"""Which splits a party's features offer, and which of them is best: the part that all parties compute alike.

Numeric: a split after each bin, with missing values to the right or, where the column has any, to the left;
`Candidates` lists them in the order (feature, bin, missing right before left). Categorical: the categories, and missing
as one more, in the order of the leaf value -g / (h + lambda) each would have in the node, cut anywhere but between
equal sums; those with h below min_child_weight, or without rows there, count as 0, as in xgboost.

    gain = GL^2 / (HL + lambda) + GR^2 / (HR + lambda) - G^2 / (H + lambda)

as xgboost has it (not halved); a split needs gain > 1e-6, gain >= gamma and min_child_weight of h on both sides. Of
equal gains the first is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError
from crypsis.mpc.learning.boosting.bins import Bins
from crypsis.mpc.learning.boosting.packing import Floats, Ints, Scaled

LEAST_GAIN = 1e-6


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """max_depth: 1 to 12; max_leaves: 0 for no limit; the others as in the gain above."""

    max_depth: int = 6
    max_leaves: int = 0
    reg_lambda: float = 1.0
    gamma: float = 0.0
    min_child_weight: float = 1.0

    def __post_init__(self) -> None:
        if type(self.max_depth) is not int or not 1 <= self.max_depth <= 12:
            raise ConfigError(f"max_depth is {self.max_depth!r}: give 1 to 12")
        if type(self.max_leaves) is not int or self.max_leaves < 0 or self.max_leaves == 1:
            raise ConfigError(f"max_leaves is {self.max_leaves!r}: give 2 or more, or 0 for no limit")
        for name in ("reg_lambda", "gamma", "min_child_weight"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ConfigError(f"{name} is {value!r}: give a number of 0 or more")


@dataclass(frozen=True, eq=False)
class Candidates:
    """What the features of a table of bins offer. feature, bin, missing_left: of the numeric splits, `[c]`; source:
    where the sum of the left rows is in `left_sums`' list; blocks: the categorical features, by number."""

    n_features: int
    n_bins: int
    feature: npt.NDArray[np.int32]
    bin: npt.NDArray[np.int16]
    missing_left: npt.NDArray[np.bool_]
    source: npt.NDArray[np.int64]
    with_missing: npt.NDArray[np.int64]
    blocks: tuple[int, ...]
    block_sizes: tuple[int, ...]

    @classmethod
    def of(cls, bins: Bins, table: npt.NDArray[np.int16]) -> Candidates:
        missing = [bool((table[:, f] == bins.n_bins).any()) for f in range(len(bins.features))]
        with_missing = np.flatnonzero(missing)
        place = {int(f): len(missing) + i for i, f in enumerate(with_missing)}
        found: list[tuple[int, int, bool, int]] = []
        for f, feature in enumerate(bins.features):
            if feature.categories is not None:
                continue
            for b in range(feature.n_bins - (0 if missing[f] else 1)):
                found.append((f, b, False, f * bins.n_bins + b))
                if missing[f] and b < feature.n_bins - 1:
                    found.append((f, b, True, place[f] * bins.n_bins + b))
        blocks = tuple(f for f, feature in enumerate(bins.features) if feature.categories is not None)
        columns = list(zip(*found, strict=True)) if found else [(), (), (), ()]
        return cls(
            len(bins.features),
            bins.n_bins,
            np.array(columns[0], dtype=np.int32),
            np.array(columns[1], dtype=np.int16),
            np.array(columns[2], dtype=bool),
            np.array(columns[3], dtype=np.int64),
            with_missing,
            blocks,
            tuple(bins.features[f].n_bins + 1 for f in blocks),
        )

    @property
    def n_numeric(self) -> int:
        return len(self.source)

    @property
    def n_sums(self) -> int:
        """Sums that a node has: one a numeric split, one a category."""
        return self.n_numeric + sum(self.block_sizes)

    def in_left(self, choice: int) -> npt.NDArray[np.bool_]:
        """bool[bins and missing]: which go left in a numeric split."""
        left: npt.NDArray[np.bool_] = np.arange(self.n_bins + 1) <= self.bin[choice]
        left[self.n_bins] = self.missing_left[choice]
        return left

    def block_bins(self, block: int) -> npt.NDArray[np.int64]:
        """The bins of a categorical feature in the order of its sums: the categories, then missing."""
        return np.append(np.arange(self.block_sizes[block] - 1), self.n_bins)

    def first_alike(self, ranges: npt.NDArray[np.int64]) -> int | None:
        """The first numeric split that parts some rows as a given one does, left and right perhaps exchanged.

        ranges: int64[features, 6] of the rows (`compiled.bin_ranges`). None where no numeric split does.
        """
        r = ranges[self.feature]
        b = self.bin.astype(np.int64)
        same = np.zeros(self.n_numeric, dtype=bool)
        for low, high in ((0, 2), (2, 0)):
            missing_low, missing_high = r[:, 4 + low // 2] > 0, r[:, 4 + high // 2] > 0
            parted = (r[:, low + 1] <= b) & (r[:, high] > b)
            same |= parted & np.where(self.missing_left, ~missing_high, ~missing_low)
        return int(np.argmax(same)) if same.any() else None


def left_sums(sums: Ints, candidates: Candidates) -> Ints:
    """Sums int64[nodes, features, bins + 1, 2] to those of every split's left rows and of every category,
    int64[nodes, n_sums, 2]."""
    n, c = len(sums), candidates
    running = sums[:, :, : c.n_bins].cumsum(axis=2)
    both = running[:, c.with_missing] + sums[:, c.with_missing, c.n_bins :]
    flat = np.concatenate([running, both], axis=1).reshape(n, -1, 2)
    parts = [flat[:, c.source]]
    parts += [sums[:, f][:, c.block_bins(i)] for i, f in enumerate(c.blocks)]
    return np.concatenate(parts, axis=1)


def gains(left: Ints, total: Ints, scale: Scaled, options: TreeOptions) -> Floats:
    """Of left sums int64[..., 2] in nodes of sums `total`, broadcast; -inf for what may not be split."""
    g_left, h_left = _reals(left, scale)
    g_right, h_right = _reals(total - left, scale)
    g_all, h_all = _reals(total, scale)
    allowed = (left[..., 1] > 0) & (total[..., 1] > left[..., 1])
    allowed &= (h_left >= options.min_child_weight) & (h_right >= options.min_child_weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _score(g_left, h_left, options) + _score(g_right, h_right, options)
        found = found - _score(g_all, h_all, options)
    allowed &= (found > LEAST_GAIN) & (found >= options.gamma)
    result: Floats = np.where(allowed, found, -np.inf)
    return result


def leaf_value(total: Ints, scale: Scaled, options: TreeOptions) -> float:
    """-G / (H + lambda); 0 where that has no value."""
    g, h = _reals(total, scale)
    below = float(h) + options.reg_lambda
    return -float(g) / below if below > 0 else 0.0


def _reals(sums: Ints, scale: Scaled) -> tuple[Floats, Floats]:
    g = np.ldexp(sums[..., 0].astype(np.float64), -scale.g_shift)
    return g, np.ldexp(sums[..., 1].astype(np.float64), -scale.h_shift)


def _score(g: Floats, h: Floats, options: TreeOptions) -> Floats:
    result: Floats = g * g / (h + options.reg_lambda)
    return result


@dataclass(frozen=True, eq=False)
class Best:
    """The best split of a node among one party's: numeric number `choice` of its list, or with `block` a set of
    categories. left_sum: int64[2] of the rows that go left."""

    gain: float
    choice: int
    left_sum: Ints
    block: int | None = None
    in_left: npt.NDArray[np.bool_] | None = None


def best_split(
    sums: Ints, total: Ints, n_numeric: int, block_sizes: tuple[int, ...], scale: Scaled, options: TreeOptions
) -> Best | None:
    """Of one node: sums int64[n_sums, 2] (numeric left sums, then categories by block), total int64[2]."""
    best: Best | None = None
    if n_numeric:
        found = gains(sums[:n_numeric], total, scale, options)
        choice = int(np.argmax(found))
        if found[choice] > -np.inf:
            best = Best(float(found[choice]), choice, sums[choice])
    begin = n_numeric
    for block, size in enumerate(block_sizes):
        own = sums[begin : begin + size]
        begin += size
        order = _by_value(own, scale, options)
        running = own[order].cumsum(axis=0)
        found = gains(running[:-1], total, scale, options)
        # Which of equal ones comes first is the host's secret: the model must not depend on it.
        found[(own[order[1:]] == own[order[:-1]]).all(axis=1)] = -np.inf
        if len(found) and found.max() > (best.gain if best else -np.inf):
            cut = int(np.argmax(found))
            in_left = np.zeros(size, dtype=bool)
            in_left[order[: cut + 1]] = True
            best = Best(float(found[cut]), n_numeric + block, running[cut], block, in_left)
    return best


def _by_value(sums: Ints, scale: Scaled, options: TreeOptions) -> npt.NDArray[np.int64]:
    """Categories in the order of -g / (h + lambda), then h, then g."""
    g, h = _reals(sums, scale)
    below = h + options.reg_lambda
    known = (sums[:, 1] > 0) & (h >= options.min_child_weight) & (below > 0)
    value = np.divide(-g, below, out=np.zeros(len(g)), where=known)
    return np.lexsort((sums[:, 0], sums[:, 1], value))

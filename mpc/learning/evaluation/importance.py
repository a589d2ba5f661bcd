# SPDX-License-Identifier: Apache-2.0
"""Feature importance of trees and of linear models, as one type of table.

Trees: the sum of gains of a feature's splits, their number, or the sum of their covers (the weight of the rows that
reach a split), as xgboost's total_gain, weight and total_cover. Linear models: |coefficient x standard deviation|,
the change in log-odds that one deviation of the feature makes.

Leaks: nothing is sent. In a vertical model the guest knows a host's features by the names that the host chose to
tell (an alias is enough); gains and covers of splits it knows from training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crypsis.mpc.learning.evaluation.checks import Numbers, finite, one_of

Method = Literal["gain", "split", "cover", "coefficient"]


@dataclass(frozen=True)
class Split:
    """One split of a tree: whose feature (its name or alias), its gain and its cover (both >= 0)."""

    owner: str
    feature: str
    gain: float
    cover: float


@dataclass(frozen=True)
class FeatureImportance:
    """One row: `value` in the method's unit, `share` of the sum of all values (0 where that is 0)."""

    owner: str
    feature: str
    value: float
    share: float


@dataclass(frozen=True)
class ImportanceTable:
    """Rows by falling value, then by owner and name."""

    method: Method
    rows: tuple[FeatureImportance, ...]


def _table(method: Method, values: dict[tuple[str, str], float]) -> ImportanceTable:
    total = sum(sorted(values.values()))
    ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return ImportanceTable(
        method,
        tuple(FeatureImportance(*key, value, value / total if total else 0.0) for key, value in ranked),
    )


def tree_importance(
    splits: Iterable[Split], *, method: Literal["gain", "split", "cover"] = "gain"
) -> ImportanceTable:
    """The table of a model's splits; features without a split are not in it.

    Raises ValueError for another method and for a gain or cover that is negative or not finite.
    """
    one_of(method, ("gain", "split", "cover"), "method")
    values: dict[tuple[str, str], float] = {}
    for split in splits:
        value = {"gain": split.gain, "split": 1.0, "cover": split.cover}[method]
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"a split of {split.owner}'s {split.feature!r} has {method} {value}: it must be >= 0"
            )
        key = (split.owner, split.feature)
        values[key] = values.get(key, 0.0) + value
    return _table(method, values)


def linear_importance(
    owner: str, features: Sequence[str], coefficients: Numbers, deviations: Numbers
) -> ImportanceTable:
    """The table of one party's part of a linear model: |coefficient x deviation|.

    features: d distinct names; coefficients, deviations: [d], of the same scale (with standardised features the
    deviations are ones); deviations >= 0.
    Raises ValueError, TypeError for anything else and for lengths that differ.
    """
    weights, scales = finite(coefficients, "coefficients"), finite(deviations, "deviations")
    if not len(features) == weights.size == scales.size:
        raise ValueError(
            f"{len(features)} features, {weights.size} coefficients and {scales.size} deviations: one of each is needed"
        )
    if len(set(features)) < len(features):
        raise ValueError("two features have the same name: names must differ")
    if (scales < 0).any():
        raise ValueError(f"deviations[{int(np.argmax(scales < 0))}] is negative")
    values = np.abs(weights * scales)
    return _table("coefficient", {(owner, name): float(v) for name, v in zip(features, values, strict=True)})


def merged(tables: Sequence[ImportanceTable]) -> ImportanceTable:
    """One table of several parties' tables. Raises ValueError for none, methods that differ, a feature told twice."""
    if not tables:
        raise ValueError("no tables to merge")
    methods = sorted({table.method for table in tables})
    if len(methods) > 1:
        raise ValueError(f"tables of {' and '.join(methods)} cannot be compared: compute all with one method")
    values: dict[tuple[str, str], float] = {}
    for row in (row for table in tables for row in table.rows):
        if (row.owner, row.feature) in values:
            raise ValueError(f"{row.owner}'s {row.feature!r} is in two tables")
        values[row.owner, row.feature] = row.value
    return _table(tables[0].method, values)

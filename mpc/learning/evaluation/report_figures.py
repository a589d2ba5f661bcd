# SPDX-License-Identifier: Apache-2.0
"""The figures of a report, computed once from labels and probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis.mpc.learning.evaluation.checks import (
    Floats,
    Numbers,
    binary_labels,
    probabilities_of,
    row_weights,
)
from crypsis.mpc.learning.evaluation.decisions import Calibration, Confusion, calibration, confusion, log_loss
from crypsis.mpc.learning.evaluation.metrics import Ks, LiftBucket, RankCurve, ks_of, lift_table, rank_curve
from crypsis.mpc.learning.evaluation.stability import Stability, population_stability


@dataclass(frozen=True)
class Figures:
    """Everything that the sections show. `rows`, `rate`: sum of weights, and label 1's share of it."""

    positive: npt.NDArray[np.bool_]
    probabilities: Floats
    weights: Floats
    rows: float
    rate: float
    curve: RankCurve
    ks: Ks
    buckets: tuple[LiftBucket, ...]
    calibration: Calibration
    confusion: Confusion
    threshold_given: bool
    log_loss: float
    stability: Stability | None


def measure(
    labels: Numbers,
    probabilities: Numbers,
    *,
    weights: Numbers | None,
    threshold: float | None,
    n_bands: int,
    expected: Numbers | None,
) -> Figures:
    """Raises as the metrics do; the threshold is that of KS where None."""
    positive = binary_labels(labels, both=True)
    values = probabilities_of(probabilities, n_rows=positive.size)
    weight = row_weights(weights, positive.size)
    curve = rank_curve(positive, values, weights=weight)
    found = ks_of(curve)
    cut = found.threshold if threshold is None else threshold
    kept = weight > 0
    return Figures(
        positive=positive[kept],
        probabilities=values[kept],
        weights=weight[kept],
        rows=float(weight.sum()),
        rate=float(weight[positive].sum() / weight.sum()),
        curve=curve,
        ks=found,
        buckets=lift_table(positive, values, n_buckets=n_bands, weights=weight),
        calibration=calibration(positive, values, weights=weight),
        confusion=confusion(positive, values, threshold=cut, weights=weight),
        threshold_given=threshold is not None,
        log_loss=log_loss(positive, values, weights=weight),
        stability=None if expected is None else population_stability(expected, values),
    )

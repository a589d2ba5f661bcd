# SPDX-License-Identifier: Apache-2.0
"""The scorecard of a training: points of a logistic model on weight of evidence, each party's for its own columns.

The model takes the WOE of a bin standardised, (WOE - mean) / deviation over the rows trained on, clipped; a bin has
-factor x coefficient x that many points, so 0 points are what the average row has, and the guest's base points are the
score of that row. The sum of both parties' points is the model's own score, but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crypsis.errors import ConfigError
from crypsis.mpc.learning.evaluation import Scaling, ScorecardPart
from crypsis.mpc.learning.evaluation.scorecard import ScorecardBin, ScorecardFeature
from crypsis.mpc.learning.model_files import ModelPart

_LAST_STEPS = ("woe", "select")


def check_scorecard(algorithm: str, steps: Sequence[str]) -> None:
    """That there is a scorecard of the algorithm on what these steps give. ConfigError otherwise."""
    if algorithm != "logistic-regression":
        raise ConfigError(f"scorecard: is of logistic-regression, not of {algorithm}; remove it")
    after = steps[len(steps) - steps[::-1].index("woe") :] if "woe" in steps else None
    if after is None or any(step not in _LAST_STEPS for step in after):
        raise ConfigError(
            "scorecard: has the bins of the step woe, after which only select may come; put woe at the end"
        )


def scorecard_part(part: ModelPart, steps: Sequence[Any], scaling: Scaling) -> ScorecardPart:
    """One party's points. part: of the trained model; steps: fitted, a `WoeEncoder` among them."""
    encoder = [step for step in steps if step.kind == "woe-encoder"][-1]
    body: Mapping[str, Any] = part.body["scaling"]
    names, clip = body["names"], float(body["clip"])
    bins = encoder.scorecard_bins(names)
    features = []
    for name, coefficient, mean, deviation in zip(
        names, part.body["coef"], body["mean"], body["scale"], strict=True
    ):
        labels, woe = bins[name]
        log_odds = coefficient * np.clip((woe - mean) / deviation, -clip, clip)
        points = np.round(scaling.slope * log_odds, scaling.decimals) + 0.0  # no minus zero
        rows = zip(labels, woe, points, strict=True)
        features.append(
            ScorecardFeature(
                name,
                float(coefficient / deviation),
                tuple(ScorecardBin(label, float(w), float(p)) for label, w, p in rows),
            )
        )
    base = None
    if part.role == "guest":
        average = scaling.offset + scaling.slope * float(part.body["intercept"])
        base = float(np.round(average, scaling.decimals)) + 0.0
    return ScorecardPart(part.party, scaling, tuple(features), base)

# SPDX-License-Identifier: Apache-2.0
"""Vertical gradient boosting of trees: SecureBoost [CFJ+21] with packed gradients. See docs/learning-boosting.md."""

from crypsis.mpc.learning.boosting.bins import Bins, Feature, quantile_bins
from crypsis.mpc.learning.boosting.estimators import GradientBoostingClassifier, GradientBoostingRegressor

__all__ = [
    "Bins",
    "Feature",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "quantile_bins",
]

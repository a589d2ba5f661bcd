# SPDX-License-Identifier: Apache-2.0
"""Preprocessing of vertical data: each party works on its own columns; what takes both is done under encryption.

See docs/learning-preprocess.md. Binning needs numba (`pip install 'crypsis[learning]'`), imported at first use.
"""

from crypsis.mpc.learning.preprocess.binning import Binner, FeatureBins
from crypsis.mpc.learning.preprocess.chimerge import merge_bins
from crypsis.mpc.learning.preprocess.correlation import Correlation, correlation, joint_correlation
from crypsis.mpc.learning.preprocess.missing import Imputer
from crypsis.mpc.learning.preprocess.scaling import MinMaxScaler, StandardScaler
from crypsis.mpc.learning.preprocess.selection import (
    FeatureSelector,
    prune_by_vif,
    prune_correlated,
    select_by_iv,
)
from crypsis.mpc.learning.preprocess.woe import WoeEncoder, weights_of_evidence

__all__ = [
    "Binner",
    "Correlation",
    "FeatureBins",
    "FeatureSelector",
    "Imputer",
    "MinMaxScaler",
    "StandardScaler",
    "WoeEncoder",
    "correlation",
    "joint_correlation",
    "merge_bins",
    "prune_by_vif",
    "prune_correlated",
    "select_by_iv",
    "weights_of_evidence",
]

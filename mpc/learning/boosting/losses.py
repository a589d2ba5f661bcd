# SPDX-License-Identifier: Apache-2.0
"""What boosting minimises: gradients and second derivatives of a loss by the scores, and the scores to begin with.

    logistic   labels 0 and 1, score s:  p = 1 / (1 + exp(-s)), g = p - y, h = p (1 - p)
    softmax    labels 0 to K - 1, a score for each class: p = softmax(s), g = p - [y = k], h = 2 p (1 - p)
    squared    any label: g = s - y, h = 1

as xgboost has them (binary:logistic, multi:softprob, reg:squarederror), with h no less than 1e-16. All of this is
work of the guest, on its labels; nothing is sent.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, DataError

Loss = Literal["logistic", "softmax", "squared"]
Floats = npt.NDArray[np.float64]
LEAST_H = 1e-16
LARGEST_LABEL = 1e100
"""Sums of squares of gradients stay finite."""
_LEAST_P = 1e-15


def check_labels(loss: Loss, labels: Floats, n_classes: int) -> None:
    """DataError naming the first label that is no class of the loss, or that is not finite."""
    if loss not in get_args(Loss):
        raise ConfigError(f"loss is {loss!r}; give one of {', '.join(get_args(Loss))}")
    if loss == "squared":
        wrong = ~(np.abs(labels) <= LARGEST_LABEL)
        allowed = f"finite numbers up to {LARGEST_LABEL:g} in size"
    else:
        wrong = ~((labels >= 0) & (labels < n_classes) & (labels == np.floor(labels)))
        allowed = "0 and 1" if n_classes == 2 else f"whole numbers from 0 to {n_classes - 1}"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"the label of row {row} is {labels[row]:g}: this model takes {allowed}")
    if len(labels) == 0:
        raise DataError("there are no rows to train on")


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-s)), without overflow."""
    small = np.exp(-np.abs(scores))
    result: Floats = np.where(scores >= 0, 1.0, small) / (1.0 + small)
    return result


def softmax(scores: Floats) -> Floats:
    """Probabilities of float64[n, K], along the last axis."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Floats = powers / powers.sum(axis=1, keepdims=True)
    return result


def base_scores(loss: Loss, labels: Floats, n_outputs: int) -> Floats:
    """The scores before the first tree, float64[outputs]: the log-odds of the mean label, the mean, or zeros for
    softmax (whose trees learn the classes' frequencies; xgboost begins there too)."""
    if loss == "softmax":
        return np.zeros(n_outputs)
    mean = float(labels.mean())
    if loss == "squared":
        return np.array([mean])
    p = min(max(mean, 1e-6), 1 - 1e-6)  # all labels the same: finite scores
    return np.array([np.log(p / (1 - p))])


def gradients(loss: Loss, labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """(g, h), each float64[n, outputs], for scores of that shape."""
    if loss == "squared":
        return scores - labels[:, None], np.ones_like(scores)
    if loss == "logistic":
        p = sigmoid(scores)
        return p - labels[:, None], np.maximum(p * (1.0 - p), LEAST_H)
    p = softmax(scores)
    hit = labels[:, None] == np.arange(scores.shape[1])
    return p - hit, np.maximum(2.0 * p * (1.0 - p), LEAST_H)


def mean_loss(loss: Loss, labels: Floats, scores: Floats) -> float:
    """The mean of the loss over rows: log-loss, or half the squared error."""
    if loss == "squared":
        return float(np.mean(0.5 * (scores[:, 0] - labels) ** 2))
    if loss == "logistic":
        p = sigmoid(scores[:, 0])
        chosen = np.where(labels > 0.5, p, 1.0 - p)
    else:
        chosen = softmax(scores)[np.arange(len(labels)), labels.astype(np.int64)]
    return float(-np.mean(np.log(np.maximum(chosen, _LEAST_P))))

# SPDX-License-Identifier: Apache-2.0
"""What every metric asks of its arguments, with one wording of the errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numbers = npt.ArrayLike


def finite(values: Numbers, name: str, *, n_rows: int | None = None) -> Floats:
    """`values` as float64[n]: not empty, finite, and of `n_rows` where that is told. Raises ValueError, TypeError."""
    array = floats(values, name, n_rows=n_rows)
    wrong = ~np.isfinite(array)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{name}[{row}] is {array[row]}: drop or fill what is not finite first")
    return array


def floats(values: Numbers, name: str, *, n_rows: int | None = None) -> Floats:
    """`values` as float64[n] (NaN and infinities allowed): not empty. Raises ValueError, TypeError."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers, not {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not the shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: there is nothing to evaluate")
    if n_rows is not None and array.size != n_rows:
        raise ValueError(
            f"{name} has {array.size} rows where the labels have {n_rows}: they must be the same rows"
        )
    return array.astype(np.float64)


def binary_labels(labels: Numbers, *, both: bool) -> npt.NDArray[np.bool_]:
    """Labels of {0, 1} as bool[n]; with `both`, of either class at least one. Raises ValueError, TypeError."""
    array = finite(labels, "labels")
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"labels[{row}] is {array[row]:g}: labels are 0 or 1")
    positive: npt.NDArray[np.bool_] = array == 1
    if both and (positive.all() or not positive.any()):
        raise ValueError(f"every label is {int(positive[0])}: a ranking is measured between two classes")
    return positive


def row_weights(weights: Numbers | None, n_rows: int) -> Floats:
    """float64[n], ones where None: finite, not negative, not all zero. Raises ValueError, TypeError."""
    if weights is None:
        return np.ones(n_rows)
    array = finite(weights, "weights", n_rows=n_rows)
    if (array < 0).any():
        row = int(np.argmax(array < 0))
        raise ValueError(f"weights[{row}] is {array[row]:g}: weights are not negative")
    if not array.any():
        raise ValueError("every weight is 0: there is nothing to evaluate")
    return array


def probabilities_of(values: Numbers, *, n_rows: int) -> Floats:
    """float64[n] in [0, 1]. Raises ValueError, TypeError."""
    array = finite(values, "probabilities", n_rows=n_rows)
    wrong = (array < 0) | (array > 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"probabilities[{row}] is {array[row]:g}: probabilities lie in [0, 1]")
    return array


def at_least(value: int, least: int, name: str) -> int:
    """`value`, a whole number of at least `least`. Raises ValueError, TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} is {value}: it must be at least {least}")
    return int(value)


def one_of(value: str, allowed: Sequence[str], name: str) -> str:
    """`value`, which is among `allowed`. Raises ValueError."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(map(repr, allowed))}")
    return value


def tied_groups(keys: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The order that sorts `keys` descending, and where in it each run of equal keys starts."""
    order = np.argsort(-keys, kind="stable")
    ranked = keys[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])


def sums_of(values: Floats, starts: npt.NDArray[np.intp]) -> Floats:
    """The sum of each run that begins at `starts`."""
    return np.asarray(np.add.reduceat(values, starts), dtype=np.float64)

# SPDX-License-Identifier: Apache-2.0
"""Loops over plain numbers that numba compiles at their first call. Arguments are checked by who calls."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import BackendUnavailable

Int16s = npt.NDArray[np.int16]


@functools.cache
def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        import numba
    except ImportError as error:
        raise BackendUnavailable(
            "binning needs numba, which is not installed: pip install 'crypsis[learning]'"
        ) from error
    # Kept only where the user names a folder for it: numba's own choice may not be writable.
    compiled: Callable[..., Any] = numba.njit(nogil=True, cache="NUMBA_CACHE_DIR" in os.environ)(function)
    return compiled


def _numbers(values: Any, edges: Any, starts: Any, result: Any) -> None:
    for column in range(values.shape[1]):
        begin, end = starts[column], starts[column + 1]
        for row in range(values.shape[0]):
            value = values[row, column]
            if np.isnan(value):
                result[row, column] = end - begin + 1
                continue
            low, high = begin, end  # the first edge that is not below the value
            while low < high:
                middle = (low + high) // 2
                if edges[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            result[row, column] = low - begin


def bin_numbers(values: npt.NDArray[np.float64], edges: list[npt.NDArray[np.float64]]) -> Int16s:
    """int16[rows, columns]: how many of the column's ascending edges are below the value; len(edges) + 1 for NaN."""
    result = np.empty(values.shape, dtype=np.int16, order="F")
    starts = np.cumsum([0, *(len(e) for e in edges)]).astype(np.int64)
    flat = np.concatenate([np.empty(0), *edges]).astype(np.float64)
    _compile(_numbers)(np.asfortranarray(values), flat, starts, result)
    return result


def _count(bins: Any, labels: Any, result: Any) -> None:
    for column in range(bins.shape[1]):
        for row in range(bins.shape[0]):
            result[column, bins[row, column], labels[row]] += 1


def count_by_bin(bins: Int16s, positive: npt.NDArray[np.bool_], n_bins: int) -> npt.NDArray[np.int64]:
    """int64[columns, n_bins, 2]: rows of label 1, then of label 0, by bin."""
    result = np.zeros((bins.shape[1], n_bins, 2), dtype=np.int64)
    _compile(_count)(np.asfortranarray(bins), (~positive).astype(np.int8), result)
    return result

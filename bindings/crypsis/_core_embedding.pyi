# SPDX-License-Identifier: Apache-2.0
"""The submodule `embedding` of `_core`: a file for type checkers only."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus

class Embedding:
    """A submodule; arrays are C-contiguous and checked by embedding.py: one row a polynomial."""

    MIN_LOG_N: int
    MAX_LOG_N: int
    MAX_BITS: int
    def backends(self) -> list[BackendStatus]: ...
    def to_coefficients(
        self,
        slots: npt.NDArray[np.float64],
        complex: bool,
        log_n: int,
        scale: float,
        out: npt.NDArray[np.float64],
        backend: str,
        threads: int,
    ) -> None: ...
    def to_slots(
        self,
        coefficients: npt.NDArray[np.float64],
        log_n: int,
        scale: float,
        out: npt.NDArray[np.float64],
        backend: str,
        threads: int,
    ) -> None: ...
    def to_residues(
        self,
        coefficients: npt.NDArray[np.float64],
        log_n: int,
        primes: Sequence[int],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...
    def encode(
        self,
        slots: npt.NDArray[np.float64],
        complex: bool,
        log_n: int,
        scale: float,
        primes: Sequence[int],
        out: npt.NDArray[np.uint64],
        backend: str,
        threads: int,
    ) -> None: ...

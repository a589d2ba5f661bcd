# SPDX-License-Identifier: Apache-2.0
"""The submodule `okvs` of `_core`: a file for type checkers only."""

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus

class Okvs:
    """A submodule; arrays are C-contiguous and checked by okvs.py, starts by the compiled code."""

    MAX_ITEMS: int
    MAX_COLUMNS: int
    MIN_SPARSE: int
    MAX_DENSE: int
    MAX_CORE_ROWS: int
    def backends(self) -> list[BackendStatus]: ...
    def encode(
        self,
        keys: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.uint64],
        values: npt.NDArray[np.uint8],
        shape: tuple[int, int, int, int],
        seed: bytes,
        fill: npt.NDArray[np.uint8] | None,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def decode(
        self,
        keys: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.uint64],
        table: npt.NDArray[np.uint8],
        shape: tuple[int, int, int, int],
        seed: bytes,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...

# SPDX-License-Identifier: Apache-2.0
"""The submodule `vole` of `_core`: a file for type checkers only."""

import numpy as np
import numpy.typing as npt

from crypsis._core import BackendStatus

class _SmallField:
    def extend_full(
        self,
        first_block: int,
        n_blocks: int,
        choices: npt.NDArray[np.uint8] | None,
        corrections: npt.NDArray[np.uint8],
        bits: npt.NDArray[np.uint8] | None,
        rows: npt.NDArray[np.uint8] | None,
        columns: npt.NDArray[np.uint8] | None,
        backend: str,
        threads: int,
    ) -> None: ...
    def extend_punctured(
        self,
        first_block: int,
        n_blocks: int,
        chosen: bool,
        corrections: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.uint8] | None,
        columns: npt.NDArray[np.uint8] | None,
        backend: str,
        threads: int,
    ) -> None: ...

class _Vole:
    """A submodule; arrays are C-contiguous and checked by vole.py."""

    MAX_TREE_DEPTH: int
    def backends(self) -> list[BackendStatus]: ...
    PRIMAL_WEIGHT: int
    MIN_LOG_CODE: int
    MAX_LOG_TABLE: int
    MAX_EXPANDER_WEIGHT: int
    def expand_noise(
        self,
        seeds: npt.NDArray[np.uint8],
        depth: int,
        leaves: npt.NDArray[np.uint8],
        sums: npt.NDArray[np.uint8],
        totals: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def reconstruct_noise(
        self,
        known: npt.NDArray[np.uint8],
        positions: npt.NDArray[np.uint64],
        corrections: npt.NDArray[np.uint8],
        depth: int,
        leaves: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def expand_correlated(
        self,
        seeds: npt.NDArray[np.uint8],
        delta: npt.NDArray[np.uint8],
        depth: int,
        leaves: npt.NDArray[np.uint8],
        sums: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def reconstruct_correlated(
        self,
        known: npt.NDArray[np.uint8],
        positions: npt.NDArray[np.uint64],
        depth: int,
        leaves: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def place_noise(
        self,
        positions: npt.NDArray[np.uint64],
        values: npt.NDArray[np.uint8],
        depth: int,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def primal_encode(
        self,
        seed: npt.NDArray[np.uint8],
        first_row: int,
        table: npt.NDArray[np.uint8],
        log_table: int,
        out: npt.NDArray[np.uint8],
        bits: npt.NDArray[np.uint8] | None,
        backend: str,
        threads: int,
    ) -> None: ...
    def primal_positions(
        self,
        seed: npt.NDArray[np.uint8],
        first_row: int,
        log_table: int,
        positions: npt.NDArray[np.uint32],
        backend: str,
    ) -> None: ...
    def expand_convolute(
        self,
        seed: npt.NDArray[np.uint8],
        vector: npt.NDArray[np.uint8],
        log_code: int,
        weight: int,
        out: npt.NDArray[np.uint8],
        vector2: npt.NDArray[np.uint8] | None,
        out2: npt.NDArray[np.uint8] | None,
        field: int,
        backend: str,
        threads: int,
    ) -> None: ...
    def measure_gather(
        self, table: npt.NDArray[np.uint8], log_table: int, n_rows: int, repeats: int, backend: str
    ) -> int: ...
    def expand_trees(
        self,
        seeds: npt.NDArray[np.uint8],
        depth: int,
        leaves: npt.NDArray[np.uint8],
        sums: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def reconstruct_trees(
        self,
        known: npt.NDArray[np.uint8],
        positions: npt.NDArray[np.uint64],
        depth: int,
        leaves: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def tree_depths(self, k: int) -> list[int]: ...
    def columns_bytes(self, n_blocks: int) -> int: ...
    def SmallField(  # noqa: N802
        self, k: int, leaves: npt.NDArray[np.uint8], delta: npt.NDArray[np.uint8] | None
    ) -> _SmallField: ...
    def columns_to_rows(
        self,
        columns: npt.NDArray[np.uint8],
        n_blocks: int,
        rows: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...
    def hash_columns(
        self,
        challenge: npt.NDArray[np.uint8],
        columns: npt.NDArray[np.uint8],
        bits: npt.NDArray[np.uint8] | None,
        n_blocks: int,
        out: npt.NDArray[np.uint8],
        backend: str,
    ) -> None: ...
    def random_keys(
        self,
        rows: npt.NDArray[np.uint8],
        delta: npt.NDArray[np.uint8] | None,
        tweak_low: int | None,
        tweak_high: int,
        out: npt.NDArray[np.uint8],
        backend: str,
        threads: int,
    ) -> None: ...

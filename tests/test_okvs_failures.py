# SPDX-License-Identifier: Apache-2.0
"""okvs: how often there is no table, against the bound that the parameters claim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypsis import okvs
from crypsis.errors import EncodeFailure
from test_okvs import bins, random_bytes


def failures(chosen: okvs.Parameters, n: int, n_tables: int) -> int:
    """Of `n_tables` tables of n random keys under seeds 0, 1, 2 and so on."""
    keys, values = random_bytes(1, n, 16), random_bytes(2, n, chosen.value_bytes)
    starts, out = bins(n), np.empty((1, chosen.columns, chosen.value_bytes), np.uint8)
    failed = 0
    for seed in range(n_tables):
        try:
            okvs.encode(keys, starts, values, chosen, seed=seed.to_bytes(16, "little"), out=out, threads=1)
        except EncodeFailure:
            failed += 1
    return failed


def formula(n: int, security: float) -> tuple[int, int]:
    """(sparse, dense) of [RR22] for weight 3 and a probability of 2^-security: written down a second time."""
    w = math.log2(3)
    slope = 2 ** (0.555 * math.log2(n) + 0.093 * w**3 - 1.01 * w**2 + 2.925 * w - 0.133)
    expansion = (security + 9.2) / slope + 1.223
    return math.ceil(n * expansion), max(1, math.floor(security / math.log2(expansion * n)))


def allowed(bound: float) -> float:
    """The expected number and four deviations more, which a true bound exceeds with probability below 2^-14."""
    return bound + 4 * math.sqrt(bound)


@pytest.mark.parametrize(("n", "n_tables"), [(256, 1000), (1024, 1000), (4096, 700)])
@pytest.mark.parametrize("security", [2, 5])
def test_failures_stay_below_the_bound_at_reduced_sizes(n: int, n_tables: int, security: int) -> None:
    """At 4096 keys a core of linear size is above MAX_CORE_ROWS; below, elimination even solves those."""
    chosen = okvs.insecure_parameters(n, *formula(n, security))
    failed = failures(chosen, n, n_tables)
    assert failed <= allowed(n_tables * 2.0**-security)
    assert failed > 0 or n < 4096


@pytest.mark.parametrize(("n", "sparse", "dense"), [(8, 16, 1), (16, 32, 1), (8, 14, 2)])
def test_gap_rows_above_the_dense_columns_stay_below_the_bound(n: int, sparse: int, dense: int) -> None:
    """sparse^-dense, which is what the number of dense columns rests on."""
    n_tables = 8000
    failed = failures(okvs.insecure_parameters(n, sparse, dense), n, n_tables)
    assert failed <= allowed(n_tables * sparse**-dense)
    assert failed > 0 or n * dense > 8


def test_below_the_threshold_of_peeling_nearly_all_fail() -> None:
    """1.05 columns a row: the count of failures above would notice if nothing could fail."""
    assert failures(okvs.insecure_parameters(1024, 1075, 2), 1024, 50) >= 45


@pytest.mark.parametrize(("n", "n_tables"), [(256, 2000), (1000, 1000), (4000, 300)])
@pytest.mark.parametrize("field", [64, 128])
def test_real_sizes_never_fail(n: int, n_tables: int, field: int) -> None:
    assert failures(okvs.parameters(n, 1 << 14, field=field), n, n_tables) == 0


@pytest.mark.slow
def test_failures_against_the_bound_over_many_seeds() -> None:
    for n in (256, 1024, 4096):
        for security in (6, 8, 10):
            n_tables = 10_000_000 // n
            failed = failures(okvs.insecure_parameters(n, *formula(n, security)), n, n_tables)
            assert failed <= allowed(n_tables * 2.0**-security)


@pytest.mark.slow
def test_real_sizes_never_fail_in_thousands_of_full_bins() -> None:
    assert failures(okvs.parameters(50_000, 1 << 14), 50_000, 3000) == 0


def test_sizes_are_the_formulas() -> None:
    for n, n_bins in ((256, 1), (1000, 1), (50_000, 1), (50_000, 42), (50_000, 21_474)):
        chosen = okvs.parameters(n, n_bins)
        assert (chosen.sparse, chosen.dense) == formula(n, 40 + math.log2(n_bins))
    assert okvs.parameters(3).sparse == okvs.parameters(256).sparse == okvs.parameters(1).sparse
    assert 1.25 < okvs.parameters(50_000, 21_474).expansion < 1.27

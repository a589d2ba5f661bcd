# SPDX-License-Identifier: Apache-2.0
"""partition.bin_bound: exact against fractions, by inequalities and simulation where those are too large."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import _bin_bound, partition
from reference import partition as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "partition.json").read_text())


def test_vectors() -> None:
    for case in VECTORS["bin_bound"]:
        found = partition.bin_bound(case["n_items"], case["n_bins"], statistical=case["statistical"])
        assert found == case["bound"]


@given(n=st.integers(0, 120), n_bins=st.integers(1, 300), statistical=st.integers(1, 60))
@settings(max_examples=60)
def test_small_sizes_against_fractions(n: int, n_bins: int, statistical: int) -> None:
    assert partition.bin_bound(n, n_bins, statistical=statistical) == reference.bin_bound(
        n, n_bins, statistical
    )


def test_ties_hold() -> None:
    """2 P[X > n - 1] = 2^(1 - n) is exactly 2^-40 for n = 41, and all bins of one item for more."""
    assert partition.bin_bound(41, 2) == 40
    assert partition.bin_bound(40, 2) == 40
    assert partition.bin_bound(2, 2**24, statistical=24) == 1  # 2^24 P[X > 1] = 2^-24
    assert partition.bin_bound(2, 2**24, statistical=25) == 2
    assert partition.bin_bound(0, 2**24) == 0
    assert partition.bin_bound(2**33, 1) == 2**33
    assert partition.bin_bound(1, 5) == 1


@given(
    n=st.integers(3, 1024),
    n_bins=st.sampled_from([2, 3, 4, 5, 16, 100, 999, 2**20, 2**24]),
    statistical=st.sampled_from([1, 7, 40, 64, 128, 256]),
)
@settings(max_examples=100)
def test_the_continued_fraction_against_sums_of_integers(n: int, n_bins: int, statistical: int) -> None:
    """Both ways, on sizes that both can; a tie, which only the integers see, may go up by one."""
    bound = _bin_bound.by_integers(n, n_bins, statistical)
    found = _bin_bound.by_fraction(n, n_bins, statistical)
    tie = n_bins * reference.tail(n, n_bins, bound) * 2**statistical == 1
    assert found == bound + tie


def test_the_two_ways_meet_where_one_ends() -> None:
    for n in range(_bin_bound.EXACT_BELOW - 2, _bin_bound.EXACT_BELOW + 3):
        for n_bins in (2, 7, 64, 4096):
            assert partition.bin_bound(n, n_bins) == _bin_bound.by_integers(n, n_bins, 40)


LARGE = [
    (2**20, 21),
    (2**24, 340),
    (10**9, 477),
    (10**9, 20_480),
    (2**33, 2**18),
    (2**33, 2**24),
    (2**33, 2),
    (10_000, 2**24),
]


@pytest.mark.parametrize(("n", "n_bins"), LARGE)
def test_large_sizes_between_bounds(n: int, n_bins: int) -> None:
    """The first term of the tail is below it, and Chernoff's bound above it: the answer lies between theirs."""
    m = partition.bin_bound(n, n_bins)
    p = 1 / n_bins
    log_limit = -(40 + math.log2(n_bins)) * math.log(2)

    def log_term(k: int) -> float:  # log P[X = k], to about 1e-4 by the size of its terms
        return (
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(p)
            + (n - k) * math.log1p(-p)
        )

    def log_chernoff(k: int) -> float:  # log of exp(-n KL(k / n, p)), at least log P[X >= k]
        q = k / n
        return -n * (q * math.log(q / p) + (1 - q) * (math.log1p(-q) - math.log1p(-p)))

    assert log_term(m) > log_limit - 1e-2 or log_term(m) + math.log(m) > log_limit  # m - 1 is none
    assert log_term(m + 1) < log_limit + 1e-2  # m is one
    over = next(k for k in range(m, 2 * m + 200) if log_chernoff(k + 1) <= log_limit)
    assert m <= over
    # The tail is at most its first term over 1 - r, r the ratio of its first two terms.
    ratio = (n - m - 1) / (m + 2) / (n_bins - 1)
    assert log_term(m + 1) - math.log1p(-ratio) < log_limit + 0.05
    assert log_term(m) - math.log1p(-(n - m) / (m + 1) / (n_bins - 1)) > log_limit - 0.05


def test_simulated_bins_stay_below() -> None:
    """At 2^-4 the fullest bin passes the bound in about one run of sixteen or fewer, and passes bound / 2 always."""
    rng = np.random.default_rng(1)
    n, n_bins, runs = 20_000, 50, 800
    bound = partition.bin_bound(n, n_bins, statistical=4)
    fullest = rng.multinomial(n, np.full(n_bins, 1 / n_bins), size=runs).max(axis=1)
    over = int((fullest > bound).sum())
    assert 0.02 * runs < over < 0.1 * runs  # 6 % expected
    assert (fullest <= partition.bin_bound(n, n_bins)).all()


def test_more_security_or_bins_never_lowers_it() -> None:
    for n in (1000, 50_000, 2**21):
        bounds = [partition.bin_bound(n, 40, statistical=s) for s in range(1, 129, 16)]
        assert bounds == sorted(bounds)
        by_bins = [partition.bin_bound(n, b) for b in (1, 2, 4, 16, 256, 4096)]
        assert by_bins == sorted(by_bins, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((-1, 2), {}, "n_items is -1: give 0 to 8589934592"),
        ((2**33 + 1, 2), {}, "n_items is 8589934593"),
        ((5, 0), {}, "n_bins is 0: give 1 to 16777216"),
        ((5, 2**24 + 1), {}, "n_bins is 16777217"),
        ((5, 2), {"statistical": 0}, "statistical is 0"),
        ((5, 2), {"statistical": 257}, "statistical is 257"),
    ],
)
def test_bad_values(arguments: tuple[int, int], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partition.bin_bound(*arguments, **options)


def test_bad_types() -> None:
    with pytest.raises(TypeError, match="n_items is float"):
        partition.bin_bound(5.0, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="n_bins is bool"):
        partition.bin_bound(5, True)

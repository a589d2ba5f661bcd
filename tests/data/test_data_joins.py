# SPDX-License-Identifier: Apache-2.0
"""Both parties' plans, glued side by side, are the SQL join: against nested loops over plain tuples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import DataError
from crypsis.mpc.data import (
    KeySpec,
    TableSource,
    count_unmatched,
    digest_keys,
    join_size,
    matched_pairs,
    matched_rows,
    plan_join,
    select_rows,
    unmatched_rows,
)
from crypsis.mpc.data import joins as joins_module

JOINS = ("inner", "left", "right", "full", "difference")


def key_table(keys):
    columns = {
        "a": pa.array([k[0] for k in keys], pa.string()),
        "b": pa.array([k[1] for k in keys], pa.int64()),
    }
    return digest_keys(TableSource(pa.table(columns)), [KeySpec("a"), KeySpec("b", "int")])


def agree(left, right, seed):
    """Matched indices on both sides in one common, shuffled order."""
    at = {bytes(d): i for i, d in enumerate(right.digests)}
    pairs = [(i, at[bytes(d)]) for i, d in enumerate(left.digests) if bytes(d) in at]
    order = np.random.default_rng(seed).permutation(len(pairs))
    both = np.array(pairs, np.int64).reshape(-1, 2)[order]
    return both[:, 0], both[:, 1]


def sql_join(left, right, join):
    def equal(a, b):
        return None not in a and a == b

    pairs = [(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if equal(a, b)]
    lone_left = [(i, -1) for i, a in enumerate(left) if not any(equal(a, b) for b in right)]
    lone_right = [(-1, j) for j, b in enumerate(right) if not any(equal(a, b) for a in left)]
    return {
        "inner": pairs,
        "left": pairs + lone_left,
        "right": pairs + lone_right,
        "full": pairs + lone_left + lone_right,
        "difference": lone_left + lone_right,
    }[join]


KEYS = st.lists(
    st.tuples(st.sampled_from(["x", "y", "z", "w", None]), st.sampled_from([1, 2, None])), max_size=14
)


@settings(max_examples=80, deadline=None)
@given(KEYS, KEYS, st.integers(0, 100), st.sampled_from([1, 3, 1 << 21]))
def test_plans_of_both_parties_are_the_sql_join(left_keys, right_keys, seed, chunk):
    left, right = key_table(left_keys), key_table(right_keys)
    of_left, of_right = agree(left, right, seed)
    saved, joins_module._CHUNK_ROWS = joins_module._CHUNK_ROWS, chunk
    try:
        for join in JOINS:
            sizes = count_unmatched(left, of_left), count_unmatched(right, of_right)
            ours = plan_join(
                left,
                of_left,
                right.counts[of_right],
                join=join,
                own_side="left",
                peer_unmatched_rows=sizes[1],
            )
            theirs = plan_join(
                right,
                of_right,
                left.counts[of_left],
                join=join,
                own_side="right",
                peer_unmatched_rows=sizes[0],
            )
            expected = sql_join(left_keys, right_keys, join)
            pairs = matched_pairs(left, of_left, right.counts[of_right])
            assert pairs == matched_pairs(right, of_right, left.counts[of_left])
            assert len(ours) == len(theirs) == len(expected) == join_size(join, pairs, *sizes)
            glued = list(zip(ours.rows.tolist(), theirs.rows.tolist(), strict=True))
            assert Counter(glued) == Counter(expected)
            assert ours.is_matched(0, len(ours)).tolist() == [a >= 0 and b >= 0 for a, b in glued]
            assert glued == sorted(glued, key=lambda p: block_order(p, left_keys, right_keys, left, of_left))
            check_selection(left, of_left, join, "left", expected, 0)
            check_selection(right, of_right, join, "right", expected, 1)
    finally:
        joins_module._CHUNK_ROWS = saved


def block_order(pair, left_keys, right_keys, left, of_left):
    """Matched pairs by agreed key order, left row, right row; then lone left, then lone right rows."""
    i, j = pair
    if i >= 0 and j >= 0:
        at = next(k for k in range(left.n_unique) if i in left.rows[left.starts[k] : left.starts[k + 1]])
        return (0, of_left.tolist().index(at), i, j)
    return (1, 0, i, 0) if i >= 0 else (2, 0, 0, j)


def check_selection(keys, matched, join, side, expected, which):
    plan = select_rows(keys, matched, join=join, own_side=side)
    kept = {pair[which] for pair in expected} - {-1}
    assert plan.rows.tolist() == sorted(kept)
    partners = {pair[which] for pair in expected if -1 not in pair}
    if join != "difference":
        assert plan.is_matched(0, len(plan)).tolist() == [r in partners for r in sorted(kept)]
    else:
        assert not plan.is_matched(0, len(plan)).any()


def test_unmatched_and_matched_rows_partition_the_table():
    keys = key_table([("x", 1), (None, 1), ("y", 2), ("x", 1), ("z", 1)])
    x = next(i for i in range(keys.n_unique) if keys.counts[i] == 2)
    assert matched_rows(keys, np.array([x])).tolist() == [0, 3]
    assert unmatched_rows(keys, np.array([x])).tolist() == [1, 2, 4]
    assert count_unmatched(keys, np.array([x])) == 3
    assert unmatched_rows(keys, np.empty(0, np.int64)).tolist() == [0, 1, 2, 3, 4]


def test_size_guard_names_the_size():
    keys = key_table([("x", 1)] * 1000)
    with pytest.raises(DataError, match=r"1000000000 rows.*duplicates multiply"):
        plan_join(keys, np.array([0]), np.array([1_000_000]), max_output_rows=1000)
    with pytest.raises(DataError, match="duplicates multiply"):
        plan_join(keys, np.array([0]), np.array([2**62]))
    assert matched_pairs(keys, np.array([0]), np.array([2**62])) == 1000 * 2**62


@pytest.mark.parametrize(
    ("matched", "counts", "says"),
    [
        ([5], None, "outside"),
        ([-1], None, "outside"),
        ([0, 0], None, "twice"),
        ([0], [1, 1], "peer_counts"),
        ([0], [0], "at least 1"),
        ([0.5], None, "integers"),
    ],
)
def test_wrong_arguments(matched, counts, says):
    keys = key_table([("x", 1)])
    with pytest.raises(ValueError, match=says):
        plan_join(keys, np.array(matched), None if counts is None else np.array(counts))


def test_wrong_join_and_side():
    keys = key_table([("x", 1)])
    with pytest.raises(ValueError, match="join must be one of"):
        plan_join(keys, np.array([0]), join="outer")
    with pytest.raises(ValueError, match="own_side"):
        plan_join(keys, np.array([0]), own_side="both")
    with pytest.raises(ValueError, match="peer_unmatched_rows"):
        plan_join(keys, np.array([0]), join="full", peer_unmatched_rows=-1)

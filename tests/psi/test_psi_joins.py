# SPDX-License-Identifier: Apache-2.0
"""PSI against the plaintext join: every join, broadcast, aligned or not, with duplicates, NULLs and empty sets."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.data import KeySpec, TableSource, digest_keys, plan_join
from crypsis.mpc.transport import ChannelOptions, memory_pair

from .pair import both, errors_of, plain_join, psi_pair

JOINS = ("inner", "left", "right", "full", "difference")
CASES: dict[str, tuple[list[str | None], list[str | None]]] = {
    "plain": (["a", "b", "c", "d"], ["c", "x", "a"]),
    "duplicates": (["a", "a", "b", "c", "c", "c"], ["c", "c", "a", "z", "z"]),
    "nulls": (["a", None, "b", None], [None, "b", "b", "q"]),
    "only_nulls": ([None, None], ["a", None]),
    "no_overlap": (["a", "b"], ["c", "d", "e"]),
    "receiver_empty": ([], ["a", "b", None]),
    "sender_empty": (["a", "a"], []),
    "both_empty": ([], []),
    "equal": (["a", "b", "c"], ["c", "b", "a"]),
}


def table(keys: list[Any], payload: str, kind: pa.DataType | None = None) -> pa.Table:
    """Keys and a payload column that tells the row."""
    return pa.table(
        {"id": pa.array(keys, kind or pa.string()), payload: pa.array(range(len(keys)), pa.int32())}
    )


def numbers(rows: list[dict[str, Any]], payload: str) -> list[int | None]:
    return [row[payload] for row in rows]


def expected_unaligned(own: list[Any], peer: list[Any], join: str, *, own_is_left: bool) -> list[int]:
    """Own rows of the join once each, in file order."""
    left, right = (own, peer) if own_is_left else (peer, own)
    place = 0 if own_is_left else 1
    return sorted({pair[place] for pair in plain_join(left, right, join)} - {None})


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("join", JOINS)
def test_aligned_outputs_line_up(case: str, join: str) -> None:
    own, peer = CASES[case]
    a, b = psi_pair(table(own, "r"), table(peer, "s"), broadcast=True, join=join, indicator="both")
    got = list(zip(numbers(a.rows, "r"), numbers(b.rows, "s"), strict=True))
    assert sorted(got, key=str) == sorted(plain_join(own, peer, join), key=str)
    assert [row["both"] for row in a.rows] == [row["both"] for row in b.rows]
    assert [row["both"] for row in a.rows] == [None not in pair for pair in got]
    n_matched = len(set(own) & set(peer) - {None})
    assert (a.result.outcome.n_matched, b.result.outcome.n_matched) == (n_matched, n_matched)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("broadcast", [False, True])
@pytest.mark.parametrize("left", ["receiver", "sender"])
def test_unaligned_outputs_are_own_rows_once(case: str, join: str, broadcast: bool, left: str) -> None:
    own, peer = CASES[case]
    a, b = psi_pair(
        table(own, "r"),
        table(peer, "s"),
        broadcast=broadcast,
        align=False,
        join=join,
        left=left,
        indicator="both",
    )
    assert numbers(a.rows, "r") == expected_unaligned(own, peer, join, own_is_left=left == "receiver")
    assert [row["both"] for row in a.rows] == [row["id"] is not None and row["id"] in peer for row in a.rows]
    if broadcast:
        assert numbers(b.rows, "s") == expected_unaligned(peer, own, join, own_is_left=left == "sender")
    else:
        assert b.result.table is None
        assert b.result.outcome.rows is None
        assert b.result.outcome.n_matched is None


@pytest.mark.parametrize("left", ["receiver", "sender"])
@pytest.mark.parametrize("join", ["left", "right"])
def test_left_says_which_role_is_the_left_table(left: str, join: str) -> None:
    a, b = psi_pair(table(["a", "b"], "r"), table(["b", "c"], "s"), broadcast=True, join=join, left=left)
    got = list(zip(numbers(a.rows, "r"), numbers(b.rows, "s"), strict=True))
    receiver_kept = (left == "receiver") == (join == "left")
    assert sorted(got, key=str) == sorted([(1, 0), (0, None) if receiver_kept else (None, 1)], key=str)


@pytest.mark.parametrize(("n_receiver", "n_sender"), [(1, 5000), (5000, 1), (0, 3000), (777, 2999)])
def test_sets_of_very_different_sizes(n_receiver: int, n_sender: int) -> None:
    own = [f"k{i}" for i in range(n_receiver)]
    peer = [f"k{i}" for i in range(n_sender - 1, -1, -1)]
    a, b = psi_pair(table(own, "r"), table(peer, "s"), broadcast=True, batch_size=512)
    assert sorted(row["id"] for row in a.rows) == sorted(set(own) & set(peer))
    assert [row["id"] for row in a.rows] == [row["id"] for row in b.rows]
    assert (a.result.outcome.n_unique, a.result.outcome.n_peer_unique) == (n_receiver, n_sender)


def test_counts_of_rows_and_nulls() -> None:
    a, b = psi_pair(table(["a", "a", None], "r"), table(["a", None, None, "b"], "s"))
    outcome = a.result.outcome
    assert (outcome.n_rows, outcome.n_null, outcome.n_unique, outcome.n_peer_unique) == (3, 1, 1, 2)
    assert (b.result.outcome.n_rows, b.result.outcome.n_null, b.result.outcome.n_peer_unique) == (4, 2, 1)


def test_composite_keys_match_in_all_columns() -> None:
    day = datetime.date(2024, 2, 29)
    keys = [KeySpec("id"), KeySpec("born", "date")]
    own = pa.table({"id": ["a", "a", "ab"], "born": pa.array([day, None, day]), "r": [0, 1, 2]})
    peer = pa.table({"born": ["2024-02-29", "2024-02-29"], "id": ["a", "b"], "s": [0, 1]})
    a, b = psi_pair(own, peer, on=keys, broadcast=True)
    assert numbers(a.rows, "r") == [0]
    assert numbers(b.rows, "s") == [0]


def test_the_split_of_a_composite_key_matters() -> None:
    own = pa.table({"x": ["ab"], "y": ["c"]})
    peer = pa.table({"x": ["a"], "y": ["bc"]})
    a, _ = psi_pair(own, peer, on=["x", "y"])
    assert a.rows == []


@pytest.mark.parametrize("kind", ["int", "string"])
def test_an_int_column_meets_a_string_column(kind: str) -> None:
    own = pa.table({"id": pa.array([1, 22, -3], pa.int64())})
    peer = pa.table({"number": ["22", "-3", "4"]})
    a, _ = psi_pair(own, peer, on=[KeySpec("id", kind)], sender_on=[KeySpec("number", kind)])
    assert sorted(row["id"] for row in a.rows) == [-3, 22]


@pytest.mark.parametrize("algorithm", ["sha256", "sm3", "blake3"])
def test_every_hash(algorithm: str) -> None:
    a, _ = psi_pair(table(["a", "b"], "r"), table(["b"], "s"), hash=algorithm, job="monthly")
    assert numbers(a.rows, "r") == [1]


def test_a_null_key_can_be_an_error() -> None:
    a, b = table(["a", None], "r"), table(["a"], "s")
    futures = both(*_parties(a, b, null_policy="error"))
    own, peer = errors_of(futures)
    assert isinstance(own, DataError)
    assert "row 2" in str(own)
    assert "NULL" in str(own)
    assert "DataError" in str(peer)


def test_a_join_that_explodes_is_refused_by_the_party_that_set_the_limit() -> None:
    errors = errors_of(
        both(*_parties(table(["a"] * 40, "r"), table(["a"] * 40, "s"), broadcast=True, max_output_rows=1000))
    )
    assert all(isinstance(error, (DataError, ProtocolAbort)) for error in errors)
    refused = next(
        error for error in errors if isinstance(error, DataError)
    )  # the other one may hear of it first
    assert "1600" in str(refused)
    assert "max_output_rows" in str(refused)


def test_without_a_limit_growth_is_bounded_by_the_own_rows() -> None:
    n_own, n_peer = 2, 9_000_000  # a peer that claims absurd counts
    keys = digest_keys(TableSource(table(["a"] * n_own, "r")), [KeySpec("id")])
    with pytest.raises(DataError, match="max_output_rows=16777248"):
        plan_join(keys, np.array([0]), np.array([n_peer]))


def _parties(a: pa.Table, b: pa.Table, **options: Any) -> tuple[Any, Any]:
    from crypsis.mpc.psi import intersect

    return (
        lambda channel: intersect(a, "id", channel, role="receiver", threads=1, **options),
        lambda channel: intersect(b, "id", channel, role="sender", threads=1, **options),
    )


@settings(max_examples=25, deadline=None)
@given(
    own=st.lists(st.sampled_from(["", "a", "b", "c", "dd", "ä", None]), max_size=9),
    peer=st.lists(st.sampled_from(["", "a", "b", "c", "dd", "e", None]), max_size=9),
    join=st.sampled_from(JOINS),
    left=st.sampled_from(["receiver", "sender"]),
    batch_size=st.integers(1, 4),
)
def test_random_tables(own: list[Any], peer: list[Any], join: str, left: str, batch_size: int) -> None:
    a, b = psi_pair(
        table(own, "r"), table(peer, "s"), broadcast=True, join=join, left=left, batch_size=batch_size
    )
    got = list(zip(numbers(a.rows, "r"), numbers(b.rows, "s"), strict=True))
    swapped = [(i, j) for j, i in plain_join(peer, own, join)]
    expected = plain_join(own, peer, join) if left == "receiver" else swapped
    assert sorted(got, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"role": "reciever"}, "role"),
        ({"join": "outer"}, "join"),
        ({"left": "bank"}, "left"),
        ({"hash": "md5"}, "hash"),
        ({"protocol": "kkrt"}, "protocol"),
        ({"null_policy": "drop"}, "null_policy"),
        ({"keys": ()}, "keys"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": (1 << 17) + 1}, "batch_size"),
        ({"job": "x" * 257}, "job"),
    ],
)
def test_options_are_checked(options: dict[str, Any], named: str) -> None:
    from crypsis.mpc.psi import PsiOptions

    with pytest.raises(ConfigError, match=named):
        PsiOptions(**{"role": "receiver", "keys": (KeySpec("id"),), **options})


def test_counts_larger_than_the_window_do_not_wait_for_each_other() -> None:
    n_rows = 3000
    ids = [f"{i:06}" for i in range(n_rows)]
    channels = memory_pair("bank", "telco", options=ChannelOptions(window_bytes=8192, chunk_bytes=1024))
    parties = _parties(table(ids, "r"), table(ids, "s"), broadcast=True, batch_size=64)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(party, channel) for party, channel in zip(parties, channels, strict=True)]
        results = [job.result(60) for job in jobs]
    assert [len(result.table) for result in results] == [n_rows, n_rows]

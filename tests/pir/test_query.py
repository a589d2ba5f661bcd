# SPDX-License-Identifier: Apache-2.0
"""Private list query: right answers for every kind of list and of question."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.data import KeySpec, TableSource
from crypsis.mpc.pir import ot_query
from crypsis.mpc.pir.lists import prepare, round_capacity

from .pair import REAL, query_pair, start

LIST = pa.table(
    {
        "id": [f"acct-{i:05}" for i in range(300)],
        "reason": [f"reason {i}, with a comma" if i % 7 else None for i in range(300)],
        "score": pa.array(range(300), pa.int32()),
    }
)


def expected(list_table: pa.Table, asked: pa.Table, on: str = "id") -> list[dict[str, Any]]:
    """The left join, the obvious way."""
    payload = [name for name in list_table.schema.names if name != on]
    by_key: dict[Any, list[dict[str, Any]]] = {}
    for row in list_table.to_pylist():
        if row[on] is not None:
            by_key.setdefault(row[on], []).append({name: row[name] for name in payload})
    rows = []
    for row in asked.to_pylist():
        records = by_key.get(row[on], [])
        for record in records or [dict.fromkeys(payload)]:
            rows.append({**row, "found": bool(records), **record})
    return rows


@pytest.mark.parametrize("prefix_bits", [0, 1, 3, 5])
def test_records_of_those_on_the_list(prefix_bits: int) -> None:
    asked = pa.table({"id": ["acct-00007", "nobody", "acct-00299", "acct-00000"], "mine": [1, 2, 3, 4]})
    ran = query_pair(LIST, asked, prefix_bits=prefix_bits)
    assert ran.rows == expected(LIST, asked)
    assert [row["found"] for row in ran.rows] == [True, False, True, True]
    assert ran.querier.n_found == 3


def test_with_softspoken() -> None:
    """The real OTs, over several batches of queries."""
    n = ot_query.BATCH_QUERIES + 3
    asked = pa.table({"id": [f"acct-{i:05}" for i in range(200, 200 + n)]})
    ran = query_pair(LIST, asked, prefix_bits=6, ots=REAL)
    assert ran.rows == expected(LIST, asked)
    assert ran.querier.n_found == 100


@pytest.mark.parametrize("hash", ["sha256", "sm3", "blake3"])
def test_every_hash(hash: str) -> None:
    asked = pa.table({"id": ["acct-00001", "acct-99999"]})
    assert query_pair(LIST, asked, hash=hash).rows == expected(LIST, asked)


def test_duplicates_nulls_and_order() -> None:
    asked = pa.table({"id": ["acct-00004", None, "x", "acct-00004", "acct-00001", None]})
    ran = query_pair(LIST, asked, prefix_bits=2)
    assert ran.rows == expected(LIST, asked)
    assert (ran.querier.n_rows, ran.querier.n_null, ran.querier.n_unique) == (6, 2, 3)
    assert ran.owner.agreed.n_queries == 3


def test_several_rows_a_key() -> None:
    listed = pa.table({"id": ["a", "b", "a", None, "c", "a"], "n": [1, 2, 3, 4, 5, 6]})
    asked = pa.table({"id": ["a", "z", "b", "a"], "mine": ["p", "q", "r", "s"]})
    ran = query_pair(listed, asked, max_rows=3)
    assert ran.rows == expected(listed, asked)
    assert ran.owner.prepared.n_null == 1


def test_more_rows_than_allowed_are_refused() -> None:
    listed = pa.table({"id": ["a", "b", "a"], "n": [1, 2, 3]})
    owner, _, _, _ = start(listed, pa.table({"id": ["a"]}))
    with pytest.raises(DataError, match="row 3: a key has 2 rows and max_rows is 1"):
        owner.result()


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17])
def test_small_lists(n: int) -> None:
    listed = LIST.slice(0, n)
    asked = pa.table({"id": ["acct-00000", "acct-00016", "q"]})
    assert query_pair(listed, asked, prefix_bits=2).rows == expected(listed, asked)


def test_an_empty_bucket_looks_like_any_other() -> None:
    """One entry on the list, 16 buckets: all the same, but for the answer."""
    listed = LIST.slice(0, 1)
    sizes = set()
    for name in [f"acct-{i:05}" for i in range(8)]:
        ran = query_pair(listed, pa.table({"id": [name]}), prefix_bits=4)
        assert [row["found"] for row in ran.rows] == [name == "acct-00000"]
        sizes.add(tuple(ran.owner_channel.order[1:]))  # after the agreement
    assert len(sizes) == 1


def test_no_questions() -> None:
    asked = pa.table({"id": pa.array([None, None], pa.string())})
    ran = query_pair(LIST, asked)
    assert ran.rows == expected(LIST, asked)
    empty = query_pair(LIST, asked.slice(0, 0))
    assert empty.rows == []
    assert empty.table.schema.names == ["id", "found", "reason", "score"]


def test_padded_queries() -> None:
    asked = pa.table({"id": ["acct-00001", "x"]})
    ran = query_pair(LIST, asked, pad_queries=10, prefix_bits=3)
    assert ran.rows == expected(LIST, asked)
    assert ran.owner.agreed.n_queries == 10
    nothing = query_pair(LIST, asked.slice(0, 0), pad_queries=4)
    assert nothing.owner.agreed.n_queries == 4
    assert nothing.rows == []


def test_unicode_and_long_values() -> None:
    names = ["Zo\u00eb", "李小龙", "אבג", "naïve", "\u00e9", "e\u0301", "x" * 5000, ""]
    listed = pa.table({"id": names, "note": [name[::-1] * 3 for name in names]})
    asked = pa.table({"id": [*names, "e", "李小"]})
    assert query_pair(listed, asked, prefix_bits=1).rows == expected(listed, asked)


def test_every_type_of_column() -> None:
    listed = pa.table(
        {
            "id": [1, 2, 3],
            "i8": pa.array([-1, None, 127], pa.int8()),
            "u64": pa.array([2**64 - 1, 0, None], pa.uint64()),
            "f32": pa.array([1.5, None, float("inf")], pa.float32()),
            "f64": [1e300, -0.0, None],
            "b": [True, None, False],
            "day": pa.array([date(2020, 2, 29), None, date(1960, 1, 1)]),
            "at": pa.array([datetime(2020, 1, 1, 12), None, datetime(1950, 1, 1)], pa.timestamp("us")),
            "money": pa.array([Decimal("-12.34"), Decimal("9999999.99"), None], pa.decimal128(9, 2)),
            "text": ["", None, "x" * 33],
            "large": pa.array(["y", "z", None], pa.large_string()),
            "raw": [b"\x00\xff", b"", None],
            "kind": pa.array(["a", None, "b"]).dictionary_encode(),
        }
    )
    asked = pa.table({"id": [3, 2, 9, 1]})
    ran = query_pair(listed, asked, on=KeySpec("id", "int"))
    assert ran.rows == expected(listed, asked)
    assert ran.table.schema.field("money").type == pa.decimal128(9, 2)


def test_a_list_without_payload() -> None:
    listed = LIST.select(["id"])
    asked = pa.table({"id": ["acct-00001", "x"]})
    assert query_pair(listed, asked).rows == expected(listed, asked)


def test_chosen_columns_and_other_key_names() -> None:
    asked = pa.table({"account": ["acct-00003", "x"]})
    ran = query_pair(LIST, asked, querier_on="account", columns=("score",))
    assert ran.rows == [
        {"account": "acct-00003", "found": True, "score": 3},
        {"account": "x", "found": False, "score": None},
    ]


def test_composite_keys() -> None:
    listed = pa.table({"country": ["de", "de", "fr"], "no": [1, 2, 1], "n": [10, 20, 30]})
    asked = pa.table({"c": ["fr", "fr", "de"], "k": ["1", "2", "2"]})
    ran = query_pair(
        listed, asked, on=["country", KeySpec("no", "int")], querier_on=["c", KeySpec("k", "int")]
    )
    assert [(row["found"], row["n"]) for row in ran.rows] == [(True, 30), (False, None), (True, 20)]


def test_answers_longer_than_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis.mpc.pir import entries

    monkeypatch.setattr(entries, "MESSAGE_BYTES", 4096)
    asked = pa.table({"id": ["acct-00007", "x", "acct-00270"]})
    assert query_pair(LIST, asked).rows == expected(LIST, asked)


def test_text_bytes_and_capacity() -> None:
    asked = pa.table({"id": ["acct-00001"]})
    ran = query_pair(LIST, asked, text_bytes=100, capacity=1000)
    assert ran.owner.agreed.shape.bound == 1000
    assert ran.owner.agreed.columns[0].width == 100
    assert ran.rows == expected(LIST, asked)
    owner, _, _, _ = start(LIST, asked, text_bytes=5)
    with pytest.raises(DataError, match="'reason' has a value of 24 bytes"):
        owner.result()
    owner, _, _, _ = start(LIST, asked, capacity=299)
    with pytest.raises(DataError, match="300 keys and capacity is 299"):
        owner.result()


def test_unsuitable_columns_are_refused() -> None:
    source = TableSource(pa.table({"id": ["a"], "tags": [["x"]]}))
    with pytest.raises(DataError, match="'tags' is of type list"):
        prepare(source, [KeySpec("id")], salt=b"s", prefix_bits=0)
    with pytest.raises(DataError, match="no column 'x'"):
        prepare(source, [KeySpec("id")], salt=b"s", prefix_bits=0, columns=["x"])


def test_capacity_is_rounded_up() -> None:
    assert [round_capacity(n) for n in (0, 16, 17, 33, 1000, 1025)] == [16, 16, 18, 36, 1024, 1152]
    for n in range(17, 5000, 13):
        assert n <= round_capacity(n) <= n * 1.125 + 1


def exact_bound(capacity: int, prefix_bits: int) -> int:
    """The smallest m with 2^k P[Binomial(capacity, 2^-k) > m] <= 2^-40, in exact fractions."""
    from fractions import Fraction
    from math import comb

    p = Fraction(1, 1 << prefix_bits)
    tail, m = Fraction(0), capacity
    while m > 0:
        tail += comb(capacity, m) * p**m * (1 - p) ** (capacity - m)
        if tail * (1 << prefix_bits) > Fraction(1, 1 << 40):
            return m
        m -= 1
    return 1


@pytest.mark.parametrize(
    ("capacity", "prefix_bits"), [(1, 3), (16, 1), (16, 4), (100, 2), (200, 5), (500, 3), (1000, 10)]
)
def test_bound_of_a_bucket(capacity: int, prefix_bits: int) -> None:
    """At least the exact one, and hardly above it."""
    exact, bound = exact_bound(capacity, prefix_bits), ot_query.bucket_bound(capacity, prefix_bits)
    assert exact <= bound <= exact + 1


def test_bounds_of_large_lists() -> None:
    assert ot_query.bucket_bound(1 << 20, 0) == 1 << 20
    for prefix_bits in (4, 8, 12):
        mean = 2.0 ** (20 - prefix_bits)
        bound = ot_query.bucket_bound(1 << 20, prefix_bits)
        assert mean + 6 * mean**0.5 < bound < mean + 12 * mean**0.5
    k = ot_query.recommended_prefix_bits(1 << 20)
    assert ot_query.bucket_bound(1 << 20, k) <= 4096 < ot_query.bucket_bound(1 << 20, k - 1)


def test_buckets_partition_the_list() -> None:
    prepared = prepare(TableSource(LIST), [KeySpec("id")], salt=b"s", prefix_bits=4)
    seen = []
    for number in range(16):
        digests, records = prepared.bucket(number)
        assert digests.shape == (16, prepared.bound)
        assert records.shape == (prepared.bound, prepared.records.shape[1])
        real = records.any(axis=1)
        assert set(ot_query.bucket_of(np.ascontiguousarray(digests.T[real]), 4)) <= {number}
        seen.append(int(real.sum()))
    assert sum(seen) == 300


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prefix_bits": 25}, "prefix_bits is 25"),
        ({"prefix_bits": -1}, "prefix_bits is -1"),
        ({"list_name": ""}, "list_name"),
        ({"hash": "md5"}, "hash is 'md5'"),
        ({"max_rows": 0}, "max_rows is 0"),
        ({"capacity": 0}, "capacity is 0"),
        ({"max_queries": 0}, "max_queries is 0"),
        ({"text_bytes": 0}, "text_bytes is 0"),
        ({"pad_queries": 0}, "pad_queries is 0"),
        ({"min_bucket": True}, "min_bucket is True"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    owner, querier, _, _ = start(LIST, pa.table({"id": ["a"]}), **options)
    errors = [str(e) for future in (owner, querier) if isinstance(e := future.exception(), ConfigError)]
    assert any(told in text for text in errors)

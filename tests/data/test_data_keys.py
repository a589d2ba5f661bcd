# SPDX-License-Identifier: Apache-2.0
"""Canonical encoding and key tables, against an obvious implementation with hashlib and dictionaries."""

from __future__ import annotations

import datetime
import decimal
import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import DataError
from crypsis.mpc.data import KeySpec, TableSource, digest_keys, open_source, row_digests
from crypsis.mpc.data.grouping import DigestBuffer, group


def sha256(data: bytes, domain: bytes) -> bytes:
    return hashlib.sha256((bytes([len(domain)]) + domain).ljust(64, b"\0") + data).digest()


def expected_digest(values: list[bytes], types: list[str], salt: bytes = b"") -> bytes:
    suffix = sha256(salt, b"crypsis/salt/v1")[:16].hex().encode() if salt else b""
    if len(values) == 1:
        return sha256(values[0], b"crypsis/row1/v2/" + types[0].encode() + b"/" + suffix)[:16]
    parts = [sha256(v, b"crypsis/key/v1/" + t.encode()) for v, t in zip(values, types, strict=True)]
    return sha256(b"".join(parts), b"crypsis/row/v1/%d/" % len(parts) + suffix)[:16]


def digest_of(column: pa.Array, key_type: str) -> list[bytes]:
    return [bytes(d) for d in row_digests([column], [key_type])]


ENCODINGS = [
    (pa.array(["00123", "é", ""]), "string", [b"00123", "é".encode(), b""]),
    (pa.array(["e\u0301"], pa.large_string()), "string", ["e\u0301".encode()]),
    (pa.array([0, -12, 2**63 - 1]), "string", [b"0", b"-12", b"9223372036854775807"]),
    (pa.array([2**64 - 1], pa.uint64()), "string", [str(2**64 - 1).encode()]),
    (pa.array([datetime.date(2024, 2, 29)]), "string", [b"2024-02-29"]),
    (pa.array([datetime.date(2024, 2, 29)], pa.date64()), "string", [b"2024-02-29"]),
    (pa.array([b"abc"]), "string", [b"abc"]),
    (pa.array([decimal.Decimal(10**20)], pa.decimal128(38, 0)), "string", [b"1" + b"0" * 20]),
    (pa.array(["1", "+1", "-0", "007", "-9223372036854775808"]), "int",
     [v.to_bytes(8, "little", signed=True) for v in (1, 1, 0, 7, -(2**63))]),
    (pa.array([1, -1], pa.int8()), "int", [(1).to_bytes(8, "little"), b"\xff" * 8]),
    (pa.array([decimal.Decimal(-5)], pa.decimal128(18, 0)), "int", [(-5).to_bytes(8, "little", signed=True)]),
    (pa.array([b"\xff\x00", b""]), "bytes", [b"\xff\x00", b""]),
    (pa.array([b"\xff\x00"], pa.binary(2)), "bytes", [b"\xff\x00"]),
    (pa.array(["é"]), "bytes", ["é".encode()]),
    (pa.array(["1970-01-02", "1969-12-31"]), "date", [(1).to_bytes(8, "little"), b"\xff" * 8]),
    (pa.array([datetime.date(1970, 1, 2)]), "date", [(1).to_bytes(8, "little")]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "key_type", "encoded"), ENCODINGS)
def test_canonical_bytes(column, key_type, encoded):
    assert digest_of(column, key_type) == [expected_digest([e], [key_type]) for e in encoded]
    padded = pa.concat_arrays([column[:1], column, column[:1]])
    assert digest_of(padded.slice(1, len(column)), key_type) == digest_of(column, key_type)


def test_composite_salted_and_split_keys_differ():
    a, b = pa.array(["ab", "a"]), pa.array(["c", "bc"])
    digests = [bytes(d) for d in row_digests([a, b], ["string", "string"], salt=b"job 7")]
    assert digests == [
        expected_digest([x, y], ["string", "string"], b"job 7") for x, y in ((b"ab", b"c"), (b"a", b"bc"))
    ]
    all_of_them = {
        *digests,
        *(bytes(d) for d in row_digests([a, b], ["string", "string"])),
        *digest_of(pa.array(["abc"]), "string"),
        *digest_of(pa.array(["abc"]), "bytes"),
    }
    assert len(all_of_them) == 6


def check_table(table: pa.Table, keys: list[KeySpec], values: list[tuple[bytes, ...] | None]) -> None:
    result = digest_keys(TableSource(table), keys)
    groups: dict[bytes, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None:
            groups.setdefault(expected_digest(list(value), [k.type for k in keys]), []).append(row)
    assert result.n_rows == len(values)
    assert result.n_null == sum(v is None for v in values)
    assert result.n_unique == len(groups)
    assert [bytes(d) for d in result.digests] == sorted(groups)
    assert np.split(result.rows, result.starts[1:-1]) if len(groups) else len(result.rows) == 0
    for i, digest in enumerate(sorted(groups)):
        assert result.rows[result.starts[i] : result.starts[i + 1]].tolist() == groups[digest]
    assert result.counts.tolist() == [len(groups[d]) for d in sorted(groups)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "1", "01", None, "é"]), st.sampled_from([1, 2, None])), max_size=30
    )
)
def test_key_table_groups_rows(pairs):
    table = pa.table(
        {"s": pa.array([p[0] for p in pairs], pa.string()), "i": pa.array([p[1] for p in pairs], pa.int32())}
    )
    values = [None if None in p else (p[0].encode(), p[1].to_bytes(8, "little")) for p in pairs]
    check_table(table, [KeySpec("s"), KeySpec("i", "int")], values)
    check_table(table, [KeySpec("s")], [None if p[0] is None else (p[0].encode(),) for p in pairs])


def test_many_rows_across_batches():
    ids = [str(i % 40_000) for i in range(70_000)]
    check_table(pa.table({"id": ids}), [KeySpec("id")], [(i.encode(),) for i in ids])


def group_plainly(digests):
    groups: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests):
        groups.setdefault(bytes(digest), []).append(row)
    return groups


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=40), st.integers(0, 3)
)
def test_equal_first_words_with_other_second_words_are_sorted_exactly(items, n_random):
    digests = np.zeros((len(items), 16), np.uint8)
    for digest, (high, low, swap) in zip(digests, items, strict=True):
        digest[0 if swap else 7] = high * 100
        digest[8 if swap else 15] = low * 80
    digests[:n_random] = 255
    buffer = DigestBuffer()
    for digest in digests:
        buffer.append(digest[None, :])
    result = group(buffer, n_rows=len(items), null_rows=np.empty(0, np.uint64))
    groups = group_plainly(digests)
    assert [bytes(d) for d in result.digests] == sorted(groups)
    for i, digest in enumerate(sorted(groups)):
        assert result.rows[result.starts[i] : result.starts[i + 1]].tolist() == groups[digest]


def test_int_and_text_columns_meet(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id\n1\n007\n+3\n")
    text = digest_keys(open_source(tmp_path / "a.csv"), [KeySpec("id", "int")])
    ints = digest_keys(TableSource(pa.table({"id": [1, 7, 3]})), [KeySpec("id", "int")])
    assert np.array_equal(text.digests, ints.digests)
    as_text = digest_keys(TableSource(pa.table({"id": ["1", "7", "3"]})), [KeySpec("id")])
    ints_as_text = digest_keys(TableSource(pa.table({"id": [1, 7, 3]})), [KeySpec("id")])
    assert np.array_equal(as_text.digests, ints_as_text.digests)
    assert not np.array_equal(as_text.digests, ints.digests)


@pytest.mark.parametrize(
    ("column", "key_type", "says"),
    [
        (pa.array([1.5]), "string", "floats"),
        (pa.array([True]), "int", "boolean"),
        (pa.array([decimal.Decimal("1.5")]), "string", "decimals"),
        (pa.array([0], pa.timestamp("s")), "date", "times"),
        (pa.array([1]), "bytes", "cannot be a 'bytes' key"),
        (pa.array([1]), "date", "cannot be a 'date' key"),
        (pa.array([b"1"]), "int", "cannot be a 'int' key"),
        (pa.array([[1]]), "string", "cannot be a 'string' key"),
    ],
)
def test_types_that_cannot_be_keys(column, key_type, says):
    with pytest.raises(DataError, match=says) as caught:
        digest_keys(TableSource(pa.table({"k": column})), [KeySpec("k", key_type)])
    assert "'k'" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "key_type", "row"),
    [
        (["1", None, "12x34", "y"], "int", 3),
        (["1", " 2"], "int", 2),
        (["0x1F"], "int", 1),
        (["1", None, "2", "9223372036854775808"], "int", 4),
        (["2024-01-31", "2024-02-30"], "date", 2),
        (["2024-1-31"], "date", 1),
        ([b"ok", b"\xff"], "string", 2),
    ],
)
def test_a_bad_value_is_named_by_row_and_not_shown(values, key_type, row):
    with pytest.raises(DataError, match=f"row {row}: key column 'k'") as caught:
        digest_keys(TableSource(pa.table({"k": values})), [KeySpec("k", key_type)])
    assert "12x34" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_null_policy():
    source = TableSource(pa.table({"k": ["a", "b", None], "l": ["x", None, None]}))
    assert digest_keys(source, [KeySpec("k"), KeySpec("l")]).n_null == 2
    with pytest.raises(DataError, match=r"row 2: key column 'l' is NULL"):
        digest_keys(source, [KeySpec("k"), KeySpec("l")], null_policy="error")
    nothing = TableSource(pa.table({"k": pa.nulls(3)}))
    assert digest_keys(nothing, [KeySpec("k")]).n_null == 3


@pytest.mark.parametrize("dtype", [pa.string(), pa.int64()])
def test_an_empty_table_is_ordinary(dtype):
    result = digest_keys(TableSource(pa.table({"k": pa.array([], dtype)})), [KeySpec("k")])
    assert (result.n_rows, result.n_unique, result.starts.tolist()) == (0, 0, [0])


def test_arguments_are_checked():
    source = TableSource(pa.table({"k": ["a"]}))
    with pytest.raises(ValueError, match="at least one key"):
        digest_keys(source, [])
    with pytest.raises(ValueError, match="twice"):
        digest_keys(source, [KeySpec("k"), KeySpec("k")])
    with pytest.raises(ValueError, match=r"KeySpec\.type"):
        KeySpec("k", "float")
    with pytest.raises(ValueError, match="null_policy"):
        digest_keys(source, [KeySpec("k")], null_policy="match")
    with pytest.raises(DataError, match=r"no column 'q'; the columns are 'k'"):
        digest_keys(source, [KeySpec("q")])


def test_progress_is_reported():
    calls = []
    source = TableSource(pa.table({"k": np.arange(100_000)}))
    digest_keys(source, [KeySpec("k", "int")], progress=lambda *a: calls.append(a))
    assert calls[-1] == ("digest keys", 100_000, 100_000)
    assert len(calls) == 2


def test_the_example_of_the_documentation():
    assert (
        row_digests([pa.array(["00123"])], ["string"]).tobytes().hex() == "7d861427f8a48a001673c0b4104b5243"
    )

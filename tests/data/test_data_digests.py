# SPDX-License-Identifier: Apache-2.0
"""The digest stream against row_digests of the whole table, and the thread that reads ahead."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data import KeySpec, TableSource, digest_keys, digest_stream, open_source, row_digests
from crypsis.mpc.data import digests as digests_module
from crypsis.mpc.data.ahead import run_ahead


def whole(stream):
    blocks = list(stream)
    if not blocks:
        return np.empty((0, 16), np.uint8), np.empty(0, np.uint32), 0
    return np.concatenate([d for d, _ in blocks]), np.concatenate([r for _, r in blocks]), len(blocks)


@pytest.fixture
def block_rows(monkeypatch):
    return lambda n: monkeypatch.setattr(digests_module, "BLOCK_ROWS", n)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=40),
    st.lists(st.integers(0, 9), max_size=12),
    st.sampled_from([1, 7, 1 << 18]),
    st.sampled_from([b"", b"salt"]),
    st.booleans(),
)
def test_blocks_are_the_rows_in_order(values, sizes, block, salt, composite):
    columns = {"k": pa.array(values, pa.int32()), "t": pa.array([str(v) for v in values], pa.string())}
    table = pa.table(columns)
    parts, at = [], 0
    for size in [*sizes, len(values)]:
        parts.append(table.slice(at, size))
        at += size
    specs = [KeySpec("k", "int"), KeySpec("t")] if composite else [KeySpec("k", "int")]
    saved, digests_module.BLOCK_ROWS = digests_module.BLOCK_ROWS, block
    try:
        stream = digest_stream(TableSource(pa.concat_tables(parts)), specs, salt=salt)
        digests, rows, _ = whole(stream)
        keys = digest_keys(TableSource(pa.concat_tables(parts)), specs, salt=salt)
    finally:
        digests_module.BLOCK_ROWS = saved
    kept = [i for i, v in enumerate(values) if v is not None]
    assert rows.tolist() == kept
    assert rows.dtype == np.uint32
    assert (stream.n_rows, stream.n_null) == (len(values), len(values) - len(kept))
    named = [columns[s.name].take(pa.array(kept, pa.int64())) for s in specs]
    assert np.array_equal(digests, row_digests(named, [s.type for s in specs], salt=salt))
    assert sorted(keys.rows.tolist()) == kept
    assert (keys.n_rows, keys.n_null) == (stream.n_rows, stream.n_null)
    assert {bytes(d) for d in keys.digests} == {bytes(d) for d in digests}


def test_blocks_join_batches_and_split_nothing(block_rows):
    table = pa.table({"k": np.arange(200_000)})
    block_rows(140_000)  # two batches of 65,536 fit, the third does not
    blocks = list(digest_stream(TableSource(table), [KeySpec("k", "int")]))
    assert [len(rows) for _, rows in blocks] == [131_072, 68_928]
    block_rows(10)  # a batch that is larger than a block is a block
    sizes = [len(r) for _, r in digest_stream(TableSource(table), [KeySpec("k", "int")])]
    assert sizes == [65_536, 65_536, 65_536, 3_392]


def test_row_ids_beyond_32_bits(monkeypatch):
    table = pa.table({"k": np.arange(200_000)})
    monkeypatch.setattr(digests_module, "_LIMIT32", 100_000)
    blocks = list(digest_stream(TableSource(table), [KeySpec("k", "int")]))
    assert [(len(r), r.dtype) for _, r in blocks] == [(65_536, np.uint32), (134_464, np.uint64)]
    assert np.array_equal(np.concatenate([r for _, r in blocks]), np.arange(200_000))


def test_arrays_are_the_consumers_to_keep(block_rows):
    block_rows(65_536)
    table = pa.table({"k": np.arange(200_000)})
    blocks = [(d, r, d.copy(), r.copy()) for d, r in digest_stream(TableSource(table), [KeySpec("k", "int")])]
    assert all(np.array_equal(d, d2) and np.array_equal(r, r2) for d, r, d2, r2 in blocks)


def test_a_file_of_nulls_only_gives_no_block(tmp_path):
    pq.write_table(pa.table({"k": pa.array([None] * 9, pa.string())}), tmp_path / "a.parquet")
    stream = digest_stream(open_source(tmp_path / "a.parquet"), [KeySpec("k")])
    assert list(stream) == []
    assert (stream.n_rows, stream.n_null) == (9, 9)
    assert digest_keys(open_source(tmp_path / "a.parquet"), [KeySpec("k")]).n_null == 9


def test_errors_come_in_their_turn(tmp_path, block_rows):
    block_rows(1)
    (tmp_path / "a.csv").write_text("k,v\n1,2\n")
    (tmp_path / "b.csv").write_text("k,v\n2,3\n4\n")
    before = set(threading.enumerate())
    stream = digest_stream(open_source(tmp_path / "*.csv"), [KeySpec("k")])
    assert next(stream)[1].tolist() == [0]
    with pytest.raises(CorruptData, match=r"b\.csv: line 3"):
        list(stream)
    for column, policy, says in (
        (["1", "x"], "ignore", "row 2: key column 'k'"),
        (["1", None], "error", "row 2: .* NULL"),
    ):
        source = TableSource(pa.table({"k": column}))
        with pytest.raises(DataError, match=says):
            list(digest_stream(source, [KeySpec("k", "int")], null_policy=policy))
    assert not any(t.name == "crypsis-ahead" for t in set(threading.enumerate()) - before)


@pytest.mark.parametrize(
    ("specs", "options", "error", "says"),
    [
        ([], {}, ValueError, "at least one"),
        ([KeySpec("k"), KeySpec("k")], {}, ValueError, "twice"),
        ([KeySpec("q")], {}, DataError, "no column 'q'"),
        ([KeySpec("k")], {"null_policy": "match"}, ValueError, "null_policy"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(specs, options, error, says):
    with pytest.raises(error, match=says):
        digest_stream(TableSource(pa.table({"k": ["a"]})), specs, **options)


def test_types_are_checked_at_the_first_batch():
    with pytest.raises(DataError, match="floats"):
        next(digest_stream(TableSource(pa.table({"k": [1.5]})), [KeySpec("k")]))


def test_closing_early_ends_the_thread_and_closes_the_source():
    before = set(threading.enumerate())
    closed = []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(threading.current_thread().name)

    ahead = run_ahead(items(), depth=3)
    assert [next(ahead) for _ in range(5)] == [0, 1, 2, 3, 4]
    ahead.close()
    assert closed == ["crypsis-ahead"]
    stream = digest_stream(TableSource(pa.table({"k": np.arange(900_000)})), [KeySpec("k", "int")])
    next(stream)
    stream.close()
    assert list(stream) == []
    assert not any(t.name == "crypsis-ahead" for t in set(threading.enumerate()) - before)


def test_run_ahead_is_bounded_and_passes_errors():
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i
        raise KeyError("at the end")

    ahead = run_ahead(items(), depth=2)
    for i in range(20):
        assert next(ahead) == i
        assert len(made) <= i + 4
    with pytest.raises(KeyError, match="at the end"):
        next(ahead)
    assert list(run_ahead(iter([]))) == []
    with pytest.raises(ValueError, match="depth"):
        run_ahead(iter([]), depth=0)

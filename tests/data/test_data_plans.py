# SPDX-License-Identifier: Apache-2.0
"""Masks and plans in files against the plans in memory: the same output, whatever the join and the memory."""

from __future__ import annotations

import errno
import os
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data import (
    FilePlan,
    JoinPlan,
    KeySpec,
    RowMask,
    TableSource,
    count_pairs,
    digest_keys,
    gather_table,
    matched_pairs,
    matched_rows,
    open_source,
    pair_rows,
    plan_join,
    select_rows,
    write_index,
    write_output,
)
from crypsis.mpc.data import gather_files as gather_module
from crypsis.mpc.data import joins as joins_module
from crypsis.mpc.data import output as output_module
from crypsis.mpc.data import plans as plans_module
from crypsis.mpc.data.plans import IndexFile, NullRows, in_memory

JOINS = ("inner", "left", "right", "full", "difference")
SIDES = ("left", "right")


def keys_of(values):
    return digest_keys(TableSource(pa.table({"k": pa.array(values, pa.int64())})), [KeySpec("k", "int")])


def masked(keys, matched, join, side):
    mask = RowMask.empty(keys.n_rows, join=join, own_side=side)
    mask.mark(matched_rows(keys, matched))
    return mask


VALUES = st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=60)


@settings(max_examples=30, deadline=None)
@given(VALUES, st.integers(0, 99))
def test_masks_are_the_selected_rows(values, seed):
    keys = keys_of(values)
    rng = np.random.default_rng(seed)
    matched = rng.permutation(keys.n_unique)[: rng.integers(0, keys.n_unique + 1)]
    for join in JOINS:
        for side in SIDES:
            plan = select_rows(keys, matched, join=join, own_side=side)
            mask = masked(keys, matched, join, side)
            same = in_memory(mask)
            assert same.rows.tolist() == plan.rows.tolist()
            assert same.rows.dtype == plan.rows.dtype
            assert same.matched.tolist() == plan.matched.tolist()
            assert (len(mask), mask.n_matched) == (len(plan), plan.n_matched)
            assert mask.n_partnered == len(matched_rows(keys, matched))
            lone = np.concatenate([np.empty(0, np.int64), *mask.unpartnered_rows()])
            assert lone.tolist() == np.setdiff1d(np.arange(len(values)), matched_rows(keys, matched)).tolist()


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_masked_output_is_the_selected_output(tmp_path, join, side, suffix):
    n = 20_003
    table = pa.table(
        {
            "k": pa.array([None if i % 97 == 0 else i // 2 for i in range(n)], pa.int64()),
            "s": [f"é{i}" for i in range(n)],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=9000)
    source = open_source(tmp_path / "in.parquet")
    keys = digest_keys(source, [KeySpec("k", "int")])
    matched = np.random.default_rng(3).permutation(keys.n_unique)[: keys.n_unique // 3]
    plan = select_rows(keys, matched, join=join, own_side=side)
    mask = masked(keys, matched, join, side)
    a = write_output(source, plan, tmp_path / f"a.{suffix}", indicator="both")
    b = write_output(source, mask, tmp_path / f"b.{suffix}", indicator="both")
    assert a.n_rows == b.n_rows == len(mask)
    assert read_back(tmp_path / f"a.{suffix}").equals(read_back(tmp_path / f"b.{suffix}"))
    assert gather_table(table, mask, indicator="both").equals(gather_table(table, plan, indicator="both"))
    assert write_output(source, mask, tmp_path / f"c.{suffix}", columns=["s"]).n_rows == len(mask)


@pytest.mark.parametrize("join", ["inner", "difference", "full"])
def test_batches_that_begin_inside_a_byte_of_the_mask(tmp_path, join):
    rng = np.random.default_rng(8)
    table = pa.table({"v": np.arange(1000)})
    odd = pa.concat_tables(
        [table.slice(a, b - a) for a, b in ((0, 3), (3, 3), (3, 16), (16, 501), (501, 1000))]
    )
    mask = RowMask.empty(1000, join=join)
    partners = rng.permutation(1000)[:400].astype(np.uint32)
    mask.mark(partners)
    write_output(TableSource(odd), mask, tmp_path / "o.parquet", indicator="both")
    kept = {"inner": np.sort(partners), "full": np.arange(1000)}.get(
        join, np.setdiff1d(np.arange(1000), partners)
    )
    back = pq.read_table(tmp_path / "o.parquet")
    assert back["v"].to_pylist() == kept.tolist()
    assert back["both"].to_pylist() == np.isin(kept, partners).tolist()


def read_back(path):
    source = open_source(path)
    return pa.Table.from_batches(source.batches(), schema=source.schema)


@pytest.mark.parametrize("chunk", [1, 3, 1 << 21])
def test_pair_rows_by_definition(monkeypatch, chunk):
    monkeypatch.setattr(joins_module, "_CHUNK_ROWS", chunk)
    rng = np.random.default_rng(chunk)
    for counts, most in ((np.ones(40, np.int64), 1), (rng.integers(1, 5, 40), 6), (np.full(3, 50), 90)):
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        rows = rng.permutation(int(starts[-1])).astype(np.uint32)
        matched = rng.permutation(len(counts))[: len(counts) - 2].astype(np.uint32)
        peer = rng.integers(1, most + 1, len(matched)).astype(np.uint32)
        expected = {"left": [], "right": []}
        for key, n_peer in zip(matched.tolist(), peer.tolist(), strict=True):
            own = rows[starts[key] : starts[key + 1]].tolist()
            expected["left"] += [row for row in own for _ in range(n_peer)]
            expected["right"] += [row for _ in range(n_peer) for row in own]
        for side in SIDES:
            parts = list(pair_rows(starts, rows, matched, peer, own_side=side))
            assert np.concatenate(parts).tolist() == expected[side]
            assert all(len(part) <= chunk and part.dtype == np.uint32 for part in parts)
        assert count_pairs(starts, matched, peer) == len(expected["left"])
        alone = np.concatenate(list(pair_rows(starts, rows, matched)))
        assert alone.tolist() == [
            r for k in matched.tolist() for r in rows[starts[k] : starts[k + 1]].tolist()
        ]
    assert list(pair_rows(starts, rows, matched[:0], peer[:0])) == []
    with pytest.raises(DataError, match="2\\^62"):
        count_pairs(starts, matched, np.full(len(matched), 2**61))
    with pytest.raises(ValueError, match="own_side"):
        list(pair_rows(starts, rows, matched, own_side="both"))


def file_plan(directory, keys, matched, peer_counts, n_bins, join, side, peer_unmatched, limit=None):
    """The plan as a job makes it: the matched keys come in bins, each writes its piece."""
    pieces = []
    for number, at in enumerate(np.array_split(np.arange(len(matched)), n_bins)):
        part = matched[at], None if peer_counts is None else peer_counts[at]
        rows = pair_rows(keys.starts, keys.rows, *part, own_side=side)
        pieces.append(write_index(directory / f"{join}-{side}-{number}.rows", rows))
    mask = masked(keys, matched, join, side)
    return FilePlan.aligned(pieces, mask, peer_unmatched_rows=peer_unmatched, max_output_rows=limit)


@settings(max_examples=12, deadline=None)
@given(VALUES, st.integers(0, 99), st.integers(1, 4), st.booleans(), st.integers(0, 9))
def test_plans_in_files_are_the_plans_in_memory(tmp_path_factory, values, seed, n_bins, ones, peer_unmatched):
    keys = keys_of(values)
    rng = np.random.default_rng(seed)
    matched = rng.permutation(keys.n_unique)[: rng.integers(0, keys.n_unique + 1)]
    peer_counts = None if ones else rng.integers(1, 5, len(matched))
    directory = tmp_path_factory.mktemp("pieces")
    table = pa.table({"v": pa.array([i * 7 for i in range(len(values))], pa.int64())})
    for join in JOINS:
        for side in SIDES:
            plan = plan_join(
                keys, matched, peer_counts, join=join, own_side=side, peer_unmatched_rows=peer_unmatched
            )
            files = file_plan(directory, keys, matched, peer_counts, n_bins, join, side, peer_unmatched)
            assert (len(files), files.n_matched) == (len(plan), plan.n_matched)
            same = in_memory(files)
            assert same.rows.tolist() == plan.rows.tolist()
            assert same.rows.dtype == plan.rows.dtype
            both = [gather_table(table, p, indicator="both") for p in (files, plan)]
            assert both[0].equals(both[1])


@pytest.mark.parametrize(("join", "side"), [("full", "right"), ("inner", "left"), ("difference", "left")])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_output_from_files_is_the_output_from_memory(tmp_path, monkeypatch, join, side, suffix):
    monkeypatch.setattr(plans_module, "CHUNK_ROWS", 1 << 12)
    monkeypatch.setattr(output_module, "ORDER_BYTES", 1 << 30)  # nothing is small
    n = 12_000
    rng = np.random.default_rng(5)
    table = pa.table(
        {
            "position": pa.array(
                rng.integers(0, n // 2, n)
            ),  # the temporary files have a column of this name
            "s": [None if i % 11 == 0 else "é" * (i % 90) for i in range(n)],
            "l": [[i] * (i % 3) for i in range(n)],
        }
    )
    columns = ["position", "s"] + ["l"] * (suffix == "parquet")
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=3000)
    source = open_source(tmp_path / "in.parquet")
    keys = digest_keys(source, [KeySpec("position", "int")])
    matched = rng.permutation(keys.n_unique)[: keys.n_unique // 2]
    counts = rng.integers(1, 4, len(matched))
    counts[0] = 4000  # one key that is wanted very often
    plan = plan_join(keys, matched, counts, join=join, own_side=side, peer_unmatched_rows=77)
    work = tmp_path / "work"
    work.mkdir()
    files = file_plan(work, keys, matched, counts, 3, join, side, 77)
    used = []
    original = gather_module.Shares.of
    monkeypatch.setattr(gather_module.Shares, "of", lambda *a: used.append(original(*a)) or used[-1])
    options = {"columns": columns, "indicator": "both"}
    out = tmp_path / "out"
    out.mkdir()
    write_output(source, files, out / f"b.{suffix}", memory_limit=1 << 20, **options)
    write_output(source, plan, out / f"a.{suffix}", **options)
    assert used[0].range_rows < n
    assert used[0].window_rows < len(plan)
    assert read_back(out / f"a.{suffix}").equals(read_back(out / f"b.{suffix}"))
    assert sorted(os.listdir(out)) == [f"a.{suffix}", f"b.{suffix}"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-1, 499), min_size=1, max_size=300), st.integers(0, 60), st.integers(4, 60))
def test_any_order_from_files(tmp_path_factory, index, n_null, scale):
    """Small shares of memory: many ranges and windows, some empty, and null rows inside a piece."""
    directory = tmp_path_factory.mktemp("any")
    table = pa.table({"v": np.arange(500), "t": [f"t{i}" for i in range(500)]})
    rows = np.array(index, np.int64)
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    parts = (
        write_index(directory / "0", [first]),
        NullRows(n_null),
        write_index(directory / "1", [second[:5], second[5:]]),
    )
    plan = FilePlan(parts, 500, len(first))
    everything = np.concatenate([first, np.full(n_null, -1), second])
    shares = gather_module.Shares(scale, scale * 2, scale + 1, scale // 2)
    saved = gather_module.Shares.of
    gather_module.Shares.of = lambda *_: shares
    done = []
    try:
        batches = gather_module.gather_plan(
            TableSource(table), plan, ["t", "v"], bytes_per_row=9.0, memory_limit=1 << 20,
            directory=str(directory), advance=done.append,
        )  # fmt: skip
        result = pa.Table.from_batches(batches, schema=table.select(["t", "v"]).schema)
    finally:
        gather_module.Shares.of = saved
    assert result.equals(gather_table(table, everything, columns=["t", "v"]))
    assert done[-1] == 500
    assert sorted(os.listdir(directory)) == ["0", "1"]


def test_wide_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(gather_module, "_LIMIT32", 10)
    monkeypatch.setattr(output_module, "ORDER_BYTES", 1 << 30)
    table = pa.table({"v": np.arange(500)})
    rows = np.random.default_rng(1).permutation(500)
    plan = FilePlan((write_index(tmp_path / "0", [rows]),), 500, 500)
    write_output(TableSource(table), plan, tmp_path / "o.parquet", indicator="both")
    back = pq.read_table(tmp_path / "o.parquet")
    assert back["v"].to_pylist() == rows.tolist()
    assert all(back["both"].to_pylist())


def test_size_guard():
    mask = RowMask.empty(3)
    pieces = [IndexFile(f"{i}", 10**8, "<u4", "") for i in range(3)]
    with pytest.raises(DataError, match=r"300000000 rows.*duplicates multiply"):
        FilePlan.aligned(pieces, mask)
    with pytest.raises(DataError, match="max_output_rows=299999999"):
        FilePlan.aligned(pieces, mask, max_output_rows=3 * 10**8 - 1)
    assert len(FilePlan.aligned(pieces, mask, max_output_rows=3 * 10**8)) == 3 * 10**8
    keys = keys_of([1, 1, 2, None])
    assert matched_pairs(keys, np.array([0, 1]), np.array([2, 2])) == 6


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "foreign"])
def test_damaged_pieces_stop_the_output(tmp_path, monkeypatch, damage):
    piece = write_index(tmp_path / "piece", [np.arange(1000, dtype=np.uint32)])
    assert stat.S_IMODE(os.stat(piece.path).st_mode) == 0o600
    n_rows = 1000
    if damage == "flip":
        data = bytearray((tmp_path / "piece").read_bytes())
        data[4] ^= 1
        (tmp_path / "piece").write_bytes(data)
    elif damage == "cut":
        os.truncate(piece.path, 3996)
    elif damage == "gone":
        os.unlink(piece.path)
    else:
        n_rows = 999
    plan = FilePlan((piece,), n_rows, 1000)
    source = TableSource(pa.table({"v": np.arange(n_rows)}))
    for order_bytes in (1, 1 << 30):
        monkeypatch.setattr(output_module, "ORDER_BYTES", order_bytes)
        with pytest.raises(CorruptData, match=r"piece: .*remove the work directory"):
            write_output(source, plan, tmp_path / "o.parquet")
    assert [n for n in os.listdir(tmp_path) if n != "piece"] == []


def test_pieces_are_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "piece"
    kept = write_index(path, [np.arange(5, dtype=np.uint32)])

    def failing():
        yield np.arange(5, dtype=np.uint32)
        raise KeyError

    with pytest.raises(KeyError):
        write_index(path, failing())
    assert np.concatenate(list(kept.chunks())).tolist() == [0, 1, 2, 3, 4]
    assert write_index(path, []).n_rows == 0
    assert list(write_index(path, []).chunks()) == []
    with pytest.raises(ValueError, match="after uint32"):
        write_index(path, [np.arange(5, dtype=np.uint32), np.arange(5)])
    with pytest.raises(ValueError, match="uint32 or int64"):
        write_index(path, [np.arange(5, dtype=np.int16)])
    with pytest.raises(DataError, match="cannot be written"):
        write_index(tmp_path / "nowhere" / "piece", [])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plans_module.os, "write", full)
    with pytest.raises(DataError, match=r"piece: no space left .*4000 bytes of row ids or more are needed"):
        write_index(path, [np.arange(1000, dtype=np.uint32)])
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["piece"]


def test_temporary_files_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(output_module, "ORDER_BYTES", 1 << 30)
    plan = FilePlan((write_index(tmp_path / "piece", [np.arange(5000)]),), 5000, 5000)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gather_module._Pieces, "append", full)
    with pytest.raises(DataError, match=r"no space left .*of temporary files are needed"):
        write_output(TableSource(pa.table({"v": np.arange(5000)})), plan, tmp_path / "o.parquet")
    assert os.listdir(tmp_path) == ["piece"]


class Shifting(TableSource):
    """A source that has another number of rows than it says."""

    def __init__(self, n, shown):
        super().__init__(pa.table({"v": np.arange(n)}))
        self.n_rows = shown


@pytest.mark.parametrize("n", [90_000, 110_000])
def test_a_source_of_another_length_is_refused(tmp_path, monkeypatch, n):
    monkeypatch.setattr(output_module, "ORDER_BYTES", 1 << 30)
    for plan in (
        RowMask.empty(100_000, join="left"),
        FilePlan((write_index(tmp_path / "piece", [np.arange(100)]),), 100_000, 100),
    ):
        with pytest.raises(DataError, match=r"the input had 100000 rows .* and has not now"):
            write_output(Shifting(n, 100_000), plan, tmp_path / "o.parquet")
        with pytest.raises(ValueError, match="the plan is for 100000 rows"):
            write_output(Shifting(n, n), plan, tmp_path / "o.parquet")
        with pytest.raises(ValueError, match="the plan is for 100000 rows"):
            gather_table(pa.table({"v": np.arange(n)}), plan)
    assert os.listdir(tmp_path) == ["piece"]


def test_a_mask_that_changes_is_noticed():
    mask = RowMask.empty(10, join="left")
    plan = FilePlan.aligned([], mask)
    assert len(plan) == 10
    mask.mark(np.array([3]))
    with pytest.raises(CorruptData, match="the mask has changed"):
        list(plan.chunks())


def test_wrong_arguments():
    with pytest.raises(ValueError, match="join must be"):
        RowMask.empty(3, join="outer")
    with pytest.raises(ValueError, match="n_rows must not be negative"):
        RowMask.empty(-1)
    with pytest.raises(ValueError, match=r"bits must be contiguous uint8\[2\]"):
        RowMask(np.zeros(1, np.uint8), 9)
    with pytest.raises(ValueError, match="after the last row"):
        RowMask(np.array([0, 2], np.uint8), 9)
    mask = RowMask.empty(9)
    with pytest.raises(ValueError, match=r"outside 0\.\.8"):
        mask.mark(np.array([9]))
    with pytest.raises(ValueError, match=r"outside 0\.\.8"):
        mask.mark(np.array([-1]))
    with pytest.raises(ValueError, match="integers"):
        mask.mark(np.array([0.5]))
    mask.mark(np.array([8, 8, 0], np.uint64))
    mask.mark(np.empty(0, np.uint32))
    assert mask.bits.tolist() == [1, 1]
    with pytest.raises(ValueError, match="n_matched"):
        FilePlan((), 3, 1)
    with pytest.raises(ValueError, match="peer_unmatched_rows"):
        FilePlan.aligned([], mask, peer_unmatched_rows=-1)
    with pytest.raises(ValueError, match=r"IndexFile\.type"):
        IndexFile("x", 1, "<f8", "")
    with pytest.raises(TypeError, match="JoinPlan"):
        gather_table(pa.table({"v": [1]}), np.array([0]), indicator="both")
    assert isinstance(in_memory(mask), JoinPlan)

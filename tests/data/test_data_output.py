# SPDX-License-Identifier: Apache-2.0
"""Output files hold the rows of a plan in order, in every format, in memory or through a temporary file."""

from __future__ import annotations

import csv
import datetime
import hashlib
import os
import stat
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import DataError
from crypsis.mpc.data import (
    JoinPlan,
    TableSource,
    check_output,
    gather_table,
    open_source,
    write_output,
)
from crypsis.mpc.data import sinks as sinks_module
from crypsis.mpc.data.sinks import OutputFile

N = 5000
TABLE = pa.table(
    {
        "id": [f"{i:018d}" for i in range(N)],
        "text": [None if i % 7 == 0 else f'é "{i}",\n' * (i % 4) for i in range(N)],
        "n": pa.array([None if i % 5 == 0 else i * 10**14 for i in range(N)], pa.int64()),
        "list": [[i] * (i % 3) for i in range(N)],
    }
)
FLAT = ["id", "text", "n"]


def expected(index, names=tuple(TABLE.column_names)):
    rows = TABLE.select(list(names)).to_pylist()
    return [rows[i] if i >= 0 else dict.fromkeys(names) for i in index]


INDEX = {
    "empty": np.empty(0, np.int64),
    "all": np.arange(N, dtype=np.int32),
    "ascending": np.repeat(np.arange(0, N, 3), 2),
    "shuffled": np.random.default_rng(1).permutation(N).astype(np.int32),
    "nulls": np.concatenate([np.random.default_rng(2).integers(0, N, 2 * N), np.full(50, -1)]),
    "only nulls": np.full(4, -1),
}


@pytest.mark.parametrize("name", INDEX)
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_columnar_output(tmp_path, name, suffix):
    info = write_output(TableSource(TABLE), INDEX[name], tmp_path / f"o.{suffix}")
    back = open_source(info.path)
    assert [row for batch in back.batches() for row in batch.to_pylist()] == expected(INDEX[name])
    assert back.schema == TABLE.schema
    data = (tmp_path / f"o.{suffix}").read_bytes()
    assert (info.n_rows, info.n_bytes) == (len(INDEX[name]), len(data))
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert os.listdir(tmp_path) == [f"o.{suffix}"]


@pytest.mark.parametrize("name", INDEX)
def test_csv_output_reads_back_the_same_text(tmp_path, name):
    pq.write_table(TABLE, tmp_path / "in.parquet", row_group_size=700)
    source = open_source(tmp_path / "in.parquet")
    write_output(source, INDEX[name], tmp_path / "o.csv", columns=FLAT)
    as_text = [{**row, "n": row["n"] and str(row["n"])} for row in expected(INDEX[name], FLAT)]
    assert [row for b in open_source(tmp_path / "o.csv").batches() for row in b.to_pylist()] == as_text
    with open(tmp_path / "o.csv", newline="", encoding="utf-8") as file:
        plain = list(csv.reader(file))
    assert plain == [FLAT, *([v or "" for v in row.values()] for row in as_text)]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-1, N - 1), min_size=1, max_size=400))
def test_the_temporary_file_gives_what_memory_gives(tmp_path_factory, index):
    big = TABLE.append_column("blob", pa.array(["b" * 1500] * N))  # 7.5 MB where 1 MiB is allowed
    index = np.array((index * (3000 // len(index) + 1))[:3000])
    path = tmp_path_factory.mktemp("spill") / "o.parquet"
    write_output(TableSource(big), index, path, memory_limit=1 << 20)
    assert pq.read_table(path).drop(["blob"]).to_pylist() == expected(index)
    assert gather_table(big, index).drop(["blob"]).to_pylist() == expected(index)
    assert os.listdir(path.parent) == ["o.parquet"]


def test_indicator():
    plan = JoinPlan(np.array([3, 1, 0, -1]), 2)
    table = gather_table(TABLE, plan, columns=["id"], indicator="both")
    assert table["both"].to_pylist() == [True, True, False, False]
    mask = JoinPlan(np.array([0, 1, 5]), 1, np.array([False, True, False]))
    assert gather_table(TABLE, mask, indicator="both")["both"].to_pylist() == [False, True, False]
    with pytest.raises(TypeError, match="JoinPlan"):
        gather_table(TABLE, np.array([0]), indicator="both")
    with pytest.raises(DataError, match="exists already"):
        gather_table(TABLE, plan, indicator="id")


def test_indicator_in_files(tmp_path):
    n = 200_000
    source = TableSource(pa.table({"k": np.arange(n)}))
    plan = JoinPlan(np.arange(n)[::-1], 150_000)
    write_output(source, plan, tmp_path / "o.parquet", indicator="both", memory_limit=1 << 20)
    back = pq.read_table(tmp_path / "o.parquet")
    assert back["k"].to_pylist() == list(range(n))[::-1]
    assert back["both"].to_pylist() == [True] * 150_000 + [False] * 50_000


def test_csv_null_text_quotes_and_types(tmp_path):
    table = pa.table(
        {
            "s": ["NULL", None, "", 'a"b'],
            "d": [datetime.date(2024, 1, 2), None, None, None],
            "f": [0.1, 1e300, None, -0.0],
            "b": [True, None, False, True],
            "y": [b"x", None, b"", b","],
        }
    )
    write_output(TableSource(table), np.arange(4), tmp_path / "o.csv", null_rep="NULL")
    assert (tmp_path / "o.csv").read_text().splitlines() == [
        "s,d,f,b,y",
        '"NULL",2024-01-02,0.1,true,x',
        "NULL,NULL,1e+300,NULL,NULL",
        '"",NULL,NULL,false,""',
        '"a""b",NULL,-0,true,","',
    ]


def test_a_null_row_of_a_single_csv_column_keeps_its_line(tmp_path):
    write_output(TableSource(TABLE), np.array([1, -1]), tmp_path / "o.csv", columns=["id"])
    assert (tmp_path / "o.csv").read_bytes() == b'id\n000000000000000001\n""\n'


def test_csv_to_csv_keeps_the_text(tmp_path):
    text = b'id,amount\n007,1.50\n"",\n8,"1,5"\n'
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text)
    info = write_output(open_source(tmp_path / "a.csv"), np.arange(3), tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_bytes() == text
    assert info.n_rows == 3


def test_types_without_csv_form(tmp_path):
    with pytest.raises(DataError, match=r"'list'.*write Parquet"):
        write_output(TableSource(TABLE), np.array([0]), tmp_path / "o.csv")
    interval = pa.table({"m": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    for suffix in ("csv", "parquet"):
        with pytest.raises(DataError, match=f"cannot be written as {suffix}"):
            write_output(TableSource(interval), np.array([0]), tmp_path / f"o.{suffix}")
    with pytest.raises(DataError, match="not UTF-8"):
        write_output(TableSource(pa.table({"b": [b"\xff"]})), np.array([0]), tmp_path / "o.csv")
    assert os.listdir(tmp_path) == []


def test_existing_output_directory_and_permissions(tmp_path):
    source = TableSource(TABLE)
    path = tmp_path / "o.parquet"
    path.write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        write_output(source, np.array([0]), path)
    with pytest.raises(DataError, match="exists already"):
        check_output(source, path)
    assert path.read_text() == "mine"
    write_output(source, np.array([0]), path, overwrite=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        write_output(source, np.array([0]), tmp_path / "nowhere" / "o.csv", columns=FLAT)
    with pytest.raises(DataError, match="is a directory"):
        check_output(source, tmp_path, format="csv", columns=FLAT)
    with pytest.raises(DataError, match="set its format"):
        check_output(source, tmp_path / "o.xls")
    check_output(source, tmp_path / "new.csv", columns=FLAT)
    with pytest.raises(DataError, match=r"new.csv: column 'list' .* no CSV form"):
        check_output(source, tmp_path / "new.csv")
    with pytest.raises(DataError, match="null_rep is for CSV"):
        check_output(source, tmp_path / "new.arrow", null_rep="NULL")
    with pytest.raises(DataError, match="'id' is named twice"):
        check_output(source, tmp_path / "new.csv", columns=["id", "id"])
    assert os.listdir(tmp_path) == ["o.parquet"]


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_row_ids_are_checked(tmp_path):
    source = TableSource(TABLE)
    for bad in (np.array([N]), np.array([-2]), np.array([[0]]), np.array([0.5])):
        with pytest.raises(ValueError, match="row ids"):
            write_output(source, bad, tmp_path / "o.csv", columns=FLAT)
    with pytest.raises(ValueError, match="memory_limit"):
        write_output(source, np.array([0]), tmp_path / "o.csv", columns=FLAT, memory_limit=5)
    with pytest.raises(DataError, match="null_rep"):
        write_output(source, np.array([0]), tmp_path / "o.csv", columns=FLAT, null_rep="a,b")
    assert os.listdir(tmp_path) == []


def test_progress(tmp_path):
    calls = []
    write_output(TableSource(TABLE), np.arange(N), tmp_path / "o.arrow", progress=lambda *a: calls.append(a))
    assert calls == [("write output", N, N)]


def test_parquet_dictionaries_are_for_columns_that_repeat(tmp_path):
    n = 20_000
    table = pa.table(
        {
            "id": [f"{i:018d}" for i in range(n)],
            "a.b": pa.array([i % 9 for i in range(n)], pa.int64()),
            "none": pa.nulls(n, pa.string()),
        }
    )
    nested = table.append_column("l", pa.array([[1]] * n))
    for name, part, expected in (
        ("flat", table, {"id": False, "a.b": True}),
        ("few", table.slice(0, 100), {"id": True, "a.b": True}),
        ("nested", nested, {"id": True, "a.b": True}),
        ("only", table.select(["id"]), {"id": False}),
    ):
        path = tmp_path / f"{name}.parquet"
        write_output(TableSource(part), np.arange(len(part)), path)
        group = pq.ParquetFile(path).metadata.row_group(0)
        columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        assert {c: columns[c].has_dictionary_page for c in expected} == expected
        assert pq.read_table(path).equals(part)
    incomparable = table.append_column("nothing", pa.nulls(n))
    assert sinks_module._repetitive(incomparable) == ["a.b", "none", "nothing"]


def test_no_rows_are_a_whole_file(tmp_path):
    for suffix in ("parquet", "arrow"):
        write_output(TableSource(TABLE), np.empty(0, np.int64), tmp_path / f"o.{suffix}")
        assert open_source(tmp_path / f"o.{suffix}").schema == TABLE.schema


@pytest.mark.parametrize("columns", [["n"], ["n", "t"]])
def test_a_writer_that_fails_does_not_wait_for_the_source(tmp_path, monkeypatch, columns):
    read = []

    class Endless(TableSource):
        def batches(self, columns=None):
            for i in range(10**9):
                read.append(i)
                yield pa.record_batch({name: pa.array([i] * 9) for name in columns})

    source = Endless(pa.table({"n": [1], "t": [1]}))
    source.n_rows = 9 * 10**9
    monkeypatch.setattr(sinks_module, "GROUP_ROWS", 100)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(OutputFile, "write", interrupted)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        write_output(source, np.arange(10**6), tmp_path / "o.parquet", columns=columns)
    n_read = len(read)
    assert n_read < 10**5
    assert os.listdir(tmp_path) == []
    assert not any(thread.name == "crypsis-ahead" for thread in set(threading.enumerate()) - before)

# SPDX-License-Identifier: Apache-2.0
"""Directories of Parquet parts as warehouses leave them: what counts, in which order, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data import KeySpec, digest_keys, open_source, write_output

DEFAULT = "__HIVE_DEFAULT_PARTITION__"


def part(path, ids, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), **columns}), path)
    return path


def read(source, columns=None):
    found = [row for batch in source.batches(columns) for row in batch.to_pylist()]
    assert source.n_rows == len(found)
    return found


def ids(path, **options):
    return [row["id"] for row in read(open_source(path, **options))]


def fails(path, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(open_source(path, **options))
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


@pytest.fixture
def warehouse(tmp_path):
    """Two partition columns, four parts with rows, and all that a warehouse leaves beside them."""
    root = tmp_path / "customers.parquet"
    part(root / "country=fr%2Fx" / "day=2" / "part-0.snappy.parquet", ["f2"])
    part(root / "country=de" / "day=2" / "part-1.snappy.parquet", ["d2b"])
    part(root / "country=de" / "day=2" / "part-0.snappy.parquet", ["d2"])
    part(root / "country=de" / f"day={DEFAULT}" / "part-0.snappy.parquet", ["dn", None])
    part(root / "country=de" / "day=1" / "part-9.parquet", [])
    part(root / "country=aa" / "day=1" / "part-0.parquet", [], other=pa.array([], pa.int32()))
    (root / "country=de" / "day=1" / "part-8.parquet").touch()
    for name in ("_SUCCESS", "_committed_77", "_started_77", "._SUCCESS.crc", "country=de/.hidden.parquet"):
        (root / name).write_bytes(b"x")
    part(root / "_temporary" / "0" / "part-0.parquet", ["temporary"])
    part(root / ".staging" / "part-0.parquet", ["staging"])
    return root


def test_partition_columns_are_text_after_the_files_own(warehouse):
    source = open_source(warehouse)
    assert source.schema.names == ["id", "country", "day"]
    assert source.schema.types == [pa.string()] * 3
    expected = [
        {"id": "d2", "country": "de", "day": "2"},
        {"id": "d2b", "country": "de", "day": "2"},
        {"id": "dn", "country": "de", "day": None},
        {"id": None, "country": "de", "day": None},
        {"id": "f2", "country": "fr/x", "day": "2"},
    ]
    assert read(source) == expected
    assert source.locate(3).endswith(f"country=de/day={DEFAULT}/part-0.snappy.parquet: row 2")
    assert read(source, ["day"]) == [{"day": row["day"]} for row in expected]
    swapped = ["country", "id"]
    assert read(source, swapped) == [{name: row[name] for name in swapped} for row in expected]
    assert next(source.batches(swapped)).schema.names == swapped
    assert read(open_source(warehouse, columns=["country"]))[0] == {"country": "de"}


def test_partition_columns_are_keys_and_payload(warehouse, tmp_path):
    source = open_source(warehouse)
    keys = digest_keys(source, [KeySpec("country"), KeySpec("day", "int")])
    assert (keys.n_rows, keys.n_null, len(keys.digests)) == (5, 2, 2)
    flat = pa.table({"country": ["de", "fr/x"], "day": pa.array([2, 2], pa.int8())})
    pq.write_table(flat, tmp_path / "flat.parquet")
    there = digest_keys(open_source(tmp_path / "flat.parquet"), [KeySpec("country"), KeySpec("day", "int")])
    assert {bytes(d) for d in keys.digests} == {bytes(d) for d in there.digests}
    write_output(source, np.array([4, 0]), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"id": "f2", "country": "fr/x", "day": "2"},
        {"id": "d2", "country": "de", "day": "2"},
    ]


def test_globs_take_the_columns_from_their_first_wildcard_on(warehouse):
    every = read(open_source(warehouse))
    assert read(open_source(str(warehouse / "**" / "*.parquet"))) == every
    assert read(open_source(str(warehouse / "country=*"))) == every
    assert read(open_source(str(warehouse / "country=*" / "*" / "*"), format="parquet")) == every
    assert read(open_source(f"{warehouse}//country=de/day=*/")) == [
        {"id": row["id"], "day": row["day"]} for row in every if row["country"] == "de"
    ]
    assert read(open_source(warehouse / "country=de" / "day=2")) == [{"id": "d2"}, {"id": "d2b"}]
    both = [warehouse / "country=fr%2Fx" / "day=2", warehouse / "country=de" / "day=2"]
    assert ids(both) == ["f2", "d2", "d2b"]
    # What starts with _ or . is read by whoever asks for it by name.
    assert ids(warehouse / "_temporary") == ["temporary"]
    assert ids(str(warehouse / "_temp*" / "*" / "*.parquet")) == ["temporary"]
    fails(str(warehouse / "country=de" / "day=1" / "part-8*"), "part-8*: every file that matches is empty")


def test_directories_without_values_and_their_order(tmp_path):
    names = [f"{a}/{b}/x{c}.parquet" for a in ("b", "a", "a-b") for b in ("2", "10") for c in range(3)]
    random.Random(1).shuffle(names)
    for name in names:
        part(tmp_path / "t" / name, [name])
    assert ids(tmp_path / "t") == sorted(names)
    assert open_source(tmp_path / "t").schema.names == ["id"]
    os.symlink(tmp_path / "t" / "a", tmp_path / "linked")
    assert ids(tmp_path / "linked") == sorted(n.removeprefix("a/") and n for n in names if n.startswith("a/"))


def test_names_without_suffix_need_the_format(tmp_path):
    part(tmp_path / "t" / "ds=1" / "000000_0", ["1"])
    fails(tmp_path / "t", "set the format to parquet")
    fails(str(tmp_path / "t" / "*" / "*"), "000000_0", "set its format")
    assert ids(tmp_path / "t", format="parquet") == ["1"]


def test_two_thousand_parts(tmp_path):
    one = part(tmp_path / "one.parquet", ["a", "b"]).read_bytes()
    for i in range(2000):
        folder = tmp_path / "t" / f"bucket={i % 40}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"part-{i:05}.parquet").write_bytes(one)
    source = open_source(tmp_path / "t")
    assert (source.n_rows, len(source.files)) == (4000, 2000)
    assert list(source.files) == sorted(source.files)
    assert sum(batch.num_rows for batch in source.batches(["bucket"])) == 4000


def test_parts_without_rows_count_only_among_themselves(tmp_path):
    part(tmp_path / "t" / "a" / "0.parquet", [])
    part(tmp_path / "t" / "a" / "1.parquet", [])
    source = open_source(tmp_path / "t")
    assert (source.n_rows, source.schema.names, read(source)) == (0, ["id"], [])
    part(tmp_path / "t" / "a" / "1.parquet", [], n=pa.array([], pa.int32()))
    fails(tmp_path / "t", "0.parquet: no column 'n'")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"n": pa.array([1], pa.int32())}, ["column 'n' has type int32 where", "has int64"]),
        ({}, ["has column 'day' where", "has 'n'"]),
        ({"n": [1], "m": [1]}, ["has column 'm' where"]),
    ],
)
def test_a_part_of_another_schema_is_named(tmp_path, columns, words):
    for day in range(3):
        part(tmp_path / "t" / f"day={day}" / "a.parquet", ["1"], n=[1])
    part(tmp_path / "t" / "day=1" / "b.parquet", ["1"], **columns)
    fails(tmp_path / "t", "day=1/b.parquet", *words)


def test_directories_that_disagree(tmp_path):
    part(tmp_path / "t" / "day=1" / "a.parquet", ["1"])
    part(tmp_path / "t" / "hour=1" / "a.parquet", ["1"])
    fails(tmp_path / "t", "hour=1/a.parquet", "'hour'", "'day'")
    part(tmp_path / "u" / "a=1" / "a=2" / "a.parquet", ["1"])
    fails(tmp_path / "u", "two directories name the column 'a'")
    named = part(tmp_path / "v" / "id=1" / "a.parquet", ["1"])
    fails(tmp_path / "v", "column 'id' is in the file and in a directory's name", "list")
    assert ids([named]) == ["1"]
    (tmp_path / "w" / "x=%FF").mkdir(parents=True)
    part(tmp_path / "w" / "x=%FF" / "a.parquet", ["1"])
    fails(tmp_path / "w", "not UTF-8")


def test_files_at_both_levels_are_ambiguous(tmp_path):
    part(tmp_path / "t" / "a.parquet", ["top"])
    part(tmp_path / "t" / "old" / "b.parquet", ["nested"])
    fails(tmp_path / "t", "has data files itself and in its directories", "b.parquet", "*.parquet")
    assert ids(str(tmp_path / "t" / "*.parquet")) == ["top"]
    assert ids(str(tmp_path / "t" / "**" / "*.parquet")) == ["top", "nested"]


def test_csv_directories_are_read_as_ever(tmp_path):
    (tmp_path / "t" / "day=1").mkdir(parents=True)
    (tmp_path / "t" / "day=1" / "a.csv").write_text("id\nnested\n")
    fails(tmp_path / "t", "no data file in this directory itself", "*.csv")
    fails(tmp_path / "t", "no data file in this directory", format="csv")
    assert ids(str(tmp_path / "t" / "*" / "*.csv")) == ["nested"]
    assert open_source(str(tmp_path / "t" / "*" / "*.csv")).schema.names == ["id"]
    (tmp_path / "t" / "b.csv").write_text("id\ntop\n")
    (tmp_path / "t" / "_c.csv").write_text("id\nhidden\n")
    assert ids(tmp_path / "t") == ["top"]
    assert ids(str(tmp_path / "t" / "*.csv")) == ["hidden", "top"]


@pytest.mark.parametrize("change", ["removed", "rewritten", "truncated"])
def test_a_part_that_changes_between_the_passes(warehouse, tmp_path, change):
    source = open_source(warehouse)
    digest_keys(source, [KeySpec("id")])
    path = warehouse / "country=de" / "day=2" / "part-1.snappy.parquet"
    if change == "removed":
        path.unlink()
    elif change == "rewritten":
        part(path, ["other", "rows"])
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"part-1\.snappy\.parquet: (the file changed|no such file)"):
        write_output(source, np.array([0]), tmp_path / "out.parquet")
    with pytest.raises(DataError, match=r"part-1\.snappy\.parquet"):
        source.digest()
    assert not (tmp_path / "out.parquet").exists()


def test_a_damaged_part_is_named(warehouse):
    path = warehouse / "country=de" / "day=2" / "part-1.snappy.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    fails(warehouse, "day=2/part-1.snappy.parquet", error=CorruptData)


def test_the_digest_covers_the_values_of_directories(tmp_path):
    one = part(tmp_path / "t" / "day=1" / "a.parquet", ["1"])
    other = part(tmp_path / "t" / f"day={DEFAULT}" / "a.parquet", ["2"])
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {json.dumps([['day', value]], separators=(',', ':'))}\n"
        for path, value in ((one, "1"), (other, None))
    ]
    before = open_source(tmp_path / "t").digest()
    assert before == hashlib.sha256("".join(lines).encode()).hexdigest()
    (tmp_path / "t" / "day=1").rename(tmp_path / "t" / "day=2")
    assert open_source(tmp_path / "t").digest() != before


def test_links(tmp_path):
    part(tmp_path / "t" / "a" / "0.parquet", ["1"])
    os.symlink(tmp_path / "t", tmp_path / "t" / "a" / "loop")
    fails(tmp_path / "t", "loop: links to a directory that contains it")
    (tmp_path / "t" / "a" / "loop").unlink()
    os.symlink(tmp_path / "nowhere", tmp_path / "t" / "a" / "1.parquet")
    fails(tmp_path / "t", "no such file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_directory(tmp_path):
    part(tmp_path / "t" / "a" / "0.parquet", ["1"])
    (tmp_path / "t" / "b").mkdir(mode=0)
    fails(tmp_path / "t", "t/b: permission denied")


# ---- tables that keep deleted rows -------------------------------------------------------------------------


def log(table, version, *actions):
    (table / "_delta_log").mkdir(exist_ok=True)
    lines = "".join(json.dumps(action) + "\n" for action in actions)
    (table / "_delta_log" / f"{version:020}.json").write_text(lines)


def test_a_delta_table_is_read_as_its_log_says(tmp_path):
    table = tmp_path / "t"
    for day, name in ((1, "a b"), (1, "old"), (2, "c"), (2, "never-committed")):
        part(table / f"day={day}" / f"{name}.parquet", [name])
    (table / "_delta_log").mkdir()
    assert len(ids(table)) == 4  # a log without versions says nothing
    log(
        table,
        0,
        {"protocol": {}},
        {"add": {"path": "day=1/a%20b.parquet"}},
        {"add": {"path": "day=1/old.parquet"}},
    )
    log(table, 1, {"remove": {"path": "day=1/old.parquet"}}, {"add": {"path": "day=2/c.parquet"}})
    expected = [{"id": "a b", "day": "1"}, {"id": "c", "day": "2"}]
    assert read(open_source(table)) == expected
    assert read(open_source(str(table / "**" / "*.parquet"))) == expected
    assert ids(table / "day=1") == ["a b"]
    log(table, 2, {"add": {"path": "day=1/a%20b.parquet", "deletionVector": {"cardinality": 1}}})
    fails(table, "a b.parquet", "deletion vector")
    log(table, 2, {"add": {}})
    fails(table, "_delta_log: cannot be followed")
    (table / "_delta_log" / f"{0:020}.json").unlink()
    fails(table, "first versions are not there", "copy")
    for name in os.listdir(table / "_delta_log"):
        (table / "_delta_log" / name).unlink()
    (table / "_delta_log" / f"{9:020}.checkpoint.parquet").write_bytes(b"x")
    fails(table, "checkpoint")


def test_a_hudi_table_is_refused(tmp_path):
    part(tmp_path / "t" / "day=1" / "a.parquet", ["1"])
    (tmp_path / "t" / ".hoodie").mkdir()
    fails(tmp_path / "t", "Hudi", "snapshot")

# SPDX-License-Identifier: Apache-2.0
"""Every input format, read twice, gives the rows that were written."""

from __future__ import annotations

import bz2
import gzip
import hashlib

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from crypsis.mpc.data import CsvOptions, TableSource, open_source

TABLE = pa.table(
    {
        "id": ["00123", "ä,ö", None, "", 'say "x"', "two\nlines", "e\u0301"],
        "n": pa.array([1, -(2**63), 2**63 - 1, None, 5, 6, 7], pa.int64()),
    }
)


def rows(source, columns=None):
    first = [row for batch in source.batches(columns) for row in batch.to_pylist()]
    again = [row for batch in source.batches(columns) for row in batch.to_pylist()]
    assert first == again
    assert source.n_rows == len(first)
    return first


def write(path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def write_ipc(table, path, opener, max_chunksize=3):
    with opener(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=max_chunksize)


@pytest.mark.parametrize("kind", ["parquet", "file", "stream", "feather", "table"])
def test_columnar_formats_round_trip(tmp_path, kind):
    path = tmp_path / {"parquet": "t.parquet", "feather": "t.feather", "stream": "t.arrows"}.get(
        kind, "t.arrow"
    )
    if kind == "parquet":
        pq.write_table(TABLE, path, row_group_size=2)
    elif kind == "feather":
        pyarrow.feather.write_feather(TABLE, str(path))
    elif kind != "table":
        write_ipc(TABLE, path, pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)
    source = TableSource(TABLE) if kind == "table" else open_source(path)
    assert rows(source) == TABLE.to_pylist()
    assert rows(source, ["n", "id"]) == TABLE.select(["n", "id"]).to_pylist()
    assert list(next(source.batches(["n", "id"])).schema.names) == ["n", "id"]
    assert len(source.digest()) == 64
    assert source.n_bytes > 0


def test_encoded_columns_are_decoded(tmp_path):
    table = pa.table(
        {
            "d": pa.array(["a", "b", "a"]).dictionary_encode(),
            "v": pa.array(["x", None, "y"], pa.string_view()),
            "r": pa.compute.run_end_encode(pa.array([1, 1, 2])),
            "b": pa.array([b"1", b"2", None], pa.binary_view()),
        }
    )
    write_ipc(table, tmp_path / "t.arrow", pa.ipc.new_file)
    for source in (open_source(tmp_path / "t.arrow"), TableSource(table)):
        assert source.schema.types == [pa.string(), pa.string(), pa.int64(), pa.binary()]
        assert rows(source) == table.to_pylist()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_csv_text_survives(tmp_path, mark, end):
    lines = [b"id,note", b'00123,"two\nlines, ""quoted"""', b",", b'"",x', "e\u0301,\u00e9".encode()]
    source = open_source(write(tmp_path / "a.csv", mark + end.join(lines) + end))
    assert rows(source) == [
        {"id": "00123", "note": 'two\nlines, "quoted"'},
        {"id": None, "note": None},
        {"id": "", "note": "x"},
        {"id": "e\u0301", "note": "\u00e9"},
    ]


def test_csv_delimiters_header_and_compression(tmp_path):
    expected = [{"f0": "1", "f1": "2"}, {"f0": "3", "f1": "4"}]
    options = CsvOptions(header=False)
    assert rows(open_source(write(tmp_path / "a.csv", b"1,2\n3,4"), csv=options)) == expected
    assert rows(open_source(write(tmp_path / "a.tsv", b"1\t2\n3\t4\n"), csv=options)) == expected
    packed = write(tmp_path / "a.csv.gz", gzip.compress(b"f0|f1\n1|2\n3|4\n"))
    assert rows(open_source(packed, csv=CsvOptions(delimiter="|"))) == expected
    assert rows(open_source(write(tmp_path / "a.csv.bz2", bz2.compress(b"f0,f1\n1,2\n3,4\n")))) == expected
    named = CsvOptions(header=False, column_names=("a", "b"))
    assert open_source(write(tmp_path / "b.csv", b"1,2\n"), csv=named).schema.names == ["a", "b"]
    other = CsvOptions(delimiter=";", quote_char="'")
    odd = write(tmp_path / "x.data", b"a;b\n'1;';2\n")
    assert rows(open_source(odd, format="csv", csv=other)) == [{"a": "1;", "b": "2"}]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("n_empty", [1, 2, 5])
def test_csv_with_empty_lines_before_the_header_and_between_rows(tmp_path, mark, end, n_empty):
    data = mark + end * n_empty + b"a,b" + end + b"1,2" + end * (n_empty + 1) + b"3,4" + end
    source = open_source(write(tmp_path / "a.csv", data))
    assert rows(source) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    source = open_source(write(tmp_path / "b.csv", data), csv=CsvOptions(header=False))
    assert [row["f0"] for row in rows(source)] == ["a", "1", "3"]


@pytest.mark.parametrize("data", [b"a,b", b"a,b\n", b"\xef\xbb\xbfa,b\r\n", b'"a",b\n\n'])
def test_csv_with_a_header_only_is_an_empty_table(tmp_path, data):
    source = open_source(write(tmp_path / "a.csv", data))
    assert source.schema.names == ["a", "b"]
    assert rows(source) == []


def test_csv_columns_keep_their_type_to_the_end_of_a_long_file(tmp_path):
    ids = [*(str(i) for i in range(300_000)), "0007", "abc"]
    path = write(tmp_path / "long.csv", ("id,x\n" + "".join(f"{i},{'y' * 20}\n" for i in ids)).encode())
    source = open_source(path)
    read = [v for batch in source.batches(["id"]) for v in batch.column(0).to_pylist()]
    assert read == ids


def test_csv_types_are_inferred_over_all_rows_on_request(tmp_path):
    text = b"zip,n,x,d,mixed,empty\n01234,1,1.5,2024-02-29,1,\n0999,-2,2,2024-01-01,a,\n"
    source = open_source(write(tmp_path / "a.csv", text), csv=CsvOptions(infer_types=True))
    string = pa.string()
    wanted = [string, pa.int64(), pa.float64(), pa.date32(), string, string]
    assert source.schema.types == wanted
    assert rows(source)[1]["n"] == -2
    assert next(source.key_batches(["n"])).column(0).to_pylist() == ["1", "-2"]


def test_globs_directories_and_lists_define_the_row_order(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.csv", f"id\n{name}1\n{name}2\n".encode())
    write(tmp_path / "_SUCCESS", b"")

    def ids(path):
        return [row["id"][0] for row in rows(open_source(path))][::2]

    assert ids(str(tmp_path / "*.csv")) == ["a", "b", "c"]
    assert ids(tmp_path) == ["a", "b", "c"]
    assert ids([tmp_path / "c.csv", str(tmp_path / "[ab].csv")]) == ["c", "a", "b"]
    source = open_source(tmp_path)
    assert rows(source, ["id"])
    assert source.locate(3).endswith("b.csv: row 2")


def test_digest_is_that_of_the_concatenated_files(tmp_path):
    write(tmp_path / "a.csv", b"id\n1\n")
    write(tmp_path / "b.csv", b"id\n2\n")
    assert open_source(tmp_path / "a.csv").digest() == hashlib.sha256(b"id\n1\n").hexdigest()
    assert open_source(tmp_path).digest() == hashlib.sha256(b"id\n1\nid\n2\n").hexdigest()


def test_columns_limit_the_source(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    source = open_source(tmp_path / "t.parquet", columns=["n"])
    assert source.schema.names == ["n"]
    assert source.n_rows == len(TABLE)

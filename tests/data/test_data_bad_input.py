# SPDX-License-Identifier: Apache-2.0
"""Each thing that can be wrong with a file: one line that names it, and no output left behind."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data import CsvOptions, KeySpec, TableSource, digest_keys, open_source, write_output


def read(path, **options):
    return [row for batch in open_source(path, **options).batches() for row in batch.to_pylist()]


def fails(path, *words, error=DataError, **options):
    with pytest.raises(error) as caught:
        read(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


def test_missing_file_glob_directory_and_column(tmp_path):
    fails(tmp_path / "a.csv", "a.csv: no such file")
    fails(str(tmp_path / "*.csv"), "*.csv: no file matches")
    fails(tmp_path, "no data file in this directory")
    fails([], "no input file")
    (tmp_path / "a.csv").write_text("id,name\n1,2\n")
    fails(tmp_path / "a.csv", "no column 'ID'; the columns are 'id', 'name'", columns=["ID"])
    fails([tmp_path / "a.csv"] * 2, "named twice")


def test_unknown_suffix_and_mixed_formats(tmp_path):
    (tmp_path / "a.dat").write_text("id\n1\n")
    fails(tmp_path / "a.dat", "set its format to csv")
    assert read(tmp_path / "a.dat", format="csv") == [{"id": "1"}]
    with pytest.raises(ValueError, match="format must be"):
        open_source(tmp_path / "a.dat", format="xml")
    (tmp_path / "b.csv").write_text("id\n1\n")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "c.parquet")
    fails([tmp_path / "b.csv", tmp_path / "c.parquet"], "c.parquet: is parquet where", "b.csv is csv")
    with pytest.raises(DataError, match="CSV options"):
        open_source(tmp_path / "c.parquet", csv=CsvOptions())


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_permission_denied(tmp_path):
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "a.csv").chmod(0)
    fails(tmp_path / "a.csv", "permission denied")


def test_permission_denied_by_the_system(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "a.csv").write_text("id\n1\n")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match=r"a\.csv: permission denied"):
        open_source(tmp_path / "a.csv")


@pytest.mark.parametrize("rows_before", [1, 400_000])
@pytest.mark.parametrize("bad", ["only-one", "a,b,c"])
def test_ragged_csv_names_the_line(tmp_path, rows_before, bad):
    text = "id,name\n" + '1,"x\ny"\n' + "12345678,abcdefgh\n" * rows_before + bad + "\n2,z\n"
    (tmp_path / "a.csv").write_text(text)
    n = bad.count(",") + 1
    message = fails(tmp_path / "a.csv", f"line {rows_before + 4}: {n} fields, not 2", error=CorruptData)
    assert bad not in message


@pytest.mark.parametrize("rows_before", [1, 300_000])
def test_undecodable_bytes_are_placed(tmp_path, rows_before):
    before = b"id,name\n" + "1,é\n".encode() * rows_before
    (tmp_path / "a.csv").write_bytes(before + "2,李\n".encode("gb18030"))
    fails(tmp_path / "a.csv", f"line {rows_before + 2}: byte {len(before) + 2} ", "UTF-8", error=CorruptData)


def test_undecodable_header_and_other_encodings(tmp_path):
    (tmp_path / "a.csv").write_bytes("id,é\n".encode("latin-1"))
    fails(tmp_path / "a.csv", "line 1: byte 3 ", error=CorruptData)
    (tmp_path / "b.csv").write_bytes("id,name\n1,2\n".encode("utf-16"))
    fails(tmp_path / "b.csv", "UTF-16")


@pytest.mark.parametrize(
    "text",
    ['id,name\n1,"abc', 'id,name\n1,"abc\n2,def\n', 'id\n"abc\n', 'id,name\n1,"say ""x""\n', '"id,name\n1,2'],
)
def test_unclosed_quote(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    fails(tmp_path / "a.csv", "a.csv: ", error=CorruptData)


@pytest.mark.parametrize(
    "text", ['id,name\n1,x"abc', 'id\n"a""b"', 'id,name\n1,""""\n', 'id,name\n1,"a\n"\n']
)
def test_quotes_that_are_right(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    assert len(read(tmp_path / "a.csv")) == 1


def test_a_quote_that_swallows_megabytes(tmp_path):
    (tmp_path / "a.csv").write_text('id,name\n1,"x\n' + "12345678,abcdefgh\n" * 600_000)
    fails(tmp_path / "a.csv", "quoted field is not closed", error=CorruptData)


def test_empty_and_odd_csv(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    fails(tmp_path / "a.csv", "the file is empty")
    fails(tmp_path / "a.csv", "the file is empty", csv=CsvOptions(header=False))
    assert read(tmp_path / "a.csv", csv=CsvOptions(header=False, column_names=("x",))) == []
    (tmp_path / "b.csv").write_bytes(b"id,id\n1,2\n")
    fails(tmp_path / "b.csv", "'id' exists twice")
    (tmp_path / "c.csv").write_bytes(b"1,2\n")
    fails(tmp_path / "c.csv", "has 2 fields", csv=CsvOptions(header=False, column_names=("x",)))
    for wrong in ({"delimiter": ",,"}, {"quote_char": ""}, {"delimiter": "é"}, {"column_names": ("a",)}):
        with pytest.raises(ValueError, match="CsvOptions"):
            CsvOptions(**wrong)


@pytest.mark.parametrize("keep", [0, 3, 4, 0.5, 0.9, -1, -4])
@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream", "csv.gz"])
def test_truncated_files(tmp_path, kind, keep):
    table = pa.table({"id": [f"{i * i}" for i in range(5000)], "n": np.arange(5000)})
    path = tmp_path / ("a.arrows" if kind == "stream" else f"a.{kind}")
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(b"id\n" + b"".join(b"%d\n" % (i * i) for i in range(5000))))
    else:
        opener = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with opener(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
    data = path.read_bytes()
    if kind == "stream" and keep in (-1, -4):
        pytest.skip("the end mark of a stream is optional: all record batches are there")
    cut = int(len(data) * keep) if isinstance(keep, float) else keep if keep >= 0 else len(data) + keep
    path.write_bytes(data[:cut])
    fails(path, path.name)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_another_format_under_the_name(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_text("id,name\n1,2\n" * 10)
    fails(path, path.name, error=CorruptData)
    path.write_bytes(b"FEA1" + b"\0" * 100)
    fails(path, path.name)


def test_damaged_parquet_page(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [f"{i * i}" for i in range(5000)]}), path)
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    fails(path, "a.parquet", error=CorruptData)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_of_a_glob_must_agree(tmp_path, kind):
    def write(name, columns):
        table = pa.table(columns)
        if kind == "csv":
            (tmp_path / name).write_text(",".join(table.column_names) + "\n")
        else:
            pq.write_table(table, tmp_path / name)

    write(f"a.{kind}", {"id": ["1"], "n": ["1"]})
    write(f"b.{kind}", {"id": ["1"], "m": ["1"]})
    fails(tmp_path, f"b.{kind}: has column 'm' where", "has 'n'")
    write(f"b.{kind}", {"id": ["1"]})
    fails(tmp_path, f"b.{kind}: no column 'n'")
    if kind == "parquet":
        write(f"b.{kind}", {"id": [1], "n": ["1"]})
        fails(tmp_path, "b.parquet: column 'id' has type int64 where", "has string")


@pytest.mark.parametrize("change", [lambda p: p.write_text("id\n1\n2\n3\n"), lambda p: p.unlink()])
def test_a_file_that_changes_between_the_passes(tmp_path, change):
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n2\n")
    source = open_source(path)
    digest_keys(source, [KeySpec("id")])
    change(path)
    with pytest.raises(DataError, match=r"a\.csv: (the file changed|no such file)"):
        write_output(source, np.array([1, 0]), tmp_path / "o.csv")
    with pytest.raises(DataError, match=r"a\.csv"):
        source.digest()
    assert not (tmp_path / "o.csv").exists()


FULL_DISK = """
import resource, signal, sys
import numpy as np, pyarrow as pa
from crypsis.errors import DataError
from crypsis.mpc.data import TableSource, write_output
n = 60_000
table = pa.table({"id": [f"{i * 7919:030d}" for i in range(n)], "x": ["%d" % (i * i) for i in range(n)]})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
order = np.arange(n)[:: int(sys.argv[2])]
try:
    write_output(TableSource(table), order, sys.argv[1], memory_limit=1 << 20)
except DataError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("step", ["1", "-1"])  # -1 goes through the temporary file
@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow"])
def test_a_full_disk_leaves_nothing(tmp_path, suffix, step):
    path = str(tmp_path / f"o.{suffix}")
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path, step],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == DataError.exit_code, result.stderr
    assert str(tmp_path) in result.stdout
    assert "needed" in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow"])
def test_no_space_left_on_device(tmp_path, monkeypatch, suffix):
    real = os.write

    def write(fd, data):
        if real is not None and len(data) > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    table = pa.table({"id": [str(i) * 5 for i in range(1000)]})
    with pytest.raises(DataError, match=r"no space left after \d+ bytes \(No space left on device\)"):
        write_output(TableSource(table), np.arange(1000), tmp_path / f"o.{suffix}")
    assert os.listdir(tmp_path) == []


def test_wrong_argument_type():
    with pytest.raises(TypeError, match=r"pyarrow\.Table"):
        TableSource([1, 2])

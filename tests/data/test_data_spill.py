# SPDX-License-Identifier: Apache-2.0
"""Spilled bins: what goes in comes out, in bounded memory, and nothing half-finished or damaged is taken for whole."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import resource
import stat

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.data import KeySpec, TableSource, digest_stream
from crypsis.mpc.data import spill as spill_module
from crypsis.mpc.data.spill import BinWriter, iter_bin, read_bin


def random_digests(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def expected_bins(digests, rows, n_bins):
    """The records of each bin, by the definition and without NumPy's help."""
    bins = [[] for _ in range(n_bins)]
    for digest, row in zip(digests, rows, strict=True):
        data = bytes(digest)
        bins[int.from_bytes(data[12:], "little") * n_bins >> 32].append(
            data[:12] + int(row).to_bytes(4, "little")
        )
    return bins


def spill(directory, digests, rows, n_bins, *, sizes=(), **options):
    with BinWriter(directory, n_bins, **options) as writer:
        at = 0
        for size in [*sizes, len(digests)]:
            writer.add(digests[at : at + size], rows[at : at + size])
            at = min(at + size, len(digests))
        return writer.finish()


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 4000),
    st.sampled_from([1, 2, 3, 17, 300]),
    st.lists(st.integers(0, 4000), max_size=6),
    st.sampled_from([np.uint32, np.uint64]),
    st.sampled_from([None, 5000, 7]),
)
def test_bins_hold_their_records_in_row_order(tmp_path_factory, n, n_bins, sizes, row_type, expected):
    digests = random_digests(n)
    rows = np.sort(np.random.default_rng(1).choice(2**32 - 1, n, replace=False)).astype(row_type)
    directory = tmp_path_factory.mktemp("bins")
    options = {"memory_bytes": 1 << 16, "expected_rows": expected, "threads": 1}
    files = spill(directory, digests, rows, n_bins, sizes=sizes, **options)
    assert [file.bin for file in files] == list(range(n_bins))
    assert sorted(os.listdir(directory)) == sorted(os.path.basename(file.path) for file in files)
    for file, records in zip(files, expected_bins(digests, rows, n_bins), strict=True):
        assert [bytes(r) for r in read_bin(file)] == records
        assert [bytes(r) for chunk in iter_bin(file, 9) for r in chunk] == records
        data = b"".join(records)
        assert (file.n_records, file.n_bytes) == (len(records), len(data))
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600


def test_a_stream_of_digests_goes_to_bins_and_back(tmp_path):
    n = 150_000
    source = TableSource(
        pa.table({"k": pa.array([None if i % 10 == 3 else i for i in range(n)], pa.int64())})
    )
    with BinWriter(tmp_path, 4, memory_bytes=1 << 20) as writer:
        for digests, rows in digest_stream(source, [KeySpec("k", "int")]):
            writer.add(digests, rows)
        files = writer.finish()
        assert writer.n_rows == n * 9 // 10
    rows = np.concatenate([read_bin(file)[:, 12:].copy().view("<u4")[:, 0] for file in files])
    assert sorted(rows.tolist()) == [i for i in range(n) if i % 10 != 3]


def test_many_bins_need_few_descriptors(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 24, hard))
    try:
        files = spill(tmp_path, random_digests(20_000), np.arange(20_000, dtype=np.uint32), 600)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum(file.n_records for file in files) == 20_000
    assert len(files) == 600


def test_a_run_that_did_not_finish_leaves_nothing_that_counts(tmp_path):
    (tmp_path / "job.sqlite").write_text("the ledger")
    digests, rows = random_digests(9000), np.arange(9000, dtype=np.uint32)
    killed = BinWriter(tmp_path, 5, memory_bytes=1 << 16)  # as a process that is killed leaves it
    killed.add(digests, rows)
    assert all(name.endswith(".partial") for name in os.listdir(tmp_path) if name.startswith("bin"))
    os.rename(tmp_path / "bin-00004.records.partial", tmp_path / "bin-00004.records")
    files = spill(tmp_path, digests, rows, 2)
    names = ["bin-00000.records", "bin-00001.records", "job.sqlite"]
    assert sorted(os.listdir(tmp_path)) == names
    assert [bytes(r) for r in read_bin(files[1])] == expected_bins(digests, rows, 2)[1]
    with BinWriter(tmp_path, 3) as writer:
        writer.add(digests, rows)
    assert os.listdir(tmp_path) == ["job.sqlite"]


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "swap", "gone", "size"])
def test_damaged_files_are_named(tmp_path, damage):
    file, other = spill(tmp_path, random_digests(9000), np.arange(9000, dtype=np.uint32), 2)
    if damage == "flip":
        with open(file.path, "r+b") as stream:
            stream.seek(file.n_bytes // 2)
            byte = stream.read(1)
            stream.seek(file.n_bytes // 2)
            stream.write(bytes([byte[0] ^ 1]))
    elif damage == "cut":
        os.truncate(file.path, file.n_bytes - 16)
    elif damage == "grow":
        with open(file.path, "ab") as stream:
            stream.write(bytes(16))
    elif damage == "swap":
        file = dataclasses.replace(file, path=other.path, n_records=other.n_records, n_bytes=other.n_bytes)
    elif damage == "gone":
        os.unlink(file.path)
    else:
        file = dataclasses.replace(file, n_bytes=file.n_bytes - 1)
    for read in (read_bin, lambda f: list(iter_bin(f, 1000))):
        with pytest.raises(CorruptData, match=r"bin-0000.\.records: .*remove the work directory") as caught:
            read(file)
        assert "\n" not in str(caught.value)
    assert len(read_bin(other)) == other.n_records


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tmp_path):
    (file,) = spill(tmp_path, random_digests(9000), np.arange(9000, dtype=np.uint32), 1)
    chunks = iter_bin(file, 1000)
    next(chunks)
    os.truncate(file.path, 20_000)
    with pytest.raises(CorruptData, match="ends early"):
        list(chunks)


@pytest.mark.parametrize("when", ["write", "fsync", "create"])
def test_a_full_disk_says_what_it_takes(tmp_path, monkeypatch, when):
    digests, rows = random_digests(9000), np.arange(9000, dtype=np.uint32)
    left = [100_000]

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(fd, data, real=os.write):
        if not left[0]:
            full()
        n = real(fd, data[: min(len(data), left[0], 5000)])  # short writes too
        left[0] -= n
        return n

    def opened(path, flags, *args, real=os.open):
        if flags & os.O_CREAT and "00003" in str(path):
            full()
        return real(path, flags, *args)

    if when == "write":
        monkeypatch.setattr(spill_module.os, "write", write)
    elif when == "fsync":
        monkeypatch.setattr(spill_module.os, "fsync", full)
    else:
        monkeypatch.setattr(spill_module.os, "open", opened)
    with pytest.raises(
        DataError,
        match=r"no space left .*\d+ bytes .* were written and 144000 bytes are needed for 9000 rows: free",
    ):
        spill(tmp_path, digests, rows, 7, memory_bytes=1 << 16, expected_rows=9000)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_short_writes_lose_nothing(tmp_path, monkeypatch):
    digests, rows = random_digests(9000), np.arange(9000, dtype=np.uint32)
    real = os.write
    monkeypatch.setattr(spill_module.os, "write", lambda fd, data: real(fd, data[:777]))
    files = spill(tmp_path, digests, rows, 3)
    assert [[bytes(r) for r in read_bin(f)] for f in files] == expected_bins(digests, rows, 3)


def test_directories_that_do_not_do(tmp_path):
    with pytest.raises(DataError, match="nowhere: cannot be written: No such file"):
        BinWriter(tmp_path / "nowhere", 3)
    (file,) = spill(tmp_path, random_digests(5), np.arange(5, dtype=np.uint32), 1)
    os.unlink(file.path)
    os.mkdir(file.path)
    with pytest.raises(DataError, match=r"bin-00000\.records"):
        read_bin(file)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="n_bins must be 1 to 4096"):
        BinWriter(tmp_path, 0)
    with pytest.raises(ValueError, match="n_bins must be 1 to 4096"):
        BinWriter(tmp_path, 4097)
    with pytest.raises(ValueError, match="memory_bytes"):
        BinWriter(tmp_path, 1, memory_bytes=1000)
    with BinWriter(tmp_path, 1) as writer:
        ok = random_digests(3)
        with pytest.raises(ValueError, match="digests must be"):
            writer.add(ok[:, :12], np.arange(3, dtype=np.uint32))
        with pytest.raises(ValueError, match="rows must be 3 unsigned"):
            writer.add(ok, np.arange(2, dtype=np.uint32))
        with pytest.raises(ValueError, match="rows must be 3 unsigned"):
            writer.add(ok, np.arange(3))
        with pytest.raises(DataError, match="more than 4294967295 rows; split"):
            writer.add(ok, np.array([1, 2, 2**32 - 1], np.uint64))
        (file,) = writer.finish()
        for again in (writer.finish, lambda: writer.add(ok, np.arange(3, dtype=np.uint32))):
            with pytest.raises(ValueError, match="finished or discarded"):
                again()
    assert len(read_bin(file)) == 0
    with pytest.raises(ValueError, match="chunk_records"):
        list(iter_bin(file, 0))

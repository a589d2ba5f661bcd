# SPDX-License-Identifier: Apache-2.0
"""hashing: what it accepts as a batch, what it refuses, and that it touches no byte that is not its own."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from crypsis import backends, hashing
from crypsis.errors import BackendUnavailable

RUNNABLE = [(a, b) for a in hashing.ALGORITHMS for b in backends.runnable("hashing", a)]
every_backend = pytest.mark.parametrize(("algorithm", "backend"), RUNNABLE)


def sha256_all(messages: list[bytes]) -> list[bytes]:
    return [hashlib.sha256(message).digest() for message in messages]


def as_list(result: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in result]


# Arrow columns

TEXT = ["", "a", "18-character-ident", "größer", "x" * 70, "tail"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
def test_string_columns_and_their_slices(kind: pa.DataType) -> None:
    column = pa.array(TEXT, pa.string()).cast(kind)
    for first in range(len(TEXT) + 1):
        for count in range(len(TEXT) - first + 1):
            wanted = sha256_all([text.encode() for text in TEXT[first : first + count]])
            assert as_list(hashing.sha256(column.slice(first, count))) == wanted


def test_fixed_size_binary() -> None:
    messages = [bytes([i]) * 7 for i in range(40)]
    column = pa.array(messages, pa.binary(7))
    assert as_list(hashing.sha256(column)) == sha256_all(messages)
    assert as_list(hashing.sha256(column[5:33])) == sha256_all(messages[5:33])
    empty = pa.FixedSizeBinaryArray.from_buffers(pa.binary(0), 3, [None, pa.py_buffer(b"")])
    assert as_list(hashing.sha256(empty)) == sha256_all([b""] * 3)


def test_chunked_columns() -> None:
    chunks = pa.chunked_array([TEXT[:2], [], TEXT[2:5], TEXT[5:]], pa.string())
    wanted = sha256_all([text.encode() for text in TEXT])
    out = np.empty((len(TEXT), 32), np.uint8)
    assert hashing.sha256(chunks, out=out) is out
    assert as_list(out) == wanted
    assert as_list(hashing.sha256(chunks.slice(1, 4))) == wanted[1:5]
    assert hashing.sha256(pa.chunked_array([], pa.string())).shape == (0, 32)


@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_hash_as_int64_bytes(name: str) -> None:
    kind = pa.type_for_alias(name)
    values = [0, 1, 100, 127] + ([-1, -128] if name.startswith("int") else [200])
    wanted = sha256_all([value.to_bytes(8, "little", signed=True) for value in values])
    assert as_list(hashing.sha256(pa.array(values, kind))) == wanted
    assert as_list(hashing.sha256(pa.array(values, kind)[1:4])) == wanted[1:4]


def test_large_unsigned_integers_are_not_negative_ones() -> None:
    values = [1, 2**63 - 1, 2**63, 2**64 - 1, 5]
    wanted = sha256_all([v.to_bytes(8 + (v >> 63), "little", signed=True) for v in values])
    found = as_list(hashing.sha256(pa.array(values, pa.uint64())))
    assert found == wanted
    assert found[3] != as_list(hashing.sha256(pa.array([-1], pa.int64())))[0]


def test_no_copy_of_rows_or_strings() -> None:
    """A slice of wider rows is hashed where it lies."""
    wide = np.random.default_rng(2).integers(0, 256, (100, 64), dtype=np.uint8)
    for rows in (wide[:, 3:21], wide[::3, 1:17], wide[7:8, 5:6], wide[:, :0]):
        assert as_list(hashing.sha256(rows)) == sha256_all(as_list(rows))
    wide.flags.writeable = False
    assert as_list(hashing.sha256(wide[:, 5:9])) == sha256_all(as_list(wide[:, 5:9]))


def test_empty_batches() -> None:
    for data in (np.empty((0, 16), np.uint8), pa.array([], pa.string()), pa.array([], pa.int32())):
        for algorithm in hashing.ALGORITHMS:
            assert hashing.digest(algorithm, data, digest_size=16).shape == (0, 16)
    assert as_list(hashing.sha256(pa.array(["", ""]))) == sha256_all([b"", b""])


# Memory: no read outside, no write outside


@every_backend
def test_unaligned_rows(algorithm: str, backend: str) -> None:
    memory = np.random.default_rng(3).integers(0, 256, 64 + 33 * 40, dtype=np.uint8)
    for shift in range(64):
        rows = memory[shift : shift + 33 * 37].reshape(33, 37)
        out = np.zeros(33 * 32 + 2 * 64, np.uint8)
        inside = out[64 - shift : 64 - shift + 33 * 32].reshape(33, 32)
        hashing.digest(algorithm, rows, out=inside, backend=backend)
        assert np.array_equal(inside, hashing.digest(algorithm, rows.copy(), backend="portable"))
        assert not out[: 64 - shift].any()
        assert not out[64 - shift + 33 * 32 :].any()


@pytest.fixture
def fenced_page():
    """The last bytes of a page that is followed by memory that must not be touched."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 3 * page)
    anchor = (ctypes.c_char * (3 * page)).from_buffer(memory)
    libc = ctypes.CDLL(None, use_errno=True)
    start = ctypes.addressof(anchor)
    for guard in (start, start + 2 * page):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0, ctypes.get_errno()
    middle = np.frombuffer(memory, np.uint8, page, page)
    yield middle
    for guard in (start, start + 2 * page):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 3) == 0


@every_backend
def test_nothing_is_read_outside_the_messages(algorithm: str, backend: str, fenced_page: np.ndarray) -> None:
    fenced_page[:] = np.random.default_rng(4).integers(0, 256, len(fenced_page), dtype=np.uint8)
    for width in (1, 3, 16, 18, 31, 32, 55, 56, 64, 65, 100, 127, 128):
        for n in (1, 2, 7, 8, 16, 17, 31):
            at_end = fenced_page[-n * width :].reshape(n, width)
            at_start = fenced_page[: n * width].reshape(n, width)
            for rows in (at_end, at_start):
                wanted = hashing.digest(algorithm, rows.copy(), backend="portable")
                assert np.array_equal(hashing.digest(algorithm, rows, backend=backend), wanted)
    # Arrow: the last of many short values, and of values of many lengths, ends at the fence.
    lengths = np.array([*range(70), *[18] * 40], np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    total = int(offsets[-1])
    data = pa.py_buffer(fenced_page[-total:])
    column = pa.BinaryArray.from_buffers(pa.binary(), len(lengths), [None, pa.py_buffer(offsets), data])
    wanted = hashing.digest(algorithm, pa.array(column.to_pylist(), pa.binary()), backend="portable")
    assert np.array_equal(hashing.digest(algorithm, column, backend=backend), wanted)


# Bad input


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (["a", "b"], TypeError, "data is list: give a NumPy .* or a pyarrow array"),
        (b"abc", TypeError, "data is bytes"),
        (np.zeros((2, 4)), TypeError, "data is an array of float64: give uint8"),
        (np.arange(4), TypeError, r"data is an array of int64: .*pyarrow.array\(data\)"),
        (np.zeros(4, np.uint8), ValueError, r"shape \(4,\)"),
        (np.zeros((4, 4), np.uint8)[::-1], ValueError, "ascontiguousarray"),
        (np.zeros((4, 4), np.uint8)[:, ::2], ValueError, "ascontiguousarray"),
        (np.broadcast_to(np.zeros(4, np.uint8), (4, 4)), ValueError, "ascontiguousarray"),
        (pa.array(["a", None, None]), ValueError, "2 nulls.*drop_null"),
        (pa.chunked_array([["a"], [None]]), ValueError, "1 nulls"),
        (pa.array([1.5]), TypeError, "type double: cast"),
        (pa.array([True]), TypeError, "type bool"),
        (pa.array([], pa.float32()), TypeError, "type float"),
        (pa.chunked_array([], pa.date32()), TypeError, "type date32"),
        (pa.array(["a"]).dictionary_encode(), TypeError, r"dictionary_decode\(\)"),
        (pa.array(["a"], pa.string_view()), TypeError, r"cast\(pyarrow.large_string\(\)\)"),
        (pa.array([b"a"], pa.binary_view()), TypeError, r"cast\(pyarrow.large_binary\(\)\)"),
        (pa.array([None]), ValueError, "1 nulls"),
        (pa.table({"id": ["a"]}), TypeError, r"pass one column"),
    ],
)
def test_refused_data(data: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hashing.sha256(data)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"digest_size": 15}, ValueError, "digest_size is 15"),
        ({"digest_size": 33}, ValueError, "digest_size is 33"),
        ({"digest_size": 16.0}, TypeError, "digest_size is float: give an int"),
        ({"domain": b""}, ValueError, "domain has 0 bytes: use 1 to 62"),
        ({"domain": b"d" * 63}, ValueError, "domain has 63 bytes"),
        ({"domain": "text"}, TypeError, "domain is str: give bytes"),
        ({"key": b""}, ValueError, "key has 0 bytes"),
        ({"key": b"k" * 65}, ValueError, "key has 65 bytes"),
        ({"key": b"k" * 32, "domain": b"d"}, ValueError, "both given"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"threads": 4097}, ValueError, "threads is 4097: give 1 to 4096"),
        ({"threads": True}, TypeError, "threads is bool: give an int"),
        ({"backend": "sse2"}, BackendUnavailable, "backend 'sse2' does not exist for hashing/sha256"),
        (
            {"out": np.zeros((3, 32), np.uint8)},
            ValueError,
            r"out has shape \(3, 32\): the result has \(2, 32\)",
        ),
        ({"out": np.zeros((2, 16), np.uint8)}, ValueError, "out has shape"),
        ({"out": np.zeros((2, 32), np.int8)}, TypeError, "out is an array of int8"),
        ({"out": [b""]}, TypeError, "out is list"),
        ({"out": np.zeros((2, 64), np.uint8)[:, ::2]}, ValueError, "C-contiguous"),
    ],
)
def test_refused_options(options: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hashing.sha256(np.zeros((2, 16), np.uint8), **options)


def test_algorithm_names_and_their_backends() -> None:
    rows = np.zeros((2, 16), np.uint8)
    with pytest.raises(ValueError, match="algorithm is 'md5'"):
        hashing.digest("md5", rows)
    with pytest.raises(ValueError, match="blake3 takes exactly 32"):
        hashing.blake3(rows, key=b"short")
    for algorithm in ("sm3", "blake3"):
        with pytest.raises(BackendUnavailable, match="sha_ni"):
            hashing.digest(algorithm, rows, backend="sha_ni")


def test_out_is_untouched_on_error_and_may_not_overlap() -> None:
    out = np.full((2, 32), 7, np.uint8)
    for data in (pa.array(["a", None]), pa.array([1.5, 2.5]), np.zeros((2, 8), np.uint8)[::-1]):
        with pytest.raises((TypeError, ValueError)):
            hashing.sha256(data, out=out)
    with pytest.raises(ValueError, match="overlaps"):
        hashing.sha256(out[:, :16], out=out)
    with pytest.raises(ValueError, match="both given"):
        hashing.sha256(np.zeros((2, 8), np.uint8), out=out, key=b"k", domain=b"d")
    assert (out == 7).all()


@pytest.mark.parametrize("offsets", [[0, 5, 3, 8], [0, 3, 6, 9], [-1, 3, 5, 8], [4, 3, 2, 1]])
@pytest.mark.parametrize(("kind", "width"), [(pa.binary(), np.int32), (pa.large_binary(), np.int64)])
def test_damaged_offsets_are_refused(offsets: list[int], kind: pa.DataType, width: type) -> None:
    good = pa.array([b"x"] * 3, kind)
    memory = np.array([0, 3, 5, 8], width)
    damaged = pa.Array.from_buffers(kind, 3, [None, pa.py_buffer(memory), pa.py_buffer(b"8 bytes.")])
    memory[:] = offsets  # behind the back of pyarrow, which looks at the ends when it makes an array
    out = np.full((6, 32), 7, np.uint8)
    with pytest.raises(ValueError, match="offsets decrease or point outside"):
        hashing.sha256(pa.chunked_array([good, damaged]), out=out)
    assert (out == 7).all()


def test_pyarrow_is_imported_only_by_those_who_use_it() -> None:
    code = (
        "import sys, numpy as np; from crypsis import hashing;"
        "hashing.sha256(np.zeros((1, 4), np.uint8)); assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_report_lists_each_variant() -> None:
    rows = [row for row in backends.report() if row.slug == "hashing"]
    assert {row.variant for row in rows} == set(hashing.ALGORITHMS)
    for algorithm in hashing.ALGORITHMS:
        assert "portable" in backends.runnable("hashing", algorithm)
        assert sum(row.chosen for row in rows if row.variant == algorithm) == 1
    assert not any(row.backend == "sha_ni" and row.variant != "sha256" for row in rows)


OPERATIONS = {"avx512": 12, "avx2": 12, "sha_ni": 8, "portable": 32}


@pytest.mark.parametrize("backend", OPERATIONS)
@pytest.mark.parametrize("algorithm", hashing.ALGORITHMS)
def test_the_operations_that_benchmarks_measure_are_counted(algorithm: str, backend: str) -> None:
    if backend in backends.runnable("hashing", algorithm):
        assert hashing.measure_operations(algorithm, 1, backend=backend) == OPERATIONS[backend]
        assert hashing.measure_operations(algorithm, 1000, backend=backend) == 1000 * OPERATIONS[backend]
    else:
        with pytest.raises(BackendUnavailable, match=backend):
            hashing.measure_operations(algorithm, 1, backend=backend)


def test_operations_of_what_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="use sha256, sm3 or blake3"):
        hashing.measure_operations("md5", 1)
    with pytest.raises(ValueError, match="repeats is 0"):
        hashing.measure_operations("sha256", 0)

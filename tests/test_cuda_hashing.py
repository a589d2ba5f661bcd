# SPDX-License-Identifier: Apache-2.0
"""kernels/hashing on the shim device against the CPU and published digests; on a GPU where there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis import hashing
from crypsis.cuda import Device
from crypsis.cuda import hashing as cuda_hashing
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized

VECTORS = Path(__file__).parent / "vectors"
NIST_AND_GBT = json.loads((VECTORS / "hashing.json").read_text())
BLAKE3 = json.loads((VECTORS / "hashing_blake3.json").read_text())
KEY = bytes(range(100, 132))
MODES = {"plain": {}, "domain": {"domain": b"tests v1"}, "key": {"key": KEY}}
# Lengths of a warp and more that stay together: a tail of 0x80, of the length, of whole blocks.
LENGTHS = [*range(301), 320, 383, 384, 511, 512, 575, 1023, 1024]

every_algorithm = pytest.mark.parametrize("algorithm", hashing.ALGORITHMS)
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([2026, *seed])


def batch(lengths: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(int64 offsets, bytes) of random messages."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return offsets, rng(seed).integers(0, 256, int(offsets[-1]), np.uint8)


def arrow(offsets: np.ndarray, data: np.ndarray) -> pa.Array:
    """The same batch for the CPU."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int64).tobytes()), pa.py_buffer(data.tobytes())]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def on_device(
    device: Device, algorithm: str, offsets: np.ndarray, data: np.ndarray, **options: Any
) -> np.ndarray:
    pair = (device.from_host(offsets), device.from_host(data))
    return device.to_host(hashing.digest(algorithm, pair, **options))


def pattern(length: int) -> bytes:
    """Bytes 0 to 250 over and over, as BLAKE3's vectors have them."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


# Known answers


@pytest.mark.parametrize("algorithm", ["sha256", "sm3"])
def test_published_digests(shim_device: ShimDevice, algorithm: str) -> None:
    cases = [case for case in NIST_AND_GBT[algorithm] if len(case["ascii"]) * case["repeat"] < 10_000]
    messages = [(case["ascii"] * case["repeat"]).encode() for case in cases]
    assert len(messages) >= 2
    offsets, _ = batch([len(message) for message in messages])
    found = on_device(shim_device, algorithm, offsets, np.frombuffer(b"".join(messages), np.uint8))
    assert [row.tobytes().hex() for row in found] == [case["digest"] for case in cases]


def test_published_hmac(shim_device: ShimDevice) -> None:
    for case in NIST_AND_GBT["hmac_sha256"]:
        rows = shim_device.from_host(np.frombuffer(case["ascii"].encode(), np.uint8).reshape(1, -1))
        found = hashing.sha256(rows, key=bytes.fromhex(case["key"])).get()
        assert found[0].tobytes().hex() == case["digest"]


@pytest.mark.parametrize(
    ("column", "options"),
    [
        ("hash", {}),
        ("keyed_hash", {"key": BLAKE3["key"].encode()}),
        ("derive_key", {"domain": BLAKE3["context"].encode()}),
    ],
)
def test_published_blake3(shim_device: ShimDevice, column: str, options: dict) -> None:
    """Chunks and trees up to 102,400 bytes; the short ones also by the kernel without a tree."""
    cases = BLAKE3["cases"]
    assert max(case["input_len"] for case in cases) > 100_000
    for chosen in (cases, [case for case in cases if case["input_len"] <= 1024]):
        messages = [pattern(case["input_len"]) for case in chosen]
        offsets, _ = batch([len(message) for message in messages])
        data = np.frombuffer(b"".join(messages), np.uint8)
        found = on_device(shim_device, "blake3", offsets, data, **options)
        assert [row.tobytes().hex() for row in found] == [case[column] for case in chosen]
        tree = max(case["input_len"] for case in chosen) > 1024
        assert shim_device.launches[-1].kernel == ("digest_tree" if tree else "digest_messages")


# Against the CPU


@every_algorithm
@every_mode
def test_every_length(shim_device: ShimDevice, algorithm: str, mode: dict) -> None:
    """In order, so that each starts at its own alignment, and with long and short ones side by side in a warp."""
    for lengths in (LENGTHS, list(rng(3).permutation(LENGTHS))):
        offsets, data = batch(lengths)
        found = on_device(shim_device, algorithm, offsets, data, **mode)
        assert (found == hashing.digest(algorithm, arrow(offsets, data), **mode)).all()
    assert shim_device.launches[-1].kernel == "digest_messages"


@every_algorithm
@every_mode
def test_rows_of_every_width(shim_device: ShimDevice, algorithm: str, mode: dict) -> None:
    for width in (*range(1, 70), 119, 120, 127, 128, 255, 300, 1024):
        rows = rng(width).integers(0, 256, (5, width), np.uint8)
        found = hashing.digest(algorithm, shim_device.from_host(rows), **mode).get()
        assert (found == hashing.digest(algorithm, rows, **mode)).all(), width


# Each width is a module to compile: those around the ends of blocks and of 16-byte loads.
WIDTHS = [("sha256", w) for w in (4, 16, 52, 56, 64)] + [
    ("sm3", 32),
    ("sm3", 60),
    ("blake3", 12),
    ("blake3", 64),
]


@pytest.mark.parametrize(("algorithm", "width"), WIDTHS)
def test_a_kernel_for_the_width(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch, algorithm: str, width: int
) -> None:
    monkeypatch.setattr(cuda_hashing, "FIXED_WIDTH_FROM", 0)
    rows = rng(width).integers(0, 256, (130, width), np.uint8)
    for mode in MODES.values():
        found = hashing.digest(algorithm, shim_device.from_host(rows), **mode).get()
        assert shim_device.launches[-1].kernel == "digest_width"
        assert (found == hashing.digest(algorithm, rows, **mode)).all()
    flat = np.concatenate([np.zeros(4, np.uint8), rows.reshape(-1)])  # not at a multiple of 16 bytes
    moved = shim_device.from_host(flat)[4:].reshape(130, width)
    assert (hashing.digest(algorithm, moved).get() == hashing.digest(algorithm, rows)).all()
    assert shim_device.launches[-1].kernel == "digest_messages"


def test_large_batches_of_rows_have_a_kernel_of_their_own() -> None:
    assert [w for w in range(70) if cuda_hashing._has_own_kernel(w)] == list(range(4, 65, 4))
    assert cuda_hashing.FIXED_WIDTH_FROM == 65536


@every_algorithm
def test_every_start_in_memory(shim_device: ShimDevice, algorithm: str) -> None:
    """The array begins and ends anywhere in a word."""
    flat = rng(5).integers(0, 256, 4000, np.uint8)
    whole = shim_device.from_host(flat)
    for start in range(1, 5):
        for width in (1, 15, 16, 17, 64, 66):
            n = 33
            rows = whole[start : start + n * width].reshape(n, width)
            wanted = hashing.digest(algorithm, flat[start : start + n * width].reshape(n, width))
            assert (hashing.digest(algorithm, rows).get() == wanted).all()


@every_algorithm
@pytest.mark.parametrize("n", [0, 1, 2, 31, 127, 128, 129, 257])
def test_tails_of_the_batch(shim_device: ShimDevice, algorithm: str, n: int) -> None:
    rows = rng(n).integers(0, 256, (n, 18), np.uint8)
    memory = shim_device.xp.full((n + 4, 20), 7, np.uint8)
    result = hashing.digest(algorithm, shim_device.from_host(rows), digest_size=20, out=memory[2 : n + 2])
    assert shim_device.xp.shares_memory(result, memory) or n == 0
    wanted = np.full((n + 4, 20), 7, np.uint8)
    wanted[2 : n + 2] = hashing.digest(algorithm, rows, digest_size=20)
    assert (memory.get() == wanted).all()


@every_algorithm
def test_every_digest_size(shim_device: ShimDevice, algorithm: str) -> None:
    rows = rng(8).integers(0, 256, (9, 40), np.uint8)
    whole = hashing.digest(algorithm, rows)
    for size in range(16, 33):
        found = hashing.digest(algorithm, shim_device.from_host(rows), digest_size=size)
        assert found.shape == (9, size)
        assert (found.get() == whole[:, :size]).all()


@pytest.mark.parametrize(
    "lengths",
    [
        [1025],
        [2048, 0, 1024],
        [2049, 3072, 3073, 4096, 4097],
        [5 * 1024, 7 * 1024 + 1, 16384, 16385, 31 * 1024],
    ],
)
@every_mode
def test_trees(shim_device: ShimDevice, lengths: list[int], mode: dict) -> None:
    lengths = lengths + [n % 300 for n in range(40)]
    offsets, data = batch(lengths)
    found = on_device(shim_device, "blake3", offsets, data, **mode)
    assert shim_device.launches[-1].kernel == "digest_tree"
    assert (found == hashing.blake3(arrow(offsets, data), **mode)).all()
    rows = rng(9).integers(0, 256, (3, lengths[0] + 1024), np.uint8)
    assert (hashing.blake3(shim_device.from_host(rows), **mode).get() == hashing.blake3(rows, **mode)).all()


@every_algorithm
def test_offsets_may_leave_bytes_out(shim_device: ShimDevice, algorithm: str) -> None:
    data = rng(4).integers(0, 256, 500, np.uint8)
    for dtype in (np.int32, np.int64):
        offsets = np.array([3, 3, 20, 64, 129, 420], dtype)
        found = on_device(shim_device, algorithm, offsets, data)
        wanted = [data[a:b].tobytes() for a, b in pairwise(offsets)]
        assert (found == hashing.digest(algorithm, pa.array(wanted, pa.binary()))).all()


@every_algorithm
def test_lengths_of_keys_and_domains(shim_device: ShimDevice, algorithm: str) -> None:
    rows = rng(6).integers(0, 256, (2, 11), np.uint8)
    secret = bytes(range(1, 65))
    for n in (1, 2, 3, 4, 5, 31, 32, 55, 56, 61, 62):
        found = hashing.digest(algorithm, shim_device.from_host(rows), domain=secret[:n]).get()
        assert (found == hashing.digest(algorithm, rows, domain=secret[:n])).all()
    for n in (1, 2, 3, 4, 5, 31, 32, 33, 63, 64) if algorithm != "blake3" else (32,):
        found = hashing.digest(algorithm, shim_device.from_host(rows), key=secret[:n]).get()
        assert (found == hashing.digest(algorithm, rows, key=secret[:n])).all()


def test_the_named_functions(shim_device: ShimDevice) -> None:
    rows = np.zeros((3, 5), np.uint8)
    for name in hashing.ALGORITHMS:
        found = getattr(hashing, name)(shim_device.from_host(rows), backend="cuda", threads=3)
        assert (found.get() == getattr(hashing, name)(rows)).all()
        again = getattr(cuda_hashing, name)(shim_device, shim_device.from_host(rows))
        assert (again.get() == found.get()).all()


def test_rows_apart_are_copied_together(shim_device: ShimDevice) -> None:
    rows = rng(1).integers(0, 256, (50, 40), np.uint8)
    found = hashing.sha256(shim_device.from_host(rows)[::2, 3:20]).get()
    assert (found == hashing.sha256(np.ascontiguousarray(rows[::2, 3:20]))).all()


def test_nothing_of_a_key_stays(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chaining values that the key became are overwritten."""
    made = []
    empty = shim_device.empty

    def record(shape: Any, dtype: Any) -> Any:
        made.append(empty(shape, dtype))
        return made[-1]

    monkeypatch.setattr(shim_device, "empty", record)
    hashing.sha256(shim_device.from_host(np.zeros((3, 5), np.uint8)), key=KEY)
    start = [array for array in made if array.dtype == np.uint32]
    assert len(start) == 1
    assert not start[0].get().any()


# Bad input: the CPU's exceptions and words


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("sha256", {"digest_size": 15}),
        ("sha256", {"digest_size": 33}),
        ("sha256", {"digest_size": "32"}),
        ("sha256", {"key": b""}),
        ("sha256", {"key": bytes(65)}),
        ("sm3", {"domain": bytes(63)}),
        ("sm3", {"domain": "text"}),
        ("blake3", {"key": bytes(31)}),
        ("blake3", {"key": bytes(33)}),
        ("sha256", {"key": KEY, "domain": b"d"}),
        ("blake3", {"key": KEY, "domain": b"d"}),
        ("md5", {}),
        (b"sha256", {}),
    ],
)
def test_options_are_refused_as_on_the_cpu(shim_device: ShimDevice, algorithm: Any, options: dict) -> None:
    rows = np.zeros((2, 4), np.uint8)
    with pytest.raises((ValueError, TypeError)) as cpu:
        hashing.digest(algorithm, rows, **options)
    with pytest.raises(type(cpu.value)) as gpu:
        hashing.digest(algorithm, shim_device.from_host(rows), **options)
    assert str(gpu.value) == str(cpu.value)


def _bad_data(device: Device) -> Iterator[tuple[Any, type[Exception], str]]:
    rows, text = np.zeros((2, 4), np.uint8), np.zeros(9, np.uint8)
    yield (
        device.from_host(rows.astype(np.int8)),
        TypeError,
        r"data is an array of int8: give uint8\[n, width\]",
    )
    yield device.from_host(text), ValueError, r"data has shape \(9,\)"
    good = device.from_host(np.array([0, 4, 9]))
    yield (good, device.from_host(text), good), TypeError, "data is a tuple of 3"
    yield (device.from_host(text), good), TypeError, "offsets of data is an array of uint8"
    yield (good, device.from_host(rows)), ValueError, r"bytes of data has shape \(2, 4\)"
    yield (good, 5), TypeError, "bytes of data is int"
    yield (good[:0], device.from_host(text)), ValueError, "offsets of data are empty"
    for offsets, row in (
        ([0, 5, 4, 9], 1),
        ([0, 4, 10], 1),
        ([-1, 4, 9], 0),
        ([0, 9, 2**62], 1),
        ([3, 2], 0),
    ):
        pair = (device.from_host(np.array(offsets)), device.from_host(text))
        yield pair, ValueError, f"decrease or point outside its bytes at message {row}: "


def test_bad_data_is_refused_and_nothing_written(shim_device: ShimDevice) -> None:
    for data, kind, words in _bad_data(shim_device):
        n = len(data[0]) - 1 if isinstance(data, tuple) else len(data)
        out = shim_device.xp.full((max(n, 0), 32), 9, np.uint8)
        with pytest.raises(kind, match=words):
            hashing.sha256(data, out=out)
        assert (out.get() == 9).all()


def test_out_is_checked(shim_device: ShimDevice) -> None:
    xp, rows = shim_device.xp, shim_device.from_host(np.zeros((4, 32), np.uint8))
    for out, words in (
        (xp.zeros((3, 32), np.uint8), r"out has shape \(3, 32\): the result has \(4, 32\)"),
        (xp.zeros((4, 64), np.uint8)[:, ::2], "out is not C-contiguous"),
        (rows, "out overlaps data"),
    ):
        with pytest.raises(ValueError, match=words):
            hashing.sha256(rows, out=out)
    with pytest.raises(TypeError, match="out is an array of uint32"):
        hashing.sha256(rows, out=xp.zeros((4, 8), np.uint32))


def test_host_and_device_do_not_mix(shim_device: ShimDevice) -> None:
    rows = np.zeros((4, 32), np.uint8)
    with pytest.raises(ValueError, match=r"digest: data is on cuda:0 and out on the host: .*\.to\('cpu'\)"):
        hashing.sha256(shim_device.from_host(rows), out=np.empty((4, 32), np.uint8))
    out = shim_device.empty((4, 32), np.uint8)
    for data in (rows, pa.array([b"a", b"b", b"c", b"d"])):
        with pytest.raises(ValueError, match="digest: out is on cuda:0 and data on the host"):
            hashing.sha256(data, out=out)
    with pytest.raises(ValueError, match="backend is 'portable', and the arrays are on cuda:0"):
        hashing.sha256(shim_device.from_host(rows), backend="portable")
    with pytest.raises(ValueError, match="backend is 'cuda', and the arrays of digest are on the host"):
        hashing.sha256(rows, backend="cuda")


# Memory

SANITIZED = """
import numpy as np
from crypsis import hashing
from crypsis.cuda import hashing as cuda_hashing
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)
with registered(ShimDevice("reversed", sanitize=True)) as device:
    for algorithm in ("sha256", "blake3"):  # SM3 loads and stores with SHA-256's code
        cuda_hashing.FIXED_WIDTH_FROM = 8 if algorithm == "sha256" else 1000
        for lengths in (range(130), [1024, 1023, 1], [3, 4], [1], [0], [2049, 5] if algorithm == "blake3" else [5]):
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            data = device.from_host(rng.integers(0, 256, int(offsets[-1]), np.uint8))
            hashing.digest(algorithm, (device.from_host(offsets), data), key=bytes(32))
        for width in (1, 2, 3, 7, 31, 63, 64, 65, 16):
            for n in (1, 33):
                rows = device.from_host(rng.integers(0, 256, (n, width), np.uint8))
                hashing.digest(algorithm, rows, domain=b"d", digest_size=21)
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
@every_algorithm
@every_mode
def test_gpu_every_length(gpu_device: Device, algorithm: str, mode: dict) -> None:
    longest = 40_000 if algorithm == "blake3" else 5_000
    for lengths in (LENGTHS, list(rng(3).permutation(LENGTHS)), [longest, *range(1020, 1030)]):
        offsets, data = batch(lengths)
        found = on_device(gpu_device, algorithm, offsets, data, **mode)
        assert (found == hashing.digest(algorithm, arrow(offsets, data), **mode)).all()


@pytest.mark.gpu
@every_algorithm
@every_mode
def test_gpu_large_batches(gpu_device: Device, algorithm: str, mode: dict) -> None:
    for width in (16, 18, 32, 64):
        rows = rng(width).integers(0, 256, (100_003, width), np.uint8)
        found = hashing.digest(algorithm, gpu_device.from_host(rows), digest_size=20, **mode)
        assert (gpu_device.to_host(found) == hashing.digest(algorithm, rows, digest_size=20, **mode)).all()


@pytest.mark.gpu
def test_gpu_bad_offsets_are_refused(gpu_device: Device) -> None:
    for data, kind, words in _bad_data(gpu_device):
        with pytest.raises(kind, match=words):
            hashing.sha256(data)

# SPDX-License-Identifier: Apache-2.0
"""kernels/partition on the shim device against the CPU, the reference and vectors; on a GPU where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import partition
from crypsis.cuda import Device, _partition_kernels, get_device
from crypsis.cuda import partition as cuda_partition
from crypsis.cuda._registry import registered
from crypsis.errors import CorruptData
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized
from partition_cases import CASES, distinct_rows, from_hex, halves, random_rows, with_rows

VECTORS = json.loads((Path(__file__).parent / "vectors" / "partition.json").read_text())
SORT_TILE, SPLIT_TILE = 2048, 3072
Array = np.ndarray

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def limits(*starts: int) -> Array:
    return np.array(starts, np.uint64)


def on_device(device: Device, value: Any) -> Any:
    """Arrays to the device, in tuples too."""
    if isinstance(value, np.ndarray):
        return device.from_host(value)
    if isinstance(value, tuple):
        items = [on_device(device, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def call(device: Device, name: str, *args: Any, **options: Any) -> tuple[Any, ...]:
    moved = [on_device(device, arg) for arg in args]
    return getattr(partition, name)(*moved, **{key: on_device(device, v) for key, v in options.items()})


def check(device: Device, name: str, *args: Any, **options: Any) -> tuple[Array, ...]:
    """The device's results are the CPU's; they are returned."""
    found = [device.to_host(array) for array in call(device, name, *args, **options)]
    wanted = getattr(partition, name)(*args, **options)
    for field, a, b in zip(wanted._fields, found, wanted, strict=True):
        assert a.dtype == b.dtype, field
        assert np.array_equal(a, b), field
    return wanted


def check_same_error(device: Device, name: str, *args: Any, **options: Any) -> Exception:
    with pytest.raises((ValueError, TypeError, CorruptData)) as cpu:
        getattr(partition, name)(*args, **options)
    with pytest.raises(type(cpu.value)) as gpu:
        call(device, name, *args, **options)
    assert str(gpu.value) == str(cpu.value)
    return cpu.value


# Known answers


def test_vectors(shim_device: ShimDevice) -> None:
    digests, rows = from_hex(VECTORS["digests"]), np.array(VECTORS["rows"], np.uint32)
    case = VECTORS["by_bin"]
    keys, order, starts = call(shim_device, "by_bin", digests, case["n_bins"])
    assert keys.get().tobytes().hex() == case["keys"]
    assert (order.get().tolist(), starts.get().tolist()) == (case["order"], case["starts"])
    case = VECTORS["records"]
    records, starts = call(shim_device, "records", digests, case["n_bins"], rows=rows)
    assert records.get().tobytes().hex() == case["records"]
    assert starts.get().tolist() == case["starts"]
    case = VECTORS["group"]
    groups = partition.group(records, case["n_bins"])
    assert groups.keys.get().tobytes().hex() == case["keys"]
    lists = [array.get().tolist() for array in groups[1:]]
    assert lists == [case["starts"], case["row_starts"], case["rows"]]
    case = VECTORS["tags"]
    tags, starts = from_hex(case["tags"], 10), limits(*case["starts"])
    ordered, order = call(shim_device, "sort_tags", tags, starts)
    assert ordered.get().tobytes().hex() == case["sorted"]
    assert order.get().tolist() == case["order"]
    case = VECTORS["match"]
    peer = from_hex(case["peer"], 10)
    found = call(shim_device, "match", tags, starts, peer, limits(*case["peer_starts"]))
    assert np.stack([index.get() for index in found], axis=1).tolist() == case["pairs"]


# Against the CPU: sizes around warps, blocks and tiles

SIZES = [0, 1, 2, 7, 8, 9, 31, 32, 33, 255, 256, 257, 383, 385]
TILES = [
    SORT_TILE - 1,
    SORT_TILE,
    SORT_TILE + 1,
    SPLIT_TILE - 1,
    SPLIT_TILE,
    SPLIT_TILE + 1,
    2 * SPLIT_TILE + 5,
]


@pytest.mark.parametrize("n_bins", [1, 2, 3, 65, 2048])
def test_distribution_at_every_edge(shim_device: ShimDevice, n_bins: int) -> None:
    for n in (*SIZES, *TILES):
        digests = random_rows(n, n)
        check(shim_device, "by_bin", digests, n_bins)
        ids = np.random.default_rng(n).integers(0, 2**32, n, np.uint32)
        check(shim_device, "records", digests, n_bins, rows=ids)
    check(shim_device, "records", digests, n_bins, first_row=2**32 - 1 - len(digests))


@pytest.mark.parametrize("n_bins", [2049, 5000])
def test_more_bins_than_one_level_has(shim_device: ShimDevice, n_bins: int) -> None:
    for n in (40, 7000):
        digests = random_rows(n, n)
        check(shim_device, "by_bin", digests, n_bins)
        check(shim_device, "records", digests, n_bins, first_row=5)
        ids = np.random.default_rng(n).integers(0, 2**32, n, np.uint32)
        check(shim_device, "records", digests, n_bins, rows=ids)


def test_as_many_bins_as_there_can_be() -> None:
    with registered(ShimDevice("reversed")) as device:
        check(device, "by_bin", random_rows(1, 900), 2**24)


def test_levels() -> None:
    for n_bins in (1, 2, 500, 2048, 2049, 2**22, 2**22 + 1, 2**24):
        steps = _partition_kernels.levels(n_bins)
        assert len(steps) == (n_bins > 1) + (n_bins > 2048) + (n_bins > 2**22)
        buckets = np.unique(np.concatenate([np.arange(300) % n_bins, n_bins - 1 - np.arange(300) % n_bins]))
        number = 0
        for step in steps:
            assert 2 <= step.n_digits <= 2048
            digit = (buckets >> step.shift) if step.first else (buckets >> step.shift) % step.n_digits
            assert digit.max() < step.n_digits
            number = number * step.n_digits + digit
        assert np.array_equal(number, buckets if n_bins > 1 else 0)


@pytest.mark.parametrize("n_bins", [1, 5, 300])
def test_group_at_every_edge(shim_device: ShimDevice, n_bins: int) -> None:
    for n in (*SIZES, *TILES):
        records = random_rows(n, n)
        check(shim_device, "group", records, n_bins)
        if n:  # about a third of the digests occur again
            records[:, :12] = records[np.random.default_rng(n).integers(0, n, n), :12]
            check(shim_device, "group", records, n_bins)


@pytest.mark.parametrize("width", range(8, 17))
def test_tags_of_every_width(shim_device: ShimDevice, width: int) -> None:
    for n in (0, 1, 2, 33, 700):
        tags = random_rows(n, n, width)
        check(shim_device, "sort_tags", tags, limits(0, n))
        check(shim_device, "sort_tags", tags, limits(*halves(n, 4, n)))
        own = distinct_rows(n, n, width)
        peer = np.unique(np.concatenate([own[::2], distinct_rows(n + 1, n // 2, width)]), axis=0)
        third = len(peer) // 3
        for own_starts in ((0, n // 2, n // 2, n), (0, 0, 0, n), (0, n, n, n)):
            check(shim_device, "match", own, limits(*own_starts), peer, limits(0, third, third, len(peer)))
        found = check(shim_device, "match", own, limits(0, n), peer, limits(0, len(peer)))
        assert len(found.own_index) >= n // 2


@pytest.mark.parametrize("n", TILES)
def test_tags_around_tiles(shim_device: ShimDevice, n: int) -> None:
    """Even ones, and some that are alike in their first 64 bits, so that their segments fit no tile and are merged."""
    for tags in (
        random_rows(n, n, 10),
        np.concatenate([np.full((n, 8), 9, np.uint8), random_rows(n, n, 4)], 1),
    ):
        sorted_tags, _ = check(shim_device, "sort_tags", tags, limits(0, n))
        check(shim_device, "sort_tags", tags, limits(0, n - 1, n - 1, n))
        peer = np.unique(sorted_tags, axis=0)
        own = peer[np.random.default_rng(n).permutation(len(peer))]
        pairs = check(shim_device, "match", own, limits(0, len(own)), peer, limits(0, len(peer)))
        assert len(pairs.own_index) == len(peer)
        check(shim_device, "match", own[: n // 3], limits(0, n // 3), peer, limits(0, len(peer)))
        check(shim_device, "match", own, limits(0, len(own)), peer[::3].copy(), limits(0, len(peer[::3])))
    assert any(launch.kernel == "merge_tiles" for launch in shim_device.launches) == (n > SORT_TILE)
    assert any(launch.kernel == "scatter_digits" for launch in shim_device.launches) == (n > SORT_TILE)


def test_merges_of_many_runs(shim_device: ShimDevice) -> None:
    """Five tiles and a short one, three merges, and in the other segments less: stable throughout."""
    n = 5 * SORT_TILE + 100
    tags = np.zeros((n + 5000, 16), np.uint8)
    tags[:, 8:10] = np.random.default_rng(1).integers(0, 5, (n + 5000, 2))
    check(shim_device, "sort_tags", tags, limits(0, n, n, n + 2100, n + 5000))
    merges = [launch for launch in shim_device.launches if launch.kernel == "merge_tiles"]
    assert len(merges) == 3
    check(shim_device, "group", with_rows(tags), 7)


# Inputs that no keyed hash makes


@each_case
def test_bins_and_groups(shim_device: ShimDevice, case: Callable[[], Array]) -> None:
    rows = case()
    for n_bins in (3, 99):
        check(shim_device, "by_bin", rows, n_bins)
        check(shim_device, "records", rows, n_bins)
        check(shim_device, "group", with_rows(rows.copy(), n_bins), n_bins)


@each_case
@pytest.mark.parametrize("width", [8, 13, 16])
def test_tags(shim_device: ShimDevice, case: Callable[[], Array], width: int) -> None:
    tags = np.ascontiguousarray(case()[:, 16 - width :])
    n = len(tags)
    check(shim_device, "sort_tags", np.ascontiguousarray(tags[:, ::-1]), limits(0, n))
    check(shim_device, "sort_tags", tags, limits(0, 100, 100, n))
    distinct = np.unique(tags, axis=0)
    other = np.unique(np.concatenate([distinct[1::3], random_rows(5, 500, width)]), axis=0)
    mixed = distinct[np.random.default_rng(6).permutation(len(distinct))]
    for own, peer in ((mixed, other), (other[::-1].copy(), distinct)):
        check(shim_device, "match", own, limits(0, len(own)), peer, limits(0, len(peer)))


def test_peer_tags_that_share_prefixes_with_own_ones(shim_device: ShimDevice) -> None:
    own = random_rows(7, 400, 16)
    for kept in (4, 8, 15):
        peer = np.repeat(own[:40], 256, axis=0)
        peer[:, kept] = np.tile(np.arange(256, dtype=np.uint8), 40)
        peer = np.unique(peer, axis=0)
        check(shim_device, "match", own, limits(0, 400), peer, limits(0, len(peer)))


@pytest.mark.parametrize("counters", [_partition_kernels.COUNTERS_PER_ROW, 0])
def test_a_full_bin_among_many_short_ones(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch, counters: int
) -> None:
    """Where there may be no counters for the many, merges alone sort the full one."""
    monkeypatch.setattr(_partition_kernels, "COUNTERS_PER_ROW", counters)
    n, short = 6000, 100
    tags = random_rows(3, n + short, 12)
    starts = limits(*range(short), short + n)
    peer, _ = check(shim_device, "sort_tags", tags, starts)
    check(shim_device, "match", tags, starts, peer, starts)
    launched = {launch.kernel for launch in shim_device.launches}
    assert ("scatter_digits" in launched, "merge_tiles" in launched) == (counters > 0, counters == 0)


# Memory that is given


def test_out_is_used(shim_device: ShimDevice) -> None:
    device, n = shim_device, 3000
    digests = random_rows(1, n)
    tags = np.ascontiguousarray(digests[:, :11])
    rows, order = device.empty((n, 16), np.uint8), device.empty(n, np.uint32)
    partition.by_bin(device.from_host(digests), 9, out=(rows, order))
    wanted = partition.by_bin(digests, 9)
    assert np.array_equal(rows.get(), wanted.keys)
    assert np.array_equal(order.get(), wanted.order)
    partition.records(device.from_host(digests), 9, out=rows)
    assert np.array_equal(rows.get(), partition.records(digests, 9).records)
    sorted_tags = device.empty((n, 11), np.uint8)
    partition.sort_tags(device.from_host(tags), device.from_host(limits(0, 5, n)), out=(sorted_tags, order))
    assert np.array_equal(sorted_tags.get(), partition.sort_tags(tags, limits(0, 5, n)).tags)
    buffers = cuda_partition.group_buffers(device, n + 7)
    for some in (n, 1, 0):
        found = partition.group(device.from_host(digests[:some]), 5, out=buffers)
        for a, b in zip(found, partition.group(digests[:some], 5), strict=True):
            assert np.array_equal(a.get(), b)
        assert device.xp.shares_memory(found.keys, buffers.keys) or not some
        assert device.xp.shares_memory(found.row_starts, buffers.row_starts)


def test_rows_at_any_address(shim_device: ShimDevice) -> None:
    device, n = shim_device, 300
    flat = random_rows(2, n + 1).reshape(-1)
    for at in (1, 8, 15):
        host = flat[at : at + 16 * n].reshape(n, 16).copy()
        rows = device.from_host(flat)[at : at + 16 * n].reshape(n, 16)
        out = device.xp.full(16 * n + 16, 7, np.uint8)
        result = partition.records(rows, 3, out=out[at : at + 16 * n].reshape(n, 16)).records
        assert np.array_equal(result.get(), partition.records(host, 3).records)
        assert (out.get()[:at] == 7).all()
        assert (out.get()[at + 16 * n :] == 7).all()
        for a, b in zip(partition.group(rows, 3), partition.group(host, 3), strict=True):
            assert np.array_equal(a.get(), b)
        tags = rows.reshape(-1)[:2200].reshape(200, 11)
        found = partition.sort_tags(tags, device.from_host(limits(0, 200)))
        assert np.array_equal(found.order.get(), partition.sort_tags(tags.get(), limits(0, 200)).order)
    ids = device.from_host(flat)[1 : 1 + 4 * n].view(np.uint32)
    with pytest.raises(ValueError, match="rows begins at no multiple of 4 bytes"):
        partition.records(rows, 3, rows=ids)


SANITIZED = """
import numpy as np
from crypsis import partition
from crypsis.cuda._registry import registered
from crypsis.errors import CorruptData
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)

def one_bin(n):
    return device.from_host(np.array([0, n], np.uint64))

with registered(ShimDevice("reversed", sanitize=True)) as device:
    for n in (1, 33, 3073, 4500):
        rows = rng.integers(0, 256, (n, 16), np.uint8)
        rows[::3, :9] = rows[0, :9]
        for n_bins in (1, 7, 2100):
            partition.by_bin(device.from_host(rows), n_bins)
            partition.records(device.from_host(rows), n_bins, rows=device.empty(n, np.uint32))
            partition.group(device.from_host(rows), n_bins)
        for width in (8, 11, 16):
            starts = np.array([0, n // 3, n // 3, n], np.uint64)
            tags = np.ascontiguousarray(rows[:, :width])
            for first in (8, 3):
                tags[:, :first] = 5
                tags[:, -4:] = np.arange(n, dtype=">u4").view(np.uint8).reshape(n, 4)
                own = device.from_host(tags[::-1].copy())
                limits = device.from_host(starts)
                ordered = partition.sort_tags(own, limits).tags
                partition.match(own, limits, ordered, limits)
                try:
                    partition.match(own, limits, own, limits)
                except CorruptData:
                    pass
        one = device.from_host(np.full((n + 1, width), 6, np.uint8))  # more pairs than there is room for
        try:
            partition.match(one[:1], one_bin(1), one, one_bin(n + 1))
            raise AssertionError
        except CorruptData:
            pass
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 5000, 300_007])
def test_gpu_is_the_cpu(gpu_device: Device, n: int) -> None:
    assert gpu_device is get_device("cuda:0")
    digests = random_rows(n, n)
    for n_bins in (1, 500, 20_000):
        check(gpu_device, "by_bin", digests, n_bins)
        check(gpu_device, "records", digests, n_bins, first_row=9)
        check(gpu_device, "group", digests, n_bins)
    for width in (8, 10, 16):
        for alike in (0, 8):
            tags = distinct_rows(n, n, width)
            tags[:, :3] = tags[:, :3] if not alike else 1
            starts = limits(*halves(n, 6, n))
            peer, _ = check(gpu_device, "sort_tags", tags, starts)
            check(gpu_device, "match", tags, starts, peer, starts)


@pytest.mark.gpu
@each_case
def test_gpu_adversarial(gpu_device: Device, case: Callable[[], Array]) -> None:
    rows = case()
    check(gpu_device, "by_bin", rows, 99)
    check(gpu_device, "group", with_rows(rows.copy(), 1), 9)
    check(gpu_device, "sort_tags", rows, limits(0, 100, 100, len(rows)))
    alike = np.repeat(rows[:1], 50, axis=0)
    check_same_error(gpu_device, "match", alike, limits(0, 50), rows[:0], limits(0, 0))

# SPDX-License-Identifier: Apache-2.0
"""kernels/partition: bad arguments, bad peers and short memory give the CPU's exceptions, and `out` stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from crypsis import partition
from crypsis.cuda import partition as cuda_partition
from crypsis.cuda._blocks import in_blocks
from crypsis.cuda._registry import registered
from crypsis.errors import CorruptData, DeviceMemoryError
from cuda_on_cpu.device import ShimDevice
from partition_cases import random_rows
from test_cuda_partition import SORT_TILE, check, check_same_error, limits

Array = np.ndarray


def numbered(n: int, width: int = 10) -> Array:
    tags = np.zeros((n, width), np.uint8)
    tags[:, :8] = np.arange(n, dtype=">u8").view(np.uint8).reshape(n, 8)
    return tags


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.uint8)


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("by_bin", (zeros(3, 15), 2), {}),
        ("by_bin", (zeros(48), 2), {}),
        ("by_bin", (zeros(3, 16), 0), {}),
        ("by_bin", (zeros(3, 16), 2**24 + 1), {}),
        ("by_bin", (zeros(3, 16), 2.0), {}),
        ("by_bin", (zeros(4, 16), 2), {"out": zeros(4, 16)}),
        ("by_bin", (zeros(4, 16), 2), {"out": (zeros(5, 16), np.zeros(4, np.uint32))}),
        ("records", (zeros(3, 12), 2), {}),
        ("records", (zeros(3, 16), 2), {"first_row": -1}),
        ("records", (zeros(3, 16), 2), {"first_row": 2**32 - 3}),
        ("records", (zeros(3, 16), 2), {"rows": np.zeros(2, np.uint32)}),
        ("records", (zeros(1, 16), 2), {"rows": np.zeros(1, np.uint32), "first_row": 1}),
        ("records", (zeros(4, 16), 2), {"out": zeros(4, 12)}),
        ("group", (zeros(3, 17), 2), {}),
        ("group", (zeros(3, 16), True), {}),
        ("group", (zeros(3, 16), 2), {"out": partition.group_buffers(2)}),
        ("group", (zeros(4, 16), 2), {"out": partition.group_buffers(4)._replace(keys=zeros(3, 16))}),
        ("group", (zeros(4, 16), 2), {"out": (zeros(4, 16),)}),
        ("sort_tags", (zeros(3, 7), limits(0, 3)), {}),
        ("sort_tags", (zeros(3, 17), limits(0, 3)), {}),
        ("sort_tags", (zeros(3, 9), limits(3)), {}),
        ("sort_tags", (zeros(3, 9), limits(0, 3).reshape(1, 2)), {}),
        ("sort_tags", (zeros(3, 9), limits(0, 2)), {}),
        ("sort_tags", (zeros(3, 9), limits(0, 2**63, 3)), {}),
        ("match", (zeros(1, 9), limits(0, 1), zeros(1, 10), limits(0, 1)), {}),
        ("match", (zeros(1, 9), limits(0, 1), zeros(1, 9), limits(0, 1, 1)), {}),
        ("match", (zeros(1, 9), limits(0, 2), zeros(1, 9), limits(0, 1)), {}),
        ("match", (zeros(1, 9), limits(0, 1), zeros(1, 9), limits(0, 0)), {}),
    ],
)
def test_arguments_are_refused_as_on_the_cpu(
    shim_device: ShimDevice, name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    check_same_error(shim_device, name, *args, **options)


def test_device_arrays_of_the_wrong_kind(shim_device: ShimDevice) -> None:
    device = shim_device
    rows, order = device.xp.zeros((4, 16), np.uint8), device.xp.zeros(4, np.uint32)
    with pytest.raises(TypeError, match="keys is an array of int8: give an array of uint8 on cuda:0"):
        partition.by_bin(rows.view(np.int8), 2)
    with pytest.raises(TypeError, match="starts is list: give an array of uint64 on cuda:0"):
        partition.sort_tags(rows, [0, 4])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="keys is not C-contiguous"):
        partition.by_bin(rows[::2], 2)
    with pytest.raises(ValueError, match=r"keys of out is not C-contiguous: allocate it with cupy\.empty"):
        partition.by_bin(rows, 2, out=(device.xp.zeros((8, 16), np.uint8)[::2], order))
    at_one = device.xp.zeros(17, np.uint8)[1:].view(np.uint32)
    with pytest.raises(ValueError, match="order of out begins at no multiple of 4 bytes: allocate it"):
        partition.by_bin(rows, 2, out=(device.xp.zeros((4, 16), np.uint8), at_one))
    with pytest.raises(ValueError, match="keys of out overlaps keys"):
        partition.by_bin(rows, 2, out=(rows, order))
    with pytest.raises(ValueError, match="tags is on cuda:0 and starts on the host"):
        partition.sort_tags(rows, limits(0, 4))
    with pytest.raises(ValueError, match="backend is 'portable'"):
        partition.by_bin(rows, 2, backend="portable")


@pytest.mark.parametrize("width", [8, 10, 16])
def test_peer_tags_out_of_order(shim_device: ShimDevice, width: int) -> None:
    n = 5000
    own, starts = numbered(n, width), limits(0, 2100, 2100, n)
    for at in (2100, 2101, 2100 + SORT_TILE - 1, n - 2):
        for other in (at, at + 1):  # a tag twice; two exchanged
            peer = own.copy()
            peer[at + 1], peer[at] = own[at], own[other]
            error = check_same_error(shim_device, "match", own, starts, peer, starts)
            assert f"peer tags {at - 2100} and {at - 2099} of bin 2" in str(error)
    peer = own.copy()
    peer[1999], peer[4000] = peer[1998], peer[3999]
    check_same_error(shim_device, "match", own, starts, peer, starts)  # the first of several
    check_same_error(shim_device, "match", own[:0], limits(0, 0), peer[:2][::-1].copy(), limits(0, 2))
    falling = own[::-1].copy()
    check_same_error(shim_device, "match", own, limits(0, n), falling, limits(0, n))
    check(shim_device, "match", own, starts, own, starts)


@pytest.mark.parametrize("n", [2, 30, 5000])
def test_equal_own_tags(shim_device: ShimDevice, n: int) -> None:
    own = random_rows(n, n, 12)
    own[:, -1] |= 1
    starts = limits(0, 0, n)
    for peer in (zeros(0, 12), own[:1]):
        peer_starts = limits(0, 0, len(peer))
        twice = own.copy()
        twice[n - 1] = twice[0]
        error = check_same_error(shim_device, "match", twice, starts, peer, peer_starts)
        assert f"own tags 0 and {n - 1} of bin 1 are equal" in str(error)
        alike = np.repeat(own[:1], n, axis=0)  # more than a line of the CPU's holds
        check_same_error(shim_device, "match", alike, starts, peer, peer_starts)
        both = np.concatenate([own[:1], own])  # the same tag in another bin is no fault
        check(shim_device, "match", both, limits(0, 1, n + 1), peer, peer_starts)
    both = np.concatenate(
        [numbered(n)[:2], numbered(n)[1:]]
    )  # nor one that ends a sorted bin and begins the next
    check(shim_device, "match", both, limits(0, 2, n + 1), both, limits(0, 2, n + 1))


def test_equal_own_tags_on_either_side_of_a_tile(shim_device: ShimDevice) -> None:
    """And the last two of a bin, whatever order they come in."""
    n, starts = 5000, limits(0, 100, 5000)
    order = np.random.default_rng(5).permutation(n - 100) + 100
    for at in (SORT_TILE - 1, SORT_TILE, 2 * SORT_TILE - 1, n - 102):
        own = numbered(n)
        own[100 + at + 1] = own[100 + at]
        own[100:] = own[order]
        check_same_error(shim_device, "match", own, starts, own[:0], limits(0, 0, 0))


def test_the_first_bin_with_a_fault_is_named(shim_device: ShimDevice) -> None:
    """And of one bin with both, the own tags."""
    good = numbered(400)
    starts = limits(0, 100, 200, 300, 400)
    for own_at in (None, 50, 150, 250):
        for peer_at in (None, 60, 160, 360):
            own, peer = good.copy(), good.copy()
            if own_at is not None:
                own[own_at] = own[own_at + 7]
            if peer_at is not None:
                peer[peer_at] = peer[peer_at - 1]
            if own_at is None and peer_at is None:
                check(shim_device, "match", own, starts, peer, starts)
            else:
                check_same_error(shim_device, "match", own, starts, peer, starts)


def test_nothing_is_written_on_an_error(shim_device: ShimDevice) -> None:
    out = shim_device.xp.full((4, 16), 7, np.uint8)
    order = shim_device.xp.full(4, 7, np.uint32)
    rows = shim_device.xp.zeros((4, 16), np.uint8)
    for wrong in (limits(0, 5), limits(0, 3, 2, 4)):
        with pytest.raises(ValueError, match="starts"):
            partition.sort_tags(rows, shim_device.from_host(wrong), out=(out, order))
    with pytest.raises(ValueError, match="n_bins"):
        partition.by_bin(rows, 0, out=(out, order))
    assert (out.get() == 7).all()
    assert (order.get() == 7).all()


# Memory


def test_short_memory_takes_bins_a_few_at_a_time(shim_device: ShimDevice) -> None:
    n, starts = 6000, limits(*range(0, 6001, 500))
    tags = random_rows(4, n, 10)
    peer = partition.sort_tags(tags, starts).tags
    device_tags, device_starts, device_peer = (shim_device.from_host(a) for a in (tags, starts, peer))
    for limit, enough in ((2_000_000, True), (400_000, True), (300_000, True), (150_000, False)):
        shim_device.limit_bytes = limit
        if not enough:
            with pytest.raises(DeviceMemoryError):
                partition.sort_tags(device_tags, device_starts)
            with pytest.raises(DeviceMemoryError):
                partition.by_bin(device_tags.reshape(-1)[: 3750 * 16].reshape(3750, 16), 2048)
            continue
        found = partition.sort_tags(device_tags, device_starts)
        assert np.array_equal(found.tags.get(), peer)
        del found
        pairs = partition.match(device_tags, device_starts, device_peer, device_starts)
        wanted = partition.match(tags, starts, peer, starts)
        assert np.array_equal(pairs.own_index.get(), wanted.own_index)
        assert np.array_equal(pairs.peer_index.get(), wanted.peer_index)
        del pairs
        wrong = device_peer.copy()
        wrong[5700] = wrong[5701]
        with pytest.raises(CorruptData, match="peer tags 200 and 201 of bin 11 "):
            partition.match(device_tags, device_starts, wrong, device_starts)
        del wrong
    shim_device.limit_bytes = None
    parts = [launch for launch in shim_device.launches if launch.kernel == "widen_tags"]
    assert len(parts) > 9


@pytest.fixture
def bin_by_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device with little memory."""
    monkeypatch.setattr(cuda_partition, "in_blocks", partial(in_blocks, most=1))


@pytest.mark.usefixtures("bin_by_bin")
def test_merges_of_bins_behind_the_first(shim_device: ShimDevice) -> None:
    """What says where a tag was counts from the first bin's start, however often tags are moved."""
    sizes = (3, 2 * SORT_TILE + 1, 0, SORT_TILE + 7, 20)  # two merges, none, one, none
    starts = limits(0, *np.cumsum(sizes))
    tags = np.full((sum(sizes), 16), 9, np.uint8)
    tags[:, 8:] = random_rows(11, len(tags), 8)
    peer, _ = check(shim_device, "sort_tags", tags, starts)
    check(shim_device, "match", tags, starts, peer, starts)
    merges = [launch for launch in shim_device.launches if launch.kernel == "merge_tiles"]
    assert len(merges) == 2 * 3


@pytest.mark.usefixtures("bin_by_bin")
def test_faults_of_bins_behind_the_first(shim_device: ShimDevice) -> None:
    own, starts = numbered(400), limits(0, 100, 200, 200, 400)
    twice, unordered = own.copy(), own.copy()
    twice[399], unordered[350] = own[390], own[349]
    for a, b, where in (
        (twice, own, "own tags 190 and 199 of bin 3"),
        (own, unordered, "peer tags 149 and 150 of bin 3"),
        (twice, unordered, "own tags 190 and 199 of bin 3"),
    ):
        assert where in str(check_same_error(shim_device, "match", a, starts, b, starts))
    twice[150] = twice[100]
    error = check_same_error(shim_device, "match", twice, starts, unordered, starts)
    assert "own tags 0 and 50 of bin 1" in str(error)


class Short(ShimDevice):
    """Refuses memory once, after `left` more times that it was asked for some."""

    left: int | None = None

    def take(self, n_bytes: int) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise DeviceMemoryError(f"{n_bytes:,} bytes asked, 0 free; use smaller batches")
        super().take(n_bytes)


def refused_once(device: Short, call: Callable[[], Any], check_result: Callable[[Any], None]) -> int:
    """Runs `call` as often as it asks for memory, refused once each time; how often it failed of that."""
    failed = asked = 0
    while True:
        device.left = asked
        try:
            check_result(call())
        except DeviceMemoryError:
            failed += 1
        if device.left is not None:
            device.left = None
            assert asked > 3
            return failed
        asked += 1


def test_memory_refused_at_any_request() -> None:
    """`out` is whole or as it was; bins are taken again, fewer at a time."""
    n, starts = 4000, limits(0, 1000, 4000)
    rows = random_rows(8, n)
    rows[::5, :8] = rows[0, :8]
    tags = np.unique(rows[:, :12], axis=0)
    tag_starts = limits(0, 700, len(tags))
    with registered(Short()) as device:
        on = {name: device.from_host(a) for name, a in {"rows": rows, "tags": tags}.items()}
        limits_on = {2: device.from_host(starts), 3: device.from_host(tag_starts)}
        out = device.xp.full((n, 16), 7, np.uint8)
        order = device.xp.full(n + 1, 7, np.uint32)
        buffers = cuda_partition.Groups(out, device.empty(0, np.uint64), order, device.empty(n, np.uint32))
        wanted = partition.by_bin(rows, 3000), partition.group(rows, 9), partition.sort_tags(rows, starts)

        def by_bin() -> Any:
            out.fill(7)
            try:
                return partition.by_bin(on["rows"], 3000, out=(out, order[:n]))
            except DeviceMemoryError:
                assert (out.get() == 7).all()
                raise

        def group() -> Any:
            out.fill(7)
            try:
                return partition.group(on["rows"], 9, out=buffers)
            except DeviceMemoryError:
                assert (out.get() == 7).all()
                raise

        def same(expected: Any) -> Callable[[Any], None]:
            def compare(found: Any) -> None:
                assert all(np.array_equal(a.get(), b) for a, b in zip(found, expected, strict=True))

            return compare

        assert refused_once(device, by_bin, same(wanted[0])) > 5
        assert refused_once(device, group, same(wanted[1])) > 5
        # Only the results themselves and what is there for all bins cannot be asked for again.
        sort = refused_once(device, lambda: partition.sort_tags(on["rows"], limits_on[2]), same(wanted[2]))
        assert sort == 2
        pairs = partition.match(tags, tag_starts, tags, tag_starts)
        args = on["tags"], limits_on[3], on["tags"], limits_on[3]
        assert refused_once(device, lambda: partition.match(*args), same(pairs)) == 2

# SPDX-License-Identifier: Apache-2.0
"""Trees and keys of kernels/vole on the shim device against the CPU and the reference; on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import vole as reference

from crypsis import bitmatrix, vole
from crypsis.cuda import Device
from crypsis.cuda import vole as cuda_vole
from crypsis.cuda._registry import registered
from crypsis.cuda._tuning import launch_shapes
from crypsis.errors import DeviceMemoryError
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized

Array = np.ndarray
DELTA = np.arange(0xA1, 0xB1, dtype=np.uint8)


def blocks(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng([*shape, seed]).integers(0, 256, (*shape, 16), np.uint8)


def places(n: int, depth: int, seed: int = 3) -> Array:
    return np.random.default_rng([n, depth, seed]).integers(0, 1 << depth, n, np.uint64)


def away(positions: Array, depth: int) -> Array:
    """[n, depth]: the side away from the path, level by level."""
    levels = np.arange(depth, dtype=np.uint64)[::-1]
    return (1 - (positions[:, None] >> levels & np.uint64(1))).astype(np.int64)


def known_of(sums: Array, positions: Array) -> Array:
    """What the holder of punctured trees gets of `expand_trees`' sums."""
    n, depth = sums.shape[:2]
    return sums[np.arange(n)[:, None], np.arange(depth)[None], away(positions, depth)]


def known_of_half(sums: Array, positions: Array) -> Array:
    """Of `expand_correlated`'s sums, which are the left nodes'; both sides add up to DELTA."""
    right = away(positions, sums.shape[1])[:, :, None].astype(np.uint8)
    return sums ^ right * DELTA


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """levels(first, nodes): the first launch makes so many, and a block of a later one takes so many nodes."""

    def change(first: int, nodes: int) -> None:
        shapes = dict(launch_shapes("vole"))
        shapes["trees"] = dict(shapes["trees"]) | {"levels": first, "nodes": nodes}
        monkeypatch.setattr(cuda_vole, "launch_shapes", lambda slug: shapes)

    return change


def compare_all(device: Device, n: int, depth: int, positions: Array | None = None) -> None:
    """Every function of trees against the CPU."""
    up, down = device.from_host, device.to_host
    seeds, corrections = blocks(n), blocks(n, seed=5)
    positions = places(n, depth) if positions is None else positions
    leaves, sums = vole.expand_trees(seeds, depth)
    found_leaves, found_sums = vole.expand_trees(up(seeds), depth)
    assert np.array_equal(down(found_leaves), leaves)
    assert np.array_equal(down(found_sums), sums)

    known = known_of(sums, positions)
    wanted = vole.reconstruct_trees(known, positions, depth)
    assert np.array_equal(down(vole.reconstruct_trees(up(known), up(positions), depth)), wanted)

    flat = np.empty((n << depth, 16), np.uint8)
    memory = device.empty(flat.shape, np.uint8)
    sums, totals = vole.expand_noise(seeds, depth, flat)
    found_sums, found_totals = vole.expand_noise(up(seeds), depth, memory)
    assert np.array_equal(down(memory), flat)
    assert np.array_equal(down(found_sums), sums)
    assert np.array_equal(down(found_totals), totals)
    vole.reconstruct_noise(known, positions, corrections, depth, flat)
    vole.reconstruct_noise(up(known), up(positions), up(corrections), depth, memory)
    assert np.array_equal(down(memory), flat)

    sums = vole.expand_correlated(seeds, DELTA, depth, flat)
    found_sums = vole.expand_correlated(up(seeds), up(DELTA), depth, memory)
    assert np.array_equal(down(memory), flat)
    assert np.array_equal(down(found_sums), sums)
    known = known_of_half(sums, positions)
    vole.reconstruct_correlated(known, positions, depth, flat)
    vole.reconstruct_correlated(up(known), up(positions), depth, memory)
    assert np.array_equal(down(memory), flat)


# Trees


def test_trees_are_the_reference(shim_device: ShimDevice) -> None:
    depth, seed = 3, blocks(1)
    leaves, sums = vole.expand_trees(shim_device.from_host(seed), depth)
    wanted_leaves, wanted_sums = reference.expand_tree(seed.tobytes(), depth)
    assert [leaf.tobytes() for leaf in leaves.get()[0]] == wanted_leaves
    assert [[side.tobytes() for side in level] for level in sums.get()[0]] == wanted_sums
    for position in range(1 << depth):
        known = reference.known_sums(wanted_sums, position)
        rows = np.frombuffer(b"".join(known), np.uint8).reshape(1, depth, 16)
        found = vole.reconstruct_trees(
            shim_device.from_host(rows), shim_device.from_host(np.array([position], np.uint64)), depth
        )
        assert [leaf.tobytes() for leaf in found.get()[0]] == reference.reconstruct_tree(known, position)


@pytest.mark.parametrize(("n", "depth"), [(1, 1), (3, 1), (2, 2), (4, 5), (2, 8), (1, 10)])
def test_trees_in_one_launch(shim_device: ShimDevice, n: int, depth: int) -> None:
    compare_all(shim_device, n, depth)
    assert not any("level" in launch.kernel for launch in shim_device.launches)


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("nodes", [1, 3, 256])
def test_trees_with_a_launch_a_level(
    shim_device: ShimDevice, levels: Callable[[int, int], None], first: int, nodes: int
) -> None:
    """Levels that lie in the leaves and in scratch, blocks that end within a level, one node a block."""
    levels(first, nodes)
    for depth in (first + 1, first + 2, 6):
        compare_all(shim_device, 3, depth)
    assert {f"{verb}_{kind}_level" for verb in ("grow", "puncture") for kind in ("ggm", "half")} < {
        launch.kernel for launch in shim_device.launches
    }


def test_a_block_takes_more_nodes_than_it_has_threads(
    shim_device: ShimDevice, levels: Callable[[int, int], None]
) -> None:
    levels(2, 300)
    compare_all(shim_device, 1, 11)


@pytest.mark.parametrize("first", [10, 1])
def test_every_position(shim_device: ShimDevice, levels: Callable[[int, int], None], first: int) -> None:
    levels(first, 2)
    for depth in (1, 3):
        compare_all(shim_device, 1 << depth, depth, np.arange(1 << depth, dtype=np.uint64))


@settings(max_examples=12)
@given(st.data())
def test_any_tree(data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 7))
    n = data.draw(st.integers(1, 4))
    positions = data.draw(st.lists(st.integers(0, (1 << depth) - 1), min_size=n, max_size=n))
    with registered(ShimDevice(data.draw(st.sampled_from(["forward", "reversed"])))) as device:
        compare_all(device, n, depth, np.array(positions, np.uint64))


def test_adversarial_seeds_and_sums(shim_device: ShimDevice) -> None:
    """All zeros, all ones, a tree whose nodes are all alike: what a peer sends is any bytes."""
    up, depth = shim_device.from_host, 4
    for value in (0, 255):
        known = np.full((3, depth, 16), value, np.uint8)
        positions, corrections = np.array([0, 7, 15], np.uint64), np.full((3, 16), 255 - value, np.uint8)
        flat, memory = (
            np.empty((3 << depth, 16), np.uint8),
            shim_device.empty((3 << depth, 16), np.uint8),
        )
        vole.reconstruct_noise(known, positions, corrections, depth, flat)
        vole.reconstruct_noise(up(known), up(positions), up(corrections), depth, memory)
        assert np.array_equal(memory.get(), flat)
        vole.reconstruct_correlated(known, positions, depth, flat)
        vole.reconstruct_correlated(up(known), up(positions), depth, memory)
        assert np.array_equal(memory.get(), flat)


def test_no_trees(shim_device: ShimDevice) -> None:
    xp, none = shim_device.xp, shim_device.empty((0, 16), np.uint8)
    leaves, sums = vole.expand_trees(none, 4)
    assert (leaves.shape, sums.shape) == ((0, 16, 16), (0, 4, 2, 16))
    positions, known = xp.zeros(0, np.uint64), shim_device.empty((0, 4, 16), np.uint8)
    assert vole.reconstruct_trees(known, positions, 4).shape == (0, 16, 16)
    assert vole.expand_correlated(none, xp.zeros(16, np.uint8), 4, none).shape == (0, 4, 16)
    assert vole.random_keys(none).shape == (0, 16)
    assert not shim_device.launches


def test_given_outputs_at_any_address(shim_device: ShimDevice, levels: Callable[[int, int], None]) -> None:
    """Nothing is written beside them, and inputs need no alignment nor order."""
    n, depth = 3, 4
    for first in (10, 2):
        levels(first, 4)
        seeds = shim_device.from_host(np.concatenate([np.zeros(5, np.uint8), blocks(n).reshape(-1)]))
        seeds = seeds[5:].reshape(n, 16)
        raw, raw_sums = (shim_device.xp.full(size + 16, 7, np.uint8) for size in (n * 256, n * depth * 32))
        leaves = raw[3 : 3 + n * 256].reshape(n, 16, 16)
        sums = raw_sums[1 : 1 + n * depth * 32].reshape(n, depth, 2, 16)
        result = vole.expand_trees(seeds, depth, leaves=leaves, sums=sums)
        assert result[0] is leaves
        assert result[1] is sums
        wanted_leaves, wanted_sums = vole.expand_trees(blocks(n), depth)
        assert np.array_equal(leaves.get(), wanted_leaves)
        assert np.array_equal(sums.get(), wanted_sums)
        for memory, size, start in ((raw, n * 256, 3), (raw_sums, n * depth * 32, 1)):
            outside = np.concatenate([memory.get()[:start], memory.get()[start + size :]])
            assert (outside == 7).all()
        wide = shim_device.from_host(np.repeat(blocks(n), 2, axis=0))[::2]
        assert np.array_equal(vole.expand_trees(wide, depth)[0].get(), wanted_leaves)


def test_a_round_of_vole(shim_device: ShimDevice) -> None:
    """What all of it is for: w = v + u Delta in GF(2^128), with every step of both parties on the device."""
    up, n_trees, depth = shim_device.from_host, 4, 5
    beta, places_of = blocks(n_trees, seed=8), places(n_trees, depth)
    gamma_and_more = bitmatrix.gf128_multiply(beta, DELTA)  # what corrections hold beside the trees' totals
    v, w, e = (shim_device.empty((n_trees << depth, 16), np.uint8) for _ in range(3))
    sums, totals = vole.expand_noise(up(blocks(n_trees)), depth, v)
    known = up(known_of(sums.get().reshape(n_trees, depth, 2, 16), places_of))
    vole.reconstruct_noise(known, up(places_of), totals ^ up(gamma_and_more), depth, w)
    vole.place_noise(up(places_of), up(beta), depth, e)
    outs = [shim_device.empty((64, 16), np.uint8) for _ in range(3)]
    vole.expand_convolute(bytes(16), v, outs[0], weight=7)
    vole.expand_convolute(bytes(16), w, outs[1], weight=7, second=(e, outs[2]))
    v_out, w_out, u_out = (out.get() for out in outs)
    assert u_out.any(axis=1).all()
    assert np.array_equal(w_out, v_out ^ bitmatrix.gf128_multiply(u_out, DELTA))


# Keys


@pytest.mark.parametrize("n", [1, 31, 257, 1600])
@pytest.mark.parametrize("tweak", [None, 0, 2**64 - 2000, (7 << 64) + 5])
def test_random_keys(shim_device: ShimDevice, n: int, tweak: int | None) -> None:
    rows = blocks(n)
    for delta in (None, DELTA.tobytes()):
        found = vole.random_keys(shim_device.from_host(rows), delta=delta, tweak=tweak)
        assert np.array_equal(found.get(), vole.random_keys(rows, delta=delta, tweak=tweak))
    assert reference.random_key(rows[0].tobytes(), tweak) == found.get()[0, 0].tobytes()
    memory = shim_device.from_host(rows)
    assert vole.random_keys(memory, tweak=tweak, out=memory) is memory
    assert np.array_equal(memory.get(), vole.random_keys(rows, tweak=tweak))


def test_random_keys_of_every_place_in_memory(shim_device: ShimDevice) -> None:
    flat = shim_device.from_host(np.arange(16 * 41, dtype=np.uint32).astype(np.uint8))
    for start in (1, 4, 8):
        rows = flat[start : start + 16 * 40].reshape(40, 16)
        memory = shim_device.xp.full(16 * 40 + 32, 9, np.uint8)
        vole.random_keys(rows, out=memory[start : start + 16 * 40].reshape(40, 16))
        wanted = np.full(16 * 40 + 32, 9, np.uint8)
        wanted[start : start + 16 * 40] = vole.random_keys(rows.get()).reshape(-1)
        assert np.array_equal(memory.get(), wanted)
    assert np.array_equal(
        vole.random_keys(flat[:640].reshape(40, 16)[::3]).get(),
        vole.random_keys(flat.get()[:640].reshape(40, 16)[::3]),
    )


# Memory


class Watching(ShimDevice):
    """Keeps what it gave out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made: list[Any] = []

    def empty(self, shape: Any, dtype: Any) -> Any:
        self.made.append(super().empty(shape, dtype))
        return self.made[-1]


def test_nothing_of_a_tree_stays(levels: Callable[[int, int], None]) -> None:
    levels(2, 4)
    with registered(Watching()) as device:
        seeds, positions = device.from_host(blocks(2)), device.from_host(places(2, 5))
        leaves, sums = vole.expand_trees(seeds, 5)
        known = device.from_host(known_of(sums.get(), positions.get()))
        rest = [vole.reconstruct_trees(known, positions, 5), leaves]
        scratch = [made for made in device.made if not any(made is given for given in rest)]
        assert len(scratch) == 3  # of the leaves twice, and the sums of the punctured trees
        assert not any(made.get().any() for made in scratch)


class Refusing(Watching):
    """Refuses memory once, after `left` more times that some was asked for."""

    left = -1

    def empty(self, shape: Any, dtype: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            raise DeviceMemoryError("0 bytes free; use smaller batches")
        return super().empty(shape, dtype)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("first", [10, 2])
def test_memory_runs_out_at_any_time(levels: Callable[[int, int], None], first: int, n: int) -> None:
    """Two trees are made one after the other, one is an error; and no scratch keeps anything."""
    levels(first, 4)
    depth, seeds, positions, corrections = 4, blocks(n), places(n, 4), blocks(n, seed=5)
    wanted, sums = vole.expand_trees(seeds, depth)
    known = known_of(sums, positions)
    flat = vole.reconstruct_noise(known, positions, corrections, depth, wanted.reshape(-1, 16).copy())
    with registered(Refusing()) as device:
        given = [device.from_host(array) for array in (seeds, known, positions, corrections)]

        def grow(leaves: Any) -> None:
            vole.expand_trees(given[0], depth, leaves=leaves.reshape(n, -1, 16))

        def fill(leaves: Any) -> None:
            vole.reconstruct_noise(*given[1:], depth, leaves)

        for call, answer in ((grow, wanted.reshape(-1, 16)), (fill, flat)):
            requests = (call is fill) + (first == 2)  # sums, a level in scratch
            for left in range(requests + 1):
                leaves = device.from_host(np.zeros((n * 16, 16), np.uint8))
                device.left, device.made = left, []
                if left < requests and n == 1:
                    with pytest.raises(DeviceMemoryError, match="for trees of depth 4"):
                        call(leaves)
                else:
                    call(leaves)
                    assert np.array_equal(leaves.get(), answer)
                assert (device.left < 0) == (left < requests)
                # Zeros, or as they came.
                assert all(len(set(made.get().reshape(-1).view(np.uint8))) <= 1 for made in device.made)


def test_trees_in_parts_where_memory_is_short(levels: Callable[[int, int], None]) -> None:
    n, depth = 6, 6
    levels(2, 64)
    seeds, positions = blocks(n), places(n, depth)
    wanted, sums = vole.expand_trees(seeds, depth)
    known = known_of(sums, positions)
    punctured = vole.reconstruct_trees(known, positions, depth)
    with registered(ShimDevice(memory_bytes=n * 1024 + 5000)) as device:  # leaves, and half the scratch
        leaves = device.empty(wanted.shape, np.uint8)
        vole.expand_trees(device.from_host(seeds), depth, leaves=leaves)
        assert np.array_equal(leaves.get(), wanted)
        parts = [launch.grid[0] for launch in device.launches if launch.kernel == "grow_ggm"]
        assert len(parts) > 1
        assert sum(parts) == n
        vole.reconstruct_trees(device.from_host(known), device.from_host(positions), depth, leaves=leaves)
        assert np.array_equal(leaves.get(), punctured)
        device.limit_bytes = device._used + 1200  # known and positions take half of it
        with pytest.raises(DeviceMemoryError, match=r"trees of depth 6: .* bytes needed at a time"):
            vole.reconstruct_trees(device.from_host(known), device.from_host(positions), depth, leaves=leaves)


# Bad input: the CPU's exceptions


def _bad_calls(device: Device) -> Iterator[tuple[Callable[[], object], type[Exception], str]]:
    up, xp = device.from_host, device.xp
    seeds, known = up(blocks(2)), up(blocks(2, 3))
    leaves, delta = xp.full((16, 16), 7, np.uint8), up(DELTA)
    good, bad = up(np.array([1, 7], np.uint64)), up(np.array([1, 8], np.uint64))
    yield lambda: vole.expand_trees(seeds, 0), ValueError, "depth is 0: give 1 to 24"
    yield lambda: vole.expand_trees(seeds, True), TypeError, "depth is bool"
    yield (
        lambda: vole.expand_trees(seeds[:, :15], 3),
        ValueError,
        r"seeds has shape \(2, 15\): give uint8\[n, 16\]",
    )
    yield lambda: vole.expand_trees(seeds.astype(np.int8), 3), TypeError, "seeds is an array of int8"
    yield lambda: vole.expand_trees(seeds, 3, leaves=leaves), ValueError, "leaves has shape"
    yield lambda: vole.expand_trees(seeds, 3, leaves=leaves[::2]), ValueError, "leaves has shape"
    yield lambda: vole.expand_noise(seeds, 3, leaves[:15]), ValueError, "leaves has shape"
    yield (
        lambda: vole.expand_noise(seeds, 2, leaves[::2]),
        ValueError,
        "leaves is not C-contiguous: allocate it with cupy.empty",
    )
    yield lambda: vole.expand_trees(seeds, 3, sums=xp.zeros((2, 3, 16), np.uint8)), ValueError, "sums has"
    yield lambda: vole.reconstruct_trees(known, bad, 3), ValueError, r"2\^3 or above: .* no such leaf"
    yield lambda: vole.reconstruct_noise(known, bad, seeds, 3, leaves), ValueError, "no such leaf"
    yield lambda: vole.reconstruct_correlated(known, bad, 3, leaves), ValueError, "no such leaf"
    yield (
        lambda: vole.reconstruct_trees(known, good.astype(np.int64), 3),
        TypeError,
        "positions is an array of int64",
    )
    yield lambda: vole.reconstruct_trees(known, good[:1], 3), ValueError, r"positions has shape \(1,\)"
    yield lambda: vole.reconstruct_trees(known, good, 4), ValueError, "known has shape"
    yield lambda: vole.reconstruct_noise(known, good, seeds[:1], 3, leaves), ValueError, "corrections has"
    yield lambda: vole.expand_correlated(seeds, delta[:15], 3, leaves), ValueError, "delta has shape"
    yield lambda: vole.random_keys(seeds, delta=b"1"), ValueError, "delta has 1 bytes"
    yield lambda: vole.random_keys(seeds, tweak=-1), ValueError, "tweak is -1"
    yield lambda: vole.random_keys(seeds, tweak=2**64 - 1), ValueError, "tweak overflows"
    yield lambda: vole.random_keys(seeds, delta=bytes(16), out=seeds), ValueError, "out has shape"
    yield lambda: vole.random_keys(leaves[:8], out=leaves[4:12]), ValueError, "out overlaps rows"
    yield lambda: vole.expand_noise(leaves[4:6], 3, leaves), ValueError, "leaves overlaps seeds"
    yield lambda: vole.random_keys(seeds, backend="portable"), ValueError, "arrays are on cuda:0"


def check_bad_calls(device: Device) -> None:
    for call, error, text in _bad_calls(device):
        with pytest.raises(error, match=text):
            call()


def test_bad_input_is_refused_and_nothing_launched(shim_device: ShimDevice) -> None:
    check_bad_calls(shim_device)
    assert not shim_device.launches


def test_host_and_device_do_not_mix(shim_device: ShimDevice) -> None:
    seeds, leaves = shim_device.from_host(blocks(2)), np.empty((2, 8, 16), np.uint8)
    with pytest.raises(ValueError, match="seeds is on cuda:0 and leaves on the host"):
        vole.expand_trees(seeds, 3, leaves=leaves)
    with pytest.raises(ValueError, match="known is on cuda:0 and positions on the host"):
        vole.reconstruct_trees(shim_device.from_host(blocks(1, 3)), np.zeros(1, np.uint64), 3)


SANITIZED = """
import numpy as np
from crypsis.cuda import vole as cuda_vole
from crypsis.cuda._registry import registered
from crypsis.cuda._tuning import launch_shapes
from cuda_on_cpu.device import ShimDevice
import test_cuda_lpn as lpn
import test_cuda_vole as own
from crypsis import bitmatrix, vole

with registered(ShimDevice("reversed", sanitize=True)) as device:
    for n, depth in ((1, 1), (3, 3), (1, 9)):
        own.compare_all(device, n, depth)
    shapes = dict(launch_shapes("vole"))
    shapes["trees"] = dict(shapes["trees"]) | {"levels": 2, "nodes": 3}
    cuda_vole.launch_shapes = lambda slug: shapes
    for n, depth in ((1, 3), (3, 5)):
        own.compare_all(device, n, depth)
    for n in (1, 33, 257):
        for delta in (None, bytes(16)):
            vole.random_keys(device.from_host(own.blocks(n)), delta=delta, tweak=n)
    lpn.sweep(device)
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
def test_gpu_trees(gpu_device: Device) -> None:
    for n, depth in ((1, 1), (128, 10), (5, 13), (1, 20)):
        compare_all(gpu_device, n, depth)


@pytest.mark.gpu
def test_gpu_random_keys(gpu_device: Device) -> None:
    rows = blocks(100_003)
    for delta in (None, DELTA.tobytes()):
        for tweak in (None, (7 << 64) + 5):
            found = vole.random_keys(gpu_device.from_host(rows), delta=delta, tweak=tweak)
            assert np.array_equal(gpu_device.to_host(found), vole.random_keys(rows, delta=delta, tweak=tweak))


@pytest.mark.gpu
def test_gpu_bad_input_is_refused(gpu_device: Device) -> None:
    check_bad_calls(gpu_device)

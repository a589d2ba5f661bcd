# SPDX-License-Identifier: Apache-2.0
"""LPN encoders of kernels/vole on the shim device against the CPU and the reference; on a GPU where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.reference import aes, lpn

from crypsis import vole
from crypsis.cuda import Device, _vole_lpn
from crypsis.cuda._registry import registered
from crypsis.cuda._source import kernels_root
from crypsis.errors import DeviceMemoryError
from cuda_on_cpu.device import ShimDevice
from properties import given, settings, st

Array = np.ndarray
SEED = np.arange(7, 23, dtype=np.uint8)
KINDS = [(128, 16), (64, 16), (64, 8)]
"""(field, bytes of an element or pair)."""

every_kind = pytest.mark.parametrize(("field", "width"), KINDS)


def elements(n: int, width: int = 16, seed: int = 1) -> Array:
    return np.random.default_rng([n, width, seed]).integers(0, 256, (n, width), np.uint8)


def integers(rows: Array) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


@pytest.fixture
def chunk_groups(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Groups of 25 places in a chunk."""
    return lambda n: monkeypatch.setattr(_vole_lpn, "_chunk_groups", lambda n_groups: n)


def compare(
    device: Device, log_code: int, n: int, weight: int, vectors: list[Array], field: int, seed: Array = SEED
) -> None:
    """Code and convoluted vectors against the CPU, in one call of one or two vectors."""
    outs = [np.full((n, vector.shape[1]), 5, np.uint8) for vector in vectors]
    on_device = [device.from_host(vector) for vector in vectors]
    found = [device.from_host(out) for out in outs]
    vectors = [vector.copy() for vector in vectors]

    def run(seed: Any, vectors: list[Any], outs: list[Any]) -> Any:
        second = (vectors[1], outs[1]) if len(vectors) == 2 else None
        return vole.expand_convolute(seed, vectors[0], outs[0], weight=weight, field=field, second=second)

    run(seed, vectors, outs)
    assert run(device.from_host(seed), on_device, found) is found[0]
    for wanted, array in zip(vectors + outs, on_device + found, strict=True):
        assert np.array_equal(device.to_host(array), wanted)


# Expand-convolute


@every_kind
def test_expand_convolute_is_the_reference(shim_device: ShimDevice, field: int, width: int) -> None:
    vector, n, weight = elements(64, width), 20, 7
    out = shim_device.empty((n, width), np.uint8)
    vole.expand_convolute(
        shim_device.from_host(SEED), shim_device.from_host(vector), out, weight=weight, field=field
    )
    step = field // 8
    for at in range(0, width, step):  # a pair is two codes of single elements
        part = np.ascontiguousarray(vector[:, at : at + step])
        wanted = lpn.expand_convolute(aes.encrypt, SEED.tobytes(), integers(part), weight, n, field)
        assert integers(out.get()[:, at : at + step]) == wanted


@every_kind
@pytest.mark.parametrize(("log_code", "n", "weight"), [(6, 40, 1), (7, 64, 21), (8, 77, 40), (11, 513, 7)])
def test_one_vector_and_two(
    shim_device: ShimDevice, field: int, width: int, log_code: int, n: int, weight: int
) -> None:
    vector = elements(1 << log_code, width)
    compare(shim_device, log_code, n, weight, [vector], field)
    for other in (16, 8) if field == 64 else (16,):
        compare(shim_device, log_code, n, weight, [vector, elements(1 << log_code, other, 5)], field)


@every_kind
@pytest.mark.parametrize("groups", [1, 2, 3, 7, 8, 9, 13, 20])
def test_chunks_of_any_size(
    shim_device: ShimDevice, chunk_groups: Callable[[int], None], field: int, width: int, groups: int
) -> None:
    """One chunk, two, many; ends within a tile of matrices and at its end; a chunk of the last group alone."""
    chunk_groups(groups)
    for log_code in (6, 8, 9):  # 3, 11 and 21 groups
        pair = [elements(1 << log_code, width), elements(1 << log_code, 16, 7)]
        compare(shim_device, log_code, 30, 7, pair, field)


@pytest.mark.parametrize(("field", "width", "log_code"), [(128, 16, 14), (64, 16, 13)])
def test_chunks_that_fill_the_field(
    shim_device: ShimDevice, chunk_groups: Callable[[int], None], field: int, width: int, log_code: int
) -> None:
    """Through 1.5 field groups a carry is multiplied by powers of X up to the field's: the transitions are dense."""
    chunk_groups(3 * field // 2)
    compare(shim_device, log_code, 30, 7, [elements(1 << log_code, width)], field)
    assert "pass_carries" in {launch.kernel for launch in shim_device.launches}


def test_chunks_as_tuned() -> None:
    """A round of 2^16 runs in 15 chunks, a small code in one."""
    assert -(-5243 // _vole_lpn._chunk_groups(5243)) == 15
    assert _vole_lpn._chunk_groups(3) >= 3


@every_kind
def test_unit_vectors_go_round_the_end(
    shim_device: ShimDevice, chunk_groups: Callable[[int], None], field: int, width: int
) -> None:
    """One bit, at either end and at either end of a group and a chunk: carries and wraps are what is left."""
    chunk_groups(2)
    for place in (0, 24, 25, 49, 50, 103, 127):
        for bit in (0, 1, 8 * width - 1):
            vector = np.zeros((128, width), np.uint8)
            vector[place, bit // 8] = 1 << bit % 8
            compare(shim_device, 7, 16, 7, [vector], field)
    compare(shim_device, 7, 16, 7, [np.full((128, width), 255, np.uint8)], field)


@settings(max_examples=15)
@given(st.data())
def test_any_code(data: st.DataObject) -> None:
    seed = np.frombuffer(data.draw(st.binary(min_size=16, max_size=16)), np.uint8)
    field, width = data.draw(st.sampled_from(KINDS))
    log_code, weight = data.draw(st.integers(6, 9)), data.draw(st.integers(1, 40))
    vectors = [elements(1 << log_code, width, data.draw(st.integers(0, 9)))]
    order = data.draw(st.sampled_from(["forward", "reversed"]))
    with registered(ShimDevice(order)) as device, pytest.MonkeyPatch.context() as patch:
        groups = data.draw(st.integers(1, 25))
        patch.setattr(_vole_lpn, "_chunk_groups", lambda n_groups: groups)
        compare(device, log_code, data.draw(st.integers(0, 300)), weight, vectors, field, seed)


def test_the_seed_may_be_bytes(shim_device: ShimDevice) -> None:
    vector, out = elements(64), np.empty((9, 16), np.uint8)
    found = shim_device.empty((9, 16), np.uint8)
    vole.expand_convolute(SEED.tobytes(), shim_device.from_host(vector), found, weight=7)
    vole.expand_convolute(SEED.tobytes(), vector, out, weight=7)
    assert np.array_equal(found.get(), out)
    vole.primal_encode(SEED.tobytes(), shim_device.from_host(vector), found)
    vole.primal_encode(SEED, vector, out)
    assert np.array_equal(found.get(), out)


# Primal code


@pytest.mark.parametrize(
    ("log_table", "n", "first_row"),
    [(0, 9, 0), (3, 1, 4), (5, 255, 8), (8, 256, 0), (10, 257, 252), (16, 600, 4), (17, 37, 256)],
)
def test_primal_encode(shim_device: ShimDevice, log_table: int, n: int, first_row: int) -> None:
    up = shim_device.from_host
    table, noise = elements(1 << log_table), elements(n, seed=2)
    out, bits = noise.copy(), np.empty((n + 7) // 8, np.uint8)
    found, found_bits = up(noise), up(bits)
    vole.primal_encode(SEED, table, out, first_row=first_row, bits=bits)
    vole.primal_encode(up(SEED), up(table), found, first_row=first_row, bits=found_bits)
    assert np.array_equal(found.get(), out)
    assert np.array_equal(found_bits.get(), bits)
    if first_row == 0:
        wanted = lpn.primal_encode(aes.encrypt, SEED.tobytes(), integers(table), integers(noise))
        assert integers(found.get()) == wanted


def test_more_tiles_than_blocks(shim_device: ShimDevice) -> None:
    """Blocks take several tiles of rows: two multiprocessors have ten blocks."""
    n = 10 * 256 + 300
    up, table, noise = shim_device.from_host, elements(64), elements(n, seed=2)
    out, found = noise.copy(), up(noise)
    vole.primal_encode(SEED, table, out)
    vole.primal_encode(up(SEED), up(table), found)
    assert shim_device.launches[-1].grid == (10, 1, 1)
    assert np.array_equal(found.get(), out)


# Any address, nothing beside the arrays


@every_kind
@pytest.mark.parametrize("start", [1, 4, 8])
def test_every_start_in_memory(shim_device: ShimDevice, field: int, width: int, start: int) -> None:
    up, n = shim_device.from_host, 70
    vector, out = elements(64, width), np.empty((n, width), np.uint8)

    def inside(rows: Array) -> tuple[Any, Any]:
        raw = np.full(rows.size + 32, 7, np.uint8)
        raw[start : start + rows.size] = rows.reshape(-1)
        memory = up(raw)
        return memory, memory[start : start + rows.size].reshape(rows.shape)

    (raw_vector, moved), (raw_out, found) = inside(vector), inside(out)
    vole.expand_convolute(up(SEED), moved, found, weight=7, field=field)
    vole.expand_convolute(SEED, vector, out, weight=7, field=field)
    for raw, wanted in ((raw_vector, vector), (raw_out, out)):
        whole = np.full(wanted.size + 32, 7, np.uint8)
        whole[start : start + wanted.size] = wanted.reshape(-1)
        assert np.array_equal(raw.get(), whole)
    if width == 16:
        raw_out, found = inside(out)
        raw_bits, bits = inside(np.zeros((n + 7) // 8, np.uint8))
        vole.primal_encode(up(SEED), moved, found, bits=bits)
        vole.primal_encode(SEED, vector, out)
        assert np.array_equal(found.get(), out)
        assert np.array_equal(bits.get(), np.packbits(out[:, 0] & 1, bitorder="little"))
        assert (raw_bits.get()[start + 9 :] == 7).all()


def test_a_table_apart_is_copied_together(shim_device: ShimDevice) -> None:
    table, out = elements(128), np.zeros((5, 16), np.uint8)
    found = shim_device.from_host(out)
    vole.primal_encode(shim_device.from_host(SEED), shim_device.from_host(table)[::2], found)
    vole.primal_encode(SEED, np.ascontiguousarray(table[::2]), out)
    assert np.array_equal(found.get(), out)


# Noise


@pytest.mark.parametrize("width", [16, 8])
@pytest.mark.parametrize(("n", "depth"), [(1, 1), (8, 3), (3, 9), (0, 2)])
def test_place_noise(shim_device: ShimDevice, n: int, depth: int, width: int) -> None:
    positions = (np.arange(n) * 7 % (1 << depth)).astype(np.uint64)
    values = elements(n, width)
    out = vole.place_noise(positions, values, depth, np.empty((n << depth, width), np.uint8))
    memory = shim_device.xp.full((n << depth) * width + 16, 7, np.uint8)
    found = memory[3 : 3 + out.size].reshape(out.shape)
    up = shim_device.from_host
    assert vole.place_noise(up(positions), up(values), depth, found) is found
    assert np.array_equal(found.get(), out)
    assert (memory.get()[:3] == 7).all()
    assert (memory.get()[3 + out.size :] == 7).all()


# Memory


def test_nothing_of_a_vector_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes and carries are zeros afterwards; what is not, is public: the same for another vector."""
    monkeypatch.setattr(_vole_lpn, "_chunk_groups", lambda n_groups: 2)
    left = []
    for seed in (1, 2):
        with registered(ShimDevice()) as device:
            made: list[Any] = []
            empty = device.empty

            def record(shape: Any, dtype: Any, made: list[Any] = made, empty: Any = empty) -> Any:
                made.append(empty(shape, dtype))
                return made[-1]

            monkeypatch.setattr(device, "empty", record)
            out = device.from_host(np.zeros((9, 16), np.uint8))
            vector = device.from_host(elements(256, seed=seed))
            vole.expand_convolute(device.from_host(SEED), vector, out, weight=7)
            assert vector.get().any()
            assert len(made) == 4
            assert not any(array.get().any() for array in made[2:])
            left.append([array.get() for array in made])
    # Columns that fill up 16 bytes, and the transitions of chunks that have none, are not written.
    assert np.array_equal(left[0][0][:, :, :25], left[1][0][:, :, :25])


def test_too_little_memory_for_a_convolution() -> None:
    vector = elements(1 << 10)
    with registered(ShimDevice(memory_bytes=60_000)) as device:
        moved, out = device.from_host(vector), device.xp.full((5, 16), 7, np.uint8)
        with pytest.raises(DeviceMemoryError, match=r"for the convolution of 1024 places: .* bytes needed"):
            vole.expand_convolute(device.from_host(SEED), moved, out, weight=7)
        assert np.array_equal(moved.get(), vector)
        assert (out.get() == 7).all()


def test_shared_memory_is_static_or_dynamic(shim_device: ShimDevice) -> None:
    """The loader asks for more than 48 KB by the dynamic part alone: static memory beside it would not be counted."""
    table = json.loads((kernels_root() / "vole" / "resources.json").read_text())["instances"]
    static = {name: row["shared"] for kernels in table.values() for name, row in kernels["sm_90"].items()}
    up = shim_device.from_host
    compare(shim_device, 6, 9, 40, [elements(64)], 128)
    positions, known = up(np.zeros(1, np.uint64)), up(elements(3).reshape(1, 3, 16))
    vole.expand_trees(up(elements(1)), 3)
    vole.reconstruct_trees(known, positions, 3)
    vole.random_keys(up(elements(1)))
    assert {"gather_rows", "grow_ggm", "puncture_ggm"} <= {
        launch.kernel for launch in shim_device.launches if launch.shared_bytes
    }
    for launch in shim_device.launches:
        both = static[launch.kernel], launch.shared_bytes
        assert not all(both), launch.kernel
        assert both[0] <= 48 * 1024


# Bad input


def _bad_calls(device: Device) -> Iterator[tuple[Callable[[], object], type[Exception], str]]:
    up, xp = device.from_host, device.xp
    seed, vector, out = up(SEED), up(elements(64)), xp.full((20, 16), 7, np.uint8)
    narrow, bits = xp.zeros((64, 8), np.uint8), xp.zeros(3, np.uint8)
    positions, values = up(np.array([1, 3], np.uint64)), up(elements(2))

    def code(*args: Any, **options: Any) -> Callable[[], object]:
        return lambda: vole.expand_convolute(*args, **({"weight": 7} | options))

    def primal(*args: Any, **options: Any) -> Callable[[], object]:
        return lambda: vole.primal_encode(*args, **options)

    yield code(seed[:15], vector, out), ValueError, r"seed has shape \(15,\)"
    yield code(bytes(15), vector, out), ValueError, r"seed has shape \(15,\)"
    yield code(seed.astype(np.int8), vector, out), TypeError, "seed is an array of int8"
    yield code(seed, vector, out, weight=0), ValueError, "weight is 0: give 1 to 40"
    yield code(seed, vector, out, weight=41), ValueError, "weight is 41"
    yield code(seed, vector, out, field=32), ValueError, "field is 32: use 128 or 64"
    yield code(seed, narrow, out), ValueError, r"vector has shape \(64, 8\)"
    yield code(seed, narrow, out, field=64), ValueError, r"out has shape \(20, 16\)"
    yield code(seed, vector[:63], out), ValueError, "vector has 63 blocks: give a power of two from 2"
    yield code(seed, vector[:32], out), ValueError, "vector has 32 blocks"
    yield code(seed, vector[::2], out), ValueError, "vector is not C-contiguous"
    yield code(seed, vector, vector[:20]), ValueError, "out overlaps vector"
    yield code(seed, vector, out, second=(vector, out)), ValueError, "vector2 overlaps vector"
    yield code(seed, vector, out, second=(vector[:32], out)), ValueError, r"second\[0\] has shape"
    yield code(seed, vector, out, second=(up(elements(64)), out[:9])), ValueError, r"second\[1\] has shape"
    yield primal(seed, vector[:63], out), ValueError, "table has 63 blocks"
    yield primal(seed, vector, out, first_row=2), ValueError, "first_row is 2: give a multiple of four"
    yield primal(seed, vector, out, first_row=-4), ValueError, "first_row is -4"
    yield primal(seed, vector, out, bits=bits[:2]), ValueError, "bits has shape"
    yield primal(seed, vector, vector[2:22]), ValueError, "out overlaps table"
    yield lambda: vole.place_noise(positions, values, 1, out[:4]), ValueError, "no such leaf"
    yield lambda: vole.place_noise(positions, values[:1], 2, out[:8]), ValueError, "values has shape"
    yield lambda: vole.place_noise(positions, values, 2, out[:7]), ValueError, "out has shape"
    yield lambda: vole.place_noise(positions, values, 25, out), ValueError, "depth is 25"


def check_bad_calls(device: Device) -> None:
    for call, error, text in _bad_calls(device):
        with pytest.raises(error, match=text):
            call()


def test_bad_input_is_refused_and_nothing_launched(shim_device: ShimDevice) -> None:
    check_bad_calls(shim_device)
    assert not shim_device.launches


def test_host_and_device_do_not_mix(shim_device: ShimDevice) -> None:
    vector, out = shim_device.from_host(elements(64)), shim_device.empty((9, 16), np.uint8)
    with pytest.raises(ValueError, match="vector is on cuda:0 and seed on the host"):
        vole.expand_convolute(SEED, vector, out, weight=7)


def sweep(device: Device) -> None:
    """Every kernel at its edges, for a run under sanitizers (test_cuda_vole.py)."""
    tuned = _vole_lpn._chunk_groups
    try:
        for groups, (field, width) in zip((1, 3, 40), KINDS, strict=True):
            _vole_lpn._chunk_groups = lambda n_groups, groups=groups: groups
            for log_code, n in ((6, 1), (8, 257)):
                pair = [elements(1 << log_code, width), elements(1 << log_code, 16, 5)]
                compare(device, log_code, n, 7, pair, field)
    finally:
        _vole_lpn._chunk_groups = tuned
    up = device.from_host
    for n in (1, 33, 257):
        for log_table in (0, 5, 17):
            bits = device.empty((n + 7) // 8, np.uint8)
            vole.primal_encode(up(SEED), up(elements(1 << log_table)), up(elements(n)), bits=bits)
    for width in (8, 16):
        out = device.empty((3 << 5, width), np.uint8)
        vole.place_noise(up(np.array([0, 31, 7], np.uint64)), up(elements(3, width)), 5, out)


# On a GPU


@pytest.mark.gpu
@every_kind
def test_gpu_expand_convolute(gpu_device: Device, field: int, width: int) -> None:
    for log_code, n, weight in ((6, 40, 1), (10, 513, 40), (17, 1 << 16, 7), (18, 1 << 17, 21)):
        pair = [elements(1 << log_code, width), elements(1 << log_code, 16, 5)]
        compare(gpu_device, log_code, n, weight, pair[:1], field)
        compare(gpu_device, log_code, n, weight, pair, field)


@pytest.mark.gpu
def test_gpu_primal_encode_and_noise(gpu_device: Device) -> None:
    up, down = gpu_device.from_host, gpu_device.to_host
    for log_table, n in ((5, 100), (16, 1 << 18), (20, 100_003)):
        table, out = elements(1 << log_table), elements(n, seed=2)
        found, bits = up(out), np.empty((n + 7) // 8, np.uint8)
        found_bits = up(bits)
        vole.primal_encode(SEED, table, out, bits=bits)
        vole.primal_encode(up(SEED), up(table), found, bits=found_bits)
        assert np.array_equal(down(found), out)
        assert np.array_equal(down(found_bits), bits)
    positions, values = np.arange(128, dtype=np.uint64) * 7 % 1024, elements(128)
    wanted = vole.place_noise(positions, values, 10, np.empty((128 << 10, 16), np.uint8))
    memory = gpu_device.empty(wanted.shape, np.uint8)
    assert np.array_equal(down(vole.place_noise(up(positions), up(values), 10, memory)), wanted)


@pytest.mark.gpu
def test_gpu_bad_input_is_refused(gpu_device: Device) -> None:
    check_bad_calls(gpu_device)

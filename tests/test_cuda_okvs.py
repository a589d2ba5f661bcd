# SPDX-License-Identifier: Apache-2.0
"""kernels/okvs on the shim device against the CPU and the known answers; on a GPU where there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from crypsis import okvs
from crypsis.cuda import Device, _tuning
from crypsis.cuda import okvs as cuda_okvs
from crypsis.cuda._registry import registered
from crypsis.errors import DeviceMemoryError, EncodeFailure
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized
from properties import given, settings, st
from test_okvs import CASES, SEED, bins, of_label, random_bytes

Array = np.ndarray
every_field = pytest.mark.parametrize("field", [64, 128])


@contextmanager
def shapes(monkeypatch: pytest.MonkeyPatch, **changed: int) -> Iterator[None]:
    """Other launch shapes: peel=32 is its block, keys=1 the keys of a thread."""
    given = _tuning.launch_shapes("okvs")
    few: dict[str, Mapping[str, int]] = {
        name: dict(shape) | {k: v for k, v in changed.items() if k in shape} for name, shape in given.items()
    }
    few["peel"] = dict(few["peel"]) | {"block": changed.get("peel", given["peel"]["block"])}
    with monkeypatch.context() as patch:
        patch.setattr(cuda_okvs, "launch_shapes", lambda slug: few)
        yield


def both(
    device: Device, chosen: okvs.Parameters, sizes: tuple[int, ...], seed: int = 1, fill: bool = False
) -> int:
    """Tables and values on the device are the CPU's, or there are none on either. The number of bins with a core."""
    n, w = sum(sizes), chosen.value_bytes
    keys, values = random_bytes(seed, n, 16), random_bytes(seed + 1, n, w)
    own = random_bytes(seed + 2, len(sizes), chosen.columns, w) if fill else None
    return check(device, chosen, keys, bins(*sizes), values, own)


def check(
    device: Device, chosen: okvs.Parameters, keys: Array, starts: Array, values: Array, fill: Array | None
) -> int:
    before = cuda_okvs.host_bins()
    there = [device.from_host(array) for array in (keys, starts, values)]
    options: dict[str, Any] = {} if fill is None else {"fill": device.from_host(fill)}
    failure, wanted = None, np.zeros(0)
    try:
        wanted = okvs.encode(keys, starts, values, chosen, seed=SEED, fill=fill, threads=1)
    except EncodeFailure as error:
        failure = str(error)
    if failure is not None:
        with pytest.raises(EncodeFailure) as found:
            okvs.encode(*there, chosen, seed=SEED, **options)
        assert str(found.value) == failure
        return cuda_okvs.host_bins() - before
    table = okvs.encode(*there, chosen, seed=SEED, **options)
    assert np.array_equal(device.to_host(table), wanted)
    decoded = okvs.decode(there[0], there[1], table, chosen, seed=SEED)
    assert np.array_equal(device.to_host(decoded), values)
    return cuda_okvs.host_bins() - before


# Known answers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["label"])
def test_vectors(shim_device: ShimDevice, case: dict[str, Any]) -> None:
    n, label = case["n"], case["label"]
    chosen = okvs.insecure_parameters(max(n, 1), case["sparse"], case["dense"], field=case["field"])
    width = chosen.value_bytes
    seed = of_label(f"{label} seed", 1, 16).tobytes()
    keys, values = of_label(f"{label} keys", n, 16), of_label(f"{label} values", n, width)
    there = [shim_device.from_host(array) for array in (keys, bins(n), values)]
    fill = shim_device.from_host(of_label(f"{label} fill", chosen.columns, width)[None])
    before = cuda_okvs.host_bins()
    table = okvs.encode(*there, chosen, seed=seed, fill=fill if case["fill"] else None)
    assert cuda_okvs.host_bins() - before == (case["core_rows"] > 0)
    assert hashlib.sha256(table.get().tobytes()).hexdigest() == case["sha256"]
    assert np.array_equal(okvs.decode(there[0], there[1], table, chosen, seed=seed).get(), values)


# Against the CPU


@every_field
@pytest.mark.parametrize("fill", [False, True])
def test_tables_and_values_are_the_cpus(shim_device: ShimDevice, field: int, fill: bool) -> None:
    chosen = okvs.parameters(700, 9, field=field)
    assert both(shim_device, chosen, (700, 0, 1, 2, 31, 32, 33, 699, 256), fill=fill) == 0
    launched = [launch.kernel for launch in shim_device.launches]
    assert launched == ["add_rows", "peel", *(["add_dense"] if fill else []), "substitute", "decode"]


@every_field
def test_every_small_number_of_keys(shim_device: ShimDevice, field: int) -> None:
    both(shim_device, okvs.parameters(66, 1000, field=field), tuple(range(67)), fill=True)


def test_no_bins_and_no_keys(shim_device: ShimDevice) -> None:
    chosen = okvs.parameters(10)
    for sizes in ((), (0,), (0, 0, 0), (0, 0, 1, 0, 10, 0)):
        for fill in (False, True):
            both(shim_device, chosen, sizes, fill=fill)


def test_a_bin_of_real_size(shim_device: ShimDevice) -> None:
    """50,000 keys: some 60 steps of 1,024 columns."""
    assert both(shim_device, okvs.parameters(50_000, 1 << 14), (50_000, 3), fill=True) == 0


def test_all_keys_and_all_columns(shim_device: ShimDevice) -> None:
    """Ids and columns of 16 bits."""
    full = okvs.insecure_parameters(okvs.MAX_ITEMS, okvs.MAX_COLUMNS - 1, 1, field=64)
    both(shim_device, full, (50_000,))
    many = np.repeat(random_bytes(3, 1, 16), okvs.MAX_ITEMS, axis=0)
    values = np.repeat(random_bytes(4, 1, 8), okvs.MAX_ITEMS, axis=0)
    assert check(shim_device, full, many, bins(okvs.MAX_ITEMS), values, None) == 0  # fails on both


@pytest.mark.parametrize(("peel", "keys", "together"), [(32, 1, 2), (64, 3, 1), (1024, 8, 6)])
def test_launch_shapes_change_nothing(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch, peel: int, keys: int, together: int
) -> None:
    chosen = okvs.parameters(2500, 4)
    state_bytes = together * 12 * chosen.sparse if together > 1 else 1
    with shapes(monkeypatch, peel=peel, keys=keys, state_bytes=state_bytes):
        both(shim_device, chosen, (2500, 3, 0, 1, 257, 1030), fill=True)
    grids = [launch.grid[0] for launch in shim_device.launches if launch.kernel == "peel"]
    assert grids == [together] * (6 // together)
    (parts,) = {launch.grid[0] // 6 for launch in shim_device.launches if launch.kernel == "decode"}
    assert parts == {1: 10, 3: 4, 8: 2}[keys]


@every_field
def test_every_number_of_dense_columns(shim_device: ShimDevice, field: int) -> None:
    keys = random_bytes(5, 9, 16)
    for dense in (1, 2, 3, 7, okvs.MAX_DENSE):
        chosen = okvs.insecure_parameters(9, 20, dense, field=field)
        for width in (8, 16) if field == 64 else (16,):
            table = random_bytes(dense, 1, chosen.columns, width)
            wanted = okvs.decode(keys, bins(9), table, chosen, seed=SEED)
            there = [shim_device.from_host(array) for array in (keys, bins(9), table)]
            assert np.array_equal(okvs.decode(*there, chosen, seed=SEED).get(), wanted)


def test_two_lanes_and_bins_longer_than_the_parameters(shim_device: ShimDevice) -> None:
    """decode takes any number of keys a bin: here far more in one than in the others."""
    chosen = okvs.parameters(300, field=64)
    sizes = (1, 0, 5000, 7)
    keys, table = random_bytes(6, sum(sizes), 16), random_bytes(7, 4, chosen.columns, 16)
    there = [shim_device.from_host(array) for array in (keys, bins(*sizes), table)]
    found = okvs.decode(*there, chosen, seed=SEED)
    assert np.array_equal(found.get(), okvs.decode(keys, bins(*sizes), table, chosen, seed=SEED))


def test_more_bins_than_a_launch_takes(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_okvs, "MAX_LAUNCH_BINS", 3)
    both(shim_device, okvs.parameters(20), (5, 20, 0, 0, 0, 0, 1, 2, 19, 3), fill=True)
    count = [launch.kernel for launch in shim_device.launches].count
    assert (count("peel"), count("add_rows"), count("decode")) == (4, 3, 4)


@given(
    sparse=st.integers(3, 60),
    dense=st.integers(1, 6),
    sizes=st.lists(st.integers(0, 45), min_size=1, max_size=5).map(tuple),
    field=st.sampled_from([64, 128]),
    fill=st.booleans(),
    seed=st.integers(0, 2**32),
    order=st.sampled_from(["forward", "reversed"]),
)
@settings(max_examples=80, deadline=None)
def test_insecure_sizes(
    sparse: int, dense: int, sizes: tuple[int, ...], field: int, fill: bool, seed: int, order: Any
) -> None:
    """Cores, failures and tables side by side."""
    with registered(ShimDevice(order)) as device:
        both(device, okvs.insecure_parameters(45, sparse, dense, field=field), sizes, seed, fill)


@pytest.mark.parametrize("peel", [32, 256])
def test_around_the_threshold_of_peeling(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch, peel: int
) -> None:
    """0.818 keys a column, of 1,200: many rounds, then cores of nearly all rows; above, bins without a table."""
    chosen = okvs.insecure_parameters(1020, 1200, 8)
    sizes = (900, 960, 970, 975, 980, 985, 990, 1000)
    with shapes(monkeypatch, peel=peel):
        cores = both(shim_device, chosen, sizes, 1, fill=True)
        assert 2 <= cores <= 6
        assert both(shim_device, chosen, sizes, 9) != cores


# Bins with a core, which the host encodes


def test_bins_with_a_core_are_the_hosts(shim_device: ShimDevice) -> None:
    """Tight bins between loose ones; each counted once, all others are the device's."""
    chosen = okvs.insecure_parameters(300, 330, 8)
    sizes = (300, 10, 0, 300, 200, 300)
    keys, values = random_bytes(1, sum(sizes), 16), random_bytes(2, sum(sizes), 16)
    fill = random_bytes(3, len(sizes), chosen.columns, 16)
    assert check(shim_device, chosen, keys, bins(*sizes), values, fill) == 3
    assert check(shim_device, chosen, keys, bins(*sizes), values, None) == 3


@every_field
def test_keys_given_twice(shim_device: ShimDevice, field: int) -> None:
    chosen = okvs.parameters(600, field=field)
    keys, values = random_bytes(1, 603, 16), random_bytes(2, 603, chosen.value_bytes)
    keys[303:], values[303:] = keys[3:303], values[3:303]
    assert check(shim_device, chosen, keys, bins(3, 600), values, None) == 1
    values[602] ^= 1
    there = [shim_device.from_host(array) for array in (keys, bins(3, 600), values)]
    with pytest.raises(EncodeFailure, match=r"^bin 1 of 600 keys .* distinct keys"):
        okvs.encode(*there, chosen, seed=SEED)


def test_the_lowest_bin_without_a_table_is_named(shim_device: ShimDevice) -> None:
    """Three columns and one dense one hold two keys; bin 11, not bin 1 or 12."""
    chosen = okvs.insecure_parameters(6, 3, 1)
    sizes = (*(2,) * 11, 4, 5)
    keys, values = random_bytes(5, sum(sizes), 16), random_bytes(6, sum(sizes), 16)
    there = [shim_device.from_host(array) for array in (keys, bins(*sizes), values)]
    with pytest.raises(EncodeFailure, match=r"^bin 11 of 4 keys has no table: .* in 1 dense columns"):
        okvs.encode(*there, chosen, seed=SEED)


# Memory


class Watched(ShimDevice):
    """Keeps what it gave out."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.given: list[Array] = []
        self.on_host: list[Array] = []
        self.refuse: int | None = None

    def empty(self, shape: Any, dtype: Any) -> Any:
        if self.refuse is not None:
            self.refuse -= 1
            if self.refuse < 0:
                self.refuse = None
                raise DeviceMemoryError("0 free")
        array = super().empty(shape, dtype)
        self.given.append(array.memory)
        return array

    def to_host_secret(self, a: Any) -> Array:
        self.on_host.append(super().to_host_secret(a))
        return self.on_host[-1]


def test_scratch_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows from keys and values, also of a bin that has no table, and what the host had of it."""
    encode, tables = okvs.encode, []

    def record(*args: Any, **options: Any) -> Array:
        tables.append(encode(*args, **options))
        return tables[-1]

    monkeypatch.setattr(okvs, "encode", record)
    for sizes, sparse, failing in (((20, 0, 22), 44, False), ((20, 40, 40), 30, True)):
        chosen = okvs.insecure_parameters(40, sparse, 1)
        with registered(Watched()) as device:
            keys, values = random_bytes(1, sum(sizes), 16), random_bytes(2, sum(sizes), 16)
            fill = device.from_host(random_bytes(3, 3, chosen.columns, 16))
            there = [device.from_host(array) for array in (keys, bins(*sizes), values)]
            secrets: list[Any] = []
            device.secrets = secrets
            out = device.empty((3, chosen.columns, 16), np.uint8)
            if failing:
                with pytest.raises(EncodeFailure):
                    encode(*there, chosen, seed=SEED, fill=fill, out=out)
            else:
                encode(*there, chosen, seed=SEED, fill=fill, out=out)
            scratch = [array for array in device.given[1:] if array.shape != (3, 2)]
            assert len(scratch) == 6
            assert not any(array.any() for array in scratch)
            assert not any(array.get().any() for array in secrets)
            assert len(device.on_host) == 6 * failing  # keys, values and fill of two bins with cores
            assert not any(array.any() for array in (*device.on_host, *tables))
    assert len(tables) == 1


def test_short_memory_takes_fewer_bins_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = okvs.parameters(100, 12)
    sizes = (100, 50, 0, 99, 3, 100)
    keys, values = random_bytes(1, sum(sizes), 16), random_bytes(2, sum(sizes), 16)
    wanted = okvs.encode(keys, bins(*sizes), values, chosen, seed=SEED)
    with registered(Watched()) as device:
        there = [device.from_host(array) for array in (keys, bins(*sizes), values)]
        for request in range(9):
            device.launches.clear()
            device.refuse = request
            try:
                assert np.array_equal(okvs.encode(*there, chosen, seed=SEED).get(), wanted)
            except DeviceMemoryError:
                assert request < 2  # the result, the counts
            grids = [launch.grid[0] for launch in device.launches if launch.kernel == "peel"]
            assert grids == ([] if request < 2 else [3, 3] if request < 7 else [6])
            device.refuse = None


def test_memory_for_one_bin_is_enough_and_for_less_is_not() -> None:
    chosen = okvs.parameters(100, 12)
    keys, values = random_bytes(1, 400, 16), random_bytes(2, 400, 16)
    wanted = okvs.encode(keys, bins(*(100,) * 4), values, chosen, seed=SEED)
    with registered(ShimDevice()) as device:
        there = [device.from_host(array) for array in (keys, bins(*(100,) * 4), values)]
        used = device.info().memory_bytes - device.free_bytes() + wanted.nbytes
        device.limit_bytes = used + 2 * 8000
        assert np.array_equal(okvs.encode(*there, chosen, seed=SEED).get(), wanted)
        assert [launch.grid[0] for launch in device.launches if launch.kernel == "peel"] == [1] * 4
        device.limit_bytes = used + 6000
        with pytest.raises(DeviceMemoryError, match="cuda:0 has too little memory for tables of bins: 7,"):
            okvs.encode(*there, chosen, seed=SEED)


def test_every_start_in_memory(shim_device: ShimDevice) -> None:
    """Arrays that begin anywhere, and nothing else is written."""
    for field in (64, 128):
        chosen = okvs.parameters(60, 2, field=field)
        w, sizes = chosen.value_bytes, (60, 31)
        keys, values = random_bytes(7, 91, 16), random_bytes(8, 91, w)
        fill = random_bytes(9, 2, chosen.columns, w)
        wanted = okvs.encode(keys, bins(*sizes), values, chosen, seed=SEED, fill=fill)

        def placed(array: Array, offset: int) -> Any:
            memory = shim_device.xp.full(array.size + 64, 0xA5, np.uint8)
            memory[offset : offset + array.size] = shim_device.from_host(array.reshape(-1))
            return memory, memory[offset : offset + array.size].reshape(array.shape)

        starts = shim_device.from_host(bins(*sizes))
        for offset in (1, 8, 13):
            given = [placed(array, offset + i)[1] for i, array in enumerate((keys, values, fill))]
            memory, out = placed(np.zeros_like(wanted), offset)
            found = okvs.encode(given[0], starts, given[1], chosen, seed=SEED, fill=given[2], out=out)
            assert found is out
            assert np.array_equal(out.get(), wanted)
            assert (memory.get()[:offset] == 0xA5).all()
            assert (memory.get()[offset + wanted.size :] == 0xA5).all()
            memory, back = placed(np.zeros_like(values), offset)
            okvs.decode(given[0], starts, out, chosen, seed=SEED, out=back)
            assert np.array_equal(back.get(), values)
            assert (memory.get()[:offset] == 0xA5).all()
            assert (memory.get()[offset + values.size :] == 0xA5).all()


SANITIZED = """
import numpy as np
from crypsis import okvs
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)

def moved(array, offset):
    memory = device.xp.zeros(offset + array.size, np.uint8)
    memory[offset:] = array.reshape(-1)
    return memory[offset:].reshape(array.shape)

with registered(ShimDevice("reversed", sanitize=True)) as device:
    for field in (64, 128):
        for chosen, sizes in (
            (okvs.parameters(70, 5, field=field), (0, 70, 1, 0, 33)),
            (okvs.insecure_parameters(40, 41, 6, field=field), (40, 12, 0)),
            (okvs.insecure_parameters(3, 3, 1, field=field), (1, 0, 1)),
        ):
            n, w = sum(sizes), chosen.value_bytes
            starts = device.from_host(np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64))
            keys = device.from_host(rng.integers(0, 256, (n, 16), np.uint8))
            values = device.from_host(rng.integers(0, 256, (n, w), np.uint8))
            fill = device.from_host(rng.integers(0, 256, (len(sizes), chosen.columns, w), np.uint8))
            for offset in (0, 1, 8):  # elements at any address
                keys, values, fill = (moved(array, offset) for array in (keys, values, fill))
                table = okvs.encode(keys, starts, values, chosen, seed=bytes(16), fill=fill)
                back = okvs.decode(keys, starts, moved(table, offset), chosen, seed=bytes(16))
                assert (back.get() == values.get()).all()
            if field == 64:
                two = device.from_host(rng.integers(0, 256, (len(sizes), chosen.columns, 16), np.uint8))
                okvs.decode(keys, starts, two, chosen, seed=bytes(16))
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
@every_field
@pytest.mark.parametrize("fill", [False, True])
def test_gpu_tables_and_values(gpu_device: Device, field: int, fill: bool) -> None:
    sizes = (50_000, 0, 1, 49_999, 17, 30_000)
    for seed in range(3):
        both(gpu_device, okvs.parameters(50_000, 1 << 14, field=field), sizes, seed, fill)
    tight = okvs.insecure_parameters(3000, 3660, 8, field=field)
    for seed in range(20):
        both(gpu_device, tight, (2950, 3000, 2900, 2990), seed, fill)

# SPDX-License-Identifier: Apache-2.0
"""kernels/aes on the shim device against the CPU and published answers; on a GPU where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import aes
from crypsis.cuda import Device
from crypsis.cuda._tuning import launch_shapes
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import ShimLauncher, run_sanitized
from properties import HealthCheck, given, settings, st
from reference import aes as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "aes.json").read_text())
KEY = bytes.fromhex("6162d6d0f0a6f6b1e03e5d3c0b7a9911")
# Up to more than the shim's grid has threads at a time: 2 multiprocessors of up to four blocks of 256.
SIZES = (1, 2, 31, 32, 33, 255, 256, 257, 2049)
COUNTERS = (0, 2**32 - 3, 2**64 - 3, 2**128 - 3, 2**127 + 2**64 - 1)
Function = Callable[..., Any]
MAPS: dict[str, Function] = {
    "permute": lambda x, **options: aes.permute(x, key=KEY, **options),
    "mmo": lambda x, **options: aes.mmo(x, **options),
    "tmmo": lambda x, **options: aes.tmmo(x, 2**64 - 9, key=KEY, **options),
    "ctr_xor": lambda x, **options: aes.ctr_xor(KEY, x, counter=2**64 - 9, **options),
}
every_map = pytest.mark.parametrize("name", MAPS)


def of_hex(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def blocks(n: int, *seed: int) -> np.ndarray:
    return np.random.default_rng([2026, n, *seed]).integers(0, 256, (n, 16), np.uint8)


# Known answers


def test_published_ciphertexts(shim_device: ShimDevice) -> None:
    for case in VECTORS["encrypt"]:
        rows = shim_device.from_host(of_hex(case["plaintext"]).reshape(-1, 16))
        found = aes.permute(rows, key=bytes.fromhex(case["key"])).get()
        assert found.tobytes().hex() == case["ciphertext"]


def test_published_counter_mode(shim_device: ShimDevice) -> None:
    for case in VECTORS["ctr"]:
        key, counter = bytes.fromhex(case["key"]), int(case["counter"], 16)
        data = of_hex(case["plaintext"])
        found = aes.ctr_xor(key, shim_device.from_host(data), counter=counter).get()
        assert found.tobytes().hex() == case["ciphertext"]
        stream = shim_device.empty((len(data) // 16, 16), np.uint8)
        assert aes.ctr_stream(key, len(data) // 16, counter=counter, out=stream) is stream
        assert (stream.get().reshape(-1) ^ data).tobytes().hex() == case["ciphertext"]


def test_the_reference(shim_device: ShimDevice) -> None:
    rows = blocks(5)
    there = shim_device.from_host(rows)
    one_by_one = [row.tobytes() for row in rows]
    found = [row.tobytes() for row in aes.tmmo(there, 2**64 - 2, key=KEY).get()]
    assert found == [reference.tmmo(KEY, x, 2**64 - 2 + i) for i, x in enumerate(one_by_one)]
    children = [row.tobytes() for row in aes.ggm_level(there).get()]
    assert children == reference.ggm_level(aes.LEFT_KEY, aes.RIGHT_KEY, one_by_one)


# The table

TABLE = """
#include "aes/block.cuh"
// One lane encrypts, and the banks of all others hold something else.
extern "C" __global__ void alone(u32* table_out, u8* out, const u8* in, const u32* round_keys, u32 lane) {
  __shared__ u32 table[kAesTableWords];
  aes_load_table(table);
  __syncthreads();
  for (u32 i = threadIdx.x; i < kAesTableWords; i += blockDim.x) table_out[i] = table[i];
  __syncthreads();
  for (u32 i = threadIdx.x; i < kAesTableWords; i += blockDim.x) table[i] = i % 32 == lane ? table[i] : 0x5a5a5a5a;
  __syncthreads();
  if (threadIdx.x % 32 == lane) aes_store(out, aes_encrypt(table, round_keys, aes_load(in)));
}
"""


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_a_lane_reads_its_own_bank_and_no_other(order: Any) -> None:
    """What makes the lookups constant-time."""
    s = [reference.substitute(x) for x in range(256)]
    double = [reference.multiply(2, y) for y in s]
    entries = [t | y << 8 | y << 16 | (t ^ y) << 24 for y, t in zip(s, double, strict=True)]
    launcher = ShimLauncher(order=order)
    round_keys = aes.expand_key(KEY).reshape(-1).view("<u4")
    for lane in (0, 1, 17, 31):
        table, out, x = np.zeros(8192, np.uint32), np.zeros(16, np.uint8), blocks(1, lane)
        launcher.launch(TABLE, "alone", 1, 64, 0, [table, out, x, round_keys, np.uint32(lane)])
        assert (table.reshape(256, 32) == np.array(entries, np.uint32)[:, None]).all()
        assert out.tobytes() == reference.encrypt(KEY, x.tobytes())


ANOTHER = """
#include "aes/block.cuh"
extern "C" __global__ void other_box(u8* out, const u8* in, const u32* entries, const u32* round_keys) {
  __shared__ u32 table[kAesTableWords];
  for (u32 i = threadIdx.x; i < kAesTableWords; i += blockDim.x) table[i] = entries[i / kAesBanks];
  __syncthreads();
  aes_store(out + 16 * threadIdx.x, aes_encrypt(table, round_keys, aes_load(in + 16 * threadIdx.x)));
}
"""


def test_every_round_looks_up_in_the_table_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the table of another S-box the cipher has that one in all rounds, the last one too."""
    box = np.random.default_rng(11).permutation(256).tolist()
    entries = [reference.multiply(2, y) * 0x01000001 ^ y * 0x01010100 for y in box]
    x, out, round_keys = blocks(40), np.zeros((40, 16), np.uint8), aes.expand_key(KEY).reshape(-1).view("<u4")
    ShimLauncher().launch(ANOTHER, "other_box", 1, 40, 0, [out, x, np.array(entries, np.uint32), round_keys])
    expanded = reference.expand(KEY)
    monkeypatch.setattr(reference, "expand_cached", lambda key: expanded)
    monkeypatch.setattr(reference, "substitute", box.__getitem__)
    assert [row.tobytes() for row in out] == [reference.encrypt(KEY, row.tobytes()) for row in x]


def test_every_byte_in_every_place(shim_device: ShimDevice) -> None:
    rows = np.zeros((256 * 16, 16), np.uint8)
    for place in range(16):
        rows[256 * place : 256 * (place + 1), place] = np.arange(256)
    found = aes.permute(shim_device.from_host(rows), key=bytes(16)).get()
    assert (found == aes.permute(rows, key=bytes(16))).all()


# Against the CPU


@every_map
def test_sizes_and_tails(shim_device: ShimDevice, name: str) -> None:
    for n in SIZES:
        x = blocks(n)
        memory = shim_device.xp.full((n + 4, 16), 7, np.uint8)
        result = MAPS[name](shim_device.from_host(x), out=memory[2 : n + 2])
        assert shim_device.xp.shares_memory(result, memory)
        wanted = np.full((n + 4, 16), 7, np.uint8)
        wanted[2 : n + 2] = MAPS[name](x)
        assert (memory.get() == wanted).all(), n
    shape = launch_shapes("aes")["ctr" if name == "ctr_xor" else name]
    most = shape["blocks"] * shim_device.n_multiprocessors
    assert shim_device.launches[-1].grid[0] == most < -(-SIZES[-1] // shape["block"])


def test_levels_of_a_tree(shim_device: ShimDevice) -> None:
    for n in SIZES:
        x = blocks(n)
        memory = shim_device.xp.full((2 * n + 4, 16), 7, np.uint8)
        aes.ggm_level(shim_device.from_host(x), out=memory[2 : 2 * n + 2])
        wanted = np.full((2 * n + 4, 16), 7, np.uint8)
        wanted[2 : 2 * n + 2] = aes.ggm_level(x)
        assert (memory.get() == wanted).all()
    keys = (KEY, bytes(16))
    both = tuple(shim_device.from_host(np.frombuffer(key, np.uint8)) for key in keys)
    x = blocks(3)
    wanted = aes.ggm_level(x, keys=keys)
    assert (aes.ggm_level(shim_device.from_host(x), keys=keys).get() == wanted).all()
    assert (aes.ggm_level(shim_device.from_host(x), keys=both).get() == wanted).all()


def test_keys_of_any_strides(shim_device: ShimDevice) -> None:
    """As on the CPU: a key that is no row."""
    x, square = blocks(3), blocks(16, 1)
    there, keys = shim_device.from_host(x), shim_device.from_host(square)
    for of in (lambda k: k[:, 3], lambda k: k[2, ::-1], lambda k: k[::-1, 15]):
        assert (aes.tmmo(there, 5, key=of(keys)).get() == aes.tmmo(x, 5, key=of(square))).all()
        two = aes.ggm_level(there, keys=(of(keys), keys[0])).get()
        assert (two == aes.ggm_level(x, keys=(of(square), square[0]))).all()
    assert (keys.get() == square).all()


@pytest.mark.parametrize("first", COUNTERS)
def test_counters_and_tweaks_that_carry(shim_device: ShimDevice, first: int) -> None:
    x = blocks(7)
    there = shim_device.from_host(x)
    assert (aes.tmmo(there, first).get() == aes.tmmo(x, first)).all()
    assert (aes.ctr_xor(KEY, there, counter=first).get() == aes.ctr_xor(KEY, x, counter=first)).all()
    stream = aes.ctr_stream(shim_device.from_host(np.frombuffer(KEY, np.uint8)), 7, counter=first)
    assert (stream.get() == aes.ctr_stream(KEY, 7, counter=first)).all()


def test_every_number_of_bytes(shim_device: ShimDevice) -> None:
    data = blocks(5).reshape(-1)
    for n in range(66):
        for start in (0, 1):
            some = data[start : start + n]
            memory = shim_device.xp.full(n + 8, 7, np.uint8)
            aes.ctr_xor(KEY, shim_device.from_host(data)[start : start + n], out=memory[3 : n + 3])
            wanted = np.full(n + 8, 7, np.uint8)
            wanted[3 : n + 3] = aes.ctr_xor(KEY, some)
            assert (memory.get() == wanted).all()
    for shape in ((3, 5), (2, 2, 7), (), (0, 4)):
        some = data[: int(np.prod(shape))].reshape(shape)
        found = aes.ctr_xor(KEY, shim_device.from_host(some), counter=9)
        assert found.shape == shape
        assert (found.get() == aes.ctr_xor(KEY, some, counter=9)).all()


@every_map
def test_any_address_and_in_place(shim_device: ShimDevice, name: str) -> None:
    n = 300  # two blocks: none does another's
    x = blocks(n)
    wanted = MAPS[name](x)
    for begin in (1, 4, 8, 15):
        flat = shim_device.from_host(np.concatenate([np.zeros(begin, np.uint8), x.reshape(-1)]))
        source = flat[begin:].reshape(n, 16)
        target = shim_device.empty(16 * n + 16, np.uint8)[16 - begin : 16 * n + 16 - begin].reshape(n, 16)
        assert (MAPS[name](source, out=target).get() == wanted).all()
        assert MAPS[name](source, out=source) is source
        assert (source.get() == wanted).all()
        children = shim_device.empty(32 * n + 16, np.uint8)[begin : 32 * n + begin].reshape(2 * n, 16)
        assert (aes.ggm_level(target, out=children).get() == aes.ggm_level(wanted)).all()


def test_nothing_to_do(shim_device: ShimDevice) -> None:
    none = shim_device.empty((0, 16), np.uint8)
    for run in (*MAPS.values(), aes.ggm_level):
        assert run(none).shape == (0, 16)
    assert aes.ctr_stream(KEY, 0, out=none) is none
    assert not shim_device.launches


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 40),
    st.one_of(st.integers(0, 2**128 - 1), st.sampled_from(COUNTERS)),
    st.integers(0, 2**32 - 1),
)
def test_random_batches(shim_device: ShimDevice, key: bytes, n: int, first: int, seed: int) -> None:
    x = blocks(n, seed)
    there = shim_device.from_host(x)
    assert (aes.permute(there, key=key).get() == aes.permute(x, key=key)).all()
    assert (aes.mmo(there, key=key).get() == aes.mmo(x, key=key)).all()
    assert (aes.tmmo(there, first, key=key).get() == aes.tmmo(x, first, key=key)).all()
    assert (aes.ctr_xor(key, there, counter=first).get() == aes.ctr_xor(key, x, counter=first)).all()


# Memory outside the arrays

SANITIZED = """
import numpy as np
from crypsis import aes
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)
with registered(ShimDevice("reversed", sanitize=True)) as device:
    for n in (1, 33, 257):
        for begin in (0, 3, 4):
            x = device.from_host(rng.integers(0, 256, 16 * n + begin, np.uint8))[begin:].reshape(n, 16)
            aes.permute(x)
            aes.mmo(x, out=x)
            aes.tmmo(x, 2**64 - 5)
            aes.ggm_level(x)
            aes.ctr_stream(bytes(16), n, out=x)
    for n in (1, 15, 17, 31):
        aes.ctr_xor(bytes(16), device.from_host(rng.integers(0, 256, n, np.uint8)))
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
def test_gpu_equals_the_cpu(gpu_device: Device) -> None:
    for n in (1, 33, 100_003):
        x = blocks(n)
        there = gpu_device.from_host(x)
        for name, run in MAPS.items():
            assert (gpu_device.to_host(run(there)) == run(x)).all(), name
        assert (gpu_device.to_host(aes.ggm_level(there)) == aes.ggm_level(x)).all()
        flat = gpu_device.from_host(np.concatenate([np.zeros(5, np.uint8), x.reshape(-1)]))[5:]
        some = flat[: 16 * n - 7]
        wanted = aes.ctr_xor(KEY, x.reshape(-1)[: 16 * n - 7], counter=2**64 - 9)
        assert (gpu_device.to_host(aes.ctr_xor(KEY, some, counter=2**64 - 9)) == wanted).all()

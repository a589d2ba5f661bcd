# SPDX-License-Identifier: Apache-2.0
"""kernels/bitmatrix on the shim device against the CPU and published products; on a GPU where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypsis import bitmatrix
from crypsis.cuda import Device
from crypsis.cuda import bitmatrix as cuda_bitmatrix
from crypsis.cuda._registry import registered
from crypsis.errors import DeviceMemoryError
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bitmatrix.json").read_text())
Function = Callable[..., Any]
on_shim = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([2026, *seed])


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return rng(*shape, seed).integers(0, 256, shape, np.uint8)


def at(device: Device, a: np.ndarray, begin: int) -> Any:
    """A copy on the device that begins `begin` bytes behind a multiple of 16."""
    flat = device.from_host(np.concatenate([np.zeros(begin, np.uint8), a.reshape(-1)]))
    return flat[begin:].reshape(a.shape)


def into(device: Device, run: Function, shape: tuple[int, ...], begin: int = 16) -> np.ndarray:
    """What `run(out=...)` writes into an array amid others, of which it changes nothing."""
    n = int(np.prod(shape))
    memory = device.from_host(np.full(n + begin + 16, 7, np.uint8))
    run(out=memory[begin : begin + n].reshape(shape))
    found = device.to_host(memory)
    assert (found[:begin] == 7).all()
    assert (found[begin + n :] == 7).all()
    return found[begin : begin + n].reshape(shape)


# All bits, single bits at the ends of words, every fourth bit, what comes back twice when it is reduced.
EDGES = [0, 1, 2, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 1 << 127, (1 << 128) - 1, (1 << 64) - 1]
EDGES += [int(f"{digit}" * 32, 16) for digit in "1248"] + [
    (1 << 128) - 1 - (1 << 63),
    0x87 << 120,
    0x1B << 59,
]


def elements(width: int) -> np.ndarray:
    numbers = [x % (1 << 8 * width) for x in EDGES]
    return np.frombuffer(b"".join(x.to_bytes(width, "little") for x in numbers), np.uint8).reshape(-1, width)


# Known answers


def _reflected(text: str) -> np.ndarray:
    """GCM's order of bits to ours."""
    return np.packbits(np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)), bitorder="little")


def test_published_products(shim_device: ShimDevice) -> None:
    gcm = VECTORS["published"]["gcm"]
    h, c = _reflected(gcm["h"]), _reflected(gcm["c"])
    x1 = bitmatrix.gf128_multiply(shim_device.from_host(c.reshape(1, 16)), shim_device.from_host(h))
    assert (x1.get()[0] == _reflected(gcm["x1"])).all()
    total = (x1.get()[0] ^ _reflected(gcm["lengths"])).reshape(1, 16)
    found = bitmatrix.gf128_multiply(shim_device.from_host(total), shim_device.from_host(h.reshape(1, 16)))
    assert (found.get()[0] == _reflected(gcm["ghash"])).all()


# Products


def test_products_of_every_pair_of_edges(shim_device: ShimDevice) -> None:
    a, b = (np.ascontiguousarray(x) for x in _pairs(elements(16)))
    found = bitmatrix.gf128_multiply(shim_device.from_host(a), shim_device.from_host(b)).get()
    assert (found == bitmatrix.gf128_multiply(a, b)).all()
    for pair in elements(16):
        found = bitmatrix.gf64_multiply(shim_device.from_host(elements(8)), shim_device.from_host(pair)).get()
        assert (found == bitmatrix.gf64_multiply(elements(8), pair)).all()


def _pairs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(x, len(x), axis=0), np.tile(x, (len(x), 1))


def test_a_column_of_the_multiplier_holds_fifteen_bits_and_no_more(shim_device: ShimDevice) -> None:
    """All bits of two words: where two integer products are added, the fullest column has 8 + 7."""
    ones = np.full((1, 16), 255, np.uint8)
    for a in (ones, ones & 0x77, ones & 0x11, ones & 0xEE):
        found = bitmatrix.gf128_multiply(shim_device.from_host(a), shim_device.from_host(ones)).get()
        assert (found == bitmatrix.gf128_multiply(a, ones)).all()


@pytest.mark.parametrize("n", [1, 2, 31, 33, 127, 129, 1541])
def test_products_and_their_tails(shim_device: ShimDevice, n: int) -> None:
    a, b, add = random(n, 16), random(n, 16, seed=1), random(n, 16, seed=2)
    dev = shim_device.from_host
    for factor in (b, b[0].copy()):
        wanted = bitmatrix.gf128_multiply(a, factor)
        found = into(
            shim_device, lambda f=factor, **o: bitmatrix.gf128_multiply(dev(a), dev(f), **o), (n, 16)
        )
        assert (found == wanted).all()
        in_place = dev(add)
        result = bitmatrix.gf128_multiply(dev(a), dev(factor), add=in_place, out=in_place)
        assert result is in_place
        assert (in_place.get() == wanted ^ add).all()
    small, pair = random(n, 8), random(2, 8)
    for two in (pair, pair.reshape(16)):
        wanted = bitmatrix.gf64_multiply(small, two)
        found = into(
            shim_device, lambda t=two, **o: bitmatrix.gf64_multiply(dev(small), dev(t), **o), (n, 16)
        )
        assert (found == wanted).all()
        found = bitmatrix.gf64_multiply(dev(small), dev(two), add=dev(add)).get()
        assert (found == wanted ^ add).all()
    same = dev(a)
    assert (bitmatrix.gf128_multiply(same, same).get() == bitmatrix.gf128_multiply(a, a)).all()


@on_shim
@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=16, max_size=16),
)
def test_the_field(shim_device: ShimDevice, a: bytes, b: bytes, c: bytes) -> None:
    """(a + b) c = a c + b c, and every product is the CPU's."""
    rows = np.frombuffer(a + b, np.uint8).reshape(2, 16)
    sum_ = (rows[0] ^ rows[1]).reshape(1, 16)
    factor = np.frombuffer(c, np.uint8)
    dev = shim_device.from_host
    found = bitmatrix.gf128_multiply(dev(rows), dev(factor)).get()
    assert (found == bitmatrix.gf128_multiply(rows, factor)).all()
    assert (bitmatrix.gf128_multiply(dev(sum_), dev(factor)).get()[0] == found[0] ^ found[1]).all()
    halves = rows.reshape(4, 8)
    found = bitmatrix.gf64_multiply(dev(halves), dev(factor)).get()
    assert (found == bitmatrix.gf64_multiply(halves, factor)).all()


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize(
    ("rows", "n"),
    [(1, 1), (1, 31), (1, 257), (1, 9000), (3, 2100), (5, 256), (60, 33), (600, 2), (7, 0), (0, 5)],
)
def test_inner_products(shim_device: ShimDevice, width: int, rows: int, n: int) -> None:
    function = bitmatrix.gf128_inner_product if width == 16 else bitmatrix.gf64_inner_product
    a, b = random(rows, n, width), random(n, width)
    dev = shim_device.from_host
    found = into(shim_device, lambda **o: function(dev(a), dev(b), **o), (rows, width))
    assert (found == function(a, b)).all()
    if rows == 1:
        assert (function(dev(a[0]), dev(b)).get() == function(a[0], b)).all()


def test_long_rows_are_cut_and_short_ones_are_not(shim_device: ShimDevice) -> None:
    """6 blocks of 4 warps on each of two multiprocessors, 48 warps; 64 over GF(2^64)."""
    parts = cuda_bitmatrix._parts
    assert parts(shim_device, "gf128_inner_product", 1, 100) == (256, 1)
    assert parts(shim_device, "gf128_inner_product", 1, 257) == (256, 2)
    assert parts(shim_device, "gf128_inner_product", 1, 48 * 1024) == (1024, 48)
    assert parts(shim_device, "gf128_inner_product", 16, 3001) == (1024, 3)
    assert parts(shim_device, "gf64_inner_product", 64, 5000) == (5024, 1)


def test_parts_of_a_row_are_overwritten(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    empty = shim_device.empty

    def record(shape: Any, dtype: Any) -> Any:
        made.append(empty(shape, dtype))
        return made[-1]

    a, b = shim_device.from_host(random(1, 900, 16)), shim_device.from_host(random(900, 16))
    monkeypatch.setattr(shim_device, "empty", record)
    bitmatrix.gf128_inner_product(a, b)
    assert [array.shape for array in made] == [(1, 16), (1, 4, 16)]
    assert made[0].get().any()
    assert not made[1].get().any()


# Bits

# (rows, bytes of a row): the three tiles, whole and with tails, and what has rows of no whole pieces.
SHAPES = {
    "transpose": [(256, 32), (128 * 3, 48), (1024, 160)],
    "transpose_wide": [(128, 16), (128, 32), (128, 16 * 21)],
    "transpose_tall": [(256, 16), (128 * 5, 16), (128 * 40, 16)],
    "transpose_any": [
        (8, 1),
        (16, 3),
        (32, 4),
        (40, 5),
        (264, 33),
        (1000, 16),
        (128, 50),
        (8, 300),
        (1024, 2),
    ],
}


@pytest.mark.parametrize(
    ("kernel", "rows", "width"), [(k, *s) for k, shapes in SHAPES.items() for s in shapes]
)
def test_transpose(shim_device: ShimDevice, kernel: str, rows: int, width: int) -> None:
    bits = random(rows, width)
    wanted = bitmatrix.transpose(bits)
    there = shim_device.from_host(bits)
    # Memory of this size begins at multiples of 16 on the host too.
    found = bitmatrix.transpose(there)
    assert (found.get() == wanted).all()
    assert shim_device.launches[-1].kernel == kernel
    found = into(shim_device, lambda **o: bitmatrix.transpose(there, **o), wanted.shape)
    assert (found == wanted).all()
    assert (bitmatrix.transpose(shim_device.from_host(wanted)).get() == bits).all()


def test_single_bits_of_a_tile(shim_device: ShimDevice) -> None:
    for row, column in [(0, 0), (31, 0), (0, 31), (127, 128), (128, 127), (255, 255), (77, 201)]:
        bits = np.zeros((256, 256), np.uint8)
        bits[row, column] = 1
        found = bitmatrix.transpose(shim_device.from_host(np.packbits(bits, axis=1, bitorder="little"))).get()
        assert (np.unpackbits(found, axis=1, bitorder="little") == bits.T).all()


def test_transpose_at_any_address(shim_device: ShimDevice) -> None:
    bits = random(128, 16)
    for begin in (1, 4, 8, 15):
        there = at(shim_device, bits, begin)
        found = into(shim_device, lambda t=there, **o: bitmatrix.transpose(t, **o), (128, 16), 16 + begin)
        assert (found == bitmatrix.transpose(bits)).all()
        assert shim_device.launches[-1].kernel == "transpose_any"


@pytest.mark.parametrize("shape", [(0, 4), (8, 0), (0, 0)])
def test_transposes_of_nothing(shim_device: ShimDevice, shape: tuple[int, int]) -> None:
    bits = np.zeros(shape, np.uint8)
    found = bitmatrix.transpose(shim_device.from_host(bits))
    assert found.shape == bitmatrix.transpose(bits).shape
    assert not shim_device.launches


@on_shim
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 15), st.integers(0, 2**32 - 1))
def test_any_matrix(shim_device: ShimDevice, eights: int, width: int, begin: int, seed: int) -> None:
    bits = random(8 * eights, width, seed=seed)
    found = bitmatrix.transpose(at(shim_device, bits, begin)).get()
    assert (found == bitmatrix.transpose(bits)).all()


# The last has more packed bytes than the shim's grid has threads, 4,096: those go on, from row to row.
BIT_SHAPES = [
    (1,),
    (7,),
    (8,),
    (9,),
    (3, 8),
    (3, 17),
    (2, 64),
    (2, 3, 5),
    (5000,),
    (5000, 1),
    (600, 9),
    (1700, 17),
]


@pytest.mark.parametrize("shape", [*BIT_SHAPES, (0,), (4, 0), (0, 4)])
def test_bits_in_bytes(shim_device: ShimDevice, shape: tuple[int, ...]) -> None:
    bits = rng(*shape).integers(0, 2, shape, np.uint8)
    wanted = bitmatrix.pack_bits(bits)
    for begin in (0, 1, 4):
        there = at(shim_device, bits, begin)
        packed = bitmatrix.pack_bits(there)
        assert packed.shape == wanted.shape
        assert (packed.get() == wanted).all()
        found = into(shim_device, lambda t=there, **o: bitmatrix.pack_bits(t, **o), wanted.shape, 16 + begin)
        assert (found == wanted).all()
        again = bitmatrix.unpack_bits(packed, shape[-1])
        assert again.shape == shape
        assert (again.get() == bits).all()
        found = into(
            shim_device, lambda p=packed, **o: bitmatrix.unpack_bits(p, shape[-1], **o), shape, 16 + begin
        )
        assert (found == bits).all()
    whole = random(*shape)
    assert (bitmatrix.unpack_bits(shim_device.from_host(whole)).get() == bitmatrix.unpack_bits(whole)).all()


def test_every_byte_to_bits_and_back(shim_device: ShimDevice) -> None:
    every = np.arange(256, dtype=np.uint8)
    bits = bitmatrix.unpack_bits(shim_device.from_host(every))
    assert (bits.get() == np.unpackbits(every, bitorder="little")).all()
    assert (bitmatrix.pack_bits(bits).get() == every).all()


# Memory


def test_short_memory() -> None:
    a = random(4096, 16)
    with registered(ShimDevice(memory_bytes=a.nbytes + 100)) as device:
        there = device.from_host(a)
        for run in (
            lambda: bitmatrix.transpose(there),
            lambda: bitmatrix.unpack_bits(there),
            lambda: bitmatrix.pack_bits(there),
            lambda: bitmatrix.gf128_multiply(there[:2048], there[2048:]),
            lambda: bitmatrix.gf128_inner_product(there[:2048], there[2048:]),
        ):
            with pytest.raises(DeviceMemoryError, match="cuda:0 is out of memory"):
                run()
        assert (there.get() == a).all()
        assert not device.launches
        half = bitmatrix.gf128_inner_product(there[:512], there[512:1024])
        assert (half.get() == bitmatrix.gf128_inner_product(a[:512], a[512:1024])).all()


SANITIZED = """
import numpy as np
from crypsis import bitmatrix
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)
with registered(ShimDevice("reversed", sanitize=True)) as device:
    def array(*shape, values=256):
        return device.from_host(rng.integers(0, values, shape, np.uint8))
    for shape in ((128, 48), (384, 16), (256, 32), (384, 48), (8, 1), (40, 5), (264, 33)):
        bitmatrix.transpose(array(*shape))
    for shape in ((1,), (9,), (40,), (7, 3), (3, 33)):
        packed = bitmatrix.pack_bits(array(*shape, values=2))
        bitmatrix.unpack_bits(packed, shape[-1])
    for n in (1, 129):
        bitmatrix.gf128_multiply(array(n, 16), array(n, 16))
        bitmatrix.gf128_multiply(array(n, 16), array(16), add=array(n, 16))
        bitmatrix.gf64_multiply(array(n, 8), array(16), add=array(n, 16))
        for rows in (1, 9):
            bitmatrix.gf128_inner_product(array(rows, 5 * n, 16), array(5 * n, 16))
            bitmatrix.gf64_inner_product(array(rows, 5 * n, 8), array(5 * n, 8))
    for begin in (4, 5, 8):
        flat = array(16 * 9 + begin)[begin:].reshape(9, 16)
        bitmatrix.gf128_inner_product(flat, flat)
        bitmatrix.gf64_multiply(flat[1:].reshape(16, 8), flat[0], out=array(16 * 16 + begin)[begin:].reshape(16, 16))
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
def test_gpu_equals_the_cpu(gpu_device: Device) -> None:
    dev, host = gpu_device.from_host, gpu_device.to_host
    for shape in [s for shapes in SHAPES.values() for s in shapes] + [
        (128, 125_008),
        (100_096, 16),
        (4096, 513),
    ]:
        bits = random(*shape)
        assert (host(bitmatrix.transpose(dev(bits))) == bitmatrix.transpose(bits)).all(), shape
    for n in (1, 33, 100_003):
        a, b = random(n, 16), random(n, 16, seed=1)
        for factor in (b, b[0].copy()):
            found = bitmatrix.gf128_multiply(dev(a), dev(factor), add=dev(b))
            assert (host(found) == bitmatrix.gf128_multiply(a, factor, add=b)).all()
        halves = a.reshape(-1, 8)
        assert (
            host(bitmatrix.gf64_multiply(dev(halves), dev(b[0]))) == bitmatrix.gf64_multiply(halves, b[0])
        ).all()
        for function, x, y in (
            (bitmatrix.gf128_inner_product, a, b),
            (bitmatrix.gf64_inner_product, halves, b.reshape(-1, 8)),
        ):
            assert (host(function(dev(x), dev(y))) == function(x, y)).all()
        bits = a[:, :15] & 1
        packed = bitmatrix.pack_bits(dev(np.ascontiguousarray(bits)))
        assert (host(packed) == bitmatrix.pack_bits(np.ascontiguousarray(bits))).all()
        assert (host(bitmatrix.unpack_bits(packed, 15)) == bits).all()
    with pytest.raises(ValueError, match="values holds a value above 1"):
        bitmatrix.pack_bits(dev(random(1000)))

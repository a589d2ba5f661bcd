# SPDX-License-Identifier: Apache-2.0
"""crypsis.bitmatrix with arrays on the shim device: what it refuses, as the CPU does, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis import bitmatrix
from crypsis.cuda._errors import ErrorCode, decode
from crypsis.errors import BackendUnavailable
from cuda_on_cpu.device import ShimDevice
from test_cuda_bitmatrix import Function, random

# Bad input: the CPU's exceptions and words


def _refused(device: ShimDevice, run: Function, *arrays: np.ndarray, **options: Any) -> None:
    """The same error from `run` on the host and on the device."""
    with pytest.raises((ValueError, TypeError)) as cpu:
        run(*arrays, **options)
    with pytest.raises(type(cpu.value)) as gpu:
        run(*(device.from_host(a) for a in arrays), **options)
    assert str(gpu.value) == str(cpu.value)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def test_a_value_above_one_is_seen_wherever_it_is_and_not_told(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    check = shim_device.check

    def record(word: Any, what: Function) -> None:
        told.append(decode(int(word.get()[0])))
        check(word, what)

    monkeypatch.setattr(shim_device, "check", record)
    for place in range(11):
        for value in (2, 128):
            _refused(shim_device, bitmatrix.pack_bits, np.uint8([value * (i == place) for i in range(11)]))
    rows = np.zeros((5000, 1), np.uint8)  # more than the grid has threads
    rows[-1] = 2
    _refused(shim_device, bitmatrix.pack_bits, rows)
    _refused(shim_device, lambda x: bitmatrix.unpack_bits(x, 1), rows)
    assert told == [(ErrorCode.OUT_OF_RANGE, 0)] * 24


def test_what_the_cpu_refuses(shim_device: ShimDevice) -> None:
    for run, *arrays in (
        (bitmatrix.transpose, zeros(7, 3)),
        (bitmatrix.transpose, zeros(8)),
        (bitmatrix.pack_bits, zeros()),
        (bitmatrix.pack_bits, np.uint8([0, 1, 2])),
        (bitmatrix.pack_bits, np.uint8([[0] * 9] * 400 + [[0] * 8 + [255]])),
        (bitmatrix.unpack_bits, zeros()),
        (lambda x: bitmatrix.unpack_bits(x, 11), np.uint8([0, 8])),
        (lambda x: bitmatrix.unpack_bits(x, 1), np.uint8([[1]] * 3000 + [[128]])),
        (lambda x: bitmatrix.unpack_bits(x, 8), zeros(2)),
        (lambda x: bitmatrix.unpack_bits(x, 17), zeros(2)),
        (lambda x: bitmatrix.unpack_bits(x, "9"), zeros(2)),
        (bitmatrix.gf128_multiply, zeros(3, 15), zeros(3, 15)),
        (bitmatrix.gf128_multiply, zeros(3, 16), zeros(2, 16)),
        (bitmatrix.gf128_multiply, zeros(3, 16), zeros(1, 16)),
        (bitmatrix.gf128_multiply, zeros(16), zeros(16)),
        (lambda a, b, c: bitmatrix.gf128_multiply(a, b, add=c), zeros(3, 16), zeros(16), zeros(2, 16)),
        (bitmatrix.gf64_multiply, zeros(3, 16), zeros(16)),
        (bitmatrix.gf64_multiply, zeros(3, 8), zeros(8)),
        (lambda a, b, c: bitmatrix.gf64_multiply(a, b, add=c), zeros(3, 8), zeros(16), zeros(3, 8)),
        (bitmatrix.gf128_inner_product, zeros(4, 3, 16), zeros(4, 16)),
        (bitmatrix.gf128_inner_product, zeros(3, 16), zeros(3, 8)),
        (bitmatrix.gf128_inner_product, zeros(2, 2, 3, 16), zeros(3, 16)),
        (bitmatrix.gf64_inner_product, zeros(4, 3, 8), zeros(2, 8)),
        (bitmatrix.gf64_inner_product, zeros(8), zeros(1, 8)),
    ):
        _refused(shim_device, run, *arrays)


def test_out_stays_as_it_was(shim_device: ShimDevice) -> None:
    dev = shim_device.from_host
    for run, shape in (
        (lambda out: bitmatrix.pack_bits(dev(np.uint8([1] * 4000 + [2])), out=out), (501,)),
        (lambda out: bitmatrix.unpack_bits(dev(np.uint8([255, 8])), 11, out=out), (11,)),
        (lambda out: bitmatrix.transpose(dev(zeros(8, 4)), out=out), (16, 2)),
        (lambda out: bitmatrix.gf128_multiply(dev(zeros(3, 16)), dev(zeros(15)), out=out), (3, 16)),
    ):
        out = dev(np.full(shape, 9, np.uint8))
        with pytest.raises(ValueError, match=r"above 1|after the first 11|out has shape|b has shape"):
            run(out)
        assert (out.get() == 9).all()


def test_arrays_are_checked(shim_device: ShimDevice) -> None:
    memory = shim_device.from_host(random(64, 16))
    before = memory.get()
    for run in (
        lambda: bitmatrix.transpose(memory[:8], out=memory[:16].reshape(128, 2)[:, :1]),
        lambda: bitmatrix.transpose(memory[::2]),
    ):
        with pytest.raises(ValueError, match=r"has shape|is not C-contiguous"):
            run()
    for name, run in (
        ("bits", lambda: bitmatrix.transpose(memory[:8], out=memory[4:12].reshape(128, 1))),
        ("a", lambda: bitmatrix.gf128_multiply(memory[:4], memory[8:12], out=memory[:4])),
        ("b", lambda: bitmatrix.gf128_multiply(memory[:4], memory[8], out=memory[7:11])),
        (
            "add",
            lambda: bitmatrix.gf128_multiply(memory[:4], memory[8], add=memory[20:24], out=memory[21:25]),
        ),
        ("elements", lambda: bitmatrix.gf64_multiply(memory[:2].reshape(4, 8), memory[9], out=memory[1:5])),
        ("pair", lambda: bitmatrix.gf64_multiply(memory[:2].reshape(4, 8), memory[9], out=memory[8:12])),
        ("b", lambda: bitmatrix.gf128_inner_product(memory[:4], memory[4:8], out=memory[5])),
        ("values", lambda: bitmatrix.pack_bits(memory[:4], out=memory[1].reshape(-1)[:8].reshape(4, 2))),
        ("packed", lambda: bitmatrix.unpack_bits(memory[:2].reshape(32), out=memory[:16].reshape(256))),
    ):
        with pytest.raises(ValueError, match=f"out overlaps {name}: give memory of its own"):
            run()
    with pytest.raises(TypeError, match="bits is an array of int8: give uint8 on cuda:0"):
        bitmatrix.transpose(shim_device.from_host(np.zeros((8, 1), np.int8)))
    with pytest.raises(TypeError, match="add is an array of uint16"):
        bitmatrix.gf128_multiply(memory[:1], memory[1], add=shim_device.xp.zeros((1, 8), np.uint16))
    with pytest.raises(ValueError, match="gf128_multiply: a is on cuda:0 and b on the host"):
        bitmatrix.gf128_multiply(memory[:4], zeros(16))
    assert (memory.get() == before).all()


def test_what_stays_on_the_host(shim_device: ShimDevice) -> None:
    there = shim_device.from_host(zeros(8))
    for name, run in (
        ("gf2k_multiply", lambda: bitmatrix.gf2k_multiply(there, 1, k=2)),
        ("pack_elements", lambda: bitmatrix.pack_elements(there, k=2)),
        ("slice_elements", lambda: bitmatrix.slice_elements(there, k=2)),
        ("gf128_powers", lambda: bitmatrix.gf128_powers(shim_device.from_host(zeros(16)), 3)),
    ):
        with pytest.raises(BackendUnavailable, match=rf"crypsis\.bitmatrix\.{name} has no CUDA kernel"):
            run()

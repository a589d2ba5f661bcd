# SPDX-License-Identifier: Apache-2.0
"""aes: unaligned and aliased arrays, nothing written outside, and every argument that is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import aes, backends
from crypsis.errors import BackendUnavailable

KEY = bytes(range(16))
every_backend = pytest.mark.parametrize("backend", backends.runnable("aes"))
SIZES = [1, 2, 3, 5, 31, 32, 33, 65]
Function = Callable[..., np.ndarray]
MAPS: dict[str, Function] = {
    "permute": lambda x, **options: aes.permute(x, key=KEY, **options),
    "mmo": lambda x, **options: aes.mmo(x, key=KEY, **options),
    "tmmo": lambda x, **options: aes.tmmo(x, 2**64 - 9, key=KEY, **options),
    "ctr_xor": lambda x, **options: aes.ctr_xor(KEY, x, counter=2**64 - 9, **options),
}
every_map = pytest.mark.parametrize("name", MAPS)


def blocks(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 16), dtype=np.uint8)


def at_offset(n_bytes: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """A buffer of 0xAA and the `n_bytes` in it that begin `offset` bytes behind a multiple of 64."""
    buffer = np.full(n_bytes + 256, 0xAA, np.uint8)
    begin = -buffer.ctypes.data % 64 + 64 + offset
    return buffer, buffer[begin : begin + n_bytes]


def outside_is_untouched(buffer: np.ndarray, inside: np.ndarray) -> bool:
    begin = inside.ctypes.data - buffer.ctypes.data
    return bool((buffer[:begin] == 0xAA).all() and (buffer[begin + inside.size :] == 0xAA).all())


@every_backend
@every_map
def test_unaligned_and_in_place(name: str, backend: str) -> None:
    for n in SIZES:
        x = blocks(n)
        wanted = MAPS[name](x, backend=backend)
        for offset in (0, 1, 8, 15, 33):
            _, source = at_offset(16 * n, offset)
            source[:] = x.reshape(-1)
            buffer, target = at_offset(16 * n, (3 * offset) % 64)
            given = target.reshape(-1, 16)
            assert MAPS[name](source.reshape(-1, 16), out=given, backend=backend) is given
            assert np.array_equal(given, wanted)
            assert outside_is_untouched(buffer, target)
            same, inside = at_offset(16 * n, offset)
            inside[:] = x.reshape(-1)
            array = inside.reshape(-1, 16)
            MAPS[name](array, out=array, backend=backend)
            assert np.array_equal(array, wanted)
            assert outside_is_untouched(same, inside)


@every_backend
def test_outputs_of_other_shapes_stay_inside(backend: str) -> None:
    for n in SIZES:
        x = blocks(n)
        for offset in (0, 1, 24):
            buffer, target = at_offset(32 * n, offset)
            aes.ggm_level(x, out=target.reshape(-1, 16), backend=backend)
            assert np.array_equal(target.reshape(-1, 16), aes.ggm_level(x, backend="portable"))
            assert outside_is_untouched(buffer, target)
            buffer, target = at_offset(16 * n, offset)
            aes.ctr_stream(KEY, n, counter=5, out=target.reshape(-1, 16), backend=backend)
            assert np.array_equal(
                target.reshape(-1, 16), aes.ctr_stream(KEY, n, counter=5, backend="portable")
            )
            assert outside_is_untouched(buffer, target)
            buffer, target = at_offset(16 * n - 7, offset)
            data = x.reshape(-1)[: 16 * n - 7]
            aes.ctr_xor(KEY, data, out=target, backend=backend)
            assert np.array_equal(target, aes.ctr_xor(KEY, data, backend="portable"))
            assert outside_is_untouched(buffer, target)
            buffer, target = at_offset(176 * n, offset)
            aes.expand_key(x, out=target.reshape(n, 11, 16), backend=backend)
            assert np.array_equal(target.reshape(n, 11, 16), aes.expand_key(x, backend="portable"))
            assert outside_is_untouched(buffer, target)


@every_backend
def test_extreme_blocks(backend: str) -> None:
    patterns = [0, 0xFF, 0x80, 0x01, 0x55]
    x = np.stack([np.full(16, p, np.uint8) for p in patterns])
    for p in patterns:
        key = bytes([p]) * 16
        assert np.array_equal(
            aes.permute(x, key=key, backend=backend), aes.permute(x, key=key, backend="portable")
        )


def test_overlaps_are_refused() -> None:
    memory = np.zeros((8, 16), np.uint8)
    for run in MAPS.values():
        with pytest.raises(ValueError, match="overlaps"):
            run(memory[:4], out=memory[1:5])
    with pytest.raises(ValueError, match="out overlaps parents"):
        aes.ggm_level(memory[:2], out=memory[:4])
    with pytest.raises(ValueError, match="out overlaps key"):
        aes.permute(memory[:1], key=memory[5], out=memory[5:6])
    with pytest.raises(ValueError, match="out overlaps key"):
        aes.ctr_stream(memory[0], 8, out=memory)
    long = np.zeros((11, 16), np.uint8)
    with pytest.raises(ValueError, match="out overlaps keys"):
        aes.expand_key(long[:1], out=long[:11].reshape(1, 11, 16))


BAD_BLOCKS: list[tuple[Any, type[Exception], str]] = [
    ([[0] * 16], TypeError, "blocks is list"),
    (b"0" * 16, TypeError, "blocks is bytes"),
    (np.zeros((2, 16), np.int8), TypeError, "array of int8"),
    (np.zeros((2, 15), np.uint8), ValueError, r"blocks has shape \(2, 15\): give uint8\[n, 16\]"),
    (np.zeros(16, np.uint8), ValueError, r"blocks has shape \(16,\)"),
    (np.zeros((2, 2, 16), np.uint8), ValueError, "blocks has shape"),
    (np.zeros((4, 16), np.uint8)[::2], ValueError, "not C-contiguous"),
]


@pytest.mark.parametrize(("bad", "error", "text"), BAD_BLOCKS)
@pytest.mark.parametrize("name", ["permute", "mmo", "tmmo"])
def test_blocks_that_are_refused(name: str, bad: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        MAPS[name](bad)


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        (b"short", ValueError, r"key has shape \(5,\): AES-128 takes 16 bytes"),
        (b"", ValueError, "AES-128 takes 16 bytes"),
        (bytes(32), ValueError, "AES-128 takes 16 bytes"),
        ("0" * 16, TypeError, "key is str"),
        (None, TypeError, "key is NoneType"),
        (np.zeros((1, 16), np.uint8), ValueError, "key has shape"),
        (np.zeros(16, np.uint16), TypeError, "array of uint16"),
    ],
)
def test_keys_that_are_refused(key: Any, error: type[Exception], text: str) -> None:
    x = blocks(1)
    for run in (
        lambda: aes.permute(x, key=key),
        lambda: aes.tmmo(x, 0, key=key),
        lambda: aes.ctr_stream(key, 1),
        lambda: aes.ctr_xor(key, x),
    ):
        with pytest.raises(error, match=text):
            run()


@pytest.mark.parametrize("value", [-1, 2**128])
def test_counters_out_of_range(value: int) -> None:
    with pytest.raises(ValueError, match=f"tweak is {value}: give 0 to"):
        aes.tmmo(blocks(1), value)
    with pytest.raises(ValueError, match=f"counter is {value}: give 0 to"):
        aes.ctr_stream(KEY, 1, counter=value)


def test_counts_and_options_that_are_refused() -> None:
    with pytest.raises(ValueError, match="n_blocks is -1"):
        aes.ctr_stream(KEY, -1)
    with pytest.raises(TypeError, match="n_blocks is float"):
        aes.ctr_stream(KEY, 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tweak is str"):
        aes.tmmo(blocks(1), "0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out has shape"):
        aes.mmo(blocks(2), out=blocks(3))
    with pytest.raises(ValueError, match="threads is 0"):
        aes.mmo(blocks(2), threads=0)
    with pytest.raises(BackendUnavailable, match="sse9"):
        aes.mmo(blocks(2), backend="sse9")
    read_only = blocks(2)
    read_only.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        aes.mmo(blocks(2), out=read_only)
    with pytest.raises(ValueError, match="keys are equal"):
        aes.ggm_level(blocks(2), keys=(KEY, np.frombuffer(KEY, np.uint8)))
    with pytest.raises(TypeError, match="keys is bytes"):
        aes.ggm_level(blocks(2), keys=KEY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="data is not C-contiguous"):
        aes.ctr_xor(KEY, blocks(4)[::2])
    with pytest.raises(ValueError, match="keys has shape"):
        aes.expand_key(np.zeros((2, 24), np.uint8))


def test_output_untouched_on_error() -> None:
    out = np.full((2, 16), 7, np.uint8)
    with pytest.raises(ValueError, match="counter"):
        aes.ctr_stream(KEY, 2, counter=-1, out=out)
    with pytest.raises(BackendUnavailable):
        aes.permute(blocks(2), out=out, backend="nothing")
    assert (out == 7).all()

# SPDX-License-Identifier: Apache-2.0
"""aes.Generator: its stream against the reference, forks, threads, copies, and what it refuses."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import _core, aes, backends
from reference import aes as reference

SEED = bytes(range(100, 132))
SEGMENT = 16 * (reference.SEGMENT_BLOCKS - 2)
WHOLE = aes.Generator.from_seed(SEED).bytes(3 * SEGMENT + 100)


@pytest.mark.parametrize("backend", backends.runnable("aes"))
def test_stream_is_the_reference_on_every_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", f"aes:{backend}")
    assert aes.Generator.from_seed(SEED).bytes(len(WHOLE)) == WHOLE
    for begin in (0, SEGMENT - 40, 2 * SEGMENT - 40, 3 * SEGMENT):  # within segments and over their ends
        assert reference.stream(SEED, begin, begin + 80) == WHOLE[begin : begin + 80]


def test_counter_of_a_seed_carries() -> None:
    seed = bytes(16) + (2**128 - 3).to_bytes(16, "big")
    assert aes.Generator.from_seed(seed).bytes(500) == reference.stream(seed, 0, 500)


def test_short_seed_is_a_key_with_counter_zero() -> None:
    wanted = reference.stream(SEED[:16] + bytes(16), 0, 64)
    assert aes.Generator.from_seed(SEED[:16]).bytes(64) == wanted
    assert aes.Generator.from_seed(np.frombuffer(SEED[:16], np.uint8)).bytes(64) == wanted


@given(
    sizes=st.lists(st.sampled_from([0, 1, 15, 16, 17, 1000, SEGMENT - 1, SEGMENT, SEGMENT + 1]), max_size=12)
)
@settings(max_examples=50)
def test_cuts_make_no_difference(sizes: list[int]) -> None:
    generator = aes.Generator.from_seed(SEED)
    found = b"".join(generator.bytes(n) for n in sizes)[: len(WHOLE)]
    assert found == WHOLE[: len(found)]


def test_forms_take_the_same_stream() -> None:
    generator = aes.Generator.from_seed(SEED)
    assert generator.blocks(3).tobytes() == WHOLE[:48]
    bits = generator.bits(19)
    assert bits.dtype == np.uint8
    packed = int.from_bytes(WHOLE[48:51], "little")
    assert bits.tolist() == [packed >> i & 1 for i in range(19)]
    out = np.zeros((2, 3, 5), np.uint8)
    generator.fill(out)
    assert out.tobytes() == WHOLE[51:81]
    into = np.zeros((2, 16), np.uint8)
    assert generator.blocks(2, out=into) is into
    assert into.tobytes() == WHOLE[81:113]
    choices = np.zeros(8, np.uint8)
    assert generator.bits(8, out=choices) is choices
    assert choices.tolist() == [WHOLE[113] >> i & 1 for i in range(8)]
    assert generator.bytes(0) == b""
    assert generator.blocks(0).shape == (0, 16)
    assert generator.bits(0).shape == (0,)
    assert generator.bytes(5) == WHOLE[114:119]


def test_seeded_by_the_system() -> None:
    assert aes.Generator().bytes(32) != aes.Generator().bytes(32)
    bits = aes.Generator().bits(100_000)
    assert set(np.unique(bits)) == {0, 1}
    assert abs(int(bits.sum()) - 50_000) < 2_000  # 12 standard deviations
    counts = np.bincount(np.frombuffer(aes.Generator().bytes(1 << 20), np.uint8), minlength=256)
    assert counts.min() > 3_600 < 4_600 > counts.max()  # 4,096 each, 7 standard deviations of 64


def test_threads_share_one_stream_without_repeating() -> None:
    generator = aes.Generator.from_seed(SEED)
    found: list[bytes] = []

    def work() -> None:
        mine = [generator.bytes(48) for _ in range(200)]
        found.extend(mine)

    team = [threading.Thread(target=work) for _ in range(4)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    wanted = [WHOLE[48 * i : 48 * i + 48] for i in range(800)]
    assert sorted(found) == sorted(wanted)


def in_child(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, work())
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        result = pipe.read()
    os.waitpid(pid, 0)
    return result


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # fork beside threads, from Python 3.12 on
class TestFork:
    def test_child_does_not_repeat(self) -> None:
        generator = aes.Generator()
        generator.bytes(1)
        child = in_child(lambda: generator.bytes(32))
        other = in_child(lambda: generator.bytes(32))
        assert len(child) == len(other) == 32
        assert len({child, other, generator.bytes(32)}) == 3

    def test_seeded_refuses_in_the_child(self) -> None:
        generator = aes.Generator.from_seed(SEED)
        assert in_child(lambda: generator.bytes(4)).startswith(
            b"RuntimeError: this seeded Generator was made before"
        )
        assert generator.bytes(4) == WHOLE[:4]

    def test_lock_that_a_thread_held_is_free_in_the_child(self) -> None:
        generator = aes.Generator()
        with generator._lock:
            child = in_child(lambda: generator.bytes(16))
        assert len(child) == 16

    def test_a_fork_that_python_did_not_see(self) -> None:
        generator = aes.Generator.from_seed(SEED)
        generator._pid = -1
        with pytest.raises(RuntimeError, match="before a fork"):
            generator.bytes(1)


def test_no_copies() -> None:
    generator = aes.Generator()
    for duplicate in (copy.copy, copy.deepcopy, lambda g: g.__reduce_ex__(5)):
        with pytest.raises(TypeError, match="copied or pickled"):
            duplicate(generator)


@pytest.mark.parametrize("seed", [b"", bytes(15), bytes(24), bytes(33), np.zeros((2, 16), np.uint8)])
def test_seeds_of_a_wrong_length(seed: Any) -> None:
    with pytest.raises(ValueError, match="give 16 or 32 bytes"):
        aes.Generator.from_seed(seed)


@pytest.mark.parametrize("seed", [None, 1, "x" * 16, np.zeros(16, np.int64)])
def test_seeds_of_a_wrong_kind(seed: Any) -> None:
    with pytest.raises(TypeError, match="seed is"):
        aes.Generator.from_seed(seed)


def test_arguments_that_are_refused() -> None:
    generator = aes.Generator()
    for call in (generator.bytes, generator.blocks, generator.bits):
        with pytest.raises(ValueError, match="is -1: give 0 to"):
            call(-1)
        with pytest.raises(TypeError, match="give an int"):
            call(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out has shape"):
        generator.blocks(2, out=np.zeros((3, 16), np.uint8))
    with pytest.raises(ValueError, match="not C-contiguous"):
        generator.fill(np.zeros((4, 4), np.uint8)[::2])
    with pytest.raises(TypeError, match="out is list"):
        generator.fill([0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed has 31"):
        _core.aes.Stream(np.zeros(31, np.uint8))

# SPDX-License-Identifier: Apache-2.0
"""A device's memory runs out at any one allocation: what was made of secrets is zeros, and nothing else is spoilt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from crypsis import bigint
from crypsis._homomorphic import blinding, devices, limbs
from crypsis.cuda import _bigint_kernels
from crypsis.cuda._bigint_kernels import known_values
from crypsis.cuda._registry import registered
from crypsis.errors import DeviceError, DeviceMemoryError
from crypsis.paillier import BlindingPool
from cuda_homomorphic import okamoto_uchiyama_768, paillier_256, small_tables
from cuda_on_cpu.device import ShimDevice
from test_cuda_memory import MODULUS, ROWS, SECRET, InPieces, Watched

__all__ = ["small_tables"]  # a fixture of every test here


class Short(Watched):
    """Refuses memory once, after `left` more times that it was asked for some."""

    left: int | None = None

    def take(self, n_bytes: int) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise DeviceMemoryError(f"{n_bytes:,} bytes asked, 0 free; use smaller batches")
        super().take(n_bytes)


def _refused(device: Short, call: Callable[[], Any], every: int = 1) -> Iterator[int]:
    """Runs `call` as often as it asks for memory, refused once each time; says behind each which request that was."""
    count = 0
    while True:
        device.left = count
        with suppress(DeviceMemoryError):  # or it went on in parts
            call()
        if device.left is not None:
            device.left = None
            return
        yield count
        count += every


LIMBS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b, n, flags: limbs.add(a, b),
    "sub": lambda a, b, n, flags: limbs.sub(n, a),
    "select": lambda a, b, n, flags: limbs.select(flags, a, b),
    "add_mod": lambda a, b, n, flags: limbs.add_mod(a, b, n),
    "negate_where": lambda a, b, n, flags: limbs.negate_where(a, flags, n),
    "at_most": lambda a, b, n, flags: limbs.at_most(a, n),
    "centred": lambda a, b, n, flags: limbs.centred(a, b[0], n),
}


@pytest.mark.parametrize("name", sorted(LIMBS))
@pytest.mark.parametrize("k", [1, 3, 4])
def test_sums_and_selections_leave_zeros(name: str, k: int) -> None:
    """All that they made but their results; those too where they fail."""
    rng = np.random.default_rng(k)
    top = np.full(k, 2**64 - 1, np.uint64)
    host = (rng.integers(2**62, 2**63, (5, k), np.uint64), rng.integers(2**62, 2**63, (5, k), np.uint64))
    host = (*host, top, np.array([True, False, True, True, False]))
    with registered(Short()) as device:
        operands = [device.from_host(array) for array in host]
        before = len(device.given)
        made: list[Any] = []

        def call() -> None:
            made.clear()
            result = LIMBS[name](*operands)
            made.extend(result if isinstance(result, tuple) else (result,))

        call()
        expected = LIMBS[name](*host)
        expected = expected if isinstance(expected, tuple) else (expected,)
        assert all((there.get() == here).all() for there, here in zip(made, expected, strict=True))
        left = [array for array in device.given[before:] if array.any()]
        assert all(any(np.shares_memory(array, there.memory) for there in made) for array in left)
        before = len(device.given)
        for request in _refused(device, call):
            assert not made
            assert not [array for array in device.given[before:] if array.any()], request
            before = len(device.given)
        assert request >= 2
        assert all((there.get() == array).all() for there, array in zip(operands, host, strict=True))


PLAIN = np.array([SECRET, -SECRET, 5])


def _calls(key: Any, there: Any) -> dict[str, Callable[[], Any]]:
    return {
        "encrypt": lambda: key.public_key.encrypt(PLAIN, device="cuda"),
        "decrypt": lambda: key.decrypt(there),
        "add": lambda: there + PLAIN,
        "multiply": lambda: there * PLAIN,
        "matrix": lambda: np.abs(PLAIN) @ there,
    }


@pytest.mark.parametrize(
    ("scheme", "name"),
    [("paillier", name) for name in ("encrypt", "decrypt", "add", "multiply", "matrix")]
    + [("okamoto", name) for name in ("encrypt", "add", "multiply")]
    # The powers are those of Paillier, of larger numbers.
    + [pytest.param("okamoto", name, marks=pytest.mark.slow) for name in ("decrypt", "matrix")],
)
def test_no_plaintext_stays_where_memory_runs_out(scheme: str, name: str) -> None:
    key: Any = paillier_256() if scheme == "paillier" else okamoto_uchiyama_768()
    n = key.public_key.n if scheme == "paillier" else key._p.p
    words = [SECRET, (n - SECRET) % 2**64, 2**64 - SECRET]
    host = key.public_key.encrypt(PLAIN)
    with registered(Short()) as device:
        there = host.to("cuda")
        call = _calls(key, there)[name]
        call()  # constants and tables
        del device.given[:]
        for request in _refused(device, call):
            assert not [hex(word) for word in words if device.holds(word)], request
            del device.given[:]
        assert request > 2
        assert (key.decrypt(there) == PLAIN).all()


def test_a_row_of_exponents_is_not_wiped_for_its_owner() -> None:
    """A part of one row is contiguous: `ascontiguousarray` of it is no copy."""
    exponents = ROWS[:60, 0].reshape(1, 60) & np.uint64(255)
    expected = bigint.multi_powm(ROWS[:60], exponents, MODULUS, exponent_bits=8)
    with registered(Short()) as device:
        rows, there = device.from_host(ROWS[:60]), device.from_host(exponents)
        launches = []
        for _ in _refused(device, lambda: bigint.multi_powm(rows, there, MODULUS, exponent_bits=8)):
            assert (there.get() == exponents).all()
            launches.append(len(device.launches))
            device.launches.clear()
        device.launches.clear()
        assert (bigint.multi_powm(rows, there, MODULUS, exponent_bits=8).get() == expected).all()
        assert max(launches) > len(device.launches)  # it was split


def test_a_pool_counts_right_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blinding, "DEVICE_BLOCK", 3)
    with registered(Short()) as device, BlindingPool(paillier_256(), 6, device="cuda") as pool:
        assert pool.wait()
        with pool._changed:
            device.left = 1  # one block is copied, the other is not
        with pytest.raises(DeviceMemoryError):
            pool.take(5)
        assert pool.wait()
        with pool._changed:
            assert pool._ready == sum(len(block) for block in pool._blocks) == 6


def test_known_values_are_known_in_their_block_and_thread_alone() -> None:
    with registered(ShimDevice()) as device:
        above = device.from_host(np.full((1, 4), 2**64 - 1, np.uint64))

        def refused() -> bool:
            try:
                bigint.mod_sqr(above, MODULUS)
            except ValueError:
                return True
            return False

        seen: list[bool] = []
        with suppress(ZeroDivisionError), known_values():
            assert not refused()
            thread = threading.Thread(target=lambda: seen.append(refused()))
            thread.start()
            thread.join()
            with suppress(KeyError), known_values():
                raise KeyError
            assert not refused()
            raise ZeroDivisionError
        assert seen == [True]
        assert refused()


def test_a_pool_fills_in_parts_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blinding, "DEVICE_BLOCK", 8)
    monkeypatch.setattr(devices, "MIN_DEVICE_ROWS", 2)
    key = paillier_256()
    with registered(InPieces()) as device:
        key.blinding_factors(1, device=device)  # constants and tables
        device.allow(4 * 8 * key.modulus.limbs)
        with BlindingPool(key, 8, device="cuda") as pool:
            assert pool.wait()
            with pool._changed:
                assert [len(block) for block in pool._blocks] == [4, 4]


def test_powers_of_the_blocks_before_are_wiped_where_a_block_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bigint_kernels, "SCRATCH_BYTES", 1)
    with registered(Watched()) as device:
        a, e = device.from_host(ROWS), device.from_host(ROWS[:, :1].copy())
        before = len(device.given)
        device.fail_at = 3  # two checks, one block
        with pytest.raises(DeviceError, match="planted"):
            bigint.powm(a, e, MODULUS)
        assert [launch.kernel for launch in device.launches][-1] == "powm"
        made = [array for array in device.given[before:] if array.shape == ROWS.shape]
        assert made
        assert not any(array.any() for array in made)

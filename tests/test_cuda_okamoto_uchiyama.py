# SPDX-License-Identifier: Apache-2.0
"""Okamoto-Uchiyama with ciphertexts on a device equals the host, byte for byte; both refuse the same."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from crypsis.errors import InvalidCiphertext
from crypsis.okamoto_uchiyama import BlindingPool, Packing
from cuda_homomorphic import (
    FACTORS,
    VALUES,
    check_equal,
    everything,
    numbers,
    okamoto_uchiyama_768,
    same_coins,
    small_tables,
)
from cuda_on_cpu.device import ShimDevice
from homomorphic_keys import okamoto_uchiyama_2048

__all__ = ["small_tables"]  # a fixture of every test here


@functools.cache
def on_host() -> dict[str, Any]:
    return everything(okamoto_uchiyama_768(), "cpu")


def check_program() -> None:
    private = okamoto_uchiyama_768()
    made = everything(private, "cuda:0")
    check_equal(on_host(), made, "cuda:0")
    assert numbers(made, private) == numbers(on_host(), private)
    for name in ("add", "multiply", "histogram"):
        expected = private.decrypt_in_range(on_host()[name], 64)
        assert (private.decrypt_in_range(made[name], 64) == expected).all()


def test_every_operation_equals_the_host(shim_device: ShimDevice) -> None:
    check_program()


@pytest.mark.gpu
def test_every_operation_equals_the_host_on_a_gpu(gpu_device: Any) -> None:
    check_program()


def check_2048() -> None:
    private, values = okamoto_uchiyama_2048(), np.array([1, -2, 2**60])
    made = []
    for device in ("cpu", "cuda"):
        with same_coins():
            c = private.public_key.encrypt(values, device=device)
            made += [c, (c * [3, -4, 5] + c).rerandomize(), c.sum(), np.array([[1, -1, 2]]) @ c]
    for host, there in zip(made[:4], made[4:], strict=True):
        assert (there.to("cpu")._rows == host._rows).all()
        assert (private.decrypt_in_range(there, 70) == private.decrypt_in_range(host, 70)).all()


@pytest.mark.slow
def test_2048_bits(shim_device: ShimDevice) -> None:
    check_2048()


@pytest.mark.gpu
def test_2048_bits_on_a_gpu(gpu_device: Any) -> None:
    check_2048()


def test_what_is_out_of_range_or_no_encryption_is_refused_as_on_the_host(shim_device: ShimDevice) -> None:
    private = okamoto_uchiyama_768()
    public = private.public_key
    c = private.encrypt([1, 2**40], device="cuda:0")
    with pytest.raises(InvalidCiphertext, match=r"ciphertext 1 does not decrypt to a number below 2\^40"):
        private.decrypt_in_range(c, 40)
    foreign = public.ciphertexts_from_ints([*private.encrypt([5]).to_ints(), 2, 3])
    messages = []
    for array in (foreign, foreign.to("cuda:0")):
        with pytest.raises(InvalidCiphertext, match="ciphertext 1 decrypts to no plaintext") as caught:
            private.decrypt(array)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    data = private.encrypt(VALUES).to_bytes()
    assert (private.decrypt(public.load_ciphertexts(data, device="cuda")) == VALUES).all()


def test_a_pool_and_packing(shim_device: ShimDevice) -> None:
    private = okamoto_uchiyama_768()
    packing = Packing(2, 40)
    with BlindingPool(private.public_key, capacity=8, device="cuda:0") as pool:
        assert pool.wait(timeout=60)
        packed = private.encrypt(packing.pack(FACTORS), pool=pool)
    assert packed.device == "cuda:0"
    values = private.decrypt(packed + packed, packing=packing, n_items=4)
    assert (values == 2 * FACTORS).all()


def test_exponents_of_messages_are_wiped(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    original = shim_device.from_host
    monkeypatch.setattr(shim_device, "from_host", lambda a: made.append(original(a)) or made[-1])
    private = okamoto_uchiyama_768()
    private.encrypt(np.arange(5), device="cuda:0")
    for width in (1, 2):  # of G and of H
        copies = [a for a in made if a.dtype == np.uint64 and a.shape == (5, width)]
        assert copies
        assert not any(a.get().any() for a in copies)

# SPDX-License-Identifier: Apache-2.0
"""Paillier with ciphertexts on a device equals Paillier on the host, byte for byte, and nothing moves by itself."""

from __future__ import annotations

import functools
import gc
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from crypsis import paillier
from crypsis._homomorphic import devices, limbs, secret
from crypsis._homomorphic.validate import check_ciphertexts
from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable, InvalidCiphertext
from crypsis.paillier import BlindingPool, Packing, concatenate
from cuda_homomorphic import (
    BINS,
    FACTORS,
    VALUES,
    check_equal,
    everything,
    numbers,
    paillier_256,
    paillier_256_foreign,
    same_coins,
    small_tables,
)
from cuda_on_cpu.device import ShimDevice
from homomorphic_keys import paillier_2048

__all__ = ["small_tables"]  # a fixture of every test here

KEYS = {"generated": paillier_256, "foreign": paillier_256_foreign}


@functools.cache
def on_host(name: str) -> dict[str, Any]:
    return everything(KEYS[name](), "cpu")


def check_program(name: str) -> None:
    private = KEYS[name]()
    made = everything(private, "cuda:0")
    check_equal(on_host(name), made, "cuda:0")
    assert numbers(made, private) == numbers(on_host(name), private)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_operation_equals_the_host(shim_device: ShimDevice, name: str) -> None:
    check_program(name)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_operation_equals_the_host_on_a_gpu(gpu_device: Any, name: str) -> None:
    check_program(name)


def check_2048() -> None:
    private, values = paillier_2048(), np.array([1, -2, 2**60])
    made = []
    for device in ("cpu", "cuda"):
        with same_coins():
            c = private.public_key.encrypt(values, device=device)
            made += [c, (c * [3, -4, 5] + c).rerandomize(), c.sum(), np.array([[1, -1, 2]]) @ c]
    for host, there in zip(made[:4], made[4:], strict=True):
        assert (there.to("cpu")._rows == host._rows).all()
        assert (private.decrypt(there) == private.decrypt(host)).all()


@pytest.mark.slow
def test_2048_bits(shim_device: ShimDevice) -> None:
    check_2048()


@pytest.mark.gpu
def test_2048_bits_on_a_gpu(gpu_device: Any) -> None:
    check_2048()


def test_there_and_back(shim_device: ShimDevice) -> None:
    c = paillier_256().encrypt(VALUES)
    there = c.to("cuda")
    assert (c.device, there.device, there.to("cuda:0")) == ("cpu", "cuda:0", there)
    assert type(there) is type(c)
    assert there.to_bytes() == c.to_bytes()
    assert there.to_ints() == c.to_ints()
    assert "cuda:0" in repr(there)
    assert "cuda" not in repr(c)
    assert (there.nbytes, len(there), there[0, 1].shape) == (c.nbytes, 3, ())
    assert [(row.device, row.shape) for row in there] == [("cuda:0", (4,))] * 3
    with pytest.raises(TypeError, match="rerandomize"):
        (there + 1).to_bytes()


def test_no_name_of_a_place(shim_device: ShimDevice) -> None:
    key, c = paillier_256(), paillier_256().encrypt([1])
    with pytest.raises(ValueError, match="device is 'gpu': give 'cpu', 'cuda'"):
        c.to("gpu")
    with pytest.raises(ValueError, match="device is 'gpu'"):
        key.encrypt([1], device="gpu")
    with pytest.raises(TypeError, match="device is int"):
        c.to(0)  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match="cuda:9"):
        c.to("cuda:9")


def test_what_is_in_two_places_does_not_combine(shim_device: ShimDevice) -> None:
    key = paillier_256()
    host = key.encrypt(VALUES)
    there = host.to("cuda:0")
    for call in (
        lambda: host + there,
        lambda: there - host,
        lambda: concatenate([there, host]),
        lambda: np.stack([host, there]),
    ):
        with pytest.raises(ValueError, match=r"cpu.*cuda:0|cuda:0.*cpu") as caught:
            call()
        assert ".to('" in str(caught.value)
    with registered(ShimDevice(name="cuda:1")):
        other = host.to("cuda:1")
        with pytest.raises(ValueError, match=r"on cuda:0 and cuda:1: move one, as \.to\('cuda:0'\) does"):
            there + other
        assert (other.to("cuda:0") - there).device == "cuda:0"
    numbers_there = shim_device.from_host(FACTORS)
    for call in (
        lambda: host + numbers_there,
        lambda: host * numbers_there,
        lambda: host @ numbers_there,
        lambda: host.histogram(shim_device.from_host(BINS), 3),
        lambda: host.histogram(BINS, 3, mask=shim_device.from_host(BINS[:, 0] > 0)),
        lambda: host[shim_device.from_host(BINS[:, 0])],
        lambda: key.encrypt(numbers_there, device="cpu"),
    ):
        with pytest.raises(ValueError, match=r"cuda:0.*(move|encrypt)"):
            call()


def test_numbers_on_the_device_are_taken(shim_device: ShimDevice) -> None:
    key = paillier_256()
    there = key.encrypt(shim_device.from_host(VALUES))
    assert there.device == "cuda:0"
    assert (key.decrypt(there) == VALUES).all()
    factors, bins = shim_device.from_host(FACTORS), shim_device.from_host(BINS)
    assert (key.decrypt(there * factors + factors) == VALUES * FACTORS + FACTORS).all()
    for index in (None, [2, 1]):
        expected = there.histogram(BINS, 3, index=index)
        got = there.histogram(
            bins, 3, index=None if index is None else shim_device.from_host(np.array(index))
        )
        assert (got.to("cpu")._rows == expected.to("cpu")._rows).all()
    assert (key.decrypt(there[shim_device.from_host(VALUES > 0)]) == VALUES[VALUES > 0]).all()
    with pytest.raises(ValueError, match="bins go from -1 to 2"):
        there.histogram(bins, 2)


def test_what_is_loaded_is_checked_where_it_goes(shim_device: ShimDevice) -> None:
    key = paillier_256()
    public = key.public_key
    data = key.encrypt(VALUES).to_bytes()
    loaded = public.load_ciphertexts(data, device="cuda:0")
    assert loaded.device == "cuda:0"
    assert (key.decrypt(loaded) == VALUES).all()
    for bad in (0, public.modulus.n, key._p.p * 6):
        rows = limbs.from_ints([5, bad], public.modulus.limbs)
        messages = []
        for place in (None, shim_device):
            with pytest.raises(InvalidCiphertext, match="ciphertext 1") as caught:
                check_ciphertexts(devices.placed(rows, place), public)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_overflow_and_packing_are_told_as_on_the_host(shim_device: ShimDevice) -> None:
    key = paillier_256()
    top = key.public_key.max_int
    there = key.encrypt(np.array([1, top], dtype=object), device="cuda:0")
    with pytest.raises(OverflowError, match="decrypted value 1 is beyond"):
        key.decrypt(there + there)
    packing = Packing(3, 40)
    packed = key.encrypt(packing.pack(FACTORS), device="cuda:0")
    values = key.decrypt(packed + packed, packing=packing, n_items=4)
    assert (values == 2 * FACTORS).all()


def test_a_pool_is_somewhere(shim_device: ShimDevice) -> None:
    key = paillier_256()
    for source in (key, key.public_key):
        with BlindingPool(source, capacity=12, device="cuda:0") as pool:
            assert pool.wait(timeout=60)
            assert (pool.device, pool.ready) == ("cuda:0", 12)
            block = pool._blocks[0]
            c = key.encrypt(VALUES[0], pool=pool)
            assert c.device == "cuda:0"
            assert not block[8:].get().any()  # wiped when taken
            assert (key.decrypt((c + c).rerandomize(pool=pool)) == 2 * VALUES[0]).all()
            assert len(pool.take(30)) == 30
            assert pool.take(0).shape == (0, key.modulus.limbs)
            with pytest.raises(ValueError, match=r"cpu and the pool's factors on cuda:0.*device='cpu'"):
                c.to("cpu").rerandomize(pool=pool)
            with pytest.raises(ValueError, match="device is 'cpu' and the pool's factors are on cuda:0"):
                key.encrypt([1], pool=pool, device="cpu")
            assert pool.wait(timeout=60)
            left = list(pool._blocks)
        assert not any(rows.get().any() for rows in left)


def test_large_batches_go_in_blocks_that_fit(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = paillier_256()
    monkeypatch.setattr(devices, "MIN_DEVICE_ROWS", 5)
    monkeypatch.setattr(devices, "MAX_DEVICE_ROWS", 7)
    c = key.encrypt(VALUES, device="cuda:0")
    assert (key.decrypt(c) == VALUES).all()
    assert (key.decrypt(c.rerandomize()) == VALUES).all()
    shim_device.limit_bytes = 1 << 16
    sizes: list[int] = []
    devices.in_blocks(
        11, shim_device, 1 << 10, lambda part: sizes.append(part.stop - part.start), what="this"
    )
    assert sizes == [5, 5, 1]


def test_the_last_wipe_of_a_copy_waits_for_all_streams() -> None:
    did: list[str] = []

    class Device:
        current = staticmethod(nullcontext)
        synchronize = staticmethod(lambda: did.append("wait"))
        from_host_secret = staticmethod(lambda row: Copy())

    class Copy:
        fill = staticmethod(lambda value: did.append(f"fill {value}"))

    constant = devices.Constant(secret.random_bits(1, 64)[0])
    constant.on(Device())  # type: ignore[arg-type]
    assert did == ["wait"]  # uploaded, for whichever stream uses it first
    del constant
    assert did == ["wait", "wait", "fill 0", "wait"]


def test_copies_of_secrets_are_zeros_when_they_go(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = secret.random_bits(1, 256)[0]
    constant = devices.Constant(row)
    copy = constant.on(shim_device)
    assert copy is constant.beside(shim_device.from_host(row)) is not row
    assert (copy.get() == row).all()
    assert hex(int(row[0]))[2:] not in repr(constant)
    del constant
    assert not copy.get().any()
    assert row.any()  # the host's is its owner's

    made: list[Any] = []
    original = shim_device.from_host
    monkeypatch.setattr(shim_device, "from_host", lambda a: made.append(original(a)) or made[-1])
    key = paillier_256()
    c = key.encrypt(VALUES[0], device="cuda:0")
    exponents = [a for a in made if a.dtype == np.uint64 and a.shape == (4, 2)]
    assert exponents
    assert not any(a.get().any() for a in exponents)
    made.clear()
    key.decrypt(c)
    powers = [a for a in made if a.dtype == np.uint64 and a.shape == (2,)]
    assert powers
    assert not any(a.get().any() for a in powers)
    made.clear()
    c * np.array([5, 6, 7, 8])
    assert not any(a.get().any() for a in made if a.shape == (4, 1))


def test_what_a_device_keeps_of_a_private_key_is_zeros_when_it_goes(shim_device: ShimDevice) -> None:
    known = paillier_256()
    key = paillier.PrivateKey(known.public_key, known._p.p, known._q.p)
    assert (key.decrypt(key.encrypt(VALUES[0], device="cuda:0")) == VALUES[0]).all()
    kept = [prime.modulus._on_devices[shim_device].constants for prime in (key._p, key._q)]
    kept += [base._tables[shim_device, False].table for base in key._bases[0]]
    kept += [key._p._shift.on(shim_device), key._factors[0].on(shim_device)]
    assert all(array.get().any() for array in kept)
    del key
    gc.collect()
    assert not any(array.get().any() for array in kept)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 63, 64, 65, 130])
def test_carries_on_a_device_equal_the_host(shim_device: ShimDevice, k: int) -> None:
    ones = np.uint64(2**64 - 1)
    rng = np.random.default_rng(k)
    a = rng.choice(np.array([0, 1, 2**63, ones - np.uint64(1), ones], dtype=np.uint64), (40, k))
    b = rng.choice(np.array([0, 1, 2**63, ones - np.uint64(1), ones], dtype=np.uint64), (40, k))
    a[0], b[0] = ones, 0
    b[0, 0] = 1  # one carry through every limb
    there = shim_device.from_host
    for host, device in (
        (limbs.add(a, b), limbs.add(there(a), there(b))),
        (limbs.sub(a, b), limbs.sub(there(a), there(b))),
        (limbs.sub(a[0], b), limbs.sub(there(a[0]), there(b))),
        (limbs.sub(a, b[1]), limbs.sub(there(a), there(b[1]))),
        (limbs.sub(a[0], b[0]), limbs.sub(there(a[0]), there(b[0]))),
    ):
        for x, y in zip(host, device, strict=True):
            assert (x == y.get()).all()
    negative = rng.integers(0, 2, 40).astype(bool)
    b[3] = 0
    host_rows = limbs.negate_where(b, negative, a[0])
    device_rows = limbs.negate_where(there(b), there(negative), there(a[0]))
    assert (host_rows == device_rows.get()).all()
    assert (limbs.resize(there(a), k + 2).get() == limbs.resize(a, k + 2)).all()

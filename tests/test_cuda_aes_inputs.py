# SPDX-License-Identifier: Apache-2.0
"""crypsis.aes with arrays on the shim device: what stays of a key, little memory, and arguments that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis import aes
from crypsis.cuda import Device
from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable, DeviceError, DeviceMemoryError
from cuda_on_cpu.device import ShimDevice
from test_cuda_aes import KEY, MAPS, Function, blocks

# Secrets and memory


class Copies:
    """What is made of keys: round keys on both sides, and copies of a device's key."""

    def __init__(self, device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on_host: list[np.ndarray] = []
        self.on_device: list[Any] = []
        device.secrets = self.on_device
        monkeypatch.setattr(aes, "expand_key", self._kept(aes.expand_key, self.on_host))
        monkeypatch.setattr(device, "to_host_secret", self._kept(device.to_host_secret, self.on_host))
        monkeypatch.setattr(
            device.xp,
            "ascontiguousarray",
            self._kept(device.xp.ascontiguousarray, self.on_device),
            raising=False,
        )

    @staticmethod
    def _kept(function: Function, made: list[Any]) -> Function:
        def call(*args: Any) -> Any:
            made.append(function(*args))
            return made[-1]

        return call

    def check(self, on_host: int, on_device: int) -> None:
        assert (len(self.on_host), len(self.on_device)) == (on_host, on_device)
        assert not any(copy.any() for copy in self.on_host)
        assert not any(copy.get().any() for copy in self.on_device)


def test_nothing_of_a_key_stays(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    x, key = shim_device.from_host(blocks(3)), shim_device.from_host(np.frombuffer(KEY, np.uint8))
    apart = shim_device.from_host(np.repeat(np.frombuffer(KEY, np.uint8), 2))[::2]
    copies = Copies(shim_device, monkeypatch)
    for run in MAPS.values():  # one of them under the public key, of which no secret is made
        run(x)
    copies.check(4, 3)
    aes.ctr_stream(key, 2)
    copies.check(6, 4)
    aes.ctr_stream(apart, 2)
    copies.check(8, 6)
    aes.mmo(x, key=bytes(bytearray(aes.HASH_KEY)))  # the same bytes, from somebody else
    copies.check(9, 7)
    assert (key.get() == apart.get()).all()
    assert key.get().tobytes() == KEY


def test_nothing_of_a_key_stays_where_a_call_fails(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise DeviceError("the launch failed")

    x, key = shim_device.from_host(blocks(3)), shim_device.from_host(np.frombuffer(KEY, np.uint8))
    copies = Copies(shim_device, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(shim_device, "launch", fail)
        with pytest.raises(DeviceError):
            aes.ctr_xor(key, x)
    copies.check(2, 1)
    with monkeypatch.context() as patch:
        patch.setattr(shim_device, "from_host_secret", fail)
        with pytest.raises(DeviceError):
            aes.ctr_xor(key, x)
    copies.check(4, 1)
    with monkeypatch.context() as patch:
        patch.setattr(aes, "expand_key", fail)
        with pytest.raises(DeviceError):
            aes.ctr_xor(key, x)
    copies.check(5, 1)


def test_short_memory() -> None:
    """In place, no memory is needed but for the round keys."""
    x = blocks(100)
    with registered(ShimDevice(memory_bytes=16 * 100 + 200)) as device:
        there = device.from_host(x)
        for run in (*MAPS.values(), aes.ggm_level):
            with pytest.raises(DeviceMemoryError, match="cuda:0 is out of memory"):
                run(there)
        assert (there.get() == x).all()
        assert not device.launches
        for run in MAPS.values():
            x = run(x)
            run(there, out=there)
        assert (there.get() == x).all()


# Bad input: the CPU's exceptions and words


def _refused(wanted: Function, found: Function, *, words: bool = True) -> None:
    with pytest.raises((ValueError, TypeError)) as cpu:
        wanted()
    with pytest.raises(type(cpu.value)) as gpu:
        found()
    if words:
        assert str(gpu.value) == str(cpu.value)


@pytest.mark.parametrize(
    "key", [b"short", b"", bytes(32), "0" * 16, None, np.zeros((1, 16), np.uint8), np.zeros(16, np.uint16)]
)
def test_keys_that_are_refused(shim_device: ShimDevice, key: Any) -> None:
    x = blocks(2)
    there, out = shim_device.from_host(x), shim_device.from_host(x)
    bad = shim_device.from_host(key) if isinstance(key, np.ndarray) else key
    words = isinstance(key, bytes) or getattr(key, "dtype", None) == np.uint8
    for run in (
        lambda x, key, out: aes.permute(x, key=key, out=out),
        lambda x, key, out: aes.tmmo(x, 0, key=key, out=out),
        lambda x, key, out: aes.ctr_stream(key, 2, out=out),
        lambda x, key, out: aes.ctr_xor(key, x, out=out),
        lambda x, key, out: aes.ggm_level(x[:1], keys=(KEY, key), out=out),
    ):
        _refused(lambda run=run: run(x, key, x.copy()), lambda run=run: run(there, bad, out), words=words)
    assert (out.get() == x).all()


def test_numbers_that_are_refused(shim_device: ShimDevice) -> None:
    x = blocks(2)
    there = shim_device.from_host(x)
    for value in (-1, 2**128, 1.0, "0", True):
        _refused(lambda v=value: aes.tmmo(x, v), lambda v=value: aes.tmmo(there, v))
        _refused(
            lambda v=value: aes.ctr_xor(KEY, x, counter=v), lambda v=value: aes.ctr_xor(KEY, there, counter=v)
        )
    for value in (-1, 2**48 + 1, 1.0):
        _refused(lambda v=value: aes.ctr_stream(KEY, v), lambda v=value: aes.ctr_stream(KEY, v, out=there))
    same = shim_device.from_host(np.frombuffer(KEY, np.uint8))
    _refused(lambda: aes.ggm_level(x, keys=(KEY, KEY)), lambda: aes.ggm_level(there, keys=(KEY, same)))
    _refused(
        lambda: aes.ggm_level(x, keys=[KEY, KEY]),  # type: ignore[arg-type]
        lambda: aes.ggm_level(there, keys=[KEY, KEY]),  # type: ignore[arg-type]
    )


def test_blocks_that_are_refused(shim_device: ShimDevice) -> None:
    for shape in ((2, 15), (16,), (2, 2, 16), (2, 17)):
        bad = np.zeros(shape, np.uint8)
        there = shim_device.from_host(bad)
        for name in ("permute", "mmo", "tmmo"):
            _refused(lambda n=name, b=bad: MAPS[n](b), lambda n=name, t=there: MAPS[n](t))
        _refused(lambda b=bad: aes.ggm_level(b), lambda t=there: aes.ggm_level(t))
    with pytest.raises(TypeError, match=r"blocks is an array of int8: give uint8\[n, 16\] on cuda:0"):
        aes.mmo(shim_device.from_host(np.zeros((2, 16), np.int8)))
    apart = shim_device.from_host(blocks(4))[::2]
    for run in MAPS.values():
        with pytest.raises(ValueError, match=r"is not C-contiguous: pass cupy.ascontiguousarray\("):
            run(apart)


def test_out_is_checked(shim_device: ShimDevice) -> None:
    memory = shim_device.from_host(blocks(8))
    before = memory.get()
    for run in MAPS.values():
        with pytest.raises(ValueError, match=r"out overlaps (blocks|data) at another offset"):
            run(memory[:4], out=memory[1:5])
        with pytest.raises(ValueError, match=r"out has shape \(3, 16\): the result has \(2, 16\)"):
            run(memory[:2], out=memory[3:6])
        with pytest.raises(ValueError, match="out is not C-contiguous"):
            run(memory[:2], out=memory[4::2])
        with pytest.raises(TypeError, match="out is an array of int8"):
            run(memory[:2], out=shim_device.xp.zeros((2, 16), np.int8))
    with pytest.raises(ValueError, match="out overlaps parents"):
        aes.ggm_level(memory[:2], out=memory[:4])
    with pytest.raises(ValueError, match="out overlaps key"):
        aes.permute(memory[:1], key=memory[5], out=memory[5:6])
    with pytest.raises(ValueError, match="out overlaps key"):
        aes.ctr_stream(memory[0], 8, out=memory)
    with pytest.raises(ValueError, match=r"out overlaps keys\[1\]"):
        aes.ggm_level(memory[:1], keys=(KEY, memory[7]), out=memory[6:8])
    assert (memory.get() == before).all()


def test_overlaps_are_found_by_address(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's may_share_memory sees none between slices that came from another library."""
    monkeypatch.setattr(shim_device.xp, "may_share_memory", lambda a, b: False, raising=False)
    memory = shim_device.from_host(blocks(8))
    before = memory.get()
    with pytest.raises(ValueError, match="out overlaps blocks at another offset"):
        aes.mmo(memory[:4], out=memory[1:5])
    flat = memory.reshape(-1)
    for key in (flat[49:65], flat[79:95], flat[94:78:-1], flat[34:66:2], flat[49:81:2]):
        with pytest.raises(ValueError, match="out overlaps key"):
            aes.permute(memory[:1], key=key, out=memory[4:5])
    assert (memory.get() == before).all()
    for key in (memory[3], memory[5], flat[95:79:-1], flat[33:64:2]):
        aes.permute(memory[:1], key=key, out=memory[4:5])
    aes.ctr_xor(KEY, flat[:64], out=flat[64:])


def test_where_arrays_and_functions_are(shim_device: ShimDevice) -> None:
    x = blocks(2)
    there = shim_device.from_host(x)
    with pytest.raises(ValueError, match="mmo: blocks is on cuda:0 and out on the host"):
        aes.mmo(there, out=x)
    with pytest.raises(ValueError, match="permute: blocks is on cuda:0 and key on the host"):
        aes.permute(there, key=np.zeros(16, np.uint8))
    with pytest.raises(ValueError, match="backend is 'portable', and the arrays are on cuda:0"):
        aes.mmo(there, backend="portable")
    with pytest.raises(BackendUnavailable, match=r"crypsis\.aes\.expand_key has no CUDA kernel"):
        aes.expand_key(there)
    assert (aes.mmo(there, backend="cuda", threads=2).get() == aes.mmo(x)).all()


@pytest.mark.gpu
def test_gpu_overlaps_of_slices_from_elsewhere(gpu_device: Device) -> None:
    """As another library gives them: each an allocation of its own for CuPy."""
    xp, memory = gpu_device.xp, gpu_device.from_host(blocks(8))

    def given(a: Any) -> Any:
        unowned = xp.cuda.UnownedMemory(a.data.ptr, a.nbytes, memory)
        return xp.ndarray(a.shape, a.dtype, xp.cuda.MemoryPointer(unowned, 0))

    with pytest.raises(ValueError, match="out overlaps blocks at another offset"):
        aes.mmo(given(memory[:4]), out=given(memory[1:5]))
    with pytest.raises(ValueError, match="out overlaps parents"):
        aes.ggm_level(given(memory[3:5]), out=given(memory[4:]))
    assert (gpu_device.to_host(memory) == blocks(8)).all()
    same = given(memory[:4])
    assert aes.mmo(given(memory[:4]), out=same) is same
    assert (gpu_device.to_host(memory)[:4] == aes.mmo(blocks(8)[:4])).all()

# SPDX-License-Identifier: Apache-2.0
"""Calls that follow their data, and the strictness of the shim's arrays that this is tested with."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis import cuda
from crypsis.cuda._dispatch import follow_data
from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable
from cuda_on_cpu import arrays
from cuda_on_cpu.device import ShimDevice


@follow_data("pretended")
def scale(
    a: Any, b: Any = None, *, by: int = 2, out: Any = None, backend: Any = None, threads: Any = None
) -> Any:
    """Doubles."""
    return "host", a, b, by


@follow_data("pretended")
def hostly(a: Any) -> Any:
    return "host"


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """crypsis.cuda.pretended, which has `scale` and not `hostly`."""
    import sys

    module = types.ModuleType("crypsis.cuda.pretended")
    module.scale = lambda device, *args, **kwargs: ("device", device, args, kwargs)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "crypsis.cuda.pretended", module)


@pytest.fixture
def two() -> Iterator[tuple[ShimDevice, ShimDevice]]:
    first, second = ShimDevice(), ShimDevice(name="cuda:1")
    with registered(first), registered(second):
        yield first, second


def test_the_device_is_that_of_the_data(two: tuple[ShimDevice, ShimDevice]) -> None:
    host = np.zeros(3)
    for device in two:
        a, b = device.empty(3, np.uint8), device.empty(2, np.uint8)
        for values in ([a], [a, b], [a, 3, None, "x", b], [[a, b]], [(a, 5)], [np.uint32(3), a]):
            assert cuda.device_of(*values) is device
    for values in ([], [host], [host, 3], [[host]], [None], [pa.array([1])], ["cuda:0"], [[1, 2]]):
        assert cuda.device_of(*values) is None


def test_mixing_says_what_is_where(two: tuple[ShimDevice, ShimDevice]) -> None:
    a, c, host = two[0].empty(3, np.uint8), two[1].empty(3, np.uint8), np.zeros(3)
    for values, words in (
        ([a, host], r"argument 0 is on cuda:0 and argument 1 on the host: move one, as \.to\('cuda:0'\)"),
        ([host, 5, a], "argument 2 is on cuda:0 and argument 0 on the host"),
        ([a, pa.array([1])], "argument 1 on the host"),
        ([a, c], r"argument 0 is on cuda:0 and argument 1 on cuda:1: move one, as \.to\('cuda:0'\) does"),
        ([[a, c]], r"argument 0\[0\] is on cuda:0 and argument 0\[1\] on cuda:1"),
        ([a, [host]], r"argument 1\[0\] on the host"),
    ):
        with pytest.raises(ValueError, match=words):
            cuda.device_of(*values)
    with pytest.raises(ValueError, match="scale: a is on cuda:0 and out on cuda:1"):
        scale(a, out=c)
    with pytest.raises(ValueError, match="scale: b is on cuda:0 and a on the host"):
        scale(host, a)


def test_calls_follow(two: tuple[ShimDevice, ShimDevice]) -> None:
    a, host = two[1].empty(3, np.uint8), np.zeros(3)
    assert scale(a, 5, by=3) == ("device", two[1], (a, 5), {"by": 3})
    assert scale(by=3, a=[a]) == ("device", two[1], (), {"by": 3, "a": [a]})
    assert scale(a, backend="cuda", threads=4) == ("device", two[1], (a,), {})
    assert scale(a, backend=None) == ("device", two[1], (a,), {})
    assert scale(host, by=3, backend="portable") == ("host", host, None, 3)
    with pytest.raises(
        ValueError, match="backend is 'avx2', and the arrays are on cuda:1: give 'cuda' or None"
    ):
        scale(a, backend="avx2")
    with pytest.raises(
        BackendUnavailable, match=r"crypsis.pretended.hostly has no CUDA kernel: copy the arrays"
    ):
        hostly(a)
    assert hostly(host) == "host"


def test_without_devices_the_function_is_called() -> None:
    assert scale(1, by=3) == ("host", 1, None, 3)
    with pytest.raises(ValueError, match="backend is 'cuda', and the arrays of scale are on the host"):
        scale(np.zeros(3), backend="cuda")
    assert scale.__doc__ == "Doubles."
    assert scale.__name__ == "scale"


def test_functions_without_kernels_refuse_device_arrays(shim_device: ShimDevice) -> None:
    from crypsis import ristretto255

    with pytest.raises(TypeError, match=r"elements is ShimArray in a GPU's memory: .*copy it to the host"):
        ristretto255.check(shim_device.empty((2, 32), np.uint8))


# The shim's arrays


def test_host_arrays_are_no_operands(shim_device: ShimDevice) -> None:
    xp, host = shim_device.xp, np.arange(6, dtype=np.uint32).reshape(2, 3)
    a = shim_device.from_host(host)
    for wrong in (
        lambda: np.asarray(a),
        lambda: np.concatenate([a, a]),
        lambda: a + host,
        lambda: host + a,
        lambda: np.add(host, a),
        lambda: a.__iadd__(host),
        lambda: a[host],
        lambda: a[np.array([0])],
        lambda: a.__setitem__(0, host[0]),
        lambda: a.dot(host),
        lambda: xp.concatenate([a, host]),
        lambda: xp.where(a > 1, a, host),
        lambda: xp.ascontiguousarray(host),
        lambda: shim_device.from_host(a),
        lambda: shim_device.to_host(host),
        lambda: shim_device.from_host([1, 2]),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(AttributeError, match="have no tobytes: use what CuPy has"):
        a.tobytes()
    with pytest.raises(AttributeError, match="xp has no load"):
        _ = xp.load
    with pytest.raises(ValueError, match="array of cuda:1 used on cuda:0"):
        a + ShimDevice(name="cuda:1").from_host(host)


def test_what_cupy_does_too(shim_device: ShimDevice) -> None:
    xp, host = shim_device.xp, np.arange(6, dtype=np.uint32).reshape(2, 3)
    a = shim_device.from_host(host)
    host[0, 0] = 99  # a copy
    assert a.get()[0, 0] == 0
    part = a[1:]
    part[0, 2] = 7  # a view
    assert a.get()[1, 2] == 7
    assert (np.uint32(1) + a).get().tolist() == [[1, 2, 3], [4, 5, 8]]
    assert (a[a > 3].get() == [4, 7]).all()
    assert (a[xp.asarray(np.array([1]))].get() == [[3, 4, 7]]).all()
    total = a.sum()
    assert isinstance(total, arrays.ShimArray)  # no scalars
    assert int(total) == 17
    assert a.T.shape == (3, 2)
    assert xp.ascontiguousarray(a) is a
    assert xp.ascontiguousarray(a.T).flags.c_contiguous
    assert xp.asarray(a) is a
    assert [len(row) for row in a] == [3, 3]
    a += 1
    assert isinstance(a, arrays.ShimArray)
    assert a.get().max() == 8
    assert (xp.cumsum(xp.ones(3, np.int64)).get() == [1, 2, 3]).all()
    assert xp.uint64 is np.uint64


def test_what_the_shim_allows_is_in_cupy() -> None:
    cupy = pytest.importorskip("cupy", minversion="14")
    assert not [name for name in arrays.METHODS if not hasattr(cupy.ndarray, name)]
    names = (*arrays.FUNCTIONS, *arrays.CREATORS, *arrays.CONSTANTS)
    assert not [name for name in names if not hasattr(cupy, name)]


# On a GPU


@pytest.mark.gpu
def test_gpu_arrays_go_and_come(gpu_device: cuda.Device) -> None:
    host = np.arange(24, dtype=np.uint64).reshape(4, 6)
    for a in (host, host[::2, 1:4], host[:0], np.zeros((), np.uint32)):
        there = gpu_device.from_host(a)
        assert gpu_device.owns(there)
        assert cuda.device_of(there) is gpu_device
        assert there.flags.c_contiguous
        back = gpu_device.to_host(there)
        assert back.dtype == a.dtype
        assert back.shape == a.shape
        assert (back == a).all()
    with pytest.raises(ValueError, match="argument 1 on the host"):
        cuda.device_of(gpu_device.from_host(host), host)
    assert gpu_device.free_bytes() > 0
    with gpu_device.using(gpu_device.stream):
        assert (gpu_device.to_host(gpu_device.from_host(host)) == host).all()


@pytest.mark.gpu
def test_gpu_memory_limit(gpu_device: cuda.Device) -> None:
    from crypsis.errors import DeviceMemoryError

    gpu_device.limit_bytes = 1 << 28
    try:
        with pytest.raises(DeviceMemoryError, match="536,870,912 bytes asked"):
            gpu_device.empty(1 << 29, np.uint8)
    finally:
        gpu_device.limit_bytes = None


@pytest.mark.gpu
def test_gpu_compiler_error(gpu_device: cuda.Device) -> None:
    start = gpu_device.empty(16, np.uint32)
    block = np.zeros((), [("bytes", "u1", (64,))])[()]
    with pytest.raises(BackendUnavailable, match=r"hashing.cu does not compile .*error.*ALGORITHM is 0"):
        gpu_device.launch(
            "hashing",
            "start_messages",
            grid=1,
            block=1,
            args=[start, block, np.uint32(0), np.uint32(0), np.uint32(1)],
            defines={"ALGORITHM": 7},
        )

# SPDX-License-Identifier: Apache-2.0
"""crypsis.cuda with no GPU: what it says is missing, and what it asks of CuPy, played by `fake_cupy`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import backends, cuda
from crypsis.cuda import _cupy, _registry
from crypsis.cuda._modules import source_text
from crypsis.errors import BackendUnavailable, CorruptData, DeviceError, DeviceMemoryError, NotInvertible
from cuda_on_cpu.device import ShimDevice
from fake_cupy import GPU, CNumpyArray, FakeCupy, installed

Install = Callable[..., None]
JOB = np.dtype([("n", "<u8"), ("n_data", "<u8"), ("rest", "<u4", (4,))])
KEY_BLOCK = np.dtype([("bytes", "u1", (64,))])


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """install(fake, driver): see `fake_cupy.installed`."""
    opened = []

    def begin(fake: FakeCupy | None, driver: tuple[int, int] | None = (13, 0)) -> None:
        context = installed(monkeypatch, fake, driver)
        context.__enter__()
        opened.append(context)

    yield begin
    for context in reversed(opened):
        context.__exit__(None, None, None)


# What is missing


@pytest.mark.parametrize(
    ("fake", "driver", "words"),
    [
        (None, None, r"no NVIDIA driver: libcuda.so.1 is not there; install the driver"),
        (FakeCupy(), None, "no NVIDIA driver"),
        (FakeCupy(), (11, 8), r"the NVIDIA driver is for CUDA 11\.8: update it, 12\.0 is the oldest"),
        (None, (13, 0), r'CuPy is not installed: pip install "crypsis\[cuda13\]"$'),
        (None, (12, 4), r'CuPy is not installed: pip install "crypsis\[cuda12\]"$'),
        (FakeCupy(nvrtc_missing=True), (13, 0), r"CuPy finds no NVRTC.*crypsis\[cuda13\]"),
        (
            FakeCupy(runtime_error="cudaErrorInsufficientDriver: CUDA driver version is insufficient"),
            (12, 4),
            r'the NVIDIA driver is too old for a CuPy of CUDA 13: pip install "crypsis\[cuda12\]", or update it',
        ),
        (
            FakeCupy(runtime_error="cudaErrorUnknown: unknown"),
            (13, 0),
            "no CUDA device can be used: cudaErrorUnknown",
        ),
        (FakeCupy(gpus=[]), (13, 0), "no CUDA device is visible"),
        (
            FakeCupy(gpus=[GPU("Tesla T4", (7, 5))]),
            (13, 0),
            r"cuda:0 \(Tesla T4\) has compute capability 7\.5: the kernels need 8\.0, an A100 or newer",
        ),
    ],
)
def test_the_reason_says_what_to_do(install: Install, fake: Any, driver: Any, words: str) -> None:
    install(fake, driver)
    reason = cuda.why_not()
    assert reason is not None
    with pytest.raises(BackendUnavailable, match=words):
        cuda.get_device("cuda")
    assert "\n" not in reason
    assert not cuda.is_available()
    assert cuda.devices() == []
    rows = [row for row in backends.report() if row.backend == "cuda"]
    assert {row.reason for row in rows} == {reason}
    assert not any(row.supported or row.chosen for row in rows)


def test_hidden_devices_are_named(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    install(FakeCupy(gpus=[]))
    assert cuda.why_not() == "no CUDA device is visible: CUDA_VISIBLE_DEVICES is ''"


def test_a_broken_installation_is_a_reason(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCupy()
    install(fake)
    monkeypatch.setattr(_cupy, "_missing_device", lambda: 1 / 0)
    assert cuda.why_not() == "CUDA does not work here: ZeroDivisionError: division by zero"


def test_this_machine_answers() -> None:
    """Whatever it has: no exception, and an answer that fits the others."""
    assert cuda.is_available() == (cuda.why_not() is None) == bool(cuda.devices())


def test_importing_the_package_imports_no_cupy() -> None:
    code = (
        "import sys, crypsis, crypsis.cuda, crypsis.backends, crypsis.hashing, numpy as np;"
        "crypsis.hashing.sha256(np.zeros((1, 4), np.uint8), threads=1);"
        "assert not {'cupy', 'gmpy2', 'pydantic', 'cryptography'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_devices_are_listed(install: Install) -> None:
    install(FakeCupy(gpus=[GPU(), GPU("Tesla T4", (7, 5)), GPU("NVIDIA B200", (10, 0))]))
    assert [(info.name, info.model) for info in cuda.devices()] == [
        ("cuda:0", "NVIDIA H100 80GB HBM3"),
        ("cuda:2", "NVIDIA B200"),
    ]
    rows = {row.reason for row in backends.report() if row.backend == "cuda"}
    assert rows == {"runs for arrays on cuda:0 (NVIDIA H100 80GB HBM3), cuda:2 (NVIDIA B200)"}
    assert cuda.get_device("cuda") is cuda.get_device("cuda:0")
    assert cuda.get_device("cuda:2").n_multiprocessors == 132
    with pytest.raises(BackendUnavailable, match=r"cuda:1 \(Tesla T4\) has compute capability 7.5"):
        cuda.get_device("cuda:1")
    with pytest.raises(BackendUnavailable, match="cuda:3 is not there: this machine has cuda:0 to cuda:2"):
        cuda.get_device("cuda:3")


@pytest.mark.parametrize("name", ["cpu", "cuda:", "cuda:-1", "cuda:01", "CUDA", "cuda:0 ", "", "gpu"])
def test_names_of_devices(name: str) -> None:
    with pytest.raises(ValueError, match="give 'cuda' for the first one"):
        cuda.get_device(name)
    with pytest.raises(TypeError, match="device is int"):
        cuda.get_device(0)  # type: ignore[arg-type]


def test_backend_rows_are_not_runnable_nor_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = {(row.slug, row.variant) for row in backends.report() if row.backend == "cuda"}
    assert {("hashing", name) for name in ("sha256", "sm3", "blake3")} <= kernels
    assert "cuda" not in backends.runnable("hashing", "sha256")
    monkeypatch.setenv("CRYPSIS_BACKEND", "portable")
    backends.check_forced()


# What CuPy is asked


def launch(device: cuda.Device, **changes: Any) -> None:
    args = [
        device.empty(16, np.uint32),
        np.zeros((), KEY_BLOCK)[()],
        np.uint32(0),
        np.uint32(0),
        np.uint32(1),
    ]
    given: dict[str, Any] = {"grid": 1, "block": 1, "args": args, "defines": {"ALGORITHM": 1}}
    device.launch("hashing", changes.pop("kernel", "start_messages"), **(given | changes))


def test_shared_memory_that_a_kernel_declares_counts_too(install: Install) -> None:
    fake = FakeCupy(gpus=[GPU()], declared_shared_bytes=32 * 1024)
    install(fake)
    device = cuda.get_device("cuda")
    for size in (0, 16 * 1024, 20 * 1024):
        launch(device, shared_bytes=size, defines={"SIZE": size})
    assert [made["asked"] for made in fake.launched] == [0, 0, 20 * 1024]


def test_a_launch(install: Install) -> None:
    fake = FakeCupy(gpus=[GPU(), GPU()])
    install(fake)
    device = cuda.get_device("cuda:1")
    launch(device, grid=(3, 2), block=64, shared_bytes=1024, defines={"ALGORITHM": 1, "ABC": "u32"})
    launch(device, grid=7, block=(8, 4, 2), shared_bytes=64 * 1024)
    launch(device)
    first, second, third = fake.launched
    assert (first["kernel"], first["grid"], first["block"]) == ("start_messages", (3, 2, 1), (64, 1, 1))
    assert (first["shared"], first["asked"], first["device"]) == (1024, 0, 1)
    assert (second["grid"], second["block"], second["shared"]) == ((7, 1, 1), (8, 4, 2), 65536)
    assert second["asked"] == 65536  # more than 48 KiB must be asked for
    assert third["shared"] == 0
    structure = first["args"][1]
    assert isinstance(structure, CNumpyArray)
    assert structure.value.dtype == KEY_BLOCK
    text = source_text(Path("hashing/hashing.cu"))
    assert "#include" not in text
    assert fake.compiled == [
        (text, ("--std=c++17", "-DABC=u32", "-DALGORITHM=1"), 1),
        (text, ("--std=c++17", "-DALGORITHM=1"), 1),
    ]
    assert fake.current == 0


def test_a_null_pointer_is_a_number(install: Install) -> None:
    """CuPy 13 and 14 pass None as the address -1."""
    fake = FakeCupy()
    install(fake)
    device = cuda.get_device("cuda:0")
    rows, start, out = (device.empty(shape, np.uint8) for shape in ((2, 4), 64, (2, 32)))
    job = np.zeros((), JOB)[()]
    args = [out, rows, None, np.uint64(4), start, job]
    device.launch("hashing", "digest_messages", grid=1, block=128, args=args, defines={"ALGORITHM": 0})
    null = fake.launched[0]["args"][2]
    assert (type(null), int(null)) == (np.uint64, 0)


def test_a_kernel_that_does_not_compile(install: Install) -> None:
    log = (
        "kernels/common/errors.cuh(7): warning #123-D: nothing\n"
        'kernels/hashing/sm3.cuh(25): error: identifier "rotate" is undefined\n    x = rotate(1);\n\n'
        'kernels/hashing/sm3.cuh(31): error: identifier "other" is undefined\n2 errors detected\n'
    )
    install(FakeCupy(compile_error=log))
    with pytest.raises(BackendUnavailable) as caught:
        launch(cuda.get_device("cuda:0"))
    assert str(caught.value) == (
        "kernels/hashing/hashing.cu does not compile for cuda:0 (NVIDIA H100 80GB HBM3): "
        'kernels/hashing/sm3.cuh(25): error: identifier "rotate" is undefined'
    )
    assert caught.value.__suppress_context__


def test_a_kernel_that_does_not_compile_on_the_shim(shim_device: ShimDevice) -> None:
    with pytest.raises(BackendUnavailable, match=r"hashing.cu does not compile .*ALGORITHM is 0 \(SHA-256\)"):
        launch(shim_device, defines={"ALGORITHM": 7})


def test_errors_of_the_device(install: Install) -> None:
    fake = FakeCupy(launch_error="CUDA_ERROR_INVALID_VALUE: invalid argument")
    install(fake)
    device = cuda.get_device("cuda:0")
    with pytest.raises(
        DeviceError, match=r"cuda:0: kernel start_messages of hashing/hashing.cu with grid \(1, 1, 1\)"
    ):
        launch(device)
    fake.launch_error = "CUDA_ERROR_OUT_OF_MEMORY: out of memory"  # kernels are loaded at their first launch
    with pytest.raises(
        DeviceMemoryError, match=r"cuda:0 is out of memory beside its arrays.*smaller batches"
    ):
        launch(device)
    assert fake.freed == 1
    fake.runtime_error = "cudaErrorIllegalAddress: an illegal memory access"
    with pytest.raises(DeviceError, match=r"cuda:0 \(NVIDIA H100 80GB HBM3\): cudaErrorIllegalAddress"):
        device.synchronize()


@pytest.mark.parametrize("kind", ["cupy", "shim"])
def test_launches_are_checked(install: Install, kind: str) -> None:
    """The same mistakes are refused by both devices, before anything runs."""
    if kind == "cupy":
        install(FakeCupy(gpus=[GPU(), GPU()]))
        device, other = cuda.get_device("cuda:0"), cuda.get_device("cuda:1")
    else:
        device, other = ShimDevice(), ShimDevice(name="cuda:1")
    word, block = np.uint32(0), np.zeros((), KEY_BLOCK)[()]
    array, apart = device.empty(16, np.uint32), device.empty((16, 2), np.uint32)[:, 0]
    for changes, words in (
        ({"grid": 0}, "grid is 0: extents go from 1"),
        ({"grid": (1, 1, 1, 1)}, "give one to three extents"),
        ({"grid": (1, 70000)}, "extents go from 1"),
        ({"block": (64, 32)}, "more than 1024 threads"),
        ({"shared_bytes": -1}, "shared_bytes is -1"),
        ({"shared_bytes": 1 << 20}, "shared_bytes is 1048576"),
        ({"defines": {"A B": 1}}, "a macro has a C name"),
        ({"defines": {"A": "1 -I/"}}, "a macro has a C name"),
        ({"kernel": "missing"}, "no kernel missing"),
        ({"args": [array]}, "kernel start_messages takes 5 arguments, not 1"),
        ({"args": [array, block, 3.0, word, word]}, "argument 2.*: float"),
        (
            {"args": [array, block, np.uint64(3), word, word]},
            "argument 2.*: uint64 has 8 bytes, the parameter 4",
        ),
        ({"args": [array, block, 3, word, word]}, "argument 2.*: int64 has 8 bytes, the parameter 4"),
        (
            {"args": [array, block, array, word, word]},
            "argument 2.*: an array for a parameter that is a value",
        ),
        ({"args": [apart, block, word, word, word]}, "argument 0.*: the array is not C-contiguous"),
        ({"args": [word, block, word, word, word]}, "argument 0.*: uint32 for a pointer"),
        (
            {"args": [np.zeros(16, np.uint32), block, word, word, word]},
            "argument 0.*: (ndarray|an array on the host)",
        ),
        ({"args": [other.empty(16, np.uint32), block, word, word, word]}, "argument 0"),
    ):
        with pytest.raises(ValueError, match=words):
            launch(device, **changes)
    with pytest.raises(FileNotFoundError, match=r"no kernel source nothing/nothing\.cu"):
        device.launch("nothing", "k", grid=1, block=1, args=[])


def test_parameters_are_read_from_the_source() -> None:
    from crypsis.cuda._signature import kernels_of

    text = """
    // extern "C" __global__ void no(u32* a)
    extern "C" __global__ void __launch_bounds__(128, 2)
        one(u32* __restrict__ out, const u64 *in, u64 n, unsigned long long m, /* x, y */ Job job, int i, u8 b);
    extern "C" __global__ __launch_bounds__((THREADS) * 2) void two() {}
    __global__ void three(u32 n) {}
    """
    found = kernels_of(text)
    assert list(found) == ["one", "two"]
    assert [(p.name, p.n_bytes) for p in found["one"]] == [
        ("out", None),
        ("in", None),
        ("n", 8),
        ("m", 8),
        ("job", 0),
        ("i", 4),
        ("b", 1),
    ]
    assert found["two"] == ()


# Memory and streams


@pytest.mark.parametrize("kind", ["cupy", "shim"])
def test_memory_that_runs_out(install: Install, kind: str) -> None:
    if kind == "cupy":
        install(FakeCupy())
        device: cuda.Device = cuda.get_device("cuda:0")
    else:
        device = ShimDevice(memory_bytes=1 << 20)
    held = [device.from_host(np.zeros(1000, np.uint8))]
    assert device.free_bytes() == (1 << 20) - 1000
    with pytest.raises(DeviceMemoryError) as caught:
        device.empty((1 << 20, 4), np.uint64)
    assert str(caught.value) == (
        "cuda:0 is out of memory: 33,554,432 bytes asked, 1,047,576 free; "
        "use smaller batches, or free arrays on the device"
    )
    assert isinstance(caught.value, MemoryError)
    assert device.limit_bytes is None
    device.limit_bytes = 5000
    assert device.limit_bytes == 5000
    assert device.free_bytes() == 4000
    held.append(device.empty(4000, np.uint8))
    with pytest.raises(DeviceMemoryError, match="1 bytes asked, 0 free"):
        device.from_host(np.zeros(1, np.uint8))
    device.limit_bytes = None
    assert device.free_bytes() > 5000
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="give a positive int, or None"):
            device.limit_bytes = wrong  # type: ignore[assignment]


def test_memory_of_the_shim_comes_back() -> None:
    device = ShimDevice(memory_bytes=10_000)
    a = device.empty((100, 10), np.uint64)
    view = a[10:20]
    assert device.free_bytes() == 2000
    with pytest.raises(DeviceMemoryError):
        a + a
    del a
    assert device.free_bytes() == 2000  # the view holds it
    del view
    assert device.free_bytes() == 10_000


def test_out_of_memory_in_cupy_itself(install: Install) -> None:
    """A function of CuPy that allocates, inside `current`."""
    fake = FakeCupy()
    install(fake)
    device = cuda.get_device("cuda:0")
    with (
        pytest.raises(DeviceMemoryError, match="cuda:0 is out of memory: Out of memory allocating"),
        device.current(),
    ):
        fake.empty(1 << 30, np.uint8)


def test_secrets_pass_through_memory_that_is_wiped(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's own pool of page-locked memory keeps what passed through it."""
    import fake_cupy

    install(FakeCupy())
    fake_cupy.passed.clear()
    monkeypatch.setattr(_cupy, "STAGING_BYTES", 100)
    device: Any = cuda.get_device("cuda:0")
    secret = np.arange(1, 41, dtype=np.uint64).reshape(10, 4)
    there = device.from_host_secret(secret)
    assert (there.memory == secret).all()
    assert (device.to_host_secret(there) == secret).all()
    assert b"".join(fake_cupy.passed) == 2 * secret.tobytes()
    assert [len(part) for part in fake_cupy.passed] == 2 * [100, 100, 100, 20]
    staging = device._staging
    assert len(staging) == 100
    assert not any(staging)
    assert device.from_host_secret(secret[:0]).shape == (0, 4)
    monkeypatch.setattr(fake_cupy.MemoryPointer, "copy_from_host_async", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        device.from_host_secret(secret)
    assert device._staging is staging
    assert not any(staging)
    for wrong in (secret[:, ::2], [1]):
        with pytest.raises(TypeError, match="takes a C-contiguous NumPy array"):
            device.from_host_secret(wrong)
    with pytest.raises(TypeError, match="takes a C-contiguous array of cuda:0"):
        device.to_host_secret(there[:, ::2])


def test_page_locked_arrays_are_read_before_the_copy_returns(install: Install) -> None:
    fake = FakeCupy()
    install(fake)
    device = cuda.get_device("cuda:0")
    device.from_host(np.zeros(4))
    assert fake.waited == 0  # CuPy has read it
    fake.pinned = True
    device.from_host(np.zeros(4))
    assert fake.waited == 1


@pytest.mark.parametrize("dtype", ["u8", ">u8", "?"])
def test_large_arrays_do_not_pass_through_memory_that_cupy_keeps(install: Install, dtype: str) -> None:
    """A block of page-locked memory for every size that there ever was."""
    fake = FakeCupy(gpus=[GPU(memory_bytes=1 << 30)])
    install(fake)
    device: Any = cuda.get_device("cuda:0")
    large = np.arange(4 * _cupy.POOLED_BYTES).astype(dtype)[::2]
    fake.array = lambda host: pytest.fail("by way of CuPy's memory")  # type: ignore[method-assign]
    there = device.from_host(large)
    assert (there.memory == large).all()
    assert there.dtype.isnative
    assert fake.waited == 1
    with pytest.raises(DeviceMemoryError, match="bytes asked, "):
        device.from_host(np.zeros(1 << 28))


def test_streams(install: Install) -> None:
    fake = FakeCupy(gpus=[GPU(), GPU()])
    install(fake)
    device = cuda.get_device("cuda:1")
    stream = device.stream
    assert stream.device == 1
    with device.using(stream):
        assert (fake.current, stream.entered) == (1, 1)
    assert (fake.current, stream.entered) == (0, 0)
    shim = ShimDevice()
    with shim.using(shim.stream):
        shim.synchronize()
    with pytest.raises(TypeError, match="takes a stream of cuda:0"), shim.using(stream):
        pass


# The error word


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1, ValueError), (2, NotInvertible), (5, CorruptData)],
)
def test_the_error_word(shim_device: ShimDevice, code: int, kind: type[Exception]) -> None:
    from crypsis.cuda._errors import exception

    def what(code: cuda.ErrorCode, row: int) -> Exception:
        return exception(code, f"row {row} is bad")

    word = shim_device.error_word()
    shim_device.check(word, what)
    word[0] = 77 << 8 | code
    with pytest.raises(kind, match="row 77 is bad"):
        shim_device.check(word, what)


def test_the_codes_are_those_of_the_kernels() -> None:
    import re

    text = source_text(Path("common/errors.cuh"))
    told = {name: int(code) for name, code in re.findall(r"kError([A-Z]\w+) = (\d+)", text)}
    ours = {"".join(part.title() for part in code.name.split("_")): int(code) for code in cuda.ErrorCode}
    assert told == ours
    assert "kNoError = ~0ull" in text


def test_devices_of_tests_come_and_go() -> None:
    a, b = ShimDevice(), ShimDevice()
    with _registry.registered(a):
        assert cuda.is_available()
        assert cuda.get_device("cuda") is a
        with _registry.registered(b):
            assert cuda.get_device("cuda:0") is b
        assert cuda.get_device("cuda:0") is a
    assert not _registry.registrations

# SPDX-License-Identifier: Apache-2.0
"""The shim that runs CUDA on the CPU: its primitives against NumPy, and the bugs that it must catch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from crypsis.cuda._source import inline_includes, inline_text
from cuda_on_cpu.launcher import CompileError, LaunchError, ShimLauncher, run_sanitized

KERNELS = Path(__file__).parent / "cuda_on_cpu" / "shim_kernels.cu"
ORDERS = ["forward", "reversed"]
POISON = 0xA5A5A5A5


def line_of(text: str) -> int:
    return next(i for i, line in enumerate(KERNELS.read_text().splitlines(), start=1) if text in line)


@pytest.fixture(params=ORDERS)
def shim(request: pytest.FixtureRequest) -> ShimLauncher:
    return ShimLauncher(order=request.param)


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 32])
def test_shuffles(shim: ShimLauncher, width: int) -> None:
    random = np.random.default_rng(width)
    values = random.integers(0, 2**32, 128).astype(np.uint32)
    by = random.integers(0, 64, 128).astype(np.uint32)  # beyond the width: modulo
    t = np.arange(128)
    base, place = t - t % width, t % width
    for delta in range(width):
        out = np.zeros((4, 128), np.uint32)
        shim.launch(KERNELS, "shuffles", 2, 64, 0, [out, values, by, np.uint32(delta)], {"WIDTH": width})
        assert np.array_equal(out[0], values[base + by % width])
        assert np.array_equal(out[1], values[np.where(place >= delta, t - delta, t)])
        assert np.array_equal(out[2], values[np.where(place + delta < width, t + delta, t)])
        assert np.array_equal(out[3], values[base + (place ^ delta)])


def test_shuffles_of_eight_bytes(shim: ShimLauncher) -> None:
    values = np.arange(32, dtype=np.uint64) * np.uint64(0x123456789ABC)
    out, real = np.zeros(32, np.uint64), np.zeros(32)
    shim.launch(KERNELS, "wide_shuffles", 1, 32, 0, [out, values, real])
    assert np.array_equal(out, np.append(values[1:], values[31]))
    assert np.array_equal(real, 0.5 * (np.arange(32) ^ 16))


def test_votes(shim: ShimLauncher) -> None:
    values = np.random.default_rng(0).integers(1, 1000, 96).astype(np.uint32)
    values[5], values[40] = 0, 1000
    out = np.zeros((3, 96), np.uint32)
    shim.launch(KERNELS, "votes", 1, 96, 0, [out, values])
    warps = values.reshape(3, 32)
    ballots = ((warps & 1).astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(axis=1)
    assert np.array_equal(out[0], ballots.astype(np.uint32).repeat(32))
    assert np.array_equal(out[1], (warps == 0).any(axis=1).repeat(32))
    assert np.array_equal(out[2], (warps < 1000).all(axis=1).repeat(32))


def test_votes_of_a_warp_that_is_not_full(shim: ShimLauncher) -> None:
    out = np.zeros((3, 40), np.uint32)
    shim.launch(KERNELS, "votes", 1, 40, 0, [out, np.ones(40, np.uint32)])
    assert out[0].tolist() == [0xFFFFFFFF] * 32 + [0xFF] * 8
    assert out[2].tolist() == [1] * 40


def test_indices(shim: ShimLauncher) -> None:
    out = np.zeros((24, 70), np.uint32)
    shim.launch(KERNELS, "indices", (2, 3, 4), (7, 5, 2), 0, [out])
    assert np.array_equal(out, (np.arange(24)[:, None] << 16) | np.arange(70))


def test_atomics(shim: ShimLauncher) -> None:
    narrow, wide = np.array([0, -1, 0, -1, 0, 0, 0], np.int32).view(np.uint32), np.zeros(4, np.uint64)
    seen = np.zeros(128, np.uint32)
    shim.launch(KERNELS, "atomics", 2, 64, 0, [narrow, wide, seen])
    t = np.arange(128)
    assert np.array_equal(np.sort(seen), t)
    assert narrow.tolist() == [128, 0, (t ^ 21).max(), 0, 2**31 - 1, np.bitwise_xor.reduce(t), 77]
    assert wide.tolist() == [128 << 40, 127 << 33, t.sum(), 5]


def test_intrinsics(shim: ShimLauncher) -> None:
    pairs = np.array([[0, 0], [1, 2**31], [2**32 - 1, 7], [0x80FF1234, 0xDEADBEEF]], np.uint32)
    out = np.zeros((4, 10), np.uint32)
    shim.launch(KERNELS, "intrinsics", 1, 32, 0, [out, pairs, np.uint32(4)])
    for row, (a, b), table in zip(out.tolist(), pairs.tolist(), [3, 1, 4, 1], strict=True):
        both = (b << 32) | a
        four = both.to_bytes(8, "little")
        assert row == [
            a.bit_count() + 100 * both.bit_count(),
            32 - a.bit_length() + 100 * (64 - both.bit_length()),
            (a & -a).bit_length(),
            int(f"{a:032b}"[::-1], 2),
            int.from_bytes(bytes([four[3], four[4], four[1], four[6]]), "little"),
            a * b >> 32,
            (both * both >> 64) & 0xFFFFFFFF,
            (both << 7 >> 32) & 0xFFFFFFFF,
            (both >> 7) & 0xFFFFFFFF,
            min(a, b) ^ max(a, b) ^ table,
        ]


def test_parameters_by_value(shim: ShimLauncher) -> None:
    layout = np.dtype([("scale", "<u8"), ("offset", "<u4", 3)], align=True)
    parameters = np.array((2**33, (1, 2, 3)), layout)[()]
    out = np.zeros(3, np.uint64)
    shim.launch(KERNELS, "by_value", 1, 3, 0, [out, parameters, np.uint8(200), 10**12, None])
    assert out.tolist() == [2**33 * i + 200 + 10**12 for i in (1, 2, 3)]


def test_shared_memory_is_poisoned_at_each_block(shim: ShimLauncher) -> None:
    out = np.zeros((3, 96), np.uint32)
    shim.launch(KERNELS, "uninitialised", 3, 32, 128, [out])
    assert (out == POISON).all()


def block_sums(order: str, defines: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(1).integers(0, 2**20, (3, 256)).astype(np.uint32)
    out = np.zeros(3, np.uint32)
    ShimLauncher(order=order).launch(KERNELS, "block_sum", 3, 256, 1024, [out, values], defines)  # type: ignore[arg-type]
    return out, values.sum(axis=1, dtype=np.uint32)


def test_a_missing_barrier_is_caught_by_the_order() -> None:
    for order in ORDERS:
        got, expected = block_sums(order, {})
        assert np.array_equal(got, expected)
    forward, expected = block_sums("forward", {"MISSING_BARRIER": 1})
    backward, _ = block_sums("reversed", {"MISSING_BARRIER": 1})
    assert not np.array_equal(forward, backward)
    assert not np.array_equal(forward, expected) or not np.array_equal(backward, expected)


def group_sums(shim: ShimLauncher, width: int) -> list[int]:
    out = np.zeros(32, np.uint32)
    shim.launch(KERNELS, "group_sum", 1, 32, 0, [out, np.arange(32, dtype=np.uint32)], {"WIDTH": width})
    return out.tolist()


def test_a_wrong_shuffle_width_is_caught(shim: ShimLauncher) -> None:
    assert group_sums(shim, 16) == [120] * 16 + [376] * 16
    with pytest.raises(LaunchError, match="__shfl_xor_sync: width 12 is not a power of two from 1 to 32"):
        group_sums(shim, 12)
    with pytest.raises(LaunchError, match="lane mask 8 leaves the group of 8 lanes"):
        group_sums(shim, 8)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            1,
            r"__shfl_sync is not reached by all: thread \(\d+, 0, 0\) has exited|reads lane 0, which has exited",
        ),
        (
            2,
            r"__shfl_sync is not reached by all: thread \(\d+, 0, 0\) waits at __shfl_sync of shim_kernels.cu:",
        ),
        (3, r"__ballot_sync is not reached by all: thread \(\d+, 0, 0\) waits at __syncthreads of shim_k"),
        (4, r"__syncthreads is not reached by all: thread \(40, 0, 0\) has exited"),
        (5, r"__shfl_sync reads lane 7, which has exited"),
        (6, r"__shfl_sync: mask 0x0000ffff, and only 0xffffffff is allowed here"),
        (7, r"__shfl_sync: width (8|16) here and (8|16) in lane \d+"),
        (8, r"__syncthreads is not reached by all: thread \(\d+, 0, 0\) waits at __syncthreads of shim_k"),
        (9, r"thread \(33, 0, 0\): __trap\(\)"),
    ],
)
def test_divergence_ends_the_launch(shim: ShimLauncher, case: int, message: str) -> None:
    out = np.zeros(64, np.uint32)
    with pytest.raises(LaunchError, match=message) as caught:
        shim.launch(KERNELS, "diverge", 1, 64, 0, [out], {"DIVERGE": case})
    found = re.match(
        r"shim_kernels\.cu:(\d+): kernel diverge, block \(0, 0, 0\), thread \(", str(caught.value)
    )
    assert found is not None
    assert line_of("void diverge(u32") < int(found[1]) < line_of("void switches(u32")
    group_sums(shim, 16)  # the launcher goes on after an error


CLEAN = """
import sys
import test_cuda_shim as t
from cuda_on_cpu.launcher import ShimLauncher
shim = ShimLauncher(sanitize=True, order=sys.argv[1])
t.test_shared_memory_is_poisoned_at_each_block(shim)
t.test_atomics(shim)
t.test_parameters_by_value(shim)
t.test_divergence_ends_the_launch(shim, 4, "has exited")
print("clean")
"""

# A finding ends the process: one child for each, of a parent that has imported everything.
OUT_OF_BOUNDS = """
import os
import sys
import numpy as np
import test_cuda_shim as t
from cuda_on_cpu.launcher import ShimLauncher
shim = ShimLauncher(sanitize=True)
for where in (0, 1, 2, 3, 4):
    child = os.fork()
    if child == 0:
        out = np.zeros(32, np.uint32)
        shim.launch(t.KERNELS, "out_of_bounds", 1, 32, 128, [out, np.uint32(where), np.uint32(1)])
        os._exit(0)
    sys.stderr.flush()
    print(where, os.waitpid(child, 0)[1] != 0, file=sys.stderr, flush=True)
"""


def test_an_out_of_bounds_store_is_caught_with_its_line() -> None:
    done = run_sanitized(OUT_OF_BOUNDS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("0 False\n")
    reports = re.split(r"^\d True\n", done.stderr.removeprefix("0 False\n"), flags=re.MULTILINE)
    assert len(reports) == 5
    for where, report in enumerate(reports[:4], start=1):
        assert "ERROR: AddressSanitizer" in report or "runtime error" in report
        assert f"shim_kernels.cu:{line_of(f'where == {where})')}" in report


@pytest.mark.parametrize("order", ORDERS)
def test_sanitizers_find_nothing_in_right_kernels(order: str) -> None:
    done = run_sanitized(CLEAN, order)
    assert (done.returncode, done.stdout, done.stderr) == (0, "clean\n", "")


def test_bad_launches_are_refused() -> None:
    shim = ShimLauncher()
    out, values = np.zeros(32, np.uint32), np.zeros(32, np.uint32)

    def launch(
        *args: object, kernel: str = "votes", grid: object = 1, block: object = 32, shared: int = 0
    ) -> None:
        shim.launch(KERNELS, kernel, grid, block, shared, args)  # type: ignore[arg-type]

    frozen = np.zeros(96, np.uint32)
    frozen.flags.writeable = False
    for message, call in {
        "no kernel nothing": lambda: launch(out, kernel="nothing"),
        "takes 2 arguments, not 1": lambda: launch(out),
        "argument 1: uint32 for a pointer": lambda: launch(out, np.uint32(1)),
        "argument 0: the array is not C-contiguous": lambda: launch(out[::2], values),
        "argument 0: a read-only array": lambda: launch(frozen, values),
        "argument 1: an array for a parameter that is a value": lambda: launch(out, out, kernel="switches"),
        "argument 1: uint64 has 8 bytes, the parameter 4": lambda: launch(
            out, np.uint64(1), kernel="switches"
        ),
        "argument 1: float: pass a NumPy scalar": lambda: launch(out, 1.5, kernel="switches"),
        "more than 1024 threads": lambda: launch(out, values, block=(64, 32)),
        "grid .* extents from 1": lambda: launch(out, values, grid=(1, 0)),
        "one to three extents": lambda: launch(out, values, block=(1, 1, 1, 1)),
        "shared_bytes -1 is negative": lambda: launch(out, values, shared=-1),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(LaunchError, match=r"128 \+ 232448 bytes of shared memory|\+ 232448 bytes of shared"):
        launch(np.zeros(96, np.uint32), kernel="uninitialised", shared=227 * 1024)
    with pytest.raises(ValueError, match="order 'sideways'"):
        ShimLauncher(order="sideways")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="run_sanitized"):
        ShimLauncher(sanitize=True)


def test_launch_bounds_hold() -> None:
    shim, out = ShimLauncher(), np.zeros(1, np.uint32)
    for kernel, most in (("bounded_after", 32), ("bounded_before", 16)):
        shim.launch(KERNELS, kernel, 1, most, 0, [out])
        assert out[0] == most
        with pytest.raises(ValueError, match=rf"kernel {kernel} is bound to {most} threads"):
            shim.launch(KERNELS, kernel, 1, (most, 2), 0, [out])


def test_a_compile_error_names_the_file_and_line() -> None:
    with pytest.raises(CompileError, match=r"source\.cu:3:\d+: error: .*undeclared.* was not declared"):
        ShimLauncher().launch(
            '#include "common/types.cuh"\nextern "C" __global__ void k(u32* out) {\n  out[0] = undeclared;\n}',
            "k",
            1,
            1,
            0,
            [np.zeros(1, np.uint32)],
        )


def test_includes_are_inlined_once(tmp_path: Path) -> None:
    root = tmp_path / "kernels"
    (root / "common").mkdir(parents=True)
    (root / "common" / "a.cuh").write_text("#pragma once\nint a;\n")
    (root / "common" / "b.cuh").write_text('#pragma once\n#include "common/a.cuh"\nint b;\n')
    (root / "main.cu").write_text('#include "common/b.cuh"\n#include "common/a.cuh"\nint c;\n')
    text = inline_includes(Path("main.cu"), root=root)
    assert [line for line in text.splitlines() if line.startswith("int")] == ["int a;", "int b;", "int c;"]
    assert text.splitlines()[-2:] == ['#line 3 "kernels/main.cu"', "int c;"]
    assert '#line 3 "kernels/common/b.cuh"\nint b;' in text
    assert str(tmp_path) not in text
    with pytest.raises(FileNotFoundError, match=r"x\.cu:1: includes common/none\.cuh: not in kernels/"):
        inline_text('#include "common/none.cuh"', name="x.cu", root=root)
    with pytest.raises(ValueError, match="outside kernels/"):
        inline_text('#include "../secret"', name="x.cu", root=root)
    with pytest.raises(ValueError, match="kernels include only files of kernels/"):
        inline_text("#include <stdint.h>", name="x.cu", root=root)
    with pytest.raises(FileNotFoundError, match="no kernel source missing"):
        inline_includes(Path("missing.cu"), root=root)

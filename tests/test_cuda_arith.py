# SPDX-License-Identifier: Apache-2.0
"""kernels/common: portable bodies on the shim against Python integers; on a device, PTX against portable."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from cuda_on_cpu.launcher import ShimLauncher, run_sanitized
from cuda_on_cpu.ptx import Kernel, compile_ptx

KERNELS = Path(__file__).parent / "cuda_on_cpu" / "arith_kernels.cu"
M32, M64 = 2**32 - 1, 2**64 - 1
# Limbs that make, carry and stop carries.
EDGES = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFF, 0x10000, 0xFFFF0000, M32 - 1, M32]
LIMBS = [2, 4, 8, 32]

Run = Callable[..., None]


def shim(limbs: int = 8, order: str = "forward") -> Run:
    """run(kernel, n, *arguments) on the CPU; arrays are NumPy's."""
    launcher = ShimLauncher(order=order)  # type: ignore[arg-type]

    def run(kernel: str, n: int, *args: object) -> None:
        launcher.launch(KERNELS, kernel, -(-n // 64), 64, 0, args, {"LIMBS": limbs})

    return run


def edge_rows(n: int, limbs: int, seed: int) -> np.ndarray:
    """n rows of limbs where runs of 0 and 2^32-1 are common: carries go far, or end in the middle."""
    random = np.random.default_rng(seed)
    rows = random.choice(np.array(EDGES, np.uint32), size=(n, limbs))
    full = random.random((n, limbs)) < 0.5
    rows[full] = np.where(random.random((n, 1)) < 0.5, M32, 0).astype(np.uint32).repeat(limbs, axis=1)[full]
    rows[:4] = np.array([[0], [1], [M32], [0x80000000]], np.uint32)
    return rows


def integers(rows: np.ndarray) -> list[int]:
    return [int.from_bytes(np.ascontiguousarray(row).tobytes(), "little") for row in rows]


def single_steps(run: Run, cases: np.ndarray) -> np.ndarray:
    out = np.zeros((len(cases), 18), np.uint32)
    run("single_steps", len(cases), out, cases, np.uint32(len(cases)))
    return out


def expected_steps(a: int, b: int, c: int, bit: int) -> list[int]:
    wide = a * b
    mad = (wide + (c << 32) + a) & M64
    add, sub, chain = a + b + bit, a - b - bit, wide + 2 * c
    both, shift = (b << 32) | a, c & 31
    left = (both << shift) >> 32 & M32
    right = both >> shift & M32
    twice = (a << 32) | a
    return [
        *(wide & M32, wide >> 32),
        *(mad & M32, mad >> 32),
        wide >> 32,
        *(add & M32, add >> 32),
        *(sub & M32, int(sub < 0)),
        *(chain & M32, chain >> 32),
        *(left, right),
        *((twice << shift) >> 32 & M32, twice >> shift & M32),
        a if bit else b,
        *(mad & M32, mad >> 32),
    ]


def test_single_steps_on_every_edge() -> None:
    cases = np.array(list(product(EDGES, EDGES, [*EDGES, 5, 31, 32], [0, 1])), np.uint32)
    got = single_steps(shim(), cases)
    expected = np.array([expected_steps(*map(int, case)) for case in cases], np.uint32)
    assert np.array_equal(got, expected)


def row_operands(limbs: int, n: int = 256) -> tuple[np.ndarray, ...]:
    bit = np.random.default_rng(limbs).integers(0, 2, n).astype(np.uint32)
    return edge_rows(n, limbs, 1), edge_rows(n, limbs, 2)[::-1].copy(), bit


def rows(run: Run, a: np.ndarray, b: np.ndarray, bit: np.ndarray) -> np.ndarray:
    out = np.zeros((len(a), 4, a.shape[1] + 1), np.uint32)
    run("rows", len(a), out, a, b, bit, np.uint32(len(a)))
    return out


@pytest.mark.parametrize("limbs", LIMBS)
def test_rows(limbs: int) -> None:
    a, b, bit = row_operands(limbs)
    got = rows(shim(limbs), a, b, bit)
    top = 1 << (32 * limbs)
    for x, y, c, result in zip(integers(a), integers(b), bit.tolist(), got, strict=True):
        borrow = x - y - c < 0
        assert integers(result) == [
            x + y + c,
            (x - y - c) % top + borrow * top,
            x + (y & M32),
            x if c else y,
        ]


def product_operands(limbs: int, n: int = 256) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(limbs)
    bit = random.integers(0, 2, n).astype(np.uint32)
    a = edge_rows(n, 1, 5)[:, 0].copy()
    return edge_rows(n, limbs + 2, 3), edge_rows(n, limbs + 2, 4), a, bit


def products(run: Run, acc: np.ndarray, b: np.ndarray, a: np.ndarray, bit: np.ndarray) -> np.ndarray:
    out = np.zeros((len(a), 4, acc.shape[1] - 1), np.uint32)
    run("products", len(a), out, acc, b, a, bit, np.uint32(len(a)))
    return out


@pytest.mark.parametrize("limbs", LIMBS)
def test_products(limbs: int) -> None:
    acc, b, a, bit = product_operands(limbs)
    got = products(shim(limbs), acc, b, a, bit)
    even = b[:, :limbs].copy()
    even[:, 1::2] = 0
    low = integers(acc[:, :limbs])
    for x, y, z, shifted, c, result in zip(
        a.tolist(), integers(even), low, integers(acc[:, 2:]), bit.tolist(), got, strict=True
    ):
        assert integers(result) == [x * y, z + x * y, z + x * y + c, shifted + x * y]


@pytest.mark.parametrize("order", ["forward", "reversed"])
def test_the_error_word_keeps_the_first_row(order: str) -> None:
    values = np.arange(1000, dtype=np.uint32)[::-1].copy()
    error = np.full(1, M64, np.uint64)
    shim(order=order)("check_rows", 1000, values, error, np.uint32(1000), np.uint32(1000))
    assert error[0] == M64
    shim(order=order)("check_rows", 1000, values[5:].copy(), error, np.uint32(100), np.uint32(995))
    assert error[0] == (0 << 8) | 1


def test_sanitizers_find_nothing() -> None:
    done = run_sanitized(
        "import test_cuda_arith as t\n"
        "from cuda_on_cpu.launcher import ShimLauncher\n"
        "s = ShimLauncher(sanitize=True, order='reversed')\n"
        "def run(kernel, n, *args): s.launch(t.KERNELS, kernel, -(-n // 64), 64, 0, args, {'LIMBS': 8})\n"
        "t.rows(run, *t.row_operands(8, 100)), t.products(run, *t.product_operands(8, 100))\n"
        "t.single_steps(run, t.edge_rows(70, 4, 9) & 1)\n"
        "print('clean')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "clean\n", "")


@cache
def ptx_of(limbs: int) -> str:
    return compile_ptx(KERNELS, {"LIMBS": limbs})


def interpreted(limbs: int, *options: str) -> Run:
    """run(kernel, n, *arguments) on the PTX that nvcc makes, an instruction at a time."""
    ptx = ptx_of(limbs)
    for old, new in zip(options[::2], options[1::2], strict=True):
        assert old in ptx
        ptx = ptx.replace(old, new)

    def run(kernel: str, n: int, *args: object) -> None:
        Kernel(ptx, kernel).run(-(-n // 64), 64, args)

    return run


needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc of CUDA 13.0")


@needs_nvcc
@pytest.mark.parametrize("limbs", [4, 32])
def test_ptx_and_portable_bodies_agree(limbs: int) -> None:
    cases = np.array([*product(EDGES, EDGES[::3], EDGES[::5], [0, 1])], np.uint32)
    ptx, cpu = interpreted(limbs), shim(limbs)
    n = 640 // limbs
    assert np.array_equal(single_steps(ptx, cases), single_steps(cpu, cases))
    assert np.array_equal(rows(ptx, *row_operands(limbs, n)), rows(cpu, *row_operands(limbs, n)))
    assert np.array_equal(
        products(ptx, *product_operands(limbs, n)), products(cpu, *product_operands(limbs, n))
    )
    values, error = np.array([7, 99, 100, 101], np.uint32), np.full(1, M64, np.uint64)
    ptx("check_rows", 4, values, error, np.uint32(100), np.uint32(4))
    assert error[0] == (2 << 8) | 1


@needs_nvcc
@pytest.mark.parametrize(
    ("broken", "instead"),
    [
        ("madc.hi.cc", "mad.hi.cc"),
        ("madc.lo.cc", "mad.lo.cc"),
        ("madc.hi.cc", "madc.lo.cc"),
        ("addc.cc.u32", "add.cc.u32"),
        ("subc.cc.u32", "sub.cc.u32"),
        ("addc.cc.u32", "addc.u32"),
    ],
)
def test_a_broken_chain_is_caught_in_ptx(broken: str, instead: str) -> None:
    right, wrong = shim(4), interpreted(4, broken, instead)
    operands, factors = row_operands(4, 48), product_operands(4, 48)
    assert not (
        np.array_equal(rows(right, *operands), rows(wrong, *operands))
        and np.array_equal(products(right, *factors), products(wrong, *factors))
    )


def device(limbs: int, *, portable: bool) -> Run:
    """run(kernel, n, *arguments) on the GPU, with the PTX bodies or the portable ones."""
    import cupy

    from crypsis.cuda._source import inline_includes

    options = ["-std=c++17", f"-DLIMBS={limbs}", *(["-DCRYPSIS_PORTABLE_ARITH"] if portable else [])]
    module = cupy.RawModule(code=inline_includes(KERNELS), options=tuple(options))

    def run(kernel: str, n: int, *args: object) -> None:
        held = [cupy.asarray(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        module.get_function(kernel)((-(-n // 64),), (64,), tuple(held))
        args[0][...] = held[0].get()  # type: ignore[index]

    return run


@pytest.mark.gpu
@pytest.mark.parametrize("limbs", LIMBS)
def test_ptx_and_portable_bodies_agree_on_the_device(limbs: int) -> None:
    cases = np.array(list(product(EDGES, EDGES, EDGES, [0, 1])), np.uint32)
    row, factors = row_operands(limbs, 4096), product_operands(limbs, 4096)
    ptx, portable, cpu = device(limbs, portable=False), device(limbs, portable=True), shim(limbs)
    for function, operands in ((single_steps, (cases,)), (rows, row), (products, factors)):
        expected = function(cpu, *operands)
        assert np.array_equal(function(portable, *operands), expected)
        assert np.array_equal(function(ptx, *operands), expected)

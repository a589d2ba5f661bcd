# SPDX-License-Identifier: Apache-2.0
"""kernels/curve25519/field.cuh against Python integers: on the shim, as PTX an instruction at a time, on a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from crypsis.cuda import curve25519 as cuda_curve25519
from cuda_on_cpu.launcher import ShimLauncher
from cuda_on_cpu.ptx import Kernel, compile_ptx
from cuda_on_cpu.ptx_flow import depends_on_data
from reference import curve25519 as reference

KERNELS = Path(__file__).parent / "cuda_on_cpu" / "field25519_kernels.cu"
SOURCE = Path("curve25519/curve25519.cu")
P, TOP = reference.P, 2**256

# Around the multiples of p and of 2^255, where sums wrap once, twice or not; and limbs of zeros and ones.
EDGES = [
    *(base + d for base in (P, 2**255, 2 * P) for d in (-39, -38, -20, -19, -1, 0, 1, 18, 19, 37)),
    *(0, 1, 2, 18, 19, 37, 38, 39, 486662, TOP - 1, TOP - 2),
    *((2**32 - 1) << 32 * i for i in range(8)),
    *(TOP - 1 - ((2**32 - 1) << 32 * i) for i in range(8)),
    *(1 << 32 * i for i in range(8)),
    int("0123456789abcdef" * 4, 16),
]
EDGES = [value for value in EDGES if value < TOP]

Run = Callable[..., None]


def shim(kernel: str, n: int, *args: object) -> None:
    ShimLauncher().launch(KERNELS, kernel, -(-n // 64), 64, 0, args, {})


def interpreted(kernel: str, n: int, *args: object) -> None:
    Kernel(ptx(), kernel).run(-(-n // 64), 64, args)


@cache
def ptx() -> str:
    return compile_ptx(KERNELS, {})


def rows(values: list[int]) -> np.ndarray:
    return np.frombuffer(b"".join(v.to_bytes(32, "little") for v in values), np.uint32).reshape(-1, 8).copy()


def integers(array: np.ndarray) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in array.reshape(-1, 8)]


def wrapping_pairs() -> list[tuple[int, int]]:
    """Factors of which the folded product passes 2^256 once more, by the last 38 that is added.

    With c = a b mod 2p below 140, low + 38 high of the product is c + 2p j for a j up to 38, that is 38 j - c
    below a multiple of 2^256, and 38 (j - 1) is what is folded then: from c = 38 on, that passes the multiple.
    """
    random = np.random.default_rng(3)
    pairs = []
    for c in range(38, 140):
        if reference.is_square(c):
            root = reference.sqrt(c)
            pairs += [(a, a) for a in (root, P - root, root + P, 2 * P - root) if a < TOP]
        a = int.from_bytes(random.bytes(32), "little") | 1 << 255
        b = c * reference.inverse(a) % P
        pairs += [(a, b), (a, b + P)]
    return pairs


def passes_twice(a: int, b: int) -> bool:
    """Whether folding a b carries out of 2^256 in the last sum."""
    over, rest = divmod(a * b % TOP + 38 * (a * b // TOP), TOP)
    return rest + 38 * over >= TOP


def operands(n_random: int) -> tuple[list[int], list[int]]:
    random = np.random.default_rng(4)
    pairs = wrapping_pairs() + [
        (int.from_bytes(random.bytes(32), "little"), int.from_bytes(random.bytes(32), "little"))
        for _ in range(n_random)
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def check(run: Run, a: list[int], b: list[int]) -> None:
    bit = np.arange(len(a), dtype=np.uint32) % 2
    out = np.zeros((len(a), 8, 8), np.uint32)
    run("field", len(a), out, rows(a), rows(b), bit, np.uint32(len(a)))
    for x, y, choice, result in zip(a, b, bit.tolist(), out, strict=True):
        found = integers(result)
        wanted = [x + y, x - y, x * y, x + 121665 * y, x * x]
        assert [value % P for value in found[:5]] == [value % P for value in wanted], (hex(x), hex(y))
        assert found[5:] == [x % P, int(x % P == 0), x if choice else y], (hex(x), hex(y))


def test_there_are_pairs_that_carry_twice() -> None:
    pairs = wrapping_pairs()
    assert sum(passes_twice(a, b) for a, b in pairs if a == b) > 20
    assert sum(passes_twice(a, b) for a, b in pairs if a != b) > 20


def test_every_pair_of_edges() -> None:
    pairs = list(product(EDGES, EDGES))
    check(shim, [a for a, _ in pairs], [b for _, b in pairs])


def test_rare_carries_and_random_numbers() -> None:
    check(shim, *operands(2000))


def test_powers() -> None:
    values = [*EDGES, *operands(20)[0]]
    out = np.zeros((len(values), 2, 8), np.uint32)
    shim("powers", len(values), out, rows(values), np.uint32(len(values)))
    for x, result in zip(values, out, strict=True):
        found = [value % P for value in integers(result)]
        assert found == [pow(x, P - 2, P), pow(x, (P - 1) // 2, P)], hex(x)


def check_quotients(launch: Callable[[int, int, list[np.ndarray]], None], threads: int) -> None:
    """Every form of 0 and any numbers below 2^256; of what is secret nothing stays in shared memory."""
    blocks, random = 3, np.random.default_rng(5)
    x, z = ([int.from_bytes(random.bytes(32), "little") for _ in range(blocks * threads)] for _ in range(2))
    z[: len(EDGES)] = EDGES
    z[threads : threads + 3] = [0, P, 2 * P]
    z[-1] = 2 * P
    x[1::7] = [P] * len(x[1::7])
    out, left = np.zeros((len(x), 8), np.uint32), np.ones((len(x), 16), np.uint32)
    launch(blocks, threads, [out, left, rows(x), rows(z)])
    wanted = [a * pow(b, P - 2, P) % P for a, b in zip(x, z, strict=True)]
    assert [value % P for value in integers(out)] == wanted
    assert not left.any()


@pytest.mark.parametrize("order", ["forward", "reversed"])
@pytest.mark.parametrize("threads", [32, 96])
def test_quotients_leave_nothing_behind(order: Literal["forward", "reversed"], threads: int) -> None:
    launcher = ShimLauncher(order=order)
    check_quotients(lambda n, t, args: launcher.launch(KERNELS, "quotients", n, t, 64 * t, args, {}), threads)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc of CUDA 13.0")
def test_no_branch_and_no_address_depends_on_data() -> None:
    """Scalars, points and elements are data; `check_points`, which is for public ones, shows that the check finds."""
    text = compile_ptx(SOURCE, cuda_curve25519.defines())
    assert depends_on_data(Kernel(text, "scalar_mult")) == []
    assert depends_on_data(Kernel(text, "map_to_curve")) == []
    assert depends_on_data(Kernel(text, "check_points")) != []


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc of CUDA 13.0")
def test_ptx_as_on_the_shim() -> None:
    a, b = operands(6)
    pairs = [*list(zip(a, b, strict=True))[::4], *list(product(EDGES[::4], EDGES[::5]))[::3]]
    check(interpreted, [a for a, _ in pairs], [b for _, b in pairs])


@pytest.mark.gpu
def test_gpu_field() -> None:
    import cupy

    from crypsis.cuda._source import inline_includes

    module = cupy.RawModule(code=inline_includes(KERNELS), options=("-std=c++17",))

    def run(kernel: str, n: int, *args: object) -> None:
        held = [cupy.asarray(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        module.get_function(kernel)((-(-n // 64),), (64,), tuple(held))
        args[0][...] = held[0].get()  # type: ignore[index]

    pairs = list(product(EDGES, EDGES))
    check(run, [a for a, _ in pairs], [b for _, b in pairs])
    check(run, *operands(20_000))

    def launch(blocks: int, threads: int, arrays: list[np.ndarray]) -> None:
        held = [cupy.asarray(array) for array in arrays]
        module.get_function("quotients")((blocks,), (threads,), tuple(held), shared_mem=64 * threads)
        for array, result in zip(arrays, held, strict=True):
            array[...] = result.get()

    for threads in (32, 96, 256):
        check_quotients(launch, threads)

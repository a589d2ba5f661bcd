# SPDX-License-Identifier: Apache-2.0
"""bigint on a device: kernels/bigint on the shim, and on a GPU where there is one, against the CPU's bytes."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import cuda_bigint_cases as cases
from crypsis import bigint
from crypsis.bigint import FixedBase, Modulus
from crypsis.cuda._bigint_kernels import kernels_of, powm_window, shape_of
from crypsis.cuda._bigint_products import by_length, cut_segments
from crypsis.errors import CrypsisError, DeviceMemoryError, NotInvertible
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized

if TYPE_CHECKING:
    from crypsis.cuda import Device

KERNELS = Path(__file__).resolve().parent.parent / "kernels" / "bigint"
QUICK = [256, 320, 1088, 2048]  # one thread; limbs that a loop's body does not divide; padded; four threads
WIDE = [4096, 8192]
ALL = [*range(256, 8193, 256), 320, 1088, 2112, 4160]  # and limbs that no part of a thread divides
EVERYTHING = list(itertools.chain.from_iterable(cases.everything(bits) for bits in QUICK))
Check = Callable[[Any], None]


@pytest.mark.parametrize("check", [check for _, check in EVERYTHING], ids=[name for name, _ in EVERYTHING])
def test_as_on_the_cpu(shim_device: ShimDevice, check: Check) -> None:
    check(shim_device)


@pytest.mark.parametrize("bits", WIDE)
def test_wide_products(shim_device: ShimDevice, bits: int) -> None:
    cases.check_products(shim_device, Modulus(cases.moduli(bits)[0]))


def test_small_exponents_of_a_wide_base(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(8192)[3])
    base = cases.values(modulus)[-1]
    here = shim_device.from_host(cases.rows_of(modulus, [base]))
    for function in (bigint.powm, bigint.powm_vartime):
        got = function(here, shim_device.from_host(bigint.from_ints([13], 1)), modulus, exponent_bits=4)
        assert bigint.to_ints(got.get()) == [pow(base, 13, modulus.n)]


@pytest.mark.slow
@pytest.mark.parametrize("bits", ALL)
def test_products_of_every_size(shim_device: ShimDevice, bits: int) -> None:
    for n in cases.moduli(bits):
        cases.check_products(shim_device, Modulus(n))


@pytest.mark.slow
@pytest.mark.parametrize("bits", [512, 768, 1024, 1536, 3072, 4096])
def test_everything_at_more_sizes(shim_device: ShimDevice, bits: int) -> None:
    for _, check in cases.everything(bits):
        check(shim_device)


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 63, 64, 65, 129])
def test_tail_of_a_batch(shim_device: ShimDevice, n: int) -> None:
    """Nothing behind the last row is written, whatever is left of the last block; a block has 32 rows."""
    modulus = Modulus(cases.moduli(2048)[4])
    a, b = (rows[:n] for rows in (np.tile(x, (3, 1)) for x in cases.pairs(modulus)))
    room = shim_device.empty((n + 40, modulus.limbs), np.uint64)
    room.fill(7)
    bigint.mod_mul(shim_device.from_host(a), shim_device.from_host(b), modulus, out=room[:n])
    assert np.array_equal(room[:n].get(), bigint.mod_mul(a, b, modulus))
    assert (room[n:].get() == 7).all()


def test_empty_batches(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(256)[4])
    none = shim_device.empty((0, 4), np.uint64)
    starts = shim_device.from_host(np.zeros(3, np.int64))
    assert bigint.mod_mul(none, none, modulus).shape == (0, 4)
    assert bigint.mod_sqr(none, modulus).shape == (0, 4)
    assert bigint.powm(none, none, modulus).shape == (0, 4)
    assert bigint.batch_inverse(none, modulus).shape == (0, 4)
    assert bigint.cumulative_prod(none, starts, modulus).shape == (0, 4)
    assert bigint.to_ints(bigint.segmented_prod(none, starts, modulus).get()) == [1, 1]
    bins = shim_device.from_host(np.zeros(0, np.int64))
    assert bigint.to_ints(bigint.scatter_mul(none, bins, 2, modulus).get()) == [1, 1]
    zeros = shim_device.from_host(np.zeros((2, 0), np.int64))
    assert bigint.to_ints(bigint.multi_powm_vartime(none, zeros, modulus).get()) == [1, 1]


def test_a_single_row_gives_a_single_row(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(256)[4])
    row = shim_device.from_host(cases.rows_of(modulus, [5])[0])
    assert bigint.mod_mul(row, row, modulus).shape == (4,)
    assert bigint.mod_sqr(row, modulus).get()[0] == 25
    three = shim_device.from_host(np.array([3], np.uint64))
    assert bigint.powm(row, three, modulus).get()[0] == 125
    fixed = FixedBase(row, modulus, 64)
    assert fixed.powm(three).shape == (4,)
    assert fixed.n_bytes > 0


def test_results_in_place(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(1088)[3])
    a, b = cases.pairs(modulus)
    here, other = shim_device.from_host(a), shim_device.from_host(b)
    assert bigint.mod_mul(here, other, modulus, out=here) is here
    assert np.array_equal(here.get(), bigint.mod_mul(a, b, modulus))
    bigint.mod_sqr(here, modulus, out=here)
    three = shim_device.from_host(np.array([3], np.uint64))
    bigint.powm(here, three, modulus, out=here)
    bigint.cumulative_prod(here, shim_device.from_host(np.array([0, len(a)])), modulus, out=here)
    want = bigint.mod_sqr(bigint.mod_mul(a, b, modulus), modulus)
    want = bigint.powm(want, np.array([3], np.uint64), modulus)
    want = bigint.cumulative_prod(want, np.array([0, len(a)]), modulus)
    assert np.array_equal(here.get(), want)


# ---- bad input: the CPU's exceptions and messages ----------------------------------------------------------------


def _bad_calls() -> dict[str, Callable[[Modulus, Callable[[Any], Any]], Any]]:
    """Calls with an error, of a modulus and of what brings an array to where the call runs."""
    good = np.ones((3, 4), np.uint64)
    high = good.copy()
    high[1:] = 2**64 - 1
    wide = np.ones((3, 5), np.uint64)
    starts = np.array([0, 2, 1], np.int64)
    signed = np.ones((2, 2), np.int64)
    return {
        "range of a": lambda m, to: bigint.mod_mul(to(high), to(good), m),
        "range of b": lambda m, to: bigint.mod_mul(to(good), to(high), m),
        "range of one row": lambda m, to: bigint.mod_mul(to(good), to(high[2]), m),
        "range to square": lambda m, to: bigint.mod_sqr(to(high), m),
        "range of bases": lambda m, to: bigint.powm(to(high), to(good), m),
        "exponents": lambda m, to: bigint.powm(to(good), to(high), m, exponent_bits=100),
        "exponents that are short": lambda m, to: bigint.powm_vartime(
            to(good), to(high), m, exponent_bits=255
        ),
        "exponent_bits": lambda m, to: bigint.powm(to(good), to(good), m, exponent_bits=257),
        "rows": lambda m, to: bigint.powm(to(good), to(good[:2]), m),
        "no limbs": lambda m, to: bigint.powm(to(good), to(np.ones((3, 0), np.uint64)), m),
        "shape of a": lambda m, to: bigint.mod_mul(to(wide), to(good), m),
        "rows of factors": lambda m, to: bigint.mod_mul(to(good), to(good[:2]), m),
        "shape of out": lambda m, to: bigint.mod_sqr(to(good), m, out=to(good[:2])),
        "flag": lambda m, to: bigint.mod_sqr(to(good), m, montgomery=1),  # type: ignore[arg-type]
        "starts decrease": lambda m, to: bigint.segmented_prod(to(good), to(starts), m),
        "starts pass": lambda m, to: bigint.segmented_prod(to(good), to(starts * 3), m),
        "starts end": lambda m, to: bigint.cumulative_prod(to(good), to(starts[:2]), m),
        "range of rows": lambda m, to: bigint.segmented_prod(to(high), to(starts[:2]), m),
        "bins": lambda m, to: bigint.scatter_mul(to(good), to(np.array([0, 1, 2])), 2, m),
        "bins below": lambda m, to: bigint.scatter_mul(to(good), to(np.array([0, -2, 1])), 2, m),
        "number of bins": lambda m, to: bigint.scatter_mul(to(good), to(np.array([0, 1])), 2, m),
        "mask": lambda m, to: bigint.scatter_mul(
            to(good), to(np.array([0, 1, 1])), 2, m, mask=to(np.ones(2, bool))
        ),
        "no inverse": lambda m, to: bigint.batch_inverse(to(good * np.array([1, 0, 0, 0], np.uint64) * 3), m),
        "columns": lambda m, to: bigint.multi_powm(to(good), to(np.ones((2, 2), np.uint64)), m),
        "wide power": lambda m, to: bigint.multi_powm(to(good), to(high[:, :3].copy()), m, exponent_bits=20),
        "range of its bases": lambda m, to: bigint.multi_powm_vartime(to(high[:2]), to(signed), m),
        "its inverses": lambda m, to: bigint.multi_powm_vartime(
            to(good[:2]), to(signed), m, inverses=to(good)
        ),
        "range of inverses": lambda m, to: bigint.multi_powm_vartime(
            to(good[:2]), to(signed), m, inverses=to(high[:2])
        ),
        "power of a fixed base": lambda m, to: FixedBase(good[0], m, 100, window=2).powm(to(high)),
    }


@pytest.mark.parametrize("name", _bad_calls())
def test_errors_are_those_of_the_cpu(name: str) -> None:
    from crypsis.cuda._registry import registered

    call = _bad_calls()[name]
    modulus = Modulus((1 << 255) + 3 * 2**64 + 1)
    assert modulus.n % 3 == 0
    with pytest.raises((ValueError, TypeError, CrypsisError)) as on_cpu:
        call(modulus, lambda array: array)
    with (
        registered(ShimDevice()) as device,
        pytest.raises((ValueError, TypeError, CrypsisError)) as on_device,
    ):
        call(modulus, device.from_host)
    assert on_device.type is on_cpu.type
    assert str(on_device.value) == str(on_cpu.value)


@pytest.mark.parametrize("bits", QUICK)
def test_the_first_value_out_of_range_is_named(shim_device: ShimDevice, bits: int) -> None:
    """From n itself on, which only differs from a good value after the last borrow; n is 0 in many limbs."""
    for n in cases.moduli(bits):
        modulus = Modulus(n)
        most = (1 << (64 * modulus.limbs)) - 1
        good = cases.rows_of(modulus, [0, n - 1, n - 2, n >> 1])
        assert bigint.mod_sqr(shim_device.from_host(good), modulus).shape == good.shape
        for bad in {n, min(n + 1, most), most, min(n + (1 << (bits - 40)), most)}:
            rows = np.concatenate([good, cases.rows_of(modulus, [bad]), good, cases.rows_of(modulus, [bad])])
            with pytest.raises(ValueError, match="a: the value in row 4 is not below the modulus"):
                bigint.mod_sqr(shim_device.from_host(rows), modulus)


def test_out_is_untouched_by_an_error(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(256)[4])
    out = shim_device.from_host(np.full((3, 4), 5, np.uint64))
    high = shim_device.from_host(np.full((3, 4), 2**64 - 1, np.uint64))
    good = shim_device.from_host(np.ones((3, 4), np.uint64))
    starts = shim_device.from_host(np.array([0, 3]))
    for call in (
        lambda: bigint.mod_mul(good, high, modulus, out=out),
        lambda: bigint.powm(high, good, modulus, out=out),
        lambda: bigint.cumulative_prod(high, starts, modulus, out=out),
        lambda: bigint.batch_inverse(shim_device.from_host(np.zeros((3, 4), np.uint64)), modulus, out=out),
    ):
        with pytest.raises((ValueError, NotInvertible), match="row"):
            call()
        assert (out.get() == 5).all()


def test_what_a_device_refuses(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(256)[4])
    host = np.ones((4, 4), np.uint64)
    here = shim_device.from_host(host)
    with pytest.raises(ValueError, match="a is on cuda:0 and b on the host"):
        bigint.mod_mul(here, host, modulus)
    with pytest.raises(TypeError, match="a is an array of uint32: give an array of uint64 on cuda:0"):
        bigint.mod_sqr(shim_device.from_host(np.ones((4, 4), np.uint32)), modulus)
    with pytest.raises(ValueError, match=r"a is not C-contiguous: pass cupy.ascontiguousarray\(a\)"):
        bigint.mod_sqr(here[:, ::-1], modulus)
    with pytest.raises(ValueError, match="out overlaps an input in part"):
        bigint.mod_sqr(here[:3], modulus, out=here[1:])
    with pytest.raises(ValueError, match="out overlaps an input"):
        bigint.segmented_prod(here, shim_device.from_host(np.arange(5)), modulus, out=here)
    with pytest.raises(ValueError, match="backend is 'portable', and the arrays are on cuda:0"):
        bigint.mod_sqr(here, modulus, backend="portable")


def test_public_indices_may_be_on_the_host(shim_device: ShimDevice) -> None:
    from crypsis.cuda import bigint as on_device

    modulus = Modulus(cases.moduli(256)[4])
    a = cases.rows_of(modulus, cases.values(modulus))
    here = shim_device.from_host(a)
    starts, bins = np.array([1, 4, 9]), np.arange(len(a)) % 3
    got = on_device.segmented_prod(shim_device, here, starts, modulus).get()
    assert np.array_equal(got, bigint.segmented_prod(a, starts, modulus))
    got = on_device.scatter_mul(shim_device, here, bins, 3, modulus).get()
    assert np.array_equal(got, bigint.scatter_mul(a, bins, 3, modulus))
    powers = np.arange(2 * len(a)).reshape(2, -1)
    got = on_device.multi_powm_vartime(shim_device, here, powers, modulus).get()
    assert np.array_equal(got, bigint.multi_powm_vartime(a, powers, modulus))


# ---- memory --------------------------------------------------------------------------------------------------------


def test_powm_splits_a_batch_that_does_not_fit() -> None:
    from crypsis.cuda._registry import registered

    modulus = Modulus(cases.moduli(256)[4])
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2**63, (300, 4), dtype=np.uint64)
    e = rng.integers(0, 2**63, (300, 1), dtype=np.uint64)
    shape = shape_of(4)
    block = (4 << powm_window(64, False)) * shape.part * shape.threads
    used = 3 * a.nbytes + e.nbytes
    with registered(ShimDevice(memory_bytes=used + 3 * block)) as device:
        got = bigint.powm(device.from_host(a), device.from_host(e), modulus).get()
        launched = [launch for launch in device.launches if launch.kernel == "powm"]
    assert np.array_equal(got, bigint.powm(a, e, modulus))
    assert [launch.grid[0] for launch in launched] == [1, 1, 1]
    with registered(ShimDevice(memory_bytes=used + block // 2)) as device:
        here, powers = device.from_host(a), device.from_host(e)
        with pytest.raises(DeviceMemoryError, match=r"powm: [\d,]+ bytes needed .* [\d,]+ bytes are free"):
            bigint.powm(here, powers, modulus)


def test_constants_are_on_the_device_once(shim_device: ShimDevice) -> None:
    modulus = Modulus(cases.moduli(256)[4])
    assert kernels_of(shim_device, modulus) is kernels_of(shim_device, modulus)
    free = shim_device.free_bytes()
    del modulus
    assert shim_device.free_bytes() > free  # and go with the modulus


# ---- plans ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3, 100])
@pytest.mark.parametrize("lengths", [[0], [5], [0, 7, 0, 100, 1], [33] * 9])
def test_pieces_cover_segments(workers: int, lengths: list[int]) -> None:
    starts = np.concatenate([[2], 2 + np.cumsum(lengths)])
    pieces = cut_segments(starts, workers, 4)
    seen: list[list[int]] = [[] for _ in lengths]
    for segment, (begin, end) in enumerate(itertools.pairwise(pieces.starts)):
        for first, last, number in pieces.runs[begin:end]:
            assert number >= 0
            seen[segment] += range(first, last)
    assert seen == [list(range(a, b)) for a, b in itertools.pairwise(starts)]
    assert [run[2] for run in pieces.runs] == list(range(len(pieces.runs)))
    sorted_runs = by_length(pieces.runs)
    assert (np.diff(sorted_runs[:, 1] - sorted_runs[:, 0]) <= 0).all()


def test_many_pieces(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments longer than a group's share, so that pieces nest: three levels."""
    from crypsis.cuda._bigint_kernels import Kernels

    monkeypatch.setattr(Kernels, "resident_rows", 4)
    cases.check_many(shim_device, Modulus(cases.moduli(256)[4]), 700)


def test_declared_instances_are_the_launch_shapes() -> None:
    declared = json.loads((KERNELS / "instances.json").read_text())
    for name, entry in declared.items():
        assert entry == {"source": "bigint/bigint.cu", "defines": shape_of(int(name) // 64).defines}
    assert {"256", "1024", "2048", "3072", "4096", "8192"} <= set(declared)


def test_every_size_has_a_shape() -> None:
    for bits in ALL:
        shape = shape_of(bits // 64)
        assert shape.limbs <= shape.part * shape.threads_per_number
        assert shape.threads_per_number in (1, 2, 4, 8, 16, 32)
        assert shape.threads % 32 == 0


@pytest.mark.parametrize("threads", [2, 4, 8, 16, 32])
def test_schedule_of_a_square(threads: int) -> None:
    """part_products of kernels/bigint/square.cuh: every pair of parts once, and no two threads at one place.

    A thread adds to three half parts and to the carry word of a fourth. On the shim such a race would not show: a
    fiber runs to the next collective.
    """
    halves: list[tuple[int, int, int, int]] = []
    for turn in range(threads - 1):
        limbs: set[tuple[bool, int]] = set()
        carries: set[tuple[bool, int]] = set()
        for place in range(threads):
            d, half = 1 + turn // 2, turn % 2
            mine, other = place, (place + d) % threads
            wraps = place + d >= threads
            if d == threads // 2 and wraps:
                mine, other, half = other, place, 1
            unit = 2 * (mine + other) + half
            assert unit + 3 < 4 * threads
            for touched in range(unit, unit + 3):
                assert (wraps, touched) not in limbs
                limbs.add((wraps, touched))
            assert (wraps, unit + 3) not in carries
            carries.add((wraps, unit + 3))
            halves.append((min(mine, other), max(mine, other), other, half))
    # The half of `other` that was taken: both halves of one and the same part, for each pair.
    wanted = {(a, b, half) for a, b in itertools.combinations(range(threads), 2) for half in (0, 1)}
    assert {(a, b, half) for a, b, _, half in halves} == wanted
    assert len(halves) == len(wanted) == len({(a, b) for a, b, _, _ in halves}) * 2
    assert len({(a, b, other) for a, b, other, _ in halves}) == len(wanted) // 2


# ---- sanitizers and GPUs -------------------------------------------------------------------------------------------

SANITIZED = """
import sys
from crypsis.bigint import Modulus
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice
import cuda_bigint_cases as cases
for bits in map(int, sys.argv[1:]):
    with registered(ShimDevice(sanitize=True)) as device:
        for _, check in cases.everything(bits):
            check(device)
print("clean")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sanitizers are preloaded on Linux")
def test_sanitizers_find_nothing() -> None:
    done = run_sanitized(SANITIZED, "768", timeout=600)  # two threads, squares
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("clean")


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [256, 320, 1024, 1088, 2048, 3072, 4096, 6144, 8192])
def test_on_a_gpu_as_on_the_cpu(gpu_device: Device, bits: int) -> None:
    for _, check in cases.everything(bits):
        check(gpu_device)


@pytest.mark.gpu
def test_on_a_gpu_many_rows(gpu_device: Device) -> None:
    """Grids of many blocks, and a tail."""
    modulus = Modulus(cases.moduli(2048)[4])
    a, b = (np.tile(rows, (300, 1))[:20001] for rows in cases.pairs(modulus))
    got = bigint.mod_mul(gpu_device.from_host(a), gpu_device.from_host(b), modulus)
    assert np.array_equal(gpu_device.to_host(got), bigint.mod_mul(a, b, modulus))
    cases.check_many(gpu_device, modulus, 5000)

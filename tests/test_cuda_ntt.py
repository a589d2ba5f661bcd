# SPDX-License-Identifier: Apache-2.0
"""kernels/ntt on the shim device against the CPU and against sums of powers; on a GPU where there is one."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import ntt
from crypsis.cuda import Device
from crypsis.cuda import _ntt_tables as tables
from crypsis.errors import DeviceMemoryError
from crypsis.ntt import Basis
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized

# Of one pass: less than a thread's 16 elements, lines without and with several groups, several and one a block; of two.
LOGS = [3, 5, 8, 13, 14]
MORE_LOGS = [2, 4, 6, 7, 9, 10, 11, 12, 15, 16]
BITS = (60, 30, 50, 60, 21)

every_degree = pytest.mark.parametrize("log_n", LOGS)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([2026, *seed])


def basis_of(log_n: int, bits: tuple[int, ...] = BITS) -> Basis:
    return Basis(log_n, ntt.find_primes(log_n, bits))


def residues(basis: Basis, *lead: int, seed: int = 0) -> np.ndarray:
    """Random, with 0, 1 and p - 1 among them; the first polynomial is p - 1 throughout."""
    shape = (*lead, basis.n)
    limbs = [
        rng(seed, limb).choice(np.array([0, 1, p - 1], np.uint64), shape)
        if limb == 1
        else rng(seed, limb).integers(0, p, shape, np.uint64)
        for limb, p in enumerate(basis.primes)
    ]
    values = np.stack(limbs, axis=-2)
    if values.ndim > 2 and len(values):
        values[(0,) * len(lead)] = np.array(basis.primes, np.uint64)[:, None] - np.uint64(1)
    return np.ascontiguousarray(values)


def check_transforms(device: Device, log_n: int, n: int) -> None:
    basis = basis_of(log_n)
    values = residues(basis, n)
    there = device.from_host(values)
    wanted = ntt.forward(values, basis)
    found = ntt.forward(there, basis)
    assert (device.to_host(found) == wanted).all()
    assert (device.to_host(there) == values).all()
    back = ntt.inverse(found, basis)
    assert (device.to_host(back) == values).all()
    ntt.forward(there, basis, out=there)
    assert (device.to_host(there) == wanted).all()
    ntt.inverse(there, basis, out=there)
    assert (device.to_host(there) == values).all()


# Transforms


@every_degree
def test_transforms_as_on_the_cpu(shim_device: ShimDevice, log_n: int) -> None:
    check_transforms(shim_device, log_n, 3 if log_n < 10 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("log_n", MORE_LOGS)
def test_transforms_of_every_degree(shim_device: ShimDevice, log_n: int) -> None:
    check_transforms(shim_device, log_n, 2)


def test_every_basis_vector_is_a_row_of_powers(shim_device: ShimDevice) -> None:
    """N = 8, all of it: x^i has the values psi^((2 brev(j) + 1) i)."""
    basis = basis_of(3, (60, 21))
    unit = np.broadcast_to(np.eye(8, dtype=np.uint64)[:, None], (8, 2, 8)).copy()
    found = ntt.forward(shim_device.from_host(unit), basis).get()
    reversed_bits = [int(f"{j:03b}"[::-1], 2) for j in range(8)]
    for limb, (p, psi) in enumerate(zip(basis.primes, basis.roots, strict=True)):
        for i in range(8):
            assert found[i, limb].tolist() == [pow(psi, (2 * r + 1) * i, p) for r in reversed_bits]


@pytest.mark.parametrize("bits", [20, 30, 31, 32, 33, 35, 40, 45, 50, 55, 59, 60])
def test_primes_of_every_size(shim_device: ShimDevice, bits: int) -> None:
    basis = basis_of(5, (bits,))
    values = residues(basis, 9)
    found = ntt.forward(shim_device.from_host(values), basis)
    assert (found.get() == ntt.forward(values, basis)).all()
    assert (ntt.inverse(found, basis).get() == values).all()


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129])
def test_tails_of_the_batch(shim_device: ShimDevice, n: int) -> None:
    """128 lines a block; what surrounds the result stays."""
    basis = basis_of(5, (40,))
    values = residues(basis, n)
    memory = shim_device.xp.full((n + 2, 1, 32), 7, np.uint64)
    result = ntt.forward(shim_device.from_host(values), basis, out=memory[1 : n + 1])
    assert (result.get() == ntt.forward(values, basis)).all()
    assert (memory.get()[[0, -1]] == 7).all()


def test_leading_axes_and_one_polynomial(shim_device: ShimDevice) -> None:
    basis = basis_of(5)
    for lead in ((), (1,), (2, 3), (2, 1, 2)):
        values = residues(basis, *lead)
        found = ntt.forward(shim_device.from_host(values), basis)
        assert found.shape == values.shape
        assert (found.get() == ntt.forward(values, basis)).all()


def test_one_kernel_or_two(shim_device: ShimDevice) -> None:
    for log_n, kernels in ((13, ["forward", "inverse"]), (14, None)):
        basis = basis_of(log_n, (40,))
        there = shim_device.from_host(residues(basis, 1))
        ntt.inverse(ntt.forward(there, basis), basis)
        launched = [launch.kernel for launch in shim_device.launches if launch.kernel != "build_tables"]
        wanted = kernels or ["forward_columns", "forward_rows", "inverse_rows", "inverse_columns"]
        assert launched == wanted
        shim_device.launches.clear()


# Tables


def test_tables_are_made_once_and_go_with_the_basis(shim_device: ShimDevice) -> None:
    gc.collect()
    before = shim_device.free_bytes()
    basis = basis_of(5)
    there = shim_device.from_host(residues(basis))
    ntt.forward(there, basis)
    assert [launch.kernel for launch in shim_device.launches].count("build_tables") == len(basis)
    ntt.forward(there, Basis(5, basis.primes))  # an equal one
    ntt.forward(there[1:3].copy(), basis[1:3])  # a part
    assert [launch.kernel for launch in shim_device.launches].count("build_tables") == len(basis)
    assert len(tables._of_bases[basis]) >= 1
    del basis, there
    gc.collect()
    assert shim_device.free_bytes() == before


def test_short_memory_is_named() -> None:
    from crypsis.cuda._registry import registered

    with registered(ShimDevice(memory_bytes=40_000)) as device:
        basis = basis_of(8, (40, 41))
        there = device.from_host(residues(basis))
        with pytest.raises(DeviceMemoryError, match="cuda:0 is out of memory"):
            ntt.forward(device.from_host(residues(basis, 4)), basis)
        del there


# Element by element


@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
def test_two_operands(shim_device: ShimDevice, name: str) -> None:
    function: Callable[..., Any] = getattr(ntt, name)
    basis = basis_of(3)
    a = residues(basis, 4, 3, 2)
    for lead in ((4, 3, 2), (), (2,), (1, 2), (3, 1), (4, 1, 1), (4, 1, 2), (1, 1, 1)):
        b = residues(basis, *lead, seed=1)
        found = function(shim_device.from_host(a), shim_device.from_host(b), basis)
        assert (found.get() == function(a, b, basis)).all(), lead
    there, other = shim_device.from_host(a), shim_device.from_host(residues(basis, 4, 3, 2, seed=2))
    wanted = function(a, other.get(), basis)
    for out in (there, other):
        first, second = shim_device.from_host(a), shim_device.from_host(other.get())
        chosen = first if out is there else second
        assert function(first, second, basis, out=chosen) is chosen
        assert (chosen.get() == wanted).all()


def test_multiply_add(shim_device: ShimDevice) -> None:
    basis = basis_of(3)
    a, b, c = residues(basis, 2, 3), residues(basis, 3, seed=1), residues(basis, 2, 1, seed=2)
    found = ntt.multiply_add(*(shim_device.from_host(x) for x in (a, b, c)), basis)
    assert (found.get() == ntt.multiply_add(a, b, c, basis)).all()


@pytest.mark.parametrize("lead", [(), (1,), (0,), (3,), (2, 5)])
def test_tensor(shim_device: ShimDevice, lead: tuple[int, ...]) -> None:
    """What lies around the result stays, and both operands may be one."""
    basis = basis_of(3)
    x, y = residues(basis, *lead, 2), residues(basis, *lead, 2, seed=1)
    there = [shim_device.from_host(a) for a in (x, y)]
    shape = (*lead, 3, len(basis), basis.n)
    size = int(np.prod(shape))
    memory = shim_device.xp.full(size + 2, 7, np.uint64)
    found = ntt.tensor(*there, basis, out=memory[1 : size + 1].reshape(shape))
    assert (found.get() == ntt.tensor(x, y, basis)).all()
    assert (memory.get()[[0, -1]] == 7).all()
    assert (ntt.tensor(there[0], there[0], basis).get() == ntt.tensor(x, x, basis)).all()


def test_tensor_of_the_largest_residues(shim_device: ShimDevice) -> None:
    basis = basis_of(5)
    largest = np.broadcast_to(
        np.array(basis.primes, np.uint64)[:, None] - np.uint64(1), (2, len(basis), 32)
    ).copy()
    there = shim_device.from_host(largest)
    assert (ntt.tensor(there, there, basis).get() == ntt.tensor(largest, largest, basis)).all()


def test_tensor_refuses_what_the_cpu_refuses(shim_device: ShimDevice) -> None:
    basis = basis_of(3)
    x = residues(basis, 4, 2)
    there = shim_device.from_host(x)
    for a, b in ((x[0, 0], x[0, 0]), (x[:, :1].copy(), x[:, :1].copy()), (x, x[:2])):
        with pytest.raises(ValueError, match="x and y have shapes") as on_host:
            ntt.tensor(a, b, basis)
        with pytest.raises(ValueError, match="x and y have shapes") as found:
            ntt.tensor(shim_device.from_host(a), shim_device.from_host(b), basis)
        assert str(found.value) == str(on_host.value)
    memory = shim_device.xp.zeros((4, 3, len(basis), basis.n), np.uint64)
    with pytest.raises(ValueError, match="overlap"):
        ntt.tensor(memory.reshape(-1)[: x.size].reshape(x.shape), there, basis, out=memory)


def test_negate_and_scale(shim_device: ShimDevice) -> None:
    basis = basis_of(3)
    a = residues(basis, 5)
    assert (ntt.negate(shim_device.from_host(a), basis).get() == ntt.negate(a, basis)).all()
    for constants in (0, 1, -1, 2**200 + 5, list(range(-2, 3)), [p - 1 for p in basis.primes]):
        found = ntt.scale(shim_device.from_host(a), constants, basis).get()
        assert (found == ntt.scale(a, constants, basis)).all()


@pytest.mark.parametrize("log_n", [2, 3, 5, 10])
@pytest.mark.parametrize("ntt_domain", [True, False])
def test_automorphisms(shim_device: ShimDevice, log_n: int, ntt_domain: bool) -> None:
    basis = basis_of(log_n, (60, 30))
    a = residues(basis, 2)
    every = range(1, 2 * basis.n, 2) if log_n < 5 else (1, 5, basis.n + 1, 2 * basis.n - 1)
    for galois in every:
        found = ntt.automorphism(shim_device.from_host(a), galois, basis, ntt_domain=ntt_domain).get()
        assert (found == ntt.automorphism(a, galois, basis, ntt_domain=ntt_domain)).all(), galois


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_signed_coefficients(shim_device: ShimDevice, dtype: type[np.signedinteger]) -> None:
    basis = basis_of(5)
    limits = np.iinfo(dtype)
    values = rng(4).integers(limits.min, limits.max, (3, basis.n), dtype, endpoint=True)
    values[0, :4] = limits.min, limits.max, 0, -1
    found = ntt.from_signed(shim_device.from_host(values), basis).get()
    assert (found == ntt.from_signed(values, basis)).all()
    assert (
        found.astype(object) == values.astype(object)[:, None] % np.array(basis.primes, object)[:, None]
    ).all()


def test_is_reduced(shim_device: ShimDevice) -> None:
    basis = basis_of(3)
    values = residues(basis, 2)
    assert ntt.is_reduced(shim_device.from_host(values), basis) is True
    values[1, 2, 3] = basis.primes[2]
    assert ntt.is_reduced(shim_device.from_host(values), basis) is False


def test_a_product_of_polynomials(shim_device: ShimDevice) -> None:
    """x^(N - 1) x^2 = -x."""
    basis = basis_of(5)
    coefficients = np.zeros((2, basis.n), np.int64)
    coefficients[0, basis.n - 1] = coefficients[1, 2] = 1
    a, b = (ntt.forward(ntt.from_signed(shim_device.from_host(row), basis), basis) for row in coefficients)
    product = ntt.inverse(ntt.multiply(a, b, basis), basis).get()
    assert (product[:, 1] == np.array(basis.primes, np.uint64) - np.uint64(1)).all()
    assert not np.delete(product, 1, axis=1).any()


# Bad input: the CPU's exceptions


def test_bad_arguments(shim_device: ShimDevice) -> None:
    basis = basis_of(3, (30, 31))
    good = shim_device.from_host(residues(basis, 2))
    for call, kind, words in (
        (lambda: ntt.forward(good[:, :1].copy(), basis), ValueError, r"values has shape \(2, 1, 8\)"),
        (lambda: ntt.forward(good[:, ::-1], basis), ValueError, "values is not C-contiguous"),
        (lambda: ntt.forward(good.astype(np.int64), basis), TypeError, "values is an array of int64"),
        (lambda: ntt.forward(good, 5), TypeError, "basis is int"),
        (lambda: ntt.forward(good, basis, out=good[:1]), ValueError, r"out has shape \(1, 2, 8\)"),
        (lambda: ntt.automorphism(good, 2, basis), ValueError, "galois is 2: give an odd number"),
        (lambda: ntt.automorphism(good, 17, basis), ValueError, "galois is 17: give 1 to 15"),
        (lambda: ntt.automorphism(good, 3, basis, out=good), ValueError, "out overlaps an input"),
        (lambda: ntt.multiply(good[0].copy(), good, basis), ValueError, "b has shape .*does not broadcast"),
        (lambda: ntt.scale(good, [1], basis), ValueError, "constants has 1 entries"),
        (lambda: ntt.scale(good, 1.5, basis), TypeError, "constants is float"),
        (lambda: ntt.forward(good, basis, backend="portable"), ValueError, "backend is 'portable'"),
        (lambda: ntt.add(good, residues(basis, 2), basis), ValueError, "a is on cuda:0 and b on the host"),
        (lambda: ntt.from_signed(good, basis), TypeError, "values is an array of uint64"),
    ):
        with pytest.raises(kind, match=words):
            call()


# Memory

SANITIZED = """
import numpy as np
from crypsis import ntt
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

for order in ("forward", "reversed"):
    with registered(ShimDevice(order=order, sanitize=True)) as device:
        for log_n, n in ((5, 3), (14, 1)):
            basis = ntt.Basis(log_n, ntt.find_primes(log_n, [60, 40]))
            a = np.stack([np.full((n, basis.n), p - 1, np.uint64) for p in basis.primes], axis=1)
            there = device.from_host(a)
            moved = ntt.forward(there, basis)
            assert (ntt.inverse(moved, basis).get() == a).all()
            for function in (ntt.add, ntt.subtract, ntt.multiply):
                function(there, moved[0].copy(), basis)
            ntt.multiply_add(there, moved, there, basis)
            ntt.negate(there, basis)
            ntt.tensor(*(v[: n // 2 * 2].reshape(n // 2, 2, 2, basis.n) for v in (there, moved)), basis)
            ntt.scale(there, -3, basis)
            for ntt_domain in (True, False):
                ntt.automorphism(there, 5, basis, ntt_domain=ntt_domain)
            ntt.from_signed(device.from_host(np.full((n, basis.n), -5, np.int32)), basis)
print("clean")
"""


def test_no_byte_outside_the_arrays_is_touched() -> None:
    done = run_sanitized(SANITIZED, timeout=600)  # mostly the compiler
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("log_n", sorted(LOGS + MORE_LOGS))
def test_gpu_transforms(gpu_device: Device, log_n: int) -> None:
    for n in (1, 7, max(1, (1 << 19) >> log_n)):
        check_transforms(gpu_device, log_n, n)


@pytest.mark.gpu
@pytest.mark.parametrize("log_n", [3, 13])
def test_gpu_elementwise(gpu_device: Device, log_n: int) -> None:
    basis = basis_of(log_n)
    a, b, c = (residues(basis, 5, seed=seed) for seed in range(3))
    x, y, z = (gpu_device.from_host(values) for values in (a, b, c))
    for name in ("add", "subtract", "multiply"):
        function = getattr(ntt, name)
        assert (gpu_device.to_host(function(x, y, basis)) == function(a, b, basis)).all()
    found = ntt.multiply_add(x, y, z, basis)
    assert (gpu_device.to_host(found) == ntt.multiply_add(a, b, c, basis)).all()
    pairs = [np.stack([v, v[::-1]], axis=1) for v in (a, a[::-1])]
    found = ntt.tensor(*(gpu_device.from_host(v) for v in pairs), basis)
    assert (gpu_device.to_host(found) == ntt.tensor(*pairs, basis)).all()
    for ntt_domain in (True, False):
        moved = ntt.automorphism(x, 5, basis, ntt_domain=ntt_domain)
        assert (gpu_device.to_host(moved) == ntt.automorphism(a, 5, basis, ntt_domain=ntt_domain)).all()

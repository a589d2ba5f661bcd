# SPDX-License-Identifier: Apache-2.0
"""kernels/rns on the shim device against the CPU and against integers; on a GPU where there is one."""

from __future__ import annotations

import gc
import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from crypsis import ntt, rns
from crypsis.cuda import Device
from crypsis.cuda._registry import registered
from crypsis.errors import BackendUnavailable
from crypsis.ntt import Basis
from crypsis.rns import Chain
from cuda_on_cpu.device import ShimDevice
from cuda_on_cpu.launcher import run_sanitized

# Bits of the moduli and of the special ones, and digits: one modulus each as SEAL has them; several, the last digit
# shorter, and targets larger and smaller than sources; one digit of all; more special moduli than others.
CHAINS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int | None]] = {
    "seal": ((60, 40, 40), (60,), None),
    "hybrid": ((50, 45, 40, 60, 30), (60, 60), 3),
    "one digit": ((40, 35), (30, 40, 50), 1),
}
every_chain = pytest.mark.parametrize("name", CHAINS)


@cache
def chain_of(log_n: int, name: str) -> Chain:
    bits, special, dnum = CHAINS[name]
    primes = ntt.find_primes(log_n, [*special, *bits])  # the special ones are the larger of equal size
    return Chain(log_n, primes[len(special) :], primes[: len(special)], dnum=dnum)


def residues(basis: Basis, *lead: int, seed: int = 0) -> np.ndarray:
    """Random, some all p - 1 and some 0 or halves of a prime, where digits change sign."""
    limbs = []
    for limb, p in enumerate(basis.primes):
        rng = np.random.default_rng([2026, seed, limb])
        values = rng.integers(0, p, (*lead, basis.n), np.uint64)
        special = np.array([0, 1, p // 2, p // 2 + 1, p - 1], np.uint64)
        where = rng.random(values.shape) < 0.2
        values[where] = rng.choice(special, int(where.sum()))
        limbs.append(values)
    return np.ascontiguousarray(np.stack(limbs, axis=-2))


def key_of(chain: Chain) -> np.ndarray:
    return residues(chain.full(len(chain.moduli) - 1), chain.dnum, 2, seed=9)


def same(device: Device, found: Any, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert (device.to_host(found) == wanted).all()


def check_level(device: Device, chain: Chain, level: int, *lead: int) -> None:
    """Every function, and the CPU's bits."""
    c = residues(chain.basis(level), *lead)
    add = residues(chain.basis(level), *lead, 2, seed=1)
    key = key_of(chain)
    there, key_there, add_there = (device.from_host(values) for values in (c, key, add))
    digits = rns.decompose(c, chain, level)
    digits_there = rns.decompose(there, chain, level)
    same(device, digits_there, digits)
    for galois in (1, 5):
        product = rns.inner_product(digits, key, chain, level, galois=galois)
        product_there = rns.inner_product(digits_there, key_there, chain, level, galois=galois)
        same(device, product_there, product)
    functions = [rns.divide_special, *([rns.divide_special_and_rescale] if level else [])]
    for divide in functions:
        same(device, divide(product_there, chain, level), divide(product, chain, level))
        same(
            device,
            divide(product_there, chain, level, add=add_there),
            divide(product, chain, level, add=add),
        )
    if level:
        same(device, rns.rescale(there, chain, level), rns.rescale(c, chain, level))
    for n_added in (0, 1, 2):
        some = np.ascontiguousarray(add[..., :n_added, :, :]) if n_added else None
        some_there = None if some is None else device.from_host(some)
        for rescale in (False, True)[: 1 + (level > 0)]:
            for galois in (1, 2 * chain.n - 1):
                wanted = rns.switch_key(c, key, chain, level, galois=galois, add=some, rescale=rescale)
                found = rns.switch_key(
                    there, key_there, chain, level, galois=galois, add=some_there, rescale=rescale
                )
                same(device, found, wanted)


# Against the CPU


@every_chain
@pytest.mark.parametrize("log_n", [5, 14])
def test_as_on_the_cpu(shim_device: ShimDevice, log_n: int, name: str) -> None:
    chain = chain_of(log_n, name)
    levels = range(len(chain.moduli)) if log_n < 10 else (len(chain.moduli) - 1,)
    for level in levels:
        check_level(shim_device, chain, level, *((3,) if log_n < 10 else ()))


@pytest.mark.slow
@every_chain
@pytest.mark.parametrize("log_n", [2, 3, 4, 8, 10, 13, 15, 16])
def test_every_degree(shim_device: ShimDevice, log_n: int, name: str) -> None:
    chain = chain_of(log_n, name)
    check_level(shim_device, chain, len(chain.moduli) - 1, 2)


def test_leading_axes(shim_device: ShimDevice) -> None:
    chain = chain_of(5, "hybrid")
    for lead in ((), (0,), (2, 3)):
        check_level(shim_device, chain, 2, *lead)


# Against integers


def test_digits_are_the_centred_residues(shim_device: ShimDevice) -> None:
    chain, level = chain_of(5, "hybrid"), 4
    basis, full = chain.basis(level), chain.full(level)
    c = residues(basis)
    there = ntt.forward(shim_device.from_host(c), basis)
    digits = ntt.inverse(rns.decompose(there, chain, level), full).get()
    for j in range(chain.n_digits(level)):
        some = slice(j * chain.alpha, min(level + 1, (j + 1) * chain.alpha))
        part = Chain(5, basis.primes[some], chain.special.primes, dnum=1)
        values = np.array(
            rns.compose_ints(np.ascontiguousarray(c[some]), part, some.stop - some.start - 1), object
        )
        assert abs(values).max() <= (math.prod(basis.primes[some]) - 1) // 2
        for limb, prime in enumerate(full.primes):
            assert (digits[j, limb] == values % prime).all()


def test_sums_of_the_most_products(shim_device: ShimDevice) -> None:
    """p - 1 everywhere, and as many digits as a chain can have with primes next to 2^60."""
    primes = ntt.find_primes(2, [60] * 32)
    chain = Chain(2, primes[1:], primes[:1])
    level = len(chain.moduli) - 1
    full = np.array(chain.full(level).primes, np.uint64)[:, None] - np.uint64(1)
    digits = np.broadcast_to(full, (1, 31, 32, 4)).copy()
    key = np.broadcast_to(full, (31, 2, 32, 4)).copy()
    found = rns.inner_product(shim_device.from_host(digits), shim_device.from_host(key), chain, level)
    assert (found.get() == 31).all()  # (p - 1)^2 = 1


# Memory and launches


def test_constants_are_made_once_and_go_with_the_chain(shim_device: ShimDevice) -> None:
    gc.collect()
    before = shim_device.free_bytes()
    bits, special, dnum = CHAINS["hybrid"]
    primes = ntt.find_primes(5, [*bits, *special])
    chain = Chain(5, primes[:5], primes[5:], dnum=dnum)
    there, key = shim_device.from_host(residues(chain.basis(4))), shim_device.from_host(key_of(chain))
    rns.switch_key(there, key, chain, 4)
    count = len(shim_device.launches)
    used = shim_device.free_bytes()
    rns.switch_key(there, key, chain, 4)
    assert shim_device.free_bytes() == used
    assert "build_tables" not in [launch.kernel for launch in shim_device.launches[count:]]
    del chain, there, key
    gc.collect()
    assert shim_device.free_bytes() == before


def test_batches_go_in_blocks_where_memory_is_short() -> None:
    chain = chain_of(5, "hybrid")
    c, add, key = residues(chain.basis(4), 12), residues(chain.basis(4), 12, 2, seed=3), key_of(chain)
    with registered(ShimDevice(memory_bytes=400_000)) as device:
        there, add_there, key_there = (device.from_host(values) for values in (c, add, key))
        wanted = rns.switch_key(c, key, chain, 4, add=add)
        same(device, rns.switch_key(there, key_there, chain, 4, add=add_there), wanted)
        assert [launch.kernel for launch in device.launches].count("inner_product") > 1


# Bad input: the CPU's exceptions


def test_bad_arguments(shim_device: ShimDevice) -> None:
    chain = chain_of(5, "seal")
    c, key = shim_device.from_host(residues(chain.basis(2), 2)), shim_device.from_host(key_of(chain))
    for call, kind, words in (
        (
            lambda: rns.decompose(c, chain, 1),
            ValueError,
            r"c has shape \(2, 3, 32\): give uint64\[..., 2, 32\]",
        ),
        (lambda: rns.decompose(c, chain, 3), ValueError, "level is 3: give 0 to 2"),
        (lambda: rns.decompose(c, 5, 3), TypeError, "chain is int"),
        (lambda: rns.rescale(c[:, :1].copy(), chain, 0), ValueError, "level is 0"),
        (lambda: rns.switch_key(c, key[1:], chain, 2), ValueError, "key has shape"),
        (lambda: rns.switch_key(c, key, chain, 2, galois=4), ValueError, "galois is 4"),
        (lambda: rns.switch_key(c, key, chain, 2, add=c), ValueError, "add has shape"),
        (lambda: rns.switch_key(c, key, chain, 2, out=c), ValueError, "out has shape"),
        (lambda: rns.decompose(c.astype(np.int64), chain, 2), TypeError, "c is an array of int64"),
        (lambda: rns.decompose(c, chain, 2, backend="portable"), ValueError, "backend is 'portable'"),
        (lambda: rns.compose(c, chain, 2), BackendUnavailable, "crypsis.rns.compose has no CUDA kernel"),
    ):
        with pytest.raises(kind, match=words):
            call()


SANITIZED = """
import sys
import numpy as np
from crypsis import ntt, rns
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

def full(basis, *lead):
    return np.ascontiguousarray(np.stack([np.full((*lead, basis.n), p - 1, np.uint64) for p in basis.primes], -2))

for order in ("forward", "reversed"):
    with registered(ShimDevice(order=order, sanitize=True)) as device:
        for log_n, n, bits, dnum in ((5, 3, [50, 40, 60], 2), (14, 1, [50, 40], 1)):
            if log_n == 14 and order not in sys.argv:
                continue
            primes = ntt.find_primes(log_n, [60, 60, *bits])
            chain, level = rns.Chain(log_n, primes[2:], primes[:2], dnum=dnum), len(bits) - 1
            c, add = full(chain.basis(level), n), full(chain.basis(level), n, 2)
            key = full(chain.full(level), dnum, 2)
            there, add_there, key_there = (device.from_host(x) for x in (c, add, key))
            for rescale in (False, True) if log_n == 5 else (order == "forward",):
                found = rns.switch_key(there, key_there, chain, level, galois=5, add=add_there, rescale=rescale)
                wanted = rns.switch_key(c, key, chain, level, galois=5, add=add, rescale=rescale)
                assert (found.get() == wanted).all()
            if log_n == 5:
                rns.rescale(there, chain, level)
print("clean")
"""


@pytest.mark.parametrize(
    "orders", [("forward",), pytest.param(("forward", "reversed"), marks=pytest.mark.slow)], ids="-".join
)
def test_no_byte_outside_the_arrays_is_touched(orders: tuple[str, ...]) -> None:
    """The small ring in both orders of threads, the large one in `orders`."""
    done = run_sanitized(SANITIZED, *orders, timeout=600)  # mostly the compiler
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "clean\n"


# On a GPU


@pytest.mark.gpu
@every_chain
@pytest.mark.parametrize("log_n", [4, 10, 13, 14, 15, 16])
def test_gpu_as_on_the_cpu(gpu_device: Device, log_n: int, name: str) -> None:
    chain = chain_of(log_n, name)
    for level in (0, len(chain.moduli) - 1):
        check_level(gpu_device, chain, level, 3)

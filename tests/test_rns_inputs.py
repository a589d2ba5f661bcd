# SPDX-License-Identifier: Apache-2.0
"""rns: bad arguments are refused with a message that says what to give, and `out` stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import backends, ntt, rns
from crypsis.errors import BackendUnavailable

LOG_N = 4
N = 1 << LOG_N
PRIMES = ntt.find_primes(LOG_N, [60, 60, 60, 40, 40])
SPECIAL, MODULI = PRIMES[:1], PRIMES[1:]  # L = 4, k = 1
CHAIN = rns.Chain(LOG_N, MODULI, SPECIAL)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint64)


C, FULL, KEY = zeros(2, 3, N), zeros(2, 4, N), zeros(4, 2, 5, N)  # level 2
DIGITS, PAIR = zeros(2, 3, 4, N), zeros(2, 2, 3, N)

CALLS: dict[str, Callable[..., Any]] = {
    "decompose": lambda level=2, **o: rns.decompose(C, CHAIN, level, **o),
    "inner_product": lambda level=2, **o: rns.inner_product(DIGITS, KEY, CHAIN, level, **o),
    "divide_special": lambda level=2, **o: rns.divide_special(FULL, CHAIN, level, **o),
    "divide_special_and_rescale": lambda level=2, **o: rns.divide_special_and_rescale(
        FULL, CHAIN, level, **o
    ),
    "rescale": lambda level=2, **o: rns.rescale(C, CHAIN, level, **o),
    "switch_key": lambda level=2, **o: rns.switch_key(C, KEY, CHAIN, level, **o),
    "compose": lambda level=2, **o: rns.compose(C, CHAIN, level, **o),
}
each_function = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@each_function
def test_results_begin_cache_lines(call: Callable[..., Any]) -> None:
    assert [call().ctypes.data % 64 for _ in range(8)] == [0] * 8


@each_function
def test_options_are_checked(call: Callable[..., Any]) -> None:
    result = call()
    with pytest.raises(BackendUnavailable, match="'sse9' does not exist for rns"):
        call(backend="sse9")
    for threads in (0, -1, 5000):
        with pytest.raises(ValueError, match="threads is"):
            call(threads=threads)
    with pytest.raises(TypeError, match="threads is str"):
        call(threads="2")
    with pytest.raises(TypeError, match="backend is int"):
        call(backend=3)
    with pytest.raises(ValueError, match="out has shape"):
        call(out=np.zeros((*result.shape, 1), result.dtype))
    with pytest.raises(TypeError, match="out is an array of int32"):
        call(out=np.zeros(result.shape, np.int32))
    read_only = np.zeros_like(result)
    read_only.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        call(out=read_only)
    out = np.full_like(result, 7)
    with pytest.raises(BackendUnavailable):
        call(out=out, backend="sse9")
    assert (out == 7).all()
    for backend in backends.runnable("rns"):
        assert call(out=out, backend=backend) is out
        assert np.array_equal(out, result)
        out.fill(7)


@each_function
def test_levels_are_checked(call: Callable[..., Any]) -> None:
    for level in (-1, 4):
        with pytest.raises(ValueError, match=f"level is {level}: give 0 to 3"):
            call(level=level)
    with pytest.raises(TypeError, match="level is float"):
        call(level=2.0)
    with pytest.raises(ValueError, match="has shape"):
        call(level=1)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("c", lambda a, **o: rns.decompose(a, CHAIN, 2, **o)),
        ("digits", lambda a, **o: rns.inner_product(a, KEY, CHAIN, 2, **o)),
        ("key", lambda a, **o: rns.inner_product(DIGITS, a, CHAIN, 2, **o)),
        ("x", lambda a, **o: rns.divide_special(a, CHAIN, 2, **o)),
        ("add", lambda a, **o: rns.divide_special(FULL, CHAIN, 2, add=a, **o)),
        ("x", lambda a, **o: rns.divide_special_and_rescale(a, CHAIN, 2, **o)),
        ("add", lambda a, **o: rns.divide_special_and_rescale(FULL, CHAIN, 2, add=a, **o)),
        ("x", lambda a, **o: rns.rescale(a, CHAIN, 2, **o)),
        ("c", lambda a, **o: rns.switch_key(a, KEY, CHAIN, 2, **o)),
        ("key", lambda a, **o: rns.switch_key(C, a, CHAIN, 2, **o)),
        ("add", lambda a, **o: rns.switch_key(C, KEY, CHAIN, 2, add=a, **o)),
        ("x", lambda a, **o: rns.compose(a, CHAIN, 2, **o)),
        ("x", lambda a: rns.compose_ints(a, CHAIN, 2)),
    ],
)
def test_arrays_are_checked(name: str, call: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=f"{name} is list"):
        call([1])
    with pytest.raises(TypeError, match=f"{name} is an array of int64"):
        call(np.zeros((3, N), np.int64))
    for shape in ((), (N,), (2, 3, N + 1), (9, N), (3, 9, 4, 5, 7, N)):
        with pytest.raises(ValueError, match=f"{name} has shape"):
            call(zeros(*shape))


def test_memory_is_checked() -> None:
    for strided in (zeros(2, 6, N)[:, ::2], np.asfortranarray(C)):
        with pytest.raises(ValueError, match="c is not C-contiguous: pass numpy"):
            rns.decompose(strided, CHAIN, 2)
    with pytest.raises(ValueError, match="key is not C-contiguous"):
        rns.switch_key(C, zeros(4, 2, 10, N)[:, :, ::2], CHAIN, 2)
    memory = zeros(2, 2, 3, N)
    with pytest.raises(ValueError, match="out overlaps add"):
        rns.switch_key(C, KEY, CHAIN, 2, add=memory, out=memory)
    with pytest.raises(ValueError, match="out overlaps c"):
        rns.switch_key(memory[0], KEY, CHAIN, 2, out=memory)
    with pytest.raises(ValueError, match="out overlaps x"):
        rns.compose(memory[0], CHAIN, 2, out=memory[0, 0, :2].view(np.float64))
    buffer = zeros(8, N)
    with pytest.raises(ValueError, match="out overlaps x"):
        rns.rescale(buffer[:3], CHAIN, 2, out=buffer[2:4])


def test_summands_may_be_one_half_or_both() -> None:
    for halves in (1, 2):
        assert rns.switch_key(C, KEY, CHAIN, 2, add=zeros(2, halves, 3, N)).shape == (2, 2, 3, N)
    for shape in ((2, 3, 3, N), (2, 0, 3, N), (3, N), (1, 2, 3, N)):
        with pytest.raises(ValueError, match="add has shape"):
            rns.switch_key(C, KEY, CHAIN, 2, add=zeros(*shape))


def test_empty_batches() -> None:
    empty = zeros(0, 3, N)
    assert rns.decompose(empty, CHAIN, 2).shape == (0, 3, 4, N)
    assert rns.inner_product(zeros(0, 3, 4, N), KEY, CHAIN, 2).shape == (0, 2, 4, N)
    assert rns.switch_key(zeros(2, 0, 3, N), KEY, CHAIN, 2, rescale=True).shape == (2, 0, 2, 2, N)
    assert rns.divide_special(zeros(0, 4, N), CHAIN, 2).shape == (0, 3, N)
    assert rns.rescale(empty, CHAIN, 2).shape == (0, 2, N)
    assert rns.compose(empty, CHAIN, 2).shape == (0, N)
    assert rns.compose_ints(empty, CHAIN, 2) == []


def test_the_lowest_level_has_nothing_to_drop() -> None:
    with pytest.raises(ValueError, match="level is 0: no modulus is left to divide by"):
        rns.rescale(zeros(1, N), CHAIN, 0)
    with pytest.raises(ValueError, match="level is 0"):
        rns.divide_special_and_rescale(zeros(2, N), CHAIN, 0)
    with pytest.raises(ValueError, match="level is 0"):
        rns.switch_key(zeros(1, N), KEY, CHAIN, 0, rescale=True)
    with pytest.raises(TypeError, match="rescale is int"):
        rns.switch_key(C, KEY, CHAIN, 2, rescale=1)  # type: ignore[arg-type]


def test_automorphisms_are_checked() -> None:
    for call in (
        lambda g: rns.inner_product(DIGITS, KEY, CHAIN, 2, galois=g),
        lambda g: rns.switch_key(C, KEY, CHAIN, 2, galois=g),
    ):
        for galois in (-1, 0, 2 * N):
            with pytest.raises(ValueError, match=f"galois is {galois}"):
                call(galois)
        with pytest.raises(ValueError, match="galois is 4: give an odd number"):
            call(4)
        with pytest.raises(TypeError, match="galois is str"):
            call("5")


# Chains


def test_chains_are_checked() -> None:
    with pytest.raises(ValueError, match="basis has no prime"):
        rns.Chain(LOG_N, [], SPECIAL)
    with pytest.raises(ValueError, match="basis has no prime"):
        rns.Chain(LOG_N, MODULI, [])
    with pytest.raises(ValueError, match=f"{MODULI[0]} is there twice"):
        rns.Chain(LOG_N, MODULI, [MODULI[0]])
    for dnum in (0, 5):
        with pytest.raises(ValueError, match=f"dnum is {dnum}: give 1 to 4"):
            rns.Chain(LOG_N, MODULI, SPECIAL, dnum=dnum)
    with pytest.raises(TypeError, match="dnum is float"):
        rns.Chain(LOG_N, MODULI, SPECIAL, dnum=2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="product of moduli 0 to 1, a digit of the key switch, exceeds"):
        rns.Chain(LOG_N, MODULI, SPECIAL, dnum=2)
    with pytest.raises(ValueError, match=r"product of moduli 0 to 0, .* larger or more special moduli"):
        rns.Chain(LOG_N, PRIMES[:1], PRIMES[1:2])
    many = ntt.find_primes(LOG_N, [40] * 65)
    with pytest.raises(ValueError, match="the chain has 65 moduli, special ones included: give 64 at most"):
        rns.Chain(LOG_N, many[1:], many[:1])
    with pytest.raises(TypeError, match=r"chain is tuple: give a crypsis\.rns\.Chain"):
        rns.decompose(C, (CHAIN,), 2)  # type: ignore[arg-type]


def test_chains_are_values() -> None:
    assert (CHAIN.log_n, CHAIN.n, CHAIN.alpha, CHAIN.dnum, CHAIN.key_shape) == (4, 16, 1, 4, (4, 2, 5, 16))
    assert CHAIN.moduli.primes == MODULI
    assert CHAIN.basis(1).primes == MODULI[:2]
    assert CHAIN.full(1).primes == MODULI[:2] + SPECIAL
    assert CHAIN.full(3).primes == MODULI + SPECIAL
    assert [CHAIN.n_digits(level) for level in range(4)] == [1, 2, 3, 4]
    twin = rns.Chain(LOG_N, list(MODULI), SPECIAL, dnum=4)
    assert twin == CHAIN
    assert hash(twin) == hash(CHAIN)
    assert twin != rns.Chain(LOG_N, MODULI[:3], SPECIAL)
    assert CHAIN != 3
    assert copy.deepcopy(CHAIN) == CHAIN
    assert repr(CHAIN).startswith("Chain(4, (")
    with pytest.raises(AttributeError, match="a Chain is immutable"):
        CHAIN.alpha = 2  # type: ignore[misc]
    for level in (-1, 4):
        with pytest.raises(ValueError, match="give 0 to 3"):
            CHAIN.basis(level)


@pytest.mark.parametrize(("dnum", "alpha", "digits"), [(1, 5, 1), (2, 3, 2), (3, 2, 3), (4, 2, 3), (5, 1, 5)])
def test_digits_are_of_one_size(dnum: int, alpha: int, digits: int) -> None:
    primes = ntt.find_primes(LOG_N, [50] * 5 + [40] * 5)
    chain = rns.Chain(LOG_N, primes[5:], primes[:5], dnum=dnum)
    assert (chain.alpha, chain.dnum) == (alpha, digits)
    assert chain.n_digits(4) == digits


def test_a_chain_may_have_as_many_moduli_as_it_says() -> None:
    primes = ntt.find_primes(3, [40] * rns.MAX_MODULI)
    chain = rns.Chain(3, primes[1:], primes[:1])
    level = len(chain.moduli) - 1
    c = np.ones((level + 1, chain.n), np.uint64)
    key = np.ones(chain.key_shape, np.uint64)
    results = [rns.switch_key(c, key, chain, level, backend=name) for name in backends.runnable("rns")]
    doubles = [rns.compose(c, chain, level, backend=name) for name in backends.runnable("rns")]
    assert all(np.array_equal(result, results[0]) for result in results)
    assert all((values == 1).all() for values in doubles)

# SPDX-License-Identifier: Apache-2.0
"""What crypsis.ntt refuses, what may share memory, how operands repeat, and threads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import backends, ntt
from crypsis.errors import BackendUnavailable

BACKENDS = backends.runnable("ntt")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
BASIS = ntt.Basis(7, ntt.find_primes(7, [30, 45, 60]))
Words = np.ndarray[Any, np.dtype[np.uint64]]


def residues(*lead: int, seed: int = 0) -> Words:
    rng = np.random.default_rng(seed)
    limbs = [rng.integers(0, p, (*lead, BASIS.n), np.uint64) for p in BASIS.primes]
    return np.ascontiguousarray(np.stack(limbs, axis=-2))


# Bases


@pytest.mark.parametrize(
    ("log_n", "primes", "message"),
    [
        (1, [17], "log_n is 1: give 2 to 16"),
        (17, [17], "log_n is 17: give 2 to 16"),
        (2, [], "the basis has no prime"),
        (2, [13], "a prime is 13: give 17 to"),
        (2, [2**60 + 33], "a prime is 1152921504606847009: give 17 to"),
        (2, [19], "prime 19 is not 1 mod 2N = 8: find_primes"),
        (2, [25], "prime 25 is not prime"),
        (3, [1105], "prime 1105 is not prime"),  # a Carmichael number
        (2, [17, 41, 17], "prime 17 is there twice"),
    ],
)
def test_bases_that_there_are_not(log_n: int, primes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ntt.Basis(log_n, primes)


def test_wrong_kinds_of_arguments_of_a_basis() -> None:
    for arguments in ((2.0, [17]), (2, 17), (2, [17.0]), (2, ["17"]), (True, [17])):
        with pytest.raises(TypeError):
            ntt.Basis(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log_n", "bits", "message"),
    [
        (13, [4], "bits is 4: give 5 to 60"),
        (13, [61], "bits is 61: give 5 to 60"),
        (16, [17], "bits is 17: no prime of that size is left"),
        (2, [5] * 10, "bits is 5: no prime of that size is left"),
        (20, [60], "log_n is 20"),
    ],
)
def test_primes_that_there_are_not(log_n: int, bits: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ntt.find_primes(log_n, bits)


def test_bases_are_values() -> None:
    again = ntt.Basis(7, BASIS.primes)
    assert again == BASIS
    assert hash(again) == hash(BASIS)
    assert len(BASIS) == 3
    assert BASIS[1].primes == BASIS.primes[1:2]
    assert BASIS[-1] + BASIS[:2] == ntt.Basis(7, (BASIS.primes[2], *BASIS.primes[:2]))
    assert [limb.primes[0] for limb in BASIS] == list(BASIS.primes)
    assert copy.deepcopy(BASIS) == BASIS
    assert BASIS[:2] != BASIS
    assert BASIS != "basis"
    assert eval(repr(BASIS), {"Basis": ntt.Basis}) == BASIS


def test_bases_cannot_be_changed_nor_joined_wrongly() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        BASIS.log_n = 8  # type: ignore[misc]
    with pytest.raises(ValueError, match="twice"):
        BASIS + BASIS[0]
    with pytest.raises(ValueError, match="log_n"):
        BASIS + ntt.Basis(6, ntt.find_primes(6, [25]))
    with pytest.raises(ValueError, match="no prime"):
        BASIS[3:]
    with pytest.raises(IndexError):
        BASIS[3]
    with pytest.raises(TypeError):
        BASIS + 17  # type: ignore[operator]


def test_slices_work_like_their_limbs() -> None:
    values = residues()
    whole = ntt.forward(values, BASIS)
    assert np.array_equal(ntt.forward(values[1:].copy(), BASIS[1:]), whole[1:])


# Arrays

Call = Callable[..., Words]
CALLS: dict[str, Call] = {
    "forward": ntt.forward,
    "inverse": ntt.inverse,
    "negate": ntt.negate,
    "add": lambda a, basis, **options: ntt.add(a, a, basis, **options),
    "subtract": lambda a, basis, **options: ntt.subtract(a, a, basis, **options),
    "multiply": lambda a, basis, **options: ntt.multiply(a, a, basis, **options),
    "multiply_add": lambda a, basis, **options: ntt.multiply_add(a, a, a, basis, **options),
    "scale": lambda a, basis, **options: ntt.scale(a, 3, basis, **options),
    "automorphism": lambda a, basis, **options: ntt.automorphism(a, 3, basis, **options),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@every_call
def test_arrays_that_are_none(call: Call) -> None:
    good = residues(2)
    for wrong in (good.astype(np.int64), good.tolist(), None):
        with pytest.raises(TypeError):
            call(wrong, BASIS)
    with pytest.raises(TypeError, match="basis is list"):
        call(good, list(BASIS.primes))
    for wrong in (good[..., :-1], good[:, :2], good[0, 0]):
        with pytest.raises(ValueError, match="has shape"):
            call(np.ascontiguousarray(wrong), BASIS)
    with pytest.raises(ValueError, match="not C-contiguous"):
        call(np.asfortranarray(good), BASIS)


@every_call
def test_outputs_that_are_refused_stay_as_they_are(call: Call) -> None:
    good = residues(2)
    out = np.full(good.shape, 7, np.uint64)
    read_only = out.copy()
    read_only.flags.writeable = False
    for wrong in (out[:1], out[..., ::-1], read_only):
        with pytest.raises(ValueError, match="out"):
            call(good, BASIS, out=wrong)
    memory = np.zeros(good.size + 8, np.uint64)
    memory[: good.size] = good.reshape(-1)
    inside = memory[: good.size].reshape(good.shape)
    with pytest.raises(ValueError, match="out overlaps"):
        call(inside, BASIS, out=memory[8:].reshape(good.shape))
    for options in ({"threads": 0}, {"threads": 5000}, {"backend": ""}):
        with pytest.raises(ValueError, match=next(iter(options))):
            call(good, BASIS, out=out, **options)
    with pytest.raises(BackendUnavailable, match="does not exist for ntt"):
        call(good, BASIS, out=out, backend="avx1024")
    assert (out == 7).all()


@every_call
def test_results_in_place_and_elsewhere(call: Call) -> None:
    values = residues(3)
    for backend in BACKENDS:
        wanted = call(values, BASIS, backend=backend)
        out = np.empty_like(values)
        assert call(values, BASIS, backend=backend, out=out) is out
        assert np.array_equal(out, wanted)
        if call is CALLS["automorphism"]:
            with pytest.raises(ValueError, match="out overlaps"):
                call(values, BASIS, out=values)
            continue
        same = values.copy()
        assert call(same, BASIS, backend=backend, out=same) is same
        assert np.array_equal(same, wanted)


@every_call
def test_any_alignment_and_no_polynomial(call: Call) -> None:
    values = residues(2)
    for backend in BACKENDS:
        wanted = call(values, BASIS, backend=backend)
        memory = np.zeros(8 * values.size + 64, np.uint8)
        for offset in (8, 16, 40):
            moved = memory[offset : offset + 8 * values.size].view(np.uint64).reshape(values.shape)
            moved[...] = values
            assert np.array_equal(call(moved, BASIS, backend=backend), wanted)
        assert call(values[:0], BASIS, backend=backend).shape == (0, *values.shape[1:])


def test_operands_repeat_over_leading_axes() -> None:
    a = residues(2, 3, 2)
    p = np.array(BASIS.primes, object)[:, None]
    for lead in (
        (),
        (1,),
        (2,),
        (3, 1),
        (3, 2),
        (1, 1, 1),
        (1, 3, 1),
        (2, 1, 1),
        (2, 3, 1),
        (2, 1, 2),
        (1, 3, 2),
    ):
        b, c = residues(*lead, seed=1), residues(*lead, seed=2)
        wanted = (a.astype(object) * b.astype(object) + c.astype(object)) % p
        for backend in BACKENDS:
            assert ntt.multiply_add(a, b, c, BASIS, backend=backend).tolist() == wanted.tolist()
    for lead in ((3,), (2, 2), (2, 3, 2, 1), (1, 2, 3, 2)):
        with pytest.raises(ValueError, match="does not broadcast"):
            ntt.multiply(a, residues(*lead), BASIS)


def test_out_may_be_a_second_operand_only_as_a_whole() -> None:
    a, b = residues(2), residues(2, seed=1)
    wanted = ntt.subtract(a, b, BASIS)
    assert np.array_equal(ntt.subtract(a, b, BASIS, out=b), wanted)
    pair = residues(2)
    with pytest.raises(ValueError, match="out overlaps"):
        ntt.multiply(pair, pair[0], BASIS, out=pair)


def test_automorphisms_that_there_are_not() -> None:
    for galois, error in (
        (0, ValueError),
        (2, ValueError),
        (256, ValueError),
        (257, ValueError),
        (3.0, TypeError),
    ):
        with pytest.raises(error, match="galois is"):
            ntt.automorphism(residues(), galois, BASIS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ntt_domain"):
        ntt.automorphism(residues(), 3, BASIS, ntt_domain=1)  # type: ignore[arg-type]


def test_constants_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="constants has 2 entries"):
        ntt.scale(residues(), [1, 2], BASIS)
    for wrong in (1.0, [1, 2, 3.0], [True, 1, 2]):
        with pytest.raises(TypeError):
            ntt.scale(residues(), wrong, BASIS)  # type: ignore[arg-type]


def test_signed_values_that_there_are_not() -> None:
    for wrong in (np.zeros(128, np.uint8), np.zeros(128), [0] * 128):
        with pytest.raises(TypeError, match="values is"):
            ntt.from_signed(wrong, BASIS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="values has shape"):
        ntt.from_signed(np.zeros(127, np.int8), BASIS)
    strided = np.arange(-128, 128, dtype=np.int64)[::2]
    assert np.array_equal(ntt.from_signed(strided, BASIS), ntt.from_signed(strided.copy(), BASIS))


def test_is_reduced() -> None:
    values = residues(2)
    assert ntt.is_reduced(values, BASIS)
    values[1, 2, 5] = BASIS.primes[2]
    assert not ntt.is_reduced(values, BASIS)


@every_backend
def test_threads_give_the_same_words(backend: str) -> None:
    basis = ntt.Basis(12, ntt.find_primes(12, [40, 50, 60]))
    rng = np.random.default_rng(3)
    values = np.stack([rng.integers(0, p, (9, basis.n), np.uint64) for p in basis.primes], axis=1)
    one, many = ({"backend": backend, "threads": threads} for threads in (1, 5))
    transformed = ntt.forward(values, basis, **one)
    assert np.array_equal(ntt.forward(values, basis, **many), transformed)
    assert np.array_equal(ntt.inverse(transformed, basis, **many), values)
    for g, domain in ((5, True), (7, False)):
        assert np.array_equal(
            ntt.automorphism(values, g, basis, ntt_domain=domain, **many),
            ntt.automorphism(values, g, basis, ntt_domain=domain, **one),
        )
    assert np.array_equal(
        ntt.multiply_add(values, values[:1], transformed, basis, **many),
        ntt.multiply_add(values, values[:1], transformed, basis, **one),
    )
    signed = rng.integers(-100, 100, (9, basis.n), np.int8)
    assert np.array_equal(ntt.from_signed(signed, basis, **many), ntt.from_signed(signed, basis, **one))


# The tensor product and new arrays


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("lead", [(), (0,), (3,), (2, 2)])
def test_tensor_is_made_of_products(backend: str, lead: tuple[int, ...]) -> None:
    x, y = residues(*lead, 2, seed=1), residues(*lead, 2, seed=2)
    (x0, x1), (y0, y1) = ([np.ascontiguousarray(array[..., i, :, :]) for i in range(2)] for array in (x, y))
    middle = ntt.multiply_add(x1, y0, ntt.multiply(x0, y1, BASIS), BASIS)
    wanted = np.stack([ntt.multiply(x0, y0, BASIS), middle, ntt.multiply(x1, y1, BASIS)], axis=-3)
    assert np.array_equal(ntt.tensor(x, y, BASIS, backend=backend), wanted)
    out = np.empty_like(wanted)
    assert ntt.tensor(x, y, BASIS, backend=backend, threads=1, out=out) is out
    assert np.array_equal(out, wanted)
    assert np.array_equal(ntt.tensor(x, x, BASIS, backend=backend), ntt.tensor(x, x.copy(), BASIS))


def test_tensor_refuses() -> None:
    x = residues(2, 2)
    for wrong in (residues(2, 3), residues(3, 2), residues(2), residues()):
        with pytest.raises(ValueError, match="x and y have shapes"):
            ntt.tensor(x, wrong, BASIS)
        with pytest.raises(ValueError, match="x and y have shapes"):
            ntt.tensor(wrong, x, BASIS)
    with pytest.raises(ValueError, match="out has shape"):
        ntt.tensor(x, x, BASIS, out=np.empty_like(x))
    memory = np.zeros(9 * x[0, 0].size, np.uint64)
    factor = memory[: x.size].reshape(x.shape)
    out = memory[3 * x[0, 0].size :].reshape(2, 3, *x.shape[-2:])
    for first, second in ((factor, x), (x, factor)):
        with pytest.raises(ValueError, match="out overlaps"):
            ntt.tensor(first, second, BASIS, out=out)


def test_operands_that_overlap_out_are_refused() -> None:
    """A factor that broadcasts, and any that starts elsewhere."""
    memory = np.zeros(3 * residues(2).size, np.uint64)
    out = memory[: residues(2).size].reshape(residues(2).shape)
    with pytest.raises(ValueError, match="out overlaps"):
        ntt.multiply(residues(2), out[0], BASIS, out=out)
    shifted = memory[8 : 8 + out.size].reshape(out.shape)
    with pytest.raises(ValueError, match="out overlaps"):
        ntt.add(residues(2), shifted, BASIS, out=out)
    with pytest.raises(ValueError, match="out overlaps"):
        ntt.multiply_add(residues(2), residues(2), shifted, BASIS, out=out)
    beside = memory[out.size : 2 * out.size].reshape(out.shape)
    assert ntt.add(residues(2), beside, BASIS, out=out) is out
    coefficients = memory[: BASIS.n].view(np.int64)
    with pytest.raises(ValueError, match="out overlaps"):
        ntt.from_signed(coefficients, BASIS, out=out[0])


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 5), (7,), (2, 3, 64)])
def test_empty_begins_a_cache_line(shape: tuple[int, ...]) -> None:
    for _ in range(5):
        array = ntt.empty(shape)
        assert (array.shape, array.dtype) == (shape, np.uint64)
        assert array.ctypes.data % 64 == 0
        assert array.flags.carray
        array[...] = 1


def test_empty_refuses() -> None:
    for shape in ((-1,), (2, -3), (2**40, 2**40), (2**62,)):
        with pytest.raises(ValueError, match="shape"):
            ntt.empty(shape)
    with pytest.raises(MemoryError):
        ntt.empty((2**48,))

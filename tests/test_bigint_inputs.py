# SPDX-License-Identifier: Apache-2.0
"""bigint: what is refused, what may alias, conversions, forced backends."""

from __future__ import annotations

import contextlib
import copy
import random
import threading

import numpy as np
import pytest

from bigint_cases import every_backend, rows, values
from crypsis import backends, bigint
from crypsis.errors import BackendUnavailable

N = (1 << 300) - 153
MODULUS = bigint.Modulus(N)
A = values(N, 20)
X = rows(A, MODULUS)
STARTS = np.array([0, 5, 20])


# Conversion


def test_conversion_round_trip() -> None:
    numbers = [0, 1, 2**64 - 1, 2**64, 2**319, 2**320 - 1]
    array = bigint.from_ints(numbers, 5)
    assert array.dtype == np.uint64
    assert array.shape == (6, 5)
    assert array.flags.c_contiguous
    assert bigint.to_ints(array) == numbers
    assert bigint.to_ints(array[3]) == [2**64]
    assert bigint.to_ints(bigint.from_ints([], 5)) == []
    assert bigint.from_ints(iter([7, np.int64(8)]), 1).tolist() == [[7], [8]]


def test_conversion_refuses() -> None:
    with pytest.raises(ValueError, match="index 1 is negative"):
        bigint.from_ints([1, -1], 2)
    with pytest.raises(ValueError, match=r"index 2 is above 2 limbs \(129 bits\)"):
        bigint.from_ints([1, 2, 1 << 128], 2)
    with pytest.raises(ValueError, match="limbs is 0"):
        bigint.from_ints([1], 0)
    for value in (3.7, "12", float("inf"), None):
        with pytest.raises(TypeError, match=r"the value at index 1 is .*: give an int"):
            bigint.from_ints([1, value], 2)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="values is list"):
        bigint.to_ints([1, 2])  # type: ignore[arg-type]


# Modulus


def test_modulus() -> None:
    assert (MODULUS.n, MODULUS.n_bits, MODULUS.limbs) == (N, 300, 5)
    assert bigint.to_ints(MODULUS.one_montgomery) == [pow(2, 320, N)]
    with pytest.raises(ValueError, match="read-only"):
        MODULUS.one_montgomery[0] = 1
    same = bigint.Modulus(N)
    assert same == MODULUS
    assert hash(same) == hash(MODULUS)
    assert same != bigint.Modulus(N - 2)
    assert same != N
    assert copy.deepcopy({1: MODULUS})[1] == MODULUS
    assert repr(MODULUS) == "Modulus(<300 bits>)"
    with pytest.raises(AttributeError):
        MODULUS.n = 5  # type: ignore[misc]


@pytest.mark.parametrize("n", [2**300, 2**8192 + 2, (1 << 255) - 19, 3, 1, 0, -(2**300) - 1, 2**8192 + 1])
def test_bad_modulus(n: int) -> None:
    with pytest.raises(ValueError, match="give an odd one of 256 to 8192 bits"):
        bigint.Modulus(n)


def test_modulus_of_another_type() -> None:
    for n in (3.0, "3", None, True):
        with pytest.raises(TypeError, match="give an int"):
            bigint.Modulus(n)  # type: ignore[arg-type]


# Values


def calls(x: np.ndarray) -> dict:
    """Every function that takes values mod n, by name, on the rows x."""
    bins = np.zeros(len(x), dtype=np.int64)
    e = bigint.from_ints([5], 1)[0]
    ones = np.ones((2, len(x)), dtype=np.uint64)
    return {
        "mod_mul": lambda **o: bigint.mod_mul(x, X[0], MODULUS, **o),
        "mod_sqr": lambda **o: bigint.mod_sqr(x, MODULUS, **o),
        "to_montgomery": lambda **o: MODULUS.to_montgomery(x, **o),
        "powm": lambda **o: bigint.powm(x, e, MODULUS, **o),
        "powm_vartime": lambda **o: bigint.powm_vartime(x, e, MODULUS, **o),
        "segmented_prod": lambda **o: bigint.segmented_prod(x, np.array([0, len(x)]), MODULUS, **o),
        "cumulative_prod": lambda **o: bigint.cumulative_prod(x, np.array([0, len(x)]), MODULUS, **o),
        "scatter_mul": lambda **o: bigint.scatter_mul(x, bins, 2, MODULUS, **o),
        "batch_inverse": lambda **o: bigint.batch_inverse(x, MODULUS, **o),
        "multi_powm": lambda **o: bigint.multi_powm(x, ones, MODULUS, **o),
        "multi_powm_vartime": lambda **o: bigint.multi_powm_vartime(x, ones, MODULUS, **o),
    }


NAMES = list(calls(X))
HAVE_MONTGOMERY = [name for name in NAMES if name != "to_montgomery"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [N, N + 1, 2**320 - 1, (N >> 128 << 128) + 2**128 - 1])
def test_value_not_below_the_modulus(name: str, bad: int) -> None:
    x = bigint.from_ints([1, 2, bad, 3], 5)
    out = np.full((4, 5), 7, dtype=np.uint64)
    with pytest.raises(ValueError, match="the value in row 2 is not below the modulus"):
        calls(x)[name]()
    if name in ("mod_mul", "mod_sqr", "powm", "cumulative_prod", "batch_inverse"):
        with pytest.raises(ValueError, match="row 2 is not below"):
            calls(x)[name](montgomery=True, out=out)
        assert (out == 7).all()


def test_second_operand_not_below_the_modulus() -> None:
    with pytest.raises(ValueError, match="b: the value in row 0"):
        bigint.mod_mul(X, bigint.from_ints([N], 5), MODULUS)
    with pytest.raises(ValueError, match="a: the value in row 0"):
        bigint.mod_mul(bigint.from_ints([N], 5), X, MODULUS)
    for montgomery in (False, True):
        with pytest.raises(ValueError, match="base: the value in row 0"):
            bigint.FixedBase(bigint.from_ints([N], 5)[0], MODULUS, 10, montgomery=montgomery)


@pytest.mark.parametrize("montgomery", [False, True])
@pytest.mark.parametrize("exponent", [0, 1])
def test_products_of_powers_name_the_array(montgomery: bool, exponent: int) -> None:
    bad = X.copy()
    bad[3] = bigint.from_ints([N], 5)[0]
    exponents = np.full((2, len(X)), exponent, dtype=np.int64)
    with pytest.raises(ValueError, match="bases: the value in row 3"):
        bigint.multi_powm(bad, exponents.view(np.uint64), MODULUS, montgomery=montgomery)
    with pytest.raises(ValueError, match="bases: the value in row 3"):
        bigint.multi_powm_vartime(bad, exponents, MODULUS, montgomery=montgomery)
    with pytest.raises(ValueError, match="inverses: the value in row 3"):
        bigint.multi_powm_vartime(X, exponents, MODULUS, inverses=bad, montgomery=montgomery)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arrays(name: str) -> None:
    with pytest.raises(TypeError, match="give a NumPy array of uint64"):
        calls(X.astype(np.int64))[name]()
    with pytest.raises(TypeError, match="byte order"):
        calls(X.astype(">u8"))[name]()
    with pytest.raises(ValueError, match="the limbs of the modulus"):
        calls(np.zeros((3, 4), dtype=np.uint64))[name]()
    with pytest.raises(ValueError, match="dimension"):
        calls(np.zeros((3, 5, 1), dtype=np.uint64))[name]()
    with pytest.raises(ValueError, match="not C-contiguous"):
        calls(np.zeros((5, 3), dtype=np.uint64).T)[name]()
    with pytest.raises(TypeError, match="threads is str"):
        calls(X)[name](threads="2")
    with pytest.raises(ValueError, match="threads is 0"):
        calls(X)[name](threads=0)


@pytest.mark.parametrize("name", NAMES)
def test_bad_out(name: str) -> None:
    with pytest.raises(ValueError, match="out has shape"):
        calls(X)[name](out=np.zeros((3, 5), dtype=np.uint64))
    with pytest.raises(TypeError, match="out is"):
        calls(X)[name](out=[1])
    shape = calls(X)[name]().shape if name != "batch_inverse" else X.shape
    fixed = np.zeros(shape, dtype=np.uint64)
    fixed.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        calls(X)[name](out=fixed)


def test_wrong_counts() -> None:
    with pytest.raises(ValueError, match="give as many rows"):
        bigint.mod_mul(X, X[:3], MODULUS)
    with pytest.raises(ValueError, match="give as many rows"):
        bigint.powm(X, bigint.from_ints([1, 2], 1), MODULUS)
    for multi in (bigint.multi_powm, bigint.multi_powm_vartime):
        with pytest.raises(ValueError, match="for 20 bases"):
            multi(X, np.zeros((2, 3), dtype=np.uint64), MODULUS)
    with pytest.raises(ValueError, match="give one for each"):
        bigint.multi_powm_vartime(X, np.zeros((1, 20), dtype=np.int64), MODULUS, inverses=X[:2])
    with pytest.raises(ValueError, match=r"base has shape \(20, 5\)"):
        bigint.FixedBase(X, MODULUS, 10)


def test_exponents() -> None:
    e = bigint.from_ints([1, 2, 1 << 70], 2)
    fixed = bigint.FixedBase(X[3], MODULUS, 70, window=3)
    for call in (
        lambda: bigint.powm(X[:3], e, MODULUS, exponent_bits=70),
        lambda: bigint.powm_vartime(X[:3], e, MODULUS, exponent_bits=70),
        lambda: fixed.powm(e),
        lambda: fixed.powm_vartime(e),
    ):
        with pytest.raises(
            ValueError, match="exponents: the value in row 2 has more than exponent_bits = 70 bits"
        ):
            call()
    with pytest.raises(ValueError, match="in row 1 has more than exponent_bits = 3"):
        bigint.multi_powm(X[:1], np.array([[7], [8]], dtype=np.uint64), MODULUS, exponent_bits=3)
    with pytest.raises(ValueError, match="exponent_bits is 129: give 0 to 128"):
        bigint.powm(X[:3], e, MODULUS, exponent_bits=129)
    with pytest.raises(ValueError, match="at least one limb"):
        bigint.powm(X[:3], np.zeros((3, 0), dtype=np.uint64), MODULUS)
    with pytest.raises(ValueError, match="window is 13"):
        bigint.FixedBase(X[0], MODULUS, 70, window=13)
    with pytest.raises(ValueError, match="exponent_bits is 0"):
        bigint.FixedBase(X[0], MODULUS, 0)


@pytest.mark.parametrize("starts", [[0, 3, 2], [-1, 3], [0, 21], [5, 2, 20]])
def test_bad_segments(starts: list[int]) -> None:
    with pytest.raises(ValueError, match="starts"):
        bigint.segmented_prod(X, np.array(starts), MODULUS)
    with pytest.raises(ValueError, match="starts"):
        bigint.cumulative_prod(X, np.array(starts), MODULUS)


def test_starts_that_change_meanwhile() -> None:
    """They are addresses: another thread that writes to them must not reach other memory."""
    x = np.repeat(X, 1000, axis=0)
    starts = np.array([0, len(x)])
    out = bigint.cumulative_prod(x, starts, MODULUS, montgomery=True)
    want = out.copy()
    done = threading.Event()

    def disturb() -> None:
        while not done.is_set():
            starts[1] = len(x) * 1000
            starts[1] = len(x)

    other = threading.Thread(target=disturb)
    other.start()
    try:
        for _ in range(100):
            with contextlib.suppress(ValueError):
                bigint.cumulative_prod(x, starts, MODULUS, montgomery=True, out=out)
    finally:
        done.set()
        other.join()
    assert (out == want).all()


def test_other_bad_segments() -> None:
    for call in (bigint.segmented_prod, bigint.cumulative_prod):
        with pytest.raises(ValueError, match="starts has shape"):
            call(X, np.array([], dtype=np.int64), MODULUS)
        with pytest.raises(TypeError, match="starts is an array of int32"):
            call(X, np.array([0, 20], dtype=np.int32), MODULUS)
    for starts in ([1, 20], [0, 19]):
        with pytest.raises(ValueError, match="begin with 0 and end with the number of rows, 20"):
            bigint.cumulative_prod(X, np.array(starts), MODULUS)


def test_bad_bins() -> None:
    bins = np.zeros(20, dtype=np.int64)
    for bad in (-2, 3, 2**40):
        bins[7] = bad
        with pytest.raises(ValueError, match=f"bins holds {bad}: give -1 to n_bins - 1 = 2"):
            bigint.scatter_mul(X, bins, 3, MODULUS)
    bins[7] = 0
    with pytest.raises(ValueError, match="for 20 rows"):
        bigint.scatter_mul(X, bins[:3], 3, MODULUS)
    with pytest.raises(ValueError, match="mask has shape"):
        bigint.scatter_mul(X, bins, 3, MODULUS, mask=np.ones(3, dtype=bool))
    with pytest.raises(TypeError, match="mask is an array of int64"):
        bigint.scatter_mul(X, bins, 3, MODULUS, mask=bins)
    with pytest.raises(ValueError, match="n_bins is 0"):
        bigint.scatter_mul(X, bins, 0, MODULUS)


# Empty batches, aliasing


@pytest.mark.parametrize("name", HAVE_MONTGOMERY)
@pytest.mark.parametrize("montgomery", [False, True])
def test_empty(name: str, montgomery: bool) -> None:
    empty = np.empty((0, 5), dtype=np.uint64)
    got = calls(empty)[name](montgomery=montgomery)
    n_ones = {"segmented_prod": 1, "scatter_mul": 2, "multi_powm": 2, "multi_powm_vartime": 2}.get(name, 0)
    one = MODULUS.one_montgomery if montgomery else bigint.from_ints([1], 5)[0]
    assert got.shape == (n_ones, 5)
    assert (got == one).all()


@every_backend
def test_out_may_be_the_input(backend: str) -> None:
    y = X[::-1].copy()
    e = bigint.from_ints([77], 1)[0]
    options = {"backend": backend, "threads": 2}
    for call in (
        lambda x, **o: bigint.mod_mul(x, y, MODULUS, **o),
        lambda x, **o: bigint.mod_mul(y, x, MODULUS, **o),
        lambda x, **o: bigint.mod_mul(x, x, MODULUS, **o),
        lambda x, **o: bigint.mod_mul(x, y[3], MODULUS, **o),
        lambda x, **o: bigint.mod_sqr(x, MODULUS, **o),
        lambda x, **o: bigint.powm(x, e, MODULUS, **o),
        lambda x, **o: bigint.cumulative_prod(x, STARTS, MODULUS, **o),
        lambda x, **o: MODULUS.to_montgomery(x, **o),
    ):
        want = call(X, **options)
        x = X.copy()
        assert call(x, out=x, **options) is x
        assert (x == want).all()


def test_out_that_overlaps_is_refused() -> None:
    room = np.zeros((22, 5), dtype=np.uint64)
    room[:20] = X
    e = bigint.from_ints(A, 5)
    for call in (
        lambda: bigint.mod_mul(room[:20], X, MODULUS, out=room[2:]),
        lambda: bigint.mod_sqr(room[:20], MODULUS, out=room[1:21]),
        lambda: bigint.mod_mul(X, room[3], MODULUS, out=room[:20]),
        lambda: bigint.powm(room[3], e, MODULUS, out=room[:20]),
        lambda: bigint.powm(X, e, MODULUS, out=e),
        lambda: bigint.segmented_prod(room[:20], STARTS, MODULUS, out=room[:2]),
        lambda: bigint.segmented_prod(X, room[0, :3].view(np.int64), MODULUS, out=room[:2]),
        lambda: bigint.cumulative_prod(X[:2], room[0, :3].view(np.int64), MODULUS, out=room[:2]),
        lambda: bigint.scatter_mul(room[:20], np.zeros(20, dtype=np.int64), 2, MODULUS, out=room[:2]),
        lambda: bigint.FixedBase(X[0], MODULUS, 300, window=2).powm(e, out=e),
        lambda: bigint.multi_powm(room[:2], np.ones((2, 2), dtype=np.uint64), MODULUS, out=room[:2]),
        lambda: bigint.multi_powm_vartime(room[:2], np.ones((2, 2), dtype=np.int64), MODULUS, out=room[:2]),
    ):
        with pytest.raises(ValueError, match="out overlaps an input"):
            call()


def test_unaligned_rows() -> None:
    """Rows that begin at any multiple of 8 bytes."""
    for offset in range(9):
        room = np.zeros(offset + X.size, dtype=np.uint64)
        x = room[offset:].reshape(X.shape)
        x[:] = X
        assert bigint.to_ints(bigint.mod_sqr(x, MODULUS)) == [i * i % N for i in A]


def test_rows_at_odd_addresses_are_refused() -> None:
    room = np.zeros(X.nbytes + 1, dtype=np.uint8)
    x = room[1:].view(np.uint64).reshape(X.shape)
    x[:] = X
    with pytest.raises(ValueError, match="a does not begin at a multiple of 8 bytes"):
        bigint.mod_sqr(x, MODULUS)
    with pytest.raises(ValueError, match="out does not begin at a multiple of 8 bytes"):
        bigint.mod_sqr(X, MODULUS, out=x)


def test_other_names_of_the_dtype() -> None:
    x = np.frombuffer(X.tobytes(), dtype=np.ulonglong).reshape(X.shape)
    assert bigint.to_ints(bigint.mod_sqr(x, MODULUS)) == [i * i % N for i in A]
    starts = STARTS.astype(np.longlong)
    assert (bigint.segmented_prod(x, starts, MODULUS) == bigint.segmented_prod(X, STARTS, MODULUS)).all()


# Backends


@pytest.mark.parametrize("name", NAMES)
def test_unknown_backend(name: str) -> None:
    x = rows([random.Random(i).randrange(1, N) for i in range(3)], MODULUS)
    with pytest.raises(BackendUnavailable, match="backend 'gpu' does not exist for bigint"):
        calls(x)[name](backend="gpu")


def test_backend_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", "bigint:portable")
    chosen = [row.backend for row in backends.report() if row.slug == "bigint" and row.chosen]
    assert chosen == ["portable"]
    assert bigint.to_ints(bigint.mod_sqr(X, MODULUS)) == [i * i % N for i in A]

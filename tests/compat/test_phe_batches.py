# SPDX-License-Identifier: Apache-2.0
"""Operations that wait, batches of blinding factors and decryptions: what is inside, and when it goes wrong."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import numpy as np
import pytest

import crypsis.compat.phe as ours
from crypsis.compat.phe import _arithmetic, _batches, _blinding


@pytest.fixture
def key_pair() -> Any:
    return ours.generate_paillier_keypair(n_length=512)


def raw(number: Any) -> int:
    return number.ciphertext(be_secure=False)


def test_a_loop_is_one_product(key_pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    public, _ = key_pair
    numbers = [public.encrypt(i) for i in range(500)]
    calls = []
    original = _batches.products_of_powers
    monkeypatch.setattr(
        _batches, "products_of_powers", lambda jobs, field: calls.append(len(jobs)) or original(jobs, field)
    )
    expected = 1
    for number in numbers:
        expected = expected * raw(number) % public.nsquare
    assert raw(sum(numbers)) == expected
    assert calls == [1]


def test_long_chains_and_fibonacci(key_pair: Any) -> None:
    public, private = key_pair
    total = public.encrypt(0)
    one = public.encrypt(1)
    for _ in range(3 * _arithmetic.MAX_PENDING):
        total = total + one
    assert private.decrypt(total) == 3 * _arithmetic.MAX_PENDING
    a, b = public.encrypt(0), public.encrypt(1)
    for _ in range(300):  # inside one another, this would be 2^200 terms
        a, b = b, a + b
    x, y = 0, 1
    for _ in range(300):
        x, y = y, x + y
    assert private.decrypt(a) == x


def test_held_numbers_are_computed_once_and_dropped_ones_not(key_pair: Any) -> None:
    public, _ = key_pair
    field = public.arithmetic
    a = public.encrypt(3)
    held = a * 5
    dropped = a * 7
    node = dropped._node
    del dropped
    gc.collect()
    assert raw(held * 2) == pow(raw(a), 10, public.nsquare)
    assert not held._node.pending
    assert node.pending
    assert not field._pending


@pytest.mark.parametrize("terms", [3, 30])
def test_matrix_products(key_pair: Any, terms: int) -> None:
    public, private = key_pair
    rng = np.random.default_rng(terms)
    vector = rng.integers(-(2**30), 2**30, terms)
    encrypted = np.array([public.encrypt(int(x)) for x in vector])
    for matrix in (rng.integers(-(2**20), 2**20, (9, terms)), rng.integers(0, 2, (9, terms))):
        results = matrix.astype(object) @ encrypted
        for row, result in zip(matrix.tolist(), results, strict=True):
            expected = 1
            for weight, number in zip(row, encrypted, strict=True):
                expected = expected * pow(raw(number), weight, public.nsquare) % public.nsquare
            assert raw(result) == expected
        assert [private.decrypt(result) for result in results] == (matrix @ vector).tolist()
    wide = [int(x) << 70 for x in vector]
    assert private.decrypt(np.dot(encrypted, wide)) == sum(
        int(x) * w for x, w in zip(vector, wide, strict=True)
    )


def test_a_number_without_inverse_harms_no_other(key_pair: Any) -> None:
    public, private = key_pair
    good = [public.encrypt(i) for i in range(20)]
    bad = ours.EncryptedNumber(public, private.p)
    results = [number * -3 for number in good]
    broken = bad * -3
    after = broken + good[0]
    assert [private.decrypt(result) for result in results] == [-3 * i for i in range(20)]
    for number in (broken, after):
        with pytest.raises(ZeroDivisionError):
            raw(number)
        with pytest.raises(ZeroDivisionError):
            private.decrypt(number)
    dot = sum(number * -(i + 2) for i, number in enumerate([*good, bad]))
    with pytest.raises(ZeroDivisionError):
        raw(dot)


def test_an_interrupt_loses_nothing(key_pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    public, private = key_pair
    results = [public.encrypt(i) * 3 + 1 for i in range(20)]
    with monkeypatch.context() as patch:

        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(_batches, "products_of_powers", interrupted)
        with pytest.raises(KeyboardInterrupt):
            raw(results[0])
    assert [private.decrypt(result) for result in results] == [3 * i + 1 for i in range(20)]


def test_threads(key_pair: Any) -> None:
    public, private = key_pair
    shared = [public.encrypt(i) for i in range(50)]
    answers: dict[int, Any] = {}

    def work(k: int) -> None:
        numbers = [public.encrypt(k) + other * k for other in shared]
        answers[k] = [private.decrypt(number) for number in numbers], sum(numbers)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(6):
        assert answers[k][0] == [k + i * k for i in range(50)]
        assert private.decrypt(answers[k][1]) == sum(k + i * k for i in range(50))


def test_no_factor_is_used_twice(key_pair: Any) -> None:
    public, _ = key_pair
    factors = [raw(public.encrypt(0)) for _ in range(3 * _blinding.MOST)]
    assert len(set(factors)) == len(factors)
    bare = ours.PaillierPublicKey(public.n)
    assert bare.h is None
    factors += [raw(bare.encrypt(0)) for _ in range(2 * _blinding.MOST_WITHOUT_GENERATOR)]
    assert len(set(factors)) == len(factors)


def test_used_factors_are_wiped(key_pair: Any) -> None:
    public, _ = key_pair
    public.encrypt(1)
    batch = public._batch
    assert batch._left == _blinding.FIRST - 1
    assert not batch._rows[batch._left :].any()
    assert batch._rows[: batch._left].any(axis=1).all()
    rows = batch._rows
    batch.forget()
    assert not rows.any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_shares_no_factor(key_pair: Any) -> None:
    public, private = key_pair
    pending = public.encrypt(20) * 2 + 2
    public.encrypt(0)  # a batch is open
    reading, writing = os.pipe()
    public.arithmetic._lock.acquire()  # as if another thread were at work while the process forks
    child = os.fork()
    if child == 0:
        try:
            seen = [raw(public.encrypt(0)) for _ in range(4)]
            seen.append(private.decrypt(pending))
            os.write(writing, " ".join(map(str, seen)).encode())
        finally:
            os._exit(0)
    public.arithmetic._lock.release()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = [int(text) for text in pipe.read().split()]
    os.waitpid(child, 0)
    assert theirs.pop() == private.decrypt(pending) == 42
    mine = [raw(public.encrypt(0)) for _ in range(4)]
    assert len(set(mine + theirs)) == 8


def test_decryption_in_any_order(key_pair: Any) -> None:
    public, private = key_pair
    numbers = [public.encrypt(i) for i in range(100)]
    order = np.random.default_rng(5).permutation(100).tolist()
    for i in order + list(range(100)) + list(range(99, -1, -1)):
        assert private.decrypt(numbers[i]) == i
    numbers[7].obfuscate()
    assert private.decrypt(numbers[7]) == 7
    same = [ours.EncryptedNumber(public, raw(numbers[3])) for _ in range(20)]
    assert [private.decrypt(number) for number in same] == [3] * 20


def test_bad_neighbours_do_not_disturb_a_decryption(key_pair: Any) -> None:
    public, private = key_pair
    number = public.encrypt(5)
    others = [
        ours.EncryptedNumber(public, value) for value in (0, private.p, public.n, "x", None, -5, 1.5, 2**9000)
    ]
    other_public, _ = ours.generate_paillier_keypair(n_length=512)
    others.append(other_public.encrypt(3))
    waiting = [public.encrypt(i) + i for i in range(3)]
    assert private.decrypt(number) == 5
    assert [private.decrypt(each) for each in waiting] == [0, 2, 4]
    assert len(others) == 9


def test_the_list_of_numbers_forgets_the_dead(key_pair: Any) -> None:
    public, private = key_pair
    first = public.encrypt(1)
    for _ in range(10_000):
        first + 1
    last = public.encrypt(2)
    recent = public.arithmetic.recent
    assert len(recent._numbers) < 9000
    assert last in list(recent.after(first))
    assert [private.decrypt(first), private.decrypt(last)] == [1, 2]


def test_equal_keys_share_their_arithmetic(key_pair: Any) -> None:
    public, private = key_pair
    again = ours.PaillierPublicKey(public.n)
    assert again.arithmetic is public.arithmetic
    assert again == public
    assert private.decrypt(public.encrypt(1) + again.encrypt(2)) == 3
    other, _ = ours.generate_paillier_keypair(n_length=512)
    assert other.arithmetic is not public.arithmetic

# SPDX-License-Identifier: Apache-2.0
"""The pool of blinding factors: filled, bounded, thread-safe, never the same factor twice, wiped."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from crypsis import _core, okamoto_uchiyama, paillier
from crypsis._homomorphic import blinding, limbs
from crypsis.paillier import BlindingPool
from homomorphic_keys import ARRAY_KEYS, SMALL, okamoto_uchiyama_small, paillier_small, paillier_small_foreign


@pytest.mark.parametrize("key", sorted(ARRAY_KEYS))
def test_encrypts_and_rerandomizes_from_a_pool(key: str) -> None:
    private = ARRAY_KEYS[key]()
    values = np.arange(-20, 20)
    for source in (private, private.public_key):
        with BlindingPool(source, capacity=50) as pool:
            assert pool.wait(timeout=60)
            assert pool.ready == 50
            c = private.public_key.encrypt(values, pool=pool)
            assert (private.decrypt(c) == values).all()
            assert (private.decrypt((c + c).rerandomize(pool=pool)) == 2 * values).all()
            assert (private.decrypt(private.encrypt(values, pool=pool)) == values).all()


def test_no_factor_is_handed_out_twice_to_many_threads() -> None:
    private = paillier_small()
    with BlindingPool(private, capacity=64) as pool, ThreadPoolExecutor(8) as threads:
        sizes = [1, 3, 0, 17, 64, 100, 2, 5] * 5
        taken = list(threads.map(pool.take, sizes))
    assert [len(rows) for rows in taken] == sizes
    everything = [value for rows in taken for value in limbs.to_ints(rows)]
    assert len(set(everything)) == len(everything) == sum(sizes)
    assert all(everything)


def test_a_taken_factor_is_wiped_in_the_pool() -> None:
    with BlindingPool(paillier_small(), capacity=8) as pool:
        assert pool.wait(timeout=60)
        with pool._changed:
            block = pool._blocks[0]
        rows = pool.take(3)
        assert rows.all(axis=1).any()
        assert not block[5:].any()
        rest = block[:5]
        assert rest.any()
    assert not rest.any()  # closing wiped what was left


def test_the_pool_is_bounded_and_fills_again() -> None:
    with BlindingPool(paillier_small(), capacity=20) as pool:
        assert pool.wait(timeout=60)
        pool.take(15)
        assert pool.wait(20, timeout=60)
        assert pool.ready == 20
        assert "ready=20, capacity=20" in repr(pool)
    assert pool.ready == 0
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        pool.take(1)
    assert not pool.wait(timeout=0.01)
    assert not pool._thread.is_alive()


def test_a_pool_that_is_closed_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    key = paillier_small()
    started, go = threading.Event(), threading.Event()
    made: list[Any] = []

    class Slow:
        modulus = key.modulus

        def blinding_factors(self, count: int) -> Any:
            started.set()
            go.wait(60)
            made.append(key.blinding_factors(count))
            return made[0]

    pool = BlindingPool(Slow(), capacity=4)
    assert started.wait(60)
    closing = threading.Thread(target=pool.close)
    closing.start()
    while not pool._closed:
        pass
    go.set()
    closing.join(60)
    assert not made[0].any()
    assert pool.ready == 0


def test_a_failing_thread_is_reported() -> None:
    class Broken:
        modulus = paillier_small().modulus

        def blinding_factors(self, count: int) -> Any:
            raise OSError("no entropy")

    pool = BlindingPool(Broken(), capacity=4)
    assert not pool.wait(timeout=60)
    with pytest.raises(RuntimeError, match="background thread failed") as caught:
        pool.take(1)
    assert isinstance(caught.value.__cause__, OSError)
    pool.close()


def test_a_pool_does_not_survive_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlindingPool(paillier_small(), capacity=4) as pool:
        assert pool.wait(timeout=60)
        with monkeypatch.context() as child:
            child.setattr(blinding.os, "getpid", lambda: -1)
            with pytest.raises(RuntimeError, match="through a fork"):
                pool.take(1)
            assert pool.ready == 0
            pool.close()  # does nothing there
        assert pool.ready == 4


@pytest.mark.parametrize("scheme", ["paillier", "okamoto-uchiyama"])
def test_a_thread_that_makes_tables_keeps_nobody_waiting(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork copies held locks and not the thread that would let go of them: a child would wait for ever."""
    private = ARRAY_KEYS[scheme]()
    fresh = type(private.public_key).from_bytes(private.public_key.to_bytes(), **SMALL)
    inside, go = threading.Event(), threading.Event()
    build = _core.bigint.FixedBase

    def slow(*arguments: Any) -> Any:
        if threading.current_thread().name == "first":
            inside.set()
            go.wait(60)
        return build(*arguments)

    monkeypatch.setattr(_core.bigint, "FixedBase", slow)
    first = threading.Thread(target=fresh.encrypt, args=([1],), name="first")
    first.start()
    assert inside.wait(60)
    with ThreadPoolExecutor(1) as other:
        done = other.submit(fresh.encrypt, [7])
        try:
            assert private.decrypt(done.result(timeout=60)).tolist() == [7]
        finally:
            go.set()
    first.join()
    assert private.decrypt(fresh.encrypt([8])).tolist() == [8]


def test_waiting_for_a_pool_that_came_through_a_fork_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlindingPool(paillier_small(), capacity=4) as pool:
        with monkeypatch.context() as child:
            child.setattr(blinding.os, "getpid", lambda: -1)
            with pytest.raises(RuntimeError, match="through a fork"):
                pool.wait()
        assert pool.wait(timeout=60)


def test_a_pool_is_of_one_key_not_of_one_modulus() -> None:
    """Okamoto-Uchiyama keys of the same n with other generators: factors of one would spoil the other's ciphertexts.

    Paillier keys of the same n are equal, whether they know a generator or not: factors of one serve the other.
    """
    private = okamoto_uchiyama_small()
    public = private.public_key
    n = public.n
    other = okamoto_uchiyama.PublicKey(n, g=pow(public.g, 3, n), h=pow(public.h, 5, n), **SMALL)
    assert other.modulus.n == public.modulus.n
    with BlindingPool(private, capacity=4) as pool:
        with pytest.raises(ValueError, match="another key"):
            other.encrypt([1], pool=pool)
        with pytest.raises(ValueError, match="another key"):
            other.encrypt([1]).rerandomize(pool=pool)
        again = type(public).from_bytes(public.to_bytes(), **SMALL)
        assert private.decrypt(again.encrypt([1], pool=pool)).tolist() == [1]
    key = paillier_small()
    bare = paillier.PublicKey(key.public_key.n, **SMALL)
    with BlindingPool(key, capacity=4) as pool:
        assert key.decrypt(bare.encrypt([1], pool=pool)).tolist() == [1]


def test_pools_of_other_keys_and_wrong_sizes_are_refused() -> None:
    with BlindingPool(paillier_small(), capacity=1) as pool:
        other = paillier_small_foreign()
        with pytest.raises(ValueError, match="another key"):
            other.public_key.encrypt([1], pool=pool)
        with pytest.raises(ValueError, match="another key"):
            other.encrypt([1]).rerandomize(pool=pool)
        with pytest.raises(ValueError, match="short"):
            paillier_small().encrypt([1]).rerandomize(pool=pool, full=True)
    for capacity in (0, -1, 2.5, "8"):
        with pytest.raises(ValueError, match="capacity is"):
            BlindingPool(paillier_small(), capacity=capacity)
    assert paillier.BlindingPool is BlindingPool

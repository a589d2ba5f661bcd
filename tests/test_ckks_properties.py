# SPDX-License-Identifier: Apache-2.0
"""Random circuits on ciphertexts against the same on numbers, within the noise estimate; backends bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckks_cases import (
    SHIFTS,
    SWITCHING,
    TINY,
    TWO_DIGITS,
    check,
    coins,
    numbers,
    parameters,
    public_key,
    secret_key,
)
from crypsis import backends, ckks

LENGTH = 512

constants = st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 6))
steps = st.one_of(
    st.tuples(st.sampled_from(["add", "subtract", "multiply"]), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.sampled_from(["plus", "times", "minus"]), st.integers(0, 5), constants),
    st.tuples(st.just("integer"), st.integers(0, 5), st.integers(-3, 3)),
    st.tuples(st.sampled_from(["vector plus", "vector times"]), st.integers(0, 5), st.integers(0, 3)),
    st.tuples(st.just("rotate"), st.integers(0, 5), st.sampled_from(SHIFTS)),
    st.tuples(st.just("conjugate"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("drop"), st.integers(0, 5), st.integers(0, 2)),
)


def apply(step: tuple[str, int, Any], pool: list[Any], encrypted: bool) -> Any:
    """One step of a circuit on numbers or on ciphertexts."""
    name, i, operand = step
    a = pool[i % len(pool)]
    vector = numbers(LENGTH, seed=int(operand) if name.startswith("vector") else 0, complex=True)
    if name in ("add", "subtract", "multiply"):
        b = pool[operand % len(pool)]
        return a + b if name == "add" else a - b if name == "subtract" else a * b
    if name == "rotate":
        return a.rotate(operand) if encrypted else np.roll(a, -operand, axis=-1)
    if name == "conjugate":
        return a.conjugate()
    if name == "drop":
        return a.at_level(min(operand, a.level)) if encrypted else a
    return {
        "plus": lambda: a + operand,
        "minus": lambda: operand - a,
        "times": lambda: a * operand,
        "integer": lambda: a * operand,
        "vector plus": lambda: a + vector,
        "vector times": lambda: vector * a,
    }[name]()


@pytest.mark.parametrize("literal", SWITCHING)
@settings(max_examples=25)
@given(circuit=st.lists(steps, min_size=1, max_size=8), seed=st.integers(0, 100))
def test_circuits(literal: ckks.Literal, circuit: list[tuple[str, int, Any]], seed: int) -> None:
    secret, public = secret_key(literal), public_key(literal)
    plain: list[Any] = [
        numbers(LENGTH, seed=seed, complex=True),
        numbers(LENGTH, seed=seed + 1, complex=True),
    ]
    cipher: list[Any] = [
        public.encrypt(plain[0], magnitude=1.01),
        secret.encrypt(plain[1], magnitude=1.01, keys=public),
    ]
    takes_a_level = {"multiply", "times", "vector times"}
    for step in circuit:
        operands = [cipher[step[1] % len(cipher)]]
        if step[0] in ("add", "subtract", "multiply"):
            operands.append(cipher[step[2] % len(cipher)])
        if step[0] in takes_a_level and min(operand.level for operand in operands) == 0:
            continue
        value = apply(step, plain, False)
        if np.abs(value).max() > 50:
            continue
        plain.append(value)
        cipher.append(apply(step, cipher, True))
    for array, value in zip(cipher, plain, strict=True):
        check(secret, array, np.asarray(value, complex))


def fingerprint() -> list[bytes]:
    """All that a computation makes, with given coins."""
    found = []
    for literal in (TINY, TWO_DIGITS):
        secret = ckks.SecretKey(parameters(literal), bytes(range(32)))
        found.append(secret.id)
        array = public_key(literal).encrypt(numbers(3, 100), coins=coins(5))
        found.append(array.data.tobytes())
        product = (array * array + 0.5).rotate(1) * array.conjugate()
        found.append(product.data.tobytes())
        found.append(array.rotate_many((1, 2)).data.tobytes())
        found.append((array * numbers(100)).data.tobytes())
        found.append(secret_key(literal).decrypt(product).tobytes())
    return found


def test_backends_and_threads_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each backend that some of the kernels have gives the same bits, from keys to decrypted doubles."""
    reference = fingerprint()
    names = set.intersection(
        *(set(backends.runnable(slug)) for slug in ("aes", "embedding", "ntt", "rns", "sampling"))
    )
    assert "portable" in names
    for name in sorted(names):
        monkeypatch.setenv("CRYPSIS_BACKEND", name)
        assert fingerprint() == reference, name
    monkeypatch.delenv("CRYPSIS_BACKEND")
    monkeypatch.setenv("CRYPSIS_NUM_THREADS", "3")
    assert fingerprint() == reference

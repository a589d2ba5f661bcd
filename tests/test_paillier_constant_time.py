# SPDX-License-Identifier: Apache-2.0
"""Encryption and decryption take the same steps whatever the values are: every line, as often, by trace."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from crypsis import bigint
from crypsis._homomorphic import limbs
from homomorphic_keys import ARRAY_KEYS

SPECIAL = (0, 1, 2**64 - 1, 2**64 - 2, 2**63)


def steps(call: Callable[[], Any]) -> Counter[tuple[str, int]]:
    """How often each line of `crypsis` runs."""
    seen: Counter[tuple[str, int]] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if "crypsis" not in frame.f_code.co_filename:
            return None
        if event == "line":
            seen[frame.f_code.co_filename, frame.f_lineno] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return seen


@pytest.fixture(params=sorted(ARRAY_KEYS))
def key(request: pytest.FixtureRequest) -> Any:
    return ARRAY_KEYS[request.param]()


def test_decryption_does_not_tell_the_value_by_its_steps(key: Any) -> None:
    """A sum just below n, as that of the halves of a small negative number is, borrows through every limb."""
    key.decrypt_encoded(key.encrypt(np.array([1])))
    values = (0, 1, -1, 2, -2, 2**62, -(2**62), 2**63 - 1, -(2**63))
    ciphertexts = [key.encrypt(np.array([value])) for value in values]
    counts = [steps(lambda c=c: key.decrypt_encoded(c)) for c in ciphertexts]
    assert all(count == counts[0] for count in counts)


def test_encryption_does_not_tell_the_value_by_its_steps(key: Any) -> None:
    # For Okamoto-Uchiyama the bits of the largest value are told: equal ones here.
    top = 2**63 - 1
    public = key.public_key
    factors = key.blinding_factors(2)  # made ahead: rejection takes as many rounds as chance has it
    public.encrypt_with(lambda _: factors.copy(), np.array([1, top]))
    counts = [
        steps(lambda v=value: public.encrypt_with(lambda _: factors.copy(), np.array([v, top])))
        for value in (0, 1, -1, 5, 2**62, -(2**62), top, -top)
    ]
    assert all(count == counts[0] for count in counts)


def test_what_is_inverted_is_blinded(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inversion is not constant-time in the product of a batch, and 3 c is a function of the secret 3."""
    products = []
    inverse = bigint.batch_inverse

    def batch_inverse(rows: Any, modulus: bigint.Modulus, **options: Any) -> Any:
        products.append(math.prod(limbs.to_ints(modulus.from_montgomery(rows))) % modulus.n)
        return inverse(rows, modulus, **options)

    monkeypatch.setattr(bigint, "batch_inverse", batch_inverse)
    c = key.encrypt(np.array([1, 2]))
    for call, wanted in (
        (lambda: -(c * 3), [-3, -6]),
        (lambda: c * [3, -3], [3, -6]),
        (lambda: c * -3, [-3, -6]),
        (lambda: np.array([[3, -3]]) @ c, [-3]),
    ):
        products.clear()
        assert key.decrypt(call()).tolist() == key.decrypt(call()).tolist() == wanted
        assert len(products) == len(set(products)) == 2


@pytest.mark.parametrize("k", [1, 2, 7, 63, 64, 65, 128, 129])
def test_carries_through_every_number_of_limbs(k: int) -> None:
    rng = random.Random(k)
    modulus = 1 << (64 * k)

    def number() -> int:
        return sum(rng.choice((*SPECIAL, rng.getrandbits(64))) << (64 * i) for i in range(k))

    a = [0, modulus - 1, 0, modulus - 1, 1, *(number() for _ in range(60))]
    b = [modulus - 1, 1, 1, modulus - 1, modulus - 1, *(number() for _ in range(60))]
    left, right = limbs.from_ints(a, k), limbs.from_ints(b, k)
    assert steps(lambda: limbs.add(left, right)) == steps(lambda: limbs.add(left * 0, right * 0))
    assert steps(lambda: limbs.sub(left, right)) == steps(lambda: limbs.sub(left * 0, right * 0))
    total, overflow = limbs.add(left, right)
    assert limbs.to_ints(total) == [(x + y) % modulus for x, y in zip(a, b, strict=True)]
    assert overflow.tolist() == [x + y >= modulus for x, y in zip(a, b, strict=True)]
    for one in (left[1], left[-1]):
        x = limbs.to_int(one)
        difference, negative = limbs.sub(one, right)
        assert limbs.to_ints(difference) == [(x - y) % modulus for y in b]
        assert negative.tolist() == [x < y for y in b]
        assert limbs.to_ints(limbs.add(right, one)[0]) == [(x + y) % modulus for y in b]
    difference, negative = limbs.sub(left, right)
    assert limbs.to_ints(difference) == [(x - y) % modulus for x, y in zip(a, b, strict=True)]
    assert negative.tolist() == [x < y for x, y in zip(a, b, strict=True)]
    assert limbs.add(left[:0], right[:0])[0].shape == limbs.sub(left[0], right[:0])[0].shape == (0, k)

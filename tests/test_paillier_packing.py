# SPDX-License-Identifier: Apache-2.0
"""Several values in one plaintext."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis import paillier
from crypsis.paillier import base16
from homomorphic_keys import ARRAY_KEYS

RNG = np.random.default_rng(20261122)
X = RNG.integers(-1000, 1000, (3, 4))


@pytest.fixture(params=sorted(ARRAY_KEYS))
def key(request: pytest.FixtureRequest) -> Any:
    return ARRAY_KEYS[request.param]()


def test_packing(key: Any) -> None:
    values = RNG.integers(-(2**19), 2**19, (2, 10))
    packing = paillier.Packing(n_slots=4, slot_bits=24)
    packed = key.encrypt(packing.pack(values))
    assert packed.shape == (2, 3)
    assert (key.decrypt(packed, packing=packing, n_items=10) == values).all()
    assert (key.decrypt(packed + packed, packing=packing, n_items=10) == 2 * values).all()
    assert (key.decrypt(packed * -3, packing=packing, n_items=10) == -3 * values).all()
    later = key.encrypt(values).pack(packing)
    assert (key.decrypt(later, packing=packing, n_items=10) == values).all()
    assert key.decrypt(later, packing=packing).shape == (2, 12)
    assert (key.decrypt(later.sum(0), packing=packing, n_items=10) == values.sum(0)).all()
    reals = key.encrypt(packing.pack(values / 16, encoding=base16(-1)))
    assert (key.decrypt(reals, packing=packing, n_items=10) == values / 16).all()


def test_packing_refuses(key: Any) -> None:
    packing = paillier.Packing(n_slots=4, slot_bits=8)
    with pytest.raises(ValueError, match="value 2 does not fit a slot of 8 bits"):
        packing.pack([0, -128, 128])
    with pytest.raises(ValueError, match="single number"):
        packing.pack(3)
    with pytest.raises(ValueError, match="one exponent"):
        packing.pack([0.5, 1e9], encoding=base16())
    with pytest.raises(ValueError, match="slots"):
        key.encrypt(X).pack(paillier.Packing(n_slots=100, slot_bits=64))
    with pytest.raises(ValueError, match="not a single"):
        key.encrypt(1).pack(packing)
    with pytest.raises(ValueError, match="items take"):
        key.decrypt(key.encrypt(packing.pack([1, 2])), packing=packing, n_items=9)
    with pytest.raises(OverflowError, match="beyond its 4 slots"):
        key.decrypt(key.encrypt(1 << 33).reshape(1), packing=packing)
    for wrong in ({"n_slots": 0, "slot_bits": 8}, {"n_slots": 2, "slot_bits": 2.5}):
        with pytest.raises(ValueError, match="give a positive integer"):
            paillier.Packing(**wrong)


def test_packings_that_a_key_cannot_decrypt_are_refused_when_packing(key: Any) -> None:
    """Okamoto-Uchiyama's plaintexts are longer than the range that its decryption checks."""
    public = key.public_key
    most = public.max_packed_bits
    gap = 40 if public.scheme == "okamoto-uchiyama" else 1
    assert most == public.max_int.bit_length() - gap
    fits = paillier.Packing(n_slots=1, slot_bits=most)
    ends = np.array([-(2 ** (most - 1)), 2 ** (most - 1) - 1], dtype=object)
    assert (key.decrypt(key.encrypt(fits.pack(ends)), packing=fits, dtype=object) == ends).all()
    assert (key.decrypt(key.encrypt([[-5], [6]]).pack(fits), packing=fits) == [[-5], [6]]).all()
    for bits in {most + 1, public.max_int.bit_length() - 1, public.max_int.bit_length()} - {most}:
        wide = paillier.Packing(n_slots=1, slot_bits=bits)
        for call in (
            lambda wide=wide: key.encrypt(wide.pack([1])),
            lambda wide=wide: public.encrypt_vartime(wide.pack([1])),
            lambda wide=wide: key.encrypt([1]) + wide.pack([1]),
            lambda wide=wide: key.encrypt([1]).pack(wide),
        ):
            with pytest.raises(ValueError, match=f"take {bits} bits together, this key takes {most}:"):
                call()

# SPDX-License-Identifier: Apache-2.0
"""What no decryption would notice: public seeds used twice, or made of secrets, and masks that repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ckks_cases import TINY, numbers, parameters
from crypsis import aes, ckks


def rows(data: np.ndarray) -> list[bytes]:
    """Each polynomial's residues modulo the first prime."""
    return [polynomial.tobytes() for polynomial in data.reshape(-1, *data.shape[-2:])[:, 0]]


def test_public_seeds_are_fresh_and_made_of_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from_seed, secrets = aes.Generator.from_seed, []

    def recorded(seed: Any) -> aes.Generator:
        secrets.append(bytes(seed))
        return from_seed(seed)

    monkeypatch.setattr(aes.Generator, "from_seed", recorded)
    own = bytes(range(32))
    secret = ckks.SecretKey(parameters(TINY), own)
    again = ckks.SecretKey(parameters(TINY), bytes(32))
    secrets += [own, bytes(32)]
    assert len(set(secrets)) == 6  # ternary and noise of each key, and the two themselves
    seeds = [secret.encryption.seed, again.encryption.seed]
    for _ in range(2):
        public = secret.public_key(rotations=(1, 2), conjugate=True)
        seeds += [public.relinearisation().seed, *(public.galois(g, "").seed for g in public.galois_elements)]
        array = secret.encrypt(numbers(3, 8))
        assert array.seeded is not None
        seeds.append(array.seeded[1])
        sent = public.to_bytes() + array.to_bytes()
        assert not any(seed in sent or seed[:16] in sent or seed[16:] in sent for seed in secrets)
    assert len(set(seeds)) == len(seeds) == 12
    assert not {half for seed in seeds for half in (seed[:16], seed[16:])} & {
        half for seed in secrets for half in (seed[:16], seed[16:])
    }


def test_masks_do_not_repeat() -> None:
    """Over the digits of a key, the keys of one call, the ciphertexts of a batch longer than a block, and calls."""
    secret = ckks.SecretKey(parameters(TINY), bytes(32))
    public = secret.public_key(rotations=(1,), conjugate=True)
    switching = [public.relinearisation(), *(public.galois(g, "") for g in public.galois_elements)]
    masks = rows(public.encryption.mask)
    for key in switching:
        masks += rows(key.data[:, 1])
    for _ in range(2):
        masks += rows(secret.encrypt(numbers(40, 8)).data[:, 1])
    assert len(set(masks)) == len(masks) == 1 + 3 * 4 + 80
    bodies = [body for key in switching for body in rows(key.body)]
    assert len(set(bodies)) == len(bodies)

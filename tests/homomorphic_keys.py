# SPDX-License-Identifier: Apache-2.0
"""Keys of the tests of Paillier and Okamoto-Uchiyama: fixed, public, and small where speed matters."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from crypsis import okamoto_uchiyama, paillier

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "paillier.json").read_text())
HEX = {name: int(value, 16) for name, value in VECTORS["key"].items()}
HEX_OU = {name: int(value, 16) for name, value in VECTORS["okamoto_uchiyama_key"].items()}
SMALL = {"insecure_allow_small_key": True}


@functools.cache
def paillier_2048() -> paillier.PrivateKey:
    """A key of our generator."""
    public = paillier.PublicKey(HEX["p"] * HEX["q"], h=HEX["h"])
    return paillier.PrivateKey(public, HEX["p"], HEX["q"])


@functools.cache
def paillier_2048_foreign() -> paillier.PrivateKey:
    """The same primes as a bare n, as python-paillier would hand it over."""
    public = paillier.PublicKey(HEX["p"] * HEX["q"])
    return paillier.PrivateKey(public, HEX["p"], HEX["q"])


@functools.cache
def paillier_small() -> paillier.PrivateKey:
    """512 bits."""
    return paillier.generate_keypair(512, **SMALL)[1]


@functools.cache
def paillier_small_foreign() -> paillier.PrivateKey:
    """530 bits, of unequal primes that are no multiple of a limb: nothing our generator makes."""
    gmpy2 = __import__("gmpy2")
    p, q = int(gmpy2.next_prime(3 << 249)), int(gmpy2.next_prime(5 << 276))
    return paillier.PrivateKey(paillier.PublicKey(p * q, **SMALL), p, q)


@functools.cache
def okamoto_uchiyama_2048() -> okamoto_uchiyama.PrivateKey:
    """A key of our generator."""
    public = okamoto_uchiyama.PublicKey(HEX_OU["n"], g=HEX_OU["g"], h=HEX_OU["h"])
    return okamoto_uchiyama.PrivateKey(public, HEX_OU["p"], HEX_OU["t"])


@functools.cache
def okamoto_uchiyama_small() -> okamoto_uchiyama.PrivateKey:
    """768 bits."""
    return okamoto_uchiyama.generate_keypair(768, **SMALL)[1]


ARRAY_KEYS = {
    "paillier": paillier_small,
    "paillier-foreign": paillier_small_foreign,
    "okamoto-uchiyama": okamoto_uchiyama_small,
}
"""Small keys of every kind, by name: what the tests of arrays run over."""

# SPDX-License-Identifier: Apache-2.0
"""Keys that are public: encryptions of zero and of a secret under another, half of each a 32-byte seed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._ckks import coins
from crypsis._ckks.coins import Coins
from crypsis._ckks.parameters import Parameters
from crypsis._ckks.places import Placed
from crypsis._homomorphic.secret import Frozen
from crypsis._homomorphic.wiping import wiping

Residues = npt.NDArray[np.uint64]


class EncryptionKey(Frozen):
    """(b, a) with b = -a s + e over the moduli: an encryption of zero. a is expanded from the seed at its first use.

    body: b, `uint64[L, N]`, NTT domain. digest: SHA-256 of parameters, seed and body, which names the key pair.
    """

    __slots__ = ("_a", "body", "digest", "parameters", "seed")

    parameters: Parameters
    body: Residues
    seed: bytes
    digest: bytes
    _a: list[Residues]

    def __init__(self, parameters: Parameters, body: Residues, seed: bytes) -> None:
        total = hashlib.sha256(b"crypsis ckks key 1\0" + parameters.digest + seed)
        total.update(body.tobytes())
        self._set(parameters=parameters, body=body, seed=seed, digest=total.digest(), _a=[])

    @property
    def mask(self) -> Residues:
        """a, `uint64[L, N]`."""
        # No lock: a fork could leave it held in the child. Of two expansions at once one is kept.
        if not self._a:
            self._a.append(coins.expand(self.seed, (), self.parameters.moduli))
        return self._a[0]

    @classmethod
    def make(cls, parameters: Parameters, secret: Residues, seed: bytes, random: Coins) -> EncryptionKey:
        """A key for `secret`, `uint64[L + k, N]`."""
        basis = parameters.moduli
        mask = coins.expand(seed, (), basis)
        with wiping() as held:
            body = encrypt_zero(mask, secret[: len(basis)], basis, random, held)
        return cls(parameters, body, seed)


class SwitchKey(Frozen):
    """Turns what is encrypted under one secret into the same under another, digit by digit [HK20].

    Row j is (b_j, a_j) with b_j = -a_j s + e_j + P g_j s', over the moduli and the special primes; g_j is 1 modulo the
    moduli of digit j and 0 modulo the others. Made with `make`, or from what `serial` read. What is kept is the seed
    and the b_j, `uint64[dnum, L + k, N]`, until the first use; then all of it.
    """

    __slots__ = ("_body", "_full", "parameters", "seed")

    parameters: Parameters
    seed: bytes
    _body: list[Residues]
    _full: list[Placed]

    def __init__(self, parameters: Parameters, body: Residues, seed: bytes) -> None:
        self._set(parameters=parameters, seed=seed, _body=[body], _full=[])

    @property
    def body(self) -> Residues:
        """The b_j, `uint64[dnum, L + k, N]`."""
        held = list(self._body)
        return held[0] if held else np.ascontiguousarray(self._full[0].host[:, 0])

    @property
    def data(self) -> Residues:
        """`uint64[dnum, 2, L + k, N]`, as `crypsis.rns` takes it."""
        data: Residues = self._expanded().host
        return data

    def beside(self, data: Any) -> Any:
        """The same where `data` are."""
        return self._expanded().beside(data)

    def _expanded(self) -> Placed:
        while not self._full:
            for body in list(self._body):  # none where another thread was faster
                full = ntt.empty((len(body), 2, *body.shape[1:]))
                full[:, 0] = body
                full[:, 1] = coins.expand(self.seed, (len(body),), self.parameters.full)
                # No lock: a fork could leave it held in the child. Of two expansions at once the first is used.
                self._full.append(Placed(full))
        if self._body:
            self._body[:] = []
        return self._full[0]

    @property
    def nbytes(self) -> int:
        """Memory of the key as it is kept now."""
        return sum(array.nbytes for array in [*self._body, *(full.host for full in self._full)])

    @classmethod
    def make(cls, parameters: Parameters, secret: Residues, source: Residues, random: Coins) -> SwitchKey:
        """From the secret `source` to `secret`, both `uint64[L + k, N]`, NTT domain. With fresh noise and seed."""
        basis, n_moduli = parameters.full, len(parameters.moduli)
        seed = coins.public_seed()
        mask = coins.expand(seed, (parameters.dnum,), basis)
        alpha = parameters.chain.alpha
        with wiping() as held:
            body = encrypt_zero(mask, secret, basis, random, held)
            scaled = held(
                ntt.scale(
                    source[:n_moduli],
                    [parameters.special_product % q for q in parameters.moduli.primes],
                    parameters.moduli,
                )
            )
            for digit in range(len(body)):
                part = slice(digit * alpha, min((digit + 1) * alpha, n_moduli))
                ntt.add(body[digit, part], scaled[part], basis[part], out=body[digit, part])
        return cls(parameters, body, seed)


def encrypt_zero(mask: Residues, secret: Residues, basis: ntt.Basis, random: Coins, held: Any) -> Residues:
    """e - a s with fresh e for every a of `mask`, `uint64[..., limbs, N]`, NTT domain."""
    noise = held(random.noise((*mask.shape[:-2], mask.shape[-1])))
    error = held(ntt.from_signed(noise, basis))
    ntt.forward(error, basis, out=error)
    product = ntt.multiply(mask, secret, basis)
    return ntt.subtract(error, product, basis, out=product)

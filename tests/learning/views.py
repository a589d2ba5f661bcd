# SPDX-License-Identifier: Apache-2.0
"""What crossed the line in a run, taken apart: of every ciphertext which key it is of, and what made it.

The rule of all protocols: what leaves a party is an encryption under its own key, or blinded in full under another's;
a ciphertext is sent to one peer once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048
from tests.psi.pair import Recorder

from crypsis import okamoto_uchiyama
from crypsis._homomorphic.cipher_array import UnblindedCipherArray
from crypsis._homomorphic.keys import PublicKeyBase
from crypsis.mpc.learning.session import CIPHERS

ENCRYPTED, BLINDED, BLINDED_IN_FULL = "encrypted", "blinded", "blinded in full"


@functools.cache
def hosts_key() -> okamoto_uchiyama.PrivateKey:
    """Another key than the one that `parties.session_of` gives: of the same primes, with other generators."""
    private = okamoto_uchiyama_2048()
    public = private.public_key
    g, h = pow(public.g, 3, public.n), pow(public.h, 5, public.n)
    return okamoto_uchiyama.PrivateKey(
        okamoto_uchiyama.PublicKey(public.n, g=g, h=h), private._p.p, private._t
    )


KEYS = {"guest": okamoto_uchiyama_2048, "host": hosts_key}


@contextlib.contextmanager
def watched() -> Iterator[dict[int, str]]:
    """What made each ciphertext (a residue) that is blinded while this is open."""
    made: dict[int, str] = {}
    encrypt_with, rerandomize = PublicKeyBase.encrypt_with, UnblindedCipherArray.rerandomize

    def encrypting(self: Any, *args: Any, **options: Any) -> Any:
        found = encrypt_with(self, *args, **options)
        made.update(dict.fromkeys(found.to_ints(), ENCRYPTED))
        return found

    def blinding(self: Any, *, full: bool = False, **options: Any) -> Any:
        found = rerandomize(self, full=full, **options)
        made.update(dict.fromkeys(found.to_ints(), BLINDED_IN_FULL if full else BLINDED))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PublicKeyBase, "encrypt_with", encrypting)
        patch.setattr(UnblindedCipherArray, "rerandomize", blinding)
        yield made


def loaded(raw: bytes) -> tuple[str, Any]:
    """(whose key, ciphertexts) of a message."""
    for name, key in KEYS.items():
        if raw[8:40] == key().public_key.digest:
            return name, key().public_key.load_ciphertexts(raw)
    raise AssertionError("ciphertexts of no party's key")


def residues(array: Any) -> list[int]:
    """Of ciphertexts, as they travelled."""
    plain = array.public_key.modulus.from_montgomery(array._rows)
    return [int.from_bytes(row.tobytes(), "little") for row in plain]


def check_blinding(recorded: Mapping[str, list[Recorder]], made: Mapping[int, str]) -> int:
    """Asserts the rule of every ciphertext sent; returns how many there were."""
    count = 0
    for party, channels in recorded.items():
        for channel in channels:
            sent: list[int] = []
            for raw in channel.sent.get(CIPHERS, []):
                whose, array = loaded(raw)
                found = residues(array)
                due = ENCRYPTED if whose == party else BLINDED_IN_FULL
                wrong = {made.get(residue, "of arithmetic") for residue in found} - {due}
                assert not wrong, f"{party} sent ciphertexts of {whose}'s key that are {wrong}, not {due}"
                sent += found
            assert len(set(sent)) == len(sent), f"{party} sent a ciphertext twice"
            count += len(sent)
    return count

# SPDX-License-Identifier: Apache-2.0
"""Vouchers: proof to every party that a ciphertext is the sum of one summand of each of them, each as it was made.

A decryption share c1 s_i + f_i of a c1 that the aggregator made up, q / 3 say, is s_i; of a sum that has a fresh
encryption of P_i in it and nothing made up, it is one more sample of ring learning with errors, and is told apart
from the others only together with those of all. So parties answer sums only, which they recognise by a message
authentication code that is linear in what it authenticates [CW79, AB09], under a key K that the parties have and the
aggregator does not:

    voucher of c by P_i    u, t_i = h(c1) + m(i, u)      u: 16 random bytes
    h(c1)                  sum over rows r and k of w_r v_k c1[r, k], each modulus by itself; v, w follow from K
    m(i, u)                residues from SHAKE-256(K, key, context, i, u): each hides one h and is used once
    proof for sum c_i      u_1 .. u_n, t = sum t_i        anyone adds vouchers up
    check of c             u_i is of P_i's last voucher in this context, not used before; t = h(c1) + sum m(j, u_j)

Claim      An aggregator that knows no K gets an answer of P_i for c1 other than sum c1_j, of summands that each P_j
           vouched for in this context, of which P_i's is the one that it made last for it and answers once, with
           probability (2 / q)^R for each answer, q the smallest modulus, R such that this is below 2^-64 (2 for 40
           bits: 2^-78), and the advantage of telling SHAKE-256 and AES from random.
Why        Every t_j that it sees is masked by an m of its own, so it says nothing of v and w. For nonces that were
           given, t passes if t - sum t_j = h(c1 - sum c1_j). Where the difference d is not 0, it is not in some row
           and k of some modulus: sum_r w_r d[r, k] is 0 with probability 1 / q; if it is not, the sum over k with v is
           one certain number with probability 1 / q. For a nonce that P_j never gave, its m is random and so is t. A
           summand that is left out, doubled, or of another block, run, key or context lacks its m or has d not 0. The
           second half alone is covered: an answer is a function of nothing else.
Old ones   An aggregator that ends a run and has it begun again, of the same context, may put P_j's summand of then in
           P_i's sum. That is a sum of honest summands, which P_j does not answer any more: its secret stays in it.
Assumes    K from key generation (below); parties that follow the protocol and show their K to nobody who would help
           the aggregator. The check says where summands come from, not that they are encryptions: who makes a wrong
           one needs a proof of encryption against it, which is not here. **An aggregator together with one party can
           do all that it could without vouchers**; so it could with signatures in their place, since that party's
           made-up summand (0, q / 3) makes the sum itself show the key.
Summands   One of every party, each once, n in all: as many of honest parties as there are such. What the sum says of
           one party's numbers to all others together is for the parties to weigh; two that trust each other are the
           least that hides one of them.

K comes from the first party, who seals it (ChaCha20-Poly1305 [RFC 8439]) for each other one under an X25519 key
exchange [RFC 7748] whose public halves are the 32 bytes that parties give for the common polynomial: committed to, and
in `JointKey.fingerprint`. An aggregator that put its own in their place would have other fingerprints at the parties,
who must compare them over another way before the first sum, as they must for the key itself.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypsis import ntt
from crypsis._ckks.coins import expand
from crypsis._homomorphic.wiping import wipe, wiping
from crypsis.errors import BackendUnavailable, ProtocolAbort

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    from crypsis._ckks.threshold.agreement import Agreement

KEY_BYTES = 32
SEALED_BYTES = KEY_BYTES + 16
NONCE_BYTES = 16
BITS = 64
"""A wrong sum passes with a probability below 2^-BITS."""
WIDE_BYTES = 16
"""Of SHAKE-256 for a residue: its bias is below 2^-68."""

Residues = npt.NDArray[np.uint64]
Secret = npt.NDArray[np.uint8]
Tag = list[list[int]]
"""R x L residues."""


def repetitions(agreement: Agreement) -> int:
    """R."""
    bits = min(prime.bit_length() for prime in _primes(agreement))
    return math.ceil(BITS / (bits - 2))


def tag_bytes(agreement: Agreement) -> int:
    return 8 * repetitions(agreement) * len(_primes(agreement))


def voucher_bytes(agreement: Agreement) -> int:
    """Of one party's voucher."""
    return NONCE_BYTES + tag_bytes(agreement)


def proof_bytes(agreement: Agreement) -> int:
    """Of the sum of those of all parties."""
    return NONCE_BYTES * len(agreement.parties) + tag_bytes(agreement)


class VoucherKey:
    """K, of one party, and the vouchers that it gave and did not answer yet. Wipe it by `wipe`."""

    def __init__(self, agreement: Agreement, fingerprint: bytes, party: str, key: bytes | Secret) -> None:
        self.agreement = agreement
        self.index = agreement.index(party)
        self._label = fingerprint
        self._key: Secret = np.frombuffer(key, np.uint8).copy()
        self._points: Residues | None = None
        self._open: dict[bytes, tuple[bytes, tuple[int, ...]]] = {}
        """By context, the nonce and shape of the last voucher, until it is answered."""

    def to_bytes(self) -> bytes:
        """The 32 secret bytes."""
        return self._key.tobytes()

    def wipe(self) -> None:
        wipe(self._key, self._points)

    def give(self, mask: Residues, shape: tuple[int, ...], context: bytes) -> bytes:
        """The voucher for second halves `uint64[rows, L, N]` of an array of that shape."""
        nonce = os.urandom(NONCE_BYTES)
        tag = _plus(self._hash(mask), self._mask(self.index, nonce, context), _primes(self.agreement))
        self._open[context] = (nonce, shape)
        return nonce + _to_bytes(tag)

    def check(self, mask: Residues, shape: tuple[int, ...], proof: bytes, context: bytes) -> None:
        """ProtocolAbort where `mask` is not the sum of what the proof's nonces were given for. Once for a nonce."""
        agreement = self.agreement
        if len(proof) != proof_bytes(agreement):
            raise ProtocolAbort(
                f"a proof of {len(proof)} bytes came where {proof_bytes(agreement)} were due: the sum is not answered;"
                " ended"
            )
        end = NONCE_BYTES * len(agreement.parties)
        nonces = [proof[i : i + NONCE_BYTES] for i in range(0, end, NONCE_BYTES)]
        # Taken out first: a proof that fails is not tried again with the same voucher.
        if self._open.pop(context, None) != (nonces[self.index], shape):
            raise ProtocolAbort(
                f"the sum's proof does not have the last voucher that {agreement.parties[self.index]!r} gave for this"
                " block, or that was used: an old or made-up sum is not answered; ended"
            )
        expected = self._hash(mask)
        for index, nonce in enumerate(nonces):
            expected = _plus(expected, self._mask(index, nonce, context), _primes(agreement))
        if not hmac.compare_digest(_to_bytes(expected), proof[end:]):
            raise ProtocolAbort(
                f"the ciphertexts are not the sum of what all {len(agreement.parties)} parties vouched for: they are"
                " not answered; the aggregator, or a party, does not follow the protocol; ended"
            )

    def _hash(self, mask: Residues) -> Tag:
        agreement = self.agreement
        basis = agreement.parameters.basis(agreement.level)
        primes, n_times = basis.primes, repetitions(agreement)
        if self._points is None:
            self._points = expand(self._derived(b"points"), (n_times,), basis)
        n_words = n_times * len(primes)
        stream = hashlib.shake_256(self._derived(b"rows")).digest(WIDE_BYTES * n_words * len(mask))
        tag = []
        with wiping() as held:
            turned, total = held(np.empty_like(mask[0])), held(np.empty_like(mask[0]))
            for r in range(n_times):
                total.fill(0)
                for i, row in enumerate(mask):
                    weights = _residues(stream, i * n_words + r * len(primes), primes)
                    ntt.scale(row, weights, basis, out=turned)
                    ntt.add(total, turned, basis, out=total)
                ntt.multiply(total, self._points[r], basis, out=total)
                low = (total & np.uint64(0xFFFFFFFF)).sum(axis=-1, dtype=np.uint64)
                high = (total >> np.uint64(32)).sum(axis=-1, dtype=np.uint64)
                tag.append(
                    [(int(lo) + (int(hi) << 32)) % q for lo, hi, q in zip(low, high, primes, strict=True)]
                )
        return tag

    def _mask(self, index: int, nonce: bytes, context: bytes) -> Tag:
        primes, n_times = _primes(self.agreement), repetitions(self.agreement)
        total = hashlib.shake_256(self._derived(b"mask"))
        total.update(struct.pack("<QH", len(context), index) + context + nonce)
        stream = total.digest(WIDE_BYTES * n_times * len(primes))
        return [_residues(stream, r * len(primes), primes) for r in range(n_times)]

    def _derived(self, label: bytes) -> bytes:
        total = hashlib.sha256(b"crypsis ckks threshold voucher 1\0" + label.ljust(8, b"\0") + self._label)
        total.update(self._key.data)
        return total.digest()


def add_vouchers(agreement: Agreement, vouchers: Mapping[str, bytes]) -> bytes:
    """The proof for the sum of the summands of all parties, from the voucher of each. ProtocolAbort naming a party
    whose voucher is missing or none."""
    primes, n_times, due = _primes(agreement), repetitions(agreement), voucher_bytes(agreement)
    total: Tag = [[0] * len(primes)] * n_times
    nonces = []
    for party in agreement.parties:
        voucher = bytes(vouchers.get(party, b""))
        if len(voucher) != due:
            raise ProtocolAbort(
                f"party {party!r} sent a voucher of {len(voucher)} bytes where {due} were due; ended"
            )
        words = struct.unpack_from(f"<{n_times * len(primes)}Q", voucher, NONCE_BYTES)
        tag = [list(words[r * len(primes) : (r + 1) * len(primes)]) for r in range(n_times)]
        if any(word >= q for row in tag for word, q in zip(row, primes, strict=True)):
            raise ProtocolAbort(f"a number in the voucher of party {party!r} is no residue; ended")
        nonces.append(voucher[:NONCE_BYTES])
        total = _plus(total, tag, primes)
    return b"".join(nonces) + _to_bytes(total)


def exchange_key(secret: bytes) -> X25519PrivateKey:
    """The key pair of 32 secret bytes under which K is sealed.

    BackendUnavailable without the package cryptography, which machines with a GPU may lack; all else does without.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    except ImportError:
        raise BackendUnavailable(
            "threshold keys need the package cryptography, which is not installed: pip install cryptography"
        ) from None
    return X25519PrivateKey.from_private_bytes(secret)


def seal(
    agreement: Agreement, common_seed: bytes, private: X25519PrivateKey, keys: Mapping[str, bytes], key: bytes
) -> bytes:
    """K for every party but the first, SEALED_BYTES each; keys: the public halves by party. ProtocolAbort for one that
    is no public half."""
    sealed = []
    for party in agreement.parties[1:]:
        cipher = _cipher(agreement, common_seed, private, keys[party], party, party)
        sealed.append(cipher.encrypt(bytes(12), key, None))  # each cipher has a key of its own
    return b"".join(sealed)


def unseal(
    agreement: Agreement,
    common_seed: bytes,
    private: X25519PrivateKey,
    keys: Mapping[str, bytes],
    sealed: bytes,
    party: str,
) -> bytes:
    """K, as `seal` sealed it for `party`, who is not the first. ProtocolAbort for anything else."""
    from cryptography.exceptions import InvalidTag

    first = agreement.parties[0]
    at = SEALED_BYTES * (agreement.index(party) - 1)
    cipher = _cipher(agreement, common_seed, private, keys[first], first, party)
    try:
        return cipher.decrypt(bytes(12), sealed[at : at + SEALED_BYTES], None)
    except InvalidTag:
        raise ProtocolAbort(
            f"the key for vouchers that party {first!r} sealed for {party!r} does not open: one of them, or the relay,"
            " does not follow the protocol; ended"
        ) from None


def sealed_bytes(agreement: Agreement) -> int:
    """Of `seal`'s result."""
    return SEALED_BYTES * (len(agreement.parties) - 1)


def _cipher(
    agreement: Agreement,
    common_seed: bytes,
    private: X25519PrivateKey,
    public: bytes,
    other: str,
    receiver: str,
) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise ProtocolAbort(f"the seed of party {other!r} is no public key of X25519; ended") from None
    total = hashlib.sha256(b"crypsis ckks threshold seal 1\0" + agreement.digest + common_seed)
    total.update(agreement.index(receiver).to_bytes(2, "little") + shared)
    return ChaCha20Poly1305(total.digest())


def _primes(agreement: Agreement) -> tuple[int, ...]:
    primes: tuple[int, ...] = agreement.parameters.basis(agreement.level).primes
    return primes


def _residues(stream: bytes, first: int, primes: tuple[int, ...]) -> list[int]:
    at = WIDE_BYTES * first
    return [
        int.from_bytes(stream[at + WIDE_BYTES * i : at + WIDE_BYTES * (i + 1)], "little") % q
        for i, q in enumerate(primes)
    ]


def _plus(a: Tag, b: Tag, primes: tuple[int, ...]) -> Tag:
    return [
        [(x + y) % q for x, y, q in zip(left, right, primes, strict=True)]
        for left, right in zip(a, b, strict=True)
    ]


def _to_bytes(tag: Tag) -> bytes:
    return b"".join(struct.pack(f"<{len(row)}Q", *row) for row in tag)

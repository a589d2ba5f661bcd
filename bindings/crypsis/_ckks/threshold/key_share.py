# SPDX-License-Identifier: Apache-2.0
"""One party's side: making a key together, and its share of the secret."""

from __future__ import annotations

import hashlib
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import aes, ntt
from crypsis._arguments import integer, kind
from crypsis._ckks.array import CkksArray
from crypsis._ckks.coins import SEED_BYTES, Coins, expand
from crypsis._ckks.keys import PublicKey
from crypsis._ckks.switch_keys import encrypt_zero
from crypsis._ckks.threshold import flooding, messages, vouchers
from crypsis._ckks.threshold.agreement import Agreement
from crypsis._ckks.threshold.decryption import DecryptionShare, ciphertext_digest
from crypsis._ckks.threshold.messages import KEY_COMMITMENT, KEY_PART, SEED, SEED_COMMITMENT
from crypsis._ckks.threshold.transcript import JointKey, Messages, Transcript, commitment
from crypsis._ckks.threshold.vouchers import VoucherKey
from crypsis._homomorphic import key_files
from crypsis._homomorphic.secret import Frozen
from crypsis._homomorphic.wiping import wipe, wiping
from crypsis.errors import BudgetError, CorruptData, InvalidCiphertext, ProtocolAbort

SCHEME = "ckks-share"
Residues = npt.NDArray[np.uint64]
Secret = npt.NDArray[np.uint8]


class KeyMaker:
    """One party in key generation, a method a round; each takes what all parties sent in the round before.

        mine = maker.seed_commitment()         -> to all
        mine = maker.seed(commitments)         -> to all
        mine = maker.key_commitment(seeds)     -> to all
        mine = maker.key_part(commitments)     -> to all
        maker.transcript.key_part(party, part)    for every party, its own too
        share = maker.finish()

    commitments, seeds: party to message, of all parties, this one's too. The common polynomial a comes from the seeds,
    so it is random if one of them is; b_i = e_i - a s_i is fixed before anybody shows one, so nobody's part can
    cancel another's (a rogue key). A seed is the public half of an X25519 key, under which the first party's key part
    has the key for vouchers (`vouchers`) sealed for each other party. ProtocolAbort as `Transcript`. seed: 32 secret
    bytes, for tests.
    """

    def __init__(self, agreement: Agreement, party: str, *, seed: bytes | None = None) -> None:
        self.transcript = Transcript(agreement)
        agreement.index(party)
        self.agreement = agreement
        self.party = party
        if seed is not None and len(seed) != SEED_BYTES:
            raise ValueError(f"seed has {len(seed)} bytes: give {SEED_BYTES}")
        self._secret: Secret = np.empty(SEED_BYTES, np.uint8)
        if seed is None:
            aes.Generator().fill(self._secret)
        else:
            self._secret[:] = np.frombuffer(seed, np.uint8)
        weakref.finalize(self, wipe, self._secret).atexit = False
        self._exchange = vouchers.exchange_key(_hash(b"exchange" + agreement.digest, self._secret))
        self._contribution = self._exchange.public_key().public_bytes_raw()
        self._sent: dict[int, bytes] = {}
        self._part = b""

    def seed_commitment(self) -> bytes:
        """Round 1."""
        committed = commitment(self.agreement, SEED, self.party, b"", self._contribution)
        return self._send(SEED_COMMITMENT, committed)

    def seed(self, commitments: Messages) -> bytes:
        """Round 2."""
        self._is_mine(SEED_COMMITMENT, commitments)
        self.transcript.seed_commitments(commitments)
        return self._send(SEED, self._contribution)

    def key_commitment(self, seeds: Messages) -> bytes:
        """Round 3."""
        self._is_mine(SEED, seeds)
        common = self.transcript.seeds(seeds)
        basis = self.agreement.parameters.moduli
        with wiping() as held:
            s = held(secret_polynomial(self.agreement, self._secret))
            noise = _derived(b"error" + common, self._secret)
            body = encrypt_zero(expand(common, (), basis), s, basis, noise, held)
        nonce = _hash(b"nonce" + common, self._secret)
        sealed = b""
        if self._is_first:
            key = self._voucher_key()
            sealed = vouchers.seal(self.agreement, common, self._exchange, self.transcript.contributions, key)
        self._part = b"".join([nonce, *messages.write_residues(self.agreement, body), sealed])
        committed = commitment(self.agreement, KEY_PART, self.party, common, self._part)
        return self._send(KEY_COMMITMENT, committed)

    def key_part(self, commitments: Messages) -> bytes:
        """Round 4."""
        self._is_mine(KEY_COMMITMENT, commitments)
        self.transcript.key_commitments(commitments)
        return self._send(KEY_PART, self._part)

    def finish(self) -> KeyShare:
        """The share, when the transcript has all key parts. It is this object's only use afterwards."""
        transcript = self.transcript
        joint = transcript.joint_key()
        key = (
            self._voucher_key()
            if self._is_first
            else vouchers.unseal(
                self.agreement,
                transcript.common_seed,
                self._exchange,
                transcript.contributions,
                transcript.sealed,
                self.party,
            )
        )
        return KeyShare(joint, self.party, self._secret, voucher_key=key)

    @property
    def _is_first(self) -> bool:
        return self.party == self.agreement.parties[0]

    def _voucher_key(self) -> bytes:
        return _hash(b"voucher" + self.transcript.common_seed, self._secret)

    def _send(self, wanted: int, body: bytes) -> bytes:
        agreement = self.agreement
        message = messages.write(wanted, agreement.index(self.party), agreement.digest, body)
        self._sent[wanted] = message
        return message

    def _is_mine(self, wanted: int, received: Messages) -> None:
        mine = self._sent.get(wanted)
        if mine is None:
            raise ValueError(f"the {messages.NAMES[wanted]} was not sent yet: the rounds have an order")
        if self.party in received and bytes(received[self.party]) != mine:
            raise ProtocolAbort(
                f"the {messages.NAMES[wanted]} of party {self.party!r} came back changed: the relay does not"
                " follow the protocol; ended"
            )


@dataclass
class _Counts:
    answered: int
    in_file: int | None
    """What the share's file says were answered; None where it has none."""


class KeyShare(Frozen):
    """One party's additive share s_i of the secret key, ternary; all of it follows from 32 bytes. `KeyMaker` makes it.

    party: whose it is. joint: the `JointKey`. It is not pickled; `save` writes it to a file under a passphrase. Its
    representation does not show it, and its memory is wiped when it is freed.
    """

    __slots__ = ("__weakref__", "_counts", "_lock", "_s", "_seed", "_vouchers", "joint", "party")

    joint: JointKey
    party: str
    _seed: Secret
    _s: Residues
    _counts: _Counts
    _lock: threading.Lock
    _vouchers: VoucherKey

    def __init__(
        self,
        joint: JointKey,
        party: str,
        seed: bytes | Secret,
        *,
        voucher_key: bytes,
        answered: int = 0,
        in_file: int | None = None,
    ) -> None:
        """Not for users: `KeyMaker.finish` and `load` make shares."""
        joint.agreement.index(party)
        data = np.frombuffer(seed, np.uint8).copy()
        s = secret_polynomial(joint.agreement, data)
        held = VoucherKey(joint.agreement, joint.fingerprint, party, voucher_key)
        self._set(
            joint=joint,
            party=party,
            _seed=data,
            _s=s,
            _counts=_Counts(answered, in_file),
            _lock=threading.Lock(),
            _vouchers=held,
        )
        weakref.finalize(self, _wipe_all, held, s, data).atexit = False

    @property
    def agreement(self) -> Agreement:
        return self.joint.agreement

    @property
    def public_key(self) -> PublicKey:
        return self.joint.public_key

    @property
    def answered(self) -> int:
        """Ciphertexts that it made shares for; the agreement's n_ciphertexts is the most."""
        return self._counts.answered

    def vouch(self, array: CkksArray, context: bytes = b"") -> bytes:
        """A voucher for this party's own summand, which goes with it to whoever adds up, there to be added to the
        others' with `threshold.add_vouchers`. context: what the sum is for (a run, a block), the same at all parties.

        Give one for what this party encrypted itself, once: `answer` then answers one sum that has it in it. The
        errors are those of `share`. `vouchers` says what it proves.
        """
        mask = self._masks(array)
        with self._lock:
            return self._vouchers.give(mask, array.shape, bytes(context))

    def answer(self, array: CkksArray, proof: bytes, context: bytes = b"") -> DecryptionShare:
        """`share` of a sum that has exactly one summand of every party in it, which each vouched for in this context,
        this one's among them. proof: of `threshold.add_vouchers`. ProtocolAbort, and no answer, for any other
        ciphertexts: made up, of an old run, with a summand missing, doubled or exchanged. Errors else as `share`'s.
        """
        mask = self._masks(array)
        with self._lock:
            self._vouchers.check(mask, array.shape, bytes(proof), bytes(context))
        return self.share(array)

    def share(self, array: CkksArray, *, shape: tuple[int, ...] | None = None) -> DecryptionShare:
        """c1 s_i + f of each ciphertext of a sum of fresh encryptions under the joint key; f as `flooding` has it.

        Whoever has the shares of all parties decrypts with them. **Only for a sum that this party added up itself**,
        of summands that were committed to before any was shown; `answer` is for one that came from elsewhere: a sum of
        one is that one, and one answer to a ciphertext with a made-up second half (q / 3, say) gives all of s_i away,
        which no check of a ciphertext notices. shape: of the array that is expected. The noise
        is a function of share and ciphertext: who asks twice about the same one gets the same answer, in whatever
        array it comes, and learns nothing by averaging. Other sums count against n_ciphertexts.
        InvalidCiphertext, LevelError, ScaleError for other ciphertexts; BudgetError where n_ciphertexts is used up, or
        what the share's file has counted ahead. Constant-time.
        """
        agreement = self.agreement
        agreement.check(array, self.joint.id)
        if shape is not None and array.shape != tuple(shape):
            raise InvalidCiphertext(
                f"the array has shape {array.shape}, {tuple(shape)} is expected: no share is made of anything else"
            )
        self._spend(array.size)
        basis = agreement.parameters.basis(agreement.level)
        data = array.to("cpu").data.reshape(array.size, 2, len(basis), agreement.parameters.n)
        result = np.empty((array.size, len(basis), agreement.parameters.n), np.uint64)
        for row, out in zip(data, result, strict=True):
            mask = np.ascontiguousarray(row[1])
            with wiping() as held:
                noise = held(flooding.draw(agreement.flood_bits, basis, self._noise(mask)))[0]
                ntt.multiply_add(mask, self._s, noise, basis, out=out)
        return DecryptionShare(self.joint, self.party, ciphertext_digest(array), result)

    def check_budget(self, count: int) -> None:
        """BudgetError where it has not `count` answers left."""
        most, in_file = self.agreement.n_ciphertexts, self._counts.in_file
        if self.answered + count > most:
            raise BudgetError(
                f"the share of {self.party!r} answered {self.answered} of the {most} ciphertexts that its noise covers,"
                f" {count} more were asked for: make a new joint key, with a larger n_ciphertexts"
            )
        if in_file is not None and self.answered + count > in_file:
            raise BudgetError(
                f"the share of {self.party!r} answered {self.answered} ciphertexts, its file counts {in_file},"
                f" {count} more were asked for: save it before with reserve={count} or more, so no crash forgets them"
            )

    def save(self, path: Any, passphrase: str | bytes, *, reserve: int = 0) -> None:
        """Write the share to a file of mode 0600, encrypted with the passphrase (scrypt, AES-256-GCM); replaced
        atomically.

        The file counts answers ahead: those given, and `reserve` more. From then on this share answers no more than its
        file counts (BudgetError), and `load` takes all of them for given: whenever the process ends, no answer is
        forgotten. Save with a reserve before a run; again without one afterwards, to give back what is left.
        BudgetError where n_ciphertexts has not so many.
        """
        integer("reserve", reserve, 0, self.agreement.n_ciphertexts)
        joint = self.joint
        with self._lock:
            counted = self.answered + reserve
            if counted > self.agreement.n_ciphertexts:
                raise BudgetError(
                    f"reserve is {reserve}: the share of {self.party!r} answered {self.answered} of"
                    f" {self.agreement.n_ciphertexts} ciphertexts; reserve no more than are left"
                )
            numbers = [
                self.agreement.index(self.party),
                int.from_bytes(self._seed.tobytes(), "little"),
                counted,
                int.from_bytes(joint.fingerprint, "little"),
                int.from_bytes(joint.id, "little"),
                int.from_bytes(self._vouchers.to_bytes(), "little"),
            ]
            key_files.save(path, passphrase, SCHEME, numbers)
            self._counts.in_file = counted

    @classmethod
    def load(cls, path: Any, passphrase: str | bytes, joint: JointKey) -> KeyShare:
        """The share that `save` wrote, of this joint key. WrongPassphrase, CorruptData; ValueError for another's."""
        if not isinstance(joint, JointKey):
            raise TypeError(f"joint is {kind(joint)}: give the JointKey that the share is of")
        numbers = key_files.load(path, passphrase, SCHEME)
        parties = joint.agreement.parties
        if len(numbers) != 6 or max(numbers[1].bit_length(), numbers[5].bit_length()) > 8 * SEED_BYTES:
            raise CorruptData(f"{path} is no share of a CKKS key, or damaged")
        index, seed, answered, fingerprint, key_id, voucher_key = numbers
        if (fingerprint, key_id) != tuple(int.from_bytes(x, "little") for x in (joint.fingerprint, joint.id)):
            raise ValueError(
                f"{path} is a share of another key, not of {joint!r}: load it with its own JointKey"
            )
        if index >= len(parties) or answered > joint.agreement.n_ciphertexts:
            raise CorruptData(f"{path} is no share of a CKKS key, or damaged")
        return cls(
            joint,
            parties[index],
            seed.to_bytes(SEED_BYTES, "little"),
            voucher_key=voucher_key.to_bytes(SEED_BYTES, "little"),
            answered=answered,
            in_file=answered,
        )

    def _masks(self, array: CkksArray) -> Residues:
        """The second halves `uint64[rows, L, N]` of an array that may be answered."""
        agreement = self.agreement
        agreement.check(array, self.joint.id)
        limbs, n = agreement.level + 1, agreement.parameters.n
        return np.ascontiguousarray(array.to("cpu").data.reshape(array.size, 2, limbs, n)[:, 1])

    def _spend(self, count: int) -> None:
        with self._lock:
            self.check_budget(count)
            self._counts.answered += count

    def _noise(self, mask: Residues) -> aes.Generator:
        """Of a ciphertext, by its second half, which is all that a share depends on."""
        digest = hashlib.sha256(mask.data).digest()
        return aes.Generator.from_seed(_hash(b"flood" + self.joint.id + digest, self._seed))

    def __repr__(self) -> str:
        return f"KeyShare(of {self.party!r}, {self.answered} answered, {self.joint!r})"


def secret_polynomial(agreement: Agreement, seed: Secret) -> Residues:
    """s_i, `uint64[L, N]`, NTT domain."""
    parameters = agreement.parameters
    with wiping() as held:
        coefficients = held(_derived(b"secret" + agreement.digest, seed).ternary((parameters.n,)))
        s = held.result(ntt.from_signed(coefficients, parameters.moduli))
        return ntt.forward(s, parameters.moduli, out=s)


def _wipe_all(held: VoucherKey, *arrays: Any) -> None:
    held.wipe()
    wipe(*arrays)


def _hash(label: bytes, seed: Secret) -> bytes:
    total = hashlib.sha256(b"crypsis ckks threshold derive 1\0" + len(label).to_bytes(2, "little") + label)
    total.update(seed.data)
    return total.digest()


def _derived(label: bytes, seed: Secret) -> Coins:
    return Coins(aes.Generator.from_seed(_hash(label, seed)))

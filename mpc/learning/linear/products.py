# SPDX-License-Identifier: Apache-2.0
"""Products of one's own matrix with a vector that is shared: the two costly steps of CAESAR's protocol [CAESAR].

`Products` is one party's side of two products that run at the same time, each party the evaluator of one. The other
party's share s is mod 2^128 and leaves it encrypted under its own key; the evaluator computes on the ciphertexts with
its integers, adds a mask and blinds anew, and the other decrypts. What comes out are shares mod 2^128:

    A: X, a    B: s                         both with the roles the other way round, too
      <- Enc_B(s)                            d ciphertexts (forward), m (backward)
      -> Enc_B(X s + r)                      m / t ciphertexts (forward), d (backward); full blinding
    A: X a - r       B: X s + r              together X (a + s)

Forward, t rows share a plaintext: the bases Enc(s_j)^(2^(w k)), k < t, are made once a batch, and row k of a group is
raised to them, so that a group costs no more than its rows. A slot has w bits, all that a plaintext has for each of t,
and w - 1 - v >= `STATISTICAL_BITS` where |X s| < 2^v. The mask r is uniform below 2^(w - 1), and 2^v is added to keep
all slots positive: what B decrypts is within 2^-(w - 1 - v) of a distribution that does not depend on X, and the
distances of all values of a training add up. Under 2048 bits of Okamoto-Uchiyama w - 1 - v is 64 for up to 31 columns
and 56 for 8,191; the mask mod 2^128, A's share, is exactly uniform.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crypsis import paillier
from crypsis.errors import CrypsisError, InvalidCiphertext, ProtocolAbort
from crypsis.mpc.learning.ciphers import CipherArray, PublicKey, UnblindedCipherArray
from crypsis.mpc.learning.linear import ring128
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.ring128 import Ring
from crypsis.mpc.learning.session import Session

Matrix = npt.NDArray[np.int16]
Limbs = npt.NDArray[np.uint64]

STATISTICAL_BITS = 56
"""At least, of one masked value: 2^-40 for 2^16 of them where slots are narrowest; see `Slots.statistical_bits`."""
BLOCK_ROWS = 1 << 13
"""Ciphertexts that are worked on at a time: 2 MiB of a key of 2048 bits, so that line and peer have work early."""


def encoded(limbs: Limbs, n_bits: int) -> paillier.Encoded:
    """Non-negative plaintexts `uint64[n, k]` as `encrypt` and `+` take them. Numbers are below 2^n_bits."""
    return paillier.Encoded(
        np.ascontiguousarray(limbs), np.zeros(len(limbs), dtype=bool), 0, 16, (len(limbs),), n_bits
    )


class Slots:
    """How masked values below 2^value_bits in size lie in plaintexts of a key: `count` slots of `bits` bits.

    single: one slot to a plaintext, as wide as all of it. ValueError where the key holds no masked value.
    """

    def __init__(self, key: PublicKey, value_bits: int, *, single: bool = False) -> None:
        self.value_bits = value_bits
        self.count = key.max_packed_bits // (value_bits + STATISTICAL_BITS + 1)
        if not self.count:
            raise ValueError(
                f"a key of {key.n_bits} bits holds no masked number of {value_bits} bits: take a longer one"
            )
        self.count = 1 if single else self.count
        self.bits = key.max_packed_bits // self.count
        """Of one slot."""

    @property
    def plaintext_bits(self) -> int:
        """Of all slots."""
        return self.bits * self.count

    @property
    def statistical_bits(self) -> int:
        """What is sent of a value is within 2^-this of a distribution that does not depend on it."""
        return self.bits - 1 - self.value_bits

    def masks(self, groups: int) -> tuple[Limbs, Ring]:
        """(plaintexts `uint64[groups, limbs]`, their slots mod 2^128, `uint64[groups * count, 2]`).

        Each slot is 2^value_bits + r with r uniform below 2^(bits - 1).
        """
        n_limbs = -(-self.bits // 64)
        drawn = np.frombuffer(secrets.token_bytes(8 * groups * self.count * n_limbs), dtype="<u8")
        slots = drawn.astype(np.uint64).reshape(groups * self.count, n_limbs)
        slots[:, -1] &= np.uint64((1 << (self.bits - 1 - 64 * (n_limbs - 1))) - 1)
        offset = np.frombuffer((1 << self.value_bits).to_bytes(8 * n_limbs, "little"), dtype="<u8")
        carry = np.zeros(len(slots), dtype=np.uint64)
        for k in range(n_limbs):
            total = slots[:, k] + offset[k]
            over = total < offset[k]
            slots[:, k] = total + carry
            carry = (over | (slots[:, k] < carry)).astype(np.uint64)
        return self._joined(slots), np.ascontiguousarray(slots[:, :2])

    def _joined(self, slots: Limbs) -> Limbs:
        """`uint64[groups * count, limbs of a slot]` as `uint64[groups, limbs of all]`."""
        n_limbs = slots.shape[1]
        each = slots.reshape(-1, self.count, n_limbs)
        wide = np.zeros((len(each), -(-self.plaintext_bits // 64) + 1), dtype=np.uint64)
        for k in range(self.count):
            limb, shift = divmod(k * self.bits, 64)
            here = min(n_limbs, wide.shape[1] - limb)
            wide[:, limb : limb + here] |= each[:, k, :here] << np.uint64(shift)
            if shift:
                here = min(n_limbs, wide.shape[1] - limb - 1)
                wide[:, limb + 1 : limb + 1 + here] |= each[:, k, :here] >> np.uint64(64 - shift)
        return np.ascontiguousarray(wide[:, :-1])

    def split(self, plaintexts: Limbs) -> Ring:
        """The slots of `uint64[groups, any number of limbs]` mod 2^128, in order."""
        width = max(plaintexts.shape[1], -(-self.plaintext_bits // 64)) + 3
        wide = np.zeros((len(plaintexts), width), dtype=np.uint64)
        wide[:, : plaintexts.shape[1]] = plaintexts
        result = np.empty((len(plaintexts), self.count, 2), dtype=np.uint64)
        for k in range(self.count):
            limb, shift = divmod(k * self.bits, 64)
            result[:, k] = wide[:, limb : limb + 2] >> np.uint64(shift)
            if shift:
                result[:, k] |= wide[:, limb + 1 : limb + 3] << np.uint64(64 - shift)
        return result.reshape(-1, 2)


def forward_slots(key: PublicKey, columns: int) -> Slots:
    """Of `forward`: 16 bits with a sign times 128 bits, summed over the columns."""
    return Slots(key, ring128.BITS + 15 + max(1, columns).bit_length())


class Products:
    """One party's side. Keys have been exchanged: `session.peer_key()` is there."""

    def __init__(self, session: Session, outbox: Outbox) -> None:
        self.session, self.peer, self.outbox = session, session.peer, outbox
        self.own, self.theirs = session.own_key, session.peer_key()
        self._meter, self._cipher = session.meter, session.cipher

    # What the owner of a share does.

    def encrypt(self, share: Ring) -> CipherArray:
        """Ciphertexts of one's own share under one's own key."""
        make = self.own.encrypt_vartime if self._cipher.vartime else self.own.encrypt
        with self._meter("he"):
            return make(encoded(share, ring128.BITS), device=self._cipher.device)

    def send_share(self, share: Ring) -> None:
        """Encrypts a share in blocks, which go out as they are made."""
        for begin in range(0, len(share), BLOCK_ROWS):
            self.outbox.put(self.encrypt(share[begin : begin + BLOCK_ROWS]))

    def receive_share(self, n: int) -> Iterator[tuple[slice, UnblindedCipherArray]]:
        """What the peer's `send_share` sends, block by block."""
        for begin in range(0, n, BLOCK_ROWS):
            part = slice(begin, min(n, begin + BLOCK_ROWS))
            shape = (part.stop - part.start,)
            yield part, self.session.receive_ciphertexts(self.peer, self.theirs, shape)

    def receive_masked(self, n: int, slots: Slots) -> Ring:
        """What the evaluator sends back of n values, decrypted, mod 2^128."""
        groups = -(-n // slots.count)
        parts = []
        for begin in range(0, groups, BLOCK_ROWS):
            shape = (min(BLOCK_ROWS, groups - begin),)
            masked = self.session.receive_ciphertexts(self.peer, self.own.public_key, shape)
            with self._meter("he"):
                parts.append(slots.split(self._decrypted(masked, slots)))
        return np.concatenate(parts)[:n]

    def _decrypted(self, masked: UnblindedCipherArray, slots: Slots) -> Limbs:
        ranged = {"range_bits": slots.plaintext_bits} if self._cipher.scheme == "okamoto-uchiyama" else {}
        try:
            found = self.own.decrypt_encoded(masked, **ranged)
        except (InvalidCiphertext, OverflowError) as error:
            raise ProtocolAbort(f"a masked result of {self.peer} is out of range; ended") from error
        if found.negative.any():
            raise ProtocolAbort(f"a masked result of {self.peer} is negative; ended")
        return found.magnitude

    # What the evaluator does.

    def send_masked(self, values: UnblindedCipherArray, slots: Slots) -> Ring:
        """Masks packed values under the peer's key, blinds them anew and sends them: -(2^v + r) mod 2^128 of each slot,
        one's own part of the result."""
        plaintexts, mask = slots.masks(len(values))
        with self._meter("he"):
            hidden = (values + encoded(plaintexts, slots.plaintext_bits)).rerandomize(full=True)
        for begin in range(0, len(hidden), BLOCK_ROWS):
            self.outbox.put(hidden[begin : begin + BLOCK_ROWS])
        return ring128.negate(mask)

    def forward(
        self, matrix: Matrix, own_share: Ring, peer_columns: int, share_of_peer: Ring
    ) -> tuple[Ring, Ring]:
        """matrix[m, d] @ (own_share + the peer's share of it): (one's own share of that, of the peer's product).

        share_of_peer: one's own share of the peer's vector, `uint64[peer_columns, 2]`.
        """
        m, d = matrix.shape
        self.send_share(share_of_peer)
        slots = forward_slots(self.theirs, d)
        vector = [part for _, part in self.receive_share(d)]
        with self._meter("he"):
            base = vector[0] if len(vector) == 1 else paillier.concatenate(vector)
            shifted = [base]
            for _ in range(1, slots.count):
                shifted.append(shifted[-1].multiply_vartime(1 << slots.bits))
            bases = paillier.concatenate(shifted)
        parts = []
        step = BLOCK_ROWS * slots.count
        for begin in range(0, m, step):
            rows = matrix[begin : begin + step]
            groups = -(-len(rows) // slots.count)
            grouped = np.zeros((groups * slots.count, d), dtype=np.int16)
            grouped[: len(rows)] = rows
            with self._meter("he"):
                product = bases.rmatmul(grouped.reshape(groups, -1), vartime=self._cipher.vartime)
            parts.append(self.send_masked(product, slots)[: len(rows)])
        with self._meter("native"):
            own = ring128.add(ring128.matrix_vector(matrix, own_share), np.concatenate(parts))
        return own, self.receive_masked(m, forward_slots(self.own.public_key, peer_columns))

    def backward_slots(self, key: PublicKey, rows: int) -> Slots:
        """Of `backward`, one value to a plaintext."""
        return Slots(key, ring128.BITS + 15 + max(1, rows).bit_length(), single=True)

    def backward(self, matrix: Matrix, share: Ring, peer_columns: int) -> tuple[Ring, Ring]:
        """matrix[m, d].T @ e for an e[m] of which `share` is one's own: (one's own share of that, of the peer's)."""
        m = len(matrix)
        self.send_share(share)
        transposed = np.ascontiguousarray(matrix.T)
        total: UnblindedCipherArray | None = None
        for part, block in self.receive_share(m):
            with self._meter("he"):
                product = block.rmatmul(
                    np.ascontiguousarray(transposed[:, part]), vartime=self._cipher.vartime
                )
                total = product if total is None else total + product
        if total is None:
            raise CrypsisError("a batch without rows: the parties have no rows in common")
        mask = self.send_masked(total, self.backward_slots(self.theirs, m))
        with self._meter("native"):
            own = ring128.add(ring128.transposed_vector(matrix, share), mask)
        return own, self.receive_masked(peer_columns, self.backward_slots(self.own.public_key, m))

# SPDX-License-Identifier: Apache-2.0
"""The public sizes of a VOLE-PSI exchange: how keys are spread over bins, and what every message of it weighs.

Keys go to `n_outer` outer bins by one part of their digest, and in each to `inner` inner bins by another
(`crypsis.partition`). An outer bin is what is read, exchanged, recorded and repeated as a whole; an inner bin is what
fits a processor's cache. No inner bin of a party holds more than its public bound but with probability 2^-40 (balls in
bins), and all messages are made for full bins: their sizes are functions of this object, and of no party's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from crypsis import okvs, partition
from crypsis.errors import ConfigError
from crypsis.mpc.ot import silent_vole, softspoken
from crypsis.mpc.ot.silent_vole import DualParameters

Security = Literal["semi-honest", "malicious"]
Setting = Literal["fast", "low-communication"]

STATISTICAL = 40
INNER_KEYS = 48_000
"""Keys of the larger party in an inner bin, on average: tables, tags and their work stay in a second-level cache, and a
table has about as many columns as a round of VOLE has outputs."""

OUTER_ROWS = 1 << 21
"""Rows of the larger party in an outer bin, on average, unless the parties agree on another number."""

MAX_OUTER = 4096
MAX_ROWS = (1 << 32) - 1
SMALL_FIELD_KEYS = 1 << 24
"""Up to so many keys of the sender a field of 64 bits does: a key outside the receiver's set meets its value with
probability 2^-64, any of 2^24 with 2^-40."""

OT_K = 4
HELLO_BYTES = 66
SEED_BYTES = 16
NONCE_BYTES = 16
COMMITMENT_BYTES = 32
PROOF_BYTES = 16
_MIN_TAG_BYTES, _MAX_TAG_BYTES = 8, 16


def outer_bins(n_rows: int, bin_rows: int = OUTER_ROWS) -> int:
    """Outer bins for a larger party of (about) n_rows rows: 1 to MAX_OUTER."""
    return min(max(-(-n_rows // bin_rows), 1), MAX_OUTER)


@dataclass(frozen=True)
class Layout:
    """Sizes that follow from what both parties know.

    n_receiver, n_sender: at least their distinct keys, over all outer bins (rows that have a key will do).
    """

    n_receiver: int
    n_sender: int
    n_outer: int = 1
    security: Security = "semi-honest"
    setting: Setting = "fast"
    inner_keys: int = INNER_KEYS

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("n_receiver", self.n_receiver, 0, MAX_ROWS),
            ("n_sender", self.n_sender, 0, MAX_ROWS),
            ("n_outer", self.n_outer, 1, MAX_OUTER),
            ("inner_keys", self.inner_keys, 1, INNER_KEYS),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}: VOLE-PSI takes {low} to {high}")

    @cached_property
    def inner(self) -> int:
        """Inner bins of an outer bin."""
        return max(-(-max(self.n_receiver, self.n_sender) // (self.n_outer * self.inner_keys)), 1)

    @property
    def n_bins(self) -> int:
        """Inner bins in all."""
        return self.n_outer * self.inner

    @cached_property
    def receiver_bound(self) -> int:
        """Most keys of the receiver in an inner bin."""
        return partition.bin_bound(self.n_receiver, self.n_bins, statistical=STATISTICAL)

    @cached_property
    def sender_bound(self) -> int:
        """Most keys of the sender in an inner bin, and so many tags are sent of each."""
        return partition.bin_bound(self.n_sender, self.n_bins, statistical=STATISTICAL)

    @property
    def field(self) -> Literal[64, 128]:
        """Bits of an element of the table."""
        small = self.security == "semi-honest" and self.n_sender <= SMALL_FIELD_KEYS
        return 64 if small else 128

    @cached_property
    def table(self) -> okvs.Parameters:
        """Of the OKVS of one inner bin; all of them together fail with probability 2^-40 at most."""
        return okvs.parameters(
            max(self.receiver_bound, 1), self.n_bins, statistical=STATISTICAL, field=self.field
        )

    @property
    def table_bytes(self) -> int:
        """Of the table of one inner bin."""
        return self.table.columns * self.field // 8

    @cached_property
    def tag_bytes(self) -> int:
        """Bytes of a tag: any two of an inner bin's tags that are not of the same key are equal, in any bin, with
        probability 2^-40 at most; 16 when malicious. Pairs of one party count too: equal tags of one party are an
        error. The sender's padding counts as keys."""
        if self.security == "malicious":
            return _MAX_TAG_BYTES
        n = self.receiver_bound + self.sender_bound
        pairs = self.n_bins * (n * (n - 1) // 2)
        bits = STATISTICAL + max(pairs - 1, 0).bit_length()
        return min(max(-(-bits // 8), _MIN_TAG_BYTES), _MAX_TAG_BYTES)

    @property
    def tags_bytes(self) -> int:
        """Of the message of tags of one inner bin."""
        opening = NONCE_BYTES if self.security == "malicious" else 0
        return opening + self.sender_bound * self.tag_bytes

    @property
    def result_bytes(self) -> int:
        """Of the message that tells the sender, if it may know, which of an inner bin's tags matched: a bit each;
        malicious, where the sender takes nobody's word, a proof each."""
        if self.security == "malicious":
            return PROOF_BYTES * self.sender_bound
        return (self.sender_bound + 7) // 8

    @property
    def parameters(self) -> DualParameters:
        """Of the VOLE."""
        return DualParameters(log_outputs=20 if self.setting == "low-communication" else 16)

    @property
    def n_voles(self) -> int:
        """VOLEs of an outer bin."""
        return self.inner * self.table.columns

    def receiver_bytes(self, *, broadcast: bool) -> int:
        """Payload bytes that the receiver sends for an outer bin, without those of VOLE."""
        nonces = NONCE_BYTES * self.inner if self.security == "malicious" else 0
        tables = SEED_BYTES + nonces + self.inner * self.table_bytes
        return tables + (self.inner * self.result_bytes if broadcast else 0)

    def sender_bytes(self) -> int:
        """Payload bytes that the sender sends for an outer bin, without those of VOLE."""
        commitments = COMMITMENT_BYTES * self.inner if self.security == "malicious" else 0
        return commitments + self.inner * self.tags_bytes

    def vole_bytes(self, n_outer: int) -> tuple[int, int]:
        """Payload bytes that (sender, receiver) send in a session of n_outer outer bins for hellos, OTs and VOLEs."""
        sender = receiver = HELLO_BYTES
        n_voles = n_outer * self.n_voles
        refill = silent_vole.ROUNDS_A_REFILL * self.parameters.n_base(self.security)
        first = self.field * silent_vole.N_TREES
        taken = silent_vole.base_ots(n_voles, self.parameters, self.security, field=self.field)
        receiver += softspoken.setup_message_bytes(OT_K, self.security) + 32 * softspoken.DELTA_BITS
        sender += 64 * softspoken.DELTA_BITS
        for n_items in [first] + (taken - first) // refill * [refill]:
            receiver += softspoken.extension_bytes(n_items, OT_K, self.security)
        more = silent_vole.session_bytes(n_voles, self.parameters, self.security)
        return sender + more[0], receiver + more[1]

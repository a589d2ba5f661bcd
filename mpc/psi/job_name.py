# SPDX-License-Identifier: Apache-2.0
"""The name of a job whose keys are spilled: drawn by both parties, it salts all digests. Are those long enough?"""

from __future__ import annotations

import hashlib

from crypsis.errors import ConfigError
from crypsis.mpc.psi.layout import OUTER_ROWS, STATISTICAL
from crypsis.mpc.psi.options import Role

JOB_BYTES = 16
NONCE_BYTES = 32
DIGEST_BYTES = 12  # of a record


def check_digests(n_own: int, n_peer: int, n_outer: int) -> None:
    """Raises ConfigError where two different keys could pass for one with more than 2^-40: a record has 12 bytes of its
    digest, and the other 4 say no more than which of the n_outer outer bins it is in."""
    n = n_own + n_peer
    if n * (n - 1) // 2 > n_outer << (8 * DIGEST_BYTES - STATISTICAL):
        raise ConfigError(
            f"{n_own} and {n_peer} rows in {n_outer} outer bins: keys are compared by {DIGEST_BYTES} bytes of their "
            f"digests inside a bin, which is too short for bins so large; give both parties a bin_rows of {OUTER_ROWS} "
            "or less, and new work directories"
        )


def commit_nonce(role: Role, nonce: str) -> str:
    """What a party sends before it knows the other's nonce, in hexadecimal; the role keeps one from echoing it."""
    return hashlib.sha256(f"crypsis/psi/spilled/v1 commitment {role} {nonce}".encode()).hexdigest()


def hash_nonces(receiver: str, sender: str) -> bytes:
    """The name of a new job, to which both parties contributed: nobody can choose keys that fill one of its bins."""
    return hashlib.sha256(f"crypsis/psi/spilled/v1 {receiver} {sender}".encode()).digest()[:JOB_BYTES]


def is_hex(value: object, lengths: tuple[int, ...]) -> bool:
    """Whether it is the hexadecimal text of so many bytes."""
    if not isinstance(value, str) or len(value) not in [2 * n for n in lengths]:
        return False
    return all(c in "0123456789abcdef" for c in value)

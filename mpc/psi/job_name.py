# SPDX-License-Identifier: Apache-2.0
"""The name of a job whose keys are spilled: drawn by both parties, it salts all digests. Are those long enough?"""

from __future__ import annotations

import hashlib
import secrets

from crypsis.errors import ConfigError, ProtocolAbort
from crypsis.mpc.psi.agree import MAX_ROWS
from crypsis.mpc.psi.layout import OUTER_ROWS, STATISTICAL
from crypsis.mpc.psi.options import Role
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import count_field, hear_refusal, recv_json, send_json

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


def agree_name(
    channel: Channel, role: Role, known: str, *, begun: bool, n_rows: int, where: str
) -> tuple[bytes | None, int]:
    """The name of a new job, None where both know theirs already; and the peer's rows as far as it knows them.

    known: the name of the job in one's work directory `where`, in hexadecimal, or ""; begun: bins of it were exchanged.
    Raises ConfigError, at both parties, where bins of one were exchanged that the other does not know.
    """
    nonce = secrets.token_hex(NONCE_BYTES)
    send_json(
        channel,
        {
            "type": "job",
            "job_id": known,
            "begun": begun,
            "commitment": commit_nonce(role, nonce),
            "rows": min(n_rows, MAX_ROWS),
        },
    )
    theirs = recv_json(channel, "job")
    peer_known, commitment = theirs.get("job_id", ""), theirs.get("commitment", "")
    if not is_hex(peer_known, (0, JOB_BYTES)) or not is_hex(commitment, (32,)):
        raise ProtocolAbort(f"{channel.peer} sent a job without id and commitment; ended")
    peer_rows = count_field(theirs, "rows", MAX_ROWS)
    if known and known == peer_known:
        return None, peer_rows
    if (begun and known) or (theirs.get("begun") is True and peer_known):
        mine = f"job {known[:8]}" if begun else "no job yet"
        other = f"job {peer_known[:8]}" if theirs.get("begun") is True else "no job yet"
        hear_refusal(channel)
        raise ConfigError(
            f"{where} holds {mine}, the work directory of {channel.peer} {other}: give both parties the work "
            "directories of one run, or remove them both to start over"
        )
    send_json(channel, {"type": "nonce", "nonce": nonce})
    peer_nonce = recv_json(channel, "nonce").get("nonce")
    peer_role: Role = "sender" if role == "receiver" else "receiver"
    if not isinstance(peer_nonce, str) or not is_hex(peer_nonce, (NONCE_BYTES,)):
        raise ProtocolAbort(f"{channel.peer} sent no nonce; ended")
    if commit_nonce(peer_role, peer_nonce) != commitment:
        raise ProtocolAbort(f"{channel.peer} sent another nonce than it committed to; ended")
    nonces = (nonce, peer_nonce) if role == "receiver" else (peer_nonce, nonce)
    return hash_nonces(*nonces), peer_rows

# SPDX-License-Identifier: Apache-2.0
"""The messages of `threshold_ckks`: a frame that says what they belong to, the checks of what is in it, their sizes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.ckks import CkksArray, threshold
from crypsis.errors import ProtocolAbort

BLOCK_BYTES = 4 << 20
"""Of a block's ciphertexts, about."""
MAX_VALUES = 1 << 40
_MAGIC, _VERSION = b"CKTA", 2
SUMMAND, TOTAL, SHARE, RESULT = range(1, 5)
_NAMES = {SUMMAND: "summand", TOTAL: "sum", SHARE: "decryption share", RESULT: "result"}
FRAME = struct.Struct("<4sHBBQQQ32s")
"""Magic, version, kind, flags (1: reveal), run, number of values, block, digest of the agreement."""
SMALL = 78
"""Bytes of a message of key generation but for the key part."""

Values = npt.NDArray[np.float64]


class Head:
    """The frame around the messages of one run."""

    def __init__(self, agreement: threshold.Agreement, run: int, n_values: int, reveal: bool) -> None:
        if isinstance(run, bool) or not isinstance(run, int) or not 0 <= run < 1 << 64:
            raise ValueError(
                f"run is {run!r}: give an int from 0 to 2^64 - 1 that this key was not used with"
            )
        if isinstance(n_values, bool) or not isinstance(n_values, int) or not 1 <= n_values <= MAX_VALUES:
            raise ValueError(f"n_values is {n_values!r}: give an int from 1 to 2^40")
        if not isinstance(reveal, bool):
            raise TypeError(f"reveal is {type(reveal).__name__}: give True or False")
        if agreement.n_summands < len(agreement.parties):
            raise ValueError(
                f"the agreement has n_summands {agreement.n_summands} for {len(agreement.parties)} parties: make one"
                " with at least one summand a party"
            )
        self._digest = agreement.digest
        self._run, self._n_values, self._reveal = run, n_values, reveal

    def write(self, kind: int, block: int, *body: bytes) -> bytes:
        return b"".join([self._frame(kind, block), *body])

    def context(self, block: int) -> bytes:
        """What vouchers for a block's summands are for."""
        return self._frame(SUMMAND, block)

    def _frame(self, kind: int, block: int) -> bytes:
        return FRAME.pack(
            _MAGIC, _VERSION, kind, self._reveal, self._run, self._n_values, block, self._digest
        )

    def read(self, message: memoryview, kind: int, block: int, party: str) -> memoryview:
        """The body of the message that is due. ProtocolAbort, naming the sender, for another."""
        what = _NAMES[kind]
        if len(message) < FRAME.size:
            raise ProtocolAbort(f"{party!r} sent {len(message)} bytes where a {what} was due; ended")
        magic, version, found, flags, run, n_values, at, digest = FRAME.unpack_from(message)
        if magic != _MAGIC or found != kind:
            raise ProtocolAbort(f"{party!r} sent something else where a {what} was due; ended")
        mine = (_VERSION, self._digest, self._run, self._n_values, int(self._reveal), block)
        names = ("version", "agreement", "run", "n_values", "reveal", "block")
        for name, here, there in zip(names, mine, (version, digest, run, n_values, flags, at), strict=True):
            if here != there:
                shown = [x[:4].hex() if isinstance(x, bytes) else x for x in (here, there)]
                raise ProtocolAbort(
                    f"{name} is {shown[0]} here and {shown[1]} at {party!r}: all parties must have the same"
                )
        return message[FRAME.size :]


def bundle(message: memoryview, agreement: threshold.Agreement) -> dict[str, memoryview]:
    """The small messages of all parties, relayed as one."""
    due = SMALL * len(agreement.parties)
    if len(message) != due:
        raise ProtocolAbort(
            f"the aggregator sent {len(message)} bytes of key generation where {due} were due; ended"
        )
    return {party: message[SMALL * i : SMALL * (i + 1)] for i, party in enumerate(agreement.parties)}


def blocks(agreement: threshold.Agreement, n_values: int) -> Iterator[slice]:
    rows = max(1, BLOCK_BYTES // threshold.residue_bytes(agreement, 2))
    step = rows * agreement.parameters.n
    for start in range(0, n_values, step):
        yield slice(start, min(start + step, n_values))


def rows_of(agreement: threshold.Agreement, part: slice) -> int:
    n: int = agreement.parameters.n
    return -(-int(part.stop - part.start) // n)


def array_bytes(agreement: threshold.Agreement, part: slice) -> int:
    """Of the packed ciphertexts of a block: head, literal, two shapes of one axis each, residues, checksum."""
    head = 88 + len(agreement.parameters.prefix) + 16 + 4
    return head + threshold.residue_bytes(agreement, 2 * rows_of(agreement, part))


def read_array(joint: threshold.JointKey, body: memoryview, part: slice) -> CkksArray:
    """The packed ciphertexts of a block."""
    agreement, size = joint.agreement, part.stop - part.start
    due = array_bytes(agreement, part)
    if len(body) != due:
        raise ProtocolAbort(f"{len(body)} bytes of ciphertexts came where {due} were due; ended")
    array = joint.public_key.load(body)
    agreement.check(array, joint.id)
    if array.shape != (rows_of(agreement, part),) or array.packing != (size,):
        raise ProtocolAbort(
            f"ciphertexts of shape {array.shape} with numbers of shape {array.packing} came where {size} numbers were"
            " due; ended"
        )
    return array


def split(body: memoryview, n_bytes: int) -> tuple[bytes, memoryview]:
    """The voucher or proof in front of ciphertexts, and these."""
    return bytes(body[:n_bytes]), body[n_bytes:]


def read_result(body: memoryview, part: slice) -> Values:
    if len(body) != 8 * (part.stop - part.start):
        raise ProtocolAbort(
            f"{len(body)} bytes of result came where {8 * (part.stop - part.start)} were due; ended"
        )
    numbers = np.frombuffer(body, "<f8")
    if not np.isfinite(numbers).all():
        raise ProtocolAbort("a number of the result is not finite; ended")
    return numbers.astype(np.float64)


def as_numbers(values: Any, agreement: threshold.Agreement) -> Values:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"values are {array.dtype}: give real numbers")
    if array.ndim != 1 or not len(array):
        raise ValueError(f"values have shape {array.shape}: give one row of numbers, at least one")
    numbers = np.ascontiguousarray(array, np.float64)
    largest = max(float(numbers.max()), -float(numbers.min()))
    if not math.isfinite(largest) or largest > agreement.magnitude:
        raise ValueError(
            f"values go up to {largest:.4g}: the agreement is on finite numbers up to {agreement.magnitude:.4g}; scale"
            " them down"
        )
    return numbers


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Payload bytes and messages of one party, as its channel counts them; the aggregator has those of all parties."""

    bytes_sent: int
    bytes_received: int
    messages_sent: int
    messages_received: int


def key_traffic(agreement: threshold.Agreement) -> Traffic:
    """What a party sends and receives in `join_key`; the first one sends `threshold.sealed_bytes` more."""
    n_parties, part = len(agreement.parties), SMALL + threshold.residue_bytes(agreement)
    return Traffic(
        bytes_sent=3 * SMALL + part,
        bytes_received=n_parties * (3 * SMALL + part) + threshold.sealed_bytes(agreement),
        messages_sent=4,
        messages_received=3 + n_parties,
    )


def sum_traffic(agreement: threshold.Agreement, n_values: int, *, reveal: bool = True) -> Traffic:
    """What a party sends and receives in `contribute`."""
    sent = received = n_blocks = 0
    for part in blocks(agreement, n_values):
        array = array_bytes(agreement, part)
        sent += 2 * FRAME.size + threshold.voucher_bytes(agreement) + array
        sent += SMALL + 4 + threshold.residue_bytes(agreement, rows_of(agreement, part))
        received += FRAME.size + threshold.proof_bytes(agreement) + array
        received += reveal * (FRAME.size + 8 * (part.stop - part.start))
        n_blocks += 1
    return Traffic(
        bytes_sent=sent,
        bytes_received=received,
        messages_sent=2 * n_blocks,
        messages_received=(1 + reveal) * n_blocks,
    )

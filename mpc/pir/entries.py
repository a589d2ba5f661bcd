# SPDX-License-Identifier: Apache-2.0
"""The entries of an answer: keys of a 1-of-2^128 OT, and what is encrypted under them (`ot_query` has the protocol).

Everything is a batch over the M digests of one bucket, in NumPy and `crypsis.hashing`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crypsis import hashing

DIGEST_BYTES = 16
N_BITS = 8 * DIGEST_BYTES
"""OTs a query."""
FINDER_BYTES, MAC_BYTES = 8, 16
OVERHEAD_BYTES = FINDER_BYTES + MAC_BYTES
MESSAGE_BYTES = 1 << 20

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The public sizes of one job, equal at both parties.

    prefix_bits: k. bound: M, entries an answer. width: bytes of a record. session: 32 bytes that no other job has.
    hash: of `crypsis.hashing`.
    """

    prefix_bits: int
    bound: int
    width: int
    session: bytes
    hash: str

    @property
    def entry_bytes(self) -> int:
        """Bytes of one entry."""
        return self.width + OVERHEAD_BYTES

    @property
    def answer_bytes(self) -> int:
        """Bytes of one answer."""
        return self.bound * self.entry_bytes

    @property
    def queries_per_message(self) -> int:
        """Answers that travel together."""
        return max(1, MESSAGE_BYTES // self.answer_bytes)

    @property
    def entries_per_message(self) -> int:
        """Entries in one message of a longer answer."""
        return max(1, MESSAGE_BYTES // self.entry_bytes)


def combine(keys: Bytes, digests: Bytes) -> Bytes:
    """`uint8[M, 16]`: key(y) for M digests `uint8[16, M]`, from one query's keys `uint8[16, 8, 2, 16]`.

    A table of 256 sums for each byte of a digest. Its addresses depend on the owner's own list.
    """
    tables = np.zeros((DIGEST_BYTES, 1, 2), np.uint64)
    words = np.ascontiguousarray(keys).view(np.uint64)
    for bit in range(8):  # the table doubles: the new bit is the highest one
        tables = np.concatenate([tables ^ words[:, bit, 0, None], tables ^ words[:, bit, 1, None]], axis=1)
    wide = tables.view(np.complex128)[..., 0]  # one element of 16 bytes; never computed with
    total = np.take(wide[0], digests[0], mode="clip")
    term = np.empty_like(total)
    sums = total.view(np.uint64)
    for table, column in zip(wide[1:], digests[1:], strict=True):
        np.take(table, column, out=term, mode="clip")
        np.bitwise_xor(sums, term.view(np.uint64), out=sums)
    tables.fill(0)
    result: Bytes = total.view(np.uint8).reshape(-1, DIGEST_BYTES)
    return result


def entries(shape: Shape, number: int, bucket: int, keys: Bytes, records: Bytes) -> Bytes:
    """`uint8[M, entry_bytes]`: the answer to query `number`, in the order of the finders."""
    n = len(keys)
    rows = _rows(np.full(n, number, np.uint64), np.full(n, bucket, np.uint32), keys)
    head = _block(shape, rows, 0)
    out = np.empty((n, shape.entry_bytes), np.uint8)
    out[:, :FINDER_BYTES] = head[:, :FINDER_BYTES]
    sent = out[:, FINDER_BYTES:-MAC_BYTES]
    for begin in range(0, shape.width, 32):
        part = np.s_[:, begin : begin + 32]
        block = _block(shape, rows, 1 + begin // 32)[:, : shape.width - begin]
        np.bitwise_xor(records[part], block, out=sent[part])
    out[:, -MAC_BYTES:] = mac(shape, head[:, FINDER_BYTES : FINDER_BYTES + MAC_BYTES], sent)
    order = np.argsort(head.view(np.uint64)[:, 0])
    whole = out.view(f"V{shape.entry_bytes}")[:, 0]  # moved as one element each
    result: Bytes = np.take(whole, order).view(np.uint8).reshape(n, shape.entry_bytes)
    return result


def finders(
    shape: Shape, numbers: npt.NDArray[np.uint64], buckets: npt.NDArray[np.uint32], keys: Bytes
) -> tuple[Bytes, Bytes]:
    """(`uint8[n, 8]` finders, `uint8[n, 16]` keys of the macs)."""
    block = _block(shape, _rows(numbers, buckets, keys), 0)
    return np.ascontiguousarray(block[:, :FINDER_BYTES]), block[:, FINDER_BYTES : FINDER_BYTES + MAC_BYTES]


def _rows(numbers: npt.NDArray[np.uint64], buckets: npt.NDArray[np.uint32], keys: Bytes) -> Bytes:
    """`uint8[n, 32]`: what is hashed: key, number of the query, bucket, and room for the counter."""
    rows = np.zeros((len(keys), 32), np.uint8)
    rows[:, :16] = keys
    rows[:, 16:24] = numbers.astype("<u8").view(np.uint8).reshape(-1, 8)
    rows[:, 24:28] = buckets.astype("<u4").view(np.uint8).reshape(-1, 4)
    return rows


def _block(shape: Shape, rows: Bytes, counter: int) -> Bytes:
    rows[:, 28:] = np.frombuffer(counter.to_bytes(4, "little"), np.uint8)
    digest: Bytes = hashing.digest(
        shape.hash, rows, domain=b"crypsis/query/entry/v1/" + shape.session, threads=1
    )
    return digest


def pad(shape: Shape, numbers: npt.NDArray[np.uint64], buckets: npt.NDArray[np.uint32], keys: Bytes) -> Bytes:
    rows = _rows(numbers, buckets, keys)
    blocks = [_block(shape, rows, counter) for counter in range(1, 1 + -(-shape.width // 32))]
    return np.concatenate(blocks, axis=1)[:, : shape.width] if blocks else np.empty((len(keys), 0), np.uint8)


def mac(shape: Shape, mac_keys: Bytes, sent: Bytes) -> Bytes:
    rows = np.concatenate([mac_keys, sent], axis=1)
    code: Bytes = hashing.digest(
        shape.hash, rows, digest_size=MAC_BYTES, domain=b"crypsis/query/mac/v1", threads=1
    )
    return code

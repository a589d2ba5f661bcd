# SPDX-License-Identifier: Apache-2.0
"""Pearson's correlations of the columns of two parties, and variance inflation factors (VIF) from them.

Each party computes the correlations of its own columns. For the block between them both standardise (mean 0, deviation
1) and round to multiples of 2^-f, f = `precision_bits`: a = 2^f z_g + e, b = 2^f z_h + e', |e|, |e'| <= 1/2. The guest
encrypts its rounded columns, many to a ciphertext, row by row; the host computes b^T E(a), exact integers, rerandomises
fully and returns them; the guest decrypts, and r = a.b / (n 4^f). By Cauchy and Schwarz, with |z| = sqrt(n),

    |r - r_exact| <= 2^-f + 4^-(f + 1)

whatever the data; rounding errors that do not depend on each other leave about 2^-f / sqrt(6 n). A slot of a ciphertext
has room for n (2^f + 1/2)^2, so that no sum leaves it.

    VIF_j = (R^-1)_jj = 1 / (1 - R_j^2)

with R_j^2 of column j explained by all others. A VIF above 2^f is told as infinite: that close to collinear,
the precision of R does not tell one from the other.

Why not CKKS: its products are cheaper, but what goes back to the owner of the key needs masks and noise that hide the
host's numbers in both polynomials, and twice the bytes travel; this is exact and rests on the scheme that trains.

Leaks: guest: the correlations among the host's columns, under aliases, and the integers a.b, that is as many exact
linear equations about each host column as the guest has columns, of some f + log2 sqrt(n) bits each. With fewer than
2 f rows a column both refuse, so that they tell less than a bit a row: enough for columns of many values and for even
0s and 1s, not for a column that is nearly constant; and what several runs with other columns tell adds up. host: how
many columns the guest has; with `share_result` the whole matrix, the guest's columns under aliases, and so as many
equations about each of these as it has columns (the same limit). Who listens: sizes. Semi-honest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import paillier
from crypsis.errors import ConfigError, DataError, InvalidCiphertext, ProtocolAbort
from crypsis.mpc.learning.ciphers import PublicKey, UnblindedCipherArray
from crypsis.mpc.learning.frame import Floats, Frame
from crypsis.mpc.learning.preprocess.aliases import MAX_COLUMNS, draw_aliases, hear_columns, tell_columns
from crypsis.mpc.learning.preprocess.fitted import named, refuse_all_missing, refuse_missing, refuse_text
from crypsis.mpc.learning.preprocess.slots import pack_rows
from crypsis.mpc.learning.session import Session
from crypsis.mpc.transport.agreement import count_field, hear_refusal

BLOCK_ROWS = 1 << 13
LOCAL_VIF_LIMIT = 2.0**40
_TOLERANCE = 1e-6  # of correlations beyond -1 to 1 by rounding


@dataclass(frozen=True)
class Correlation:
    """names of the columns (those of the peer as "PEER:ALIAS"); matrix float64[d, d]; `error`: what no
    entry between the parties is off by more than; vif_limit: above which a VIF counts as infinite."""

    names: tuple[str, ...]
    matrix: Floats
    error: float
    vif_limit: float

    def between(self, a: str, b: str) -> float:
        """The correlation of two columns."""
        return float(self.matrix[self.names.index(a), self.names.index(b)])

    def of(self, names: Sequence[str]) -> Correlation:
        """Only these columns."""
        index = [self.names.index(name) for name in names]
        return Correlation(tuple(names), self.matrix[np.ix_(index, index)], self.error, self.vif_limit)

    def vif(self) -> dict[str, float]:
        """VIF of each column among all of these; infinite above `vif_limit`."""
        if not self.names:
            return {}
        values, vectors = np.linalg.eigh(self.matrix)
        inverse = 1.0 / np.maximum(values, 1.0 / self.vif_limit**2)
        found = (vectors**2 * inverse).sum(axis=1)
        return {
            name: float(max(1.0, v)) if v <= self.vif_limit else float("inf")
            for name, v in zip(self.names, found, strict=True)
        }


def correlation(frame: Frame) -> Correlation:
    """Of one's own columns. DataError naming columns that are constant, text, or have missing values."""
    z = _standardised(frame)
    return Correlation(frame.names, _own_block(z), 0.0, LOCAL_VIF_LIMIT)


def joint_correlation(
    frame: Frame,
    session: Session,
    *,
    precision_bits: int = 12,
    aliases: Mapping[str, str] | None = None,
    share_names: bool = False,
    share_result: bool = False,
) -> Correlation:
    """Of the columns of the guest and of its one host, at both parties with their own columns of the same rows.

    The guest gets the whole matrix, its own columns first. A host gets that of its own columns, or with `share_result`
    (the same at both) the whole one, its own columns first.
    precision_bits: f, 8 to 15, the same at both. aliases: alias -> name, as a `WoeEncoder` fitted before
    has them, so that columns keep their aliases; share_names: whether the peer sees names.
    DataError as `correlation`, and for ids that do not line up; ConfigError for parameters that differ, fewer than
    2 precision_bits rows for each column of the guest (with `share_result` of the host too), or several hosts;
    ProtocolAbort naming the peer.
    """
    if type(precision_bits) is not int or not 8 <= precision_bits <= 15:
        raise ValueError(f"precision_bits is {precision_bits!r}; give 8 to 15")
    peer = session.peer
    with session.ending_together():
        session.agree("correlation", {"precision_bits": precision_bits, "share_result": bool(share_result)})
        session.check_ids(frame)
        with session.meter("native"):
            z = _standardised(frame)
            own = _own_block(z)
            rounded = _rounded(z, precision_bits)
        known = (
            {a: n for a, n in aliases.items() if n in frame.names}
            if aliases
            else draw_aliases(frame.names, share_names=share_names)
        )
        if sorted(known.values()) != sorted(frame.names):
            raise ValueError("aliases do not name every column once: give those of the encoder of this table")
        job = _Job(session, peer, len(frame), precision_bits, share_result)
        if session.role == "guest":
            names, block, theirs = job.ask(rounded)
        else:
            job.answer(rounded, own, frame.names, known)
            names, block, theirs = (), np.empty((len(frame.names), 0)), np.empty((0, 0))
        if share_result and session.role == "guest":
            order = [frame.names.index(name) for name in known.values()]
            tell_columns(session, peer, list(known))
            session.send_array(peer, own[np.ix_(order, order)])
            session.send_array(peer, np.ascontiguousarray(block[order]))
        elif share_result:
            names = hear_columns(session, peer)
            theirs = _received_own_block(session, peer, len(names))
            shared = _received_matrix(session, peer, (len(names), len(frame.names)))
            block = np.empty((len(frame.names), len(names)))
            block[[frame.names.index(name) for name in known.values()]] = shared.T
    matrix = np.block([[own, block], [block.T, theirs]])
    return Correlation((*frame.names, *names), matrix, job.error, 2.0**precision_bits)


class _Job:
    """One computation of the block between guest and host."""

    def __init__(
        self, session: Session, peer: str, n_rows: int, precision_bits: int, share_result: bool
    ) -> None:
        self.session, self.peer, self.n_rows, self.bits = session, peer, n_rows, precision_bits
        self.share_result = share_result
        self.error = 2.0**-precision_bits + 4.0 ** -(precision_bits + 1)

    @property
    def bound(self) -> int:
        """What no sum of products exceeds: n (2^f + 1/2)^2, rounded up."""
        return self.n_rows * ((2 << self.bits) + 1) ** 2 // 4 + 1

    def packing(self, key: PublicKey, n_columns: int) -> paillier.Packing:
        slot_bits = self.bound.bit_length() + 1
        return paillier.Packing(min(n_columns, key.max_packed_bits // slot_bits), slot_bits)

    def parts(self) -> list[slice]:
        return [slice(i, min(self.n_rows, i + BLOCK_ROWS)) for i in range(0, self.n_rows, BLOCK_ROWS)]

    def check_columns(self, n_guest: int, n_host: int) -> None:
        """At both, of numbers that both know: whether the products tell too much of the other party's columns."""
        for who, other, count in (("guest", "host", n_guest), ("host", "guest", n_host)):
            if self.n_rows < 2 * self.bits * count and (who == "guest" or self.share_result):
                hear_refusal(self.session.channel())
                raise ConfigError(
                    f"the {who} has {count} columns for {self.n_rows} rows: with fewer than {2 * self.bits} rows for"
                    f" each, the products would tell too much of a column of the {other}'s; leave columns out, or lower"
                    " precision_bits"
                )

    def ask(self, rounded: npt.NDArray[Any]) -> tuple[tuple[str, ...], Floats, Floats]:
        """The guest: (names of the host's columns, block [own, theirs], correlations of theirs)."""
        session, peer, key = self.session, self.peer, self.session.own_key
        n_own = rounded.shape[1]
        session.tell(peer, "count", count=n_own)
        self.check_columns(n_own, count_field(session.hear(peer, "count"), "count", MAX_COLUMNS))
        session.send_key(peer)
        if n_own:
            packing = self.packing(key.public_key, n_own)
            for part in self.parts():
                with session.meter("native"):
                    packed = pack_rows(rounded[part], packing)
                with session.meter("he"):
                    make = key.encrypt_vartime if session.cipher.vartime else key.encrypt
                    encrypted = make(packed, device=session.cipher.device)
                session.send_ciphertexts(peer, encrypted)
                session.progress("correlation", part.stop, self.n_rows, {})
        names = hear_columns(session, peer)
        if not names:
            raise ProtocolAbort(f"{peer} has no columns; ended")
        theirs = _received_own_block(session, peer, len(names))
        if not n_own:
            return names, np.empty((0, len(names))), theirs
        groups = packing.n_groups(n_own)
        products = session.receive_ciphertexts(peer, key.public_key, (len(names), groups))
        try:
            with session.meter("he"):
                sums = key.decrypt(products, packing=packing, n_items=n_own)
        except (InvalidCiphertext, OverflowError) as error:
            raise ProtocolAbort(f"{peer} sent products that are out of their range; ended") from error
        sums = np.asarray(sums, dtype=np.int64)
        if sums.size and int(np.abs(sums).max()) > self.bound:
            raise ProtocolAbort(f"{peer} sent products that no columns of deviation 1 have; ended")
        return names, np.clip(sums.T / (self.n_rows * 4.0**self.bits), -1.0, 1.0), theirs

    def answer(
        self, rounded: npt.NDArray[Any], own: Floats, names: tuple[str, ...], aliases: Mapping[str, str]
    ) -> None:
        """The host."""
        session, peer = self.session, self.peer
        session.tell(peer, "count", count=len(names))
        n_guest = count_field(session.hear(peer, "count"), "count", MAX_COLUMNS)
        self.check_columns(n_guest, len(names))
        order = [names.index(name) for name in aliases.values()]
        columns = np.ascontiguousarray(rounded[:, order].T)
        key = session.receive_key(peer)
        total: UnblindedCipherArray | None = None
        if n_guest:
            groups = self.packing(key, n_guest).n_groups(n_guest)
            for part in self.parts():
                rows = session.receive_ciphertexts(peer, key, (part.stop - part.start, groups))
                with session.meter("he"):
                    product = rows.rmatmul(
                        np.ascontiguousarray(columns[:, part]), vartime=session.cipher.vartime
                    )
                    total = product if total is None else total + product
                session.progress("correlation", part.stop, self.n_rows, {})
        tell_columns(session, peer, list(aliases))
        session.send_array(peer, np.ascontiguousarray(own[np.ix_(order, order)]))
        if total is not None:
            with session.meter("he"):
                blinded = total.rerandomize(full=True)
            session.send_ciphertexts(peer, blinded)


def _standardised(frame: Frame) -> Floats:
    """float64[rows, columns] with mean 0 and deviation 1. DataError naming what cannot be."""
    refuse_text(frame, "correlation")
    refuse_all_missing(frame)
    refuse_missing(frame)
    if not frame.names:
        return np.empty((len(frame), 0))
    flat = frame.values.min(axis=0) == frame.values.max(axis=0)
    if flat.any():
        constant = [frame.names[i] for i in np.flatnonzero(flat)]
        raise DataError(
            f"{named(constant)} have the same value in every row, and so no correlation: leave them out"
        )
    # Centred twice, since rounding leaves some of the mean, in units in which squares neither over- nor underflow.
    with np.errstate(all="ignore"):  # what comes out of range is refused below
        z: Floats = frame.values / np.abs(frame.values).max(axis=0)
        z -= z.mean(axis=0)
        z /= np.abs(z).max(axis=0)
        z -= z.mean(axis=0)
        z /= np.sqrt((z * z).mean(axis=0))
    if not np.isfinite(z).all():
        wide = [frame.names[i] for i in np.flatnonzero(~np.isfinite(z).all(axis=0))]
        raise DataError(
            f"{named(wide)} are too large or too close together for correlations: take another unit"
        )
    return z


def _own_block(z: Floats) -> Floats:
    block: Floats = np.clip(z.T @ z / max(1, len(z)), -1.0, 1.0)
    np.fill_diagonal(block, 1.0)
    return block


def _rounded(z: Floats, precision_bits: int) -> npt.NDArray[Any]:
    """Multiples of 2^-f as integers: int16 where they fit, which is quickest, else int32."""
    scaled = np.rint(z * 2.0**precision_bits)
    most = np.abs(scaled).max(initial=0)
    # |z| is at most sqrt(n) < 2^16.
    return scaled.astype(np.int16 if most < 2**15 else np.int32 if most < 2**31 else np.int64)


def _received_matrix(session: Session, peer: str, shape: tuple[int, int]) -> Floats:
    """Correlations from the peer. ProtocolAbort for what is none."""
    matrix = session.receive_array(peer, "<f8", shape).astype(np.float64)
    if not (np.abs(matrix) <= 1 + _TOLERANCE).all():  # nor NaN
        raise ProtocolAbort(f"{peer} sent correlations beyond -1 to 1; ended")
    return matrix


def _received_own_block(session: Session, peer: str, n_columns: int) -> Floats:
    """Correlations of the peer's columns with each other. ProtocolAbort for what is none."""
    matrix = _received_matrix(session, peer, (n_columns, n_columns))
    if not (
        np.allclose(matrix, matrix.T, atol=_TOLERANCE) and np.allclose(np.diag(matrix), 1, atol=_TOLERANCE)
    ):
        raise ProtocolAbort(f"{peer} sent a matrix of correlations that is not symmetric with 1 in it; ended")
    return matrix

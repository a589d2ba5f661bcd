# SPDX-License-Identifier: Apache-2.0
"""Counts of a host's bins under encryption: the messages of `WoeEncoder.fit`.

guest -> host   its public key; E(label) of each row, in blocks
host -> guest   aliases of its columns, in random order; for each the number of fine bins and whether they are ordered;
                rows in each; E(rows of label 1 in each), many to a ciphertext, fully rerandomised
guest -> host   reveal="woe": new number of each fine bin, WOE, IV; reveal="iv": IV, rounded
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import paillier
from crypsis.errors import DataError, InvalidCiphertext, ProtocolAbort
from crypsis.mpc.learning.ciphers import PublicKey, UnblindedCipherArray
from crypsis.mpc.learning.frame import Floats
from crypsis.mpc.learning.preprocess.aliases import draw_aliases, hear_columns, tell_columns
from crypsis.mpc.learning.preprocess.binning import MAX_BINS, FeatureBins
from crypsis.mpc.learning.preprocess.compiled import Int16s
from crypsis.mpc.learning.session import Session

FIXED, ORDERED, UNORDERED = 0, 1, 2
"""Kinds of columns: bins that are to stay, that have an order, that have none."""
BLOCK_ROWS = 1 << 14
IV_DECIMALS = 3
"""Of what a host is told that gets IV alone: all digits of a column of two bins are those of one pair of counts."""
MAX_CELLS = 1 << 23
"""Bins of all columns of a host, each as many as the largest: some seconds of work and 200 MiB at the guest."""
MAX_WOE = 64.0  # ln of 2^92: more than any number of rows gives

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Weighed:
    """groups: new number of each fine bin but that of missing values; woe, counts: of the new bins, that at the end."""

    groups: Integers
    woe: Floats
    iv: float
    counts: Integers


@dataclass(frozen=True)
class HostPart:
    """A host's columns: names, bin of each row int16[rows, columns], fine bins and kind of each column."""

    names: tuple[str, ...]
    numbers: Int16s
    n_bins: Integers
    kinds: Integers


@dataclass(frozen=True)
class Told:
    """What a host knows in the end, by the names of its columns; `bins` and `woe` are empty where it is told no WOE."""

    bins: dict[str, FeatureBins]
    woe: dict[str, Floats]
    iv: dict[str, float]
    aliases: dict[str, str]


Weigh = Callable[[Integers, int, tuple[int, int]], Weighed]


def ask_hosts(
    session: Session, positive: npt.NDArray[np.bool_], weigh: Weigh, reveal: str
) -> dict[str, float]:
    """The guest's side: IV of the hosts' columns, by "HOST:ALIAS"."""
    n_rows, key = len(positive), session.own_key
    for peer in session.peers:
        session.send_key(peer)
    for part in row_parts(n_rows):
        with session.meter("he"):
            encrypted = key.encrypt(positive[part].astype(np.int8), device=session.cipher.device)
        for peer in session.peers:
            session.send_ciphertexts(peer, encrypted)
        session.progress("woe", part.stop, n_rows, {})
    found: dict[str, float] = {}
    for peer in session.peers:
        found |= _weigh_host(session, peer, positive, weigh, reveal)
    return found


def _weigh_host(
    session: Session, peer: str, positive: npt.NDArray[np.bool_], weigh: Weigh, reveal: str
) -> dict[str, float]:
    names = hear_columns(session, peer)
    n_rows, n_bad = len(positive), int(positive.sum())
    n_bins = session.receive_array(peer, "<i4", (len(names),)).astype(np.int64)
    kinds = session.receive_array(peer, "<i1", (len(names),)).astype(np.int64)
    if not names or n_bins.min() < 2 or n_bins.max() > MAX_BINS or not set(kinds.tolist()) <= {0, 1, 2}:
        raise ProtocolAbort(f"{peer} sent numbers of bins, or kinds of columns, that cannot be; ended")
    if len(names) * n_bins.max() > MAX_CELLS:
        raise ProtocolAbort(
            f"{peer} has {len(names)} columns of up to {n_bins.max()} bins, more than {MAX_CELLS} in all; ended: let it"
            " put rare categories together, or weigh fewer columns at a time"
        )
    shape = (len(names), int(n_bins.max()))
    totals = session.receive_array(peer, "<i8", shape)
    bad = _decrypt_counts(session, peer, shape, n_rows)
    outside = np.arange(shape[1]) >= n_bins[:, None]
    if (
        (totals < 0).any()
        or (totals[outside] != 0).any()
        or (totals.sum(axis=1) != n_rows).any()
        or (bad < 0).any()
        or (bad > totals).any()
        or (bad.sum(axis=1) != n_bad).any()
    ):
        raise ProtocolAbort(
            f"the counts that {peer} sent do not add up to the rows and labels there are; ended"
        )
    groups, woe = np.zeros(shape, dtype="<i2"), np.zeros(shape, dtype="<f8")
    iv = np.empty(len(names), dtype="<f8")
    for i in range(len(names)):
        own = slice(0, n_bins[i])
        counts = np.stack([bad[i, own], totals[i, own] - bad[i, own]], axis=1)
        one = weigh(counts, int(kinds[i]), (n_bad, n_rows - n_bad))
        groups[i, : len(one.groups)], woe[i, : len(one.woe)], iv[i] = one.groups, one.woe, one.iv
    if reveal == "woe":
        session.send_array(peer, groups)
        session.send_array(peer, woe)
    if reveal != "none":
        session.send_array(peer, iv if reveal == "woe" else iv.round(IV_DECIMALS))
    return dict(zip(names, iv.tolist(), strict=True))


def _decrypt_counts(session: Session, peer: str, shape: tuple[int, int], n_rows: int) -> Integers:
    key, n_items = session.own_key, shape[0] * shape[1]
    packing = count_packing(key.public_key, n_rows, n_items)
    packed = session.receive_ciphertexts(peer, key.public_key, (packing.n_groups(n_items),))
    try:
        with session.meter("he"):
            counts = key.decrypt(packed, packing=packing, n_items=n_items)
    except (InvalidCiphertext, OverflowError) as error:
        raise ProtocolAbort(f"{peer} sent counts that are out of their range; ended") from error
    return np.asarray(counts, dtype=np.int64).reshape(shape)


def answer_guest(
    session: Session, part: HostPart, fine: Mapping[str, FeatureBins], reveal: str, share_names: bool
) -> Told:
    """The host's side."""
    peer, n_rows = session.peer, len(part.numbers)
    aliases = draw_aliases(part.names, share_names=share_names)
    if len(aliases) != len(part.names):
        raise DataError("two columns have names that begin with the same 200 characters: rename one")
    order = [part.names.index(name) for name in aliases.values()]
    numbers, n_bins = part.numbers[:, order], part.n_bins[order]
    shape = (len(order), int(n_bins.max()))
    key = session.receive_key(peer)
    counts = _encrypted_counts(session, key, numbers, shape[1])
    totals = np.stack([np.bincount(numbers[:, i], minlength=shape[1]) for i in range(shape[0])])
    packing = count_packing(key, n_rows, totals.size)
    with session.meter("he"):
        packed = counts.reshape(totals.size).pack(packing).rerandomize(full=True)
    tell_columns(session, peer, list(aliases))
    session.send_array(peer, n_bins.astype("<i4"))
    session.send_array(peer, part.kinds[order].astype("<i1"))
    session.send_array(peer, totals.astype("<i8"))
    session.send_ciphertexts(peer, packed)
    bins: dict[str, FeatureBins] = {}
    woe: dict[str, Floats] = {}
    if reveal == "woe":
        groups, weights = session.receive_array(peer, "<i2", shape), session.receive_array(peer, "<f8", shape)
        for i, name in enumerate(aliases.values()):
            bins[name], woe[name] = _merged(peer, fine[name], groups[i], weights[i])
    iv: dict[str, float] = {}
    if reveal != "none":
        values = session.receive_array(peer, "<f8", (shape[0],))
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ProtocolAbort(f"{peer} sent information values that are not 0 or more; ended")
        iv = dict(zip(aliases.values(), values.tolist(), strict=True))
    kept = [name for name in part.names if name in bins]
    return Told(
        {name: bins[name] for name in kept},
        {name: woe[name] for name in kept},
        {name: iv[name] for name in part.names if name in iv},
        aliases,
    )


def _encrypted_counts(session: Session, key: PublicKey, numbers: Int16s, n_bins: int) -> UnblindedCipherArray:
    """E(rows of label 1) by column and bin, block by block as the labels come; not yet blinded."""
    peer, total = session.peer, None
    for rows in row_parts(len(numbers)):
        labels = session.receive_ciphertexts(peer, key, (rows.stop - rows.start,))
        with session.meter("he"):
            counts = labels.histogram(numbers[rows], n_bins)
            total = counts if total is None else total + counts
        session.progress("woe", rows.stop, len(numbers), {})
    if total is None:
        raise DataError("the table has no rows; nothing can be fitted to it")
    return total


def _merged(
    peer: str, fine: FeatureBins, groups: npt.NDArray[Any], weights: Floats
) -> tuple[FeatureBins, Floats]:
    """The bins that the guest wants of one column, and their WOE."""
    try:
        bins = fine.merged(groups[: fine.n_bins - 1])
    except ValueError as error:
        raise ProtocolAbort(f"{peer} puts together bins that are no neighbours; ended") from error
    woe = weights[: bins.n_bins].astype(np.float64)
    if not (np.abs(woe) <= MAX_WOE).all():  # nor NaN
        raise ProtocolAbort(f"{peer} sent weights of evidence beyond {MAX_WOE:g}; ended")
    return bins, woe


def count_packing(key: PublicKey, n_rows: int, n_items: int) -> paillier.Packing:
    """Slots for counts from 0 to n_rows, as many as a plaintext holds."""
    slot_bits = n_rows.bit_length() + 2
    return paillier.Packing(n_slots=min(n_items, key.max_packed_bits // slot_bits), slot_bits=slot_bits)


def row_parts(n_rows: int) -> Iterator[slice]:
    """Blocks in which labels travel and are summed."""
    for begin in range(0, n_rows, BLOCK_ROWS):
        yield slice(begin, min(n_rows, begin + BLOCK_ROWS))
